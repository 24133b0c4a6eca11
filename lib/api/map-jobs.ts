import {type EnqueuedGroup, listIds} from '../job/group.ts';
import type {JobId} from '../job/job.ts';
import {checkKey} from '../job/options.ts';
import {pack} from '../job/packed-strings.ts';
import {keyConflict} from '../store/store.ts';
import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient, Watcher} from '../transport/client.ts';
import type {Notice} from '../transport/messages.ts';
import {IdSet, type MapBatch} from './map-batch.ts';
import type {MapPlan} from './map-options.ts';

/** An item of a map, and its job. */
export interface MapItem<Item> {
	/** Index in the input, from 0. */
	readonly index: number;
	readonly key: string;
	readonly item: Item;
	readonly jobId: JobId;
}

/** The map, as its jobs see it. */
interface MapJobsListener<Item> {
	/** @param reused true if the job had ended before this map began */
	ended(item: MapItem<Item>, end: Notice, reused: boolean): void;
	/** A group was answered: there is room for another. */
	answered(): void;
	failed(error: unknown): void;
}

interface UnderWay {
	readonly jobId: JobId;
	readonly watcher: Watcher;
	/** True if this map has made the job, false if it existed. */
	readonly isOwn: boolean;
}

/** The jobs of a map, from the message that enqueues them to their ends. */
export class MapJobs<Item> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	readonly #batch: MapBatch | undefined;
	readonly #listener: MapJobsListener<Item>;
	/** Jobs that are enqueued and have not ended, by index of their items. */
	readonly #underWay = new Map<number, UnderWay>();
	/** Groups that were sent and not answered. */
	readonly #unanswered = new Set<Promise<void>>();
	/** The first job that this map has made. Jobs with higher ids had not ended when the map began. */
	#firstMade: JobId | undefined;
	/** Jobs with lower ids that had not ended when this map began, or when it first enqueued their items. */
	readonly #unended = new IdSet();
	#sent = 0;
	#isLeft = false;

	constructor(client: DispatcherClient, plan: MapPlan<Item>, batch: MapBatch | undefined, listener: MapJobsListener<Item>) {
		this.#client = client;
		this.#plan = plan;
		this.#batch = batch;
		this.#listener = listener;
	}

	/** Number of items that were sent. */
	get sent(): number {
		return this.#sent;
	}

	/** Number of jobs that are enqueued and have not ended. */
	get underWay(): number {
		return this.#underWay.size;
	}

	/** Number of groups that were sent and not answered. */
	get unanswered(): number {
		return this.#unanswered.size;
	}

	/** Resolves once every group that was sent is answered. */
	async allAnswered(): Promise<void> {
		await Promise.all(this.#unanswered);
	}

	/**
	 * Sends the items to be enqueued, as one group.
	 * @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`, and errors of the functions `key` and `payload`
	 */
	enqueue(group: readonly Item[]): void {
		const {task, priority, runAt, delayMs, policy, rerun, toKey, hasKeys, toPayload, encode} = this.#plan;
		const start = this.#sent;
		const keys = group.map((item, index) => checkKey('map()', toKey(item, start + index)));
		const values = pack(group.map((item, index) => encode(toPayload(item, start + index))));
		this.#sent += group.length;
		const {promise, resolve} = Promise.withResolvers<void>();
		this.#unanswered.add(promise);
		const answered = (take: () => void) => {
			this.#unanswered.delete(promise);
			take();
			resolve();
			this.#listener.answered();
		};
		this.#client.send(
			{
				type: 'enqueue',
				group: {task, values, keys: hasKeys ? keys : undefined, batch: this.#batch?.id, rerun, priority, runAt, delayMs, policy},
				watch: true,
			},
			reply => answered(() => this.#watch(group, keys, start, reply as EnqueuedGroup)),
			error => answered(() => this.#listener.failed(error)),
		);
	}

	#watch(group: readonly Item[], keys: readonly string[], start: number, reply: EnqueuedGroup): void {
		const ids = listIds(reply.ids, group.length);
		const [conflict] = reply.conflicts ?? [];
		if (conflict !== undefined) {
			const {task, batch, rerun} = this.#plan;
			const job = {task, key: keys[conflict] as string, ...defined({rerun})};
			this.#listener.failed(keyConflict(job, ids[conflict] as JobId, adviceFor(batch)));
			return;
		}
		const reused = new Set(reply.reused);
		this.#firstMade ??= ids.find((_, offset) => !reused.has(offset));
		for (const [offset, item] of group.entries()) {
			const jobId = ids[offset] as JobId;
			if (this.#batch?.meet(jobId)) this.#unended.add(jobId);
			const isOwn = !reused.has(offset);
			const about = {index: start + offset, key: keys[offset] as string, item, jobId};
			const watcher: Watcher = end => this.#ended(about, isOwn, end);
			this.#underWay.set(about.index, {jobId, watcher, isOwn});
			if (!this.#isLeft) this.#client.watch(jobId, watcher);
		}
		// The loop was left while the group was under way. If this call fails, the engine is closed, and watches no job.
		if (this.#isLeft) this.#client.call({type: 'unwatch', ids}).catch(() => undefined);
	}

	#ended(about: MapItem<Item>, isOwn: boolean, end: Notice | FaenaError): void {
		this.#underWay.delete(about.index);
		if (end instanceof FaenaError) {
			this.#listener.failed(end);
			return;
		}
		const reused = end.earlier === true && about.jobId < (this.#firstMade ?? Infinity) && !this.#unended.has(about.jobId);
		if (!reused && !isOwn) this.#unended.add(about.jobId);
		this.#listener.ended(about, end, reused);
	}

	/** Ids of this map's jobs that have not ended. Without a batch, a job that existed is not this map's, and the map waits for it no longer. */
	async own(): Promise<JobId[]> {
		// Groups under way must be in the queue first, or their jobs would be missed.
		await this.allAnswered();
		for (const [index, {jobId, watcher, isOwn}] of this.#underWay) {
			if (isOwn || this.#batch) continue;
			this.#underWay.delete(index);
			this.#client.unwatch(jobId, watcher);
		}
		return [...this.#underWay.values()].map(({jobId}) => jobId);
	}

	/** Stops waiting for the jobs. They run on. */
	leave(): void {
		this.#isLeft = true;
		for (const {jobId, watcher} of this.#underWay.values()) this.#client.unwatch(jobId, watcher);
	}
}

function adviceFor(batch: string | undefined): string {
	const other = batch === undefined ? 'use another key' : 'give this map another batch name';
	return `If the input has changed, add the option changed: 'rerun', which runs such items again; or ${other}.`;
}
