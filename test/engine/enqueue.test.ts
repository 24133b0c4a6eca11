import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import Database from 'better-sqlite3';
import {enqueueIn, FaenaError} from '../../lib/index.ts';
import {openQueue} from '../../lib/queue.ts';
import {Folder} from '../cli/command.ts';
import {appears} from '../fixtures/appears.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('of large binary payloads that are enqueued in one turn, one is refused and the others run as they were given', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	const db = new Database(queue);
	t.teardown(() => db.close());
	db.exec(`create trigger refuses before insert on job when new.key = '3' begin select raise(abort, 'refused'); end`);
	const payloads = [0, 1, 2, 3, 4, 5].map(byte => new Uint8Array(32 * 1024).fill(byte));
	const calls = await Promise.allSettled(payloads.map((payload, index) => faena.enqueue('echo', payload, {key: `${index}`})));
	t.deepEqual(
		await Promise.all(calls.map(call => (call.status === 'fulfilled' ? call.value.result() : (call.reason as FaenaError).code))),
		payloads.map((payload, index) => (index === 3 ? 'BadRow' : payload)),
	);
});

test("call() resolves with the task's result", async t => {
	const faena = await openEngine(t);
	t.is(await faena.call('add', {a: 1, b: 2}), 3);
	const value = {when: new Date(5), big: 2n ** 70n, map: new Map([['a', new Set([Number.NaN])]]), bytes: new Uint8Array([1, 2]), nothing: undefined};
	t.deepEqual(await faena.call('echo', value), value);
	t.is(await faena.call('echo'), undefined);
});

test('each of many calls gets its own result', async t => {
	const faena = await openEngine(t);
	const numbers = Array.from({length: 500}, (_, index) => index);
	t.deepEqual(
		await Promise.all(numbers.map(a => faena.call('add', {a, b: 1}))),
		numbers.map(a => a + 1),
	);
});

test('when enqueue() resolves the job is in the file, for every other program to see', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	await faena.pause();
	// Before, since opening waits for the writer.
	const other = await openQueue(queue);
	t.teardown(() => other.close());
	const job = await faena.enqueue('add', {a: 1, b: 2}, {priority: 4});
	t.like(await other.job(job.id), {id: job.id, task: 'add', status: 'pending', priority: 4});
	t.false(job.reused);
});

test('the end of a job can be awaited any number of times, before and after, and by its id alone', async t => {
	const faena = await openEngine(t);
	const job = await faena.enqueue('add', {a: 1, b: 2});
	t.deepEqual(await Promise.all([job.result(), job.result(), job.outcome()]), [3, 3, {status: 'completed', result: 3}]);
	t.is(await job.result(), 3);
	t.is(await faena.job<'add'>(job.id).result(), 3);
	t.like(await job.info(), {status: 'completed', executions: 1, attempts: 0});
});

test('the result of a job that failed for good is JobFailed, with the error of the task as cause', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const job = await faena.enqueue('boom', 'no such thing');
	const error = await t.throwsAsync(job.result(), {instanceOf: FaenaError, code: 'JobFailed'});
	t.regex(error?.message ?? '', /Job 1 \(boom\) failed: no such thing/);
	const cause = error?.cause as Error & {code: string; reason: string};
	t.like(cause, {name: 'TypeError', message: 'no such thing', code: 'E_BOOM', reason: 'threw'});
	t.regex(cause.stack ?? '', /tasks\.ts/);
	t.is((cause.cause as Error).message, 'the reason');
	const outcome = await job.outcome();
	t.is(outcome.status, 'dead');
	await t.throwsAsync(faena.call('boom', 'again'), {code: 'JobFailed'});
});

test('waiting for a job that does not exist is NoSuchJob', async t => {
	const faena = await openEngine(t);
	await t.throwsAsync(faena.job<'add'>(99).result(), {code: 'NoSuchJob', message: /no job 99/});
	await t.throwsAsync(faena.job<'add'>(99).outcome(), {code: 'NoSuchJob'});
});

test('a wait ends after its timeout or with its signal; the job goes on', async t => {
	const file = join(makeFolder(t), 'file');
	const faena = await openEngine(t);
	const job = await faena.enqueue('hold', file);
	await t.throwsAsync(job.result({timeout: 1}), {code: 'WaitTimeout', message: /Job 1 had not ended after 0\.001 s/});
	const reason = new Error('enough');
	const abort = new AbortController();
	const waits = [job.result({signal: abort.signal}), job.outcome({signal: abort.signal}), faena.call('hold', file, {signal: abort.signal})];
	abort.abort(reason);
	for (const wait of waits) t.is(await t.throwsAsync(wait), reason);
	t.is(await t.throwsAsync(job.result({signal: abort.signal})), reason);
	writeFileSync(file, '');
	t.is(await job.result(), file);
	await faena.idle();
	t.like(await faena.counts(), {completed: 2});
});

