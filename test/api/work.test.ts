import {join} from 'node:path';
import {setImmediate as nextTurn, setTimeout as sleep} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import {type JobOptions, type TaskContext, task} from '../../lib/index.ts';
import {MAX_SUSPICION} from '../../lib/job/job.ts';
import {type JobQueue, openQueue, type QueueJob, work} from '../../lib/queue.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

function newJob(task: string, payload: unknown, options: JobOptions = {}): QueueJob {
	return {task, payload, maxAttempts: 1, ...options};
}

async function open(t: ExecutionContext, options = {}): Promise<{queue: JobQueue; path: string}> {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueue(path, options);
	t.teardown(() => queue.close());
	return {queue, path};
}

for (const location of ['a file', ':memory:']) {
	test(`work() on ${location} completes and fails jobs in order until its signal aborts, and finishes the running one`, async t => {
		const queue = location === ':memory:' ? await openQueue(location) : (await open(t)).queue;
		const controller = new AbortController();
		const ran: number[] = [];
		await queue.enqueue([newJob('square', 3), newJob('fail', 0), newJob('last', 0), newJob('square', 4)]);
		await work(
			queue,
			{
				square(n: number) {
					ran.push(n);
					return n * n;
				},
				fail() {
					throw new TypeError('no');
				},
				async last() {
					controller.abort();
					return 'done';
				},
			},
			{signal: controller.signal},
		);
		t.deepEqual(ran, [3]);
		t.is((await queue.values(1))?.result, 9);
		t.like(await queue.job(2), {status: 'dead', error: {name: 'TypeError', message: 'no'}});
		t.is((await queue.values(3))?.result, 'done');
		t.is((await queue.job(4))?.status, 'pending');
	});
}

test('work() refuses a wrong queue, wrong tasks and wrong options in a sentence', async t => {
	const {queue, path} = await open(t);
	const {signal} = new AbortController();
	const forgotten = openQueue(`${path}2`);
	// biome-ignore lint/suspicious/noExplicitAny: the point is to give what the types refuse
	const cases: readonly (readonly [any, any, any, RegExp])[] = [
		[
			openQueue(`${path}2`),
			{a() {}},
			{},
			/^work\(\) expects as its first argument a queue, as openQueue\(\) resolves with; it got a promise, which has to be awaited/,
		],
		[undefined, {a() {}}, {}, /a queue, .*it got undefined/],
		[queue, undefined, {}, /^work\(\) expects as its second argument an object; it got undefined/],
		[queue, [() => 1], {}, /an object; it got an array/],
		[queue, {a: 5}, {}, /an object with a function for each task/],
		[queue, {a() {}}, signal, /^work\(\) expects an object of options; it got an AbortSignal/],
		[queue, {a() {}}, {concurrency: 0}, /^work\(\) expects as concurrency a whole number from 1 to 1024; it got 0/],
		[queue, {a() {}}, {poll: 'soon'}, /^work\(\) expects as poll a time such as .*; it got "soon"/],
	];
	for (const [first, second, third, words] of cases) await t.throwsAsync(work(first, second, third), {code: 'BadOption', message: words});
	await (await forgotten).close();
});

test("work() holds a task's concurrency beside other loops on the same file, and runs other tasks meanwhile", async t => {
	const {queue, path} = await open(t);
	const other = await openQueue(path);
	t.teardown(() => other.close());
	const controller = new AbortController();
	let running = 0;
	let ended = 0;
	const free = Promise.withResolvers<void>();
	const tasks = {
		heavy: task(
			async () => {
				t.is(++running, 1);
				// The other loop needs the time to claim one, too.
				await free.promise;
				running--;
				if (++ended === 3) controller.abort();
			},
			{concurrency: 1},
		),
		light: () => free.resolve(),
	};
	await queue.enqueue([newJob('heavy', 1), newJob('heavy', 2), newJob('heavy', 3), newJob('light', 4)]);
	await Promise.all([queue, other].map(each => work(each, tasks, {signal: controller.signal})));
	t.is((await queue.counts()).completed, 4);
});

