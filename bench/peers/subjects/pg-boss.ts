import {PgBoss} from 'pg-boss';
import {moduleUrl} from '../../measure/module-url.ts';
import type {Running, Subject} from '../../subjects/subject.ts';
import {createDatabase} from './database.ts';
import {Hands} from './hands.ts';
import {enqueueEach} from './intake.ts';

/**
 * pg-boss: forked processes that fetch in batches and fetch again at once while batches are full (`pg-boss-hand.ts`); no supervision while
 * something is measured. In bulk by one `insert` call. NOTIFY wakes the workers, but where 64 jobs are added at a time: PostgreSQL lets one
 * transaction commit at a time that notifies, and each wakes all workers, so that polling (every 0.5 s, the least it takes) is several times
 * faster; the last jobs may then wait for 0.5 s.
 */
export const subject: Subject = {
	async open(given, surroundings) {
		const database = await createDatabase(given, surroundings);
		const boss = new PgBoss({connectionString: database.url, max: 20, supervise: false, schedule: false});
		await boss.start();
		await boss.createQueue('bench', {notify: given.intake !== 'default', retryLimit: 0});
		const hands = await Hands.start(moduleUrl('peers/subjects/pg-boss-hand'), given.vary?.['processes'] ?? given.workers, {given, store: database.url});
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
				await hands.finish(added, async () => (await database.client.query(unfinished)).rowCount === 0);
			},
			async sums() {
				const {rows} = await database.client.query("select count(*)::int as completed from pgboss.job where name = 'bench' and state = 'completed'");
				// In batches it keeps no results.
				return {completed: rows[0].completed as number, results: hands.sums().results};
			},
			async close() {
				await hands.close();
				await boss.stop({graceful: false});
				await database.drop();
			},
		} satisfies Running;
	},
};
