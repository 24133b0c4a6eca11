import {existsSync, readdirSync, readFileSync, utimesSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import type {TaskContext} from '../../lib/index.ts';
import {openForTest, type TestEngine, type TestOptions} from '../../lib/testing.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import * as tasks from '../fixtures/tasks.ts';

async function opened<Tasks extends object>(t: ExecutionContext, given: Tasks, options?: TestOptions): Promise<TestEngine<Tasks>> {
	const faena = await openForTest(given, options);
	t.teardown(() => faena.close({drain: 0}));
	return faena;
}

test('a delayed job runs when the clock has reached its time, and not before', async t => {
	const greeted: string[] = [];
	const faena = await opened(t, {greet: (name: string) => void greeted.push(name)});
	await faena.enqueue('greet', 'Ana', {delay: '1h'});
	await faena.enqueue('greet', 'Eva');
	t.like(await faena.drain(), {completed: 1, pending: 1});
	faena.clock.advance('59m');
	t.like(await faena.drain(), {completed: 1, pending: 1});
	faena.clock.advance('1m');
	t.like(await faena.drain(), {completed: 2, pending: 0});
	t.deepEqual(greeted, ['Eva', 'Ana']);
});

test('with an object of functions as tasks, as many jobs wait at the same time as there are workers', async t => {
	const waiting: (() => void)[] = [];
	const faena = await opened(t, {wait: () => new Promise<void>(resolve => waiting.push(resolve))}, {workers: 3});
	await faena.enqueueMany('wait', [undefined, undefined, undefined]);
	while (waiting.length < 3) await faena.counts();
	for (const release of waiting) release();
	t.is((await faena.drain()).completed, 3);
});

for (const [what, now, time] of [
	['summer time begins', '2026-03-08T06:30:00Z', '03:30'],
	['summer time ends', '2026-11-01T05:30:00Z', '01:30'],
] as const) {
	test(`a delay of an hour is an hour of the test's clock, also while ${what}`, async t => {
		const {TZ} = process.env;
		t.teardown(() => (TZ === undefined ? Reflect.deleteProperty(process.env, 'TZ') : Object.assign(process.env, {TZ})));
		process.env['TZ'] = 'America/New_York';
		const faena = await opened(t, {greet: () => 'hello'}, {now: Date.parse(now)});
		const {id} = await faena.enqueue('greet', undefined, {delay: '1h'});
		faena.clock.advance('59m');
		t.like(await faena.drain(), {completed: 0, pending: 1});
		faena.clock.advance('1m');
		t.regex(new Date(faena.clock.now).toString(), new RegExp(time));
		t.like(await faena.drain(), {completed: 1, pending: 0});
		t.is((await faena.job(id).info())?.createdAt, Date.parse(now));
	});
}

test('to await a result, moving the clock is enough, without drain()', async t => {
	const faena = await opened(t, {twice: (n: number) => 2 * n});
	const job = await faena.enqueue('twice', 21, {delay: '7d'});
	faena.clock.advance('7d');
	t.is(await job.result(), 42);
});

test("failed jobs run again after exactly their backoff, by the test's clock", async t => {
	const faena = await opened(t, {fail: () => Promise.reject(new Error('no'))}, {now: 1_000_000, defaults: {maxAttempts: 3}});
	const {id} = await faena.enqueue('fail');
	t.like(await faena.drain(), {failed: 1});
	t.is((await faena.job(id).info())?.runAt, 1_000_000 + 1000);
	faena.clock.advance(999);
	t.like(await faena.drain(), {failed: 1});
	faena.clock.advance(1);
	t.like(await faena.drain(), {failed: 1});
	t.is((await faena.job(id).info())?.runAt, 1_001_000 + 2000);
	faena.clock.advance(2000);
	t.like(await faena.drain(), {failed: 0, dead: 1});
	t.like(await faena.job(id).info(), {attempts: 3, executions: 3, createdAt: 1_000_000, endedAt: 1_003_000});
	t.true(Math.abs(((await faena.job(id).info())?.startedAt as number) - 1_003_000) <= 1000);
});

test('the jitter of the backoff comes from the option random', async t => {
	const options = {now: 0, random: () => 0.5, defaults: {backoff: {base: 1000, jitter: 0.5}}};
	const faena = await opened(t, {fail: () => Promise.reject(new Error('no'))}, options);
	const {id} = await faena.enqueue('fail');
	await faena.drain();
	t.is((await faena.job(id).info())?.runAt, 750);
});

test('drain() also runs jobs that jobs enqueue, except delayed ones', async t => {
	const faena = await opened(t, {
		count(n: number, ctx: TaskContext) {
			if (n > 0) ctx.enqueue('count', n - 1);
			else ctx.enqueue('count', 0, {delay: '1d'});
		},
	});
	await faena.enqueue('count', 3);
	t.like(await faena.drain(), {completed: 4, pending: 1});
	t.is((await faena.jobs({status: 'pending'}).page())[0]?.runAt, faena.clock.now + 24 * 3_600_000);
	faena.clock.advance('1d');
	t.like(await faena.drain(), {completed: 5, pending: 1});
});

test('drain() waits for running jobs, and not for paused and parked ones', async t => {
	const {promise, resolve} = Promise.withResolvers<void>();
	const faena = await opened(t, {wait: () => promise, paused: () => 1, parked: () => Promise.reject(new Error('no'))});
	await faena.pause('paused');
	await faena.enqueue('paused');
	await faena.enqueue('parked', undefined, {retry: 'manual'});
	await faena.enqueue('wait');
	let isDrained = false;
	const drained = faena.drain().then(counts => {
		isDrained = true;
		return counts;
	});
	await faena.waitFor(3, 'running');
	t.false(isDrained);
	resolve();
	t.deepEqual(await drained, {blocked: 0, pending: 1, running: 0, failed: 1, completed: 1, dead: 0, cancelled: 0});
});

test('a job that runs while the clock is moved by years is not taken for lost', async t => {
	const {promise, resolve} = Promise.withResolvers<string>();
	const faena = await opened(t, {wait: () => promise});
	const job = await faena.enqueue('wait');
	await faena.waitFor(job, 'running');
	for (let year = 0; year < 5; year++) faena.clock.advance('1y');
	resolve('there');
	t.is(await job.result(), 'there');
	t.like(await faena.job(job.id).info(), {executions: 1, attempts: 0});
});

test('tasks are stubs, a module, or the URL of one', async t => {
	const calls: unknown[] = [];
	const stubs = await opened(t, {...tasks, add: (payload: {a: number; b: number}) => calls.push(payload)} satisfies Partial<typeof tasks>);
	t.is(await stubs.call('add', {a: 1, b: 2}), 1);
	t.deepEqual(calls, [{a: 1, b: 2}]);
	t.is(await (await opened(t, tasks)).call('add', {a: 1, b: 2}), 3);
	const byUrl = await openForTest<typeof tasks>(new URL('../fixtures/tasks.ts', import.meta.url));
	t.teardown(() => byUrl.close());
	t.is(await byUrl.call('add', {a: 1, b: 2}), 3);
	t.is((await (await byUrl.enqueue('echo', 1)).info())?.task, 'echo');
	t.like((await byUrl.jobs().page()).at(-1), {priority: 3, maxAttempts: 7});
});

test('each engine has tasks and a clock of its own', async t => {
	const [one, two] = [await opened(t, {who: () => 'one'}, {now: 0}), await opened(t, {who: () => 'two'}, {now: 0})];
	one.clock.advance(5);
	t.deepEqual([one.clock.now, two.clock.now], [5, 0]);
	t.deepEqual([await one.call('who'), await two.call('who')], ['one', 'two']);
	t.deepEqual([(await one.job(1).info())?.createdAt, (await two.job(1).info())?.createdAt], [5, 0]);
});

test("cleanup uses the test's clock", async t => {
	const faena = await opened(t, {nothing: () => undefined});
	await faena.enqueue('nothing');
	await faena.drain();
	t.is(await faena.cleanup({olderThan: '7d'}), 0);
	faena.clock.advance('8d');
	t.is(await faena.cleanup({olderThan: '7d'}), 1);
});

test('cleanup({olderThan: 0}) also deletes the jobs that ended in this millisecond', async t => {
	const faena = await opened(t, {nothing: () => undefined});
	await faena.enqueue('nothing');
	await faena.drain();
	t.is(await faena.cleanup({olderThan: 1}), 0);
	t.is(await faena.cleanup({olderThan: 0}), 1);
});

test('waitFor() resolves with the job, or rejects with a sentence about its status', async t => {
	const faena = await opened(t, {fail: () => Promise.reject(new TypeError('no such thing')), nothing: () => undefined});
	const done = await faena.enqueue('nothing');
	t.like(await faena.waitFor(done, 'completed'), {id: done.id, status: 'completed'});
	const dead = await faena.enqueue('fail', undefined, {maxAttempts: 1});
	await t.throwsAsync(faena.waitFor(dead, 'completed'), {
		code: 'WaitTimeout',
		message: `Job ${dead.id} (fail) is dead and will not be completed. Its error: TypeError: no such thing`,
	});
	const delayed = await faena.enqueue('nothing', undefined, {delay: '1h'});
	await t.throwsAsync(faena.waitFor(delayed.id, 'completed', {timeout: 20}), {
		code: 'WaitTimeout',
		message: `Job ${delayed.id} (nothing) is pending, due in 3600000 ms by the test's clock, and was not completed after 0.02 s.`,
	});
	await t.throwsAsync(faena.waitFor(99, 'completed'), {code: 'NoSuchJob'});
	await t.throwsAsync(faena.waitFor(null as never, 'dead'), {code: 'BadOption', message: /id is a positive whole number; it got null/});
	await t.throwsAsync(faena.waitFor(done, undefined as never), {code: 'BadOption', message: /waitFor\(\) expects as status/});
	for (const by of [-1, NaN, 'soon'])
		t.throws(() => faena.clock.advance(by as never), {code: 'BadOption', message: /clock\.advance\(\) expects as time a time/});
	await t.throwsAsync(faena.waitFor(done, 'finished' as 'dead'), {code: 'BadOption', message: /waitFor\(\) expects as status "blocked" or/});
});

test('close() removes the database; a database that was named is kept', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openForTest({nothing: () => undefined}, {queue});
	await faena.enqueue('nothing', undefined, {delay: 1});
	await faena.close();
	t.true(existsSync(queue));
	const again = await opened(t, {nothing: () => undefined}, {queue, now: Date.now() + 60_000});
	t.like(await again.drain(), {completed: 1});
	const place = makeFolder(t);
	const {TMPDIR} = process.env;
	process.env['TMPDIR'] = place;
	const own = await openForTest({nothing: () => undefined});
	process.env['TMPDIR'] = TMPDIR;
	if (TMPDIR === undefined) delete process.env['TMPDIR'];
	t.is(readdirSync(place).length, 1);
	await own.close();
	t.deepEqual(readdirSync(place), []);
});

