import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type Engine, type OpenOptions, open} from '../../lib/index.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

type Tasks = typeof import('../fixtures/batch-tasks.ts');

/** An engine with one worker, whose jobs wait until it is resumed, so that it is known which of them run together. */
async function openPaused(t: ExecutionContext, task: keyof Tasks, options: Partial<OpenOptions> = {}): Promise<Engine<Tasks>> {
	t.timeout(60_000);
	const tasks = new URL('../fixtures/batch-tasks.ts', import.meta.url);
	const faena = await open<Tasks>({queue: join(makeFolder(t), 'jobs.db'), tasks, workers: 1, grace: 50, ...options});
	t.teardown(() => faena.close({drain: 0}));
	await faena.pause(task);
	return faena;
}

async function run(faena: Engine<Tasks>, task: keyof Tasks, payloads: readonly number[]): Promise<unknown[]> {
	const jobs = await Promise.all(payloads.map(payload => faena.enqueue(task, payload as never)));
	await faena.resume(task);
	const outcomes = await Promise.all(jobs.map(job => job.outcome()));
	return outcomes.map(outcome => (outcome.status === 'completed' ? outcome.value : outcome.error.message));
}

for (const task of ['double', 'doubleLater'] as const) {
	test(`a task with a batchSize gets so many payloads at once, and each job its own result (${task})`, async t => {
		const faena = await openPaused(t, task);
		t.deepEqual(
			await run(faena, task, [1, 2, 3, 4, 5]),
			[1, 2, 3, 4, 5].map(number => ({double: 2 * number, together: number < 5 ? 4 : 1})),
		);
	});
}

test('an Error among the results fails that job alone', async t => {
	const faena = await openPaused(t, 'root', {defaults: {maxAttempts: 1}});
	t.deepEqual(await run(faena, 'root', [4, -1, 9]), [2, 'no root of -1', 3]);
});

test('a task that throws fails all that ran together, and so does one that returns too few', async t => {
	const faena = await openPaused(t, 'fails');
	t.deepEqual(await run(faena, 'fails', [1, 2]), ['all of them', 'all of them']);
	await faena.pause('tooFew');
	const sentence = 'A task with a batchSize returns an array with a result for each of its 2 payloads; this one returned one of 1.';
	t.deepEqual(await run(faena, 'tooFew', [1, 2]), [sentence, sentence]);
});

test('jobs that time out together run again, each alone: only the one that is stuck is charged', async t => {
	const faena = await openPaused(t, 'stuckAtZero');
	const [first, stuck, last] = await run(faena, 'stuckAtZero', [1, 0, 2]);
	t.deepEqual([first, last], [1, 2]);
	t.regex(String(stuck), /^Stopped after .* s: the timeout is 0\.15 s/);
	t.deepEqual(
		(await faena.jobs()).map(({status, attempts, error}) => [status, attempts, error?.reason]),
		[
			['completed', 0, undefined],
			['dead', 1, 'timedOut'],
			['completed', 0, undefined],
		],
	);
});

test('jobs whose worker is lost while they run together run again, each alone: only the guilty one is charged', async t => {
	const faena = await openPaused(t, 'dieAtZero');
	await run(faena, 'dieAtZero', [1, 0, 2]);
	t.deepEqual(
		(await faena.jobs()).map(({status, attempts, error}) => [status, attempts, error?.reason]),
		[
			['completed', 0, undefined],
			['dead', 2, 'lostWorker'],
			['completed', 0, undefined],
		],
	);
});

test('each job of a micro-batch has its own context', async t => {
	const faena = await openPaused(t, 'logs');
	const jobs = await Promise.all(['a', 'bb'].map(text => faena.enqueue('logs', text, {key: `key of ${text}`})));
	await faena.resume('logs');
	await faena.idle();
	const details = await Promise.all(jobs.map(({id}) => faena.job(id)));
	t.deepEqual(
		details.map(job => [job?.result, job?.logs.map(({text}) => text), job?.progress?.done]),
		[
			['a', ['a key of a'], 1],
			['bb', ['bb key of bb'], 1],
		],
	);
	t.deepEqual((await faena.jobs({task: 'double'})).length, 2);
});

test('micro-batches run in processes and in the caller, too', async t => {
	for (const isolation of ['process', 'inline'] as const) {
		const faena = await openPaused(t, 'double', {isolation});
		t.deepEqual(await run(faena, 'double', [1, 2]), [
			{double: 2, together: 2},
			{double: 4, together: 2},
		]);
	}
});
