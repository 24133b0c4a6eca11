import {once} from 'node:events';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import {DirectUpdateWriter} from '../../lib/api/direct-update-writer.ts';
import {warn} from '../../lib/api/warnings.ts';
import {enqueueIn, FaenaError, openQueue, type Policy, type TaskContext, work} from '../../lib/index.ts';
import {MemoryQueue} from '../../lib/store/memory.ts';
import type {Turn, TurnResult} from '../../lib/store/store.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

const POLICY: Policy = {maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'};

function newJob(task: string, payload: unknown) {
	return {task, payload: JSON.stringify(payload), priority: 0, runAt: null, policy: POLICY, key: JSON.stringify(payload)};
}

/** A queue whose turns fail as often as is told, before they take effect or after it. */
class FailingQueue extends MemoryQueue {
	readonly #fails: (turn: Turn) => 'before' | 'after' | undefined;
	failures = 0;

	constructor(fails: (turn: Turn, failures: number) => 'before' | 'after' | undefined) {
		super();
		this.#fails = turn => fails(turn, this.failures);
	}

	override turn(turn: Turn): TurnResult {
		const when = this.#fails(turn);
		if (when) this.failures++;
		if (when === 'before') throw new FaenaError('DatabaseBusy', 'Somebody holds it.');
		const result = super.turn(turn);
		if (when === 'after') throw new FaenaError('OutcomeUnknown', 'The disk did not say.');
		return result;
	}
}

test('what a job of work() returned is written once that is possible again, and the job runs once', async t => {
	const queue = new FailingQueue((turn, failures) => (turn.settle?.length && failures < 4 ? 'before' : undefined));
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
	t.like(queue.job(1), {status: 'completed', executions: 1});
	t.like(queue.job(2), {status: 'completed', executions: 1});
});

test('a checkpoint of work() that could not be written is written with the next one, or with the outcome', async t => {
	const queue = new FailingQueue((turn, failures) => (turn.notes?.length && failures < 1 ? 'before' : undefined));
	await queue.enqueue([newJob('run', 'a')]);
	const controller = new AbortController();
	const run = (_: unknown, context: TaskContext) => {
		context.checkpoint(7);
		controller.abort();
		throw new Error('no luck');
	};
	await work(queue, {run}, {signal: controller.signal});
	t.is(queue.failures, 1);
	t.is(queue.values(1)?.checkpoint?.state, '7');
});

test('a checkpoint of a task that computes is written in its call, once the lock that was in the way is free', async t => {
	const {queue, db} = await openFile(t);
	await queue.enqueue([newJob('run', 'a')]);
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['run']});
	const notebook = new DirectUpdateWriter(queue, {id: 1, lease, execution: jobs[0]?.execution ?? 0});
	const stored = () => db.prepare('select state from checkpoint').pluck().all();
	// Something else waits for the lock as well, and would be first.
	db.exec('begin immediate');
	const waits = queue.pause(['other']);
	notebook.add({checkpoint: {at: 1, state: '1'}});
	db.exec('commit');
	t.deepEqual(stored(), []);
	notebook.add({logs: [{at: 2, level: 'info', text: 'line'}]});
	t.deepEqual(stored(), ['1']);
	notebook.add({checkpoint: {at: 2, state: '2'}});
	t.deepEqual(stored(), ['2']);
	await waits;
	t.deepEqual(await notebook.close(), []);
	t.is((await queue.logs(1)).length, 1);
});

test('work() asks again where a dequeue failed, and gives back what that dequeued all the same', async t => {
	const queue = new FailingQueue((turn, failures) => (turn.dequeue && failures < 3 ? (failures === 1 ? 'after' : 'before') : undefined));
	await queue.enqueue([newJob('run', 'a')]);
	const controller = new AbortController();
	await work(queue, {run: () => controller.abort()}, {signal: controller.signal});
	t.is(queue.failures, 3);
	t.like(queue.job(1), {status: 'completed', attempts: 0, executions: 2});
});

test('work() whose outcome can not be written ends when its time to drain is over', async t => {
	const queue = new FailingQueue(turn => (turn.settle?.length ? 'before' : undefined));
	await queue.enqueue([newJob('run', 'a')]);
	const controller = new AbortController();
	await t.throwsAsync(work(queue, {run: () => controller.abort()}, {signal: controller.signal, drain: 100}), {code: 'DatabaseBusy'});
	t.is(queue.job(1)?.status, 'pending');
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
		(await queue.jobs({})).map(({status, attempts, error}) => [status, attempts, error?.code]),
		[
			['completed', 0, undefined],
			['dead', 1, 'BadRow'],
			['completed', 0, undefined],
		],
	);
});

test('a task of work() of which a row keeps everything back is warned of, and the others go on', async t => {
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
		(await queue.jobs({})).map(({status}) => status),
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

test('enqueueIn() and work() take values as large as open() can be told to', async t => {
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

test.serial('work() warns once of rows that are in the way of taking jobs back, also where other warnings come between', async t => {
	const warnings: string[] = [];
	const listen = ({name, message}: Error) => name === 'FaenaWarning' && warnings.push(message);
	process.on('warning', listen);
	t.teardown(() => process.off('warning', listen));
	const controller = new AbortController();
	let tries = 0;
	class Refusing extends MemoryQueue {
		override recover(): never {
			if (++tries === 3) controller.abort();
			warn('refused', {error: new Error(`another trouble, ${tries}`)});
			throw new FaenaError('BadRow', 'A row is in the way.');
		}
	}
	await work(new Refusing(), {run: () => undefined}, {signal: controller.signal});
	await nextTurn();
	t.is(tries, 3);
	t.is(warnings.filter(each => each === 'A row is in the way.').length, 1);
});
