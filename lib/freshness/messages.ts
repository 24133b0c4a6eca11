import type {JobStatus} from '../job/job.ts';
import type {Values} from '../job/packed.ts';
import type {Fresh} from '../job/task.ts';

/** The station `freshness/`: finds out which items of a map have changed since their jobs ran. It runs in a thread of its own, since it reads files. */

/** Start data of the thread. */
export interface FreshnessStart {
	/** The URL of the tasks module. */
	readonly tasks: string;
}

/** Asks which of some items are out of date. All columns have an entry for each item. */
export interface FreshnessQuestion {
	readonly task: string;
	/** What makes a job run again. */
	readonly fresh: readonly Fresh[];
	/** Whether dead and cancelled jobs run again. */
	readonly retryFailed: boolean;
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

export interface FreshnessAnswer {
	/** The fingerprints to store; `null` keeps the stored one. */
	readonly fingerprints: readonly (string | null)[];
	/** Why each job runs; `null` if it does not. A changed payload is not known here. */
	readonly reasons: readonly (Reason | null)[];
	/** Indexes of the jobs that begin a new round, though their payloads may be the same. */
	readonly outdated: readonly number[];
	/** Indexes of the jobs that do not run, and completed by other code. */
	readonly byOtherCode: readonly number[];
	/** Indexes of completed jobs that would run, but a file of theirs is absent that was there: they keep their results. */
	readonly absent: readonly number[];
	/** What makes items run again by the task's own option `fresh`. */
	readonly ofTask: readonly Fresh[];
	/** The files of each item that runs; `null` if it has none, or does not run. */
	readonly files: readonly (FilesSeen | null)[];
}

/** Files as they were when they were looked at. */
export interface FilesSeen {
	readonly paths: readonly string[];
	readonly attributes: string;
}

/** What the thread is asked: which items are out of date, or which files have changed since they were looked at. */
export type FreshnessCall = {readonly check: FreshnessQuestion} | {readonly changed: readonly FilesSeen[]};
