import {copyFileSync, readdirSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import Database from 'better-sqlite3';
import {moveQueue} from '../../lib/queue.ts';
import {openStore} from '../../lib/store/open-store.ts';
import {ownerLockAt} from '../../lib/store/owners/owner-files.ts';
import {holdLock} from '../../lib/store/owners/owner-lock.ts';
import {MIGRATIONS, TABLES} from '../../lib/store/sqlite/connection/schema.sql.ts';
import {brokenLaws} from '../fault/laws.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {openQueueAt} from '../fixtures/queue.ts';
import type {RawQueue} from '../fixtures/raw-queue.ts';

/** Databases that released versions wrote, with jobs in every state and rows in every table. Each later version must open them. */
const DATABASES = fileURLToPath(new URL('../fixtures/databases', import.meta.url));
const RELEASES = readdirSync(DATABASES).map(file => file.replace('.db', ''));

function copyOf(t: ExecutionContext, release: string): string {
	const path = join(makeFolder(t), 'jobs.db');
	copyFileSync(join(DATABASES, `${release}.db`), path);
	return path;
}

function schemaOf(path: string): number {
	const db = new Database(path, {readonly: true});
	const version = db.pragma('user_version', {simple: true}) as number;
	db.close();
	return version;
}

/** All jobs with their values and log lines. */
async function everything({store}: RawQueue): Promise<unknown[]> {
	const {jobs} = await store.jobs({}, {limit: 1000}, {values: true, logs: true, history: true});
	return [...jobs];
}

for (const release of RELEASES) {
	test(`a database that ${release} wrote is upgraded, and its jobs go on`, async t => {
		const path = copyOf(t, release);
		const queue = await openQueueAt(path, {durability: 'normal'});
		const before = await queue.counts();
		const jobs = (await everything(queue)) as {readonly status: string; readonly values: object}[];
		t.deepEqual([schemaOf(path), jobs.length], [MIGRATIONS.length, Object.values(before).reduce((sum, count) => sum + count, 0)]);
		for (const [status, count] of Object.entries(before)) t.is(jobs.filter(job => job.status === status).length, count, status);
		t.true(jobs.length > 80 && jobs.every(({values}) => 'payload' in values));
		const {lease, jobs: claimed} = await queue.dequeue({owner: 'new', tasks: ['echo', 'makeAnother', 'keepsPlace'], limit: 1000});
		t.true(claimed.length > 0);
		await queue.settle(
			lease,
			claimed.map(({id, execution, payload}) => ({id, execution, outcome: {type: 'returned', value: payload}})),
		);
		t.is((await queue.counts()).completed, before.completed + claimed.length);
		await queue.close();
		const db = new Database(path);
		t.deepEqual(brokenLaws(db), []);
		db.close();
	});

	test(`the upgrade of a database that ${release} wrote touches no jobs`, async t => {
		const path = copyOf(t, release);
		const store = await openStore(path);
		// The upgrade writes the schema and the tallies.
		t.true(statSync(`${path}-wal`).size < 40 * 4096 && statSync(path).size > 80 * 4096);
		await store.close();
	});

	for (const moment of ['migration:step', 'migration:written', 'migration:committed']) {
		test(`a program that is killed at ${moment} leaves a database of ${release} as it was, or upgraded`, async t => {
			const path = copyOf(t, release);
			const program = new Program(t, {name: 'queue', under: ['env', `FAENA_FAILPOINTS=${moment}=kill`]}, path);
			t.is((await program.ended()).signal, 'SIGKILL');
			const schema = schemaOf(path);
			t.is(schema === MIGRATIONS.length, moment === 'migration:committed');
			const [killed, untouched] = [await openQueueAt(path), await openQueueAt(copyOf(t, release))];
			t.deepEqual(await everything(killed), await everything(untouched));
			await Promise.all([killed.close(), untouched.close()]);
		});
	}

	test(`a database of ${release} is not upgraded while an engine of that version lives on it`, async t => {
		const path = copyOf(t, release);
		const schema = schemaOf(path);
		const lock = holdLock(ownerLockAt(path, 'first'));
		await t.throwsAsync(openStore(path), {
			code: 'DatabaseBusy',
			message: /is in use by an engine of an older Faena \(schema \d+; this one has \d+\)\..*Close every engine/,
		});
		t.is(schemaOf(path), schema);
		lock.close();
		await (await openStore(path)).close();
		t.is(schemaOf(path), MIGRATIONS.length);
	});
}

test('a database of a newer version is refused untouched', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	await (await openStore(path)).close();
	const db = new Database(path);
	db.pragma(`user_version = ${MIGRATIONS.length + 1}`);
	db.close();
	await t.throwsAsync(openStore(path), {code: 'NewerDatabase'});
	t.is(schemaOf(path), MIGRATIONS.length + 1);
});

test.serial('a queue that has moved is upgraded by a later version that changes rows, and can still only be read', async t => {
	const folder = makeFolder(t);
	const path = join(folder, 'jobs.db');
	const queue = await openQueueAt(path);
	await queue.enqueue([{task: 'echo', payload: '1'}]);
	await queue.close();
	await moveQueue(path, join(folder, 'new.db'));
	(MIGRATIONS as string[]).push("update task set name = 'renamed'");
	t.teardown(() => (MIGRATIONS as string[]).pop());
	const anew = await openQueueAt(path);
	t.like((await anew.store.jobs({})).jobs, [{task: 'renamed'}]);
	await t.throwsAsync(anew.enqueue([{task: 'echo', payload: '1'}]), {code: 'QueueMoved'});
	await anew.close();
	t.is(schemaOf(path), MIGRATIONS.length);
});

test('the list of all tables has those of a new database', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	await (await openStore(path)).close();
	const db = new Database(path);
	const names = db.prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'").pluck().all() as string[];
	db.close();
	t.deepEqual([...TABLES].sort(), names.sort());
});
