/** What a map does with the jobs of an earlier one of its name. */
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {JobMap, MapOptions, MapResult} from '../../lib/index.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

/** Items by a name and what they hold; the name is the key. */
type Named = readonly [name: string, holds: string];
const BY_NAME = {batch: 'b', key: ([name]: Named) => name, payload: ([, holds]: Named) => holds, order: 'input'} as const satisfies MapOptions<Named, string>;

test("with changed: 'rerun' an item that holds something else runs again, and its old result is gone; the others do not run again", async t => {
	const file = join(makeFolder(t), 'runs');
	const faena = await openEngine(t, {workers: 1});
	const map = (items: readonly Named[]) =>
		faena.map('markOnce', items, {...BY_NAME, changed: 'rerun', payload: ([name, holds]) => ({file, line: `${name}=${holds}`})});
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
		second.map(({job}) => job),
		first.map(({job}) => job),
	);
	t.deepEqual(
		second.map((result, index) => resultOf(result) === resultOf(first[index])),
		[true, false, true],
	);
	t.deepEqual(
		second.map(({existing, earlier}) => ({existing, earlier})),
		[true, false, true].map(earlier => ({existing: true, earlier})),
	);
	t.like(await faena.job(second[1]?.job ?? 0), {executions: 2, attempts: 0, payload: {line: 'b=2'}, result: resultOf(second[1])});
	t.deepEqual(
		await all(
			map([
				['a', '1'],
				['b', '2'],
				['c', '1'],
			]),
		),
		second.map(result => ({...result, existing: true, earlier: true})),
	);
});

test("an item that changed while its job runs is refused, also with changed: 'rerun'; once it has ended the same map goes through", async t => {
	const file = join(makeFolder(t), 'file');
	const faena = await openEngine(t);
	const runs = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const loop = all(faena.map('wait', [['a', file]] as Named[], BY_NAME));
	await runs;
	const changed = () => faena.map('wait', [['a', import.meta.filename]] as Named[], {...BY_NAME, changed: 'rerun'});
	await t.throwsAsync(all(changed()), {code: 'KeyConflict', message: /"a" of task wait belongs to job 1, which is running with another payload/});
	writeFileSync(file, '');
	t.is(resultOf((await loop)[0]), file);
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

test('retryFailed leaves alone what is not in the input', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const map = (items: readonly string[], options = {}) => all(faena.map('disaster', items, {batch: 'b', key: String, ...options}));
	await map(['overflow', 'rejection']);
	await map(['overflow'], {retryFailed: true});
	const jobs = await faena.jobs({batch: 'b'});
	t.deepEqual(
		jobs.map(({key, executions, status}) => [key, executions, status]),
		[
			['overflow', 2, 'dead'],
			['rejection', 1, 'dead'],
		],
	);
});

test('when the input ends, unfinished items of an earlier run that are no longer in it are cancelled, and no others', async t => {
	const folder = makeFolder(t);
	const [open, closed] = [join(folder, 'open'), join(folder, 'closed')];
	writeFileSync(open, '');
	const faena = await openEngine(t);
	const items = (count: number, file: string) => Array.from({length: count}, (_, index): Named => [`${file}-${index}`, file]);
	const runs = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	for await (const _ of faena.map('wait', [['done', open], ...items(1200, closed)] as Named[], {...BY_NAME, order: 'finished'})) break;
	const other = await faena.enqueue('wait', closed, {delay: '1h'});
	await runs;
	const results = await all(faena.map('wait', [...items(3, open), ['done', open]] as Named[], BY_NAME));
	t.deepEqual(
		results.map(({status}) => status),
		['completed', 'completed', 'completed', 'completed'],
	);
	while ((await faena.batch('b').info())?.completedAt === undefined);
	t.like(await faena.batch('b').info(), {total: 4, counts: {pending: 0, running: 0, failed: 0, completed: 4, cancelled: 1200}});
	t.is((await other.info())?.status, 'pending');
});

test('items that are still to come are not taken for gone, however often the batch is left before its input ends', async t => {
	const faena = await openEngine(t);
	const items = Array.from({length: 100}, (_, a) => ({a, b: 0}));
	for (let run = 0; run < 3; run++) for await (const {index} of faena.map('add', items, {batch: 'b', window: 10})) if (index > 20 * run) break;
	t.true((await all(faena.map('add', items, {batch: 'b'}))).every(({status}) => status === 'completed'));
	t.like(await faena.batch('b').info(), {total: 100, counts: {completed: 100, cancelled: 0}});
});

test('an input that throws cancels nothing: only its end tells what is gone', async t => {
	const closed = join(makeFolder(t), 'closed');
	const faena = await openEngine(t);
	await faena.pause('wait');
	async function* early() {
		yield closed;
		throw new Error('dry');
	}
	const first = all(faena.map('wait', [closed, closed, closed], {batch: 'b'}));
	while ((await faena.batch('b').info())?.total === undefined);
	await t.throwsAsync(all(faena.map('wait', early(), {batch: 'b'})), {message: 'dry'});
	t.like(await faena.batch('b').info(), {counts: {pending: 3, cancelled: 0}});
	await faena.batch('b').cancel();
	await first;
});

async function all<Item, Result>(map: JobMap<Item, Result>): Promise<MapResult<Item, Result>[]> {
	const results: MapResult<Item, Result>[] = [];
	for await (const result of map) results.push(result);
	return results;
}

function resultOf(result: MapResult<unknown, unknown> | undefined): unknown {
	return result && 'value' in result ? result.value : undefined;
}

function linesOf(file: string): string[] {
	return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}
