import {join} from 'node:path';
import Database from 'better-sqlite3';
import {enqueueIn, FaenaError, type TaskContext, task} from '../../lib/index.ts';
import {openForTest} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const tasks = {
	echo: async (value: unknown) => value,
	parent: async (_: undefined, {enqueue}: TaskContext) => enqueue('echo', 1, {delay: '1h', expires: '1m'}),
	fails: task(
		async (_: undefined, {job}: TaskContext) => {
			if (job.attempts === 0) throw new Error('no');
		},
		{backoff: '1h'},
	),
};

test('a job that has not started in time is cancelled, and says why in its result, its outcome, job() and its history', async t => {
	const faena = await openForTest(tasks);
	t.teardown(() => faena.close());
	await faena.pause('echo');
	const job = await faena.enqueue('echo', 1, {expires: '10s'});
	const cancelled: number[] = [];
	faena.on('cancelled', ({id}) => cancelled.push(id));
	faena.clock.advance('9s');
	t.like(await job.info(), {status: 'pending'});
	faena.clock.advance('1s');
	const error = (await t.throwsAsync(job.result(), {instanceOf: FaenaError, code: 'JobCancelled'})) as Error;
	t.like(error.cause, {reason: 'expired', name: 'Expired', message: 'It had not started 10 s after it became due.'});
	t.like(await job.outcome(), {status: 'cancelled', error: {reason: 'expired'}});
	const details = await faena.job(job.id).info();
	t.like(details, {status: 'cancelled', executions: 1, error: {reason: 'expired'}});
	t.like(details?.history[0], {status: 'cancelled', error: {reason: 'expired'}});
	t.deepEqual(cancelled, [job.id]);
	await faena.resume('echo');
	t.like(await faena.drain(), {cancelled: 1, completed: 0});
	t.is(await faena.retry(job.id), 1);
	t.is(await job.result(), 1);
});

test('the time counts from when a job becomes due, and a job that has failed does not expire', async t => {
	const faena = await openForTest(tasks);
	t.teardown(() => faena.close());
	await faena.enqueue('parent');
	await faena.enqueue('fails', undefined, {expires: '1m'});
	await faena.drain();
	await faena.pause('echo');
	faena.clock.advance('1h');
	t.like(await faena.drain(), {completed: 2, pending: 1});
	faena.clock.advance('1m');
	while ((await faena.counts()).cancelled === 0) await new Promise(setImmediate);
	t.like((await faena.jobs({status: 'cancelled'}).page())[0], {task: 'echo', error: {reason: 'expired'}});
});

test('a job waits behind a long one, expires, and its caller hears of it while that one still runs', async t => {
	const faena = await openEngine(t, {workers: 1});
	const long = await faena.enqueue('awaitForever', undefined as never);
	while ((await long.info())?.status !== 'running') await new Promise(resolve => setTimeout(resolve, 5));
	const begun = Date.now();
	const error = (await t.throwsAsync(faena.call('add', {a: 1, b: 2}, {expires: '300ms'}), {code: 'JobCancelled'})) as Error;
	t.like(error.cause, {reason: 'expired'});
	t.true(Date.now() - begun < 5000);
	t.like(await long.info(), {status: 'running'});
});

for (const isolation of ['thread', 'process', 'inline'] as const) {
	test(`jobs that a worker has, and that expire behind a long one, never start, with isolation ${isolation}`, async t => {
		const faena = await openEngine(t, {workers: 1, isolation});
		// So that the engine knows that these jobs are short, and gives the worker many at a time.
		for (let warm = 0; warm < 20; warm++) await faena.call('spin', 0);
		await faena.pause('spin');
		const long = await faena.enqueue('spin', 900);
		const behind = await faena.enqueueMany('spin', [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], {expires: '500ms'});
		await faena.resume('spin');
		t.is(await long.result(), 900);
		await faena.idle();
		for (const id of behind.ids) t.like(await faena.job(id).info(), {status: 'cancelled', startedAt: undefined, error: {reason: 'expired'}});
	});
}

test('an engine cancels the expired jobs of a program that has enqueued and gone', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue: path, tasks: null});
	const db = new Database(path);
	const {id} = enqueueIn(db, 'add', {a: 1, b: 2}, {expires: '1ms'});
	db.close();
	t.like(await faena.job<'add'>(id).outcome(), {status: 'cancelled', error: {reason: 'expired'}});
});

test('thousands of jobs that have expired are cancelled before the next one starts, in several steps', async t => {
	const started: number[] = [];
	const faena = await openForTest({mark: (n: number) => void started.push(n)});
	t.teardown(() => faena.close());
	await faena.pause();
	await faena.enqueueMany(
		'mark',
		Array.from({length: 3500}, (_, n) => n),
		{expires: '1s'},
	);
	faena.clock.advance('1s');
	await faena.enqueue('mark', -1);
	await faena.resume();
	t.like(await faena.drain(), {cancelled: 3500, completed: 1, pending: 0});
	t.deepEqual(started, [-1]);
});

test('expires is at least a millisecond, and may be given to maps', async t => {
	const faena = await openForTest(tasks);
	t.teardown(() => faena.close());
	await t.throwsAsync(faena.enqueue('echo', 1, {expires: 0}), {code: 'BadOption', message: /^enqueue\(\) expects as expires at least 1 ms/});
	await faena.pause();
	const map = faena.map('echo', [1, 2], {expires: '1s', order: 'input'});
	const ends = map.toArray();
	while ((await faena.counts()).pending < 2) await new Promise(setImmediate);
	faena.clock.advance('1s');
	t.deepEqual(
		(await ends).map(({status}) => status),
		['cancelled', 'cancelled'],
	);
});
