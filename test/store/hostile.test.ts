import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {open} from '../../lib/index.ts';
import {decode} from '../../lib/job/encoding.ts';
import {toFailure} from '../../lib/job/failure.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {readFailure} from '../../lib/store/stored-json.ts';
import {TASKS, type Tasks} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {commitPlain} from '../fixtures/plain.ts';
import {openQueueAt} from '../fixtures/queue.ts';
import type {RawQueue} from '../fixtures/raw-queue.ts';
import {loosenCompleted} from '../fixtures/stored.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'};

function newJob(job: Partial<NewJob> = {}): NewJob {
	return {task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY, ...job};
}

/** A queue with a completed, a failed and a pending job of a batch. Another program has run the statement on its file. */
async function openTampered(t: ExecutionContext, statement: string, ...values: unknown[]): Promise<{queue: RawQueue; path: string}> {
	const path = join(makeFolder(t), 'jobs.db');
	const first = await openQueueAt(path, {durability: 'normal'});
	const batch = await first.openBatch('nightly', 'count', 'me', {onComplete: {task: 'after', priority: 0, policy: POLICY}});
	await first.enqueue([newJob({batch, key: 'a'}), newJob({batch, key: 'b'}), newJob({batch, key: 'c'})]);
	const {lease, jobs} = await first.dequeue({owner: 'me', tasks: ['count'], limit: 2});
	const claims = jobs.map(({id, execution}) => ({id, execution}));
	await first.settle(lease, [
		{...(claims[0] as {id: number; execution: number}), outcome: {type: 'returned', value: '1'}},
		{...(claims[1] as {id: number; execution: number}), outcome: {type: 'threw', error: toFailure(new Error('no luck'))}},
	]);
	await first.endInput(batch, 3, 'me');
	await first.close();
	const db = new Database(path);
	loosenCompleted(db);
	db.prepare(statement).run(...values);
	db.close();
	const queue = await openQueueAt(path, {durability: 'normal'});
	t.teardown(() => queue.close());
	return {queue, path};
}

for (const name of ['../secret', '../../secret', '/etc/hostname', 'folder/../../secret', '..', '.', '', 'a'.repeat(64)]) {
	test(`the row of a result can't name another file than a result: ${JSON.stringify(name)}`, async t => {
		const {queue, path} = await openTampered(t, 'update outcome set blob = ? where id = 1', name);
		mkdirSync(`${path}-blobs`);
		const secret = join(path, '../secret');
		writeFileSync(secret, '"secret"');
		const values = await queue.values(1);
		t.throws(() => decode(values?.result ?? null), {code: 'BadDatabase', message: /can't be read/});
		const [end] = await queue.outcomes([1]);
		t.throws(() => decode(end?.result ?? null), {code: 'BadDatabase'});
		await queue.openBatch('nightly', 'count', 'me');
		await queue.closeBatch(1, 'me');
		t.is((await queue.store.delete({endedBefore: Date.now() + 1000})).deleted, 1);
		t.true(existsSync(secret) && existsSync(`${path}-blobs`));
	});
}

test("the row of an owner can't name another file than a lock: the owner's jobs are reclaimed, and no other file is touched", async t => {
	const {queue, path} = await openTampered(t, "insert into owner (name, heartbeat_at) values ('/../secret', 0)");
	const secret = join(path, '../secret');
	mkdirSync(`${path}-owner-`);
	writeFileSync(secret, 'secret');
	t.is(await queue.reclaim(), 0);
	t.true(existsSync(secret));
});

const TEXTS = [
	'',
	'null',
	'5',
	'[]',
	'{}',
	'{"maxAttempts":"x"}',
	'{"maxAttempts":1e999,"backoff":{}}',
	'[[['.repeat(10_000),
	'{"__proto__":{"maxAttempts":9}}',
	'\ufffd',
	'[{"at":"x"}]',
];

for (const column of ['policy.spec', 'batch.marks', 'batch.on_complete', 'failure_state.failure'] as const) {
	test(`jobs can be read and settled with any text in ${column}`, async t => {
		const [table, name] = column.split('.');
		for (const text of TEXTS) {
			const {queue} = await openTampered(t, `update ${table} set ${name} = ?`, text);
			t.is((await queue.jobs({}).page()).length, 3);
			t.is((await queue.batches()).length, 1);
			const [dead] = await queue.jobs({status: 'failed'}).page();
			if (dead) t.is(typeof dead.error?.message, 'string');
			const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['count'], limit: 9});
			const {accepted} = await queue.settle(
				lease,
				jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'threw', error: toFailure(new Error('again'))}})),
			);
			t.true(jobs.length > 0 && accepted === jobs.length);
		}
	});
}

