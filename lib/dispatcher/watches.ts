import type {JobId} from '../job/job.ts';
import type {Store} from '../store/store.ts';
import type {Notice} from '../transport/messages.ts';

/** Jobs looked up at once after another process has written. This many take about a millisecond. */
const MAX_LOOKED_UP_JOBS = 200;

/** The jobs for whose ends callers wait. */
export class Watches {
	readonly #store: Store;
	readonly #notify: (notice: Notice) => void;
	/** The number of callers that watch each job: when one gives up, the others still watch it. */
	readonly #watched = new Map<JobId, number>();
	/** Jobs to look up. They may have ended before they were watched, or in another dispatcher. */
	readonly #lookUps: {readonly ids: readonly JobId[]; readonly earlier: boolean}[] = [];
	/** The number of watched jobs that were not looked up since another process wrote. */
	#unverified = 0;

	constructor(store: Store, notify: (notice: Notice) => void) {
		this.#store = store;
		this.#notify = notify;
	}

	get isEmpty(): boolean {
		return this.#watched.size === 0;
	}

	add(ids: readonly JobId[]): void {
		for (const id of ids) this.#watched.set(id, (this.#watched.get(id) ?? 0) + 1);
	}

	/** Undoes one {@link add}. */
	remove(ids: readonly JobId[]): void {
		for (const id of ids) {
			const others = (this.#watched.get(id) ?? 0) - 1;
			if (others > 0) this.#watched.set(id, others);
			else this.#watched.delete(id);
		}
	}

	/** The job has ended: notifies its watchers, if there are any. */
	ended(id: JobId, toNotice: () => Notice): void {
		if (this.#watched.delete(id)) this.#notify(toNotice());
	}

	/** True if {@link lookUp} has something to do. */
	get hasLookUps(): boolean {
		return this.#lookUps.length > 0 || this.#unverified > 0;
	}

	/** These jobs will be looked up. `earlier`: they existed before they were watched. */
	mayHaveEnded(ids: readonly JobId[], earlier = false): void {
		if (ids.length > 0) this.#lookUps.push({ids, earlier});
	}

	/** Another process has written, so any watched job may have ended: all will be looked up. */
	allMayHaveEnded(): void {
		this.#unverified = this.#watched.size;
	}

	/**
	 * Looks up jobs that may have ended: all of {@link mayHaveEnded}, and a part of {@link allMayHaveEnded}, first those that were looked up
	 * longest ago. Returns true if there are more.
	 */
	async lookUp(): Promise<boolean> {
		for (let next = this.#lookUps[0]; next; next = this.#lookUps[0]) {
			await this.#lookUp(next.ids, next.earlier);
			this.#lookUps.shift();
		}
		if (this.#unverified <= 0) return false;
		const some = [...this.#watched.keys().take(MAX_LOOKED_UP_JOBS)];
		await this.#lookUp(some, false);
		this.#unverified -= MAX_LOOKED_UP_JOBS;
		for (const id of some) this.#moveToEnd(id);
		return this.#unverified > 0;
	}

	async #lookUp(ids: readonly JobId[], earlier: boolean): Promise<void> {
		const watched = ids.filter(id => this.#watched.has(id));
		for (let after: number | null = 0; after !== null && watched.length > 0; ) {
			const {outcomes, next} = await this.#store.outcomes(watched, {after});
			for (const outcome of outcomes) this.ended(outcome.id, () => (earlier ? {...outcome, earlier} : outcome));
			after = next;
		}
	}

	#moveToEnd(id: JobId): void {
		const times = this.#watched.get(id);
		if (times === undefined) return;
		this.#watched.delete(id);
		this.#watched.set(id, times);
	}
}
