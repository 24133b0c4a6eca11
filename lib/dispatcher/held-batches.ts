import type {BatchOptions} from '../job/batch.ts';
import type {OwnerId} from '../job/claim.ts';
import type {BatchId} from '../job/job.ts';
import type {BatchChange, Store} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';

type Leaving = 'closeBatch' | 'leaveBatch';

const CHANGES: Readonly<Record<Leaving, BatchChange>> = {closeBatch: {isClosed: true}, leaveBatch: {isLeft: true}};

/**
 * The batches of this dispatcher's maps. If the store could not write that a map has left its batch, or could not tell whether a map got
 * it, others would find the batch in use until this owner ends. So leaving it is tried again, also right before a map here opens it. All
 * calls run in order, so that a late try does not take the batch from the next map.
 */
export class HeldBatches {
	readonly #store: Store;
	readonly #owner: OwnerId;
	/** Names of the batches, by id. */
	readonly #held = new Map<BatchId, string>();
	/** How batches must still be left, by name. */
	readonly #pending = new Map<string, Leaving>();
	#last: Promise<unknown> = Promise.resolve();

	constructor(store: Store, owner: OwnerId) {
		this.#store = store;
		this.#owner = owner;
	}

	/** True if this dispatcher still has to leave some batches. */
	get hasPending(): boolean {
		return this.#pending.size > 0;
	}

	/** True if a map of this dispatcher has the batch. */
	has(name: string): boolean {
		return [...this.#held.values()].includes(name);
	}

	/** @throws as `openBatch` of the store */
	open(name: string, task: string, options?: BatchOptions): Promise<BatchId> {
		return this.#inOrder(async () => {
			await this.#leavePendingOf(name);
			try {
				const batch = await this.#store.openBatch(name, task, this.#owner, options);
				this.#held.set(batch, name);
				return batch;
			} catch (error) {
				if (error instanceof FaenaError && error.code === 'OutcomeUnknown') this.#leaveLater(name, 'leaveBatch');
				throw error;
			}
		});
	}

	leave(how: Leaving, batch: BatchId): Promise<void> {
		return this.#inOrder(async () => {
			const name = this.#held.get(batch);
			this.#held.delete(batch);
			try {
				await this.#store.updateBatch(batch, this.#owner, CHANGES[how]);
			} catch (error) {
				if (name !== undefined) this.#leaveLater(name, how);
				throw error;
			}
		});
	}

	/** Leaves the batches for which that could not be written before. */
	async leavePending(): Promise<void> {
		if (this.#pending.size === 0) return;
		await this.#inOrder(async () => {
			for (const name of this.#pending.keys()) await this.#leavePendingOf(name);
		});
	}

	/** Does nothing if another map here has a batch of the name: then the batch that was left has been deleted, or the store refused it anyway. */
	#leaveLater(name: string, how: Leaving): void {
		if (!this.has(name)) this.#pending.set(name, how);
	}

	async #leavePendingOf(name: string): Promise<void> {
		const how = this.#pending.get(name);
		if (!how) return;
		this.#pending.delete(name);
		try {
			const [batch] = (await this.#store.batches({name})).batches;
			if (batch) await this.#store.updateBatch(batch.id, this.#owner, CHANGES[how]);
		} catch (error) {
			// Put behind the others, so that a row that is refused each time does not block them.
			this.#pending.set(name, how);
			throw error;
		}
	}

	#inOrder<Result>(work: () => Promise<Result>): Promise<Result> {
		const result = this.#last.then(work);
		this.#last = result.catch(() => undefined);
		return result;
	}
}
