/** Pairs of keys, edits, expiry, delays, pauses, priorities and limits of a queue. */
import Database from 'better-sqlite3';
import {enqueueIn, PermanentError, RetryAfter} from '../../lib/index.ts';
import {task} from '../../lib/job/task/make-task.ts';
import type {TaskContext} from '../../lib/job/task/task.ts';
import {openQueue, work} from '../../lib/queue.ts';
import {pair} from './pair.ts';

const UNENDED = {key: 'k', unique: 'unended'} as const;

pair('edit × unique', 'the edited payload stands for the key, and the former one conflicts with it', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const job = await faena.enqueue('echo', 1, UNENDED);
	c.t.true(await job.edit({payload: 2}));
	await c.t.throwsAsync(faena.enqueue('echo', 1, UNENDED), {code: 'KeyConflict'});
	c.t.is((await faena.enqueue('echo', 2, UNENDED)).id, job.id);
	await faena.resume('echo');
	c.t.is(await job.result(), 2);
	c.t.not((await faena.enqueue('echo', 1, UNENDED)).id, job.id);
});

pair('expires × dependsOn × pause', 'the time counts from the moment when the job is no longer blocked', async c => {
	const faena = await c.test();
	const parent = await faena.enqueue('echo', 1, {delay: '1h'});
	const job = await faena.enqueue('got', null, {dependsOn: [parent], expires: '1m'});
	await faena.pause('got');
	faena.clock.advance('1h');
	await parent.result();
	c.t.is((await job.info())?.status, 'pending');
	faena.clock.advance('59s');
	await faena.drain();
	c.t.is((await job.info())?.status, 'pending');
	faena.clock.advance('2s');
	c.t.like(await job.outcome(), {status: 'cancelled', error: {reason: 'expired'}});
});

pair('unique × expires × retry', 'an expired job has given its key free, and comes back only while no other has it', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const [first, next] = [await faena.enqueue('echo', 1, {...UNENDED, expires: '1m'}), () => faena.enqueue('echo', 2, UNENDED)];
	faena.clock.advance('61s');
	await first.outcome();
	const second = await next();
	c.t.not(second.id, first.id);
	c.t.is(await faena.retry(first.id), 0);
	await faena.resume('echo');
	await second.result();
	c.t.is(await faena.retry(first.id), 0);
	await faena.cleanup(second.id);
	c.t.is(await faena.retry(first.id), 1);
	c.t.is(await first.result(), 1);
});

pair('edit × history × retry', 'a job that is edited between two attempts keeps its history and its attempts', async c => {
	const faena = await c.test();
	const job = await faena.enqueue('gate', 'old', {maxAttempts: 3, backoff: '1h'});
	await faena.waitFor(job, 'failed');
	c.t.true(await job.edit({payload: 'new', delay: '1m'}));
	c.make('open');
	await faena.drain();
	c.t.like(await faena.job(job.id).info(), {status: 'failed', payload: 'new', attempts: 1, history: {length: 1}});
	faena.clock.advance('1m');
	c.t.is(await job.result(), 'new');
	c.t.like(await faena.job(job.id).info(), {attempts: 1, executions: 2, history: {length: 2}});
});

pair('concurrency × priority × two engines', 'of a task with concurrency 1 never two run at once, and the high ones come first', async c => {
	const [a, b] = [await c.open({workers: 1}), await c.open({workers: 1, only: ['one']})];
	await a.pause('one');
	for (let job = 0; job < 12; job++) await (job % 2 ? a : b).enqueue('one', `${job % 3}`, {priority: job % 3});
	await a.resume('one');
	await Promise.all([a.idle(), b.idle()]);
	const {ran} = c;
	c.t.is(ran.length, 24);
	c.t.true(ran.every((line, index) => (index % 2 === 0 ? line.startsWith('+') : line === ran[index - 1]?.replace('+', '-'))));
	c.t.deepEqual(ran.filter(line => line.startsWith('+')).slice(0, 4), ['+2', '+2', '+2', '+2']);
});

