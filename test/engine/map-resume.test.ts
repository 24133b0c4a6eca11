/** What a map does with the jobs of an earlier one of its name. */

import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import type {Counts, JobMap, MapOptions, MapResult} from '../../lib/index.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

/** Items by a name and what they hold; the name is the key. */
type Named = readonly [name: string, holds: string];
const BY_NAME = {batch: 'b', key: ([name]: Named) => name, payload: ([, holds]: Named) => holds, order: 'input'} as const satisfies MapOptions<Named, string>;

test("with fresh: 'payload' an item that holds something else runs again, and its old result is gone; the others do not run again", async t => {
	const file = join(makeFolder(t), 'runs');
	const faena = await openEngine(t, {workers: 1});
	const map = (items: readonly Named[]) =>
		faena.map('markOnce', items, {...BY_NAME, fresh: 'payload', payload: ([name, holds]) => ({file, line: `${name}=${holds}`})});
	const first = await all(
		map([
			['a', '1'],
			['b', '1'],
			['c', '1'],
		]),
	);
	const second = await all(
		map([
			['a', '1'],
			['b', '2'],
			['c', '1'],
		]),
	);
	t.deepEqual(linesOf(file), ['a=1', 'b=1', 'c=1', 'b=2']);
	t.deepEqual(
		second.map(({jobId}) => jobId),
		first.map(({jobId}) => jobId),
	);
	t.deepEqual(
		second.map((result, index) => resultOf(result) === resultOf(first[index])),
		[true, false, true],
	);
	t.deepEqual(
		second.map(({reused}) => reused),
		[true, false, true],
	);
	t.like(await faena.job(second[1]?.jobId ?? 0).info(), {executions: 2, attempts: 0, payload: {line: 'b=2'}, result: resultOf(second[1])});
	t.deepEqual(
		await all(
			map([
				['a', '1'],
				['b', '2'],
				['c', '1'],
			]),
		),
		second.map(({execution: _, ...result}) => ({...result, reused: true})),
	);
});

test("with fresh: 'payload' two items of one input with the same key and different payloads are refused; with the same payload they share a job", async t => {
	const faena = await openEngine(t);
	await faena.pause('echo');
	const map = (holds: string) =>
		faena.map(
			'echo',
			[
				['a', '1'],
				['a', holds],
			] as Named[],
			{...BY_NAME, fresh: 'payload'},
		);
	await t.throwsAsync(all(map('2')), {code: 'KeyConflict', message: /^Two items of this map have the key "a" and different payloads, .*key of its own\.$/});
	await faena.resume('echo');
	t.deepEqual((await all(map('1'))).map(resultOf), ['1', '1']);
});

test("an item that changed while its job runs is refused, also with fresh: 'payload'; once it has ended the same map goes through", async t => {
	const file = join(makeFolder(t), 'file');
	const faena = await openEngine(t);
	const runs = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	for await (const _ of faena.map(
		'wait',
		[
			['done', import.meta.filename],
			['a', file],
		] as Named[],
		BY_NAME,
	))
		break;
	await runs;
	const changed = () => faena.map('wait', [['a', import.meta.filename]] as Named[], {...BY_NAME, fresh: 'payload'});
	await t.throwsAsync(all(changed()), {code: 'KeyConflict', message: /"a" of task wait belongs to job 2, which has .* it is running/});
	writeFileSync(file, '');
	t.is(resultOf((await all(faena.map('wait', [['a', file]] as Named[], BY_NAME)))[0]), file);
	t.is(resultOf((await all(changed()))[0]), import.meta.filename);
});

test('dead and cancelled items are yielded as they are when a batch is resumed, and run again with retryFailed: true', async t => {
	const folder = makeFolder(t);
	const file = join(folder, 'runs');
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const map = (options: {retryFailed?: boolean} = {}) => faena.map('failTimes', [{file, times: 2}], {batch: 'b', ...options});
	for (const expected of ['dead', 'dead'] as const) t.is((await all(map()))[0]?.status, expected);
	t.is(linesOf(file).length, 1);
	t.is((await all(map({retryFailed: true})))[0]?.status, 'dead');
	t.is(linesOf(file).length, 2);
	t.is(resultOf((await all(map({retryFailed: true})))[0]), 3);
	t.is(resultOf((await all(map({retryFailed: true})))[0]), 3);
	t.is(linesOf(file).length, 3);

	await faena.pause('echo');
	const loop = all(faena.map('echo', [1], {batch: 'c'}));
	while ((await faena.batch('c').cancel()) === 0);
	t.is((await loop)[0]?.status, 'cancelled');
	await faena.resume('echo');
	t.is((await all(faena.map('echo', [1], {batch: 'c'})))[0]?.status, 'cancelled');
	t.is((await all(faena.map('echo', [1], {batch: 'c', retryFailed: true})))[0]?.status, 'completed');
});

