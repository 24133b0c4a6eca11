/** Whatever takes the file of a queue also takes the URL of a PostgreSQL database. */
import {readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import pg from 'pg';
import {type Engine, enqueueIn, open} from '../../lib/index.ts';
import {openQueue, work} from '../../lib/queue.ts';
import {openForTest} from '../../lib/testing.ts';
import {Folder, tasks} from '../cli/command.ts';
import {openEngine} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {openPool, PostgresServer} from '../fixtures/postgres-server.ts';
import {Program} from '../fixtures/program.ts';

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

/** The URL of a schema of its own. */
const urlOf = (schema: string) => `${server.url}?schema=${schema}`;

async function query(t: ExecutionContext, text: string): Promise<readonly Record<string, string>[]> {
	const client = new pg.Client(server.url);
	t.teardown(() => client.end());
	await client.connect();
	return (await client.query(text)).rows;
}

test('the command line: map, status, list, show, batches, retry and cancel; vacuum says what PostgreSQL does', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const queue = urlOf('cli');
	const faena = (...args: readonly string[]) => folder.faena(...args, '--queue', queue);
	const missing = await faena('status').end();
	t.regex(missing.stderr, /There is no queue postgres:\/\/postgres@127\.0\.0\.1:\d+\/postgres\?schema=cli here; name its URL with --queue\./);
	const died = await faena('map', tasks('traces-executions', 'fail'), '--stdin', '--max-attempts', '1').end('one\ntwo');
	t.is(died.code, 1);
	const done = await faena('map', tasks('traces-executions', 'echo'), '--stdin', '--batch', 'b').end('a\nb\nc');
	t.is(done.code, 0, done.stderr);
	t.is(done.stdout.trim().split('\n').length, 3);
	// Again: the stored results.
	const again = await faena('map', tasks('traces-executions', 'echo'), '--stdin', '--batch', 'b').end('a\nb\nc');
	const inOrder = (text: string) => text.trim().split('\n').sort();
	t.deepEqual(inOrder(again.stdout.replaceAll('"reused":true,', '')), inOrder(done.stdout));
	t.is(folder.executions().filter(line => ['a', 'b', 'c'].includes(line)).length, 3);
	const status = await faena('status').end();
	t.regex(status.stdout, /\?schema=cli: 3 completed, 2 dead/);
	t.regex((await faena('list', '--status', 'dead').end()).stdout, /no luck with one/);
	t.regex((await faena('show', '1').end()).stdout, /RangeError: no luck with one/);
	t.regex((await faena('batches').end()).stdout, /\bb\b/);
	t.is((await faena('retry', '--task', 'fail').end()).stdout, '2 to be run again\n');
	t.is((await faena('cancel', '1', '2').end()).stdout, '2 cancelled\n');
	const vacuum = await faena('vacuum').end();
	t.is(vacuum.code, 2);
	t.regex(vacuum.stderr, /PostgreSQL gives the space of deleted rows to new ones by itself/);
	for (const {stdout, stderr} of [missing, died, done, status, await faena('batches').end(), vacuum])
		t.false((stdout + stderr).includes(new URL(queue).password));
});

test('work() runs the jobs of a queue', async t => {
	const queue = await openQueue(urlOf('worked'));
	const ended = new AbortController();
	const done: number[] = [];
	await queue.enqueue([1, 2, 3].map(n => ({task: 'note', payload: n, maxAttempts: 1})));
	await work(
		queue,
		{
			note(n: number) {
				done.push(n);
				if (done.length === 3) ended.abort();
			},
		},
		{signal: ended.signal},
	);
	t.deepEqual(done, [1, 2, 3]);
	t.like(await queue.counts(), {completed: 3});
	await queue.close();
});

