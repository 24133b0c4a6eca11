import {join} from 'node:path';
import {FaenaError} from '../../lib/index.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const COUNT = 10_000;

const numbers = Array.from({length: COUNT}, (_, a) => ({a, b: 1}));

async function* later<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
	for (const item of items) yield item;
}

for (const [kind, source] of [
	['a collection', () => numbers],
	['an async source', () => later(numbers)],
] as const) {
	test(`enqueueMany() puts in ten thousand jobs from ${kind} and gives their ids in its order`, async t => {
		const faena = await openEngine(t);
		const {ids, reused} = await faena.enqueueMany('add', source());
		t.deepEqual(reused, []);
		t.deepEqual(
			ids,
			Array.from({length: COUNT}, (_, index) => index + 1),
		);
		await faena.idle();
		t.like(await faena.counts(), {completed: COUNT, pending: 0, running: 0});
		for (const index of [0, 1234, COUNT - 1]) t.is((await faena.job(ids[index] as number).info())?.result, index + 1);
	});
}

test('enqueueMany() reads a source only as fast as jobs become durable', async t => {
	const faena = await openEngine(t);
	await faena.pause();
	let read = 0;
	let ahead = 0;
	async function* source() {
		for (; read < 30_000; read++) {
			// Once in a while the source looks how many of its items are in the queue already.
			if (read % 3000 === 0) ahead = Math.max(ahead, read - (await faena.counts()).pending);
			yield {a: read, b: 1};
		}
	}
	await faena.enqueueMany('add', source());
	t.true(ahead > 0 && ahead <= 6000, `${ahead} ahead`);
	t.is((await faena.counts()).pending, 30_000);
});

test('enqueueMany() keeps every payload and their order, however large some of them are', async t => {
	const faena = await openEngine(t);
	await faena.pause();
	// Small ones between those of which two fill a message.
	const lengths = Array.from({length: 12}, (_, index) => (index % 3 === 0 ? 5_000_000 + index : index));
	const {ids} = await faena.enqueueMany(
		'add',
		lengths.map(length => ({a: 0, b: 0, text: 'x'.repeat(length)})),
	);
	t.deepEqual(
		ids,
		lengths.map((_, index) => index + 1),
	);
	const stored = await Promise.all(ids.map(async id => (await faena.job(id).info())?.payload as {text: string} | undefined));
	t.deepEqual(
		stored.map(payload => payload?.text.length),
		lengths,
	);
});

test('enqueueMany() takes a key for each payload, and counts the jobs that were there already', async t => {
	const faena = await openEngine(t);
	await faena.pause();
	const first = await faena.enqueueMany('echo', ['a', 'b'], {key: value => String(value)});
	const second = await faena.enqueueMany('echo', ['c', 'b', 'a', 'c'], {key: value => String(value)});
	t.deepEqual(first, {ids: [1, 2], reused: []});
	t.deepEqual(second, {ids: [3, 2, 1, 3], reused: [2, 1, 3]});
});

test('enqueueMany() of nothing is nothing', async t => {
	const faena = await openEngine(t);
	t.deepEqual(await faena.enqueueMany('add', []), {ids: [], reused: []});
	t.deepEqual(await faena.enqueueMany('add', later([])), {ids: [], reused: []});
});

test('a key of another payload rejects enqueueMany() with KeyConflict; jobs enqueued before stay', async t => {
	const faena = await openEngine(t);
	await faena.pause();
	const conflicts = Array.from({length: 5000}, (_, index) => index);
	const error = await t.throwsAsync(faena.enqueueMany('echo', conflicts, {key: () => 'same'}), {instanceOf: FaenaError, code: 'KeyConflict'});
	t.regex(error?.message ?? '', /"same" of task echo belongs to job 1/);
	t.is((await faena.counts()).pending, 1);
});

test('a source that throws, or a payload that can not be stored, rejects enqueueMany(); jobs enqueued before stay', async t => {
	const faena = await openEngine(t);
	await faena.pause();
	const reason = new Error('the source is dry');
	function* source() {
		for (let a = 0; a < 2500; a++) yield {a, b: 1};
		throw reason;
	}
	t.is(await t.throwsAsync(faena.enqueueMany('add', source())), reason);
	t.is((await faena.counts()).pending, 2000);
	await t.throwsAsync(faena.enqueueMany('echo', [...Array(2500).keys(), () => 0]), {code: 'NotEncodable'});
	t.is((await faena.counts()).pending, 4000);
});

test('enqueueMany() on an engine that is closed meanwhile rejects, and durable jobs stay', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	await faena.pause();
	async function* source() {
		for (let a = 0; a < 50_000; a++) {
			if (a === 4500) void faena.close();
			yield {a, b: 1};
		}
	}
	await t.throwsAsync(faena.enqueueMany('add', source()), {code: 'Closed'});
	await faena.close();
	const again = await openEngine(t, {queue});
	const {pending} = await again.counts();
	t.true(pending >= 0 && pending < 50_000 && pending % 1000 === 0);
});
