import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {type JobError, PermanentError} from '../../lib/index.ts';
import {openForTest} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const GONE = {code: 'NoSuchJob', message: 'There is no job 99; it may have been cleaned up.'};

test('a handle of a job has its verbs: each says whether it had an effect, and rejects if there is no such job', async t => {
	const faena = await openEngine(t);
	const waiting = faena.job((await faena.enqueue('add', {a: 1, b: 2}, {delay: '1h'})).id);
	t.false(await waiting.retry());
	t.false(await waiting.delete());
	t.true(await waiting.edit({payload: {a: 2, b: 2}}));
	t.true(await waiting.cancel());
	t.false(await waiting.cancel());
	t.false(await waiting.edit({priority: 1}));
	t.true(await waiting.retry());
	t.is(await faena.job<'add'>(waiting).result(), 4);
	t.true(await waiting.retry());
	t.is(await waiting.result(), 4);
	t.true(await waiting.delete());
	t.is(await waiting.info(), undefined);
	for (const verb of ['cancel', 'retry', 'delete', 'result', 'outcome'] as const) await t.throwsAsync(faena.job(99)[verb](), GONE, verb);
	await t.throwsAsync(faena.job(99).edit({priority: 1}), GONE);
});

test('a handle of a job is taken wherever an id is; one of another queue is refused', async t => {
	const folder = makeFolder(t);
	const faena = await openEngine(t, {queue: join(folder, 'a.db')});
	const [first, second, third] = [await faena.enqueue('echo', 1), await faena.enqueue('echo', 2), await faena.enqueue('echo', 3, {delay: '1h'})];
	await Promise.all([first.result(), second.result()]);
	t.is(await faena.cancel(third), 1);
	t.is(await faena.retry({ids: [second, third.id]}), 2);
	await Promise.all([second.result(), third.result()]);
	const ids = async (jobs: typeof first) => (await faena.jobs({ids: [jobs, 99]}).page()).map(({id}) => id);
	t.deepEqual(await ids(second), [2]);
	t.is((await faena.counts({ids: [first, second, third]})).completed, 3);
	t.deepEqual(
		(await faena.jobs().page({after: first})).map(({id}) => id),
		[2, 3],
	);
	t.is(await faena.cleanup(first), 1);
	t.is(await faena.cleanup({ids: [second, third]}), 2);
	const other = await openEngine(t, {queue: join(folder, 'b.db')});
	const foreign = await other.enqueue('echo', 1);
	for (const verb of ['cancel', 'retry'] as const)
		for (const jobs of [foreign, {ids: [foreign]}])
			await t.throwsAsync(faena[verb](jobs), {code: 'BadOption', message: /jobs of its own queue, \S+a\.db; job 1 is in \S+b\.db/}, verb);
});

test('a map of another program is awaited by the name of its batch, also while it still reads its input', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const [runs, looks] = [await openEngine(t, {queue}), await openEngine(t, {queue})];
	const {promise: mayEnd, resolve: end} = Promise.withResolvers<void>();
	async function* numbers() {
		yield* [
			{a: 1, b: 1},
			{a: 2, b: 2},
		];
		await mayEnd;
	}
	const done = runs.map('add', numbers(), {batch: 'sums'}).toArray();
	while ((await looks.batch('sums').info())?.counts.completed !== 2) await sleep(10);
	await t.throwsAsync(looks.batch('sums').ended({timeout: 700}), {code: 'WaitTimeout', message: 'The batch sums had not ended after 0.7 s.'});
	const ended = looks.batch('sums').ended({timeout: '30s'});
	end();
	t.is((await ended).completed, 2);
	await done;
	await t.throwsAsync(looks.batch('none').ended(), {code: 'NoSuchBatch'});
});

