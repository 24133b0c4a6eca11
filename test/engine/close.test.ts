import {existsSync, readdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {type Engine, FaenaError} from '../../lib/index.ts';
import {openEngine, type Tasks, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

test('close() lets running jobs finish and starts no others; those go on with the next open()', async t => {
	const folder = makeFolder(t);
	const [queue, file] = [join(folder, 'jobs.db'), join(folder, 'file')];
	const first = await openEngine(t, {queue, workers: 1});
	const held = await running(first, 'hold', file);
	const result = held.result();
	const waiting = await first.enqueueMany('hold', [file, file]);
	const closed = first.close({drain: '1h'});
	await t.throwsAsync(first.counts(), {code: 'Closed'}, 'the dispatcher has begun to close');
	writeFileSync(file, '');
	await closed;
	t.is(await result, file);
	const second = await openEngine(t, {queue, workers: 1});
	await second.idle();
	const jobs = await second.jobs({ids: waiting.ids}).page();
	t.deepEqual(
		jobs.map(({status, attempts, executions}) => [status, attempts, executions > 0]),
		[
			['completed', 0, true],
			['completed', 0, true],
		],
	);
	t.like(await second.job(held.id).info(), {status: 'completed', executions: 1});
});

for (const task of ['loop', 'heed', 'heedSignal'] as const) {
	test(`a job (${task}) that runs longer than the drain is stopped, charged nothing, and runs again`, async t => {
		const queue = join(makeFolder(t), 'jobs.db');
		const first = await openEngine(t, {queue, drain: 20});
		const job = await running(first, task, null);
		const result = job.result();
		const closed = first.close();
		await t.throwsAsync(result as Promise<unknown>, {instanceOf: FaenaError, code: 'Closed', message: /closed before the job ended.*safe in the queue/});
		await closed;
		const second = await openEngine(t, {queue, tasks: null});
		t.like(await second.job(job.id).info(), {status: 'pending', attempts: 0, executions: 1});
	});
}

test('closing again changes nothing, but a shorter drain counts', async t => {
	const faena = await openEngine(t);
	await running(faena, 'loop', null);
	const closed = faena.close({drain: '1h'});
	await t.notThrowsAsync(Promise.all([faena.close({drain: '2h'}), faena.close({drain: 0}), closed]));
	await faena.close();
});

test('an engine that is closing takes nothing more', async t => {
	const file = join(makeFolder(t), 'file');
	const faena = await openEngine(t);
	await running(faena, 'hold', file);
	const closed = faena.close({drain: '1h'});
	await t.throwsAsync(faena.enqueue('echo', 1), {code: 'Closed'});
	await t.throwsAsync(faena.counts(), {code: 'Closed'});
	writeFileSync(file, '');
	await closed;
});

test('a job that was enqueued before close() is durable after it', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await openEngine(t, {queue});
	await faena.pause();
	const enqueued = Promise.all(Array.from({length: 100}, (_, index) => faena.enqueue('echo', index)));
	await faena.close();
	t.is((await enqueued).length, 100);
	const second = await openEngine(t, {queue, tasks: null});
	t.is((await second.counts()).pending, 100);
});

test('after close() every call is refused as Closed, in a sentence, and pending calls reject with it', async t => {
	const faena = await openEngine(t);
	await faena.pause('echo');
	const job = await faena.enqueue('echo', 1);
	await faena.enqueue('add', {a: 1, b: 2}, {delay: '1h'});
	const waits = [job.result(), job.outcome(), faena.idle(), faena.call('echo', 1), next(faena.map('echo', [1]))];
	const told = Promise.all(waits.map(wait => t.throwsAsync(wait, {instanceOf: FaenaError, code: 'Closed', message: /closed/})));
	await faena.counts();
	await faena.close();
	await told;
	const uses: readonly (() => Promise<unknown>)[] = [
		() => faena.enqueue('echo', 1),
		() => faena.enqueueMany('echo', [1]),
		() => faena.call('echo', 1),
		() => next(faena.map('echo', [1])),
		() => job.result(),
		() => job.outcome(),
		() => job.info(),
		() => faena.job(1).info(),
		() => faena.jobs().page(),
		() => faena.counts(),
		() => faena.cancel(1),
		() => faena.retry({}),
		() => faena.pause(),
		() => faena.resume(),
		() => faena.cleanup({olderThan: 0}),
		() => faena.idle(),
	];
	for (const use of uses) await t.throwsAsync(use(), {instanceOf: FaenaError, code: 'Closed', message: /closed/}, String(use));
	t.notThrows(() => faena.on('completed', () => undefined));
});

test('an engine is closed by `await using`', async t => {
	const faena = await openEngine(t);
	t.is(await faena.call('add', {a: 1, b: 2}), 3);
	// What `await using` calls at the end of its scope. Node 22 does not parse the statement itself.
	await faena[Symbol.asyncDispose]();
	await t.throwsAsync(faena.counts(), {code: 'Closed'});
});

test('a closed engine leaves nothing but its database', async t => {
	const folder = makeFolder(t);
	const faena = await openEngine(t, {queue: join(folder, 'jobs.db')});
	await faena.call('add', {a: 1, b: 2});
	await faena.close();
	t.deepEqual(readdirSync(folder), ['jobs.db']);
});

test('after close() no child process is left, and no thread, file, timer or listener more than before', async t => {
	t.timeout(60_000);
	const program = new Program(t, 'open-and-close', join(makeFolder(t), 'jobs.db'));
	const rounds = (await program.lines()).map(line => JSON.parse(line) as {readonly children: readonly [number, number]; readonly holds: string});
	t.is(rounds.length, 3);
	t.true(rounds.every(({children: [open, closed]}) => open > 0 && closed === 0) || !existsSync('/proc/self'));
	t.is(rounds[2]?.holds, rounds[0]?.holds);
	t.notRegex(rounds[0]?.holds ?? '', /SIG|Timeout|Message/);
	// Nothing kept it from ending by itself.
	t.like(await program.ended(), {code: 0, stderr: ''});
});

test('engines can be opened and closed again and again on one file', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	for (let round = 1; round <= 5; round++) {
		const faena = await openEngine(t, {queue, workers: 1});
		t.is(await faena.call('add', {a: round, b: 0}), round);
		await faena.close();
	}
	const faena = await openEngine(t, {queue, tasks: null});
	t.is((await faena.counts()).completed, 5);
});

async function next(items: AsyncIterable<unknown>): Promise<void> {
	for await (const _ of items) break;
}

/** A job of the task that says it runs. */
async function running(faena: Engine<Tasks>, task: 'loop' | 'heed' | 'heedSignal' | 'hold', file: string | null) {
	const heard = new Promise<void>(resolve => void faena.once('log', () => resolve()));
	const job = await faena.enqueue(task as 'heed', file);
	await heard;
	return job;
}
