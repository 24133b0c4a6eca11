import {Worker} from 'node:worker_threads';
import type {Chance} from '../plan/chance.ts';
import {sharedMs} from './clock.ts';
import {moduleUrl} from './module-url.ts';

/** Arrival times of jobs, in milliseconds from the start. They are a Poisson process: each gap is independent of all others. */
export function poissonMs(jobs: number, perSecond: number, chance: Chance): Float64Array {
	const times = new Float64Array(jobs);
	let at = 0;
	for (let index = 0; index < jobs; index++) {
		// 1 - real() is never 0, of which the logarithm would be an endless gap.
		at += (-Math.log(1 - chance.real()) / perSecond) * 1000;
		times[index] = at;
	}
	return times;
}

/** Time from the message to the thread until the arrivals start. */
const LEAD_MS = 50;

/**
 * Calls `arrive` at these times, or as soon as this thread is free, with the intended time. Another thread sleeps from one arrival to
 * the next: Node's timers have whole milliseconds, and a loop that always looks at the clock would take a processor from the engine.
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
