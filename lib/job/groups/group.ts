import {get} from '../../support/primordials.ts';
import type {BatchId} from '../batch.ts';
import type {ClaimedJob, Ending, JobUpdate, Lease, Settlement} from '../claim.ts';
import type {Encoded} from '../encoding.ts';
import type {FailureRecord} from '../failure.ts';
import type {JobId} from '../job.ts';
import type {NewJob, PendingLimits} from '../new-job.ts';
import type {Policy} from '../policy.ts';
import {countOf, isList, slicePacked, unpack, type Values} from './packed.ts';

/**
 * A group holds jobs of one task, as columns. It is the one shape in which jobs travel from the caller to a worker
 * and back; one job is a group of one. `cut-and-join.ts` cuts and joins groups, `single-jobs.ts` makes them of jobs and takes them apart. Columns cost little where jobs are alike:
 * consecutive ids are one number, and short values are the lines of one text.
 */

/** The most jobs in a group, at every station. */
export const MAX_GROUP_JOBS = 2000;

/** The ids of a group's jobs: the first id if they are consecutive, otherwise a list. */
export type Ids = JobId | readonly JobId[];

/** A value for each job, or one value if it is the same for all. */
export type Column<Each = number> = Each | readonly Each[];

/** The keys of jobs: the first if they are consecutive numbers, as those of a map's items are by default; otherwise one for each job. */
export type Keys = number | Values;

/** Jobs to be enqueued. They differ only in their payloads and keys. */
export interface NewGroup extends Omit<NewJob, 'payload' | 'key' | 'isOutdated'> {
	/** The payloads. */
	readonly values: Values;
	/** Absent if the jobs have none. */
	readonly keys?: Keys | undefined;
	/**
	 * What each job is made of: texts that stores keep, and that only callers understand; but up to its first space a text names the code of the task, which
	 * the settlement of an execution replaces: {@link EndedGroup.code}. `null` keeps that of a job that exists.
	 */
	readonly fingerprints?: Values | undefined;
	/** Indexes of jobs that are out of date if they exist: they are run again as under `rerun`, also with the same payload; unless they are running. */
	readonly outdated?: readonly number[] | undefined;
	/** None of the jobs is enqueued if they would make more jobs pending than this. Jobs whose keys exist count as none. Default: no limit. */
	readonly maxPending?: PendingLimits | undefined;
	/** Of a batch: `run` of the batch, if none of the jobs is to be enqueued once another run has opened the batch. */
	readonly run?: string | undefined;
}

/** The result of enqueuing a group. */
export interface EnqueuedGroup {
	/** The ids of the jobs, in order. */
	readonly ids: Ids;
	/** Indexes of jobs whose key existed, with the same payload or with one that `rerun` replaced. Their ids are those of the existing jobs. */
	readonly reused?: readonly number[];
	/** Of the reused ones, indexes of jobs that were held. */
	readonly named?: readonly number[];
	/** Of the reused ones, indexes of outdated jobs that are running, or can't begin a new round: they were left as they are, with their fingerprints. */
	readonly left?: readonly number[];
	/** Indexes of jobs whose key existed with another payload. These were not enqueued; their ids are those of the existing jobs. */
	readonly conflicts?: readonly number[];
	/** No job of the group was enqueued, for want of room: there are no ids. */
	readonly full?: FullQueue;
	/** No job of the group was enqueued, since this parent, or with a minus its batch, does not exist, or is another run's now: there are no ids. */
	readonly missing?: JobId;
}

/** The result of enqueuing a group, without empty lists. */
export function toEnqueuedGroup(ids: Ids, lists: Readonly<Record<'reused' | 'conflicts' | 'left' | 'named', readonly number[]>>): EnqueuedGroup {
	return {ids, ...Object.fromEntries(Object.entries(lists).filter(([, indexes]) => indexes.length > 0))};
}

