import {availableParallelism} from 'node:os';
import type {ResourceLimits} from 'node:worker_threads';
import type {Checks, Duration, Size} from '../job/checks.ts';
import {atLeast, bad, boolean, checked, choice, duration, expected, integer, number, size, sizeIn, string, text, textOr, texts, url} from '../job/checks.ts';
import {MAX_VALUE_LIMIT_BYTES} from '../job/encoding.ts';
import type {PoolOptions, Recycle} from '../job/options.ts';
import {blobThreshold, DEFAULTS, EXECUTION_CHECKS, lease, listOfTexts, maxPending, RETENTION_CHECKS} from '../job/options.ts';
import {scopeOfModule} from '../job/scope.ts';
import type {ExecutionOptions, TaskOptions} from '../job/task/task.ts';
import {isTaskModule, type TaskModule, toUrl} from '../job/task/task-module.ts';
import {kindOf} from '../store/kinds.ts';
import {defined} from '../support/defined.ts';
import type {DispatcherStart} from '../transport/messages.ts';
import type {Logger} from './events.ts';

/** Options of `open()`. @example const options: OpenOptions = {queue: 'jobs.db', workers: 4}; */
// biome-ignore lint/suspicious/noExplicitAny: options of an engine with any tasks
export interface OpenOptions<Tasks = any> {
	/**
	 * Where the jobs are. A path or a `file:` URL: an SQLite file, which is created if it does not exist; a relative path starts at the current working
	 * directory. `postgres://user:password@host:port/database?schema=faena`: a schema of a PostgreSQL database, which is made if it does not exist.
	 */
	readonly queue: string | URL;
	/** The module whose exported functions are the tasks: a `file:` URL, a path, or what `defineTasks()` returned. Without it the engine runs no jobs. */
	readonly tasks?: string | URL | TaskModule<Tasks>;
	/** Names of the tasks whose jobs this engine runs; default: all tasks of the module. It still enqueues jobs of the others. */
	readonly only?: readonly string[];
	/**
	 * Whose jobs these are: jobs that this engine enqueues are run only by engines of the same scope; of several, of the first. Jobs that a task
	 * enqueues have the scope of its job, if that has one. It runs jobs of all of them, and jobs without a scope. Default: the name of the package that
	 * has the tasks module, and its path in there without its extension and without a first folder such as `src` or `dist`; outside a package with a
	 * name, the real path of the module; without tasks, none.
	 * @example {scope: 'shop/thumbnails'}
	 */
	readonly scope?: string | readonly string[];
	/** Number of workers, each of which runs one job at a time; default: the processors that this process may use. */
	readonly workers?: number;
	/**
	 * Where tasks run. `thread` (default): in worker threads. `process`: in child processes, where a native crash ends no other
	 * job. `inline`: in the caller's own thread, for debugging and tests; there no job can be stopped by force, and the options of
	 * workers, a task's own isolation and the quarantine of suspects have no effect. A task may choose `thread` or `process` itself.
	 */
	readonly isolation?: 'thread' | 'process' | 'inline';
	/** What a commit survives: `full` (default) a loss of power, `normal` a crash of the process. */
	readonly durability?: 'full' | 'normal';
	/** Defaults of all jobs. Options of tasks and of `enqueue` override them. */
	readonly defaults?: ExecutionOptions;
	/** How long `close()` lets running jobs finish; default 25 s. Longer jobs are stopped and will run again, uncharged. */
	readonly drain?: Duration;
	/** How long a job that was asked to stop (timeout, cancel, shutdown) may go on until its worker is ended; default 2 s. */
	readonly grace?: Duration;
	/** After this time without a heartbeat, other engines take this one for dead and reclaim its jobs; default 30 s, at least 1 s. */
	readonly lease?: Duration;
	/**
	 * The most jobs of all tasks together that may be pending, delayed ones included, in all programs on the queue; default: no limit. `enqueue`
	 * and `call` reject with `QueueFull` if another job would exceed it; `enqueueMany` waits for room, and a map's `window` is at most
	 * this. Never refused are a key that exists, jobs that a task enqueues, jobs of `onComplete`, `enqueueIn()`, `openQueue()`, and jobs that
	 * are retried or released. These may exceed the limit, and count.
	 * @example {maxPending: 10_000}
	 */
	readonly maxPending?: number;
	/** The most that one payload or result may take, encoded: bytes, or a text such as `'64mib'`; default 16 MiB, at most 1 GiB. */
	readonly maxValue?: Size;
	/** The most that one `ctx.checkpoint(state)` may take, encoded; default 1 MiB, at most 1 GiB. */
	readonly maxCheckpoint?: Size;
	/** Stores results larger than the threshold, a number of bytes or a text such as `'64kib'`, in files in the folder `DATABASE-blobs`. Default: none. */
	readonly blobs?: {readonly threshold: Size};
	/**
	 * On SIGINT, SIGTERM and SIGHUP, shut down and then end the process; default false. After a second signal the engine does not wait for running
	 * jobs; a third ends the process at once. A job that throws after the first signal is not charged: the signal may have ended its commands.
	 */
	readonly closeOnSignals?: boolean;
	/** Takes log records about the engine, its workers and its dead jobs: a pino logger, or one with `debug`, `info`, `warn` and `error`. Default: none. */
	readonly logger?: Logger;
	/** Where the tasks' output to stdout goes; default `inherit`, to this process's stdout. */
	readonly taskOutput?: 'inherit' | 'stderr';
	/** Node's limits of each `Worker`, in MiB, without native memory and Buffers. A child process gets them as flags, except `codeRangeSizeMb`. */
	readonly resourceLimits?: ResourceLimits;
	/** Environment variables of the workers, besides those of this process. */
	readonly env?: Readonly<Record<string, string>>;
	/** Node's command line options of the workers, besides those of this process. Threads accept few of them. */
	readonly execArgv?: readonly string[];
	/** Priority of the workers for the operating system, from -20 (first) to 19 (last). For threads on Linux only. */
	readonly nice?: number;
	/**
	 * How long ended jobs are kept, by how they ended, and unused batches with all their jobs; then the engine deletes them, in small steps beside its
	 * work. Default: nothing is deleted. A task may have times of its own. A job of an open batch, whose map was interrupted, is kept until `batches`
	 * deletes the batch.
	 * @example {completed: '30d', dead: '90d'}
	 */
	readonly retention?: TaskOptions['retention'] & {readonly batches?: Duration};
	/** When a worker is replaced by a new one: when it reaches one of these limits. It finishes its jobs first. Default: never. */
	readonly recycle?: {
		/** Number of jobs that it has run. */
		readonly jobs?: number;
		/** Time since it started. */
		readonly age?: Duration;
		/** Memory in use: for threads the heap, for processes total memory. */
		readonly memory?: Size;
	};
	/**
	 * Free memory, in bytes or as a text such as `'500mib'`. With less, no job starts while others run. With less than half of it, the youngest running job is
	 * stopped, one a second, and is released uncharged. Free memory is that of the system or the container. Default 0: no limit.
	 */
	readonly minFreeMemory?: Size;
	/**
	 * Whether Node's inspector reads the stack of a worker thread that is ended for a stuck job, for the job's post-mortem; default false. Node aborts
	 * the whole program if its inspector attaches to a thread that is just ending. Stacks of child processes are always read.
	 */
	readonly postMortem?: boolean;
}

