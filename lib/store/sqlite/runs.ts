import type {JobId} from '../../job/job.ts';
import {MAX_RUN_JOBS} from '../../job/runs.ts';
import type {Statements} from './database.ts';
import {loosenJobs} from './job-run.ts';
import {type OutcomeRunRow, type RunResult, readResults} from './outcome-run.ts';
import {StoredState} from './stored-state.ts';
import type {Tx} from './tx.ts';

/** A row of the statements `claimedRun…`. */
export type ClaimedRun = readonly [first: JobId, last: JobId, lease: number, owner: number, task: number, batch: number | null];

/** The run that has this job, if it is claimed in one. */
export function claimedRunOf({claimedRunOf}: Statements, id: JobId): ClaimedRun | undefined {
	return claimedRunOf.get(id, id) as ClaimedRun | undefined;
}

/** The run that has this job, if it completed in one. */
export function outcomeRunOf({outcomeRunOf}: Statements, id: JobId): OutcomeRunRow | undefined {
	return outcomeRunOf.get(id, id) as OutcomeRunRow | undefined;
}

/** Runs that are kept read, by their first job. */
const KEPT = 8;
const kept = new WeakMap<Statements, Map<JobId, readonly RunResult[]>>();

/**
 * How this job ended, if it completed in a run. Who asks for one job often asks for its neighbours next, so the runs that were
 * read last are kept: a run may be gone, but never changes, and no other ever begins with the same job. Not for inside a transaction.
 */
export function resultInRun(statements: Statements, id: JobId): RunResult | undefined {
	const first = statements.outcomeRunFirst.get(id, id) as JobId | undefined;
	return first === undefined ? undefined : resultsOf(statements, first)[id - first];
}

function resultsOf(statements: Statements, first: JobId): readonly RunResult[] {
	const runs = kept.get(statements) ?? new Map<JobId, readonly RunResult[]>();
	kept.set(statements, runs);
	const known = runs.get(first);
	if (known) return known;
	const run = outcomeRunOf(statements, first);
	const results = run ? readResults(run) : [];
	runs.set(first, results);
	for (const oldest of runs.keys()) if (runs.size > KEPT) runs.delete(oldest);
	return results;
}

/** The last job of a run, which may say of itself that it is longer than any: another program may have written that. */
export function lastOfRun(first: JobId, last: JobId): JobId {
	return Math.min(last, first + MAX_RUN_JOBS - 1);
}

/** Gives each job of the runs that have this one rows of its own. Returns how many jobs that are. */
export function loosen({statements}: Tx, id: JobId): number {
	const jobs = loosenJobs(statements, id);
	return Math.max(jobs, loosenReady(statements, id) || loosenClaimed(statements, id) || loosenOutcome(statements, id));
}

function loosenReady(statements: Statements, id: JobId): number {
	const run = statements.readyRunOf.get(id) as [task: number, rank: number, first: JobId, last: JobId] | undefined;
	if (!run) return 0;
	const [task, rank, first, last] = run;
	statements.deleteReadyRun.run(task, rank, first);
	return statements.insertReadyRange.run(first, last).changes;
}

function loosenClaimed(statements: Statements, id: JobId): number {
	const run = claimedRunOf(statements, id);
	if (!run) return 0;
	const [first, last, lease, owner] = run;
	statements.deleteClaimedRun.run(first);
	return statements.claimRange.run(lease, owner, first, last).changes;
}

function loosenOutcome(statements: Statements, id: JobId): number {
	const run = outcomeRunOf(statements, id);
	if (!run) return 0;
	statements.deleteOutcomeRun.run(run[0]);
	const results = readResults(run);
	for (const {id, startedAt, endedAt, durationMs, cpuMs, memoryBytes, value} of results)
		statements.insertOutcome.run(id, StoredState.completed, 1, startedAt, endedAt, durationMs, cpuMs, memoryBytes, value, null);
	return results.length;
}
