import type {OwnerId} from '../../job/claim.ts';
import type {Batch, BatchId, BatchOptions, Page} from '../../job/job.ts';
import {defined} from '../../support/defined.ts';
import {batchConflict, batchInUse, batchRunning} from '../conflict-errors.ts';
import {type BatchDeletion, type BatchPage, type Deleted, lastUsedAt} from '../store.ts';
import {readMarks, readShape, writeShape} from '../stored-json.ts';
import {type CountRow, toBatchCounts} from '../stored-state.ts';
import type {Database} from './database.ts';
import type {Names} from './names.ts';

const MAX_PAGE_BATCHES = 1000;

/** The call of the function `open_batch`. */
export async function toOpening(names: Names, name: string, task: string | undefined, owner: OwnerId, {onComplete, ...given}: BatchOptions): Promise<object> {
	await names.number([...(task === undefined ? [] : [{task}]), ...(onComplete ? [onComplete] : [])]);
	const job = onComplete && {...onComplete, task: names.taskId(onComplete.task), policy: names.policyId(onComplete.policy)};
	return {name, task: task === undefined ? null : names.taskId(task), owner, onComplete: job ?? null, shape: JSON.parse(writeShape(given) ?? 'null')};
}

/** The answer of the function `open_batch`. */
export interface Opening {
	readonly id?: BatchId;
	readonly owner?: number;
	readonly inUse?: true;
	/** What the batch is that has the name. */
	readonly conflict?: {readonly task: string | null; readonly stages: readonly string[] | null};
}

/** @throws FaenaError `BatchConflict`, `BatchInUse` */
export function assertOpened(name: string, {conflict, inUse}: Opening, task: string | undefined, {stages}: BatchOptions): void {
	if (conflict) throw batchConflict(name, {task: conflict.task ?? undefined, stages: conflict.stages ?? undefined}, {task, stages});
	if (inUse) throw batchInUse(name);
}

/** A value of the function `read_batches`. */
interface BatchRow extends Pick<Batch, 'id' | 'name' | 'createdAt'> {
	readonly times: Readonly<Record<'total' | 'startedAt' | 'completedAt' | 'closedAt' | 'completionJobId', number | null>>;
	readonly task: string | null;
	readonly marks: unknown;
	readonly shape: unknown;
	readonly counts: readonly CountRow[] | null;
	readonly isOwned: boolean;
}

export async function readBatches(db: Database, name: string | undefined, {after = 0, limit = MAX_PAGE_BATCHES}: Page): Promise<BatchPage> {
	const rows = await db.list<BatchRow>('read_batches', {name, after, limit});
	const batches = rows.map(toBatch);
	return {batches, next: name !== undefined || batches.length < limit ? null : (batches.at(-1)?.id ?? null)};
}

function toBatch({id, name, createdAt, times, task, marks, shape, counts}: BatchRow): Batch {
	return {
		...{id, name, createdAt, ...defined({...times, task}), ...readShape(JSON.stringify(shape))},
		...toBatchCounts(counts ?? [], task !== null),
		marks: readMarks(JSON.stringify(marks)),
	};
}

/**
 * The batch to delete, as it is used now; `undefined` if there is none, or it is in use.
 * @throws FaenaError `BatchRunning` if a job of the batch is running
 */
export async function findToDelete(
	db: Database,
	{batch: name, unusedSince}: BatchDeletion,
): Promise<{readonly batch: BatchId; readonly closedAt?: number | undefined} | undefined> {
	const [row] = await db.list<BatchRow>('read_batches', {name, after: 0, limit: 1});
	if (!row) return undefined;
	const batch = toBatch(row);
	if (unusedSince !== undefined && (row.isOwned || lastUsedAt(batch) >= unusedSince)) return undefined;
	if (batch.counts.running > 0) throw batchRunning(name, batch.counts.running);
	return {batch: batch.id, ...(unusedSince !== undefined && {closedAt: batch.closedAt ?? 0})};
}

/** The answer of the function `delete_batch`: how many jobs run, if some do. */
export interface BatchDeleted extends Deleted {
	readonly running?: number;
}

/** @throws FaenaError `BatchRunning` */
export function assertDeleted(name: string, {running = 0, ...deleted}: BatchDeleted): Deleted {
	if (running > 0) throw batchRunning(name, running);
	return deleted;
}
