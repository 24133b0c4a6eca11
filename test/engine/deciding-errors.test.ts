import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {type Engine, FaenaError, type Job, type JobHandle, type OpenOptions, open, PermanentError} from '../../lib/index.ts';
import {openQueue, work} from '../../lib/queue.ts';
import * as deciding from '../fixtures/deciding-tasks.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

type Tasks = typeof deciding;

async function openDeciding(t: ExecutionContext, options: Partial<OpenOptions> = {}): Promise<Engine<Tasks>> {
	t.timeout(60_000);
	const tasks = new URL('../fixtures/deciding-tasks.ts', import.meta.url);
	const faena = await open<Tasks>({queue: join(makeFolder(t), 'jobs.db'), tasks, workers: 1, ...options});
	t.teardown(() => faena.close({drain: 0}));
	return faena;
}

for (const isolation of ['thread', 'process', 'inline'] as const) {
	test(`${isolation}: a job that throws a PermanentError is dead at once, and retry() opens a new round`, async t => {
		const faena = await openDeciding(t, {isolation});
		const job = await faena.enqueue('giveUp', 'a.txt');
		t.like(await job.outcome(), {status: 'dead', error: {name: 'PermanentError', message: 'a.txt is not a picture', cause: {name: 'SyntaxError'}}});
		t.like(await job.info(), {attempts: 1, executions: 1, error: {reason: 'threw', retry: 'never'}});
		t.is(await faena.retry(job.id), 1);
		await job.outcome();
		t.like(await job.info(), {status: 'dead', attempts: 1, executions: 2});
	});

	test(`${isolation}: a job that throws a RetryAfter is tried again after that time, uncharged, and charged once maxDelays are used up`, async t => {
		const faena = await openDeciding(t, {isolation});
		const before = Date.now();
		const job = await faena.enqueue('later', '2h', {backoff: 0, maxAttempts: 2});
		const info = await failed(job);
		t.like(info, {status: 'failed', attempts: 0, error: {name: 'RetryAfter', message: 'The task asked to be tried again in 2h.', retry: {afterMs: 7_200_000}}});
		t.true((info.runAt ?? 0) >= before + 7_200_000);
		const short = await faena.enqueue('later', 1, {maxAttempts: 3, backoff: '1h', maxDelays: 2});
		t.is((await short.outcome()).status, 'dead');
		t.like(await short.info(), {attempts: 3, executions: 5});
		t.is((await faena.job(short.id).info())?.history.length, 5);
	});

	test(`${isolation}: errors keep their class, cause, errors and fields`, async t => {
		const faena = await openDeciding(t, {isolation, defaults: {maxAttempts: 1}});
		const http = await errorOf(faena, 'http');
		t.true(http instanceof TypeError);
		t.like(http, {name: 'HttpError', message: 'status 404', status: 404, at: new Date(0), reason: 'threw'});
		t.regex(http.stack ?? '', /^HttpError: status 404\n {4}at .*deciding-tasks/);
		t.true(http.cause instanceof RangeError);
		const abort = await errorOf(faena, 'abort');
		t.true(abort instanceof DOMException);
		t.like(abort, {name: 'AbortError', code: 20});
		const all = (await errorOf(faena, 'all')) as AggregateError;
		t.true(all instanceof AggregateError);
		t.true(all.errors[0] instanceof TypeError);
		t.like(all.errors, [{message: 'one'}, {name: 'Thrown', message: 'two'}]);
		t.like(await errorOf(faena, 'file'), {code: 'ENOENT', syscall: 'open', path: '/no/such/file', errno: -2});
		const huge = await errorOf(faena, 'huge');
		t.deepEqual(Object.keys(huge).sort(), ['attempt', 'failedAt', 'reason', 'small', 'worker']);
	});
}

/** The job, once it has failed. */
async function failed(job: JobHandle): Promise<Job> {
	for (;;) {
		const info = await job.info();
		if (info?.status === 'failed') return info;
		await sleep(5);
	}
}

async function errorOf(faena: Engine<Tasks>, how: Parameters<Tasks['fail']>[0]): Promise<Error> {
	const outcome = await (await faena.enqueue('fail', how)).outcome();
	if (outcome.status === 'completed') throw new Error('It did not fail.');
	return outcome.error;
}

test('a class that extends PermanentError has a name of its own, and a copy of Faena in a bundle decides as well', async t => {
	const faena = await openDeciding(t);
	const [page, copy] = [await faena.enqueue('notFound'), await faena.enqueue('giveUpFromCopy')];
	t.like(await page.outcome(), {status: 'dead', error: {name: 'NotFound'}});
	t.like(await copy.outcome(), {status: 'dead', error: {name: 'Error', message: 'a copy'}});
	t.like([await page.info(), await copy.info()], [{attempts: 1}, {attempts: 1}]);
});

