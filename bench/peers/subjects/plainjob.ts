import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {ForkedWorkers} from './forked-workers.ts';
import {enqueueEach} from './intake.ts';
import {openPlainjob} from './plainjob-queue.ts';

/**
 * plainjob as in its README: forked processes, each with a connection and a worker of its own ("Multi-process Workers"). The caller
 * enqueues, in bulk by `addMany`. Two settings differ from the defaults: an idle worker looks again after 1 ms instead of 1 s, and the
 * lane `full` has `synchronous=FULL` instead of NORMAL.
 */
export const subject: Subject = {
	async open(given, {folder}) {
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const store = join(place, 'plainjob.db');
		const {queue, database} = openPlainjob(store, given.durability);
		const workers = await ForkedWorkers.start(moduleUrl('peers/subjects/plainjob-forked'), {given, store});
		const unfinished = database.prepare('select 1 from plainjob_jobs where status in (0, 1) limit 1');
		let added = 0;
		return {
			...(given.intake !== 'strict' && {warmUpJobs: 5000}),
			async drain(_task, payloads, intake) {
				added += payloads.length;
				if (intake === 'bulk') queue.addMany('bench', [...payloads]);
				else await enqueueEach(payloads, intake, async payload => queue.add('bench', payload));
				await workers.finish(added, () => unfinished.get() === undefined);
			},
			// plainjob keeps no results.
			sums: async () => ({completed: queue.countJobs({status: 2}), results: workers.sums().results}),
			async close() {
				await workers.close();
				queue.close();
				rmSync(place, {recursive: true});
			},
		} satisfies Running;
	},
};
