import type {BatchOptions} from '../job/batch.ts';
import type {OwnerId} from '../job/claim.ts';
import type {BatchId} from '../job/job.ts';
import type {JobQueue} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';

type Leaving = 'closeBatch' | 'leaveBatch';

/**
 * The batches that this dispatcher's maps have. Where the queue could not write that a map has left its batch, or did not say whether
 * the map got it, others would find it in use until this owner ends: so leaving it is tried again, and first of all before a
 * map here opens it. All calls are done in order: a late try takes no batch away from its next map.
 */
export class HeldBatches {
	readonly #queue: JobQueue;
	readonly #owner: OwnerId;
	/** Their names. */
	readonly #held = new Map<BatchId, string>();
	/** Of batches that are still to be left, by name. */
	readonly #unleft = new Map<string, Leaving>();
	#last: Promise<unknown> = Promise.resolve();

	constructor(queue: JobQueue, owner: OwnerId) {
		this.#queue = queue;
		this.#owner = owner;
	}

	/** A map here has the batch. */
	has(name: string): boolean {
		return [...this.#held.values()].includes(name);
	}

	/** @throws what `openBatch` of the queue throws */
	open(name: string, task: string, options?: BatchOptions): Promise<BatchId> {
		return this.#inOrder(async () => {
			await this.#leaveUnleft(name);
			try {
				const batch = await this.#queue.openBatch(name, task, this.#owner, options);
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
				await this.#queue[how](batch, this.#owner);
			} catch (error) {
				if (name !== undefined) this.#leaveLater(name, how);
				throw error;
			}
		});
	}

	/** Tries again what could not be written. */
	async leaveRest(): Promise<void> {
		if (this.#unleft.size === 0) return;
		await this.#inOrder(async () => {
			for (const name of this.#unleft.keys()) await this.#leaveUnleft(name);
		});
	}

	/** Not if another map here has the batch of that name: the one that was left has been deleted, or it was refused anyway. */
	#leaveLater(name: string, how: Leaving): void {
		if (!this.has(name)) this.#unleft.set(name, how);
	}

	async #leaveUnleft(name: string): Promise<void> {
		const how = this.#unleft.get(name);
		if (!how) return;
		this.#unleft.delete(name);
		try {
			const batch = await this.#queue.batch(name);
			if (batch) await this.#queue[how](batch.id, this.#owner);
		} catch (error) {
			// Behind the others, in whose way a row that is refused each time must not be.
			this.#unleft.set(name, how);
			throw error;
		}
	}

	#inOrder<Result>(work: () => Promise<Result>): Promise<Result> {
		const result = this.#last.then(work);
		this.#last = result.catch(() => undefined);
		return result;
	}
}
