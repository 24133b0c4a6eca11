import {abortSignal, bad, checked, duration} from '../../job/checks.ts';
import {listIds} from '../../job/groups/group.ts';
import type {Counts, JobId} from '../../job/job.ts';
import {UNENDED_STATUSES} from '../../job/job.ts';
import type {JobBuilder} from '../../job/new-job.ts';
import {pages} from '../../job/search.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import type {Notice} from '../../transport/messages.ts';
import {BatchHandle, JobHandle, toOutcome, toResult, type WaitOptions, waitForEnd} from '../handles.ts';
import type {FlowIds} from './flow-groups.ts';
import {FlowJob, type FlowMap, type FlowNode} from './flow-nodes.ts';

/** What a run needs of its flow. */
interface EnqueuedFlow {
	readonly name: string;
	/** The number of each node's first job. */
	readonly starts: ReadonlyMap<FlowNode, number>;
	readonly ids: FlowIds;
}

/** {@link WaitOptions}, checked: the time in milliseconds. */
type CheckedWait = Parameters<typeof waitForEnd>[2];

/** Returns a function that returns the same wait, with the time that is left of it. */
function timeLeft(wait: CheckedWait): () => CheckedWait {
	const until = performance.now() + (wait.timeout ?? Infinity);
	return () => (wait.timeout === undefined ? wait : {...wait, timeout: Math.max(0, until - performance.now())});
}

/** Jobs that are awaited together. */
const MAX_AWAITED = 1000;

/** A flow in the queue. It is a batch: `faena.batch(name)` finds it, too, in another program. */
export class FlowRun extends BatchHandle {
	readonly #client: DispatcherClient;
	readonly #builder: JobBuilder;
	readonly #flow: EnqueuedFlow;

	/** @internal Use `flow.enqueue`. */
	constructor(client: DispatcherClient, builder: JobBuilder, flow: EnqueuedFlow) {
		super(client, flow.name);
		this.#client = client;
		this.#builder = builder;
		this.#flow = flow;
	}

	/** The handle of a job of the flow. */
	job<Result>(node: FlowJob<Result>): JobHandle<Result> {
		return new JobHandle(this.#client, this.#builder, this.ids(node)[0] as JobId, node.plan.task, false);
	}

	/** The ids of a node's jobs, in order. */
	ids(node: FlowNode): readonly JobId[] {
		const start = this.#flow.starts.get(node);
		if (start === undefined) throw bad(`This is no node of the flow ${JSON.stringify(this.name)}`);
		return this.#flow.ids.in(start, node.size).flatMap(([first, count]) => listIds(first, count));
	}

	/**
	 * Resolves with the result of a job, or with an array of the results of a map's jobs.
	 * @throws as {@link JobHandle.result}, for the first job that did not complete
	 */
	async result<Result>(node: FlowJob<Result>, options?: WaitOptions): Promise<Result>;
	async result<Result>(node: FlowMap<Result>, options?: WaitOptions): Promise<Result[]>;
	async result(node: FlowNode, options?: WaitOptions): Promise<unknown> {
		if (node instanceof FlowJob) return this.job(node).result(options);
		const wait = checked('result()', options, {timeout: duration, signal: abortSignal});
		const ids = this.ids(node);
		const left = timeLeft(wait);
		const results: unknown[] = [];
		for (let start = 0; start < ids.length; start += MAX_AWAITED) {
			const page = ids.slice(start, start + MAX_AWAITED);
			for (const end of await this.#awaitAll(page, left())) results.push(toResult(end.id, node.plan.task, toOutcome(end)));
		}
		return results;
	}

	/**
	 * Resolves once all jobs of the flow have ended, with their numbers by status. Rejects only if the wait itself ends, or the flow was deleted.
	 * @throws FaenaError `WaitTimeout`, `NoSuchBatch`, `Closed`
	 */
	async ended(options?: WaitOptions): Promise<Counts> {
		const wait: CheckedWait = checked('ended()', options, {timeout: duration, signal: abortSignal});
		const left = timeLeft(wait);
		for (let isOver = false; ; ) {
			const batch = await this.#client.verb('batch', this.name);
			if (!batch) throw new FaenaError('NoSuchBatch', `The flow ${JSON.stringify(this.name)} was deleted.`);
			if (batch.completedAt !== undefined || isOver) return batch.counts;
			const ids = await this.#unended();
			await this.#awaitAll(ids, left());
			// All have ended: its numbers are read once more.
			isOver = ids.length === 0;
		}
	}

	/** Some of its jobs that have not ended. */
	async #unended(): Promise<readonly JobId[]> {
		const search = {batch: this.name, status: UNENDED_STATUSES};
		for await (const {jobs} of pages(after => this.#client.verb('jobs', search, {after, limit: MAX_AWAITED})))
			if (jobs.length > 0) return jobs.map(({id}) => id);
		return [];
	}

	#awaitAll(ids: readonly JobId[], wait: CheckedWait): Promise<Notice[]> {
		const watched = this.#client.call({type: 'watch', ids});
		return Promise.all(ids.map(id => waitForEnd(this.#client, id, wait, watched)));
	}
}
