import {setImmediate as nextTurn} from 'node:timers/promises';
import {monotonicMs} from './board.ts';

/**
 * Where a dispatcher and its pool have their time from, timers included: so that a test can move it, and a simulation be all
 * of it. Its timers keep no process alive.
 */
export interface Clock {
	/** The wall clock, which jobs wait by, in milliseconds since 1970. It may jump. */
	readonly now: () => number;
	/** Milliseconds on a clock that never jumps, for durations. */
	readonly steadyMs: () => number;
	/** Calls once after so many milliseconds. Returns a function that takes it back. */
	readonly after: (ms: number, call: () => void) => () => void;
	/** Calls every so many milliseconds. Returns a function that ends that. */
	readonly every: (ms: number, call: () => void) => () => void;
	/** Resolves once what has arrived by now has been handled. */
	readonly nextTurn: () => Promise<void>;
}

export const systemClock: Clock = {
	now: Date.now,
	steadyMs: monotonicMs,
	after: (ms, call) => {
		const timer = setTimeout(call, ms).unref();
		return () => clearTimeout(timer);
	},
	every: (ms, call) => {
		const beat = beats.get(ms) ?? startBeat(ms);
		beat.calls.add(call);
		return () => {
			if (!beat.calls.delete(call) || beat.calls.size > 0) return;
			clearInterval(beat.timer);
			beats.delete(ms);
		};
	},
	nextTurn: () => nextTurn(),
};

interface Beat {
	readonly timer: NodeJS.Timeout;
	readonly calls: Set<() => void>;
}

/** What is to be done equally often is done at the same time, so that the thread wakes once for all of it. */
const beats = new Map<number, Beat>();

function startBeat(ms: number): Beat {
	const calls = new Set<() => void>();
	const ring = () => {
		for (const call of calls) call();
	};
	const timer = setInterval(ring, ms).unref();
	const beat = {timer, calls};
	beats.set(ms, beat);
	return beat;
}

export function sleep(clock: Clock, ms: number): Promise<void> {
	return new Promise(resolve => void clock.after(ms, resolve));
}
