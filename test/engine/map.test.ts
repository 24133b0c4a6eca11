import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {FaenaError, type MapResult} from '../../lib/index.ts';
import {openQueue} from '../../lib/queue.ts';
import {appears} from '../fixtures/appears.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const ITEMS = Array.from({length: 50}, (_, a) => ({a, b: 1}));

for (const order of ['input', 'finished'] as const) {
	for (const batch of [undefined, 'nightly']) {
		test(`map() ${batch ? 'with a batch' : 'without a batch'} yields how each item ended, in the order ${order === 'input' ? 'of the input' : 'in which they finish'}`, async t => {
			const faena = await openEngine(t);
			const results = await all(faena.map('add', ITEMS, {order, window: 8, ...(batch && {batch})}));
			const ended = order === 'input' ? results : results.toSorted((a, b) => a.index - b.index);
			t.deepEqual(
				ended.map(({execution: _, ...result}) => result),
				ITEMS.map((item, index) => ({index, key: String(index), item, jobId: index + 1, reused: false, status: 'completed', result: index + 1})),
			);
		});
	}
}

test('two items under way with the same key and the same large binary payload are one job', async t => {
	const faena = await openEngine(t);
	await faena.pause();
	const bytes = new Uint8Array(32 * 1024).fill(7);
	const items = async function* () {
		yield bytes;
		while ((await faena.counts()).pending < 1);
		yield bytes;
		await faena.resume();
	};
	const results = await all(faena.map('echo', items(), {key: () => 'same', fresh: 'payload'}));
	t.deepEqual(
		results.map(({status, jobId}) => [status, jobId]),
		[
			['completed', 1],
			['completed', 1],
		],
	);
});

test('a result has the number, times and costs of its execution, also that of a job that is dead; a reused one has none', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 2, backoff: 0}});
	const before = Date.now();
	const map = () => faena.map('disaster', ['none', 'overflow', ...new Array<string>(300).fill('none')], {batch: 'b', order: 'input'}).toArray();
	const ended = await map();
	for (const {index, execution, jobId} of ended) {
		const job = await faena.job(jobId).info();
		const {startedAt = 0, durationMs = -1, cpuMs, memoryBytes, number} = execution ?? {number: 0};
		t.is(number, index === 1 ? 2 : 1);
		t.true(startedAt >= before && startedAt <= Date.now() && durationMs >= 0);
		t.deepEqual([startedAt, durationMs, cpuMs, memoryBytes], [job?.startedAt, job?.durationMs, job?.cpuMs, job?.memoryBytes]);
	}
	t.true((await map()).every(({execution}) => execution === undefined));
});

test('toArray() collects the results of a map, and rejects with the error of its loop', async t => {
	const faena = await openEngine(t);
	const results = await faena
		.map(
			'add',
			[
				{a: 1, b: 2},
				{a: 3, b: 4},
			],
			{order: 'input'},
		)
		.toArray();
	t.like(results, [
		{index: 0, status: 'completed', result: 3},
		{index: 1, status: 'completed', result: 7},
	]);
	const items = function* () {
		yield {a: 1, b: 1};
		throw new RangeError('no more');
	};
	await t.throwsAsync(faena.map('add', items()).toArray(), {instanceOf: RangeError, message: 'no more'});
});

test('map() in order of finishing does not wait for a slow item, in order of the input it does', async t => {
	const folder = makeFolder(t);
	const [slow, fast] = [join(folder, 'slow'), join(folder, 'fast')];
	writeFileSync(fast, '');
	const faena = await openEngine(t);
	const finished: unknown[] = [];
	for await (const {item} of faena.map('wait', [slow, fast, fast])) {
		if (finished.push(item) === 2) writeFileSync(slow, '');
	}
	t.deepEqual(finished, [fast, fast, slow]);
	t.deepEqual(
		(await all(faena.map('wait', [slow, fast, fast], {order: 'input'}))).map(({item}) => item),
		[slow, fast, fast],
	);
});

