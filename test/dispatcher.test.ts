import {join} from 'node:path';
import test from 'ava';
import type {Clock} from '../lib/clock.ts';
import {Dispatcher} from '../lib/dispatcher.ts';
import type {Encoded} from '../lib/encoding.ts';
import {FaenaError} from '../lib/errors.ts';
import type {Policy} from '../lib/job.ts';
import type {Chunk, Pool, PoolListener} from '../lib/pool.ts';
import type {FailedMessage, Notice} from '../lib/protocol.ts';
import type {Turn, TurnResult} from '../lib/queue.ts';
import {MemoryQueue} from '../lib/queues/memory.ts';
import {openSqlite} from '../lib/queues/sqlite.ts';
import {makeFolder} from './fixtures/folder.ts';

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
			else if (message.events.some(({type}) => type === 'setBack')) setBack.resolve();
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
		interrupt: () => undefined,
		close: async () => undefined,
	};
}
