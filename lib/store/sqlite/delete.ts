import type {JobId, Page} from '../../job/job.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Deleted} from '../store.ts';
import {laneOf} from './lanes.ts';
import {scopeOf} from './names.ts';
import {type FoundJob, findJob, jobRunOf, lastOfRun, MAX_RUN_JOBS, type OutcomeRunRow, outcomeRunOf, sliceOutcomeRun} from './packed-rows.ts';
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

/** Deletes a page of jobs that ended before a time. Returns the files of results that these jobs named as `unnamed`. */
export function deleteEndedBefore(tx: Tx, endedBefore: number, {after = 0, limit = MAX_RUN_JOBS}: Page): Deleted & {readonly unnamed: readonly string[]} {
	const {page, next} = takePage(endedAfter(tx, after, limit, endedBefore), limit);
	const old = page.filter(({isOld}) => isOld);
	for (const {first, last, row} of old) {
		if (row) deleteEnded(tx, row);
		else for (let id = first; id <= last; ) id = deleteRun(tx, id, last) + 1;
	}
	if (old.length > 0) failpoint('cleanup:written');
	const deleted = old.reduce((jobs, {first, last}) => jobs + last - first + 1, 0);
	return {deleted, next, unnamed: old.flatMap(({row}) => row?.[3] ?? [])};
}

/** An ended job that has a row of its own, or a run of completed jobs. */
interface Ended {
	readonly first: JobId;
	readonly last: JobId;
	readonly row?: OutcomeRow;
	/** True if it may be deleted. */
	readonly isOld: boolean;
}

/** Ended jobs after this one, in order; if there are so many, at least one job more than the limit. */
function endedAfter({statements}: Tx, after: JobId, limit: number, endedBefore: number): Ended[] {
	const isOld = (endedAt: number, isInOpenBatch: number) => endedAt < endedBefore && isInOpenBatch === 0;
	const rows = statements.outcomesToClean.all(after, limit + 1) as OutcomeRow[];
	const ended = rows.map((row): Ended => ({first: row[0], last: row[0], row, isOld: isOld(row[2], row[7])}));
	let jobs = 0;
	const runs = statements.outcomeRunsToClean.iterate(after, after, after) as IterableIterator<[JobId, JobId, endedAt: number, isInOpenBatch: number]>;
	for (const [start, end, endedAt, isInOpenBatch] of runs) {
		const [first, last] = [Math.max(start, after + 1), lastOfRun(start, end)];
		if (first <= last) ended.push({first, last, isOld: isOld(endedAt, isInOpenBatch)});
		jobs += last - first + 1;
		if (jobs > limit) break;
	}
	return ended.sort((a, b) => a.first - b.first);
}

/** The first jobs, up to the limit. A run is cut only if it is longer than the limit, since the rest of a cut run must be written anew. */
function takePage(ended: readonly Ended[], limit: number): {page: Ended[]; next: JobId | null} {
	const page: Ended[] = [];
	let room = limit;
	for (const each of ended) {
		const jobs = each.last - each.first + 1;
		if (jobs > room && page.length > 0) return {page, next: page.at(-1)?.last ?? null};
		const last = Math.min(each.last, each.first + room - 1);
		page.push({...each, last});
		if (last < each.last) return {page, next: last};
		room -= jobs;
	}
	return {page, next: null};
}

/** A row of the statement `outcomesToClean`. */
type OutcomeRow = [
	id: JobId,
	state: StoredState,
	endedAt: number,
	blob: string | null,
	task: number,
	batch: number | null,
	key: string | null,
	isInOpenBatch: number,
];

function deleteEnded(tx: Tx, [id, state, , , task, batch, key]: OutcomeRow): void {
	deleteJob(tx, id, {task, batch, key, state, rank: 0});
}
