import {Queue, Worker} from 'bullmq';
import {Redis} from 'ioredis';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {sumsOf} from './bullmq-sums.ts';
import {redisOf} from './redis.ts';

/** Jobs under way for each thread. With only one, threads idle between jobs. */
const PER_WORKER = 2;

/**
 * BullMQ with sandboxed processors in worker threads, as its documentation advises for work that burns CPU. For jobs as short as these
 * it costs more than forked processes (`bullmq.ts`).
 */
export const subject: Subject = {
	async open(given, surroundings) {
		const path = redisOf(given, surroundings);
		const redis = new Redis({path});
		await redis.flushall();
		const queue = new Queue('bench', {connection: {path}});
		const worker = new Worker('bench', moduleUrl('peers/subjects/bullmq-processor'), {
			connection: {path},
			concurrency: PER_WORKER * given.workers,
			useWorkerThreads: true,
		});
		await worker.waitUntilReady();
		let [added, ended] = [0, 0];
		let wake = () => {};
		const count = () => {
			if (++ended === added) wake();
		};
		worker.on('completed', count);
		worker.on('failed', count);
		return {
			warmUpJobs: 2000,
			async drain(_task, payloads, intake) {
				if (intake !== 'bulk') throw new Error(`BullMQ's sandbox is measured in bulk; it got ${intake}`);
				added += payloads.length;
				// The worker emits `completed` after Redis has recorded it.
				const done = new Promise<void>(resolve => (wake = resolve));
				await queue.addBulk(payloads.map(payload => ({name: 'bench', data: payload})));
				await done;
			},
			sums: () => sumsOf(queue),
			async close() {
				await worker.close();
				await queue.close();
				await redis.flushall();
				await redis.quit();
			},
		} satisfies Running;
	},
};