test("another program reads a flow's results: by the key of a job, or by a task that has one job", async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const [runs, looks] = [await openEngine(t, {queue}), await openEngine(t, {queue})];
	const flow = runs.newFlow('report');
	const parts = flow.map('echo', [1, 2], {key: each => `part ${each}`});
	flow.job('gather', parts, {key: 'all'});
	await flow.enqueue();
	const report = looks.flow('report');
	t.deepEqual(await report.result('gather'), await report.result('all', {timeout: '30s'}));
	t.is(await report.result('part 2'), 2);
	t.is((await report.ended()).completed, 3);
	await t.throwsAsync(report.result('echo'), {
		code: 'BadOption',
		message: /^The flow "report" has several jobs of the task "echo"; give one of them a key, and name that\.$/,
	});
	await t.throwsAsync(report.result('none'), {
		code: 'NoSuchJob',
		message: 'The flow "report" has no job with the key "none", and none of a task of this name.',
	});
	await t.throwsAsync(looks.flow('none').result('all'), {code: 'NoSuchBatch'});
	await t.throwsAsync(report.result(parts), {code: 'BadOption', message: /as this program has built it/});
});

test('idle(), call() and enqueueMany() end with their signal or their time; what they waited for goes on', async t => {
	const faena = await openEngine(t, {workers: 1});
	const folder = makeFolder(t);
	const held = await faena.enqueue('wait', join(folder, 'go'));
	await t.throwsAsync(faena.idle({timeout: 50}), {code: 'WaitTimeout', message: "Jobs of this engine's tasks had not ended after 0.05 s."});
	const aborts = new AbortController();
	const idle = faena.idle({signal: aborts.signal});
	const call = faena.call('add', {a: 1, b: 1}, {signal: aborts.signal, timeout: '1h'});
	aborts.abort(new Error('enough'));
	await t.throwsAsync(idle, {message: 'enough'});
	await t.throwsAsync(call, {message: 'enough'});
	await t.throwsAsync(faena.call('add', {a: 1, b: 1}, {waitTimeout: 50}), {code: 'WaitTimeout'});
	await faena.cancel(held);
	await faena.idle({timeout: '30s'});
	t.like(await faena.counts(), {completed: 2, cancelled: 1});
});

test('enqueueMany() that waits for room, or for its input, can be ended: nothing of it is enqueued later', async t => {
	const faena = await openEngine(t, {maxPending: 8});
	await faena.pause();
	async function* endless() {
		for (let number = 0; ; number++) yield number;
	}
	await t.throwsAsync(faena.enqueueMany('echo', endless(), {waitTimeout: 200}), {code: 'WaitTimeout', message: 'enqueueMany() had not ended after 0.2 s.'});
	const {pending} = await faena.counts();
	t.is(pending, 8);
	await faena.cancel({});
	await sleep(300);
	t.is((await faena.counts()).pending, 0);
	const aborts = new AbortController();
	async function* silent() {
		yield 1;
		aborts.abort(new Error('enough'));
		await new Promise(() => undefined);
	}
	await t.throwsAsync(faena.enqueueMany('echo', silent(), {signal: aborts.signal}), {message: 'enough'});
	t.is((await faena.counts()).pending, 0);
});

test('an error of a job is the same everywhere: outcome, result, info, history, lists and events; as JSON a record', async t => {
	const faena = await openForTest({
		refuse() {
			throw new PermanentError('no', {cause: Object.assign(new TypeError('deep'), {code: 'EDEEP'})});
		},
	});
	t.teardown(() => faena.close());
	const event = new Promise<JobError>(resolve => faena.once('dead', ({error}) => resolve(error)));
	const job = await faena.enqueue('refuse');
	const outcome = await job.outcome();
	const thrown = await t.throwsAsync(job.result(), {code: 'JobFailed'});
	const info = await job.info();
	const [listed] = await faena.jobs({status: 'dead'}).page();
	const errors = [await event, outcome.status === 'dead' && outcome.error, thrown?.cause, info?.error, info?.history[0]?.error, listed?.error] as JobError[];
	for (const error of errors) {
		t.true(error instanceof Error && error.cause instanceof TypeError);
		t.like(error, {reason: 'threw', name: 'PermanentError', message: 'no', attempt: 1, cause: {message: 'deep', code: 'EDEEP'}});
		t.is(typeof error.failedAt, 'number');
		t.regex(error.worker ?? '', /^process \d+ on /);
	}
	t.like(JSON.parse(JSON.stringify(listed)), {
		error: {
			reason: 'threw',
			name: 'PermanentError',
			attempt: 1,
			failedAt: errors[0]?.failedAt,
			causes: [{name: 'TypeError', code: 'EDEEP'}],
		},
	});
});
