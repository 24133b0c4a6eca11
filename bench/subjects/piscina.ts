import {fileURLToPath} from 'node:url';
import {Piscina} from 'piscina';
import {moduleUrl} from '../measure/module-url.ts';
import {PoolRunning} from './pool.ts';
import type {Subject} from './subject.ts';

/** Requests that each thread gets at a time. With this number a pool runs no-ops fastest. */
export const PER_WORKER = 16;

export function makePiscina(workers: number, concurrentTasksPerWorker: number): Piscina {
	return new Piscina({
		filename: fileURLToPath(moduleUrl('measure/tasks')),
		minThreads: workers,
		maxThreads: workers,
		idleTimeout: Infinity,
		concurrentTasksPerWorker,
		recordTiming: false,
	});
}

/** Piscina, one `run()` per job. */
export const subject: Subject = {
	async open({workers}) {
		const pool = makePiscina(workers, PER_WORKER);
		return new PoolRunning(
			workers * PER_WORKER,
			request => pool.run(request),
			() => pool.destroy(),
		);
	},
};
