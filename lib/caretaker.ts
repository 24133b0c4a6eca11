import type {Clock} from './clock.ts';
import type {JobQueue, OwnerId} from './queue.ts';

/** How often other connections' writes are listened for: a cancel from another process must be heard within 50 ms. */
const LISTEN_EVERY_MS = 20;
/** How often dead owners are looked for. */
const RECOVER_EVERY_MS = 1000;

/**
 * What must be done from time to time, whatever else goes on: renew the owner's heartbeat, take back the jobs of dead
 * owners, hear what other processes wrote. Its timers only ring; the dispatcher's loop calls {@link attend} between turns.
 */
export class Caretaker {
	readonly #queue: JobQueue;
	readonly #owner: OwnerId;
	readonly #leaseMs: number;
	readonly #clock: Clock;
	readonly #stopTimer: () => void;
	#isDue = true;
	/** What was not told yet, since something failed after it. */
	#found: Findings = NOTHING;
	#nextHeartbeat = 0;
	#nextRecovery = 0;

	constructor(queue: JobQueue, owner: OwnerId, leaseMs: number, clock: Clock, ring: () => void) {
		this.#queue = queue;
		this.#owner = owner;
		this.#leaseMs = leaseMs;
		this.#clock = clock;
		this.#stopTimer = clock.every(LISTEN_EVERY_MS, () => {
			this.#isDue = true;
			ring();
		});
	}

	/** Does what is due; nothing before the timer has rung again. */
	async attend(): Promise<Findings> {
		if (!this.#isDue) return NOTHING;
		this.#isDue = false;
		const now = this.#clock.steadyMs();
		if (now >= this.#nextHeartbeat) {
			if (!(await this.#queue.heartbeat(this.#owner))) this.#found = {...this.#found, isOwnerLost: true};
			this.#nextHeartbeat = now + this.#leaseMs / 3;
		}
		if (now >= this.#nextRecovery) {
			const recovered = await this.#queue.recover();
			this.#found = {...this.#found, recovered: this.#found.recovered + recovered};
			this.#nextRecovery = now + Math.min(RECOVER_EVERY_MS, this.#leaseMs / 3);
		}
		const found = {...this.#found, changed: await this.#queue.changes()};
		this.#found = NOTHING;
		return found;
	}

	stop(): void {
		this.#stopTimer();
	}
}

export interface Findings {
	/** Another connection wrote. */
	readonly changed: boolean;
	/** Jobs that were taken back from dead owners. */
	readonly recovered: number;
	/** This dispatcher was given up by others: its claims are gone. */
	readonly isOwnerLost: boolean;
}

export const NOTHING: Findings = {changed: false, recovered: 0, isOwnerLost: false};
