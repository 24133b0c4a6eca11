import {type FSWatcher, watch} from 'node:fs';

/** How often a store looks for changes while it is busy: a cancel by another process must be heard within 50 ms. */
const BUSY_POLL_MS = 20;
/** How often it looks while it is not busy and the system reports writes to the log. */
const QUIET_POLL_MS = 1000;
/** A store is busy with more commits and changes than this in a second. */
const MAX_QUIET_USES = 10;
const WINDOW_MS = 1000;
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
 * Says when to look for changes by other processes: often while the store is busy. Otherwise it waits for the system's reports of writes to the log. Under
 * load these would cost more than a timer: each commit writes many times.
 */
export class ChangeWatch {
	readonly #options: WatchOptions;
	#timer: NodeJS.Timeout | undefined;
	#nextLook: NodeJS.Timeout | undefined;
	#watcher: FSWatcher | undefined;
	/** Whether writes are reported, once that is known. */
	#isReported: boolean | undefined;
	/** Uses since the window began, and in the window before. */
	#uses = 0;
	#usesBefore = Infinity;
	#windowAt = performance.now();
	#lastPollAt = -Infinity;

	constructor(options: WatchOptions) {
		this.#options = options;
		this.#poll(BUSY_POLL_MS);
	}

	/** The store was used, or has changed. */
	used(): void {
		if (++this.#uses <= MAX_QUIET_USES || !this.#watcher) return;
		this.#endWatch();
		this.#poll(BUSY_POLL_MS);
	}

	close(): void {
		clearInterval(this.#timer);
		clearTimeout(this.#nextLook);
		this.#endWatch();
	}

	#poll(everyMs: number): void {
		clearInterval(this.#timer);
		this.#timer = setInterval(() => this.#tick(), everyMs).unref();
	}

	#tick(): void {
		const now = performance.now();
		if (now - this.#windowAt >= WINDOW_MS) [this.#windowAt, this.#usesBefore, this.#uses] = [now, this.#uses, 0];
		const isQuiet = this.#usesBefore <= MAX_QUIET_USES && this.#uses <= MAX_QUIET_USES;
		if (isQuiet && !this.#watcher && this.#isReported !== false) this.#watch();
		this.#look();
	}

	#look(): void {
		this.#lastPollAt = performance.now();
		this.#options.poll();
	}

	#watch(): void {
		try {
			this.#watcher = watch(this.#options.log, {persistent: false}, () => this.#onReport());
			this.#watcher.on('error', () => this.#giveUp());
			if (this.#isReported) this.#poll(QUIET_POLL_MS);
			else void this.#prove();
		} catch {
			this.#giveUp();
		}
	}

	#onReport(): void {
		if (this.#isReported === undefined) this.#poll(QUIET_POLL_MS);
		this.#isReported = true;
		// One commit is reported several times.
		const waitMs = this.#lastPollAt + BUSY_POLL_MS - performance.now();
		if (waitMs <= 0) this.#look();
		else
			this.#nextLook ??= setTimeout(() => {
				this.#nextLook = undefined;
				this.#look();
			}, waitMs).unref();
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
