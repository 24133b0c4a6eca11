/** Jobs that programs enqueue in transactions of their own, and what they ask, on PostgreSQL. */
import {setTimeout as sleep} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import {CompiledQuery, Kysely, PostgresDialect} from 'kysely';
import pg from 'pg';
import {enqueueIn, type FaenaError} from '../../lib/index.ts';
import {DEFAULT_POLICY} from '../../lib/job/options.ts';
import {functionsOf} from '../../lib/store/postgres/connection/schema.ts';
import {specOf} from '../../lib/store/stored-json.ts';
import {openEngine} from '../fixtures/engine.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {openRawQueue, type RawQueue} from '../fixtures/raw-queue.ts';
import {claimOf, commit, newJob} from './contract/laws.ts';

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

/** A queue in a schema of its own, and a client of the program. */
async function setUp(t: ExecutionContext, schema: string): Promise<{readonly queue: RawQueue; readonly client: pg.Client; readonly url: string}> {
	const url = `${server.url}?schema=${schema}`;
	const queue = await openRawQueue(url);
	const client = new pg.Client(server.url);
	await client.connect();
	t.teardown(async () => {
		await client.end();
		await queue.close();
	});
	return {queue, client, url};
}

test('a job exists if and only if the transaction commits; until then it holds up nothing', async t => {
	const {queue, client, url} = await setUp(t, 'outbox');
	const faena = await openEngine(t, {queue: url});
	await client.query('begin');
	const first = await enqueueIn(client, 'echo', {a: 'first'}, {schema: 'outbox'});
	await client.query('rollback');
	await client.query('begin');
	const second = await enqueueIn(client, 'echo', {a: 'second'}, {schema: 'outbox', priority: 5});
	t.false(second.reused);
	// These have the queue alone.
	await faena.pause('boom');
	for await (const {status} of faena.map('echo', [1, 2, 3], {batch: 'meanwhile'})) t.is(status, 'completed');
	await faena.cancel({task: 'boom'});
	t.is(await faena.job(second.id).info(), undefined);
	await client.query('commit');
	t.deepEqual(await faena.job<'echo'>(second.id).result(), {a: 'second'});
	t.is(await faena.job(first.id).info(), undefined);
	t.like(await queue.counts(), {pending: 0, completed: 4});
	await faena.close();
});

test('before a job is taken over, it is pending: it is found, counted, cancelled and depended on', async t => {
	const {queue, client} = await setUp(t, 'arrived');
	const options = {schema: 'arrived'} as const;
	const {id} = await enqueueIn(client, 'echo', 1, {...options, key: 'a'});
	const later = await enqueueIn(client, 'echo', 2, {...options, delay: '1h', scope: 'of another'});
	t.is((await queue.job(later.id))?.scope, 'of another');
	t.like(await queue.counts(), {pending: 2});
	t.like(await queue.job(id), {status: 'pending', task: 'echo', key: 'a'});
	t.like(await queue.job(later.id), {status: 'pending', task: 'echo'});
	const listed: number[] = [];
	for await (const job of queue.jobs({status: 'pending'})) listed.push(job.id);
	t.deepEqual(listed, [id, later.id]);
	t.is((await queue.cancel({ids: [later.id]})).cancelled.length, 1);
	t.like(await queue.counts(), {pending: 1, cancelled: 1});
	const {jobs} = await queue.dequeue({owner: 'me', tasks: ['echo'], limit: 10});
	t.deepEqual(
		jobs.map(job => job.id),
		[id],
	);
});

test('the call that takes over a job says when it expires', async t => {
	const {queue, client} = await setUp(t, 'expires');
	await enqueueIn(client, 'other', 1, {schema: 'expires', expires: '1h'});
	const {expiresInMs} = await queue.store.commit({claim: claimOf('echo')});
	t.true(expiresInMs !== undefined && expiresInMs > 0 && expiresInMs <= 3_600_000, `${expiresInMs}`);
});

test('a job may wait for one that has just been committed', async t => {
	const {client, url} = await setUp(t, 'parents');
	const faena = await openEngine(t, {queue: url});
	for (let time = 0; time < 5; time++) {
		const {id} = await enqueueIn(client, 'echo', time, {schema: 'parents'});
		const child = await faena.enqueue('echo', 'child', {dependsOn: [id]});
		t.is(await child.result(), 'child');
	}
	await faena.close();
});

