import {nanoid} from 'nanoid';
import type {BatchId} from '../../job/batch.ts';
import {MAX_GROUP_JOBS, type NewGroup} from '../../job/groups/group.ts';
import type {JobRecord} from '../../job/job.ts';
import {pages} from '../../job/search.ts';
import {FaenaError} from '../../support/errors.ts';
import type {DispatcherClient} from '../../transport/client.ts';
import {EarlierJobs} from './earlier-jobs.ts';
import type {MapPlan} from './map-options.ts';

/** Jobs that are listed in one call: usually all that an earlier map of the default window left unfinished. */
const MAX_PAGE_JOBS = 5000;

/** What the option `missing` makes of held jobs. */
const END_OF_HOLD = {run: 'unheld', cancel: 'cancelled', delete: 'discarded'} as const;

/**
 * The batch of a map, which the map owns from {@link open} to {@link leave}; a map without one has none of this. Jobs that an earlier map left
 * unfinished, and that the input has not had when it ends, are the missing ones.
 */
export class MapBatch<Item> {
	readonly #client: DispatcherClient;
	readonly #plan: MapPlan<Item>;
	/** True if the map looks for changes: then it also counts the ended jobs that the input has not had. */
	readonly #isChecked: boolean;
	/** Those of the batch, once it is open. */
	earlier: EarlierJobs;
	/** The batch, once it is open. */
	id: BatchId | undefined;
	/** The name of a `fresh: 'all'` that has not ended. */
	renewal: string | undefined;
	readonly #run = nanoid();
	#opening: Promise<{readonly id: BatchId}> | undefined;
	#hasInputEnded = false;

	constructor(client: DispatcherClient, plan: MapPlan<Item>, isChecked: boolean) {
		this.#client = client;
		this.#plan = plan;
		this.#isChecked = isChecked;
		this.earlier = new EarlierJobs(isChecked);
	}

	/** Opens the batch, which holds its unfinished jobs. @throws FaenaError `BatchInUse`, `BatchConflict`, `Closed` */
	async open(): Promise<void> {
		const {batch: name, group, batchOptions, pipe, fresh} = this.#plan;
		if (name === undefined) return;
		const renewal = fresh.includes('all') ? nanoid() : undefined;
		const opening = this.#client.verb('openBatch', name, pipe ? undefined : group.task, {...batchOptions, renewal, run: this.#run});
		this.#opening = opening;
		const {id, running, batch} = await opening;
		this.id = id;
		this.renewal = batch?.renewal;
		// The jobs of a pipe's earlier stages are not in its groups.
		const before = pipe ? 0 : Object.values(batch?.counts ?? {}).reduce((sum, jobs) => sum + jobs, 0);
		this.earlier = new EarlierJobs(this.#isChecked, before, batch?.held, running);
	}

	/** What the groups of this run have. */
	get ofGroups(): Pick<NewGroup, 'batch' | 'run'> {
		return this.id === undefined ? {} : {batch: this.id, run: this.#run};
	}

	/**
	 * Ends the input of the batch, and handles the jobs that are missing from it. Returns how many are gone. It stops once the map has left
	 * the batch, since another map may own it then, or has taken back its jobs, which are needed again.
	 * @param sent the number of items
	 * @param isOver true once the map was left, halted or cancelled
	 * @throws FaenaError `NoSuchBatch` if the batch was deleted meanwhile, `BatchInUse` if another map owns it
	 */
	async endInput(sent: number, isOver: () => boolean): Promise<{readonly gone?: number}> {
		if (this.id === undefined) return {};
		const lost = await this.lost();
		if (isOver()) return {};
		if (lost) throw lost;
		this.earlier.missing = await this.#settleMissing();
		if (isOver()) return {};
		this.#hasInputEnded = await this.#client.verb('endInput', this.id, sent);
		if (this.#hasInputEnded) return this.#isChecked ? {gone: this.earlier.gone} : {};
		throw (await this.lost()) ?? takenOver(this.#plan.batch as string);
	}

	/** Does with the jobs that are held what the map is to do with them. Returns their number. */
	async #settleMissing(): Promise<number> {
		const {missing, batch = '', pipe} = this.#plan;
		const {earlier} = this;
		if (earlier.missing === 0) return 0;
		if (missing !== 'hold') return this.#client.verb('endHold', {batch}, END_OF_HOLD[missing]);
		const {held = 0} = (await this.#client.verb('batch', batch)) ?? {};
		const ids = earlier.running;
		// Of a pipe, each stage after the first names its jobs later.
		if (pipe || ids.length === 0) return held;
		return held + (await this.#client.verb('jobs', {batch, status: 'running', ids}, {limit: ids.length})).jobs.length;
	}

	/** The error for the map if its batch was deleted, or another run has opened it since; `undefined` if it is this run's. */
	async lost(): Promise<FaenaError | undefined> {
		const name = this.#plan.batch as string;
		const batch = await this.#client.verb('batch', name);
		if (this.id === undefined) return undefined;
		if (batch?.id !== this.id) return deletedBatch(name);
		return batch.run === this.#run ? undefined : takenOver(name);
	}

	/**
	 * Frees the batch, so that the next map of it can begin. If every result was yielded, the batch is also closed, and `cleanup()` may delete its jobs.
	 * It is not closed if jobs that were missing from the input were kept: their results were not yielded.
	 * @param isDone true if the loop came to its end
	 */
	async leave(isDone: boolean): Promise<void> {
		const {id} = (await this.#opening?.catch(() => undefined)) ?? {};
		if (id === undefined) return;
		const {missing} = this.#plan;
		const leavesJobs = this.earlier.missing > 0 && (missing === 'hold' || missing === 'run');
		const hasAll = isDone && this.#hasInputEnded && !leavesJobs;
		try {
			await (hasAll ? this.#client.verb('closeBatch', id) : this.#client.verb('leaveBatch', id, isDone && this.#hasInputEnded));
			// Jobs of an open batch can't be deleted.
			if (hasAll && missing === 'delete') await this.#deleteGone();
		} catch (error) {
			// The dispatcher tries again; or it has ended, which frees the batch, too. The loop's own error tells more.
			if (isDone) throw error;
		}
	}

	/** The jobs that the input has not had, in pages; none before the input has ended, or if the map does not look at what has changed. */
	async *gone(): AsyncGenerator<readonly JobRecord[], void> {
		if (!this.#hasInputEnded || !this.#isChecked || this.earlier.gone === 0) return;
		const search = {batch: this.#plan.batch as string};
		for await (const {jobs} of pages(after => this.#client.verb('jobs', search, {after, limit: MAX_PAGE_JOBS})))
			yield jobs.filter(({id}) => this.earlier.isGone(id));
	}

	async #deleteGone(): Promise<void> {
		for await (const jobs of this.gone()) {
			const ids = jobs.map(({id}) => id);
			for (let from = 0; from < ids.length; from += MAX_GROUP_JOBS) await this.#client.verb('delete', {ids: ids.slice(from, from + MAX_GROUP_JOBS)});
		}
	}
}

function takenOver(name: string): FaenaError {
	const what = `This engine was silent for so long that another map took over its batch ${JSON.stringify(name)}.`;
	return new FaenaError('BatchInUse', `${what} Let that map end, then start this one again: it goes on with the batch.`);
}

export function deletedBatch(name: string): FaenaError {
	const what = `The batch ${JSON.stringify(name)} was deleted while this map of it was under way.`;
	return new FaenaError('NoSuchBatch', `${what} Start the map again to begin a new batch.`);
}
