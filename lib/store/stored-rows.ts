/** What stores make of the rows of jobs and batches. */

import type {Batch} from '../job/batch.ts';
import type {JobRecord} from '../job/job.ts';
import type {Policy} from '../job/policy.ts';
import {defined} from '../support/defined.ts';
import {readFailure, readMarks, readShape} from './stored-json.ts';
import {type CountRow, STATUS_OF, StoredState, toBatchCounts} from './stored-state.ts';

type Optional = 'scheduledAt' | 'runAt' | 'endedAt' | 'startedAt' | 'durationMs' | 'cpuMs' | 'memoryBytes' | 'resultBytes';

/** A job as a store reads it; `null` for what there is not. */
export interface StoredJobRow
	extends Pick<JobRecord, 'id' | 'task' | 'priority' | 'createdAt' | 'attempts' | 'executions' | 'payloadBytes'>,
		Readonly<Partial<Record<Optional, number | null | undefined>>> {
	readonly state: StoredState;
	readonly scope: string | null;
	readonly key: string | null;
	readonly batch: string | null;
	readonly failure: string | null;
	readonly stale?: JobRecord['stale'] | null;
	readonly progress: {readonly done: number; readonly total: number | null; readonly at: number} | null;
}

export function readJobRecord(row: StoredJobRow, {maxAttempts, timeoutMs, timeoutPercent}: Policy): JobRecord {
	const {id, task, state, priority, createdAt, attempts, executions, payloadBytes, startedAt, progress, failure} = row;
	const {scope, key, batch, stale, scheduledAt, runAt, endedAt, durationMs, cpuMs, memoryBytes, resultBytes} = row;
	return {
		// Another program may have written any number.
		...{id, task, status: STATUS_OF[state] ?? 'dead', priority, createdAt, attempts, maxAttempts, executions, timeoutMs, payloadBytes},
		...defined({scope, timeoutPercent, key, batch, stale, scheduledAt, runAt, endedAt, startedAt, durationMs, cpuMs, memoryBytes, resultBytes}),
		...(typeof startedAt === 'number' && executions === 1 && {waitMs: Math.max(0, startedAt - createdAt)}),
		...(state === StoredState.held && {held: true as const}),
		...(progress && {progress: {done: progress.done, ...defined({total: progress.total}), at: progress.at}}),
		...(failure !== null && {error: readFailure(failure)}),
	};
}

/** A batch as a store reads it. */
export interface StoredBatchRow
	extends Pick<Batch, 'id' | 'name' | 'createdAt'>,
		Readonly<Record<'total' | 'startedAt' | 'completedAt' | 'closedAt' | 'completionJobId', number | null>> {
	readonly task: string | null;
	readonly shape: string | null;
	readonly marks: string;
}

export function toBatch(
	{id, name, createdAt, total, startedAt, completedAt, closedAt, completionJobId, task, shape, marks}: StoredBatchRow,
	counts: readonly CountRow[],
): Batch {
	return {
		...{id, name, createdAt, ...defined({total, startedAt, completedAt, closedAt, completionJobId, task}), ...readShape(shape)},
		...toBatchCounts(counts, task !== null),
		marks: readMarks(marks),
	};
}
