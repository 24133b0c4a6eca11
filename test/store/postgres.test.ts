import test from 'ava';
import type pg from 'pg';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import type {Store} from '../../lib/store/store.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {WatchedPool} from '../fixtures/watched-pool.ts';
import {exerciseStore, type StoreOptions} from './contract.ts';

const MAX_CONNECTIONS = 8;

let server: PostgresServer;
/** All stores share the connections. */
let shared: pg.Pool;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
	shared = openPool({connectionString: server.url, max: MAX_CONNECTIONS});
});

test.after.always(async () => {
	await shared?.end();
	await server?.stop();
});

const pools = new WeakMap<Store, WatchedPool>();

let opened = 0;

const openLast = async (options: StoreOptions) => {
	const pool = new WatchedPool(shared);
	const store = new PostgresStore(server.url, {...options, schema: `queue ${opened}`, pool});
	pools.set(store, pool);
	await store.counts();
	return store;
};

exerciseStore(
	'postgres',
	options => {
		opened++;
		return openLast(options);
	},
	{again: openLast, nextTurn: async store => pools.get(store)?.nextTurn()},
);
