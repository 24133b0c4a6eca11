/** What a program hears of a database that it can't use, and what it never hears: the password. */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {type AddressInfo, createServer} from 'node:net';
import {text} from 'node:stream/consumers';
import {inspect} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import pg from 'pg';
import {open} from '../../lib/index.ts';
import {backup, openQueue, vacuum} from '../../lib/queue.ts';
import {openStore, schemaSql} from '../../lib/store/open-store.ts';
import {translate} from '../../lib/store/postgres/connection/postgres-errors.ts';
import {functionsOf} from '../../lib/store/postgres/connection/schema.ts';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import type {PostgresPool as Pool} from '../../lib/store/postgres-client.ts';
import type {ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {openEngine} from '../fixtures/engine.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {newJob} from './contract/laws.ts';

let server: PostgresServer;
let admin: pg.Pool;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start({fsync: 'off'});
	admin = openPool({connectionString: server.url, max: 1});
});

test.after.always(async () => {
	await admin?.end();
	await server?.stop();
});

/** The URL of the server, with other parts. */
function urlWith(parts: Partial<Record<'username' | 'password' | 'pathname' | 'port' | 'search', string>>): string {
	return Object.assign(new URL(server.url), parts).href;
}

async function failsWith(t: ExecutionContext, url: string, code: ErrorCode, message: RegExp): Promise<void> {
	const error = (await t.throwsAsync(openStore(url), {code})) as FaenaError;
	t.regex(error.message, message);
	const {password} = new URL(url);
	t.false(password !== '' && error.message.includes(password));
}

/** Makes a user, and returns the URL for it. */
async function makeUser(name: string, ...statements: string[]): Promise<string> {
	for (const statement of [`create user ${name} password 'hidden'`, ...statements]) await admin.query(statement);
	return urlWith({username: name, password: 'hidden'});
}

test('a wrong password', async t => {
	await failsWith(
		t,
		urlWith({password: 'wrong-one'}),
		'BadDatabase',
		/^The database postgres on 127\.0\.0\.1:\d+ refuses this user: .*\. Check the user and the password/,
	);
});

test('a database that does not exist', async t => {
	await failsWith(
		t,
		urlWith({pathname: '/nowhere'}),
		'BadDatabase',
		/^The database nowhere on .* does not exist\. Create it, or name another one \(3D000\)\.$/,
	);
});

test('a user who may not create a schema', async t => {
	const url = await makeUser('poor', 'revoke create on database postgres from public');
	await failsWith(
		t,
		url,
		'BadDatabase',
		/^This user may not prepare the database for this release of Faena: permission denied for database postgres\. .*faena schema --print/,
	);
});

test('a connection that is lost while a call is under way leaves its outcome unknown, whatever the network says', t => {
	for (const code of ['ECONNRESET', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ECONNABORTED', 'EPIPE', '57P01', '08P01', '08007']) {
		const error = Object.assign(new Error('gone'), {code});
		t.is((translate(error, 'The database', true) as FaenaError).code, 'OutcomeUnknown', code);
		t.not((translate(error, 'The database', false) as FaenaError).code, 'OutcomeUnknown', code);
	}
});

test('a user for whom a backslash in a text begins an escape', async t => {
	const url = await makeUser('escaping', 'grant create on database postgres to escaping', 'alter user escaping set standard_conforming_strings = off');
	const queue = new RawQueue(await openStore(`${url}?schema=escaping`));
	await queue.enqueue(Array.from({length: 3}, () => newJob()));
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['hash'], limit: 3});
	await queue.settle(
		lease,
		jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: 'null', startedAt: 1, durationMs: 1}})),
	);
	t.is(await queue.retry({ids: [2]}), 1);
	t.like(await queue.counts(), {completed: 2, pending: 1});
	await queue.close();
});

