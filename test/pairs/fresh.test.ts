/** Pairs of what makes the items of a map run again. */
import {existsSync, rmSync} from 'node:fs';
import type {Engine, JobMap} from '../../lib/index.ts';
import {task} from '../../lib/job/task/make-task.ts';
import type {AnyTasks, TaskContext} from '../../lib/job/task/task.ts';
import type {TestEngine} from '../../lib/testing.ts';
import {type Case, pair} from './pair.ts';

const statuses = (items: readonly {readonly status: string}[]) => items.map(({status}) => status);

type Ends = readonly {readonly status: string; readonly result?: unknown}[];
const results = (items: Ends) => items.map(({status, result}) => (status === 'completed' ? result : status));

/** Runs an item that waits for the job of a day. */
async function night(faena: TestEngine<AnyTasks>, day: string, items: readonly string[], options: object = {}) {
	const parent = await faena.enqueue('echo', day);
	const ends = await faena.map('got', items, {batch: 'site', order: 'input', key: item => item[0] as string, dependsOn: [parent], ...options}).toArray();
	return {parent, ends: results(ends as Ends)};
}

/** A dead item of `gate` that may run now. */
async function died(c: Case, options: object = {}): Promise<TestEngine<AnyTasks>> {
	const faena = await c.test({workers: 2, tasks: {gateGot: (value: unknown, {results}: TaskContext) => [c.tasks['gate']?.(value), ...results]}, ...options});
	await faena.map('gateGot', [1], {batch: 'b'}).toArray();
	c.make('open');
	return faena;
}

pair('retryFailed × attempts × timeout', 'an item runs again by the options of this map', async c => {
	const faena = await died(c);
	await faena.map('gateGot', [1], {batch: 'b', retryFailed: true, maxAttempts: 5, timeout: '7s', priority: 3}).toArray();
	const [job] = await faena.jobs({batch: 'b'}).page();
	c.t.like(job, {status: 'completed', maxAttempts: 5, timeoutMs: 7000, priority: 3});
});

pair('edit × map × resume', 'a map with the former payload of an edited item conflicts, and fresh runs the item with it', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const reading = faena.map('echo', ['a'], {batch: 'b', key: () => 'k'})[Symbol.asyncIterator]();
	const first = reading.next();
	await c.until(async () => (await faena.counts()).pending === 1);
	const left = reading.return?.(undefined);
	c.t.true(await faena.job((await faena.jobs().page())[0]?.id as number).edit({payload: 'edited'}));
	await faena.resume('echo');
	await Promise.all([first, left]);
	await c.t.throwsAsync(faena.map('echo', ['a'], {batch: 'b', key: () => 'k'}).toArray(), {code: 'KeyConflict'});
	c.t.deepEqual(results((await faena.map('echo', ['a'], {batch: 'b', key: () => 'k', fresh: 'payload'}).toArray()) as Ends), ['a']);
	c.t.deepEqual(c.ran, ['echo "edited"', 'echo "a"']);
});

pair('outputs × fresh × cleanup × retryFailed × missing', 'an item whose output is gone runs again, and one that is missing is deleted', async c => {
	const outputs = (name: string) => [c.path(`${name}.out`)];
	const write = (name: string) => {
		c.note(name);
		c.make(`${name}.out`);
	};
	const faena = await c.test({tasks: {write: task(write, {outputs, files: () => []})}});
	const map = (names: readonly string[], options: object = {}) => faena.map('write', names, {batch: 'b', key: String, fresh: 'content', ...options}).toArray();
	await map(['a', 'b']);
	rmSync(c.path('a.out'));
	c.t.deepEqual((await map(['a', 'b'])).map(({key, reused}) => [key, reused]).sort(), [
		['a', false],
		['b', true],
	]);
	c.t.true(existsSync(c.path('a.out')));
	await map(['a'], {missing: 'delete'});
	c.t.is((await faena.counts({batch: 'b'})).completed, 1);
	await faena.cleanup({olderThan: 0});
	await map(['a'], {retryFailed: true});
	c.t.deepEqual([c.times('a'), c.times('b')], [3, 1]);
});