test('map() of an empty list, of an async source, and of a generator', async t => {
	const faena = await openEngine(t);
	t.deepEqual(await all(faena.map('add', [])), []);
	t.deepEqual(await all(faena.map('add', later([]), {batch: 'empty'})), []);
	t.is((await all(faena.map('add', later(ITEMS)))).length, ITEMS.length);
	t.is((await all(faena.map('add', new Set(ITEMS)))).length, ITEMS.length);
});

test('map() gives the task a payload of the item, and the job a key of it', async t => {
	const faena = await openEngine(t);
	const results = await all(
		faena.map('add', ['x', 'yy'], {batch: 'b', key: name => name, payload: (name, index) => ({a: name.length, b: index}), order: 'input', priority: 4}),
	);
	t.like(results, [
		{key: 'x', item: 'x', result: 1},
		{key: 'yy', item: 'yy', result: 3},
	]);
	t.like(await faena.job(1).info(), {key: 'x', batch: 'b', payload: {a: 1, b: 0}, priority: 4});
});

test('items that fail for good are yielded as dead, cancelled ones as cancelled; the loop goes on', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const results = await all(faena.map('disaster', ['none', 'overflow', 'exit', 'none'], {order: 'input'}));
	t.deepEqual(
		results.map(({status}) => status),
		['completed', 'dead', 'dead', 'completed'],
	);
	t.like(results[1], {error: {name: 'RangeError'}});
	t.like(results[2], {error: {reason: 'lostWorker'}});
	await faena.pause();
	const map = faena.map('echo', [1, 2], {order: 'input'});
	const loop = all(map);
	while ((await faena.cancel({task: 'echo'})) < 2);
	t.deepEqual(
		(await loop).map(({status}) => status),
		['cancelled', 'cancelled'],
	);
});

test('a batch goes on after its engine was closed in the middle: nothing completed runs again, and its stored value is yielded', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'runs')];
	const items = Array.from({length: 40}, (_, index) => `item-${index}`);
	const options = {batch: 'nightly', key: (line: string) => line, payload: (line: string) => ({file, line}), window: 12} as const;
	const first = await openEngine(t, {queue, workers: 1});
	const seen = new Map<string, unknown>();
	for await (const result of first.map('markOnce', items, options)) {
		if (result.status === 'completed') seen.set(result.key, result.result);
		if (seen.size === 15) break;
	}
	await first.close();
	const completed = await completedKeys(queue);
	t.true(completed.length >= 15 && completed.length < 40);

	const second = await openEngine(t, {queue, workers: 1});
	const map = second.map('markOnce', items, options);
	const results = await all(map);
	t.deepEqual(results.map(({key}) => key).sort(), items.toSorted());
	t.true(results.every(({status}) => status === 'completed'));
	for (const {key, ...result} of results) if (seen.has(key)) t.is((result as {result: unknown}).result, seen.get(key));
	const runs = linesOf(file);
	for (const key of completed) t.is(runs.filter(line => line === key).length, 1);
	t.true(map.progress().reused >= 15);

	const third = await all(second.map('markOnce', items, options));
	t.deepEqual(byKey(third), byKey(results));
	t.is(linesOf(file).length, runs.length);
});

test('a batch whose engine was interrupted in the middle of a job executes that job again, uncharged', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'file')];
	const first = await openEngine(t, {queue});
	const heard = new Promise<void>(resolve => void first.once('log', () => resolve()));
	const loop = all(first.map('hold', [file], {batch: 'nightly'}));
	await heard;
	await first.close({drain: 0});
	await t.throwsAsync(loop, {code: 'Closed'});
	writeFileSync(file, '');
	const second = await openEngine(t, {queue});
	t.like(await all(second.map('hold', [file], {batch: 'nightly'})), [{status: 'completed', result: file}]);
	t.like((await second.jobs().page())[0], {executions: 2, attempts: 0});
});

