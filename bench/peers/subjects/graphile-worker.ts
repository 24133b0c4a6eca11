import {Logger, makeWorkerUtils} from 'graphile-worker';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {createDatabase} from './database.ts';
import {ForkedWorkers} from './forked-workers.ts';
import {enqueueEach} from './intake.ts';

/**
 * Graphile Worker with the settings of its documentation's page "Performance": forked processes, each with `concurrentJobs: 24`,
 * `localQueue.size: 500` and batches of completions without delay (`graphile-worker-forked.ts`). In bulk it enqueues by one call of
 * `addJobs`. `refetchDelay` is 10 ms, because without it each added job made all processes fetch. So the last jobs may wait for 10 ms.
 */
export const subject: Subject = {
	async open(given, surroundings) {
		const database = await createDatabase(given, surroundings);
		const utils = await makeWorkerUtils({preset: {worker: {connectionString: database.url, maxPoolSize: 20, logger: SILENT}}});
		await utils.migrate();
		const workers = await ForkedWorkers.start(moduleUrl('peers/subjects/graphile-worker-forked'), {given, store: database.url});
		let added = 0;
		return {
			...(given.intake === 'default' && {warmUpJobs: 2000}),
			prepare: database.vacuum,
			async drain(_task, payloads, intake) {
				added += payloads.length;
				if (intake === 'bulk') await utils.addJobs(payloads.map(payload => ({identifier: 'bench', payload: {payload}})));
				else await enqueueEach(payloads, intake, payload => utils.addJob('bench', {payload}));
				await workers.finish(added, async () => (await database.client.query('select 1 from graphile_worker._private_jobs limit 1')).rowCount === 0);
			},
			// Graphile Worker deletes completed jobs, and keeps no results.
			sums: async () => workers.sums(),
			async close() {
				await workers.close();
				await utils.release();
				await database.drop();
			},
		} satisfies Running;
	},
};

const SILENT = new Logger(() => () => {});
