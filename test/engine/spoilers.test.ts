import {join} from 'node:path';
import {open} from '../../lib/index.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {SPOILERS} from '../fixtures/spoilers.ts';

const tasks = new URL('../fixtures/spoilers.ts', import.meta.url);
const OPTIONS = {tasks, workers: 1, grace: 50, taskOutput: 'stderr', defaults: {backoff: 0, timeout: '2s', maxAttempts: 2}} as const;

for (const isolation of ['thread', 'process'] as const) {
	test(`whatever a task leaves replaced in its worker, its job and those beside it end, and the engine goes on: ${isolation}`, async t => {
		t.timeout(170_000);
		const faena = await open<typeof import('../fixtures/spoilers.ts')>({...OPTIONS, queue: join(makeFolder(t), 'jobs.db'), isolation});
		t.teardown(() => faena.close({drain: 0}));
		for (const name of Object.keys(SPOILERS)) {
			const jobs = await Promise.all([faena.enqueue('echo', 1), faena.enqueue('spoil', name), ...[2, 3].map(value => faena.enqueue('echo', value))]);
			for (const job of jobs) t.regex((await job.outcome()).status, /^(completed|dead)$/, name);
		}
		const {executions, busyRatio, tasks: ran} = await faena.stats();
		t.is(executions.completed + executions.dead, 4 * Object.keys(SPOILERS).length);
		t.true(Object.values(ran).every(({duration, wait, cpuMs}) => [duration.mean, duration.max, wait.mean, wait.max, cpuMs, busyRatio].every(Number.isFinite)));
	});

	test(`whatever a task leaves replaced in its worker, close() ends: ${isolation}`, async t => {
		t.timeout(170_000);
		for (const name of Object.keys(SPOILERS)) {
			const faena = await open<typeof import('../fixtures/spoilers.ts')>({...OPTIONS, queue: join(makeFolder(t), 'jobs.db'), isolation});
			const jobs = await Promise.all([faena.enqueue('spoilLater', name), ...[1, 2, 3].map(value => faena.enqueue('echo', value, {timeout: 'none'}))]);
			await Promise.race(jobs.map(job => job.outcome().catch(() => undefined)));
			await t.notThrowsAsync(faena.close({drain: 0}), name);
		}
	});
}

test('a job that breaks each worker it runs in is dead once its attempts are used up, and takes no other along', async t => {
	t.timeout(60_000);
	for (const [isolation, maxAttempts] of [
		['thread', 2],
		['process', 5],
	] as const) {
		const faena = await open<typeof import('../fixtures/spoilers.ts')>({...OPTIONS, queue: join(makeFolder(t), 'jobs.db'), isolation});
		t.teardown(() => faena.close({drain: 0}));
		const lost: string[] = [];
		faena.on('workerLost', ({reason, error}) => lost.push(`${reason}: ${error?.message}`));
		const bad = await faena.enqueue('spoil', 'slice() gives nothing', {maxAttempts});
		const {ids} = await faena.enqueueMany('echo', [1, 2, 3]);
		await faena.idle();
		const {status, attempts, error} = (await faena.job(bad.id).info()) ?? {};
		t.like({status, attempts}, {status: 'dead', attempts: Math.min(maxAttempts, 3)});
		t.regex(
			error?.message ?? '',
			/The worker process was ended before it reported how this job ended, since its results were not values of jobs that it had\./,
		);
		t.regex(lost.join('\n'), /^broken: The worker's report was not believed/);
		for (const id of ids) t.like(await faena.job(id).info(), {status: 'completed'});
	}
});
