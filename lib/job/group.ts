import {defined} from '../support/defined.ts';
import {get} from '../support/primordials.ts';
import type {Claim, ClaimedJob, Ending, Lease, Outcome, Settlement} from './claim.ts';
import type {Encoded} from './encoding.ts';
import type {FailureRecord} from './failure.ts';
import type {JobId, Policy} from './job.ts';
import type {ChildJob, NewJob, PendingLimits} from './new-job.ts';
import {asPacked, columnsBy, countOf, isList, type JobTimes, joinPacked, PackedTimes, pack, packTimes, slicePacked, unpack, type Values} from './packed.ts';
import type {ParentEdge} from './parents.ts';

/**
 * A group holds jobs of one task, as columns. It is the one shape in which jobs travel from the caller to a worker
 * and back; one job is a group of one. This file alone cuts, joins and iterates groups. Columns cost little where jobs are alike:
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
	/** Of a batch: {@link Batch.run}, if none of the jobs is to be enqueued once another run has opened the batch. */
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
	readonly start: number;
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

/** `missing`: it was deleted; `open`: it has a new round. */
export interface ParentEnd {
	readonly status: 'dead' | 'cancelled' | 'missing' | 'open';
	readonly error?: FailureRecord;
}

/** A claimed group as its worker gets it. */
export interface SentGroup extends Omit<ClaimedGroup, 'policies' | 'priorities'> {
	readonly maxAttempts: Column;
}

export function toSent({policies, priorities: _, ...group}: ClaimedGroup): SentGroup {
	return {...group, maxAttempts: mapColumn(policies, ({maxAttempts}) => maxAttempts)};
}

/** Executions that ended. Those without an entry in `endings` returned, and enqueued no jobs. */
export interface EndedGroup extends Pick<ClaimedGroup, 'lease' | 'ids' | 'executions' | 'createdAt'>, Pick<Settlement, 'worker' | 'own' | 'code'> {
	/** The results; `null` for jobs that did not return. */
	readonly values: Values;
	/** Made by `packTimes`. */
	readonly times: Uint8Array;
	/** How executions ended, by index. */
	readonly endings?: ReadonlyMap<number, Ending> | undefined;
}

type Group = Pick<NewGroup, 'values'>;

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

/** The jobs from `start` up to `end`. */
export function cutClaimed(group: ClaimedGroup, start: number, end: number): ClaimedGroup {
	if (start === 0 && end === sizeOf(group)) return group;
	return {
		...group,
		...executionsOf(group, start, end),
		priorities: cutColumn(group.priorities, start, end),
		policies: cutColumn(group.policies, start, end),
		scopes: cutColumn(group.scopes, start, end),
		values: cutValues(group.values, start, end),
		attempts: cutSparse(group.attempts, start, end),
		keys: cutKeys(group.keys, start, end),
		checkpoints: cutSparse(group.checkpoints, start, end),
		expiries: cutSparse(group.expiries, start, end),
		parents: cutParents(group.parents, start, end),
		scheduledAt: cutSparse(group.scheduledAt, start, end),
	};
}

/** Names the executions from `start` up to `end`. */
export function executionsOf({lease, ids, executions, createdAt}: ClaimedGroup, start: number, end: number): Omit<EndedGroup, 'values' | 'times'> {
	return {
		lease,
		ids: typeof ids === 'number' ? ids + start : toIds(ids.slice(start, end)),
		executions: cutColumn(executions, start, end),
		createdAt: cutColumn(createdAt, start, end),
	};
}

export function cutColumn<Each>(column: Column<Each>, start: number, end: number): Column<Each> {
	return isEach(column) ? toColumn(column.slice(start, end)) : column;
}

function cutValues(values: Values, start: number, end: number): Values {
	return isList(values) ? pack(values.slice(start, end)) : slicePacked(values, start, end);
}

function cutKeys(keys: ClaimedGroup['keys'], start: number, end: number): ClaimedGroup['keys'] {
	if (keys === undefined || typeof keys === 'number') return keys && keys + start;
	return areOfAll(keys) ? cutValues(keys, start, end) : cutSparse(keys, start, end);
}

/** True if each job of the group has a key. */
function areOfAll(keys: Exclude<ClaimedGroup['keys'], number | undefined>): keys is Values {
	return isList(keys as Values) || 'count' in keys;
}

