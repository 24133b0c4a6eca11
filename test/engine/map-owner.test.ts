/** A batch has one map at a time, and a map steers only what is its own. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import Database from 'better-sqlite3';
import {connect, Engine} from '../../lib/api/engine.ts';
import {resolveOpenOptions} from '../../lib/api/open-options.ts';
import type {FaenaError, JobMap} from '../../lib/index.ts';
import {type EnqueuedGroup, listIds, sizeOf} from '../../lib/job/groups/group.ts';
import type {JobId} from '../../lib/job/job.ts';
import {openThread, type Transport} from '../../lib/transport/client.ts';
import type {Call, DispatcherMessage, RepliesMessage} from '../../lib/transport/messages.ts';
import {openEngine, TASKS, type Tasks, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {noticesOf} from '../fixtures/notices.ts';
import {Program} from '../fixtures/program.ts';

const IN_USE = {
	code: 'BatchInUse',
	message:
		/^The batch "nightly" has a running map already, .* one map at a time\. Wait .* another batch name\. If its program was killed, .*; if it hangs, after its lease, 30 s by default\.$/,
};

test('a batch whose map is under way is refused to another one: in the same engine, in another engine, in another process', async t => {
	const folder = makeFolder(t);
	const [queue, closed] = [join(folder, 'jobs.db'), join(folder, 'closed')];
	const faena = await openEngine(t, {queue});
	const other = await openEngine(t, {queue});
	const loop = faena.map('wait', [closed], {batch: 'nightly'})[Symbol.asyncIterator]();
	const first = loop.next();
	while ((await faena.batch('nightly').info()) === undefined);
	await t.throwsAsync(all(faena.map('wait', [closed], {batch: 'nightly'})), IN_USE);
	await t.throwsAsync(all(other.map('wait', [], {batch: 'nightly'})), IN_USE);
	t.is(await new Program(t, 'maps-batch', queue, closed).line(), 'BatchInUse');
	// None of them has changed anything of it.
	t.is((await all(other.map('echo', [1], {batch: 'another'}))).length, 1);
	writeFileSync(closed, '');
	t.is((await first).value?.status, 'completed');
	t.true((await loop.next()).done);
	t.is((await all(other.map('wait', [closed], {batch: 'nightly'}))).length, 1);
});

const reason = new Error('enough');
/** What ends a loop before its map does, and what the loop throws then. */
const ENDS: Readonly<Record<string, {readonly end: (map: JobMap<string, string>, abort: AbortController) => unknown; readonly code?: string}>> = {
	'is left': {end: () => undefined},
	throws: {
		end: () => {
			throw reason;
		},
	},
	'is aborted': {end: (_, abort) => abort.abort(reason)},
	'is cancelled': {end: map => map.cancel()},
};

for (const [how, {end}] of Object.entries(ENDS)) {
	test(`a batch is free as soon as the loop of its map ${how}, also for another process`, async t => {
		const folder = makeFolder(t);
		const [queue, open, closed] = [join(folder, 'jobs.db'), join(folder, 'open'), join(folder, 'closed')];
		writeFileSync(open, '');
		const faena = await openEngine(t, {queue});
		const abort = new AbortController();
		const map = faena.map('wait', [open, closed], {batch: 'nightly', signal: abort.signal, order: 'input'});
		try {
			for await (const {index} of map) {
				if (index > 0) continue;
				await end(map, abort);
				if (how === 'is left') break;
			}
		} catch (error) {
			t.is(error, reason);
		}
		const program = new Program(t, 'maps-batch', queue, open);
		t.deepEqual(await program.lines(), ['0 completed true']);
	});
}

test('a batch is free once its map has been halted, has failed or has been refused, and once its engine is closed', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue, defaults: {maxAttempts: 1}});
	const map = (options = {}) => all(faena.map('disaster', ['overflow', 'none'], {batch: 'nightly', ...options}));
	await t.throwsAsync(map({halt: {when: 'soon', on: 'fail', at: 1}}), {code: 'Halted'});
	await t.throwsAsync(map({key: () => 'same'}), {code: 'KeyConflict'});
	await t.throwsAsync(
		map({
			payload: () => {
				throw reason;
			},
		}),
		{message: 'enough'},
	);
	await t.throwsAsync(all(faena.map('echo', [1], {batch: 'nightly'})), {code: 'BatchConflict'});
	t.is((await map()).length, 2);
	const loop = faena.map('disaster', ['none'], {batch: 'nightly', key: String})[Symbol.asyncIterator]();
	await loop.next();
	await faena.close();
	const other = await openEngine(t, {queue});
	t.is((await all(other.map('disaster', ['none'], {batch: 'nightly', key: String}))).length, 1);
});

