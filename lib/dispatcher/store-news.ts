import type {OwnerId} from '../job/claim.ts';
import type {Health, JobEvent} from '../job/events.ts';
import type {JobId} from '../job/job.ts';
import type {News, Store} from '../store/store.ts';

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
