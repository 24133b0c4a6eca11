import {Queue, Worker} from 'bullmq';
import {Redis} from 'ioredis';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {sumsOf} from './bullmq-sums.ts';
import {redisOf} from './redis.ts';

/** Under way for each thread: with one, threads idle between jobs. */
const PER_WORKER = 2;

/**
 * BullMQ with sandboxed processors in worker threads, which is its documentation's advice for work that burns CPU. It costs
 * more than forked processes (`bullmq.ts`) for jobs as short as these, and keeps the caller's event loop free.
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
				// Its event comes after Redis has answered that the job is completed.
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