test('keys: the job that has it, a conflict, and a key that has become free', async t => {
	const {queue, client} = await setUp(t, 'keyed');
	const options = {schema: 'keyed', key: 'k'} as const;
	const {id} = await enqueueIn(client, 'count', {n: 1}, options);
	t.deepEqual(await enqueueIn(client, 'count', {n: 1}, options), {id, reused: true});
	await t.throwsAsync(enqueueIn(client, 'count', {n: 2}, options), {
		code: 'KeyConflict',
		message: new RegExp(`belongs to job ${id}, which has another payload`),
	});
	await queue.cancel({ids: [id]});
	const {id: next, reused} = await enqueueIn(client, 'count', {n: 2}, {...options, unique: 'unended'});
	t.true(next > id);
	t.false(reused);
	t.deepEqual((await queue.enqueue([newJob({key: 'k', payload: '{"n":2}', task: 'count'})]))[0], {id: next, reused: true});
});

test('two transactions with the same key: the second one waits for the first, and finds its job', async t => {
	const {client} = await setUp(t, 'race');
	const options = {schema: 'race', key: 'k'} as const;
	const other = new pg.Client(server.url);
	await other.connect();
	await client.query('begin');
	const {id} = await enqueueIn(client, 'count', 1, options);
	const second = enqueueIn(other, 'count', 1, options);
	t.is(await Promise.race([second, sleep(100, 'waits')]), 'waits');
	await client.query('commit');
	t.deepEqual(await second, {id, reused: true});
	await other.end();
});

test('bytes and rich values arrive as they are; a Pool makes its own transaction; Kysely', async t => {
	const {queue, url} = await setUp(t, 'values');
	const faena = await openEngine(t, {queue: url});
	const pool = openPool({connectionString: server.url});
	const payload = {at: new Date(0), bytes: new Uint8Array([1, 2, 3])};
	const {id} = await enqueueIn(pool, 'echo', payload, {schema: 'values'});
	t.deepEqual(await faena.job<'echo'>(id).result(), payload);
	const db = new Kysely<unknown>({dialect: new PostgresDialect({pool})});
	const made = await db
		.transaction()
		.execute(trx => enqueueIn({query: (text, values) => trx.executeQuery(CompiledQuery.raw(text, values))}, 'echo', 'from Kysely', {schema: 'values'}));
	t.is(await faena.job<'echo'>(made.id).result(), 'from Kysely');
	t.like(await queue.counts(), {completed: 2});
	await faena.close();
	await db.destroy();
});

