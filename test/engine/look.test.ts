import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {type Job, type JobSearch, statusSummary} from '../../lib/index.ts';
import type {Dequeued} from '../../lib/queue.ts';
import {defined} from '../../lib/support/defined.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

test('a paused task starts no job until it is resumed; others run', async t => {
	const faena = await openEngine(t);
	await faena.pause('echo');
	const paused = await faena.enqueue('echo', 1);
	t.is(await faena.call('add', {a: 1, b: 2}), 3);
	t.is((await paused.info())?.status, 'pending');
	await faena.resume('echo');
	t.is(await paused.result(), 1);
});

test('a pause releases jobs that have not started, and lets running jobs finish', async t => {
	const file = join(makeFolder(t), 'file');
	const faena = await openEngine(t, {workers: 1});
	const heard = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const held = await faena.enqueue('hold', file);
	await heard;
	const waiting = await faena.enqueueMany('hold', [file, file, file]);
	await faena.pause();
	writeFileSync(file, '');
	t.is(await held.result(), file);
	await faena.idle();
	t.deepEqual(
		(await faena.jobs({status: 'pending'}).page()).map(({id}) => id),
		waiting.ids,
	);
	t.true((await faena.jobs().page()).every(({attempts}) => attempts === 0));
	await faena.resume();
	await faena.idle();
	t.is((await faena.counts()).completed, 4);
});

test('a pause outlives its engine, and holds in every process', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const first = await openEngine(t, {queue});
	await first.pause('echo');
	await first.close();
	const second = await openEngine(t, {queue});
	const job = await second.enqueue('echo', 1);
	t.is(await second.call('add', {a: 1, b: 2}), 3);
	t.is((await job.info())?.status, 'pending');
	const other = new Program(t, 'queue', queue);
	await other.line();
	await other.ask('resume', ['echo']);
	t.is(await job.result(), 1);
});

test('counts() counts jobs by status, of all tasks or of one', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	await Promise.all([faena.call('echo', 1), faena.call('echo', 2), faena.enqueue('boom', 'oh').then(job => job.outcome())]);
	await faena.enqueue('echo', 3, {delay: '1h'});
	await faena.cancel((await faena.enqueue('echo', 4, {delay: '1h'})).id);
	t.deepEqual(await faena.counts(), {blocked: 0, pending: 1, running: 0, failed: 0, completed: 2, dead: 1, cancelled: 1});
	t.deepEqual(await faena.counts({task: 'boom'}), {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 1, cancelled: 0});
	t.is(statusSummary(await faena.counts()), '1 pending, 2 completed, 1 dead, 1 cancelled');
});

test('jobs() lists the matching jobs in order of arrival, a page at a time', async t => {
	const faena = await openEngine(t);
	await faena.pause();
	await faena.enqueueMany('echo', Array(150).fill(1));
	const {id: last} = await faena.enqueue('add', {a: 1, b: 2}, {key: 'k'});
	await faena.cancel({ids: [2, 3]});
	const ids = async ({limit, after, ...search}: JobSearch & {limit?: number; after?: Job | number} = {}) =>
		(await faena.jobs(search).page(defined({limit, after}))).map(({id}) => id);
	t.deepEqual(await ids({limit: 3}), [1, 2, 3]);
	t.is((await ids()).length, 100);
	t.deepEqual(
		await ids({after: 100, limit: 1000}),
		Array.from({length: 51}, (_, index) => 101 + index),
	);
	t.deepEqual(await ids({task: 'add'}), [last]);
	t.deepEqual(await ids({status: 'cancelled'}), [2, 3]);
	t.deepEqual(await ids({status: ['cancelled', 'pending'], ids: [1, 2, 999]}), [1, 2]);
	t.deepEqual(await ids({status: []}), []);
	t.deepEqual(await ids({ids: []}), []);
	t.deepEqual(await ids({batch: 'nosuch'}), []);
	t.like((await faena.jobs({task: 'add'}).page())[0], {key: 'k', task: 'add', status: 'pending'});
});

