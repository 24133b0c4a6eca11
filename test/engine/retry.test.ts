import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Engine} from '../../lib/index.ts';
import {openEngine, type Tasks, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('a failed job is tried again until it succeeds, and each failure is charged', async t => {
	const file = join(makeFolder(t), 'executions');
	const faena = await openEngine(t);
	const job = await faena.enqueue('failTimes', {file, times: 2}, {maxAttempts: 5, backoff: 1});
	t.is(await job.result(), 3);
	const info = await job.info();
	t.like(info, {status: 'completed', attempts: 2, executions: 3});
	t.false('error' in (info ?? {}));
});

test('a job that fails as often as it may is dead, with its last error', async t => {
	const file = join(makeFolder(t), 'executions');
	const faena = await openEngine(t);
	const job = await faena.enqueue('failTimes', {file, times: 9}, {maxAttempts: 3, backoff: 0});
	const outcome = await job.outcome();
	t.like(outcome, {status: 'dead', error: {message: 'failure 3'}});
	t.like(await job.info(), {status: 'dead', attempts: 3, executions: 3});
});

test('the wait before an attempt grows by its factor', async t => {
	const file = join(makeFolder(t), 'executions');
	const faena = await openEngine(t);
	await (await faena.enqueue('failTimes', {file, times: 3}, {maxAttempts: 4, backoff: {base: 30, factor: 2, jitter: 0}})).result();
	const times = readFileSync(file, 'utf8').split('\n').slice(0, -1).map(Number);
	const waits = times.slice(1).map((time, index) => time - (times[index] as number));
	t.is(waits.length, 3);
	for (const [index, wait] of waits.entries()) t.true(wait >= 30 * 2 ** index - 2, `${waits}`);
});

test('a job that failed waits, and says when it is tried again', async t => {
	const faena = await openEngine(t);
	const job = await failed(faena, {backoff: '1h'});
	const info = await job.info();
	t.like(info, {status: 'failed', attempts: 1, error: {message: 'oh'}});
	t.true((info?.runAt ?? 0) > Date.now() + 3_000_000);
});

test('under manual retry a failed job is parked until retry()', async t => {
	const file = join(makeFolder(t), 'executions');
	const faena = await openEngine(t, {defaults: {retry: 'manual'}});
	const job = await faena.enqueue('failTimes', {file, times: 1});
	await faena.idle();
	const info = await job.info();
	t.is(info?.status, 'failed');
	t.false('runAt' in (info ?? {}));
	t.is(await faena.retry(job.id), 1);
	t.is(await job.result(), 2);
});

test('retry() opens a new round for a dead job: all attempts again, the same id, another end', async t => {
	const file = join(makeFolder(t), 'executions');
	const faena = await openEngine(t, {defaults: {maxAttempts: 2, backoff: 0}});
	const job = await faena.enqueue('failTimes', {file, times: 3});
	t.is((await job.outcome()).status, 'dead');
	t.is(await faena.retry(job.id), 1);
	t.is(await job.result(), 4);
	t.like(await job.info(), {status: 'completed', attempts: 1, executions: 4});
});

test('retry() by filter retries dead, failed and cancelled jobs, and completed jobs only if the filter names them', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const [fine, dead] = [await faena.enqueue('echo', 1), await faena.enqueue('boom', 'oh')];
	await Promise.all([fine.outcome(), dead.outcome()]);
	await faena.pause();
	t.is(await faena.retry({}), 1);
	t.is((await dead.info())?.status, 'pending');
	t.is(await faena.retry({task: 'add'}), 0);
	t.is(await faena.retry({status: ['completed', 'pending']}), 1);
	t.like(await fine.info(), {status: 'pending', executions: 1, attempts: 0});
	t.is(await faena.retry(99), 0);
});

test('an execution that runs into its timeout is charged and tried again', async t => {
	const faena = await openEngine(t);
	const job = await faena.enqueue('loop', undefined, {timeout: 30, maxAttempts: 2, backoff: 0});
	t.like(await job.outcome(), {status: 'dead', error: {name: 'TimedOut', reason: 'timedOut'}});
	t.like(await job.info(), {attempts: 2, executions: 2});
	t.is(await faena.call('add', {a: 1, b: 1}), 2);
});

test('an execution that took its worker down is charged, its neighbours are not', async t => {
	const faena = await openEngine(t, {workers: 1});
	await faena.pause();
	const jobs = await Promise.all(['none', 'none', 'exit', 'none', 'none'].map(name => faena.enqueue('disaster', name, {maxAttempts: 2, backoff: 0})));
	await faena.resume();
	const outcomes = await Promise.all(jobs.map(job => job.outcome()));
	t.deepEqual(
		outcomes.map(({status}) => status),
		['completed', 'completed', 'dead', 'completed', 'completed'],
	);
	t.like(outcomes[2], {error: {reason: 'lostWorker', exitCode: 7}});
	t.deepEqual(
		(await faena.jobs().page()).map(({attempts}) => attempts),
		[0, 0, 2, 0, 0],
	);
});

/** A job of `boom` that failed once. */
async function failed(faena: Engine<Tasks>, options: object) {
	const heard = new Promise<void>(resolve => void faena.once('failed', () => resolve()));
	const job = await faena.enqueue('boom', 'oh', options);
	await heard;
	return job;
}
