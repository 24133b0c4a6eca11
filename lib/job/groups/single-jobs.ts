import {defined} from '../../support/defined.ts';
import {get} from '../../support/primordials.ts';
import type {Claim, ClaimedJob, Ending, Outcome, Settlement} from '../claim.ts';
import type {Encoded} from '../encoding.ts';
import type {JobId} from '../job.ts';
import type {ChildJob, NewJob} from '../new-job.ts';
import type {ParentEdge} from '../parents.ts';
import {executionsOf, withListedKeys} from './cut-and-join.ts';
import {
	type ClaimedGroup,
	type Column,
	type EndedGroup,
	type EnqueuedGroup,
	idAt,
	isEach,
	keyAt,
	listKeys,
	type NewGroup,
	numberAt,
	policyAt,
	type SentGroup,
	sizeOf,
	toColumn,
	toIds,
} from './group.ts';
import {countOf, pack, unpack} from './packed.ts';
import {columnsBy, type JobTimes, PackedTimes, packTimes} from './packed-times.ts';

/** The executions at these indexes, in rising order. */
export function pickEnded(group: EndedGroup, indexes: readonly number[]): EndedGroup {
	const all = [...settlementsOf(group)];
	const picked = indexes.map(index => all[index] as Settlement);
	return {...toEndedGroup(picked, toColumn(indexes.map(index => numberAt(group.createdAt, index)))), claimed: group.claimed};
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
	const groups = toNewGroups(jobs.map(({after, onParentDead = 'cancel', ...job}) => (after ? {...job, parents: {edges: [], onParentDead}} : job)));
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
	return {...executionsOf(group, 0, count), values: {count, text: null}, times: packTimes(count, {}), endings, claimed: group};
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
