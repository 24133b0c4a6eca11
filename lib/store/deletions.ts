import type {Batch} from '../job/batch.ts';
import {bad, checked, type Duration, duration} from '../job/checks.ts';
import {type JobId, type JobRef, UNENDED_STATUSES} from '../job/job.ts';
import {checkId, isJob, jobIds} from '../job/options.ts';
import {type Place, pages} from '../job/search.ts';

/** What {@link Store.delete} deletes. */
export type Deletion = EndedDeletion | BatchDeletion;

/** Jobs that have ended. `endedBefore` is in milliseconds since 1970. */
export type EndedDeletion = {readonly endedBefore: number} | {readonly ended: EndedBefore} | {readonly ids: readonly JobId[]};

/** A batch with its jobs. */
export interface BatchDeletion {
	/** Its name. */
	readonly batch: string;
	/** Nothing is deleted unless the batch has no owner and was last used before this time, in milliseconds since 1970: closed, or completed. */
	readonly unusedSince?: number;
}

/**
 * When a batch was last used, in milliseconds since 1970: when it was closed, or completed; if it never was, when about its last job ended. Infinity
 * while a job of it has not ended.
 */
export function lastUsedAt({createdAt, completedAt, closedAt, counts, marks}: Batch): number {
	if (UNENDED_STATUSES.some(status => counts[status] > 0)) return Infinity;
	return completedAt === undefined && closedAt === undefined ? (marks.at(-1)?.at ?? createdAt) : Math.max(completedAt ?? 0, closedAt ?? 0);
}

/** A time for each status of ended jobs, in milliseconds since 1970. */
export type EndTimes = Readonly<Record<'completed' | 'dead' | 'cancelled', number>>;

/** Times for all tasks but those that have times of their own. -Infinity means never: of a task, that the time for all tasks applies. */
export interface EndedBefore extends EndTimes {
	/** By the name of the task. */
	readonly tasks: ReadonlyMap<string, EndTimes>;
}

/** When a job of this task and status must have ended to be deleted. */
export function endTimeOf({tasks, ...times}: EndedBefore, task: string, status: keyof EndTimes): number {
	const own = tasks.get(task)?.[status] ?? -Infinity;
	return own > -Infinity ? own : times[status];
}

/** What one page deleted. */
export interface Deleted {
	/** The number of deleted jobs. */
	readonly deleted: number;
	/** Give it as `after` to go on; `null` at the end. Of `ended`, it is in the order of the ends; otherwise a job's id. */
	readonly next: Place | null;
}

/** Which jobs a cleanup deletes if they have ended: one, some by their ids, or all that ended at least so long ago.
 * @example const which: Cleanup = {olderThan: '30d'}; */
export type Cleanup = JobRef | {readonly ids: readonly JobRef[]} | {readonly olderThan: Duration};

type ToCleanUp = {readonly endedBefore: number} | {readonly ids: readonly JobId[]};

/** The verbs of a store that a cleanup needs. */
interface Verbs {
	now(): number | Promise<number>;
	delete(what: ToCleanUp, page: {readonly after?: Place | undefined}): Promise<Deleted>;
}

/**
 * Deletes the jobs page by page, so that each transaction is short. Returns their number.
 * @throws FaenaError `BadOption`
 */
export async function cleanUp(jobs: Cleanup, verbs: Verbs): Promise<number> {
	const what = await toDeletion(jobs, verbs);
	let deleted = 0;
	for await (const page of pages(after => verbs.delete(what, {after}))) deleted += page.deleted;
	return deleted;
}

async function toDeletion(jobs: unknown, verbs: Verbs): Promise<ToCleanUp> {
	if (isJob(jobs)) return {ids: [checkId(jobs)]};
	const {ids, olderThan} = checked('cleanup()', jobs, {ids: jobIds, olderThan: duration}) as {ids?: readonly JobId[]; olderThan?: number};
	if ((ids === undefined) === (olderThan === undefined))
		throw bad(`cleanup() expects a job's id or handle, {ids: […]}, or a time such as {olderThan: '7d'}; it got ${ids ? 'ids and a time' : 'none of them'}`);
	// Times are whole milliseconds: with 0, the jobs that ended in this one are deleted too.
	return ids ? {ids} : {endedBefore: (await verbs.now()) - (olderThan as number) + 1};
}
