/** A copy of a queue, beside its original in which an engine runs a command, touches nothing of it. */
import {copyFileSync, cpSync, existsSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import pg from 'pg';
import {open} from '../../lib/index.ts';
import {kindOf} from '../../lib/store/kinds.ts';
import {appears} from '../fixtures/appears.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {openQueueAt} from '../fixtures/queue.ts';

const TASKS = new URL('../fixtures/exec-tasks.ts', import.meta.url);
const LEASE_MS = 1000;

/** Runs a command while `copy` makes a copy of the queue, and until another program has taken all owners of the copy for dead. The command ends as it would. */
async function runBeside(t: ExecutionContext, location: string, copy: () => Promise<string>): Promise<void> {
	t.timeout(120_000);
	const folder = makeFolder(t);
	const [started, go] = [join(folder, 'started'), join(folder, 'go')];
	const faena = await open<typeof import('../fixtures/exec-tasks.ts')>({queue: location, tasks: TASKS, workers: 1, defaults: {maxAttempts: 1}});
	t.teardown(() => faena.close({drain: 0}));
	const args = ['-c', 'touch "$0"; while [ ! -e "$1" ]; do sleep 0.01; done', started, go];
	const job = await faena.enqueue('exec', {file: 'sh', args});
	await appears(started);
	const copied = await copy();
	const other = await openQueueAt(copied, {leaseMs: LEASE_MS});
	t.teardown(() => other.close());
	while ((await kindOf(copied).inspect(copied)).owners.length > 0) await other.reclaim();
	t.like(await other.counts(), {running: 0});
	writeFileSync(go, '');
	await job.outcome();
	t.like(await job.info(), {status: 'completed', executions: 1});
	t.like(await (await faena.enqueue('exec', {file: 'true', args: []})).outcome(), {status: 'completed'});
}

test('a copy of the file in the same folder', async t => {
	const [path, copy] = ['jobs.db', 'copy.db'].map(name => join(makeFolder(t), name)) as [string, string];
	await runBeside(t, path, async () => {
		for (const suffix of ['', '-wal']) copyFileSync(path + suffix, copy + suffix);
		return copy;
	});
});

test('a copy of the folder with all of its files', async t => {
	const [folder, copy] = [makeFolder(t), makeFolder(t)];
	await runBeside(t, join(folder, 'jobs.db'), async () => {
		cpSync(folder, copy, {recursive: true});
		return join(copy, 'jobs.db');
	});
});

test('a copy of the schema in another database of the server', async t => {
	t.timeout(120_000);
	const server = await PostgresServer.start();
	t.teardown(() => server.stop());
	await runBeside(t, server.url, async () => {
		const client = new pg.Client(server.url);
		await client.connect();
		await client.query('create database copy');
		const url = Object.assign(new URL(server.url), {pathname: '/copy'}).href;
		await (await openQueueAt(url)).close();
		const copy = new pg.Client(url);
		await copy.connect();
		// What a restored dump has of the original, as far as its owners go.
		const {rows: owners} = await client.query('select name, host, store, heartbeat_at from faena.owner');
		const [{queue}] = (await client.query('select faena.queue_id() as queue')).rows;
		t.is(owners.length, 1);
		await copy.query('insert into faena.owner (name, host, store, heartbeat_at) values ($1, $2, $3, $4)', Object.values(owners[0]));
		await copy.query(`create or replace function faena.queue_id() returns text language sql stable as $$ select '${queue}' $$`);
		await Promise.all([client.end(), copy.end()]);
		return url;
	});
});

test('a user who may not know the number of the server works as others do', async t => {
	t.timeout(120_000);
	const server = await PostgresServer.start();
	t.teardown(() => server.stop());
	const client = new pg.Client(server.url);
	await client.connect();
	await client.query("create role plain login password 'secret'; grant create on database postgres to plain");
	await client.query('revoke execute on function pg_control_system() from public');
	await client.end();
	const queue = await openQueueAt(Object.assign(new URL(server.url), {username: 'plain', password: 'secret'}).href);
	await queue.enqueue([{task: 'count', payload: '1'}]);
	t.is((await queue.dequeue({owner: 'me', tasks: ['count']})).jobs.length, 1);
	t.true(existsSync(queue.store.ownerFiles('me').ownerLock as string));
	await queue.close();
});
