import {execFile} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import test from 'ava';
import pg from 'pg';
import {pack} from '../../lib/job/groups/packed.ts';
import {moveQueue} from '../../lib/queue.ts';
import type {schemaSql} from '../../lib/store/open-store.ts';
import {functionsOf, type installation, OLDEST, VERSION} from '../../lib/store/postgres/connection/schema.ts';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import type {FaenaError} from '../../lib/support/errors.ts';
import {makeNextVersion, NEXT_RELEASE, NEXT_VERSION} from '../fixtures/next-version.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {RawQueue} from '../fixtures/raw-queue.ts';
import {newJob} from './contract/laws.ts';

const run = promisify(execFile);

/** The modules of the next version. */
interface Next {
	readonly PostgresStore: typeof PostgresStore;
	readonly functionsOf: typeof functionsOf;
	readonly installation: typeof installation;
	readonly schemaSql: typeof schemaSql;
}

const folder = mkdtempSync(join(tmpdir(), 'faena-next-'));
let server: PostgresServer;
let admin: pg.Pool;
/** It adds a column. */
let next: Next;
/** It can't be used beside this version. */
let breaking: Next;

async function load(name: string, options?: {readonly oldest: number}): Promise<Next> {
	const path = join(makeNextVersion(join(folder, name), options), 'lib/store');
	const modules = ['postgres/postgres.ts', 'postgres/connection/schema.ts', 'open-store.ts'].map(module => import(join(path, module)));
	return Object.assign({}, ...(await Promise.all(modules)));
}

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
	admin = openPool({connectionString: server.url, max: 5});
	next = await load('next');
	breaking = await load('breaking', {oldest: NEXT_VERSION});
});

test.after.always(async () => {
	await admin?.end();
	await server?.stop();
	rmSync(folder, {recursive: true, force: true});
});

const openIn = (schema: string, Store = PostgresStore) => new RawQueue(new Store(server.url, {schema}));
const versionOf = async (schema: string) => (await admin.query(`select number, "${schema}".oldest_version() as oldest from "${schema}".version`)).rows[0];
const setsOf = async (schema: string) => (await admin.query(`select name from "${schema}".function_set order by release`)).rows.map(({name}) => name as string);
const isThere = async (name: string) => (await admin.query('select from pg_namespace where nspname = $1', [name])).rows.length > 0;
/** Whose functions the face calls. */
const faceOf = async (schema: string) =>
	(await admin.query(`select split_part(proconfig[1], '=', 2) as path from pg_proc where oid = '"${schema}".enqueue(text, jsonb, jsonb)'::regprocedure`))
		.rows[0].path as string;

test('two versions work on one queue, and the face calls the newest', async t => {
	const old = openIn('both');
	await old.enqueue([newJob()]);
	const newer = openIn('both', next.PostgresStore);
	await newer.enqueue([newJob()]);
	t.deepEqual(await versionOf('both'), {number: NEXT_VERSION, oldest: OLDEST});
	t.deepEqual(await setsOf('both'), [functionsOf('both'), next.functionsOf('both')]);
	await admin.query(`select "both".enqueue('${newJob().task}')`);
	await old.enqueue([newJob()]);
	t.deepEqual(
		(await admin.query('select made_by from "both".job order by first')).rows,
		[null, NEXT_RELEASE, null, null].map(made_by => ({made_by})),
	);
	t.regex(await faceOf('both'), new RegExp(next.functionsOf('both')));
	const claimed = async (queue: RawQueue, owner: string) => {
		const {lease, jobs} = await queue.dequeue({owner, tasks: [newJob().task], limit: 2});
		for (const {id, execution} of jobs) t.true(await queue.complete({id, lease, execution}, '1'));
		return jobs.length;
	};
	t.is((await claimed(old, 'old')) + (await claimed(newer, 'new')), 4);
	// An older program that comes later changes neither the tables nor the face.
	await Promise.all([old.close(), newer.close()]);
	const late = openIn('both');
	t.like(await late.counts(), {completed: 4});
	await late.close();
	t.deepEqual(await versionOf('both'), {number: NEXT_VERSION, oldest: OLDEST});
	t.regex(await faceOf('both'), new RegExp(next.functionsOf('both')));
});

