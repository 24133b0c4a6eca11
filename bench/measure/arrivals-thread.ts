/** Sleeps from one arrival to the next, and posts each time how many jobs have arrived. */
import {parentPort} from 'node:worker_threads';
import {sharedMs} from './clock.ts';

const sleeper = new Int32Array(new SharedArrayBuffer(4));

parentPort?.once('message', ({startMs, timesMs}: {startMs: number; timesMs: Float64Array}) => {
	for (let due = 0; due < timesMs.length; ) {
		const restMs = startMs + (timesMs[due] as number) - sharedMs();
		if (restMs > 0) Atomics.wait(sleeper, 0, 0, restMs);
		const elapsedMs = sharedMs() - startMs;
		const before = due;
		while (due < timesMs.length && (timesMs[due] as number) <= elapsedMs) due++;
		if (due > before) parentPort?.postMessage(due);
	}
});
parentPort?.postMessage('ready');
