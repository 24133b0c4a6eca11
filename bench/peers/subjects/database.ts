import pg from 'pg';
import type {Case, Surroundings} from '../../plan/suite.ts';

export interface OwnDatabase {
	readonly url: string;
	/** One connection, to look at what is left. */
	readonly client: pg.Client;
	/**
	 * To be called where nothing is to do: what a warm-up leaves is an empty table that has the pages of a full one. If autovacuum analyses it in
	 * that state (and it may or may not), graphile-worker's next fetch of 500 jobs takes 5 s, by a nested loop over the table.
	 */
	vacuum(): Promise<void>;
	drop(): Promise<void>;
}

/**
 * A fresh database on the PostgreSQL server for one measurement. The lane is set on it, so it holds for each connection of the peer: a
 * commit with `synchronous_commit=off` survives a crash of the program (and of the server, but for its last moments), `on` a loss of power.
 */
export async function createDatabase({durability}: Case, {servers}: Surroundings): Promise<OwnDatabase> {
	const server = servers?.['postgres'];
	if (!server) throw new Error('PostgreSQL is not running: the peers are measured with npm run bench:peers');
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
			// With the checkpoint, so that the next one has not to write what this one left.
			await inServer(server.url, [DISCONNECTED.replace('$1', name), `drop database ${name}`, 'checkpoint']);
		},
	};
}

/** The server may notice a moment later that clients have gone; whom it throws out fails loudly. */
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
