import test from 'ava';
import {Dispatcher} from '../../lib/dispatcher/dispatcher.ts';
import type {Outcome} from '../../lib/job/claim.ts';
import type {EventName, JobEvent} from '../../lib/job/events.ts';
import {type ClaimedGroup, listIds, sizeOf} from '../../lib/job/groups/group.ts';
import {toEndedGroup} from '../../lib/job/groups/single-jobs.ts';
import type {PoolListener} from '../../lib/pool/pool.ts';
import type {News, Store} from '../../lib/store/store.ts';
import {type ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {arm, type Failpoints} from '../../lib/support/failpoint.ts';
import type {Call, DispatcherMessage, Notice, Reply} from '../../lib/transport/messages.ts';
import {newJob, verb} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandPool} from '../fixtures/hand-pool.ts';
import {noticesOf} from '../fixtures/notices.ts';
import {override} from '../fixtures/override.ts';
import {groupNew} from '../fixtures/plain.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {MemoryStore} from '../store/oracle.ts';

const EVENTS: readonly EventName[] = ['completed', 'recovered', 'ownerLost', 'workerLost', 'slowStart', 'memoryShort', 'setBack', 'refused'];
const RETURNED: Outcome = {type: 'returned', value: '1'};
const THREW: Outcome = {type: 'threw', error: {reason: 'threw', name: 'Error', message: 'it failed'}};

interface SetUp {
	readonly jobs?: number;
	readonly verbs?: (store: Store) => Partial<Store>;
	readonly hasPool?: boolean;
	readonly asksForSignals?: boolean;
	readonly prepare?: (queue: RawQueue, memory: MemoryStore, pool: HandPool) => Promise<unknown>;
	readonly leaseMs?: number;
}

type AnyReply = Reply & {readonly value?: unknown; readonly error?: {readonly code?: string; readonly message: string}};

/** A dispatcher that has started, on a store of so many jobs, with a pool of two workers. */
async function setUp({jobs = 0, verbs = () => ({}), hasPool = true, asksForSignals = false, prepare, leaseMs = 30_000}: SetUp = {}) {
	const [clock, pool] = [new HandClock(), new HandPool()];
	const memory = new MemoryStore({clock, leaseMs});
	const queue = new RawQueue(memory);
	await queue.enqueue(Array.from({length: jobs}, () => newJob()));
	await prepare?.(queue, memory, pool);
	let hasClosed = false;
	const store = override(override(memory, verbs), inner => ({
		async close() {
			hasClosed = true;
			// The test looks into it.
			await inner.counts();
		},
	}));
	const messages: DispatcherMessage[] = [];
	let listener = undefined as unknown as PoolListener;
	const makePool = (own: PoolListener) => {
		listener = own;
		return pool;
	};
	const dispatcher = new Dispatcher(store, hasPool ? makePool : undefined, {
		...{owner: 'owner', leaseMs, clock, events: EVENTS, closeOnSignals: asksForSignals},
		output: message => void messages.push(message),
	});
	const tasks = await dispatcher.start();
	const turn = async (turns = 5) => {
		for (let each = 0; each < turns; each++) await clock.nextTurn();
	};
	/** What the dispatcher has said since the last time. */
	const heard = async () => {
		await turn();
		const all = messages.splice(0);
		const replies: AnyReply[] = [];
		const notices: Notice[] = [];
		const events: JobEvent[] = [];
		const others: DispatcherMessage[] = [];
		for (const message of all) {
			if (message.type !== 'replies') others.push(message);
			else {
				replies.push(...message.replies);
				notices.push(...noticesOf(message));
				events.push(...message.events);
			}
		}
		return {replies, notices, events, others};
	};
	const call = async (...calls: Call[]) => {
		dispatcher.receive(calls);
		return (await heard()).replies;
	};
	const end = (chunk: ClaimedGroup, outcome: Outcome = RETURNED) => {
		const {lease, ids, createdAt} = chunk;
		listener.ended(chunk.task, [
			{
				...toEndedGroup(
					listIds(ids, sizeOf(chunk)).map(id => ({id, lease, execution: 1, outcome})),
					createdAt,
				),
				claimed: chunk,
			},
		]);
	};
	return {call, clock, dispatcher, end, hasClosed: () => hasClosed, heard, listener, memory, pool, queue, tasks, turn};
}

