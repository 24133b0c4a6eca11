import type {BatchId} from '../../../job/batch.ts';
import {type EnqueuedGroup, type Ids, idAt, type NewGroup, sizeOf, toIds} from '../../../job/groups/group.ts';
import type {JobId} from '../../../job/job.ts';
import type {ChildJob} from '../../../job/new-job.ts';
import type {OnParentDead, ParentEdge, ParentsOfCall} from '../../../job/parents.ts';
import {hasEnded, StoredState} from '../../stored-state.ts';
import {MAX_RUN_JOBS} from '../connection/schema.sql.ts';
import type {Statements} from '../connection/statements.sql.ts';
import type {BlockedRun} from './blocked.ts';
import {type FoundJob, findJob} from './packed-rows.ts';
import type {Range} from './run-range.ts';
import type {Tx} from './tx.ts';
import {forgetUsed} from './used-results.ts';

/**
 * An edge says that jobs wait for others. A row of `edge` has a range of parents and one of children, each of at most {@link MAX_RUN_JOBS} jobs, so that
 * the rows which overlap a range are found by an index, and a fan-in of 50,000 jobs has 25 rows. Usually parents have lower ids than their children; those
 * of a job that runs again may be newer. No job waits for itself, through any number of others.
 */
export interface Edge {
	readonly id: number;
	readonly parents: Range;
	readonly children: Range;
	/** True if the first child waits for the first parent, the second for the second, and so on; false if each child waits for each parent. */
	readonly isEach: boolean;
	readonly onParentDead: OnParentDead;
	/** Edges are in this order, which for a child is that of `dependsOn`. Parts of an edge that was cut have one place. */
	readonly place: number;
}

/** The parent that stands for the end of a flow's input. */
export function endOfInput(flow: BatchId): JobId {
	return -flow;
}

/** How the jobs of a new group wait. */
export interface Waits {
	/** By index, the number of parents that have not ended as they must. */
	readonly parents: Uint32Array;
	/** By index, of jobs that can't run, a parent that is dead. */
	readonly lost: Map<number, JobId>;
	readonly links: readonly Link[];
	readonly onParentDead: OnParentDead;
	/** The parents, and all for which these wait or have waited; once they were needed. */
	ancestors?: readonly Range[];
}

/** Parents with consecutive ids, and the index of the first job that waits for them. */
interface Link {
	readonly parents: Range;
	readonly start: number;
	readonly isEach: boolean;
	/** True if this transaction may have made them. */
	readonly isOfCall: boolean;
}

/**
 * Finds the parents of a group that is about to be enqueued. The rows of all earlier jobs must be written.
 * @param before the groups of this transaction that were enqueued before it
 * @param first the id of the group's first new job
 * @returns a parent that does not exist, if there is one
 */
export function resolveParents(tx: Tx, group: NewGroup, before: readonly EnqueuedGroup[], first: JobId, firstNew: JobId): Waits | {readonly missing: JobId} {
	const {onParentDead} = group.parents as NonNullable<NewGroup['parents']>;
	// A job of this transaction is open, unless it was cancelled at once because of a parent of its own.
	const firstOpen = tx.lostChildren.some(id => id >= firstNew) ? first : firstNew;
	const waits = {parents: new Uint32Array(sizeOf(group)), lost: new Map<number, JobId>(), links: linksTo(group, before, first), onParentDead};
	for (const link of waits.links) {
		const missing = addTo(tx, waits, link, link.isOfCall ? firstOpen : Infinity, onParentDead);
		if (missing !== undefined) return {missing};
	}
	return waits;
}

function linksTo({parents, batch}: NewGroup, before: readonly EnqueuedGroup[], first: JobId): Link[] {
	const links = (parents?.edges ?? []).flatMap(edge => linksOf(edge, before, first));
	if (parents?.areHeld && batch !== undefined) links.push(linkTo(endOfInput(batch)));
	return links;
}

/** Whether a child need no longer wait for a parent in this state. */
function isMet(state: ParentState, onParentDead: OnParentDead): boolean {
	return state === 'completed' || (state === 'dead' && onParentDead === 'run');
}