test("options that SQL does not give are the task's own where the job runs, those that it gives stay", async t => {
	t.timeout(120_000);
	await (await openEngine(t, {queue: urlOf('unset'), tasks: null})).close();
	await query(t, `select unset.enqueue('hurried'), unset.enqueue('hurried', '1', '{"maxAttempts": 2}'), unset.enqueue('hurried', '1', '{"timeout": 200}')`);
	const client = new pg.Client(server.url);
	await client.connect();
	await enqueueIn(client, 'hurried', 1, {schema: 'unset'});
	await client.end();
	const faena = await openEngine(t, {queue: urlOf('unset'), tasks: new URL('../fixtures/deciding-tasks.ts', import.meta.url)});
	await faena.idle();
	const ended = await Promise.all([1, 2, 3, 4].map(id => faena.job(id).info()));
	t.deepEqual(
		ended.map(job => [job?.status, job?.attempts, job?.error?.message.slice(-6, -1)]),
		[1, 2, 1, 1].map((attempts, index) => ['dead', attempts, index === 2 ? '0.2 s' : '0.1 s']),
	);
	// All that nobody gave anything share one policy.
	t.is((await query(t, 'select * from unset.policy')).length, 3);
});

test('openForTest() moves the clock of a queue on PostgreSQL', async t => {
	const faena = await openForTest({greet: (name: string) => `Hello ${name}`}, {queue: urlOf('tested')});
	const job = await faena.enqueue('greet', 'Ana', {delay: '1h'});
	t.is((await faena.drain()).completed, 0);
	faena.clock.advance('1h');
	t.is((await faena.drain()).completed, 1);
	t.is(await job.result(), 'Hello Ana');
	await faena.close();
});

test('a batch that a killed program has begun is resumed by another one; no result is lost or doubled', async t => {
	t.timeout(120_000);
	const folder = new Folder(t);
	const file = `${folder.path}/lines.txt`;
	const first = new Program(t, 'engine', urlOf('resumed'), 'map', file);
	for (let seen = 0; seen < 100; seen++) await first.line();
	await first.kill('SIGKILL');
	const second = new Program(t, 'engine', urlOf('resumed'), 'map', file);
	const keys = new Set<string>();
	for (let key = await second.line(); keys.size < 1000; key = await second.line()) {
		t.false(keys.has(key), key);
		keys.add(key);
		if (keys.size === 1000) break;
	}
	t.is(keys.size, 1000);
	t.like(await query(t, 'select completed, completed_at is not null as done from resumed.batches'), [{completed: '1000', done: true}]);
});

test('the concurrency of a task holds for all engines together', async t => {
	const file = `${makeFolder(t)}/overlap`;
	const options = {queue: urlOf('limited'), tasks: new URL('../fixtures/isolated-tasks.ts', import.meta.url)};
	const engines = await Promise.all([1, 2, 3].map(() => openEngine(t, options)));
	await (engines[0] as (typeof engines)[number]).enqueueMany('one' as never, Array(20).fill(file) as never);
	await Promise.all(engines.map(engine => engine.idle()));
	t.is(readFileSync(file, 'utf8'), '+-'.repeat(20));
	await Promise.all(engines.map(engine => engine.close()));
});

test('jobs run in a program that did not enqueue them', async t => {
	const url = urlOf('shared');
	const [one, two, caller] = await Promise.all([openEngine(t, {queue: url}), openEngine(t, {queue: url}), openEngine(t, {queue: url, tasks: null})]);
	const jobs = await caller.enqueueMany(
		'echo',
		Array.from({length: 500}, (_, n) => n),
	);
	await Promise.all([one.idle(), two.idle()]);
	t.like(await caller.counts(), {completed: 500});
	t.is(await caller.job<'echo'>(jobs.ids[499] as number).result(), 499);
	const mapped: unknown[] = [];
	for await (const item of caller.map('echo', [1, 2, 3])) mapped.push(item.status === 'completed' && item.result);
	t.deepEqual(mapped.sort(), [1, 2, 3]);
	await Promise.all([one, two, caller].map(engine => engine.close()));
});

