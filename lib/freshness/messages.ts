import type {Values} from '../job/groups/packed.ts';
import type {JobStatus} from '../job/job.ts';
import type {Fresh} from '../job/task.ts';

/** The station `freshness/`: finds out which items of a map have changed since their jobs ran. It runs in a thread of its own, since it reads files. */

/** Asks which of some items are out of date. All columns have an entry for each item. */
export interface FreshnessQuestion {
	readonly task: string;
	/** What makes a job run again. */
	readonly fresh: readonly Fresh[];
	/** Whether dead and cancelled jobs run again. */
	readonly retryFailed: boolean;
	/** Names the run of all items that goes on: `Batch.renewal`. */
	readonly renewal?: string | undefined;
	readonly payloads: Values;
	/** Paths of the files of each item; by default those that the task's option `files` names. */
	readonly files?: readonly (readonly string[])[] | undefined;
	/** The jobs that the items have; absent if none has one. */
	readonly known?: {readonly statuses: readonly (JobStatus | null)[]; readonly fingerprints: readonly (string | null)[]} | undefined;
}

/**
 * Why an item's job runs. `new`: there is none yet; `unfinished`: it has not ended; `failed`: it is retried; `payload`, `content` and `code` have
 * changed; `outputs`: a file that it has made is gone; `all`: the map asks for all.
 */
export type Reason = 'new' | 'unfinished' | 'failed' | 'outputs' | Fresh;

/** What was found out about an item. */
export interface Verdict {
	/** Why its job runs; `null` if it does not. A changed payload is not known here. */
	readonly reason: Reason | null;
	/** Of a completed job that does not run: it was made by other code; or it would run, but a file of it is absent that was there. */
	readonly kept?: 'byOtherCode' | 'absent' | undefined;
	/** True if the job begins a new round, though its payload may be the same. */
	readonly isOutdated?: boolean;
	/** The fingerprint to store; absent to keep the stored one. */
	readonly fingerprint?: string;
	/** Its files, if it runs. */
	readonly files?: FilesSeen;
}

export interface FreshnessAnswer {
	readonly verdicts: readonly Verdict[];
	/** What makes items run again by the task's own option `fresh`. */
	readonly ofTask: readonly Fresh[];
}

/** Files as they were when they were looked at. */
export interface FilesSeen {
	readonly paths: readonly string[];
	readonly attributes: string;
}

/** What the thread is asked: which items are out of date, or which files have changed since they were looked at. */
export type FreshnessCall = {readonly check: FreshnessQuestion} | {readonly changed: readonly FilesSeen[]};
