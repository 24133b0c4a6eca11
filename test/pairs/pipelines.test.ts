/** Pairs of flows, pipes and jobs that wait for others. */
import {PassThrough} from 'node:stream';
import type {Engine} from '../../lib/index.ts';
import type {AnyTasks} from '../../lib/job/task/task.ts';
import {type Case, pair} from './pair.ts';

/** `sum` of the parts, each by `part`. */
async function enqueueSum(faena: Engine<AnyTasks>, part = 'echo', options: object = {}) {
	const flow = faena.newFlow('f');
	const parts = flow.map(part, [1, 2, 3]);
	const sum = flow.job('sum', parts, options);
	const run = await flow.enqueue();
	return {run, parts, sum, ids: run.ids(parts)};
}

/** Runs what a clock has made due, until nothing is left. */
async function deleteCompleted(faena: Engine<AnyTasks>, task?: string): Promise<number> {
	const jobs = await faena.jobs({status: 'completed', ...(task !== undefined && {task})}).page();
	return faena.cleanup({ids: jobs.map(({id}) => id)});
}

const echoes = (c: Case, ...values: readonly number[]) => values.map(value => c.times(`echo ${value}`));

pair('pause × flow × cancel × retry', 'a paused task keeps a flow waiting, which is cancelled and comes back whole', async c => {
	const faena = await c.test();
	await faena.pause('sum');
	const {run, sum} = await enqueueSum(faena);
	await faena.drain();
	c.t.like(await faena.counts(), {completed: 3, pending: 1});
	c.t.is(await run.cancel(), 1);
	await c.t.throwsAsync(run.result(sum), {code: 'JobCancelled'});
	c.t.is(await run.retry(), 1);
	await faena.resume('sum');
	c.t.is(await run.result(sum), 6);
	c.t.deepEqual(echoes(c, 1, 2, 3), [1, 1, 1]);
});

pair('pipe × priority', 'a later stage with a higher priority runs first', async c => {
	const faena = await c.test();
	await Promise.all([faena.pause('gate'), faena.pause('tell')]);
	await faena.enqueue('tell', {batch: 'earlier'});
	const pipe = faena.pipe([1], 'echo', {task: 'gate', priority: 9, onError: 'drop'}).toArray();
	await c.until(async () => (await faena.counts({task: 'gate'})).pending === 1);
	await faena.resume();
	await pipe;
	await faena.drain();
	c.t.deepEqual(c.ran, ['echo 1', 'gate 1', 'tell earlier']);
});

pair('retention × flow', 'an ended parent of a job that has not ended is not deleted, and afterwards it is', async c => {
	const faena = await c.test();
	await faena.pause('sum');
	const {run} = await enqueueSum(faena);
	await faena.drain();
	c.t.is(await faena.cleanup({olderThan: 0}), 0);
	await faena.resume('sum');
	c.t.is((await run.ended()).completed, 4);
	c.t.is(await faena.cleanup({olderThan: 0}), 4);
});

pair('retention × flow × result', 'the result of a part that was deleted while its flow runs is gone, and the others are there', async c => {
	const faena = await c.test();
	const flow = faena.newFlow('f');
	const [free, used] = [flow.job('echo', 'free'), flow.job('echo', 'used')];
	const last = flow.job('hold', 'a', {dependsOn: [used]});
	const run = await flow.enqueue();
	await c.until(() => c.times('hold a') === 1);
	c.t.is(await deleteCompleted(faena), 1);
	await c.t.throwsAsync(run.result(free), {code: 'NoSuchJob'});
	c.t.is(await run.result(used), 'used');
	c.make('a');
	c.t.is(await run.result(last), 'a');
});

pair('retention × flow × again', 'the same flow, some of whose parts were deleted, is the one there is while it runs', async c => {
	const faena = await c.test();
	const build = () => {
		const flow = faena.newFlow('f');
		flow.job('echo', 1);
		flow.job('hold', 'a');
		return flow.enqueue();
	};
	await build();
	await c.until(() => c.times('hold a') === 1 && c.times('echo 1') === 1);
	await c.until(async () => (await deleteCompleted(faena)) === 1);
	const again = await build();
	c.make('a');
	await again.ended();
	c.t.deepEqual([...echoes(c, 1), c.times('hold a')], [1, 1]);
});

