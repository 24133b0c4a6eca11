import type {BatchId} from '../job/batch.ts';
import type {ExecutionRecord} from '../job/claim.ts';
import type {JobEnd, JobId, JobRecord, JobStatus, LogLine} from '../job/job.ts';
import type {JobValues, Place} from '../job/search.ts';

/** A page of a search, or of a deletion. */
export interface SearchPage {
	/** Only jobs that come later in its order than this place. */
	readonly after?: Place | undefined;
	/** The most jobs; default 100, and 1,000 or more for a deletion. */
	readonly limit?: number;
}

/** What to read of each job, besides the fields of {@link JobRecord}. */
export interface Wanted {
	/** Only count the jobs: the page has none. */
	readonly count?: boolean;
	/** Payload, result and checkpoint. */
	readonly values?: boolean;
	/** The log lines that the store kept. */
	readonly logs?: boolean;
	/** The executions that the store kept. */
	readonly history?: boolean;
	/** The jobs for which it has waited, and those that have waited for it. */
	readonly edges?: boolean;
}

/** A page of jobs. */
export interface JobPage {
	/** In the order of the search. */
	readonly jobs: readonly StoredJob[];
	/** The number of jobs on the page. */
	readonly count: number;
	/** Give it as `after` to go on; `null` at the end. */
	readonly next: Place | null;
}

/** A job with what was read besides its fields. */
export interface StoredJob extends JobRecord {
	/** If values were wanted. */
	readonly values?: JobValues;
	/** If log lines were wanted. */
	readonly logs?: readonly LogLine[];
	/** If they were wanted: the executions that have ended, in order. */
	readonly history?: readonly ExecutionRecord[];
	/** If they were wanted. */
	readonly edges?: JobEdges;
}

/** The jobs for which a job has waited, in order, and those that have waited for it: ranges of consecutive ids. */
export interface JobEdges {
	/** For which it has waited. */
	readonly parents: readonly JobRange[];
	/** Which have waited for it, or wait. */
	readonly children: readonly JobRange[];
}

/** Jobs with consecutive ids. */
export type JobRange = readonly [first: JobId, last: JobId];

/** Where keys are unique: in a batch, or of a task outside batches. */
export interface KeySpace {
	/** The task of the jobs. */
	readonly task: string;
	/** The batch of the jobs. */
	readonly batch?: BatchId | undefined;
}

/** Jobs that have keys, as columns in the order of the keys. */
export interface KeyHolders {
	/** `null` where no job has the key. */
	readonly ids: readonly (JobId | null)[];
	/** `null` where no job has the key. */
	readonly statuses: readonly (JobStatus | null)[];
	/** The last `fingerprints` of the jobs; `null` where there is none. */
	readonly fingerprints: readonly (string | null)[];
}

/** A page of ends. */
export interface OutcomePage {
	/** In the order of the ids. */
	readonly outcomes: readonly JobEnd[];
	/** The number of ids that were looked at. Give it as `after` to go on; `null` at the end. */
	readonly next: number | null;
}
