import {isRefusal} from '../dispatcher/bisection.ts';
import type {Claim} from '../job/claim.ts';
import type {JobUpdate} from '../job/outcome.ts';
import type {Store} from '../store/store.ts';
import {warn} from './warnings.ts';

/**
 * Writes the updates of a job that `work()` runs. Log lines and progress are written with the job's outcome, a checkpoint at once: within
 * the task's own call, if the store can do that, since a task that computes lets no other code run until it ends.
 */
export class DirectUpdateWriter {
	readonly #store: Store;
	readonly #claim: Claim;
	#updates: JobUpdate[] = [];
	#writing: Promise<void> | undefined;

	constructor(store: Store, claim: Claim) {
		this.#store = store;
		this.#claim = claim;
	}

	add(update: Omit<JobUpdate, keyof Claim>): void {
		const last = this.#updates.at(-1);
		// Progress replaces earlier progress.
		const before = last && !last.logs && !last.checkpoint ? this.#updates.pop() : undefined;
		this.#updates.push({...this.#claim, ...before, ...update});
		this.#write();
	}

	/** Returns the updates that are not written yet. */
	async close(): Promise<readonly JobUpdate[]> {
		while (this.#writing) await this.#writing;
		return this.#updates;
	}

	#write(): void {
		if (this.#writing || !this.#updates.some(({checkpoint}) => checkpoint)) return;
		const update = this.#updates.splice(0);
		const {promise, resolve} = Promise.withResolvers<void>();
		this.#writing = promise;
		let isTried = false;
		const tried = (error: unknown) => {
			if (isTried) return;
			isTried = true;
			this.#writing = undefined;
			if (error === undefined) this.#write();
			else this.#keep(update, error);
			resolve();
		};
		this.#store.commit({update, urgent: tried}).then(() => tried(undefined), tried);
	}

	/** Keeps updates after a failure, to be written with the next one or with the outcome. If the store refused them, they are dropped. */
	#keep(updates: readonly JobUpdate[], error: unknown): void {
		if (isRefusal(error)) warn('refused', {id: this.#claim.id, error});
		else this.#updates.unshift(...updates);
	}
}
