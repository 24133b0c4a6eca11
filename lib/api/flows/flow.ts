import {bad, checkIterable, show} from '../../job/checks.ts';
import {encodeWithResults} from '../../job/encoding.ts';
import type {JobRef} from '../../job/job.ts';
import type {JobBuilder} from '../../job/new-job.ts';
import {checkId, checkKey} from '../../job/options.ts';
import type {JobOptions, PayloadOf, ProblemOf, ResultOf, TasksOf} from '../../job/task/task.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import {openFlow} from './enqueue-flow.ts';
import {structureOf, toGroups} from './flow-groups.ts';
import {FlowHandle} from './flow-handle.ts';
import {FlowJob, FlowMap, FlowNode, inOrder, type NodeOwner, type NodePlan, type Parent} from './flow-nodes.ts';

/** Options of a flow's job. Defaults are those of `enqueue`. @example const options: FlowJobOptions = {key: 'merge', onParentDead: 'run'}; */
export interface FlowJobOptions extends Omit<JobOptions, 'dependsOn' | 'unique'> {
	/** What it also waits for, besides the nodes in its payload: nodes of the flow, or jobs outside it, by handle or id. */
	readonly dependsOn?: readonly (FlowNode | JobRef)[];
}

/**
 * A payload, in which a {@link FlowJob} may stand for its result, and a {@link FlowMap} for the array of its results: instead of the payload, or of a
 * part of it.
 */
export type FlowInput<Payload> = Payload | FlowJob<Payload> | (Payload extends readonly (infer Item)[] ? FlowMap<Item> : never) | PartsOf<Payload>;

type PartsOf<Payload> = Payload extends WholeValue ? never : Payload extends object ? {readonly [Name in keyof Payload]: FlowInput<Payload[Name]>} : never;

/** Values without parts that could be results. */
type WholeValue = Date | ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | ArrayBufferLike | ArrayBufferView | Error;

type JobArgs<Tasks, Name extends keyof Tasks> =
	ProblemOf<Tasks[Name]> extends never
		? undefined extends PayloadOf<Tasks, Name>
			? [input?: FlowInput<PayloadOf<Tasks, Name>>, options?: FlowJobOptions]
			: [input: FlowInput<PayloadOf<Tasks, Name>>, options?: FlowJobOptions]
		: [problem: ProblemOf<Tasks[Name]>];

/**
 * Builds a flow: jobs that wait for each other, and get each other's results as payloads. All are enqueued together: no job of a flow runs before
 * all are in the queue. `engine.newFlow(name)` makes one.
 * @example
 * const flow = faena.newFlow('report');
 * const pages = flow.map('fetch', urls);
 * const merged = flow.job('merge', pages);
 * const run = await flow.enqueue();
 * console.log(await run.result(merged));
 */
export class Flow<Tasks> {
	/** The name of the flow, which is a batch. */
	readonly name: string;
	readonly #client: DispatcherClient;
	readonly #builder: JobBuilder;
	readonly #nodes: FlowNode[] = [];
	readonly #keys = new Set<string>();
	readonly #owner: NodeOwner = {
		addParents: (node, parents) => {
			this.#refuseIfEnqueued('dependsOn()');
			node.plan.parents.push(...this.#parents(parents));
		},
	};
	#run: Promise<FlowHandle> | undefined;

	/** @internal Use `engine.newFlow`. */
	constructor(client: DispatcherClient, builder: JobBuilder, name: string) {
		this.name = name;
		this.#client = client;
		this.#builder = builder;
	}

