import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {task} from '../../lib/index.ts';
import {openQueue} from '../../lib/queue.ts';
import {openForTest, type TestEngine, type TestOptions} from '../../lib/testing.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const DAY_MS = 86_400_000;

const tasks = {
	work: (how: string) => {
		if (how === 'fail') throw new Error('oh');
		return how;
	},
	brief: task((n: number) => n, {retention: {completed: '1d'}}),
};

function openAt(t: ExecutionContext, queue: string, days: number, retention?: TestOptions['retention']): Promise<TestEngine<typeof tasks>> {
	t.timeout(60_000);
	return openForTest(tasks, {queue, now: days * DAY_MS, defaults: {maxAttempts: 1}, ...(retention && {retention})});
}

/** Opens an engine that many days later, and resolves with the ids of the jobs that are left once it has searched. */
async function leftAfter(t: ExecutionContext, queue: string, days: number, retention?: TestOptions['retention']): Promise<number[]> {
	const faena = await openAt(t, queue, days, retention);
	await faena.drain();
	const left = (await faena.jobs().page()).map(({id}) => id);
	await faena.close();
	return left;
}

test('ended jobs are kept as long as their status and task say, and nothing is deleted unless that was asked for', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openAt(t, queue, 0);
	const [completed, dead, cancelled, brief, waiting] = [
		await faena.enqueue('work', 'well'),
		await faena.enqueue('work', 'fail'),
		await faena.enqueue('work', 'later', {delay: '9d'}),
		await faena.enqueue('brief', 1),
		await faena.enqueue('work', 'much later', {delay: '999d'}),
	];
	await faena.cancel(cancelled.id);
	await faena.drain();
	await faena.close();
	const all = [completed, dead, cancelled, brief, waiting].map(({id}) => id);
	// The task's own time holds also where the engine has none.
	const withoutBrief = all.filter(id => id !== brief.id);
	t.deepEqual(await leftAfter(t, queue, 0.5), all);
	t.deepEqual(await leftAfter(t, queue, 2), withoutBrief);
	t.deepEqual(await leftAfter(t, queue, 29, {completed: '30d', dead: '90d', cancelled: '10d'}), [completed.id, dead.id, waiting.id]);
	t.deepEqual(await leftAfter(t, queue, 31, {completed: '30d', dead: '90d'}), [dead.id, waiting.id]);
	t.deepEqual(await leftAfter(t, queue, 91, {completed: '30d', dead: '90d'}), [waiting.id]);
});

test("a test's clock deletes what is kept no longer: drain() resolves once that is done", async t => {
	const faena = await openForTest(tasks, {retention: {completed: '30d'}, defaults: {maxAttempts: 1}});
	t.teardown(() => faena.close());
	const kept = await faena.enqueue('work', 'fail');
	await faena.enqueueMany(
		'work',
		Array.from({length: 2500}, () => 'well'),
	);
	t.like(await faena.drain(), {completed: 2500, dead: 1});
	faena.clock.advance('29d');
	t.like(await faena.drain(), {completed: 2500, dead: 1});
	faena.clock.advance('1d');
	t.like(await faena.drain(), {completed: 0, dead: 1});
	t.deepEqual(
		(await faena.jobs().page()).map(({id}) => id),
		[kept.id],
	);
});

test('unused batches are deleted with all their jobs, also those of an interrupted map; those with unended jobs are kept; many jobs go page by page', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openAt(t, queue, 0);
	await faena
		.map(
			'work',
			Array.from({length: 5000}, (_, index) => `${index}`),
			{batch: 'old'},
		)
		.toArray();
	for await (const _ of faena.map('work', ['a', 'b', 'c'], {batch: 'interrupted', order: 'input'})) break;
	await faena.idle();
	for await (const _ of faena.map('work', ['a', 'b', 'c'], {batch: 'waits', order: 'input'})) break;
	await faena.idle();
	await faena.pause();
	await faena.retry({batch: 'waits', status: 'completed'});
	await faena.close();
	t.is((await leftAfter(t, queue, 29, {batches: '30d'})).length, 100);
	const left = await leftAfter(t, queue, 31, {batches: '30d', completed: '1h'});
	t.is(left.length, 3);
	const plain = await openQueue(queue);
	t.deepEqual(
		(await plain.batches()).map(({name}) => name),
		['waits'],
	);
	await plain.close();
});

test('a closed batch outlives its jobs if only these have a time', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openAt(t, queue, 0);
	await faena.map('work', ['a', 'b'], {batch: 'nightly'}).toArray();
	await faena.close();
	t.deepEqual(await leftAfter(t, queue, 2, {completed: '1d'}), []);
	const plain = await openQueue(queue);
	t.like(await plain.batch('nightly'), {name: 'nightly', counts: {completed: 0}});
	await plain.close();
	await leftAfter(t, queue, 3, {batches: '1d'});
	const later = await openQueue(queue);
	t.is(await later.batch('nightly'), undefined);
	await later.close();
});

test('a wrong retention is refused in a sentence', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	for (const [retention, words] of [
		[{completed: 'soon'}, /open\(\{retention\}\) expects as completed a time such as '30s'/],
		[{finished: '1d'}, /open\(\{retention\}\) has no option "finished"; there is completed, dead, cancelled, batches/],
	] as const)
		await t.throwsAsync(openForTest(tasks, {queue, retention: retention as never}), {code: 'BadOption', message: words});
	const wrong = {work: task(() => 1, {retention: {batches: '1d'} as never})};
	await t.throwsAsync(openForTest(wrong), {code: 'BadOption', message: /retention has no option "batches"/});
});
