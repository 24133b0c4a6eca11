import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import Database from 'better-sqlite3';
import type {DeadJob} from '../../lib/index.ts';
import {task} from '../../lib/index.ts';
import {type DequeuedJob, openQueue} from '../../lib/queue.ts';
import {openForTest, type TestEngine} from '../../lib/testing.ts';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

const tasks = {
	fail: (what: unknown) => {
		throw new TypeError(`no ${String(what)}`);
	},
	careful: task(
		() => {
			throw new Error('never');
		},
		{maxAttempts: 1, onDead: 'note'},
	),
	note: (dead: DeadJob) => dead,
};

async function openNoting(t: ExecutionContext, queue?: string): Promise<TestEngine<typeof tasks>> {
	const faena = await openForTest(tasks, {...(queue !== undefined && {queue}), defaults: {backoff: 0}});
	t.teardown(() => faena.close());
	return faena;
}

async function notesOf(faena: TestEngine<typeof tasks>): Promise<DeadJob[]> {
	const notes = await faena.jobs({task: 'note', status: 'completed'}).page();
	return Promise.all(notes.map(({id}) => faena.job<'note'>(id).result()));
}

test('a job that is dead enqueues one of the task that it names, once, with what it was and why; one that is not dead enqueues none', async t => {
	const faena = await openNoting(t);
	await faena.enqueue('fail', new Map([['a', 1]]), {maxAttempts: 2, onDead: 'note', key: 'k'});
	await faena.enqueue('fail', 'unheard', {maxAttempts: 1});
	const careful = await faena.enqueue('careful');
	await faena.cancel(await faena.enqueue('fail', 'later', {delay: '1h', onDead: 'note'}));
	t.like(await faena.drain(), {dead: 3, completed: 2, cancelled: 1});
	t.deepEqual(await notesOf(faena), [
		{jobId: 1, task: 'fail', key: 'k', payload: new Map([['a', 1]]), error: {name: 'TypeError', message: 'no [object Map]'}},
		{jobId: careful.id, task: 'careful', payload: undefined, error: {name: 'Error', message: 'never'}},
	]);
	// Each death is told.
	await faena.retry(1);
	t.like(await faena.drain(), {dead: 3, completed: 3});
});

test('onDead goes with each way to enqueue, and a name that is no task is refused', async t => {
	const faena = await openNoting(t);
	await t.throwsAsync(faena.enqueue('fail', 1, {onDead: 'note!'}), {code: 'UnknownTask', message: /"note!"/});
	await t.throwsAsync(openForTest({fail: task(tasks.fail, {onDead: 'tell'})}), {
		message: /^onDead of task fail: the tasks module has no task "tell"; there is fail\.$/,
	});
	await t.throwsAsync(openForTest(tasks, {defaults: {onDead: 'nota'}}), {message: /^onDead of defaults: the .* "nota"; did you mean "note"\?$/});
	await t.throwsAsync(faena.enqueue('fail', 1, {onDead: ''}), {code: 'BadOption', message: /onDead/});
	await faena.enqueueMany('fail', [1, 2], {maxAttempts: 1, onDead: 'note'});
	for await (const _ of faena.map('fail', [3], {maxAttempts: 1, onDead: 'note'}));
	const flow = faena.newFlow('flow');
	flow.job('fail', 4, {maxAttempts: 1, onDead: 'note'});
	await flow.enqueue();
	await faena.drain();
	t.deepEqual((await notesOf(faena)).map(({payload}) => payload).toSorted(), [1, 2, 3, 4]);
});

test('a program that claims jobs itself keeps what onDead says, if it gives the job back', async t => {
	const queue = await openQueue(':memory:');
	t.teardown(() => queue.close());
	await queue.enqueue([1, 2].map(payload => ({task: 'fail', payload, maxAttempts: 1, onDead: 'note'})));
	const {lease, jobs: claimed} = await queue.dequeue({owner: 'me', tasks: ['fail'], limit: 2});
	const [first, second] = claimed as [DequeuedJob, DequeuedJob];
	t.true(await queue.fail(first, new Error('oh')));
	await queue.settle(lease, [{...second, outcome: {type: 'threw', error: new Error('ah')}}]);
	const notes = await queue.dequeue({owner: 'me', tasks: ['note'], limit: 9});
	t.deepEqual(
		notes.jobs.map(({payload}) => payload),
		[
			{jobId: 1, task: 'fail', payload: 1, error: {name: 'Error', message: 'oh'}},
			{jobId: 2, task: 'fail', payload: 2, error: {name: 'Error', message: 'ah'}},
		],
	);
});

test('also a job that killed its worker too often, or whose result can not be stored, tells of its death', async t => {
	const faena = await openEngine(t, {queue: join(makeFolder(t), 'jobs.db'), defaults: {maxAttempts: 1, backoff: 0}});
	await (await faena.enqueue('disaster', 'exit', {onDead: 'echo'})).outcome();
	await faena.idle();
	const [note] = await faena.jobs({task: 'echo'}).page();
	t.like(await faena.job<'echo'>(note?.id ?? 0).result(), {jobId: 1, task: 'disaster', payload: 'exit', error: {name: 'LostWorker'}});
});

test('the death of a job whose payload can not be read is told, too', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const first = await openEngine(t, {queue, tasks: null});
	const {id} = await first.enqueue('echo', 'well', {maxAttempts: 1, onDead: 'echo'});
	await first.close();
	const db = new Database(queue);
	t.is(db.prepare("update job set payload = x'09ff' where id = ?").run(id).changes, 1);
	db.close();
	const faena = await openEngine(t, {queue});
	await faena.idle();
	t.like(await faena.job<'echo'>(id + 1).result(), {jobId: id, task: 'echo', payload: undefined, error: {code: undefined}});
});

test("a task's own onDead holds for jobs of programs that do not know the task; the death of what it enqueues is not told", async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const other = await openQueue(queue);
	await other.enqueue([{task: 'careful'}]);
	await other.close();
	const faena = await openForTest({...tasks, note: tasks.fail}, {queue, defaults: {maxAttempts: 1, onDead: 'note'}});
	t.teardown(() => faena.close());
	await faena.enqueue('fail', 1);
	t.like(await faena.drain(), {dead: 2, failed: 2});
	for (let attempt = 2; attempt <= 3; attempt++) {
		faena.clock.advance('1h');
		await faena.drain();
	}
	t.like(await faena.counts(), {dead: 4, pending: 0, failed: 0});
	t.deepEqual(
		(await faena.jobs({task: 'note'}).toArray()).map(({error}) => error?.name),
		['TypeError', 'TypeError'],
	);
});

test('large bytes that were given to a thread are told as they were; an onDead of task() that is no task is refused', async t => {
	const faena = await openEngine(t, {queue: join(makeFolder(t), 'jobs.db')});
	const {id} = await faena.enqueue('boom', new Uint8Array(200_000).fill(7) as never, {maxAttempts: 2, backoff: 0, onDead: 'echo'});
	await faena.idle();
	const dead = (await faena.job<'echo'>(id + 1).result()) as unknown as DeadJob;
	t.deepEqual(dead.payload, new Uint8Array(200_000).fill(7));
	await t.throwsAsync(openForTest({fail: task(() => 1, {onDead: 'nope'})}), {code: 'UnknownTask', message: /"nope"/});
});