test('a schema with tables of others is not dropped, though it has the name of the functions', async t => {
	await admin.query(`create schema "${functionsOf('named')}"; create table "${functionsOf('named')}".mine as select 1 as number`);
	const queue = openIn('named');
	await t.throwsAsync(queue.counts(), {code: 'BadDatabase', message: /holds tables; drop it, or name the schema of the queue otherwise/});
	await queue.close();
	t.deepEqual((await admin.query(`select * from "${functionsOf('named')}".mine`)).rows, [{number: 1}]);
});

test('what a newer version keeps in a new column stays when an older program changes one of the jobs that share its row', async t => {
	const old = openIn('columns');
	await old.counts();
	const newer = openIn('columns', next.PostgresStore);
	await newer.store.commit({enqueue: [{...newJob(), values: pack(['1', '2', '3', '4', '5', '6'])}]});
	t.true(await old.edit(3, {priority: 5}));
	t.like(await old.discard([5], {stop: false}), {discarded: [5]});
	const {rows} = await admin.query('select first::integer, made_by from columns.job order by first');
	t.deepEqual(
		rows,
		[1, 3, 4, 6].map(first => ({first, made_by: NEXT_RELEASE})),
	);
	await Promise.all([old.close(), newer.close()]);
});

test('an upgrade that is killed at any step leaves what was there, and the next one does all', async t => {
	t.timeout(120_000);
	for (const from of [undefined, PostgresStore]) {
		const schema = from ? 'killed upgrade' : 'killed';
		if (from) {
			const old = openIn(schema);
			await old.enqueue([newJob({key: 'a'})]);
			await old.close();
		}
		const steps = next.installation(schema).split(/(?<=^end \$\w+\$;)$/m);
		t.true(steps.length > 4);
		for (let step = 1; step <= steps.length; step++) {
			const client = new pg.Client(server.url);
			client.on('error', () => {});
			await client.connect();
			const [{pid}] = ((await client.query('begin; select pg_backend_pid() as pid')) as unknown as readonly [unknown, pg.QueryResult])[1].rows;
			await client.query(steps.slice(0, step).join(''));
			await admin.query('select pg_terminate_backend($1)', [pid]);
			await client.end().catch(() => {});
			while ((await admin.query('select from pg_stat_activity where pid = $1', [pid])).rows.length > 0);
			t.false(await isThere(next.functionsOf(schema)));
			t.is(await isThere(schema), from !== undefined);
			if (from) t.deepEqual(await versionOf(schema), {number: VERSION, oldest: OLDEST});
		}
		const queue = openIn(schema, next.PostgresStore);
		t.like(await queue.enqueue([newJob({key: 'a'})]), [{id: 1, reused: from !== undefined}]);
		t.deepEqual(await versionOf(schema), {number: NEXT_VERSION, oldest: OLDEST});
		await queue.close();
	}
});

test('20 programs that upgrade at once make one upgrade', async t => {
	t.timeout(180_000);
	const old = openIn('at once');
	await old.enqueue([newJob()]);
	await old.close();
	const program = `import {PostgresStore} from ${JSON.stringify(join(folder, 'next/lib/store/postgres/postgres.ts'))};
		const store = new PostgresStore(${JSON.stringify(server.url)}, {schema: 'at once'});
		console.log((await store.counts()).length);
		await store.close();`;
	const ends = await Promise.all(Array.from({length: 20}, () => run(process.execPath, ['--input-type=module', '--eval', program])));
	t.deepEqual(
		ends.map(({stdout}) => stdout),
		Array(20).fill('1\n'),
	);
	t.deepEqual(await versionOf('at once'), {number: NEXT_VERSION, oldest: OLDEST});
	t.is((await setsOf('at once')).length, 2);
});

test('a version that can not be used beside another one waits for its programs to go, and then keeps them out', async t => {
	const old = openIn('breaking');
	await old.enqueue([newJob()]);
	const newer = openIn('breaking', breaking.PostgresStore);
	const refused = (await t.throwsAsync(newer.counts())) as FaenaError;
	t.is(refused.code, 'DatabaseBusy');
	t.regex(
		refused.message,
		new RegExp(`\\(tables of version ${VERSION}\\) use it, which can't go on .* a release whose tables have version ${NEXT_VERSION} to all programs`),
	);
	t.deepEqual(await versionOf('breaking'), {number: VERSION, oldest: OLDEST});
	await old.enqueue([newJob()]);
	await old.close();
	t.like(await newer.counts(), {pending: 2});
	t.deepEqual(await versionOf('breaking'), {number: NEXT_VERSION, oldest: NEXT_VERSION});
	const late = openIn('breaking');
	await t.throwsAsync(late.counts(), {
		code: 'NewerDatabase',
		message: new RegExp(`have version ${NEXT_VERSION}, and need a Faena that knows version ${NEXT_VERSION}; this one knows version ${VERSION}`),
	});
	await Promise.all([newer.close(), late.close()]);
});