/** The limit that a group would have exceeded. */
export interface FullQueue {
	/** Whose limit it is: that of the group's task, or that of all tasks. */
	readonly of: keyof PendingLimits;
	/** Jobs that are pending, of this task or of all. */
	readonly pending: number;
	/** The most that may be. */
	readonly limit: number;
}

/** Jobs that one transaction claimed. */
export interface ClaimedGroup extends Pick<ClaimedJob, 'task'> {
	/** The number of the transaction. */
	readonly lease: Lease;
	/** These jobs may have killed their process. They run in a child process, in one chunk or each `alone`. */
	readonly quarantine?: ClaimedJob['quarantine'] | undefined;
	/** The ids of the jobs. */
	readonly ids: Ids;
	/** The number of each job's execution. Together with the lease it is the fence. */
	readonly executions: Column;
	/** When each job was enqueued, in milliseconds since 1970. */
	readonly createdAt: Column;
	/** The priorities of the jobs. */
	readonly priorities: Column;
	/** The policies of the jobs. */
	readonly policies: Column<Policy>;
	/** Their batches, of which only events tell; `null` for none. */
	readonly batches?: Column<BatchId | null | undefined>;
	/** Whose the jobs are. */
	readonly scopes?: Column<string | undefined> | undefined;
	/** The payloads. */
	readonly values: Values;
	/** Attempts charged before this execution, by index; only of jobs that have some. */
	readonly attempts?: ReadonlyMap<number, number> | undefined;
	/** Unique keys. By index if not all jobs have one. */
	readonly keys?: Keys | ReadonlyMap<number, string> | undefined;
	/** The last `ctx.checkpoint` of an earlier execution, by index. */
	readonly checkpoints?: ReadonlyMap<number, Encoded> | undefined;
	/** What became of the jobs for which these have waited. Those of one job are in the order of its `dependsOn`. */
	readonly parents?: readonly ParentResults[] | undefined;
	/** The moments for which a schedule has enqueued jobs, by index. In milliseconds since 1970. */
	readonly scheduledAt?: ReadonlyMap<number, number> | undefined;
	/** From when on a job must not start, since it has expired, by index; only of jobs that may expire. In milliseconds since 1970, by this machine's clock. */
	readonly expiries?: ReadonlyMap<number, number> | undefined;
}

/** What became of parents with consecutive ids, for the jobs from the index `start` up to `end`. */
export interface ParentResults {
	/** The first index. */
	readonly start: number;
	/** The index after the last one. */
	readonly end: number;
	/** True if the first of these jobs has waited for the first parent, the second for the second, and so on; false if each has waited for all. */
	readonly isEach: boolean;
	/** The id of the first parent. */
	readonly first: JobId;
	/** Their results; `null` for those in `others`. */
	readonly values: Values;
	/** By index, those that did not complete. */
	readonly others?: ReadonlyMap<number, ParentEnd> | undefined;
}

/** How a parent ended that did not complete. */
export interface ParentEnd {
	/** `missing`: it was deleted; `open`: it has a new round. */
	readonly status: 'dead' | 'cancelled' | 'missing' | 'open';
	/** Of one that is dead. */
	readonly error?: FailureRecord;
}

/** A claimed group as its worker gets it. */
export interface SentGroup extends Omit<ClaimedGroup, 'policies' | 'priorities' | 'batches'> {
	readonly maxAttempts: Column;
}

export function toSent({policies, priorities: _, batches: __, ...group}: ClaimedGroup): SentGroup {
	const maxAttempts = mapColumn(policies, ({maxAttempts}) => maxAttempts);
	// The memory of large bytes goes to the thread, and a death tells of the payload.
	return [policies].flat().some(({onDead}) => onDead !== undefined) ? {...group, maxAttempts, values: structuredClone(group.values)} : {...group, maxAttempts};
}

/** An update as the pool tells it. */
export interface RunningUpdate extends JobUpdate {
	/** The job as it was claimed, with others, for events. */
	readonly claimed?: ClaimedGroup;
}