pair('ctx.enqueue × key × map', 'a key that the jobs of all items use makes one job, and another payload fails nothing', async c => {
	const faena = await c.test({tasks: {child: (payload: unknown, {enqueue}: TaskContext) => void enqueue('echo', payload, {key: 'one'})}});
	const same = await faena.map('child', [7, 7, 7], {batch: 'b'}).toArray();
	c.t.true(same.every(({status}) => status === 'completed'));
	await faena.drain();
	c.t.deepEqual(c.ran, ['echo 7']);
	const [other] = await faena.map('child', [8]).toArray();
	c.t.is(other?.status, 'dead');
	await faena.drain();
	c.t.is((await faena.jobs({task: 'echo'}).page()).length, 1);
});

pair('ctx.enqueue × retry', 'an execution that fails enqueues nothing, and the one that completes enqueues once', async c => {
	let calls = 0;
	const faena = await c.test({
		tasks: {
			tries(_: unknown, {enqueue}: TaskContext) {
				enqueue('echo', 'child');
				if (++calls < 3) throw new Error('not yet');
			},
		},
	});
	const job = await faena.enqueue('tries', null, {maxAttempts: 3, backoff: 0});
	await job.result();
	await faena.drain();
	c.t.deepEqual([calls, c.ran], [3, ['echo "child"']]);
});

pair('expires × pause × clock', 'a job of a paused task expires', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const job = await faena.enqueue('echo', 1, {delay: '1h', expires: '1m'});
	faena.clock.advance('1h');
	await faena.drain();
	c.t.is((await job.info())?.status, 'pending');
	faena.clock.advance('2m');
	c.t.like(await job.outcome(), {status: 'cancelled', error: {reason: 'expired'}});
	await faena.resume('echo');
	await faena.drain();
	c.t.deepEqual(c.ran, []);
});

pair('checkpoint × edit × retry', 'a checkpoint is kept by an edit of the priority and by a retry, and deleted by another payload', async c => {
	const from: unknown[] = [];
	const faena = await c.test({
		tasks: {
			saves(_: unknown, {checkpoint, resumeFrom}: TaskContext) {
				from.push(resumeFrom);
				checkpoint(from.length);
				throw new Error('again');
			},
		},
	});
	const job = await faena.enqueue('saves', 'a', {maxAttempts: 2, backoff: '1h'});
	await faena.waitFor(job, 'failed');
	await job.edit({priority: 5, delay: 0});
	await job.outcome();
	c.t.is(await faena.retry(job.id), 1);
	await faena.waitFor(job, 'failed');
	await job.edit({payload: 'b', delay: 0});
	await job.outcome();
	c.t.deepEqual(from, [undefined, 1, 2, undefined]);
});

pair('edit × expires × delay', 'an edit of the time counts anew, and one of the payload keeps the moment of expiry', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const [timed, other] = [await faena.enqueue('echo', 1, {expires: '10s'}), await faena.enqueue('echo', 2, {expires: '10s'})];
	faena.clock.advance('5s');
	await Promise.all([timed.edit({delay: '1s'}), other.edit({payload: 3})]);
	faena.clock.advance('6s');
	c.t.is((await other.outcome()).status, 'cancelled');
	c.t.is((await timed.info())?.status, 'pending');
	faena.clock.advance('6s');
	c.t.is((await timed.outcome()).status, 'cancelled');
});

pair('edit × dependsOn', 'a blocked job is edited as a pending one, and goes on waiting', async c => {
	const faena = await c.test();
	const parent = await faena.enqueue('echo', 1, {delay: '1h'});
	const job = await faena.enqueue('echo', 2, {dependsOn: [parent]});
	c.t.true(await job.edit({payload: 3}));
	c.t.is((await job.info())?.status, 'blocked');
	faena.clock.advance('1h');
	c.t.is(await job.result(), 3);
	c.t.false(await job.edit({payload: 4}));
});

