/** The SQL of docs/postgres.md in PostgreSQL's own client, if the system has it. */
import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import anyTest from 'ava';
import {PostgresStore} from '../../lib/store/postgres/postgres.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {openRawQueue, RawQueue} from '../fixtures/raw-queue.ts';
import {newJob} from './contract/laws.ts';

const isInstalled = spawnSync('psql', ['--version'], {stdio: 'ignore'}).status === 0;
const test = isInstalled ? anyTest : anyTest.skip;

let server: PostgresServer;

anyTest.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

anyTest.after.always(() => server?.stop());

/** What psql prints, without alignment. */
function psql(sql: string): {readonly status: number | null; readonly stdout: string; readonly stderr: string} {
	return spawnSync('psql', [server.url, '-XqtA', '-v', 'ON_ERROR_STOP=1', '-f', '-'], {input: sql, encoding: 'utf8'});
}

test('the SQL of the document', async t => {
	const queue = await openRawQueue(server.url);
	await queue.counts();
	const [, sql = ''] = /```sql\n(.*?)```/s.exec(readFileSync(new URL('../../docs/postgres.md', import.meta.url), 'utf8')) ?? [];
	const {status, stdout, stderr} = psql(sql);
	t.is(status, 0, stderr);
	t.is(stdout, '1|f\n2|f\nthumbnail|f|0|2|0|0|0|0|0\n');
	const second = psql(sql);
	t.is(second.stdout, '3|f\n2|t\nthumbnail|f|0|3|0|0|0|0|0\n', second.stderr);
	t.like(await queue.job(2), {task: 'thumbnail', key: 'b.jpg', priority: 5, maxAttempts: 5, timeoutMs: 30_000});
	t.is((await queue.values(1))?.payload, '{"file": "a.jpg"}');
	await queue.close();
});

test('a transaction that is rolled back enqueues nothing, and a wrong option is a sentence', async t => {
	const queue = await openRawQueue(`${server.url}?schema=other`);
	await queue.counts();
	t.is(psql("begin; select other.enqueue('t', '1'); rollback;").status, 0);
	t.is(psql('select count(*) from other.jobs').stdout, '0\n');
	const {status, stderr} = psql(`select other.enqueue('t', '1', '{"pririty": 1}')`);
	t.is(status, 3);
	t.regex(stderr, /enqueue\(\) has no option pririty\s+HINT: {2}Its options are key, unique/);
	await queue.close();
});

test('the rights of the document are those that a program needs, and none to say which functions or tables there are', async t => {
	const queue = await openRawQueue(`${server.url}?schema=rights`);
	await queue.counts();
	const [, sql = ''] = /### Rights.*?```sql\n(.*?)```/s.exec(readFileSync(new URL('../../docs/backup-and-upgrade.md', import.meta.url), 'utf8')) ?? [];
	const {status, stderr} = psql(`create user worker password 'pw'; ${sql.replaceAll(/\bfaena(?=[ .])/g, 'rights')}`);
	t.is(status, 0, stderr);
	const own = await openRawQueue(Object.assign(new URL(server.url), {username: 'worker', password: 'pw', search: '?schema=rights'}).href);
	const [made] = await own.enqueue([{task: 'granted', payload: '1'}]);
	const {lease, jobs} = await own.dequeue({owner: 'granted', tasks: ['granted']});
	t.true(await own.complete({id: made?.id as number, lease, execution: jobs[0]?.execution as number}, '1'));
	t.is(psql("update rights.function_set set used_at = now() - interval '2 hours'").status, 0);
	await own.reclaim();
	t.is(psql("select now() - used_at < interval '1 hour' from rights.function_set").stdout, 't\n');
	for (const change of ["function_set (name, version, release, views) values ('rights_1', 1, '{1}', '')", 'version values (9)'])
		t.regex(psql(`set role worker; insert into rights.${change}`).stderr, /permission denied for table/);
	await own.close();
	await queue.close();
});

/** pg_dump reads no server that is newer than itself, so this is for that of the system: `npm run test:postgres`. */
const {FAENA_POSTGRES} = process.env;
const onSystem = isInstalled && FAENA_POSTGRES !== undefined ? anyTest : anyTest.skip;

onSystem('a queue that is dumped and restored goes on: jobs, keys, delays, edges and numbers are there', async t => {
	const schema = 'dumped';
	const queue = new RawQueue(new PostgresStore(server.url, {schema}));
	await queue.enqueue([newJob({key: 'a'}), newJob({key: 'b'}), newJob({delayMs: 3_600_000})]);
	const parents = {edges: [{kind: 'all', parents: {ids: 2, count: 1}}], onParentDead: 'cancel'} as const;
	await queue.store.commit({enqueue: [{...newJob(), values: ['1'], parents}]});
	const {lease} = await queue.dequeue({owner: 'o', tasks: [newJob().task]});
	await queue.complete({id: 1, lease, execution: 1}, '1');
	const before = await queue.counts();
	const dump = spawnSync(join(FAENA_POSTGRES as string, 'pg_dump'), ['-n', schema, server.url], {encoding: 'utf8'});
	t.is(dump.status, 0, dump.stderr);
	t.is(psql('create database restored').status, 0);
	const url = server.url.replace(/postgres$/, 'restored');
	const restored = spawnSync('psql', [url, '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', '-'], {input: dump.stdout, encoding: 'utf8'});
	t.is(restored.status, 0, restored.stderr);
	await queue.close();
	const copy = new RawQueue(new PostgresStore(url, {schema}));
	t.deepEqual(await copy.counts(), before);
	t.like(before, {completed: 1, pending: 2, blocked: 1});
	t.like(await copy.enqueue([newJob({key: 'a'}), newJob()]), [{id: 1, reused: true}, {id: 5}]);
	await copy.close();
});

onSystem('a queue that is dropped and restored in the same database goes on, also what SQL enqueues', async t => {
	const dump = join(makeFolder(t), 'dump.sql');
	const url = `${server.url}?schema=replaced`;
	const queue = await openRawQueue(url);
	await queue.enqueue([newJob({key: 'a'})]);
	await queue.close();
	const {status, stderr} = spawnSync(join(FAENA_POSTGRES as string, 'pg_dump'), ['--schema=replaced', `--file=${dump}`, server.url], {encoding: 'utf8'});
	t.is(status, 0, stderr);
	t.is(psql('drop schema replaced cascade').status, 0);
	t.is(psql(readFileSync(dump, 'utf8')).status, 0);
	const restored = await openRawQueue(url);
	t.like(await restored.enqueue([newJob({key: 'a'}), newJob()]), [{id: 1, reused: true}, {id: 2}]);
	t.is((await restored.dequeue({owner: 'me', tasks: [newJob().task], limit: 3})).jobs.length, 2);
	t.is(psql("select id from replaced.enqueue('t', '1')").stdout, '3\n');
	t.like(await restored.counts(), {running: 2, pending: 1});
	await restored.close();
});
