/** An answer that took longer says too little about the server's time. */
const MAX_TOLD_MS = 1000;

/** The time of the server, as far as its answers have told it; or one that tests give. */
export class ServerClock {
	readonly #given: (() => number) | undefined;
	#aheadMs: number | undefined;

	constructor(given: (() => number) | undefined) {
		this.#given = given;
	}

	/** How far the server's clock is ahead of this machine's, in milliseconds; 0 until it has answered, and if tests have given the time. */
	get aheadMs(): number {
		return this.#given ? 0 : (this.#aheadMs ?? 0);
	}

	/** In milliseconds since 1970. */
	now(): number {
		return this.#given?.() ?? Math.round(Date.now() + this.aheadMs);
	}

	/** Notes the server's time, which an answer has brought. `askedAt`: when it was asked, by this machine's clock. */
	note(serverMs: number, askedAt: number): void {
		const now = Date.now();
		// An answer may have waited, for instance because this program was suspended.
		if (this.#aheadMs === undefined || Math.abs(now - askedAt) < MAX_TOLD_MS) this.#aheadMs = serverMs - (askedAt + now) / 2;
	}
}
