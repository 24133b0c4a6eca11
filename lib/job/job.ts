/** The words: jobs, their options, groups, outcomes and values. They never import a station, and do nothing by themselves. */

import {FaenaError} from '../support/errors.ts';
import type {Encoded} from './encoding.ts';
import {type FailureRecord, fromFailure, type JobError} from './failure.ts';
import type {Policy} from './policy.ts';

/** A job's id: a positive integer, rising in order of arrival, never used twice. @example const ids: JobId[] = []; */
export type JobId = number;

/** A job by its id, or by anything that has it: a handle, or a job of a list.
 * @example const cancel = (jobs: readonly JobRef[]) => faena.cancel({ids: jobs}); */
export type JobRef = JobId | {readonly id: JobId};

/**
 * The state of a job. `blocked`: it waits for the ends of other jobs. `pending`: it waits to run, at once or at `runAt`. `running`: a dispatcher has claimed it. `failed`: its last
 * execution failed, and it waits for the next one at `runAt`, or for `retry()` if it has no `runAt`. `completed`, `dead` and
 * `cancelled` end a round; {@link TRANSITIONS} says how a new round begins.
 * @example const open: readonly JobStatus[] = ['pending', 'running', 'failed'];
 */
export type JobStatus = 'blocked' | 'pending' | 'running' | 'completed' | 'failed' | 'dead' | 'cancelled';

/** The legal changes of status, and what causes each. An enqueue opens a new round only if the `rerun` of the new job says so. */
export const TRANSITIONS: Readonly<Record<JobStatus, Readonly<Partial<Record<JobStatus, string>>>>> = {
	blocked: {pending: 'its parents have ended', cancelled: 'cancel; a parent is dead, cancelled or deleted'},
	pending: {running: 'claim', cancelled: 'cancel; expired', blocked: 'retry of a parent'},
	running: {
		completed: 'settle: returned',
		failed: 'settle: threw, timed out or lost its worker, attempts left',
		dead: 'settle: threw, timed out or lost its worker, no attempts left or wanted',
		cancelled: 'settle: cancelled',
		pending: 'settle: released; reclaim from a dead owner',
	},
	failed: {pending: 'due; retry; enqueue with a changed payload or again', cancelled: 'cancel', blocked: 'retry, while a parent has not ended'},
	completed: {pending: 'retry; enqueue with a changed payload', blocked: 'retry, while a parent has not ended'},
	dead: {pending: 'retry; enqueue with a changed payload or again', blocked: 'retry, while a parent has not ended'},
	cancelled: {pending: 'retry; enqueue with a changed payload or again', blocked: 'retry, while a parent has not ended; retry of the parent'},
};

/** All statuses, in the order in which they are shown. @example for (const status of STATUSES) console.log(status, counts[status]); */
export const STATUSES = ['blocked', 'pending', 'running', 'failed', 'completed', 'dead', 'cancelled'] as const satisfies readonly JobStatus[];

/** The statuses that are not {@link isTerminal}. */
export const UNENDED_STATUSES: readonly JobStatus[] = STATUSES.filter(status => !isTerminal(status));

/** Jobs in these statuses get a new round if the filter names no status. */
export const RETRIED_BY_DEFAULT: readonly JobStatus[] = ['failed', 'dead', 'cancelled'];

/** True for the statuses that end a round: only a new round changes them. @example if (isTerminal(job.status)) console.log(job.endedAt); */
export function isTerminal(status: JobStatus): boolean {
	return status === 'completed' || status === 'dead' || status === 'cancelled';
}

/**
 * The highest level of suspicion. A job's level is 0, and rises each time the job is among those that may have killed their process. From
 * level 1 on it is a suspect, and runs in a child process. The higher its level, the fewer others run with it; at the highest it runs alone.
 */
export const MAX_SUSPICION = 10;

/** The most jobs in a chunk with a suspect of this level: 512 at level 1, and half as many at each further level. */
export function mostTogether(suspicion: number): number {
	return 2 ** Math.max(0, MAX_SUSPICION - suspicion);
}

/** The level of this many jobs if an unknown one of them killed or broke its worker: at most half of them may run together again. */
export function suspicionAmong(jobs: number): number {
	let level = 1;
	while (level < MAX_SUSPICION && mostTogether(level) > jobs / 2) level++;
	return level;
}

/** A job that killed its worker this many times is dead, whatever its `maxAttempts`. */
export const MAX_CRASHES = 3;

/** A job, without its payload and result. Times are milliseconds since 1970. A field is absent if it is not known or its event has not happened.
 * @example const line = ({id, task, status}: Job) => `${id} ${task} ${status}`; */
export interface Job extends Omit<JobRecord, 'error'> {
	/** Why the last execution failed, or why the job ended as dead or cancelled. */
	readonly error?: JobError;
}

