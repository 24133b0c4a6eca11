import type {Claim, OwnerId} from '../job/claim.ts';
import type {Health} from '../job/events.ts';
import type {Clock} from '../support/clock.ts';
import type {News} from './store.ts';

const HEALTH_INTERVAL_MS = 1000;
/** The longest wait after looks that failed. */
const MAX_RETRY_DELAY_MS = 1000;

/** What is looked for: jobs to be stopped; or also whether anything has changed since the last look for all. */
export type Look = 'stops' | 'all';

/** What a store says when it is looked for changes. */
export interface Changes {
	/** Another one after each change. */
	readonly version: string;
	/** The owner's jobs that are to be stopped; none need be read if the version is known. */
	readonly stop: readonly Claim[];
}

/** Where listeners look. */
export interface ListenedTo {
	readonly clock: Pick<Clock, 'steadyMs' | 'every'>;
	/** How often a listener looks. */
	readonly intervalMs: number;
	/** True if a look is not needed, so long after the last one. */
	readonly needsNone?: (sinceMs: number) => boolean;
	/** @param known the version at the last look for all; `undefined` for the first one */
	readonly changes: (owner: OwnerId | undefined, known: string | undefined) => Promise<Changes>;
	readonly health: () => Promise<Health>;
}

type Tell = (news: News) => void | Promise<void>;

/** The listeners of a store, each of which looks for news. */
export class Listeners {
	readonly #store: ListenedTo;
	readonly #listeners = new Set<Listener>();

	constructor(store: ListenedTo) {
		this.#store = store;
	}

	/** Returns a function that removes the listener. */
	add(owner: OwnerId | undefined, tell: Tell): () => void {
		const listener = new Listener(this.#store, owner, tell);
		this.#listeners.add(listener);
		return () => {
			listener.end();
			this.#listeners.delete(listener);
		};
	}

	wake(forWhat: Look): void {
		for (const listener of this.#listeners) listener.look(forWhat);
	}

	/** Tells what a call of this store did. An error of a listener is not one of the call, which has taken effect. */
	tell(news: News): void {
		for (const {tell} of this.#listeners) void (async () => tell(news))();
	}

	end(): void {
		for (const listener of this.#listeners) listener.end();
		this.#listeners.clear();
	}
}

/** Looks for news and passes it on. Looks again only after `tell` is done. */
class Listener {
	readonly tell: Tell;
	readonly #store: ListenedTo;
	readonly #owner: OwnerId | undefined;
	#phase: 'idle' | 'looking' | 'ended' = 'idle';
	/** What is to be looked for next. */
	#due: Look | undefined;
	/** The version at the last look for all. */
	#known: string | undefined;
	#lookedAt = -Infinity;
	/** Looks that have failed since the last one that did not. */
	#failures = 0;
	#restsUntil = -Infinity;
	#nextHealth: number;
	readonly #endTimer: () => void;

	constructor(store: ListenedTo, owner: OwnerId | undefined, tell: Tell) {
		this.#store = store;
		this.#owner = owner;
		this.tell = tell;
		const {clock, intervalMs, needsNone} = store;
		this.#nextHealth = clock.steadyMs();
		this.look('all');
		this.#endTimer = clock.every(intervalMs, () => {
			if (!needsNone?.(clock.steadyMs() - this.#lookedAt)) this.look('all');
		});
	}

	look(forWhat: Look): void {
		void this.#look(forWhat);
	}

	async #look(forWhat: Look): Promise<void> {
		const {steadyMs} = this.#store.clock;
		if (this.#due !== 'all') this.#due = forWhat;
		if (this.#phase !== 'idle' || steadyMs() < this.#restsUntil) return;
		this.#phase = 'looking';
		const now = this.#due ?? forWhat;
		this.#due = undefined;
		try {
			await this.#lookFor(now);
			this.#failures = 0;
		} catch (error) {
			// If the first look fails, the next one reports a change.
			this.#known ??= '';
			this.#restsUntil = steadyMs() + Math.min(MAX_RETRY_DELAY_MS, 10 * 2 ** ++this.#failures);
			await this.#tellNews({type: 'failed', error});
		} finally {
			if (this.#phase === 'looking') this.#phase = 'idle';
			if (this.#due) this.look(this.#due);
		}
	}

	async #lookFor(forWhat: Look): Promise<void> {
		const {clock, intervalMs, changes, health} = this.#store;
		const begunAt = clock.steadyMs();
		if (forWhat === 'all') this.#lookedAt = begunAt;
		const {version, stop} = await changes(this.#owner, this.#known);
		// The changes of which it has heard are told; there may be others, of which it has not. What others did before the first look is no news.
		const isNews = forWhat === 'stops' || this.#known === undefined ? stop.length > 0 : version !== this.#known;
		if (forWhat === 'all') this.#known = version;
		if (isNews) await this.#tellNews({type: 'changed', stop});
		// A quiet store looks as often as this.
		if (begunAt < this.#nextHealth - intervalMs) return;
		this.#nextHealth = begunAt + HEALTH_INTERVAL_MS;
		await this.#tellNews({type: 'health', ...(await health())});
	}

	async #tellNews(news: News): Promise<void> {
		if (this.#phase !== 'ended') await this.tell(news);
	}

	end(): void {
		this.#phase = 'ended';
		this.#endTimer();
	}
}
