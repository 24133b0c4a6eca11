import type {Batch, BatchId} from '../../queue.ts';
import type {Statements} from './database.ts';
import {type Place, toCounts} from './places.ts';

/** A row of the statements `batch` and `batches`. */
export type BatchRow = readonly [id: BatchId, name: string, task: string, createdAt: number, closedAt: number | null];

export function toBatch({batchTally}: Statements, [id, name, task, createdAt, closedAt]: BatchRow): Batch {
	const jobs = new Map(batchTally.all(id) as [Place, number][]);
	return {id, name, task, createdAt, ...(closedAt !== null && {closedAt}), counts: toCounts(place => jobs.get(place) ?? 0)};
}
