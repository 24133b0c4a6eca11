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
	readonly #listeners = new Set<{readonly tell: Tell; readonly look: (forWhat: Look) => void; readonly end: () => void}>();

	constructor(store: ListenedTo) {
		this.#store = store;
	}

	/** Returns a function that removes the listener. */
	add(owner: OwnerId | undefined, tell: Tell): () => void {
		const listener = {tell, ...this.#looks(owner, tell)};
		this.#listeners.add(listener);
		return () => {
			listener.end();
			this.#listeners.delete(listener);
		};
	}

	wake(forWhat: Look): void {
		for (const {look} of this.#listeners) look(forWhat);
	}

	/** Tells what a call of this store did. An error of a listener is not one of the call, which has taken effect. */
	tell(news: News): void {
		for (const {tell} of this.#listeners) void (async () => tell(news))();
	}

	end(): void {
		for (const {end} of this.#listeners) end();
		this.#listeners.clear();
	}

	/** Looks for news and passes it on. Looks again only after `tell` is done. */
	#looks(owner: OwnerId | undefined, tell: Tell): {readonly look: (forWhat: Look) => void; readonly end: () => void} {
		const {clock, intervalMs, needsNone, changes, health} = this.#store;
		const {steadyMs, every} = clock;
		let known: string | undefined;
		/** What is to be looked for next. */
		let due: Look | undefined;
		let isLooking = false;
		let isEnded = false;
		let lookedAt = -Infinity;
		let failures = 0;
		let restsUntil = -Infinity;
		let nextHealth = steadyMs();
		const tellNews = async (news: News) => {
			if (!isEnded) await tell(news);
		};
		const lookFor = async (forWhat: Look) => {
			const begunAt = steadyMs();
			if (forWhat === 'all') lookedAt = begunAt;
			const {version, stop} = await changes(owner, known);
			// The changes of which it has heard are told; there may be others, of which it has not. What others did before the first look is no news.
			const isNews = forWhat === 'stops' || known === undefined ? stop.length > 0 : version !== known;
			if (forWhat === 'all') known = version;
			if (isNews) await tellNews({type: 'changed', stop});
			// A quiet store looks as often as this.
			if (begunAt < nextHealth - intervalMs) return;
			nextHealth = begunAt + HEALTH_INTERVAL_MS;
			await tellNews({type: 'health', ...(await health())});
		};
		const look = async (forWhat: Look) => {
			if (due !== 'all') due = forWhat;
			if (isLooking || isEnded || steadyMs() < restsUntil) return;
			isLooking = true;
			const now = due;
			due = undefined;
			try {
				await lookFor(now);
				failures = 0;
			} catch (error) {
				// If the first look fails, the next one reports a change.
				known ??= '';
				restsUntil = steadyMs() + Math.min(MAX_RETRY_DELAY_MS, 10 * 2 ** ++failures);
				await tellNews({type: 'failed', error});
			} finally {
				isLooking = false;
				if (due) void look(due);
			}
		};
		void look('all');
		const stop = every(intervalMs, () => {
			if (!needsNone?.(steadyMs() - lookedAt)) void look('all');
		});
		const end = () => {
			isEnded = true;
			stop();
		};
		return {look: forWhat => void look(forWhat), end};
	}
}