test('by default a map reads on while its payloads are less than 16 MiB, and a pipe, too; with a window it counts items only', async t => {
	const faena = await openEngine(t);
	let read = 0;
	const source = function* () {
		for (; read < 200; read++) yield new Uint8Array(1024 ** 2).fill(read);
	};
	/** What was read when one result was yielded and the map had time to read on: until `enough`, or for 200 ms. */
	const readWithFirst = async (results: AsyncIterable<unknown>, enough = 0) => {
		read = 0;
		for await (const _ of results) {
			do await setTimeout(enough ? 5 : 200);
			while (read < enough);
			break;
		}
		return read;
	};
	const most = Math.max(16, 2 * availableParallelism());
	t.true((await readWithFirst(faena.map('echo', source()))) <= most + 2);
	t.true((await readWithFirst(faena.pipe(source(), 'echo'))) <= most + 2);
	t.true((await readWithFirst(faena.map('echo', source(), {window: 60}), 59)) >= 59);
});

for (const order of ['input', 'finished'] as const) {
	test(`the source is never read more than the window ahead of the yielded results, in order ${order}`, async t => {
		const faena = await openEngine(t);
		let read = 0;
		let yielded = 0;
		let most = 0;
		function* source() {
			for (; read < 300; ) {
				read++;
				most = Math.max(most, read - yielded);
				yield {a: read, b: 0};
			}
		}
		for await (const _ of faena.map('add', source(), {window: 10, order})) yielded++;
		t.is(yielded, 300);
		// One more: the item that is being handed over when the loop's body has not counted it yet.
		t.true(most <= 11 && most > 1, `${most}`);
	});
}

test('in order of the input, a slow first item lets the others run, but the source is read no further than the window', async t => {
	const folder = makeFolder(t);
	const [slow, fast] = [join(folder, 'slow'), join(folder, 'fast')];
	writeFileSync(fast, '');
	const faena = await openEngine(t);
	let read = 0;
	function* source() {
		for (; read < 100; read++) yield read === 0 ? slow : fast;
	}
	const map = faena.map('wait', source(), {order: 'input', window: 10});
	const loop = all(map);
	while (map.progress().completed < 9) await new Promise(resolve => setImmediate(resolve));
	await faena.batches();
	t.is(read, 9);
	writeFileSync(slow, '');
	t.is((await loop).length, 100);
});

test('return() of a source is called when its loop is left, and not when it has ended or thrown', async t => {
	const faena = await openEngine(t);
	const told: string[] = [];
	const source = (name: string, next: (read: number) => IteratorResult<{a: number; b: number}>): Iterable<{a: number; b: number}> => {
		let read = 0;
		const end = () => {
			told.push(name);
			return {done: true, value: undefined} as const;
		};
		return {[Symbol.iterator]: () => ({next: () => next(read++), return: end})};
	};
	const item = {done: false, value: {a: 1, b: 1}} as const;
	await all(
		faena.map(
			'add',
			source('ended', read => (read < 3 ? item : {done: true, value: undefined})),
		),
	);
	await t.throwsAsync(
		all(
			faena.map(
				'add',
				source('thrown', () => {
					throw new Error('dry');
				}),
			),
		),
	);
	for await (const _ of faena.map(
		'add',
		source('left', () => item),
		{window: 5},
	))
		break;
	await t.throwsAsync(
		all(
			faena.map(
				'add',
				source('payload', () => item),
				{
					payload: () => {
						throw new Error('no idea');
					},
				},
			),
		),
	);
	while (told.length < 2) await new Promise(resolve => setImmediate(resolve));
	t.deepEqual(told, ['left', 'payload']);
});

test('a slow async source holds no job back: its earlier items are worked on', async t => {
	const folder = makeFolder(t);
	const faena = await openEngine(t);
	const go = join(folder, 'go');
	async function* source() {
		yield {file: go, line: 'first'};
		// The source waits for the first item's job: a map that gathers items before it enqueues would wait for ever.
		await appears(go);
		yield {file: go, line: 'second'};
	}
	t.is((await all(faena.map('mark', source()))).length, 2);
});

