/** Pairs of threads, processes and commands. */
import {rmSync} from 'node:fs';
import {RetryAfter} from '../../lib/index.ts';
import {countAlive, makeToken} from '../fixtures/processes.ts';
import {type Case, pair} from './pair.ts';

const SETUP = {tasks: new URL('./setup-tasks.ts', import.meta.url)};

const statuses = (items: readonly {readonly status: string}[]) => items.map(({status}) => status);

/** How many calls of a limited task ran at once, and how large they were. */
function callsOf(c: Case): {readonly most: number; readonly sizes: readonly number[]} {
	let [open, most] = [0, 0];
	const sizes: number[] = [];
	for (const line of c.ran) {
		if (line.startsWith('+')) sizes.push(Number(line.slice(1)));
		open += line.startsWith('+') ? 1 : -1;
		most = Math.max(most, open);
	}
	return {most, sizes};
}

pair('batchSize × timeout', 'a micro-batch that times out charges none, and each of its jobs runs alone, charged', async c => {
	const faena = await c.open({workers: 1});
	const ids = await Promise.all([1, 'deaf', 2].map(value => faena.enqueue('microDeaf', value, {maxAttempts: 1})));
	const ends = await Promise.all(ids.map(job => job.outcome()));
	c.t.deepEqual(statuses(ends), ['completed', 'dead', 'completed']);
	c.t.deepEqual(
		(await faena.jobs().page()).map(({attempts}) => attempts),
		[0, 1, 0],
	);
});

pair('checkpoint × timeout', 'a checkpoint survives a timeout, and the next execution goes on from it', async c => {
	const faena = await c.open({workers: 1});
	c.t.is(await faena.call('save', 'loop', {timeout: 300, maxAttempts: 2, backoff: 0}), 5);
	c.t.deepEqual(c.ran, ['save from 0', 'save from 5']);
});

pair('checkpoint × crash × process', 'a checkpoint survives the death of its process', async c => {
	const faena = await c.open({workers: 1, isolation: 'process'});
	const job = await faena.enqueue('save', 'die', {maxAttempts: 2, backoff: 0});
	await c.until(async () => (await faena.job(job.id).info())?.checkpoint?.state === 5);
	c.make('die');
	c.t.is(await job.result(), 5);
	c.t.deepEqual(c.ran, ['save from 0', 'save from 5']);
});

pair('close({drain: 0}) × RetryAfter', 'a job that was put off keeps its time over a close, and one that runs is uncharged', async c => {
	const tasks = {
		later(): never {
			throw new RetryAfter('1h');
		},
	};
	const first = await c.test({tasks, workers: 2});
	const [later, held] = [await first.enqueue('later', null, {maxAttempts: 1}), await first.enqueue('hold', 'a')];
	await first.waitFor(later, 'failed');
	await c.until(() => c.times('hold a') === 1);
	const {runAt} = (await later.info()) as {runAt: number};
	await first.close({drain: 0});
	const second = await c.test({tasks});
	c.t.like(await second.job(later.id).info(), {status: 'failed', attempts: 0, runAt});
	c.make('a');
	c.t.is(await second.job<'hold'>(held.id).result(), 'a');
	c.t.like(await second.job(held.id).info(), {attempts: 0, executions: 2});
});

pair('map × signal × exec', 'an abort ends the commands, and the items are cancelled', async c => {
	const faena = await c.open({workers: 2});
	const token = makeToken();
	const controller = new AbortController();
	const map = faena.map('command', [`sleep ${token}`, `sleep ${token}; true`], {signal: controller.signal}).toArray();
	await c.until(() => countAlive(token) >= 3);
	controller.abort(new Error('left'));
	await c.t.throwsAsync(map, {message: 'left'});
	await c.until(() => countAlive(token) === 0);
	await c.until(async () => (await faena.counts()).cancelled === 2);
	c.t.is((await faena.counts()).running, 0);
});

pair('recycle × batchSize', 'workers are replaced between micro-batches, and every job completes, uncharged', async c => {
	const faena = await c.open({workers: 1, recycle: {jobs: 3}});
	const {ids} = await faena.enqueueMany(
		'micro',
		Array.from({length: 20}, (_, index) => index),
	);
	await faena.idle();
	c.t.is(ids.length, 20);
	const jobs = await faena.jobs().page();
	c.t.true(jobs.every(({status, attempts}) => status === 'completed' && attempts === 0));
});

