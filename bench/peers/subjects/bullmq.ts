import {Queue} from 'bullmq';
import {Redis} from 'ioredis';
import {moduleUrl} from '../../measure/module-url.ts';
import {IN_FLIGHT} from '../../plan/suite.ts';
import {inLanes} from '../../subjects/lanes.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {Calls} from './bullmq-calls.ts';
import {sumsOf} from './bullmq-sums.ts';
import {ForkedWorkers} from './forked-workers.ts';
import {enqueueEach} from './intake.ts';
import {redisOf} from './redis.ts';

/**
 * BullMQ on Redis: workers in forked processes ("Multiple workers: the recommended way"), each with many jobs under way
 * (`bullmq-forked.ts`). In bulk it enqueues by `addBulk`; results are awaited by its events. Completed jobs stay in Redis, as they do by default.
 */
export const subject: Subject = {
	async open(given, surroundings) {
		const path = redisOf(given, surroundings);
		const redis = new Redis({path});
		const queue = new Queue('bench', {connection: {path}});
		await redis.flushall();
		const calls = given.intake === 'call' ? await Calls.open(queue, path) : undefined;
		const workers = await ForkedWorkers.start(moduleUrl('peers/subjects/bullmq-forked'), {given, store: path});
		let added = 0;
		return {
			async drain(_task, payloads, intake) {
				added += payloads.length;
				if (intake === 'bulk') await queue.addBulk(payloads.map(payload => ({name: 'bench', data: payload})));
				else if (calls) await inLanes(payloads, IN_FLIGHT, async payload => (await calls.enqueue(payload)).result());
				else await enqueueEach(payloads, intake, payload => queue.add('bench', payload));
				await workers.finish(added, async () => (await queue.getCompletedCount()) + (await queue.getFailedCount()) >= added);
			},
			sums: () => sumsOf(queue),
			async close() {
				await workers.close();
				await calls?.close();
				await queue.close();
				await redis.flushall();
				await redis.quit();
			},
		} satisfies Running;
	},
};
