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

/** Claimed at a time for each thread. A claim looks at the whole table, so the more the better, until the threads have enough. */
const CLAIMED_PER_WORKER = 50;

/**
 * Sidequest on SQLite, with its pool of worker threads. It has no bulk API. Set besides: WAL mode (`sidequest-backend.ts`); the engine in
 * the caller's process (`fork: false`), so that not two processes wait for each other's locks on the file; as many threads as the case has
 * workers, all of them from the start; more claimed at a time than run (`concurrency`, `maxConcurrentJobs`); a dispatcher without free slots
 * or jobs looks again after 10 ms instead of 100 ms (`jobPollingInterval`; sooner, its looks take more than they gain); jobs found without a
 * stack trace per enqueue (`manualJobResolution`); no dashboard, and no log of each job.
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
				// Jobs end about in the order of their ids, so that such a look is cheap.
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