	/**
	 * Adds a job. It waits for all nodes in its payload. If one of them ends as dead or cancelled, it is cancelled; with `onParentDead: 'run'` it runs, and
	 * gets `undefined` in the place of that result.
	 * @throws FaenaError `UnknownTask`, `BadOption`, `InvalidPayload`, `NotEncodable`, `TooLarge`
	 * @example const page = flow.job('render', {template, data: merged, title: 'Report'});
	 */
	job<Name extends keyof TasksOf<Tasks> & string>(task: Name, ...[input, options]: JobArgs<Tasks, Name>): FlowJob<ResultOf<Tasks, Name>> {
		const {key, plan} = this.#plan('flow.job()', task, (options ?? {}) as FlowJobOptions);
		if (key !== undefined) this.#takeKey('flow.job()', key);
		const place = this.#placer(plan.parents);
		const others = plan.parents.length;
		const payload = encodeWithResults(input, 'payload', this.#builder.maxValueBytes, place);
		// A payload with results is whole only in a worker.
		if (plan.parents.length === others) this.#builder.check(input, task);
		return this.#add(FlowJob<ResultOf<Tasks, Name>>, {...plan, payloads: [payload], keys: key === undefined ? undefined : [key]});
	}

	/**
	 * Adds a job for each item of a collection. If the items are another map of the flow, it adds a job for each of that map's jobs, which waits for
	 * that job alone and has its result as payload.
	 * @throws as {@link job}
	 */
	map<Name extends keyof TasksOf<Tasks> & string>(
		task: Name,
		items: Iterable<PayloadOf<Tasks, Name>> | FlowMap<PayloadOf<Tasks, Name>>,
		options: Omit<FlowJobOptions, 'key'> & {
			/** Each job's key, unique in the flow. */
			readonly key?: (item: PayloadOf<Tasks, Name>, index: number) => string;
		} = {},
	): FlowMap<ResultOf<Tasks, Name>> {
		const {key: keyOf, ...others} = options;
		const {plan} = this.#plan('flow.map()', task, others);
		if (keyOf !== undefined && typeof keyOf !== 'function') throw bad(`flow.map() expects as key a function of an item and its index; it got ${show(keyOf)}`);
		if (items instanceof FlowMap) {
			if (keyOf) throw bad('flow.map() over another map of the flow has no option key: the items are not known yet');
			this.#own(items);
			plan.parents.unshift({node: items, kind: 'each'});
			const payload = encodeWithResults(items, 'payload', this.#builder.maxValueBytes, () => [0, null]);
			return this.#add(FlowMap<ResultOf<Tasks, Name>>, {...plan, payloads: new Array(items.size).fill(payload)});
		}
		if ((items as unknown) instanceof FlowNode)
			throw bad('flow.map() over the result of one job is not possible, since its length is not known; let that task enqueue the jobs with ctx.enqueue()');
		checkIterable('flow.map()', items);
		if (!(Symbol.iterator in items)) throw bad('flow.map() expects an iterable, such as an array; of an async iterable, read the items first');
		const all = [...items];
		const keys = keyOf && all.map((item, index) => this.#takeKey('flow.map()', checkKey('flow.map()', keyOf(item, index))));
		return this.#add(FlowMap<ResultOf<Tasks, Name>>, {...plan, payloads: all.map((item, index) => this.#builder.encode(item, task, index)), keys});
	}

	/**
	 * Enqueues all jobs. Resolves once they are durable. If a flow of this name exists, and has the same jobs, payloads and edges, this is that flow, and
	 * nothing is enqueued: so a program that was killed can be started again. What a killed program had not enqueued wholly is deleted, and enqueued anew.
	 * @throws FaenaError `BatchConflict` if the name belongs to another flow, or to a map; `BadOption` if jobs wait for each other in a circle;
	 *   `NoSuchJob`, `StorageFull`, `OutcomeUnknown`, `Closed`
	 */
	async enqueue(): Promise<FlowHandle> {
		this.#run ??= this.#enqueue();
		try {
			return await this.#run;
		} catch (error) {
			this.#run = undefined;
			throw error;
		}
	}

	async #enqueue(): Promise<FlowHandle> {
		const {groups, starts} = toGroups(inOrder(this.#nodes));
		const ids = await openFlow(this.#client, this.name, {groups, structure: structureOf(groups)});
		return new FlowHandle(this.#client, this.#builder, this.name, {starts, ids});
	}

	#plan(where: string, task: string, options: FlowJobOptions): {readonly key: string | undefined; readonly plan: Omit<NodePlan, 'payloads' | 'keys'>} {
		this.#refuseIfEnqueued(where);
		if (Object(options).unique !== undefined) throw bad(`${where} has no option unique: a flow's keys are its own`);
		const {dependsOn, onParentDead, ...others} = options;
		const {key, parents, ...resolved} = this.#builder.resolve(where, task, {...others, ...(onParentDead && {onParentDead, dependsOn: []})});
		return {key, plan: {task, options: resolved, onParentDead: onParentDead ?? 'cancel', parents: this.#parents(dependsOn ?? [])}};
	}

	#refuseIfEnqueued(where: string): void {
		if (this.#run) throw bad(`${where}: the flow ${JSON.stringify(this.name)} is enqueued already, so nothing can be added; make another flow`);
	}

	#parents(parents: readonly unknown[]): Parent[] {
		if (!Array.isArray(parents)) throw bad(`dependsOn expects an array of a flow's nodes, handles or ids; it got ${show(parents)}`);
		this.#builder.refuseForeign('A flow in dependsOn', parents);
		return parents.map((parent): Parent => {
			if (parent instanceof FlowNode) return {node: this.#own(parent), kind: 'all'};
			return {ids: [checkId(parent)], kind: 'all'};
		});
	}

	#own(node: FlowNode): FlowNode {
		if (node.owner === this.#owner) return node;
		throw bad(`A node of another flow can't be used in the flow ${JSON.stringify(this.name)}; name the job by its handle or id in dependsOn`);
	}

	/** Finds the nodes of a payload, and puts them before the other parents, in their order. */
	#placer(parents: Parent[]): (value: object) => readonly [index: number, count: number | null] | undefined {
		const places = new Map<FlowNode, readonly [index: number, count: number | null]>();
		let [nodes, jobs] = [0, 0];
		return value => {
			if (!(value instanceof FlowNode)) return undefined;
			const known = places.get(value);
			if (known) return known;
			const place = [jobs, value instanceof FlowMap ? value.size : null] as const;
			places.set(this.#own(value), place);
			parents.splice(nodes++, 0, {node: value, kind: 'all'});
			jobs += value.size;
			return place;
		};
	}

	#takeKey(where: string, key: string): string {
		if (this.#keys.has(key)) throw bad(`${where} got the key ${JSON.stringify(key)} a second time; a key names one job of the flow`);
		this.#keys.add(key);
		return key;
	}

	#add<Node extends FlowNode>(Kind: new (...args: ConstructorParameters<typeof FlowNode>) => Node, plan: NodePlan): Node {
		const node = new Kind(this.#owner, plan);
		this.#nodes.push(node);
		return node;
	}
}
