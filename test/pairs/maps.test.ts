/** Pairs of maps and their batches. */
import type {Engine, JobMap} from '../../lib/index.ts';
import type {AnyTasks, TaskContext} from '../../lib/job/task/task.ts';
import {type Case, pair} from './pair.ts';

const statuses = (items: readonly {readonly status: string}[]) => items.map(({status}) => status);
const indexes = (items: readonly {readonly index: number}[]) => items.map(({index}) => index);

/** The tasks of a map whose item `first` fails while the others are held. */
const failsFirst = ({tasks}: Case): AnyTasks => ({
	first: (name: string, context: unknown) => (name === 'first' ? tasks['gate']?.(name) : tasks['hold']?.(name, context)),
});

/** The job that tells of a batch's completion has ended. */
async function told(faena: Engine<AnyTasks>, batch: string): Promise<unknown> {
	const {completionJobId} = (await faena.batch(batch).info()) ?? {};
	return completionJobId === undefined ? undefined : faena.job<'tell'>(completionJobId).result();
}

pair('weight × halt × resume', 'the heavy ones come first, a halt discards the rest, and the same map again runs it under its own indexes', async c => {
	const faena = await c.test();
	const map = (options: object = {}) => faena.map('gate', [10, 30, 20], {batch: 'b', weight: item => item, ...options});
	await c.t.throwsAsync(map({halt: {when: 'now', on: 'fail', at: 1}}).toArray(), {code: 'Halted'});
	c.t.is(c.ran[0], 'gate 30');
	c.make('open');
	const again = await map({retryFailed: true, order: 'input'}).toArray();
	c.t.deepEqual(
		again.map(({item, status}) => [item, status]),
		[10, 30, 20].map(item => [item, 'completed']),
	);
	c.t.deepEqual(indexes(again), [0, 1, 2]);
});

pair('batch.cancel × onComplete', 'a batch that is cancelled while its map runs completes, and tells so once', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const map = faena.map('echo', [1, 2], {batch: 'b', onComplete: 'tell'}).toArray();
	await c.until(async () => (await faena.counts()).pending === 2);
	c.t.is(await faena.batch('b').cancel(), 2);
	c.t.deepEqual(statuses(await map), ['cancelled', 'cancelled']);
	c.t.like(await told(faena, 'b'), {cancelled: 2});
	c.t.is(c.times('tell b'), 1);
});

pair('delay × map × resume', 'a delayed map that is left waits, when it is resumed, for the jobs that there are', async c => {
	const faena = await c.test();
	const first = faena.map('echo', [1, 2], {batch: 'b', delay: '1h'});
	const reading = first[Symbol.asyncIterator]();
	const one = reading.next();
	await c.until(async () => (await faena.counts()).pending === 2);
	faena.clock.advance('30m');
	const left = reading.return?.(undefined);
	faena.clock.advance('30m');
	await Promise.all([one, left]);
	await faena.drain();
	c.t.deepEqual(statuses(await faena.map('echo', [1, 2], {batch: 'b'}).toArray()), ['completed', 'completed']);
	c.t.deepEqual(c.ran, ['echo 1', 'echo 2']);
});

pair('map of nothing × onComplete', 'a map of no items completes, once', async c => {
	const faena = await c.test();
	const map = () => faena.map('echo', [], {batch: 'b', onComplete: 'tell'}).toArray();
	c.t.deepEqual(await map(), []);
	await map();
	await told(faena, 'b');
	c.t.like(await faena.batch('b').info(), {total: 0});
	c.t.is(c.times('tell b'), 1);
});

pair('two maps × one batch × two engines', 'a second map of a batch is refused, whatever its items, and the first goes on', async c => {
	const [a, b] = [await c.test(), await c.test({only: ['sum']})];
	const first = a.map('hold', ['a'], {batch: 'b'}).toArray();
	await c.until(() => c.times('hold a') === 1);
	for (const options of [{}, {fresh: 'all'}, {retryFailed: true}] as const)
		for (const faena of [a, b]) await c.t.throwsAsync(faena.map('hold', ['x'], {batch: 'b', ...options}).toArray(), {code: 'BatchInUse'});
	c.make('a');
	c.t.deepEqual(statuses(await first), ['completed']);
	c.t.deepEqual(statuses(await b.map('hold', ['a'], {batch: 'b'}).toArray()), ['completed']);
});

