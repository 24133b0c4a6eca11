import type {Ending} from '../../job/claim.ts';
import {type FailureRecord, poison} from '../../job/failure.ts';
import {type EndedGroup, groupChildJobs, idAt, numberAt, sizeOf} from '../../job/group.ts';
import {type JobId, MAX_CRASHES} from '../../job/job.ts';
import type {ChildJob} from '../../job/new-job.ts';
import {cutTimes, isList, PackedTimes, pack, slicePacked} from '../../job/packed.ts';
import {enqueueFailure, noParentFailure} from '../conflict-errors.ts';
import type {Settled, SettledGroup} from '../store.ts';
import {readFailure, writeFailure} from '../stored-json.ts';
import type {ItemMaker} from './items.ts';
import {ID_PLACEHOLDER} from './sql-constants.ts';

/** An item of a call, and where its jobs are among the groups. */
export interface EndedItem {
	readonly group: number;
	readonly index: number;
	readonly json: {readonly first: JobId} & EndingJson;
}

/** How executions ended, as the functions of the schema take it. */
type EndingJson = {readonly type: string; readonly packed?: boolean} & Readonly<Record<string, unknown>>;

/**
 * The executions as items for the function `commit`: neighbours that returned share one, and each of the others has its own. Those that enqueue jobs
 * (makers) come last. If one of them is settled again after that, the second time is lost.
 */
export function endedItems(groups: readonly EndedGroup[], make: ItemMaker): EndedItem[] {
	const makers = new Set<string>();
	const items = groups.flatMap((group, number) => itemsOf(group, make, makers).map(item => ({...item, group: number})));
	const isMaker = ({json}: EndedItem) => json.type === 'maker';
	return [...items.filter(item => !isMaker(item)), ...items.filter(isMaker)];
}

/** @param makers the makers of this group and of those before it, as text; those of this group are added */
function itemsOf(group: EndedGroup, make: ItemMaker, makers: Set<string>): Omit<EndedItem, 'group'>[] {
	const {endings, ids, executions, lease, worker} = group;
	const times = new PackedTimes(group.times);
	const items: Omit<EndedItem, 'group'>[] = [];
	const size = sizeOf(group);
	for (let start = 0, end = 0; start < size; start = end) {
		const ending = endings?.get(start);
		end = start + 1;
		const first = idAt(ids, start);
		const keyOf = (index: number) => `${lease} ${numberAt(executions, index)} ${idAt(ids, index)}`;
		const isSettled = (index: number) => makers.size > 0 && makers.has(keyOf(index));
		const continues = () => !endings?.has(end) && idAt(ids, end) === first + end - start && numberAt(executions, end) === numberAt(executions, start);
		while (!ending && end < size && continues() && !isSettled(end) && !isSettled(start)) end++;
		if (isSettled(start)) {
			items.push({index: start, json: {type: 'settled', first}});
			continue;
		}
		const own = ending && ending.type !== 'returned' ? endingOf(ending, times.known(start).startedAt, make) : returned(group, start, end, ending, make);
		if (own.type === 'maker') makers.add(keyOf(start));
		const common = {first, last: first + end - start - 1, lease, execution: numberAt(executions, start), worker, own: ending && group.own, code: group.code};
		const part = cutTimes(times, start, end);
		items.push({
			index: start,
			json: {...common, times: make.values.add(part), ...boundsOf(new PackedTimes(part), own.packed === false && end > start + 1), ...own},
		});
	}
	return items;
}

function returned({values: all}: EndedGroup, start: number, end: number, ending: Ending | undefined, make: ItemMaker): EndingJson {
	const own = isList(all) ? pack(all.slice(start, end)) : slicePacked(all, start, end);
	const values = isList(own) ? make.values.add(...own) : make.values.add(own.text || null);
	const children = ending?.type === 'returned' ? ending.enqueue : undefined;
	return {
		type: children ? 'maker' : 'returned',
		packed: !isList(own),
		values,
		...(children && {groups: childGroups(children, make), random: make.random()}),
	};
}

/** The jobs that the executions of a group enqueue. */
export function childJobsOf({endings}: EndedGroup): readonly ChildJob[] {
	return [...(endings?.values() ?? [])].flatMap(ending => (ending.type === 'returned' ? (ending.enqueue ?? []) : []));
}

/** The jobs that an execution enqueues, with the failures of the execution if they can't be. */
function childGroups(children: readonly ChildJob[], make: ItemMaker): object[] {
	let next = 0;
	return groupChildJobs(children).map(group => {
		const child = children[next] as ChildJob;
		next += sizeOf(group);
		return {
			...make.newGroup(group),
			...(child.after && {missing: writeFailure(noParentFailure(child, ID_PLACEHOLDER))}),
			...(child.key !== undefined && {
				heldByJob: writeFailure(enqueueFailure(child, ID_PLACEHOLDER)),
				heldByOther: writeFailure(enqueueFailure(child, undefined)),
			}),
		};
	});
}

function endingOf(ending: Exclude<Ending, {type: 'returned'}>, startedAt: number | undefined, make: ItemMaker): EndingJson {
	if (ending.type === 'released') return {type: ending.type, suspicion: ending.suspicion, started: startedAt !== undefined};
	if (ending.type === 'cancelled') return {type: ending.type, failure: ending.error && writeFailure(ending.error)};
	const {type, error} = ending;
	const {retry} = error;
	return {
		type,
		failure: writeFailure(error),
		// That many crashes make it poison.
		...(type === 'lostWorker' && {poison: writeFailure(poison(MAX_CRASHES, error))}),
		...(retry === 'never' ? {never: true} : retry && {after: Math.round(retry.afterMs)}),
		random: make.random(),
	};
}

/** The answer to an item: ranges of jobs whose claim was lost; of an item that did not return, the new status. */
export type EndedAnswer = readonly (readonly [first: JobId, last: JobId])[] | Settled | {readonly status: Settled; readonly refusal: string};

export function toSettled(count: number, items: readonly EndedItem[], answers: readonly EndedAnswer[]): SettledGroup[] {
	const results = Array.from({length: count}, () => ({others: new Map<number, Settled>(), refusals: new Map<number, FailureRecord>()}));
	for (const [at, {group, index, json}] of items.entries()) {
		const answer = answers[at] as EndedAnswer;
		const {others, refusals} = results[group] as (typeof results)[number];
		if (typeof answer === 'string') others.set(index, answer);
		else if ('refusal' in answer) {
			others.set(index, answer.status);
			refusals.set(index, readFailure(answer.refusal));
		} else for (const [first, last] of answer) for (let id = first; id <= last; id++) others.set(index + id - json.first, 'lost');
	}
	return results.map(({others, refusals}) => ({others, ...(refusals.size > 0 && {refusals})}));
}

/** By which a list is sorted: the bounds of the times; or the times of each job, if each has a row of its own. */
function boundsOf(times: PackedTimes, isOfEach: boolean): object {
	const [starts, durations] = [times.column('startedAt'), times.column('durationMs')];
	// JSON has null for a number that is not finite.
	if (!isOfEach) return {bounds: [...starts.bounds().map(Math.round), ...durations.bounds()]};
	const list = (column: typeof starts) => Array.from({length: times.count}, (_, job) => column.at(job));
	return {starts: list(starts).map(Math.round), durations: list(durations)};
}
