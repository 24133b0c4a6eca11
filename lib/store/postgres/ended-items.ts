import type {Ending} from '../../job/claim.ts';
import {type FailureRecord, toFailure} from '../../job/failure.ts';
import {type EndedGroup, idAt, listRanges, numberAt, sizeOf} from '../../job/groups/group.ts';
import {isList, pack, slicePacked} from '../../job/groups/packed.ts';
import {cutTimes, PackedTimes} from '../../job/groups/packed-times.ts';
import {groupChildJobs} from '../../job/groups/single-jobs.ts';
import type {ChildJob} from '../../job/new-job.ts';
import {type NextState, nextState, type Unreturned} from '../../job/next-state.ts';
import {withOwn} from '../../job/options.ts';
import {defined} from '../../support/defined.ts';
import {enqueueFailure, noParentFailure} from '../conflict-errors.ts';
import type {Settled, SettledGroup} from '../store.ts';
import {readFailure, writeFailure} from '../stored-json.ts';
import {LEFT_AS, stopRequest} from '../stored-state.ts';
import type {CallEncoder} from './commit-items.ts';
import type {Decision, EndedAnswer, EndedJson, NewItem} from './connection/calls.ts';
import {ID_PLACEHOLDER} from './connection/sql-constants.ts';
import {type Basis, chargesOf, listCharges} from './facts.ts';

/** An item of a call, and where its jobs are among the groups. */
export interface EndedItem {
	readonly group: number;
	readonly index: number;
	readonly json: EndedJson;
}

/** Items for the function `commit`: neighbours that returned share one. Makers, which enqueue jobs, come last: to settle one again is lost. */
export function endedItems(groups: readonly EndedGroup[], make: CallEncoder): EndedItem[] {
	const makers = new Set<string>();
	const items = groups.flatMap((group, number) => itemsOf(group, make, makers).map(item => ({...item, group: number})));
	const isMaker = ({json}: EndedItem) => json.type === 'maker' || json.onDead !== undefined;
	return [...items.filter(item => !isMaker(item)), ...items.filter(isMaker)];
}

/** @param makers the makers of this group and of those before it, as text; those of this group are added */
function itemsOf(group: EndedGroup, make: CallEncoder, makers: Set<string>): Omit<EndedItem, 'group'>[] {
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
		const own = endOf(group, start, end, times, make);
		if (own.type === 'maker' || own.onDead) makers.add(keyOf(start));
		const common = {first, last: first + end - start - 1, lease, execution: numberAt(executions, start), worker, code: group.code};
		const part = cutTimes(times, start, end);
		items.push({
			index: start,
			json: {...common, times: make.values.add(part), ...boundsOf(new PackedTimes(part), own.packed === false && end > start + 1), ...own},
		});
	}
	return items;
}

/** How the executions of an item ended. */
function endOf(group: EndedGroup, start: number, end: number, times: PackedTimes, make: CallEncoder): Omit<EndedJson, 'first'> {
	const {endings, ids, executions, lease, own} = group;
	const ending = endings?.get(start);
	if (!ending) return returned(group, start, end, make);
	const basis = make.basis(lease, numberAt(executions, start), idAt(ids, start));
	const onDead = 'onDead' in ending && ending.onDead ? {onDead: childGroups([ending.onDead], make)} : {};
	if (ending.type === 'returned') return {...returned(group, start, end, make, ending, basis), ...onDead};
	return {type: ending.type, mayExpire: mayExpire(ending, times.known(start).startedAt), ...decided(ending, basis, own, make), ...onDead};
}

/** True if a job that was released goes on waiting for its start. */
function mayExpire(ending: Unreturned, startedAt: number | undefined): boolean {
	return ending.type === 'released' && !ending.suspicion && startedAt === undefined;
}

function returned(group: EndedGroup, start: number, end: number, make: CallEncoder, ending?: Ending, basis?: Basis): Omit<EndedJson, 'first'> {
	const {values: all, own: options} = group;
	const own = isList(all) ? pack(all.slice(start, end)) : slicePacked(all, start, end);
	const values = isList(own) ? make.values.add(...own) : make.values.add(own.text || null);
	const children = ending?.type === 'returned' ? ending.enqueue : undefined;
	return {
		type: children ? 'maker' : 'returned',
		packed: !isList(own),
		values,
		// Its failure is known only in the server: which of these jobs can't be enqueued.
		...(children && {groups: childGroups(children, make), ...decided({type: 'threw', error: toFailure(undefined)}, basis, options, make)}),
	};
}

/** The jobs that the executions of a group enqueue, or may. */
export function childJobsOf({endings}: EndedGroup): readonly ChildJob[] {
	return [...(endings?.values() ?? [])].flatMap(ending => [
		...('enqueue' in ending ? (ending.enqueue ?? []) : []),
		...('onDead' in ending && ending.onDead ? [ending.onDead] : []),
	]);
}

/** The jobs that an execution enqueues, with the failures of the execution if they can't be. */
function childGroups(children: readonly ChildJob[], make: CallEncoder): NewItem[] {
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

/** What becomes of a job whose execution has not returned, and by which facts that was decided. Without facts, the server tells them. */
function decided(ending: Unreturned, basis: Basis | undefined, own: EndedGroup['own'], make: CallEncoder): Decision | undefined {
	if (!basis) return undefined;
	const {facts, policy} = basis;
	const {to, waitMs, charges, failure} = nextState(ending, chargesOf(facts), stopRequest(facts[5]), withOwn(policy, own), make.random);
	const written = {failure: failure && writeFailure(failure), charges: charges ? listCharges(charges) : failure && listCharges(chargesOf(facts))};
	return {facts, to, ...defined({waitMs, ...written})};
}

export function toSettled(count: number, items: readonly EndedItem[], answers: readonly EndedAnswer[]): SettledGroup[] {
	const results = Array.from({length: count}, () => ({others: new Map<number, Settled>(), refusals: new Map<number, FailureRecord>()}));
	for (const [at, {group, index, json}] of items.entries()) {
		const answer = answers[at] as EndedAnswer;
		const {others, refusals} = results[group] as (typeof results)[number];
		if (typeof answer === 'object' && !('refusal' in answer)) {
			for (const id of listRanges(answer)) others.set(index + id - json.first, 'lost');
			continue;
		}
		others.set(index, answer === 'lost' ? 'lost' : LEFT_AS[json.to as NextState['to']]);
		if (typeof answer === 'object') refusals.set(index, readFailure(answer.refusal));
	}
	return results.map(({others, refusals}) => ({others, ...(refusals.size > 0 && {refusals})}));
}

/** By which a list is sorted: the bounds of the times; or the times of each job, if each has a row of its own. */
function boundsOf(times: PackedTimes, isOfEach: boolean): Pick<EndedJson, 'bounds' | 'starts' | 'durations'> {
	const [starts, durations] = [times.column('startedAt'), times.column('durationMs')];
	// JSON has null for a number that is not finite.
	if (!isOfEach) return {bounds: [...starts.bounds().map(Math.round), ...durations.bounds()]};
	const list = (column: typeof starts) => Array.from({length: times.count}, (_, job) => column.at(job));
	return {starts: list(starts).map(Math.round), durations: list(durations)};
}
