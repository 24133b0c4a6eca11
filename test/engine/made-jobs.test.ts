import {join} from 'node:path';
import type {Engine} from '../../lib/index.ts';
import {openEngine, type Tasks, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import type {Making} from '../fixtures/tasks.ts';

test('jobs that a task enqueues run when it has completed', async t => {
	const faena = await openEngine(t);
	t.is(
		await faena.call('make', {
			makes: [
				['add', {a: 1, b: 2}],
				['make', {makes: [['echo', 'deep']]}],
			],
		}),
		2,
	);
	await faena.idle();
	const jobs = await Promise.all([2, 3, 4].map(id => faena.job(id).info()));
	t.deepEqual(
		jobs.map(job => [job?.task, job?.status, job?.result]),
		[
			['add', 'completed', 3],
			['make', 'completed', 1],
			['echo', 'completed', 'deep'],
		],
	);
});

test('idle() does not resolve between a job and those it enqueues', async t => {
	const faena = await openEngine(t);
	await faena.enqueue('chain', 50);
	await faena.idle();
	t.like(await faena.counts(), {completed: 50, pending: 0, running: 0});
});

test('jobs that a task enqueues get the options of the call, then of their task, then of open()', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 5, priority: 9, timeout: '2h'}});
	const at = Date.now() + 3_600_000;
	await faena.call('make', {
		makes: [
			['echo', 1, {maxAttempts: 2, delay: '1h', key: 'k'}],
			['echo', 2, {runAt: at}],
			['add', {a: 1, b: 2}, {runAt: new Date(at)}],
		],
	});
	t.like(await faena.job(2).info(), {key: 'k', maxAttempts: 2, priority: 3, timeoutMs: 3_600_000, status: 'pending'});
	t.true(((await faena.job(2).info())?.runAt ?? 0) >= at);
	t.like(await faena.job(3).info(), {maxAttempts: 7, priority: 3, runAt: at});
	t.like(await faena.job(4).info(), {maxAttempts: 5, priority: 9, timeoutMs: 7_200_000, runAt: at});
});

test('jobs that a task enqueues have the scope of its job, whatever engine runs it; without one that of the engine', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const [a, b, none] = await Promise.all(['a', 'b', []].map(scope => openEngine(t, {queue, scope, only: []})));
	for (const each of [a, b, none])
		await each?.enqueue('make', {
			makes: [
				['echo', 1],
				['echo', 2],
				['echo', 3, {scope: 'c'}],
			],
		});
	const faena = await openEngine(t, {queue, scope: ['b', 'a']});
	await faena.idle();
	const jobs = await faena.jobs({task: 'echo'}).page();
	t.deepEqual(jobs.map(({scope}) => scope).sort(), ['a', 'a', 'b', 'b', 'b', 'b', 'c', 'c', 'c']);
});

for (const [end, status] of [
	['throw', 'dead'],
	['reject', 'dead'],
	['badResult', 'dead'],
] as const) {
	test(`jobs that a task enqueues are dropped if it ends by ${end}`, async t => {
		const faena = await openEngine(t);
		const job = await faena.enqueue('make', {makes: [['echo', 1]], end}, {maxAttempts: 1});
		t.is((await job.outcome()).status, status);
		t.deepEqual(
			(await faena.jobs().page()).map(({id}) => id),
			[job.id],
		);
	});
}

test('jobs that a task enqueues are dropped if it times out or is cancelled, though it heeds that and returns', async t => {
	const faena = await openEngine(t, {grace: 10_000});
	const late = await faena.enqueue('make', {makes: [['echo', 1]], end: 'heed'}, {maxAttempts: 1, timeout: 20});
	t.is((await late.outcome()).status, 'dead');
	const cancelled = await runsUntilStopped(faena);
	await faena.cancel(cancelled);
	t.is((await faena.job<'make'>(cancelled).outcome()).status, 'cancelled');
	t.is((await faena.jobs().page()).length, 2);
});

test('jobs that a task enqueues are dropped if it is interrupted, and come once when it has run again', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const first = await openEngine(t, {queue, grace: 10_000});
	const id = await runsUntilStopped(first);
	await first.close({drain: 0});
	const second = await openEngine(t, {queue, tasks: null});
	t.is((await second.jobs().page()).length, 1);
	t.like(await second.job(id).info(), {status: 'pending', attempts: 0});
});

test('a key that a job enqueues twice, or that exists with the same payload, is one job', async t => {
	const faena = await openEngine(t);
	const making: Making = {
		makes: [
			['echo', {x: 1}, {key: 'a'}],
			['echo', {x: 1}, {key: 'a'}],
			['add', {a: 1, b: 1}, {key: 'a'}],
		],
	};
	await faena.call('make', making);
	await faena.call('make', making);
	await faena.idle();
	t.deepEqual(
		(await faena.jobs({task: 'echo'}).page()).map(({key}) => key),
		['a'],
	);
	t.is((await faena.jobs({task: 'add'}).page()).length, 1);
});

test('a key that exists with another payload fails the job that enqueues it, and all it enqueues with it', async t => {
	const faena = await openEngine(t);
	const {id: held} = await faena.enqueue('echo', 'held', {key: 'a'});
	const told = new Promise<{id: number; error: Error}>(resolve => void faena.once('dead', resolve));
	const job = await faena.enqueue(
		'make',
		{
			makes: [
				['add', {a: 1, b: 2}],
				['echo', 'other', {key: 'a'}],
			],
		},
		{maxAttempts: 1},
	);
	const words = new RegExp(`The key "a" of task echo, which this job enqueues, belongs to job ${held}, which has another payload`);
	const failed = await t.throwsAsync(job.result(), {code: 'JobFailed', message: words});
	t.like(failed?.cause, {code: 'KeyConflict', reason: 'threw'});
	t.like(await told, {id: job.id, error: {code: 'KeyConflict'}});
	t.like(await faena.job(job.id).info(), {status: 'dead', attempts: 1, error: {code: 'KeyConflict'}});
	t.is((await faena.jobs().page()).length, 2);
});

/** A job that has made another one, and runs until it is told to stop. */
async function runsUntilStopped(faena: Engine<Tasks>): Promise<number> {
	const makes = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const {id} = await faena.enqueue('make', {makes: [['echo', 1]], end: 'heed'});
	await makes;
	return id;
}