test('leaving the loop early enqueues nothing more, ends the source, and leaves the batch resumable', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	let read = 0;
	let hasEnded = false;
	function* source() {
		try {
			for (const item of ITEMS) {
				read++;
				yield item;
			}
		} finally {
			hasEnded = true;
		}
	}
	for await (const {index} of faena.map('add', source(), {batch: 'b', window: 5, order: 'input'})) if (index === 3) break;
	await faena.idle();
	const {completed} = await faena.counts();
	t.true(completed >= 4 && completed <= 9, `${completed}`);
	t.true(read <= 9);
	t.true(hasEnded);
	const results = await all(faena.map('add', ITEMS, {batch: 'b', order: 'input'}));
	t.deepEqual(
		results.map(result => 'result' in result && result.result),
		ITEMS.map(({a}) => a + 1),
	);
	t.is((await faena.counts()).completed, ITEMS.length);
});

test('the same key with another payload ends the loop with KeyConflict, in a sentence that names the key', async t => {
	const faena = await openEngine(t);
	const error = await t.throwsAsync(all(faena.map('echo', [1, 2, 3], {batch: 'b', key: () => 'same'})), {instanceOf: FaenaError, code: 'KeyConflict'});
	t.regex(error?.message ?? '', /"same" of task echo .* If two items of this input have this key, give each a key of its own/);
	await all(faena.map('echo', ['a', 'b'], {batch: 'c'}));
	await t.throwsAsync(all(faena.map('echo', ['a', 'changed'], {batch: 'c'})), {code: 'KeyConflict', message: /"1"/});
});

test('a batch belongs to one task', async t => {
	const faena = await openEngine(t);
	await all(faena.map('echo', [1], {batch: 'b'}));
	await t.throwsAsync(all(faena.map('add', ITEMS, {batch: 'b'})), {code: 'BatchConflict', message: /"b"/});
});

test('two items of one key and payload are one job, and both are yielded', async t => {
	const faena = await openEngine(t);
	const results = await all(faena.map('echo', ['a', 'b', 'a'], {batch: 'b', key: String, order: 'input'}));
	t.deepEqual(
		results.map(({jobId}) => jobId),
		[1, 2, 1],
	);
});

test('a source that throws ends the loop with that error, and leaves the batch resumable', async t => {
	const faena = await openEngine(t);
	const reason = new Error('the source is dry');
	for (const [index, source] of [failing, failingLater].entries()) {
		t.is(await t.throwsAsync(all(faena.map('add', source(reason), {batch: `b${index}`}))), reason);
		await faena.idle();
		t.is((await all(faena.map('add', ITEMS, {batch: `b${index}`}))).length, ITEMS.length);
	}
	t.is((await faena.counts()).completed, 2 * ITEMS.length);
});

test('jobs that ended before an error are yielded before it is thrown', async t => {
	const faena = await openEngine(t);
	const {promise: gate, resolve: open} = Promise.withResolvers<void>();
	const reason = new Error('the source is dry');
	async function* source() {
		yield* [0, 1, 2];
		await gate;
		throw reason;
	}
	const map = faena.map('echo', source());
	const seen: unknown[] = [];
	const loop = async () => {
		for await (const {item} of map) {
			seen.push(item);
			while (map.progress().completed < 3) await new Promise(resolve => setImmediate(resolve));
			open();
			await faena.counts();
		}
	};
	t.is(await t.throwsAsync(loop()), reason);
	t.deepEqual(seen.toSorted(), [0, 1, 2]);
});

for (const what of ['payload', 'key'] as const) {
	test(`a function for the ${what} that throws, or returns a forbidden value, ends the loop with that error`, async t => {
		const faena = await openEngine(t);
		const reason = new Error('no idea');
		const throws = () => {
			throw reason;
		};
		t.is(await t.throwsAsync(all(faena.map('echo', [1], {batch: 'b', [what]: throws}))), reason);
		const gives = (what === 'payload' ? () => () => 1 : () => 5) as never;
		await t.throwsAsync(all(faena.map('echo', [1], {batch: 'b', [what]: gives})), {code: what === 'payload' ? 'NotEncodable' : 'BadOption'});
		t.is(await faena.call('echo', 'still there'), 'still there');
	});
}