/** Adds the parents of the link to the numbers of its children (I3). Returns one that does not exist, if there is one. */
function addTo(tx: Tx, waits: Waits, link: Link, firstOpen: JobId, onParentDead: OnParentDead): JobId | undefined {
	if (!link.isEach && firstOpen === Infinity) {
		const sum = sumOf(tx, link.parents, onParentDead);
		addSum(waits, sum);
		return sum.missing;
	}
	for (const part of statesIn(tx, link.parents, firstOpen)) {
		const [missing, , state] = part;
		if (state === 'missing') return missing;
		if (!isMet(state, onParentDead)) addPart(waits, link, part);
	}
	return undefined;
}

function addPart({parents, lost}: Waits, link: Link, [from, to, state]: StatePart): void {
	const shift = link.start - link.parents[0];
	const [low, high] = link.isEach ? [from + shift, Math.min(to + shift, parents.length - 1)] : [0, parents.length - 1];
	const count = link.isEach ? 1 : to - from + 1;
	for (let index = low; index <= high; index++) {
		parents[index] = (parents[index] as number) + count;
		if (state === 'dead' && !lost.has(index)) lost.set(index, link.isEach ? from + index - low : from);
	}
}

/** Adds parents for which all children wait. */
function addSum({parents, lost}: Waits, sum: Sum): void {
	for (let index = 0; index < parents.length; index++) {
		parents[index] = (parents[index] as number) + sum.unmet;
		if (sum.lost !== undefined && !lost.has(index)) lost.set(index, sum.lost);
	}
}

function linksOf({kind, parents, start = 0}: ParentEdge, before: readonly EnqueuedGroup[], first: JobId): Link[] {
	const ids = 'ids' in parents ? parents.ids : idsInCall(parents, before, first);
	const links: Link[] = [];
	for (let index = 0; index < parents.count; ) {
		const from = idAt(ids, index);
		let count = 1;
		while (index + count < parents.count && idAt(ids, index + count) === from + count) count++;
		links.push({parents: [from, from + count - 1], start: start + index, isEach: kind === 'each', isOfCall: !('ids' in parents)});
		index += count;
	}
	return links;
}

function linkTo(parent: JobId): Link {
	return {parents: [parent, parent], start: 0, isEach: false, isOfCall: false};
}

function idsInCall({groupsBefore, first: offset, count}: ParentsOfCall, before: readonly EnqueuedGroup[], first: JobId): Ids {
	if (groupsBefore === 0) return first + offset;
	const {ids} = before[before.length - groupsBefore] as EnqueuedGroup;
	return typeof ids === 'number' ? ids + offset : toIds(ids.slice(offset, offset + count));
}

/** What a child needs to know of a range of parents. */
interface Sum {
	/** The number of parents that have not ended as they must. */
	readonly unmet: number;
	/** The number of parents that have not ended. */
	readonly open: number;
	/** The first parent that is dead. */
	readonly lost: JobId | undefined;
	/** The first parent that does not exist. */
	readonly missing: JobId | undefined;
}

/** From so many parents on, it is faster to count them by their indexes than to look at each. */
const LONG_RANGE = 8;

function sumOf(tx: Tx, range: Range, onParentDead: OnParentDead): Sum {
	const {statements} = tx;
	const [first, last] = range;
	if (last - first + 1 < LONG_RANGE) return sumOfEach(tx, range, onParentDead);
	const count = (statement: 'jobsInRange' | 'endedInRange' | 'unhappyInRange') => statements[statement].get({first, last}) as number;
	if (count('jobsInRange') <= last - first) return sumOfEach(tx, range, onParentDead);
	const unhappy = onParentDead === 'cancel' ? count('unhappyInRange') : 0;
	const lost = unhappy > 0 ? firstUnhappy(tx, range) : undefined;
	const open = last - first + 1 - count('endedInRange');
	return {unmet: open + unhappy, open, lost, missing: undefined};
}

function firstUnhappy({statements}: Tx, [first, last]: Range): JobId | undefined {
	return (statements.firstUnhappy.get({first, last}) as JobId | null) ?? undefined;
}

function sumOfEach(tx: Tx, range: Range, onParentDead: OnParentDead): Sum {
	let [unmet, open, lost, missing]: [number, number, JobId | undefined, JobId | undefined] = [0, 0, undefined, undefined];
	for (const [from, to, state] of statesIn(tx, range, Infinity)) {
		if (isMet(state, onParentDead)) continue;
		unmet += to - from + 1;
		if (state === 'open') open += to - from + 1;
		if (state === 'dead') lost ??= from;
		if (state === 'missing') missing ??= from;
	}
	return {unmet, open, lost, missing};
}

