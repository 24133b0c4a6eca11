import type {Clock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {isRefusal} from './bisection.ts';

/** After more failures in a row another try is hopeless. With waits that grow to a second, this takes about a minute. */
const MAX_FAILURES = 60;
const MAX_WAIT_MS = 1000;
/** How long after the deadline tries are still allowed. */
const MAX_OVERTIME_MS = 500;

/** Counts consecutive failures of an activity, and decides when to try it again. */
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

	/** How long until the next try; 0 if it may come at once. */
	get waitMs(): number {
		return this.#count === 0 ? 0 : Math.max(0, this.#retryAt - this.#clock.steadyMs());
	}

	/**
	 * Adds a failure.
	 * @param deadline by the steady clock. Until then, a full disk or a damaged row is tried any number of times, since a person can fix it
	 * @returns how long to wait
	 * @throws the error itself, if another try is hopeless
	 */
	add(error: unknown, deadline: number): number {
		const code = error instanceof FaenaError ? error.code : undefined;
		if (code === 'BadDatabase' || code === 'NewerDatabase' || code === 'Closed') throw error;
		this.#count++;
		if (this.#count > MAX_FAILURES && code !== 'StorageFull' && !isRefusal(error)) throw error;
		if (this.#clock.steadyMs() > deadline + MAX_OVERTIME_MS) throw error;
		const waitMs = Math.min(MAX_WAIT_MS, 10 * 2 ** this.#count);
		this.#retryAt = this.#clock.steadyMs() + waitMs;
		return waitMs;
	}

	clear(): void {
		this.#count = 0;
	}
}
