import type {Counts, JobId} from './job.ts';
import type {Policy} from './policy.ts';

/** A batch's id: a positive integer. */
export type BatchId = number;

/** A batch as the store knows it. Times are milliseconds since 1970. A time is absent if its event has not happened.
 * @example const batch: Batch | undefined = await queue.batch('nightly'); */
export interface Batch {
	/** The store's number of the batch. */
	readonly id: BatchId;
	/** Unique among batches. */
	readonly name: string;
	/** The task of all its jobs; absent for a flow and for a pipe. */
	readonly task?: string;
	/** Of a flow. */
	readonly flow?: StoredFlow;
	/** Of a pipe: its stages, in order: the task, and how many items a job of it gets if that is several, such as `store × 100`. */
	readonly stages?: readonly string[];
	/** Names the map with `fresh: 'all'` that has begun to run all its items again, until a map of the batch has yielded all. */
	readonly renewal?: string;
	/** Names the map or pipe that has opened it last. */
	readonly run?: string;
	/** Of a flow and of a pipe: its jobs by task and status. */
	readonly tasks?: Readonly<Record<string, Counts>>;
	/** When it was first opened. */
	readonly createdAt: number;
	/** Number of items in its input, once that has ended. */
	readonly total?: number;
	/** When the first of its jobs was claimed. */
	readonly startedAt?: number;
	/** When its input and all its jobs had ended. */
	readonly completedAt?: number;
	/** When a map of it last ended with every result yielded. */
	readonly closedAt?: number;
	/** The job of `onComplete` that was enqueued when it last completed. */
	readonly completionJobId?: JobId;
	/** Its jobs by status. */
	readonly counts: Counts;
	/** Of the pending ones, those that an earlier run left unfinished and a later one has not named: they are not started. Absent if there are none. */
	readonly held?: number;
	/** At most two, the older one first. Its rate is calculated from them. */
	readonly marks: readonly Mark[];
}

/** A flow is a batch whose jobs wait for each other. They are blocked until its input has ended, so that none runs before all are there. */
export interface StoredFlow {
	/** Equal for flows with the same jobs, payloads and edges. */
	readonly structure: string;
	/** Its jobs in order, as ranges of ids; absent until its input has ended. */
	readonly jobs?: FlowJobs;
}

/** Ranges of consecutive ids. */
export type FlowJobs = readonly (readonly [first: JobId, count: number])[];

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
	readonly onComplete?: {readonly task: string; readonly scope?: string | undefined; readonly priority: number; readonly policy: Policy};
	/** For a flow: its `structure`, as in {@link StoredFlow}. */
	readonly flow?: string | undefined;
	/** For a pipe: its stages, as {@link Batch.stages}. */
	readonly stages?: readonly string[] | undefined;
	/** For a map that runs all its items again: a name for `renewal` of the {@link Batch}. One that an earlier map has left there stays. */
	readonly renewal?: string | undefined;
	/** For a map and for a pipe: `run` of the {@link Batch}. */
	readonly run?: string | undefined;
}

/** A batch whose input and jobs have all ended. @example export const tellOfEnd = ({batch, counts}: CompletedBatch) => console.log(batch, counts.dead); */
export interface CompletedBatch {
	/** Its name. */
	readonly batch: string;
	/** Its jobs by status when it completed. */
	readonly counts: Counts;
}

/** A job that ends this long after the last {@link Mark} makes a new one. Two are kept, so that a rate covers at least the last 10 seconds. */
export const MARK_EVERY_MS = 10_000;

/** What one call deleted of a batch. */
export interface DeleteResult {
	/** The number of deleted jobs. */
	readonly deleted: number;
	/** True if no batch has the name any more. Otherwise call again. */
	readonly isGone: boolean;
}
