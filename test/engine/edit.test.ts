import {task} from '../../lib/index.ts';
import {openForTest} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';

const tasks = {
	echo: async (value: unknown) => value,
	fails: task(
		async (isGood: boolean) => {
			if (!isGood) throw new Error('no');
		},
		{backoff: '1h'},
	),
};

test('a waiting job gets another payload, priority and time, by its handle or its id; one that has ended stays as it is', async t => {
	const run: string[] = [];
	const faena = await openForTest({mark: (name: string) => void run.push(name)});
	t.teardown(() => faena.close());
	await faena.pause();
	const [a, b, c] = await Promise.all(['a', 'b', 'c'].map(name => faena.enqueue('mark', name)));
	t.is(await b?.edit({priority: 1, payload: 'B'}), 'edited');
	t.is(await faena.edit(c?.id ?? 0, {delay: '1m'}), 'edited');
	await faena.resume();
	await faena.drain();
	t.deepEqual(run, ['B', 'a']);
	t.is(await faena.edit(c?.id ?? 0, {runAt: new Date(faena.clock.now), payload: 'C'}), 'edited');
	await c?.result();
	t.deepEqual(run, ['B', 'a', 'C']);
	t.is(await a?.edit({priority: 1}), 'completed');
	t.is(await faena.edit(99, {priority: 1}), 'missing');
});

test('a job that waits for its next attempt gets another payload, and runs at once, though its backoff is an hour', async t => {
	const faena = await openForTest(tasks);
	t.teardown(() => faena.close());
	const job = await faena.enqueue('fails', false);
	await faena.waitFor(job, 'failed');
	t.is(await job.edit({payload: true, delay: 0}), 'edited');
	await job.result();
	t.like(await job.info(), {status: 'completed', attempts: 1});
});

test('a job that runs is not changed, and the answer says so', async t => {
	const faena = await openEngine(t, {workers: 1});
	const job = await faena.enqueue('awaitForever', undefined as never);
	while ((await job.info())?.status !== 'running') await new Promise(resolve => setTimeout(resolve, 5));
	t.is(await job.edit({priority: 1}), 'running');
	await faena.cancel(job.id);
	await job.outcome();
	t.is(await job.edit({delay: 0}), 'cancelled');
});

test('edit() refuses what it can not use', async t => {
	const faena = await openForTest(tasks, {maxValueBytes: 100});
	t.teardown(() => faena.close());
	const job = await faena.enqueue('echo', 1, {delay: '1h'});
	const refusals = [
		[{}, /^edit\(\) expects what to change, such as payload, priority, delay or runAt; it got nothing\.$/],
		[{delay: '1s', runAt: new Date(0)}, /^edit\(\) got both delay and runAt; give one of them\.$/],
		[{maxAttempts: 2}, /^edit\(\) has no option "maxAttempts"/],
		[{priority: 'high'}, /^edit\(\) expects as priority a whole number/],
	] as const;
	for (const [changes, message] of refusals) await t.throwsAsync(job.edit(changes as never), {code: 'BadOption', message});
	await t.throwsAsync(job.edit({payload: 'x'.repeat(200)}), {code: 'TooLarge'});
	await t.throwsAsync(job.edit({payload: () => 1}), {code: 'NotEncodable'});
	await t.throwsAsync(faena.edit('1' as never, {priority: 1}), {code: 'BadOption'});
	t.like(await faena.job(job.id), {payload: 1, status: 'pending'});
});
