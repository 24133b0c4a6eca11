import type {Batch, BatchOptions, DeleteResult, Mark} from '../../job/batch.ts';
import type {BatchId, Counts, JobId} from '../../job/job.ts';
import {failpoint} from '../../support/failpoint.ts';
import {batchConflict, batchInUse, batchRunning, MARK_EVERY_MS, toCompletionJob} from '../store.ts';
import {readCompletionJob, readMarks} from '../stored-json.ts';
import type {Statements} from './database.ts';
import {enqueue} from './enqueue.ts';
import {eraseJobs} from './erase.ts';
import {StoredState, toCounts} from './stored-state.ts';
import type {Tx} from './tx.ts';

/** Writes down how many jobs of each batch moved, and does what follows from it. Call it before the tally of the tasks is written. */
export function attendBatches(tx: Tx): void {
	const ended = new Map<BatchId, number>();
	for (const [batch, place, jobs] of tx.tally.batches.take()) {
		tx.statements.addToBatchTally.run(batch, place, jobs);
		ended.set(batch, (ended.get(batch) ?? 0) + (place >= StoredState.completed ? jobs : 0));
	}
	for (const [batch, newlyEnded] of [...ended].sort((a, b) => a[0] - b[0])) attend(tx, batch, newlyEnded);
}

export function openBatch({statements, names, now}: Tx, name: string, task: string, {onComplete}: BatchOptions): BatchId {
	const job = onComplete ? JSON.stringify(onComplete) : null;
	const row = statements.batch.get(name) as BatchRow | undefined;
	if (!row) return statements.insertBatch.get(name, names.task(task), now, job, toMarks(now, 0)) as BatchId;
	if (row.task !== task) throw batchConflict(name, row.task, task);
	if (statements.ownerOfBatch.get(row.id) !== undefined) throw batchInUse(name);
	statements.reopenBatch.run(job, toMarks(now, endedOf(toBatch(statements, row).counts)), row.id);
	return row.id;
}

function toMarks(at: number, ended: number): string {
	return JSON.stringify([{at, ended}] satisfies Mark[]);
}

/** @param owner its number */
export function endInput(tx: Tx, id: BatchId, total: number, owner: number): boolean {
	const {statements} = tx;
	const holder = statements.ownerOfBatch.get(id) as number | undefined;
	if (holder !== undefined && holder !== owner) return false;
	statements.ownBatch.run(owner, id);
	const {changes} = statements.endInput.run(total, id);
	attend(tx, id, 0);
	return changes > 0;
}

function attend(tx: Tx, id: BatchId, newlyEnded: number): void {
	const {statements, now} = tx;
	const row = statements.batchById.get(id) as BatchRow | undefined;
	if (!row) return;
	const batch = toBatch(statements, row);
	const {counts, total, startedAt, completedAt} = batch;
	const isUnended = counts.pending + counts.running + counts.failed > 0;
	const completes = !isUnended && total !== undefined && completedAt === undefined;
	const next = {
		startedAt: startedAt ?? (counts.running > 0 ? now : null),
		completedAt: isUnended ? null : completes ? now : (completedAt ?? null),
		marks: nextMarks(batch, newlyEnded, now),
	};
	if (next.startedAt !== row.started_at || next.completedAt !== row.completed_at || next.marks !== batch.marks)
		statements.setBatch.run(next.startedAt, next.completedAt, JSON.stringify(next.marks), id);
	if (!completes) return;
	const completed = {batch: batch.name, counts};
	tx.completed.push(completed);
	const onComplete = readCompletionJob(row.on_complete);
	if (onComplete) enqueue(tx, [toCompletionJob(onComplete, completed)], false);
	failpoint('batch:written');
}

/** The same marks, or with a new one: where the count stood before the jobs that ended now. */
function nextMarks({marks, counts}: Batch, newlyEnded: number, now: number): readonly Mark[] {
	const last = marks.at(-1);
	if (newlyEnded === 0 || (last && now - last.at < MARK_EVERY_MS)) return marks;
	return [...marks.slice(-1), {at: now, ended: endedOf(counts) - newlyEnded}];
}

function endedOf({completed, dead, cancelled}: Counts): number {
	return completed + dead + cancelled;
}

/** A row of the statements `batch`, `batches` and `batchById`. */
export interface BatchRow {
	readonly id: BatchId;
	readonly name: string;
	readonly task: string;
	readonly created_at: number;
	readonly total: number | null;
	readonly started_at: number | null;
	readonly completed_at: number | null;
	readonly closed_at: number | null;
	readonly on_complete: string | null;
	readonly marks: string;
}

export function toBatch({batchTally}: Statements, row: BatchRow): Batch {
	const jobs = new Map(batchTally.all(row.id) as [StoredState, number][]);
	return {
		id: row.id,
		name: row.name,
		task: row.task,
		createdAt: row.created_at,
		...(row.total !== null && {total: row.total}),
		...(row.started_at !== null && {startedAt: row.started_at}),
		...(row.completed_at !== null && {completedAt: row.completed_at}),
		...(row.closed_at !== null && {closedAt: row.closed_at}),
		counts: toCounts(place => jobs.get(place) ?? 0),
		marks: readMarks(row.marks),
	};
}

export function deleteBatch(tx: Tx, name: string, limit: number): DeleteResult {
	const {statements} = tx;
	const row = statements.batch.get(name) as BatchRow | undefined;
	if (!row) return {deleted: 0, isGone: true};
	const {id, counts} = toBatch(statements, row);
	if (counts.running > 0) throw batchRunning(name, counts.running);
	// Or it would complete when the last of its unended jobs is deleted.
	statements.endInput.run(null, id);
	// One more than is deleted tells whether there is more.
	const found = statements.jobsOfBatch.all(id, limit + 1) as JobId[];
	const jobs = found.slice(0, limit);
	for (let index = 0, done = 0; index < jobs.length; index++) {
		const job = jobs[index] as JobId;
		if (job > done) done = eraseJobs(tx, job, jobs.at(-1) as JobId);
	}
	const isGone = found.length <= limit;
	if (isGone) {
		attendBatches(tx);
		statements.deleteBatch.run(id);
		statements.deleteBatchTally.run(id);
	}
	return {deleted: jobs.length, isGone};
}

/** Deletes closed batches of which no job is left. */
export function forgetBatches(tx: Tx): void {
	attendBatches(tx);
	const {deleteEmptyBatches, deleteBatchTally} = tx.statements;
	for (const id of deleteEmptyBatches.all() as BatchId[]) deleteBatchTally.run(id);
}