function enqueueCall(call: number, watch = false): Call {
	return {call, type: 'enqueue', group: groupNew([newJob()])[0] as never, watch};
}

const close = (call: number, drainMs: number, isSignalled = false): Call => ({call, type: 'close', drainMs, isSignalled});

function fail(code: ErrorCode): never {
	throw new FaenaError(code, code);
}

// Starting

test('a dispatcher announces the tasks of its pool, reclaims the jobs of dead owners, and claims waiting jobs', async t => {
	let looks = 0;
	const {tasks, heard, pool} = await setUp({
		async prepare(queue, memory) {
			await queue.enqueue([newJob(), newJob()]);
			await queue.dequeue({owner: 'dead', tasks: ['count'], limit: 1});
			await memory.release('dead', {leave: true});
		},
		verbs: () => ({reclaim: async () => ({jobs: looks++ === 0 ? 1 : 0, hasMore: false})}),
	});
	t.deepEqual(tasks, [{name: 'count', options: {}}]);
	const {events} = await heard();
	t.deepEqual(events, [{type: 'recovered', jobs: 1}]);
	t.deepEqual(
		pool.given.map(({ids}) => ids),
		[1, 2],
	);
});

test('a first look for dead owners that fails, or finds none, is not reported', async t => {
	for (const reclaim of [async () => fail('DatabaseBusy'), async () => ({jobs: 0, hasMore: false})]) {
		let looks = 0;
		const {heard} = await setUp({
			verbs: inner => ({reclaim: () => (looks++ === 0 ? reclaim() : inner.reclaim())}),
		});
		t.deepEqual((await heard()).events, []);
	}
});

test('a pool that can not load its tasks is closed, and fails the start', async t => {
	const pool = new HandPool();
	pool.load = async () => fail('BadTasksModule');
	const dispatcher = new Dispatcher(new MemoryStore(), () => pool, {owner: 'owner', leaseMs: 30_000, clock: new HandClock(), output: () => undefined});
	const {promise: closed, resolve} = Promise.withResolvers<void>();
	pool.close = () => closed;
	let hasFailed = false;
	const started = dispatcher.start().catch(error => {
		hasFailed = true;
		throw error;
	});
	await new Promise(next => setImmediate(next));
	t.false(hasFailed);
	resolve();
	await t.throwsAsync(started, {code: 'BadTasksModule'});
});

test('a dispatcher without a pool serves its callers, and runs nothing', async t => {
	const {tasks, call, queue} = await setUp({hasPool: false});
	t.deepEqual(tasks, []);
	t.like(await call(enqueueCall(1), verb(2, 'counts')), [{call: 2}, {call: 1, value: {ids: 1}}]);
	t.is((await queue.counts()).pending, 1);
	t.deepEqual(await call({call: 3, type: 'idle', waiting: true}), [{call: 3, value: undefined}]);
	t.deepEqual(await call(close(4, 0)), [{call: 4, value: undefined}]);
});

// Running

test('a caller that watches its jobs gets their ends, after they are settled', async t => {
	const {call, end, heard, pool, queue} = await setUp();
	t.deepEqual(await call(enqueueCall(1, true)), [{call: 1, value: {ids: 1}}]);
	end(pool.given[0] as ClaimedGroup);
	const {notices, events} = await heard();
	t.deepEqual(notices, [{id: 1, status: 'completed', result: '1'}]);
	t.deepEqual(events, [{type: 'completed', id: 1, task: 'count', attempt: 1, durationMs: 0}]);
	t.is((await queue.counts()).completed, 1);
});

