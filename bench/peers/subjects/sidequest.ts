import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import Database from 'better-sqlite3';
import {Sidequest} from 'sidequest';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {enqueueEach} from './intake.ts';
import {BenchJob} from './sidequest.jobs.ts';

/** Jobs that are claimed at a time for each thread. A claim reads the whole table, so more jobs are better until the threads have enough. */
const CLAIMED_PER_WORKER = 50;

/**
 * Sidequest on SQLite, with its pool of worker threads. It has no bulk API. These settings differ from its defaults:
 * - WAL mode (`sidequest-backend.ts`)
 * - `fork: false`: the engine is in the caller's process, so that two processes don't wait for each other's locks on the file
 * - as many threads as the case has workers, all of them from the start
 * - `concurrency`, `maxConcurrentJobs`: it claims more jobs at a time than it runs
 * - `jobPollingInterval`: a dispatcher without free slots or jobs looks again after 10 ms instead of 100 ms. Shorter intervals cost more
 *   than they gain
 * - `manualJobResolution`: it finds a job's class without a stack trace for each enqueue
 * - no dashboard, and no log of each job
 */
export const subject: Subject = {
	async open({durability, workers, task}, {folder}) {
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const store = join(place, 'sidequest.db');
		const atATime = workers * CLAIMED_PER_WORKER;
		await Sidequest.start({
			backend: {driver: moduleUrl(`peers/subjects/sidequest-${durability}`).href, config: store},
			queues: [{name: 'default', concurrency: atATime}],
			maxConcurrentJobs: atATime,
			minThreads: workers,
			maxThreads: workers,
			fork: false,
			jobPollingInterval: 10,
			manualJobResolution: true,
			jobsFilePath: fileURLToPath(moduleUrl('peers/subjects/sidequest.jobs')),
			dashboard: {enabled: false},
			logger: {level: 'error'},
			gracefulShutdown: false,
		});
		const database = new Database(store);
		const firstUnfinished = database
			.prepare("select id from sidequest_jobs where id >= ? and state not in ('completed', 'failed', 'canceled') limit 1")
			.pluck();
		let from = 1;
		return {
			warmUpJobs: 300,
			async drain(_task, payloads, intake) {
				await enqueueEach(payloads, intake, payload => Sidequest.build(BenchJob).enqueue(task, payload));
				// Jobs end roughly in the order of their ids, so this query is cheap.
				for (let id = firstUnfinished.get(from); id !== undefined; id = firstUnfinished.get(from)) {
					from = id as number;
					await delay(1);
				}
			},
			async sums() {
				const [completed, results] = database
					.prepare("select count(*), total(result) from sidequest_jobs where state = 'completed' and attempt = 1")
					.raw()
					.get() as [number, number];
				return {completed, results};
			},
			async close() {
				database.close();
				await Sidequest.stop();
				rmSync(place, {recursive: true});
			},
		} satisfies Running;
	},
};
