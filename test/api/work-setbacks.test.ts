import {once} from 'node:events';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import Database from 'better-sqlite3';
import {warn} from '../../lib/api/events.ts';
import {enqueueIn, FaenaError, type TaskContext} from '../../lib/index.ts';
import {openQueue, work} from '../../lib/queue.ts';
import type {Changes} from '../../lib/store/store.ts';
import {JobQueue} from '../../lib/store.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {MemoryStore} from '../store/oracle.ts';

function newJob(task: string, payload: unknown) {
	return {task, payload, maxAttempts: 1, key: JSON.stringify(payload)};
}

/** A queue whose commits fail when the function says so, before or after they take effect. */
function failingQueue(fails: (changes: Changes, failures: number) => 'before' | 'after' | undefined): JobQueue & {failures: number} {
	const store = new MemoryStore();
	const queue = Object.assign(new JobQueue(store), {failures: 0});
	const commit = store.commit.bind(store);
	store.commit = async changes => {
		const when = fails(changes, queue.failures);
		if (when) queue.failures++;
		if (when === 'before') throw new FaenaError('DatabaseBusy', 'Somebody holds it.');
		const result = await commit(changes);
		if (when === 'after') throw new FaenaError('OutcomeUnknown', 'The disk did not say.');
		return result;
	};
	return queue;
}

test('the result of a job of work() is written once that is possible again, and the job runs once', async t => {
	const queue = failingQueue((changes, failures) => (changes.settle?.length && failures < 4 ? 'before' : undefined));
	const controller = new AbortController();
	await queue.enqueue([newJob('run', 'a'), newJob('run', 'b')]);
	const ran: unknown[] = [];
	await work(
		queue,
		{
			run(value: unknown) {
				if (ran.push(value) === 2) controller.abort();
				return value;
			},
		},
		{signal: controller.signal},
	);
	t.is(queue.failures, 4);
	t.deepEqual(ran, ['a', 'b']);
	t.like(await queue.job(1), {status: 'completed', executions: 1});
	t.like(await queue.job(2), {status: 'completed', executions: 1});
});

test('a checkpoint of work() that could not be written is written with the next one, or with the outcome', async t => {
	const queue = failingQueue((changes, failures) => (changes.update?.length && failures < 1 ? 'before' : undefined));
	await queue.enqueue([newJob('run', 'a')]);
	const controller = new AbortController();
	const run = (_: unknown, context: TaskContext) => {
		context.checkpoint(7);
		controller.abort();
		throw new Error('no luck');
	};
	await work(queue, {run}, {signal: controller.signal});
	t.is(queue.failures, 1);
	t.is((await queue.values(1))?.checkpoint?.state, 7);
});

test('work() claims again after a claim that failed, and releases jobs that this one claimed all the same', async t => {
	const queue = failingQueue((changes, failures) => (changes.claim && failures < 3 ? (failures === 1 ? 'after' : 'before') : undefined));
	await queue.enqueue([newJob('run', 'a')]);
	const controller = new AbortController();
	await work(queue, {run: () => controller.abort()}, {signal: controller.signal});
	t.is(queue.failures, 3);
	t.like(await queue.job(1), {status: 'completed', attempts: 0, executions: 2});
});

test('work() whose outcome can not be written ends when its time to drain is over', async t => {
	const queue = failingQueue(changes => (changes.settle?.length ? 'before' : undefined));
	await queue.enqueue([newJob('run', 'a')]);
	const controller = new AbortController();
	await t.throwsAsync(work(queue, {run: () => controller.abort()}, {signal: controller.signal, drain: 100}), {code: 'DatabaseBusy'});
	t.is((await queue.job(1))?.status, 'pending');
});

async function openFile(t: ExecutionContext) {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueue(path);
	const db = new Database(path);
	t.teardown(async () => {
		db.close();
		await queue.close();
	});
	return {queue, db, path};
}

test('a result of work() that the database refuses is a failure of its job, charged, and the loop goes on', async t => {
	const {queue, db} = await openFile(t);
	db.exec(`create trigger refuses before insert on outcome_run when new.results like '%evil%' begin select raise(abort, 'refused'); end`);
	await queue.enqueue(['good', 'evil', 'last'].map(value => newJob('run', value)));
	const controller = new AbortController();
	const run = (value: string) => {
		if (value === 'last') controller.abort();
		return value;
	};
	await work(queue, {run}, {signal: controller.signal});
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status, attempts, error}) => [status, attempts, error?.code]),
		[
			['completed', 0, undefined],
			['dead', 1, 'BadRow'],
			['completed', 0, undefined],
		],
	);
});

test('work() warns of a task whose jobs a row blocks, and runs the jobs of other tasks', async t => {
	const {queue, db} = await openFile(t);
	await queue.enqueue([newJob('held', 1), newJob('run', 1), newJob('run', 2)]);
	db.exec("insert into tally values ((select id from task where name = 'held'), 5, 9223372036854775807)");
	const controller = new AbortController();
	const warned = once(process, 'warning');
	const run = (value: number) => {
		if (value === 2) controller.abort();
	};
	await work(queue, {held: () => undefined, run}, {signal: controller.signal});
	t.regex(String(((await warned) as [Error])[0].message), /^No job of task held can be started\. .*refuses to store this/);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status}) => status),
		['pending', 'completed', 'completed'],
	);
});

test('work() ends with a sentence when the thread that keeps its lease can not be started', async t => {
	t.timeout(60_000);
	const preload = "import {isMainThread} from 'node:worker_threads'; if (!isMainThread) throw new Error('no threads here');";
	const flags = ['--import', `data:text/javascript,${encodeURIComponent(preload)}`];
	const program = new Program(t, {name: 'work-once', flags}, join(makeFolder(t), 'jobs.db'));
	t.regex(await program.line(), /^DispatcherFailed: The thread that keeps the lease of work\(\) ended: no threads here\. .*call work\(\) again/);
	t.like(await program.ended(), {code: 0});
});

test('enqueueIn() and work() accept values of the highest limit of open()', async t => {
	const {queue, db} = await openFile(t);
	const large = 'x'.repeat(20 * 1024 ** 2);
	const {id} = enqueueIn(db, 'run', large);
	const controller = new AbortController();
	const run = (value: string) => {
		controller.abort();
		return value;
	};
	await work(queue, {run}, {signal: controller.signal});
	t.like(await queue.job(id), {status: 'completed', resultBytes: large.length + 2});
});

test.serial('work() warns once of rows that keep it from reclaiming jobs, also with other warnings in between', async t => {
	const warnings: string[] = [];
	const listen = ({name, message}: Error) => name === 'FaenaWarning' && warnings.push(message);
	process.on('warning', listen);
	t.teardown(() => process.off('warning', listen));
	const controller = new AbortController();
	let tries = 0;
	const store = new MemoryStore();
	store.reclaim = async () => {
		if (++tries === 3) controller.abort();
		warn('refused', {error: new Error(`another trouble, ${tries}`)});
		throw new FaenaError('BadRow', 'A row is in the way.');
	};
	await work(new JobQueue(store), {run: () => undefined}, {signal: controller.signal});
	await nextTurn();
	t.is(tries, 3);
	t.is(warnings.filter(each => each === 'A row is in the way.').length, 1);
});