pair.sqlite('enqueueIn × maxPending × unique × dependsOn × expires', 'a transaction of the caller is not refused, and a rollback leaves nothing', async c => {
	const faena = await c.test({maxPending: 1});
	await faena.pause('echo');
	await faena.enqueue('echo', 0);
	const db = new Database(c.queue);
	const child = db.transaction(() => enqueueIn(db, 'got', null, {dependsOn: [enqueueIn(db, 'echo', 1, UNENDED).id], expires: '1m'}).id)();
	c.t.true(db.transaction(() => enqueueIn(db, 'echo', 1, UNENDED))().reused);
	c.t.throws(
		db.transaction(() => {
			enqueueIn(db, 'echo', 5, {key: 'gone'});
			throw new Error('rolled back');
		}),
		{message: 'rolled back'},
	);
	db.close();
	await c.t.throwsAsync(faena.enqueue('echo', 3), {code: 'QueueFull'});
	await faena.resume('echo');
	c.t.deepEqual(await faena.job<'got'>(child).result(), [1]);
	c.t.is((await faena.counts()).completed, 3);
});

pair('delay × dependsOn × expires', 'a delay counts from the enqueue though the job is blocked, and expiry from when it is due', async c => {
	const faena = await c.test();
	const parent = await faena.enqueue('echo', 1, {delay: '1h'});
	const past = await faena.enqueue('got', null, {dependsOn: [parent], delay: '1m'});
	const late = await faena.enqueue('echo', 2, {dependsOn: [parent], delay: '2h', expires: '1m'});
	faena.clock.advance('1h');
	c.t.deepEqual(await past.result(), [1]);
	await faena.pause('echo');
	faena.clock.advance('1h');
	await faena.drain();
	c.t.is((await late.info())?.status, 'pending');
	faena.clock.advance('61s');
	c.t.is((await late.outcome()).status, 'cancelled');
});

pair('maxPending × dependsOn', 'blocked jobs are no pending ones; once they are, the queue is full', async c => {
	const faena = await c.test({maxPending: 2});
	const parent = await faena.enqueue('echo', 0, {delay: '1h'});
	for (let job = 1; job <= 4; job++) await faena.enqueue('got', job, {dependsOn: [parent]});
	c.t.like(await faena.counts(), {blocked: 4, pending: 1});
	await faena.pause('got');
	faena.clock.advance('1h');
	await parent.result();
	c.t.is((await faena.counts()).pending, 4);
	await c.t.throwsAsync(faena.enqueue('echo', 5), {code: 'QueueFull'});
	await faena.resume('got');
	await faena.drain();
	c.t.is((await faena.counts()).completed, 5);
});

pair('call × key × expires', 'a call joins the job of its key that runs, gets the end of one that has ended, and rejects with an expired one', async c => {
	const faena = await c.test();
	const calls = [faena.call('hold', 'a', {key: 'k'}), faena.call('hold', 'a', {key: 'k'})];
	await c.until(() => c.times('hold a') === 1);
	c.make('a');
	c.t.deepEqual([...(await Promise.all(calls)), await faena.call('hold', 'a', {key: 'k'})], ['a', 'a', 'a']);
	c.t.is(c.times('hold a'), 1);
	await c.t.throwsAsync(faena.call('gate', 1, {key: 'dead'}), {code: 'JobFailed'});
	await c.t.throwsAsync(faena.call('gate', 1, {key: 'dead'}), {code: 'JobFailed'});
	c.t.is(c.times('gate 1'), 1);
	await faena.pause('echo');
	const late = c.t.throwsAsync(faena.call('echo', 1, {expires: '1s', key: 'late'}), {code: 'JobCancelled'});
	await c.until(async () => (await faena.counts({task: 'echo'})).pending === 1);
	faena.clock.advance('2s');
	await late;
});

pair('priority × retry × backoff × edit', 'a job that is tried again keeps its priority, or has that of an edit', async c => {
	const faena = await c.test();
	const make = async (name: string, priority: number) => {
		const job = await faena.enqueue('gate', name, {priority, maxAttempts: 2, backoff: '1m'});
		await faena.waitFor(job, 'failed');
		return job;
	};
	const [low, high, edited] = [await make('low', 1), await make('high', 5), await make('edited', 0)];
	await edited.edit({priority: 9});
	c.make('open');
	faena.clock.advance('2m');
	await Promise.all([low.result(), high.result(), edited.result()]);
	c.t.deepEqual(c.ran.slice(3), ['gate "edited"', 'gate "high"', 'gate "low"']);
});