test("the pool's reports about workers reach the callers; a slow start at once", async t => {
	const {listener, heard, call} = await setUp();
	await heard();
	const told: JobEvent[] = [];
	listener.startsSlowly({kind: 'thread', durationMs: 10_000});
	told.push({type: 'slowStart', kind: 'thread', durationMs: 10_000});
	t.deepEqual((await heard()).events, told);
	listener.lost({kind: 'thread', reason: 'ended'});
	t.deepEqual((await heard()).events, [{type: 'workerLost', kind: 'thread', reason: 'ended'}]);
	listener.memoryShort(7);
	t.deepEqual((await heard()).events, []);
	const [reply] = await call({call: 1, type: 'stats'});
	t.like(reply, {value: {lostWorkers: 1, slots: 2}});
});

test('memory that gets short is reported with the next message', async t => {
	const {listener, heard} = await setUp();
	await heard();
	listener.memoryShort(7);
	listener.freed();
	t.deepEqual((await heard()).events, [{type: 'memoryShort', id: 7}]);
});

test('an update of a running job is written within 20 ms, although no other event comes', async t => {
	const {listener, clock, queue, turn} = await setUp({jobs: 1});
	await turn();
	listener.updated({id: 1, lease: 1, execution: 1, progress: {done: 1, at: 5}});
	await clock.advance(20);
	t.like(await queue.job(1), {progress: {done: 1}});
});

test('a delayed job is claimed when it is due, and one of another process when the store reports it', async t => {
	let tell: (news: News) => unknown = () => undefined;
	const {queue, pool, clock, turn} = await setUp({
		verbs: () => ({
			listen(_, listener) {
				tell = listener;
				return () => undefined;
			},
		}),
		prepare: queue => queue.enqueue([newJob({runAt: 1500})]),
	});
	await turn();
	await clock.advance(499);
	t.is(pool.given.length, 0);
	await clock.advance(1);
	t.is(pool.given.length, 1);
	await queue.enqueue([newJob()]);
	await turn();
	t.is(pool.given.length, 1);
	void tell({type: 'changed', stop: []});
	await turn();
	t.is(pool.given.length, 2);
	void tell({type: 'changed', stop: [{id: 2, lease: 2, execution: 1}]});
	await turn();
	t.deepEqual(pool.calls, [['stop', 2, 'cancelled', 2]]);
});

test('while all workers are busy outcomes wait for a chunk of work; a call or an enqueue does not wait, and takes them along', async t => {
	const {pool, end, queue, clock, call, turn, heard} = await setUp({jobs: 2});
	await turn();
	pool.capacity = () => ({idle: 0, prefetch: 0});
	end(pool.given[0] as ClaimedGroup);
	await turn();
	t.is((await queue.counts()).completed, 0);
	await clock.advance(3);
	t.is((await queue.counts()).completed, 0);
	await clock.advance(2);
	t.is((await queue.counts()).completed, 1);
	end(pool.given[1] as ClaimedGroup);
	await turn();
	t.is((await queue.counts()).completed, 1);
	await call(verb(1, 'paused'));
	t.is((await queue.counts()).completed, 2);
	t.like(await call(enqueueCall(2)), [{call: 2, value: {ids: 3}}]);
	t.is((await heard()).others.length, 0);
});

test('a pause takes waiting jobs back from the pool, and a cancel stops running jobs', async t => {
	const {pool, call, turn} = await setUp({jobs: 2});
	await turn();
	pool.has = () => true;
	t.deepEqual(await call(verb(1, 'pause', ['count'])), [{call: 1, value: undefined}]);
	t.like(await call(verb(2, 'cancel', {ids: [1]})), [{call: 2, value: {asked: [1]}}]);
	t.deepEqual(pool.calls, [['release', 'count'], ['stop', 1, 'cancelled'], ['confirmStops']]);
});

