import {type Batch, type BatchId, type BatchOptions, type FlowJobs, MARK_EVERY_MS, type Mark, type StoredFlow} from '../../../job/batch.ts';
import type {OwnerId} from '../../../job/claim.ts';
import {idAt} from '../../../job/groups/group.ts';
import {toNewGroups} from '../../../job/groups/single-jobs.ts';
import {type Counts, STATUSES} from '../../../job/job.ts';
import {toCompletionJob} from '../../../job/new-job.ts';
import type {Page} from '../../../job/search.ts';
import {failpoint} from '../../../support/failpoint.ts';
import {batchConflict, batchInUse, batchRunning, kindOf} from '../../conflict-errors.ts';
import {type BatchDeletion, type Deleted, lastUsedAt} from '../../deletions.ts';
import type {SearchPage} from '../../found-jobs.ts';
import type {BatchChange, BatchPage} from '../../store.ts';
import {readCompletionJob, readShape, writeShape} from '../../stored-json.ts';
import {type StoredBatchRow, toBatch} from '../../stored-rows.ts';
import {type CountRow, hasEnded} from '../../stored-state.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {searchBatch} from '../read/find.ts';
import {endOfInput} from '../rows/edges.ts';
import {parentsChanged, type Tx} from '../rows/tx.ts';
import {deleteRun} from './delete.ts';
import {enqueue} from './enqueue.ts';

/** Writes the tallies of batches, and completes batches (I9). Call it before the tally of tasks is written, since it may enqueue jobs. */
export function updateBatches(tx: Tx): void {
	const ended = new Map<BatchId, number>();
	for (const [batch, task, state, jobs] of tx.tally.takeBatches()) {
		tx.statements.addToBatchTally.run(batch, task, state, jobs);
		ended.set(batch, (ended.get(batch) ?? 0) + (hasEnded(state) ? jobs : 0));
	}
	for (const [batch, newlyEnded] of [...ended].sort((a, b) => a[0] - b[0])) updateBatch(tx, batch, newlyEnded);
}

export function openBatch({statements, numbers, now}: Tx, name: string, task: string | undefined, {onComplete, ...given}: BatchOptions): BatchId {
	const {stages, renewal} = given;
	const job = onComplete ? JSON.stringify(onComplete) : null;
	const batch = batchNamed(statements, name);
	const shape = writeShape({...given, renewal: batch?.renewal ?? renewal});
	if (!batch) return statements.insertBatch.get(name, task === undefined ? NO_TASK : numbers.task(task), now, job, toMarks(now, 0), shape) as BatchId;
	// A flow whose jobs were deleted is enqueued anew.
	const isWhole = batch.flow?.jobs !== undefined && Object.values(batch.counts).some(jobs => jobs > 0);
	if (kindOf(batch) !== kindOf({task, stages}) || isWhole) throw batchConflict(name, batch, {task, stages});
	if (statements.ownerOfBatch.get(batch.id) !== undefined) throw batchInUse(name);
	statements.reopenBatch.run(job, toMarks(now, endedOf(batch.counts)), shape, batch.id);
	return batch.id;
}

/** The value of `batch.task` for a flow or a pipe: no task has this number. */
const NO_TASK = 0;

function toMarks(at: number, ended: number): string {
	return JSON.stringify([{at, ended}] satisfies Mark[]);
}

/** @param register registers the owner if it is new, and returns its number */
export function changeBatch(tx: Tx, id: BatchId, owner: OwnerId, change: BatchChange, register: () => number): boolean {
	const {statements, now} = tx;
	if (!('total' in change)) {
		const isClosed = 'isClosed' in change;
		return statements.leaveBatch.run({closedAt: isClosed ? now : null, isDone: Number(isClosed || change.isDone === true), id, owner}).changes > 0;
	}
	const [own, holder] = [register(), statements.ownerOfBatch.get(id)];
	// An owner that was taken for dead gets its batch back, if no other owner has the batch.
	if (holder !== undefined && holder !== own) return false;
	statements.ownBatch.run(own, id);
	const {changes} = statements.endInput.run(change.total, id);
	if ('flowJobs' in change) closeFlow(tx, id, change.flowJobs);
	updateBatch(tx, id, 0);
	return changes > 0;
}

/** The owner leaves the flow, whose jobs are known. */
function closeFlow(tx: Tx, id: BatchId, jobs: FlowJobs): void {
	const {statements, now} = tx;
	const {flow} = readShape((statements.batchById.get(id) as BatchRow | undefined)?.shape ?? null);
	if (!flow) return;
	statements.closeFlow.run(JSON.stringify({...flow, jobs} satisfies StoredFlow), now, id);
	if (!flow.jobs) parentsChanged(tx, endOfInput(id), endOfInput(id), 'completed');
}

