/** What is left of a map that ends early, and how the next one goes on with it. */
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {FaenaError, type JobMap, type MapResult} from '../../lib/index.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const ONCE = {maxAttempts: 1};

for (const order of ['input', 'finished'] as const) {
	test(`halt in order ${order}: the failure over the limit halts the map; jobs that ended are yielded, then Halted is thrown with the last error`, async t => {
		const faena = await openEngine(t, {workers: 1, defaults: ONCE});
		const items = ['none', 'overflow', 'none', 'overflow', 'none', 'overflow', ...Array<string>(3000).fill('none')];
		// Without a window all items could have ended before this thread, on a busy machine, hears of the second failure.
		const {results, error} = await collect(faena.map('disaster', items, {batch: 'b', order, window: 500, halt: {when: 'soon', on: 'fail', at: 2}}));
		t.true(error instanceof FaenaError && error.code === 'Halted' && error.cause instanceof Error);
		t.regex((error as Error).message, /^The map was halted, since \d of its items failed; the jobs that had not ended were discarded\.$/);
		const dead = results.filter(({status}) => status === 'dead');
		t.true(dead.length >= 2 && dead.length <= 3);
		t.true(results.length < items.length);
		t.true(results.every(({status}) => status !== 'cancelled'));
		if (order === 'input')
			t.deepEqual(
				results.map(({index}) => index),
				results.map(({index}) => index).toSorted((a, b) => a - b),
			);
		const {counts, total} = (await faena.batch('b').info()) ?? {};
		t.deepEqual(
			[total, counts],
			[undefined, {blocked: 0, pending: 0, running: 0, failed: 0, cancelled: 0, completed: results.length - dead.length, dead: dead.length}],
		);
	});
}

test('fewer failures than halt names halt nothing; with 1 the first one does', async t => {
	const faena = await openEngine(t, {defaults: ONCE});
	const items = ['overflow', 'none', 'overflow'];
	t.is((await collect(faena.map('disaster', items, {halt: {when: 'soon', on: 'fail', at: 3}}))).error, undefined);
	t.like((await collect(faena.map('disaster', items, {halt: {when: 'soon', on: 'fail', at: 1}}))).error, {code: 'Halted'});
});

test('halting soon lets running jobs end, and starts no other, also none that waits behind them in a worker', async t => {
	const folder = makeFolder(t);
	const [file, log] = [join(folder, 'file'), join(folder, 'log')];
	const faena = await openEngine(t, {workers: 1, defaults: ONCE});
	// The worker is given chunks of many jobs, since they are expected to be short.
	await collect(faena.map('failOrWait', Array<object>(2000).fill({log: join(folder, 'warm'), line: 'warm'})));
	const items = [{}, ...Array.from({length: 500}, (_, index) => ({file, log, line: `${index}`}))];
	const map = faena.map('failOrWait', items, {batch: 'b', order: 'input', halt: {when: 'soon', on: 'fail', at: 1}});
	const loop = collect(map);
	const left = async () => (await faena.batch('b').info())?.counts;
	for (let counts = await left(); counts?.dead !== 1 || counts.pending > 0 || counts.running > 1; counts = await left());
	writeFileSync(file, '');
	const {results, error} = await loop;
	t.like(error, {code: 'Halted'});
	t.deepEqual(
		results.map(({status}) => status),
		['dead', 'completed'],
	);
	await faena.idle();
	t.deepEqual(linesOf(log), ['0']);
});

test('halting now also stops running jobs; the same map runs them again, uncharged', async t => {
	const folder = makeFolder(t);
	const [file, log] = [join(folder, 'file'), join(folder, 'log')];
	// One for each item, so that none waits behind another.
	const faena = await openEngine(t, {workers: 3, defaults: ONCE});
	const items = [{file, log, line: 'a'}, {}, {file, log, line: 'b'}];
	const options = {batch: 'b', order: 'input', halt: {when: 'now', on: 'fail', at: 1}} as const;
	const {results, error} = await collect(faena.map('failOrWait', items, options));
	t.like(error, {code: 'Halted'});
	t.deepEqual(
		results.map(({index, status}) => [index, status]),
		[[1, 'dead']],
	);
	t.like(await faena.batch('b').info(), {counts: {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 1, cancelled: 0}, completedAt: undefined});
	writeFileSync(file, '');
	// The item that died before is yielded as it is, and does not halt this one.
	const again = await collect(faena.map('failOrWait', items, options));
	t.is(again.error, undefined);
	t.deepEqual(
		again.results.map(({status}) => status),
		['completed', 'dead', 'completed'],
	);
	t.like(await faena.job(again.results[0]?.jobId ?? 0).info(), {attempts: 0, executions: 1});
	t.like(await faena.batch('b').info(), {total: 3});
});

test('a job that waits to be tried again is taken back, too', async t => {
	const folder = makeFolder(t);
	const [file, log] = [join(folder, 'file'), join(folder, 'log')];
	const faena = await openEngine(t, {defaults: {backoff: '1h'}});
	const failed = new Promise<void>(resolve => void faena.once('failed', () => resolve()));
	const loop = collect(faena.map('failOrWait', [{}, {file, log, line: 'a'}], {batch: 'b', halt: {when: 'soon', on: 'success', at: 1}}));
	await failed;
	writeFileSync(file, '');
	const {results, error} = await loop;
	t.is(error, undefined);
	t.deepEqual(
		results.map(({index}) => index),
		[1],
	);
	t.like(await faena.counts(), {pending: 0, failed: 0, running: 0, completed: 1});
});

test('enough successes end the loop without an error, and the batch goes on where it was', async t => {
	const faena = await openEngine(t);
	const items = Array.from({length: 3000}, (_, a) => ({a, b: 0}));
	const {results, error} = await collect(faena.map('add', items, {batch: 'b', halt: {when: 'soon', on: 'success', at: 10}}));
	t.is(error, undefined);
	t.true(results.length >= 10 && results.length < 3000, `${results.length}`);
	const all = await collect(faena.map('add', items, {batch: 'b', order: 'input'}));
	t.deepEqual(
		all.results.map(result => 'result' in result && result.result),
		items.map(({a}) => a),
	);
	t.like(await faena.batch('b').info(), {total: 3000, counts: {completed: 3000}});
});

test('a map without a batch takes back its own jobs only, not one that was there before under the same key', async t => {
	const folder = makeFolder(t);
	const faena = await openEngine(t, {defaults: ONCE});
	const file = join(folder, 'file');
	const other = await faena.enqueue('failOrWait', {file}, {key: 'mine', delay: '1h'});
	const items = [{file}, {}] as readonly {file?: string}[];
	const {results, error} = await collect(
		faena.map('failOrWait', items, {key: item => (item.file ? 'mine' : 'other'), halt: {when: 'soon', on: 'fail', at: 1}}),
	);
	t.like(error, {code: 'Halted'});
	t.deepEqual(
		results.map(({status}) => status),
		['dead'],
	);
	t.is((await other.info())?.status, 'pending');
});

async function collect<Item, Result>(map: JobMap<Item, Result>): Promise<{results: MapResult<Item, Result>[]; error: unknown}> {
	const results: MapResult<Item, Result>[] = [];
	try {
		for await (const result of map) results.push(result);
		return {results, error: undefined};
	} catch (error) {
		return {results, error};
	}
}

function linesOf(file: string): string[] {
	return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}
