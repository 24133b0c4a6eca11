import {createReadStream, createWriteStream, existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {Readable, Writable} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';
import type {DeadJob} from '../../lib/index.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

/** The numbers from 0 up to this one. */
function numbers(count: number): number[] {
	return Array.from({length: count}, (_, index) => index);
}

test('a pipe gives each result to the next stage, and yields those of the last, on request in the order of the source', async t => {
	const faena = await openEngine(t);
	t.deepEqual(
		await faena.pipe(numbers(5000), 'sumOf', 'sumOf', 'sumOf', {order: 'input'}).toArray(),
		numbers(5000).map(each => each + 3),
	);
	const results = await faena.pipe(['a', 'b', 'c'], 'echo').toArray();
	t.deepEqual(results.toSorted(), ['a', 'b', 'c']);
	t.deepEqual(await faena.pipe([], 'echo', 'echo').toArray(), []);
	t.is(await faena.pipe(numbers(10), 'echo', 'echo').run(), 10);
});

test('a stage with the option group gets several items, or results, as an array', async t => {
	const faena = await openEngine(t);
	const echo = {task: 'echo', group: 3} as const;
	t.deepEqual(await faena.pipe(numbers(7), echo, 'echo', {order: 'input'}).toArray(), [[0, 1, 2], [3, 4, 5], [6]]);
	t.deepEqual(await faena.pipe(numbers(7), 'sumOf', echo, {order: 'input'}).toArray(), [[1, 2, 3], [4, 5, 6], [7]]);
	const nested = await faena.pipe(numbers(7), {task: 'echo', group: 2}, {task: 'echo', group: 2}, 'echo', {order: 'input'}).toArray();
	t.deepEqual(nested as unknown, [
		[
			[0, 1],
			[2, 3],
		],
		[[4, 5], [6]],
	]);
	// Larger than a group of jobs.
	const wide = await faena.pipe(numbers(9000), {task: 'echo', group: 4000}, {order: 'input'}).toArray();
	t.deepEqual(
		(wide as number[][]).map(each => each.length),
		[4000, 4000, 1000],
	);
	const late = await faena.pipe(numbers(5000), 'echo', {task: 'echo', group: 2000}, {order: 'input', batch: 'late', window: 100}).toArray();
	t.deepEqual((late as number[][]).flat(), numbers(5000));
});

test('a pipe takes what programs have: an async generator, a stream of objects, readline; and ends in a file', async t => {
	const faena = await openEngine(t);
	const folder = makeFolder(t);
	const file = join(folder, 'lines.txt');
	writeFileSync(file, numbers(3000).join('\n'));
	async function* slow(): AsyncGenerator<number> {
		for (const each of numbers(5)) yield await sleep(5, each);
	}
	t.deepEqual(await faena.pipe(slow(), 'sumOf', {order: 'input'}).toArray(), [1, 2, 3, 4, 5]);
	t.deepEqual(
		await faena.pipe(Readable.from(numbers(100)), 'sumOf', {order: 'input'}).toArray(),
		numbers(100).map(each => each + 1),
	);
	for (const group of [1, 7]) {
		const lines = createInterface({input: createReadStream(file), crlfDelay: Infinity});
		const pipe = faena.pipe(lines, group === 1 ? 'echo' : {task: 'echo', group}, 'echo', {order: 'input'});
		await sleep(10);
		t.deepEqual((await pipe.toArray()).flat(), numbers(3000).map(String));
	}
	const out = join(folder, 'out.txt');
	await faena
		.pipe(
			numbers(3000).map(each => `${each}\n`),
			'echo',
			'echo',
			{order: 'input'},
		)
		.to(createWriteStream(out));
	t.is(readFileSync(out, 'utf8'), `${numbers(3000).join('\n')}\n`);
	await t.throwsAsync(faena.pipe(createReadStream(join(folder, 'missing')), 'echo').toArray(), {code: 'ENOENT'});
	await t.throwsAsync(faena.pipe(['a'], 'echo').to(createWriteStream(join(folder, 'no', 'out.txt'))), {code: 'ENOENT'});
});

test('a pipe reads no faster than its results are taken: at most a window ahead', async t => {
	const faena = await openEngine(t);
	let read = 0;
	function* source(): Generator<number> {
		for (;;) yield read++;
	}
	let [taken, most] = [0, 0];
	const slow = new Writable({
		objectMode: true,
		highWaterMark: 1,
		write(_, __, done) {
			most = Math.max(most, read - ++taken);
			if (taken === 100) done(new Error('enough'));
			else setTimeout(done, 1);
		},
	});
	await t.throwsAsync(faena.pipe(source(), 'echo', 'echo', {window: 20}).to(slow), {message: 'enough'});
	// The stream between holds some.
	t.true(most <= 20 + 20, `${most}`);
	t.true(read < 160, `${read}`);
});

test('a pipe with a batch goes on where an earlier one was left, and has its progress in one line', async t => {
	const faena = await openEngine(t);
	const pipe = () => faena.pipe(numbers(1000), 'sumOf', {task: 'sumOf', group: 10}, {batch: 'counted', order: 'input', window: 200});
	let taken = 0;
	for await (const _ of pipe()) if (++taken === 5) break;
	const again = pipe();
	const results = await again.toArray();
	t.deepEqual(
		results,
		numbers(100).map(each => 100 * each + 45 + 10 + 1),
	);
	const progress = await again.progress();
	t.like(progress, {read: 1000, total: 1000, dropped: 0, line: '1,000 read: sumOf 1,100 completed'});
	t.is((await faena.jobs({batch: 'counted'}).page({limit: 10_000})).length, 1100);
	t.like(await faena.batch('counted').info(), {kind: 'pipe', stages: ['sumOf', 'sumOf × 10'], total: 100, counts: {completed: 1100}});
	t.deepEqual(await pipe().toArray(), results);
	t.is((await faena.jobs({batch: 'counted'}).page({limit: 10_000})).length, 1100);
});

test('onError of a stage: stop ends the pipe, and a later one runs the item again; drop goes on without it', async t => {
	const faena = await openEngine(t);
	const folder = makeFolder(t);
	const items = ['a', 'b', 'c'].map(name => ({file: join(folder, name), times: name === 'b' ? 1 : 0}));
	const pipe = (onError: 'stop' | 'drop') => faena.pipe(items, {task: 'failTimes', maxAttempts: 1, onError}, 'echo', {batch: `failing ${onError}`});
	const error = await t.throwsAsync(pipe('stop').toArray(), {code: 'JobFailed', message: /Job \d+ \(failTimes\) failed, which stopped the pipe: /});
	t.true(error?.cause instanceof Error);
	t.is((await pipe('stop').toArray()).length, 3);
	const dropping = faena.pipe(['x', 'y'], {task: 'boom', maxAttempts: 1, onError: 'drop'}, 'echo', {batch: 'dropped'});
	t.deepEqual(await dropping.toArray(), []);
	t.like(await dropping.progress(), {read: 2, dropped: 2});
});

test('onError of a stage may name a task, which gets each dead item once, also if the pipe is resumed', async t => {
	const faena = await openEngine(t);
	const pipe = () => faena.pipe([0, 1, 2], 'sumOf', {task: 'failOdd', maxAttempts: 1, onError: {task: 'echo'}}, 'sumOf', {batch: 'buried', order: 'input'});
	t.deepEqual(await pipe().toArray(), [3]);
	await faena.idle();
	t.deepEqual(await pipe().toArray(), [3]);
	await faena.idle();
	const dead = await faena.jobs({task: 'echo', status: 'completed'}).page();
	const buried = await Promise.all(dead.filter(({batch}) => batch === undefined).map(({id}) => faena.job<'echo'>(id).result()));
	const items = buried as DeadJob[];
	t.deepEqual(
		items.toSorted((a, b) => Number(a.payload) - Number(b.payload)).map(({task, payload, error}) => ({task, payload, message: error.message})),
		[
			{task: 'failOdd', payload: 1, message: '1 is odd'},
			{task: 'failOdd', payload: 3, message: '3 is odd'},
		],
	);
});

test('a stage with the option group goes on without the items that were dropped before, and each is noted', async t => {
	const faena = await openEngine(t);
	for (const onError of ['drop', {task: 'echo'}] as const) {
		const pipe = faena.pipe(numbers(20), {task: 'failOdd', maxAttempts: 1, onError}, 'sumOf', {task: 'echo', group: 5}, 'echo', {
			order: 'input',
			batch: `grouped ${JSON.stringify(onError)}`,
		});
		const groups = (await pipe.toArray()) as number[][];
		t.deepEqual(groups, [
			[1, 3, 5],
			[7, 9],
			[11, 13, 15],
			[17, 19],
		]);
		t.is((await pipe.progress()).dropped, 10);
	}
	await faena.idle();
	const notes = (await faena.jobs({task: 'echo'}).page({limit: 1000})).filter(({batch}) => batch === undefined);
	const items = (await Promise.all(notes.map(({id}) => faena.job<'echo'>(id).result()))) as DeadJob[];
	t.deepEqual(
		items.map(({payload}) => Number(payload)).toSorted((a, b) => a - b),
		numbers(20).filter(each => each % 2 === 1),
	);
	const stopping = faena.pipe(numbers(20), {task: 'failOdd', maxAttempts: 1}, {task: 'echo', group: 5});
	await t.throwsAsync(stopping.toArray(), {code: 'JobFailed', message: /is odd/});
});

test('a pipe that stops names the job that is dead, also among results that are not read in one page', async t => {
	const faena = await openEngine(t);
	const bytes = [...new Array<number>(9).fill(8 * 1024 ** 2), -1];
	const pipe = faena.pipe(bytes, {task: 'large', maxAttempts: 1}, {task: 'echo', group: 10});
	await t.throwsAsync(pipe.toArray(), {code: 'JobFailed', message: /Job 10 \(large\) failed/});
});

test('a pipe whose jobs another program cancels ends with an error, and is resumed', async t => {
	const faena = await openEngine(t);
	const pipe = () => faena.pipe(numbers(30), 'echo', 'echoLater', {batch: 'stopped', window: 10});
	await faena.pause('echoLater');
	const first = pipe().toArray();
	setTimeout(() => void faena.batch('stopped').cancel(), 200);
	await t.throwsAsync(first, {code: 'JobCancelled', message: /was cancelled, which stopped the pipe/});
	await faena.resume('echoLater');
	t.is((await pipe().toArray()).length, 30);
});

test('a pipe is cancelled, aborted or left: nothing more is enqueued', async t => {
	const faena = await openEngine(t);
	const aborted = new AbortController();
	const slow = faena.pipe(numbers(50), 'echo', 'awaitEver', {signal: aborted.signal, batch: 'aborted'});
	setTimeout(() => aborted.abort(new Error('enough')), 300);
	await t.throwsAsync(slow.toArray(), {message: 'enough'});
	const {counts} = (await faena.batch('aborted').info()) ?? {};
	t.is((counts?.pending ?? 0) + (counts?.blocked ?? 0), 0);
	const cancelled = faena.pipe(numbers(50), {task: 'echo', onError: 'drop'}, 'awaitEver');
	setTimeout(() => void cancelled.cancel(), 300);
	t.deepEqual(await cancelled.toArray(), []);
});

test('a task may be in several stages: each says for itself what becomes of its dead items', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const lenient = {task: 'onlyNumbers', onError: 'drop'} as const;
	t.deepEqual(await faena.pipe([1, 'x', 3], lenient, 'echo', 'onlyNumbers', {order: 'input'}).toArray(), [1, 3]);
	await t.throwsAsync(faena.pipe(['x'], 'onlyNumbers', lenient).toArray(), {code: 'JobFailed', message: /\(onlyNumbers\) failed, which stopped the pipe/});
	// The second stage gets arrays, which are no numbers.
	await t.throwsAsync(faena.pipe([1, 2], lenient, {task: 'onlyNumbers', group: 2}).toArray(), {code: 'JobFailed'});
});

