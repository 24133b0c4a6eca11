import {nanoid} from 'nanoid';
import {enqueuesJobs} from '../dispatcher/commits.ts';
import {abortSignal, argument, atLeast, bad, checked, type Duration, duration, expected, integer, object, texts} from '../job/checks.ts';
import type {OwnerId} from '../job/claim.ts';
import {MAX_VALUE_LIMIT_BYTES} from '../job/encoding.ts';
import {fromEnvelope, fromFailure} from '../job/failure.ts';
import type {PoolOptions} from '../job/options.ts';
import type {TaskContext} from '../job/task/task.ts';
import {registerTasks, tableOf} from '../job/task/task-module.ts';
import type {Pool, PoolListener} from '../pool/pool.ts';
import {JobQueue} from '../store/job-queue.ts';
import type {News, Store} from '../store/store.ts';
import {defined} from '../support/defined.ts';
import type {FaenaError} from '../support/errors.ts';
import {warn} from './events.ts';
import {startHeartbeat} from './heartbeat.ts';
import {oneByOnePool} from './one-by-one-pool.ts';

/** Options of {@link work}. @example const options: WorkOptions = {concurrency: 4}; */
export interface WorkOptions {
	/** When it aborts, no other job starts, and `work()` ends after the running jobs. */
	readonly signal?: AbortSignal;
	/** The most jobs that run at the same time, for tasks that wait; default 1. Jobs that compute take turns: all share the caller's thread. */
	readonly concurrency?: number;
	/** How long after the signal running jobs may go on. Then they are asked to stop, interrupted and uncharged. Default: no limit. */
	readonly drain?: Duration;
	/**
	 * How often to look for jobs that other verbs of the same queue made ready, such as a retry; default 1 s. Jobs that are
	 * enqueued, here or by another process, are noticed within 50 ms in any case.
	 */
	readonly poll?: Duration;
	/**
	 * Whose jobs it runs, beside jobs without a scope; jobs that its tasks enqueue get that of their job, or the first. Default: only jobs without a
	 * scope. See the option `scope` of `open()`.
	 */
	readonly scope?: string | readonly string[];
}

/** A function that runs the jobs of a task. It is what {@link work} takes for each task, and what a tasks module exports.
 * @example const size: JobHandler = async (file: string) => file.length; */
// biome-ignore lint/suspicious/noExplicitAny: a parameter of type unknown would accept no function with a typed payload
export type JobHandler<Payload = any, Result = unknown> = (payload: Payload, context: TaskContext) => Result | Promise<Result>;

const POOL_OPTIONS: Omit<PoolOptions, 'tasks' | 'workers'> = {
	...{isolation: 'inline', defaults: {}, maxValueBytes: MAX_VALUE_LIMIT_BYTES, maxCheckpointBytes: MAX_VALUE_LIMIT_BYTES, taskOutput: 'inherit'},
	// A job in the caller's thread can't be ended by force.
	graceMs: Infinity,
	...{resourceLimits: undefined, env: undefined, execArgv: [], nice: undefined, minFreeMemoryBytes: 0, postMortem: false},
	recycle: {jobs: Infinity, ageMs: Infinity, memoryBytes: Infinity},
};

/**
 * Runs the queue's jobs of these tasks in the caller's own thread until the signal aborts: one after the other, or as many at a time as
 * `concurrency` says. It is for programs that need no pool. A task that computes blocks the caller; another thread renews the heartbeat, so that the loop keeps its jobs.
 * Timeouts and cancellations reach a task only through its context, and only while it waits: no job can be stopped by force. If its
 * program has ended ten times while a job ran, the loop leaves the job to an engine, which runs it in a child process, and warns.
 * A result has at most 1 GiB, the highest `maxValue` of `open()`. Close the queue only after this function has ended: a queue that is
 * closed releases the running job, which another program may then run at the same time.
 * @param tasks functions by task name, for instance a module's namespace
 * @throws FaenaError `BadOption`, `SetupFailed`; `DispatcherFailed` if the heartbeat's thread ends; an error of the queue that is
 *   permanent, or lasts longer than a minute
 * @example await work(queue, {size: async (file: string) => file.length}, {signal});
 */