test('the map of a program that was killed goes on at once in the next one, and in an engine that has been there all the time', async t => {
	const folder = makeFolder(t);
	const [queue, closed] = [join(folder, 'jobs.db'), join(folder, 'closed')];
	const faena = await openEngine(t, {queue, lease: '10m', tasks: null});
	for (const next of ['program', 'engine']) {
		const program = new Program(t, 'maps-batch', queue, closed);
		t.is(await program.line(), 'waits');
		await program.kill('SIGKILL');
		if (next === 'program') continue;
		const begin = async (tries: number): Promise<ReturnType<AsyncIterator<{readonly status: string}>['next']>[]> => {
			const map = faena.map('wait', [closed], {batch: 'nightly'});
			const result = map[Symbol.asyncIterator]().next();
			result.catch(() => undefined);
			const isOpen = await map.opened.then(
				() => true,
				({code}) => code !== 'BatchInUse',
			);
			// On a machine under load, what the killed program has started may live for longer than a map waits.
			return isOpen || tries === 1 ? [result] : begin(tries - 1);
		};
		const [result] = await begin(10);
		while ((await faena.batch('nightly').info())?.total !== 1);
		await faena.cancel({batch: 'nightly'});
		t.is((await result)?.value?.status, 'cancelled');
	}
});

for (const missing of ['run', 'cancel', 'delete'] as const) {
	test(`a map that has lost its batch to another one leaves the items that this one has not named yet, also with missing: '${missing}'`, async t => {
		const queue = join(makeFolder(t), 'jobs.db');
		const killed = await openEngine(t, {queue});
		await killed.pause('echo');
		const first = all(killed.map('echo', [1, 2], {batch: 'nightly', key: String}));
		while ((await killed.counts()).pending < 2);
		await killed.close({drain: 0});
		await t.throwsAsync(first, {code: 'Closed'});
		const [faena, other] = [await openEngine(t, {queue}), await openEngine(t, {queue, tasks: null})];
		const ended = Promise.withResolvers<void>();
		const input = async function* () {
			yield* [];
			await ended.promise;
		};
		const [mine, others] = [faena.map('echo', input(), {batch: 'nightly', missing}), other.map('echo', input(), {batch: 'another'})];
		const [results, rest] = [all(mine), all(others)];
		t.is(await mine.opened, 2);
		await others.opened;
		// As if this engine had been suspended for longer than its lease.
		const db = new Database(queue);
		db.exec("update batch set owner = (select owner from batch where name = 'another') where name = 'nightly'");
		db.close();
		ended.resolve();
		await t.throwsAsync(results, {code: 'BatchInUse'});
		t.like(await faena.batch('nightly').info(), {held: 2, counts: {pending: 2, cancelled: 0}});
		await rest;
	});
}

test('a map whose batch another one has opened since, and perhaps ended, enqueues nothing more and waits no longer', async t => {
	const folder = makeFolder(t);
	const [queue, closed] = [join(folder, 'jobs.db'), join(folder, 'closed')];
	const [faena, other] = [await openEngine(t, {queue, workers: 1}), await openEngine(t, {queue, tasks: null})];
	// As if this engine had been suspended for longer than its lease.
	const takeOver = () => {
		const db = new Database(queue);
		db.exec('update batch set owner = null');
		db.close();
	};
	const more = Promise.withResolvers<void>();
	const input = async function* () {
		yield 'a';
		await more.promise;
		yield* ['b', 'c'];
	};
	const versions = (version: number) => ({batch: 'versions', key: String, payload: (name: string) => `${name} ${version}`, fresh: 'payload' as const});
	const old = faena.map('echo', input(), versions(1))[Symbol.asyncIterator]();
	t.like(await old.next(), {value: {result: 'a 1'}});
	takeOver();
	const results = async (version: number) => (await all(faena.map('echo', ['a', 'b', 'c'], versions(version)))).map(each => 'result' in each && each.result);
	t.deepEqual((await results(2)).sort(), ['a 2', 'b 2', 'c 2']);
	more.resolve();
	await t.throwsAsync(old.next(), {code: 'BatchInUse', message: /another map took over its batch "versions"/});
	t.deepEqual((await results(2)).sort(), ['a 2', 'b 2', 'c 2']);
	// All its items are enqueued, and the other map holds them.
	const waiting = t.throwsAsync(all(faena.map('wait', [closed, `${closed} too`], {batch: 'held', key: String})), {code: 'BatchInUse'});
	while ((await faena.batch('held').info())?.total !== 2);
	takeOver();
	t.is((await all(other.map('wait', [], {batch: 'held'}))).length, 0);
	await waiting;
});

