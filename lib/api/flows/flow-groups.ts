import {createHash} from 'node:crypto';
import type {BatchId, FlowJobs} from '../../job/batch.ts';
import {type Encoded, sizeBytes} from '../../job/encoding.ts';
import type {NewGroup} from '../../job/groups/group.ts';
import {pack} from '../../job/groups/packed.ts';
import {Portion, SMALL_GROUP} from '../../job/groups/portion.ts';
import {haveSameOptions} from '../../job/groups/single-jobs.ts';
import type {JobId} from '../../job/job.ts';
import type {OnParentDead, ParentEdge} from '../../job/parents.ts';
import type {FlowNode, NodePlan} from './flow-nodes.ts';

/** Jobs of a flow that differ only in payloads and keys, and wait for others in the same way. Jobs are named by their numbers in the flow, from 0. */
export interface FlowGroup {
	readonly task: string;
	readonly options: NodePlan['options'];
	readonly onParentDead: OnParentDead;
	/** The number of its first job. */
	readonly start: number;
	readonly payloads: Encoded[];
	readonly keys: string[] | undefined;
	readonly edges: FlowEdge[];
}

/** `each`: the first job waits for the job `first`, the second for the next one, and so on. `all`: each waits for `count` jobs from `first` on. */
type FlowEdge =
	| {readonly kind: 'each'; readonly first: number}
	| {readonly kind: 'all'; readonly first: number; readonly count: number}
	| {readonly kind: 'all'; readonly ids: readonly JobId[]};

/** The nodes' jobs as groups, and the number of each node's first job. Neighbours that are alike, such as the jobs of a chain, share a group. */
export function toGroups(nodes: readonly FlowNode[]): {readonly groups: readonly FlowGroup[]; readonly starts: ReadonlyMap<FlowNode, number>} {
	const starts = new Map<FlowNode, number>();
	const groups: FlowGroup[] = [];
	let start = 0;
	for (const node of nodes) {
		starts.set(node, start);
		for (const group of groupsOf(node, start, starts)) if (!joins(groups.at(-1), group)) groups.push(group);
		start += node.size;
	}
	for (const {edges} of groups) edges.splice(0, edges.length, ...mergeEdges(edges));
	return {groups, starts};
}

/** Makes one edge of those to neighbours, such as `[a, b, c]` in a payload. The order of the parents stays. */
function mergeEdges(edges: readonly FlowEdge[]): FlowEdge[] {
	const merged: FlowEdge[] = [];
	for (const edge of edges) {
		const last = merged.at(-1);
		const isNext = last?.kind === 'all' && edge.kind === 'all' && 'first' in last && 'first' in edge && last.first + last.count === edge.first;
		if (isNext) merged.splice(-1, 1, {...last, count: last.count + edge.count});
		else merged.push(edge);
	}
	return merged;
}

function* groupsOf({plan}: FlowNode, start: number, starts: ReadonlyMap<FlowNode, number>): Generator<FlowGroup> {
	const {task, options, onParentDead, payloads, keys} = plan;
	for (let from = 0; from < payloads.length; ) {
		const portion = new Portion(SMALL_GROUP);
		let to = from;
		while (to < payloads.length && !portion.isFull) portion.add(payloads[to++] as Encoded);
		const edges = plan.parents.flatMap((parent): FlowEdge[] => {
			if ('ids' in parent) return [{kind: 'all', ids: parent.ids}];
			const first = starts.get(parent.node) as number;
			if (parent.kind === 'each') return [{kind: 'each', first: first + from}];
			return parent.node.size > 0 ? [{kind: 'all', first, count: parent.node.size}] : [];
		});
		yield {task, options, onParentDead, start: start + from, payloads: payloads.slice(from, to), keys: keys?.slice(from, to), edges};
		from = to;
	}
}

/** Adds the group to the one before it, if it is a single job that waits as those do. Returns false if it does not. */
function joins(before: FlowGroup | undefined, group: FlowGroup): boolean {
	const [payload] = group.payloads;
	if (!before || group.payloads.length !== 1 || payload === undefined || !areAlike(before, group)) return false;
	const edges = before.edges.map((edge, index) => joinEdges(before, edge, group.edges[index] as FlowEdge));
	if (edges.includes(undefined)) return false;
	before.edges.splice(0, edges.length, ...(edges as FlowEdge[]));
	before.payloads.push(payload);
	if (group.keys) before.keys?.push(...group.keys);
	return true;
}