test('the clocks of the hosts may be hours apart: time is the server’s', async t => {
	t.timeout(120_000);
	const ahead = (hours: number) => `--import=data:text/javascript,const own=Date.now;Date.now=()=>own()+${hours}*3600000`;
	const programs = [3, -3].map(hours => new Program(t, {name: 'other-clock', flags: [ahead(hours)]}, urlOf('clocks')));
	for (const program of programs) {
		const {delayedMs, runs, ...others} = JSON.parse(await program.line());
		t.true(delayedMs >= 500 && delayedMs < 30_000, `${delayedMs}`);
		t.true(runs >= 3, `${runs}`);
		t.like(others, {results: [1, 2, 3], deleted: 0});
		t.true(others.completed >= 7);
	}
	for (const program of programs) {
		program.process.stdin?.end();
		// No warning: neither was taken for dead.
		t.like(await program.ended(), {code: 0, stderr: ''});
	}
});

for (const [what, options] of [
	['a URL', () => ({})],
	['a pool of the program', () => ({pool: openPool({...connectionOf(server.url), max: 3})})],
] as const)
	test(`a task that computes for longer than the lease keeps its job: work() on ${what}`, async t => {
		const url = urlOf(`busy ${what}`.replaceAll(' ', '_'));
		const {pool}: {readonly pool?: pg.Pool} = options();
		const queue = await openQueue(url, {lease: '1s', ...(pool && {pool})});
		await queue.enqueue([{task: 'busy', payload: 1, maxAttempts: 1}]);
		const watcher = new Program(t, 'reclaim-often', url, '1000');
		await watcher.line();
		const ended = new AbortController();
		let runs = 0;
		await work(
			queue,
			{
				busy() {
					runs++;
					for (const until = performance.now() + 4000; performance.now() < until; );
					ended.abort();
				},
			},
			{signal: ended.signal},
		);
		t.like(await queue.counts(), {completed: 1, running: 0, pending: 0});
		t.is(runs, 1);
		t.like(await queue.job(1), {executions: 1});
		await watcher.kill('SIGKILL');
		await queue.close();
		await pool?.end();
	});

/** As options of a pool, without a URL. */
function connectionOf(url: string): pg.PoolConfig {
	const {hostname, port, username, password, pathname} = new URL(url);
	return {host: hostname, port: Number(port), user: username, password, database: pathname.slice(1)};
}

test("a result has the code that its worker had loaded, and an interrupted map with fresh: 'all' goes on", async t => {
	t.timeout(120_000);
	const folder = makeFolder(t);
	const [module, wait] = [join(folder, 'tasks.mjs'), join(folder, 'wait')];
	const write = (version: number) =>
		writeFileSync(
			module,
			`import {existsSync} from 'node:fs';
			const forEver = () => new Promise(() => setTimeout(Boolean, 1e8));
			export const hold = item => (item === 'b' && existsSync(${JSON.stringify(wait)}) ? forEver() : ${version});`,
		);
	const openOne = async () => {
		const faena = await open({queue: urlOf('fresh'), tasks: module, workers: 1, grace: 50});
		t.teardown(() => faena.close({drain: 0}));
		return faena;
	};
	const map = (faena: Engine, fresh: 'code' | 'all') => faena.map('hold', ['a', 'b', 'c'], {batch: 'b', order: 'input', window: 1, fresh});
	const resultsOf = async (faena: Engine, fresh: 'code' | 'all') =>
		(await map(faena, fresh).toArray()).map(end => [end.status === 'completed' && end.result, end.reused]);
	const all = (version: number, reused: boolean) => [1, 2, 3].map(() => [version, reused]);
	write(1);
	const old = await openOne();
	write(2);
	t.deepEqual(await resultsOf(old, 'code'), all(1, false));
	await old.close();
	const faena = await openOne();
	t.deepEqual(await resultsOf(faena, 'code'), all(2, false));
	t.deepEqual(await resultsOf(faena, 'code'), all(2, true));
	writeFileSync(wait, '');
	for await (const {key} of map(faena, 'all')) {
		t.is(key, '0');
		break;
	}
	await faena.close({drain: 0});
	rmSync(wait);
	const next = await openOne();
	t.deepEqual(await resultsOf(next, 'all'), [
		[2, true],
		[2, false],
		[2, false],
	]);
	t.deepEqual(await resultsOf(next, 'all'), all(2, false));
});
