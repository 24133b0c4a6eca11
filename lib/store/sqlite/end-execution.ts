import type {Lease, Outcome} from '../../job/claim.ts';
import type {Encoded} from '../../job/encoding.ts';
import {type FailureRecord, poison} from '../../job/failure.ts';
import {type JobId, type JobStatus, MAX_CRASHES, MAX_SUSPICION} from '../../job/job.ts';
import type {OpenJobs} from '../../job/open-jobs.ts';
import {backoffMs} from '../../job/options.ts';
import type {Released, Settled} from '../store.ts';
import {deleteJobRows} from './delete.ts';
import {type FailureState, failureStateOf, makeReady} from './lanes.ts';
import {unpackRun} from './packed-rows.ts';
import {StoredState} from './tally.ts';
import type {ClaimRow, Tx} from './tx.ts';

/** Moves a job from `claimed` to its next state, by the outcome of its execution. The caller deletes the row of the claim. */
export function endExecution(tx: Tx, claim: ClaimRow, outcome: Outcome): Settled {
	const [id, execution, task, batch, stop] = claim;
	switch (outcome.type) {
		case 'returned':
			insertOutcome(tx, claim, StoredState.completed, outcome, outcome.value);
			if (execution > 1) tx.statements.clearFailure.run(id);
			return 'completed';
		case 'released':
			if (stop !== null) return endStopped(tx, claim, outcome);
			if (outcome.suspicion) tx.statements.suspect.run(id, outcome.suspicion);
			makeReady(tx, {id, task, batch, rank: tx.statements.jobRank.get(id) as number, executions: execution}, StoredState.running);
			return 'pending';
		case 'cancelled':
			return endStopped(tx, claim, outcome);
		default:
			return endFailed(tx, claim, outcome);
	}
}

function endFailed(tx: Tx, claim: ClaimRow, outcome: Outcome & {type: 'threw' | 'timedOut' | 'lostWorker'}): Settled {
	const [id, execution, task, batch, stop] = claim;
	const {statements, tally, names, now, random} = tx;
	const before = failureStateOf(tx, id);
	const attempts = before.attempts + 1;
	const crashes = before.crashes + (outcome.type === 'lostWorker' ? 1 : 0);
	const isPoison = crashes >= MAX_CRASHES;
	// A job that failed without a loss of its worker is no longer a suspect.
	const suspicion = outcome.type === 'lostWorker' ? before.suspicion : 0;
	setFailureState(tx, id, {attempts, crashes, suspicion}, outcome, isPoison ? poison(crashes, outcome.error) : outcome.error);
	if (stop !== null && !isToDiscard(stop)) return endCancelled(tx, claim, outcome);
	const policy = names.policy(statements.jobPolicy.get(id) as number);
	if (attempts >= policy.maxAttempts || isPoison) {
		insertOutcome(tx, claim, StoredState.dead, outcome, null);
		return 'dead';
	}
	if (stop !== null) return endDiscarded(tx, claim);
	const runAt = policy.retry === 'manual' ? null : now + backoffMs(policy.backoff, attempts, random());
	statements.insertWaiting.run(id, runAt, 1, execution);
	tally.move(task, batch, StoredState.running, runAt === null ? StoredState.parked : StoredState.failed);
	return 'failed';
}

function isToDiscard(stop: number): boolean {
	return stop < 0;
}

function endStopped(tx: Tx, claim: ClaimRow, outcome: Outcome): Settled {
	const stop = claim[4];
	return stop !== null && isToDiscard(stop) ? endDiscarded(tx, claim) : endCancelled(tx, claim, outcome);
}

function endDiscarded(tx: Tx, [id, , task, batch]: ClaimRow): Settled {
	deleteJobRows(tx, id, {task, batch, key: tx.statements.jobKey.get(id) as string | null, state: StoredState.running});
	return 'discarded';
}

function endCancelled(tx: Tx, claim: ClaimRow, outcome: Outcome): JobStatus {
	if (outcome.type === 'cancelled' && outcome.error) setFailureState(tx, claim[0], failureStateOf(tx, claim[0]), outcome, outcome.error);
	else if (outcome.type === 'cancelled') tx.statements.clearTiming.run(claim[0]);
	insertOutcome(tx, claim, StoredState.cancelled, outcome, null);
	return 'cancelled';
}

