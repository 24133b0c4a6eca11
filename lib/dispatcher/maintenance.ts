import type {Claim, OwnerId} from '../job/claim.ts';
import type {Health} from '../job/events.ts';
import type {JobQueue} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import type {FaenaError} from '../support/errors.ts';
import {isRefusal} from './bisection.ts';

/** How often it looks for writes of other connections; half as often while all workers are busy. A cancel from another process must be heard within 50 ms. */
const LISTEN_EVERY_MS = 20;
/** How often it looks for dead owners. */
const RECOVER_EVERY_MS = 1000;
/** A log of this size is reported, and again whenever its size has doubled. Usually a log stays below a quarter of this. */
const LONG_LOG_BYTES = 64 * 1024 * 1024;

/**
 * Does what must be done from time to time, whatever else goes on: renews the owner's heartbeat, takes back the jobs of dead
 * owners, notices what other processes wrote, checks that the files are still there. Its timer only wakes; the dispatcher's loop
 * calls {@link attend} between turns.
 */
export class Maintenance {
	readonly #queue: JobQueue;
	readonly #owner: OwnerId;
	readonly #leaseMs: number;
	readonly #clock: Clock;
	readonly #stopTimer: () => void;
	/** How often the timer has rung since it last attended. */
	#ticks = 1;
	/** Findings that were not returned yet, because something failed after them. */
	#found: MaintenanceResult = NOTHING;
	/** The last refusal that was reported of taking back jobs. */
	#refusal: string | undefined;
	#longLogBytes = LONG_LOG_BYTES;
	#hasToldOfLibrary = false;
	#nextHeartbeat = 0;
	#nextRecovery = 0;

	constructor(queue: JobQueue, owner: OwnerId, leaseMs: number, clock: Clock, wake: () => void) {
		this.#queue = queue;
		this.#owner = owner;
		this.#leaseMs = leaseMs;
		this.#clock = clock;
		this.#stopTimer = clock.every(LISTEN_EVERY_MS, () => {
			this.#ticks++;
			wake();
		});
	}

	/** True if {@link attend} must be called now, though a turn could wait. */
	get isOverdue(): boolean {
		return this.#ticks > 1;
	}

	/** Does what is due. Does nothing before the timer has rung again. */
	async tick(): Promise<MaintenanceResult> {
		if (this.#ticks === 0) return NOTHING;
		this.#ticks = 0;
		const now = this.#clock.steadyMs();
		if (now >= this.#nextHeartbeat) {
			if (!(await this.#queue.heartbeat(this.#owner))) this.#found = {...this.#found, isOwnerLost: true};
			this.#nextHeartbeat = now + this.#leaseMs / 3;
		}
		if (now >= this.#nextRecovery) {
			await this.#examine();
			await this.recover();
			this.#nextRecovery = now + Math.min(RECOVER_EVERY_MS, this.#leaseMs / 3);
		}
		const changed = (await this.#queue.changes()) || this.#found.changed;
		this.#found = {...this.#found, changed};
		const stops = changed ? await this.#queue.stops(this.#owner) : [];
		const found = {...this.#found, stops};
		this.#found = NOTHING;
		return found;
	}

	/**
	 * Takes back the jobs of dead owners, and tells of them when it next attends. Rows that are in the way of it may stay there for ever; they are
	 * told of once, and keep nothing else from going on. Returns how many jobs.
	 */
	async recover(): Promise<number> {
		try {
			const recovered = await this.#queue.recover();
			this.#found = {...this.#found, recovered: this.#found.recovered + recovered};
			this.#refusal = undefined;
			return recovered;
		} catch (error) {
			if (!isRefusal(error)) throw error;
			if (error.message !== this.#refusal) this.#found = {...this.#found, refusal: error};
			this.#refusal = error.message;
			return 0;
		}
	}

	async #examine(): Promise<void> {
		const {logBytes, secondLibrary} = await this.#queue.examine();
		if (secondLibrary && !this.#hasToldOfLibrary) this.#found = {...this.#found, secondLibrary};
		this.#hasToldOfLibrary = secondLibrary !== undefined;
		if (logBytes < LONG_LOG_BYTES) this.#longLogBytes = LONG_LOG_BYTES;
		if (logBytes < this.#longLogBytes) return;
		this.#longLogBytes = 2 * logBytes;
		this.#found = {...this.#found, logBytes};
	}

	stop(): void {
		this.#stopTimer();
	}
}

export interface MaintenanceResult {
	/** Another connection wrote. */
	readonly changed: boolean;
	/** Jobs of this dispatcher that are to be stopped, if another connection wrote. */
	readonly stops: readonly Claim[];
	/** Jobs that were taken back from dead owners. */
	readonly recovered: number;
	/** Other engines took this dispatcher for dead: its claims are gone. */
	readonly isOwnerLost: boolean;
	/** The size of the log, if it is too large: somebody reads in a transaction that doesn't end. */
	readonly logBytes?: number;
	/** Another SQLite library of this process has the database open. Reported once. */
	readonly secondLibrary?: NonNullable<Health['secondLibrary']>;
	/** Why the jobs of a dead owner can't be taken back. */
	readonly refusal?: FaenaError;
}

export const NOTHING: MaintenanceResult = {changed: false, stops: [], recovered: 0, isOwnerLost: false};
