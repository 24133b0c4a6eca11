import type {JobId} from '../../job.ts';
import type {Statements} from './database.ts';
import {loosenJobs} from './job-run.ts';
import {type OutcomeRunRow, type RunResult, readResults} from './outcome-run.ts';
import {Place} from './places.ts';
import type {Session} from './session.ts';

/** A row of the statements `claimedRun…`. */
export type ClaimedRun = readonly [first: JobId, last: JobId, lease: number, owner: number, task: number, batch: number | null];

/** The run that has this job, if it is claimed in one. */
export function claimedRunOf({claimedRunOf}: Statements, id: JobId): ClaimedRun | undefined {
	return claimedRunOf.get(id, id) as ClaimedRun | undefined;
}

function outcomeRunOf({outcomeRunOf}: Statements, id: JobId): OutcomeRunRow | undefined {
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

/** Gives each job of the runs that have this one rows of its own. */
export function loosen({statements}: Session, id: JobId): void {
	loosenJobs(statements, id);
	loosenReady(statements, id) || loosenClaimed(statements, id) || loosenOutcome(statements, id);
}

function loosenReady(statements: Statements, id: JobId): boolean {
	const run = statements.readyRunOf.get(id) as [task: number, rank: number, first: JobId, last: JobId] | undefined;
	if (!run) return false;
	const [task, rank, first, last] = run;
	statements.deleteReadyRun.run(task, rank, first);
	statements.insertReadyRange.run(first, last);
	return true;
}

function loosenClaimed(statements: Statements, id: JobId): boolean {
	const run = claimedRunOf(statements, id);
	if (!run) return false;
	const [first, last, lease, owner] = run;
	statements.deleteClaimedRun.run(first);
	statements.claimRange.run(lease, owner, first, last);
	return true;
}

function loosenOutcome(statements: Statements, id: JobId): boolean {
	const run = outcomeRunOf(statements, id);
	if (!run) return false;
	statements.deleteOutcomeRun.run(run[0]);
	for (const {id, startedAt, endedAt, durationMs, cpuMs, memoryBytes, value} of readResults(run))
		statements.insertOutcome.run(id, Place.completed, 1, startedAt, endedAt, durationMs, cpuMs, memoryBytes, value, null);
	return true;
}
