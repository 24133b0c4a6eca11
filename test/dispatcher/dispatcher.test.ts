import {EventEmitter, on} from 'node:events';
import {join} from 'node:path';
import test from 'ava';
import {Dispatcher} from '../../lib/dispatcher/dispatcher.ts';
import type {ClaimedGroup} from '../../lib/job/groups/group.ts';
import {claimAt, settlementsOf} from '../../lib/job/groups/single-jobs.ts';
import type {Pool, PoolListener} from '../../lib/pool/pool.ts';
import type {Changes, News, Store} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import type {DispatcherMessage, Notice, RepliesMessage} from '../../lib/transport/messages.ts';
import {makeStore, newJob, POLICY, promptPool, stayAlive} from '../fixtures/dispatcher.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {noticesOf} from '../fixtures/notices.ts';
import {groupNew} from '../fixtures/plain.ts';
import {openQueueAt} from '../fixtures/queue.ts';

test('a claim that took effect though its commit seemed to fail leaves no job without an owner', async t => {
	stayAlive(t);
	let hasFailed = false;
	const {queue, store} = makeStore(inner => ({
		async commit(changes) {
			const result = await inner.commit(changes);
			if (hasFailed || result.claimed.groups.length === 0) return result;
			hasFailed = true;
			throw new FaenaError('OutcomeUnknown', 'The disk did not say.');
		},
	}));
	await queue.enqueue([newJob()]);
	const ended = Promise.withResolvers<Notice>();
	const dispatcher = new Dispatcher(store, listener => promptPool(listener), {
		owner: 'owner',
		leaseMs: 30_000,
		output: message => {
			const [notice] = message.type === 'replies' ? noticesOf(message) : [];
			if (notice) ended.resolve(notice);
		},
	});
	await dispatcher.start();
	dispatcher.receive([{call: 1, type: 'watch', ids: [1]}]);
	t.like(await ended.promise, {id: 1, status: 'completed'});
	t.like(await queue.job(1), {executions: 2, attempts: 0});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
});

test('a transaction that fails for a while is reported each time, and outcomes are written once it succeeds', async t => {
	stayAlive(t);
	let failures = 0;
	const {queue, store} = makeStore(inner => ({
		async commit(changes) {
			if (changes.settle?.length && failures++ < 6) throw new FaenaError('StorageFull', 'The disk is full.');
			return inner.commit(changes);
		},
	}));
	await queue.enqueue([newJob()]);
	const ended = Promise.withResolvers<Notice>();
	const told: unknown[] = [];
	const dispatcher = new Dispatcher(store, listener => promptPool(listener), {
		owner: 'owner',
		leaseMs: 30_000,
		events: ['setBack'],
		output: message => {
			if (message.type !== 'replies') return;
			for (const event of message.events) if (event.type === 'setBack') told.push([event.setbacks, event.waitMs, event.error.code]);
			const [notice] = noticesOf(message);
			if (notice) ended.resolve(notice);
		},
	});
	dispatcher.receive([{call: 1, type: 'watch', ids: [1]}]);
	await dispatcher.start();
	t.like(await ended.promise, {id: 1, status: 'completed'});
	// Each is tried again without what else there was.
	t.deepEqual(told, [
		[1, 20, 'StorageFull'],
		[2, 40, 'StorageFull'],
		[3, 80, 'StorageFull'],
	]);
	t.like(await queue.job(1), {status: 'completed', executions: 1, attempts: 0});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
});

const TASKS_100 = Array.from({length: 100}, (_, index) => `task ${index}`);

