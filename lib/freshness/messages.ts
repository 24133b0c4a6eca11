import type {Values} from '../job/groups/packed.ts';
import type {JobStatus} from '../job/job.ts';
import type {Fresh} from '../job/task/task.ts';
import type {FilesSeen} from './files.ts';

/** The station `freshness/`: finds out which items of a map have changed since their jobs ran. It runs in a thread of its own, since it reads files. */

/** Asks which of some items are out of date. All columns have an entry for each item. */
export interface FreshnessQuestion {
	readonly task: string;
	/** What makes a job run again. */
	readonly fresh: readonly Fresh[];
	/** Whether dead and cancelled jobs run again. */
	readonly retryFailed: boolean;
	/** Names the run of all items that goes on: `Batch.renewal`. */
	readonly renewal: string | undefined;
	readonly payloads: Values;
	/** Paths of the files of each item, besides those that the task's option `files` names. */
	readonly files: readonly (readonly string[])[] | undefined;
	/** The jobs that the items have; `undefined` if none has one. */
	readonly known: {readonly statuses: readonly (JobStatus | null)[]; readonly fingerprints: readonly (string | null)[]} | undefined;
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

/** What the thread is asked. */
export interface FreshnessCalls {
	/** What makes items of the task run again, by its own option `fresh`. */
	ofTask(task: string): readonly Fresh[];
	check(question: FreshnessQuestion): readonly Verdict[];
	/** Indexes of the files that are not as they were. */
	changed(files: readonly FilesSeen[]): readonly number[];
}