test('ctx.retryIn() puts the job off as a RetryAfter does if the execution throws, and the last call counts', async t => {
	const faena = await openDeciding(t);
	const job = await faena.enqueue('laterIf', '2h', {backoff: 0});
	const wrong = await faena.enqueue('laterIf', 'soon' as never, {maxAttempts: 1, maxDelays: 0});
	t.like(await wrong.outcome(), {status: 'dead', error: {name: 'FaenaError', code: 'BadOption'}});
	t.like(await failed(job), {status: 'failed', attempts: 0, error: {message: 'not now', retry: {afterMs: 7_200_000}}});
});

test('a task with retryIf is asked about each error and attempt', async t => {
	const faena = await openDeciding(t);
	const [range, other] = [await faena.enqueue('picky', 'range'), await faena.enqueue('picky', 'other')];
	t.like(await range.outcome(), {status: 'dead', error: {message: 'far'}});
	t.like(await other.outcome(), {status: 'dead', error: {message: 'attempt 3'}});
	t.like(
		[await range.info(), await other.info()],
		[
			{attempts: 1, error: {retry: 'never'}},
			{attempts: 3, error: {retry: 'never'}},
		],
	);
});

for (const isolation of ['thread', 'inline'] as const) {
	test(`a retryIf that does not answer with true or false is not heeded, and its promise disturbs nothing: ${isolation}`, async t => {
		await assertNotHeeded(t, await openDeciding(t, {isolation}));
	});
}

test('what is wrong with a retryIf is told on stderr, with the job', async t => {
	const told: string[] = [];
	const {write} = process.stderr;
	process.stderr.write = (text: string | Uint8Array) => told.push(String(text)) > 0;
	t.teardown(() => {
		process.stderr.write = write;
	});
	const job = await (await openDeciding(t, {isolation: 'inline'})).enqueue('evasive');
	await job.outcome();
	const sentence = /^faena: retryIf of task evasive failed, so it decides nothing about job 1: .* true or false.*\n$/;
	t.is(told.filter(text => sentence.test(text)).length, 2, told.join(''));
});

async function assertNotHeeded(t: ExecutionContext, faena: Awaited<ReturnType<typeof openDeciding>>): Promise<void> {
	const job = await faena.enqueue('evasive');
	t.is((await job.outcome()).status, 'dead');
	const info = await job.info();
	t.like(info, {attempts: 2, error: {message: 'oh'}});
	t.false('retry' in (info?.error ?? {}));
}

test('an error in the place of a result decides for its job alone', async t => {
	const faena = await openDeciding(t);
	const statuses: string[] = [];
	for await (const {status} of faena.map('inBatches', [1, 2, 3, 4, 5, 6], {order: 'input'})) statuses.push(status);
	t.deepEqual(statuses, ['completed', 'completed', 'dead', 'completed', 'completed', 'dead']);
});

test('under manual retry a PermanentError is dead, and a RetryAfter waits for retry()', async t => {
	const faena = await openDeciding(t, {defaults: {retry: 'manual'}});
	const [dead, parked] = [await faena.enqueue('giveUp', 'a.txt'), await faena.enqueue('later', 0)];
	t.is((await dead.outcome()).status, 'dead');
	const info = await failed(parked);
	t.false('runAt' in info);
});

test('work() and fail() heed what an error decides', async t => {
	const queue = await openQueue(':memory:');
	t.teardown(() => queue.close());
	const [{id = 0} = {}] = await queue.enqueue([{task: 'giveUp', payload: 'a.txt'}]);
	const [{id: other = 0} = {}] = await queue.enqueue([{task: 'elsewhere', payload: null}]);
	const controller = new AbortController();
	const loop = work(queue, deciding, {signal: controller.signal});
	while ((await queue.job(id))?.status !== 'dead') await sleep(5);
	controller.abort();
	await loop;
	t.like(await queue.job(id), {attempts: 1});
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['elsewhere']});
	t.true(await queue.fail({...(jobs[0] as {id: number; execution: number}), lease}, new PermanentError('never')));
	t.like(await queue.job(other), {status: 'dead', attempts: 1});
});

test('what call() throws begins with the frames of the caller, and its cause with those of the task', async t => {
	const faena = await openDeciding(t);
	const error = await t.throwsAsync(callsIt(faena), {instanceOf: FaenaError, code: 'JobFailed'});
	t.regex(error?.stack ?? '', /^FaenaError: .*\n {4}at async callsIt \(.*deciding-errors/);
	t.regex(((error as FaenaError).cause as Error).stack ?? '', /^PermanentError: .*\n {4}at .*giveUp .*deciding-tasks/);
	const refused = t.throws(() => faena.map('giveUp', ['a'], {window: 0}), {instanceOf: FaenaError});
	t.regex(refused?.stack ?? '', /^FaenaError: .*\n {4}at .*deciding-errors/);
});

async function callsIt(faena: Engine<Tasks>): Promise<unknown> {
	return await faena.call('giveUp', 'a.txt');
}
