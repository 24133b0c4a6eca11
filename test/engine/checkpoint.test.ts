import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

test('a program killed in a synchronous loop goes on from its last checkpoint, as often as it is killed', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'file')];
	const watcher = await openEngine(t, {queue, tasks: null});
	const {id} = await watcher.enqueue('countOn', file);
	const kept = async () => ((await watcher.job(id).info())?.checkpoint?.state ?? 0) as number;
	let reached = 0;
	for (let kill = 1; kill <= 3; kill++) {
		const program = new Program(t, 'engine', queue, 'serve');
		const enough = reached + 50;
		while ((await kept()) < enough);
		await program.kill('SIGKILL');
		reached = await kept();
		t.like(await watcher.job(id).info(), {attempts: 0, executions: kill, checkpoint: {execution: kill}});
	}
	writeFileSync(file, '');
	const faena = await openEngine(t, {queue});
	const {from, to} = await faena.job<'countOn'>(id).result();
	t.is(from, reached);
	t.is(to, reached + 1);
	t.false('checkpoint' in ((await faena.job(id).info()) ?? {}));
});

test('an attempt that throws keeps its last checkpoint, however shortly before it was made', async t => {
	const faena = await openEngine(t);
	const job = await faena.enqueue('countThen', 'throw', {backoff: 1});
	t.deepEqual(await job.result(), {count: 1000});
	t.like(await job.info(), {attempts: 1, executions: 2});
});

test('a job that brings its worker down goes on from its first checkpoint or a later one', async t => {
	const faena = await openEngine(t);
	const job = await faena.enqueue('countThen', 'exit', {backoff: 1});
	const {count} = (await job.result()) as {count: number};
	t.true(count >= 1 && count <= 1000);
	t.like(await job.info(), {attempts: 1, executions: 2});
});

for (const isolation of ['thread', 'process'] as const) {
	test(`a checkpoint made long after the last one is kept, whatever was said just before and happens just after (${isolation})`, async t => {
		const faena = await openEngine(t, {isolation});
		t.is(await faena.call('workSayAndExit', undefined, {backoff: 1}), 'worked');
	});
}

test('a job that heeds its timeout keeps the checkpoint it makes then', async t => {
	const faena = await openEngine(t, {grace: 10_000});
	t.deepEqual(await faena.call('countThen', 'heed', {timeout: 50, backoff: 1}), {count: 1001});
});

test('a job that heeds a shutdown goes on, uncharged, from the checkpoint it makes then', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const first = await openEngine(t, {queue, grace: 10_000});
	const counts = new Promise<void>(resolve => void first.once('log', () => resolve()));
	const {id} = await first.enqueue('countThen', 'heed');
	await counts;
	await first.close({drain: 0});
	const second = await openEngine(t, {queue});
	t.deepEqual(await second.job<'countThen'>(id).result(), {count: 1001});
	t.like(await second.job(id).info(), {attempts: 0, executions: 2});
});

test('a cancelled job that is retried goes on from its checkpoint; a completed one begins anew', async t => {
	const faena = await openEngine(t, {grace: 10_000});
	const counts = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const job = await faena.enqueue('countThen', 'heed');
	await counts;
	await faena.cancel(job.id);
	t.is((await job.outcome()).status, 'cancelled');
	t.like(await faena.job(job.id).info(), {status: 'cancelled', checkpoint: {execution: 1, state: {count: 1001}}});
	await faena.retry(job.id);
	t.deepEqual(await job.result(), {count: 1001});
	t.false('checkpoint' in ((await faena.job(job.id).info()) ?? {}));
	const fresh = await faena.enqueue('resumeFrom');
	await fresh.result();
	await faena.retry(fresh.id);
	t.is(await fresh.result(), undefined);
});
