import type {Encoded} from './encoding.ts';
import type {FailureRecord} from './failure.ts';

/** A job's id: a positive integer, rising in order of arrival, never used twice. */
export type JobId = number;

/** Where a job stands; see {@link TRANSITIONS} for how it moves. */
export type JobStatus = 'pending' | 'running' | 'completed' | 'failed' | 'dead' | 'cancelled';

/**
 * Which moves are legal, and what makes each. The property test of queues holds every change of status that it sees against this table.
 * `pending`: waits to run, at once or at `runAt`. `running`: claimed by a dispatcher. `failed`: its last execution
 * failed and it waits for the next, or for `retry()` if it has no `runAt`. The other three are terminal for a round; an enqueue opens a new one only where the new job's `rerun` says so.
 */
export const TRANSITIONS: Readonly<Record<JobStatus, Readonly<Partial<Record<JobStatus, string>>>>> = {
	pending: {running: 'dequeue', cancelled: 'cancel'},
	running: {
		completed: 'settle: returned',
		failed: 'settle: threw, timed out or lost its worker, attempts left',
		dead: 'settle: threw, timed out or lost its worker, no attempts left',
		cancelled: 'settle: cancelled',
		pending: 'settle: released; recovery of a dead owner',
	},
	failed: {pending: 'its time has come; retry; enqueue of a changed one, or again', cancelled: 'cancel'},
	completed: {pending: 'retry; enqueue of a changed one'},
	dead: {pending: 'retry; enqueue of a changed one, or again'},
	cancelled: {pending: 'retry; enqueue of a changed one, or again'},
};

/** All statuses, in the order in which people read them. */
export const STATUSES = ['pending', 'running', 'failed', 'completed', 'dead', 'cancelled'] as const satisfies readonly JobStatus[];

/** True for the statuses that end a round: only a new one moves such a job again. */
export function isTerminal(status: JobStatus): boolean {
	return status === 'completed' || status === 'dead' || status === 'cancelled';
}

/**
 * How suspect a job is of having killed its process: 0 not at all, and one level more each time it was among the jobs that may have
 * done it. A suspect runs in a child process. The higher its level, the fewer others run with it; at the highest level it runs alone.
 */
export const MAX_SUSPICION = 10;

/** The most jobs in a chunk that has a suspect of this level: half of them at each level. */
export function mostTogether(suspicion: number): number {
	return 2 ** Math.max(0, MAX_SUSPICION - suspicion);
}

/** The level of jobs of which one has killed or broken its worker, it is not known which: at most half of them run together again. */
export function suspicionAmong(jobs: number): number {
	let level = 1;
	while (level < MAX_SUSPICION && mostTogether(level) > jobs / 2) level++;
	return level;
}

/** A job that killed its own worker so often is dead, whatever its `maxAttempts`. */
export const MAX_CRASHES = 3;

/** How a job is retried and limited. Resolved when the job is enqueued and kept with it. */
export interface Policy {
	/** Executions that may be charged before the job is dead; ≥ 1. */
	readonly maxAttempts: number;
	/** Longest run of one execution in milliseconds, from its start; `null` for no limit. */
	readonly timeoutMs: number | null;
	/** Or that many percent of the median of the task's completed executions, as the dispatcher that runs it has seen them. */
	readonly timeoutPercent?: number;
	readonly backoff: Backoff;
	/** `auto` tries again after the backoff; `manual` parks a failed job until `retry()`. */
	readonly retry: 'auto' | 'manual';
}

/** Exponential backoff: attempt n waits `min(maxMs, baseMs × factorⁿ⁻¹)`, of which the share `jitter` is random. */
export interface Backoff {
	readonly baseMs: number;
	readonly factor: number;
	readonly maxMs: number;
	/** 0: always the full wait; 1: anything between nothing and the full wait. */
	readonly jitter: number;
}

/** Milliseconds, or a text such as `'500ms'`, `'30s'`, `'10m'`, `'2h'`, `'7d'`. */
export type Duration = number | string;

/** A fixed wait, or exponential backoff: `base`, multiplied by `factor` each time, up to `max`; the share `jitter` of it is random. */
export type BackoffOption = Duration | {readonly base?: Duration; readonly factor?: number; readonly max?: Duration; readonly jitter?: number};

