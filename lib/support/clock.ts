import {setImmediate as nextTurn} from 'node:timers/promises';
import {steadyMs} from './primordials.ts';

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
	after: (ms, call) => startTimer(ms, call, {keepsAlive: false}),
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

/** What `setTimeout` can count, nearly 25 days; it takes anything longer for 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Calls once after so many milliseconds, however many they are. Returns a function that takes it back. */
export function startTimer(ms: number, call: () => void, {keepsAlive}: {readonly keepsAlive: boolean}): () => void {
	let timer: NodeJS.Timeout;
	const wait = (leftMs: number) => {
		timer = leftMs > LONGEST_TIMER_MS ? setTimeout(wait, LONGEST_TIMER_MS, leftMs - LONGEST_TIMER_MS) : setTimeout(call, leftMs);
		if (!keepsAlive) timer.unref();
	};
	wait(ms);
	return () => clearTimeout(timer);
}

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

/** Of some readings the one between which the thread lost the processor least: the two clocks can't be read at once. */
const {originMs} = Array.from({length: 5}, () => {
	const before = steadyMs();
	const [seconds, nanoseconds] = process.hrtime();
	return {originMs: seconds * 1000 + nanoseconds / 1e6 - before, tookMs: steadyMs() - before};
}).reduce((best, reading) => (reading.tookMs < best.tookMs ? reading : best));

/** Milliseconds on a clock that never jumps and is the same in all threads and processes of the machine. */
export function monotonicMs(): number {
	return originMs + steadyMs();
}