test('retryFailed leaves jobs alone that are not in the input', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const map = (items: readonly string[], options = {}) => all(faena.map('disaster', items, {batch: 'b', key: String, ...options}));
	await map(['overflow', 'rejection']);
	await map(['overflow'], {retryFailed: true});
	const jobs = await faena.jobs({batch: 'b'}).page();
	t.deepEqual(
		jobs.map(({key, executions, status}) => [key, executions, status]),
		[
			['overflow', 2, 'dead'],
			['rejection', 1, 'dead'],
		],
	);
});

/** A batch with a completed item and three unfinished ones, of which one runs: what a program leaves that is killed. */
async function openUnfinished(t: ExecutionContext) {
	const folder = makeFolder(t);
	const [open, closed] = [join(folder, 'open'), join(folder, 'closed')];
	writeFileSync(open, '');
	const faena = await openEngine(t, {workers: 1});
	const runs = new Promise<void>(resolve => void faena.on('log', ({id}) => id === 2 && resolve()));
	const items: Named[] = [['done', open], ...['a', 'b', 'c'].map((name): Named => [name, closed])];
	for await (const _ of faena.map('wait', items, BY_NAME)) break;
	await runs;
	return {faena, items, open, go: () => writeFileSync(closed, '')};
}

test('unfinished items that are not in the input are not yielded; those that an engine has claimed run on, and the others are held', async t => {
	const {faena, items, open, go} = await openUnfinished(t);
	const map = faena.map('wait', items.slice(0, 1), {...BY_NAME, onComplete: 'echo'});
	t.deepEqual(
		(await all(map)).map(({key, reused}) => [key, reused]),
		[['done', true]],
	);
	t.like(map.progress(), {total: 1, missing: 3});
	t.like(await faena.batch('b').info(), {total: 1, completedAt: undefined, counts: {completed: 1, cancelled: 0}});
	const completed = new Promise<{counts: Counts}>(resolve => void faena.once('batchCompleted', resolve));
	// Events are sent to a listener from the engine's next call on.
	await faena.counts();
	go();
	// Those that had not been claimed are held, and do not count.
	const {counts} = await completed;
	t.is(counts.completed + counts.pending, 4);
	t.true(counts.completed > 1);
	await faena.idle();
	t.like(await faena.jobs({task: 'echo'}).page(), [{status: 'completed'}]);
	// Its result was not yielded yet, so cleanup() spares it until a map has yielded all.
	t.is(await faena.cleanup({olderThan: 0}), 1);
	t.deepEqual(
		(await all(faena.map('wait', items, BY_NAME))).map(({key, reused}) => [key, reused]),
		items.map(([name], index) => [name, index < counts.completed]),
	);
	t.is(await faena.cleanup({olderThan: 0}), 4);
	t.true(existsSync(open));
});

test("with missing: 'cancel' they are cancelled when the input ends, and no others", async t => {
	const {faena, items} = await openUnfinished(t);
	const other = await faena.enqueue('wait', 'elsewhere', {delay: '1h'});
	const map = faena.map('wait', items.slice(0, 1), {...BY_NAME, missing: 'cancel'});
	await all(map);
	t.is(map.progress().missing, 3);
	while ((await faena.batch('b').info())?.completedAt === undefined);
	t.like(await faena.batch('b').info(), {total: 1, counts: {blocked: 0, pending: 0, running: 0, failed: 0, completed: 1, cancelled: 3}});
	t.is((await other.info())?.status, 'pending');
	t.deepEqual(
		(await all(faena.map('wait', items, BY_NAME))).map(({status}) => status),
		['completed', 'cancelled', 'cancelled', 'cancelled'],
	);
});

test('unfinished items of an earlier run are held until a map names them, or is told to run them all', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const killed = await openEngine(t, {queue});
	await killed.pause('echo');
	const first = all(killed.map('echo', [1, 2, 3, 4], {batch: 'b', key: String}));
	while ((await killed.counts()).pending < 4) await sleep(5);
	await killed.close({drain: 0});
	await t.throwsAsync(first, {code: 'Closed'});
	const faena = await openEngine(t, {queue});
	const second = faena.map('echo', [2], {batch: 'b', key: String});
	const results = all(second);
	while (second.progress().read === 0) await sleep(5);
	await faena.resume('echo');
	t.like(await results, [{key: '2', result: 2, reused: false}]);
	t.is(second.progress().missing, 3);
	await faena.idle();
	t.like(await faena.batch('b').info(), {counts: {completed: 1, pending: 3}});
	const third = faena.map('echo', [4], {batch: 'b', key: String, missing: 'run'});
	t.like(await all(third), [{key: '4', result: 4, reused: false}]);
	await faena.idle();
	t.like(await faena.batch('b').info(), {counts: {completed: 4}});
});

