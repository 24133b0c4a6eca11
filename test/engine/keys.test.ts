import {join} from 'node:path';
import {FaenaError, type TaskContext} from '../../lib/index.ts';
import {openForTest} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('the same key again is the same job, also after it has ended, and its result is there', async t => {
	const file = join(makeFolder(t), 'runs');
	const faena = await openEngine(t);
	const first = await faena.enqueue('markOnce', {file, line: 'a'}, {key: 'a'});
	const value = await first.result();
	const second = await faena.enqueue('markOnce', {line: 'a', file}, {key: 'a'});
	t.deepEqual([second.id, second.reused, await second.result()], [first.id, true, value]);
	t.is(await faena.call('markOnce', {file, line: 'a'}, {key: 'a'}), value);
});

test('enqueues of one key that wait together make one job', async t => {
	const faena = await openEngine(t);
	const jobs = await Promise.all(Array.from({length: 50}, () => faena.enqueue('add', {a: 1, b: 2}, {key: 'a'})));
	t.is(new Set(jobs.map(({id}) => id)).size, 1);
	t.is(jobs.filter(({reused}) => !reused).length, 1);
});

test('the same key with another payload is a KeyConflict, in a sentence that names key, task and job', async t => {
	const faena = await openEngine(t);
	const job = await faena.enqueue('add', {a: 1, b: 2}, {key: 'a'});
	for (const enqueue of [faena.enqueue('add', {a: 1, b: 3}, {key: 'a'}), faena.call('add', {a: 1, b: 3}, {key: 'a'})]) {
		const error = await t.throwsAsync(enqueue as Promise<unknown>, {instanceOf: FaenaError, code: 'KeyConflict'});
		t.is(
			error?.message,
			`The key "a" of task add belongs to job ${job.id}, which has another payload. Give another payload another key; or wait until that job has ended and delete it with cleanup().`,
		);
	}
	t.is((await faena.enqueue('echo', {a: 1, b: 3}, {key: 'a'})).reused, false);
});

test('with unique: unended, a key names one job until that has ended, and then the next', async t => {
	const faena = await openEngine(t);
	await faena.pause('add');
	const options = {key: 'a', unique: 'unended'} as const;
	const first = await faena.enqueue('add', {a: 1, b: 2}, options);
	t.like(await faena.enqueue('add', {a: 1, b: 2}, options), {id: first.id, reused: true});
	await t.throwsAsync(faena.enqueue('add', {a: 1, b: 3}, options), {code: 'KeyConflict'});
	await faena.resume('add');
	t.is(await first.result(), 3);
	const second = await faena.enqueue('add', {a: 1, b: 3}, options);
	t.deepEqual([second.reused, await second.result(), await first.result()], [false, 4, 3]);
	t.deepEqual(
		(await faena.jobs({task: 'add', key: 'a'}).page()).map(({id}) => id),
		[second.id],
	);
	const many = await faena.enqueueMany(
		'add',
		[
			{a: 2, b: 2},
			{a: 2, b: 2},
			{a: 3, b: 3},
		],
		{key: ({a}) => `many ${a}`, unique: 'unended'},
	);
	t.deepEqual([many.ids[0] === many.ids[1], many.reused.length], [true, 1]);
});

test('of 200 enqueues from two programs, each makes a job only if none with the key is pending or running', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const engines = await Promise.all([1, 2].map(() => openEngine(t, {queue})));
	const rounds = engines.map(async faena => {
		const made: number[] = [];
		for (let round = 0; round < 100; round++) {
			const job = await faena.enqueue('add', {a: 1, b: 2}, {key: 'a', unique: 'unended'});
			if (!job.reused) made.push(job.id);
			await job.result();
		}
		return made;
	});
	const made = (await Promise.all(rounds)).flat();
	t.is(new Set(made).size, made.length);
	t.true(made.length >= 100);
	const jobs = (await engines[0]?.jobs({task: 'add'}).page({limit: 1000})) ?? [];
	t.is(jobs.length, made.length);
	// None began before the one before it had ended.
	t.true(jobs.every(({createdAt}, index) => createdAt >= (jobs[index - 1]?.endedAt ?? 0)));
});

test('unique is refused without a key, and by map()', async t => {
	const faena = await openEngine(t);
	const unique = 'unended' as const;
	await t.throwsAsync(faena.enqueue('add', {a: 1, b: 2}, {unique}), {
		code: 'BadOption',
		message: 'enqueue() got unique without a key; unique says how long a key is taken.',
	});
	await t.throwsAsync(faena.enqueueMany('add', [{a: 1, b: 2}], {unique}), {code: 'BadOption', message: /^enqueueMany\(\) got unique without a key/});
	t.throws(() => faena.map('add', [{a: 1, b: 2}], {key: () => 'a', unique} as never), {code: 'BadOption', message: /^map\(\) has no option unique: /});
});

test('a key is free again once its job was cleaned up', async t => {
	const faena = await openEngine(t);
	await faena.call('add', {a: 1, b: 2}, {key: 'a'});
	await faena.cleanup({olderThan: 0});
	t.is(await faena.call('add', {a: 1, b: 3}, {key: 'a'}), 4);
});

test('a task may enqueue the next job of its own key', async t => {
	const tasks = {
		poll(n: number, {enqueue}: TaskContext) {
			if (n < 3) enqueue('poll', n + 1, {key: 'poll', unique: 'unended', delay: '1m'});
			return n;
		},
	};
	const faena = await openForTest(tasks);
	t.teardown(() => faena.close());
	await faena.enqueue('poll', 1, {key: 'poll', unique: 'unended'});
	for (const ended of [1, 2, 3]) {
		t.like(await faena.drain(), {completed: ended, pending: ended < 3 ? 1 : 0});
		faena.clock.advance('1m');
	}
});