/** A {@link Job} as the store has it: its error is plain data. */
export interface JobRecord extends Pick<Policy, 'maxAttempts' | 'timeoutMs' | 'timeoutPercent'> {
	/** Rises in order of arrival, and is never used twice. */
	readonly id: JobId;
	/** The name of its function in the tasks module. */
	readonly task: string;
	/** Whose it is: only engines of this scope run it. Absent if any engine that has a task of this name may. */
	readonly scope?: string;
	/** Its state at the moment of the read. */
	readonly status: JobStatus;
	/** Jobs of a higher priority run first. */
	readonly priority: number;
	/** Unique in its batch, or without a batch in its task. */
	readonly key?: string;
	/** Name of the batch that enqueued it. */
	readonly batch?: string;
	/** When it was enqueued. */
	readonly createdAt: number;
	/** The moment for which a schedule has enqueued it. */
	readonly scheduledAt?: number;
	/** When it becomes due, if it waits for a time. */
	readonly runAt?: number;
	/** Executions charged in this round. */
	readonly attempts: number;
	/** Claims of the job in all rounds, also those that were released or expired before it began; also the number of the last one. */
	readonly executions: number;
	/** When the last execution started. For a running one it is known after 100 to 200 ms. */
	readonly startedAt?: number;
	/** When its round ended. */
	readonly endedAt?: number;
	/** Run time of the last execution, in milliseconds. */
	readonly durationMs?: number;
	/** From enqueue, its delay included, to the start of the execution, in milliseconds. Known if there was only one execution. */
	readonly waitMs?: number;
	/** Processor time of the last execution, in milliseconds; of a thread from Node 24 on. Short jobs are measured together, and each has their mean. */
	readonly cpuMs?: number;
	/** Memory in bytes, after executions of some milliseconds: the heap of the thread at the end, or the most that the process ever used. */
	readonly memoryBytes?: number;
	/** Size of the encoded payload. */
	readonly payloadBytes: number;
	/** Size of the encoded result of a completed job. */
	readonly resultBytes?: number;
	/** The last progress that its task reported. */
	readonly progress?: {
		/** How much is done, in the task's own unit. */
		readonly done: number;
		/** How much there is to do, if the task knows it. */
		readonly total?: number;
		/** Milliseconds since 1970. */
		readonly at: number;
	};
	/** Why the last execution failed, or why the job ended as dead or cancelled. */
	readonly error?: FailureRecord;
	/** True of a pending job that an earlier run of its batch left unfinished, and that no later one has named. It is not started. */
	readonly held?: true;
	/**
	 * Only of a completed job that was made from results which are no longer the last ones. `direct`: a job for which it has waited has completed
	 * again, with another result. `through`: it has waited for a job that is stale. `retry({stale: true})` brings such jobs up to date.
	 */
	readonly stale?: 'direct' | 'through';
}

export function toJob({error, ...row}: JobRecord): Job {
	return error ? {...row, error: fromFailure(error)} : row;
}

export type Staleness = NonNullable<JobRecord['stale']>;

/** The last `ctx.progress(done, total)` of a job. */
export type Progress = NonNullable<JobRecord['progress']>;

/** A line that a task wrote with `ctx.log`. @example const print = ({at, text}: LogLine) => console.log(new Date(at), text); */
export interface LogLine {
	/** The number of the execution that wrote it. */
	readonly execution: number;
	/** Milliseconds since 1970. */
	readonly at: number;
	/** As the task gave it. */
	readonly level: 'debug' | 'info' | 'warn' | 'error';
	/** The line, without a line break at its end. */
	readonly text: string;
}

/** The level of a log line. */
export type LogLevel = LogLine['level'];

/** Numbers of jobs by status. @example const {pending, dead}: Counts = await faena.counts(); */
export type Counts = Readonly<Record<JobStatus, number>>;

export const NO_JOBS: Counts = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};

/** The number of a task's jobs of one scope in each state. */
export interface TaskCounts {
	/** The name of the task. */
	readonly task: string;
	/** The scope of the jobs; absent for those without one. */
	readonly scope?: string;
	/** True if its jobs are not claimed. */
	readonly isPaused: boolean;
	/** Waiting for the ends of other jobs. */
	readonly blocked: number;
	/** Due, and not suspected. */
	readonly ready: number;
	/** Ready, and suspected of killing their process. */
	readonly quarantined: number;
	/** Waiting for their first start time. */
	readonly delayed: number;
	/** Left unfinished by an earlier run of their batch, and not named by a later one. They are not claimed. */
	readonly held: number;
	/** Waiting for their next attempt. */
	readonly failed: number;
	/** Failed, and waiting for `retry()`. */
	readonly parked: number;
	/** Claimed by an owner. */
	readonly running: number;
	/** Ended: the task returned. */
	readonly completed: number;
	/** Ended: no attempts left. */
	readonly dead: number;
	/** Ended by a cancel. */
	readonly cancelled: number;
}

