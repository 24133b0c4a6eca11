import type {Clock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {isRefusal} from './bisection.ts';

/** After so many failures in a row there is no hope. With waits that grow to a second this takes about a minute. */
const MOST = 60;
const LONGEST_WAIT_MS = 1000;
/** How long after its deadline something may still be tried. */
const OVERTIME_MS = 500;

/** Counts the failures in a row of something that is tried again after a while. */
export class RetryState {
	readonly #clock: Pick<Clock, 'steadyMs'>;
	#count = 0;
	#retryAt = 0;

	constructor(clock: Pick<Clock, 'steadyMs'>) {
		this.#clock = clock;
	}

	get count(): number {
		return this.#count;
	}

	/** How long until it may be tried again; 0 if it may be tried at once. */
	get restMs(): number {
		return this.#count === 0 ? 0 : Math.max(0, this.#retryAt - this.#clock.steadyMs());
	}

	/**
	 * Adds a failure.
	 * @param until the deadline, by the steady clock; until then a full disk or a damaged row, which somebody can mend, may be tried for ever
	 * @returns how long to wait
	 * @throws the error itself, if there is no hope
	 */
	add(error: unknown, until: number): number {
		const code = error instanceof FaenaError ? error.code : undefined;
		if (code === 'BadDatabase' || code === 'NewerDatabase' || code === 'Closed') throw error;
		this.#count++;
		if (this.#count > MOST && code !== 'StorageFull' && !isRefusal(error)) throw error;
		if (this.#clock.steadyMs() > until + OVERTIME_MS) throw error;
		const waitMs = Math.min(LONGEST_WAIT_MS, 10 * 2 ** this.#count);
		this.#retryAt = this.#clock.steadyMs() + waitMs;
		return waitMs;
	}

	clear(): void {
		this.#count = 0;
	}
}
