import {bad, show} from '../../job/checks.ts';
import {listIds} from '../../job/groups/group.ts';
import type {JobId, JobRecord} from '../../job/job.ts';
import type {JobBuilder} from '../../job/new-job.ts';
import {noSuchBatch} from '../../store/conflict-errors.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import {BatchHandle} from '../batch-handle.ts';
import {JobHandle, toResult} from '../job-handle.ts';
import {checkWait, MAX_AWAITED, timeLeft, type WaitOptions, waitForEnds} from '../wait.ts';
import type {FlowIds} from './flow-groups.ts';
import {FlowJob, type FlowMap, type FlowNode} from './flow-nodes.ts';

/** What a handle knows of the flow that its program has built. */
interface EnqueuedFlow {
	/** The number of each node's first job. */
	readonly starts: ReadonlyMap<FlowNode, number>;
	readonly ids: FlowIds;
}

/**
 * A flow in the queue, of this program or another: a batch, whose results can be awaited by name. The handle that `newFlow().enqueue()` returns also
 * takes the nodes of that flow.
 * @example const report = await faena.flow('report').result('merge');
 */
export class FlowHandle extends BatchHandle {
	readonly #builder: JobBuilder;
	readonly #built: EnqueuedFlow | undefined;

	/** @internal Use `engine.flow`, or `enqueue` of a flow. */
	constructor(client: DispatcherClient, builder: JobBuilder, name: string, built?: EnqueuedFlow) {
		super(client, name);
		this.#builder = builder;
		this.#built = built;
	}

	/** The handle of a job of the flow that this program has built. */
	job<Result>(node: FlowJob<Result>): JobHandle<Result> {
		return new JobHandle(this.client, this.#builder, this.ids(node)[0] as JobId, {reused: false, task: node.plan.task});
	}

	/** The ids of a node's jobs, in order. */
	ids(node: FlowNode): readonly JobId[] {
		const start = this.#built?.starts.get(node);
		if (start === undefined) throw bad(`This is no node of the flow ${JSON.stringify(this.name)}, as this program has built it`);
		return (this.#built as EnqueuedFlow).ids.in(start, node.size).flatMap(([first, count]) => listIds(first, count));
	}

	/**
	 * Resolves with the result of a job; of a node that is a map, with an array of the results of its jobs.
	 * @param job a node of the flow that this program has built; or the key of a job, or the name of a task of which the flow has one job
	 * @throws as {@link JobHandle.result}, for the first job that did not complete; `NoSuchBatch`, `NoSuchJob`
	 * @example const report = await faena.flow('report').result('merge', {timeout: '1m'});
	 */
	async result<Result>(job: FlowJob<Result>, options?: WaitOptions): Promise<Result>;
	async result<Result>(job: FlowMap<Result>, options?: WaitOptions): Promise<Result[]>;
	async result(job: string, options?: WaitOptions): Promise<unknown>;
	async result(job: FlowNode | string, options?: WaitOptions): Promise<unknown> {
		if (typeof job === 'string') return (await this.#find(job)).result(options);
		if (job instanceof FlowJob) return this.job(job).result(options);
		const left = timeLeft(checkWait('result()', options));
		const ids = this.ids(job);
		const results: unknown[] = [];
		for (let start = 0; start < ids.length; start += MAX_AWAITED) {
			const ends = await waitForEnds(this.client, ids.slice(start, start + MAX_AWAITED), left());
			for (const end of ends) results.push(toResult(end, job.plan.task));
		}
		return results;
	}

	/** The job with the key, or else the only job of the task. */
	async #find(name: string): Promise<JobHandle> {
		const [job, another] = (await this.#search({key: name}, 1)).concat(await this.#search({task: name}, 2));
		if (job === undefined) {
			if ((await this.info()) === undefined) throw noSuchBatch(this.name);
			throw new FaenaError('NoSuchJob', `The flow ${show(this.name)} has no job with the key ${show(name)}, and none of a task of this name.`);
		}
		if (another !== undefined && job.key !== name)
			throw bad(`The flow ${show(this.name)} has several jobs of the task ${show(name)}; give one of them a key, and name that`);
		return new JobHandle(this.client, this.#builder, job.id, {reused: true, task: job.task});
	}

	async #search(what: {readonly key?: string; readonly task?: string}, limit: number): Promise<readonly JobRecord[]> {
		return (await this.client.verb('jobs', {batch: this.name, ...what}, {limit})).jobs;
	}
}