pair('setup that fails × later worker × jobs', 'jobs wait, uncharged, until the set-up of the new worker works', async c => {
	const faena = await c.open({...SETUP, workers: 1});
	c.make('broken');
	const lost = new Promise(resolve => faena.once('workerLost', resolve));
	const [crash, next] = [await faena.enqueue('fragile', 'crash'), await faena.enqueue('fragile', 'next')];
	await lost;
	await c.until(() => c.times('setup') > 2);
	rmSync(c.path('broken'));
	c.t.deepEqual([await crash.result(), await next.result()], ['crash', 'next']);
	c.t.is((await next.info())?.attempts, 0);
});

pair('inline × dependsOn × timeout × batchSize × cancel × exec', 'an engine in the thread of its caller does the same', async c => {
	const faena = await c.open({isolation: 'inline', workers: 2, env: {}});
	process.env['PAIR'] ??= c.folder;
	const parent = await faena.enqueue('micro', 1);
	c.t.deepEqual(await faena.call('got', null, {dependsOn: [parent]}), [1]);
	c.t.is(await faena.call('echo', 'x').catch((error: Error) => error.message), 'x');
	await c.t.throwsAsync(faena.call('hold', 'never', {timeout: 50}), {code: 'JobFailed'});
	const held = await faena.enqueue('hold', 'never');
	await faena.cancel(held.id);
	c.t.is((await held.outcome()).status, 'cancelled');
	c.t.is(await faena.call('command', 'echo out'), 'out\n');
});

pair("timeout '1000%' × process × batchSize × exec", 'a limit that is learnt ends what takes much longer than the others, and nothing else', async c => {
	const faena = await c.open({workers: 1, isolation: 'process'});
	for (let job = 0; job < 12; job++) await faena.call('command', 'sleep 0.2', {timeout: '1000%'});
	const token = makeToken();
	const slow = await faena.enqueue('command', `sleep ${token}`, {timeout: '1000%'});
	c.t.is((await slow.outcome({timeout: '60s'})).status, 'dead');
	await c.until(() => countAlive(token) === 0);
	c.t.deepEqual(await faena.map('micro', [1, 2, 3], {timeout: '1000%'}).toArray().then(statuses), ['completed', 'completed', 'completed']);
});

pair('crash × maxAttempts × map × order × retryFailed', 'an item that crashes is dead by itself, the others are uncharged and in order', async c => {
	const faena = await c.open({workers: 2, isolation: 'process'});
	const map = (options: object = {}) => faena.map('crash', [1, 'crash', 2, 3], {batch: 'b', order: 'input', maxAttempts: 2, backoff: 0, ...options}).toArray();
	c.t.deepEqual(statuses(await map()), ['completed', 'dead', 'completed', 'completed']);
	const attempts = (await faena.jobs({batch: 'b'}).page()).map(job => job.attempts);
	c.t.deepEqual(attempts, [0, 2, 0, 0]);
	c.t.deepEqual(
		(await map({retryFailed: true})).map(({status, reused}) => `${status} ${reused}`),
		['completed true', 'dead false', 'completed true', 'completed true'],
	);
});

pair('process × log × checkpoint × cancel × history × retry', 'a cancelled job in a process has its history, and goes on from its checkpoint', async c => {
	const faena = await c.open({workers: 1, isolation: 'process'});
	const job = await faena.enqueue('save', 'loop', {maxAttempts: 2});
	await c.until(async () => (await faena.job(job.id).info())?.checkpoint?.state === 5);
	c.t.is(await faena.cancel(job.id), 1);
	c.t.is((await job.outcome()).status, 'cancelled');
	c.t.is(await faena.retry(job.id), 1);
	c.t.is(await job.result(), 5);
	c.t.like(await faena.job(job.id).info(), {history: {length: 2}, executions: 2});
});

pair('memoryBytes × map', 'a job that needs more memory than there is runs alone, and the map ends', async c => {
	const faena = await c.open({workers: 2, tasks: new URL('./memory-tasks.ts', import.meta.url)});
	c.t.deepEqual(statuses(await faena.map('huge', ['a', 'b', 'c']).toArray()), ['completed', 'completed', 'completed']);
	c.t.is(callsOf(c).most, 1);
});

