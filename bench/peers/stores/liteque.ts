import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {sql} from 'drizzle-orm';
import type {StoreSubject} from '../../stores/store.ts';
import {openLiteque} from '../subjects/liteque-queue.ts';

const TIMEOUT_SECONDS = 600;

/** liteque's own methods, which claim and complete one job at a time. If another contender was faster, a claim tries again. */
export const store: StoreSubject = {
	async create({durability}, {folder}) {
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const address = join(place, 'liteque.db');
		const {queue, database} = openLiteque(address, durability, {runMigrations: true});
		// Only for this connection, which fills the store.
		database.run(sql`pragma synchronous = off`);
		return {
			address,
			async fill(first, end) {
				for (let number = first; number < end; number++) await queue.enqueue(number);
			},
			ready: async () => (await queue.stats()).pending,
			close: async () => rmSync(place, {recursive: true}),
		};
	},
	async connect(address, {durability}) {
		const {queue, database} = openLiteque(address, durability);
		database.run(sql`pragma busy_timeout = 60000`);
		return {
			async add(first, end) {
				for (let number = first; number < end; number++) await queue.enqueue(number);
			},
			async claim() {
				do {
					const job = await queue.attemptDequeue({timeoutSecs: TIMEOUT_SECONDS});
					if (job) return {numbers: [Number(JSON.parse(job.payload))], handle: job};
				} while (database.get(sql`select 1 from tasks where status = 'pending' limit 1`) !== undefined);
				return {numbers: [], handle: undefined};
			},
			async complete({handle}) {
				const {id, allocationId} = handle as {readonly id: number; readonly allocationId: string};
				await queue.finalize(id, allocationId, 'completed');
			},
			close: async () => {},
		};
	},
};