export async function work(queue: JobQueue, tasks: Readonly<Record<string, unknown>>, options: WorkOptions = {}): Promise<void> {
	argument('work()', 'its first argument', queue, jobQueue);
	argument('work()', 'its second argument', tasks, object);
	const {signal, concurrency = 1, drain: drainMs = Infinity, poll = 1000, scope: scopes = []} = checked('work()', options, WORK_CHECKS);
	if (tableOf(tasks).size === 0) throw bad('work() expects an object with a function for each task; it got one without functions');
	const {store, wake} = storeOf(queue);
	const owner: OwnerId = nanoid();
	const url = `faena:work/${owner}`;
	const loop = await openLoop(queue, store, {owner, url, scopes, concurrency});
	const onAbort = () => loop.close(drainMs);
	let failure: FaenaError | undefined;
	const endHeartbeat = await startHeartbeat(queue.store, owner, error => {
		failure = error;
		loop.close(Infinity);
	});
	signal?.addEventListener('abort', onAbort);
	if (signal?.aborted) onAbort();
	const stopListening = queue.onEnqueue(wake);
	// It also keeps the process alive, which the timers of the store and the dispatcher don't.
	const timer = setInterval(wake, poll);
	registerTasks(url, tasks);
	try {
		await loop.run();
		if (failure) throw failure;
	} catch (error) {
		// The first error says why the loop failed. What fails after it usually has the same reason.
		await loop.endPool();
		await queue.leave(owner).catch(() => undefined);
		throw error;
	} finally {
		registerTasks(url, undefined);
		signal?.removeEventListener('abort', onAbort);
		stopListening();
		clearInterval(timer);
		await endHeartbeat();
	}
}

interface LoopOptions {
	readonly owner: OwnerId;
	/** By it the pool finds the tasks. */
	readonly url: string;
	readonly scopes: readonly string[];
	readonly concurrency: number;
}

/** A dispatcher with a pool, both in the caller's thread. */
async function openLoop(queue: JobQueue, store: Store, {owner, url, scopes, concurrency}: LoopOptions) {
	// Loaded only here: a program with a loop of its own needs neither.
	const [{Dispatcher}, {inlinePool}] = await Promise.all([import('../dispatcher/dispatcher.ts'), import('../pool/inline.ts')]);
	const ended = Promise.withResolvers<void>();
	let pool: Pool | undefined;
	const makePool = (listener: PoolListener) => {
		const options = {...POOL_OPTIONS, ...queue.store.ownerFiles(owner), defaults: defined({scope: scopes[0]}), workers: concurrency, tasks: url};
		pool = oneByOnePool(queue.store, concurrency, listener, own => inlinePool(options, own));
		return pool;
	};
	const dispatcher = new Dispatcher(store, makePool, {
		...{owner, leaseMs: queue.store.leaseMs, scopes, events: ['refused', 'secondLibrary']},
		output(message) {
			if (message.type === 'failed') ended.reject(fromEnvelope(message.error));
			if (message.type !== 'replies') return;
			for (const event of message.events) warn(event.type, event.type === 'refused' ? {...event, error: fromFailure(event.error)} : event);
			// The only call is `close`.
			if (message.replies.length > 0) ended.resolve();
		},
	});
	return {
		/** Resolves once it is closed, and rejects if it fails. */
		async run() {
			await dispatcher.start();
			await ended.promise;
		},
		/** Lets the running jobs go on for so long. */
		close: (drainMs: number) => dispatcher.receive([{type: 'close', call: 0, drainMs}]),
		endPool: async () => pool?.close(),
	};
}

export const WORK_CHECKS = {signal: abortSignal, concurrency: integer(1, 1024), drain: duration, poll: atLeast(1), scope: texts};

function jobQueue(value: unknown): unknown {
	if (value instanceof JobQueue) return value;
	throw expected('a queue, as openQueue() resolves with', value);
}

/** The queue's store for a loop, and a function that makes the loop look for jobs. When the loop ends, the store stays open. */
function storeOf(queue: JobQueue): {store: Store; wake(): void} {
	const {store} = queue;
	let tell: ((news: News) => unknown) | undefined;
	const own: Partial<Store> = {
		async commit(changes) {
			const committed = await store.commit(changes);
			if (changes.settle?.some(enqueuesJobs)) queue.announce();
			return committed;
		},
		listen(owner, listener) {
			tell = listener;
			return store.listen(owner, listener);
		},
		close: async () => undefined,
	};
	const get = (_: Store, name: keyof Store) => own[name] ?? (typeof store[name] === 'function' ? store[name].bind(store) : store[name]);
	return {store: new Proxy(store, {get}), wake: () => void tell?.({type: 'changed', stop: []})};
}