test('a job of work() that expires while another one computes never starts', async t => {
	const {queue} = await open(t);
	const ran: string[] = [];
	const late = 3;
	const controller = new AbortController();
	const tasks = {
		// Once the loop runs, it claims both at the same time.
		async begin() {
			await queue.enqueue([newJob('long', 0), newJob('short', 0, {expires: 400})]);
		},
		async long() {
			ran.push('long');
			for (const end = Date.now() + 600; Date.now() < end; );
		},
		short: () => void ran.push('short'),
	};
	await queue.enqueue([newJob('begin', 0)]);
	const ended = work(queue, tasks, {concurrency: 3, signal: controller.signal});
	while (!/^(cancelled|completed)$/.test((await queue.job(late))?.status ?? '')) await sleep(5);
	controller.abort();
	await ended;
	t.deepEqual(ran, ['long']);
	t.like(await queue.job(late), {status: 'cancelled', error: {reason: 'expired'}});
});

test('jobs that work() runs at the same time keep their own progress', async t => {
	const {queue} = await open(t);
	const [one, two] = await queue.enqueue([newJob('one', 0), newJob('two', 0)]);
	const controller = new AbortController();
	const [begun, reported] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	const tasks = {
		async one(_: unknown, {progress}: TaskContext) {
			await begun.promise;
			progress(1, 2);
			// The pool looks for progress every 20 ms.
			await sleep(300);
			reported.resolve();
		},
		async two(_: unknown, {log}: TaskContext) {
			begun.resolve();
			await reported.promise;
			log('late');
			controller.abort();
		},
	};
	await work(queue, tasks, {concurrency: 2, signal: controller.signal});
	t.like(await queue.job(one?.id ?? 0), {status: 'completed', progress: {done: 1, total: 2}});
	t.is((await queue.job(two?.id ?? 0))?.progress, undefined);
});

test('work() runs as many jobs at a time as its concurrency says, and ends them in good order', async t => {
	const {queue} = await open(t);
	const controller = new AbortController();
	const running = new Set<number>();
	const seen: number[] = [];
	const wait = async (id: number) => {
		running.add(id);
		seen.push(running.size);
		// The signal comes while three jobs run.
		if (seen.length === 6) controller.abort();
		await sleep(30);
		running.delete(id);
		return id;
	};
	await queue.enqueue(Array.from({length: 9}, (_, index) => newJob('wait', index + 1)));
	await work(queue, {wait}, {concurrency: 3, signal: controller.signal});
	t.is(Math.max(...seen), 3);
	t.is(running.size, 0);
	const {completed, pending, running: left} = await queue.counts();
	t.deepEqual([completed + pending, left, completed >= 6], [9, 0, true]);
});

test('if work() of several jobs fails for good, it lets the running ones end, and rejects with the error', async t => {
	const {queue} = await open(t);
	await queue.enqueue([newJob('close', 1), newJob('wait', 2)]);
	let hasEnded = false;
	const tasks = {
		close: () => queue.close(),
		async wait() {
			await sleep(200);
			hasEnded = true;
		},
	};
	await t.throwsAsync(work(queue, tasks, {concurrency: 2}), {code: 'Closed'});
	t.true(hasEnded);
});

test('work() tears down what was set up when another setup fails', async t => {
	const {queue} = await open(t);
	const down: string[] = [];
	const tasks = {
		first: task(() => undefined, {setup: () => 'model', teardown: (model: string) => void down.push(model)}),
		second: task(() => undefined, {setup: () => Promise.reject(new RangeError('no'))}),
	};
	await t.throwsAsync(work(queue, tasks), {code: 'SetupFailed', message: 'The setup of task second failed. RangeError: no'});
	t.deepEqual(down, ['model']);
});

