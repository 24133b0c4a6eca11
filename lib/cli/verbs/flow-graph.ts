import type {JobId, JobStatus} from '../../index.ts';
import type {JobRange, StoredJob} from '../../store.ts';

/** Jobs of a flow that are alike: of one task, with consecutive places in the flow, that wait for others in the same way. */
export interface GraphNode {
	readonly task: string;
	/** Of a node with one job. */
	readonly key?: string | undefined;
	readonly first: JobId;
	last: JobId;
	jobs: number;
	readonly statuses: Map<JobStatus, number>;
	/** The number of its jobs that are stale. */
	stale: number;
	/** The nodes for which it waits, by index. A chain of jobs waits for itself. */
	parents: readonly number[];
	/** Jobs outside the flow for which it waits. */
	outside: readonly JobId[];
	/** True if the first job waits for the first parent, the second for the second, and so on. */
	isEach: boolean;
}

/** The parents of the first and of the last job that were added to a node. */
interface Ends {
	readonly first: readonly JobRange[];
	last: readonly JobRange[];
}

/** Gathers the jobs of a flow, which are added in the order of their ids, into nodes. */
export class FlowGraph {
	readonly nodes: GraphNode[] = [];
	readonly #ends: Ends[] = [];
	/** Jobs of earlier nodes, by id: those outside the flow are not here. */
	readonly #ids: JobId[] = [];

	add({id, task, key, status, stale, edges}: StoredJob): void {
		const parents = edges?.parents ?? [];
		let [node, ends] = [this.nodes.at(-1), this.#ends.at(-1)];
		this.#ids.push(id);
		const how = node && ends && node.task === task && key === undefined && node.key === undefined ? continues(node, ends, parents) : undefined;
		if (!node || !ends || how === undefined) {
			node = {...{task, key, first: id, last: id, jobs: 0, stale: 0, isEach: false}, statuses: new Map(), parents: [], outside: []};
			ends = {first: parents, last: parents};
			this.nodes.push(node);
			this.#ends.push(ends);
		}
		node.isEach = how === 'each';
		node.last = id;
		node.jobs++;
		if (stale) node.stale++;
		node.statuses.set(status, (node.statuses.get(status) ?? 0) + 1);
		ends.last = parents;
	}

	/** Finds the parents of the nodes, once all jobs are added. */
	connect(): readonly GraphNode[] {
		const own = new Set(this.#ids);
		for (const [index, node] of this.nodes.entries()) {
			const {first, last} = this.#ends[index] as Ends;
			const ranges = first.map(([from, to], at) => [from, node.isEach ? ((last[at] as JobRange)[1] ?? to) : to] as const);
			node.parents = [...new Set(ranges.flatMap(range => this.#nodesIn(range)))];
			node.outside = first.flatMap(([from, to]) => (own.has(from) || own.has(to) ? [] : [from]));
		}
		return this.nodes;
	}

	#nodesIn([from, to]: JobRange): number[] {
		const found: number[] = [];
		for (let index = this.#firstEndingAt(from); index < this.nodes.length && (this.nodes[index] as GraphNode).first <= to; index++) found.push(index);
		return found;
	}

	/** The index of the first node whose last job has this id or a higher one. */
	#firstEndingAt(id: JobId): number {
		let [low, high] = [0, this.nodes.length];
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.nodes[middle] as GraphNode).last < id) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}

/** How a next job with these parents waits as the node does; `undefined` if it does not. */
function continues({jobs, isEach}: GraphNode, {last}: Ends, parents: readonly JobRange[]): 'all' | 'each' | undefined {
	if (last.length !== parents.length) return undefined;
	const shifts = parents.map(([from, to], at) => {
		const [first, end] = last[at] as JobRange;
		if (from === first && to === end) return 'all';
		return from === to && first === end && from === first + 1 ? 'each' : undefined;
	});
	if (shifts.includes(undefined)) return undefined;
	const how = shifts.includes('each') ? 'each' : 'all';
	return jobs === 1 || how === (isEach ? 'each' : 'all') ? how : undefined;
}