test('an idle call is answered when neither pool nor store has anything left to do', async t => {
	const {pool, call, end, heard, turn, clock} = await setUp({jobs: 1});
	await turn();
	t.deepEqual(await call({call: 1, type: 'idle', waiting: true}), []);
	pool.size = 1;
	end(pool.given[0] as ClaimedGroup);
	t.deepEqual((await heard()).replies, []);
	pool.size = 0;
	await clock.advance(1000);
	t.deepEqual((await heard()).replies, [{call: 1, value: undefined}]);
});

test('an idle look that fails is made again after a while', async t => {
	let failures = 0;
	const {call, clock, heard} = await setUp({
		verbs: inner => ({
			async counts() {
				if (failures++ < 1) fail('DatabaseBusy');
				return inner.counts();
			},
		}),
	});
	t.deepEqual(await call({call: 1, type: 'idle', waiting: true}), []);
	await clock.advance(10);
	t.deepEqual((await heard()).replies, []);
	await clock.advance(1000);
	t.deepEqual((await heard()).replies, [{call: 1, value: undefined}]);
});

test('an idle look that failed is not made, and does not keep the loop awake, while jobs run', async t => {
	let looks = 0;
	const {call, clock, pool, turn} = await setUp({
		verbs: () => ({
			async counts() {
				looks++;
				return fail('DatabaseBusy');
			},
		}),
	});
	await call({call: 1, type: 'idle', waiting: true});
	await call(enqueueCall(2));
	pool.size = 1;
	await clock.advance(1000);
	await turn();
	t.is(await roundsOf(clock), 0);
	t.is(looks, 1);
});

test('watched jobs that another process may have ended are looked up 200 at a time, 20 ms apart', async t => {
	let tell: (news: News) => unknown = () => undefined;
	let looks = 0;
	const {call, clock, queue, heard, turn} = await setUp({
		hasPool: false,
		jobs: 300,
		verbs: inner => ({
			listen(_, listener) {
				tell = listener;
				return () => undefined;
			},
			outcomes(...args) {
				looks++;
				return inner.outcomes(...args);
			},
		}),
	});
	await call({call: 1, type: 'watch', ids: Array.from({length: 300}, (_, index) => index + 1)});
	looks = 0;
	await queue.cancel({ids: [300]});
	void tell({type: 'changed', stop: []});
	await turn();
	t.is(looks, 1);
	for (let each = 0; each < 3; each++) await call({call: 2, type: 'stats'});
	t.is(looks, 1);
	await clock.advance(19);
	t.is(looks, 1);
	await clock.advance(1);
	t.is(looks, 2);
	t.like((await heard()).notices, [{id: 300, status: 'cancelled'}]);
});

// Upkeep

test('an owner that was taken for dead releases all jobs and stops the running ones, which others may run by now', async t => {
	const {memory, clock, pool, heard, turn} = await setUp({jobs: 1, leaseMs: 3000});
	await turn();
	await memory.release('owner', {leave: true});
	await clock.advance(1000);
	t.deepEqual(eventsOf(await heard(), 'ownerLost'), [{type: 'ownerLost'}]);
	t.deepEqual(pool.calls.slice(0, 2), [['release', undefined], ['interrupt']]);
});

test('jobs that are reclaimed from dead owners are reported, and claimed', async t => {
	let pages = 0;
	const {clock, queue, heard, pool, turn} = await setUp({
		verbs: () => ({reclaim: async () => ({jobs: ++pages === 3 ? 4 : 0, hasMore: false})}),
	});
	await turn();
	await queue.enqueue([newJob()]);
	await clock.advance(1000);
	t.deepEqual(eventsOf(await heard(), 'recovered'), [{type: 'recovered', jobs: 4}]);
	t.is(pool.given.length, 1);
});

