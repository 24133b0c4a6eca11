import {realpathSync} from 'node:fs';
import {basename, dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {argument, atLeast, bad, type Check, type Checks, callable, checked, choice, duration, expected, integer, number, size, text, time} from './checks.ts';
import {MAX_CHECKPOINT_BYTES, MAX_VALUE_BYTES} from './encoding.ts';
import type {Backoff, BackoffOption, Duration, Policy} from './job.ts';
import type {BatchTaskOptions, ExecutionOptions, JobOptions, TaskOptions} from './task.ts';

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

export const JOB_CHECKS: Checks = {
	...EXECUTION_CHECKS,
	delay: duration,
	runAt: time,
	key: text,
};

export function lease(value: unknown): number {
	return atLeast(1000, duration(value), value);
}

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
