import type {Claim, OwnerId} from '../../job/claim.ts';
import type {Health} from '../../job/events.ts';
import type {CompletedBatch, JobId} from '../../job/job.ts';
import {type Clock, systemClock} from '../../support/clock.ts';
import type {News} from '../store.ts';
import type {Database} from './database.ts';
import {Notifications} from './notifications.ts';

/** How often a store polls for which notifications may not arrive; in tests that move the clock; and, to be safe, one that hears notifications. */
const POLL_INTERVAL_MS = 1000;
const TEST_POLL_INTERVAL_MS = 20;
const SAFETY_INTERVAL_MS = 2000;
const HEALTH_INTERVAL_MS = 1000;
/** How often the size is read. A server is asked little while nothing happens. */
const SIZE_INTERVAL_MS = 30_000;

/** How long after a notification jobs are looked for that are to be stopped: what a listener does at once is not to wait for that look. */
const STOPS_AFTER_MS = 5;

type Tell = (news: News) => void | Promise<void>;

/** What a poll looks for: jobs to be stopped; or also whether anything has changed since it looked for all. */
type Look = 'stops' | 'all';

/** The polls of a listener. */
interface Polling {
	readonly poll: (forWhat: Look) => void;
	readonly end: () => void;
}

/** What a call did that listeners hear of. */
export interface Effects {
	readonly completed?: readonly CompletedBatch[];
	/** Jobs that were cancelled because of a parent. */
	readonly lost?: readonly JobId[] | null;
}

/** The answer of the function `news`. */
interface Answer {
	/** How many changes other stores have made so far. */
	readonly version: number;
	readonly arrived: boolean;
	/** The server's time, in milliseconds since 1970. */
	readonly now: number;
	readonly stop: readonly Claim[];
}

/** The listeners of a store, each with its polls. */
export class Listeners {
	readonly #db: Database;
	readonly #clock: Pick<Clock, 'steadyMs' | 'every'>;
	readonly #pollMs: number;
	readonly #notifications: Notifications | undefined;
	readonly #listeners = new Set<{readonly tell: Tell} & Polling>();
	#listens = false;
	/** The number of jobs that moves of this store have asked owners to stop. */
	#askedJobs = 0;
	/** True if jobs may have arrived that no call has taken over. */
	#mayHaveArrived = true;
	#bytes = 0;
	#nextSize = 0;

	constructor(db: Database, clock: Pick<Clock, 'steadyMs' | 'every'>) {
		this.#db = db;
		this.#clock = clock;
		// Tests with a clock of their own say when a store looks.
		const hears = clock === systemClock;
		this.#pollMs = hears ? POLL_INTERVAL_MS : TEST_POLL_INTERVAL_MS;
		if (hears) this.#notifications = new Notifications(db, () => this.#heard());
	}

