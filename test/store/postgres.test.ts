import {setTimeout as sleep} from 'node:timers/promises';
import test from 'ava';
import pg from 'pg';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import type {PostgresPool as Pool} from '../../lib/store/postgres-client.ts';
import type {Store} from '../../lib/store/store.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {exerciseStore} from './contract.ts';

const MAX_CONNECTIONS = 8;

let server: PostgresServer;
/** All stores share the connections. */
let shared: pg.Pool;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
	shared = new pg.Pool({connectionString: server.url, max: MAX_CONNECTIONS});
	// The server may end before a connection has.
	shared.on('error', () => {});
});

test.after.always(async () => {
	await shared?.end();
	await server?.stop();
});

/** By store, the number of its queries that are under way. */
const underWay = new WeakMap<Store, () => number>();

let opened = 0;

exerciseStore(
	'postgres',
	async options => {
		let queries = 0;
		const pool: Pool = {
			async connect() {
				queries++;
				const client = await shared.connect();
				return {
					query: config => client.query(config),
					on: (event, listener) => client.on(event, listener),
					off: (event, listener) => client.off(event, listener),
					release(destroy) {
						queries--;
						client.release(destroy);
					},
				};
			},
		};
		const store = new PostgresStore(server.url, {...options, schema: `queue ${++opened}`, pool});
		underWay.set(store, () => queries);
		await store.counts();
		return store;
	},
	{
		async nextTurn(store) {
			const queries = underWay.get(store) as () => number;
			do await new Promise(resolve => setImmediate(resolve));
			while (queries() > 0 && (await sleep(1, true)));
		},
	},
);
