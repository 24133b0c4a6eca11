import {fileURLToPath} from 'node:url';
import {Piscina} from 'piscina';
import {drainPool} from '../measure.ts';
import type {Trial} from '../trials.ts';
import type {Result, Setup} from './subject.ts';

/** Requests a thread may have waiting: what makes a pool of no-ops fastest. */
const PER_WORKER = 16;

/** Piscina, one `run()` per job, nothing durable; as many requests under way as its threads take without queueing. */
export async function run(trial: Trial, {workers, rounds}: Setup): Promise<Result> {
	const pool = new Piscina({
		filename: fileURLToPath(new URL('../tasks.ts', import.meta.url)),
		minThreads: workers,
		maxThreads: workers,
		idleTimeout: Infinity,
		concurrentTasksPerWorker: PER_WORKER,
		recordTiming: false,
	});
	const result = await drainPool(trial, rounds, workers * PER_WORKER, request => pool.run(request));
	await pool.destroy();
	return result;
}