pair('pipe × retention', 'a pipe whose completed jobs were deleted runs these again, and yields everything', async c => {
	const faena = await c.test();
	const pipe = () => faena.pipe([1, 2, 3], 'echo', 'got', {batch: 'p', order: 'input'}).toArray();
	c.t.deepEqual(await pipe(), [[1], [2], [3]]);
	c.t.is(await deleteCompleted(faena), 6);
	c.t.deepEqual(await pipe(), [[1], [2], [3]]);
	c.t.deepEqual(echoes(c, 1, 2, 3), [2, 2, 2]);
});

pair('pipe × retention × resume', 'nothing of a pipe that is left half-way is deleted, and a later one runs only what is missing', async c => {
	const faena = await c.test({workers: 3});
	const controller = new AbortController();
	const pipe = (options: object = {}) => faena.pipe(['a', 'b'], 'echo', 'hold', {batch: 'p', order: 'input', ...options}).toArray();
	const first = pipe({signal: controller.signal});
	c.make('a');
	await c.until(async () => (await faena.counts({task: 'hold'})).completed === 1);
	controller.abort();
	await first.catch(() => undefined);
	await c.until(async () => (await faena.counts()).running === 0);
	c.t.is(await deleteCompleted(faena), 0);
	c.make('b');
	c.t.deepEqual(await pipe({retryFailed: true}), ['a', 'b']);
	c.t.deepEqual([c.times('echo "a"'), c.times('echo "b"'), c.times('hold a')], [1, 1, 1]);
});

pair('flow × maxPending', 'a flow is not refused by a full queue', async c => {
	const faena = await c.test({maxPending: 1});
	await faena.pause('echo');
	await faena.enqueue('echo', 0);
	const {run, sum} = await enqueueSum(faena);
	await c.t.throwsAsync(faena.enqueue('echo', 9), {code: 'QueueFull'});
	await faena.resume('echo');
	c.t.is(await run.result(sum), 6);
});

pair('flow × retention × again', 'a flow whose jobs were all deleted runs anew', async c => {
	const faena = await c.test();
	const first = await enqueueSum(faena);
	await first.run.ended();
	c.t.is(await deleteCompleted(faena), 4);
	const second = await enqueueSum(faena);
	c.t.is(await second.run.result(second.sum), 6);
	c.t.deepEqual(echoes(c, 1, 2, 3), [2, 2, 2]);
	c.t.like(await second.run.ended(), {completed: 4});
});

pair('flow × dead part × cleanup', 'a dead part whose parents were deleted has no new round, and says so; deleting the flow is the way out', async c => {
	const faena = await c.test();
	const build = async () => {
		const flow = faena.newFlow('f');
		const last = flow.job('gate', {words: flow.job('echo', 'words')});
		return {run: await flow.enqueue(), last};
	};
	const {run, last} = await build();
	await c.t.throwsAsync(run.result(last), {code: 'JobFailed'});
	c.t.is(await deleteCompleted(faena), 1);
	c.make('open');
	c.t.is(await run.retry(), 0);
	const again = await build();
	await c.t.throwsAsync(again.run.result(again.last), {code: 'JobFailed'});
	c.t.is(await again.run.delete(), 1);
	const anew = await build();
	c.t.deepEqual(await anew.run.result(anew.last), {words: 'words'});
});

pair('edit × flow', 'a part that was edited stays so, and the same flow again is the one there is', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const {ids, run, sum} = await enqueueSum(faena);
	c.t.true(await faena.job(ids[0] as number).edit({payload: 10}));
	await faena.resume('echo');
	c.t.is(await run.result(sum), 15);
	const again = await enqueueSum(faena);
	c.t.is(await again.run.result(again.sum), 15);
	c.t.deepEqual(echoes(c, 1, 10), [0, 1]);
});

pair('pipe × maxPending', 'a pipe never has more jobs pending than the limit', async c => {
	const faena = await c.test({maxPending: 5});
	let most = 0;
	const numbers = Array.from({length: 40}, (_, number) => number);
	for await (const _ of faena.pipe(numbers, 'echo', 'got')) most = Math.max(most, (await faena.counts()).pending);
	c.t.true(most <= 5, `${most}`);
	c.t.is((await faena.counts()).completed, 80);
});

