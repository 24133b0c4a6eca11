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
	t.true(await b?.edit({priority: 1, payload: 'B'}));
	t.true(await faena.job(c?.id ?? 0).edit({delay: '1m'}));
	await faena.resume();
	await faena.drain();
	t.deepEqual(run, ['B', 'a']);
	t.true(await faena.job(c?.id ?? 0).edit({runAt: new Date(faena.clock.now), payload: 'C'}));
	await c?.result();
	t.deepEqual(run, ['B', 'a', 'C']);
	t.false(await a?.edit({priority: 1}));
	await t.throwsAsync(faena.job(99).edit({priority: 1}), {code: 'NoSuchJob', message: 'There is no job 99; it may have been cleaned up.'});
});

test('a job that waits for its next attempt gets another payload, and runs at once, though its backoff is an hour', async t => {
	const faena = await openForTest(tasks);
	t.teardown(() => faena.close());
	const job = await faena.enqueue('fails', false);
	await faena.waitFor(job, 'failed');
	t.true(await job.edit({payload: true, delay: 0}));
	await job.result();
	t.like(await job.info(), {status: 'completed', attempts: 1});
});

test('a job that runs is not changed, and the answer says so', async t => {
	const faena = await openEngine(t, {workers: 1});
	const job = await faena.enqueue('awaitForever', undefined as never);
	while ((await job.info())?.status !== 'running') await new Promise(resolve => setTimeout(resolve, 5));
	t.false(await job.edit({priority: 1}));
	await faena.cancel(job.id);
	await job.outcome();
	t.false(await job.edit({delay: 0}));
});

test('edit() refuses what it can not use', async t => {
	const faena = await openForTest(tasks, {maxValue: 100});
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
	t.throws(() => faena.job('1' as never), {code: 'BadOption'});
	t.like(await faena.job(job.id).info(), {payload: 1, status: 'pending'});
});
