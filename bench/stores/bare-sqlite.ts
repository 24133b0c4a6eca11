import {mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import Database from 'better-sqlite3';
import type {Case} from '../plan/suite.ts';
import type {StoreSubject} from './store.ts';

/** How long a connection waits for the lock. */
const BUSY_MS = 60_000;

const SCHEMA = `
	create table job (id integer primary key, number integer not null, state text not null);
	create index job_ready on job (id) where state = 'ready';
`;
const CLAIM = `update job set state = 'running' where id in (select id from job where state = 'ready' order by id limit ?) returning id, number`;
const COMPLETE = `update job set state = 'done' where id in (select value from json_each(?))`;

/**
 * The smallest queue that one would write by hand, on better-sqlite3 with the same durability: a table, a partial index, and one
 * statement that claims. It has no leases, attempts, priorities or results.
 */
export const store: StoreSubject = {
	async create(given, {folder}) {
		const place = mkdtempSync(join(folder, 'faena-bench-'));
		const address = join(place, 'jobs.db');
		const database = connect(address, given);
		database.exec(SCHEMA);
		return {
			address,
			fill: adder(database),
			ready: async () => database.prepare(`select count(*) from job where state = 'ready'`).pluck().get() as number,
			async close() {
				database.close();
				rmSync(place, {recursive: true});
			},
		};
	},
	async connect(address, given) {
		const database = connect(address, given);
		const [claim, complete] = [database.prepare(CLAIM), database.prepare(COMPLETE)];
		return {
			add: adder(database),
			async claim(most) {
				const rows = claim.all(most) as {readonly id: number; readonly number: number}[];
				return {numbers: rows.map(({number}) => number), handle: rows.map(({id}) => id)};
			},
			complete: async ({handle}) => void complete.run(JSON.stringify(handle)),
			close: async () => void database.close(),
		};
	},
};

function adder(database: Database.Database): (first: number, end: number) => Promise<void> {
	const insert = database.prepare(`insert into job (number, state) values (?, 'ready')`);
	const insertAll = database.transaction((first: number, end: number) => {
		for (let number = first; number < end; number++) insert.run(number);
	});
	return async (first, end) => insertAll(first, end);
}

function connect(file: string, {durability}: Case): Database.Database {
	if (durability === 'memory') throw new Error('Contenders share a file: there is no lane in memory.');
	const database = new Database(file, {timeout: BUSY_MS});
	database.pragma('journal_mode = wal');
	database.pragma(`synchronous = ${durability}`);
	return database;
}