	/** Returns a function that removes the listener. */
	add(owner: OwnerId | undefined, tell: Tell): () => void {
		const listener = {tell, ...this.#poll(owner, tell)};
		// It listens from the first listener to its end.
		if (!this.#listens) void this.#notifications?.listen();
		this.#listens = true;
		this.#listeners.add(listener);
		return () => {
			listener.end();
			this.#listeners.delete(listener);
		};
	}

	/** A move of this store has asked owners to stop jobs. */
	asked(jobs: number): void {
		this.#askedJobs += jobs;
		if (jobs > 0 && this.#notifications) this.#wake('all');
	}

	/** True if a call that is about to make changes is to tell other stores itself. */
	get tellsItself(): boolean {
		return this.#notifications?.tellsItself === true;
	}

	/** A call of this store has made changes of which other stores are to hear. */
	changed({isTold = false} = {}): void {
		this.#notifications?.changed(isTold);
	}

	/**
	 * True if a commit need not look for jobs that programs have enqueued in their own transactions: none was told of since the last commit that did, or is
	 * about to.
	 */
	hasNothingArrived(): boolean {
		const hasNothing = this.#notifications?.areHeard === true && !this.#mayHaveArrived;
		this.#mayHaveArrived = false;
		return hasNothing;
	}

	mayHaveArrived(): void {
		this.#mayHaveArrived = true;
	}

	/** Another store has changed something. The listeners are told at once; the jobs that they are to stop are read from the database soon. */
	#heard(): void {
		this.mayHaveArrived();
		for (const {tell} of this.#listeners) void (async () => tell({type: 'changed', stop: []}))();
		systemClock.after(STOPS_AFTER_MS, () => this.#wake('stops'));
	}

	#wake(forWhat: Look): void {
		for (const {poll} of this.#listeners) poll(forWhat);
	}

	/** Tells what a call of this store did. An error of a listener is not one of the call, which has taken effect. */
	tell({completed = [], lost}: Effects): void {
		const news: News[] = completed.map(batch => ({type: 'batchCompleted', ...batch}));
		if (lost && lost.length > 0) news.push({type: 'childrenCancelled', ids: lost});
		for (const each of news) for (const {tell} of this.#listeners) void (async () => tell(each))();
	}

	end(): void {
		this.#notifications?.end();
		for (const {end} of this.#listeners) end();
		this.#listeners.clear();
	}

	/** Polls for news and passes it on. Polls again only after `tell` is done. */
	#poll(owner: OwnerId | undefined, tell: Tell): Polling {
		const {every, steadyMs} = this.#clock;
		let isPolling = false;
		/** What is to be looked for next. */
		let due: Look | undefined;
		let isEnded = false;
		const look = this.#looker(owner);
		let lookedAt = -Infinity;
		let nextHealth = steadyMs();
		const poll = async (forWhat: Look) => {
			if (due !== 'all') due = forWhat;
			if (isPolling || isEnded) return;
			isPolling = true;
			const now = due;
			due = undefined;
			const begunAt = steadyMs();
			if (now === 'all') lookedAt = begunAt;
			const tellAll = async (news: readonly News[]) => {
				for (const each of news) if (!isEnded) await tell(each);
			};
			try {
				await tellAll(await look(now));
				if (begunAt < nextHealth - this.#pollMs) return;
				nextHealth = begunAt + HEALTH_INTERVAL_MS;
				await tellAll([{type: 'health', ...(await this.#health())}]);
			} catch (error) {
				await tellAll([{type: 'failed', error}]);
			} finally {
				isPolling = false;
				if (due && !isEnded) void poll(due);
			}
		};
		void poll('all');
		const stop = every(this.#pollMs, () => {
			if (this.#notifications?.areHeard && steadyMs() - lookedAt < SAFETY_INTERVAL_MS - this.#pollMs / 2) return;
			void poll('all');
		});
		const end = () => {
			isEnded = true;
			stop();
		};
		return {poll: forWhat => void poll(forWhat), end};
	}

	async #health(): Promise<Health> {
		const now = this.#clock.steadyMs();
		if (now >= this.#nextSize) {
			this.#nextSize = now + SIZE_INTERVAL_MS;
			const [size] = await this.#db.query<{bytes: number}>('select @@.size() as bytes');
			this.#bytes = size?.bytes ?? 0;
		}
		return {databaseBytes: this.#bytes, freeBytes: 0, logBytes: 0, ...(this.#notifications?.areHeard === false && {hasNoNotifications: true})};
	}

	/** A function that looks for jobs to be stopped or, if it is to, also for changes since it did that last. */
	#looker(owner: OwnerId | undefined): (forWhat: Look) => Promise<readonly News[]> {
		let known: string | undefined;
		return async forWhat => {
			const asked = this.#askedJobs;
			const askedAt = Date.now();
			const {version, arrived, now, stop} = await this.#db.call<Answer>('news', {owner}, true);
			this.#db.noteTime(now, askedAt);
			if (arrived) this.mayHaveArrived();
			// The changes of which it has heard are told. There may be others, of which it has not.
			if (forWhat === 'stops') return stop.length > 0 ? [{type: 'changed', stop}] : [];
			const before = known;
			known = `${version}+${asked}`;
			// What others did before the first look is no news. A request to stop a job is.
			const isChanged = before === undefined ? stop.length > 0 : before !== known || arrived;
			return isChanged ? [{type: 'changed', stop}] : [];
		};
	}
}
