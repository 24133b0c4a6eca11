import pg from 'pg';
import type {Case, Surroundings} from '../../plan/suite.ts';

export interface OwnDatabase {
	readonly url: string;
	/** A connection that looks at the remaining jobs. */
	readonly client: pg.Client;
	/**
	 * Vacuums and analyses all tables. Call it while there are no jobs. A warm-up leaves an empty table with the pages of a full one. If
	 * autovacuum happens to analyse it in that state, graphile-worker's next fetch of 500 jobs is a nested loop over the table and takes 5 s.
	 */
	vacuum(): Promise<void>;
	drop(): Promise<void>;
}

/**
 * Makes a new database on the PostgreSQL server for one measurement. It has the lane's `synchronous_commit`, for every connection of the
 * peer: with `off` a commit survives a crash of the program (and of the server, except the last moments), with `on` a loss of power.
 */
export async function createDatabase({durability}: Case, {servers}: Surroundings): Promise<OwnDatabase> {
	const server = servers?.['postgres'];
	if (!server) throw new Error('PostgreSQL is not running: measure the peers with npm run bench:peers');
	const name = `bench_${process.pid}_${Date.now()}`;
	await inServer(server.url, [`create database ${name}`, `alter database ${name} set synchronous_commit = ${durability === 'full' ? 'on' : 'off'}`]);
	const url = server.url.replace('/postgres?', `/${name}?`);
	const client = new pg.Client({connectionString: url});
	await client.connect();
	return {
		url,
		client,
		async vacuum() {
			await client.query('vacuum analyze');
		},
		async drop() {
			await client.end();
			// After the checkpoint the next measurement needn't write the pages that this one left.
			await inServer(server.url, [DISCONNECTED.replace('$1', name), `drop database ${name}`, 'checkpoint']);
		},
	};
}

/** Waits until the server has noticed that its clients are gone: dropping the database would throw out the others with an error. */
const DISCONNECTED = `do $$ begin
	for look in 1..1000 loop
		exit when not exists (select from pg_stat_activity where datname = '$1' and backend_type = 'client backend');
		perform pg_sleep(0.01), pg_stat_clear_snapshot();
	end loop;
end $$`;

async function inServer(url: string, statements: readonly string[]): Promise<void> {
	const client = new pg.Client({connectionString: url});
	await client.connect();
	for (const statement of statements) await client.query(statement);
	await client.end();
}
