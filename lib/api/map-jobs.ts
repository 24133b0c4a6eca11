import {type Encoded, sameValue} from '../job/encoding.ts';
import {type EnqueuedGroup, listIds} from '../job/group.ts';
import type {BatchId, JobId, Place} from '../job/job.ts';
import {pack} from '../job/packed.ts';
import {keyConflict} from '../store/conflict-errors.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient, Watcher} from '../transport/client.ts';
import type {Notice, Verbs} from '../transport/messages.ts';
import type {MapPlan} from './map-options.ts';

/** An item of a map, and its job. */
export interface MapItem<Item> {
	/** Index in the input, from 0. */
	readonly index: number;
	readonly key: string;
	readonly item: Item;
	readonly jobId: JobId;
}

/** Notifications of a map about its jobs. */
interface MapJobsListener<Item> {
	/** @param reused true if the job had ended before this map began */
	ended(item: MapItem<Item>, end: Notice, reused: boolean): void;
	/** A group was answered: there is room for another. */
	answered(): void;
	failed(error: unknown): void;
}

/** Jobs that are listed in one call: usually all that an earlier map of the default window left unfinished. */
const MAX_PAGE_JOBS = 5000;
const UNENDED_STATUSES = ['pending', 'running', 'failed'] as const;

/** The flag of unfinished jobs of an earlier map that the input has not had yet. */
const MISSING = 1;
/** The flag of jobs that had not ended when this map began, or when it first enqueued their items. */
const UNENDED = 2;

/**
 * The jobs of a map, from the message that enqueues them to their ends, and its batch, if it has one. The map owns the batch from
 * {@link open} to {@link leave}. Jobs that an earlier map left unfinished, and that the input has not had when it ends, are the missing ones.
 */
