import {join} from 'node:path';
import {FaenaError} from '../../lib/index.ts';
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

test('a key is free again once its job was cleaned up', async t => {
	const faena = await openEngine(t);
	await faena.call('add', {a: 1, b: 2}, {key: 'a'});
	await faena.cleanup({olderThan: 0});
	t.is(await faena.call('add', {a: 1, b: 3}, {key: 'a'}), 4);
});
