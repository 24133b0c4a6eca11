import type {JobId} from '../../job/job.ts';
import {type FoundJob, findJob} from './find-job.ts';
import {scopeOf} from './names.ts';
import {jobRunOf, lastOfRun, type OutcomeRunRow, outcomeRunOf, sliceOutcomeRun} from './packed-rows.ts';
import {laneOf} from './ready.ts';
import {StoredState} from './tally.ts';
import type {Tx} from './tx.ts';

/** Deletes all rows of a job but the row of its state, which the caller deletes. */
export function deleteJobRows({statements, tally}: Tx, id: JobId, {task, batch, key, state}: Pick<FoundJob, 'task' | 'batch' | 'key' | 'state'>): void {
	for (const name of ['deleteFailureState', 'deleteProgress', 'deleteCheckpoint', 'deleteLog', 'deleteJob'] as const) statements[name].run(id);
	if (key !== null) statements.deleteKey.run(scopeOf(task, batch), key);
	tally.move(task, batch, state, null);
}

/** Deletes a job that has rows of its own. */
export function deleteJob(tx: Tx, id: JobId, job: Omit<FoundJob, 'executions' | 'isInRun'>): void {
	deleteStateRow(tx, id, job);
	deleteJobRows(tx, id, job);
}

/** Deletes the row of a job's state. The job must not be running. */
export function deleteStateRow({statements}: Tx, id: JobId, {task, rank, state}: Pick<FoundJob, 'task' | 'rank' | 'state'>): void {
	if (state === StoredState.ready || state === StoredState.quarantined) statements.deleteReady.run(laneOf(task, state), rank, id);
	else if (state >= StoredState.completed) statements.deleteOutcome.run(id);
	else statements.deleteWaiting.run(id);
}

/**
 * Deletes a job that is not running, and the jobs after it in its run, up to the id `upTo`. Unpacks nothing: on a full disk there would be no room
 * for the rows.
 * @returns the last job that was deleted or passed over
 */
export function deleteRun(tx: Tx, id: JobId, upTo: JobId): JobId {
	const job = findJob(tx.statements, id);
	if (!job || job.state === StoredState.running) return id;
	if (!job.isInRun) {
		deleteJob(tx, id, job);
		return id;
	}
	return job.state === StoredState.ready ? deleteReadyJobs(tx, id, upTo, job) : deleteCompletedJobs(tx, id, upTo, job);
}

function deleteReadyJobs(tx: Tx, from: JobId, upTo: JobId, {task, rank}: FoundJob): JobId {
	const {deleteReadyRun, insertReadyRun, readyRunAt} = tx.statements;
	const [first, last, batch] = readyRunAt.get(task, rank, task, rank, from, from) as [JobId, JobId, number | null];
	const to = Math.max(from, Math.min(lastOfRun(first, last), upTo));
	deleteReadyRun.run(task, rank, first);
	if (first < from) insertReadyRun.run(task, rank, first, from - 1, batch);
	if (to < last) insertReadyRun.run(task, rank, to + 1, last, batch);
	deleteRange(tx, from, to);
	tx.tally.move(task, batch, StoredState.ready, null, to - from + 1);
	return to;
}

function deleteCompletedJobs(tx: Tx, from: JobId, upTo: JobId, {task}: FoundJob): JobId {
	const {statements} = tx;
	const [first, last, batch] = statements.outcomeRunBounds.get(from, from) as [JobId, JobId, number | null];
	const to = Math.max(from, Math.min(lastOfRun(first, last), upTo));
	// To delete a whole run, its values need not be read.
	const run = first < from || to < last ? (outcomeRunOf(statements, from) as OutcomeRunRow) : undefined;
	statements.deleteOutcomeRun.run(first);
	if (run && first < from) statements.insertOutcomeRun.run(...sliceOutcomeRun(run, first, from - 1));
	if (run && to < last) statements.insertOutcomeRun.run(...sliceOutcomeRun(run, to + 1, last));
	deleteRange(tx, from, to);
	tx.tally.move(task, batch, StoredState.completed, null, to - from + 1);
	return to;
}

/** Deletes the immutable rows of jobs in a run. They have no failure, checkpoint, progress or log: a job with one of these has rows of its own. */
function deleteRange({statements}: Tx, from: JobId, to: JobId): void {
	const run = jobRunOf(statements, from);
	if (!run) {
		statements.deleteKeysOfJobs.run(from, to);
		statements.deleteJobs.run(from, to);
		return;
	}
	const {first, last, task, policy, priority, createdAt} = run;
	statements.deleteJobRun.run(first);
	for (const [start, end] of [
		[first, from - 1],
		[to + 1, last],
	] as const)
		if (start <= end) statements.insertJobRun.run(start, end, task, policy, priority, createdAt, run.payloadsOf(start, end).text);
}