pair('fresh content × dead item', 'a dead item whose file has changed runs again without retryFailed, and one whose file has not stays', async c => {
	const faena = await c.test();
	const map = (options: object = {}) =>
		faena.map('gate', ['x', 'y'], {batch: 'b', order: 'input', fresh: 'content', files: item => [c.path(item)], ...options}).toArray();
	c.make('x');
	c.make('y');
	c.t.deepEqual(statuses(await map()), ['dead', 'dead']);
	c.make('open');
	c.make('x', 'other content');
	c.t.deepEqual(statuses(await map()), ['completed', 'dead']);
	c.t.deepEqual(statuses(await map({retryFailed: true})), ['completed', 'completed']);
});

pair('retryFailed × delay', 'the delay of this map counts', async c => {
	const faena = await died(c);
	const again = faena.map('gateGot', [1], {batch: 'b', retryFailed: true, delay: '1h'}).toArray();
	await c.until(async () => (await faena.counts()).pending === 1);
	faena.clock.advance('59m');
	await faena.drain();
	c.t.is(c.times('gate 1'), 1);
	faena.clock.advance('1m');
	c.t.deepEqual(statuses(await again), ['completed']);
});

pair('fresh all × delay', 'the delay of this map counts', async c => {
	const faena = await c.test();
	await faena.map('echo', [1], {batch: 'b'}).toArray();
	const again = faena.map('echo', [1], {batch: 'b', fresh: 'all', delay: '1h'}).toArray();
	await c.until(async () => (await faena.counts()).pending === 1);
	faena.clock.advance('1h');
	c.t.deepEqual(statuses(await again), ['completed']);
	c.t.is(c.times('echo 1'), 2);
});

pair('retryFailed × expires × pause', 'the time of this map counts', async c => {
	const faena = await died(c);
	await faena.pause('gateGot');
	const again = faena.map('gateGot', [1], {batch: 'b', retryFailed: true, expires: '1m'}).toArray();
	await c.until(async () => (await faena.counts()).pending === 1);
	faena.clock.advance('2m');
	c.t.deepEqual(statuses(await again), ['cancelled']);
});

pair('retryFailed × dependsOn', 'an item that runs again waits for the job of this map, and gets its result', async c => {
	const faena = await died(c);
	const parent = await faena.enqueue('hold', 'parent');
	const again = faena.map('gateGot', [1], {batch: 'b', retryFailed: true, dependsOn: [parent]}).toArray();
	await c.until(async () => (await faena.counts()).blocked === 1);
	c.t.is(c.times('gate 1'), 1);
	c.make('parent');
	c.t.deepEqual(results((await again) as Ends), [[1, 'parent']]);
});

pair('fresh × dependsOn of another run', 'items that run again wait for the job of this run, and get its result', async c => {
	const faena = await c.test();
	await night(faena, 'monday', ['a', 'b']);
	c.t.deepEqual((await night(faena, 'tuesday', ['a', 'b changed'], {fresh: 'all'})).ends, [['tuesday'], ['tuesday']]);
	c.t.deepEqual((await night(faena, 'wednesday', ['a', 'b', 'c'], {fresh: 'payload'})).ends, [['tuesday'], ['wednesday'], ['wednesday']]);
});

pair(
	'fresh × dependsOn × cleanup of the former parent',
	'a completed item runs again by the job of this run, though that of the first was deleted',
	async c => {
		const faena = await c.test();
		const {parent} = await night(faena, 'monday', ['a', 'b']);
		c.t.is(await faena.cleanup(parent.id), 1);
		c.t.deepEqual((await night(faena, 'tuesday', ['a', 'b'], {fresh: 'all'})).ends, [['tuesday'], ['tuesday']]);
		c.t.deepEqual((await night(faena, 'wednesday', ['a', 'b2'], {fresh: 'payload', retryFailed: true})).ends, [['tuesday'], ['wednesday']]);
	},
);

pair('retryFailed × dependsOn × cleanup of the former parent', 'a dead item runs again by the job of this run', async c => {
	const faena = await c.test({tasks: {gateGot: (value: unknown, {results}: TaskContext) => [c.tasks['gate']?.(value), ...results]}});
	const run = async (day: string, options: object = {}) => {
		const parent = await faena.enqueue('echo', day);
		return {parent, ends: (await faena.map('gateGot', [1], {batch: 'b', dependsOn: [parent], ...options}).toArray()) as Ends};
	};
	const {parent} = await run('monday');
	await faena.cleanup(parent.id);
	c.make('open');
	c.t.deepEqual(statuses((await run('tuesday')).ends), ['dead']);
	c.t.deepEqual(results((await run('wednesday', {retryFailed: true})).ends), [[1, 'wednesday']]);
});