test('a heartbeat that fails is a setback, tried again after a while, and the end of the setback when it succeeds', async t => {
	let fails = true;
	let beats = 0;
	const {clock, heard} = await setUp({
		leaseMs: 3000,
		verbs: inner => ({
			async heartbeat(owner) {
				beats++;
				if (fails) fail('DatabaseBusy');
				return inner.heartbeat(owner);
			},
		}),
	});
	await heard();
	await clock.advance(1000);
	t.like(eventsOf(await heard(), 'setBack'), [{setbacks: 1, waitMs: 20}]);
	await clock.advance(10);
	t.is(beats, 1);
	await clock.advance(1000);
	t.like(eventsOf(await heard(), 'setBack'), [{setbacks: 2, waitMs: 40}]);
	fails = false;
	await clock.advance(1000);
	fails = true;
	await clock.advance(1000);
	t.like(eventsOf(await heard(), 'setBack'), [{setbacks: 1}]);
});

test('rows in the way of reclaiming jobs are reported', async t => {
	const {heard} = await setUp({verbs: () => ({reclaim: async () => fail('BadRow')})});
	t.like(eventsOf(await heard(), 'refused'), [{type: 'refused', error: {code: 'BadRow'}}]);
});

test('a store that can not look is a setback, until it can', async t => {
	let tell: (news: News) => unknown = () => undefined;
	const {heard} = await setUp({
		verbs: () => ({
			listen(_, listener) {
				tell = listener;
				return () => undefined;
			},
		}),
	});
	await heard();
	const trouble = async () => {
		void tell({type: 'failed', error: new FaenaError('DatabaseBusy', 'locked')});
		return eventsOf(await heard(), 'setBack').map(event => 'setbacks' in event && event.setbacks);
	};
	t.deepEqual([await trouble(), await trouble()], [[1], [2]]);
	void tell({type: 'health', databaseBytes: 0, freeBytes: 0, logBytes: 0});
	await heard();
	t.deepEqual(await trouble(), [1]);
});

test('a batch whose leaving could not be written is left a little later; while that fails, it is a setback', async t => {
	let failures = 2;
	const {call, clock, queue, heard} = await setUp({
		verbs: inner => ({
			async updateBatch(...args) {
				if (failures-- > 0) fail('StorageFull');
				return inner.updateBatch(...args);
			},
		}),
	});
	const [opened] = await call(verb(1, 'openBatch', 'nightly', 'count'));
	t.like(await call(verb(2, 'leaveBatch', (opened?.value as {id: number} | undefined)?.id)), [{error: {code: 'StorageFull'}}]);
	await clock.advance(1000);
	t.like(eventsOf(await heard(), 'setBack'), [{setbacks: 1}]);
	await t.throwsAsync(queue.openBatch('nightly', 'count', 'other'), {code: 'BatchInUse'});
	await clock.advance(1000);
	await t.notThrowsAsync(queue.openBatch('nightly', 'count', 'other'));
});

// The end

test('a close releases jobs that have not started, lets running jobs end, and then deregisters; later calls are refused', async t => {
	const {call, listener, end, pool, heard, queue, memory, hasClosed, turn, clock} = await setUp({jobs: 1});
	await turn();
	pool.size = 1;
	t.deepEqual(await call(close(1, 5000)), []);
	t.deepEqual(pool.calls, [['release', undefined]]);
	t.like(await call(verb(2, 'counts'), enqueueCall(3)), [
		{call: 2, error: {code: 'Closed', message: 'This engine is closed; open() another one.'}},
		{call: 3, error: {code: 'Closed'}},
	]);
	await queue.enqueue([newJob()]);
	listener.freed();
	await clock.advance(4999);
	t.deepEqual([pool.given.length, pool.calls.length], [1, 1]);
	end(pool.given[0] as ClaimedGroup);
	pool.size = 0;
	const {replies, events} = await heard();
	t.deepEqual(replies, [{call: 1, value: undefined}]);
	t.deepEqual(events, [{type: 'completed', id: 1, task: 'count', attempt: 1, durationMs: 0}]);
	t.deepEqual(pool.calls.slice(1), [['close']]);
	t.is(await memory.heartbeat('owner'), 'fenced');
	t.true(hasClosed());
});