function insertOutcome(
	{statements, tally, now, blobs}: Tx,
	[id, execution, task, batch]: ClaimRow,
	state: StoredState,
	{startedAt, durationMs, cpuMs, memoryBytes}: Outcome,
	value: Encoded,
): void {
	statements.insertOutcome.run(id, state, execution, startedAt ?? null, now, durationMs ?? null, cpuMs ?? null, memoryBytes ?? null, ...blobs.store(value));
	tally.move(task, batch, StoredState.running, state);
}

function setFailureState(
	{statements}: Tx,
	id: JobId,
	{attempts, crashes, suspicion}: FailureState,
	{startedAt, durationMs, cpuMs, memoryBytes}: Outcome,
	error: FailureRecord,
): void {
	const timing = [startedAt ?? null, durationMs ?? null, cpuMs ?? null, memoryBytes ?? null];
	statements.setFailureState.run(id, attempts, crashes, suspicion, ...timing, JSON.stringify(error));
}

/** The most jobs that become ready again in one transaction. The last run may exceed it. */
const MAX_RELEASED_JOBS = 5000;

/**
 * Makes a page of a dead owner's running jobs ready again, uncharged, and deletes the owner with the last page. Raises the suspicion of the jobs that
 * its workers had open.
 */
export function reclaimClaims(tx: Tx, owner: number, open: readonly OpenJobs[]): Released {
	const {statements} = tx;
	const upTo = nextPage(tx, owner, 0);
	for (const {lease, first, last} of open) statements.suspectClaims.run(owner, lease, first, Math.min(last, upTo), MAX_SUSPICION);
	return endPage(tx, owner, releasePage(tx, owner, 0, upTo));
}

/** Makes a page of an owner's running jobs ready again, uncharged: jobs of leases after this one. */
export function releaseClaims(tx: Tx, owner: number, {after, leave}: {readonly after: Lease; readonly leave: boolean}): Released {
	const released = releasePage(tx, owner, after, nextPage(tx, owner, after));
	return leave ? endPage(tx, owner, released) : released;
}

function endPage({statements}: Tx, owner: number, released: Released): Released {
	if (!released.hasMore) statements.deleteOwner.run(owner);
	return released;
}

/** Unpacks the next claimed runs. Returns the last job of the page. */
function nextPage({statements}: Tx, owner: number, after: Lease): JobId {
	let jobs = 0;
	for (const first of statements.claimedRunsOfOwner.all(owner, after) as JobId[]) {
		if (jobs >= MAX_RELEASED_JOBS) break;
		jobs += unpackRun(statements, first);
	}
	return (statements.claimOfOwnerAt.get(owner, after, MAX_RELEASED_JOBS - 1) as JobId | undefined) ?? Number.MAX_SAFE_INTEGER;
}

/** Makes the jobs of the page ready again by a few statements. Jobs that were asked to stop end one by one. */
function releasePage(tx: Tx, owner: number, after: Lease, upTo: JobId): Released {
	const {statements, tally} = tx;
	const stopped = statements.stoppedClaimsOfOwner.all(owner, after, upTo) as ClaimRow[];
	for (const claim of stopped) {
		endExecution(tx, claim, {type: 'released'});
		statements.deleteClaim.run(claim[0]);
	}
	const groups = statements.claimGroupsOfOwner.all(owner, after, upTo) as ClaimGroup[];
	for (const [task, batch, isSuspect, isThere, jobs] of groups) {
		const state = isSuspect === 1 ? StoredState.quarantined : StoredState.ready;
		tally.move(task, batch, StoredState.running, isThere === 1 ? state : null, jobs);
	}
	statements.readyClaimsOfOwner.run(owner, after, upTo);
	const jobs = stopped.length + statements.deleteClaimsOfOwner.run(owner, after, upTo).changes;
	return {jobs, hasMore: statements.hasClaims.get(owner, after, owner, after) !== undefined};
}

/** A row of the statement `claimGroupsOfOwner`. `isThere`: another program may have deleted the job. */
type ClaimGroup = [task: number, batch: number | null, isSuspect: number, isThere: number, jobs: number];