for (const [what, tasks, isRefused] of [
	['outcomes', ['count'], ({settle = []}) => settle.some(group => [...settlementsOf(group)].some(({outcome}) => outcome.type === 'returned'))],
	['claims', TASKS_100, ({claim}) => (claim?.lanes ?? []).some(({task}) => task === 'task 99')],
] as const satisfies [string, string[], (changes: Changes) => boolean][]) {
	test(`while a slow disk is asked many times which ${what} are refused, the owner keeps its heartbeat`, async t => {
		const leaseMs = 30_000;
		const clock = new HandClock();
		const beats: number[] = [];
		const verbs = (inner: Store): Partial<Store> => ({
			async commit(changes) {
				clock.pass(1000);
				if (isRefused(changes)) throw new FaenaError('BadRow', 'refused');
				return inner.commit(changes);
			},
			heartbeat(owner) {
				beats.push(clock.steadyMs());
				return inner.heartbeat(owner);
			},
		});
		const {queue, store} = makeStore(verbs, clock);
		const policy = {...POLICY, maxAttempts: 1};
		await queue.enqueue(Array.from({length: 100}, (_, index) => newJob({task: tasks[index % tasks.length] as string, policy})));
		const pool = (own: PoolListener): Pool => ({...promptPool(own), load: async () => tasks.map(name => ({name, options: {batchSize: 100}}))});
		const dispatcher = new Dispatcher(store, pool, {owner: 'owner', leaseMs, clock, output: () => undefined});
		await dispatcher.start();
		for (let ended = 0; ended < 99; ) {
			await clock.advance(1);
			const {dead, completed} = await queue.counts();
			ended = dead + completed;
		}
		beats.push(clock.steadyMs());
		t.true(beats.length > 2);
		const longestMs = Math.max(...beats.slice(1).map((at, index) => at - (beats[index] as number)));
		t.true(longestMs < leaseMs, `${longestMs} ms without a heartbeat`);
		// The clock moves with each commit, so the lanes of the refused task never rest at the same time.
		dispatcher.receive([{call: 1, type: 'close', drainMs: 0}]);
	});
}

test('while the claims of a task are refused, this is reported once and the backlog of another goes on; the task is asked for again although no other connection has written', async t => {
	const clock = new HandClock();
	let isInTheWay = true;
	let refusals = 0;
	const verbs = (inner: Store): Partial<Store> => ({
		async commit(changes) {
			if (!isInTheWay || !changes.claim?.lanes.some(({task, isQuarantined}) => task === 'held' && !isQuarantined)) return inner.commit(changes);
			refusals++;
			throw new FaenaError('BadRow', 'refused');
		},
	});
	const {queue, store} = makeStore(verbs, clock);
	const told: unknown[] = [];
	const output = (message: DispatcherMessage) => {
		if (message.type === 'replies') for (const event of message.events) if (event.type === 'refused') told.push(event.task);
	};
	const tasks = ['held', ...Array.from({length: 50}, () => 'count')];
	await queue.enqueue(tasks.map(task => newJob({task})));
	const pool = (own: PoolListener): Pool => ({...promptPool(own), load: async () => ['count', 'held'].map(name => ({name, options: {}}))});
	const dispatcher = new Dispatcher(store, pool, {owner: 'owner', leaseMs: 30_000, clock, events: ['refused'], output});
	await dispatcher.start();
	for (let ms = 0; ms < 500; ms++) await clock.advance(1);
	t.is((await queue.counts({task: 'count'})).completed, 50);
	t.deepEqual(told, ['held']);
	t.true(refusals < 10, `${refusals} refusals`);
	isInTheWay = false;
	for (let ms = 0; ms < 1500; ms++) await clock.advance(1);
	t.is((await queue.counts({task: 'held'})).completed, 1);
});