test('a user who owns a schema that was made for it, and may make none, gets the SQL that makes the other one; after that it works', async t => {
	const url = await makeUser('owner', 'revoke create on database postgres from public', 'create schema mine authorization owner');
	const {message} = (await t.throwsAsync(openStore(`${url}?schema=mine`), {code: 'BadDatabase'})) as FaenaError;
	t.regex(message, /permission denied for database postgres\. .* faena schema --print/);
	const [statements = ''] = /create schema .*;/.exec(message) ?? [];
	await admin.query(statements.replaceAll('OWNER', 'owner'));
	const store = await openStore(`${url}?schema=mine`);
	await store.setPaused(['task'], true);
	t.like(await store.counts(), [{task: 'task', isPaused: true}]);
	await store.close();
	// All belongs to the user, also what the next release will change.
	const {rows} = await admin.query(
		`select distinct pg_get_userbyid(relowner) as name from pg_class where relnamespace = 'mine'::regnamespace
		union select pg_get_userbyid(p.proowner) from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('mine', $1::text)
		union select pg_get_userbyid(nspowner) from pg_namespace where nspname = $1::text`,
		[functionsOf('mine')],
	);
	t.deepEqual(rows, [{name: 'owner'}]);
});

test('what prepares a queue runs nothing of another user: not what lies in that schema, and no function by the name of a usual one', async t => {
	await makeUser('mallory', 'create schema evil authorization mallory', 'grant create on schema public to mallory');
	const mallory = new pg.Client(urlWith({username: 'mallory', password: 'hidden'}));
	await mallory.connect();
	// A sequence stays as it is when a transaction is rolled back.
	await mallory.query(`create sequence evil.taken;
		create function evil.takes_over() returns boolean language plpgsql as $$ begin
			-- A role that was set can be set back.
			perform set_config('role', 'none', true);
			if (select rolsuper from pg_roles where rolname = current_user) then perform nextval('evil.taken'); end if;
			return true;
		end $$;
		create view evil.version as select 1 as number where evil.takes_over();
		create view evil.function_set as select '' as name, 1 as version, '{1}'::integer[] as release, now() as made_at, '' as views where evil.takes_over();
		create function public.format(template text, value text) returns text language plpgsql as $$ begin
			perform evil.takes_over();
			return pg_catalog.format(template, variadic array[value]);
		end $$`);
	const refused = await t.throwsAsync(admin.query(await schemaSql('postgres:///?schema=evil')));
	await admin.query('rollback');
	await admin.query(await schemaSql('postgres:///?schema=own'));
	await mallory.query('drop function public.format(text, text)');
	t.deepEqual((await admin.query('select is_called from evil.taken')).rows, [{is_called: false}]);
	t.is(refused?.message, 'the schema evil belongs to mallory');
	await mallory.end();
});

test('functions that another user has put where those of a release belong are not called', async t => {
	const url = await makeUser('worker', 'grant create on database postgres to worker');
	const owners = `${server.url}?schema=owned`;
	await (await openQueue(owners)).close();
	const functions = functionsOf('owned');
	await admin.query(`drop schema "${functions}" cascade; grant usage on schema owned to worker`);
	const worker = new pg.Client(url);
	await worker.connect();
	await worker.query(`create schema "${functions}"; grant usage on schema "${functions}" to public;
		create function "${functions}".is_whole(owned.version) returns boolean language sql as 'select true';
		create function "${functions}".look_at_arrived(bigint) returns bigint language plpgsql as $$ begin execute 'alter role worker superuser'; return null; end $$`);
	await failsWith(t, owners, 'BadDatabase', /may not prepare the database for this release of Faena: the schema owned_\w+ belongs to worker, so drop it\./);
	await t.throwsAsync(openQueue(owners, {readOnly: true}), {code: 'BadDatabase', message: /was not prepared for this release/});
	t.is((await admin.query("select from pg_roles where rolname = 'worker' and rolsuper")).rows.length, 0);
	await worker.query(`drop schema "${functions}" cascade`);
	await worker.end();
	await (await openQueue(owners)).close();
});

test('a schema that has tables of another program', async t => {
	await admin.query('create schema busy');
	await admin.query('create table busy.job (id integer)');
	await failsWith(t, urlWith({search: '?schema=busy'}), 'BadDatabase', /has something else in it: relation "job" already exists\. Name another schema/);
});

for (const level of ['repeatable read', 'serializable'] as const) {
	test(`a user whose transactions are ${level}`, async t => {
		const name = level.split(' ')[0] as string;
		const url = await makeUser(
			`is_${name}`,
			`grant create on database postgres to is_${name}`,
			`alter user is_${name} set default_transaction_isolation = '${level}'`,
		);
		const store = await openStore(`${url}?schema=${name}`);
		await t.throwsAsync(store.setPaused(['a'], true), {code: 'BadDatabase', message: /Set default_transaction_isolation of this user to read committed/});
		await store.close();
	});
}