type StatePart = readonly [from: JobId, to: JobId, state: ParentState];

type ParentState = 'open' | 'completed' | 'dead' | 'missing';

/** The states of these jobs: neighbours that are new or have completed together are one part. */
export function* statesIn({statements}: Pick<Tx, 'statements'>, [first, last]: Range, firstNew: JobId): Generator<StatePart> {
	if (first < 0) return yield [first, last, stateOfInput(statements.hasFlowInputEnded.get(-first) as 0 | 1 | undefined)];
	for (let id = first; id <= last; ) {
		if (id >= firstNew) return yield [id, last, 'open'];
		const job = findJob(statements, id);
		const end = Math.min(last, firstNew - 1, job ? lastAlike(statements, id, job) : id);
		yield [id, end, job ? stateOf(job.state) : 'missing'];
		id = end + 1;
	}
}

function stateOfInput(hasEnded: 0 | 1 | undefined): ParentState {
	return hasEnded === undefined ? 'missing' : hasEnded === 1 ? 'completed' : 'open';
}

/** The last of the jobs that share a row with this one, and so its state; the job itself if there is no such row. */
function lastAlike({outcomeRunOf, blockedRunOf}: Statements, id: JobId, {state, isInRun}: FoundJob): JobId {
	if (state === StoredState.blocked) return (blockedRunOf.get(id, id) as BlockedRun).last;
	return isInRun && state === StoredState.completed ? (outcomeRunOf.get(id, id) as Range)[1] : id;
}

function stateOf(state: StoredState): 'open' | 'completed' | 'dead' {
	if (!hasEnded(state)) return 'open';
	return state === StoredState.completed ? 'completed' : 'dead';
}

/** Writes the edges of new jobs. @param start the index of the first of these jobs in its group, of which the links are */
export function insertEdges(tx: Tx, {links, onParentDead}: Waits, start: number, [first, last]: Range): void {
	for (const link of links) {
		const [parentFirst, parentLast] = link.parents;
		if (!link.isEach) {
			for (const parents of inParts(link.parents))
				for (const children of inParts([first, last])) insertEdge(tx, {parents, children, isEach: false, onParentDead});
			continue;
		}
		// The children of this link that are among these jobs.
		const from = Math.max(first, first + link.start - start);
		const to = Math.min(last, first + link.start - start + parentLast - parentFirst);
		for (const children of inParts([from, to])) {
			const parent = parentFirst + children[0] - (first + link.start - start);
			insertEdge(tx, {parents: [parent, parent + children[1] - children[0]], children, isEach: true, onParentDead});
		}
	}
	tx.facts.forget('hasEdges');
}

/** @param place of a part of an edge that was cut */
function insertEdge({statements}: Tx, {parents, children, isEach, onParentDead}: Omit<Edge, 'id' | 'place'>, place: number | null = null): void {
	statements.insertEdge.run(...parents, ...children, isEach ? 1 : 0, onParentDead === 'run' ? 1 : 0, place);
}

/** Deletes the edges to these jobs. Those of their neighbours stay. */
export function deleteEdgesTo(tx: Tx, first: JobId, last: JobId): void {
	if (!tx.facts.get('hasEdges')) return;
	forgetUsed(tx, [first, last]);
	for (const edge of (tx.statements.edgesTo.all({first, last}) as EdgeRow[]).map(toEdge)) {
		tx.statements.deleteEdge.run(edge.id);
		const [from, to] = edge.children;
		if (from < first) insertEdge(tx, cut(edge, 'children', [from, first - 1]), edge.place);
		if (to > last) insertEdge(tx, cut(edge, 'children', [last + 1, to]), edge.place);
	}
	tx.facts.forget('hasEdges');
}

/** True if one of the group's parents is this job, or waits for it, or has waited. */
export function isAncestor({statements}: Tx, id: JobId, waits: Waits): boolean {
	waits.ancestors ??= reach(
		statements,
		waits.links.map(({parents}) => parents),
		'parents',
	).ranges;
	return waits.ancestors.some(([first, last]) => id >= first && id <= last);
}

/** These jobs, and all that are reached from them towards this side, through any number of edges, each range once. */
export function reach(
	statements: Statements,
	start: readonly Range[],
	side: 'parents' | 'children',
): {readonly ranges: readonly Range[]; readonly edges: readonly Edge[]} {
	const reached = new Map(start.map(range => [`${range}`, range]));
	const edges: Edge[] = [];
	// Those that are added are visited, too.
	for (const range of reached.values()) {
		for (const edge of side === 'parents' ? edgesTo(statements, range) : edgesFrom(statements, range)) {
			edges.push(edge);
			reached.set(`${edge[side]}`, edge[side]);
		}
	}
	return {ranges: [...reached.values()], edges};
}