test('jobs() lists the latest and the longest jobs first, and goes on after a job', async t => {
	const faena = await openEngine(t, {isolation: 'inline', defaults: {maxAttempts: 1}});
	for (const ms of [30, 1, 60]) await faena.call('spin', ms);
	await faena.enqueue('boom', 'x').then(job => job.outcome());
	await faena.enqueue('echo', 'later', {delay: '1h'});
	const ids = async ({limit, after, ...search}: JobSearch & {limit?: number; after?: Job | number} = {}) =>
		(await faena.jobs(search).page(defined({limit, after}))).map(({id}) => id);
	const spun = await faena.jobs({task: 'spin'}).page();
	const longestFirst = spun.toSorted((a, b) => (b.durationMs ?? 0) - (a.durationMs ?? 0)).map(({id}) => id);
	t.deepEqual(await ids({sort: 'duration', task: 'spin'}), longestFirst);
	t.deepEqual(await ids({sort: 'endedAt'}), [4, 3, 2, 1]);
	const page = await faena.jobs({sort: 'startedAt'}).page({limit: 3});
	t.true(page.hasMore);
	const [last] = await faena.jobs({sort: 'startedAt'}).page({after: page.at(-1) as Job});
	t.deepEqual([...page.map(({id}) => id), last?.id], [4, 3, 2, 1]);
	const {endedAt = 0} = (await faena.job(3).info()) ?? {};
	t.deepEqual(await ids({sort: 'endedAt', since: new Date(endedAt), status: ['completed', 'dead']}), [4, 3]);
	t.deepEqual(await faena.counts({sort: 'endedAt', until: endedAt}), {blocked: 0, pending: 0, running: 0, failed: 0, completed: 2, dead: 0, cancelled: 0});
	t.is((await faena.counts({task: 'echo', since: 0})).pending, 1);
});

test('for await over jobs() has all jobs, and a broken loop reads no more', async t => {
	const faena = await openEngine(t, {isolation: 'inline'});
	await faena.pause();
	await faena.enqueueMany('echo', Array(2500).fill(1));
	let count = 0;
	for await (const {id} of faena.jobs({task: 'echo'})) t.is(id, ++count);
	t.is(count, 2500);
	for await (const {id} of faena.jobs()) if (id === 7) break;
	t.is((await faena.jobs({status: 'pending'}).toArray()).length, 2500);
	t.deepEqual(
		(await Promise.all([faena.jobs().page({limit: 1}), faena.jobs().page({limit: 2, after: {id: 7} as Job})])).map(each => each.map(({id}) => id)),
		[[1], [8, 9]],
	);
	const list = faena.jobs();
	const first = await list.page({limit: 2});
	t.deepEqual(
		(await list.page({limit: 2, after: first.at(-1) as Job})).map(({id}) => id),
		[3, 4],
	);
});

test('a list refuses what it does not understand', async t => {
	const faena = await openEngine(t, {isolation: 'inline'});
	const refused = (search: object, message: RegExp) => t.throws(() => faena.jobs(search), {code: 'BadOption', message});
	refused({sort: 'age'}, /^jobs\(\) expects as sort "id" or "startedAt" or "endedAt" or "duration"; it got "age"\.$/);
	refused({since: 'yesterday'}, /^jobs\(\) expects as since a Date or milliseconds since 1970; it got "yesterday"\.$/);
	refused({order: 'id'}, /^jobs\(\) has no option "order"; there is /);
	refused({key: 'k'}, /^jobs\(\) got a key alone/);
	refused([1, 2], /^jobs\(\) expects an object of options; it got /);
	refused(null as never, /^jobs\(\) expects an object of options; it got null\.$/);
	const refusedPage = (page: object, message: RegExp) => t.throwsAsync(faena.jobs({sort: 'endedAt'}).page(page), {code: 'BadOption', message});
	await refusedPage({limit: 2.5}, /^page\(\) expects as limit a whole number/);
	await refusedPage({after: 7}, /^page\(\) of a list sorted by endedAt expects as after the last job of the page before, as it was listed there; it got 7\.$/);
	await refusedPage({after: {id: 1, endedAt: NaN}}, /^page\(\) of a list sorted by endedAt expects as after the last job/);
	const old = faena.jobs as (filter: object, page: object) => unknown;
	t.throws(() => old.call(faena, {}, {after: 100}), {
		code: 'BadOption',
		message: /^jobs\(\) takes one object, with the conditions; limit and after are those of page/,
	});
	await t.throwsAsync(faena.counts({stat: 'dead'} as never), {code: 'BadOption', message: /^counts\(\) has no option "stat"/});
});

