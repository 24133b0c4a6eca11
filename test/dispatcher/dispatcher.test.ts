import {EventEmitter, on} from 'node:events';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {Dispatcher} from '../../lib/dispatcher/dispatcher.ts';
import type {Encoded} from '../../lib/job/encoding.ts';
import type {ErrorEnvelope} from '../../lib/job/error-envelope.ts';
import type {BatchId, CancelResult, JobFilter, Policy} from '../../lib/job/job.ts';
import {expandSettling} from '../../lib/job/runs.ts';
import type {Chunk, Pool, PoolListener} from '../../lib/pool/pool.ts';
import {MemoryQueue} from '../../lib/store/memory.ts';
import {openSqlite} from '../../lib/store/sqlite/sqlite.ts';
import type {Moved, MovePage, MoveTarget, Turn, TurnResult} from '../../lib/store/store.ts';
import {type Clock, systemClock} from '../../lib/support/clock.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import type {DispatcherMessage, FailedMessage, Notice, RepliesMessage, Reply, Verbs} from '../../lib/transport/messages.ts';
import {makeFolder} from '../fixtures/folder.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};

test('a dequeue that took effect though its commit seemed to fail leaves no job with nobody', async t => {
	// A dispatcher's own timers keep no process alive.
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	const queue = new (class extends MemoryQueue {
		#hasFailed = false;

		override turn(turn: Turn): TurnResult {
			const result = super.turn(turn);
			if (this.#hasFailed || result.dequeued.jobs.length === 0) return result;
			this.#hasFailed = true;
			throw new FaenaError('OutcomeUnknown', 'The disk did not say.');
		}
	})();
	await queue.enqueue([{task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY}]);
	const ended = Promise.withResolvers<Notice>();
	const dispatcher = new Dispatcher(queue, listener => promptPool(listener), {
		owner: 'owner',
		leaseMs: 30_000,
		output: message => message.type === 'replies' && message.notices[0] && ended.resolve(message.notices[0]),
	});
	await dispatcher.start();
	dispatcher.receive([{call: 1, type: 'watch', ids: [1]}]);
	t.like(await ended.promise, {id: 1, status: 'completed'});
	t.like(await queue.job(1), {executions: 2, attempts: 0});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
});

test('a transaction that fails for a while is told of each time, and what ended is written once it succeeds', async t => {
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	let failures = 0;
	const queue = new (class extends MemoryQueue {
		override turn(turn: Turn): TurnResult {
			if (turn.settle?.length && failures++ < 6) throw new FaenaError('StorageFull', 'The disk is full.');
			return super.turn(turn);
		}
	})();
	await queue.enqueue([{task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY}]);
	const ended = Promise.withResolvers<Notice>();
	const told: unknown[] = [];
	const dispatcher = new Dispatcher(queue, listener => promptPool(listener), {
		owner: 'owner',
		leaseMs: 30_000,
		events: ['setBack'],
		output: message => {
			if (message.type !== 'replies') return;
			for (const event of message.events) if (event.type === 'setBack') told.push([event.setbacks, event.waitMs, event.error.code]);
			if (message.notices[0]) ended.resolve(message.notices[0]);
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
	t.like(queue.job(1), {status: 'completed', executions: 1, attempts: 0});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
});

const TASKS_100 = Array.from({length: 100}, (_, index) => `task ${index}`);

for (const [what, tasks, isRefused] of [
	['outcomes', ['count'], turn => expandSettling(turn.settle ?? []).some(({outcome}) => outcome.type === 'returned')],
	['dequeues', TASKS_100, turn => (turn.dequeue?.tasks ?? []).some(({task}) => task === 'task 99')],
] as const satisfies [string, string[], (turn: Turn) => boolean][]) {
	test(`while a slow disk is asked many times which ${what} are refused, the owner keeps its heartbeat`, async t => {
		const leaseMs = 30_000;
		const clock = new HandClock();
		const beats: number[] = [];
		const queue = new (class extends MemoryQueue {
			override turn(turn: Turn): TurnResult {
				clock.pass(1000);
				if (isRefused(turn)) throw new FaenaError('BadRow', 'refused');
				return super.turn(turn);
			}
			override heartbeat(owner: string): boolean {
				beats.push(clock.steadyMs());
				return super.heartbeat(owner);
			}
		})();
		const jobs = Array.from({length: 100}, (_, index) => tasks[index % tasks.length] as string);
		await queue.enqueue(jobs.map(task => ({task, payload: '1', priority: 0, runAt: null, policy: {...POLICY, maxAttempts: 1}})));
		const pool = (own: PoolListener): Pool => ({...promptPool(own), load: async () => tasks.map(name => ({name, options: {batchSize: 100}}))});
		const dispatcher = new Dispatcher(queue, pool, {owner: 'owner', leaseMs, clock, output: () => undefined});
		await dispatcher.start();
		while (queue.counts().dead + queue.counts().completed < 99) await clock.advance(1);
		beats.push(clock.steadyMs());
		const longestMs = Math.max(...beats.slice(1).map((at, index) => at - (beats[index] as number)));
		t.true(longestMs < leaseMs, `${longestMs} ms without a heartbeat`);
	});
}

test('while the dequeues of a task are refused, that is told once and the backlog of another goes on; it is asked again though nobody else has written', async t => {
	const clock = new HandClock();
	let isInTheWay = true;
	let refusals = 0;
	const queue = new (class extends MemoryQueue {
		override turn(turn: Turn): TurnResult {
			if (!isInTheWay || !turn.dequeue?.tasks.some(({task, suspects}) => task === 'held' && !suspects)) return super.turn(turn);
			refusals++;
			throw new FaenaError('BadRow', 'refused');
		}
	})();
	const told: unknown[] = [];
	const output = (message: DispatcherMessage) => {
		if (message.type === 'replies') for (const event of message.events) if (event.type === 'refused') told.push(event.task);
	};
	const tasks = ['held', ...Array.from({length: 50}, () => 'count')];
	await queue.enqueue(tasks.map(task => ({task, payload: '1', priority: 0, runAt: null, policy: POLICY})));
	const pool = (own: PoolListener): Pool => ({...promptPool(own), load: async () => ['count', 'held'].map(name => ({name, options: {}}))});
	const dispatcher = new Dispatcher(queue, pool, {owner: 'owner', leaseMs: 30_000, clock, events: ['refused'], output});
	await dispatcher.start();
	for (let ms = 0; ms < 500; ms++) await clock.advance(1);
	t.is(queue.counts({task: 'count'}).completed, 50);
	t.deepEqual(told, ['held']);
	t.true(refusals < 10, `${refusals} refusals`);
	isInTheWay = false;
	for (let ms = 0; ms < 1500; ms++) await clock.advance(1);
	t.is(queue.counts({task: 'held'}).completed, 1);
});

/** A queue that another connection has written to, and whose next look-up of one kind fails. */
class FailingLook extends MemoryQueue {
	failing: 'ends' | 'stops' | 'outstanding' | undefined;
	hasChanged = false;

	#look(kind: 'ends' | 'stops' | 'outstanding'): void {
		if (this.failing !== kind) return;
		this.failing = undefined;
		throw new FaenaError('DatabaseBusy', 'locked');
	}

	override ends(ids: readonly number[]) {
		this.#look('ends');
		return super.ends(ids);
	}
	override stops(owner: string) {
		this.#look('stops');
		return super.stops(owner);
	}
	override outstanding(...args: Parameters<MemoryQueue['outstanding']>) {
		this.#look('outstanding');
		return super.outstanding(...args);
	}
	override changes(): boolean {
		const {hasChanged} = this;
		this.hasChanged = false;
		return hasChanged;
	}
}

test('a look-up that fails beside the turns is made again: the engine goes on, and its callers hear what they wait for', async t => {
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	const queue = new FailingLook();
	const job = {task: 'count', payload: '1', priority: 0, runAt: null, policy: {...POLICY, maxAttempts: 1}};
	const told = new EventEmitter<{message: [DispatcherMessage]}>();
	const next = async (isMeant: (message: RepliesMessage) => boolean) => {
		for await (const [message] of on(told, 'message') as AsyncIterableIterator<[DispatcherMessage]>) {
			if (message.type === 'failed') throw new Error(message.error.message);
			if (message.type === 'replies' && isMeant(message)) return;
		}
	};
	const stopped: number[] = [];
	const pool = (own: PoolListener): Pool => ({...promptPool(own), stop: id => stopped.push(id) > 0, run: () => undefined});
	const dispatcher = new Dispatcher(queue, pool, {owner: 'owner', leaseMs: 30_000, output: message => void told.emit('message', message)});
	await dispatcher.start();

	// Of jobs that another process cancelled,
	await queue.enqueue([{...job, task: 'elsewhere'}, job]);
	let isTold = next(({notices}) => notices.some(({id}) => id === 1));
	queue.failing = 'ends';
	dispatcher.receive([{call: 1, type: 'watch', ids: [1]}]);
	while (queue.failing) await new Promise(resolve => setImmediate(resolve));
	await queue.cancel({ids: [1]});
	[queue.failing, queue.hasChanged] = ['ends', true];
	await isTold;

	// one that runs here,
	while (queue.job(2)?.status !== 'running') await new Promise(resolve => setImmediate(resolve));
	await queue.cancel({ids: [2]});
	[queue.failing, queue.hasChanged] = ['stops', true];
	while (stopped.length === 0) await new Promise(resolve => setImmediate(resolve));
	t.deepEqual(stopped, [2]);

	// one that ended before it was asked for, by its key,
	await queue.enqueue([{...job, task: 'elsewhere', key: 'a'}]);
	await queue.cancel({ids: [3]});
	isTold = next(({notices}) => notices.some(({id, earlier}) => id === 3 && earlier === true));
	queue.failing = 'ends';
	const call = {type: 'enqueue', task: 'elsewhere', payloads: ['1'], keys: ['a'], batch: undefined, priority: 0, runAt: null, policy: job.policy} as const;
	dispatcher.receive([{call: 2, ...call, watch: true}]);
	await isTold;

	// and of whether anything is left to do.
	const isIdle = next(({replies}) => replies.some(each => each.call === 3));
	await queue.turn({settle: [{id: 2, lease: 1, execution: 1, outcome: {type: 'cancelled'}}]});
	queue.failing = 'outstanding';
	dispatcher.receive([{call: 3, type: 'idle', waiting: true}]);
	await isIdle;
	t.falsy(queue.failing);
	dispatcher.receive([{call: 4, type: 'close', drainMs: 0}]);
});

test('a close keeps its time though the disk is full: what ended could not be written, and is told', async t => {
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	const queue = new (class extends MemoryQueue {
		override turn(turn: Turn): TurnResult {
			if (turn.settle?.length) throw new FaenaError('StorageFull', 'The disk is full.');
			return super.turn(turn);
		}
	})();
	await queue.enqueue([{task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY}]);
	const setBack = Promise.withResolvers<void>();
	const failed = Promise.withResolvers<FailedMessage>();
	const dispatcher = new Dispatcher(queue, listener => promptPool(listener), {
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
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	const queue = await openSqlite(join(makeFolder(t), 'jobs.db'));
	const policy = {...POLICY, maxAttempts: 1};
	// In a run of their own, and by themselves.
	await queue.enqueue(['1', '2', '"huge"', '3'].map(payload => ({task: 'count', payload, priority: 0, runAt: null, policy})));
	// Its memory is asked for, and never touched.
	const huge = new Uint8Array(1_000_000_001);
	const notices: Notice[] = [];
	const [ended, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	const dispatcher = new Dispatcher(queue, listener => promptPool(listener, payload => (payload === '"huge"' ? huge : payload)), {
		owner: 'owner',
		leaseMs: 30_000,
		output: message => {
			if (message.type !== 'replies') return;
			if (notices.push(...message.notices) === 4) ended.resolve();
			if (message.replies.some(({call}) => call === 2)) closed.resolve();
		},
	});
	dispatcher.receive([{call: 1, type: 'watch', ids: [1, 2, 3, 4]}]);
	await dispatcher.start();
	await ended.promise;
	const byId = new Map(notices.map(notice => [notice.id, notice]));
	for (const [id, value] of [1, 2, 4].map((id, index) => [id, `${index + 1}`] as const)) t.like(byId.get(id), {status: 'completed', value});
	t.like(byId.get(3), {status: 'dead', error: {code: 'TooLarge'}});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
	await closed.promise;
});

test('a checkpoint is in a transaction within 50 ms of its arrival, however long others may wait for company on a slow disk', async t => {
	const clock = new HandClock();
	const written: number[] = [];
	const queue = new (class extends MemoryQueue {
		override turn(turn: Turn): TurnResult {
			if (turn.notes?.length) written.push(clock.steadyMs());
			clock.pass(10);
			return super.turn(turn);
		}
	})();
	await queue.enqueue([{task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY}]);
	let listener = undefined as unknown as PoolListener;
	const given: Chunk[] = [];
	const busyPool = (own: PoolListener): Pool => {
		listener = own;
		return {...promptPool(own), places: () => ({idle: 1 - given.length, second: 0}), run: chunk => void given.push(chunk)};
	};
	const dispatcher = new Dispatcher(queue, busyPool, {owner: 'owner', leaseMs: 30_000, clock, output: () => undefined});
	await dispatcher.start();
	while (given.length === 0) await clock.advance(1);
	const {lease, jobs} = given[0] as Chunk;
	for (let round = 1; round <= 5; round++) {
		const at = clock.steadyMs();
		// Progress alone does not make it later.
		for (const {id, execution} of jobs.all) {
			listener.noted({id, lease, execution, progress: {done: round, at}});
			listener.noted({id, lease, execution, checkpoint: {at, state: `${round}`}});
		}
		while (written.length < round) await clock.advance(1);
		t.true((written.at(-1) as number) - at <= 50, `${written.at(-1)} after ${at}`);
		t.is(queue.values(1)?.checkpoint?.state, `${round}`);
	}
	await clock.advance(5);
	t.is(written.length, 5);
});

/** A clock that a test moves, timers and all. */
class HandClock implements Clock {
	#now = 1000;
	#timers: {readonly at: number; readonly call: () => void}[] = [];
	readonly now = () => this.#now;
	readonly steadyMs = () => this.#now;
	readonly nextTurn = () => new Promise<void>(resolve => setImmediate(resolve));

	after(ms: number, call: () => void): () => void {
		const timer = {at: this.#now + ms, call};
		this.#timers.push(timer);
		return () => {
			this.#timers = this.#timers.filter(each => each !== timer);
		};
	}

	every(ms: number, call: () => void): () => void {
		const beat = {stop: () => {}};
		const again = () => {
			beat.stop = this.after(ms, () => {
				again();
				call();
			});
		};
		again();
		return () => beat.stop();
	}

	/** Time passes in which nothing else happens. */
	pass(ms: number): void {
		this.#now += ms;
	}

	async advance(ms: number): Promise<void> {
		this.#now += ms;
		const due = this.#timers.filter(({at}) => at <= this.#now);
		this.#timers = this.#timers.filter(({at}) => at > this.#now);
		for (const {call} of due) call();
		for (let turn = 0; turn < 5; turn++) await this.nextTurn();
	}
}

/** So few jobs a page that some hundred jobs make many. */
class SmallPages extends MemoryQueue {
	override move(filter: JobFilter, to: MoveTarget, page?: MovePage): Moved {
		return super.move(filter, to, {limit: 10, ...page});
	}

	/** So that it can be asked after its dispatcher has closed. */
	override close(): void {}
}

const CANCEL = {type: 'verb', verb: 'cancel', args: [{task: 'count'}]} as const;

/** A dispatcher that runs nothing, on a queue of so many jobs of the task `count`; and its replies, as they come. */
async function dispatcherWith(
	t: ExecutionContext,
	jobs: number,
	queue: MemoryQueue = new SmallPages(),
	clock: Clock = systemClock,
): Promise<{dispatcher: Dispatcher; queue: MemoryQueue; replies: AsyncGenerator<Reply>}> {
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	await queue.enqueue(Array.from({length: jobs}, () => ({task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY})));
	const told = new EventEmitter<{reply: [Reply]}>();
	const replies = on(told, 'reply') as AsyncIterableIterator<[Reply]>;
	const output = (message: DispatcherMessage) => {
		if (message.type === 'replies') for (const reply of message.replies) told.emit('reply', reply);
	};
	const dispatcher = new Dispatcher(queue, undefined, {owner: 'owner', leaseMs: 30_000, clock, output});
	await dispatcher.start();
	return {
		dispatcher,
		queue,
		replies: (async function* () {
			for await (const [reply] of replies) yield reply;
		})(),
	};
}

test('a call that moves many jobs keeps no other call waiting, not even one that moves fewer, and is answered when all are moved', async t => {
	// By a clock that stands still, so that the calls of a round all have their time in it, however busy the machine is.
	const {dispatcher, queue, replies} = await dispatcherWith(t, 300, undefined, new HandClock());
	const enqueue = {
		type: 'enqueue',
		task: 'other',
		payloads: ['1'],
		keys: undefined,
		batch: undefined,
		priority: 0,
		runAt: null,
		policy: POLICY,
		watch: false,
	} as const;
	dispatcher.receive([
		{call: 1, ...CANCEL},
		{call: 2, type: 'verb', verb: 'withdraw', args: [Array.from({length: 30}, (_, index) => 300 - index), {stop: false}]},
		{call: 3, type: 'verb', verb: 'counts', args: []},
		{call: 4, ...enqueue},
	]);
	const order: Reply[] = [];
	while (order.length < 4) order.push((await replies.next()).value as Reply);
	t.deepEqual(
		order.map(({call}) => call),
		[3, 4, 2, 1],
	);
	t.like(order[0], {value: {pending: 280, cancelled: 10}});
	t.deepEqual(order[2], {call: 2, value: {withdrawn: Array.from({length: 30}, (_, index) => 271 + index), asked: []}});
	t.deepEqual(order[3], {call: 1, value: {cancelled: Array.from({length: 270}, (_, index) => 1 + index), asked: []}});
	t.like(await queue.counts(), {pending: 1, cancelled: 270});
	dispatcher.receive([{call: 5, type: 'close', drainMs: 0}]);
	t.like((await replies.next()).value, {call: 5});
});

test('a close lets a call that moves many jobs come to its end, but for no longer than it drains: then the call is told how far it came', async t => {
	const patient = await dispatcherWith(t, 300);
	patient.dispatcher.receive([
		{call: 1, ...CANCEL},
		{call: 2, type: 'close', drainMs: 60_000},
	]);
	t.is(((await patient.replies.next()).value as {value: CancelResult}).value.cancelled.length, 300);
	t.like((await patient.replies.next()).value, {call: 2});

	const hasty = await dispatcherWith(t, 300);
	hasty.dispatcher.receive([
		{call: 1, ...CANCEL},
		{call: 2, type: 'close', drainMs: 0},
	]);
	const {error} = (await hasty.replies.next()).value as Reply & {error: ErrorEnvelope};
	t.like(error, {
		code: 'Closed',
		message: 'The engine was closed before cancel() was done. It was done for 10 jobs, and that stays so; call it again for the others.',
	});
	t.like((await hasty.replies.next()).value, {call: 2});
	t.like(await hasty.queue.counts(), {pending: 290, cancelled: 10});
});

const verb = (call: number, name: keyof Verbs, ...args: readonly unknown[]) => ({call, type: 'verb', verb: name, args}) as const;

/** How a call of the store can fail: with nothing of it kept, or with nobody knowing. */
const FAILURES = {
	'the disk is full': {code: 'StorageFull', isKept: false},
	'the lock is not to be had': {code: 'DatabaseBusy', isKept: false},
	'the disk does not say, and nothing was kept': {code: 'OutcomeUnknown', isKept: false},
	'the disk does not say, and all was kept': {code: 'OutcomeUnknown', isKept: true},
} as const;

for (const [what, {code, isKept}] of Object.entries(FAILURES)) {
	for (const name of ['openBatch', 'closeBatch', 'leaveBatch'] as const) {
		test(`a batch that no map has any more is soon free to others, and at once to the next map here, though ${name} fails since ${what}`, async t => {
			let failures = 0;
			const fail = <Result>(own: typeof name, run: () => Result): Result => {
				if (own !== name || failures === 2) return run();
				failures++;
				if (isKept) run();
				throw new FaenaError(code, what);
			};
			class Failing extends SmallPages {
				override openBatch(...args: Parameters<MemoryQueue['openBatch']>): BatchId {
					return fail('openBatch', () => super.openBatch(...args));
				}
				override closeBatch(...args: Parameters<MemoryQueue['closeBatch']>): void {
					fail('closeBatch', () => super.closeBatch(...args));
				}
				override leaveBatch(...args: Parameters<MemoryQueue['leaveBatch']>): void {
					fail('leaveBatch', () => super.leaveBatch(...args));
				}
			}
			const {dispatcher, queue, replies} = await dispatcherWith(t, 0, new Failing());
			const ask = async (...call: Parameters<typeof verb>) => {
				dispatcher.receive([verb(...call)]);
				return (await replies.next()).value as Reply & {readonly value?: unknown; readonly error?: ErrorEnvelope};
			};
			for (const batch of ['here', 'elsewhere']) {
				failures = 0;
				const opened = await ask(1, 'openBatch', batch, 'count');
				if (name === 'openBatch') t.is(opened.error?.code, code);
				else t.is((await ask(2, name, opened.value as BatchId)).error?.code, code);
				failures = 2;
				if (batch === 'here') t.is((await ask(3, 'openBatch', batch, 'count')).error, undefined);
				else await t.notThrowsAsync(until(() => void queue.openBatch(batch, 'count', 'other')));
			}
			// What was tried again since has not taken it away.
			t.throws(() => queue.openBatch('here', 'count', 'other'), {code: 'BatchInUse'});
			dispatcher.receive([{call: 4, type: 'close', drainMs: 0}]);
			t.like((await replies.next()).value, {call: 4});
		});
	}
}

test('a batch that a map of the same engine has is refused at once, and open again as soon as that map has left it', async t => {
	const clock = new HandClock();
	const {dispatcher, replies} = await dispatcherWith(t, 0, new SmallPages(), clock);
	const ask = async (...call: Parameters<typeof verb>) => {
		dispatcher.receive([verb(...call)]);
		return (await replies.next()).value as Reply & {readonly value?: unknown; readonly error?: ErrorEnvelope};
	};
	const {value} = await ask(1, 'openBatch', 'nightly', 'count');
	// The clock stands still: nothing waits.
	t.is((await ask(2, 'openBatch', 'nightly', 'count')).error?.code, 'BatchInUse');
	dispatcher.receive([verb(3, 'leaveBatch', value), verb(4, 'openBatch', 'nightly', 'count')]);
	t.deepEqual(
		[(await replies.next()).value, (await replies.next()).value],
		[
			{call: 3, value: undefined},
			{call: 4, value},
		],
	);
});

test('a batch of a dead owner is opened, though rows of another dead owner are in the way of taking back its jobs', async t => {
	class Refusing extends SmallPages {
		#tries = 0;
		override openBatch(...args: Parameters<MemoryQueue['openBatch']>): BatchId {
			this.#tries++;
			return super.openBatch(...args);
		}
		override recover(): number {
			if (this.#tries > 1) super.leave('dying');
			throw new FaenaError('BadRow', 'A row is in the way.');
		}
	}
	const queue = new Refusing();
	queue.openBatch('nightly', 'count', 'dying');
	const {dispatcher, replies} = await dispatcherWith(t, 0, queue);
	dispatcher.receive([verb(1, 'openBatch', 'nightly', 'count')]);
	t.deepEqual((await replies.next()).value, {call: 1, value: 1});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
	t.like((await replies.next()).value, {call: 2});
});

/** Tries again and again, for five seconds. */
async function until(attempt: () => void): Promise<void> {
	for (const end = Date.now() + 5000; ; await new Promise(resolve => setTimeout(resolve, 5))) {
		try {
			return attempt();
		} catch (error) {
			if (Date.now() > end) throw error;
		}
	}
}

/** Every job returns at once. */
function promptPool(listener: PoolListener, resultOf: (payload: Encoded) => Encoded = () => null): Pool {
	return {
		slots: 1,
		size: 0,
		load: async () => [{name: 'count', options: {}}],
		maxJobs: () => 1000,
		places: () => ({idle: 1, second: 0}),
		run: ({task, lease, jobs}: Chunk) =>
			listener.ended(
				task,
				jobs.all.map(({id, execution, payload}) => ({id, lease, execution, outcome: {type: 'returned', value: resultOf(payload)}})),
			),
		stop: () => false,
		recall: async () => undefined,
		heard: async () => undefined,
		interrupt: () => undefined,
		close: async () => undefined,
	};
}