pair('halt × priority × concurrency × two engines', 'a halt at once discards what no engine has begun, and nothing of it runs later', async c => {
	const [a, b] = [await c.open({workers: 1}), await c.open({workers: 1})];
	const items = ['crash', ...Array.from({length: 60}, (_, index) => index)];
	const options = {batch: 'b', halt: {when: 'now', on: 'fail', at: 1}, weight: (item: unknown) => (item === 'crash' ? 1 : 0)} as const;
	await c.t.throwsAsync(a.map('crash', items, options).toArray(), {code: 'Halted'});
	await Promise.all([a.idle(), b.idle()]);
	const {pending, running, dead} = await a.counts();
	c.t.deepEqual({pending, running, dead}, {pending: 0, running: 0, dead: 1});
});

pair('halt × onComplete × resume', 'a halted map is not complete; after a resume it tells so, once', async c => {
	const faena = await c.test({workers: 3, tasks: failsFirst(c)});
	const map = (options: object = {}) => faena.map('first', ['a', 'b', 'first'], {batch: 'b', onComplete: 'tell', ...options}).toArray();
	await c.t.throwsAsync(map({halt: {when: 'now', on: 'fail', at: 1}}), {code: 'Halted'});
	await faena.drain();
	c.t.is(await told(faena, 'b'), undefined);
	for (const file of ['open', 'a', 'b']) c.make(file);
	c.t.deepEqual(statuses(await map({retryFailed: true})), ['completed', 'completed', 'completed']);
	await told(faena, 'b');
	c.t.is(c.times('tell b'), 1);
});

pair('retry manual × map × idle × flow', 'a parked item keeps its map waiting and no idle(); retryFailed starts it', async c => {
	const faena = await c.test();
	const first = faena.map('gate', [1], {batch: 'b', retry: 'manual', maxAttempts: 2}).toArray();
	await c.until(async () => (await faena.counts()).failed === 1);
	await faena.idle();
	c.make('open');
	c.t.is(await faena.batch('b').retry(), 1);
	c.t.deepEqual(statuses(await first), ['completed']);
	const flow = faena.newFlow('f');
	const node = flow.job('gate', 2, {retry: 'manual', maxAttempts: 2});
	const run = await flow.enqueue();
	c.t.is(await run.result(node), 2);
});

pair('missing × onComplete × order', 'an item that the input no longer has is cancelled, and the batch completes', async c => {
	const first = await c.test();
	await first.pause('echo');
	const reading = first.map('echo', [1, 2, 3], {batch: 'b', key: String})[Symbol.asyncIterator]();
	const one = reading.next().catch(() => undefined);
	await c.until(async () => (await first.counts()).pending === 3);
	await first.close({drain: 0});
	await one;
	const faena = await c.test();
	async function* onlyTwo() {
		await second.opened;
		await faena.resume('echo');
		yield 2;
	}
	const second: JobMap<number, unknown> = faena.map('echo', onlyTwo(), {batch: 'b', key: String, missing: 'cancel', onComplete: 'tell', order: 'input'});
	c.t.deepEqual(statuses(await second.toArray()), ['completed']);
	c.t.like(await told(faena, 'b'), {completed: 1, cancelled: 2});
	c.t.deepEqual(c.ran, ['echo 2', 'tell b']);
});

pair('map × maxPending × delay', 'the window of a map is at most the limit, and it ends', async c => {
	const faena = await c.test({maxPending: 3});
	const map = faena
		.map(
			'echo',
			Array.from({length: 10}, (_, item) => item),
			{delay: '1s'},
		)
		.toArray();
	let isOver = false;
	void map.finally(() => {
		isOver = true;
	});
	await c.until(async () => {
		c.t.true((await faena.counts()).pending <= 3);
		faena.clock.advance('1s');
		await faena.drain();
		return isOver;
	});
	c.t.is((await map).length, 10);
});

pair('map × dependsOn × retry of the parent × resume', 'items are cancelled with their parent, and a map of them comes back with it', async c => {
	const faena = await c.test();
	const parent = await faena.enqueue('gate', 'parent');
	const map = (options: object = {}) => faena.map('got', [1, 2], {batch: 'b', dependsOn: [parent], order: 'input', ...options}).toArray();
	c.t.deepEqual(statuses(await map()), ['cancelled', 'cancelled']);
	c.make('open');
	c.t.is(await faena.retry(parent.id), 1);
	await faena.drain();
	c.t.deepEqual(
		(await map()).map(end => end.status === 'completed' && end.result),
		[['parent'], ['parent']],
	);
});

