/** What the database refuses because of a value or a row is a failure of the job or call it comes from, and of no other. */

import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import anyTest from 'ava';
import Database from 'better-sqlite3';
import type {Logger, TaskContext} from '../../lib/index.ts';
import {ownerLockAt} from '../../lib/store/owners/owner-files.ts';
import {holdLock} from '../../lib/store/owners/owner-lock.ts';
import {nameIn} from '../../lib/store/task-number.ts';
import {openForTest, type TestEngine} from '../../lib/testing.ts';
import {makeFolder} from '../fixtures/folder.ts';

const test = anyTest.serial;

const TASKS = {
	echo: (value: unknown) => value,
	other: (value: unknown) => value,
	feed: (value: string, context: TaskContext) => context.enqueue('echo', value),
	async keep(value: string, context: TaskContext) {
		context.checkpoint(value);
		await new Promise<void>(resolve => released.push(resolve));
		return value;
	},
};

let released: (() => void)[] = [];

interface Told {
	readonly jobId?: number;
	readonly task?: string;
	readonly err?: Error;
}

/** An engine and a second connection to its database, and what the logger gets to hear of refusals. */
async function openWith(t: ExecutionContext, options = {}): Promise<{faena: TestEngine<typeof TASKS>; db: Database.Database; told: Told[]}> {
	t.timeout(60_000);
	const queue = join(makeFolder(t), 'jobs.db');
	const told: Told[] = [];
	const silent = () => undefined;
	const logger: Logger = {
		debug: silent,
		info: silent,
		warn: silent,
		error: (fields, message) => void (/refused to write or read/.test(message) && told.push(fields)),
	};
	const faena = await openForTest(TASKS, {queue, logger, defaults: {maxAttempts: 2, backoff: 0}, ...options});
	const db = new Database(queue);
	t.teardown(async () => {
		db.close();
		for (const release of released) release();
		released = [];
		await faena.close({drain: 0});
	});
	return {faena, db, told};
}

/** The database refuses each row of the table for which the condition holds. */
function refuse(db: Database.Database, table: string, condition: string, by = "raise(abort, 'refused')"): void {
	db.exec(`create trigger refuses_${table} before insert on ${table} when ${condition} begin select ${by}; end`);
}

const WORDS = Array.from({length: 40}, (_, index) => (index % 9 === 4 ? 'evil' : 'good'));

for (const [what, by, error] of [
	['refuses', "raise(abort, 'refused')", {code: 'BadRow', message: /refused \(SQLITE_CONSTRAINT_TRIGGER\)/}],
	['calls too large', 'zeroblob(2000000000)', {code: 'TooLarge', message: /SQLite takes at most 1,000,000,000 bytes/}],
] as const) {
	test(`a result that the database ${what} is a failure of its job, charged, and holds back no other`, async t => {
		const {faena, db, told} = await openWith(t);
		refuse(db, 'outcome', `new.value like '%evil%'`, by);
		refuse(db, 'outcome_run', `new.results like '%evil%'`, by);
		const {ids} = await faena.enqueueMany('echo', WORDS);
		await faena.drain();
		for (const [index, id] of ids.entries()) {
			const job = await faena.job(id).info();
			if (WORDS[index] === 'good') t.like(job, {status: 'completed', result: 'good', attempts: 0});
			else {
				t.like(job, {status: 'dead', attempts: 2});
				t.like(job?.error, {code: error.code});
				t.regex(job?.error?.message ?? '', error.message);
			}
		}
		t.deepEqual(told, []);
	});
}

test('a job that enqueues one which the database refuses has failed, and those it shares a turn with complete', async t => {
	const {faena, db} = await openWith(t, {workers: 4});
	refuse(db, 'job_run', `new.payloads like '%evil%'`);
	refuse(db, 'job', `new.payload like '%evil%' and ${nameIn('new.task')} = (select id from task where name = 'echo')`);
	// One after the other, so that each has a row of its own.
	const jobs = await Promise.all(['good', 'evil', 'good'].map((value, index) => faena.enqueue('feed', value, {key: `${index}`})));
	await faena.drain();
	const outcomes = await Promise.all(jobs.map(job => job.outcome()));
	t.deepEqual(
		outcomes.map(({status}) => status),
		['completed', 'dead', 'completed'],
	);
	t.like((outcomes[1] as {error: Error}).error, {code: 'BadRow'});
	t.like(await faena.counts({task: 'echo'}), {completed: 2, pending: 0});
});

test('of calls that share a turn only the one is refused whose job the database refuses', async t => {
	const {faena, db} = await openWith(t);
	refuse(db, 'job_run', `new.payloads like '%evil%'`);
	refuse(db, 'job', `new.payload like '%evil%'`);
	const calls = await Promise.allSettled(WORDS.map((value, index) => faena.enqueue('echo', value, {key: `${index}`})));
	t.deepEqual(
		calls.map(each => (each.status === 'fulfilled' ? 'good' : 'evil')),
		WORDS,
	);
	for (const each of calls) if (each.status === 'rejected') t.like(each.reason, {code: 'BadRow'});
	await faena.drain();
	t.is((await faena.counts()).completed, WORDS.filter(word => word === 'good').length);
});

