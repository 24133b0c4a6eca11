import type {JobId} from '../../../job/job.ts';
import {MAX_RUN_JOBS} from '../connection/schema.sql.ts';

/**
 * A run is one row for many jobs with consecutive ids. `job_run` has their immutable columns; `ready_run`, `claimed_run` and `outcome_run` have the
 * state that they share. A job that fails is cut out of its run: {@link extractJobs}. Before anything else happens to one job of a run, all its jobs get
 * rows of their own: {@link unpackRun}.
 */

/** The last job of a run. If another program wrote a row that is too long, the excess is ignored. */
export function lastOfRun(first: JobId, last: JobId): JobId {
	return Math.min(last, first + MAX_RUN_JOBS - 1);
}

/** The bounds of a run. */
export type Range = readonly [first: JobId, last: JobId];