/** Options of `open()` after checks and defaults. */
export interface Settings extends Omit<PoolOptions, 'tasks' | 'ownerLock' | 'openJobs' | 'commands'>, Omit<DispatcherStart, 'events' | 'pool'> {
	readonly tasks: string | undefined;
	readonly drainMs: number;
	readonly maxPending: number | undefined;
	readonly logger: Logger | undefined;
}

/** Options of `open()` that are not public. */
export type InternalOptions = Partial<Pick<DispatcherStart, 'owner' | 'waitsForBatch'>>;

/** @throws FaenaError `BadOption` */
export function resolveOpenOptions(options: OpenOptions, {owner, waitsForBatch = false}: InternalOptions = {}): Settings {
	const {queue, drain, grace, lease, blobs, scope, defaults, maxValue, maxCheckpoint, minFreeMemory, ...given}: Record<string, unknown> = {
		...{workers: availableParallelism(), execArgv: [], retention: {}, recycle: toRecycle({})},
		...checked('open()', DEFAULTS.open, OPEN_CHECKS),
		...checked('open()', options, OPEN_CHECKS),
	};
	if (queue === undefined) throw bad("open() expects the option queue: the file in which the jobs live, for instance {queue: 'jobs.db'}");
	if (queue === ':memory:') throw bad("open() expects as queue a file, since its jobs are to outlive the process; ':memory:' is for openQueue()");
	const {tasks} = given;
	const ofModule = tasks === undefined ? undefined : scopeOfModule(tasks as string);
	const scopes = (scope ?? (ofModule === undefined ? [] : [ofModule])) as readonly string[];
	const settings = {
		...given,
		...{scopes, owner, waitsForBatch, drainMs: drain, graceMs: grace, leaseMs: lease},
		defaults: {...(defaults as object), ...defined({scope: scopes[0]})},
		queue: kindOf(queue as string | URL).locate('open()', queue as string | URL),
		...{blobThresholdBytes: blobs, maxValueBytes: maxValue, maxCheckpointBytes: maxCheckpoint, minFreeMemoryBytes: minFreeMemory},
	};
	return settings as unknown as Settings;
}

