import {setImmediate as nextTurn} from 'node:timers/promises';
import {steadyMs} from './primordials.ts';

/** The source of time and timers for a dispatcher, its pool and its store; tests pass clocks of their own. The timers keep no process alive. */
export interface Clock {
	/** The wall clock, in milliseconds since 1970. Start times of jobs count by it. It may jump. */
	readonly now: () => number;
	/** A clock that never jumps, in milliseconds, for durations. */
	readonly steadyMs: () => number;
	/** Calls the function once after this time. Returns a function that cancels the timer. */
	readonly after: (ms: number, call: () => void) => () => void;
	/** Calls the function at this interval. Returns a function that cancels the timer. */
	readonly every: (ms: number, call: () => void) => () => void;
	/** Resolves once all events that have arrived by now were handled. */
	readonly nextTurn: () => Promise<void>;
}

export const systemClock: Clock = {
	now: Date.now,
	steadyMs: monotonicMs,
	after: (ms, call) => startTimer(ms, call, {keepsAlive: false}),
	every: (ms, call) => {
		const timer = setInterval(call, ms).unref();
		return () => clearInterval(timer);
	},
	nextTurn: () => nextTurn(),
};

/** The longest time that `setTimeout` takes, nearly 25 days. It takes a longer one for 1 ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Calls the function once after any number of milliseconds. Returns a function that cancels the timer. */
export function startTimer(ms: number, call: () => void, {keepsAlive}: {readonly keepsAlive: boolean}): () => void {
	let timer: NodeJS.Timeout;
	const wait = (leftMs: number) => {
		timer = leftMs > MAX_TIMER_MS ? setTimeout(wait, MAX_TIMER_MS, leftMs - MAX_TIMER_MS) : setTimeout(call, leftMs);
		if (!keepsAlive) timer.unref();
	};
	wait(ms);
	return () => clearTimeout(timer);
}

export function sleep(clock: Clock, ms: number): Promise<void> {
	return new Promise(resolve => void clock.after(ms, resolve));
}

/**
 * The steady clock's zero on the clock of the machine. The two clocks can't be read at once, so of five readings the quickest counts: during it
 * the thread lost the processor least.
 */
const {originMs} = Array.from({length: 5}, () => {
	const before = steadyMs();
	const [seconds, nanoseconds] = process.hrtime();
	return {originMs: seconds * 1000 + nanoseconds / 1e6 - before, tookMs: steadyMs() - before};
}).reduce((best, reading) => (reading.tookMs < best.tookMs ? reading : best));

/** A clock that never jumps and is the same in all threads and processes of the machine, in milliseconds. */
export function monotonicMs(): number {
	return originMs + steadyMs();
}

/** The longest sleep. What waits for the wall clock, which may jump, looks again after it. */
const MAX_WAIT_MS = 60_000;

/** An event that callbacks set and one loop waits for. A wait resets it. If it was set before the wait, the wait ends at once. */
export class WakeUp {
	readonly #clock: Pick<Clock, 'after'>;
	#isSet = false;
	#wake: (() => void) | undefined;

	constructor(clock: Pick<Clock, 'after'> = systemClock) {
		this.#clock = clock;
	}

	set(): void {
		this.#isSet = true;
		this.#wake?.();
	}

	/** Resolves with true once it is set, or with false after the timeout. Keeps no process alive. */
	async wait(timeoutMs: number): Promise<boolean> {
		if (!this.#isSet && timeoutMs > 0) {
			const {promise, resolve} = Promise.withResolvers<void>();
			const cancelTimer = timeoutMs === Infinity ? undefined : this.#clock.after(Math.min(timeoutMs, MAX_WAIT_MS), resolve);
			this.#wake = resolve;
			await promise;
			this.#wake = undefined;
			cancelTimer?.();
		}
		const isSet = this.#isSet;
		this.#isSet = false;
		return isSet;
	}
}
