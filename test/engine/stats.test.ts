import {join} from 'node:path';
import type {Engine} from '../../lib/index.ts';
import {WakeUp} from '../../lib/support/clock.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('a job has the cost of its execution', async t => {
	const faena = await openEngine(t, {workers: 1});
	const {id} = await faena.enqueue('spin', 30);
	await faena.idle();
	const {waitMs = -1, durationMs = 0, cpuMs = 0, memoryBytes = 0, payloadBytes, resultBytes} = (await faena.jobs({ids: [id]}).page())[0] ?? {};
	t.true(waitMs >= 0 && waitMs < 10_000);
	t.true(durationMs >= 30);
	// Node tells it of a thread only from 23.9 on. How much of the 30 ms the thread had depends on what else runs on the machine.
	if ('threadCpuUsage' in process) t.true(cpuMs > 0 && cpuMs <= durationMs + 20);
	t.true(memoryBytes > 1e6);
	t.deepEqual([payloadBytes, resultBytes], [2, 2]);
});

test("stats() counts the dispatcher's work", async t => {
	const faena = await openEngine(t, {workers: 2});
	await faena.enqueueMany('spin', Array(40).fill(2));
	const bad = await faena.enqueue('throwIt', 'string', {maxAttempts: 1});
	await bad.outcome();
	await faena.idle();
	const {slots, busyRatio, executions, completedPerSecond, commits, chunks, tasks} = await faena.stats();
	t.is(slots, 2);
	t.true(busyRatio > 0 && busyRatio <= 1);
	t.like(executions, {completed: 40, dead: 1, lost: 0});
	t.true(completedPerSecond > 1);
	t.true(commits.count > 2 && commits.failed === 0 && commits.p95Ms > 0);
	t.true(chunks.count > 1 && chunks.meanJobs >= 1);
	t.is(tasks['spin']?.completed, 40);
	t.true((tasks['spin']?.duration.p50 ?? 0) >= 1.9);
	t.true((tasks['spin']?.wait.p95 ?? 0) > 0);
});

test("stats() has the size of the queue's file, and the part of it that cleanup() has freed", async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	await faena.enqueueMany('echo', Array(50).fill('x'.repeat(100_000)));
	await faena.idle();
	t.is(await faena.cleanup({olderThan: 0}), 50);
	const until = Date.now() + 10_000;
	let {storage} = await faena.stats();
	// The figures are a second old at most.
	for (; storage.freeBytes < 5_000_000 && Date.now() < until; {storage} = await faena.stats()) await new Promise(resolve => setTimeout(resolve, 50));
	t.true(storage.freeBytes >= 5_000_000 && storage.databaseBytes > storage.freeBytes && storage.logBytes > 0, JSON.stringify(storage));
});

test('stats() counts each worker that is lost, whatever it ran: a micro-batch, a job, or nothing', async t => {
	const faena = await openEngine(t, {workers: 1, tasks: new URL('../fixtures/worker-losses.ts', import.meta.url)});
	const untyped = faena as unknown as Engine<Record<string, (payload: unknown) => unknown>>;
	const lost: string[] = [];
	const heard = new WakeUp();
	faena.on('workerLost', ({reason}) => {
		lost.push(reason);
		heard.set();
	});
	await (await untyped.enqueue('exitAfterwards', null)).outcome();
	while (lost.length === 0) await heard.wait(Infinity);
	t.is((await faena.stats()).lostWorkers, 1);
	// Together, and then each alone.
	await untyped.enqueueMany('exitTogether', [1, 2, 3], {maxAttempts: 1});
	await faena.idle();
	t.true(lost.length > 2);
	t.is((await faena.stats()).lostWorkers, lost.length);
	await (await untyped.enqueue('loop', null, {timeout: 20, maxAttempts: 1})).outcome();
	while (lost.at(-1) !== 'stopped') await heard.wait(Infinity);
	t.is((await faena.stats()).lostWorkers, lost.length - 1);
});

test('a timeout of 300% stops a job that runs three times as long as the median', async t => {
	const faena = await openEngine(t, {workers: 1});
	const first = await faena.enqueue('spin', 300, {timeout: '300%'});
	t.is((await first.outcome()).status, 'completed');
	await faena.enqueueMany('spin', Array(12).fill(2));
	await faena.idle();
	const slow = await faena.enqueue('spin', 60_000, {timeout: '300%', maxAttempts: 1});
	const outcome = await slow.outcome();
	t.is(outcome.status, 'dead');
	if (outcome.status === 'dead') t.like(outcome.error, {reason: 'timedOut'});
	t.is((await slow.info())?.timeoutPercent, 300);
});