function updateBatch(tx: Tx, id: BatchId, newlyEnded: number): void {
	const {statements, now} = tx;
	const row = statements.batchById.get(id) as BatchRow | undefined;
	if (!row) return;
	const batch = batchOf(statements, row);
	const {counts, total, startedAt, completedAt, held = 0} = batch;
	const isUnended = counts.blocked + counts.pending - held + counts.running + counts.failed > 0;
	const completes = !isUnended && total !== undefined && completedAt === undefined;
	const next = {
		startedAt: startedAt ?? (counts.running > 0 ? now : null),
		completedAt: isUnended ? null : completes ? now : (completedAt ?? null),
		marks: nextMarks(batch, newlyEnded, now),
	};
	if (next.startedAt !== row.startedAt || next.completedAt !== row.completedAt || next.marks !== batch.marks)
		statements.setBatch.run(next.startedAt, next.completedAt, JSON.stringify(next.marks), id);
	if (!completes) return;
	const completed = {batch: batch.name, counts};
	tx.completed.push(completed);
	const onComplete = readCompletionJob(row.onComplete);
	if (onComplete) {
		const [{ids} = {ids: []}] = enqueue(tx, toNewGroups([toCompletionJob(onComplete, completed)]), false);
		statements.setCompletionJob.run(idAt(ids, 0), id);
	}
	failpoint('batch:written');
}

/** The same marks, or the last mark and a new one: the count before the jobs that end in this transaction. */
function nextMarks({marks, counts}: Batch, newlyEnded: number, now: number): readonly Mark[] {
	const last = marks.at(-1);
	if (newlyEnded <= 0 || (last && now - last.at < MARK_EVERY_MS)) return marks;
	return [...marks.slice(-1), {at: now, ended: endedOf(counts) - newlyEnded}];
}

function endedOf({completed, dead, cancelled}: Counts): number {
	return completed + dead + cancelled;
}

/** A row of the statements `batch`, `batches` and `batchById`. */
type BatchRow = StoredBatchRow & {readonly onComplete: string | null};

const MAX_PAGE_BATCHES = 1000;

export function readBatches(statements: Statements, name: string | undefined, {after = 0, limit = MAX_PAGE_BATCHES}: Page): BatchPage {
	if (name !== undefined) {
		const batch = batchNamed(statements, name);
		return {batches: batch ? [batch] : [], next: null};
	}
	const batches = (statements.batches.all(after, limit) as BatchRow[]).map(row => batchOf(statements, row));
	return {batches, next: batches.length < limit ? null : (batches.at(-1)?.id ?? null)};
}

function batchNamed(statements: Statements, name: string): Batch | undefined {
	const row = statements.batch.get(name) as BatchRow | undefined;
	return row && batchOf(statements, row);
}

function batchOf({batchTally}: Statements, row: BatchRow): Batch {
	return toBatch(row, batchTally.all(row.id) as CountRow[]);
}

const MAX_DELETED_JOBS = 1000;

/** Deletes a page of the batch's jobs, and with the last of them the batch. */
export function deleteBatch(tx: Tx, {batch: name, unusedSince}: BatchDeletion, {limit = MAX_DELETED_JOBS}: SearchPage): Deleted {
	const {statements} = tx;
	const batch = batchNamed(statements, name);
	const isInUse = (each: Batch) => statements.ownerOfBatch.get(each.id) !== undefined || lastUsedAt(each) >= (unusedSince ?? 0);
	if (!batch || (unusedSince !== undefined && isInUse(batch))) return {deleted: 0, next: null};
	const {id, counts} = batch;
	if (counts.running > 0) throw batchRunning(name, counts.running);
	// Otherwise the batch would complete with the deletion of its last unended job.
	statements.endInput.run(null, id);
	const {ids, next} = searchBatch(statements, {batch: id, task: null, statuses: STATUSES, after: 0, upTo: Number.MAX_SAFE_INTEGER, limit});
	let done = 0;
	for (const job of ids) if (job > done) done = deleteRun(tx, job, ids.at(-1) ?? job);
	if (next !== null) return {deleted: ids.length, next};
	updateBatches(tx);
	statements.deleteBatch.run(id);
	statements.deleteBatchTally.run(id);
	statements.deleteNumbersOfBatch.run(id);
	return {deleted: ids.length, next: null};
}

/** Deletes closed batches that have no jobs. */
export function deleteEmptyBatches(tx: Tx): void {
	updateBatches(tx);
	const {deleteEmptyBatches, deleteBatchTally} = tx.statements;
	for (const id of deleteEmptyBatches.all() as BatchId[]) deleteBatchTally.run(id);
}
