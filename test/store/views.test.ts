/** The views for people and for programs in other languages: the same in SQLite and in PostgreSQL. */
import {join} from 'node:path';
import test from 'ava';
import Database from 'better-sqlite3';
import pg from 'pg';
import {makeFolder} from '../fixtures/folder.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {openRawQueue} from '../fixtures/raw-queue.ts';
import {newJob} from './contract/laws.ts';

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

type Row = Readonly<Record<string, unknown>>;

/** A queue with jobs in each status, and what its views say. */
async function viewsOf(location: string, read: (sql: string) => Promise<readonly Row[]>): Promise<readonly (readonly Row[])[]> {
	const queue = await openRawQueue(location);
	const ids = (await queue.enqueue([1, 2, 3, 4, 5].map(n => newJob({payload: `${n}`, key: `k\\n${n}`, priority: 10 - n, task: 'a'})))).map(({id}) => id);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['a'], limit: 4});
	const at = (index: number) => ({id: jobs[index]?.id as number, execution: jobs[index]?.execution as number});
	const threw = {type: 'threw', error: {reason: 'threw', name: 'Error', message: 'no luck'}} as const;
	await queue.settle(lease, [
		{...at(0), outcome: {type: 'returned', value: '1'}},
		{...at(1), outcome: threw},
		{...at(2), outcome: {...threw, error: {...threw.error, retry: 'never'}}},
	]);
	await queue.cancel({ids: [ids[4] as number]});
	const batch = await queue.store.openBatch('b', 'mapped', 'me');
	// These share rows.
	await queue.store.commit({enqueue: [{...newJob({task: 'mapped'}), batch, values: ['1', '2', '3'], keys: 7}]});
	await queue.store.commit({enqueue: [{...newJob({task: 'mapped'}), values: ['1', '2'], keys: ['x\\', 'y']}]});
	await queue.store.commit({
		enqueue: [{...newJob({task: 'child'}), values: ['1'], parents: {edges: [{kind: 'all', parents: {ids: 6, count: 1}}], onParentDead: 'cancel'}}],
	});
	const found: Row[][] = [];
	for (const what of ['counts order by task', 'batches', 'jobs order by id', "jobs where status = 'dead'"]) {
		const rows = await read(`select * from ${what}`);
		found.push(rows.map(row => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, name.endsWith('_at') ? value !== null : plain(value)]))));
	}
	await queue.close();
	return found;
}

/** Numbers and truth as both drivers can show them. */
const plain = (value: unknown): unknown =>
	typeof value === 'boolean' ? Number(value) : typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;

test('whatever an error says and a time is, the views can be read', async t => {
	const queue = await openRawQueue(`${server.url}?schema=odd`);
	const runAt = 8_640_000_000_000_000;
	await queue.enqueue([newJob(), newJob({runAt})]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['hash'], limit: 1});
	const {id, execution} = jobs[0] as {id: number; execution: number};
	const message = 'a\0b \ud800 \\u0000 \ud83d\ude00';
	await queue.settle(lease, [{id, execution, outcome: {type: 'threw', error: {reason: 'threw', name: 'Error', message, retry: 'never'}}}]);
	const client = new pg.Client(server.url);
	await client.connect();
	const {rows} = await client.query('select status, error, run_at from odd.jobs order by id');
	t.like(rows, [
		{status: 'dead', error: 'a?b ? \\u0000 \ud83d\ude00'},
		{status: 'pending', error: null, run_at: new Date('9999-12-31T23:59:59.999Z')},
	]);
	await client.end();
	await queue.close();
});

test('the views of both say the same', async t => {
	const file = join(makeFolder(t), 'jobs.db');
	const lite = await viewsOf(file, async sql => {
		const db = new Database(file, {readonly: true});
		const rows = db.prepare(sql).all() as Row[];
		db.close();
		return rows;
	});
	const client = new pg.Client(server.url);
	await client.connect();
	await client.query('set search_path to faena');
	const large = await viewsOf(server.url, async sql => (await client.query(sql)).rows as Row[]);
	await client.end();
	t.deepEqual(lite, large);
	const [counts, batches, jobs, dead] = lite as [Row[], Row[], Row[], Row[]];
	t.deepEqual(counts[0], {task: 'a', paused: 0, blocked: 0, pending: 0, running: 1, failed: 1, completed: 1, dead: 1, cancelled: 1});
	t.like(batches[0] as Row, {batch: 'b', task: 'mapped', items: null, pending: 3, completed_at: false});
	t.deepEqual(
		jobs.map(({status}) => status),
		['completed', 'failed', 'dead', 'running', 'cancelled', 'pending', 'pending', 'pending', 'pending', 'pending', 'blocked'],
	);
	t.like(jobs[1] as Row, {task: 'a', key: 'k\\n2', priority: 8, attempts: 1, executions: 1, error: 'no luck', batch: null, created_at: true, ended_at: false});
	t.deepEqual(
		jobs.slice(5, 10).map(({key}) => key),
		[7, 8, 9, 'x\\', 'y'],
	);
	t.is(dead.length, 1);
});
