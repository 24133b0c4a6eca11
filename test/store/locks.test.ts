/** In a file of their own: they wait for seconds in the event loop, which other tests of a store keep busy. */
import {once} from 'node:events';
import {join} from 'node:path';
import {Worker} from 'node:worker_threads';
import test from 'ava';
import {makeFolder} from '../fixtures/folder.ts';
import {openQueueAt} from '../fixtures/queue.ts';

const JOB = {task: 'count', payload: '1'};

/** The code of a thread that has the write lock of a database for a while, and reports in shared memory when it is about to release the lock. */
const HOLDER = `
	const {parentPort, workerData: {path, flag}} = require('node:worker_threads');
	const db = new (require('better-sqlite3'))(path);
	db.exec('begin immediate');
	parentPort.postMessage('held');
	Atomics.wait(flag, 0, 0, 200);
	Atomics.store(flag, 0, 1);
	db.exec('commit');
	db.close();
`;

test('a commit waits while another program is in a transaction, and takes effect once', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path);
	t.teardown(() => queue.close());
	const flag = new Int32Array(new SharedArrayBuffer(4));
	const holder = new Worker(HOLDER, {eval: true, workerData: {path, flag}});
	const exited = once(holder, 'exit');
	await once(holder, 'message');
	const enqueued = await queue.enqueue([JOB]);
	t.is(Atomics.load(flag, 0), 1);
	t.deepEqual(
		enqueued.map(({id}) => id),
		[1],
	);
	t.like(await queue.counts(), {pending: 1});
	await exited;
});

/** The code of a thread that has the write lock in one transaction after the other, each until it is told to end it, or for this time. */
const BUSY_WRITER = `
	const {parentPort, workerData: {path, transactions, ms, flag}} = require('node:worker_threads');
	const db = new (require('better-sqlite3'))(path);
	db.exec('create table mine (n)');
	for (let left = transactions; left > 0; left--) {
		db.exec('begin immediate; insert into mine values (1)');
		if (left === transactions) parentPort.postMessage('held');
		Atomics.wait(flag, 0, 0, ms);
		db.exec('commit');
	}
	db.close();
`;

test('a commit waits for as long as other programs commit, and for one transaction of another program for 10 s', async t => {
	t.timeout(150_000);
	const results = [
		{transactions: 6, ms: 2500},
		{transactions: 1, ms: 120_000},
	].map(async given => {
		const path = join(makeFolder(t), 'jobs.db');
		const queue = await openQueueAt(path);
		t.teardown(() => queue.close());
		const flag = new Int32Array(new SharedArrayBuffer(4));
		const writer = new Worker(BUSY_WRITER, {eval: true, workerData: {path, ...given, flag}});
		const exited = once(writer, 'exit');
		await once(writer, 'message');
		const error = await queue.enqueue([JOB]).then(() => undefined, String);
		Atomics.store(flag, 0, 1);
		Atomics.notify(flag, 0);
		await exited;
		return [error, (await queue.counts()).pending] as const;
	});
	const [many, one] = await Promise.all(results);
	t.deepEqual(many, [undefined, 1]);
	t.regex(one?.[0] ?? '', /was locked by another program for more than 10 s\. End the long transaction there \(SQLITE_BUSY\)\.$/);
	t.is(one?.[1], 0);
});