test('a wait may be longer than a timer can count', async t => {
	const file = join(makeFolder(t), 'file');
	const faena = await openEngine(t);
	const job = await faena.enqueue('hold', file);
	const result = job.result({timeout: '60d'});
	const held = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	await faena.enqueue('hold', file);
	await held;
	writeFileSync(file, '');
	t.is(await result, file);
});

test('jobs cause events', async t => {
	const faena = await openEngine(t, {workers: 1});
	const told: [string, object][] = [];
	for (const event of ['completed', 'failed', 'dead', 'cancelled', 'progress', 'log'] as const) faena.on(event, detail => told.push([event, detail]));
	await faena.call('tell', ['one', 'two']);
	const failing = await faena.enqueue('boom', 'oh', {maxAttempts: 2, backoff: 0});
	await failing.outcome();
	const cancelled = await faena.enqueue('add', {a: 1, b: 2}, {delay: '1h'});
	await faena.cancel(cancelled.id);
	await cancelled.outcome();
	const of = (event: string) => told.filter(each => each[0] === event).map(each => each[1]);
	t.like(of('completed'), [{id: 1}]);
	t.true((of('completed') as {durationMs: number}[]).every(({durationMs}) => durationMs > 0));
	t.like(of('failed'), [{id: failing.id, error: {message: 'oh', name: 'TypeError'}}]);
	t.like(of('dead'), [{id: failing.id, error: {message: 'oh'}}]);
	t.deepEqual(of('cancelled'), [{id: cancelled.id, task: 'add'}]);
	t.deepEqual(
		(of('log') as {text: string}[]).map(({text}) => text),
		['one', 'two'],
	);
	t.like(of('progress').at(-1), {id: 1, done: 2, total: 2});
});

test('log lines have levels, in the job and in the event', async t => {
	const faena = await openEngine(t, {workers: 1});
	const told: object[] = [];
	faena.on('log', line => told.push(line));
	const job = await faena.enqueue('speak');
	await job.result();
	const lines = (await faena.job(job.id).info())?.logs ?? [];
	t.deepEqual(
		lines.map(({level, text}) => [level, text]),
		[
			['debug', 'formatted as { n: 1 }'],
			['info', 'info'],
			['warn', 'warn'],
			['error', 'error'],
			['info', 'plain'],
		],
	);
	t.deepEqual(
		told,
		lines.map(({execution: _, ...line}) => ({id: job.id, task: 'speak', attempt: 1, ...line})),
	);
});

test('a removed listener gets no more events', async t => {
	const faena = await openEngine(t);
	const heard: number[] = [];
	const listener = ({id}: {id: number}) => heard.push(id);
	faena.on('completed', listener);
	await faena.call('add', {a: 1, b: 1});
	faena.off('completed', listener);
	await faena.call('add', {a: 1, b: 1});
	t.deepEqual(heard, [1]);
});

test('a job keeps its payload, result, log, progress and times', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const before = Date.now();
	const [told, failed] = [await faena.enqueue('tell', ['one', 'two']), await faena.enqueue('boom', 'oh')];
	await faena.idle();
	const job = await faena.job(told.id).info();
	t.like(job, {task: 'tell', status: 'completed', payload: ['one', 'two'], result: undefined, progress: {done: 2, total: 2}, executions: 1});
	t.deepEqual(
		job?.logs.map(({execution, text}) => [execution, text]),
		[
			[1, 'one'],
			[1, 'two'],
		],
	);
	t.true((job?.startedAt ?? 0) >= before - 5 && (job?.durationMs ?? -1) > 0 && (job?.endedAt ?? 0) >= (job?.createdAt ?? Infinity));
	t.like(await faena.job(failed.id).info(), {status: 'dead', attempts: 1, error: {message: 'oh', code: 'E_BOOM'}});
	t.false('result' in ((await faena.job(failed.id).info()) ?? {}));
	t.is(await faena.job(99).info(), undefined);
});

