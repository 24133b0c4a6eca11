import type {BatchId, Counts} from './job.ts';
import type {NewJob} from './new-job.ts';

/** A batch as the store knows it. Times are milliseconds since 1970. A time is absent if its event has not happened. */
export interface Batch {
	/** The store's number of the batch. */
	readonly id: BatchId;
	/** Unique among batches. */
	readonly name: string;
	/** The task of all its jobs. */
	readonly task: string;
	/** When a map first opened it. */
	readonly createdAt: number;
	/** Number of items in its input, once that has ended. */
	readonly total?: number;
	/** When the first of its jobs was claimed. */
	readonly startedAt?: number;
	/** When its input and all its jobs had ended. */
	readonly completedAt?: number;
	/** When a map of it last ended with every result yielded. */
	readonly closedAt?: number;
	/** Its jobs by status. */
	readonly counts: Counts;
	/** At most two, the older one first. Its rate is calculated from them. */
	readonly marks: readonly Mark[];
}

/** How many jobs of a batch had ended at a moment. */
export interface Mark {
	/** Milliseconds since 1970. */
	readonly at: number;
	/** Jobs of the batch that had ended. */
	readonly ended: number;
}

/** Options of a batch, kept with it. */
export interface BatchOptions {
	/** A job that the store enqueues in the same transaction whenever the batch completes. Its payload is a {@link CompletedBatch}. */
	readonly onComplete?: Pick<NewJob, 'task' | 'priority' | 'policy'>;
}

/** A batch whose input and jobs have all ended. */
export interface CompletedBatch {
	/** Its name. */
	readonly batch: string;
	/** Its jobs by status when it completed. */
	readonly counts: Counts;
}

/** A job that ends this long after the last {@link Mark} makes a new one. Two are kept, so that a rate covers at least the last 10 seconds. */
export const MARK_EVERY_MS = 10_000;

/** The job that the store enqueues when a batch completes. */
export function toCompletionJob({task, priority, policy}: Pick<NewJob, 'task' | 'priority' | 'policy'>, completed: CompletedBatch): NewJob {
	return {task, priority, policy, runAt: null, payload: JSON.stringify(completed)};
}

/** What one call deleted of a batch. */
export interface DeleteResult {
	/** The number of deleted jobs. */
	readonly deleted: number;
	/** True if no batch has the name any more. Otherwise call again. */
	readonly isGone: boolean;
}
