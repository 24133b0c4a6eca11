import type {BatchOptions} from '../job/batch.ts';
import type {BatchId, Job, JobId} from '../job/job.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import {IdSet} from './id-set.ts';

export interface MapBatchPlan {
	readonly name: string;
	readonly task: string;
	readonly onComplete: BatchOptions['onComplete'];
	/** What becomes of unfinished jobs whose items are not in the input. */
	readonly missing: 'keep' | 'cancel' | 'delete';
}

/** Jobs that are looked at, cancelled or deleted in one call: usually all that a window had left. */
const PAGE = 5000;
const UNENDED = ['pending', 'running', 'failed'] as const;

/**
 * The batch of a map, which has it for itself from {@link open} to {@link leave}. It knows which jobs an earlier map left
 * unfinished and this one has not met in its input yet; at the end of the input those are the missing ones.
 */
export class MapBatch {
	readonly #client: DispatcherClient;
	readonly #plan: MapBatchPlan;
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
			const page: readonly Job[] = await this.#client.verb('jobs', filter, {after, limit: PAGE});
			for (const {id} of page) this.#unmet.add(id);
			after = page.length < PAGE ? undefined : page.at(-1)?.id;
		}
	}

	/** The job is one of the input's. True when it is met for the first time, and an earlier map had left it unfinished. */
	meet(id: JobId): boolean {
		return this.#unmet.delete(id);
	}

	/**
	 * Ends the input, and deals with the jobs that are missing in it. Returns how many there are. Does no more once the map has
	 * left the batch, which may be another's then.
	 * @throws FaenaError `NoSuchBatch`, `BatchInUse` if the batch was deleted or lost meanwhile
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
			else await this.#client.verb('withdraw', ids, {stop: true});
		}
	}

	async #lost(): Promise<FaenaError> {
		const deleted = await this.deleted();
		if (deleted) return deleted;
		const name = JSON.stringify(this.#plan.name);
		const what = `This engine was silent for so long that another map took over its batch ${name}.`;
		return new FaenaError('BatchInUse', `${what} Let that map end. The same map again goes on with it.`);
	}

	/** What the map ends with if its batch was deleted. */
	async deleted(): Promise<FaenaError | undefined> {
		const {name} = this.#plan;
		const batch = await this.#client.verb('batch', name);
		if (this.#id === undefined || batch?.id === this.#id) return undefined;
		const what = `The batch ${JSON.stringify(name)} was deleted while this map of it was under way.`;
		return new FaenaError('NoSuchBatch', `${what} The same map again begins it anew.`);
	}

	/**
	 * Lets the next map have the batch. Where every result was yielded, `cleanup()` may take it, too: kept jobs that were
	 * missing from the input have results that nobody had yet.
	 * @param isDone the loop came to its end
	 */
	async leave({isDone}: {readonly isDone: boolean}): Promise<void> {
		this.#isLeft = true;
		const id = await this.#opening?.catch(() => undefined);
		if (id === undefined) return;
		const hasAll = isDone && this.#hasInputEnded && (this.#plan.missing !== 'keep' || this.#unmet.size === 0);
		await this.#client.verb(hasAll ? 'closeBatch' : 'leaveBatch', id);
	}
}
