import {argument, callable, object} from './checks.ts';
import type {BackoffOption, Duration, LogLevel, StopReason} from './job.ts';

/** What can be said of jobs at every level: by `open({defaults})`, by the task, by `enqueue`; the nearest wins. */
export interface ExecutionOptions {
	/** Higher runs first; default 0. */
	readonly priority?: number;
	/** Charged executions with which the job is dead; default 3. One that killed its worker 3 times is dead, whatever is said here. */
	readonly maxAttempts?: number;
	/**
	 * Longest run of one execution, from its start; default none. In a worker the task is stopped, whatever it does. `'300%'` is
	 * three times the median of the task's completed executions in this engine, from the tenth on, and at least 100 ms.
	 */
	readonly timeout?: Duration | 'none';
	/** Wait before the next attempt; default 1 s, doubled each time up to 1 h, half of it random. */
	readonly backoff?: BackoffOption;
	/** `manual` parks a failed job until `retry()`; default `auto`. */
	readonly retry?: 'auto' | 'manual';
}

/** What a task may say about itself: defaults for its jobs, which the options of `enqueue` override, and how it is run. */
export interface TaskOptions<Resource = unknown> extends ExecutionOptions {
	/** Where it runs; default: the engine's isolation. In a process, what crashes natively takes nobody along. */
	readonly isolation?: 'thread' | 'process';
	/** The most jobs of it that run at the same time, in all engines on the same queue together; default: as many as there are workers. */
	readonly concurrency?: number;
	/**
	 * What one job of it may need. A job is started only while so much memory is free, or nothing else runs; `open({minFreeMemoryBytes})`
	 * says what happens when it gets short nevertheless.
	 */
	readonly memoryBytes?: number;
	/**
	 * Called in each worker that may run the task before it takes jobs, for instance to load a model once; what it returns is
	 * {@link TaskContext.resource}. If it throws, `open()` rejects with `SetupFailed`.
	 */
	readonly setup?: () => Resource | Promise<Resource>;
	/** Called with what `setup` returned before a worker is ended in good order; it has as long as `open({grace})`. */
	readonly teardown?: (resource: Resource) => unknown;
}

/** A task that takes its jobs by the batch. */
export interface BatchTaskOptions<Resource = unknown> extends TaskOptions<Resource> {
	/**
	 * The most jobs that the function gets at once, as an array of payloads and one of contexts, at most 512; how many they are
	 * depends on how many wait. It returns an array of as many results, or promises of them; each job ends by its own, and an
	 * Error among them, or a rejection, fails that job alone. The smallest timeout is that of all. Jobs that time out or lose
	 * their worker together are each run again alone, uncharged; one that is cancelled is so when the function returns or its
	 * worker is ended, and the others then go back. Not for `work()`, which calls the function with one payload.
	 */
	readonly batchSize: number;
}

/** What the function of such a task returns. */
export type BatchResults<Result> = readonly (Result | Error | Promise<Result | Error>)[];

/** What a task gets beside its payload. Its methods may be taken out of it; {@link cancelled} and {@link stopReason} say what is at that moment. */
export interface TaskContext<Resource = unknown> {
	readonly job: {
		readonly id: number;
		readonly task: string;
		/** The number of this execution, from 1. */
		readonly execution: number;
		/** Attempts charged before this one. */
		readonly attempts: number;
		readonly maxAttempts: number;
		readonly key?: string;
	};
	/** What the task's `setup` returned in this worker. */
	readonly resource: Resource;
	/**
	 * Aborted when the job is to stop; for tasks that wait. Its reason is an Error whose message says why, in a sentence, and
	 * whose property `reason` is the {@link stopReason}.
	 */
	readonly signal: AbortSignal;
	/** True once the job is to stop; for tasks that compute: a read of shared memory, cheap enough for a tight loop. */
	readonly cancelled: boolean;
	/**
	 * Why the job is to stop: somebody `cancelled` it, it `timedOut`, or Faena shuts down and it is `interrupted`, to run again;
	 * `undefined` while it may go on. As cheap as {@link cancelled}.
	 */
	readonly stopReason: StopReason | undefined;
	/** Says how far the job is. Returns at once; calls that follow each other quickly are combined. Dropped once the job has ended, as are logs and checkpoints. */
	progress(done: number, total?: number): void;
	/**
	 * Keeps where the job is, for its next execution should this one not complete: after an error, a crash, a kill, a shutdown.
	 * The state may be whatever a payload may be, encoded at most 1 MiB (`open({maxCheckpointBytes})`). Returns at once, also
	 * in a loop that never yields; of calls within 50 ms of each other the last one counts. Deleted when the job completes or
	 * gets another payload; a retry goes on from it.
	 * @throws FaenaError `NotEncodable`, `TooLarge`
	 */
	checkpoint(state: unknown): void;
	/** The last {@link checkpoint} of the executions before this one; `undefined` if there is none. */
	readonly resumeFrom: unknown;
	/**
	 * Enqueues a job for when this one completes, in the same transaction: all of them or none. They are dropped if it throws,
	 * times out, is cancelled or interrupted. Checks and defaults are those of `engine.enqueue`; a `key` that exists with the
	 * same payload is not enqueued again, with another one this job fails. At most 10,000 jobs and 64 MiB of payloads.
	 * @throws FaenaError `UnknownTask`, `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict`, `Closed`
	 */
	enqueue(task: string, payload?: unknown, options?: JobOptions): void;
	/** Keeps a line with the job; `ctx.log('…')` is `ctx.log.info('…')`. The last 200 are kept, each up to 4,096 characters. */
	readonly log: TaskLog;
}