/** The state of a job: its status, and what it waits for. */
export type JobState = keyof Omit<TaskCounts, 'task' | 'scope' | 'isPaused'>;

/** A job's status, by its state. */
export const STATUS_OF_STATE = {
	...({blocked: 'blocked', ready: 'pending', quarantined: 'pending', delayed: 'pending', held: 'pending', failed: 'failed', parked: 'failed'} as const),
	...({running: 'running', completed: 'completed', dead: 'dead', cancelled: 'cancelled'} as const),
} satisfies Readonly<Record<JobState, JobStatus>>;

/** The number of jobs by status, from their numbers by state. */
export function toCounts(groups: readonly Readonly<Record<JobState, number>>[]): Counts {
	const counts = {...NO_JOBS};
	for (const jobs of groups) for (const [state, status] of Object.entries(STATUS_OF_STATE)) counts[status] += jobs[state as JobState];
	return counts;
}

/** Describes counts in one line, such as `17 pending, 3 running, 1,204 completed, 2 dead`, or `no jobs`.
 * @example console.log(statusSummary(await faena.counts())); */
export function statusSummary(counts: Counts): string {
	if (typeof counts?.pending !== 'number') throw new FaenaError('BadOption', 'statusSummary() expects the counts that engine.counts() resolves with.');
	const parts = STATUSES.filter(status => counts[status] > 0).map(status => `${counts[status].toLocaleString('en-US')} ${status}`);
	return parts.join(', ') || 'no jobs';
}

/** Between the task of a pipe's stage and how many items one job of it gets, if that is several. */
export const GROUPED = ' × ';

/** The stages of a pipe with their jobs by status, in one line. A task that has two stages is named once. */
export function describeStages(stages: readonly string[], tasks: Readonly<Record<string, Counts>>): string {
	return [...new Set(stages.map(stage => stage.split(GROUPED)[0] as string))].map(task => `${task} ${statusSummary(tasks[task] ?? NO_JOBS)}`).join(' → ');
}

/** All {@link StopReason}s. */
export const STOP_REASONS = ['cancelled', 'timedOut', 'interrupted'] as const;

/** Why a job must stop. `interrupted`: its engine closes, or has lost its lease. */
export type StopReason = (typeof STOP_REASONS)[number];

/** What a commit survives: `full` a loss of power, `normal` a crash of the process. */
export type Durability = 'full' | 'normal';

/** Changes of a job that is pending or failed. What is absent stays as it is. */
export interface JobEdit {
	/** The job to change. */
	readonly id: JobId;
	/** Encoded. The job's checkpoint, which belongs to the old payload, is deleted. */
	readonly payload?: Encoded;
	/** Jobs of a higher priority run first. */
	readonly priority?: number;
	/** Earliest start, or next attempt, in milliseconds since 1970; `null` for at once. A parked job is no longer parked. */
	readonly runAt?: number | null;
	/** Instead of `runAt`: the time from the commit. */
	readonly delayMs?: number;
}

/** `edited`; or the status of a job that was left as it is, since it runs or has ended. */
export type EditResult = 'edited' | 'running' | 'completed' | 'dead' | 'cancelled';

/** How a job's round ended. */
export interface JobEnd {
	/** The job that was asked about. */
	readonly id: JobId;
	/** `missing`: no job has this id, or none any more. */
	readonly status: 'completed' | 'dead' | 'cancelled' | 'missing';
	/** The result of a completed job; otherwise `null`. */
	readonly result: Encoded;
	/** Why it is dead or cancelled, if that is known. */
	readonly error?: FailureRecord;
	/** As {@link Job.stale}. */
	readonly stale?: JobRecord['stale'];
}

/** The jobs that a cancel reached. */
export interface CancelResult {
	/** Jobs that were cancelled at once. */
	readonly cancelled: readonly JobId[];
	/** Running jobs, whose owners were asked to stop them. */
	readonly asked: readonly JobId[];
}

/** Options of a discard. */
export interface DiscardOptions {
	/** Also stop running executions. */
	readonly stop: boolean;
}

/** The jobs that a discard reached. */
export interface DiscardResult {
	/** Jobs that were deleted. */
	readonly discarded: readonly JobId[];
	/** Running jobs, which are deleted when their execution ends. */
	readonly asked: readonly JobId[];
}

/**
 * How long ended jobs are kept, in milliseconds, by status, and closed batches with all their jobs. What has no time is kept; so a batch outlives its
 * jobs if these have times and it has none.
 */
export interface Retention {
	readonly completed?: number;
	readonly dead?: number;
	readonly cancelled?: number;
	readonly batches?: number;
}