test('cleanup() deletes the jobs that ended long enough ago, and no others', async t => {
	const faena = await openEngine(t);
	const done = await faena.enqueue('echo', 1);
	await done.result();
	const waiting = await faena.enqueue('echo', 2, {delay: '1h'});
	t.is(await faena.cleanup({olderThan: '1h'}), 0);
	t.is(await faena.cleanup({olderThan: 0}), 1);
	t.is(await faena.job(done.id).info(), undefined);
	t.is((await faena.jobs().page()).length, 1);
	t.like(await waiting.info(), {status: 'pending'});
	await t.throwsAsync(done.result(), {code: 'NoSuchJob'});
});

test('cleanup() of one job, or of jobs by id, deletes those that have ended', async t => {
	const faena = await openEngine(t);
	const jobs = await Promise.all([1, 2, 3].map(index => faena.enqueue('echo', index)));
	await Promise.all(jobs.map(job => job.result()));
	const [first, second, third] = jobs.map(({id}) => id) as [number, number, number];
	const waiting = await faena.enqueue('echo', 4, {delay: '1h'});
	t.is(await faena.cleanup(second), 1);
	t.is(await faena.cleanup(second), 0);
	t.is(await faena.cleanup(waiting.id), 0);
	t.is(await faena.cleanup({ids: [third, first, waiting.id]}), 2);
	t.deepEqual(
		(await faena.jobs().page()).map(({id}) => id),
		[waiting.id],
	);
});

test('cleanup() goes through any number of jobs', async t => {
	const faena = await openEngine(t);
	await faena.pause();
	await faena.enqueueMany('echo', Array(3500).fill(1));
	await faena.cancel({});
	t.is(await faena.cleanup({olderThan: 0}), 3500);
	t.deepEqual(await faena.jobs().page(), []);
});

test('idle() resolves at once when there is nothing to do', async t => {
	const faena = await openEngine(t);
	await faena.idle();
	await Promise.all([faena.idle(), faena.idle()]);
	t.deepEqual(await faena.jobs().page(), []);
});

test('idle() waits for jobs, delays and retries, and not for paused, parked or unknown ones', async t => {
	const folder = makeFolder(t);
	const queue = join(folder, 'jobs.db');
	const producer = await openEngine(t, {queue, tasks: null});
	const faena = await openEngine(t, {queue});
	await faena.pause('add');
	const [retried, delayed] = [
		await faena.enqueue('failTimes', {file: join(folder, 'executions'), times: 2}, {backoff: 20}),
		await faena.enqueue('echo', 1, {delay: 40}),
	];
	const [paused, parked] = [await faena.enqueue('add', {a: 1, b: 2}), await faena.enqueue('boom', 'oh', {retry: 'manual'})];
	const unknown = await producer.enqueue('nosuch' as 'add', {a: 1, b: 2});
	await faena.idle();
	t.deepEqual(await Promise.all([retried, delayed, paused, parked, unknown].map(async job => (await job.info())?.status)), [
		'completed',
		'completed',
		'pending',
		'failed',
		'pending',
	]);
});

test('idle() waits for jobs that run in another process', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const producer = await openEngine(t, {queue, tasks: null});
	const {id} = await producer.enqueue('echo', 1);
	const other = new Program(t, 'queue', queue);
	await other.line();
	const {lease, jobs} = await other.ask<Dequeued>('dequeue', {owner: 'other', tasks: ['echo']});
	t.is(jobs[0]?.id, id);
	const faena = await openEngine(t, {queue});
	let isIdle = false;
	const idle = faena.idle().then(() => {
		isIdle = true;
	});
	t.is(await faena.call('add', {a: 1, b: 2}), 3);
	t.false(isIdle);
	t.true(await other.ask('complete', {id, lease, execution: 1}, 'done there'));
	await idle;
	t.is(await faena.job<'echo'>(id).result(), 'done there');
});