pair('fresh × checkpoint × retry that waits', 'an item that waits for its next attempt begins anew if its file has changed', async c => {
	const from: unknown[] = [];
	const tasks = {
		saves(name: string, {checkpoint, resumeFrom}: TaskContext) {
			from.push(resumeFrom);
			checkpoint(from.length);
			return c.tasks['gate']?.(name);
		},
	};
	const options = {tasks, defaults: {maxAttempts: 3, backoff: '1h'}} as const;
	const map = (faena: Engine<AnyTasks>) => faena.map('saves', ['x'], {batch: 'b', fresh: 'content', files: item => [c.path(item)]});
	c.make('x');
	const first = await c.test(options);
	const reading = map(first)[Symbol.asyncIterator]();
	const left = reading.next().catch(() => undefined);
	await c.until(async () => (await first.counts()).failed === 1);
	await first.close({drain: 0});
	await left;
	c.make('x', 'other content');
	c.make('open');
	c.t.deepEqual(statuses(await map(await c.test(options)).toArray()), ['completed']);
	c.t.deepEqual(from, [undefined, undefined]);
});

pair('fresh all × options', 'an item that runs again has the attempts, the timeout and the priority of this map', async c => {
	const faena = await c.test();
	await faena.map('echo', [1], {batch: 'b', maxAttempts: 2, timeout: '1s'}).toArray();
	await faena.map('echo', [1], {batch: 'b', fresh: 'all', maxAttempts: 4, timeout: '3s', priority: 7}).toArray();
	c.t.like((await faena.jobs({batch: 'b'}).page())[0], {maxAttempts: 4, timeoutMs: 3000, priority: 7});
});

pair('fresh payload × job that runs × two engines', 'a job that runs in another engine is not replaced, and later it is', async c => {
	const [a, b] = [await c.test(), await c.test({only: ['sum']})];
	const reading = a.map('hold', ['a'], {batch: 'b', key: () => 'k'})[Symbol.asyncIterator]();
	const first = reading.next();
	await c.until(() => c.times('hold a') === 1);
	const left = reading.return?.(undefined);
	c.make('a');
	await Promise.all([first, left]);
	c.make('b');
	const hold = await a.enqueue('hold', 'c', {key: 'single'});
	await c.until(() => c.times('hold c') === 1);
	await c.t.throwsAsync(b.enqueue('hold', 'd', {key: 'single'}), {code: 'KeyConflict'});
	c.make('c');
	await hold.result();
	c.t.deepEqual(results((await b.map('hold', ['b'], {batch: 'b', key: () => 'k', fresh: 'payload'}).toArray()) as Ends), ['b']);
});

pair('fresh × stale × dependsOn', 'a completed item that is not fresh says that it was made from a former result', async c => {
	const faena = await c.test();
	let version = 1;
	const reads = await c.test({tasks: {read: () => version}, only: ['read']});
	const [source] = await reads.map('read', [null], {batch: 'source'}).toArray();
	const map = () => faena.map('got', ['a'], {batch: 'b', dependsOn: [source?.jobId as number]}).toArray();
	c.t.deepEqual(results((await map()) as Ends), [[1]]);
	version = 2;
	await reads.map('read', [null], {batch: 'source', fresh: 'all'}).toArray();
	const [item] = await map();
	c.t.like(item, {status: 'completed', result: [1], stale: 'direct', reused: true});
	c.t.is(await faena.retry({stale: true}), 1);
	await faena.drain();
	c.t.deepEqual(results((await map()) as Ends), [[2]]);
});

pair('missing × held × two runs', 'what an earlier run has left and this input does not name stays held, and runs once it is named', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const reading = faena.map('echo', ['a', 'b'], {batch: 'b', key: String})[Symbol.asyncIterator]();
	const first = reading.next().catch(() => undefined);
	await c.until(async () => (await faena.counts()).pending === 2);
	await faena.close({drain: 0});
	await first;
	const again = await c.test();
	async function* lateA() {
		await map.opened;
		await again.resume('echo');
		yield 'a';
	}
	const map: JobMap<string, unknown> = again.map('echo', lateA(), {batch: 'b', key: String});
	c.t.deepEqual(statuses(await map.toArray()), ['completed']);
	c.t.is(map.progress().missing, 1);
	await again.drain();
	c.t.deepEqual(c.ran, ['echo "a"']);
	await again.map('echo', ['b'], {batch: 'b', key: String}).toArray();
	c.t.deepEqual(c.ran, ['echo "a"', 'echo "b"']);
});
