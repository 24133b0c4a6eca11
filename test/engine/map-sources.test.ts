/** What a map is given to read: the usual sources of programs, and those that end badly, late or never. */
import {once} from 'node:events';
import {createReadStream, writeFileSync} from 'node:fs';
import {open as openFile} from 'node:fs/promises';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {Readable} from 'node:stream';
import {setImmediate as nextTurn} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

const LINES = Array.from({length: 20_000}, (_, index) => `line ${index}`);

function fileOfLines(t: ExecutionContext, lines: readonly string[] = LINES): string {
	const file = join(makeFolder(t), 'lines.txt');
	writeFileSync(file, lines.map(line => `${line}\n`).join(''));
	return file;
}

/** Each opens a source of these lines, from a file that holds them. */
const SOURCES: Readonly<Record<string, (file: string, lines: readonly string[]) => AsyncIterable<string> | Iterable<string> | Promise<AsyncIterable<string>>>> =
	{
		"readline's interface": file => createInterface({input: createReadStream(file)}),
		'filehandle.readLines()': async file => (await openFile(file)).readLines(),
		'a generator round readline': async function* (file) {
			yield* createInterface({input: createReadStream(file)});
		},
		'an object stream': (_, lines) => Readable.from(lines),
		'a text stream that is split': file => createReadStream(file, 'utf8').compose(splitLines) as AsyncIterable<string>,
		'a web stream': (_, lines) => ReadableStream.from(lines) as unknown as AsyncIterable<string>,
		'an array': (_, lines) => lines,
		'a set': (_, lines) => new Set(lines),
		'the values of a map': (_, lines) => new Map(lines.entries()).values(),
		'a generator': function* (_, lines) {
			yield* lines;
		},
		'events of an emitter that has begun': (_, lines) => begun(lines),
		'an iterator that goes on after its end': (_, lines) => goesOn(lines),
	};

async function* splitLines(chunks: AsyncIterable<string>): AsyncGenerator<string> {
	let rest = '';
	for await (const chunk of chunks) {
		const lines = (rest + chunk).split('\n');
		rest = lines.pop() ?? '';
		yield* lines;
	}
}

/** Gives what it has as soon as it is made, to an iterator that is there; before that it has no place to go. */
function begun(lines: readonly string[]): AsyncIterable<string> {
	const waiting: string[] = [];
	let isRead = false;
	let hasEnded = false;
	void (async () => {
		await nextTurn();
		if (isRead) waiting.push(...lines);
		hasEnded = true;
	})();
	return {
		[Symbol.asyncIterator]() {
			isRead = true;
			return {
				async next() {
					while (waiting.length === 0 && !hasEnded) await nextTurn();
					const value = waiting.shift();
					return value === undefined ? {done: true, value: undefined} : {done: false, value};
				},
			};
		},
	};
}

function goesOn(lines: readonly string[]): Iterable<string> {
	let index = 0;
	return {
		[Symbol.iterator]: () => ({
			next: () => (index++ === lines.length ? {done: true, value: undefined} : {done: false, value: lines[index - 1] ?? 'after the end'}),
		}),
	};
}

for (const [name, openSource] of Object.entries(SOURCES)) {
	for (const batch of [undefined, 'nightly']) {
		test(`map() yields each item of ${name} once, ${batch ? 'in a batch' : 'without a batch'}, also where its loop begins later`, async t => {
			for (const count of [10, LINES.length]) {
				const lines = LINES.slice(0, count);
				const faena = await openEngine(t);
				const source = await openSource(fileOfLines(t, lines), lines);
				const map = faena.map('echo', source, {order: 'input', ...(batch && {batch})});
				if (count === 10) await faena.counts();
				const results = await all(map);
				t.deepEqual(
					results.map(result => result.status === 'completed' && result.result),
					lines,
				);
				await faena.close();
			}
		});
	}
}

for (const [name, openSource] of Object.entries(SOURCES)) {
	test(`enqueueMany() enqueues each item of ${name} once`, async t => {
		const faena = await openEngine(t, {tasks: null});
		const {ids} = await faena.enqueueMany('echo', await openSource(fileOfLines(t), LINES));
		t.is(ids.length, LINES.length);
		t.is((await faena.job(ids[0] as number).info())?.payload, LINES[0]);
		t.is((await faena.job(ids.at(-1) as number).info())?.payload, LINES.at(-1));
	});
}

/** Sources that fail with `dry`: before anything, or after some items. */
const FAILING: Readonly<Record<string, () => AsyncIterable<number> | Iterable<number>>> = {
	'a generator that throws at once': function* () {
		yield* [];
		throw new Error('dry');
	},
	'a generator that throws late': function* () {
		yield 1;
		throw new Error('dry');
	},
	'an async generator that throws at once': async function* () {
		yield* [];
		throw new Error('dry');
	},
	'an async generator that throws late': async function* () {
		yield 1;
		await nextTurn();
		throw new Error('dry');
	},
	'an iterator whose next() rejects': () => ({[Symbol.asyncIterator]: () => ({next: () => Promise.reject(new Error('dry'))})}),
	'an iterator whose next() throws': () => ({
		[Symbol.asyncIterator]: () => ({
			next: () => {
				throw new Error('dry');
			},
		}),
	}),
	'a stream that is destroyed at once': () => {
		const stream = Readable.from([1, 2, 3]);
		stream.destroy(new Error('dry'));
		return stream;
	},
	'a stream that fails late': () => Readable.from(FAILING['an async generator that throws late']?.() as AsyncIterable<number>),
	'a web stream that fails': () =>
		new ReadableStream<number>({
			pull: controller => controller.error(new Error('dry')),
		}) as unknown as AsyncIterable<number>,
	'readline on a stream that fails': () => {
		const input = new Readable({read: () => input.destroy(new Error('dry'))});
		return createInterface({input}) as unknown as AsyncIterable<number>;
	},
};

