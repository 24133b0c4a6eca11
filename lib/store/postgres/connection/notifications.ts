import {systemClock} from '../../../support/clock.ts';
import type {Database} from './database.ts';
import type {Listening} from './listening.ts';

/** A store tells of a change at once, but of many at most this often. */
const TELL_INTERVAL_MS = 25;
/** After this time without telling, the next transaction that only enqueues tells of itself: the others hear of it sooner, and transactions that tell wait for each other. */
const QUIET_MS = 50;
const RECONNECT_AFTER_MS = 1000;
/** The first notification that a listener hears is one of its own store, within this time. */
const MAX_WAY_MS = 3000;

/** Tells other stores of changes, and hears of theirs. A notification may get lost, with its connection or behind a pooler: so listeners poll, too. */
export class Notifications {
	readonly #db: Database;
	readonly #heard: () => void;
	/** `undefined` until it is known whether notifications reach the listening connection. */
	areHeard: boolean | undefined;
	/** True while a change is not told because the last one was told just now. */
	#hasMore = false;
	#isTelling = false;
	/** When it last told of a change, by the steady clock. */
	#toldAt = -Infinity;
	#isEnded = false;
	#listening: Listening | undefined;

	/** @param heard called when another store has made a change, and when changes may have been missed */
	constructor(db: Database, heard: () => void) {
		this.#db = db;
		this.#heard = heard;
	}

	/** True if a transaction that is about to make a change is to tell of it itself, which is sooner. */
	get tellsItself(): boolean {
		return !this.#isTelling && systemClock.steadyMs() - this.#toldAt > QUIET_MS;
	}

	/** This store has made a change. `isTold`: its transaction has told of it. */
	changed(isTold: boolean): void {
		if (this.#isTelling) {
			this.#hasMore ||= !isTold;
			return;
		}
		this.#isTelling = true;
		void this.#tell(isTold);
	}

	async #tell(isTold: boolean): Promise<void> {
		this.#hasMore = false;
		// If it fails, the others hear of it when they poll.
		// Not with an answer, until it is known that notifications come without one.
		if (!isTold) await this.#db.tellOthers(this.areHeard ? this.#listening : undefined).catch(() => {});
		this.#toldAt = systemClock.steadyMs();
		systemClock.after(TELL_INTERVAL_MS, () => {
			if (this.#hasMore && !this.#isEnded) void this.#tell(false);
			else this.#isTelling = false;
		});
	}

	/** Listens on a connection of its own, and on another one when that is lost. */
	async listen(): Promise<void> {
		if (this.#db.hasOneConnection) {
			this.areHeard = false;
			return;
		}
		let isLost = false;
		const again = () => {
			// A connection that is lost while it begins to listen says so twice.
			if (isLost) return;
			isLost = true;
			this.#listening = undefined;
			this.areHeard = undefined;
			systemClock.after(RECONNECT_AFTER_MS, () => void (this.#isEnded || this.listen()));
		};
		try {
			this.areHeard = undefined;
			const own = () => {
				this.areHeard = true;
				this.#db.keepsNames ??= true;
			};
			const listening = await this.#db.listen({heard: this.#heard, own, lost: again});
			if (this.#isEnded) return listening.end();
			this.#listening = listening;
			this.#heard();
			// From another connection: if this one hears of it, it hears of others.
			void this.#db.tellOthers().catch(() => {});
			systemClock.after(MAX_WAY_MS, () => {
				if (this.#listening === listening) this.areHeard ??= false;
			});
		} catch {
			again();
		}
	}

	end(): void {
		this.#isEnded = true;
		this.#listening?.end();
	}
}