for (const times of [new Uint8Array(), new Uint8Array(1), new Uint8Array(40).fill(255), new Uint8Array(Float64Array.of(1e12, 5, 1, 0, 1e12, 5, 1, 0).buffer)]) {
	test(`jobs of a run keep their statuses and results with any ${times.length} bytes for their times`, async t => {
		const path = join(makeFolder(t), 'jobs.db');
		const first = await openQueueAt(path, {durability: 'normal'});
		await first.enqueue([newJob(), newJob()]);
		const {lease, jobs} = await first.dequeue({owner: 'me', tasks: ['count'], limit: 2});
		await first.settle(
			lease,
			jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: `${id}`, startedAt: 7, durationMs: 5}})),
		);
		t.like(await first.job(2), {startedAt: 7, durationMs: 5});
		await first.close();
		const db = new Database(path);
		t.is(db.prepare('update outcome_run set times = ?').run(times).changes, 1);
		db.close();
		const queue = await openQueueAt(path, {durability: 'normal'});
		t.teardown(() => queue.close());
		t.like(await queue.job(2), {status: 'completed', startedAt: undefined, durationMs: undefined});
		t.is((await queue.values(2))?.result, '2');
	});
}

for (const change of ['drop table failure_state', 'alter table job rename column key to evil']) {
	test(`a database without a table or column of a queue is refused: ${change}`, async t => {
		await t.throwsAsync(openTampered(t, change), {code: 'BadDatabase', message: /another program has changed it/});
	});
}

test('rows that conflict with a call are an error of that call, and of no other', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const faena = await open<Tasks>({queue: path, tasks: TASKS, isolation: 'inline'});
	t.teardown(() => faena.close({drain: 0}));
	t.is(await faena.call('echo', 1), 1);
	const db = new Database(path);
	db.exec("insert into key (space, key, id) select -id, 'taken', 99 from task where name = 'echo'");
	db.close();
	await t.throwsAsync(faena.enqueue('echo', 2, {key: 'taken'}), {code: 'BadRow', message: /SQLITE_CONSTRAINT/});
	t.is(await faena.call('echo', 3, {key: 'free'}), 3);
});

for (const change of ['delete from tally where task = 0', 'update tally set jobs = 9223372036854775807 where task = 0']) {
	test(`without a counter no job is enqueued or claimed: ${change}`, async t => {
		const {queue} = await openTampered(t, change);
		await t.throwsAsync(() => queue.enqueue([newJob()]), {code: 'BadRow', message: /numbers of a job/});
		await t.throwsAsync(() => queue.dequeue({owner: 'me', tasks: ['count']}), {code: 'BadRow', message: /numbers of a lease|rows that Faena never writes/});
	});
}

test('an owner whose row could not be written keeps its lock, and gets the row later', async t => {
	const {queue, path} = await openTampered(t, "create trigger evil before insert on owner begin select raise(abort, 'evil'); end");
	const dequeue = () => queue.dequeue({owner: 'new', tasks: ['count']});
	for (let time = 0; time < 2; time++) await t.throwsAsync(dequeue, {code: 'BadRow'});
	t.true(existsSync(`${path}-owner-new`));
	const db = new Database(path);
	db.exec('drop trigger evil');
	db.close();
	t.is((await dequeue()).jobs.length, 1);
});