test('what is wrong is refused in a sentence', async t => {
	const {client} = await setUp(t, 'refused');
	const refused = async (work: () => unknown, code: FaenaError['code'], message: RegExp) => t.throwsAsync(async () => work(), {code, message});
	await refused(() => enqueueIn(client, 'echo', 1), 'BadDatabase', /no queue in the schema faena/);
	await refused(() => enqueueIn(client, '', 1), 'BadOption', /expects a task's name/);
	await refused(() => enqueueIn(client, 'echo', 1, {schema: 'refused', dependsOn: [1]} as never), 'BadOption', /no dependsOn on PostgreSQL/);
	await refused(() => enqueueIn(client, 'echo', new Uint8Array(200 * 1024 ** 2 + 1), {schema: 'refused'}), 'TooLarge', /at most 209715200 bytes/);
	// Also of what is wrong at once, a promise tells.
	t.true(enqueueIn(client, '', 1).catch(() => {}) instanceof Promise);
	await refused(() => enqueueIn(client, 'echo', 1, {schema: 1 as never}), 'BadOption', /expects as schema/);
	await refused(() => enqueueIn({} as never, 'echo', 1), 'BadOption', /expects first a Database/);
	const ask = (sql: string) => client.query(`select * from refused.enqueue(${sql})`);
	for (const [sql, message] of [
		["''", /expects as task a name that is not empty/],
		["'a', '1', '{\"delays\": 3}'", /has no option delays/],
		[
			"'a', '1', '{\"delay\": \"soon\"}'",
			/expects as delay a number of milliseconds, or an interval such as "5 minutes", from 0 ms to 10 years; it got "soon"/,
		],
		["'a', '1', '{\"delay\": -1}'", /expects as delay/],
		["'a', '1', '{\"priority\": 1.5}'", /expects as priority a whole number from -1000000 to 1000000; it got 1\.5/],
		["'a', '1', '{\"maxAttempts\": 0}'", /expects as maxAttempts a whole number from 1/],
		["'a', '1', '{\"retry\": \"no\"}'", /expects as retry "auto" or "manual"/],
		["'a', '1', '{\"unique\": \"unended\"}'", /together with a key/],
		['\'a\', \'1\', \'{"delay": 1, "runAt": "2030-01-01"}\'', /expects delay or runAt, not both/],
		["'a', '1', '{\"expires\": 9223372036854775000}'", /expects as expires a number of milliseconds/],
		["'a', '1', '{\"expires\": \"-5 minutes\"}'", /expects as expires a number of milliseconds, or an interval such as "5 minutes", from 1 ms/],
		["'a', '1', '{\"timeout\": \"-1 second\"}'", /expects as timeout/],
		["'a', '1', '{\"runAt\": \"soon\"}'", /expects as runAt a time such as/],
		['\'a\', \'1\', \'{"backoff": {"factor": "x"}}\'', /expects as backoff.factor a number from 1 to 1000; it got "x"/],
		['\'a\', \'1\', \'{"backoff": {"base": "-1 second"}}\'', /expects as backoff.base/],
		["'a', '1', '{\"backoff\": {\"first\": 1}}'", /has no option first/],
		["'a', '1', '{\"backoff\": 3}'", /expects as backoff an object; it got 3/],
		["'a', '1', '{\"key\": 5}'", /expects as key a text that is not empty; it got 5/],
		["'a', '1', '[1]'", /expects as options an object; it got \[1\]/],
		["repeat('a', 1001), '1'", /a task and a key have at most 1000 bytes here/],
	] as const)
		await t.throwsAsync(ask(sql), {message}, sql);
	// An option that is null is as if it were not there.
	await ask(`'a', '1', '{"backoff": null, "retry": null, "key": null, "runAt": 1900000000000}'`);
});

test('a job that was committed has its key, also for a call that comes at once', async t => {
	const {client, url} = await setUp(t, 'at_once');
	const faena = await openEngine(t, {queue: url});
	await faena.call('echo', 0);
	for (let round = 0; round < 60; round++) {
		await client.query(`select at_once.enqueue('echo', '1', '{"key": "${round}"}')`);
		await t.throwsAsync(async () => faena.enqueue('echo', 2, {key: `${round}`}), {code: 'KeyConflict'});
	}
	await faena.idle();
	t.like(await faena.counts(), {completed: 61, cancelled: 0});
	await faena.close();
});

test('jobs that have arrived count for maxPending, also those that no call has taken over yet', async t => {
	const {client, queue} = await setUp(t, 'counted');
	await arriveMany(client, 'counted');
	const [refused] = (await commit(queue, {enqueue: [{...newJob({task: 'echo'}), maxPending: {task: MANY}}]})).enqueued;
	t.like(refused, {full: {of: 'task', pending: MANY, limit: MANY}});
});

test('many jobs that arrive at once are taken over one call after the other; each takes no number of a task', async t => {
	const {client, url} = await setUp(t, 'many');
	const faena = await openEngine(t, {queue: url});
	await faena.call('echo', 0);
	await arriveMany(client, 'many');
	await faena.idle();
	t.like(await faena.counts(), {completed: MANY + 1});
	const {rows} = await client.query('select last_value from many.task_id_seq');
	t.true(Number(rows[0].last_value) < 5);
	await faena.close();
});

test('a key belongs to a job that has arrived, also if that is not among those that one call takes over', async t => {
	const {client, queue} = await setUp(t, 'many_keys');
	const last = MANY - 1;
	await arriveMany(client, 'many_keys');
	t.like(await queue.enqueue([newJob({task: 'echo', key: `a${last}`, payload: `${last}`})]), [{reused: true}]);
	await arriveMany(client, 'many_keys', 'b');
	await t.throwsAsync(queue.enqueue([newJob({task: 'echo', key: `b${last}`, payload: '"other"'})]), {code: 'KeyConflict'});
	t.like(await queue.counts(), {cancelled: 0});
});

/** More jobs than one call takes over. */
const MANY = 5200;

/** Makes rows of many jobs as `enqueue()` makes them one by one, with keys from `a1` on. Returns the id of the last one. */
async function arriveMany(client: pg.Client, schema: string, prefix = 'a'): Promise<number> {
	await client.query('begin');
	await client.query(`select ${schema}.enqueue('echo', '0', '{"key": "${prefix}0"}')`);
	const {rows} = await client.query(`
		insert into ${schema}.arrived
			select nextval('${schema}.job_id'), task, policy, priority, created_at, '${prefix}' || n, n from ${schema}.arrived a, generate_series(1, ${MANY - 1}) n
			where key = '${prefix}0' returning id`);
	await client.query('commit');
	return Number(rows.at(-1).id);
}

async function countOf(all: AsyncIterable<unknown>): Promise<number> {
	let count = 0;
	for await (const _ of all) count++;
	return count;
}

/** Whether a call knows the last of them, or all. */
const KNOWS: Readonly<Record<string, (queue: RawQueue, last: number, key: string) => Promise<boolean>>> = {
	counts: async queue => (await queue.counts()).pending === MANY,
	'cancel, by task': async queue => (await queue.cancel({task: 'echo'})).cancelled.length === 2 * MANY,
	jobs: async queue => (await countOf(queue.jobs({status: 'pending'}))) === MANY,
	job: async (queue, last) => (await queue.job(last))?.status === 'pending',
	'jobs, by key': async (queue, _, key) => (await countOf(queue.jobs({task: 'echo', key}))) === 1,
	edit: async (queue, last) => queue.edit(last, {priority: 5}),
	'cancel, by id': async (queue, last) => (await queue.cancel({ids: [last]})).cancelled.length === 1,
	holders: async (queue, last, key) => (await queue.store.holders({task: 'echo'}, [key])).ids[0] === last,
	'a key': async (queue, last, key) => {
		const [enqueued] = await queue.enqueue([newJob({task: 'echo', key, payload: `${MANY - 1}`})]);
		return enqueued?.id === last;
	},
	'a parent': async (queue, last) => {
		const parents = {edges: [{kind: 'all', parents: {ids: [last], count: 1}}], onParentDead: 'cancel'} as const;
		const {enqueued} = await queue.store.commit({enqueue: [{...newJob({task: 'child'}), values: ['1'], parents}]});
		return enqueued[0]?.ids !== undefined;
	},
};

test.serial('what reads, names or selects jobs knows all that have arrived, however many', async t => {
	t.timeout(120_000);
	const {client, queue} = await setUp(t, 'many_known');
	for (const [name, knows] of Object.entries(KNOWS)) {
		const last = await arriveMany(client, 'many_known', name);
		t.true(await knows(queue, last, `${name}${MANY - 1}`), name);
	}
});

test.serial('an acknowledged cancel leaves nothing of its filter to run, also if more jobs have arrived than one call takes over', async t => {
	t.timeout(120_000);
	const {client, url} = await setUp(t, 'many_cancelled');
	const faena = await openEngine(t, {queue: url});
	await faena.pause('echo');
	await arriveMany(client, 'many_cancelled');
	t.is(await faena.cancel({task: 'echo'}), MANY);
	await faena.resume('echo');
	await faena.idle();
	t.like(await faena.counts(), {cancelled: MANY, completed: 0, pending: 0});
	await faena.close();
});

test('what reads jobs waits for a call that is taking some over', async t => {
	const {client, queue} = await setUp(t, 'taken');
	await client.query(`select taken.enqueue('echo', '1')`);
	await client.query('begin');
	await client.query(`select ${functionsOf('taken')}.look_at_arrived(null)`);
	const counts = queue.counts();
	const other = openPool({connectionString: server.url, max: 1});
	while ((await other.query("select from pg_stat_activity where wait_event_type = 'Lock' and query like '%look_at_arrived%'")).rows.length === 0);
	await client.query('commit');
	t.like(await counts, {pending: 1});
	await other.end();
});

test('a queue that is read only leaves jobs where they have arrived', async t => {
	const {client, url, queue} = await setUp(t, 'only_read');
	await client.query(`select only_read.enqueue('echo', '1')`);
	const reader = await openRawQueue(url, {readOnly: true});
	await reader.counts();
	await reader.jobs({}).page();
	t.is((await client.query('select id from only_read.arrived')).rows.length, 1);
	await reader.close();
	t.like(await queue.counts(), {pending: 1});
});

test('SQL: enqueue() takes the options that jobs have', async t => {
	const {queue, client, url} = await setUp(t, 'by_sql');
	const faena = await openEngine(t, {queue: url});
	const {rows} = await client.query("select * from by_sql.enqueue('echo', '{\"a\": [1, null]}')");
	t.deepEqual(await faena.job<'echo'>(Number(rows[0].id)).result(), {a: [1, null]});
	const ask = async (sql: string) => Number((await client.query(`select * from by_sql.enqueue(${sql})`)).rows[0].id);
	const full = await ask(
		`'other', payload => '"x"', options => '{"key": "k", "priority": 7, "delay": "5 minutes", "maxAttempts": 9, "timeout": 1000, "backoff": {"base": 5}, "expires": 60000}'`,
	);
	t.like(await queue.job(full), {key: 'k', priority: 7, maxAttempts: 9, timeoutMs: 1000, status: 'pending'});
	const {runAt, createdAt} = (await queue.job(full)) as {runAt: number; createdAt: number};
	t.is(runAt - createdAt, 300_000);
	const at = await ask(`'other', null, jsonb_build_object('runAt', '2040-01-01 00:00Z'::timestamptz)`);
	t.like(await queue.job(at), {runAt: Date.UTC(2040, 0, 1)});
	t.is(await ask(`'other', '"x"', '{"key": "k"}'`), full);
	await t.throwsAsync(ask(`'other', '"y"', '{"key": "k"}'`), {message: /belongs to job/});
	t.is((await client.query('select count(*)::int as n from by_sql.policy where spec = $1', [specOf(DEFAULT_POLICY)])).rows[0].n, 1);
	await faena.close();
});

test('views: what the counts, batches and jobs are', async t => {
	const {queue, client} = await setUp(t, 'views');
	await queue.enqueue([1, 2, 3].map(n => newJob({payload: `${n}`, key: `k${n}`})));
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: [newJob().task], limit: 2});
	const [one, two] = jobs.map(({id, execution}) => ({id, execution})) as [{id: number; execution: number}, {id: number; execution: number}];
	await queue.settle(lease, [
		{...one, outcome: {type: 'returned', value: '1'}},
		{...two, outcome: {type: 'threw', error: {reason: 'threw', name: 'Error', message: 'no luck'}}},
	]);
	await enqueueIn(client, 'arrives', 1, {schema: 'views'});
	const batch = await queue.store.openBatch('b', 'mapped', 'me');
	await queue.store.commit({enqueue: [{...newJob({task: 'mapped'}), batch, values: ['1']}]});
	const read = async (sql: string) => (await client.query(sql)).rows;
	t.like(await read('select task, pending, failed, completed from views.counts order by task'), [
		{task: 'arrives', pending: '1', failed: '0'},
		{task: newJob().task, pending: '1', failed: '1', completed: '1'},
		{task: 'mapped', pending: '1'},
	]);
	t.like(await read('select * from views.batches'), [{batch: 'b', task: 'mapped', pending: '1', completed: '0', completed_at: null}]);
	t.like(await read('select * from views.jobs order by id'), [
		{id: '1', status: 'completed', key: 'k1', attempts: 0, executions: 1, error: null},
		{id: '2', status: 'failed', key: 'k2', attempts: 1, error: 'no luck'},
		{id: '3', status: 'pending', key: 'k3'},
		{id: '4', status: 'pending', task: 'arrives'},
		{id: '5', status: 'pending', batch: 'b'},
	]);
	t.true((await read('select created_at, ended_at from views.jobs where id = 1'))[0].created_at instanceof Date);
});

