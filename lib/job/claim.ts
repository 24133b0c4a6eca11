import type {Encoded} from './encoding.ts';
import type {JobId, Policy} from './job.ts';

/** A dispatcher's incarnation: a nanoid. Its jobs come back when it dies. */
export type OwnerId = string;

export interface DequeuedJob {
	readonly id: JobId;
	readonly task: string;
	readonly payload: Encoded;
	readonly createdAt: number;
	/** The number of this execution: with the lease, the fence. */
	readonly execution: number;
	/** Attempts charged before this execution. */
	readonly attempts: number;
	readonly policy: Policy;
	readonly key?: string;
	/** It is to run in a child process, with none but the other suspects of its task that were dequeued with it. */
	readonly isSuspect?: true;
	/** A suspect of the highest level: with none at all. */
	readonly isAlone?: true;
	/** What an earlier execution last kept with `ctx.checkpoint`, encoded. */
	readonly checkpoint?: Encoded;
}

/** One claim of jobs, made by one dequeue: a positive integer, never used twice. */
export type Lease = number;

/** Names one execution: whoever speaks for a job must. */
export interface Claim {
	readonly id: JobId;
	readonly lease: Lease;
	readonly execution: number;
}
