import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {toBatchInfo} from '../../lib/api/batch-handle.ts';
import type {Batch} from '../../lib/queue.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {openRawQueue} from '../fixtures/raw-queue.ts';

const NONE = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
const ITEMS = Array.from({length: 20}, (_, a) => ({a, b: 1}));

test('a batch has its jobs by status, its total, and when it began and completed', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	t.is(await faena.batch('one').info(), undefined);
	t.deepEqual(await faena.batches(), []);
	const before = Date.now();
	await drain(faena.map('disaster', ['none', 'overflow', 'none'], {batch: 'one'}));
	await drain(faena.map('add', ITEMS, {batch: 'two'}));
	await faena.call('add', {a: 1, b: 1});
	const info = await faena.batch('one').info();
	t.like(info, {name: 'one', task: 'disaster', total: 3, counts: {...NONE, completed: 2, dead: 1}});
	const {createdAt = 0, startedAt = 0, completedAt = 0, closedAt = 0} = info ?? {};
	t.true(before <= createdAt && createdAt <= startedAt && startedAt <= completedAt && completedAt <= closedAt);
	t.deepEqual(
		(await faena.batches()).map(({name, counts}) => [name, counts]),
		[
			['one', {...NONE, completed: 2, dead: 1}],
			['two', {...NONE, completed: ITEMS.length}],
		],
	);
	t.deepEqual((await faena.batches())[0], info);
});

test('rate and remaining time come from the older mark; they are absent where they would be invented', t => {
	const batch: Batch = {
		id: 1,
		name: 'one',
		task: 'add',
		createdAt: 0,
		counts: {...NONE, pending: 30, running: 2, completed: 100},
		marks: [
			{at: 1000, ended: 60},
			{at: 11_000, ended: 90},
		],
	};
	t.like(toBatchInfo(batch, 21_000), {jobsPerSecond: 2, remainingMs: undefined});
	t.like(toBatchInfo({...batch, total: 132}, 21_000), {jobsPerSecond: 2, remainingMs: 16_000});
	t.like(toBatchInfo({...batch, total: 132, counts: {...batch.counts, completed: 50}}, 21_000), {jobsPerSecond: 0, remainingMs: undefined});
	t.is(toBatchInfo({...batch, completedAt: 20_000}, 21_000).jobsPerSecond, undefined);
	t.is(toBatchInfo(batch, 1000).jobsPerSecond, undefined);
	t.false('id' in toBatchInfo(batch, 21_000) || 'marks' in toBatchInfo(batch, 21_000));
});

test('a batch that completes says so once, and enqueues the job of its onComplete once, with its counts', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const heard: unknown[] = [];
	faena.on('batchCompleted', batch => heard.push(batch));
	const map = () => faena.map('disaster', ['none', 'overflow'], {batch: 'one', onComplete: 'echo'});
	await drain(map());
	await faena.idle();
	const completed = {batch: 'one', counts: {...NONE, completed: 1, dead: 1}};
	t.deepEqual(heard, [completed]);
	await drain(map());
	await faena.idle();
	const [job, ...others] = await faena.jobs({task: 'echo'}).page();
	t.like(job, {status: 'completed', priority: 3, maxAttempts: 7});
	t.deepEqual((await faena.job(job?.id ?? 0).info())?.payload, completed);
	t.is((await faena.batch('one').info())?.completionJobId, job?.id);
	t.deepEqual([heard.length, others], [1, []]);
	t.is(await faena.batch('one').retry(), 1);
	await faena.idle();
	t.is((await faena.jobs({task: 'echo'}).page()).length, 2);
	t.is(heard.length, 2);
});

