import type {Claim} from './claim.ts';
import type {Encoded} from './encoding.ts';
import type {FailureRecord} from './failure.ts';
import type {LogLine} from './job.ts';
import type {ChildJob} from './new-job.ts';

/** How an execution ended. */
export type Outcome = Timing &
	/** `enqueue` in the same transaction, all or none: if the key of one names another payload, the execution {@link TurnResult.refused threw}. */
	(
		| {readonly type: 'returned'; readonly value: Encoded; readonly enqueue?: readonly ChildJob[]}
		/** Charged. */
		| {readonly type: 'threw' | 'timedOut' | 'lostWorker'; readonly error: FailureRecord}
		| {readonly type: 'cancelled'; readonly error?: FailureRecord}
		/** Not charged: it never started, or was interrupted through no fault of its own. */
		| {
				readonly type: 'released';
				/** It ran with others when the worker was lost or stopped, and it is not known whose fault that was: how suspect it is from then on, at least. */
				readonly suspicion?: number;
		  }
	);

export interface Timing {
	/** When the task started, in milliseconds since 1970. */
	readonly startedAt?: number;
	readonly durationMs?: number;
	/** From enqueue to start, of a first execution; not stored, since it follows from what is. */
	readonly waitMs?: number;
	/** Processor time; of short jobs that were reported together, their share by duration. */
	readonly cpuMs?: number;
	/** See {@link Job.memoryBytes}. */
	readonly memoryBytes?: number;
}

export interface Settlement extends Claim {
	readonly outcome: Outcome;
}

/** What a running task said of itself, and what its pool has to say of it. */
export interface Note extends Claim {
	/** When it started, in milliseconds since 1970; told of those only that run for a while. */
	readonly startedAt?: number;
	readonly progress?: {readonly done: number; readonly total?: number; readonly at: number};
	readonly logs?: readonly Omit<LogLine, 'execution'>[];
	/** Kept until another one comes, through whatever happens, or the job completes. */
	readonly checkpoint?: {readonly at: number; readonly state: Encoded};
}

/** Log lines kept per job: the latest. */
export const MAX_LOG_LINES = 200;
