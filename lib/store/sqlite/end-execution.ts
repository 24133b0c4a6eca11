import {backoffMs} from '../../job/backoff.ts';
import type {Encoded} from '../../job/encoding.ts';
import {type FailureRecord, poison} from '../../job/failure.ts';
import {type JobId, type JobStatus, MAX_CRASHES} from '../../job/job.ts';
import type {Outcome} from '../../job/outcome.ts';
import type {Settled} from '../store.ts';
import {deleteJobRows} from './delete.ts';
import {type FailureState, failureStateOf, makeReady} from './ready.ts';
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
