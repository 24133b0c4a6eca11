import type {TaskContext} from '../../lib/index.ts';
import {openForTest} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';

test('a job starts after the jobs that it depends on, and its task gets their results in the order of dependsOn', async t => {
	const faena = await openEngine(t);
	const first = await faena.enqueue('echo', 'a', {delay: 1000});
	const second = await faena.enqueue('add', {a: 1, b: 2});
	const third = await faena.enqueue('gather', null, {dependsOn: [second, first.id]});
	t.is((await third.info())?.status, 'blocked');
	t.deepEqual(await third.result(), [3, 'a']);
	t.deepEqual(await faena.call('gather', null, {dependsOn: [first, third]}), ['a', [3, 'a']]);
});

test('a job that dependsOn names twice gives two results, and two ends in ctx.parents; so does a handle of the same key', async t => {
	const faena = await openEngine(t);
	const apple = await faena.enqueue('echo', 'apple', {key: 'a'});
	const again = await faena.enqueue('echo', 'apple', {key: 'a'});
	const pear = await faena.enqueue('echo', 'pear');
	const dependsOn = [apple, again, pear, apple];
	t.deepEqual(await faena.call('gather', null, {dependsOn}), ['apple', 'apple', 'pear', 'apple']);
	t.is((await faena.call('endsOfParents', null, {dependsOn})).length, 4);
	const flow = faena.newFlow('twice');
	const bill = flow.job('gather', null, {dependsOn});
	t.deepEqual(await (await flow.enqueue()).result(bill), ['apple', 'apple', 'pear', 'apple']);
});

test('a fan-in of 5,000 jobs gets all their results', async t => {
	const faena = await openEngine(t);
	const payloads = Array.from({length: 5000}, (_, index) => index);
	const {ids} = await faena.enqueueMany('echo', payloads);
	t.deepEqual(await faena.call('gather', null, {dependsOn: ids}), payloads);
});

test('enqueueMany() takes dependsOn, too', async t => {
	const faena = await openEngine(t);
	const parent = await faena.enqueue('echo', 'x', {delay: 50});
	const {ids} = await faena.enqueueMany('gather', [1, 2, 3], {dependsOn: [parent]});
	for (const id of ids) t.deepEqual(await faena.job<'gather'>(id).result(), ['x']);
});

test('if a parent is dead its child is cancelled, and a caller that awaits it hears why; with onParentDead it runs', async t => {
	const faena = await openEngine(t);
	const parent = await faena.enqueue('boom', 'no', {maxAttempts: 1, delay: 50});
	const child = await faena.enqueue('gather', null, {dependsOn: [parent]});
	const grandchild = await faena.enqueue('gather', null, {dependsOn: [child]});
	const other = await faena.enqueue('endsOfParents', null, {dependsOn: [parent], onParentDead: 'run'});
	const error = await t.throwsAsync(grandchild.result(), {code: 'JobCancelled'});
	t.is((error as Error & {cause: Error}).cause.message, `It waited for job ${child.id}, which was cancelled.`);
	t.deepEqual(await other.result(), [[parent.id, 'dead', 'no']]);
	const late = await faena.enqueue('gather', null, {dependsOn: [parent]});
	t.is((await late.outcome()).status, 'cancelled');
});

test('bad dependsOn: a sentence each', async t => {
	const faena = await openEngine(t);
	await t.throwsAsync(faena.enqueue('gather', null, {dependsOn: [99]}), {
		code: 'NoSuchJob',
		message: "A job of task gather can't wait for job 99: there is no such job in this queue. It may have been cleaned up.",
	});
	await t.throwsAsync(faena.call('gather', null, {dependsOn: [99]}), {code: 'NoSuchJob'});
	await t.throwsAsync(faena.enqueueMany('gather', [1], {dependsOn: [99]}), {code: 'NoSuchJob'});
	await t.throwsAsync(faena.enqueue('gather', null, {dependsOn: ['a' as never]}), {code: 'BadOption'});
	await t.throwsAsync(faena.enqueue('gather', null, {onParentDead: 'run'}), {code: 'BadOption', message: /onParentDead without dependsOn/});
});

test('idle() waits for jobs that wait for others', async t => {
	const faena = await openEngine(t);
	const parent = await faena.enqueue('echo', 1, {delay: 100});
	for (let depth = 0, before = parent.id; depth < 5; depth++) before = (await faena.enqueue('gather', null, {dependsOn: [before]})).id;
	await faena.idle();
	t.like(await faena.counts(), {completed: 6, blocked: 0});
});

test('a cancel of a parent cancels a child that a caller awaits, and starts one with onParentDead run', async t => {
	const faena = await openEngine(t);
	const parent = await faena.enqueue('echo', 1, {delay: '1h'});
	const child = await faena.enqueue('gather', null, {dependsOn: [parent]});
	const other = await faena.enqueue('endsOfParents', null, {dependsOn: [parent], onParentDead: 'run'});
	const ends = Promise.all([child.outcome({timeout: '10s'}), other.outcome({timeout: '10s'})]);
	await faena.cancel(parent.id);
	t.deepEqual(
		(await ends).map(({status}) => status),
		['cancelled', 'completed'],
	);
});

test('a task may return what ctx.enqueue returned, also in an array: that is undefined', async t => {
	const faena = await openForTest({
		one: (_: undefined, {enqueue}: TaskContext) => enqueue('echo', 1),
		many: (numbers: readonly number[], {enqueue}: TaskContext) => numbers.map(number => enqueue('echo', number)),
		within: (_: null, {enqueue}: TaskContext) => void enqueue('echo', enqueue('echo', 1)),
		echo: (value: unknown) => value,
	});
	t.teardown(() => faena.close());
	t.is((await faena.call('one', undefined)) as unknown, undefined);
	t.deepEqual((await faena.call('many', [1, 2])) as unknown, [undefined, undefined]);
	await t.throwsAsync(faena.call('within', null, {maxAttempts: 1}), {message: /payload is a job that the task has enqueued \(name it in dependsOn/});
	t.like(await faena.drain(), {completed: 5, dead: 1});
});

test('a map whose parents are gone, before it starts or between its items, ends with NoSuchJob, and its batch goes on without them', async t => {
	const faena = await openEngine(t);
	const batch = 'orphans';
	await t.throwsAsync(faena.map('echo', [1, 2, 3], {batch, dependsOn: [4711]}).toArray(), {
		code: 'NoSuchJob',
		message: "A job of task echo can't wait for job 4711: there is no such job in this queue. It may have been cleaned up.",
	});
	t.is((await faena.batch(batch).info())?.completedAt, undefined);
	const parent = await faena.enqueue('echo', 'a');
	await parent.result();
	const seen: unknown[] = [];
	async function* items(): AsyncGenerator<number> {
		yield* [1, 2];
		while (seen.length < 2) await new Promise<void>(resolve => setImmediate(resolve));
		t.is(await faena.cleanup({ids: [parent.id]}), 1);
		yield* [3, 4];
	}
	const read = async () => {
		for await (const item of faena.map('echo', items(), {batch, key: String, dependsOn: [parent]})) seen.push(item.status);
	};
	await t.throwsAsync(read(), {code: 'NoSuchJob', message: /can't wait for job \d+/});
	t.deepEqual(seen, ['completed', 'completed']);
	const again = await faena.map('echo', [1, 2, 3, 4], {batch, key: String, order: 'input'}).toArray();
	t.deepEqual(
		again.map(({status, reused = false}) => [status, reused]),
		[1, 2, 3, 4].map(item => ['completed', item <= 2]),
	);
});
