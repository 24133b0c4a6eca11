import type {JobError} from './failure.ts';
import type {JobId} from './job.ts';

/** The jobs for which the jobs of a group wait: their parents. Until all have ended, such a job is `blocked`. */
export interface Parents {
	/** Which jobs wait for which. */
	readonly edges: readonly ParentEdge[];
	/** What becomes of a job whose parent does not complete. */
	readonly onParentDead: 'cancel' | 'run';
	/** True if the jobs also wait for the end of their batch's input, as those of a flow do. */
	readonly areHeld?: boolean;
}

/** Parents of a group's jobs. */
export interface ParentEdge {
	/**
	 * `all`: each job of the group waits for each of these. `each`: the job at the index {@link start} waits for the first of these, the next job for
	 * the second, and so on.
	 */
	readonly kind: 'all' | 'each';
	/** The jobs for which these wait. */
	readonly parents: KnownParents | ParentsOfCall;
	/** Default 0. */
	readonly start?: number;
}

/** Jobs that the store has. */
export interface KnownParents {
	/** A list; or the first, if they are consecutive. */
	readonly ids: JobId | readonly JobId[];
	/** The number of ids. */
	readonly count: number;
}

/** Jobs that are enqueued by the same transaction, so that no one knows their ids yet. */
export interface ParentsOfCall {
	/** How many groups before this one theirs is: 0 for this group itself, whose jobs then have no keys. */
	readonly groupsBefore: number;
	/** The index of the first of these jobs in their group. */
	readonly first: number;
	/** The number of these jobs. */
	readonly count: number;
}

/** What becomes of a job if one of its parents ends as dead or cancelled: it is cancelled, too; or it runs all the same. */
export type OnParentDead = Parents['onParentDead'];

/** What became of a job for which another one has waited. `missing`: it was deleted; `open`: it was retried since, and has not ended again.
 * @example const failed = ctx.parents.filter(({status}: ParentOutcome) => status === 'dead'); */
export type ParentOutcome =
	| {
			/** The parent. */
			readonly id: JobId;
			/** What has become of it. */
			readonly status: 'completed';
			/** What it returned, also in `ctx.results`. */
			readonly result: unknown;
	  }
	| {
			readonly id: JobId;
			readonly status: 'dead' | 'cancelled' | 'missing' | 'open';
			/** Why it is dead or cancelled, if that is known. */
			readonly error?: JobError;
	  };