test('when the time to drain is over, running jobs are stopped, once; each close is answered, and a shorter one shortens the time', async t => {
	const {call, listener, end, pool, heard, clock, turn} = await setUp({jobs: 1});
	await turn();
	pool.size = 1;
	t.deepEqual(await call(close(1, 5000)), []);
	t.deepEqual(await call(close(2, 1000), close(3, 9000)), []);
	await clock.advance(999);
	t.deepEqual(pool.calls, [['release', undefined]]);
	await clock.advance(1);
	t.deepEqual(pool.calls.slice(1), [['interrupt']]);
	await clock.advance(1000);
	listener.freed();
	await turn();
	t.is(pool.calls.length, 2);
	pool.size = 0;
	end(pool.given[0] as ClaimedGroup, {type: 'released'});
	t.deepEqual(
		(await heard()).replies.map(each => each.call),
		[1, 2, 3],
	);
});

test('a close answers the calls that came before it, but refuses an idle() that would have to wait', async t => {
	const {call, queue} = await setUp({jobs: 1, hasPool: false});
	t.deepEqual(await call({call: 1, type: 'watch', ids: [1]}), [{call: 1, value: undefined}]);
	const replies = await call(enqueueCall(2), verb(3, 'counts'), {call: 4, type: 'idle', waiting: true}, close(5, 0));
	t.deepEqual(
		replies.map(each => [each.call, each.error?.code]),
		[
			[3, undefined],
			[2, undefined],
			[4, undefined],
			[5, undefined],
		],
	);
	t.is((await queue.counts()).pending, 2);
	const waiting = await setUp({jobs: 1});
	await waiting.turn();
	waiting.pool.size = 1;
	t.deepEqual(await waiting.call({call: 1, type: 'idle', waiting: true}, close(2, 9000)), []);
	waiting.end(waiting.pool.given[0] as ClaimedGroup, {type: 'released'});
	waiting.pool.size = 0;
	const ended = (await waiting.heard()).replies;
	t.like(ended, [{call: 1, error: {code: 'Closed', message: 'The engine was closed while idle() waited.'}}, {call: 2}]);
});

test('an owner that can not be deregistered reports that, and has closed all the same', async t => {
	let releases = 0;
	const {call, heard, dispatcher} = await setUp({
		verbs: () => ({
			async release() {
				releases++;
				return fail('StorageFull');
			},
		}),
	});
	await heard();
	dispatcher.receive([close(1, 0)]);
	const {replies, events} = await heard();
	t.deepEqual(replies, [{call: 1, value: undefined}]);
	t.like(events, [{type: 'setBack', setbacks: 1, waitMs: 0, error: {code: 'StorageFull'}}]);
	t.is(releases, 1);
	t.deepEqual(await call(verb(2, 'counts')), []);
});

test("all pages of an owner's jobs are released at its end", async t => {
	const pages = [true, true, false];
	const options: unknown[] = [];
	const {call} = await setUp({
		verbs: () => ({
			async release(_, own) {
				options.push(own);
				return {jobs: 1, hasMore: pages.shift() ?? false};
			},
		}),
	});
	await call(close(1, 0));
	t.deepEqual(options, Array(3).fill({leave: true}));
});

test('before executions that threw are settled the caller is asked for signals; a close by a signal does not charge them', async t => {
	for (const [isSignalled, attempts] of [
		[true, 0],
		[false, 1],
	] as const) {
		const {call, end, pool, heard, queue, turn} = await setUp({jobs: 1, asksForSignals: true});
		await turn();
		end(pool.given[0] as ClaimedGroup, THREW);
		t.deepEqual((await heard()).others, [{type: 'signalQuery'}]);
		t.is((await queue.job(1))?.attempts, 0);
		await call(close(1, 5000, isSignalled), {call: 0, type: 'signalAnswered'});
		t.like(await queue.job(1), {attempts});
	}
	const {end, pool, heard, turn} = await setUp({jobs: 1});
	await turn();
	end(pool.given[0] as ClaimedGroup, THREW);
	t.deepEqual((await heard()).others, []);
});

