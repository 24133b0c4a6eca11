import {readdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('results in files come by result(), call(), map() and job() as any others, also to engines without the option', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue, blobs: {threshold: '1kib'}});
	const bytes = new Uint8Array(100_000).fill(7);
	const job = await faena.enqueue('echo', bytes);
	t.deepEqual(await job.result(), bytes);
	t.is(await faena.call('large', 5000), 'x'.repeat(5000));
	for await (const item of faena.map('large', [2000, 3000], {batch: 'b', order: 'input'})) t.like(item, {status: 'completed', result: 'x'.repeat(item.item)});
	t.is(readdirSync(`${queue}-blobs`).length, 4);
	await faena.close();
	const later = await openEngine(t, {queue});
	t.deepEqual(await later.job<'echo'>(job.id).result(), bytes);
	t.deepEqual((await later.job(job.id).info())?.result, bytes);
	for await (const item of later.map('large', [2000, 3000], {batch: 'b', order: 'input'})) t.like(item, {status: 'completed', result: 'x'.repeat(item.item)});
	t.true((await later.jobs().page()).every(({executions}) => executions === 1));
	await later.cleanup({olderThan: 0});
	t.is((await later.jobs().page()).length, 0);
	t.deepEqual(readdirSync(`${queue}-blobs`), []);
});

test('a result whose file was deleted is refused in a sentence, and the engine goes on', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue, blobs: {threshold: 1024}});
	const job = await faena.enqueue('large', 5000);
	await faena.idle();
	rmSync(`${queue}-blobs`, {recursive: true});
	await t.throwsAsync(job.result(), {code: 'BadDatabase', message: /of this result can't be read/});
	await t.throwsAsync(faena.job(job.id).info(), {code: 'BadDatabase'});
	t.is(await faena.call('large', 10), 'x'.repeat(10));
});