test('a failpoint that throws ends the engine as a fault of its own would; the next one loses nothing', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const runs: number[] = [];
	const stubs = {run: (n: number) => void runs.push(n)};
	const failing = await openForTest(stubs, {queue, failpoints: {'dequeue:committed:2': 'throw'}});
	t.is(await failing.call('run', 1), undefined);
	// It does not matter here whether this promise settles before the fault.
	await failing.enqueue('run', 2).catch(() => undefined);
	await t.throwsAsync(failing.drain(), {code: 'DispatcherFailed', message: /The failpoint dequeue:committed was reached/});
	await failing.close();
	const faena = await opened(t, stubs, {queue});
	t.like(await faena.drain(), {completed: 2});
	t.deepEqual(runs, [1, 2]);
});

test('failpoints of one name, and of two engines, are each reached at their own time', async t => {
	const failing = await openForTest({run: () => 1}, {failpoints: {'enqueue:written': 'throw', 'enqueue:written:3': 'throw'}});
	t.teardown(() => failing.close());
	const other = await openForTest({run: () => 1}, {failpoints: {'enqueue:written:4': 'throw'}});
	for (const isThrown of [true, false, true]) {
		const enqueued = failing.enqueue('run');
		if (isThrown) await t.throwsAsync(enqueued, {message: /The failpoint enqueue:written was reached/});
		else await t.notThrowsAsync(enqueued);
	}
	await other.close();
	await t.notThrowsAsync(failing.enqueue('run'));
});