/** Executions that ended. Those without an entry in `endings` returned, and enqueued no jobs. */
export interface EndedGroup extends Pick<ClaimedGroup, 'lease' | 'ids' | 'executions' | 'createdAt'>, Pick<Settlement, 'worker' | 'own' | 'code'> {
	/** The results; `null` for jobs that did not return. */
	readonly values: Values;
	/** Made by `packTimes`. */
	readonly times: Uint8Array;
	/** How executions ended, by index. */
	readonly endings?: ReadonlyMap<number, Ending> | undefined;
	/** The jobs as they were claimed, perhaps with others, for events. A store does not need it. */
	readonly claimed?: ClaimedGroup | undefined;
}

export type Group = Pick<NewGroup, 'values'>;

export function sizeOf({values}: Group): number {
	return countOf(values);
}

export function idAt(ids: Ids, index: number): JobId {
	return typeof ids === 'number' ? ids + index : (ids[index] as JobId);
}

/** @returns -1 if the group has no such job */
export function indexOf({ids, values}: Group & {readonly ids: Ids}, id: JobId): number {
	if (typeof ids !== 'number') return ids.indexOf(id);
	return id >= ids && id < ids + countOf(values) ? id - ids : -1;
}

export function numberAt(column: Column, index: number): number {
	return typeof column === 'number' ? column : (column[index] as number);
}

export function policyAt(policies: Column<Policy>, index: number): Policy {
	return 'backoff' in policies ? policies : (policies[index] as Policy);
}

/** The values as a column, in its shortest form. */
export function toColumn<Each>(values: readonly Each[]): Column<Each> {
	const [first] = values;
	return values.length > 0 && values.every(each => each === first) ? (first as Each) : values;
}

/** Calls `of` for each value, and once if all jobs have the same. */
export function mapColumn<Each, Result>(column: Column<Each>, of: (each: Each) => Result): Column<Result> {
	return isEach(column) ? toColumn(column.map(of)) : of(column);
}

/** The ids in their shortest form. */
export function toIds(ids: readonly JobId[]): Ids {
	const [first = 0] = ids;
	return ids.every((id, index) => id === first + index) ? first : ids;
}

/** The range of ids of several jobs; `undefined` if they are not consecutive, or only one. */
export function rangeOf(ids: Ids, count: number): {readonly first: JobId; readonly last: JobId} | undefined {
	return typeof ids === 'number' && count > 1 ? {first: ids, last: ids + count - 1} : undefined;
}

export function listIds(ids: Ids, count: number): readonly JobId[] {
	return typeof ids === 'number' ? Array.from({length: count}, (_, index) => ids + index) : ids;
}

export function listRanges(ranges: readonly (readonly [first: JobId, last: JobId])[]): readonly JobId[] {
	return ranges.flatMap(([first, last]) => listIds(first, last - first + 1));
}

/** True if each job of the group has a key. */
export function areOfAll(keys: Exclude<ClaimedGroup['keys'], number | undefined>): keys is Values {
	return isList(keys as Values) || 'count' in keys;
}

/** The keys of a group of so many jobs. */
export function listKeys(keys: Keys, count: number): readonly string[] {
	return typeof keys === 'number' ? Array.from({length: count}, (_, index) => `${keys + index}`) : (unpack(keys) as readonly string[]);
}

/** The key of one job. To read one of packed keys, all before it are read: if many are needed, unpack them first. */
export function keyAt(keys: ClaimedGroup['keys'], index: number): string | undefined {
	if (keys === undefined) return undefined;
	if (typeof keys === 'number') return `${keys + index}`;
	if (!areOfAll(keys)) return get(keys, index);
	return (isList(keys) ? keys[index] : slicePacked(keys, index, index + 1).text) as string;
}

export function isEach<Each>(column: Column<Each>): column is readonly Each[] {
	return Array.isArray(column);
}
