/** A job may take this long until the system's figure shows the memory that it needs. */
const GROWING_MS = 1000;
/** The memory of a stopped job takes a while to be free again. */
const STOP_EVERY_MS = 1000;

/** Decides from the free memory how many jobs may start, and when one must stop. One may always run: memory that is short without it has other reasons. */
export class MemoryWatch {
	readonly minFreeBytes: number;
	readonly #freeBytes: () => number;
	readonly #now: () => number;
	#started: {readonly at: number; readonly bytes: number}[] = [];
	#stoppedAt = -Infinity;

	constructor(minFreeBytes: number, now: () => number, freeBytes: () => number) {
		this.minFreeBytes = minFreeBytes;
		this.#now = now;
		this.#freeBytes = freeBytes;
	}

	/** How many jobs may be started if each needs `jobBytes`, while so many run. */
	room(jobBytes: number, running: number): number {
		if (jobBytes === 0 && this.minFreeBytes === 0) return Infinity;
		const free = this.#freeBytes() - this.#promisedBytes();
		const room = jobBytes === 0 ? Infinity : Math.floor((free - this.minFreeBytes) / jobBytes);
		return Math.max(free < this.minFreeBytes ? 0 : room, running === 0 ? 1 : 0);
	}

	/** A job was started that may need this much. */
	started(bytes: number): void {
		if (bytes > 0) this.#started.push({at: this.#now(), bytes});
	}

	/** True if one of the running jobs should be stopped; then not again for a second. */
	mustStop(running: number): boolean {
		if (this.minFreeBytes === 0 || running < 2 || this.#now() - this.#stoppedAt < STOP_EVERY_MS) return false;
		if (this.#freeBytes() >= this.minFreeBytes / 2) return false;
		this.#stoppedAt = this.#now();
		return true;
	}

	/** Memory for jobs that were started so recently that they may not have taken it yet. */
	#promisedBytes(): number {
		const since = this.#now() - GROWING_MS;
		this.#started = this.#started.filter(({at}) => at > since);
		return this.#started.reduce((sum, {bytes}) => sum + bytes, 0);
	}
}
