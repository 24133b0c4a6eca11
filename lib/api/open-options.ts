import {availableParallelism} from 'node:os';
import {pathToFileURL} from 'node:url';
import type {Checks, Size} from '../job/checks.ts';
import {
	atLeast,
	bad,
	boolean,
	checked,
	choice,
	duration,
	durationUpTo,
	expected,
	integer,
	list,
	MAX_MS,
	number,
	oneOf,
	string,
	text,
	url,
} from '../job/checks.ts';
import {LARGEST_VALUE_BYTES} from '../job/encoding.ts';
import type {Durability, Duration} from '../job/job.ts';
import {blobThreshold, DEFAULTS, EXECUTION_CHECKS, lease, queuePath} from '../job/options.ts';
import type {ExecutionOptions, Isolation} from '../job/task.ts';
import type {Recycle, ResourceLimits} from '../job/worker-options.ts';
import type {Logger} from './logger.ts';

/** Options of `open()`. */
export interface OpenOptions {
	/** The SQLite file in which the jobs live; created if it is not there. A relative path begins at the working directory of this moment. */
	readonly queue: string | URL;
	/** The module whose exported functions are the tasks: a `file:` URL or a path. Without it the engine only enqueues and looks. */
	readonly tasks?: string | URL;
	/** Jobs that run at the same time, each in a worker of its own; default: the processors this process may use. */
	readonly workers?: number;
	/**
	 * Where tasks run: in worker threads (`thread`, default); in child processes (`process`), where what crashes natively
	 * takes nobody along; or in the caller's own thread (`inline`), for debugging and tests, where nothing can be stopped
	 * hard, and where the options of workers, a task's own isolation and the quarantine of suspects do nothing. A task may
	 * choose between the first two for itself.
	 */
	readonly isolation?: Isolation;
	/** What a commit survives: `full` (default) a loss of power, `normal` a crash of the process. */
	readonly durability?: Durability;
	/** Defaults for all jobs; tasks and `enqueue` override them. */
	readonly defaults?: ExecutionOptions;
	/** How long `close()` lets running jobs finish; default 25 s. What runs longer is stopped and will run again, uncharged. */
	readonly drain?: Duration;
	/** From telling a job to stop (timeout, cancel, shutdown) until its worker is ended; default 2 s. */
	readonly grace?: Duration;
	/** A dispatcher silent for longer is taken for dead by others; default 30 s, at least 1 s. */
	readonly lease?: Duration;
	/** The most bytes of one payload or result, encoded; default 16 MiB. */
	readonly maxValueBytes?: number;
	/** The most bytes of one `ctx.checkpoint(state)`, encoded; default 1 MiB. */
	readonly maxCheckpointBytes?: number;
	/**
	 * Keeps results of more bytes than the threshold, encoded, in files of their own, in the folder `DATABASE-blobs`, so that
	 * the database stays small: a number of bytes, or a text such as `'64kib'`, `'1mib'`. Default: all lie in the database.
	 */
	readonly blobs?: {readonly threshold: Size};
	/**
	 * Close in good order on SIGINT and SIGTERM, then end the process; default false. A second signal doesn't wait for running jobs, a third for
	 * nothing. A job that throws after the first is charged nothing: the signal may have ended its commands, too.
	 */
	readonly closeOnSignals?: boolean;
	/** Takes what happens to the engine, its workers and its dead jobs: a pino logger, or another with `debug`, `info`, `warn` and `error`. Default: none. */
	readonly logger?: Logger;
	/** Where what tasks print to stdout goes; default `inherit`. */
	readonly taskOutput?: 'inherit' | 'stderr';
	/** V8's limits of each worker, without native memory and Buffers; a child process gets them as flags, but for `codeRangeSizeMb`. */
	readonly resourceLimits?: ResourceLimits;
	/** Environment variables of the workers, besides those of this process. */
	readonly env?: Readonly<Record<string, string>>;
	/** Node's own command line options of the workers, besides those of this process. Threads take few of them. */
	readonly execArgv?: readonly string[];
	/** Priority of the workers for the operating system, from -20 (first) to 19 (last); of threads on Linux only. */
	readonly nice?: number;
	/** When a worker is replaced by a new one, after the jobs that it has; default: never. */
	readonly recycle?: RecycleOptions;
	/**
	 * Below this, no job is started while others run; below half of it, the youngest running job is stopped, one a second,
	 * and goes back uncharged; default 0, which does nothing. Free memory is what the system, or the container, still has.
	 */
	readonly minFreeMemoryBytes?: number;
}

/** A worker is replaced when one of these is reached. */
export interface RecycleOptions {
	/** Jobs it has run. */
	readonly jobs?: number;
	/** Time since it started. */
	readonly age?: Duration;
	/** What it uses: of a thread its heap, of a process all its memory. */
	readonly memoryBytes?: number;
}