for (const how of ['cancel()', 'signal'] as const) {
	test(`${how} of a map without a batch spares the jobs of others that its keys name, and waits for them no longer`, async t => {
		const folder = makeFolder(t);
		const [open, closed] = [join(folder, 'open'), join(folder, 'closed')];
		writeFileSync(open, '');
		const faena = await openEngine(t);
		const theirs = await faena.enqueue('wait', closed, {key: closed});
		const waiting = await faena.enqueue('wait', open, {key: 'later', delay: '1h'});
		const abort = new AbortController();
		const own = join(folder, 'own');
		const map = faena.map('wait', [closed, open, own], {key: file => (file === open ? 'later' : file), order: 'input', signal: abort.signal});
		const loop = all(map);
		while ((await faena.counts()).running < 2);
		if (how === 'signal') {
			abort.abort(reason);
			t.is(await t.throwsAsync(loop), reason);
		} else {
			await map.cancel();
			t.like(await loop, [{item: own, status: 'cancelled'}]);
			t.is((await loop).length, 1);
		}
		t.is((await waiting.info())?.status, 'pending');
		writeFileSync(closed, '');
		t.is(await theirs.result(), closed);
		while ((await faena.counts()).cancelled === 0);
		t.is((await faena.counts()).cancelled, 1);
	});

	test(`${how} of a map leaves jobs of an earlier run alone that its input has not come to yet`, async t => {
		const closed = join(makeFolder(t), 'closed');
		const faena = await openEngine(t, {workers: 1});
		const first = faena.map('wait', [closed, closed, closed], {batch: 'nightly'})[Symbol.asyncIterator]();
		void first.next().catch(() => undefined);
		while ((await faena.batch('nightly').info())?.total !== 3);
		await faena.pause('wait');
		await faena.cancel(3);
		await first.return(undefined);
		const abort = new AbortController();
		const map = faena.map('wait', [closed, closed, closed], {batch: 'nightly', window: 1, signal: abort.signal});
		const loop = map[Symbol.asyncIterator]();
		const result = loop.next();
		while (map.progress().read === 0) await new Promise(resolve => setImmediate(resolve));
		// It is answered after the map's own call, so the map has found the job by then.
		await faena.counts();
		await t.notThrowsAsync(async () => (how === 'signal' ? abort.abort(reason) : map.cancel()));
		await result.catch(() => undefined);
		await loop.return(undefined);
		t.like(await faena.job(2).info(), {status: 'pending'});
	});
}

