import type {ResourceLimits} from 'node:worker_threads';
import {
	argument,
	atLeast,
	bad,
	type Check,
	type Checks,
	callable,
	checked,
	choice,
	duration,
	expected,
	integer,
	list,
	number,
	show,
	size,
	text,
	time,
} from './checks.ts';
import {DEFAULT_MAX_VALUE_BYTES} from './encoding.ts';
import {type JobId, type JobRef, STATUSES} from './job.ts';
import type {Parents} from './parents.ts';
import {type Backoff, forPolicyNumbers, POLICY_OPTIONS, type Policy, type PolicyNumber} from './policy.ts';
import {type JobSearch, SORTS} from './search.ts';
import type {Fresh, Isolation, TaskOptions} from './task/task.ts';
import {isSchema} from './task/task-schemas.ts';

/** All defaults, as a program would write them. A test compares docs/options.md with them. @example console.log(DEFAULTS.job.maxAttempts); */
export const DEFAULTS = {
	/** Defaults of jobs, for options that neither `enqueue`, `task()` nor `open({defaults})` sets. */
	job: {
		priority: 0,
		...forPolicyNumbers((_, {usual}) => usual),
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
		maxValue: DEFAULT_MAX_VALUE_BYTES,
		/** Less than for other values: a job writes its checkpoint again and again. */
		maxCheckpoint: 1024 * 1024,
		closeOnSignals: false,
		taskOutput: 'inherit',
		minFreeMemory: 0,
		postMortem: false,
	},
	map: {
		order: 'finished',
		window: 4096,
		missing: 'hold',
		retryFailed: false,
	},
} as const;

/** Of the priority, and of what a job may have so many of. */
export const MAX_NUMBER = 1_000_000;
export const MAX_FACTOR = 1000;

export const BACKOFF_CHECKS = {base: duration, factor: number(1, MAX_FACTOR), max: duration, jitter: number(0, 1)} satisfies Checks;
/** Parsed once, not for each job. */
const DEFAULT_BACKOFF = checked('backoff', DEFAULTS.job.backoff, BACKOFF_CHECKS);

const A_TIMEOUT = "a time such as '30s' or a number of milliseconds, a share of the task's median such as '300%', or 'none'";
const timeoutMs = atLeast(1, A_TIMEOUT);

export const EXECUTION_CHECKS = {
	priority: integer(-MAX_NUMBER, MAX_NUMBER),
	...forPolicyNumbers((_, {least}) => integer(least, MAX_NUMBER)),
	timeout: toTimeout,
	backoff: toBackoff,
	retry: choice('auto', 'manual'),
	onDead: text,
} satisfies Checks;

/** Checks what makes a map run items again. */
export function fresh(value: unknown): readonly Fresh[] {
	const all = Array.isArray(value) ? value : [value];
	if (all.length > 0 && all.every(each => FRESH.includes(each))) return all;
	throw expected(`${FRESH.map(each => JSON.stringify(each)).join(' or ')}, or an array of them`, all.find(each => !FRESH.includes(each)) ?? value);
}

/** Checks a list of texts, such as the names of files. */
export function listOfTexts(value: unknown): readonly string[] {
	return list(value).map(text);
}

const FRESH: readonly unknown[] = ['payload', 'content', 'code', 'all'] satisfies Fresh[];

/** How long ended jobs are kept. */
export const RETENTION_CHECKS: Checks = {completed: duration, dead: duration, cancelled: duration};

/** Checks the most jobs that may be pending. */
export const maxPending = integer(1, Number.MAX_SAFE_INTEGER);

export const TASK_CHECKS: Checks = {
	...EXECUTION_CHECKS,
	isolation: choice('thread', 'process'),
	concurrency: integer(1, 10_000),
	maxPending,
	memory: size,
	setup: callable,
	teardown: callable,
	retryIf: callable,
	fresh,
	version: text,
	files: callable,
	outputs: callable,
	retention: value => checked('retention', value, RETENTION_CHECKS),
	batchSize: integer(1, 512),
	input: isSchema,
	output: isSchema,
};