pair('enqueueMany × key × unique', 'equal jobs are made once, and a conflict rejects but leaves all others enqueued', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const many = (payloads: readonly number[], key: (payload: number) => string) => faena.enqueueMany('echo', payloads, {key, unique: 'unended'});
	c.t.like(await many([1, 2, 1, 3], number => `${number}`), {ids: {length: 4}});
	c.t.is((await faena.counts()).pending, 3);
	await c.t.throwsAsync(
		many([4, 9, 5], number => (number === 9 ? '1' : `${number}`)),
		{code: 'KeyConflict'},
	);
	c.t.is((await faena.counts()).pending, 5);
});

pair('concurrency × priority', 'a backlog with high priority of a task at its limit does not keep other tasks from running', async c => {
	const faena = await c.open({workers: 2, tasks: new URL('./limited-tasks.ts', import.meta.url)});
	for (let job = 0; job < 40; job++) await faena.enqueue('limited', 'limited', {priority: 9});
	await c.until(() => c.ran.length > 0);
	for (let job = 0; job < 5; job++) c.t.is(await faena.call('echo', job), job);
	c.t.is(c.times('hold limited'), 1);
	c.make('limited');
	await faena.idle();
	c.t.is(c.times('hold limited'), 40);
});

pair('cleanup × key × ctx.enqueue', 'the key of a deleted job is free, and what it enqueued stays', async c => {
	const faena = await c.test();
	const make = () => faena.enqueue('make', [['echo', 'child', {key: 'child'}]], {key: 'parent'});
	const first = await make();
	await faena.drain();
	c.t.is(await faena.cleanup(first.id), 1);
	const second = await make();
	c.t.not(second.id, first.id);
	await second.result();
	await faena.drain();
	c.t.is(c.times('echo "child"'), 1);
	c.t.is((await faena.counts()).completed, 2);
});

pair('unique × edit × expires × retry', 'a job that has failed keeps its key while it waits, does not expire, and gives it free at its end', async c => {
	const faena = await c.test();
	const job = await faena.enqueue('gate', 1, {...UNENDED, maxAttempts: 2, backoff: '1h', expires: '1m'});
	await faena.waitFor(job, 'failed');
	c.t.is((await faena.enqueue('gate', 1, UNENDED)).id, job.id);
	faena.clock.advance('30m');
	await faena.drain();
	c.t.is((await job.info())?.status, 'failed');
	await job.edit({payload: 2});
	await c.t.throwsAsync(faena.enqueue('gate', 1, UNENDED), {code: 'KeyConflict'});
	faena.clock.advance('31m');
	c.t.is((await job.outcome()).status, 'dead');
	c.t.not((await faena.enqueue('gate', 3, UNENDED)).id, job.id);
});

pair('key × batch × flow', 'the same key of a single job, a map and a flow is three keys, and cancel of one leaves the others', async c => {
	const faena = await c.test();
	await faena.pause('echo');
	const single = await faena.enqueue('echo', 'single', {key: 'k'});
	const flow = faena.newFlow('f');
	flow.job('echo', 'flow', {key: 'k'});
	await flow.enqueue();
	const map = faena.map('echo', ['map'], {batch: 'm', key: () => 'k'}).toArray();
	await c.until(async () => (await faena.counts()).pending === 3);
	c.t.is(await faena.cancel({task: 'echo', key: 'k'}), 1);
	c.t.is((await single.outcome()).status, 'cancelled');
	await faena.resume('echo');
	c.t.is((await map)[0]?.status, 'completed');
	await faena.drain();
	c.t.like(await faena.counts(), {completed: 2, cancelled: 1});
});

