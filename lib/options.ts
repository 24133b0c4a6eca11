import {realpathSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {basename, dirname, join, resolve} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {
	argument,
	atLeast,
	bad,
	boolean,
	type Check,
	type Checks,
	callable,
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
	type Size,
	size,
	string,
	text,
	time,
	url,
} from './checks.ts';
import {LARGEST_VALUE_BYTES, MAX_CHECKPOINT_BYTES, MAX_VALUE_BYTES} from './encoding.ts';
import type {Backoff, BackoffOption, Duration, Policy} from './job.ts';
import type {Logger} from './logger.ts';
import type {Isolation, Recycle, ResourceLimits} from './pool.ts';
import type {Durability} from './queue.ts';
import type {BatchTaskOptions, ExecutionOptions, TaskOptions} from './task.ts';

/** Options of `enqueue`. What is not given comes from the task's own options, then from `open()`, then from {@link DEFAULTS}. */
export interface JobOptions extends ExecutionOptions {
	/** Not before this long from now. */
	readonly delay?: Duration;
	/** Not before this time: a Date, or milliseconds since 1970. */
	readonly runAt?: Date | number;
	/** Unique per task until the job is cleaned up: the same key again gives the same job. */
	readonly key?: string;
}

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

/** All defaults, as a program would write them; docs/options.md is held to them by a test. */
export const DEFAULTS = {
	/** Of jobs, from the nearest of `enqueue`, `task()` and `open({defaults})`. */
	job: {
		priority: 0,
		maxAttempts: 3,
		timeout: 'none',
		backoff: {base: '1s', factor: 2, max: '1h', jitter: 0.5},
		retry: 'auto',
	},
	open: {
		isolation: 'thread',
		durability: 'full',
		drain: '25s',
		grace: '2s',
		lease: '30s',
		maxValueBytes: MAX_VALUE_BYTES,
		maxCheckpointBytes: MAX_CHECKPOINT_BYTES,
		closeOnSignals: false,
		taskOutput: 'inherit',
		minFreeMemoryBytes: 0,
	},
	map: {
		order: 'finished',
		window: 4096,
		changed: 'refuse',
		missing: 'keep',
		retryFailed: false,
	},
} as const;

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

type Defaulted = Exclude<keyof typeof DEFAULTS.open, 'drain' | 'grace' | 'lease'>;
type Others = Omit<Settings, Defaulted | 'queue' | 'tasks' | 'drainMs' | 'graceMs' | 'leaseMs' | 'blobThresholdBytes' | 'recycle'>;

/** What was given and what is given by default, checked; times in milliseconds. */
interface Checked extends Partial<Others>, Pick<Settings, Defaulted> {
	readonly queue?: string | URL;
	readonly tasks?: string | URL;
	readonly drain: number;
	readonly grace: number;
	readonly lease: number;
	/** Bytes. */
	readonly blobs?: number;
	readonly recycle?: RecycleOptions;
}

/** What a job is enqueued with, beside task and payload. */
export interface ResolvedJobOptions {
	readonly priority: number;
	readonly runAt: number | null;
	readonly policy: Policy;
	readonly key: string | undefined;
}

/**
 * Merges the options of a job: the nearest wins.
 * @param layers from the nearest (`enqueue`) to the farthest (`open({defaults})`), each checked
 */
export function resolveJobOptions(layers: readonly (JobOptions | undefined)[], now: number): ResolvedJobOptions {
	const pick = <Name extends keyof ExecutionOptions>(name: Name): NonNullable<ExecutionOptions[Name]> =>
		(layers.find(layer => layer?.[name] !== undefined) ?? (DEFAULTS.job as ExecutionOptions))[name] as NonNullable<ExecutionOptions[Name]>;
	const {delay, runAt, key} = layers[0] ?? {};
	return {
		priority: pick('priority'),
		runAt: runAt !== undefined ? Number(runAt) : delay !== undefined ? now + duration(delay) : null,
		key,
		policy: {
			maxAttempts: pick('maxAttempts'),
			...toTimeout(pick('timeout')),
			retry: pick('retry'),
			backoff: toBackoff(pick('backoff')),
		},
	};
}

/**
 * @param more checks of the options that the caller has besides
 * @throws FaenaError `BadOption`
 */
export function checkJobOptions<More = unknown>(where: string, options: unknown, more: Checks = {}): JobOptions & More {
	const given = checked(where, options, {...JOB_CHECKS, ...more}) as JobOptions & More;
	if (given.delay !== undefined && given.runAt !== undefined) throw bad(`${where} got both delay and runAt; give one of them`);
	return given;
}

/** @throws FaenaError `BadOption` */
export function checkTaskOptions(where: string, options: unknown): TaskOptions & Partial<BatchTaskOptions> {
	return checked(where, options, TASK_CHECKS) as TaskOptions & Partial<BatchTaskOptions>;
}

/** @throws FaenaError `BadOption` if a function that was to give a key gave something else */
export function checkKey(where: string, key: unknown): string {
	return argument(where, 'key', key, text);
}

function toTimeout(timeout: Duration | 'none'): Pick<Policy, 'timeoutMs' | 'timeoutPercent'> {
	if (isPercentage(timeout)) return {timeoutMs: null, timeoutPercent: Number.parseFloat(timeout)};
	return {timeoutMs: timeout === 'none' ? null : duration(timeout)};
}

/** A share of a running median, such as '300%'. */
function isPercentage(value: unknown): value is `${number}%` {
	if (typeof value !== 'string' || !/^\s*\d+(\.\d+)?\s*%\s*$/.test(value)) return false;
	if (Number.parseFloat(value) <= 100) throw expected("more than '100%', since half of all jobs are longer than the median", value);
	return true;
}

/** A check of the option `blobs`, which gives its threshold in bytes. */
export function blobThreshold(where: string): Check {
	return value => {
		const {threshold} = checked(where, value, {threshold: size});
		if (threshold === undefined) throw bad(`${where} expects the option threshold, for instance {threshold: '1mib'}`);
		return threshold;
	};
}

const A_TIMEOUT = "a time such as '30s' or a number of milliseconds, a share of the task's median such as '300%', or 'none'";

export const EXECUTION_CHECKS: Checks = {
	priority: integer(-1_000_000, 1_000_000),
	maxAttempts: integer(1, 1_000_000),
	timeout: value => (value === 'none' || isPercentage(value) ? value : atLeast(1, duration(value, A_TIMEOUT), value)),
	backoff(value) {
		toBackoff(value as BackoffOption);
		return value;
	},
	retry: choice('auto', 'manual'),
};

export const TASK_CHECKS: Checks = {
	...EXECUTION_CHECKS,
	isolation: choice('thread', 'process'),
	concurrency: integer(1, 10_000),
	memoryBytes: integer(1, Number.MAX_SAFE_INTEGER),
	setup: callable,
	teardown: callable,
	batchSize: integer(1, 512),
};

export const RESOURCE_LIMITS_CHECKS: Checks = {
	// With less than 12, V8 ends the whole process while it starts a thread.
	maxOldGenerationSizeMb: number(16, 1_000_000),
	maxYoungGenerationSizeMb: number(1, 1_000_000),
	codeRangeSizeMb: number(1, 1_000_000),
	stackSizeMb: number(1, 1_000),
};

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

export const RECYCLE_CHECKS: Checks = {
	jobs: integer(1, Number.MAX_SAFE_INTEGER),
	age: value => atLeast(1, duration(value), value),
	memoryBytes: integer(1, Number.MAX_SAFE_INTEGER),
};

function toRecycle({jobs, age, memoryBytes}: RecycleOptions = {}): Recycle {
	return {jobs: jobs ?? Infinity, ageMs: (age as number) ?? Infinity, memoryBytes: memoryBytes ?? Infinity};
}

export const JOB_CHECKS: Checks = {
	...EXECUTION_CHECKS,
	delay: duration,
	runAt: time,
	key: text,
};

export function lease(value: unknown): number {
	return atLeast(1000, duration(value), value);
}

function env(value: unknown): unknown {
	if (typeof value !== 'object' || value === null || Array.isArray(value)) throw expected("an object such as {NAME: 'value'}", value);
	const wrong = Object.keys(value).find(name => /^$|[=\0]/.test(name));
	if (wrong !== undefined) throw expected('names without = and NUL', wrong);
	return checked('open({env})', value, Object.fromEntries(Object.keys(value).map(name => [name, string])));
}

function logger(value: unknown): Logger {
	const missing = LEVELS.find(level => typeof (value as Partial<Logger> | null)?.[level] !== 'function');
	if (!missing) return value as Logger;
	throw expected(`a pino logger, or an object with the functions ${LEVELS.join(', ')} (it has no ${missing})`, value);
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

function toBackoff(option: BackoffOption): Backoff {
	if (option === DEFAULTS.job.backoff) return DEFAULT_BACKOFF;
	return typeof option === 'object' && option !== null ? exponential(option) : {baseMs: duration(option), factor: 1, maxMs: duration(option), jitter: 0};
}

function exponential(option: BackoffOption & object): Backoff {
	const [defaults, given] = [DEFAULTS.job.backoff, option].map(each => checked('backoff', each, BACKOFF_CHECKS));
	const {base, factor, max, jitter} = {...defaults, ...given} as {
		readonly base: number;
		readonly factor: number;
		readonly max: number;
		readonly jitter: number;
	};
	return {baseMs: base, factor, maxMs: max, jitter};
}

export const BACKOFF_CHECKS: Checks = {base: duration, factor: number(1, 1000), max: duration, jitter: number(0, 1)};
/** Not anew for each job. */
const DEFAULT_BACKOFF = exponential(DEFAULTS.job.backoff);

/**
 * The path of a database by which all its files are found from now on: absolute, so that a later `process.chdir()` changes
 * nothing; its folder without links and `..`, so that every way there leads to the same locks and results beside it.
 * @throws FaenaError `BadOption` if SQLite could not open a file of that name
 */
export function queuePath(where: string, location: string | URL): string {
	const path = location instanceof URL ? fileURLToPath(location) : location;
	// SQLite would be given the name without it, and make another file.
	if (path.trimEnd() !== path) throw bad(`${where} expects as queue a path that does not end with white space; it got ${JSON.stringify(path)}`);
	try {
		// By the system, for which `..` after a link leads to where the link leads.
		return join(realpathSync.native(dirname(path)), basename(path));
	} catch {
		// The folder is not there or can't be entered, which is told when the database is to be opened.
		return absolutePath(path);
	}
}

/** As `resolve`; a path in a working directory that was deleted stays what it is, and leads nowhere. */
function absolutePath(path: string): string {
	try {
		return resolve(path);
	} catch {
		return path;
	}
}

function toUrl(module: string | URL): string {
	if (module instanceof URL) return module.href;
	return module.startsWith('file:') ? module : pathToFileURL(module).href;
}
