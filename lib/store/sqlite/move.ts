import type {JobId, JobStatus} from '../../job/job.ts';
import {dueAtOf, type NewJob} from '../../job/new-job.ts';
import type {Moved, MoveTarget} from '../store.ts';
import {deleteRun, deleteStateRow} from './delete.ts';
import {makeReady} from './lanes.ts';
import {type FoundJob, findJob, findToChange, MAX_RUN_JOBS} from './packed-rows.ts';
import {STATUS_OF, StoredState} from './tally.ts';
import {Stop, type Tx} from './tx.ts';

/** A transaction that has unpacked this many jobs moves no more. To move one job of a run, all of the run are unpacked. */
const MAX_UNPACKED_JOBS = 2 * MAX_RUN_JOBS;

interface Move {
	readonly to: MoveTarget;
	/** Only jobs in one of these statuses. */
	readonly statuses: readonly JobStatus[];
	readonly stop: boolean;
}

/** Moves these jobs, in order, as far as one transaction goes. Returns the last job that it looked at as `last`. */
export function moveJobs(tx: Tx, ids: readonly JobId[], move: Move): Omit<Moved, 'next'> & {readonly last: JobId | undefined} {
	const found = {moved: [] as JobId[], asked: [] as JobId[], left: [] as JobId[]};
	let last: JobId | undefined;
	for (const id of ids) {
		if (tx.unpacked >= MAX_UNPACKED_JOBS) break;
		found[moveJob(tx, id, move)].push(id);
		last = id;
	}
	return {ids: found.moved, asked: found.asked, last};
}

/** Leaves a job that is in none of the statuses. */
function moveJob(tx: Tx, id: JobId, {to, statuses, stop}: Move): 'moved' | 'asked' | 'left' {
	switch (to) {
		case 'cancelled':
			return cancelJob(tx, id, statuses);
		case 'pending':
			return retryJob(tx, id, statuses);
		case 'discarded':
			return discardJob(tx, id, statuses, stop);
	}
}

/** Cancels the job, or asks the owner of a running one to stop it. */
function cancelJob(tx: Tx, id: JobId, statuses: readonly JobStatus[]): 'moved' | 'asked' | 'left' {
	const {statements, tally, now} = tx;
	const job = findToChange(tx, id, statuses);
	if (!job) return 'left';
	if (job.state === StoredState.running) {
		statements.askToStop.run(now, id);
		return 'asked';
	}
	deleteStateRow(tx, id, job);
	statements.insertOutcome.run(id, StoredState.cancelled, job.executions, null, now, null, null, null, null, null);
	tally.move(job.task, job.batch, job.state, StoredState.cancelled);
	return 'moved';
}

/**
 * Begins a new round: no attempts, no failure, no result, ready at once. The numbers of executions go on.
 * @param statuses none but failed, dead, cancelled and completed
 */
export function retryJob(tx: Tx, id: JobId, statuses: readonly JobStatus[]): 'moved' | 'left' {
	const job = findToChange(tx, id, statuses);
	if (!job) return 'left';
	endRound(tx, id, job);
	makeReady(tx, {...job, id}, job.state);
	return 'moved';
}

/** Begins a new round with another payload. Returns false, with no such change, if the job is running. */
export function replaceJob(tx: Tx, id: JobId, {payload, priority, policy, ...when}: NewJob): boolean {
	const job = findToChange(tx, id);
	if (!job || job.state === StoredState.running) return false;
	const {statements, tally, names, now} = tx;
	endRound(tx, id, job);
	// The checkpoint belongs to the old payload.
	statements.deleteCheckpoint.run(id);
	statements.replaceJob.run(names.policyId(policy), priority, payload, id);
	const dueAt = dueAtOf(when, now);
	if (dueAt === null) makeReady(tx, {...job, id, rank: -priority}, job.state);
	else {
		statements.insertWaiting.run(id, dueAt, 0, job.executions);
		tally.move(job.task, job.batch, job.state, StoredState.delayed);
	}
	return true;
}

function endRound(tx: Tx, id: JobId, job: FoundJob): void {
	deleteStateRow(tx, id, job);
	tx.statements.deleteFailureState.run(id);
	tx.statements.deleteProgress.run(id);
}

/** Deletes the job, or has a running one deleted when its execution ends. */
function discardJob(tx: Tx, id: JobId, statuses: readonly JobStatus[], stop: boolean): 'moved' | 'asked' | 'left' {
	const {statements} = tx;
	const job = findJob(statements, id);
	if (!job || !statuses.includes(STATUS_OF[job.state])) return 'left';
	if (job.batch !== null) statements.endInput.run(null, job.batch);
	if (job.state === StoredState.running) {
		findToChange(tx, id);
		statements.askToDiscard.run(stop ? Stop.discardNow : Stop.discard, id);
		return 'asked';
	}
	deleteRun(tx, id, id);
	return 'moved';
}
