/** PostgreSQL behind a pooler that gives each transaction another connection: pgbouncer of the system, if it is installed. */
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {chownSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import anyTest, {type ExecutionContext} from 'ava';
import pg from 'pg';
import {openEngine} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {openRawQueue} from '../fixtures/raw-queue.ts';
import {newJob} from './contract/laws.ts';

const isInstalled = spawnSync('pgbouncer', ['--version'], {stdio: 'ignore'}).status === 0;
const test = isInstalled ? anyTest : anyTest.skip;

/** pgbouncer refuses to run as root: then it runs as this user, `nobody`. */
const NOBODY = 65534;
const as = process.getuid?.() === 0 ? {uid: NOBODY, gid: NOBODY} : {};

let server: PostgresServer;

anyTest.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

anyTest.after.always(() => server?.stop());

/** Starts a pooler with two connections to the server. Returns the URL of the database through it. */
async function startPooler(t: ExecutionContext): Promise<string> {
	const folder = makeFolder(t);
	const {hostname, port, password} = new URL(server.url);
	const listener = createServer().listen(0, '127.0.0.1');
	await once(listener, 'listening');
	const own = (listener.address() as {port: number}).port;
	listener.close();
	const file = join(folder, 'pgbouncer.ini');
	writeFileSync(
		file,
		`[databases]
		postgres = host=${hostname} port=${port} user=postgres password=${password}
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = ${own}
		unix_socket_dir =
		auth_type = any
		pool_mode = transaction
		default_pool_size = 2
		max_client_conn = 100`.replaceAll('\t', ''),
	);
	if (as.uid) for (const path of [folder, file]) chownSync(path, NOBODY, NOBODY);
	const child = spawn('pgbouncer', [file], {...as, stdio: 'ignore'});
	t.teardown(async () => {
		const ended = once(child, 'exit');
		child.kill('SIGKILL');
		await ended;
	});
	const url = `postgres://postgres@127.0.0.1:${own}/postgres`;
	for (;;) {
		const client = new pg.Client(url);
		client.on('error', () => {});
		try {
			await client.connect();
			await client.end();
			return url;
		} catch {
			await sleep(20);
		}
	}
}

test('calls that the server takes long to answer are not given up behind a pooler', async t => {
	t.timeout(120_000);
	const queue = await openRawQueue(`${await startPooler(t)}?schema=slow`, {lease: '1s'});
	await queue.enqueue([newJob()]);
	const other = new pg.Client(server.url);
	await other.connect();
	await other.query('begin; lock table slow.job in access exclusive mode');
	const enqueued = queue.enqueue([newJob()]);
	await sleep(8000);
	await other.query('commit');
	t.is((await enqueued).length, 1);
	await other.end();
	await queue.close();
});

test('engines behind a pooler in transaction mode do all that they do without it, and say that they hear of each other late', async t => {
	t.timeout(120_000);
	const url = await startPooler(t);
	const warnings: string[] = [];
	const log = (_: object, message: string) => void warnings.push(message);
	const logger = {debug() {}, info() {}, warn: log, error: log};
	const [one, two] = await Promise.all([openEngine(t, {queue: url, logger}), openEngine(t, {queue: url, logger, tasks: null})]);
	const {ids} = await two.enqueueMany(
		'echo',
		Array.from({length: 3000}, (_, n) => n),
	);
	t.is(await two.job<'echo'>(ids[2999] as number).result(), 2999);
	t.is(await one.call('echo', 'called'), 'called');
	const mapped: unknown[] = [];
	for await (const item of one.map('echo', [1, 2, 3], {batch: 'b'})) mapped.push(item.status === 'completed' && item.result);
	t.deepEqual(mapped.sort(), [1, 2, 3]);
	await two.pause('echo');
	const paused = await two.enqueue('echo', 'paused');
	await sleep(300);
	t.is((await two.counts()).pending, 1);
	await two.resume('echo');
	t.is(await paused.result(), 'paused');
	while (warnings.length < 2) await sleep(50);
	t.deepEqual(new Set(warnings), new Set(['notifications of the server do not arrive; jobs of other programs start up to a second later']));
	await Promise.all([one.close(), two.close()]);
});
