import {fileURLToPath} from 'node:url';
import {Tinypool} from 'tinypool';
import {drainPool} from '../measure.ts';
import type {Trial} from '../trials.ts';
import type {Result, Setup} from './subject.ts';

const PER_WORKER = 16;

/** Tinypool on threads, one `run()` per job, nothing durable. */
export async function run(trial: Trial, {workers, rounds}: Setup): Promise<Result> {
	const pool = new Tinypool({
		filename: fileURLToPath(new URL('../tasks.ts', import.meta.url)),
		minThreads: workers,
		maxThreads: workers,
		idleTimeout: Infinity,
		concurrentTasksPerWorker: PER_WORKER,
	});
	const result = await drainPool(trial, rounds, workers * PER_WORKER, request => pool.run(request));
	await pool.destroy();
	return result;
}
