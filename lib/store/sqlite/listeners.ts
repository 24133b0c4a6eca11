import type {CompletedBatch} from '../../job/batch.ts';
import type {Claim, OwnerId} from '../../job/claim.ts';
import type {Clock} from '../../support/clock.ts';
import type {News} from '../store.ts';

/** A cancel by another process must reach a listener within 50 ms. */
const POLL_INTERVAL_MS = 20;
const HEALTH_INTERVAL_MS = 1000;
/** The longest wait after polls that failed. */
const MAX_RETRY_DELAY_MS = 1000;

/** The reads by which a store is polled. */
export interface PolledStore {
	/** Returns another value once another connection has committed, or a move of this one has asked an owner to stop a job. */
	version(): Promise<string>;
	/** Running jobs of the owner that are to be stopped. */
	stopRequests(owner: OwnerId): Promise<readonly Claim[]>;
	checkHealth(): Promise<Extract<News, {readonly type: 'health'}>>;
}

/** Polls a store for news, and calls its listeners. */
export class Listeners {
	readonly #store: PolledStore;
	readonly #clock: Pick<Clock, 'steadyMs' | 'every'>;
	readonly #listeners = new Set<Listener>();

	constructor(store: PolledStore, clock: Pick<Clock, 'steadyMs' | 'every'>) {
		this.#store = store;
		this.#clock = clock;
	}

	/** Returns a function that removes the listener. */
	add(owner: OwnerId | undefined, tell: Tell): () => void {
		const listener = new Listener(this.#store, this.#clock, owner, tell);
		this.#listeners.add(listener);
		return () => {
			listener.stop();
			this.#listeners.delete(listener);
		};
	}

	completed(batches: readonly CompletedBatch[]): void {
		for (const batch of batches) for (const {tell} of this.#listeners) void tell({type: 'batchCompleted', ...batch});
	}

	stop(): void {
		for (const listener of this.#listeners) listener.stop();
		this.#listeners.clear();
	}
}

type Tell = (news: News) => void | Promise<void>;

class Listener {
	readonly tell: Tell;
	readonly stop: () => void;
	readonly #store: PolledStore;
	readonly #steadyMs: () => number;
	readonly #owner: OwnerId | undefined;
	/** The version of the store that the listener knows. */
	#version: string | undefined;
	#isPolling = false;
	#failures = 0;
	#nextPoll = 0;
	#nextHealthCheck: number;

	constructor(store: PolledStore, {steadyMs, every}: Pick<Clock, 'steadyMs' | 'every'>, owner: OwnerId | undefined, tell: Tell) {
		this.#store = store;
		this.#steadyMs = steadyMs;
		this.#owner = owner;
		this.tell = tell;
		this.#nextHealthCheck = steadyMs() + HEALTH_INTERVAL_MS;
		this.stop = every(POLL_INTERVAL_MS, () => void this.#poll());
		void this.#begin();
	}

	/** If this fails, the first poll reports a change. */
	async #begin(): Promise<void> {
		this.#isPolling = true;
		this.#version = await this.#store.version().catch(() => undefined);
		this.#isPolling = false;
	}

	async #poll(): Promise<void> {
		if (this.#isPolling || this.#steadyMs() < this.#nextPoll) return;
		this.#isPolling = true;
		try {
			await this.#checkForChanges();
			await this.#checkHealth();
			this.#failures = 0;
		} catch (error) {
			this.#nextPoll = this.#steadyMs() + Math.min(MAX_RETRY_DELAY_MS, 10 * 2 ** ++this.#failures);
			await this.tell({type: 'failed', error});
		} finally {
			this.#isPolling = false;
		}
	}

	async #checkForChanges(): Promise<void> {
		const version = await this.#store.version();
		if (version === this.#version) return;
		const stop = this.#owner === undefined ? [] : await this.#store.stopRequests(this.#owner);
		this.#version = version;
		await this.tell({type: 'changed', stop});
	}

	async #checkHealth(): Promise<void> {
		if (this.#steadyMs() < this.#nextHealthCheck) return;
		this.#nextHealthCheck = this.#steadyMs() + HEALTH_INTERVAL_MS;
		await this.tell(await this.#store.checkHealth());
	}
}