test('a commit that fails changes no counts, and makes no task or owner known', async t => {
	const {queue, path} = await openTampered(t, "create trigger evil before insert on claimed begin select raise(abort, 'evil'); end");
	const before = await queue.counts();
	const claim = {owner: 'first', lanes: [{task: 'count', limit: 1}], limit: 1, maxBytes: Infinity};
	await t.throwsAsync(commitPlain(queue.store, {enqueue: [newJob({task: 'new'})], claim}), {code: 'BadRow'});
	t.deepEqual(await queue.counts(), before);
	const db = new Database(path);
	db.exec('drop trigger evil');
	db.close();
	t.is((await queue.dequeue({owner: 'second', tasks: ['count']})).jobs.length, 1);
	const [enqueued] = await queue.enqueue([newJob({task: 'new'})]);
	t.like(await queue.job(enqueued?.id as number), {task: 'new', status: 'pending'});
	t.is((await queue.dequeue({owner: 'first', tasks: ['new']})).jobs.length, 1);
	t.is(await queue.store.heartbeat('first'), 'alive');
	t.like(await queue.counts(), {running: before.running + 2});
	t.deepEqual(await queue.counts({task: 'new'}), {blocked: 0, pending: 0, running: 1, failed: 0, completed: 0, dead: 0, cancelled: 0});
});

test('a name is data, even if it looks like SQL', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	const names = ["'; drop table job; --", '" or 1=1 --', '%', '_', "task' union select name from owner --", '?1', ':name', '[1]', '\\'];
	for (const name of names) {
		const batch = await queue.openBatch(name, name, 'me');
		const enqueue = () => queue.enqueue([newJob({task: name, key: name, batch})]);
		const [first, again] = [(await enqueue())[0], (await enqueue())[0]];
		t.is(first?.id, again?.id);
		t.deepEqual(
			(await queue.jobs({task: name, batch: name}).page()).map(({key}) => key),
			[name],
		);
		await queue.pause([name]);
		t.deepEqual((await queue.dequeue({owner: 'me', tasks: [name]})).jobs, []);
		await queue.resume([name]);
		t.is((await queue.dequeue({owner: 'me', tasks: [name]})).jobs.length, 1);
	}
	t.is((await queue.counts()).running, names.length);
	t.is((await queue.cancel({task: "' or 1=1 --"})).asked.length, 0);
	await queue.close();
});

test('a stored failure is read back as it was written', t => {
	const thrown = [new RangeError('far', {cause: new Error('near')}), null, 'text', Object.assign(new Error('x'), {code: 5}), {message: 'plain'}];
	for (const each of thrown) {
		const record = {
			...toFailure(each, 'lostWorker'),
			...{exitCode: 7, signal: 'SIGKILL', stderr: 'last'},
			postMortem: {
				...{execution: 2, attempt: 1, startedAt: 3, durationMs: 4.5, stack: 'at', noStack: 'none'},
				...{progress: {done: 1, total: 2, at: 3}, heap: {usedBytes: 1, limitBytes: 2}},
			},
		};
		t.deepEqual(readFailure(JSON.stringify(record)), record);
		t.deepEqual(readFailure(JSON.stringify(toFailure(each))), toFailure(each));
	}
});

test('only valid fields of a stored failure are read', t => {
	t.deepEqual(
		readFailure(
			'{"reason":"owned","name":5,"message":[],"stack":{},"code":{},"causes":[null,{"message":"m","x":1}],"exitCode":"0","postMortem":{"execution":"1"},"evil":1}',
		),
		{
			reason: 'threw',
			name: 'Error',
			message: 'The stored record of this error is damaged.',
			causes: [
				{name: 'Error', message: 'The stored record of this error is damaged.'},
				{name: 'Error', message: 'm'},
			],
		},
	);
	t.is(readFailure(`{"causes":[${'{},'.repeat(10_000)}{}]}`).causes?.length, 16);
});