function areAlike(a: FlowGroup, b: FlowGroup): boolean {
	if (a.payloads.length >= SMALL_GROUP.jobs || a.edges.length !== b.edges.length || (a.keys === undefined) !== (b.keys === undefined)) return false;
	if (sizeBytes(b.payloads[0] as Encoded) > SMALL_GROUP.bytes / SMALL_GROUP.jobs) return false;
	return (
		a.task === b.task && a.onParentDead === b.onParentDead && a.options.policy === b.options.policy && haveSameOptions(a.options, b.options) && !hasTimes(b)
	);
}

function hasTimes({options: {runAt, delayMs, expiresMs}}: FlowGroup): boolean {
	return runAt !== null || delayMs !== undefined || expiresMs !== undefined;
}

/** One edge for the jobs of the group and this next one; `undefined` if there is none. */
function joinEdges({start, payloads, keys}: FlowGroup, a: FlowEdge, b: FlowEdge): FlowEdge | undefined {
	if ('ids' in a || 'ids' in b || b.kind === 'each') return undefined;
	const count = payloads.length;
	// The store can't tell jobs with keys by their places in their own group: one of them may exist.
	if (keys && b.first + b.count > start) return undefined;
	if (a.kind === 'all' && a.first === b.first && a.count === b.count) return a;
	const isNext = a.first + count === b.first && b.count === 1 && (a.kind === 'each' || (count === 1 && a.count === 1));
	return isNext ? {kind: 'each', first: a.first} : undefined;
}

/** Equal for flows with the same jobs, payloads, keys and edges. */
export function structureOf(groups: readonly FlowGroup[]): string {
	const hash = createHash('sha256');
	for (const {task, onParentDead, start, payloads, keys, edges} of groups) {
		const own = edges.map(edge => ('ids' in edge ? {ids: edge.ids.length} : edge));
		hash.update(JSON.stringify([task, onParentDead, start, payloads.length, keys, own]));
		for (const payload of payloads) hash.update(payload ?? '').update('\n');
	}
	return hash.digest('base64url');
}

/** The ids of a flow's jobs, by their numbers, as far as they are known. */
export class FlowIds {
	/** With the number of the first job of each range, in order. */
	readonly #ranges: {readonly start: number; readonly first: JobId; count: number}[] = [];
	/** The number of known ids. */
	size = 0;

	constructor(jobs: FlowJobs = []) {
		for (const [first, count] of jobs) this.add(first, count);
	}

	add(first: JobId, count: number): void {
		const last = this.#ranges.at(-1);
		if (last && last.first + last.count === first) last.count += count;
		else this.#ranges.push({start: this.size, first, count});
		this.size += count;
	}

	toJobs(): FlowJobs {
		return this.#ranges.map(({first, count}) => [first, count] as const);
	}

	/** The ids of these jobs, as ranges. */
	in(start: number, count: number): FlowJobs {
		return this.#ranges.flatMap(range => {
			const [from, to] = [Math.max(start, range.start), Math.min(start + count, range.start + range.count)];
			return from < to ? [[range.first + from - range.start, to - from] as const] : [];
		});
	}
}

/** The groups of one transaction, as the store takes them. @param ids of the jobs that were enqueued by earlier transactions */
export function toNewGroups(page: readonly FlowGroup[], ids: FlowIds, batch: BatchId): NewGroup[] {
	return page.map((group, index) => {
		const {task, options, onParentDead, payloads, keys} = group;
		const edges = group.edges.flatMap(edge => resolveEdge(edge, page, index, ids));
		const areHeld = group.edges.every(edge => 'ids' in edge);
		const parents = {edges, onParentDead, ...(areHeld && {areHeld})};
		return {...options, task, values: pack(payloads), ...(keys && {keys: pack(keys)}), batch, parents};
	});
}

function resolveEdge(edge: FlowEdge, page: readonly FlowGroup[], index: number, ids: FlowIds): ParentEdge[] {
	if ('ids' in edge) return [{kind: 'all', parents: {ids: edge.ids, count: edge.ids.length}}];
	const {kind, first} = edge;
	const own = page[index] as FlowGroup;
	const count = edge.kind === 'each' ? own.payloads.length : edge.count;
	let start = 0;
	const edges: ParentEdge[] = [];
	const add = (parents: ParentEdge['parents']) => {
		edges.push({kind, parents, ...(kind === 'each' && {start})});
		start += parents.count;
	};
	for (const [id, known] of ids.in(first, count)) add({ids: id, count: known});
	for (const [before, group] of page.slice(0, index + 1).entries()) {
		const [from, to] = [Math.max(first, group.start), Math.min(first + count, group.start + group.payloads.length)];
		if (to > from) add({groupsBefore: index - before, first: from - group.start, count: to - from});
	}
	return edges;
}
