import {isRefusal} from './bisection.ts';
import type {Clock} from './clock.ts';
import {FaenaError} from './errors.ts';

/** In a row, with growing waits of up to a second, before it is called hopeless: about a minute. */
const MOST = 60;
const LONGEST_WAIT_MS = 1000;
/** Of what is to be over at a certain time: the last tries come after it. */
const OVERTIME_MS = 500;

/** Failures in a row of something that is tried again after a while. */
export class Setbacks {
	readonly #clock: Pick<Clock, 'steadyMs'>;
	#count = 0;
	#retryAt = 0;

	constructor(clock: Pick<Clock, 'steadyMs'>) {
		this.#clock = clock;
	}

	get count(): number {
		return this.#count;
	}

	/** Until it is to be tried again; 0 if at once. */
	get restMs(): number {
		return this.#count === 0 ? 0 : Math.max(0, this.#retryAt - this.#clock.steadyMs());
	}

	/**
	 * One more.
	 * @param until by the steady clock, how long there is time; what can be mended meanwhile, a full disk or a row in the way, is waited for as long
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