test('an upgrade does not wait for a long query while calls wait for it: they go on in between', async t => {
	t.timeout(60_000);
	const old = openIn('busy');
	await old.enqueue([newJob()]);
	const reader = new pg.Client(server.url);
	await reader.connect();
	await reader.query('begin; select * from busy.jobs');
	const newer = openIn('busy', next.PostgresStore);
	const upgraded = newer.counts();
	for (let number = 0; number < 20; number++) await old.enqueue([newJob()]);
	t.deepEqual(await versionOf('busy'), {number: VERSION, oldest: OLDEST});
	await reader.query('commit');
	t.like(await upgraded, {pending: 21});
	await Promise.all([old.close(), newer.close(), reader.end()]);
});

test('the SQL that faena schema prints gives way to a long query, as a program does: calls go on, and later it succeeds', async t => {
	t.timeout(60_000);
	const old = openIn('printed');
	await old.enqueue([newJob()]);
	const [reader, owner] = [new pg.Client(server.url), new pg.Client(server.url)];
	await Promise.all([reader.connect(), owner.connect()]);
	await reader.query('begin; select * from printed.jobs');
	const sql = await next.schemaSql('postgres:///?schema=printed');
	await t.throwsAsync(owner.query(sql), {message: /lock timeout/});
	await owner.query('rollback');
	await old.enqueue([newJob()]);
	t.deepEqual(await versionOf('printed'), {number: VERSION, oldest: OLDEST});
	await reader.query('commit');
	await owner.query(sql);
	t.deepEqual(await versionOf('printed'), {number: NEXT_VERSION, oldest: OLDEST});
	t.like(await old.counts(), {pending: 2});
	await Promise.all([old.close(), reader.end(), owner.end()]);
});

test('a queue that has moved is upgraded for those who read it', async t => {
	const old = openIn('left');
	await old.enqueue([newJob()]);
	await old.close();
	await moveQueue(`${server.url}?schema=left`, join(folder, 'moved.db'));
	const newer = openIn('left', next.PostgresStore);
	t.like(await newer.counts(), {pending: 1});
	t.deepEqual(await versionOf('left'), {number: NEXT_VERSION, oldest: OLDEST});
	await t.throwsAsync(newer.enqueue([newJob()]), {code: 'QueueMoved'});
	await newer.close();
});

test('functions that nobody has used for a week are dropped, but for those of the latest release and those that a connection uses', async t => {
	const old = openIn('week');
	await old.enqueue([newJob()]);
	const newer = openIn('week', next.PostgresStore);
	await newer.counts();
	const age = (days: number) => admin.query(`update week.function_set set used_at = now() - interval '${days} days'`);
	await age(8);
	await newer.reclaim();
	// A connection of the old program shares their lock.
	t.is((await setsOf('week')).length, 2);
	await old.close();
	await age(6);
	await newer.reclaim();
	t.is((await setsOf('week')).length, 2);
	await age(8);
	await newer.reclaim();
	t.deepEqual(await setsOf('week'), [next.functionsOf('week')]);
	t.false(await isThere(functionsOf('week')));
	await newer.close();
	// An older program that comes back makes them again. It does not drop those of the latest release, which others use by the face.
	const again = openIn('week');
	t.like(await again.counts(), {pending: 1});
	await age(8);
	await again.reclaim();
	t.deepEqual(await setsOf('week'), [functionsOf('week'), next.functionsOf('week')]);
	await again.close();
});

test('a program whose functions were dropped, since a pooler has hidden its connections, makes them again', async t => {
	const queue = openIn('hidden');
	await queue.enqueue([newJob()]);
	await admin.query(`drop schema "${functionsOf('hidden')}" cascade`);
	t.like(await queue.enqueue([newJob()]), [{id: 2}]);
	await queue.close();
});