export function* inParts([first, last]: Range): Generator<Range> {
	for (let from = first; from <= last; from += MAX_RUN_JOBS) yield [from, Math.min(last, from + MAX_RUN_JOBS - 1)];
}

type EdgeRow = readonly [id: number, parentFirst: JobId, parentLast: JobId, first: JobId, last: JobId, isEach: number, runsOnDead: number, place: number];

/** The edges from these parents, each cut to them, in the order in which they were written. @param after only edges of later places */
export function edgesFrom(statements: Statements, range: Range, after = 0): Edge[] {
	return cutTo(range, 'parents', statements.edgesFrom.all({first: range[0], last: range[1]}) as EdgeRow[]).filter(({place}) => place > after);
}

/** The edges to these children, each cut to them, in the order of `dependsOn`. */
export function edgesTo(statements: Statements, range: Range): Edge[] {
	return cutTo(range, 'children', statements.edgesTo.all({first: range[0], last: range[1]}) as EdgeRow[]);
}

function cutTo([first, last]: Range, side: 'parents' | 'children', rows: readonly EdgeRow[]): Edge[] {
	return rows.map(toEdge).map(edge => cut(edge, side, [Math.max(first, edge[side][0]), Math.min(last, edge[side][1])]));
}

function cut(edge: Edge, side: 'parents' | 'children', [first, last]: Range): Edge {
	const other = side === 'parents' ? 'children' : 'parents';
	const shift = edge[other][0] - edge[side][0];
	return {...edge, [side]: [first, last], [other]: edge.isEach ? [first + shift, last + shift] : edge[other]};
}

function toEdge([id, parentFirst, parentLast, first, last, isEach, runsOnDead, place]: EdgeRow): Edge {
	const onParentDead = runsOnDead === 1 ? 'run' : 'cancel';
	return {id, parents: [parentFirst, parentLast], children: [first, last], isEach: isEach === 1, onParentDead, place};
}

/** A parent for which a job that exists can't run: the first one that is dead, or the first one that was deleted. */
export function lostParentOf(tx: Tx, id: JobId): JobId | undefined {
	return deadParentOf(tx, id) ?? sumsOf(tx, id).find(({missing}) => missing !== undefined)?.missing;
}

/** The first parent that is dead, of a job that does not run without it. */
export function deadParentOf(tx: Tx, id: JobId): JobId | undefined {
	// Found by an index, however many parents there are.
	for (const {parents, onParentDead} of parentsOf(tx, id)) {
		const dead = onParentDead === 'cancel' && parents[0] > 0 ? firstUnhappy(tx, parents) : undefined;
		if (dead !== undefined) return dead;
	}
	return undefined;
}

/** The number of parents of a job that exists that have not ended as they must. */
export function unmetParentsOf(tx: Tx, id: JobId): number {
	return sumsOf(tx, id).reduce((sum, {unmet}) => sum + unmet, 0);
}

/** The number of its parents that exist and have not ended. */
export function openParentsOf(tx: Tx, id: JobId): number {
	return sumsOf(tx, id).reduce((sum, {open}) => sum + open, 0);
}

function sumsOf(tx: Tx, id: JobId): Sum[] {
	return parentsOf(tx, id).map(({parents, onParentDead}) => sumOf(tx, parents, onParentDead));
}

function parentsOf({facts, statements}: Tx, id: JobId): Edge[] {
	return facts.get('hasEdges') ? edgesTo(statements, [id, id]) : [];
}

/** True if an unended job has waited for one of these, or waits: it needs their results. */
export function isNeeded(tx: Tx, parents: Range): boolean {
	if (!tx.facts.get('hasEdges')) return false;
	return edgesFrom(tx.statements, parents).some(({children}) => statesIn(tx, children, Infinity).some(([, , state]) => state === 'open'));
}

/** A parent of the new job that does not exist, if there is one. */
export function missingParent({statements}: Tx, {after = []}: ChildJob): JobId | undefined {
	return after.find((parent): parent is JobId => typeof parent === 'number' && findJob(statements, parent) === undefined);
}
