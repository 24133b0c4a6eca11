import {join} from 'node:path';
import {z} from 'zod';
import {FaenaError, open, task} from '../../lib/index.ts';
import {openQueue} from '../../lib/queue.ts';
import {openForTest, runTask} from '../../lib/testing.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {tasks} from '../fixtures/schema-tasks.ts';

test('a task gets what its schema makes of the payload; stored is the payload as it was given', async t => {
	await using faena = await open({queue: join(makeFolder(t), 'jobs.db'), tasks, workers: 1});
	const job = await faena.enqueue('charge', {amount: '41'});
	t.is((await job.result()) satisfies string, '42 EUR');
	t.deepEqual((await job.info())?.payload, {amount: '41'});
	t.is(await faena.call('greet', {name: 'Ana'}), 'Hello Ana');
	t.is(await faena.call('later', 'yes'), 3);
});

test('who has imported the tasks is refused at once, in a sentence that names each place, and nothing is enqueued', async t => {
	await using faena = await open({queue: join(makeFolder(t), 'jobs.db'), tasks, workers: 1});
	const refused = {code: 'InvalidPayload', message: /^The payload of task charge (at index \d )?is not what its schema expects: amount: /};
	// @ts-expect-error the schema expects an amount
	await t.throwsAsync(faena.enqueue('charge', {}), refused);
	await t.throwsAsync(faena.call('charge', {amount: -1, currency: 'USD'}), refused);
	await t.throwsAsync(faena.enqueueMany('charge', [{amount: 1}, {amount: 0}]), refused);
	await t.throwsAsync(faena.setSchedule('s', {every: '1h', task: 'charge', payload: {amount: 0}}), refused);
	await t.throwsAsync(faena.call('greet', {name: 'A'}), {code: 'InvalidPayload', message: /name/});
	t.deepEqual((await faena.jobs({}).toArray()).filter(({payloadBytes}) => payloadBytes > 20).length, 0);
});

test('a refusal says which payload of many it is, and has the issues as data, also in the error of a job', async t => {
	const work = task((of: {n: number}) => of.n, {input: z.object({n: z.number()}), maxAttempts: 1});
	await using faena = await openForTest({work});
	const issues = [{path: 'n', message: 'Invalid input: expected number, received string'}];
	const bad = [{n: 1}, {n: 'two' as never}];
	const message = /^The payload of task work at index 1 is not what its schema expects: n: /;
	const refused = await t.throwsAsync(faena.enqueueMany('work', bad), {instanceOf: FaenaError, code: 'InvalidPayload', message});
	t.deepEqual(refused.issues, issues);
	// A map goes on.
	const items = await faena.map('work', bad, {order: 'input'}).toArray();
	t.like(items, [
		{status: 'completed', result: 1},
		{status: 'dead', index: 1, error: {reason: 'badPayload', code: 'InvalidPayload', issues}},
	] as never);
	const flow = faena.newFlow('flow');
	t.throws(() => flow.map('work', bad), {code: 'InvalidPayload', message});
	t.throws(() => flow.job('work', {n: 'x'} as never), {code: 'InvalidPayload', message: /^The payload of task work is not/});
	// Only its worker knows the whole payload.
	flow.job('work', {n: flow.job('work', {n: 1})});
	await flow.enqueue();
	await faena.drain();
	t.is((await faena.counts()).completed, 3);
});

test('a map yields what its batch has completed, though a schema would refuse the payload by now', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const resultsBy = async (input: z.ZodNumber) => {
		await using faena = await openForTest({work: task((n: number) => 2 * n, {input, maxAttempts: 1})}, {queue});
		const items = await faena.map('work', [1, 200, 3], {batch: 'b', order: 'input', retryFailed: true}).toArray();
		return items.map(each => (each.status === 'completed' ? each.result : each.error.reason));
	};
	t.deepEqual(await resultsBy(z.number()), [2, 400, 6]);
	t.deepEqual(await resultsBy(z.number().max(100)), [2, 400, 6]);
});

