import test from 'ava';
import type pg from 'pg';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import type {Store} from '../../lib/store/store.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {WatchedPool} from '../fixtures/watched-pool.ts';
import {exerciseStore, type StoreOptions} from './contract.ts';

const MAX_CONNECTIONS = 8;

/** `npm run next-columns`: each table has a column more, as the next version may have. Then the functions of this one must do as before. */
const HAS_NEXT_COLUMNS = process.env['FAENA_NEXT_COLUMNS'] !== undefined;

let server: PostgresServer;
/** All stores share the connections. */
let shared: pg.Pool;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start({fsync: 'off', track_functions: 'all'});
	shared = openPool({connectionString: server.url, max: MAX_CONNECTIONS});
});

/** Functions that no law calls. */
const CALLED_ELSEWHERE: readonly string[] = [
	// In transactions of programs, and from SQL: own-transaction.test.ts.
	...['enqueue_checked', 'enqueue_given', 'ms_of', 'number_of_option', 'refuse_arrived', 'refuse_option', 'refuse_unknown', 'reuse', 'take_over_first'],
	// To other stores: notifications.test.ts.
	...['tell_if_first', 'tell_others'],
];

test.after('each function has been called', async t => {
	if (!HAS_NEXT_COLUMNS) return;
	// Those in SQL become part of the statements that call them.
	const {rows} =
		await shared.query(`select distinct p.proname as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
		where n.nspname like 'queue 0_%' and l.lanname = 'plpgsql' and not exists (select from pg_stat_user_functions f where f.funcname = p.proname and f.calls > 0) order by 1`);
	t.deepEqual(
		rows.map(({name}) => name),
		CALLED_ELSEWHERE,
	);
});

test.after.always(async () => {
	await shared?.end();
	await server?.stop();
});

const pools = new WeakMap<Store, WatchedPool>();

const openIn = async (schema: string, options: StoreOptions) => {
	const pool = new WatchedPool(shared);
	const store = new PostgresStore(server.url, {...options, schema, pool});
	pools.set(store, pool);
	await store.counts();
	if (HAS_NEXT_COLUMNS)
		await shared.query(`do $$ declare each text; begin
		for each in select tablename from pg_tables where schemaname = '${schema}' loop execute format('alter table %I.%I add column if not exists next integer default 1', '${schema}', each); end loop;
	end $$`);
	return store;
};

/** Schemas for laws that need one store. The server compiles the functions of each schema anew, which takes longer than most laws. The first comes last: it is taken first. */
const free = Array.from({length: MAX_CONNECTIONS}, (_, index) => `queue ${MAX_CONNECTIONS - 1 - index}`);
const waiting: ((schema: string) => void)[] = [];

/** Opens an empty store. Its close gives its schema to the next one. */
async function openEmpty(options: StoreOptions): Promise<Store> {
	const schema = free.pop() ?? (await new Promise<string>(resolve => waiting.push(resolve)));
	await shared.query(`do $$ declare each text; begin
		if to_regclass('"${schema}".job') is null then return; end if;
		for each in select tablename from pg_tables where schemaname = '${schema}' and tablename not in ('version', 'function_set') loop execute format('delete from %I.%I', '${schema}', each); end loop;
		for each in select sequencename from pg_sequences where schemaname = '${schema}' loop execute format('alter sequence %I.%I restart', '${schema}', each); end loop;
		insert into "${schema}".added_up values (0);
	end $$`);
	const store = await openIn(schema, options);
	const close = store.close.bind(store);
	let closing: Promise<void> | undefined;
	store.close = () => {
		// Once, also if the law closes it twice at a time.
		closing ??= close().then(() => {
			const next = waiting.shift();
			if (next) next(schema);
			else free.push(schema);
		});
		return closing;
	};
	return store;
}

let opened = 0;

exerciseStore('postgres', openEmpty, {
	shared: options => openIn(`shared ${++opened}`, options),
	again: options => openIn(`shared ${opened}`, options),
	nextTurn: async store => pools.get(store)?.nextTurn(),
});
