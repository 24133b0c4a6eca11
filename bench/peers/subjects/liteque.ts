import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {sql} from 'drizzle-orm';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {Hands} from './hands.ts';
import {enqueueEach} from './intake.ts';
import {openLiteque} from './liteque-queue.ts';

/**
 * liteque: its README's `Runner`, in forked processes for work that needs more than one core. It has no bulk API. An idle runner looks
 * again at once (a timer of 0) instead of after a second; `synchronous=FULL` is set for the lane `full` (its own is NORMAL).
 */
export const subject: Subject = {
	async open(given, {folder}) {
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const store = join(place, 'liteque.db');
		const {queue, database} = openLiteque(store, given.durability, {runMigrations: true});
		const hands = await Hands.start(moduleUrl('peers/subjects/liteque-hand'), given.vary?.['processes'] ?? given.workers, {given, store});
		let added = 0;
		return {
			warmUpJobs: 500,
			async drain(_task, payloads, intake) {
				added += payloads.length;
				await enqueueEach(payloads, intake, payload => queue.enqueue(payload));
				await hands.finish(added, () => database.get(sql`select 1 from tasks limit 1`) === undefined);
			},
			// It keeps neither results nor what is completed: that nothing is left was seen in `drain`.
			sums: async () => hands.sums(),
			async close() {
				await hands.close();
				rmSync(place, {recursive: true});
			},
		} satisfies Running;
	},
};