pair('batch.delete × dependsOn', 'deleting a batch cancels the jobs that wait for its jobs', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const map = faena.map('echo', [1], {batch: 'b'}).toArray();
	await c.until(async () => (await faena.jobs({batch: 'b'}).page()).length === 1);
	const [item] = await faena.jobs({batch: 'b'}).page();
	const child = await faena.enqueue('got', null, {dependsOn: [item?.id as number]});
	const grandchild = await faena.enqueue('got', null, {dependsOn: [child]});
	const failed = c.t.throwsAsync(map, {code: 'NoSuchJob'});
	c.t.is(await faena.batch('b').delete(), 1);
	c.t.like(await child.outcome(), {status: 'cancelled', error: {reason: 'parent'}});
	c.t.like(await grandchild.outcome(), {status: 'cancelled'});
	await failed;
});

pair('pipe × signal × group × drop', 'an aborted pipe is resumed with its groups, and dropped items run again by retryFailed', async c => {
	const faena = await c.test({workers: 2});
	const controller = new AbortController();
	const pipe = (options: object = {}) =>
		faena.pipe([1, 2, 3], {task: 'gate', onError: 'drop'}, {task: 'echo', group: 2}, {batch: 'p', order: 'input', ...options}).toArray();
	await faena.pause('echo');
	const first = pipe({signal: controller.signal});
	await c.until(async () => (await faena.counts()).dead === 3);
	controller.abort();
	await first.catch(() => undefined);
	await c.until(async () => (await faena.counts()).cancelled === 2);
	await faena.resume('echo');
	c.make('open');
	c.t.deepEqual(await pipe({retryFailed: true}), [[1, 2], [3]]);
});

pair('only × flow × two engines × idle', 'engines with other tasks share a flow, and each waits for its own jobs', async c => {
	const [a, b] = [await c.test({only: ['echo']}), await c.test({only: ['sum']})];
	const {run, sum} = await enqueueSum(a);
	await a.idle();
	c.t.deepEqual(echoes(c, 1, 2, 3), [1, 1, 1]);
	c.t.is(await run.result(sum), 6);
	await b.idle();
	c.t.is((await b.counts()).completed, 4);
});

pair('pipe × cancel of its batch', 'the loop of a pipe that another engine cancels ends with JobCancelled, unless its stages drop', async c => {
	for (const onError of ['stop', 'drop'] as const) {
		const [a, b] = [await c.test(), await c.test({only: ['sum']})];
		await a.pause('got');
		const ends = a.pipe([1, 2], 'echo', {task: 'got', onError}, {batch: onError}).toArray();
		const checked = onError === 'stop' ? c.t.throwsAsync(ends, {code: 'JobCancelled'}) : ends.then(results => c.t.deepEqual(results, []));
		await c.until(async () => (await a.counts({task: 'echo', batch: onError})).completed === 2);
		c.t.is(await b.cancel({batch: onError}), 2);
		await checked;
		await a.resume('got');
	}
});

pair('flow × cancel of a part × onParentDead run × retry', 'a part runs in spite of a cancelled one, and again with it by retry', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const flow = faena.newFlow('f');
	const [one, two] = [flow.job('echo', 1), flow.job('echo', 2)];
	const last = flow.job('got', null, {dependsOn: [one, two], onParentDead: 'run'});
	const run = await flow.enqueue();
	c.t.is(await faena.cancel(run.job(one).id), 1);
	await faena.resume('echo');
	c.t.deepEqual(await run.result(last), [undefined, 2]);
	c.t.is(await run.retry(), 1);
	await run.result(one);
	c.t.deepEqual((await faena.job(run.job(last).id).info())?.stale, 'direct');
	c.t.is(await faena.retry({stale: true}), 1);
	c.t.deepEqual(await run.result(last), [1, 2]);
});