test('a look-up that fails beside the transactions is made again: the engine goes on, and its callers get their answers', async t => {
	stayAlive(t);
	let failing: 'outcomes' | 'changed' | 'counts' | undefined;
	let tell: (news: News) => unknown = () => undefined;
	const look = (kind: typeof failing) => {
		if (failing !== kind) return;
		failing = undefined;
		throw new FaenaError('DatabaseBusy', 'locked');
	};
	const {queue, store} = makeStore(inner => ({
		async outcomes(...args) {
			look('outcomes');
			return inner.outcomes(...args);
		},
		async counts() {
			look('counts');
			return inner.counts();
		},
		listen(owner, listener) {
			tell = listener;
			return inner.listen(owner, news => {
				if (failing !== 'changed' || news.type !== 'changed') return listener(news);
				failing = undefined;
				return listener({type: 'failed', error: new FaenaError('DatabaseBusy', 'locked')});
			});
		},
	}));
	/** Another connection has written. */
	const hasChanged = () => void tell({type: 'changed', stop: []});
	const policy = {...POLICY, maxAttempts: 1};
	const told = new EventEmitter<{message: [DispatcherMessage]}>();
	const next = async (isMeant: (message: RepliesMessage) => boolean) => {
		for await (const [message] of on(told, 'message') as AsyncIterableIterator<[DispatcherMessage]>) {
			if (message.type === 'failed') throw new Error(message.error.message);
			if (message.type === 'replies' && isMeant(message)) return;
		}
	};
	const stopped: number[] = [];
	const pool = (own: PoolListener): Pool => ({...promptPool(own), stop: id => stopped.push(id) > 0, run: () => undefined});
	const dispatcher = new Dispatcher(store, pool, {owner: 'owner', leaseMs: 30_000, output: message => void told.emit('message', message)});
	await dispatcher.start();
	const turn = () => new Promise(resolve => setImmediate(resolve));

	// Of jobs that another process cancelled,
	await queue.enqueue([newJob({task: 'elsewhere', policy}), newJob({policy})]);
	hasChanged();
	let isTold = next(message => noticesOf(message).some(({id}) => id === 1));
	failing = 'outcomes';
	dispatcher.receive([{call: 1, type: 'watch', ids: [1]}]);
	while (failing) await turn();
	await queue.cancel({ids: [1]});
	failing = 'outcomes';
	hasChanged();
	await isTold;

	// one that runs here,
	while ((await queue.job(2))?.status !== 'running') await turn();
	failing = 'changed';
	await queue.cancel({ids: [2]});
	while (stopped.length === 0) await turn();
	t.falsy(failing);
	t.deepEqual([...new Set(stopped)], [2]);

	// one that ended before it was asked for, by its key,
	const keyed = newJob({task: 'elsewhere', key: 'a', policy});
	await queue.enqueue([keyed]);
	await queue.cancel({ids: [3]});
	isTold = next(message => noticesOf(message).some(({id, earlier}) => id === 3 && earlier === true));
	failing = 'outcomes';
	const [group] = groupNew([keyed]);
	dispatcher.receive([{call: 2, type: 'enqueue', group: group ?? t.fail(), watch: true}]);
	await isTold;

	// and of whether anything is left to do.
	const isIdle = next(({replies}) => replies.some(each => each.call === 3));
	await queue.settle(1, [{id: 2, execution: 1, outcome: {type: 'cancelled'}}]);
	failing = 'counts';
	dispatcher.receive([{call: 3, type: 'idle', waiting: true}]);
	await isIdle;
	t.falsy(failing);
	dispatcher.receive([{call: 4, type: 'close', drainMs: 0}]);
});

test("a test's drain does not wait for a deletion that always fails", async t => {
	stayAlive(t);
	const {store} = makeStore(() => ({
		delete: () => Promise.reject(new FaenaError('BadRow', 'A row is damaged.')),
	}));
	const isDrained = Promise.withResolvers<void>();
	const dispatcher = new Dispatcher(store, listener => promptPool(listener), {
		owner: 'owner',
		leaseMs: 30_000,
		retention: {completed: 1000},
		output: message => {
			if (message.type === 'replies' && message.replies.some(({call}) => call === 1)) isDrained.resolve();
		},
	});
	await dispatcher.start();
	dispatcher.receive([{call: 1, type: 'idle', waiting: false}]);
	await isDrained.promise;
	t.pass();
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
});

