import type {Encoded} from './encoding.ts';
import type {FailureRecord} from './failure.ts';
import {fromFailure, type JobError} from './failure.ts';
import type {Job, JobId, LogLine, Progress} from './job.ts';
import type {ChildJob, NewJob} from './new-job.ts';
import type {CheckedOptions} from './options.ts';

/** The name of an owner: a dispatcher, or another loop that claims jobs, from its start to its end. Faena's own are nanoids. When an owner dies, others reclaim its jobs. */
export type OwnerId = string;

/** A job that a claim returned, with its execution. */
export interface ClaimedJob extends Pick<NewJob, 'task' | 'payload' | 'policy'>, Pick<Claim, 'id' | 'execution'> {
	/** When it was enqueued, in milliseconds since 1970. */
	readonly createdAt: number;
	/** Attempts charged before this execution. */
	readonly attempts: number;
	/** Its unique key, if it has one. */
	readonly key?: string;
	/** Whose it is, if anybody's; jobs that it enqueues are theirs, too. */
	readonly scope?: string;
	/** Set if the job may have killed its process. It then runs in a child process, `together` with other such jobs of its task or `alone`. */
	readonly quarantine?: 'together' | 'alone';
	/** The last `ctx.checkpoint` of an earlier execution, encoded. */
	readonly checkpoint?: Encoded;
}

/** The number of one transaction that claimed jobs: a positive integer, never used twice. */
export type Lease = number;

/** Names one execution. Every write about a running job carries it: it is the fence that refuses a late result of an earlier execution.
 * @example const {id, lease, execution}: Claim = job; */
export interface Claim {
	/** The running job. */
	readonly id: JobId;
	/** The lease of the transaction that claimed it. */
	readonly lease: Lease;
	/** The number of the execution. */
	readonly execution: number;
}

/** How an execution ended, without its times and its result. */
export type Ending =
	/** The transaction that settles it also enqueues the child jobs, all or none. If a key belongs to a job with another payload, it counts as one that threw. */
	| {readonly type: 'returned'; readonly enqueue?: readonly ChildJob[]; readonly onDead?: ChildJob}
	/** These are charged. If one makes the job dead, the transaction also enqueues the job of its `onDead`. */
	| {readonly type: 'threw' | 'timedOut' | 'lostWorker'; readonly error: FailureRecord; readonly onDead?: ChildJob}
	| {readonly type: 'cancelled'; readonly error?: FailureRecord}
	/** Not charged: it never started, or was interrupted through no fault of its own. */
	| {
			readonly type: 'released';
			/** Set if it ran with others, and the pool can't tell which was at fault. The job's level of suspicion is at least this from then on. */
			readonly suspicion?: number;
	  };

/** How an execution ended, with its times and, if it returned, its result. */
export type Outcome = Timing & ((Ending & {readonly type: 'returned'} & {readonly value: Encoded}) | Exclude<Ending, {readonly type: 'returned'}>);

/** The times and the use of resources of one execution. */
export type Timing = Pick<Job, 'startedAt' | 'durationMs' | 'cpuMs' | 'memoryBytes'>;

/** The number of an execution, from 1; and what is known of its times and costs. */
export interface ExecutionFacts extends Timing {
	/** From 1. */
	readonly number: number;
}

export interface Settlement extends Claim {
	/** How the execution ended. */
	readonly outcome: Outcome;
	/** The worker that ran it, for people: see {@link ExecutionRecord.worker}. */
	readonly worker?: string | undefined;
	/** The task's own options, for a job that does not know them: `unset` of its policy. */
	readonly own?: CheckedOptions | undefined;
	/** The code of the task that its worker had loaded, without a space: the first word of the job's fingerprint, if it has one. Absent keeps that word. */
	readonly code?: string | undefined;
}

/** One execution of a job that has ended, other than by a release. Times are milliseconds since 1970. */
export interface ExecutionRecord extends Timing {
	/** Its number, from 1. A job that expired has a record of the execution that it did not get. */
	readonly execution: number;
	/** `failed`: the `error` says how. */
	readonly status: 'completed' | 'failed' | 'cancelled';
	/** When its end was recorded. */
	readonly endedAt: number;
	/** What ran it, such as `thread 3 of process 4211 on web-1`. Absent if it never started, or was not told. */
	readonly worker?: string;
	/** Why it failed, or was cancelled. */
	readonly error?: FailureRecord;
}

/** An {@link ExecutionRecord}, with its error as an Error. @example const ran = ({execution, durationMs}: JobExecution) => `${execution}: ${durationMs} ms`; */
export interface JobExecution extends Omit<ExecutionRecord, 'error'> {
	/** Why it failed, or was cancelled. */
	readonly error?: JobError;
}

export function toExecution({error, ...execution}: ExecutionRecord): JobExecution {
	return {...execution, ...(error && {error: fromFailure(error)})};
}

/** The store keeps this many executions of a job: half of them the first, half the last. */
export const MAX_EXECUTIONS = 20;

/** Progress, log lines and the checkpoint of a running job, and when it started. */
export interface JobUpdate extends Claim {
	/** When it started, in milliseconds since 1970. The pool reports it only for jobs that run for 100 to 200 ms or longer. */
	readonly startedAt?: number;
	/** The last progress. */
	readonly progress?: Progress;
	/** New log lines, in order. */
	readonly logs?: readonly Omit<LogLine, 'execution'>[];
	/** The store keeps it until the next one, or until the job completes or gets another payload. */
	readonly checkpoint?: {readonly at: number; readonly state: Encoded};
}

/** The store keeps this many log lines of a job, the latest ones. */
export const MAX_LOG_LINES = 200;
