import {existsSync, readdirSync, readFileSync, utimesSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import pg from 'pg';
import {FAILPOINTS, type FailpointName} from '../../lib/support/failpoint.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {PostgresServer} from '../fixtures/postgres-server.ts';
import {Program} from '../fixtures/program.ts';
import {drawn} from '../fixtures/random.ts';
import {brokenLaws} from './laws.ts';
import {brokenLaws as brokenPostgresLaws} from './postgres-laws.ts';

let server: PostgresServer;

test.before('starts a server', async t => {
	t.timeout(120_000);
	server = await PostgresServer.start();
});

test.after.always(() => server?.stop());

/** What a program must do to reach a failpoint, if work alone does not reach it; `after`: first another program is killed there. */
const WAYS: Readonly<Partial<Record<FailpointName, {readonly what?: 'clean' | 'schedule'; readonly after?: string}>>> = {
	'reclaim:written': {after: 'dequeue:committed=kill'},
	'reclaim:committed': {after: 'dequeue:committed=kill'},
	'cleanup:written': {what: 'clean', after: ''},
	'cleanup:committed': {what: 'clean', after: ''},
	'blob:deleted': {what: 'clean', after: ''},
	'verb:committed': {what: 'clean', after: ''},
	'schedule:written': {what: 'schedule'},
};

/** Those of an upgrade and of a move, to which these programs do not come: `test/store/upgrade.test.ts`, `test/cli/move.test.ts`. */
const NAMES = (Object.keys(FAILPOINTS) as FailpointName[]).filter(name => !/^(migration|move):/.test(name) || name === 'migration:written');

for (const name of drawn(NAMES, 8)) {
	test(`a program that is killed at ${name} loses no job, and repeats none that it knew to have ended`, async t => {
		const folder = makeFolder(t);
		const {what = 'work', after} = WAYS[name] ?? {};
		const told = new Told(t, folder);
		if (after !== undefined) await told.run('work', after);
		t.is((await told.run(what, `${name}=kill`)).signal, 'SIGKILL');
		t.is((await told.run(what, '')).code, 0);
		// What it may have left beside the database is removed when it is old.
		for (const file of readdirSync(folder)) if (file.includes('-owner-')) utimesSync(join(folder, file), 0, 0);
		await told.verify(what === 'clean' ? 0 : 40);
		const db = new Database(join(folder, 'jobs.db'));
		t.deepEqual(brokenLaws(db), []);
		t.deepEqual(db.prepare('select * from owner').all(), []);
		db.close();
		t.deepEqual(readdirSync(folder).sort(), ['jobs.db', 'jobs.db-blobs', 'runs']);
	});
}

/** Those of a dispatcher: they come with any store. */
const OF_DISPATCHER = [
	...(['pool:loaded', 'enqueue:committed', 'dequeue:committed', 'chunk:given', 'outcome:received', 'settle:committed'] as const),
	...(['updates:committed', 'verb:committed', 'replies:ready', 'close:drained', 'close:left', 'close:closed'] as const),
];

for (const [index, name] of drawn([...OF_DISPATCHER.entries()], 3)) {
	test(`on PostgreSQL: a program that is killed at ${name} loses no job, and repeats none that it knew to have ended`, async t => {
		const schema = `failpoint${index}`;
		const {what = 'work', after} = WAYS[name] ?? {};
		const told = new Told(t, makeFolder(t), `${server.url}?schema=${schema}`);
		if (after !== undefined) await told.run('work', after);
		t.is((await told.run(what, `${name}=kill`)).signal, 'SIGKILL');
		t.is((await told.run(what, '')).code, 0);
		await told.verify(what === 'clean' ? 0 : 40);
		const client = new pg.Client(server.url);
		await client.connect();
		t.deepEqual(await brokenPostgresLaws(client, schema), []);
		t.deepEqual((await client.query(`select name from ${schema}.owner`)).rows, []);
		await client.end();
	});
}

/** Runs the program again and again, and holds it to what earlier runs were told. */
class Told {
	readonly #t: ExecutionContext;
	readonly #queue: string;
	readonly #runs: string;
	readonly #ids = new Map<string, string>();
	readonly #completed = new Set<string>();

	constructor(t: ExecutionContext, folder: string, queue = join(folder, 'jobs.db')) {
		this.#t = t;
		this.#queue = queue;
		this.#runs = join(folder, 'runs');
	}

	async run(what: string, failpoints: string) {
		this.#t.timeout(120_000, `The run ${JSON.stringify([what, failpoints])} ends within two minutes.`);
		const before = this.#ran().length;
		const done = new Set([...this.#ids].filter(([, id]) => this.#completed.has(id)).map(([key]) => key));
		const program = new Program(this.#t, 'failpoints', this.#queue, this.#runs, what, failpoints);
		for (const [verb, first = '', second = ''] of (await program.lines()).map(line => line.split(' '))) {
			if (verb === 'completed') {
				this.#t.false(this.#completed.has(first), `job ${first} completed twice`);
				this.#completed.add(first);
			} else if (verb === 'enqueued') {
				this.#t.is(this.#ids.get(first) ?? second, second, 'a job that was enqueued is there, under its id');
				this.#ids.set(first, second);
			}
		}
		for (const key of this.#ran().slice(before)) this.#t.false(done.has(key), `job ${key} ran again though it was said to have completed`);
		return program.ended();
	}

	async verify(completed: number): Promise<void> {
		this.#t.timeout(60_000, 'An engine opens after the runs, and reads what they left, within a minute.');
		const faena = await openEngine(this.#t, {queue: this.#queue, tasks: null});
		this.#t.deepEqual(await faena.counts(), {blocked: 0, pending: 0, running: 0, failed: 0, completed, dead: 0, cancelled: 0});
		for (const {attempts} of await faena.jobs().page()) this.#t.is(attempts, 0);
		await faena.close();
		this.#t.is(new Set(this.#ran()).size, 40);
	}

	#ran(): string[] {
		return existsSync(this.#runs) ? readFileSync(this.#runs, 'utf8').split('\n').slice(0, -1) : [];
	}
}

test('a failpoint may throw instead, and the engine says so; the next one goes on', async t => {
	const told = new Told(t, makeFolder(t));
	const {code, stderr} = await told.run('work', 'settle:committed:2=throw');
	t.is(code, 1);
	t.regex(stderr, /DispatcherFailed[\s\S]*The failpoint settle:committed was reached\./);
	t.is((await told.run('work', '')).code, 0);
	await told.verify(40);
});

test('a misspelt failpoint is refused in a sentence that says what there is', async t => {
	const told = new Told(t, makeFolder(t));
	t.regex(
		(await told.run('work', 'settle:comitted=kill')).stderr,
		/BadOption[\s\S]*There is no failpoint "settle:comitted"; there is migration:step, migration:written, /,
	);
	t.regex((await told.run('work', 'settle:committed=die')).stderr, /The failpoint settle:committed expects "kill" or "throw"; it got "die"/);
});