test('where not even the failure of a job can be written, this is reported once, its claim stays, and the engine goes on', async t => {
	const {faena, db, told} = await openWith(t, {workers: 2});
	refuse(db, 'failure_state', 'new.id = 1');
	refuse(db, 'outcome', 'new.id = 1');
	await faena.enqueue('echo', 'stuck', {key: 'stuck'});
	t.is(await faena.call('echo', 'goes on'), 'goes on');
	for (let time = 0; time < 5; time++) await faena.call('other', time);
	t.like(await faena.job(1).info(), {status: 'running', attempts: 0});
	t.deepEqual(
		told.map(({jobId, err}) => [jobId, (err as {code?: string}).code]),
		[[1, 'BadRow']],
	);
});

test('an update that the database refuses is left out and reported; updates of other jobs are kept', async t => {
	const {faena, db, told} = await openWith(t, {workers: 2});
	refuse(db, 'checkpoint', 'new.id = 1');
	const jobs = [await faena.enqueue('keep', 'a', {key: 'a'}), await faena.enqueue('keep', 'b', {key: 'b'})];
	while (told.length === 0 || !(await faena.job(2).info())?.checkpoint) await faena.counts();
	t.deepEqual(
		told.map(({jobId}) => jobId),
		[1],
	);
	for (const release of released) release();
	t.deepEqual(await Promise.all(jobs.map(job => job.result())), ['a', 'b']);
});

test('a job that is ready and running at once is passed over and reported, and the others of its task run', async t => {
	const {faena, db, told} = await openWith(t);
	await faena.pause('echo');
	for (const key of ['a', 'b', 'c']) await faena.enqueue('echo', key, {key});
	db.exec("insert into owner (id, name, heartbeat_at) values (77, 'elsewhere', 0)");
	db.exec('insert into claimed (id, lease, execution, owner, task) select id, 99, 1, 77, task from job where id = 1');
	await faena.resume('echo');
	t.is(await faena.job<'echo'>(3).result(), 'c');
	t.is((await faena.job(2).info())?.status, 'completed');
	t.true(told.some(({jobId}) => jobId === 1));
});

test('a job that is ready and waiting at once runs once, and keeps no other from its time', async t => {
	const {faena, db} = await openWith(t);
	const job = await faena.enqueue('echo', 'later', {delay: '1h', key: 'a'});
	const next = await faena.enqueue('other', 'next', {delay: '1h', key: 'b'});
	db.exec(`insert into ready (task, rank, id, executions) select task, -priority, id, 0 from job where id = ${job.id}`);
	faena.clock.advance('2h');
	t.deepEqual(await Promise.all([job.result(), next.result()]), ['later', 'next']);
	t.like(await faena.job(job.id).info(), {executions: 1});
});

test('a task whose claims fail because of a row rests, and is reported once; other tasks go on, and so does this one once the row is mended', async t => {
	const {faena, db, told} = await openWith(t, {workers: 2});
	await faena.pause('echo');
	const job = await faena.enqueue('echo', 'held back', {key: 'a'});
	// What running jobs are counted by.
	db.exec("insert into tally values ((select id from task where name = 'echo'), 5, 9223372036854775807)");
	await faena.resume('echo');
	while (told.length === 0) t.is(await faena.call('other', 1), 1);
	// For longer than it takes until it is tried again.
	for (const until = performance.now() + 300; performance.now() < until; ) t.is(await faena.call('other', 1), 1);
	t.deepEqual(
		told.map(({task}) => task),
		['echo'],
	);
	db.exec("delete from tally where state = 5 and task = (select id from task where name = 'echo')");
	t.is(await job.result(), 'held back');
});

test('jobs that a dead engine held come back, except those that were deleted or made ready meanwhile', async t => {
	const {faena, db} = await openWith(t);
	await faena.pause('echo');
	for (const key of ['a', 'b', 'c']) await faena.enqueue('echo', key, {key});
	holdLock(ownerLockAt(db.name, 'dead')).close();
	db.exec("insert into owner (id, name, heartbeat_at) values (77, 'dead', 0)");
	db.exec('insert into claimed (id, lease, execution, owner, task) select id, 99, 1, 77, task from job');
	db.exec('delete from ready where id <> 2; delete from job where id = 1');
	await faena.resume('echo');
	t.is(await faena.job<'echo'>(3).result(), 'c');
	t.is(await faena.job<'echo'>(2).result(), 'b');
});

test('a batch whose map could not write that it has ended is free as soon as it can be written, here and elsewhere', async t => {
	const {faena, db} = await openWith(t);
	const other = await openForTest(TASKS, {queue: db.name});
	t.teardown(() => other.close());
	const map = async (engine: typeof faena, batch: string) => {
		const results = [];
		for await (const result of engine.map('echo', [1], {batch})) results.push(result.status);
		return results;
	};
	db.exec(`create trigger refuses before update of owner on batch when new.owner is null begin select raise(abort, 'refused'); end`);
	for (const batch of ['always', 'at first']) await t.throwsAsync(map(faena, batch), {code: 'BadRow'});
	db.exec('drop trigger refuses');
	db.exec(`create trigger refuses before update of owner on batch when new.owner is null and new.name = 'always' begin select raise(abort, 'refused'); end`);
	t.deepEqual(await map(other, 'at first'), ['completed']);
	t.deepEqual(await map(faena, 'at first'), ['completed']);
	await t.throwsAsync(map(other, 'always'), {code: 'BatchInUse'});
	db.exec('drop trigger refuses');
	t.deepEqual(await map(faena, 'always'), ['completed']);
});