test('a close keeps its time although the disk is full: outcomes could not be written, and that is reported', async t => {
	stayAlive(t);
	const {queue, store} = makeStore(inner => ({
		async commit(changes) {
			if (changes.settle?.length) throw new FaenaError('StorageFull', 'The disk is full.');
			return inner.commit(changes);
		},
	}));
	await queue.enqueue([newJob()]);
	const setBack = Promise.withResolvers<void>();
	const failed = Promise.withResolvers<DispatcherMessage>();
	const dispatcher = new Dispatcher(store, listener => promptPool(listener), {
		owner: 'owner',
		leaseMs: 30_000,
		events: ['setBack'],
		output: message => {
			if (message.type === 'failed') failed.resolve(message);
			else if (message.type === 'replies' && message.events.some(({type}) => type === 'setBack')) setBack.resolve();
		},
	});
	await dispatcher.start();
	await setBack.promise;
	dispatcher.receive([{call: 1, type: 'close', drainMs: 100}]);
	t.like(await failed.promise, {error: {code: 'StorageFull'}});
	t.like(await queue.job(1), {status: 'running'});
});

test('a result of more bytes than SQLite can hold is a failure of its job, and of no other', async t => {
	stayAlive(t);
	const queue = await openQueueAt(join(makeFolder(t), 'jobs.db'));
	const policy = {...POLICY, maxAttempts: 1};
	await queue.enqueue(['1', '2', '"huge"', '3'].map(payload => newJob({payload, policy})));
	// Its memory is asked for, and never touched.
	const huge = new Uint8Array(1_000_000_001);
	const notices: Notice[] = [];
	const [ended, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	const dispatcher = new Dispatcher(queue.store, listener => promptPool(listener, payload => (payload === '"huge"' ? huge : payload)), {
		owner: 'owner',
		leaseMs: 30_000,
		output: message => {
			if (message.type !== 'replies') return;
			if (notices.push(...noticesOf(message)) === 4) ended.resolve();
			if (message.replies.some(({call}) => call === 2)) closed.resolve();
		},
	});
	dispatcher.receive([{call: 1, type: 'watch', ids: [1, 2, 3, 4]}]);
	await dispatcher.start();
	await ended.promise;
	const byId = new Map(notices.map(notice => [notice.id, notice]));
	for (const [id, result] of [1, 2, 4].map((id, index) => [id, `${index + 1}`] as const)) t.like(byId.get(id), {status: 'completed', result});
	t.like(byId.get(3), {status: 'dead', error: {code: 'TooLarge'}});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
	await closed.promise;
});

test('a checkpoint is in a transaction within 50 ms of its arrival, however long others may wait for company on a slow disk', async t => {
	const clock = new HandClock();
	const written: number[] = [];
	const verbs = (inner: Store): Partial<Store> => ({
		async commit(changes) {
			if (changes.update?.length) written.push(clock.steadyMs());
			clock.pass(10);
			return inner.commit(changes);
		},
	});
	const {queue, store} = makeStore(verbs, clock);
	await queue.enqueue([newJob()]);
	let listener = undefined as unknown as PoolListener;
	const given: ClaimedGroup[] = [];
	const busyPool = (own: PoolListener): Pool => {
		listener = own;
		return {...promptPool(own), capacity: () => ({idle: 1 - given.length, prefetch: 0}), run: group => void given.push(group)};
	};
	const dispatcher = new Dispatcher(store, busyPool, {owner: 'owner', leaseMs: 30_000, clock, output: () => undefined});
	await dispatcher.start();
	while (given.length === 0) await clock.advance(1);
	const claim = claimAt(given[0] as ClaimedGroup, 0);
	for (let round = 1; round <= 5; round++) {
		const at = clock.steadyMs();
		// Progress alone does not make it later.
		listener.updated({...claim, progress: {done: round, at}});
		listener.updated({...claim, checkpoint: {at, state: `${round}`}});
		while (written.length < round) await clock.advance(1);
		t.true((written.at(-1) as number) - at <= 50, `${written.at(-1)} after ${at}`);
		t.is((await queue.values(1))?.checkpoint?.state, `${round}`);
	}
	await clock.advance(5);
	t.is(written.length, 5);
});
