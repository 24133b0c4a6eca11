import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {sql} from 'drizzle-orm';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {ForkedWorkers} from './forked-workers.ts';
import {enqueueEach} from './intake.ts';
import {openLiteque} from './liteque-queue.ts';

/**
 * liteque with the `Runner` of its README, in forked processes for work that needs more than one core. It has no bulk API. An idle runner
 * looks again at once (a timer of 0) instead of after a second. In the lane `full` it has `synchronous=FULL` instead of NORMAL.
 */
export const subject: Subject = {
	async open(given, {folder}) {
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const store = join(place, 'liteque.db');
		const {queue, database} = openLiteque(store, given.durability, {runMigrations: true});
		const workers = await ForkedWorkers.start(moduleUrl('peers/subjects/liteque-forked'), {given, store});
		let added = 0;
		return {
			warmUpJobs: 500,
			async drain(_task, payloads, intake) {
				added += payloads.length;
				await enqueueEach(payloads, intake, payload => queue.enqueue(payload));
				await workers.finish(added, () => database.get(sql`select 1 from tasks limit 1`) === undefined);
			},
			// liteque keeps neither results nor completed jobs. `drain` has checked that no job is left.
			sums: async () => workers.sums(),
			async close() {
				await workers.close();
				rmSync(place, {recursive: true});
			},
		} satisfies Running;
	},
};
