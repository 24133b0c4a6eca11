import {PgBoss} from 'pg-boss';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {createDatabase} from './database.ts';
import {ForkedWorkers} from './forked-workers.ts';
import {enqueueEach} from './intake.ts';

/**
 * pg-boss in forked processes, which fetch in batches, and fetch again at once while batches are full (`pg-boss-forked.ts`). Supervision is
 * off. In bulk it enqueues by one call of `insert`. NOTIFY wakes the workers, except in the lane with 64 adds under way. PostgreSQL commits
 * only one notifying transaction at a time, and each wakes all workers. So there polling is several times faster (every 0.5 s, the
 * shortest interval that pg-boss takes), but the last jobs may wait for 0.5 s.
 */
export const subject: Subject = {
	async open(given, surroundings) {
		const database = await createDatabase(given, surroundings);
		const boss = new PgBoss({connectionString: database.url, max: 20, supervise: false, schedule: false});
		await boss.start();
		await boss.createQueue('bench', {notify: given.intake !== 'default', retryLimit: 0});
		const workers = await ForkedWorkers.start(moduleUrl('peers/subjects/pg-boss-forked'), {given, store: database.url});
		let added = 0;
		const unfinished = "select 1 from pgboss.job where name = 'bench' and state < 'completed' limit 1";
		return {
			...(given.intake === 'default' && {warmUpJobs: 2000}),
			prepare: database.vacuum,
			async drain(_task, payloads, intake) {
				added += payloads.length;
				if (intake === 'bulk')
					await boss.insert(
						'bench',
						payloads.map(payload => ({data: {payload}})),
					);
				else await enqueueEach(payloads, intake, payload => boss.send('bench', {payload}));
				await workers.finish(added, async () => (await database.client.query(unfinished)).rowCount === 0);
			},
			async sums() {
				const {rows} = await database.client.query("select count(*)::int as completed from pgboss.job where name = 'bench' and state = 'completed'");
				// pg-boss keeps no results of batches.
				return {completed: rows[0].completed as number, results: workers.sums().results};
			},
			async close() {
				await workers.close();
				await boss.stop({graceful: false});
				await database.drop();
			},
		} satisfies Running;
	},
};