test('work() wakes for a job that is enqueued while it waits, here or in another process', async t => {
	const {queue, path} = await open(t);
	const controller = new AbortController();
	const seen = new Map<string, () => void>();
	const sees = (name: string) => new Promise<void>(resolve => seen.set(name, resolve));
	const [here, elsewhere] = [sees('here'), sees('elsewhere')];
	const working = work(queue, {greet: (name: string) => seen.get(name)?.()}, {signal: controller.signal});
	await queue.enqueue([newJob('greet', 'here')]);
	await here;
	const other = new Program(t, 'queue', path);
	await other.line();
	await other.ask('enqueue', [newJob('greet', 'elsewhere')]);
	await elsewhere;
	controller.abort();
	await working;
	t.is((await queue.counts()).completed, 2);
});

test('work() keeps its lease during a synchronous task that takes longer', async t => {
	const {queue, path} = await open(t, {lease: 3000});
	const controller = new AbortController();
	await queue.enqueue([newJob('block', 7000)]);
	// This thread is blocked, so another process tries to reclaim the job meanwhile.
	const watcher = new Program(t, 'reclaim-often', path, '3000');
	await watcher.line();
	await work(
		queue,
		{
			block(ms: number) {
				Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
				controller.abort();
			},
		},
		{signal: controller.signal},
	);
	t.like(await queue.job(1), {status: 'completed', executions: 1});
	watcher.process.stdin?.write('report\n');
	const {rounds, reclaimed} = JSON.parse(await watcher.line()) as {rounds: number; reclaimed: number};
	t.true(rounds > 3);
	t.is(reclaimed, 0);
});

test('work() keeps its lease during its first task though its other thread starts slowly', async t => {
	t.timeout(60_000);
	const path = join(makeFolder(t), 'jobs.db');
	const watcher = new Program(t, 'reclaim-often', path, '1000');
	await watcher.line();
	const slow = 'import {isMainThread} from "node:worker_threads"; if (!isMainThread) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)';
	const worker = new Program(t, {name: 'work-blocked', flags: ['--import', `data:text/javascript,${encodeURIComponent(slow)}`]}, path, '1000', '5000');
	t.like(JSON.parse(await worker.line()), {status: 'completed', executions: 1});
	watcher.process.stdin?.write('report\n');
	t.is((JSON.parse(await watcher.line()) as {reclaimed: number}).reclaimed, 0);
});

test('work() reclaims the jobs of a process that is killed while work() waits', async t => {
	t.timeout(60_000);
	const {queue, path} = await open(t);
	await queue.enqueue([newJob('count', 1), newJob('count', 2)]);
	const holder = new Program(t, 'queue-holder', path);
	t.is(await holder.line(), '[1,2]');
	const controller = new AbortController();
	const up = Promise.withResolvers<void>();
	let ran = 0;
	const count = () => {
		if (++ran === 2) controller.abort();
	};
	const working = work(queue, {count, hello: () => up.resolve()}, {signal: controller.signal});
	await queue.enqueue([newJob('hello', null)]);
	await up.promise;
	await holder.kill('SIGKILL');
	await working;
	t.like(await queue.job(1), {status: 'completed', attempts: 0, executions: 2});
});

test.serial('work() leaves a job that seems to end its program to an engine, warns once how to run it, and runs the others', async t => {
	const {queue} = await open(t);
	await queue.enqueue([newJob('crash', 1), newJob('crash', 2)]);
	const {lease, jobs} = await queue.dequeue({owner: 'dead', tasks: ['crash'], limit: 1});
	await queue.settle(
		lease,
		jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'released', suspicion: MAX_SUSPICION}})),
	);
	const warnings: string[] = [];
	const listen = ({name, message}: Error) => name === 'FaenaWarning' && warnings.push(message);
	process.on('warning', listen);
	t.teardown(() => process.off('warning', listen));
	const controller = new AbortController();
	const ran: unknown[] = [];
	const crash = (payload: unknown) => {
		ran.push(payload);
		if (ran.length === 1) void queue.enqueue([newJob('crash', 3)]);
		else controller.abort();
	};
	await work(queue, {crash}, {signal: controller.signal});
	await nextTurn();
	t.deepEqual(ran, [2, 3]);
	t.like(await queue.job(1), {status: 'pending', attempts: 0});
	t.is(warnings.length, 1);
	t.regex(warnings[0] ?? '', /^Job 1 is left as it is\. It seems to end the program that runs it.*child processes: open\(\) one/);
});