/** Writes a line of the level `info`, or another one, formatted as by `console.log`. */
export type TaskLog = ((...values: readonly unknown[]) => void) & Readonly<Record<LogLevel, (...values: readonly unknown[]) => void>>;

/** A function that a tasks module exports: sync or async, of one payload and the context. */
// biome-ignore lint/suspicious/noExplicitAny: a parameter of type unknown would accept no function with a typed payload
export type TaskFunction = (payload: any, context: TaskContext<any>) => unknown;

const OPTIONS = Symbol.for('faena.task.options');

/**
 * A task of this function, with options of its own. The function itself has none, and may be that of other tasks, too; of a task
 * it makes another one, with the options of both, where they differ these.
 * @example export const thumbnail = task(async ({file}: {file: string}) => { … }, {timeout: '30s'});
 * @example export const embed = task((texts: readonly string[]) => model.embed(texts), {batchSize: 64});
 */
export function task<Payload, Result, Resource = undefined>(
	run: (payloads: readonly Payload[], contexts: readonly TaskContext<Resource>[]) => BatchResults<Result> | Promise<BatchResults<Result>>,
	options: BatchTaskOptions<Resource>,
): (payload: Payload, context: TaskContext<Resource>) => Result;
export function task<Payload, Result, Resource = undefined>(
	run: (payload: Payload, context: TaskContext<Resource>) => Result,
	options: TaskOptions<Resource>,
): (payload: Payload, context: TaskContext<Resource>) => Result;
// biome-ignore lint/suspicious/noExplicitAny: what is checked is in the signatures above
export function task(run: any, options: TaskOptions<any> = {}): any {
	argument('task()', 'its first argument', run, callable);
	argument('task()', 'its options', options, object);
	const own = (payload: unknown, context: unknown) => run(payload, context);
	Object.defineProperty(own, 'name', {value: run.name});
	return Object.assign(own, {[OPTIONS]: {...optionsOf(run), ...options}});
}

/** The options that {@link task} attached; none for a plain function. */
export function optionsOf(run: TaskFunction): TaskOptions & Partial<BatchTaskOptions> {
	return (run as {[OPTIONS]?: TaskOptions})[OPTIONS] ?? {};
}

/** Where tasks run: in worker threads, in child processes, or in the caller's own thread. */
export type Isolation = 'thread' | 'process' | 'inline';

/** What a dispatcher knows of a task without loading its module. */
export interface TaskInfo {
	readonly name: string;
	/** Without functions, which stay where the module is. */
	readonly options: Omit<TaskOptions & Partial<BatchTaskOptions>, 'setup' | 'teardown'>;
}

/** Options of `enqueue`. What is not given comes from the task's own options, then from `open()`, then from {@link DEFAULTS}. */
export interface JobOptions extends ExecutionOptions {
	/** Not before this long from now. */
	readonly delay?: Duration;
	/** Not before this time: a Date, or milliseconds since 1970. */
	readonly runAt?: Date | number;
	/** Unique per task until the job is cleaned up: the same key again gives the same job. */
	readonly key?: string;
}