test('names of schemas with characters that mean something', async t => {
	for (const schema of ['a$$b', 'a$&b', "a'b", 'a"b', 'a\\b', '$$;create table public.injected();--']) {
		const store = await openStore(urlWith({search: `?schema=${encodeURIComponent(schema)}`}));
		await store.setPaused(['task'], true);
		t.like(await store.counts(), [{task: 'task', isPaused: true}], schema);
		await store.close();
		t.is((await admin.query('select 1 from pg_namespace where nspname = $1', [schema])).rows.length, 1);
	}
	t.is((await admin.query("select to_regclass('public.injected') as found")).rows[0].found, null);
});

test('a queue that was dropped and made anew is another one', async t => {
	const url = urlWith({search: '?schema=again'});
	const store = new RawQueue(await openStore(url));
	await store.enqueue([newJob({task: 'first'})]);
	await admin.query('drop schema again cascade');
	const other = new RawQueue(await openStore(url));
	await other.enqueue([newJob({task: 'second'})]);
	await t.throwsAsync(store.enqueue([newJob({task: 'first'})]), {
		code: 'NewerDatabase',
		message: /is not the one that this program has opened: its schema was made anew/,
	});
	t.like(await other.counts(), {pending: 1});
	await Promise.all([store.close().catch(() => {}), other.close()]);
});

test('a server that can only be read for a while, as after a failover', async t => {
	const url = await makeUser('moved', 'grant create on database postgres to moved');
	const faena = await openEngine(t, {queue: `${url}?schema=moved`});
	await faena.call('echo', 1);
	const setReadOnly = async (value: string) => {
		await admin.query(`alter user moved set default_transaction_read_only = ${value}`);
		await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'moved'");
	};
	await setReadOnly('on');
	const called = faena.call('echo', 2, {key: 'two'});
	await new Promise(resolve => setTimeout(resolve, 1000));
	await setReadOnly('off');
	t.is(await called, 2);
	await faena.close();
});

test('a publication for all tables stops no call: each table has a primary key or a replica identity', async t => {
	await admin.query('create database published');
	const url = urlWith({pathname: '/published'});
	const faena = await openEngine(t, {queue: url});
	await faena.call('echo', 1);
	const client = new pg.Client(url);
	await client.connect();
	const {rows} = await client.query(`
		select c.relname from pg_class c where c.relnamespace = 'faena'::regnamespace and c.relkind in ('r', 'p') and c.relreplident <> 'f'
			and not exists (select from pg_index i where i.indrelid = c.oid and (i.indisprimary and c.relreplident = 'd' or i.indisreplident))`);
	t.deepEqual(rows, []);
	await client.query('create publication everything for all tables');
	t.is((await faena.map('echo', [1, 2, 3], {batch: 'b'}).toArray()).length, 3);
	const parent = await faena.enqueue('echo', 1, {delay: '1h'});
	// Its end is passed on to the child, and counts are added up.
	const child = await faena.enqueue('echo', 2, {dependsOn: [parent.id]});
	t.is(await faena.cancel({ids: [parent.id]}), 1);
	t.like(await child.outcome(), {status: 'cancelled'});
	await faena.cleanup({olderThan: 0});
	t.like(await faena.counts(), {completed: 0, cancelled: 0});
	await client.end();
	await faena.close();
});

test('tables that logical replication has copied are no queue', async t => {
	await (await openStore(urlWith({search: '?schema=replica'}))).close();
	await admin.query('drop function replica.oldest_version');
	await failsWith(
		t,
		urlWith({search: '?schema=replica'}),
		'BadDatabase',
		/lacks a part of Faena's schema: function replica\.oldest_version\(\) does not exist\. Restore it from a backup/,
	);
});

test('a server that refuses work for now counts as one that is away', t => {
	const refused = Object.assign(new Error('cannot update table "a" because it does not have a replica identity and publishes updates'), {code: '55000'});
	const {code, message} = translate(refused, 'The database d', true) as FaenaError;
	t.is(code, 'Unreachable');
	t.regex(message, /^The database d refuses work for now: cannot update table "a" .*\. Undo that, and work goes on \(55000\)\.$/);
});