test('a pipe ends a stream with an error if a result is no chunk', async t => {
	const faena = await openEngine(t);
	await t.throwsAsync(faena.pipe([null], 'echo').to(new Writable()), {
		code: 'BadOption',
		message: /expects results that a stream takes, such as texts; it got null/,
	});
});

test('bad input of a pipe: a sentence each', async t => {
	const faena = await openEngine(t);
	const pipe = faena.pipe.bind(faena) as (...args: readonly unknown[]) => ReturnType<typeof faena.pipe>;
	t.throws(() => pipe([1]), {code: 'BadOption', message: /at least one stage/});
	t.throws(() => pipe([1], 'ecko'), {code: 'UnknownTask', message: /did you mean "echo"/});
	t.throws(() => pipe([1], 'echo', {task: 'ecko'}), {code: 'UnknownTask'});
	t.throws(() => pipe([1], 'echo', 5), {code: 'BadOption', message: /expects as a stage a task's name/});
	t.throws(() => pipe([1], {task: 'echo', group: 0}), {message: /expects as group a whole number/});
	t.throws(() => pipe([1], 'echo', {task: 'echo', group: 50}, {task: 'echo', group: 50}), {message: /multiply to at most 2000; they multiply to 2500/});
	t.throws(() => pipe([1], {task: 'echo', onError: 'ignore'}), {message: /expects as onError/});
	t.throws(() => pipe([1], {task: 'echo', onError: {task: 'nothing'}}), {code: 'UnknownTask'});
	t.throws(() => pipe([1], {task: 'echo', delay: 5}), {message: /has no option "delay"/});
	t.throws(() => pipe([1], 'echo', {windw: 5}), {message: /did you mean "window"/});
	t.throws(() => pipe('text', 'echo'), {message: /expects an iterable/});
	await faena.pipe([1, 2], 'echo', 'sumOf', {batch: 'taken'}).toArray();
	await t.throwsAsync(faena.pipe([1, 3], 'echo', 'sumOf', {batch: 'taken'}).toArray(), {
		code: 'KeyConflict',
		message: /^Item 1 of this source is not the one that an earlier pipe of the batch "taken" had in that place \(job \d+; the first item is 0\)/,
	});
	await t.throwsAsync(faena.pipe([1, 2], 'sumOf', 'echo', {batch: 'taken'}).toArray(), {
		code: 'BatchConflict',
		message: 'The batch "taken" is a pipe of the stages echo → sumOf, not a pipe of the stages sumOf → echo. Give this one another name.',
	});
	await t.throwsAsync(faena.map('echo', [1], {batch: 'taken'}).toArray(), {code: 'BatchConflict', message: /is a pipe of the stages/});
	await t.throwsAsync(faena.pipe([() => 1], 'echo').toArray(), {code: 'NotEncodable'});
	const twice = faena.pipe([1], 'echo');
	await twice.toArray();
	await t.throwsAsync(twice.toArray(), {code: 'BadOption'});
	t.false(existsSync('nothing'));
});

test('a pipe of a batch with another group, or with more items under a group, is refused and never hangs', async t => {
	const faena = await openEngine(t);
	const sum = (group: number) => ({task: 'echo', group}) as const;
	await faena.pipe(numbers(20), 'sumOf', sum(10), {batch: 'regrouped'}).run();
	await t.throwsAsync(faena.pipe(numbers(20), 'sumOf', sum(5), {batch: 'regrouped'}).run(), {
		code: 'BatchConflict',
		message: /is a pipe of the stages sumOf → echo × 10, not a pipe of the stages sumOf → echo × 5\./,
	});
	t.is((await faena.batch('regrouped').info())?.counts.completed, 22);
	await faena.pipe(numbers(5), 'sumOf', sum(10), 'echo', {batch: 'grown'}).run();
	await t.throwsAsync(faena.pipe(numbers(8), 'sumOf', sum(10), 'echo', {batch: 'grown'}).run(), {
		code: 'KeyConflict',
		message: /^Items 0 to 9 of this source are not those that an earlier pipe of the batch "grown" had in that place/,
	});
	t.deepEqual(await faena.pipe(numbers(5), 'sumOf', sum(10), 'echo', {batch: 'grown'}).toArray(), [[1, 2, 3, 4, 5]]);
});

test('nothing is yielded for a group of which all items were dropped', async t => {
	const faena = await openEngine(t);
	const lenient = {task: 'onlyNumbers', onError: 'drop', maxAttempts: 1} as const;
	const items = ['a', 'b', 'c', 'd', 4, 5];
	for (const more of [[], ['echo']] as const) {
		const pipe = faena.pipe(items, lenient, 'echo', {task: 'echo', group: 2}, ...(more as ['echo']), {order: 'input'});
		t.deepEqual((await pipe.toArray()) as unknown, [[4, 5]]);
		t.is((await pipe.progress()).dropped, 4);
	}
});