for (const batch of [undefined, 'nightly']) {
	test(`a signal ends the loop ${batch ? 'of a batch ' : ''}with its reason, and cancels the jobs that have not ended`, async t => {
		const folder = makeFolder(t);
		const [open, closed] = [join(folder, 'open'), join(folder, 'closed')];
		writeFileSync(open, '');
		const faena = await openEngine(t);
		const abort = new AbortController();
		const reason = new Error('enough');
		const items = [open, ...Array(100).fill(closed)];
		const loop = async () => {
			for await (const _ of faena.map('wait', items, {signal: abort.signal, ...(batch && {batch})})) abort.abort(reason);
		};
		t.is(await t.throwsAsync(loop()), reason);
		await faena.idle();
		const {completed, cancelled, pending, running} = await faena.counts();
		t.deepEqual([completed, pending, running], [1, 0, 0]);
		t.true(cancelled > 0);
		t.is(await t.throwsAsync(all(faena.map('wait', items, {signal: abort.signal}))), reason);
	});

	test(`cancel() ends a map ${batch ? 'with a batch ' : ''}whose jobs were on their way to the queue: all are cancelled and yielded`, async t => {
		const closed = join(makeFolder(t), 'closed');
		const faena = await openEngine(t);
		const map = faena.map('wait', Array(2000).fill(closed), batch === undefined ? {} : {batch});
		const loop = all(map);
		// At a moment when groups of items were sent, and the queue has not answered.
		while (map.progress().read === 0) await new Promise(resolve => setImmediate(resolve));
		await map.cancel();
		const results = await loop;
		t.true(results.length > 0);
		t.true(results.every(({status}) => status === 'cancelled'));
		await faena.idle();
		t.like(await faena.counts(), {pending: 0, running: 0, cancelled: results.length});
	});
}

for (const [what, read] of [
	['has given nothing', 0],
	['is slow with its next item', 2],
] as const) {
	test(`closing the engine ends a map whose source ${what}`, async t => {
		const faena = await openEngine(t);
		const map = faena.map('add', thenNothing(ITEMS.slice(0, read)), {batch: 'b'});
		const loop = all(map);
		while ((await faena.batch('b').info())?.counts.completed !== read);
		await faena.close();
		await t.throwsAsync(loop, {code: 'Closed'});
	});
}

test('a map that was cancelled before its loop began yields nothing', async t => {
	const faena = await openEngine(t);
	for (const options of [{}, {batch: 'b'}]) {
		const map = faena.map('add', ITEMS, options);
		await map.cancel();
		t.deepEqual(await all(map), []);
	}
	t.is((await faena.counts()).cancelled, 0);
});

test('a source that fails or hangs in return() hides no error', async t => {
	const faena = await openEngine(t);
	const reason = new Error('no idea');
	const fails = () => {
		throw reason;
	};
	const ends = [() => Promise.reject(new Error('in return')), () => new Promise<never>(() => undefined)];
	for (const end of ends) {
		const source = {[Symbol.asyncIterator]: () => ({next: async () => ({done: false, value: ITEMS[0]}) as const, return: end})};
		t.is(await t.throwsAsync(all(faena.map('add', source, {payload: fails}))), reason);
	}
});

test('return() of a source that is slow with its next item is called once the item has come', async t => {
	const faena = await openEngine(t);
	const reason = new Error('no idea');
	const fails = () => {
		throw reason;
	};
	const {promise: gate, resolve: open} = Promise.withResolvers<void>();
	const {promise: ended, resolve: end} = Promise.withResolvers<void>();
	async function* source() {
		try {
			yield 1;
			await gate;
			yield 2;
		} finally {
			end();
		}
	}
	t.is(await t.throwsAsync(all(faena.map('echo', source(), {payload: fails}))), reason);
	open();
	await ended;
	t.pass();
});

