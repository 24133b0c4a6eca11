import {type Job, Queue, Worker} from 'bullmq';
import {Redis} from 'ioredis';
import {nanoid} from 'nanoid';
import type {StoreSubject} from '../../stores/store.ts';
import {redisOf} from '../subjects/redis.ts';

const NAME = 'bench';
const FILL_BATCH = 5000;

/** BullMQ's "manually fetching jobs": `getNextJob` and `moveToCompleted`, one job at a time. Each contender has one connection. */
export const store: StoreSubject = {
	async create(given, surroundings) {
		const path = redisOf(given, surroundings);
		const redis = new Redis({path});
		await redis.flushall();
		const queue = new Queue<number>(NAME, {connection: {path}});
		return {
			address: path,
			async fill(first, end) {
				for (let at = first; at < end; at += FILL_BATCH) {
					const count = Math.min(FILL_BATCH, end - at);
					await queue.addBulk(Array.from({length: count}, (_, index) => ({name: NAME, data: at + index})));
				}
			},
			ready: () => queue.getWaitingCount(),
			async close() {
				await queue.close();
				await redis.flushall();
				await redis.quit();
			},
		};
	},
	async connect(path) {
		// A worker without a function only fetches jobs.
		const worker = new Worker<number>(NAME, null, {connection: {path}});
		await worker.waitUntilReady();
		const token = nanoid();
		return {
			async claim() {
				const job = await worker.getNextJob(token, {block: false});
				return job ? {numbers: [job.data], handle: job} : {numbers: [], handle: undefined};
			},
			async complete({handle}) {
				await (handle as Job).moveToCompleted(null, token, false);
			},
			close: () => worker.close(),
		};
	},
};
