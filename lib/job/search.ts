import type {Encoded} from './encoding.ts';
import {type Job, type JobId, type JobRef, type JobStatus, RETRIED_BY_DEFAULT, UNENDED_STATUSES} from './job.ts';

/** Selects jobs that meet all conditions; without any, every job. A page reads about as many rows as it has jobs, unless it selects by task.
 * @example const filter: JobFilter = {task: 'resize', status: ['failed', 'dead']}; */
export interface JobFilter<Ref extends JobRef = JobId> {
	/** Any number of ids or handles, in any order. */
	readonly ids?: readonly Ref[];
	/** Name of a task. */
	readonly task?: string;
	/** One status, or any of several. */
	readonly status?: JobStatus | readonly JobStatus[];
	/** Name of a batch. */
	readonly batch?: string;
	/**
	 * A key, together with the batch in which it is unique, or with the task: the job that has it. With a task alone that is a job outside batches;
	 * items of maps and jobs of flows may have the same key.
	 */
	readonly key?: string;
	/** Only jobs that are stale: see {@link Job.stale}. */
	readonly stale?: true;
	/** Only jobs with this time or a later one: their `createdAt`; with `sort: 'startedAt'` their `startedAt`, with the other sorts their `endedAt`. */
	readonly since?: Date | number;
	/** Only jobs before this time. It is the same time as for `since`. */
	readonly until?: Date | number;
}

/** All orders of a list of jobs. */
export const SORTS = ['id', 'startedAt', 'endedAt', 'duration'] as const;

/** The order of a list of jobs. */
export type JobSort = (typeof SORTS)[number];

/** Selects jobs as {@link JobFilter} does, and orders them.
 * @example const search: JobSearch = {status: 'dead', sort: 'endedAt', since: Date.now() - 86_400_000}; */
export interface JobSearch<Ref extends JobRef = JobId> extends JobFilter<Ref> {
	/**
	 * The order. `id` (default): in order of arrival. `startedAt`, `endedAt`: the latest first, of the jobs whose last execution has started,
	 * or whose round has ended. `duration`: the longest last execution first, of the jobs that don't run.
	 */
	readonly sort?: 'id' | 'startedAt' | 'endedAt' | 'duration';
}

/** The fields of a job by which a list with this sort is ordered, and to which `since` and `until` refer. */
export const SORTED_BY = {
	id: {value: 'id', time: 'createdAt'},
	startedAt: {value: 'startedAt', time: 'startedAt'},
	endedAt: {value: 'endedAt', time: 'endedAt'},
	duration: {value: 'durationMs', time: 'endedAt'},
} as const satisfies Readonly<Record<JobSort, {readonly value: keyof Job; readonly time: keyof Job}>>;

/** To what a store moves jobs; discarded jobs are deleted. */
export type MoveTarget = 'cancelled' | 'pending' | 'discarded' | 'held' | 'unheld';

/** The statuses in which `move()` of a store takes jobs of the filter. */
export function movableStatuses(to: MoveTarget, {status, ids, stale}: JobFilter): readonly JobStatus[] {
	const named = status === undefined ? undefined : [status].flat();
	const isCompletedMeant = named?.includes('completed') ?? (ids !== undefined || stale === true);
	const movable = to !== 'pending' ? UNENDED_STATUSES : isCompletedMeant ? [...RETRIED_BY_DEFAULT, 'completed' as const] : RETRIED_BY_DEFAULT;
	return named ? movable.filter(each => named.includes(each)) : movable;
}

/** A place in a list of jobs, from which to go on: a job's id; in a list that is not sorted by it, with the value by which it is sorted. */
export type Place =
	| JobId
	| {readonly value: number; readonly id: JobId /** What the store has found so far, if it has not looked everywhere. */; readonly soFar?: unknown};

/** A page of a list that is ordered by id. */
export interface Page {
	/** Only what has a higher id. */
	readonly after?: JobId;
	/** The most entries; default 100. */
	readonly limit?: number;
}

/** A job's values, encoded. */
export interface JobValues {
	/** As it was enqueued. */
	readonly payload: Encoded;
	/** The result of a completed job. */
	readonly result?: Encoded;
	/** The state from which its next execution goes on, which execution kept it, and when, in milliseconds since 1970. */
	readonly checkpoint?: {readonly execution: number; readonly at: number; readonly state: Encoded};
}

/** Reads page after page, from a place on, until the last one. */
export async function* pages<Page extends {readonly next: Place | null}>(
	read: (after: Place | undefined) => Promise<Page>,
	after?: Place,
): AsyncGenerator<Page, void, undefined> {
	for (let from: Place | null | undefined = after; from !== null; ) {
		const page = await read(from);
		yield page;
		from = page.next;
	}
}
