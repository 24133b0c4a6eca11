import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import Database from 'better-sqlite3';
import {enqueueIn, FaenaError, type TaskContext, task} from '../../lib/index.ts';
import {openQueue} from '../../lib/queue.ts';
import {openForTest} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const tasks = {
	brief: (n: number) => n,
	scarce: task((n: number) => n, {maxPending: 2}),
};

test('enqueue() and call() are refused with what an HTTP answer needs, and a key that exists is not', async t => {
	const faena = await openForTest(tasks, {maxPending: 4});
	t.teardown(() => faena.close());
	await faena.pause();
	const first = await faena.enqueue('scarce', 1, {key: 'a'});
	await faena.enqueue('scarce', 2, {delay: '1h'});
	for (const refused of [faena.enqueue('scarce', 3), faena.call('scarce', 3)] as Promise<unknown>[]) {
		const error = await t.throwsAsync(refused, {instanceOf: FaenaError, code: 'QueueFull'});
		t.like(error, {task: 'scarce', pending: 2, limit: 2, retryAfterMs: 5000});
		t.is(error?.message, 'Task scarce has 2 pending jobs, and its own maxPending is 2. There may be room in 5 s.');
	}
	t.like(await faena.enqueue('scarce', 1, {key: 'a'}), {id: first.id, reused: true});
	await t.throwsAsync(faena.enqueue('scarce', 2, {key: 'a'}), {code: 'KeyConflict'});
	await faena.enqueue('brief', 1);
	await faena.enqueue('brief', 2);
	const error = await t.throwsAsync(faena.enqueue('brief', 3), {code: 'QueueFull'});
	t.is(error?.message, "The queue has 4 pending jobs, and open()'s maxPending is 4. There may be room in 5 s.");
	await faena.resume();
	t.is(await faena.call('brief', 3), 3);
	t.is((await faena.counts()).completed, 4);
});

test('the limits hold for all programs that share the file, also while they enqueue at the same time', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const engines = await Promise.all([1, 2].map(() => openEngine(t, {queue, tasks: null, maxPending: 50})));
	const results = await Promise.allSettled(engines.flatMap(faena => Array.from({length: 100}, () => faena.enqueue('add', {a: 1, b: 2}))));
	const refused = results.flatMap(result => (result.status === 'rejected' ? [result.reason] : []));
	t.is(results.length - refused.length, 50);
	t.true(refused.every(({code}) => code === 'QueueFull'));
	t.is((await engines[0]?.counts())?.pending, 50);
});

test('enqueueMany() waits for room, and puts in all jobs in order; a map has at most so many items under way', async t => {
	const faena = await openForTest(tasks, {maxPending: 20});
	t.teardown(() => faena.close());
	let most = 0;
	const numbers = async function* () {
		for (let n = 1; n <= 500; n++) {
			if (n % 10 === 0) most = Math.max(most, (await faena.counts()).pending);
			yield n;
		}
	};
	const {ids} = await faena.enqueueMany('brief', numbers());
	t.deepEqual(
		ids,
		Array.from({length: 500}, (_, index) => index + 1),
	);
	t.true(most <= 20, `${most}`);
	await faena.drain();
	await faena.pause('brief');
	const map = faena.map('brief', Array.from({length: 100}).keys());
	const reading = map.toArray();
	while (map.progress().read < 20) await faena.counts();
	await t.throwsAsync(faena.enqueue('brief', 0), {code: 'QueueFull'});
	t.is(map.progress().read, 20);
	await faena.resume('brief');
	t.is((await reading).length, 100);
});

test('enqueueMany() that waits for room ends with the engine', async t => {
	const faena = await openForTest(tasks, {maxPending: 4});
	await faena.pause();
	const enqueued = faena.enqueueMany('brief', [1, 2, 3, 4, 5, 6, 7]);
	while ((await faena.counts()).pending < 4) await null;
	await Promise.all([t.throwsAsync(enqueued, {code: 'Closed'}), faena.close()]);
});

test('enqueueMany() that another program keeps from its commit is refused if the engine closes meanwhile and there is no room', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue, tasks: null, maxPending: 1});
	await faena.enqueue('add', {a: 1, b: 1});
	const db = new Database(queue);
	t.teardown(() => db.close());
	db.exec('begin immediate');
	const enqueued = faena.enqueueMany('add', [{a: 2, b: 2}]);
	// So that the commit waits for the lock, and the close comes while it does. On a slow machine this test may prove less, but it does not fail.
	await setTimeout(100);
	const closed = faena.close();
	await setTimeout(100);
	db.exec('commit');
	await Promise.all([t.throwsAsync(enqueued, {code: 'Closed'}), closed]);
	t.is(db.prepare('select jobs from tally where task = 0 and state = 0').pluck().get(), 1);
});

test('enqueueIn(), openQueue() and jobs that a task enqueues are not refused, and count', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const parent = {
		...tasks,
		parent(_: unknown, ctx: TaskContext) {
			for (const n of [1, 2, 3]) ctx.enqueue('scarce', n);
		},
	};
	const faena = await openForTest(parent, {queue, maxPending: 1});
	t.teardown(() => faena.close());
	await faena.pause('scarce');
	await faena.call('parent', null);
	t.is((await faena.counts({task: 'scarce'})).pending, 3);
	const db = new Database(queue);
	enqueueIn(db, 'scarce', 4);
	db.close();
	const plain = await openQueue(queue);
	await plain.enqueue([{task: 'scarce', payload: 5}]);
	await plain.close();
	t.like(await t.throwsAsync(faena.enqueue('brief', 1)), {code: 'QueueFull', pending: 5, limit: 1});
});

test('a wrong maxPending is refused in a sentence', async t => {
	await t.throwsAsync(openForTest(tasks, {maxPending: 0}), {message: /expects as maxPending a whole number from 1 to \d+; it got 0\./});
	const wrong = {brief: task(tasks.brief, {maxPending: 1.5})};
	await t.throwsAsync(openForTest(wrong), {message: /task brief expects as maxPending a whole number from 1/});
});