pair('map × expires × pause × retryFailed × onComplete', 'expired items complete the batch as cancelled, and run by retryFailed', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const map = (options: object = {}) => faena.map('echo', [1, 2], {batch: 'b', onComplete: 'tell', ...options}).toArray();
	const first = map({expires: '1m'});
	await c.until(async () => (await faena.counts()).pending === 2);
	faena.clock.advance('2m');
	c.t.deepEqual(statuses(await first), ['cancelled', 'cancelled']);
	c.t.like(await told(faena, 'b'), {cancelled: 2});
	await faena.resume('echo');
	c.t.deepEqual(statuses(await map({retryFailed: true})), ['completed', 'completed']);
	c.t.like(await told(faena, 'b'), {completed: 2});
	c.t.is(c.times('tell b'), 2);
});

pair('halt × dependsOn', 'a job that waits for a discarded item is cancelled, and the same map again runs the item', async c => {
	const faena = await c.test({workers: 1});
	await faena.pause('gate');
	const map = (options: object = {}) => faena.map('gate', [1, 2], {batch: 'b', key: String, ...options}).toArray();
	const halted = c.t.throwsAsync(map({halt: {when: 'now', on: 'fail', at: 1}, batch: 'b', delay: 0}), {code: 'Halted'});
	await c.until(async () => (await faena.counts()).pending === 2);
	const [, second] = await faena.jobs({batch: 'b'}).page();
	await faena.job(second?.id as number).edit({delay: '1h'});
	const child = await faena.enqueue('got', null, {dependsOn: [second?.id as number]});
	await faena.resume('gate');
	await halted;
	c.t.is((await child.outcome()).status, 'cancelled');
	c.make('open');
	c.t.deepEqual(statuses(await map({retryFailed: true})), ['completed', 'completed']);
});

pair('source that throws × batch × onComplete × resume × missing', 'the map throws the error, and the whole input completes the batch later', async c => {
	const faena = await c.test();
	function* broken() {
		yield 1;
		yield 2;
		throw new Error('the source broke');
	}
	const map = (items: Iterable<number>) => faena.map('echo', items, {batch: 'b', key: String, onComplete: 'tell', order: 'input'});
	await c.t.throwsAsync(map(broken()).toArray(), {message: 'the source broke'});
	c.t.is(await told(faena, 'b'), undefined);
	c.t.deepEqual(statuses(await map([1, 2, 3]).toArray()), ['completed', 'completed', 'completed']);
	await told(faena, 'b');
	c.t.deepEqual(c.ran.toSorted(), ['echo 1', 'echo 2', 'echo 3', 'tell b']);
});

pair('batch.retryFailed × onComplete', 'a batch that is retried completes again, and tells so again', async c => {
	const faena = await c.test();
	await faena.map('gate', [1, 2], {batch: 'b', onComplete: 'tell'}).toArray();
	c.t.like(await told(faena, 'b'), {dead: 2});
	c.make('open');
	c.t.is(await faena.batch('b').retry(), 2);
	await faena.drain();
	c.t.like(await told(faena, 'b'), {completed: 2});
	c.t.is(c.times('tell b'), 2);
});

pair('clock × backoff × map × flow × pipe × onComplete', 'all of them go on as the clock says, and none before', async c => {
	let calls = 0;
	const tasks = {
		second(value: unknown) {
			if (++calls % 2 === 1) throw new Error('again');
			return value;
		},
	};
	const faena = await c.test({tasks, defaults: {maxAttempts: 2, backoff: '1h'}});
	const flow = faena.newFlow('f');
	const node = flow.job('sum', flow.map('second', [1]));
	const run = await flow.enqueue();
	await faena.drain();
	const ends = [run.result(node)];
	const advance = async (): Promise<void> => {
		c.t.like(await faena.counts(), {failed: 1});
		faena.clock.advance('1h');
	};
	await advance();
	c.t.deepEqual(await Promise.all(ends), [1]);
	const map = faena.map('second', [2], {batch: 'm', onComplete: 'tell'}).toArray();
	await c.until(async () => (await faena.counts()).failed === 1);
	await advance();
	c.t.deepEqual(statuses(await map), ['completed']);
	c.t.like(await told(faena, 'm'), {completed: 1});
	const pipe = faena.pipe([3], 'second', 'got').toArray();
	await c.until(async () => (await faena.counts()).failed === 1);
	await advance();
	c.t.deepEqual(await pipe, [[3]]);
});

pair('cleanup × map that runs', 'jobs of a batch whose map runs are kept', async c => {
	const faena = await c.test({workers: 2});
	const map = faena.map('hold', ['a', 'b'], {batch: 'b'}).toArray();
	c.make('a');
	await c.until(async () => (await faena.counts()).completed === 1);
	c.t.is(await faena.cleanup({olderThan: 0}), 0);
	c.make('b');
	c.t.deepEqual(statuses(await map), ['completed', 'completed']);
	c.t.is(await faena.cleanup({olderThan: 0}), 2);
});

