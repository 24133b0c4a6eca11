import type {Encoded} from './encoding.ts';
import type {JobId, Policy} from './job.ts';

/** A dispatcher from its start to its end: a nanoid. When it dies, other dispatchers reclaim its jobs. */
export type OwnerId = string;

/** A job that a claim returned, with its execution. */
export interface ClaimedJob {
	/** The job's id. */
	readonly id: JobId;
	/** The name of the function to run. */
	readonly task: string;
	/** The encoded payload. */
	readonly payload: Encoded;
	/** When it was enqueued, in milliseconds since 1970. */
	readonly createdAt: number;
	/** The number of this execution. Together with the lease it is the fence: a late result of an earlier execution is refused. */
	readonly execution: number;
	/** Attempts charged before this execution. */
	readonly attempts: number;
	/** How often and how long it may run. */
	readonly policy: Policy;
	/** Its unique key, if it has one. */
	readonly key?: string;
	/** Set if the job may have killed its process. It then runs in a child process, `together` with other such jobs of its task or `alone`. */
	readonly quarantine?: 'together' | 'alone';
	/** The last `ctx.checkpoint` of an earlier execution, encoded. */
	readonly checkpoint?: Encoded;
}

/** The number of one transaction that claimed jobs: a positive integer, never used twice. */
export type Lease = number;

/** Names one execution. Every write about a running job carries it. */
export interface Claim {
	/** The running job. */
	readonly id: JobId;
	/** The lease of the transaction that claimed it. */
	readonly lease: Lease;
	/** The number of the execution. */
	readonly execution: number;
}
