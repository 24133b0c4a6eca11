/** Pairs of schedules, by a clock that the test moves. */

import type {AnyTasks} from '../../lib/job/task/task.ts';
import type {TestEngine} from '../../lib/testing.ts';
import {pair} from './pair.ts';

const NOW = new Date('2026-12-01T00:00:30Z');
const MINUTELY = {every: '1m', task: 'echo', payload: 'tick'} as const;

/** A minute at a time. */
async function pass(faena: TestEngine<AnyTasks>, minutes: number, work: () => Promise<unknown> = () => faena.drain()): Promise<void> {
	for (let minute = 0; minute < minutes; minute++) {
		faena.clock.advance('1m');
		await work();
	}
}

/** Resolves once the schedule has decided about so many moments. */
async function decided(faena: TestEngine<AnyTasks>, name: string, moments: number): Promise<void> {
	for (;;) {
		const {runs, skipped} = (await faena.schedule(name).info()) as {runs: number; skipped: number};
		if (runs + skipped >= moments) return;
		await new Promise(resolve => setImmediate(resolve));
	}
}

pair('schedule × maxPending', 'a schedule is not refused by a full queue, and its jobs count', async c => {
	const faena = await c.test({now: NOW, maxPending: 2});
	await faena.pause('echo');
	for (const job of [1, 2]) await faena.enqueue('echo', job);
	await faena.setSchedule('s', {...MINUTELY, overlap: 'queue'});
	await pass(faena, 1);
	c.t.is((await faena.counts()).pending, 3);
	await c.t.throwsAsync(faena.enqueue('gate', 3), {code: 'QueueFull', message: /3/});
	await faena.resume('echo');
	await faena.drain();
	c.t.is(c.times('echo "tick"'), 1);
});

pair('schedule × pause', 'of a paused task one job waits, the next moments are skipped, and the job outlives its schedule', async c => {
	const faena = await c.test({now: NOW});
	const schedule = await faena.setSchedule('s', MINUTELY);
	await faena.pause('echo');
	await pass(faena, 3);
	c.t.like(await schedule.info(), {runs: 1, skipped: 2});
	c.t.is((await faena.counts()).pending, 1);
	await schedule.delete();
	await faena.resume('echo');
	await faena.drain();
	c.t.is(c.times('echo "tick"'), 1);
});

pair('schedule × cleanup', 'a schedule whose jobs are deleted goes on, and knows its last moment', async c => {
	const faena = await c.test({now: NOW});
	const schedule = await faena.setSchedule('s', {...MINUTELY, expires: '30s'});
	await pass(faena, 2);
	c.t.is(await faena.cleanup({olderThan: 0}), 2);
	c.t.like(await schedule.info(), {runs: 2, lastAt: Date.parse('2026-12-01T00:02:00Z')});
	await pass(faena, 2);
	c.t.is(c.times('echo "tick"'), 4);
});

pair('clock × retention', 'retention deletes by the clock of the test', async c => {
	const faena = await c.test({now: NOW, retention: {completed: '2d', batches: '2d'}});
	await faena.setSchedule('s', {every: '1d', task: 'echo', payload: 1});
	await faena.enqueue('echo', 1);
	await faena.drain();
	await pass(faena, 12, async () => {
		faena.clock.advance('1d');
		await faena.drain();
	});
	c.t.true((await faena.counts()).completed < 4);
});

pair('schedule × overlap × cancel', 'if the job that runs is cancelled, the queued one goes on', async c => {
	const faena = await c.test({now: NOW, workers: 2});
	await faena.setSchedule('s', {every: '1m', task: 'hold', payload: 'a', overlap: 'queue'});
	await pass(faena, 2, () => decided(faena, 's', 1));
	await decided(faena, 's', 2);
	await c.until(() => c.times('hold a') === 1);
	const [first, second] = await faena.jobs().page();
	c.t.is(second?.status, 'blocked');
	c.t.is(await faena.cancel(first?.id as number), 1);
	await c.until(() => c.times('hold a') === 2);
	c.make('a');
	c.t.is(await faena.job<'hold'>(second?.id as number).result(), 'a');
	c.t.is((await faena.job(first?.id as number).info())?.status, 'cancelled');
});

pair('schedule × from end × retry × backoff', 'the interval counts from the last end of the job, and not while it waits for an attempt', async c => {
	const faena = await c.test({now: NOW});
	const schedule = await faena.setSchedule('s', {every: '1m', from: 'end', task: 'gate', payload: 'x', maxAttempts: 2, backoff: '10m'});
	await faena.drain();
	await pass(faena, 5);
	c.t.is(c.times('gate "x"'), 1);
	await pass(faena, 5);
	c.t.is(c.times('gate "x"'), 2);
	await pass(faena, 1);
	c.t.is(c.times('gate "x"'), 3);
	c.t.like(await schedule.info(), {runs: 2});
	const [dead] = await faena.jobs({status: 'dead'}).page();
	c.make('open');
	c.t.is(await faena.retry(dead?.id as number), 1);
	await faena.drain();
	c.t.is((await faena.job(dead?.id as number).info())?.status, 'completed');
	await pass(faena, 20);
	c.t.true(c.times('gate "x"') > 5);
});