pair('map without batch × key × signal', 'an abort leaves the job that was there before, and cancels the own ones', async c => {
	const faena = await c.test({workers: 2});
	const before = await faena.enqueue('hold', 'a', {key: 'a'});
	await c.until(() => c.times('hold a') === 1);
	const controller = new AbortController();
	const map = faena.map('hold', ['a', 'b'], {key: String, signal: controller.signal}).toArray();
	await c.until(() => c.times('hold b') === 1);
	controller.abort(new Error('left'));
	await map.catch(() => undefined);
	await c.until(async () => (await faena.counts()).cancelled === 1);
	c.make('a');
	c.t.is(await before.result(), 'a');
	c.t.is(c.times('hold a'), 1);
});

pair('halt × another engine × onComplete × retryFailed', 'what is retried of a halted batch completes nothing before the whole map has', async c => {
	const [a, b] = [await c.test({workers: 3, tasks: failsFirst(c)}), await c.test({only: ['sum'], tasks: failsFirst(c)})];
	const map = (faena: Engine<AnyTasks>, options: object = {}) => faena.map('first', ['a', 'first'], {batch: 'b', onComplete: 'tell', ...options}).toArray();
	await c.t.throwsAsync(map(a, {halt: {when: 'now', on: 'fail', at: 1}}), {code: 'Halted'});
	for (const file of ['open', 'a']) c.make(file);
	c.t.is(await b.batch('b').retry(), 1);
	await a.drain();
	c.t.is(await told(b, 'b'), undefined);
	c.t.deepEqual(statuses(await map(b)), ['completed', 'completed']);
	await told(a, 'b');
	c.t.is(c.times('tell b'), 1);
});

pair('onComplete × cleanup × batch.delete', 'the job that tells of a batch is none of it, and outlives it', async c => {
	const faena = await c.test();
	await faena.map('echo', [1], {batch: 'b', onComplete: 'tell'}).toArray();
	c.t.like(await told(faena, 'b'), {completed: 1});
	const {completionJobId} = (await faena.batch('b').info()) as {completionJobId: number};
	c.t.is(await faena.batch('b').delete(), 1);
	c.t.is((await faena.job(completionJobId).info())?.status, 'completed');
	c.t.is(await faena.cleanup({olderThan: 0}), 1);
});

pair('retention of completed items × retryFailed × onComplete', 'a map runs deleted items anew, and dead ones by retryFailed', async c => {
	const faena = await c.test({tasks: {half: (value: number) => c.tasks[value === 2 ? 'gate' : 'echo']?.(value)}});
	const map = (options: object = {}) => faena.map('half', [1, 2, 3], {batch: 'b', order: 'input', onComplete: 'tell', ...options});
	c.t.deepEqual(statuses(await map().toArray()), ['completed', 'dead', 'completed']);
	await told(faena, 'b');
	c.t.is(await faena.cleanup({ids: (await faena.jobs({status: 'completed', batch: 'b'}).page()).map(({id}) => id)}), 2);
	c.make('open');
	const again = map({retryFailed: true});
	c.t.deepEqual(
		(await again.toArray()).map(({status, reused}) => [status, reused]),
		Array(3).fill(['completed', false]),
	);
	await told(faena, 'b');
	c.t.like(await faena.batch('b').info(), {total: 3, counts: {completed: 3}});
});

pair('halt by share × weight × order × window × resume', 'a halt counts what has ended, and the map again yields all in order', async c => {
	const faena = await c.test();
	const items = [5, 1, 4, 2, 3, 6];
	const map = (options: object = {}) => faena.map('gate', items, {batch: 'b', order: 'input', window: 3, weight: item => item, ...options}).toArray();
	await c.t.throwsAsync(map({halt: {when: 'soon', on: 'fail', at: '50%'}}), {code: 'Halted'});
	c.make('open');
	const ends = await map({retryFailed: true});
	c.t.deepEqual(
		ends.map(({item}) => item),
		items,
	);
	c.t.deepEqual(indexes(ends), [0, 1, 2, 3, 4, 5]);
});

