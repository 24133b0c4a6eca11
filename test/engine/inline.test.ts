import {existsSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('inline, the stack of an error leads from the task to its throw', async t => {
	const faena = await openEngine(t, {isolation: 'inline'});
	const outcome = await (await faena.enqueue('failTimes', {file: join(makeFolder(t), 'x'), times: 9}, {maxAttempts: 1})).outcome();
	t.is(outcome.status, 'dead');
	if (outcome.status === 'dead') t.regex(outcome.error.stack ?? '', /Error: failure 1\n\s+at failTimes \(.*tasks\.ts:\d+/);
});

test('inline, tasks that wait run side by side, as many as there are workers', async t => {
	const folder = makeFolder(t);
	const faena = await openEngine(t, {isolation: 'inline', workers: 2});
	const file = join(folder, 'file');
	const waits = new Promise<void>(resolve => {
		let lines = 0;
		faena.on('log', () => ++lines === 2 && resolve());
	});
	const jobs = [await faena.enqueue('wait', file), await faena.enqueue('wait', file)];
	await waits;
	t.like(await faena.counts(), {running: 2});
	t.false(existsSync(file));
	writeFileSync(file, '');
	t.deepEqual(await Promise.all(jobs.map(job => job.result())), [file, file]);
});

for (const [way, options] of [
	['a timeout', {timeout: 50, maxAttempts: 1}],
	['a cancel', {}],
] as const) {
	test(`inline, ${way} reaches a task that waits through its signal`, async t => {
		const faena = await openEngine(t, {isolation: 'inline'});
		const waits = new Promise<void>(resolve => void faena.once('log', () => resolve()));
		const job = await faena.enqueue('heedSignal', undefined, options);
		await waits;
		if (way === 'a cancel') await faena.cancel(job.id);
		t.is((await job.outcome()).status, way === 'a cancel' ? 'cancelled' : 'dead');
	});
}

test('inline, jobs that have not ended when the engine is closed run in the next one', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const first = await openEngine(t, {isolation: 'inline', queue});
	const {ids} = await first.enqueueMany('echo', Array(2000).fill('x'));
	await first.close();
	const next = await openEngine(t, {isolation: 'inline', queue});
	await next.idle();
	t.is((await next.counts()).completed, ids.length);
});

test('inline, a tasks module that can not be loaded is refused, and leaves the queue unlocked', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const tasks = new URL('../fixtures/modules/throws.ts', import.meta.url);
	await t.throwsAsync(openEngine(t, {isolation: 'inline', queue, tasks}), {code: 'BadTasksModule'});
	const faena = await openEngine(t, {isolation: 'inline', queue});
	t.is(await faena.call('add', {a: 1, b: 2}), 3);
});

test('inline, closing leaves a task that waits and heeds nothing to itself, and gives its job back uncharged', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const file = join(makeFolder(t), 'file');
	const first = await openEngine(t, {isolation: 'inline', queue, grace: 50});
	const waits = new Promise<void>(resolve => void first.once('log', () => resolve()));
	const {id} = await first.enqueue('wait', file);
	await waits;
	await first.close({drain: 0});
	const next = await openEngine(t, {isolation: 'inline', queue});
	t.like(await next.job(id).info(), {attempts: 0});
	writeFileSync(file, '');
	await next.idle();
	t.like(await next.job(id).info(), {status: 'completed', attempts: 0, executions: 2});
});
