import {existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import type {NewJob} from '../../lib/job/new-job.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {comesBack} from '../fixtures/comes-back.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {openQueueAt} from '../fixtures/queue.ts';
import {openRawQueue} from '../fixtures/raw-queue.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const JOB: NewJob = {task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY};
const LEASE_MS = 1000;

test('an owner whose lock is missing is dead only once it has been silent for a lease', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = {now: 1_000_000};
	const open = () => openQueueAt(path, {leaseMs: LEASE_MS, now: () => clock.now, steadyMs: () => clock.now});
	const [holder, other] = [await open(), await open()];
	t.teardown(async () => {
		for (const queue of [holder, other]) await queue.close();
	});
	await holder.enqueue([JOB]);
	await holder.dequeue({owner: 'holder', tasks: ['count']});
	rmSync(`${path}-owner-holder`);
	for (let time = 0; time < 6; time++, clock.now += LEASE_MS / 2) {
		t.true(await holder.heartbeat('holder'));
		t.is(await other.reclaim(), 0);
	}
	let recovered = 0;
	for (const since = clock.now; recovered === 0; clock.now += LEASE_MS / 2) {
		recovered = await other.reclaim();
		t.is(recovered === 1, clock.now - since >= LEASE_MS);
	}
	t.is((await other.counts()).pending, 1);
});

test('outputs that a program may still print after its engine has ended stay for a day', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const hoursAgo = (name: string, hours: number) => {
		mkdirSync(`${path}-owner-${name}-output`);
		const at = Date.now() / 1000 - hours * 3600;
		utimesSync(`${path}-owner-${name}-output`, at, at);
	};
	hoursAgo('printing', 23);
	hoursAgo('gone', 25);
	const queue = await openRawQueue(path);
	t.teardown(() => queue.close());
	await queue.reclaim();
	t.deepEqual(
		readdirSync(join(path, '..')).filter(name => name.endsWith('-output')),
		['jobs.db-owner-printing-output'],
	);
});

test('if an owner fails to sign off as it closes, others reclaim its jobs at once', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	let fails = false;
	const now = () => {
		if (fails) throw new Error('no clock');
		return 1_000_000;
	};
	const [leaving, other] = [await openQueueAt(path, {now}), await openQueueAt(path)];
	t.teardown(() => other.close());
	await leaving.enqueue([JOB]);
	await leaving.dequeue({owner: 'leaving', tasks: ['count']});
	fails = true;
	await t.throwsAsync(leaving.close(), {message: 'no clock'});
	t.true(existsSync(`${path}-owner-leaving`));
	t.is(await other.reclaim(), 1);
	t.false(existsSync(`${path}-owner-leaving`));
	t.is((await other.counts()).pending, 1);
});

test('an owner whose lock was removed lives on, also after the end of a child process that was started since then', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const [holder, other] = [await openRawQueue(path), await openRawQueue(path)];
	t.teardown(() => Promise.all([holder.close(), other.close()]));
	await holder.enqueue([JOB]);
	await holder.dequeue({owner: 'holder', tasks: ['count']});
	const child = () => new Program(t, 'shares-lock', `${path}-owner-holder`).ended();
	t.like(await child(), {code: 0});
	rmSync(`${path}-owner-holder`);
	t.like(await child(), {code: 0, stderr: ''});
	t.is(await other.reclaim(), 0);
	t.like(await other.counts(), {running: 1});
});

test('an owner that was taken for dead and lives on keeps its files', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const clock = {now: 1_000_000};
	const open = () => openQueueAt(path, {leaseMs: LEASE_MS, now: () => clock.now, steadyMs: () => clock.now});
	const [holder, other] = [await open(), await open()];
	t.teardown(() => Promise.all([holder.close(), other.close()]));
	await holder.enqueue([JOB]);
	await holder.dequeue({owner: 'holder', tasks: ['count']});
	let recovered = 0;
	for (; recovered === 0; clock.now += LEASE_MS / 2) recovered = await other.reclaim();
	t.false(await holder.heartbeat('holder'));
	t.is((await holder.dequeue({owner: 'holder', tasks: ['count']})).jobs.length, 1);
	await other.reclaim();
	t.true(existsSync(`${path}-owner-holder`) && existsSync(`${path}-owner-holder-open`));
	await holder.leave('holder');
	t.deepEqual(
		readdirSync(join(path, '..')).filter(name => name.includes('-owner-')),
		[],
	);
});

test('a process of an engine shares its lock from its start, before the engine is an owner', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const [queue, other] = [await openRawQueue(path), await openRawQueue(path)];
	t.teardown(() => other.close());
	const {ownerLock = ''} = queue.store.ownerFiles('engine');
	t.true(existsSync(ownerLock));
	t.throws(() => other.store.ownerFiles('engine'), {code: 'OwnerInUse'});
	await queue.close();
	t.false(existsSync(ownerLock));
});

test('a lock that can not be opened is told in a sentence', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openRawQueue(path);
	t.teardown(() => queue.close());
	writeFileSync(`${path}-owner-worker`, 'no database'.repeat(100));
	const sentence = {name: 'FaenaError', code: 'BadDatabase', message: /jobs\.db-owner-worker is not an SQLite database/};
	t.throws(() => queue.store.ownerFiles('worker'), sentence);
	await t.throwsAsync(() => queue.dequeue({owner: 'worker', tasks: ['count']}), sentence);
	// The queue itself is all right.
	t.deepEqual((await queue.dequeue({owner: 'other', tasks: ['count']})).jobs, []);
});

test('a program that was killed and comes back with the same owner name has its old jobs at once', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openRawQueue(path);
	t.teardown(() => queue.close());
	await comesBack(t, queue, path);
});

for (const owner of ['me ', '../me', 'a\\b', 'me\n', 'me-open']) {
	test(`an owner whose name can't be the name of a file is refused, and leaves no file: ${JSON.stringify(owner)}`, async t => {
		const folder = makeFolder(t);
		const queue = await openRawQueue(join(folder, 'jobs.db'));
		t.teardown(() => queue.close());
		await t.throwsAsync(async () => queue.dequeue({owner, tasks: ['count']}), {code: 'BadOption', message: /^An owner's name names a file: .* This is "/});
		await queue.enqueue([JOB]);
		t.is((await queue.dequeue({owner: 'me', tasks: ['count']})).jobs.length, 1);
		t.deepEqual(
			readdirSync(folder).filter(name => name.includes('-owner-') && !name.endsWith('-journal')),
			['jobs.db-owner-me', 'jobs.db-owner-me-open'],
		);
	});
}