pair('concurrency × crash × timeout × cancel', 'whatever becomes of a job of a limited task, its place is given back', async c => {
	const faena = await c.open({workers: 2, tasks: new URL('./memory-tasks.ts', import.meta.url)});
	const ends = await Promise.all(
		['crash', 'loop', 'well', 'crash', 'well'].map(what => faena.enqueue('limited', what, {timeout: 200}).then(job => job.outcome())),
	);
	c.t.deepEqual(statuses(ends), ['dead', 'dead', 'completed', 'dead', 'completed']);
	c.t.is(await faena.call('limited', 'well'), 'well');
});

pair.failing('batchSize × concurrency × several workers', 'equal numbers mean one full call at a time', 'Bounds', async c => {
	const faena = await c.open({workers: 3});
	await faena.pause('microOne');
	await faena.enqueueMany(
		'microOne',
		Array.from({length: 64}, (_, index) => index),
	);
	await faena.resume('microOne');
	await faena.idle();
	const {most, sizes} = callsOf(c);
	c.t.deepEqual([most, ...sizes], [1, ...Array(8).fill(8)]);
});

pair('recycle × process × setup × teardown × exec × map', 'each new process is set up, and each old one torn down', async c => {
	const faena = await c.open({...SETUP, workers: 1, isolation: 'process', grace: '10s', recycle: {jobs: 2}});
	const ends = await faena.map('ready', [1, 2, 3, 4, 5]).toArray();
	c.t.true(new Set(ends.map(end => end.status === 'completed' && end.result)).size > 1);
	c.t.is(await faena.call('command', 'echo x'), 'x\n');
	await faena.close();
	c.t.is(c.times('setup'), c.times('teardown'));
});

pair('cancel × batchSize × exec', 'of a micro-batch one job is cancelled, and the others are released and complete', async c => {
	const faena = await c.open({workers: 1, tasks: new URL('../fixtures/batch-tasks.ts', import.meta.url)});
	await faena.pause('loopAtFirst');
	const jobs = await Promise.all([1, 2, 3].map(value => faena.enqueue('loopAtFirst', value)));
	await faena.resume('loopAtFirst');
	await c.until(async () => (await faena.job(jobs[1]?.id as number).info())?.logs.length === 1);
	await faena.cancel(jobs[1]?.id as number);
	c.t.deepEqual(statuses(await Promise.all(jobs.map(job => job.outcome()))), ['completed', 'cancelled', 'completed']);
	c.t.deepEqual(
		(await faena.jobs({status: 'completed'}).page()).map(({attempts}) => attempts),
		[0, 0],
	);
});

pair('recycle by age × checkpoint × retry × process', 'a job goes on from its checkpoint in the next process', async c => {
	const faena = await c.open({workers: 1, isolation: 'process', recycle: {age: 50}});
	c.t.is(await faena.call('save', 'throw', {maxAttempts: 2, backoff: 100}), 5);
	c.t.deepEqual(c.ran, ['save from 0', 'save from 5']);
});

pair('exec × close × drain × timeout', 'what a close interrupts is uncharged, and what times out meanwhile is charged', async c => {
	const faena = await c.open({workers: 2});
	const token = makeToken();
	const interrupted = await faena.enqueue('command', `sleep ${token}; true`);
	await c.until(() => countAlive(token) >= 2);
	const timed = await faena.enqueue('command', `echo timed >> ran; sleep ${token}`, {timeout: '1s'});
	await c.until(() => c.times('timed') === 1);
	await faena.close({drain: '4s'});
	await c.until(() => countAlive(token) === 0);
	const again = await c.test({only: ['echo']});
	c.t.like(await again.job(timed.id).info(), {status: 'dead', attempts: 1});
	c.t.like(await again.job(interrupted.id).info(), {status: 'pending', attempts: 0});
});

pair('fresh code × process', 'a task whose code has changed runs again, by the new code', async c => {
	const module = (version: number) => `export const one = () => ${version};\n`;
	c.make('package.json', '{"name": "versions", "type": "module"}');
	const run = async (version: number) => {
		c.make('versions.js', module(version));
		const faena = await c.open({workers: 1, isolation: 'process', tasks: new URL(`file://${c.path('versions.js')}`)});
		const [end] = await faena.map('one', [null], {batch: 'b', fresh: 'code'}).toArray();
		await faena.close();
		return end?.status === 'completed' && [end.result, end.reused];
	};
	c.t.deepEqual(
		[await run(1), await run(1), await run(2)],
		[
			[1, false],
			[1, true],
			[2, false],
		],
	);
});
