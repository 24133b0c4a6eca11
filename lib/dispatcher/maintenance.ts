import type {Health} from '../job/events.ts';
import type {News, Released} from '../store/store.ts';
import {type Committer, nothingFor} from './committer.ts';
import type {Context} from './context.ts';
import {isRefusal} from './retries.ts';

const RECLAIM_EVERY_MS = 1000;

/** A log of this size is reported, and again each time its size has doubled. Usually a log stays below a quarter of this. */
const MIN_REPORTED_LOG_BYTES = 64 * 1024 ** 2;
/** As {@link MIN_REPORTED_LOG_BYTES}, of a database: some million small jobs. */
const MIN_REPORTED_DATABASE_BYTES = 1024 ** 3;

/** Heartbeat, reclaim, and news of the store. Timer and news only wake the dispatcher's loop, which calls {@link tick} and {@link handleNews}. */
export class Maintenance {
	isDue = true;
	/** The store looks for more news once the loop has handled these. */
	readonly news: {readonly news: News; readonly done: () => void}[] = [];
	readonly stop: () => void;
	readonly #context: Context;
	readonly #committer: Committer;
	readonly #leaseMs: number;
	readonly #everyMs: number;
	/** True if the store knows the owner. */
	#isRegistered = false;
	#refusal: string | undefined;
	#nextHeartbeat = 0;
	readonly #logGrowth = new Growth(MIN_REPORTED_LOG_BYTES);
	readonly #databaseGrowth = new Growth(MIN_REPORTED_DATABASE_BYTES);
	#hasReportedLibrary = false;
	#hasReportedNotifications = false;

	constructor(context: Context, committer: Committer, leaseMs: number) {
		this.#context = context;
		this.#committer = committer;
		this.#leaseMs = leaseMs;
		this.#everyMs = Math.min(RECLAIM_EVERY_MS, leaseMs / 3);
		const endTimer = context.clock.every(this.#everyMs, () => {
			this.isDue = true;
			context.wake('maintenance');
		});
		const endListening = context.store.listen(context.owner, news => {
			context.wake('news');
			return new Promise(done => void this.news.push({news, done}));
		});
		this.stop = () => {
			endTimer();
			endListening();
			for (const {done} of this.news.splice(0)) done();
		};
	}

	/** Renews the heartbeat, if that is due, and reclaims a page of jobs. If it fails, it stays due. */
	async tick(): Promise<void> {
		const now = this.#context.clock.steadyMs();
		// If the last tick was late, the timer fires a little before the heartbeat is due. The firing after that would be late.
		if (now + this.#everyMs / 2 >= this.#nextHeartbeat) {
			await this.#beat();
			this.#nextHeartbeat = now + this.#leaseMs / 3;
		}
		// The timer may fire during the reclaim.
		this.isDue = false;
		let hasMore = true;
		try {
			({hasMore} = await this.reclaim());
		} finally {
			if (hasMore) this.isDue = true;
		}
	}

	/** Renews the heartbeat. The first one registers the owner, by a claim of no jobs; from then on other engines see that it lives. */
	async #beat(): Promise<void> {
		const {store, owner, clients} = this.#context;
		if (this.#isRegistered && (await store.heartbeat(owner)) === 'fenced') {
			this.#isRegistered = false;
			// Other engines took this dispatcher for dead, and have reclaimed its jobs. The store would refuse their results from here.
			void this.#committer.release();
			this.#committer.pool?.interrupt();
			clients.publish({type: 'ownerLost'});
		}
		if (!this.#isRegistered) {
			const {expired, expiresInMs = Infinity} = await store.commit({claim: nothingFor(owner)});
			clients.cancelled(expired);
			this.#committer.jobsMayExpire(expiresInMs);
		}
		this.#isRegistered = true;
	}

	/** Reclaims a page of jobs of dead owners. A damaged row that prevents it may stay for ever: it is reported once, and does not stop anything else. */
	async reclaim(): Promise<Released> {
		const {store, clients} = this.#context;
		try {
			const reclaimed = await store.reclaim();
			this.#refusal = undefined;
			if (reclaimed.jobs > 0) {
				clients.publish({type: 'recovered', jobs: reclaimed.jobs});
				this.#committer.jobsMayBeReady();
			}
			return reclaimed;
		} catch (error) {
			if (!isRefusal(error)) throw error;
			if (error.message !== this.#refusal) clients.refused({}, error);
			this.#refusal = error.message;
			return {jobs: 0, hasMore: false};
		}
	}

	handleNews(): void {
		for (const {news, done} of this.news.splice(0)) {
			this.#handle(news);
			done();
		}
	}

	#handle(news: News): void {
		const {clients, retries} = this.#context;
		switch (news.type) {
			case 'changed':
				this.#committer.jobsMayBeReady();
				this.#committer.jobsMayExpire();
				clients.allMayHaveEnded();
				// The news may be old: by now the job may have ended, and run again.
				for (const {id, lease} of news.stop) this.#committer.stop(id, lease);
				break;
			case 'batchCompleted':
				// The same transaction has enqueued its completion job, if it has one.
				this.#committer.jobsMayBeReady();
				clients.publish(news);
				break;
			case 'childrenCancelled':
				// Those that run though a parent is dead may be ready.
				this.#committer.jobsMayBeReady();
				clients.cancelled(news.ids);
				break;
			case 'health':
				retries.listening.clear();
				this.#report(news);
				break;
			case 'failed':
				retries.listening.add(news.error);
		}
	}

	/** Reports, once each, what is wrong with the store, and a log or a database that has grown large. */
	#report({secondLibrary, hasNoNotifications = false, logBytes, databaseBytes, freeBytes}: Health): void {
		const {clients} = this.#context;
		const size = {databaseBytes, freeBytes, logBytes};
		this.#committer.statistics.storage = size;
		if (secondLibrary && !this.#hasReportedLibrary) clients.publish({type: 'secondLibrary', ...secondLibrary});
		this.#hasReportedLibrary = secondLibrary !== undefined;
		if (hasNoNotifications && !this.#hasReportedNotifications) clients.publish({type: 'notificationsMissing'});
		this.#hasReportedNotifications = hasNoNotifications;
		if (this.#logGrowth.isReached(logBytes)) clients.publish({type: 'logGrown', logBytes});
		if (this.#databaseGrowth.isReached(databaseBytes)) clients.publish({type: 'databaseGrown', ...size});
	}
}

/** A size at which the growth of a file is reported: at first `minBytes`, then twice the last reported size. */
class Growth {
	readonly #minBytes: number;
	#nextBytes: number;

	constructor(minBytes: number) {
		this.#minBytes = minBytes;
		this.#nextBytes = minBytes;
	}

	/** True if the file has reached the size. A file that was smaller in the meantime is reported anew. */
	isReached(bytes: number): boolean {
		if (bytes < this.#minBytes) this.#nextBytes = this.#minBytes;
		if (bytes < this.#nextBytes) return false;
		this.#nextBytes = 2 * bytes;
		return true;
	}
}