export const JOB_CHECKS: Checks = {
	...EXECUTION_CHECKS,
	delay: duration,
	runAt: time,
	expires: atLeast(1),
	scope: text,
	key: text,
	unique: choice('unended'),
	dependsOn: jobIds,
	onParentDead: choice('cancel', 'run'),
};

/** Options of a job as their checks return them. One that is not given is absent. */
export interface CheckedOptions extends Partial<Pick<Policy, PolicyNumber | 'retry' | 'backoff' | 'onDead'>> {
	/** Jobs of a higher priority run first. */
	readonly priority?: number;
	/** How long an execution may take. */
	readonly timeout?: Pick<Policy, 'timeoutMs' | 'timeoutPercent'>;
	/** In milliseconds. */
	readonly delay?: number;
	/** In milliseconds since 1970. */
	readonly runAt?: number;
	/** In milliseconds. */
	readonly expires?: number;
	/** Whose the job is. */
	readonly scope?: string;
	/** Another job of the task or batch with this key is the same job. */
	readonly key?: string;
	/** The key is taken until its job has ended. */
	readonly unique?: 'unended';
	/** The jobs for which it waits. */
	readonly dependsOn?: readonly JobId[];
	/** What becomes of it if one of those does not complete. */
	readonly onParentDead?: 'cancel' | 'run';
	/** Of a task. */
	readonly maxPending?: number;
	/** Of a task. */
	readonly fresh?: Extract<TaskOptions['fresh'], readonly unknown[]>;
}

/** All options of a job, resolved. */
export interface ResolvedJobOptions {
	/** Jobs of a higher priority run first. */
	readonly priority: number;
	/** Earliest start in milliseconds since 1970; `null` for at once. */
	readonly runAt: number | null;
	/** Instead of `runAt`: the time from the commit to the earliest start. */
	readonly delayMs?: number | undefined;
	/** The job is cancelled if it has not started this long after it became due. Default: never. */
	readonly expiresMs?: number | undefined;
	/** Whose function it is: only an engine of this scope runs the job. Default: any engine that has a task of this name. */
	readonly scope?: string | undefined;
	/** How often and how long it may run. */
	readonly policy: Policy;
	/** Unique in its batch, or without a batch in its task, until the job is cleaned up. */
	readonly key?: string | undefined;
	/** If the job that has the key has ended, the new job takes the key from it. Default: that job keeps the key. */
	readonly unique?: 'unended' | undefined;
	/** The jobs that must end before. */
	readonly parents?: Parents | undefined;
}

const JOB_DEFAULTS = checked('DEFAULTS.job', DEFAULTS.job, EXECUTION_CHECKS);

type MergedOptions = CheckedOptions & Required<Pick<CheckedOptions, keyof typeof DEFAULTS.job>>;

/** Merges the options of a job. Each layer overrides those before it: first come those of `open({defaults})`, last those of `enqueue`. */
export function resolveJobOptions(...layers: readonly (CheckedOptions | undefined)[]): ResolvedJobOptions {
	const merged: MergedOptions = Object.assign({}, JOB_DEFAULTS, ...layers);
	const {priority, timeout, retry, backoff, onDead, delay, runAt, expires, scope, key, unique, dependsOn, onParentDead = 'cancel'} = merged;
	return {
		priority,
		runAt: runAt ?? null,
		policy: {...forPolicyNumbers(name => merged[name]), ...timeout, retry, backoff, ...(onDead !== undefined && {onDead})},
		// On the way to the dispatcher a field without a value costs as much as any other.
		...(delay !== undefined && {delayMs: delay}),
		...(expires !== undefined && {expiresMs: expires}),
		...(scope !== undefined && {scope}),
		...(key !== undefined && {key}),
		...(unique !== undefined && {unique}),
		...(dependsOn && dependsOn.length > 0 && {parents: {edges: [{kind: 'all', parents: {ids: dependsOn, count: dependsOn.length}}], onParentDead}}),
	};
}

