import {type FSWatcher, watch} from 'node:fs';

/** How often a store looks for changes while it is in use: a cancel by another process must be heard within 50 ms. */
const BUSY_POLL_MS = 20;
/** How often it looks while it is idle and the system reports writes to the log. */
const IDLE_POLL_MS = 1000;
/** A store is idle after this time without a commit or a change. */
const IDLE_AFTER_MS = 1000;
/** A write of our own must be reported within this time. Otherwise the system reports none for this file, as on some network file systems. */
const MAX_REPORT_MS = 500;

interface WatchOptions {
	/** The database's log. */
	readonly log: string;
	/** Looks for changes. */
	readonly poll: () => void;
	/** Writes something to the log, to learn whether writes are reported. Resolves with false if there was nothing to write. */
	readonly write: () => Promise<boolean>;
}

/**
 * Says when to look for changes by other processes: often while the store is in use. While it is idle, it waits for the system's reports of writes to the
 * log. Under load these would cost more than a timer: each commit writes many times.
 */
export class ChangeWatch {
	readonly #options: WatchOptions;
	#timer: NodeJS.Timeout | undefined;
	#watcher: FSWatcher | undefined;
	/** Whether writes are reported, once that is known. */
	#isReported: boolean | undefined;
	#usedAt = performance.now();

	constructor(options: WatchOptions) {
		this.#options = options;
		this.#poll(BUSY_POLL_MS);
	}

	/** The store was used, or has changed. */
	used(): void {
		this.#usedAt = performance.now();
		if (!this.#watcher) return;
		this.#endWatch();
		this.#poll(BUSY_POLL_MS);
	}

	close(): void {
		clearInterval(this.#timer);
		this.#endWatch();
	}

	#poll(everyMs: number): void {
		clearInterval(this.#timer);
		this.#timer = setInterval(() => this.#tick(), everyMs).unref();
	}

	#tick(): void {
		const isIdle = performance.now() - this.#usedAt >= IDLE_AFTER_MS;
		if (isIdle && !this.#watcher && this.#isReported !== false) this.#watch();
		this.#options.poll();
	}

	#watch(): void {
		try {
			this.#watcher = watch(this.#options.log, {persistent: false}, () => this.#onReport());
			this.#watcher.on('error', () => this.#giveUp());
			if (this.#isReported) this.#poll(IDLE_POLL_MS);
			else void this.#prove();
		} catch {
			this.#giveUp();
		}
	}

	#onReport(): void {
		if (this.#isReported === undefined) this.#poll(IDLE_POLL_MS);
		this.#isReported = true;
		this.#options.poll();
	}

	async #prove(): Promise<void> {
		// A write that fails proves nothing.
		const isWritten = await this.#options.write().catch(() => false);
		setTimeout(() => {
			if (this.#watcher && isWritten && this.#isReported === undefined) this.#giveUp();
		}, MAX_REPORT_MS).unref();
	}

	/** From now on only the timer is used. */
	#giveUp(): void {
		this.#isReported = false;
		this.#endWatch();
		this.#poll(BUSY_POLL_MS);
	}

	#endWatch(): void {
		this.#watcher?.close();
		this.#watcher = undefined;
	}
}