test('a batch whose input had ended completes also when its map was left, and another engine finishes its jobs', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'file')];
	const first = await openEngine(t, {queue});
	const waits = new Promise<void>(resolve => void first.once('log', () => resolve()));
	const loop = drain(first.map('wait', [file, file], {batch: 'one', onComplete: 'echo'}));
	await waits;
	while ((await first.batch('one').info())?.total === undefined);
	await first.close({drain: 0});
	await t.throwsAsync(loop, {code: 'Closed'});
	writeFileSync(file, '');
	const second = await openEngine(t, {queue});
	await second.idle();
	t.like(await second.batch('one').info(), {total: 2, counts: {...NONE, completed: 2}, closedAt: undefined});
	t.true((await second.batch('one').info())?.completedAt !== undefined);
	t.deepEqual(
		(await second.jobs({task: 'echo'}).page()).map(({status}) => status),
		['completed'],
	);
});

test('a batch whose program is killed again and again ends with every item completed and one job for its completion', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'runs')];
	t.timeout(120_000);
	for (const heard of [1, 300, 700, 990]) {
		const program = new Program(t, 'engine', queue, 'map', file);
		for (let lines = 0; lines < heard; lines++) await program.line();
		await program.kill('SIGKILL');
	}
	t.like(await new Program(t, 'engine', queue, 'map', file).ended(), {code: 0, stderr: ''});
	const faena = await openEngine(t, {queue, tasks: null});
	t.like(await faena.batch('b').info(), {total: 1000, counts: {...NONE, completed: 1000}});
	const [job, ...others] = await faena.jobs({task: 'echo'}).page();
	t.deepEqual([job?.status, others], ['completed', []]);
	t.deepEqual((await faena.job(job?.id ?? 0).info())?.payload, {batch: 'b', counts: {...NONE, completed: 1000}});
	const runs = readFileSync(file, 'utf8').trim().split('\n');
	t.deepEqual(
		[...new Set(runs)].map(Number).toSorted((a, b) => a - b),
		[...Array(1000).keys()],
	);
	t.log(`${runs.length} executions`);
});

test('a batch that was left in the middle of its input does not complete, whatever ends', async t => {
	const faena = await openEngine(t);
	const heard: unknown[] = [];
	faena.on('batchCompleted', batch => heard.push(batch));
	for await (const _ of faena.map('add', ITEMS, {batch: 'one', window: 5, onComplete: 'echo'})) break;
	await faena.idle();
	t.like(await faena.batch('one').info(), {total: undefined, completedAt: undefined});
	t.deepEqual([heard, await faena.jobs({task: 'echo'}).page()], [[], []]);
});

test('cancel() of a batch cancels its jobs that have not ended, and no others', async t => {
	const faena = await openEngine(t);
	const folder = makeFolder(t);
	const loop = drain(faena.map('wait', [join(folder, 'a'), join(folder, 'b'), join(folder, 'c')], {batch: 'one'}));
	const other = await faena.enqueue('add', {a: 1, b: 1}, {delay: '1h'});
	while ((await faena.batch('one').info())?.total === undefined);
	t.is(await faena.batch('one').cancel(), 3);
	await loop;
	t.like(await faena.batch('one').info(), {counts: {...NONE, cancelled: 3}});
	t.is((await other.info())?.status, 'pending');
	await t.throwsAsync(faena.batch('unknown').cancel(), {code: 'NoSuchBatch', message: 'There is no batch "unknown"; it may have been deleted.'});
	await t.throwsAsync(faena.batch('unknown').retry(), {code: 'NoSuchBatch'});
});