test('a loop that is left takes no news from another that waits for the same job, at whatever moment', async t => {
	const folder = makeFolder(t);
	const [open, closed] = [join(folder, 'open'), join(folder, 'closed')];
	writeFileSync(open, '');
	const faena = await openEngine(t);
	const one = faena.map('wait', [open, closed], {key: String})[Symbol.asyncIterator]();
	t.is((await one.next()).value?.item, open);
	const two = all(faena.map('wait', [closed], {key: String}));
	// The second map's call goes out; its answer comes while this thread is busy, and is read after the first map was left.
	for (let turn = 0; turn < 50; turn++) await undefined;
	Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
	await one.return(undefined);
	writeFileSync(closed, '');
	t.like(await two, [{item: closed, status: 'completed'}]);
});

test('a map is iterated once', async t => {
	const faena = await openEngine(t);
	const map = faena.map('add', ITEMS);
	t.is((await all(map)).length, ITEMS.length);
	await t.throwsAsync(all(map), {code: 'BadOption', message: /iterated already/});
});

test("progress() counts a map's items by status", async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const map = faena.map('disaster', ['none', 'overflow', 'none'], {batch: 'b'});
	t.is(faena.map('disaster', new Set(['none'])).progress().total, undefined);
	t.deepEqual(map.progress(), {
		...{read: 0, total: 3, completed: 0, dead: 0, cancelled: 0},
		...{reused: 0, missing: 0, added: 0, changed: 0, byOtherCode: 0, absent: 0, gone: 0},
	});
	await all(map);
	t.like(map.progress(), {read: 3, total: 3, reused: 0, missing: 0, completed: 2, dead: 1, cancelled: 0});
	const again = faena.map('disaster', ['none', 'overflow', 'none', 'none'], {batch: 'b', retryFailed: true});
	await all(again);
	t.like(again.progress(), {read: 4, total: 4, reused: 2, missing: 0, completed: 3, dead: 1, cancelled: 0});
});

test('cleanup spares a batch that has not come to its end, and takes one that has', async t => {
	const faena = await openEngine(t);
	for await (const _ of faena.map('add', ITEMS, {batch: 'open', window: 5})) break;
	await all(faena.map('add', ITEMS, {batch: 'ended'}));
	await faena.idle();
	t.is(await faena.cleanup({olderThan: 0}), ITEMS.length);
	t.true((await faena.jobs().page()).length > 0);
	t.true((await faena.jobs().page()).every(({batch}) => batch === 'open'));
});

test('thousands of items flow through two maps at once', async t => {
	const faena = await openEngine(t);
	const many = Array.from({length: 5000}, (_, a) => ({a, b: 0}));
	const [one, two] = await Promise.all([all(faena.map('add', many, {order: 'input', batch: 'one'})), all(faena.map('add', later(many)))]);
	t.deepEqual(
		values(one),
		many.map(({a}) => a),
	);
	t.deepEqual(
		values(two).sort((a, b) => Number(a) - Number(b)),
		many.map(({a}) => a),
	);
});

async function all<Item, Result>(map: AsyncIterable<MapResult<Item, Result>>): Promise<MapResult<Item, Result>[]> {
	const results: MapResult<Item, Result>[] = [];
	for await (const result of map) results.push(result);
	return results;
}

function values(results: readonly MapResult<unknown, unknown>[]): unknown[] {
	return results.map(result => 'result' in result && result.result);
}

function byKey(results: readonly MapResult<unknown, unknown>[]): unknown[] {
	return results.map(result => [result.key, 'result' in result && result.result]).sort();
}

/** Gives the items and then never another, nor its end. */
async function* thenNothing<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
	yield* items;
	await new Promise(() => undefined);
}

async function* later<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
	for (const item of items) yield item;
}

function* failing(reason: Error): Generator<{a: number; b: number}> {
	for (let a = 0; a < 3; a++) yield {a, b: 1};
	throw reason;
}