test("with missing: 'delete' they are deleted, also the one that runs, and a later map runs them anew", async t => {
	const {faena, items, go} = await openUnfinished(t);
	const map = faena.map('wait', items.slice(0, 1), {...BY_NAME, missing: 'delete'});
	await all(map);
	t.is(map.progress().missing, 3);
	while ((await faena.batch('b').info())?.completedAt === undefined);
	t.deepEqual(
		(await faena.jobs({batch: 'b'}).page()).map(({key}) => key),
		['done'],
	);
	go();
	t.deepEqual(
		(await all(faena.map('wait', items, BY_NAME))).map(({status, reused}) => [status, reused]),
		[['completed', true], ...Array.from({length: 3}, () => ['completed', false])],
	);
});

test('of thousands of unfinished items exactly those are missing that the input does not have, however large the batch', async t => {
	const faena = await openEngine(t, {workers: 1});
	await faena.pause('echo');
	const items = Array.from({length: 6000}, (_, index) => index);
	const map = faena.map('echo', items, {batch: 'b', window: 6001});
	const loop = map[Symbol.asyncIterator]();
	const first = loop.next();
	while ((await faena.batch('b').info())?.total === undefined);
	await faena.cancel({ids: [1]});
	t.is((await first).value?.status, 'cancelled');
	await loop.return(undefined);
	const again = faena.map('echo', items.slice(0, 1000), {batch: 'b', missing: 'cancel'});
	const results = all(again);
	// It has opened the batch by then, and nothing has ended meanwhile.
	while (again.progress().read === 0) await new Promise(resolve => setImmediate(resolve));
	await faena.resume('echo');
	t.is((await results).length, 1000);
	t.is(again.progress().missing, 5000);
});

test('missing is refused without a batch: it concerns the earlier jobs of one', async t => {
	const faena = await openEngine(t);
	t.throws(() => faena.map('echo', [1], {missing: 'cancel'}), {code: 'BadOption', message: /missing expects the option batch, too/});
	t.throws(() => faena.map('echo', [1], {batch: 'b', missing: 'drop' as 'cancel'}), {code: 'BadOption', message: /missing.*hold/});
});

test('items that are still to come are not taken for gone, however often the batch is left before its input ends', async t => {
	const faena = await openEngine(t);
	const items = Array.from({length: 100}, (_, a) => ({a, b: 0}));
	for (let run = 0; run < 3; run++) for await (const {index} of faena.map('add', items, {batch: 'b', window: 10})) if (index > 20 * run) break;
	t.true((await all(faena.map('add', items, {batch: 'b'}))).every(({status}) => status === 'completed'));
	t.like(await faena.batch('b').info(), {total: 100, counts: {completed: 100, cancelled: 0}});
});

test('an input that throws cancels no job: only its end shows which are missing', async t => {
	const {faena, items} = await openUnfinished(t);
	async function* early() {
		yield items[0] as Named;
		throw new Error('dry');
	}
	const map = faena.map('wait', early(), {...BY_NAME, missing: 'cancel'});
	await t.throwsAsync(all(map), {message: 'dry'});
	t.is(map.progress().missing, 3);
	const {counts, total} = (await faena.batch('b').info()) ?? {};
	t.like(counts, {completed: 1, cancelled: 0});
	t.is(total, undefined);
});

test('a result is reused if it was there when the map began, and not if it came since, though the map asked for it later', async t => {
	const {faena, items, open, go} = await openUnfinished(t);
	const added: Named = ['added', open];
	const begun = Promise.withResolvers<void>();
	async function* late() {
		yield items[0] as Named;
		await begun.promise;
		go();
		for (const group of [items.slice(1), [added], [...items, added]]) {
			await faena.idle();
			yield* group;
		}
	}
	const reused: [string, boolean][] = [];
	for await (const result of faena.map('wait', late(), {...BY_NAME, order: 'input'})) {
		reused.push([result.key, result.reused]);
		begun.resolve();
	}
	t.deepEqual(
		reused,
		[...items, added, ...items, added].map(([name]) => [name, name === 'done']),
	);
});

async function all<Item, Result>(map: JobMap<Item, Result>): Promise<MapResult<Item, Result>[]> {
	const results: MapResult<Item, Result>[] = [];
	for await (const result of map) results.push(result);
	return results;
}

function resultOf(result: MapResult<unknown, unknown> | undefined): unknown {
	return result && 'result' in result ? result.result : undefined;
}

function linesOf(file: string): string[] {
	return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}
