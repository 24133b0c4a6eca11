import {type Batch, type BatchOptions, MARK_EVERY_MS, type Mark, toCompletionJob} from '../../job/batch.ts';
import type {OwnerId} from '../../job/claim.ts';
import {toNewGroups} from '../../job/group.ts';
import type {BatchId, Counts, JobId, Page} from '../../job/job.ts';
import {withoutNulls} from '../../support/defined.ts';
import {failpoint} from '../../support/failpoint.ts';
import {type BatchChange, type BatchPage, batchConflict, batchInUse, batchRunning, type Deleted} from '../store.ts';
import {readCompletionJob, readMarks} from '../stored-json.ts';
import type {Statements} from './connection.ts';
import {deleteRun} from './delete.ts';
import {enqueue} from './enqueue.ts';
import {StoredState, toCounts} from './tally.ts';
import type {Tx} from './tx.ts';

/** Writes the tallies of batches, and completes batches. Call it before the tally of tasks is written, since it may enqueue jobs. */
export function updateBatches(tx: Tx): void {
	const ended = new Map<BatchId, number>();
	for (const [batch, state, jobs] of tx.tally.batches.take()) {
		tx.statements.addToBatchTally.run(batch, state, jobs);
		ended.set(batch, (ended.get(batch) ?? 0) + (state >= StoredState.completed ? jobs : 0));
	}
	for (const [batch, newlyEnded] of [...ended].sort((a, b) => a[0] - b[0])) updateBatch(tx, batch, newlyEnded);
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

/** @param register registers the owner if it is new, and returns its number */
export function changeBatch(tx: Tx, id: BatchId, owner: OwnerId, change: BatchChange, register: () => number): boolean {
	const {statements, now} = tx;
	if ('total' in change) return endInput(tx, id, change.total, register());
	const statement = 'isClosed' in change ? statements.closeBatch : statements.leaveBatch;
	return statement.run(...('isClosed' in change ? [now] : []), id, owner).changes > 0;
}

/** An owner that was taken for dead gets its batch back, if no other owner has the batch. */
function endInput(tx: Tx, id: BatchId, total: number, owner: number): boolean {
	const {statements} = tx;
	const holder = statements.ownerOfBatch.get(id) as number | undefined;
	if (holder !== undefined && holder !== owner) return false;
	statements.ownBatch.run(owner, id);
	const {changes} = statements.endInput.run(total, id);
	updateBatch(tx, id, 0);
	return changes > 0;
}

function updateBatch(tx: Tx, id: BatchId, newlyEnded: number): void {
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
	if (onComplete) enqueue(tx, toNewGroups([toCompletionJob(onComplete, completed)]), false);
	failpoint('batch:written');
}

/** The same marks, or the last mark and a new one: the count before the jobs that end in this transaction. */
function nextMarks({marks, counts}: Batch, newlyEnded: number, now: number): readonly Mark[] {
	const last = marks.at(-1);
	if (newlyEnded === 0 || (last && now - last.at < MARK_EVERY_MS)) return marks;
	return [...marks.slice(-1), {at: now, ended: endedOf(counts) - newlyEnded}];
}

function endedOf({completed, dead, cancelled}: Counts): number {
	return completed + dead + cancelled;
}

/** A row of the statements `batch`, `batches` and `batchById`. */
interface BatchRow {
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

const MAX_PAGE_BATCHES = 1000;

export function readBatches(statements: Statements, name: string | undefined, {after = 0, limit = MAX_PAGE_BATCHES}: Page): BatchPage {
	const rows = (name === undefined ? statements.batches.all(after, limit) : [statements.batch.get(name)].filter(row => row !== undefined)) as BatchRow[];
	const isLast = name !== undefined || rows.length < limit;
	return {batches: rows.map(row => toBatch(statements, row)), next: isLast ? null : (rows.at(-1)?.id ?? null)};
}

function toBatch({batchTally}: Statements, row: BatchRow): Batch {
	const jobs = new Map(batchTally.all(row.id) as [StoredState, number][]);
	return {
		id: row.id,
		name: row.name,
		task: row.task,
		createdAt: row.created_at,
		...withoutNulls({total: row.total, startedAt: row.started_at, completedAt: row.completed_at, closedAt: row.closed_at}),
		counts: toCounts(state => jobs.get(state) ?? 0),
		marks: readMarks(row.marks),
	};
}

/** Deletes a page of the batch's jobs, and with the last of them the batch. */
export function deleteBatch(tx: Tx, name: string, {after = 0, limit = MAX_DELETED_JOBS}: Page): Deleted {
	const {statements} = tx;
	const row = statements.batch.get(name) as BatchRow | undefined;
	if (!row) return {deleted: 0, next: null};
	const {id, counts} = toBatch(statements, row);
	if (counts.running > 0) throw batchRunning(name, counts.running);
	// Otherwise the batch would complete with the deletion of its last unended job.
	statements.endInput.run(null, id);
	// One job more than the limit shows whether there is another page.
	const found = statements.jobsOfBatch.all(id, limit + 1) as JobId[];
	const jobs = found.slice(0, limit);
	for (let index = 0, done = 0; index < jobs.length; index++) {
		const job = jobs[index] as JobId;
		if (job > done) done = deleteRun(tx, job, jobs.at(-1) as JobId);
	}
	if (found.length > limit) return {deleted: jobs.length, next: jobs.at(-1) ?? after};
	updateBatches(tx);
	statements.deleteBatch.run(id);
	statements.deleteBatchTally.run(id);
	return {deleted: jobs.length, next: null};
}

const MAX_DELETED_JOBS = 1000;

/** Deletes closed batches that have no jobs. */
export function deleteEmptyBatches(tx: Tx): void {
	updateBatches(tx);
	const {deleteEmptyBatches, deleteBatchTally} = tx.statements;
	for (const id of deleteEmptyBatches.all() as BatchId[]) deleteBatchTally.run(id);
}
