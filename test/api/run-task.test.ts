import test from 'ava';
import {defineTasks, PermanentError, type TaskContext, task} from '../../lib/index.ts';
import {openForTest, runTask} from '../../lib/testing.ts';

interface Place {
	readonly next: number;
}

const crawl = task(
	async (upTo: number, ctx: TaskContext<{resource: string[]; state: Place}>) => {
		let {next} = ctx.resumeFrom ?? {next: 1};
		for (; next <= upTo && !ctx.cancelled; next++) {
			ctx.resource.push(`page ${next}`);
			ctx.log.warn('page', next);
			ctx.enqueue('fetchPage', {page: next}, {key: `${next}`, delay: '1m'});
			ctx.progress(next, upTo);
			ctx.checkpoint({next: next + 1});
		}
		return {read: ctx.resource, execution: ctx.job.execution, name: ctx.job.task, when: new Date(0)};
	},
	{setup: () => ['set up'], timeout: '1m'},
);
const fetchPage = ({page}: {page: number}) => page;
const tasks = {crawl, fetchPage};

test('a task runs with its setup and a real context; what it returned, logged, enqueued and checkpointed comes back', async t => {
	const {result, logs, enqueued, checkpoint, progress} = await runTask(crawl, 4, {tasks, resumeFrom: {next: 3}});
	t.deepEqual(result, {read: ['set up', 'page 3', 'page 4'], execution: 2, name: 'crawl', when: new Date(0)});
	t.deepEqual(
		logs.map(({level, text}) => `${level} ${text}`),
		['warn page 3', 'warn page 4'],
	);
	t.deepEqual(enqueued, [
		{task: 'fetchPage', payload: {page: 3}, key: '3', delayMs: 60_000},
		{task: 'fetchPage', payload: {page: 4}, key: '4', delayMs: 60_000},
	]);
	t.deepEqual(checkpoint, {next: 5});
	t.like(progress, {done: 4, total: 4});
	const again = await runTask(crawl, 0, {tasks});
	t.like(again.result, {read: ['set up'], execution: 1});
	t.deepEqual([again.logs, again.enqueued, again.checkpoint, again.progress], [[], [], undefined, undefined]);
});

test('what a task enqueues has the options that it gave, and for which jobs it waits', async t => {
	const fan = (_: null, {enqueue}: TaskContext) => {
		const parts = [enqueue('crawl', 1), enqueue('crawl', 2)];
		enqueue('fetchPage', {page: 0}, {dependsOn: parts, priority: 3, maxAttempts: 9});
	};
	t.deepEqual((await runTask(fan, null, {tasks})).enqueued.at(-1), {
		...{task: 'fetchPage', payload: {page: 0}, priority: 3, maxAttempts: 9},
		dependsOn: [{index: 0}, {index: 1}],
	});
});

test('a task gets results of other jobs, runs commands, and takes several payloads at once', async t => {
	const sum = (_: null, {results}: TaskContext<{results: [number, number]}>) => results[0] + results[1];
	t.is((await runTask(sum, null, {results: [2, 3]})).result, 5);
	const shout = async (word: string, {exec}: TaskContext) => (await exec('printf "%s!" "$1"', [word], {shell: true})).stdout;
	t.is((await runTask(shout, 'hey')).result, 'hey!');
	const lengths = task((words: readonly string[]) => words.map(word => word.length), {batchSize: 8});
	t.is((await runTask(lengths, 'four')).result, 4);
	t.is((await runTask(() => 'nothing')).result, 'nothing');
});

test('what a task throws is thrown, or told; so is what can not be stored', async t => {
	const boom = (_: number, {log}: TaskContext) => {
		log('before');
		throw new PermanentError('no', {cause: new RangeError('deep')});
	};
	const error = await t.throwsAsync(runTask(boom, 1), {message: 'no', name: 'PermanentError'});
	t.true(error?.cause instanceof RangeError);
	const run = await runTask(boom, 1, {reject: false});
	t.like(run.error, {reason: 'threw', retry: 'never', attempt: 1, message: 'no'});
	t.deepEqual(run.logs, [{level: 'info', text: 'before'}]);
	await t.throwsAsync(
		runTask(() => () => 1),
		{message: /^result is a function, which can't be stored/},
	);
	await t.throwsAsync(
		runTask(
			(_: unknown) => 1,
			() => 1,
		),
		{code: 'NotEncodable'},
	);
	await t.throwsAsync(runTask(crawl, 1), {code: 'UnknownTask', message: /fetchPage/});
	await t.throwsAsync(runTask('crawl' as never, 1), {code: 'BadOption', message: /^runTask\(\) expects as its first argument a function; it got "crawl"\.$/});
	await t.throwsAsync(runTask(crawl, 1, {resumFrom: 1} as never), {code: 'BadOption', message: /did you mean "resumeFrom"/});
});

test('a signal cancels the task, before or while it runs', async t => {
	const aborts = new AbortController();
	const waits = async (_: null, {signal, log}: TaskContext) => {
		log('waits');
		aborts.abort();
		await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
	};
	const {error, logs} = await runTask(waits, null, {signal: aborts.signal, reject: false});
	t.like(error, {reason: 'cancelled', cause: {name: 'AbortError'}});
	t.deepEqual(logs, [{level: 'info', text: 'waits'}]);
	await t.throwsAsync(runTask(waits, null, {signal: AbortSignal.abort()}), {code: 'JobCancelled', message: 'The task was cancelled before it ran.'});
});

test('runTask() and openForTest() take what defineTasks() made, or a module that exports it', async t => {
	const defined = defineTasks(import.meta.url, tasks);
	for (const given of [defined, {tasks: defined, helper: () => 1}]) {
		t.is((await runTask(crawl, 2, {tasks: given})).enqueued.length, 2);
		await using faena = await openForTest<typeof tasks>(given as typeof defined);
		t.is(await faena.call('fetchPage', {page: 7}), 7);
	}
});

test('a task with onDead runs alone, and its job can have a key, attempts and the moment of a schedule', async t => {
	const nightly = task((_: null, {job}: TaskContext) => job, {onDead: 'tell', maxAttempts: 4});
	const at = new Date('2026-12-03T02:30:00Z');
	const {result} = await runTask(nightly, null, {job: {key: 'k', attempts: 2, scheduledAt: at.getTime()}});
	t.like(result, {key: 'k', attempts: 2, maxAttempts: 4, scheduledAt: at.getTime()});
	await t.throwsAsync(runTask(nightly, null, {job: {kye: 'k'} as never}), {code: 'BadOption', message: /has no option "kye"/});
});
