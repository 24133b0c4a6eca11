import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {type Engine, FaenaError} from '../../lib/index.ts';
import {openEngine, type Tasks, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

test('a job that waits is cancelled at once, and never runs', async t => {
	const faena = await openEngine(t);
	await faena.pause('echo');
	const [paused, delayed] = [await faena.enqueue('echo', 1), await faena.enqueue('add', {a: 1, b: 2}, {delay: '1h'})];
	t.is(await faena.cancel(paused.id), 1);
	t.is(await faena.cancel(delayed.id), 1);
	await faena.resume();
	for (const job of [paused, delayed]) {
		await t.throwsAsync(job.result() as Promise<unknown>, {instanceOf: FaenaError, code: 'JobCancelled', message: new RegExp(`Job ${job.id} .*was cancelled`)});
		t.is((await job.outcome()).status, 'cancelled');
		t.like(await job.info(), {status: 'cancelled', executions: 0});
	}
});

test('a job that waits to be tried again is cancelled and keeps its error', async t => {
	const faena = await openEngine(t);
	const heard = new Promise<void>(resolve => void faena.once('failed', () => resolve()));
	const job = await faena.enqueue('boom', 'oh', {backoff: '1h'});
	await heard;
	t.is(await faena.cancel({status: 'failed'}), 1);
	t.like(await job.outcome(), {status: 'cancelled', error: {message: 'oh'}});
});

for (const task of ['loop', 'heed', 'heedSignal'] as const) {
	const kind = {loop: 'in an endless loop', heed: 'that looks at ctx.cancelled', heedSignal: 'that waits for ctx.signal'}[task];
	test(`a running job ${kind} is cancelled, charged nothing, and the engine goes on`, async t => {
		const faena = await openEngine(t, {workers: 1});
		const job = await running(faena, task);
		t.is(await faena.cancel(job.id), 1);
		t.like(await job.outcome(), {status: 'cancelled', error: {reason: 'cancelled'}});
		t.like(await job.info(), {status: 'cancelled', attempts: 0, executions: 1});
		t.is(await faena.call('add', {a: 1, b: 2}), 3);
	});
}

test('a running job is cancelled by another process', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue, workers: 1});
	const job = await running(faena, 'loop');
	const other = new Program(t, 'queue', queue);
	await other.line();
	t.is(await other.ask('cancel', {ids: [job.id]}), 1);
	t.is((await job.outcome()).status, 'cancelled');
});

test('a waiting job that another process cancels ends for those who await it here', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	await faena.pause();
	const job = await faena.enqueue('echo', 1);
	const outcome = job.outcome();
	const other = new Program(t, 'queue', queue);
	await other.line();
	await other.ask('cancel', {});
	t.is((await outcome).status, 'cancelled');
});

test('cancel() takes a filter, and returns how many jobs match', async t => {
	const file = join(makeFolder(t), 'file');
	const faena = await openEngine(t, {workers: 1});
	const held = await running(faena, 'hold', file);
	const ids = await Promise.all([faena.enqueue('echo', 1), faena.enqueue('add', {a: 1, b: 2}), faena.enqueue('echo', 2)]);
	t.is(await faena.cancel({task: 'echo'}), 2);
	t.is(await faena.cancel({task: 'echo'}), 0);
	t.is(await faena.cancel({ids: ids.map(({id}) => id), status: 'completed'}), 0);
	t.is(await faena.cancel({status: ['pending', 'running']}), 2);
	writeFileSync(file, '');
	await faena.idle();
	t.is((await held.outcome()).status, 'cancelled');
	t.like(await faena.counts(), {cancelled: 4, completed: 0, pending: 0});
});

test('a job that has ended, or never was, is not cancelled', async t => {
	const faena = await openEngine(t);
	const job = await faena.enqueue('echo', 1);
	await job.result();
	t.is(await faena.cancel(job.id), 0);
	t.is(await faena.cancel(99), 0);
	t.is((await job.outcome()).status, 'completed');
});

/** A job of the task that says it runs. */
async function running<Name extends 'loop' | 'heed' | 'heedSignal' | 'hold'>(faena: Engine<Tasks>, task: Name, file: string | null = null) {
	const heard = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const job = await faena.enqueue(task as 'heed', file);
	await heard;
	return job;
}
