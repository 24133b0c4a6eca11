import assert from 'node:assert/strict';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {enqueueIn, type FaenaError, type OwnConnection} from '../../lib/index.ts';
import {brokenLaws} from '../fault/laws.ts';
import {openEngine, type Tasks, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

/** An engine that runs no jobs, and a program's own connection to the same file, with a table of its own. */
async function openBoth(t: ExecutionContext) {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue, tasks: null});
	const db = new Database(queue);
	db.exec('create table orders (id integer primary key, what text) strict');
	t.teardown(() => {
		assert.deepEqual(brokenLaws(db), []);
		db.close();
	});
	return {queue, faena, db};
}

const order = (db: Database.Database, what: string) => db.prepare('insert into orders (what) values (?)').run(what);
const orders = (db: Database.Database) => db.prepare('select what from orders order by id').pluck().all();

test('a job enqueued in a transaction exists once the transaction commits, with all its options', async t => {
	const {faena, db} = await openBoth(t);
	const enqueued = db.transaction(() => {
		order(db, 'book');
		return enqueueIn<Tasks>(db, 'add', {a: 1, b: 2}, {priority: 7, maxAttempts: 9, delay: '1h', key: 'k', timeout: '3s'});
	})();
	t.deepEqual(enqueued, {id: 1, reused: false});
	const job = await faena.job(1).info();
	t.like(job, {task: 'add', status: 'pending', payload: {a: 1, b: 2}, priority: 7, maxAttempts: 9, key: 'k', timeoutMs: 3000});
	// The delay counts from the call, a moment before the job is written.
	t.true(Math.abs((job?.runAt as number) - (job?.createdAt as number) - 3_600_000) < 5000);
	t.deepEqual(orders(db), ['book']);
});

test('a job enqueued in a transaction that is rolled back does not exist', async t => {
	const {faena, db} = await openBoth(t);
	const failing = db.transaction(() => {
		order(db, 'book');
		enqueueIn(db, 'echo', 1, {key: 'k', backoff: 5});
		throw new Error('no');
	});
	t.throws(failing, {message: 'no'});
	t.deepEqual(orders(db), []);
	t.deepEqual(await faena.jobs().page(), []);
	// The rollback also removed the rows of its task, policy and key.
	t.deepEqual(enqueueIn(db, 'echo', 2, {key: 'k', backoff: 5}), {id: 1, reused: false});
	t.like(await faena.job(1).info(), {task: 'echo', payload: 2, status: 'pending'});
	t.is((await faena.counts({task: 'echo'})).pending, 1);
});

test('a rollback to a savepoint removes the jobs enqueued since then, and no others', async t => {
	const {faena, db} = await openBoth(t);
	db.exec('begin');
	enqueueIn(db, 'echo', 'before');
	db.exec('savepoint here');
	enqueueIn(db, 'add', 'taken', {maxAttempts: 5});
	enqueueIn(db, 'echo', 'taken', {delay: 9});
	db.exec('rollback to here');
	enqueueIn(db, 'add', 'after', {maxAttempts: 5});
	db.exec('release here');
	db.exec('commit');
	const jobs = await Promise.all((await faena.jobs().page()).map(({id}) => faena.job(id).info()));
	t.deepEqual(
		jobs.map(job => [job?.id, job?.task, job?.payload, job?.maxAttempts]),
		[
			[1, 'echo', 'before', 3],
			[2, 'add', 'after', 5],
		],
	);
	t.is((await faena.counts()).pending, 2);
});

test('outside a transaction enqueueIn() makes one of its own', async t => {
	const {faena, db} = await openBoth(t);
	t.is(enqueueIn(db, 'echo').id, 1);
	t.false(db.inTransaction);
	t.like(await faena.job(1).info(), {payload: undefined, status: 'pending'});
});

test('a key is unique among the jobs of engines and transactions; a conflict leaves the transaction as it was', async t => {
	const {faena, db} = await openBoth(t);
	await faena.enqueue('echo' as never, 'engine' as never, {key: 'k'} as never);
	db.transaction(() => {
		t.deepEqual(enqueueIn(db, 'echo', 'engine', {key: 'k'}), {id: 1, reused: true});
		t.deepEqual(enqueueIn(db, 'echo', 'own', {key: 'own'}), {id: 2, reused: false});
		t.deepEqual(enqueueIn(db, 'echo', 'own', {key: 'own'}), {id: 2, reused: true});
		order(db, 'before');
		t.throws(() => enqueueIn(db, 'echo', 'other', {key: 'k'}), {code: 'KeyConflict', message: /belongs to job 1, which has another payload/});
		order(db, 'after');
	})();
	t.deepEqual(orders(db), ['before', 'after']);
	t.is((await faena.counts()).pending, 2);
	await t.throwsAsync(faena.enqueue('echo' as never, 'x' as never, {key: 'own'} as never), {code: 'KeyConflict'});
});