pair('schedule × from end × cancel × cleanup × pause', 'the next moment comes however the job ended, and after it was deleted', async c => {
	const faena = await c.test({now: NOW});
	await faena.pause('echo');
	await faena.setSchedule('s', {...MINUTELY, from: 'end'});
	await faena.drain();
	const [first] = await faena.jobs().page();
	c.t.is(await faena.cancel(first?.id as number), 1);
	await faena.resume('echo');
	await pass(faena, 1);
	c.t.is(c.times('echo "tick"'), 1);
	await faena.cleanup({olderThan: 0});
	await pass(faena, 2);
	c.t.is(c.times('echo "tick"'), 3);
});

pair('schedule × catchUp × overlap × until × cleanup', 'all missed moments have a job, one after the other, and none comes after the end', async c => {
	const faena = await c.test({now: NOW});
	const schedule = await faena.setSchedule('s', {...MINUTELY, catchUp: 'all', until: new Date('2026-12-01T00:05:30Z')});
	faena.clock.advance('4m');
	await faena.drain();
	c.t.is(c.times('echo "tick"'), 4);
	c.t.is(await faena.cleanup({olderThan: 0}), 4);
	await pass(faena, 5);
	c.t.is(c.times('echo "tick"'), 5);
	c.t.is((await schedule.info())?.nextAt, undefined);
});

pair('schedule × expires × overlap × pause', 'a job that expires frees the next moment', async c => {
	const faena = await c.test({now: NOW});
	const schedule = await faena.setSchedule('s', {...MINUTELY, expires: '30s'});
	await faena.pause('echo');
	for (let half = 0; half < 7; half++) {
		faena.clock.advance('30s');
		await faena.drain();
		await c.until(async () => (await faena.counts()).cancelled === (half + 1) >> 1);
	}
	c.t.like(await schedule.info(), {runs: 4, skipped: 0});
	c.t.like(await faena.counts(), {cancelled: 3, pending: 1});
});

pair('schedule × replace × delete × overlap', 'queued jobs run by the definition that enqueued them', async c => {
	const faena = await c.test({now: NOW, workers: 2});
	await faena.setSchedule('s', {every: '1m', task: 'hold', payload: 'old', overlap: 'queue'});
	await pass(faena, 2, () => decided(faena, 's', 1));
	await decided(faena, 's', 2);
	const schedule = await faena.setSchedule('s', {every: '1m', task: 'echo', payload: 'new', overlap: 'queue'});
	faena.clock.advance('1m');
	await c.until(async () => (await faena.jobs({task: 'echo'}).page()).length === 1);
	await schedule.delete();
	c.make('old');
	await faena.drain();
	c.t.deepEqual(c.ran, ['hold old', 'hold old', 'echo "new"']);
});

pair('pause × schedule × flow × enqueue', 'pause() of all tasks stops each of them, and resume() of one starts that alone', async c => {
	const faena = await c.test({now: NOW});
	await faena.setSchedule('s', MINUTELY);
	await faena.pause();
	const flow = faena.newFlow('f');
	const sum = flow.job('sum', flow.map('got', [1, 2]));
	const run = await flow.enqueue();
	await faena.enqueue('gate', 1);
	await pass(faena, 1);
	c.t.deepEqual(c.ran, []);
	await faena.resume('echo');
	await faena.drain();
	c.t.deepEqual(c.ran, ['echo "tick"']);
	await faena.resume();
	await faena.drain();
	c.t.is((await run.ended()).completed, 3);
	c.t.truthy(await run.result(sum));
});

pair('close × drain × flow × ctx.enqueue × schedule', 'what a closed engine had running ends within the drain, and another one goes on', async c => {
	const first = await c.test({now: NOW});
	const flow = first.newFlow('f');
	const held = flow.job('hold', 'a');
	const made = flow.job('make', [['echo', 'child']], {dependsOn: [held]});
	await flow.enqueue();
	await first.setSchedule('s', MINUTELY);
	await c.until(() => c.times('hold a') === 1);
	const closed = first.close({drain: '10s'});
	c.make('a');
	await closed;
	const second = await c.test({now: NOW});
	const again = second.newFlow('f');
	const [held2, made2] = [again.job('hold', 'a'), 0];
	again.job('make', [['echo', 'child']], {dependsOn: [held2]});
	const run = await again.enqueue();
	await pass(second, 1);
	c.t.is((await run.ended()).completed, 2);
	c.t.deepEqual([c.times('hold a'), c.times('echo "child"'), c.times('echo "tick"'), made2, made.size], [1, 1, 1, 0, 1]);
});

pair('retention × flow × schedule × delay', 'a delayed job that waits for a flow keeps its parents, though the rest is deleted', async c => {
	const faena = await c.test({now: NOW});
	const flow = faena.newFlow('f');
	const [used, free] = [flow.job('echo', 'used'), flow.job('echo', 'free')];
	const run = await flow.enqueue();
	await run.ended();
	const child = await faena.enqueue('got', null, {dependsOn: [run.job(used)], delay: '1h'});
	await faena.cleanup({olderThan: 0});
	c.t.truthy(await faena.job(run.job(used).id).info());
	c.t.is(await faena.job(run.job(free).id).info(), undefined);
	faena.clock.advance('1h');
	c.t.deepEqual(await child.result(), ['used']);
});
