import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {type Engine, type JobHandle, type OpenOptions, open} from '../../lib/index.ts';
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
	return outcomes.map(outcome => (outcome.status === 'completed' ? outcome.result : outcome.error.message));
}

type Three<Value> = readonly [Value, Value, Value];

/** Three jobs, which then run together. */
async function enqueueThree(faena: Engine<Tasks>, task: keyof Tasks): Promise<Three<JobHandle<unknown>>> {
	const jobs = await Promise.all(([1, 2, 3] as const).map(payload => faena.enqueue(task, payload as never)));
	await faena.resume(task);
	return jobs as unknown as Three<JobHandle<unknown>>;
}

/** Resolves when each of the jobs has written a line. */
async function allLogged(faena: Engine<Tasks>, jobs: readonly JobHandle<unknown>[]): Promise<void> {
	for (const {id} of jobs) while (!(await faena.job(id).info())?.logs.length) await sleep(5);
}

/** How each of the jobs ended: its status, executions, attempts and result. */
async function endsOf(faena: Engine<Tasks>, jobs: readonly JobHandle<unknown>[]): Promise<unknown[]> {
	return Promise.all(
		jobs.map(async job => {
			await job.outcome();
			const detail = await faena.job(job.id).info();
			return [detail?.status, detail?.executions, detail?.attempts, detail?.result];
		}),
	);
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

test('each result may be a promise, and one that is rejected fails that job alone', async t => {
	const faena = await openPaused(t, 'rootEach', {defaults: {maxAttempts: 1}});
	t.deepEqual(await run(faena, 'rootEach', [4, -1, 9]), [2, 'no root of -1', 3]);
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
		(await faena.jobs().page()).map(({status, attempts, error}) => [status, attempts, error?.reason]),
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
		(await faena.jobs().page()).map(({status, attempts, error}) => [status, attempts, error?.reason]),
		[
			['completed', 0, undefined],
			['dead', 2, 'lostWorker'],
			['completed', 0, undefined],
		],
	);
});

for (const isolation of ['thread', 'process'] as const) {
	test(`the timeout of a micro-batch is the smallest of its jobs' (${isolation})`, async t => {
		const faena = await openPaused(t, 'stuckAtZero', {isolation});
		const innocent = await faena.enqueue('stuckAtZero', 1, {timeout: 'none'});
		const stuck = await faena.enqueue('stuckAtZero', 0);
		await faena.resume('stuckAtZero');
		t.is((await stuck.outcome()).status, 'dead');
		t.is((await innocent.outcome()).status, 'completed');
		t.is((await innocent.info())?.attempts, 0);
	});

	test(`one job of a running micro-batch is cancelled, and the others end by what the function returns (${isolation})`, async t => {
		const faena = await openPaused(t, 'heedOne', {isolation, grace: 60_000});
		const jobs = await enqueueThree(faena, 'heedOne');
		await allLogged(faena, jobs);
		await faena.cancel(jobs[1].id);
		t.deepEqual(await endsOf(faena, jobs), [
			['completed', 1, 0, 1],
			['cancelled', 1, 0, undefined],
			['completed', 1, 0, 3],
		]);
	});

	test(`where a micro-batch must be ended for one job's cancellation, the others run again, uncharged (${isolation})`, async t => {
		const faena = await openPaused(t, 'loopAtFirst', {isolation, postMortem: true});
		const jobs = await enqueueThree(faena, 'loopAtFirst');
		await allLogged(faena, jobs);
		await faena.cancel(jobs[0].id);
		t.deepEqual(await endsOf(faena, jobs), [
			['cancelled', 1, 0, undefined],
			['completed', 2, 0, 2],
			['completed', 2, 0, 2],
		]);
		t.regex((await jobs[0].info())?.error?.postMortem?.stack ?? '', /batch-tasks/);
	});

	for (const task of ['heedAll', 'loopAtFirst'] as const) {
		test(`where all jobs of a running micro-batch are cancelled, all of them are, and none runs again (${task}, ${isolation})`, async t => {
			const faena = await openPaused(t, task, {isolation, grace: task === 'heedAll' ? 60_000 : 50});
			const jobs = await enqueueThree(faena, task);
			await allLogged(faena, jobs);
			await faena.cancel({task});
			t.deepEqual(
				await endsOf(faena, jobs),
				jobs.map(() => ['cancelled', 1, 0, undefined]),
			);
		});
	}
}

test('each job of a micro-batch has its own context', async t => {
	const faena = await openPaused(t, 'logs');
	const jobs = await Promise.all(['a', 'bb'].map(text => faena.enqueue('logs', text, {key: `key of ${text}`})));
	await faena.resume('logs');
	await faena.idle();
	const details = await Promise.all(jobs.map(({id}) => faena.job(id).info()));
	t.deepEqual(
		details.map(job => [job?.result, job?.logs.map(({text}) => text), job?.progress?.done]),
		[
			['a', ['a key of a'], 1],
			['bb', ['bb key of bb'], 1],
		],
	);
	t.deepEqual((await faena.jobs({task: 'double'}).page()).length, 2);
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
