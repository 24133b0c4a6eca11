import type {BatchId, BatchOptions} from '../job/batch.ts';
import {type JobId, UNENDED_STATUSES} from '../job/job.ts';
import {movePages} from '../store/move-pages.ts';
import type {BatchChange} from '../store/store.ts';
import {sleep} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {failpoint} from '../support/failpoint.ts';
import type {Verbs} from '../transport/messages.ts';
import type {Context} from './context.ts';
import type {Maintenance} from './maintenance.ts';

/** Opening a batch that is in use is tried again for this long. */
const MAX_WAIT_MS = 1000;
const TRY_EVERY_MS = 50;

/**
 * The batches that maps of this dispatcher have open. If the store could not write that a map has left its batch, others would find it in use until this
 * owner ends. So leaving it is tried again. All calls run in order, so that a late try does not take the batch from the next map here.
 */
export class OpenBatches {
	/** How batches must still be left, by name. */
	readonly pending = new Map<string, BatchChange>();
	readonly #context: Context;
	readonly #maintenance: Pick<Maintenance, 'reclaim'>;
	readonly #onOpened: () => void;
	readonly #names = new Map<BatchId, string>();
	#last: Promise<unknown> = Promise.resolve();

	/** @param onOpened called when a batch is open, and its unfinished jobs are held */
	constructor(context: Context, maintenance: Pick<Maintenance, 'reclaim'>, onOpened: () => void) {
		this.#context = context;
		this.#maintenance = maintenance;
		this.#onOpened = onOpened;
	}

	/** Opens a batch. If another owner has it, this tries again for a while: a dead owner's child processes may take a moment to die, too. */
	async open(name: string, task: string | undefined, options?: BatchOptions): Promise<ReturnType<Verbs['openBatch']>> {
		const {clock} = this.#context;
		for (const until = clock.steadyMs() + MAX_WAIT_MS; ; ) {
			try {
				return await this.#inOrder(() => this.#open(name, task, options));
			} catch (error) {
				const isInUse = error instanceof FaenaError && error.code === 'BatchInUse';
				if (!isInUse || this.#has(name) || clock.steadyMs() >= until) throw error;
			}
			if ((await this.#maintenance.reclaim()).jobs === 0) await sleep(clock, TRY_EVERY_MS);
		}
	}

	async #open(name: string, task: string | undefined, options?: BatchOptions): Promise<ReturnType<Verbs['openBatch']>> {
		const {store, owner} = this.#context;
		await this.#leavePendingOf(name);
		let id: BatchId | undefined;
		try {
			id = await store.openBatch(name, task, owner, options);
			this.#names.set(id, name);
			failpoint('verb:committed');
			// A flow is the one that it was.
			const held = options?.flow === undefined ? await this.#hold(name) : {running: []};
			this.#onOpened();
			return {id, ...held};
		} catch (error) {
			if (id !== undefined) this.#names.delete(id);
			const mayBeOpen = id !== undefined || (error instanceof FaenaError && error.code === 'OutcomeUnknown');
			if (mayBeOpen && !this.#has(name)) this.pending.set(name, {isLeft: true});
			throw error;
		}
	}

	/** Holds what earlier runs of the batch left unfinished. Returns those of these jobs that run, and the batch as it is then. */
	async #hold(name: string): Promise<Omit<ReturnType<Verbs['openBatch']>, 'id'>> {
		const {store, owner} = this.#context;
		const find = async () => (await store.batches({name})).batches[0];
		const batch = await find();
		// Usually nothing is left; and each call takes a while if the database is on another machine.
		if (batch && !UNENDED_STATUSES.some(status => batch.counts[status] > 0)) return {batch, running: []};
		const running: JobId[] = [];
		for await (const {asked} of movePages(store, {batch: name}, 'held', {owner})) running.push(...asked);
		return {batch: await find(), running};
	}

	/** Does nothing if another map here has a batch of the same name: then the batch that is to be left has been deleted. */
	leave(batch: BatchId, how: BatchChange): Promise<void> {
		return this.#inOrder(async () => {
			const name = this.#names.get(batch);
			this.#names.delete(batch);
			if (name === undefined || this.#has(name)) return;
			this.pending.set(name, how);
			await this.#leavePendingOf(name);
		});
	}

	/** Leaves the batches for which that could not be written before. */
	leavePending(): Promise<void> {
		return this.#inOrder(async () => {
			for (const name of this.pending.keys()) await this.#leavePendingOf(name);
		});
	}

	#has(name: string): boolean {
		return this.#names.values().some(each => each === name);
	}

	async #leavePendingOf(name: string): Promise<void> {
		const {store, owner} = this.#context;
		const how = this.pending.get(name);
		if (!how) return;
		this.pending.delete(name);
		try {
			const [batch] = (await store.batches({name})).batches;
			if (batch) await store.updateBatch(batch.id, owner, how);
		} catch (error) {
			// Put behind the others, so that a row that is refused each time does not block them.
			this.pending.set(name, how);
			throw error;
		}
	}

	#inOrder<Result>(work: () => Promise<Result>): Promise<Result> {
		const result = this.#last.then(work);
		this.#last = result.catch(() => undefined);
		return result;
	}
}