test('a permanent error ends the dispatcher: its callers get it, its pool is closed, and it sends no more messages', async t => {
	let isGone = false;
	let isHeard = true;
	const {call, clock, heard, dispatcher, pool} = await setUp({
		verbs: inner => ({
			listen: () => () => {
				isHeard = false;
			},
			async commit(changes) {
				if (isGone) fail('BadDatabase');
				return inner.commit(changes);
			},
		}),
	});
	await heard();
	isGone = true;
	dispatcher.receive([enqueueCall(1)]);
	const {replies, others} = await heard();
	t.like(replies, [{call: 1, error: {code: 'BadDatabase'}}]);
	t.like(others, [{type: 'failed', error: {code: 'BadDatabase'}}]);
	t.deepEqual(pool.calls, [['close']]);
	t.false(isHeard);
	t.deepEqual(await call(verb(2, 'counts')), []);
	await clock.advance(5000);
	t.deepEqual((await heard()).others, []);
});

test('after a commit that failed the next one waits, calls or not, and so does the loop', async t => {
	let failures = 0;
	const {call, clock, queue, pool, end, turn} = await setUp({
		jobs: 1,
		verbs: inner => ({
			async commit(changes) {
				if (changes.settle?.length && failures++ < 2) fail('StorageFull');
				return inner.commit(changes);
			},
		}),
	});
	await turn();
	end(pool.given[0] as ClaimedGroup);
	await turn();
	t.is(failures, 2);
	t.is(await roundsOf(clock), 0);
	t.like(await call(verb(1, 'counts')), [{value: [{running: 1}]}]);
	await clock.advance(19);
	t.is(failures, 2);
	await clock.advance(1);
	t.is((await queue.counts()).completed, 1);
});

test('between the transactions that find refused writes the event loop turns, so that timers run', async t => {
	let turns = 0;
	const refusedAt: number[] = [];
	const {dispatcher, turn} = await setUp({
		verbs: inner => ({
			async commit(changes) {
				if (!changes.enqueue?.length) return inner.commit(changes);
				refusedAt.push(turns);
				return fail('BadRow');
			},
		}),
	});
	let counter: NodeJS.Immediate | undefined;
	const count = () => {
		turns++;
		counter = setImmediate(count);
	};
	count();
	dispatcher.receive([1, 2, 3, 4].map(call => enqueueCall(call)));
	await turn(50);
	clearImmediate(counter);
	t.true(refusedAt.length > 4);
	t.is(new Set(refusedAt).size, refusedAt.length);
});

for (const moment of ['pool:loaded', 'close:drained', 'close:left', 'close:closed'] as const) {
	test.serial(`a program under test can be made to die at the moment ${moment}`, async t => {
		const disarm = arm({[moment]: 'throw'} as Failpoints);
		const message = `The failpoint ${moment} was reached.`;
		if (moment === 'pool:loaded') await t.throwsAsync(setUp(), {message});
		else {
			const {dispatcher, heard} = await setUp();
			dispatcher.receive([close(1, 0)]);
			t.like((await heard()).others, [{type: 'failed', error: {message: `Faena's dispatcher failed: ${message}`}}]);
		}
		disarm();
	});
}

function eventsOf({events}: {readonly events: readonly JobEvent[]}, type: EventName): JobEvent[] {
	return events.filter(event => event.type === type);
}

/** How many rounds the loop makes in some turns of the event loop, while nothing happens and no time passes. */
async function roundsOf(clock: HandClock): Promise<number> {
	const {nextTurn} = clock;
	let rounds = 0;
	const counting = () => {
		rounds++;
		return nextTurn();
	};
	Object.assign(clock, {nextTurn: counting});
	for (let turn = 0; turn < 20; turn++) await nextTurn();
	Object.assign(clock, {nextTurn});
	return rounds;
}