test('an engine watches no job of a map whose loop was left, or that has failed', async t => {
	t.timeout(60_000);
	const settings = resolveOpenOptions({queue: join(makeFolder(t), 'jobs.db'), tasks: TASKS, workers: 1});
	const watches = new Watches();
	const faena = await connect(
		settings,
		async (...start) => watches.listenIn(await openThread(...start)),
		(link, events) => new Engine<Tasks>(settings, link, events),
	);
	t.teardown(() => faena.close({drain: 0}));
	const done = await faena.enqueue('add', {a: 1, b: 1}, {key: 'done'});
	await done.result();
	await (await faena.enqueue('echo', 0, {key: '0'})).result();
	await faena.pause('echo');
	// Left after a first result, while other items are on their way to the queue.
	const items = Array.from({length: 20_000}, (_, index) => index);
	for await (const _ of faena.map('echo', items, {key: String})) break;
	await faena.counts();
	t.is(watches.count, 0);
	// Ended while its items are on their way.
	const abort = new AbortController();
	const map = faena.map(
		'echo',
		Array.from({length: 2000}, (_, index) => index),
		{signal: abort.signal},
	);
	const loop = all(map);
	while (map.progress().read === 0) await new Promise(resolve => setImmediate(resolve));
	abort.abort(reason);
	await t.throwsAsync(loop);
	await faena.counts();
	t.is(watches.count, 0);
	// Left in the middle.
	for await (const _ of faena.map(
		'add',
		Array.from({length: 3000}, (_, a) => ({a, b: 0})),
		{batch: 'b'},
	))
		break;
	await faena.counts();
	t.is(watches.count, 0);
	// Failed by one item among others.
	await t.throwsAsync(
		all(
			faena.map(
				'echo',
				Array.from({length: 100}, (_, index) => index),
				{batch: 'c', key: index => String((index as number) % 99)},
			),
		),
		{code: 'KeyConflict'},
	);
	await faena.counts();
	t.is(watches.count, 0);
	await faena.resume('echo');
	await faena.idle();
});

test('a key in conflict names the ways out: running changed items again, or another name', async t => {
	const faena = await openEngine(t);
	await all(faena.map('echo', [1], {batch: 'nightly'}));
	const conflict = await t.throwsAsync<FaenaError>(all(faena.map('echo', [2], {batch: 'nightly'})), {code: 'KeyConflict'});
	t.regex(
		conflict?.message ?? '',
		/"0" of task echo belongs to job 1, which has another payload\. If the input has changed, .*fresh: 'payload'.* another batch name\. If two items .* a key of its own\.$/,
	);
	await all(faena.map('echo', [1], {key: String}));
	await t.throwsAsync(all(faena.map('echo', [2], {key: () => '1'})), {
		code: 'KeyConflict',
		message: /fresh: 'payload'.* use another key\. If two items .* a key of its own\.$/,
	});
	t.like(await all(faena.map('echo', [2], {batch: 'nightly', fresh: 'payload'})), [{result: 2, reused: false}]);
});

/** What a dispatcher was asked to watch and has neither told of nor been asked to forget, as seen on the line to it. */
class Watches {
	readonly #jobs = new Map<JobId, number>();
	readonly #enqueues = new Map<number, number>();

	get count(): number {
		return [...this.#jobs.values()].filter(times => times > 0).length;
	}

	listenIn(line: Transport): Transport {
		const send = line.send.bind(line);
		line.send = calls => {
			for (const call of calls) this.#sent(call);
			send(calls);
		};
		const listen = line.listen.bind(line);
		line.listen = (onMessage, onEnd) => {
			const heard = (message: DispatcherMessage) => {
				if (message.type === 'replies') this.#heard(message);
				onMessage(message);
			};
			listen(heard, onEnd);
		};
		return line;
	}

	#sent(call: Call): void {
		if (call.type === 'enqueue' && call.watch) this.#enqueues.set(call.call, sizeOf(call.group));
		if (call.type !== 'unwatch') return;
		const inRanges = (call.ranges ?? []).flatMap(({first, last}) => listIds(first, last - first + 1));
		for (const id of [...(call.ids ?? []), ...inRanges]) this.#add(id, -1);
	}

	#heard(message: RepliesMessage): void {
		for (const reply of message.replies) {
			const jobs = this.#enqueues.get(reply.call);
			if (jobs === undefined || 'error' in reply) continue;
			const answer = reply.value as EnqueuedGroup;
			// Of a call in which there is a conflict nothing is watched.
			if (!answer.conflicts) for (const id of listIds(answer.ids, jobs)) this.#add(id, 1);
		}
		for (const {id} of noticesOf(message)) this.#jobs.delete(id);
	}

	#add(id: JobId, times: number): void {
		this.#jobs.set(id, (this.#jobs.get(id) ?? 0) + times);
	}
}

async function all<Item>(map: AsyncIterable<Item>): Promise<Item[]> {
	const items: Item[] = [];
	for await (const item of map) items.push(item);
	return items;
}