test('work() enqueues the child jobs of tasks that complete, not of those that fail, and wakes other loops on the queue', async t => {
	const {queue} = await open(t);
	const controller = new AbortController();
	const ran: unknown[] = [];
	await queue.enqueue([newJob('split', [1, 2]), newJob('split', [3, 'bad'])]);
	const second = Promise.withResolvers<void>();
	const tasks = {
		split(items: readonly unknown[], context: TaskContext) {
			for (const item of items) context.enqueue('one', item, {key: String(item)});
			if (items.includes('bad')) throw new Error('bad');
		},
		async one(item: unknown) {
			ran.push(item);
			// The other loop runs the second one.
			if (item === 1) await second.promise;
			second.resolve();
			controller.abort();
		},
	};
	t.deepEqual(await queue.jobs({task: 'one'}).page(), []);
	await Promise.all([work(queue, tasks, {signal: controller.signal}), work(queue, {one: tasks.one}, {signal: controller.signal})]);
	t.deepEqual(ran, [1, 2]);
	t.is((await queue.job(2))?.status, 'dead');
	t.is((await queue.jobs({task: 'one'}).page()).length, 2);
});

for (const kind of ['waits', 'computes']) {
	test(`work() writes a checkpoint while its task still ${kind}, and resumes from it after a kill`, async t => {
		t.timeout(60_000);
		const {queue, path} = await open(t);
		await queue.enqueue([newJob(kind, null)]);
		const program = new Program(t, 'work-checkpoints', path);
		const state = async () => Number((await queue.values(1))?.checkpoint?.state ?? 0);
		while ((await state()) < 3) await new Promise(resolve => setImmediate(resolve));
		t.is((await queue.job(1))?.status, 'running');
		await program.kill('SIGKILL');
		const last = await state();
		const controller = new AbortController();
		const resume = (_: unknown, context: TaskContext) => {
			controller.abort();
			return context.resumeFrom;
		};
		await work(queue, {[kind]: resume}, {signal: controller.signal});
		t.is((await queue.values(1))?.result, last);
		t.like(await queue.job(1), {status: 'completed', attempts: 0, executions: 2});
	});
}

for (const when of ['waits for jobs', 'runs one']) {
	test(`work() ends with Closed when its queue is closed while it ${when}`, async t => {
		t.timeout(60_000);
		const {queue} = await open(t);
		const up = Promise.withResolvers<void>();
		const closed = Promise.withResolvers<void>();
		const working = work(queue, {
			async hello() {
				up.resolve();
				if (when === 'runs one') await closed.promise;
			},
		});
		await queue.enqueue([newJob('hello', null)]);
		await up.promise;
		if (when === 'waits for jobs') while ((await queue.counts()).completed === 0) await new Promise(resolve => setImmediate(resolve));
		await queue.close();
		closed.resolve();
		await t.throwsAsync(working, {code: 'Closed'});
	});
}