pair('result × timeout × retry × signal', 'a wait that gives up leaves the job, and another one gets the end of its next round', async c => {
	const faena = await c.test();
	const job = await faena.enqueue('gate', 1);
	await c.t.throwsAsync(job.result(), {code: 'JobFailed'});
	await faena.pause('gate');
	await faena.retry(job.id);
	await c.t.throwsAsync(job.result({timeout: 20}), {code: 'WaitTimeout'});
	await c.t.throwsAsync(job.result({signal: AbortSignal.abort(new Error('left'))}), {message: 'left'});
	const result = job.result();
	c.make('open');
	await faena.resume('gate');
	c.t.is(await result, 1);
});

pair('ctx.enqueue × batchSize × key × dependsOn', 'each job of a micro-batch enqueues its own, which may wait for it', async c => {
	const faena = await c.test({
		tasks: {
			each: task(
				(values: readonly number[], contexts: readonly TaskContext[]) =>
					values.map((value, index) => {
						const {enqueue, job} = contexts[index] as TaskContext;
						enqueue('got', null, {dependsOn: [job], key: `${value}`});
						return value < 0 ? new Error('negative') : value;
					}),
				{batchSize: 8},
			),
		},
	});
	await faena.enqueueMany('each', [1, -2, 3]);
	await faena.drain();
	const got = await Promise.all((await faena.jobs({task: 'got'}).page()).map(async ({id, key}) => [key, (await faena.job(id).info())?.result]));
	c.t.deepEqual(got.sort(), [
		['1', [1]],
		['3', [3]],
	]);
});

pair(
	'work() × flow × unique × expires × concurrency',
	'a loop of the program runs the parts of a flow in their order, and no job that has expired',
	async c => {
		const faena = await c.test({only: ['gate']});
		const flow = faena.newFlow('f');
		const sum = flow.job('sum', flow.map('echo', [1, 2, 3]));
		const run = await flow.enqueue();
		const late = await faena.enqueue('echo', 'late', {expires: 1, ...UNENDED});
		const queue = await openQueue(c.queue);
		await c.until(async () => Date.now() > (((await late.info())?.createdAt as number) ?? 0) + 5);
		const controller = new AbortController();
		const working = work(queue, c.tasks, {signal: controller.signal});
		c.t.is(await run.result(sum), 6);
		c.t.is((await late.outcome()).status, 'cancelled');
		controller.abort();
		await working;
		await queue.close();
	},
);

pair('errors × batchSize × retryIf', 'each job of a micro-batch ends by its own error', async c => {
	const ends = {permanent: new PermanentError('never'), later: new RetryAfter('1h'), plain: new Error('plain'), refused: new TypeError('refused')};
	const options = {batchSize: 8, maxAttempts: 3, backoff: '1m', retryIf: (error: unknown) => !(error instanceof TypeError)} as const;
	const faena = await c.test({tasks: {each: task((names: readonly (keyof typeof ends)[]) => names.map(name => ends[name] ?? name), options)}});
	await faena.enqueueMany('each', [...Object.keys(ends), 'well'], {key: name => name, maxAttempts: 3});
	await faena.drain();
	const states = Object.fromEntries((await faena.jobs().page()).map(({key, status, attempts}) => [key, `${status} ${attempts}`]));
	c.t.deepEqual(states, {permanent: 'dead 1', later: 'failed 0', plain: 'failed 1', refused: 'dead 1', well: 'completed 0'});
});

pair('expires × batchSize', 'a job that has expired is not in the call', async c => {
	const faena = await c.test({tasks: {each: task((values: readonly unknown[]) => values.map(() => values.length), {batchSize: 8})}});
	await faena.pause('each');
	await faena.enqueue('each', 'late', {expires: '1m'});
	for (const value of [1, 2]) await faena.enqueue('each', value);
	faena.clock.advance('2m');
	await faena.resume('each');
	await faena.drain();
	const results = await Promise.all((await faena.jobs({status: 'completed'}).page()).map(async ({id}) => (await faena.job(id).info())?.result));
	c.t.deepEqual(results, [2, 2]);
	c.t.like(await faena.counts(), {completed: 2, cancelled: 1});
});
