import {Worker} from 'node:worker_threads';
import type {Chance} from '../plan/chance.ts';
import {sharedMs} from './clock.ts';
import {moduleUrl} from './module-url.ts';

/** When jobs arrive, in milliseconds from the start: a Poisson process, in which each gap is independent of all others. */
export function poissonMs(jobs: number, perSecond: number, chance: Chance): Float64Array {
	const times = new Float64Array(jobs);
	let at = 0;
	for (let index = 0; index < jobs; index++) {
		// The logarithm of 0 would be an endless gap.
		at += (-Math.log(1 - chance.real()) / perSecond) * 1000;
		times[index] = at;
	}
	return times;
}

/** Time that the thread gets to start, before the first arrival. */
const LEAD_MS = 50;

/**
 * Calls `arrive` at those times, or as soon as this thread is free for it, with the time that was meant. A thread of its own
 * sleeps from one arrival to the next: timers of Node are in whole milliseconds, and a loop that looks at the clock all the time
 * would take a processor from what is measured.
 */
export async function generate(timesMs: Float64Array, arrive: (index: number, intendedMs: number) => void): Promise<void> {
	const thread = new Worker(moduleUrl('measure/arrivals-thread'), {name: 'arrivals'});
	try {
		await new Promise(resolve => thread.once('message', resolve));
		await new Promise<void>((resolve, reject) => {
			const startMs = sharedMs() + LEAD_MS;
			let next = 0;
			thread.on('message', (due: number) => {
				for (; next < due; next++) arrive(next, startMs + (timesMs[next] as number));
				if (next === timesMs.length) resolve();
			});
			thread.once('error', reject);
			thread.postMessage({startMs, timesMs});
		});
	} finally {
		await thread.terminate();
	}
}
