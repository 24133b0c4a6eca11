import type {BatchId, Counts} from './job.ts';
import type {NewJob} from './new-job.ts';

/** What is known of a batch. Times are milliseconds since 1970; absent values have not happened. */
export interface Batch {
	readonly id: BatchId;
	readonly name: string;
	readonly task: string;
	readonly createdAt: number;
	/** Items of its input, once that has ended. */
	readonly total?: number;
	/** When the first of its jobs was dequeued. */
	readonly startedAt?: number;
	/** When its input had ended and none of its jobs was left unended. */
	readonly completedAt?: number;
	/** When its map last came to its end. */
	readonly closedAt?: number;
	/** Its jobs by status. */
	readonly counts: Counts;
	/** Where the number of its ended jobs stood at up to two moments, the older first: what its rate is told by. */
	readonly marks: readonly Mark[];
}

export interface Mark {
	readonly at: number;
	/** Jobs of the batch that had ended. */
	readonly ended: number;
}

export interface BatchOptions {
	/** The job that is enqueued, in the same transaction, whenever the batch completes. Its payload is a {@link CompletedBatch}. */
	readonly onComplete?: Pick<NewJob, 'task' | 'priority' | 'policy'>;
}

export interface CompletedBatch {
	/** Its name. */
	readonly batch: string;
	readonly counts: Counts;
}

export interface DeleteResult {
	readonly deleted: number;
	/** True if the batch itself is gone, or never was; otherwise call again. */
	readonly isGone: boolean;
}
