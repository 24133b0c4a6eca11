import type {Batch, BatchId, BatchOptions} from '../../job/batch.ts';
import type {OwnerId} from '../../job/claim.ts';
import type {Page} from '../../job/search.ts';
import {batchConflict, batchInUse, batchRunning} from '../conflict-errors.ts';
import {type BatchDeletion, type Deleted, lastUsedAt} from '../deletions.ts';
import type {BatchPage} from '../store.ts';
import {writeShape} from '../stored-json.ts';
import {toBatch} from '../stored-rows.ts';
import type {Calls} from './connection/calls.ts';
import type {Database} from './connection/database.ts';
import type {NumberTables} from './number-tables.ts';

const MAX_PAGE_BATCHES = 1000;

/** The call of the function `open_batch`. */
export async function toOpening(
	names: NumberTables,
	name: string,
	task: string | undefined,
	owner: OwnerId,
	{onComplete, ...given}: BatchOptions,
): Promise<Calls['open_batch']['takes']> {
	const {taskId, policyId} = await names.number([...(task === undefined ? [] : [{task}]), ...(onComplete ? [onComplete] : [])]);
	const job = onComplete && {...onComplete, task: taskId(onComplete.task), policy: policyId(onComplete.policy)};
	return {name, task: task === undefined ? null : (taskId(task) ?? null), owner, onComplete: job ?? null, shape: JSON.parse(writeShape(given) ?? 'null')};
}

/** @throws FaenaError `BatchConflict`, `BatchInUse` */
export function assertOpened(name: string, {conflict, inUse}: Calls['open_batch']['answers'], task: string | undefined, {stages}: BatchOptions): void {
	if (conflict) throw batchConflict(name, {task: conflict.task ?? undefined, stages: conflict.stages ?? undefined}, {task, stages});
	if (inUse) throw batchInUse(name);
}

export async function readBatches(db: Database, name: string | undefined, {after = 0, limit = MAX_PAGE_BATCHES}: Page): Promise<BatchPage> {
	const rows = await db.list('read_batches', {name, after, limit});
	const batches = rows.map(batchOf);
	return {batches, next: name !== undefined || batches.length < limit ? null : (batches.at(-1)?.id ?? null)};
}

function batchOf({counts, marks, shape, ...row}: Calls['read_batches']['answers']): Batch {
	return toBatch({...row, marks: JSON.stringify(marks), shape: JSON.stringify(shape)}, counts ?? []);
}

/**
 * The batch to delete, as it is used now; `undefined` if there is none, or it is in use.
 * @throws FaenaError `BatchRunning` if a job of the batch is running
 */
export async function findToDelete(
	db: Database,
	{batch: name, unusedSince}: BatchDeletion,
): Promise<{readonly batch: BatchId; readonly closedAt?: number | undefined} | undefined> {
	const [row] = await db.list('read_batches', {name, after: 0, limit: 1});
	if (!row) return undefined;
	const batch = batchOf(row);
	if (unusedSince !== undefined && (row.isOwned || lastUsedAt(batch) >= unusedSince)) return undefined;
	if (batch.counts.running > 0) throw batchRunning(name, batch.counts.running);
	return {batch: batch.id, ...(unusedSince !== undefined && {closedAt: batch.closedAt ?? 0})};
}

/** @throws FaenaError `BatchRunning` */
export function assertDeleted(name: string, {running = 0, ...deleted}: Calls['delete_batch']['answers']): Deleted {
	if (running > 0) throw batchRunning(name, running);
	return deleted;
}