test("with durability: 'full' each call waits for the disk, whatever synchronous_commit is by default", async t => {
	const url = await makeUser('lax', 'grant create on database postgres to lax');
	const commits = async (byDefault: string, durability: 'full' | 'normal') => {
		await admin.query(`alter user lax set synchronous_commit = ${byDefault}`);
		const schema = `lax_${byDefault}_${durability}`;
		const store = new RawQueue(await openStore(`${url}?schema=${schema}`, {durability}));
		// It runs as the transaction commits.
		await admin.query(`
			create table public.${schema} (setting text);
			grant insert on public.${schema} to lax;
			create function public.note_${schema}() returns trigger language plpgsql as $$ begin insert into public.${schema} values (current_setting('synchronous_commit')); return null; end $$;
			create constraint trigger note after insert on ${schema}.tally_change deferrable initially deferred for each row execute function public.note_${schema}()`);
		await store.enqueue([newJob({task: 'a'})]);
		t.is((await store.dequeue({owner: 'me', tasks: ['a'], limit: 1})).jobs.length, 1);
		await store.pause(['a']);
		await store.leave('me');
		await store.cancel({task: 'a'});
		await store.close();
		return (await admin.query(`select distinct setting from public.${schema}`)).rows.map(({setting}) => setting);
	};
	t.deepEqual(await commits('off', 'full'), ['on']);
	t.deepEqual(await commits('local', 'full'), ['local']);
	t.deepEqual(await commits('on', 'normal'), ['off']);
});

test('a program whose queue can not be opened ends', async t => {
	const url = urlWith({search: '?schema=nowhere'});
	const code = `import {openQueue} from ${JSON.stringify(new URL('../../lib/queue.ts', import.meta.url).href)};
		await openQueue(${JSON.stringify(url)}, {readOnly: true}).catch(error => console.log(error.code));`;
	const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {stdio: ['ignore', 'pipe', 'inherit']});
	t.teardown(() => child.kill('SIGKILL'));
	const [said, [exitCode]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
	t.deepEqual([said, exitCode], ['BadDatabase\n', 0]);
});

test('a user who can only read', async t => {
	const url = await makeUser('reader', 'grant create on database postgres to reader', 'alter user reader set default_transaction_read_only = on');
	await failsWith(t, url, 'BadDatabase', /can only be read: it is a standby, or a transaction there is read-only by default/);
});

test('a user whose statements are cancelled', async t => {
	const url = await makeUser('hasty', 'grant create on database postgres to hasty', "alter user hasty set statement_timeout = '1ms'");
	await failsWith(t, url, 'DatabaseBusy', /cancelled a statement: canceling statement due to (statement timeout|user request)\. Raise statement_timeout/);
});

test('a user who has no connection left', async t => {
	const url = await makeUser('single', 'alter user single connection limit 1');
	const other = new pg.Client(url);
	await other.connect();
	await failsWith(t, url, 'Unreachable', /has no connection left\. Raise its max_connections, or end other programs/);
	await other.end();
});

