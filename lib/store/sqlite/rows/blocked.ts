import type {JobId} from '../../../job/job.ts';
import type {Statements} from '../connection/statements.sql.ts';

/** Neighbours that wait for the same number of parents: a row of `blocked_run`. */
export interface BlockedRun {
	readonly first: JobId;
	readonly last: JobId;
	readonly task: number;
	readonly rank: number;
	readonly batch: number | null;
	/** Earliest start, in milliseconds since 1970; `null` for at once. */
	readonly runAt: number | null;
	readonly executions: number;
	/** The number of parents that have not ended as they must. */
	readonly parents: number;
}

export function insertBlocked({insertBlockedRun}: Statements, {first, last, task, rank, batch, runAt, executions, parents}: BlockedRun): void {
	insertBlockedRun.run(first, last, task, rank, batch, runAt, executions, parents);
}

/** The row that has this job. */
export function blockedRunOf({blockedRunOf}: Statements, id: JobId): BlockedRun | undefined {
	return blockedRunOf.get(id, id) as BlockedRun | undefined;
}

/** The rows with blocked jobs from one job up to another one, in order. */
export function blockedRunsIn({blockedRunsIn}: Statements, first: JobId, last: JobId): BlockedRun[] {
	return blockedRunsIn.all({first, last}) as BlockedRun[];
}

/** Takes these jobs out of the row. The other jobs of the row stay blocked. Returns what was taken. */
export function takeBlocked(statements: Statements, run: BlockedRun, from: JobId, to: JobId): BlockedRun {
	const [first, last] = [Math.max(from, run.first), Math.min(to, run.last)];
	statements.deleteBlockedRun.run(run.first);
	if (run.first < first) insertBlocked(statements, {...run, last: first - 1});
	if (last < run.last) insertBlocked(statements, {...run, first: last + 1});
	return {...run, first, last};
}