async function* failingLater(reason: Error): AsyncGenerator<{a: number; b: number}> {
	yield* failing(reason);
}

async function completedKeys(location: string): Promise<string[]> {
	const queue = await openQueue(location);
	const jobs = await queue.jobs({status: 'completed'}).page();
	await queue.close();
	return jobs.map(({key}) => key as string);
}

function linesOf(file: string): string[] {
	return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

/** Runs one job after the other, and returns the items in the order in which they ran. */
async function ran(t: ExecutionContext, items: Iterable<number> | AsyncIterable<number>, options: object): Promise<number[]> {
	const faena = await openEngine(t, {workers: 1});
	const starts = new Map<number, number>();
	for await (const {item, jobId} of faena.map('echo', items, options)) starts.set(jobId, item as number);
	// Jobs of one worker run in the order of their ids.
	return [...starts].sort(([a], [b]) => a - b).map(([, item]) => item);
}

const WEIGHTS = [3, 1, 4, 1, 5, 9, 2, 6];
const byWeight = {weight: (item: number) => item};
const SORTED = [9, 6, 5, 4, 3, 2, 1, 1];

test('with weights the longest items of an array run first, though the window is smaller', async t => {
	t.deepEqual(await ran(t, WEIGHTS, {...byWeight, window: 3}), SORTED);
	t.deepEqual(await ran(t, WEIGHTS, {...byWeight, window: 3, batch: 'b'}), SORTED);
});

test('of another input, or in the order of the input, those of a window', async t => {
	t.deepEqual(await ran(t, new Set(WEIGHTS.toSorted((a, b) => a - b)), byWeight), [...new Set(SORTED)]);
	const inFours = [4, 3, 1, 1, 9, 6, 5, 2];
	const four = async function* () {
		yield* WEIGHTS;
	};
	t.deepEqual((await ran(t, four(), {...byWeight, window: 4})).slice(0, 4), inFours.slice(0, 4));
	t.deepEqual((await ran(t, WEIGHTS, {...byWeight, window: 4, order: 'input'})).slice(0, 4), inFours.slice(0, 4));
});

for (const order of ['input', 'finished'] as const) {
	for (const batch of [undefined, 'b']) {
		test(`weights change neither index nor key nor result: ${order}, ${batch ?? 'no batch'}`, async t => {
			const faena = await openEngine(t);
			const options = {...byWeight, order, window: 4, ...(batch && {batch})};
			const results = await all(faena.map('echo', WEIGHTS, options));
			const wanted = WEIGHTS.map((item, index) => ({index, key: String(index), item, status: 'completed', result: item}));
			t.like(
				results.toSorted((a, b) => a.index - b.index),
				wanted,
			);
			if (order === 'input') t.like(results, wanted);
			if (!batch) return;
			const again = await all(faena.map('echo', WEIGHTS, {order: 'input', batch}));
			t.true(again.every(({reused}) => reused));
			t.like(again, wanted);
		});
	}
}

test('a weight that is no number ends the loop in a sentence', async t => {
	const faena = await openEngine(t);
	for (const items of [WEIGHTS, new Set(WEIGHTS)])
		await t.throwsAsync(all(faena.map('echo', items, {weight: () => undefined as never})), {code: 'BadOption', message: /weight a number.*it got undefined/});
	t.throws(() => faena.map('echo', WEIGHTS, {weight: 'size' as never}), {code: 'BadOption'});
});

test('items that a source gives in one turn are enqueued together, and the next ones as soon as it gives them', async t => {
	const faena = await openEngine(t);
	const source = async function* () {
		for (let item = 0; item < 100; item++) yield item;
		await appears(join(folder, 'go on'));
		yield 100;
	};
	const folder = makeFolder(t);
	let results = 0;
	for await (const _ of faena.map('echo', source())) if (++results === 100) writeFileSync(join(folder, 'go on'), '');
	t.is(results, 101);
});