function joinKeys(groups: readonly ClaimedGroup[]): ClaimedGroup['keys'] {
	if (groups.every(({keys}) => keys === undefined)) return undefined;
	const [{keys: first}] = groups as readonly [ClaimedGroup];
	let next = first;
	const areConsecutive = groups.every(({keys, values}) => {
		const continues = typeof keys === 'number' && keys === next;
		next = continues ? keys + countOf(values) : undefined;
		return continues;
	});
	if (areConsecutive) return first;
	return joinSparse(groups, group => {
		const {keys} = group;
		return keys === undefined || (typeof keys !== 'number' && !areOfAll(keys)) ? keys : new Map(listKeys(keys, sizeOf(group)).entries());
	});
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

function isEach<Each>(column: Column<Each>): column is readonly Each[] {
	return Array.isArray(column);
}

/** What few jobs of a group have, by index. */
type Sparse<Each> = ReadonlyMap<number, Each> | undefined;

function cutSparse<Each>(map: Sparse<Each>, start: number, end: number): Sparse<Each> {
	if (!map) return undefined;
	const cut = new Map<number, Each>();
	for (const [index, each] of map) if (index >= start && index < end) cut.set(index - start, each);
	return cut.size > 0 ? cut : undefined;
}

/** Joins groups of the same task, lease and quarantine. */
export function joinClaimed(groups: readonly ClaimedGroup[]): ClaimedGroup {
	const [first] = groups as readonly [ClaimedGroup];
	if (groups.length === 1) return first;
	const join = <Each>(of: (group: ClaimedGroup) => Column<Each>) => toColumn(groups.flatMap(group => listColumn(of(group), sizeOf(group))));
	return {
		...first,
		ids: toIds(groups.flatMap(group => listIds(group.ids, sizeOf(group)))),
		executions: join(({executions}) => executions),
		createdAt: join(({createdAt}) => createdAt),
		priorities: join(({priorities}) => priorities),
		policies: join(({policies}) => policies),
		scopes: join(({scopes}) => scopes),
		values: joinValues(groups.map(({values}) => values)),
		attempts: joinSparse(groups, ({attempts}) => attempts),
		keys: joinKeys(groups),
		checkpoints: joinSparse(groups, ({checkpoints}) => checkpoints),
		expiries: joinSparse(groups, ({expiries}) => expiries),
		parents: joinParents(groups),
		scheduledAt: joinSparse(groups, ({scheduledAt}) => scheduledAt),
	};
}

function listColumn<Each>(column: Column<Each>, count: number): readonly Each[] {
	return isEach(column) ? column : new Array<Each>(count).fill(column);
}

export function joinValues(all: readonly Values[]): Values {
	const packed = all.flatMap(values => asPacked(values) ?? []);
	return packed.length === all.length ? joinPacked(packed) : all.flatMap(unpack);
}

function joinSparse<Each>(groups: readonly ClaimedGroup[], of: (group: ClaimedGroup) => Sparse<Each>): Sparse<Each> {
	const joined = new Map<number, Each>();
	let offset = 0;
	for (const group of groups) {
		for (const [index, each] of of(group) ?? []) joined.set(offset + index, each);
		offset += sizeOf(group);
	}
	return joined.size > 0 ? joined : undefined;
}

function cutParents(parents: ClaimedGroup['parents'], start: number, end: number): ClaimedGroup['parents'] {
	const cut = parents?.filter(each => each.start < end && each.end > start).map(each => cutResults(each, start, end));
	return cut && cut.length > 0 ? cut : undefined;
}

function cutResults(results: ParentResults, start: number, end: number): ParentResults {
	const [from, to] = [Math.max(start, results.start), Math.min(end, results.end)];
	const place = {...results, start: from - start, end: to - start};
	if (!results.isEach) return place;
	const [first, last] = [from - results.start, to - results.start];
	return {...place, first: results.first + first, values: cutValues(results.values, first, last), others: cutSparse(results.others, first, last)};
}

function joinParents(groups: readonly ClaimedGroup[]): ClaimedGroup['parents'] {
	const joined: ParentResults[] = [];
	let offset = 0;
	for (const group of groups) {
		for (const results of group.parents ?? []) joined.push({...results, start: offset + results.start, end: offset + results.end});
		offset += sizeOf(group);
	}
	return joined.length > 0 ? joined : undefined;
}

/** The jobs at these indexes, in rising order: cuts out neighbours, and joins them. */
export function pickClaimed(group: ClaimedGroup, indexes: readonly number[]): ClaimedGroup {
	if (indexes.length === sizeOf(group)) return group;
	if (indexes.length === 0) return cutClaimed(group, 0, 0);
	// To cut packed values, each time all before them would be read.
	const unpacked = withListedKeys({...group, values: unpack(group.values)});
	const starts = indexes.filter((index, at) => indexes[at - 1] !== index - 1);
	const ends = indexes.filter((index, at) => indexes[at + 1] !== index + 1);
	return joinClaimed(starts.map((start, at) => cutClaimed(unpacked, start, (ends[at] as number) + 1)));
}

/** The executions at these indexes, in rising order. */
export function pickEnded(group: EndedGroup, indexes: readonly number[]): EndedGroup {
	const all = [...settlementsOf(group)];
	const picked = indexes.map(index => all[index] as Settlement);
	return toEndedGroup(picked, toColumn(indexes.map(index => numberAt(group.createdAt, index))));
}

/** Replaces the endings of the executions at these indexes, and drops their results. */
export function withEndings(group: EndedGroup, endings: ReadonlyMap<number, Ending>): EndedGroup {
	const values = unpack(group.values).map((value, index) => (endings.has(index) ? null : value));
	return {...group, values: pack(values), endings: new Map([...(group.endings ?? []), ...endings])};
}

/** Puts consecutive jobs that differ only in their payloads into one group. A job with a key becomes a group of one. */
export function toNewGroups(jobs: readonly NewJob[]): NewGroup[] {
	const groups: NewJob[][] = [];
	for (const job of jobs) {
		const group = groups.at(-1);
		if (group && areAlike(group[0] as NewJob, job)) group.push(job);
		else groups.push([job]);
	}
	return groups.map(group => {
		const {payload: _, key, ...options} = group[0] as NewJob;
		return {...options, values: pack(group.map(({payload}) => payload)), keys: key === undefined ? undefined : pack([key])};
	});
}

/** Puts the jobs that an execution enqueues into groups, in order. */
export function groupChildJobs(jobs: readonly ChildJob[]): NewGroup[] {
	// Jobs that are alike share a group. One that waits for others has its own.
	const groups = toNewGroups(jobs.map(({after, onDead = 'cancel', ...job}) => (after ? {...job, parents: {edges: [], onDead}} : job)));
	const places = groups.flatMap((group, at) => Array.from({length: sizeOf(group)}, (_, offset) => ({at, offset})));
	let next = 0;
	return groups.map((group, at) => {
		const {after} = jobs[next] as ChildJob;
		next += sizeOf(group);
		if (!after || !group.parents) return group;
		const edges = after.map((parent): ParentEdge => {
			if (typeof parent === 'number') return {kind: 'all', parents: {ids: parent, count: 1}};
			const place = places[parent.index] as {at: number; offset: number};
			return {kind: 'all', parents: {groupsBefore: at - place.at, first: place.offset, count: 1}};
		});
		return {...group, parents: {...group.parents, edges: joinEdges(edges)}};
	});
}

/** Joins neighbours whose parents are neighbours. */
function joinEdges(edges: readonly ParentEdge[]): ParentEdge[] {
	const joined: ParentEdge[] = [];
	for (const edge of edges) {
		const [last, {parents: next}] = [joined.at(-1), edge];
		const isNext =
			last && 'first' in last.parents && 'first' in next
				? last.parents.groupsBefore === next.groupsBefore && last.parents.first + last.parents.count === next.first
				: last && 'ids' in last.parents && 'ids' in next && (last.parents.ids as JobId) + last.parents.count === next.ids;
		if (last && isNext) joined[joined.length - 1] = {...last, parents: {...last.parents, count: last.parents.count + 1}};
		else joined.push(edge);
	}
	return joined;
}

function areAlike(a: NewJob, b: NewJob): boolean {
	if (a.key !== undefined || b.key !== undefined || a.rerun || b.rerun || a.parents || b.parents) return false;
	return a.policy === b.policy && haveSameOptions(a, b);
}

type SharedOptions = Partial<Pick<NewJob, 'task' | 'scope' | 'batch' | 'priority' | 'runAt' | 'delayMs' | 'expiresMs' | 'unique'>>;

/** Whether jobs have all in common that a group has once, but for their policies, which callers compare in ways of their own. */
export function haveSameOptions(a: SharedOptions, b: SharedOptions): boolean {
	return (
		a.task === b.task &&
		a.scope === b.scope &&
		a.batch === b.batch &&
		a.priority === b.priority &&
		a.runAt === b.runAt &&
		a.delayMs === b.delayMs &&
		a.expiresMs === b.expiresMs &&
		a.unique === b.unique
	);
}

export function* newJobsOf({values, keys, fingerprints: _, outdated, ...options}: NewGroup): Generator<NewJob> {
	const listed = keys === undefined ? undefined : listKeys(keys, countOf(values));
	const isOutdated = outdated && new Set(outdated);
	for (const [index, payload] of unpack(values).entries()) {
		const key = listed?.[index];
		const job = key === undefined ? {...options, payload} : {...options, payload, key};
		yield isOutdated?.has(index) ? {...job, isOutdated: true} : job;
	}
}

/** The jobs of an enqueued group whose fingerprints are new, by id. */
export function* newFingerprintsOf(
	{fingerprints}: NewGroup,
	{ids, conflicts = [], left = [], full, missing}: EnqueuedGroup,
): Generator<readonly [id: JobId, text: string]> {
	if (!fingerprints || full || missing !== undefined) return;
	const refused = new Set([...conflicts, ...left]);
	for (const [index, text] of unpack(fingerprints).entries()) if (typeof text === 'string' && !refused.has(index)) yield [idAt(ids, index), text];
}

export function* claimedJobsOf(group: ClaimedGroup): Generator<ClaimedJob> {
	const listed = withListedKeys(group);
	for (const [index, payload] of unpack(group.values).entries()) yield {...claimedJobAt(listed, index), policy: policyAt(group.policies, index), payload};
}

/** The group, with packed keys as a list, from which each can be read at once. */
export function withListedKeys<Group extends Pick<ClaimedGroup, 'keys'>>(group: Group): Group {
	const {keys} = group;
	if (keys === undefined || typeof keys === 'number' || !areOfAll(keys) || isList(keys)) return group;
	return {...group, keys: unpack(keys)};
}

/** One job of a group, without its payload: packed values stay packed. A task may have replaced methods of Map. */
export function claimedJobAt(group: Omit<SentGroup, 'maxAttempts'>, index: number): Omit<ClaimedJob, 'payload' | 'policy'> {
	const {task, quarantine, attempts, keys, checkpoints, scopes} = group;
	const [key, scope, checkpoint] = [keyAt(keys, index), isEach(scopes) ? scopes[index] : scopes, checkpoints && get(checkpoints, index)];
	return {
		id: idAt(group.ids, index),
		task,
		createdAt: numberAt(group.createdAt, index),
		execution: numberAt(group.executions, index),
		attempts: (attempts && get(attempts, index)) ?? 0,
		...(key !== undefined && {key}),
		...(scope !== undefined && {scope}),
		...(quarantine && {quarantine}),
		...(checkpoint !== undefined && {checkpoint}),
	};
}

export function claimAt({lease, ids, executions}: Pick<ClaimedGroup, 'lease' | 'ids' | 'executions'>, index: number): Claim {
	return {id: idAt(ids, index), lease, execution: numberAt(executions, index)};
}

/** The executions of a claimed group that has not started, as released. */
export function toReleased(group: ClaimedGroup): EndedGroup {
	const count = sizeOf(group);
	const endings = new Map(Array.from({length: count}, (_, index) => [index, {type: 'released'}] as const));
	return {...executionsOf(group, 0, count), values: {count, text: null}, times: packTimes(count, {}), endings};
}

/** Puts settlements of one lease and one worker into a group. */
export function toEndedGroup(settlements: readonly Settlement[], createdAt: Column = NaN): EndedGroup {
	const endings = new Map<number, Ending>();
	for (const [index, {outcome}] of settlements.entries()) {
		const ending = toEnding(outcome);
		if (ending) endings.set(index, ending);
	}
	const time = (name: keyof JobTimes) => Float64Array.from(settlements, ({outcome}) => outcome[name] ?? NaN);
	return {
		lease: settlements[0]?.lease ?? 0,
		ids: toIds(settlements.map(({id}) => id)),
		executions: toColumn(settlements.map(({execution}) => execution)),
		createdAt,
		values: pack(settlements.map(({outcome}) => (outcome.type === 'returned' ? outcome.value : null))),
		times: packTimes(settlements.length, columnsBy(time)),
		endings: endings.size > 0 ? endings : undefined,
		worker: settlements[0]?.worker,
		own: settlements[0]?.own,
		code: settlements[0]?.code,
	};
}

function toEnding(outcome: Outcome): Ending | undefined {
	if (outcome.type === 'returned') return outcome.enqueue && {type: 'returned', enqueue: outcome.enqueue};
	const {startedAt: _, durationMs: __, cpuMs: ___, memoryBytes: ____, ...ending} = outcome;
	return ending;
}

/** @param indexes of the wanted executions; by default all */
export function* settlementsOf(group: EndedGroup, indexes?: Iterable<number>): Generator<Settlement> {
	const [times, values] = [new PackedTimes(group.times), unpack(group.values)];
	const ran = defined({worker: group.worker, own: group.own, code: group.code});
	for (const index of indexes ?? values.keys()) {
		const value = values[index] as Encoded;
		const ending = group.endings?.get(index) ?? RETURNED;
		const timing = times.known(index);
		const outcome: Outcome = ending.type === 'returned' ? {...ending, value, ...timing} : {...ending, ...timing};
		yield {...claimAt(group, index), outcome, ...ran};
	}
}

const RETURNED = {type: 'returned'} as const;
