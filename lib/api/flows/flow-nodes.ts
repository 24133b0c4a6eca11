import {bad} from '../../job/checks.ts';
import type {Encoded} from '../../job/encoding.ts';
import type {JobId, JobRef} from '../../job/job.ts';
import type {ResolvedJobOptions} from '../../job/options.ts';
import type {OnParentDead} from '../../job/parents.ts';

declare const RESULT: unique symbol;

/** What a node is, and for what it waits. */
export interface NodePlan {
	readonly task: string;
	readonly options: Omit<ResolvedJobOptions, 'key' | 'parents'>;
	readonly onParentDead: OnParentDead;
	/** The payloads, encoded: one for each job. */
	readonly payloads: readonly Encoded[];
	/** A key for each job. */
	readonly keys?: readonly string[] | undefined;
	/** What it waits for. Those in its payload come first. */
	readonly parents: Parent[];
}

/** Jobs for which those of a node wait: each for all of these, or the first for the first, the second for the second, and so on. */
export type Parent = {readonly node: FlowNode; readonly kind: 'all' | 'each'} | {readonly ids: readonly JobId[]; readonly kind: 'all'};

/** The flow of a node. */
export interface NodeOwner {
	/** Checks and adds what {@link FlowNode.dependsOn} got. */
	addParents(node: FlowNode, parents: readonly unknown[]): void;
}

/** Jobs of a flow: what `flow.job()` and `flow.map()` return.
 * @example const before: readonly FlowNode[] = [flow.job('first', {}), flow.job('second', {})]; */
export class FlowNode {
	/** @internal */
	readonly plan: NodePlan;
	/** @internal Tells the nodes of different flows apart. */
	readonly owner: NodeOwner;

	/** @internal Use `flow.job` and `flow.map`. */
	constructor(owner: NodeOwner, plan: NodePlan) {
		this.owner = owner;
		this.plan = plan;
	}

	/** @internal The number of its jobs. */
	get size(): number {
		return this.plan.payloads.length;
	}

	/** @internal A node in a text would be no result. */
	[Symbol.toPrimitive](): never {
		throw bad(
			`A node of a flow has no value while the flow is built; pass the node itself as the payload, or as a part of it, to a job of task ${this.plan.task}`,
		);
	}

	/**
	 * Its jobs also wait for these: other nodes of the flow, also such as were made later, and jobs outside it, by handle or id.
	 * @throws FaenaError `BadOption`
	 */
	dependsOn(...parents: readonly (FlowNode | JobRef)[]): this {
		this.owner.addParents(this, parents);
		return this;
	}
}

/** One job of a flow. In the payload of another one it stands for its result. @example const merged: FlowJob<string> = flow.job('merge', {}); */
export class FlowJob<Result = unknown> extends FlowNode {
	/** Tells it from a {@link FlowMap}. */
	readonly kind = 'job';
	/** Only for TypeScript: the type of the result. */
	declare readonly [RESULT]?: Result;
}

/** Jobs of a flow, one for each item. In the payload of another one it stands for the array of their results; as the items of a map, for each result.
 * @example const pages: FlowMap<string> = flow.map('fetch', urls); */
export class FlowMap<Result = unknown> extends FlowNode {
	/** Tells it from a {@link FlowJob}. */
	readonly kind = 'map';
	/** Only for TypeScript: the type of the result. */
	declare readonly [RESULT]?: Result;
}

/** The nodes, each after those for which it waits, or else as they were made. @throws FaenaError `BadOption` if some wait for each other, with their names */
export function inOrder(nodes: readonly FlowNode[]): readonly FlowNode[] {
	const places = new Map(nodes.map((node, index) => [node, index]));
	const isAfter = (node: FlowNode, parent: FlowNode) => (places.get(parent) as number) < (places.get(node) as number);
	if (nodes.every(node => node.plan.parents.every(parent => !('node' in parent) || isAfter(node, parent.node)))) return nodes;
	const ordered = new Set<FlowNode>();
	for (const start of nodes) visit(start, ordered, nodes);
	return [...ordered];
}

/** Adds the node after those for which it waits. It keeps a stack of its own: a chain may have 10,000 nodes. */
function visit(start: FlowNode, ordered: Set<FlowNode>, all: readonly FlowNode[]): void {
	const path: {readonly node: FlowNode; readonly left: FlowNode[]}[] = [];
	const onPath = new Set<FlowNode>();
	const enter = (node: FlowNode) => {
		path.push({node, left: node.plan.parents.flatMap(parent => ('node' in parent ? parent.node : [])).reverse()});
		onPath.add(node);
	};
	if (!ordered.has(start)) enter(start);
	for (let top = path.at(-1); top; top = path.at(-1)) {
		const next = top.left.pop();
		if (next && onPath.has(next)) throw cycle([...path.slice(path.findIndex(({node}) => node === next)).map(({node}) => node), next], all);
		if (next && !ordered.has(next)) enter(next);
		if (next) continue;
		ordered.add(top.node);
		onPath.delete(top.node);
		path.pop();
	}
}

const MAX_NAMED = 10;

function cycle(nodes: readonly FlowNode[], all: readonly FlowNode[]): Error {
	const names = nodes.map(node => nameOf(node, all));
	const shown = names.length <= MAX_NAMED ? names : [...names.slice(0, MAX_NAMED - 1), '…', names.at(-1)];
	return bad(`These jobs of the flow would wait for each other for ever: ${shown.join(' → ')}. Each arrow reads "waits for"; leave one of them out.`);
}

/** The task of the node, with its key, or if there are several of the task, with its place among these. */
function nameOf(node: FlowNode, all: readonly FlowNode[]): string {
	const {task, keys} = node.plan;
	if (keys?.length === 1) return `${task} (${keys[0]})`;
	const ofTask = all.filter(({plan}) => plan.task === task);
	return ofTask.length > 1 ? `${task} #${ofTask.indexOf(node) + 1}` : task;
}
