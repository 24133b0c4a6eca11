import {Queue} from 'bullmq';
import {Redis} from 'ioredis';
import type {Running, Subject} from '../../subjects/subject.ts';
import type {Case, Surroundings} from '../../suite.ts';
import {serverOf} from '../servers/servers.ts';
import {Hands} from './hands.ts';
import {enqueueEach} from './intake.ts';

/**
 * BullMQ on Redis: workers in forked processes ("Multiple workers: the recommended way"), each with many jobs under way
 * (`bullmq-hand.ts`). In bulk by `addBulk`.
 */
export const subject: Subject = {
	async open(given, surroundings) {
		const path = socketOf(given, surroundings);
		const redis = new Redis({path});
		const queue = new Queue('bench', {connection: {path}});
		await redis.flushall();
		const hands = await Hands.start(new URL('bullmq-hand.ts', import.meta.url), given.vary?.['processes'] ?? given.workers, {given, store: path});
		let added = 0;
		return {
			async drain(_task, payloads, intake) {
				added += payloads.length;
				if (intake === 'bulk') await queue.addBulk(payloads.map(payload => ({name: 'bench', data: payload})));
				else await enqueueEach(payloads, intake, payload => queue.add('bench', payload));
				await hands.finish(added, async () => (await queue.getCompletedCount()) + (await queue.getFailedCount()) >= added);
			},
			async sums() {
				let results = 0;
				const completed = await queue.getCompletedCount();
				for (let start = 0; start < completed; start += PAGE) {
					for (const {returnvalue} of await queue.getCompleted(start, start + PAGE - 1)) results += returnvalue as number;
				}
				return {completed, results};
			},
			async close() {
				await hands.close();
				await queue.close();
				await redis.flushall();
				await redis.quit();
			},
		} satisfies Running;
	},
};

const PAGE = 10_000;

function socketOf(given: Case, {servers}: Surroundings): string {
	const server = servers?.[serverOf(given) as string];
	if (!server) throw new Error('Redis is not running: the peers are measured with npm run bench:peers');
	return server.url;
}