/** Merges the options of a job whose task is not known here, as {@link resolveJobOptions} does. */
export function resolveUnknown(...layers: readonly (CheckedOptions | undefined)[]): ResolvedJobOptions {
	const {policy, ...resolved} = resolveJobOptions(...layers);
	const given = Object.assign({}, ...layers);
	return {...resolved, policy: {...policy, unset: POLICY_OPTIONS.filter(name => !(name in given))}};
}

/** The policy, with the task's own options in place of those that were not given. */
export function withOwn({unset = [], ...policy}: Policy, own: CheckedOptions = {}): Policy {
	const {timeout, ...others}: CheckedOptions = Object.fromEntries(unset.filter(name => name in own).map(name => [name, own[name]]));
	return {...policy, ...others, ...timeout};
}

/** The policy of a job without options. */
export const DEFAULT_POLICY = resolveUnknown().policy;

/** @throws FaenaError `BadOption` */
export function checkJobOptions<More = unknown>(where: string, options: unknown, more: Checks = {}): CheckedOptions & More {
	const given = checked(where, options, {...JOB_CHECKS, ...more}) as CheckedOptions & More;
	checkTimes(where, given);
	if (given.onParentDead !== undefined && given.dependsOn === undefined)
		throw bad(`${where} got onParentDead without dependsOn; onParentDead says what becomes of a job whose parent is dead`);
	if (given.unique !== undefined && given.key === undefined) throw bad(`${where} got unique without a key; unique says how long a key is taken`);
	return given;
}

/** @throws FaenaError `BadOption` */
export function checkTimes<Given extends Pick<CheckedOptions, 'delay' | 'runAt'>>(where: string, given: Given): Given {
	if (given.delay !== undefined && given.runAt !== undefined) throw bad(`${where} got both delay and runAt; give one of them`);
	return given;
}

/** @throws FaenaError `BadOption` */
export function checkTaskOptions(where: string, options: unknown): CheckedOptions {
	return checked(where, options, TASK_CHECKS);
}

/** @throws FaenaError `BadOption` if a function for keys returned something else */
export function checkKey(where: string, key: unknown): string {
	return argument(where, 'key', key, text);
}

/** Checks a timeout in percent of its task's median. */
function percentOfMedian(percent: unknown): number {
	if (typeof percent === 'number' && percent > 100) return percent;
	throw expected("more than '100%', since half of all jobs are longer than the median", typeof percent === 'number' ? `${percent}%` : percent);
}

function toTimeout(value: unknown): CheckedOptions['timeout'] {
	if (value === 'none') return {timeoutMs: null};
	const percent = typeof value === 'string' && /^\s*\d+(\.\d+)?\s*%\s*$/.test(value) ? Number.parseFloat(value) : undefined;
	if (percent === undefined) return {timeoutMs: timeoutMs(value)};
	return {timeoutMs: null, timeoutPercent: percentOfMedian(percent)};
}

function toBackoff(value: unknown): Backoff {
	if (typeof value !== 'object' || value === null) return {baseMs: duration(value), factor: 1, maxMs: duration(value), jitter: 0};
	const {base, factor, max, jitter} = {...DEFAULT_BACKOFF, ...checked('backoff', value, BACKOFF_CHECKS)} as Record<string, number>;
	return {baseMs: base, factor, maxMs: max, jitter} as Backoff;
}

/** The id of a job that is named by its id or handle. @throws FaenaError `BadOption` */
export function checkId(job: unknown): JobId {
	const id = typeof job === 'object' && job !== null && 'id' in job ? job.id : job;
	if (Number.isSafeInteger(id) && (id as number) > 0) return id as JobId;
	throw bad(`A job's id is a positive whole number; it got ${show(id)}`);
}

/**
 * Checks the filter of a verb that changes jobs; an id or a handle stands for the filter of this job. A condition that is `undefined` is refused: it is a
 * mistake, and would widen the filter.
 * @throws FaenaError `BadOption`
 */