test('a pool of the program; the environment variables of libpq; a schema with any name', async t => {
	const {pathname, port, password, hostname, username} = new URL(server.url);
	const pool = openPool({connectionString: server.url});
	const own = await openRawQueue('postgres://?schema=own%20%22pool%22', {pool});
	await own.enqueue([newJob()]);
	t.is(own.location, 'postgres://?schema=own "pool"');
	await own.close();
	t.is((await pool.query('select pending from "own ""pool""".counts')).rows[0].pending, '1');
	await pool.end();
	Object.assign(process.env, {PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password, PGDATABASE: pathname.slice(1)});
	const queue = await openRawQueue('postgres://?schema=by_env');
	await queue.enqueue([newJob()]);
	t.like(await queue.counts(), {pending: 1});
	await queue.close();
	for (const schema of ['', 'pg_mine', 'x'.repeat(64)]) {
		await t.throwsAsync(openRawQueue(`postgres://?schema=${schema}`), {code: 'BadOption', message: /schema in the URL of the queue expects/});
	}
	await t.throwsAsync(openRawQueue('a.db', {pool}), {code: 'BadOption', message: /only with the URL/});
	await t.throwsAsync(openRawQueue('postgres://', {pool: 1 as never}), {code: 'BadOption', message: /a Pool of the package pg/});
});

test('for reading only: nothing is made, and nothing is changed', async t => {
	await t.throwsAsync(openRawQueue(`${server.url}?schema=nowhere`, {readOnly: true}), {code: 'BadDatabase', message: /no queue in the schema "nowhere"/});
	const {queue, url} = await setUp(t, 'read_only');
	await queue.enqueue([newJob()]);
	const reader = await openRawQueue(url, {readOnly: true});
	t.like(await reader.counts(), {pending: 1});
	t.deepEqual(await reader.batches(), []);
	await t.throwsAsync(reader.enqueue([newJob()]), {code: 'BadDatabase', message: /opened with readOnly/});
	await reader.close();
});