export const OPEN_CHECKS: Checks = {
	queue: textOr(text, url),
	tasks: textOr(toUrl, value => (isTaskModule(value) ? value.url : url(value).href)),
	only: listOfTexts,
	scope: texts,
	workers: integer(1, 1024),
	isolation: choice('thread', 'process', 'inline'),
	durability: choice('full', 'normal'),
	defaults: value => checked('open({defaults})', value, EXECUTION_CHECKS),
	drain: duration,
	grace: duration,
	lease,
	maxPending,
	maxValue: sizeIn(1, MAX_VALUE_LIMIT_BYTES),
	maxCheckpoint: sizeIn(1, MAX_VALUE_LIMIT_BYTES),
	blobs: blobThreshold('open({blobs})'),
	closeOnSignals: boolean,
	logger,
	taskOutput: choice('inherit', 'stderr'),
	resourceLimits: value => checked('open({resourceLimits})', value, RESOURCE_LIMITS_CHECKS),
	env,
	execArgv: listOfTexts,
	nice: integer(-20, 19),
	recycle: value => toRecycle(checked('open({recycle})', value, RECYCLE_CHECKS)),
	retention: value => checked('open({retention})', value, OPEN_RETENTION_CHECKS),
	minFreeMemory: sizeIn(0, Number.MAX_SAFE_INTEGER),
	postMortem: boolean,
};

export const OPEN_RETENTION_CHECKS: Checks = {...RETENTION_CHECKS, batches: duration};

export const RESOURCE_LIMITS_CHECKS: Checks = {
	// With less than 12 MiB, V8 ends the whole process while it starts a thread.
	maxOldGenerationSizeMb: number(16, 1_000_000),
	maxYoungGenerationSizeMb: number(1, 1_000_000),
	codeRangeSizeMb: number(1, 1_000_000),
	stackSizeMb: number(1, 1_000),
};

export const RECYCLE_CHECKS: Checks = {
	jobs: integer(1, Number.MAX_SAFE_INTEGER),
	age: atLeast(1),
	memory: size,
};

function toRecycle({jobs = Infinity, age = Infinity, memory = Infinity}: {jobs?: number; age?: number; memory?: number}): Recycle {
	return {jobs, ageMs: age, memoryBytes: memory};
}

function env(value: unknown): unknown {
	if (typeof value !== 'object' || value === null || Array.isArray(value)) throw expected("an object such as {NAME: 'value'}", value);
	const wrong = Object.keys(value).find(name => /^$|[=\0]/.test(name));
	if (wrong !== undefined) throw expected('names without = and NUL', wrong);
	return checked('open({env})', value, Object.fromEntries(Object.keys(value).map(name => [name, string])));
}

function logger(value: unknown): Logger {
	const levels = ['debug', 'info', 'warn', 'error'] as const;
	const missing = levels.find(level => typeof (value as Partial<Logger> | null)?.[level] !== 'function');
	if (!missing) return value as Logger;
	throw expected(`a pino logger, or an object with the functions ${levels.join(', ')} (it has no ${missing})`, value);
}