test('ids go on after those of engines, and those of engines after these', async t => {
	const {faena, db} = await openBoth(t);
	const ids: number[] = [];
	for (let round = 0; round < 3; round++) {
		ids.push((await faena.enqueue('echo' as never, round as never)).id);
		ids.push(...db.transaction(() => [enqueueIn(db, 'echo', round).id, enqueueIn(db, 'new', round).id])());
	}
	t.deepEqual(ids, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('an engine of another process runs the job soon after the commit, and not before', async t => {
	const {queue, faena, db} = await openBoth(t);
	const program = new Program(t, 'engine', queue, 'serve');
	t.is(await program.line(), 'serves');
	db.exec('begin');
	const {id} = enqueueIn<Tasks>(db, 'add', {a: 1, b: 2});
	const delayed = enqueueIn<Tasks>(db, 'add', {a: 2, b: 3}, {delay: 1}).id;
	t.is(await faena.job(id).info(), undefined);
	const committedAt = performance.now();
	db.exec('commit');
	t.is(await faena.job<'add'>(id).result({timeout: '10s'}), 3);
	t.log(`${(performance.now() - committedAt).toFixed(1)} ms from commit to result`);
	t.is(await faena.job<'add'>(delayed).result({timeout: '10s'}), 5);
	await program.kill('SIGKILL');
});

test('the engine that is open in the same process runs the job, too', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	const db = new Database(queue);
	const {id} = db.transaction(() => enqueueIn<Tasks>(db, 'add', {a: 1, b: 2}))();
	t.is(await faena.job<'add'>(id).result({timeout: '10s'}), 3);
	assert.deepEqual(brokenLaws(db), []);
	db.close();
});

test('a transaction waits for locks of busy engines, however it was begun', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	const busy = faena.enqueueMany(
		'add',
		Array.from({length: 20_000}, (_, a) => ({a, b: 0})),
	);
	const db = new Database(queue);
	for (let round = 0; round < 200; round++) {
		db.transaction(() => enqueueIn<Tasks>(db, 'add', {a: round, b: 0}))();
		await nextTurn();
	}
	await busy;
	await faena.idle();
	t.is((await faena.counts()).completed, 20_200);
	assert.deepEqual(brokenLaws(db), []);
	db.close();
});

test('a connection that returns big integers by default works as well', async t => {
	const {faena, db} = await openBoth(t);
	db.defaultSafeIntegers(true);
	t.is(enqueueIn(db, 'echo', 1, {key: 'k'}).id, 1);
	t.is(enqueueIn(db, 'echo', 1, {key: 'k'}).id, 1);
	t.is((await faena.counts()).pending, 1);
	db.defaultSafeIntegers(false);
});

test('anything but a connection to a queue of this version is refused in a sentence, and left as it was', async t => {
	const {queue, db} = await openBoth(t);
	const closed = new Database(queue);
	closed.close();
	const readonly = new Database(queue, {readonly: true});
	const other = new Database(':memory:');
	const [twin, newer, older] = ['twin', 'newer', 'older'].map(name => {
		const copy = `${queue.slice(0, -'jobs.db'.length)}${name}.db`;
		db.exec(`vacuum into '${copy}'`);
		return new Database(copy);
	}) as [Database.Database, Database.Database, Database.Database];
	twin.pragma('application_id = 1');
	newer.pragma('user_version = 99');
	older.pragma('user_version = 0');
	const cases: readonly [string, unknown, FaenaError['code'], RegExp][] = [
		['a path as connection', queue, 'BadOption', /expects first a Database of better-sqlite3, or a Client or Pool of pg/],
		['no connection', undefined, 'BadOption', /expects first a Database of better-sqlite3/],
		['a closed connection', closed, 'BadOption', /jobs\.db that is closed/],
		['a connection that only reads', readonly, 'BadOption', /jobs\.db that can only read/],
		['a database of another program', other, 'BadDatabase', /:memory: is not a database of this Faena/],
		['a database with the same tables', twin, 'BadDatabase', /twin\.db is not a database of this Faena/],
		['a database of a newer Faena', newer, 'NewerDatabase', /written by a newer Faena \(schema 99/],
		['a database of an older Faena', older, 'BadDatabase', /last opened by an older Faena \(schema 0/],
	];
	for (const [what, connection, code, message] of cases) {
		const error = t.throws(() => enqueueIn(connection as OwnConnection, 'echo', 1), {message}, what) as FaenaError;
		t.is(error.code, code);
		t.log(`${what} → ${error.code}: ${error.message}`);
	}
	t.is(other.prepare('select count(*) from sqlite_schema').pluck().get(), 0);
	for (const each of [twin, newer, older]) {
		t.is(each.prepare('select count(*) from job').pluck().get(), 0);
		each.close();
	}
	readonly.close();
	t.throws(() => enqueueIn(db, '' as 'echo'), {code: 'BadOption', message: /expects a task's name after the connection/});
	t.throws(() => enqueueIn(db, 'echo', () => 1), {code: 'NotEncodable'});
	t.throws(() => enqueueIn(db, 'echo', 1, {prioritty: 1} as never), {
		code: 'BadOption',
		message: /enqueueIn\(\) has no option "prioritty"; did you mean "priority"/,
	});
});
