import {fileURLToPath} from 'node:url';
import {Tinypool} from 'tinypool';
import {moduleUrl} from '../measure/module-url.ts';
import {PoolRunning} from './pool.ts';
import type {Subject} from './subject.ts';

const PER_WORKER = 16;

/** Tinypool on threads, one `run()` per job. */
export const subject: Subject = {
	async open({workers}) {
		const pool = new Tinypool({
			filename: fileURLToPath(moduleUrl('measure/tasks')),
			minThreads: workers,
			maxThreads: workers,
			idleTimeout: Infinity,
			concurrentTasksPerWorker: PER_WORKER,
		});
		return new PoolRunning(
			workers * PER_WORKER,
			request => pool.run(request),
			() => pool.destroy(),
		);
	},
};
