import {type Job, Queue, Worker} from 'bullmq';
import {Redis} from 'ioredis';
import {nanoid} from 'nanoid';
import type {StoreSubject} from '../../stores/store.ts';
import {redisOf} from '../subjects/redis.ts';

const NAME = 'bench';
const FILL_BATCH = 5000;

/** BullMQ's "manually fetching jobs": `getNextJob` and `moveToCompleted`, one job at a time. Each contender has a connection for that, and one that adds jobs. */
export const store: StoreSubject = {
	async create(given, surroundings) {
		const path = redisOf(given, surroundings);
		const redis = new Redis({path});
		await redis.flushall();
		const queue = new Queue<number>(NAME, {connection: {path}});
		return {
			address: path,
			async fill(first, end) {
				for (let at = first; at < end; at += FILL_BATCH) await queue.addBulk(jobs(at, Math.min(at + FILL_BATCH, end)));
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
		const queue = new Queue<number>(NAME, {connection: {path}});
		const token = nanoid();
		return {
			add: (first, end) => (end - first === 1 ? queue.add(NAME, first) : queue.addBulk(jobs(first, end))),
			async claim() {
				const job = await worker.getNextJob(token, {block: false});
				return job ? {numbers: [job.data], handle: job} : {numbers: [], handle: undefined};
			},
			async complete({handle}) {
				await (handle as Job).moveToCompleted(null, token, false);
			},
			async close() {
				await worker.close();
				await queue.close();
			},
		};
	},
};

function jobs(first: number, end: number): {name: string; data: number}[] {
	return Array.from({length: end - first}, (_, index) => ({name: NAME, data: first + index}));
}