pair('two maps × concurrency × priority × cancel', 'of two batches of one limited task one is cancelled, and the other goes on alone', async c => {
	const faena = await c.open();
	const [a, b] = [faena.map('one', ['a', 'a', 'a', 'a'], {batch: 'a'}), faena.map('one', ['b', 'b', 'b', 'b'], {batch: 'b', priority: 1})];
	const [first, second] = [a.toArray(), b.toArray()];
	await c.until(() => c.ran.length > 0);
	await a.cancel();
	c.t.deepEqual(statuses(await second), Array(4).fill('completed'));
	await first;
	c.t.is((await faena.counts({batch: 'a'})).pending, 0);
	c.t.true(c.ran.every((line, index) => index % 2 === 0 || line === c.ran[index - 1]?.replace('+', '-') || line.startsWith('+')));
});

pair("missing 'delete' × fresh × jobs that wait", 'a completed item that is deleted cancels a job that waits for it and for another', async c => {
	const faena = await c.test();
	await faena.map('echo', ['a', 'b'], {batch: 'b', key: String}).toArray();
	const [item] = await faena.jobs({batch: 'b', key: 'b', task: 'echo'}).page();
	const waits = await faena.enqueue('echo', 'later', {delay: '1h'});
	const child = await faena.enqueue('got', null, {dependsOn: [item?.id as number, waits]});
	await faena.map('echo', ['a'], {batch: 'b', key: String, missing: 'delete', fresh: 'payload'}).toArray();
	await faena.map('echo', ['a'], {batch: 'b', key: String, missing: 'delete', fresh: 'all'}).toArray();
	faena.clock.advance('1h');
	const end = await child.outcome();
	const isThere = (await faena.job(item?.id as number).info()) !== undefined;
	// Either the item is kept for the job that waits for it, or that job knows that it is lost.
	c.t.deepEqual([isThere, end.status], isThere ? [true, 'completed'] : [false, 'cancelled']);
});

pair('only × map × onComplete', 'the job that tells of a batch waits for an engine with its task', async c => {
	const a = await c.test({only: ['echo']});
	await a.map('echo', [1], {batch: 'b', onComplete: 'tell'}).toArray();
	await a.drain();
	c.t.is(c.times('tell b'), 0);
	const b = await c.test({only: ['tell']});
	c.t.like(await told(b, 'b'), {completed: 1});
});

pair('maxPending 1 × map × retry × order', 'a map goes item by item, with their retries, and yields them in order', async c => {
	const failed = new Set<number>();
	const tasks = {
		twice(value: number) {
			if (failed.has(value)) return value;
			failed.add(value);
			throw new Error('again');
		},
	};
	const faena = await c.test({tasks, maxPending: 1, defaults: {maxAttempts: 2, backoff: 0}});
	c.t.deepEqual(
		(await faena.map('twice', [3, 1, 2], {order: 'input'}).toArray()).map(end => end.status === 'completed' && end.result),
		[3, 1, 2],
	);
});

pair('ctx.enqueue × batch × onComplete', 'a job that an item enqueues is none of the batch, which completes without it', async c => {
	const faena = await c.test({tasks: {makes: (_: unknown, {enqueue}: TaskContext) => void enqueue('echo', 'later', {delay: '1h'})}});
	await faena.map('makes', [1, 2], {batch: 'b', onComplete: 'tell'}).toArray();
	c.t.like(await told(faena, 'b'), {completed: 2});
	c.t.like(await faena.batch('b').info(), {counts: {completed: 2, pending: 0}});
	faena.clock.advance('1h');
	await faena.drain();
	c.t.is(c.times('echo "later"'), 2);
});

pair('signal × map × enqueue under way', 'what is being enqueued when a map is aborted is cancelled, too', async c => {
	for (const options of [{}, {batch: 'b'}]) {
		const faena = await c.test({workers: 2});
		const controller = new AbortController();
		// The items have been sent by the next microtask, and not been answered.
		const payload = (item: string) => {
			queueMicrotask(() => controller.abort(new Error('left')));
			return item;
		};
		await c.t.throwsAsync(faena.map('hold', ['a', 'b'], {...options, payload, signal: controller.signal}).toArray(), {message: 'left'});
		await faena.idle();
		c.t.deepEqual(statuses(await faena.jobs({status: ['pending', 'running', 'completed']}).page()), []);
		await faena.close();
	}
});

pair('abort × map × delay', 'an aborted map cancels its own delayed jobs', async c => {
	const faena = await c.test();
	const controller = new AbortController();
	const map = faena.map('echo', [1, 2], {batch: 'b', delay: '1h', signal: controller.signal}).toArray();
	await c.until(async () => (await faena.counts()).pending === 2);
	controller.abort(new Error('left'));
	await map.catch(() => undefined);
	await c.until(async () => (await faena.counts()).cancelled === 2);
	faena.clock.advance('2h');
	await faena.drain();
	c.t.deepEqual(c.ran, []);
});
