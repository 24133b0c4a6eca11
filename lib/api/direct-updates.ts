import {isRefusal} from '../dispatcher/retries.ts';
import type {Claim, JobUpdate} from '../job/claim.ts';
import type {JobId} from '../job/job.ts';
import type {Store} from '../store/store.ts';
import {warn} from './events.ts';

/**
 * Writes the updates of jobs that `work()` runs. Log lines and progress are written with the job's outcome, a checkpoint at once: within
 * the task's own call, if the store can do that, since a task that computes lets no other code run until it ends.
 */
export class DirectUpdateWriter {
	readonly #store: Store;
	#unwritten: JobUpdate[] = [];
	#writing: Promise<void> | undefined;
	/** After a refusal, jobs are written one by one: the store refuses all of a commit. */
	#isOneByOne = false;

	constructor(store: Store) {
		this.#store = store;
	}

	add(update: JobUpdate): void {
		const index = this.#unwritten.findLastIndex(each => isOfSameExecution(each, update));
		const last = this.#unwritten[index];
		// Progress replaces earlier progress.
		if (last && !last.logs && !last.checkpoint) this.#unwritten[index] = {...last, ...update};
		else this.#unwritten.push(update);
		this.#write();
	}

	/** The updates of these jobs, which have ended, that are not written yet. */
	async takeUnwritten(ids: readonly JobId[]): Promise<readonly JobUpdate[]> {
		while (this.#writing) await this.#writing;
		const taken = this.#unwritten.filter(({id}) => ids.includes(id));
		// Those of running jobs stay: written by the caller, they could come after later ones that this class writes at once.
		this.#unwritten = this.#unwritten.filter(({id}) => !ids.includes(id));
		return taken;
	}

	#write(): void {
		if (this.#writing) return;
		const urgent = this.#unwritten.find(({checkpoint}) => checkpoint);
		this.#isOneByOne &&= urgent !== undefined;
		if (!urgent) return;
		const isMeant = (each: JobUpdate) => !this.#isOneByOne || isOfSameExecution(each, urgent);
		const update = this.#unwritten.filter(isMeant);
		this.#unwritten = this.#unwritten.filter(each => !isMeant(each));
		const {promise, resolve} = Promise.withResolvers<void>();
		this.#writing = promise;
		// Called within `commit`, or else when its promise settles.
		const tried = (error: unknown) => {
			if (this.#writing !== promise) return;
			this.#writing = undefined;
			const isOfOne = update.every(each => isOfSameExecution(each, urgent));
			if (isRefusal(error) && isOfOne) warn('refused', {id: urgent.id, error});
			// To be written one by one, with the next checkpoint, or with the outcome.
			else if (error !== undefined) this.#unwritten.unshift(...update);
			this.#isOneByOne ||= isRefusal(error);
			if (error === undefined || isRefusal(error)) this.#write();
			resolve();
		};
		this.#store.commit({update, urgent: tried}).then(() => tried(undefined), tried);
	}
}

function isOfSameExecution(one: Claim, other: Claim): boolean {
	return one.id === other.id && one.lease === other.lease && one.execution === other.execution;
}