test('options come from enqueue, then from the task, then from open(), then from the defaults', async t => {
	const faena = await openEngine(t, {defaults: {priority: 1, maxAttempts: 9, timeout: '2h'}});
	await faena.pause();
	const shown = async (job: {info(): Promise<unknown>}) => {
		const {priority, maxAttempts, timeoutMs} = (await job.info()) as Record<string, unknown>;
		return {priority, maxAttempts, timeoutMs};
	};
	t.deepEqual(await shown(await faena.enqueue('echo', 1, {maxAttempts: 2})), {priority: 3, maxAttempts: 2, timeoutMs: 3_600_000});
	t.deepEqual(await shown(await faena.enqueue('echo', 1, {priority: -5, timeout: 'none'})), {priority: -5, maxAttempts: 7, timeoutMs: null});
	t.deepEqual(await shown(await faena.enqueue('add', {a: 1, b: 2})), {priority: 1, maxAttempts: 9, timeoutMs: 7_200_000});
	const plain = await openEngine(t);
	await plain.pause();
	t.deepEqual(await shown(await plain.enqueue('add', {a: 1, b: 2})), {priority: 0, maxAttempts: 3, timeoutMs: null});
});

test("options that a program without the tasks does not give are the task's own where the job runs, those that it gives stay", async t => {
	const folder = new Folder(t);
	const queue = join(folder.path, 'faena.db');
	const alone = await openEngine(t, {queue, tasks: null, defaults: {maxAttempts: 2}});
	await alone.enqueue('hurried' as 'echo');
	await folder.faena('enqueue', 'hurried').end();
	await folder.faena('enqueue', 'hurried', '--max-attempts', '2').end();
	const db = new Database(queue);
	enqueueIn(db, 'hurried');
	enqueueIn(db, 'hurried', 1, {timeout: 200});
	db.close();
	const jobs = await openQueue(queue);
	await jobs.enqueue([{task: 'hurried', payload: null}]);
	await jobs.close();
	await alone.close();
	const faena = await openEngine(t, {queue, tasks: new URL('../fixtures/deciding-tasks.ts', import.meta.url)});
	await faena.idle();
	const ended = await Promise.all([1, 2, 3, 4, 5, 6].map(id => faena.job(id).info()));
	t.deepEqual(
		ended.map(job => [job?.status, job?.attempts, job?.error?.message.slice(-6, -1)]),
		[2, 1, 2, 1, 1, 1].map((attempts, index) => ['dead', attempts, index === 4 ? '0.2 s' : '0.1 s']),
	);
});

test('a delayed job runs when its time has come, not before', async t => {
	const faena = await openEngine(t);
	const now = Date.now();
	const jobs = await Promise.all([
		faena.enqueue('echo', 'delay', {delay: 40}),
		faena.enqueue('echo', 'text', {delay: '50ms'}),
		faena.enqueue('echo', 'date', {runAt: new Date(now + 60)}),
		faena.enqueue('echo', 'past', {runAt: 0}),
	]);
	t.deepEqual(await Promise.all(jobs.map(job => job.result())), ['delay', 'text', 'date', 'past']);
	const started = await Promise.all(jobs.map(async job => ((await job.info())?.startedAt ?? 0) - now));
	// To the millisecond to which two threads agree on the time.
	for (const [index, wait] of [40, 50, 60, 0].entries()) t.true((started[index] as number) >= wait - 2, `${started}`);
});

test('jobs run by priority, then in order of arrival', async t => {
	const file = join(makeFolder(t), 'order');
	const faena = await openEngine(t, {workers: 1});
	await faena.pause();
	for (const [line, priority] of [
		['c', 0],
		['a', 5],
		['d', 0],
		['b', 5],
		['e', -1],
	] as const)
		await faena.enqueue('mark', {file, line}, {priority});
	await faena.resume();
	await faena.idle();
	t.deepEqual(readFileSync(file, 'utf8').split('\n').slice(0, -1), ['a', 'b', 'c', 'd', 'e']);
});

test('an engine without tasks enqueues for others, whatever the task', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const producer = await openEngine(t, {queue, tasks: null});
	const job = await producer.enqueue('add', {a: 20, b: 22});
	const unknown = await producer.enqueue('nosuch' as 'add', {a: 1, b: 2});
	await openEngine(t, {queue});
	t.is(await job.result(), 42);
	t.like(await unknown.info(), {status: 'pending'});
});

test('a task that computes does not keep the caller from its own work', async t => {
	const folder = makeFolder(t);
	const faena = await openEngine(t, {workers: 1});
	const held = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const job = await faena.enqueue('hold', join(folder, 'file'));
	await held;
	// A task that never yields, and the test's own event loop is what lets it go.
	setTimeout(() => writeFileSync(join(folder, 'file'), ''), 1);
	await appears(join(folder, 'file'));
	t.is(await job.result(), join(folder, 'file'));
});