for (const reason of ['cancelled', 'timedOut', 'interrupted'] as const) {
	test(`work() tells a waiting task that it is ${reason}, by its signal and stopReason`, async t => {
		const {queue} = await open(t);
		const controller = new AbortController();
		const told: unknown[] = [];
		await queue.enqueue([newJob('wait', null, {timeout: reason === 'timedOut' ? 30 : 'none'})]);
		const wait = async (_: unknown, context: TaskContext) => {
			told.push(context.stopReason, context.cancelled);
			const aborted = new Promise(resolve => context.signal.addEventListener('abort', resolve));
			if (reason === 'cancelled') await queue.cancel({ids: [context.job.id]});
			if (reason === 'interrupted') controller.abort();
			await aborted;
			told.push(context.stopReason, context.cancelled, context.signal.reason.reason, context.signal.reason instanceof Error);
			controller.abort();
			throw context.signal.reason;
		};
		await work(queue, {wait}, {signal: controller.signal, drain: 10});
		t.deepEqual(told, [undefined, false, reason, true, reason, true]);
		const ends = {
			cancelled: {status: 'cancelled', attempts: 0},
			timedOut: {status: 'dead', error: {reason, name: 'TimedOut', cause: {name: 'TimeoutError'}, postMortem: {execution: 1, attempt: 1}}},
			interrupted: {status: 'pending', attempts: 0, executions: 1},
		};
		t.like(await queue.job(1), ends[reason]);
		if (reason === 'timedOut') t.regex((await queue.job(1))?.error?.message ?? '', /^Stopped after \d+\.\d+ s: the timeout is 0\.03 s\.$/);
	});
}

test('work() stops a job whose timeout is a share of the median', async t => {
	const queue = await openQueue(':memory:');
	const controller = new AbortController();
	await queue.enqueue(Array.from({length: 11}, (_, index) => newJob('run', index, {timeout: '300%'})));
	const run = async (index: number, context: TaskContext) => {
		if (index < 10) return;
		controller.abort();
		await new Promise(resolve => context.signal.addEventListener('abort', resolve));
		throw context.signal.reason;
	};
	await work(queue, {run}, {signal: controller.signal});
	t.like(await queue.job(11), {status: 'dead', error: {reason: 'timedOut'}});
});

test('work() rejects only after the tasks were torn down', async t => {
	const {queue} = await open(t);
	await queue.enqueue([newJob('end', null)]);
	let hasTornDown = false;
	const end = task(() => queue.close(), {
		setup: () => 1,
		async teardown() {
			await new Promise(resolve => setTimeout(resolve, 200));
			hasTornDown = true;
		},
	});
	await t.throwsAsync(work(queue, {end}), {code: 'Closed'});
	t.true(hasTornDown);
});

test('work() on a store in memory keeps a job that runs for longer than the lease', async t => {
	const queue = await openQueue(':memory:', {lease: '1s'});
	const controller = new AbortController();
	await queue.enqueue([newJob('wait', null)]);
	const wait = async () => {
		await new Promise(resolve => setTimeout(resolve, 3000));
		controller.abort();
	};
	await work(queue, {wait}, {signal: controller.signal});
	t.like(await queue.job(1), {status: 'completed', executions: 1});
});

test('work() leaves jobs of tasks that it does not have, and refuses an object without tasks', async t => {
	const {queue} = await open(t);
	await queue.enqueue([newJob('unknown', 1), newJob('known', 1)]);
	const controller = new AbortController();
	await work(queue, {known: () => controller.abort()}, {signal: controller.signal});
	t.is((await queue.job(1))?.status, 'pending');
	await t.throwsAsync(work(queue, {nothing: 1}), {code: 'BadOption', message: /expects an object with a function for each task/});
	await t.throwsAsync(work(queue, {known() {}}, {sginal: controller.signal} as never), {code: 'BadOption', message: /did you mean "signal"/});
});

test('a task with a batchSize gets its jobs one by one', async t => {
	const queue = await openQueue(':memory:');
	const controller = new AbortController();
	const halves = task((numbers: readonly number[]) => numbers.map(number => (number % 2 === 0 ? number / 2 : new RangeError('odd'))), {batchSize: 8});
	await queue.enqueue([4, 5].map(number => newJob('halves', number)));
	const done = work(queue, {halves}, {signal: controller.signal});
	while ((await queue.counts()).completed + (await queue.counts()).dead < 2) await new Promise(resolve => setImmediate(resolve));
	controller.abort();
	await done;
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status, error}) => [status, error?.message]),
		[
			['completed', undefined],
			['dead', 'odd'],
		],
	);
});