test('a server that does not run', async t => {
	const free = createServer().listen(0, '127.0.0.1');
	await new Promise(resolve => free.once('listening', resolve));
	const {port} = free.address() as AddressInfo;
	await new Promise(resolve => free.close(resolve));
	await failsWith(t, urlWith({port: `${port}`}), 'Unreachable', /can't be reached: .*ECONNREFUSED.* Check that the server runs, and its host and port\.$/);
});

test('a folder without a socket', async t => {
	await failsWith(t, 'postgres:///postgres?host=/nowhere', 'Unreachable', /^The database postgres on \/nowhere can't be reached: connect ENOENT/);
});

test('a parameter that is nearly schema', async t => {
	await failsWith(t, urlWith({search: '?shema=mine'}), 'BadOption', /has no parameter "shema"; did you mean schema\?/);
});

for (const url of [
	'postgres://user:hidden password@[host',
	'postgres://user:hidden@host:99999/postgres',
	'postgres://user:1/hidden@host/postgres',
	'postgres://user:12#hidden@host/postgres',
	'postgres://user:12?hidden@host/postgres',
	'Postgres:/user:hidden@host/postgres',
]) {
	test(`${url} is no URL`, async t => {
		const error = await t.throwsAsync(openStore(url), {
			code: 'BadOption',
			message: /^The URL of the queue must be postgres:\/\/user:password@host:port\/database/,
		});
		t.notRegex(`${error?.stack}`, /hidden/);
	});
}

test('a server without TLS', async t => {
	await failsWith(
		t,
		urlWith({search: '?sslmode=require'}),
		'BadDatabase',
		/does not offer TLS: The server does not support SSL connections\. Turn ssl on there/,
	);
});

test('a text that PostgreSQL can not store is refused, and others are stored', async t => {
	const store = new PostgresStore(server.url, {schema: 'texts'});
	const group = (payload: string) => ({...newJob(), values: [payload], keys: [`key ${payload}`]});
	await t.throwsAsync(store.commit({enqueue: [group('"a\0"')]}), {code: 'BadRow', message: /refuses to store this: .* \(22(P05|021)\)/});
	await store.commit({enqueue: [group('"ä\u{1f600}"')]});
	t.is((await store.jobs({})).count, 1);
	await store.close();
});

test('a database with another encoding', async t => {
	await admin.query("create database latin template template0 encoding 'LATIN1' locale 'C'");
	await failsWith(
		t,
		urlWith({pathname: '/latin'}),
		'BadDatabase',
		/needs a database with the encoding UTF8, and this one has LATIN1\. Create one with ENCODING 'UTF8'\.$/,
	);
});

test('a server that is too old', async t => {
	const pool = openPool({connectionString: server.url});
	const old: Pool = {
		async connect() {
			const client = await pool.connect();
			return {
				on: (event, listener) => client.on(event, listener),
				off: (event, listener) => client.off(event, listener),
				release: () => client.release(),
				query: async config => {
					const {rows, ...rest} = await client.query(config);
					return {...rest, rows: rows.map(row => ('encoding' in row ? {...row, version: '13.23', number: 130_023} : row))};
				},
			};
		},
	};
	const store = new PostgresStore(server.url, {schema: 'old', pool: old});
	await t.throwsAsync(store.counts(), {code: 'BadDatabase', message: /^Faena needs PostgreSQL 14 or newer, and this server is 13\.23\./});
	await store.close();
	await pool.end();
});

test('tables of a newer version that this one can not use', async t => {
	const store = new PostgresStore(server.url, {schema: 'newer'});
	await store.counts();
	const setOldest = (version: number) =>
		admin.query(`create or replace function newer.oldest_version() returns integer language sql stable as 'select ${version}'`);
	await admin.query('update newer.version set number = 99');
	await setOldest(98);
	const later = new PostgresStore(server.url, {schema: 'newer'});
	await t.throwsAsync(later.counts(), {
		code: 'NewerDatabase',
		message:
			/^The tables in the schema "newer" of the database have version 99, and need a Faena that knows version 98; this one knows version 1\. Use a newer Faena\.$/,
	});
	// A program that has opened the queue before it was changed.
	await t.throwsAsync(store.setPaused(['a'], true), {
		code: 'NewerDatabase',
		message: /is not the one that this program has opened: its tables have version 99/,
	});
	// One that this one can use.
	await setOldest(1);
	await store.setPaused(['a'], true);
	t.is((await later.counts()).length, 1);
	await Promise.all([store.close(), later.close()]);
});

test('no message shows a password', async t => {
	const records: unknown[] = [];
	const log = (fields: object) => void records.push(fields);
	await admin.query('create database logged');
	const url = Object.assign(new URL(server.url), {pathname: 'logged'}).href;
	const faena = await openEngine(t, {queue: url, logger: {debug: log, info: log, warn: log, error: log}});
	const store = new PostgresStore(url);
	t.regex(store.location, /^postgres:\/\/postgres@127\.0\.0\.1:\d+\/logged$/);
	await Promise.all([store.close(), faena.close()]);
	t.true(records.length >= 2);
	t.false(JSON.stringify(records).includes(new URL(server.url).password));
});

test('no inspection shows a password: of a queue, a store, an engine, a handle, a map, or an error and its causes', async t => {
	const hidden = 'pass-word';
	await admin.query(`create user inspected password '${hidden}'`);
	await admin.query('grant create on database postgres to inspected');
	const url = urlWith({username: 'inspected', password: hidden, search: '?schema=inspected'});
	const queue = await openQueue(url);
	const store = await openStore(url);
	const pool = openPool({connectionString: url, max: 2});
	const [engine, inline, pooled] = [await openEngine(t, {queue: url}), await openEngine(t, {queue: url, isolation: 'inline'}), await openQueue(url, {pool})];
	const errors = await Promise.all(
		[{port: '1'}, {username: 'nobody'}, {pathname: '/nowhere'}, {search: '?schma=a'}, {search: '?sslmode=require'}].map(parts =>
			openQueue(Object.assign(new URL(url), parts as {port?: string}).href).catch(error => error),
		),
	);
	t.true(errors.every(error => error instanceof Error));
	for (const each of [queue, store, pooled, engine, inline, await engine.enqueue('echo', 1), engine.map('echo', [1]), ...errors]) {
		t.false(inspect(each, {depth: Infinity, showHidden: true}).includes(hidden), `${each}`);
		t.false(`${each}${JSON.stringify(each, (_, value) => (typeof value === 'bigint' ? `${value}` : value))}`.includes(hidden), `${each}`);
	}
	await Promise.all([queue, store, pooled, engine, inline].map(each => each.close()));
	await pool.end();
});

test('a server that ends a connection in the packet that says it is ready ends no program', async t => {
	const message = (type: string, body: Buffer) => {
		const length = Buffer.alloc(4);
		length.writeInt32BE(body.length + 4);
		return Buffer.concat([Buffer.from(type), length, body]);
	};
	const ready = [message('R', Buffer.alloc(4)), message('Z', Buffer.from('I'))];
	const ends = message('E', Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0'));
	const server = createServer(socket => {
		socket.on('error', () => undefined);
		socket.once('data', () => socket.end(Buffer.concat([...ready, ends])));
	});
	await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
	const {port} = server.address() as AddressInfo;
	await t.throwsAsync(openQueue(`postgres://me@127.0.0.1:${port}/db`), {code: 'Unreachable'});
	server.close();
});

test('a URL that is mistyped is refused without its text, wherever a queue is named', async t => {
	const tasks = new URL('../fixtures/tasks.ts', import.meta.url);
	for (const location of [
		' postgres://me:S3cret@127.0.0.1:1/db',
		'postgress://me:S3cret@127.0.0.1:1/db',
		'pg://me:S3cret@h/db',
		'"postgres://me:S3cret@h/db"',
		'POSTGRE://S3cret',
		'postgres//me:S3cret@h/db',
	]) {
		const ways: readonly (() => Promise<unknown>)[] = [
			() => openQueue(location),
			() => openStore(location),
			() => open({queue: location, tasks}),
			() => openQueue(location, {readOnly: true}),
			() => vacuum(location),
			() => backup(location, 'copy.db'),
			() => backup('jobs.db', location),
			async () => new URL(location).protocol === 'postgres:' || (await open({queue: new URL(location), tasks})),
		];
		for (const way of ways) {
			const error = (await way().catch(error => error)) as true | NodeJS.ErrnoException;
			if (error === true || error.code === 'ERR_INVALID_URL') continue;
			t.is(error.code, 'BadOption', `${way}`);
			t.regex(error.message, /begins with postgres:\/\/, and this is another URL|a path or a file: URL; it got "\w+:"/);
			t.false(inspect(error, {showHidden: true}).includes('S3cret'));
		}
	}
});

test('a server that crashes and comes back: a call that was under way is in doubt, and the store goes on', async t => {
	t.timeout(120_000);
	const own = await PostgresServer.start();
	const store = new PostgresStore(own.url);
	await store.commit({enqueue: [{...newJob(), values: ['1']}]});
	await own.crash();
	const errors: unknown[] = [];
	for (let tries = 0; tries < 20; tries++) {
		const done = await store.commit({enqueue: [{...newJob(), values: ['2']}]}).catch(error => void errors.push(error));
		if (done) break;
	}
	for (const error of errors) t.true(['OutcomeUnknown', 'Unreachable'].includes((error as FaenaError).code), `${error}`);
	t.true((await store.jobs({})).count >= 2);
	await store.close();
	await own.stop();
});