for (const [name, source] of Object.entries(FAILING)) {
	for (const batch of [undefined, 'nightly']) {
		test(`the loop throws what ${name} fails with, ${batch ? 'in a batch' : 'without a batch'}, and no rejection is left unhandled`, async t => {
			const faena = await openEngine(t);
			await t.throwsAsync(all(faena.map('echo', source(), batch ? {batch} : {})), {message: 'dry'});
			await nextTurn();
		});
	}
}

test('a file that is not there ends the loop with its error, as it ends a loop over the stream itself', async t => {
	const faena = await openEngine(t);
	const missing = join(makeFolder(t), 'missing.txt');
	for (const options of [{}, {batch: 'nightly'}]) {
		await t.throwsAsync(all(faena.map('echo', createReadStream(missing, 'utf8'), options)), {code: 'ENOENT'});
		await t.throwsAsync(all(faena.map('echo', createInterface({input: createReadStream(missing)}), options)), {code: 'ENOENT'});
		// This one fails before a batch can be open.
		const failing = new Readable({read: () => undefined});
		process.nextTick(() => failing.destroy(new Error('gone')));
		await t.throwsAsync(all(faena.map('echo', failing, options)), {message: 'gone'});
	}
});

test('return() of an endless source is called as soon as its loop is left, also while its next item is awaited', async t => {
	const faena = await openEngine(t);
	for (const options of [{}, {batch: 'nightly'}]) {
		const told = Promise.withResolvers<void>();
		let read = 0;
		const source: AsyncIterable<number> = {
			[Symbol.asyncIterator]: () => ({
				next: () => (read++ === 0 ? Promise.resolve({done: false, value: 1}) : new Promise(() => undefined)),
				return: async () => {
					told.resolve();
					return {done: true, value: undefined};
				},
			}),
		};
		for await (const _ of faena.map('echo', source, options)) break;
		await told.promise;
		read = 0;
	}
	const input = new Readable({read: () => undefined});
	input.push('one\n');
	const lines = createInterface({input});
	for await (const {item} of faena.map('echo', lines)) {
		t.is(item, 'one');
		break;
	}
	t.is(lines.listenerCount('line'), 0);
});

test('a source that fails after its loop was left does no harm', async t => {
	const faena = await openEngine(t);
	const fails = Promise.withResolvers<IteratorResult<number>>();
	let read = 0;
	const source: AsyncIterable<number> = {
		[Symbol.asyncIterator]: () => ({next: () => (read++ === 0 ? Promise.resolve({done: false, value: 1}) : fails.promise)}),
	};
	for await (const _ of faena.map('echo', source, {batch: 'nightly'})) break;
	fails.reject(new Error('too late'));
	await nextTurn();
	t.is((await all(faena.map('echo', [1], {batch: 'nightly'}))).length, 1);
});

test('a source whose next() gives no object ends the loop with an error, and leaves no rejection behind', async t => {
	const faena = await openEngine(t);
	const nothing = null as unknown as IteratorResult<number>;
	await t.throwsAsync(all(faena.map('echo', {[Symbol.asyncIterator]: () => ({next: async () => nothing})})), {instanceOf: TypeError});
	await t.throwsAsync(all(faena.map('echo', {[Symbol.iterator]: () => ({next: () => nothing})})), {instanceOf: TypeError});
	// AVA fails a file in which a rejection was not handled.
	await nextTurn();
});

test('a map whose loop never begins calls return() of its source when it is cancelled, or the engine is closed', async t => {
	const faena = await openEngine(t);
	const told: string[] = [];
	const source = (name: string): AsyncIterable<number> => ({
		[Symbol.asyncIterator]: () => ({
			next: async () => ({done: false, value: 1}),
			return: () => {
				told.push(name);
				return Promise.reject(new Error('it can not even end'));
			},
		}),
	});
	const cancelled = faena.map('echo', source('cancelled'));
	await cancelled.cancel();
	t.deepEqual(told, ['cancelled']);
	t.deepEqual(await all(cancelled), []);
	const aborted = faena.map('echo', source('aborted'), {signal: AbortSignal.abort(new Error('enough'))});
	await t.throwsAsync(all(aborted), {message: 'enough'});
	t.deepEqual(told, ['cancelled', 'aborted']);
	const warned = once(process, 'warning');
	const closed = faena.map('echo', source('closed'));
	await faena.close();
	await warned;
	t.deepEqual(told, ['cancelled', 'aborted', 'closed']);
	await t.throwsAsync(all(closed), {code: 'Closed'});
	await nextTurn();
});

for (const how of ['close', 'exit', 'end']) {
	test(`maps whose loops never begin are warned of once, when the program comes to ${how}, with what to write`, async t => {
		const program = new Program(t, 'unread-maps', join(makeFolder(t), 'jobs.db'), how);
		const {code, stderr} = await program.ended();
		t.is(code, 0);
		t.regex(stderr, /FaenaWarning: A map\(\) of the task echo with the batch "nightly" was never iterated, .* for await .*\.toArray\(.* 2 more maps\.\n/);
		t.is(stderr.match(/FaenaWarning/g)?.length, 1);
	});
}

async function all<Item>(map: AsyncIterable<Item>): Promise<Item[]> {
	const items: Item[] = [];
	for await (const item of map) items.push(item);
	return items;
}