export function checkFilter(where: string, jobs: JobRef | JobSearch<JobRef>): JobSearch {
	if (isJob(jobs)) return {ids: [checkId(jobs)]};
	if (typeof jobs !== 'object' || jobs === null) throw bad(`${where} expects a job's id or handle, or a filter such as {task: 'hash'}; it got ${show(jobs)}`);
	const filter = checkSearch(where, jobs);
	const missing = Object.entries(jobs).find(([, value]) => value === undefined);
	if (missing) throw bad(`${where} got ${missing[0]}: undefined, which would mean every job; leave ${missing[0]} out if that is meant`);
	return filter;
}

/**
 * Checks the filter of a verb that only reads. A condition that is `undefined` counts as not given.
 * @throws FaenaError `BadOption`
 */
export function checkSearch(where: string, search: JobSearch<JobRef>): JobSearch {
	const given: JobSearch = checked(where, search, SEARCH_CHECKS);
	const {key, task, batch, since, until} = given;
	if (key !== undefined && task === undefined && batch === undefined)
		throw bad(`${where} got a key alone, which is unique only in a task or a batch; name one of them, too`);
	if (since !== undefined && until !== undefined && since > until) throw bad(`${where} got a since that is later than its until: no job is in that time`);
	return given;
}

/** True for an id and for a handle, not for a filter. */
export function isJob(jobs: unknown): jobs is JobRef {
	return typeof jobs === 'number' || (typeof jobs === 'object' && jobs !== null && 'id' in jobs);
}

/** A check of a list of ids or handles. One that is named twice is kept twice: as a parent its result has two places in `ctx.results`. */
export function jobIds(value: unknown): readonly JobId[] {
	return list(value).map(checkId);
}

export const SEARCH_CHECKS: Checks = {
	key: text,
	task: text,
	batch: text,
	ids: jobIds,
	stale: choice(true),
	status: value => (Array.isArray(value) ? value.map(choice(...STATUSES)) : choice(...STATUSES)(value)),
	sort: choice(...SORTS),
	since: time,
	until: time,
};

/** Checks the option `lease`. */
export const lease = atLeast(1000);

/** A check of the option `blobs`. It returns the threshold in bytes. */
export function blobThreshold(where: string): Check {
	return value => {
		const {threshold} = checked(where, value, {threshold: size});
		if (threshold === undefined) throw bad(`${where} expects the option threshold, for instance {threshold: '1mib'}`);
		return threshold;
	};
}

/** Options of a pool and its workers; those of `open()` with the same names say more. */
export interface PoolOptions {
	/** The `file:` URL of the tasks module. */
	readonly tasks: string;
	/** Defaults of jobs that tasks enqueue. */
	readonly defaults: CheckedOptions;
	readonly workers: number;
	readonly graceMs: number;
	readonly maxValueBytes: number;
	readonly maxCheckpointBytes: number;
	readonly taskOutput: 'inherit' | 'stderr';
	/** The engine's isolation. A task may have one of its own. */
	readonly isolation: Isolation;
	readonly resourceLimits: ResourceLimits | undefined;
	readonly env: Readonly<Record<string, string>> | undefined;
	readonly execArgv: readonly string[];
	readonly nice: number | undefined;
	readonly recycle: Recycle;
	readonly minFreeMemoryBytes: number;
	readonly postMortem: boolean;
	/** The owner's lock file. Child processes hold a share in the lock while they live. */
	readonly ownerLock?: string;
	/** The file in which the owner's workers record which jobs they have open. */
	readonly openJobs?: string;
	/** The files in which the owner's spawners record which commands live. */
	readonly commands?: PerSpawner<string>;
}

/** Of each spawner of an engine. */
export type PerSpawner<T> = readonly [T, T];

/** When a worker is replaced; Infinity for never. */
export interface Recycle {
	readonly jobs: number;
	readonly ageMs: number;
	readonly memoryBytes: number;
}