test('delete() is refused while jobs of the batch run; then it removes the batch with its jobs, and its name is free', async t => {
	const folder = makeFolder(t);
	const faena = await openEngine(t, {queue: join(folder, 'jobs.db')});
	const file = join(folder, 'file');
	const waits = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const loop = drain(faena.map('wait', [file], {batch: 'one'}));
	await waits;
	await t.throwsAsync(faena.batch('one').delete(), {code: 'BatchRunning', message: /One job of the batch "one" can't be deleted while running/});
	writeFileSync(file, '');
	await loop;
	await drain(
		faena.map(
			'add',
			Array.from({length: 2500}, (_, a) => ({a, b: 0})),
			{batch: 'two'},
		),
	);
	t.is(await faena.batch('two').delete(), 2500);
	await t.throwsAsync(faena.batch('two').delete(), {code: 'NoSuchBatch'});
	t.deepEqual(
		(await faena.batches()).map(({name}) => name),
		['one'],
	);
	t.like(await faena.counts(), {completed: 1});
	await drain(faena.map('echo', ['another payload'], {batch: 'two'}));
});

test('a caller that waits for a job of a deleted batch learns that the job is not there', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	const [id] = await enqueueInBatch(queue);
	const waits = faena.job<'echo'>(id as number).outcome();
	t.is(await faena.batch('left').delete(), 1);
	await t.throwsAsync(waits, {code: 'NoSuchJob'});
});

test('a map whose batch is deleted ends with an error that says so', async t => {
	const faena = await openEngine(t);
	const {promise: gate, resolve: open} = Promise.withResolvers<void>();
	async function* source() {
		yield* [1, 2];
		await gate;
		yield 3;
	}
	const loop = drain(faena.map('echo', source(), {batch: 'one'}));
	while ((await faena.batch('one').info())?.counts.completed !== 2);
	t.is(await faena.batch('one').delete(), 2);
	open();
	await t.throwsAsync(loop, {code: 'NoSuchBatch', message: /^The batch "one" was deleted while this map of it was under way\./});
	await faena.pause('echo');
	const waiting = t.throwsAsync(drain(faena.map('echo', [1], {batch: 'two'})), {code: 'NoSuchJob'});
	while ((await faena.batch('two').info())?.total === undefined);
	t.is(await faena.batch('two').delete(), 1);
	await waiting;
});

test('a map that only waits for its input ends, too, when its batch is deleted, here or by another program', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	const other = await openEngine(t, {queue, tasks: null});
	for (const [engine, items] of [
		[faena, []],
		[other, [1, 2]],
	] as const) {
		async function* source() {
			yield* items;
			await new Promise(() => undefined);
		}
		const loop = drain(faena.map('echo', source(), {batch: 'one'}));
		while ((await faena.batch('one').info())?.counts.completed !== items.length);
		t.is(await engine.batch('one').delete(), items.length);
		await t.throwsAsync(loop, {code: 'NoSuchBatch', message: /^The batch "one" was deleted while this map of it was under way\./});
	}
});

test('names and keys that would not come back as they are, are refused', async t => {
	const faena = await openEngine(t);
	t.throws(() => faena.map('echo', [1], {batch: '\ud800'}), {code: 'BadOption', message: /half of a surrogate pair; it got "\\ud800"/});
	await t.throwsAsync(drain(faena.map('echo', [1], {batch: 'one', key: () => 'x\udc00'})), {code: 'BadOption', message: /surrogate/});
});

/** A job that no engine runs yet, in a batch of another program. */
async function enqueueInBatch(location: string): Promise<number[]> {
	const queue = await openRawQueue(location);
	const policy = {maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'} as const;
	const enqueued = await queue.enqueue([
		{task: 'echo', payload: '1', priority: 0, runAt: Date.now() + 3_600_000, policy, batch: await queue.openBatch('left', 'echo', 'me')},
	]);
	await queue.close();
	return enqueued.map(({id}) => id);
}

async function drain(results: AsyncIterable<unknown>): Promise<void> {
	for await (const _ of results);
}

test('a map and a pipe whose batch is deleted between two of their items end with NoSuchBatch, and make no more jobs', async t => {
	const faena = await openEngine(t);
	for (const kind of ['map', 'pipe'] as const) {
		const ended = Promise.withResolvers<void>();
		async function* items(): AsyncGenerator<number> {
			yield 1;
			await ended.promise;
			t.is(await faena.batch(kind).delete(), 1);
			yield 2;
		}
		const run = async () => {
			const loop = kind === 'map' ? faena.map('echo', items(), {batch: kind}) : faena.pipe(items(), 'echo', {batch: kind});
			for await (const _ of loop) ended.resolve();
		};
		await t.throwsAsync(run(), {code: 'NoSuchBatch', message: /was deleted while this map of it was under way\. Start the map again/});
		t.is(await faena.batch(kind).info(), undefined);
	}
	t.is((await faena.jobs().page()).length, 0);
});
