import {setTimeout as delay} from 'node:timers/promises';
import {Queue} from 'bullmq';
import {Redis} from 'ioredis';
import {moduleUrl} from '../../measure/module-url.ts';
import {refuseUnlessEqual} from '../../measure/sums.ts';
import type {Case, Measurement, Surroundings} from '../../plan/suite.ts';
import type {Use} from '../../trials/served.ts';
import {Calls} from './bullmq-calls.ts';
import {sumsOf} from './bullmq-sums.ts';
import {ForkedWorkers} from './forked-workers.ts';
import {redisOf} from './redis.ts';

/** BullMQ for the trial `latency`: workers in forked processes, as in `bullmq.ts`. */
export async function serve(given: Case, surroundings: Surroundings, use: Use): Promise<Measurement> {
	const path = redisOf(given, surroundings);
	const redis = new Redis({path});
	await redis.flushall();
	const queue = new Queue('bench', {connection: {path}});
	const calls = await Calls.open(queue, path);
	const workers = await ForkedWorkers.start(moduleUrl('peers/subjects/bullmq-forked'), {given, store: path});
	let added = 0;
	try {
		return await use({
			async enqueue(number) {
				added++;
				const {result} = await calls.enqueue(number);
				return {result: async () => (await result()) as readonly [number, number]};
			},
			async give(number) {
				added++;
				await queue.add('bench', number);
			},
			async idle() {
				while ((await queue.getCompletedCount()) < added) await delay(1);
			},
			transactions: async () => undefined,
			check: async expected => refuseUnlessEqual(await sumsOf(queue, value => (value as [number])[0]), expected),
		});
	} finally {
		await workers.close();
		await calls.close();
		await queue.close();
		await redis.flushall();
		await redis.quit();
	}
}
