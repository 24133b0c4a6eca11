import {env} from 'node:process';
import test from 'ava';
import type pg from 'pg';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import {tellSeed} from '../fixtures/again.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {SEED} from '../fixtures/random.ts';
import {PoolWithoutGaps} from '../fixtures/watched-pool.ts';
import type {StoreOptions} from '../store/contract.ts';
import {checkModel, type Subject, timeoutFor} from './store-model.ts';

/** The number of sequences of commands. */
const runs = Number(env['FAENA_RUNS'] ?? 30);

let server: PostgresServer;
let shared: pg.Pool;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
	shared = openPool({connectionString: server.url, max: 3});
	const store = new PostgresStore(server.url, {pool: shared});
	await store.counts();
	await store.close();
});

test.after.always(async () => {
	await shared?.end();
	await server?.stop();
});

/** Makes the queue new: that takes less time than a schema for each sequence. */
const EMPTY = `
	do $$ declare tables text := (select string_agg(format('faena.%I', tablename), ', ') from pg_tables where schemaname = 'faena' and tablename not in ('version', 'function_set'));
	begin
		execute 'truncate ' || tables || ' restart identity';
		insert into faena.added_up values (0);
		alter sequence faena.job_id restart;
		alter sequence faena.lease_id restart;
	end $$`;

function postgres(options: StoreOptions): Subject {
	const pool = new PoolWithoutGaps(shared);
	return {
		async open() {
			const store = new PostgresStore(server.url, {...options, pool});
			await store.counts();
			return store;
		},
		nextTurn: () => pool.nextTurn(),
		async dispose() {
			await shared.query(EMPTY);
		},
	};
}

test('a PostgreSQL store answers as the model does, through any sequence of commands and reopenings', async t => {
	t.timeout(timeoutFor(runs));
	tellSeed(t, {FAENA_RUNS: runs});
	await checkModel(postgres, {seed: SEED, runs});
	t.pass();
});
