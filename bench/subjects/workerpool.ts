import {fileURLToPath} from 'node:url';
import {pool as makePool} from 'workerpool';
import {moduleUrl} from '../measure/module-url.ts';
import {PoolRunning} from './pool.ts';
import type {Subject} from './subject.ts';

/** Calls under way for each thread, so that none idles. The pool gives a thread one call at a time. */
const WAITING_PER_WORKER = 16;

/** workerpool on threads, one `exec()` per job. */
export const subject: Subject = {
	async open({workers}) {
		const pool = makePool(fileURLToPath(moduleUrl('subjects/workerpool-worker')), {minWorkers: workers, maxWorkers: workers, workerType: 'thread'});
		return new PoolRunning(
			workers * WAITING_PER_WORKER,
			async request => pool.exec('run', [request]),
			async () => void (await pool.terminate()),
		);
	},
};