/** `open()`'s options after all defaults and checks. */
export interface Settings {
	readonly queue: string;
	readonly tasks: string | undefined;
	readonly workers: number;
	readonly isolation: Isolation;
	readonly durability: Durability;
	readonly defaults: ExecutionOptions;
	readonly drainMs: number;
	readonly graceMs: number;
	readonly leaseMs: number;
	readonly maxValueBytes: number;
	readonly maxCheckpointBytes: number;
	readonly blobThresholdBytes: number | undefined;
	readonly closeOnSignals: boolean;
	readonly logger: Logger | undefined;
	readonly taskOutput: 'inherit' | 'stderr';
	readonly resourceLimits: ResourceLimits | undefined;
	readonly env: Readonly<Record<string, string>> | undefined;
	readonly execArgv: readonly string[];
	readonly nice: number | undefined;
	readonly recycle: Recycle;
	readonly minFreeMemoryBytes: number;
}

/** @throws FaenaError `BadOption` */
export function resolveOpenOptions(options: OpenOptions): Settings {
	const all = {...checked('open()', DEFAULTS.open, OPEN_CHECKS), ...checked('open()', options, OPEN_CHECKS)} as unknown as Checked;
	const {queue, tasks, drain, grace, lease, blobs, recycle, ...given} = all;
	if (queue === undefined) throw bad("open() expects the option queue: the file in which the jobs live, for instance {queue: 'jobs.db'}");
	if (queue === ':memory:') throw bad("open() expects as queue a file, since its jobs are to outlive the process; ':memory:' is for openQueue()");
	return {
		...{workers: availableParallelism(), defaults: {}, resourceLimits: undefined, env: undefined, execArgv: [], nice: undefined, logger: undefined},
		...given,
		queue: queuePath('open()', queue),
		tasks: tasks === undefined ? undefined : toUrl(tasks),
		drainMs: drain,
		graceMs: grace,
		leaseMs: lease,
		blobThresholdBytes: blobs,
		recycle: toRecycle(recycle),
	};
}

export type Defaulted = Exclude<keyof typeof DEFAULTS.open, 'drain' | 'grace' | 'lease'>;

export type Others = Omit<Settings, Defaulted | 'queue' | 'tasks' | 'drainMs' | 'graceMs' | 'leaseMs' | 'blobThresholdBytes' | 'recycle'>;

/** What was given and what is given by default, checked; times in milliseconds. */
export interface Checked extends Partial<Others>, Pick<Settings, Defaulted> {
	readonly queue?: string | URL;
	readonly tasks?: string | URL;
	readonly drain: number;
	readonly grace: number;
	readonly lease: number;
	/** Bytes. */
	readonly blobs?: number;
	readonly recycle?: RecycleOptions;
}

export const OPEN_CHECKS: Checks = {
	queue: oneOf(text, url),
	tasks: oneOf(text, url),
	workers: integer(1, 1024),
	isolation: choice('thread', 'process', 'inline'),
	durability: choice('full', 'normal'),
	defaults: value => checked('open({defaults})', value, EXECUTION_CHECKS),
	drain: durationUpTo(MAX_MS),
	grace: durationUpTo(MAX_MS),
	lease,
	maxValueBytes: integer(1, LARGEST_VALUE_BYTES),
	maxCheckpointBytes: integer(1, LARGEST_VALUE_BYTES),
	blobs: blobThreshold('open({blobs})'),
	closeOnSignals: boolean,
	logger,
	taskOutput: choice('inherit', 'stderr'),
	resourceLimits: value => checked('open({resourceLimits})', value, RESOURCE_LIMITS_CHECKS),
	env,
	execArgv: value => list(value).map(text),
	nice: integer(-20, 19),
	recycle: value => checked('open({recycle})', value, RECYCLE_CHECKS),
	minFreeMemoryBytes: integer(0, Number.MAX_SAFE_INTEGER),
};

export const RESOURCE_LIMITS_CHECKS: Checks = {
	// With less than 12, V8 ends the whole process while it starts a thread.
	maxOldGenerationSizeMb: number(16, 1_000_000),
	maxYoungGenerationSizeMb: number(1, 1_000_000),
	codeRangeSizeMb: number(1, 1_000_000),
	stackSizeMb: number(1, 1_000),
};

export const RECYCLE_CHECKS: Checks = {
	jobs: integer(1, Number.MAX_SAFE_INTEGER),
	age: value => atLeast(1, duration(value), value),
	memoryBytes: integer(1, Number.MAX_SAFE_INTEGER),
};

export function toRecycle({jobs, age, memoryBytes}: RecycleOptions = {}): Recycle {
	return {jobs: jobs ?? Infinity, ageMs: (age as number) ?? Infinity, memoryBytes: memoryBytes ?? Infinity};
}

export function env(value: unknown): unknown {
	if (typeof value !== 'object' || value === null || Array.isArray(value)) throw expected("an object such as {NAME: 'value'}", value);
	const wrong = Object.keys(value).find(name => /^$|[=\0]/.test(name));
	if (wrong !== undefined) throw expected('names without = and NUL', wrong);
	return checked('open({env})', value, Object.fromEntries(Object.keys(value).map(name => [name, string])));
}

export function logger(value: unknown): Logger {
	const missing = LEVELS.find(level => typeof (value as Partial<Logger> | null)?.[level] !== 'function');
	if (!missing) return value as Logger;
	throw expected(`a pino logger, or an object with the functions ${LEVELS.join(', ')} (it has no ${missing})`, value);
}

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export function toUrl(module: string | URL): string {
	if (module instanceof URL) return module.href;
	return module.startsWith('file:') ? module : pathToFileURL(module).href;
}
