import type {OwnerId} from '../job/claim.ts';
import type {Health, JobEvent} from '../job/events.ts';
import type {JobId} from '../job/job.ts';
import type {News, Store} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import type {FaenaError} from '../support/errors.ts';
import {isRefusal} from './retries.ts';

/** How often the dispatcher looks for dead owners. */
const RECLAIM_EVERY_MS = 1000;

/**
 * Regular work of a dispatcher: it renews the owner's heartbeat and reclaims the jobs of dead owners. Its timer only wakes the
 * dispatcher's loop, which then calls {@link tick}.
 */
export class Maintenance {
	readonly #store: Store;
	readonly #owner: OwnerId;
	readonly #leaseMs: number;
	readonly #clock: Clock;
	readonly #stopTimer: () => void;
	#isDue = true;
	/** True if the store knows the owner. */
	#isRegistered = false;
	/** Results that were not returned yet, because a later step failed. */
	#result: MaintenanceResult = NO_RESULT;
	/** The last reported refusal to reclaim jobs. */
	#refusal: string | undefined;
	#nextHeartbeat = 0;
	#nextReclaim = 0;

	constructor(store: Store, owner: OwnerId, leaseMs: number, clock: Clock, wake: () => void) {
		this.#store = store;
		this.#owner = owner;
		this.#leaseMs = leaseMs;
		this.#clock = clock;
		this.#stopTimer = clock.every(Math.min(RECLAIM_EVERY_MS, leaseMs / 3), () => {
			this.#isDue = true;
			wake();
		});
	}

	/** True if {@link tick} has something to do. */
	get isDue(): boolean {
		return this.#isDue;
	}

	/** Does all work that is due. */
	async tick(): Promise<MaintenanceResult> {
		if (!this.#isDue) return NO_RESULT;
		const now = this.#clock.steadyMs();
		if (now >= this.#nextHeartbeat) {
			await this.#beat();
			this.#nextHeartbeat = now + this.#leaseMs / 3;
		}
		if (now >= this.#nextReclaim) {
			const {hasMore} = await this.reclaim();
			if (!hasMore) this.#nextReclaim = now + Math.min(RECLAIM_EVERY_MS, this.#leaseMs / 3);
			this.#isDue = hasMore;
		} else this.#isDue = false;
		const result = this.#result;
		this.#result = NO_RESULT;
		return result;
	}

	/** Renews the heartbeat. The first one registers the owner, by a claim of no jobs; from then on other engines see that it lives. */
	async #beat(): Promise<void> {
		if (this.#isRegistered && (await this.#store.heartbeat(this.#owner)) === 'fenced') {
			this.#isRegistered = false;
			this.#result = {...this.#result, isOwnerLost: true};
		}
		if (!this.#isRegistered) await this.#store.commit({claim: {owner: this.#owner, lanes: [], limit: 0, maxBytes: 0}});
		this.#isRegistered = true;
	}

	/**
	 * Reclaims a page of jobs of dead owners; the next {@link tick} returns their number. A damaged row that prevents it may stay for ever: it is
	 * reported once, and does not stop anything else.
	 */
	async reclaim(): Promise<{readonly jobs: number; readonly hasMore: boolean}> {
		try {
			const released = await this.#store.reclaim();
			this.#result = {...this.#result, reclaimed: this.#result.reclaimed + released.jobs};
			this.#refusal = undefined;
			return released;
		} catch (error) {
			if (!isRefusal(error)) throw error;
			if (error.message !== this.#refusal) this.#result = {...this.#result, refusal: error};
			this.#refusal = error.message;
			return {jobs: 0, hasMore: false};
		}
	}

	stop(): void {
		this.#stopTimer();
	}
}

export interface MaintenanceResult {
	/** The number of jobs reclaimed from dead owners. */
	readonly reclaimed: number;
	/** True if other engines took this dispatcher for dead: its claims are gone. */
	readonly isOwnerLost: boolean;
	/** Why the jobs of a dead owner can't be reclaimed. */
	readonly refusal?: FaenaError;
}

const NO_RESULT: MaintenanceResult = {reclaimed: 0, isOwnerLost: false};

/** A log of this size is reported, and again each time its size has doubled. Usually a log stays below a quarter of this. */
const MIN_REPORTED_LOG_BYTES = 64 * 1024 * 1024;

/** The dispatcher, as {@link StoreNews} sees it. */
interface NewsHost {
	wake(): void;
	/** There may be jobs to claim. */
	jobsMayBeReady(): void;
	/** Another process has written: watched jobs may have ended. */
	watchedMayHaveEnded(): void;
	stop(id: JobId): void;
	publish(event: JobEvent): void;
	/** The store could not look for news. */
	failed(error: unknown): void;
	/** The store has looked for news. */
	succeeded(): void;
}

/** Listens to the store. News waits here for the loop. The store looks for more once the loop has handled it. */
export class StoreNews {
	readonly #host: NewsHost;
	#stopListening: () => void = () => undefined;
	#waiting: {readonly news: News; readonly done: () => void}[] = [];
	/** The size of the log from which on it is reported next. */
	#reportedLogBytes = MIN_REPORTED_LOG_BYTES;
	#hasReportedLibrary = false;

	constructor(host: NewsHost) {
		this.#host = host;
	}

	listen(store: Store, owner: OwnerId): void {
		this.#stopListening = store.listen(owner, news => {
			this.#host.wake();
			return new Promise(done => void this.#waiting.push({news, done}));
		});
	}

	get isEmpty(): boolean {
		return this.#waiting.length === 0;
	}

	handle(): void {
		for (const {news, done} of this.#waiting.splice(0)) {
			this.#handle(news);
			done();
		}
	}

	#handle(news: News): void {
		const host = this.#host;
		switch (news.type) {
			case 'changed':
				host.jobsMayBeReady();
				host.watchedMayHaveEnded();
				for (const {id} of news.stop) host.stop(id);
				break;
			case 'batchCompleted':
				// The same transaction has enqueued its completion job, if it has one.
				host.jobsMayBeReady();
				host.publish(news);
				break;
			case 'health':
				host.succeeded();
				this.#report(news);
				break;
			case 'failed':
				host.failed(news.error);
		}
	}

	/** Reports, once each, a log that is too long, and a second SQLite library of this process that has the database open. */
	#report({logBytes, secondLibrary}: Health): void {
		if (secondLibrary && !this.#hasReportedLibrary) this.#host.publish({type: 'secondLibrary', ...secondLibrary});
		this.#hasReportedLibrary = secondLibrary !== undefined;
		if (logBytes < MIN_REPORTED_LOG_BYTES) this.#reportedLogBytes = MIN_REPORTED_LOG_BYTES;
		if (logBytes < this.#reportedLogBytes) return;
		this.#reportedLogBytes = 2 * logBytes;
		this.#host.publish({type: 'logGrown', logBytes});
	}

	stop(): void {
		this.#stopListening();
		for (const {done} of this.#waiting.splice(0)) done();
	}
}