export class MapJobs<Item> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	readonly #listener: MapJobsListener<Item>;
	/** Number of items that were sent. */
	sent = 0;
	/** Jobs that are enqueued and have not ended, by index of their items. `isOwn`: this map has made the job. */
	readonly underWay = new Map<number, {readonly jobId: JobId; readonly watcher: Watcher; readonly isOwn: boolean}>();
	/** With `changed: 'rerun'`: by key, the payloads of jobs that have not ended. */
	readonly #payloads = new Map<string, Encoded>();
	/** Groups that were sent and not answered. */
	readonly unanswered = new Set<Promise<void>>();
	/** The first job that this map has made. Jobs with higher ids had not ended when the map began. */
	#firstMade: JobId = Infinity;
	/** Jobs with lower ids: those {@link MISSING}, and those {@link UNENDED}. */
	readonly #flags = new IdFlags();
	#missing = 0;
	#opening: Promise<BatchId> | undefined;
	/** The batch, once it is open. */
	#batch: BatchId | undefined;
	#hasInputEnded = false;
	#isLeft = false;

	constructor(client: DispatcherClient, plan: MapPlan<Item>, listener: MapJobsListener<Item>) {
		this.#client = client;
		this.#plan = plan;
		this.#listener = listener;
	}

	/**
	 * Opens the batch, and finds its unfinished jobs.
	 * @throws FaenaError `BatchInUse`, `BatchConflict`, `Closed`
	 */
	async open(): Promise<void> {
		const {batch: name, group, batchOptions} = this.#plan;
		if (name === undefined) return;
		this.#opening = this.#client.verb('openBatch', name, group.task, batchOptions);
		this.#batch = await this.#opening;
		const {counts} = (await this.#client.verb('batch', name)) ?? {};
		if (!counts || UNENDED_STATUSES.every(status => counts[status] === 0)) return;
		for (let after: Place | null | undefined; after !== null; ) {
			const {jobs, next}: ReturnType<Verbs['jobs']> = await this.#client.verb('jobs', {batch: name, status: UNENDED_STATUSES}, {after, limit: MAX_PAGE_JOBS});
			for (const {id} of jobs) this.#flags.set(id, MISSING);
			this.#missing += jobs.length;
			after = next;
		}
	}

	/**
	 * Sends the items to be enqueued, as one group.
	 * @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict`, and errors of the functions `key` and `payload`
	 */
	enqueue(items: readonly Item[]): void {
		const {group, hasKeys, keyOf, encode} = this.#plan;
		const start = this.sent;
		const keys = items.map((item, index) => keyOf(item, start + index));
		const payloads = items.map((item, index) => encode(item, start + index));
		if (group.rerun?.changed) for (const [index, key] of keys.entries()) this.#keep(key, payloads[index] as Encoded);
		this.sent += items.length;
		const {promise, resolve} = Promise.withResolvers<void>();
		this.unanswered.add(promise);
		const answered = (take: () => void) => {
			this.unanswered.delete(promise);
			take();
			resolve();
			this.#listener.answered();
		};
		this.#client.send(
			{
				type: 'enqueue',
				group: {...group, values: pack(payloads), keys: hasKeys ? (this.#plan.isNumbered ? start : pack(keys)) : undefined, batch: this.#batch},
				watch: true,
			},
			reply => answered(() => this.#watch(items, keys, start, reply as EnqueuedGroup)),
			error => answered(() => this.#listener.failed(error)),
		);
	}

	/** Refuses a key that an item under way has with another payload: this item would take the other one's place. */
	#keep(key: string, payload: Encoded): void {
		const known = this.#payloads.get(key);
		if (known !== undefined && !sameValue(known, payload)) {
			const what = `Two items of this map have the key ${JSON.stringify(key)} and different payloads`;
			throw new FaenaError('KeyConflict', `${what}, so one would replace the other. Give each item a key of its own.`);
		}
		this.#payloads.set(key, payload);
	}

	#watch(items: readonly Item[], keys: readonly string[], start: number, {ids: given, reused: existing, conflicts}: EnqueuedGroup): void {
		const ids = listIds(given, items.length);
		const [conflict] = conflicts ?? [];
		if (conflict !== undefined) {
			const {group, batch} = this.#plan;
			const other = batch === undefined ? 'use another key' : 'give this map another batch name';
			const changed = `If the input has changed, add the option changed: 'rerun', which runs such items again; or ${other}.`;
			const advice = `${changed} If two items of this input have this key, give each a key of its own.`;
			this.#listener.failed(keyConflict({...group, key: keys[conflict] as string}, ids[conflict] as JobId, advice));
			return;
		}
		const reused = new Set(existing);
		for (const [offset, item] of items.entries()) {
			const jobId = ids[offset] as JobId;
			const isOwn = !reused.has(offset);
			if (isOwn) this.#firstMade = Math.min(this.#firstMade, jobId);
			if (this.#flags.get(jobId) === MISSING) {
				this.#flags.set(jobId, UNENDED);
				this.#missing--;
			}
			const about = {index: start + offset, key: keys[offset] as string, item, jobId};
			const watcher: Watcher = end => this.#ended(about, isOwn, end);
			this.underWay.set(about.index, {jobId, watcher, isOwn});
			if (!this.#isLeft) this.#client.watch(jobId, watcher);
		}
		// The loop was left while the group was under way. If this call fails, the engine is closed, and watches no job.
		if (this.#isLeft) this.#client.call({type: 'unwatch', ids}).catch(() => undefined);
	}

	#ended(about: MapItem<Item>, isOwn: boolean, end: Notice | FaenaError): void {
		this.underWay.delete(about.index);
		this.#payloads.delete(about.key);
		if (end instanceof FaenaError) {
			this.#listener.failed(end);
			return;
		}
		const reused = end.earlier === true && about.jobId < this.#firstMade && this.#flags.get(about.jobId) !== UNENDED;
		if (!reused && !isOwn) this.#flags.set(about.jobId, UNENDED);
		this.#listener.ended(about, end, reused);
	}

	/** Resolves once every group that was sent is answered. */
	async allAnswered(): Promise<void> {
		await Promise.all(this.unanswered);
	}

	/** Ids of this map's jobs that have not ended. Without a batch, a job that existed is not this map's, and the map waits for it no longer. */
	async own(): Promise<JobId[]> {
		// Groups under way must be in the queue first, or their jobs would be missed.
		await this.allAnswered();
		for (const [index, {jobId, watcher, isOwn}] of this.underWay) {
			if (isOwn || this.#plan.batch !== undefined) continue;
			this.underWay.delete(index);
			this.#client.unwatch(jobId, watcher);
		}
		return [...this.underWay.values()].map(({jobId}) => jobId);
	}

	/**
	 * Ends the input of the batch, and handles the jobs that are missing from it. Returns their number. It stops once the map has left
	 * the batch, since another map may own it then.
	 * @throws FaenaError `NoSuchBatch` if the batch was deleted meanwhile, `BatchInUse` if another map owns it
	 */
	async endInput(): Promise<number> {
		if (this.#batch === undefined) return 0;
		await this.#settleMissing();
		if (this.#isLeft) return 0;
		this.#hasInputEnded = await this.#client.verb('endInput', this.#batch, this.sent);
		if (this.#hasInputEnded) return this.#missing;
		const what = `This engine was silent for so long that another map took over its batch ${JSON.stringify(this.#plan.batch)}.`;
		const inUse = new FaenaError('BatchInUse', `${what} Let that map end, then start this one again: it goes on with the batch.`);
		throw (await this.batchDeleted()) ?? inUse;
	}

	async #settleMissing(): Promise<void> {
		const {missing} = this.#plan;
		if (missing === 'keep') return;
		for (const ids of this.#flags.pages(MISSING)) {
			if (this.#isLeft) return;
			if (missing === 'cancel') await this.#client.verb('cancel', {ids});
			else await this.#client.verb('discard', ids, {stop: true});
		}
	}

	/** The error for the map if its batch was deleted; `undefined` if it was not. */
	async batchDeleted(): Promise<FaenaError | undefined> {
		const name = this.#plan.batch as string;
		const batch = await this.#client.verb('batch', name);
		if (this.#batch === undefined || batch?.id === this.#batch) return undefined;
		const what = `The batch ${JSON.stringify(name)} was deleted while this map of it was under way.`;
		return new FaenaError('NoSuchBatch', `${what} Start the map again to begin a new batch.`);
	}

	/**
	 * Stops waiting for the jobs, which run on, and frees the batch, so that the next map of it can begin. If every result was yielded, the
	 * batch is also closed, and `cleanup()` may delete its jobs. It is not closed if jobs that were missing from the input were kept: their
	 * results were not yielded.
	 * @param isDone true if the loop came to its end
	 */
	async leave({isDone}: {readonly isDone: boolean}): Promise<void> {
		this.#isLeft = true;
		for (const {jobId, watcher} of this.underWay.values()) this.#client.unwatch(jobId, watcher);
		if (this.#plan.batch === undefined) return;
		await this.allAnswered();
		const id = await this.#opening?.catch(() => undefined);
		if (id === undefined) return;
		const hasAll = isDone && this.#hasInputEnded && (this.#plan.missing !== 'keep' || this.#missing === 0);
		try {
			await this.#client.verb(hasAll ? 'closeBatch' : 'leaveBatch', id);
		} catch (error) {
			// The dispatcher tries again; or it has ended, which frees the batch, too. The loop's own error tells more.
			if (isDone) throw error;
		}
	}
}

const IDS_PER_PAGE = 1024;

/** A flag of each job id, in pages: ten million ids that lie close together take ten megabytes. */
export class IdFlags {
	readonly #pages = new Map<number, Uint8Array>();

	/** 0 if it was not set. */
	get(id: JobId): number {
		return this.#pages.get(Math.floor(id / IDS_PER_PAGE))?.[id % IDS_PER_PAGE] ?? 0;
	}

	set(id: JobId, flag: number): void {
		const page = Math.floor(id / IDS_PER_PAGE);
		const flags = this.#pages.get(page) ?? new Uint8Array(IDS_PER_PAGE);
		flags[id % IDS_PER_PAGE] = flag;
		this.#pages.set(page, flags);
	}

	/** The ids with this flag, at most {@link IDS_PER_PAGE} at a time. */
	*pages(flag: number): Generator<JobId[]> {
		for (const [page, flags] of this.#pages) {
			const ids = [...flags.keys()].filter(index => flags[index] === flag).map(index => page * IDS_PER_PAGE + index);
			if (ids.length > 0) yield ids;
		}
	}
}
