import type {OwnerId} from '../../job/claim.ts';
import type {Health} from '../../job/events.ts';
import {type Clock, systemClock} from '../../support/clock.ts';
import {type Changes, Listeners} from '../listeners.ts';
import type {News} from '../store.ts';
import type {Effects} from './connection/calls.ts';
import type {Database} from './connection/database.ts';
import {Notifications} from './connection/notifications.ts';

/** How often a store polls for which notifications may not arrive; in tests that move the clock; and, to be safe, one that hears notifications. */
const POLL_INTERVAL_MS = 1000;
const TEST_POLL_INTERVAL_MS = 20;
const SAFETY_INTERVAL_MS = 2000;
/** How often the size is read. A server is asked little while nothing happens. */
const SIZE_INTERVAL_MS = 30_000;

/** How long after a notification jobs are looked for that are to be stopped: what a listener does at once is not to wait for that look. */
const STOPS_AFTER_MS = 5;

/** Who listens to a store, and what it tells others. */
export class NewsOf {
	readonly #db: Database;
	readonly #clock: Pick<Clock, 'steadyMs' | 'every'>;
	readonly #notifications: Notifications | undefined;
	readonly #listeners: Listeners;
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
		const intervalMs = hears ? POLL_INTERVAL_MS : TEST_POLL_INTERVAL_MS;
		if (hears) this.#notifications = new Notifications(db, () => this.#heard());
		this.#listeners = new Listeners({
			...{clock, intervalMs, changes: owner => this.#changes(owner), health: () => this.#health()},
			needsNone: sinceMs => this.#notifications?.areHeard === true && sinceMs < SAFETY_INTERVAL_MS - intervalMs / 2,
		});
	}

	/** Returns a function that removes the listener. */
	add(owner: OwnerId | undefined, tell: (news: News) => void | Promise<void>): () => void {
		// It listens from the first listener to its end.
		if (!this.#listens) void this.#notifications?.listen();
		this.#listens = true;
		return this.#listeners.add(owner, tell);
	}

	/** A move of this store has asked owners to stop jobs. */
	asked(jobs: number): void {
		this.#askedJobs += jobs;
		if (jobs > 0 && this.#notifications) this.#listeners.wake('all');
	}

	/** True if a call that is about to make changes is to tell other stores itself. */
	get tellsItself(): boolean {
		return this.#notifications?.tellsItself === true;
	}

	/** A call of this store has made changes of which other stores are to hear, or has told them. */
	changed(isTold = false): void {
		this.#notifications?.changed(isTold);
	}

	/** True if a commit need not look for jobs of programs' own transactions: none was told of since the last commit that did. */
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
		this.#listeners.tell({type: 'changed', stop: []});
		systemClock.after(STOPS_AFTER_MS, () => this.#listeners.wake('stops'));
	}

	/** Tells what a call of this store did. */
	tell({completed = [], lost}: Effects): void {
		for (const batch of completed) this.#listeners.tell({type: 'batchCompleted', ...batch});
		if (lost && lost.length > 0) this.#listeners.tell({type: 'childrenCancelled', ids: lost});
	}

	end(): void {
		this.#notifications?.end();
		this.#listeners.end();
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

	async #changes(owner: OwnerId | undefined): Promise<Changes> {
		const [asked, askedAt] = [this.#askedJobs, Date.now()];
		const {version, arrived, now, stop} = await this.#db.call('news', {owner}, true);
		this.#db.clock.note(now, askedAt);
		if (arrived) this.mayHaveArrived();
		// While some are there that have arrived, there is news.
		return {version: `${version}+${asked}${arrived ? ` ${now}` : ''}`, stop};
	}
}