pair('retry of a parent × child that waits or runs', 'a child that has not started waits again, and one that has goes on', async c => {
	const faena = await c.test({workers: 2});
	const parent = await faena.enqueue('gate', 1);
	const running = await faena.enqueue('hold', 'a', {dependsOn: [parent], onParentDead: 'run'});
	const failed = await faena.enqueue('gate', 2, {dependsOn: [parent], onParentDead: 'run', maxAttempts: 2, backoff: '1h'});
	await c.until(() => c.times('hold a') === 1 && c.times('gate 2') === 1);
	await faena.waitFor(failed, 'failed');
	await faena.pause('gate');
	c.t.is(await faena.retry(parent.id), 1);
	c.make('a');
	c.t.is(await running.result(), 'a');
	c.make('open');
	await faena.resume('gate');
	c.t.is(await parent.result(), 1);
	faena.clock.advance('1h');
	c.t.is(await failed.result(), 2);
});

pair('pipe.to(stream) × signal × resume', 'a pipe into a stream that nobody reads is aborted, and a later one writes everything', async c => {
	const faena = await c.test({tasks: {toText: (value: number) => `${value}\n`}});
	const controller = new AbortController();
	const numbers = Array.from({length: 30}, (_, number) => number);
	const pipe = (options: object = {}) => faena.pipe(numbers, 'echo', 'toText', {batch: 'p', order: 'input', ...options});
	const unread = new PassThrough({highWaterMark: 4});
	const written = pipe({signal: controller.signal}).to(unread);
	await c.until(() => c.ran.length > 3);
	controller.abort();
	await written.catch(() => undefined);
	const read = new PassThrough();
	const lines = read.toArray();
	await pipe({retryFailed: true}).to(read);
	c.t.is((await lines).join(''), numbers.map(number => `${number}\n`).join(''));
});

pair('pipe × deleted first stage × resume', 'a pipe whose first stage was deleted, and the second kept, yields the same', async c => {
	const faena = await c.test();
	const pipe = () => faena.pipe([1, 2], 'echo', 'got', {batch: 'p', order: 'input'}).toArray();
	const first = await pipe();
	c.t.is(await deleteCompleted(faena, 'echo'), 2);
	c.t.deepEqual(await pipe(), first);
});

pair('pipe × drop × retention × retryFailed', 'dropped items whose first stage was deleted run again', async c => {
	const faena = await c.test();
	const pipe = (options: object = {}) => faena.pipe([1, 2], 'echo', {task: 'gate', onError: 'drop'}, {batch: 'p', order: 'input', ...options}).toArray();
	c.t.deepEqual(await pipe(), []);
	c.t.is(await deleteCompleted(faena), 2);
	c.make('open');
	c.t.deepEqual(await pipe({retryFailed: true}), [1, 2]);
	c.t.is((await faena.counts({batch: 'p'})).blocked, 0);
});

pair('pipe × stop × cleanup × again', 'a pipe that stopped keeps its batch open, so that nothing of it is deleted and a later one goes on', async c => {
	const faena = await c.test();
	const pipe = () => faena.pipe([1], 'echo', 'gate', {batch: 'p'}).toArray();
	await c.t.throwsAsync(pipe(), {code: 'JobFailed'});
	c.t.is(await faena.cleanup({olderThan: 0}), 0);
	c.make('open');
	c.t.deepEqual(await pipe(), [1]);
	c.t.deepEqual(echoes(c, 1), [1]);
});

pair('batch.cancel × dependsOn × retryFailed', 'a batch that waits for a cancelled one is cancelled, and comes back with it', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const a = faena.map('echo', [1], {batch: 'a'}).toArray();
	await c.until(async () => (await faena.jobs({batch: 'a'}).page()).length === 1);
	const [item] = await faena.jobs({batch: 'a'}).page();
	const b = faena.map('got', [1, 2], {batch: 'b', dependsOn: [item?.id as number]}).toArray();
	await c.until(async () => (await faena.counts()).blocked === 2);
	c.t.is(await faena.batch('a').cancel(), 1);
	c.t.deepEqual(
		[...(await a), ...(await b)].map(({status}) => status),
		['cancelled', 'cancelled', 'cancelled'],
	);
	c.t.is(await faena.batch('a').retry(), 1);
	await faena.resume('echo');
	await faena.drain();
	c.t.is((await faena.counts()).completed, 3);
});