/** What is known of a job. Times are milliseconds since 1970; absent values have not happened. */
export interface Job {
	readonly id: JobId;
	readonly task: string;
	readonly status: JobStatus;
	/** Higher first. */
	readonly priority: number;
	readonly key?: string;
	/** Name of the batch that enqueued it. */
	readonly batch?: string;
	readonly createdAt: number;
	/** When it may run, if it is waiting for that. */
	readonly runAt?: number;
	/** Executions charged in this round. */
	readonly attempts: number;
	readonly maxAttempts: number;
	/** Executions begun since the job exists; the number of the last one. */
	readonly executions: number;
	readonly timeoutMs: number | null;
	readonly timeoutPercent?: number;
	/** Of the last execution that failed or ended; of a running one once it has run for some 100 ms. */
	readonly startedAt?: number;
	readonly endedAt?: number;
	/** How long the last execution ran, in milliseconds. */
	readonly durationMs?: number;
	/** From enqueue, with the delay if there was one, to the start of the only execution, in milliseconds. */
	readonly waitMs?: number;
	/** Processor time of the last execution, in milliseconds: of its thread (from Node 24 on) or of its process. */
	readonly cpuMs?: number;
	/**
	 * Memory, where it was measured, which is after executions of some milliseconds: the heap that the thread used at the end, or
	 * the most that the process ever had.
	 */
	readonly memoryBytes?: number;
	/** Encoded. */
	readonly payloadBytes: number;
	/** Encoded, of a completed job. */
	readonly resultBytes?: number;
	readonly progress?: Progress;
	/** Why the last execution failed, or why the job ended as dead or cancelled. */
	readonly error?: FailureRecord;
}

export interface Progress {
	readonly done: number;
	readonly total?: number;
	readonly at: number;
}

/** How much a log line matters. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** One line a task wrote with `ctx.log`. */
export interface LogLine {
	readonly execution: number;
	readonly at: number;
	readonly level: LogLevel;
	readonly text: string;
}

/** Jobs by status. */
export type Counts = Readonly<Record<JobStatus, number>>;

/**
 * Which jobs a verb speaks of; all given conditions must hold. An empty filter means every job. A page of jobs by ids, statuses or batch reads
 * about as many rows as it has jobs, however many there are; one by task also passes jobs of other tasks.
 */
export interface JobFilter {
	/** As many as you like, in any order. */
	readonly ids?: readonly JobId[];
	readonly task?: string;
	readonly status?: JobStatus | readonly JobStatus[];
	/** Name of a batch. */
	readonly batch?: string;
}

/** Why a running job is to stop; also what its outcome will say. */
export const STOP_REASONS = ['cancelled', 'timedOut', 'interrupted'] as const;

export type StopReason = (typeof STOP_REASONS)[number];

/** What a commit survives: `full` a loss of power, `normal` a crash of the process. */
export type Durability = 'full' | 'normal';

export interface Page {
	/** Only jobs with a higher id. */
	readonly after?: JobId;
	/** Default 100. */
	readonly limit?: number;
}

export interface JobValues {
	readonly payload: Encoded;
	/** The stored result of a completed job. */
	readonly result?: Encoded;
	/** Where its next execution goes on, and which one kept that when, in milliseconds since 1970. */
	readonly checkpoint?: {readonly execution: number; readonly at: number; readonly state: Encoded};
}

/** The end of a job's round. */
export interface JobEnd {
	readonly id: JobId;
	/** `missing`: there is no such job (any more). */
	readonly status: 'completed' | 'dead' | 'cancelled' | 'missing';
	/** The result of a completed job; otherwise `null`. */
	readonly value: Encoded;
	/** Why it is dead or cancelled, as far as is known. */
	readonly error?: FailureRecord;
}

export interface CancelResult {
	/** Cancelled at once. */
	readonly cancelled: readonly JobId[];
	/** Running: their owners were asked. */
	readonly asked: readonly JobId[];
}

export interface WithdrawOptions {
	/** Stop running executions, too. */
	readonly stop: boolean;
}

export interface WithdrawResult {
	/** Deleted. */
	readonly withdrawn: readonly JobId[];
	/** Running: they go when their execution ends. */
	readonly asked: readonly JobId[];
}

export interface CleanupOptions {
	/** Jobs that ended before this, in milliseconds since 1970. */
	readonly endedBefore: number;
	/** The most jobs looked at in one call: what bounds the transaction. Default 2,000, the most that are stored together: these go as a whole. */
	readonly limit?: number;
	/** Where the previous call stopped. */
	readonly after?: JobId;
}

export interface CleanupResult {
	readonly deleted: number;
	/** Give this as `after` to go on; `null` when all was looked at. */
	readonly next: JobId | null;
}

/** A batch's row: a positive integer. */
export type BatchId = number;
