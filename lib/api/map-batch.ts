import type {BatchOptions} from '../job/batch.ts';
import type {BatchId, Job, JobId} from '../job/job.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient} from '../transport/client.ts';

export interface MapBatchPlan {
	readonly name: string;
	readonly task: string;
	readonly onComplete: BatchOptions['onComplete'];
	/** What happens to unfinished jobs whose items are not in the input. */
	readonly missing: 'keep' | 'cancel' | 'delete';
}

/** Jobs that are listed in one call: usually all that an earlier map of the default window left unfinished. */
const MAX_PAGE_JOBS = 5000;
const UNENDED = ['pending', 'running', 'failed'] as const;

/**
 * The batch of a map. The map owns it from {@link open} to {@link leave}. The batch knows which jobs an earlier map left
 * unfinished. Those that the input has not had when it ends are the missing ones.
 */
export class MapBatch {
	readonly #client: DispatcherClient;
	readonly #plan: MapBatchPlan;
	/** Unfinished jobs of an earlier map that the input has not had yet. */
	readonly #unmet = new IdSet();
	#opening: Promise<BatchId> | undefined;
	#id: BatchId | undefined;
	#hasInputEnded = false;
	#isLeft = false;

	constructor(client: DispatcherClient, plan: MapBatchPlan) {
		this.#client = client;
		this.#plan = plan;
	}

	/** `undefined` before it is open. */
	get id(): BatchId | undefined {
		return this.#id;
	}

	/** @throws FaenaError `BatchInUse`, `BatchConflict`, `Closed` */
	async open(): Promise<void> {
		const {name, task, onComplete} = this.#plan;
		this.#opening = this.#client.verb('openBatch', name, task, onComplete && {onComplete});
		this.#id = await this.#opening;
		const {counts} = (await this.#client.verb('batch', name)) ?? {};
		if (counts && UNENDED.some(status => counts[status] > 0)) await this.#findUnended();
	}

	async #findUnended(): Promise<void> {
		const filter = {batch: this.#plan.name, status: UNENDED};
		for (let after: JobId | undefined = 0; after !== undefined; ) {
			const page: readonly Job[] = await this.#client.verb('jobs', filter, {after, limit: MAX_PAGE_JOBS});
			for (const {id} of page) this.#unmet.add(id);
			after = page.length < MAX_PAGE_JOBS ? undefined : page.at(-1)?.id;
		}
	}

	/** The input has the item of this job. Returns true the first time, if an earlier map left the job unfinished. */
	meet(id: JobId): boolean {
		return this.#unmet.delete(id);
	}

	/**
	 * Ends the input, and handles the jobs that are missing from it. Returns their number. It stops once the map has left the batch,
	 * since another map may own it then.
	 * @throws FaenaError `NoSuchBatch` if the batch was deleted meanwhile, `BatchInUse` if another map owns it
	 */
	async endInput(items: number): Promise<number> {
		await this.#settleMissing();
		if (this.#isLeft) return 0;
		if (!(await this.#client.verb('endInput', this.#id as BatchId, items))) throw await this.#lost();
		this.#hasInputEnded = true;
		return this.#unmet.size;
	}

	async #settleMissing(): Promise<void> {
		const {missing} = this.#plan;
		if (missing === 'keep') return;
		for (const ids of this.#unmet.pages()) {
			if (this.#isLeft) return;
			if (missing === 'cancel') await this.#client.verb('cancel', {ids});
			else await this.#client.verb('discard', ids, {stop: true});
		}
	}

	async #lost(): Promise<FaenaError> {
		const deleted = await this.deleted();
		if (deleted) return deleted;
		const name = JSON.stringify(this.#plan.name);
		const what = `This engine was silent for so long that another map took over its batch ${name}.`;
		return new FaenaError('BatchInUse', `${what} Let that map end, then start this one again: it goes on with the batch.`);
	}

	/** The error for the map if its batch was deleted; `undefined` if it was not. */
	async deleted(): Promise<FaenaError | undefined> {
		const {name} = this.#plan;
		const batch = await this.#client.verb('batch', name);
		if (this.#id === undefined || batch?.id === this.#id) return undefined;
		const what = `The batch ${JSON.stringify(name)} was deleted while this map of it was under way.`;
		return new FaenaError('NoSuchBatch', `${what} Start the map again to begin a new batch.`);
	}

	/**
	 * Frees the batch for the next map. If every result was yielded, the batch is also closed, and `cleanup()` may delete its jobs. It
	 * is not closed if jobs that were missing from the input were kept: their results were not yielded.
	 * @param isDone true if the loop came to its end
	 */
	async leave({isDone}: {readonly isDone: boolean}): Promise<void> {
		this.#isLeft = true;
		const id = await this.#opening?.catch(() => undefined);
		if (id === undefined) return;
		const hasAll = isDone && this.#hasInputEnded && (this.#plan.missing !== 'keep' || this.#unmet.size === 0);
		await this.#client.verb(hasAll ? 'closeBatch' : 'leaveBatch', id);
	}
}

const IDS_PER_PAGE = 4096;

/** A set of job ids as pages of bits: ten million ids that lie close together take little more than a megabyte. */
export class IdSet {
	readonly #pages = new Map<number, Uint8Array>();
	#size = 0;

	get size(): number {
		return this.#size;
	}

	add(id: JobId): void {
		if (this.has(id)) return;
		const page = Math.floor(id / IDS_PER_PAGE);
		const bits = this.#pages.get(page) ?? new Uint8Array(IDS_PER_PAGE / 8);
		this.#pages.set(page, bits);
		this.#flip(bits, id);
		this.#size++;
	}

	/** Returns false if the set does not have the id. */
	delete(id: JobId): boolean {
		if (!this.has(id)) return false;
		this.#flip(this.#pages.get(Math.floor(id / IDS_PER_PAGE)) as Uint8Array, id);
		this.#size--;
		return true;
	}

	has(id: JobId): boolean {
		const bit = id % IDS_PER_PAGE;
		const byte = this.#pages.get(Math.floor(id / IDS_PER_PAGE))?.[bit >> 3] ?? 0;
		return (byte & (1 << (bit & 7))) !== 0;
	}

	/** The ids, at most {@link IDS_PER_PAGE} at a time. */
	*pages(): Generator<JobId[]> {
		for (const page of this.#pages.keys()) {
			const first = page * IDS_PER_PAGE;
			const ids = Array.from({length: IDS_PER_PAGE}, (_, index) => first + index).filter(id => this.has(id));
			if (ids.length > 0) yield ids;
		}
	}

	#flip(bits: Uint8Array, id: JobId): void {
		const bit = id % IDS_PER_PAGE;
		bits[bit >> 3] = (bits[bit >> 3] as number) ^ (1 << (bit & 7));
	}
}