test('a worker refuses what another program has enqueued: the job is dead before the task starts, and nothing is charged', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const other = await open({queue});
	const bad = await other.enqueue('charge', {amount: 'many'});
	const slow = await other.enqueue('later', 'no');
	const some = await Promise.all([1, 2.5, 3].map(n => other.enqueue('many', n)));
	await other.close();
	await using faena = await open({queue, tasks: tasks.url, workers: 1});
	await faena.idle();
	for (const {id} of [bad, slow, some[1] as (typeof some)[1]]) {
		const info = await faena.job(id ?? 0).info();
		t.like(info, {status: 'dead', attempts: 0, error: {reason: 'badPayload', name: 'FaenaError', code: 'InvalidPayload', attempt: 0}});
		t.truthy((info?.error as {issues?: object[]} | undefined)?.issues?.[0]);
	}
	t.deepEqual(await Promise.all([some[0], some[2]].map(job => faena.job(job?.id ?? 0).result())), [1, 9]);
});

test('a result that the schema refuses fails the execution, as any other error', async t => {
	await using faena = await openForTest(tasks.tasks, {defaults: {maxAttempts: 2, backoff: 0}});
	t.is(await faena.call('double', 5), 10);
	const job = await faena.enqueue('double', 6);
	await faena.drain();
	t.like(await job.info(), {status: 'dead', attempts: 2, error: {reason: 'badResult', code: 'InvalidResult'}});
	await t.throwsAsync(faena.enqueue('double', '6' as never), {code: 'InvalidPayload'});
});

test('runTask() and a direct call check, too; what is no schema is refused', async t => {
	t.is((await runTask(tasks.tasks.double, 4)).result, 8);
	const error = await t.throwsAsync(Promise.resolve(tasks.tasks.charge({amount: 0}, {} as never)));
	t.true(error instanceof FaenaError && error.code === 'InvalidPayload');
});

test('a task of a task has the schema that is given last, and only that one', async t => {
	const first = task((n: number) => n + 1, {input: z.coerce.number()});
	const second = task(first as never, {input: z.string().transform(text => text.length)}) as never;
	t.is((await runTask(first, '41')).result, 42);
	t.is((await runTask(second, 'four' as never)).result, 5 as never);
	t.is((await runTask(task(first, {maxAttempts: 2}), '1')).result, 2);
	await t.throwsAsync(runTask(first, 'x'), {message: /^The payload of task task is not what its schema expects: Invalid input/});
});

test('of several jobs in one call each has its own result, whatever was refused; a wrong number of results is an error', async t => {
	const many = {
		right: task((ns: readonly number[]) => ns.map(n => 10 * n), {batchSize: 4, input: z.number(), output: z.number().max(25)}),
		padded: task(() => [1, 2, 3, 4], {batchSize: 4, input: z.number()}),
	};
	const file = join(makeFolder(t), 'jobs.db');
	await using faena = await openForTest(many, {queue: file, defaults: {maxAttempts: 1}});
	await faena.pause();
	const other = (task: 'right' | 'padded') => [1, 'bad', 2, 3].map(each => ({task, payload: each}));
	const queue = await openQueue(file);
	await queue.enqueue([...other('right'), ...other('padded')]);
	await queue.close();
	await faena.resume();
	await faena.drain();
	t.deepEqual(
		(await faena.jobs().toArray()).map(({status, error}) => error?.reason ?? status),
		['completed', 'badPayload', 'completed', 'badResult', 'threw', 'badPayload', 'threw', 'threw'],
	);
	t.deepEqual(await Promise.all([1, 3].map(id => faena.job(id).result())), [10, 20]);
});

test('a task that calls another one, whose schema refuses that, has failed itself; a schema that throws refuses, too', async t => {
	const inner = task((a: number) => a, {input: z.number()});
	const tasks = {
		outer: async () => inner('x' as never, undefined as never),
		broken: task((a: number) => a, {
			input: z.number().transform(n => {
				if (n > 1) throw new TypeError('a defect');
				return n;
			}),
		}),
	};
	await using faena = await openForTest(tasks, {defaults: {maxAttempts: 2, backoff: 0}});
	const job = await faena.enqueue('outer');
	await faena.drain();
	t.like(await job.info(), {status: 'dead', attempts: 2, error: {reason: 'threw', code: 'InvalidPayload'}});
	const refused = await faena.enqueue('broken', 2);
	await faena.drain();
	t.like(await refused.info(), {
		status: 'dead',
		attempts: 0,
		error: {reason: 'badPayload', message: "The payload of task broken can't be checked, since its schema threw: a defect."},
	});
});