test('wrong arguments are refused in a sentence', async t => {
	const open = openForTest as (...args: readonly unknown[]) => Promise<unknown>;
	const cases: readonly [readonly unknown[], RegExp][] = [
		[[undefined], /openForTest\(\) expects first the tasks/],
		[[{}], /exports no function/],
		[[{run() {}}, {random: 1}], /openForTest\(\) expects as random a function; it got 1/],
		[[{run() {}}, {now: 'noon'}], /openForTest\(\) expects as now a Date or milliseconds since 1970; it got "noon"/],
		[[{run() {}}, {failpoints: {'settle:comitted': 'kill'}}], /There is no failpoint "settle:comitted"/],
		[[{run() {}}, {wrokers: 1}], /openForTest\(\) has no option "wrokers"; did you mean "workers"/],
		[[{run() {}}, null], /expects an object of options; it got null/],
		[[{run() {}}, {isolation: 'process'}], /openForTest\(\) has no option "isolation"/],
		[[{run() {}}, {failpoints: 'settle:committed=kill'}], /as failpoints an object/],
	];
	for (const [args, message] of cases) t.log((await t.throwsAsync(open(...args), {message}))?.message);
});

test('a map finds out what has changed, also with tasks of an object', async t => {
	const file = join(makeFolder(t), 'a.txt');
	const write = (text: string) => {
		writeFileSync(file, text);
		utimesSync(file, 1, 1);
	};
	const faena = await opened(t, {read: (path: string) => readFileSync(path, 'utf8')});
	const map = async () => {
		const [end] = await faena.map('read', [file], {batch: 'b', fresh: ['content', 'code'], files: path => [path]}).toArray();
		return [end?.status === 'completed' && end.result, end?.reused];
	};
	write('one');
	t.deepEqual(
		[await map(), await map()],
		[
			['one', false],
			['one', true],
		],
	);
	write('two');
	t.deepEqual(await map(), ['two', false]);
});

test('a test that waits for a job which waits for its clock is told so, once', async t => {
	let calls = 0;
	const flaky = () => {
		if (calls++ === 0) throw new Error('the first time');
		return 'well';
	};
	const faena = await openForTest({flaky, later: () => 'later'});
	t.teardown(() => faena.close());
	const warnings: string[] = [];
	const note = ({message}: Error) => /A test waits/.test(message) && warnings.push(message);
	process.on('warning', note);
	t.teardown(() => process.off('warning', note));
	const flakily = faena.call('flaky');
	while (warnings.length === 0) await sleep(50);
	t.regex(
		warnings[0] ?? '',
		/^A test waits, and job 1 \(flaky\) is failed, due in \d+ ms by the test's clock\. Move it by faena\.clock\.advance\(\d+\), or open/,
	);
	faena.clock.advance('1m');
	t.is(await flakily, 'well');
});
