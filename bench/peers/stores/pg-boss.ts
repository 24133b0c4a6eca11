import {PgBoss} from 'pg-boss';
import type {StoreSubject} from '../../stores/store.ts';
import {createDatabase} from '../subjects/database.ts';

const NAME = 'bench';
const FILL_BATCH = 5000;

/** pg-boss's `fetch` and `complete`. Each contender has one connection. */
export const store: StoreSubject = {
	async create(given, surroundings) {
		const database = await createDatabase(given, surroundings);
		const boss = new PgBoss({connectionString: database.url, max: 2, supervise: false, schedule: false});
		await boss.start();
		await boss.createQueue(NAME, {retryLimit: 0});
		return {
			address: database.url,
			async fill(first, end) {
				for (let at = first; at < end; at += FILL_BATCH) await boss.insert(NAME, jobs(at, Math.min(at + FILL_BATCH, end)));
			},
			prepare: database.vacuum,
			async ready() {
				const {rows} = await database.client.query("select count(*)::int as ready from pgboss.job where name = 'bench' and state = 'created'");
				return rows[0].ready as number;
			},
			async close() {
				await boss.stop({graceful: false});
				await database.drop();
			},
		};
	},
	async connect(address) {
		const boss = new PgBoss({connectionString: address, max: 1, supervise: false, schedule: false, migrate: false});
		await boss.start();
		return {
			add: (first, end) => (end - first === 1 ? boss.send(NAME, {number: first}) : boss.insert(NAME, jobs(first, end))),
			async claim(batchSize) {
				const jobs = await boss.fetch<{number: number}>(NAME, {batchSize});
				return {numbers: jobs.map(({data}) => data.number), handle: jobs.map(({id}) => id)};
			},
			async complete({handle}) {
				await boss.complete(NAME, handle as string[]);
			},
			close: async () => boss.stop({graceful: false}),
		};
	},
};

function jobs(first: number, end: number): {data: {number: number}}[] {
	return Array.from({length: end - first}, (_, index) => ({data: {number: first + index}}));
}
