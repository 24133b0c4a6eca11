import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import {MAX_GROUP_JOBS} from '../../lib/job/groups/group.ts';
import {appears} from '../fixtures/appears.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';
import {suspend} from '../fixtures/suspend.ts';

test('results of jobs that another process ran reach all who await them, however many', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const producer = await openEngine(t, {queue, tasks: null});
	const jobs = await Promise.all(Array.from({length: 1000}, (_, a) => producer.enqueue('add', {a, b: 1})));
	const results = Promise.all(jobs.map(job => job.result()));
	const worker = new Program(t, 'engine', queue, 'work');
	t.deepEqual(
		await results,
		jobs.map((_, index) => index + 1),
	);
	t.is((await worker.ended()).code, 0);
});

test('a map is worked on by every process that has its tasks', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const producer = await openEngine(t, {queue, tasks: null});
	// Each takes a while, or one of them might do it all.
	const items = Array.from({length: 500}, (_, index) => 2 + index / 1000);
	const programs = [1, 2].map(() => new Program(t, 'engine', queue, 'serve'));
	for (const program of programs) t.is(await program.line(), 'serves');
	const values: unknown[] = [];
	for await (const result of producer.map('spin', items, {order: 'input', batch: 'b', window: 300})) if ('result' in result) values.push(result.result);
	t.deepEqual(values, items);
	for (const program of programs) t.regex(await program.line(), /^\d+$/);
});

test('engines of several processes share one file: each job runs once', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'runs')];
	const producer = await openEngine(t, {queue, tasks: null});
	const {ids} = await producer.enqueueMany(
		'mark',
		Array.from({length: 2000}, (_, index) => ({file, line: String(index + 1)})),
	);
	const programs = [1, 2, 3].map(() => new Program(t, 'engine', queue, 'work'));
	for (const program of programs) t.like(await program.ended(), {code: 0});
	t.deepEqual(
		readFileSync(file, 'utf8')
			.split('\n')
			.slice(0, -1)
			.map(Number)
			.sort((a, b) => a - b),
		ids,
	);
	t.is((await producer.counts()).completed, 2000);
});

test('a process that was suspended past its lease loses its jobs to others, and can settle them no more', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'file')];
	const producer = await openEngine(t, {queue, tasks: null, lease: '1s'});
	const program = new Program(t, 'engine', queue, 'serve', '', '1s');
	t.is(await program.line(), 'serves');
	const job = await producer.enqueue('hold', file);
	t.is(await program.line(), 'runs');
	await suspend(program, queue);
	const faena = await openEngine(t, {queue, lease: '1s'});
	while (((await job.info())?.executions ?? 0) < 2) await sleep(10);
	t.like(await job.info(), {status: 'running', executions: 2});
	program.process.kill('SIGCONT');
	writeFileSync(file, '');
	t.is(await job.result(), file);
	t.like(await job.info(), {status: 'completed', attempts: 0, executions: 2});
	// It goes on with new jobs.
	await faena.close();
	t.is(await (await producer.enqueue('add', {a: 1, b: 2})).result(), 3);
	t.like(await job.info(), {status: 'completed', executions: 2});
});

test('a process that was suspended past its lease stops the jobs that others have now', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const producer = await openEngine(t, {queue, tasks: null, lease: '1s'});
	const program = new Program(t, 'engine', queue, 'serve', '', '1s');
	t.is(await program.line(), 'serves');
	const job = await producer.enqueue('tellStop', 'signal');
	t.is(await program.line(), 'runs');
	await suspend(program, queue);
	const faena = await openEngine(t, {queue, lease: '1s'});
	while (((await job.info())?.executions ?? 0) < 2) await sleep(10);
	program.process.kill('SIGCONT');
	// What the task says when it is told to stop.
	t.is(await program.line(), 'runs');
	t.like(await job.info(), {status: 'running', executions: 2});
	t.is(await faena.cancel(job.id), 1);
	t.is((await job.outcome()).status, 'cancelled');
});

test('while another program holds the database locked nothing is lost: results wait, and are written down after', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'runs')];
	const faena = await openEngine(t, {queue});
	const held = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const job = await faena.enqueue('hold', join(folder, 'go'));
	await held;
	const db = new Database(queue);
	db.exec('begin immediate');
	writeFileSync(join(folder, 'go'), '');
	const enqueued = faena.enqueue('mark', {file, line: 'ran'});
	await appears(join(folder, 'go'));
	t.like(db.prepare('select count(*) as jobs from job').get(), {jobs: 1});
	db.exec('commit');
	db.close();
	t.is(await job.result(), join(folder, 'go'));
	t.is(await (await enqueued).result(), undefined);
	t.is(readFileSync(file, 'utf8'), 'ran\n');
});

test('a process that was killed leaves no litter once its jobs were taken back', async t => {
	const folder = makeFolder(t);
	const queue = join(folder, 'jobs.db');
	const program = new Program(t, 'engine', queue, 'onSignals');
	t.is(await program.line(), 'runs');
	await program.kill('SIGKILL');
	const faena = await openEngine(t, {queue});
	while ((await faena.cancel({})) === 0);
	await faena.idle();
	await faena.close();
	t.deepEqual(readdirSync(folder), ['jobs.db']);
});

test('an engine claims no more than two chunks of jobs for each worker, however many there are: the rest is for others', async t => {
	const folder = makeFolder(t);
	const faena = await openEngine(t, {queue: join(folder, 'jobs.db'), workers: 1});
	// So that it knows them for short.
	await faena.enqueueMany('echo', Array.from({length: 6000}));
	await faena.idle();
	const held = new Promise(resolve => void faena.once('log', resolve));
	await faena.enqueue('hold', join(folder, 'go'), {priority: 1});
	await held;
	await faena.enqueueMany('echo', Array.from({length: 5000}));
	for (let turns = 0; turns < 10; turns++) await faena.enqueue('echo');
	const {running, pending} = await faena.counts();
	t.true(running <= 2 * MAX_GROUP_JOBS && running + pending === 5011, `${running} claimed`);
	writeFileSync(join(folder, 'go'), '');
	await faena.idle();
	t.is((await faena.counts()).completed, 11011);
});
