import {areOfAll, type ClaimedGroup, type Column, type EndedGroup, isEach, listIds, listKeys, type ParentResults, sizeOf, toColumn, toIds} from './group.ts';
import {asPacked, countOf, isList, joinPacked, pack, slicePacked, unpack, type Values} from './packed.ts';

/** The jobs from `start` up to `end`. */
export function cutClaimed(group: ClaimedGroup, start: number, end: number): ClaimedGroup {
	if (start === 0 && end === sizeOf(group)) return group;
	return {
		...group,
		...executionsOf(group, start, end),
		priorities: cutColumn(group.priorities, start, end),
		policies: cutColumn(group.policies, start, end),
		batches: cutColumn(group.batches, start, end),
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
	if (keys === undefined) return undefined;
	if (typeof keys === 'number') return keys + start;
	return areOfAll(keys) ? cutValues(keys, start, end) : cutSparse(keys, start, end);
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
		batches: join(({batches}) => batches),
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

/** The group, with packed keys as a list, from which each can be read at once. */
export function withListedKeys<Group extends Pick<ClaimedGroup, 'keys'>>(group: Group): Group {
	const {keys} = group;
	if (keys === undefined || typeof keys === 'number' || !areOfAll(keys) || isList(keys)) return group;
	return {...group, keys: unpack(keys)};
}
