import type {JobId} from '../../job/job.ts';
import {jobRunOf} from './job-run.ts';
import {type DeletedJob, type Located, look} from './locate.ts';
import {scopeOf} from './names.ts';
import {type OutcomeRunRow, sliceOutcomeRun} from './outcome-run.ts';
import {laneOf} from './ready.ts';
import {lastOfRun, outcomeRunOf} from './runs.ts';
import {StoredState} from './stored-state.ts';
import type {Tx} from './tx.ts';

/** Deletes all that is known of a job, but for its row in the place where it is, which is the caller's to delete. */
export function erase({statements, tally}: Tx, id: JobId, {task, batch, key, place}: DeletedJob): void {
	for (const name of ['deleteTrouble', 'deleteProgress', 'deleteCheckpoint', 'deleteLog', 'deleteJob'] as const) statements[name].run(id);
	if (key !== null) statements.deleteKey.run(scopeOf(task, batch), key);
	tally.move(task, batch, place, null);
}

/** Deletes a job that has rows of its own, with its row in the place where it is. */
export function eraseRow(tx: Tx, id: JobId, job: DeletedJob & {readonly rank: number}): void {
	leavePlace(tx, id, job);
	erase(tx, id, job);
}

/** Deletes the row of a job in the place where it is, which is not `claimed`. */
export function leavePlace({statements}: Tx, id: JobId, {task, rank, place}: Pick<Located, 'task' | 'rank' | 'place'>): void {
	if (place === StoredState.ready || place === StoredState.suspect) statements.deleteReady.run(laneOf(task, place), rank, id);
	else if (place >= StoredState.completed) statements.deleteOutcome.run(id);
	else statements.deleteWaiting.run(id);
}

/**
 * Deletes a job that does not run, and with it the jobs that follow it in its run, up to the id given. Returns the last job that is done with.
 * No job gets rows of its own for that: a full disk has no room for them.
 */
export function eraseJobs(tx: Tx, id: JobId, upTo: JobId): JobId {
	const job = look(tx.statements, id);
	if (!job || job.place === StoredState.running) return id;
	if (!job.isInRun) {
		eraseRow(tx, id, job);
		return id;
	}
	return job.place === StoredState.ready ? eraseReady(tx, id, upTo, job) : eraseCompleted(tx, id, upTo, job);
}

function eraseReady(tx: Tx, from: JobId, upTo: JobId, {task, rank}: Located): JobId {
	const {deleteReadyRun, insertReadyRun, readyRunAt} = tx.statements;
	const [first, last, batch] = readyRunAt.get(task, rank, task, rank, from, from) as [JobId, JobId, number | null];
	const to = Math.max(from, Math.min(lastOfRun(first, last), upTo));
	deleteReadyRun.run(task, rank, first);
	if (first < from) insertReadyRun.run(task, rank, first, from - 1, batch);
	if (to < last) insertReadyRun.run(task, rank, to + 1, last, batch);
	eraseRange(tx, from, to);
	tx.tally.move(task, batch, StoredState.ready, null, to - from + 1);
	return to;
}

function eraseCompleted(tx: Tx, from: JobId, upTo: JobId, {task}: Located): JobId {
	const {statements} = tx;
	const [first, last, batch] = statements.outcomeRunBounds.get(from, from) as [JobId, JobId, number | null];
	const to = Math.max(from, Math.min(lastOfRun(first, last), upTo));
	// Values are read of a run only that is not deleted as a whole.
	const run = first < from || to < last ? (outcomeRunOf(statements, from) as OutcomeRunRow) : undefined;
	statements.deleteOutcomeRun.run(first);
	if (run && first < from) statements.insertOutcomeRun.run(...sliceOutcomeRun(run, first, from - 1));
	if (run && to < last) statements.insertOutcomeRun.run(...sliceOutcomeRun(run, to + 1, last));
	eraseRange(tx, from, to);
	tx.tally.move(task, batch, StoredState.completed, null, to - from + 1);
	return to;
}

/** Deletes what was written once of jobs that lie in a run. They have no failure, checkpoint, progress or log: whatever has one has rows of its own. */
function eraseRange({statements}: Tx, from: JobId, to: JobId): void {
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
