import type {ExecutionContext} from 'ava';
import type {Engine, JobError, JobHandle, JobOutcome} from '../../lib/index.ts';
import type {PostMortem} from '../../lib/job/failure.ts';
import {openEngine, type Tasks, test} from '../fixtures/engine.ts';

async function knowsThatItWasAtThree(t: ExecutionContext, faena: Engine<Tasks>, id: number): Promise<void> {
	const job = await faena.job(id).info();
	t.like(job?.error, {postMortem: {progress: {done: 3, total: 4}}});
	t.like(job?.progress, {done: 3, total: 4});
	t.like(job?.checkpoint, {execution: 1, state: {next: 3}});
	t.deepEqual(
		job?.logs.map(({text}) => text),
		['begins', 'goes on'],
	);
}

/** Runs a job that gets stuck. While others load the machine, its worker may not get to answer in time; then it runs another one. */
async function getStuck(t: ExecutionContext, run: () => Promise<JobHandle<unknown>>): Promise<{outcome: JobOutcome; postMortem: PostMortem | undefined}> {
	t.timeout(240_000);
	for (let tries = 1; ; tries++) {
		const job = await run();
		const outcome = await job.outcome();
		const {postMortem} = (await job.info())?.error ?? {};
		if (tries === 10 || !postMortem?.noStack?.includes('did not answer')) return {outcome, postMortem};
	}
}

for (const isolation of ['thread', 'process'] as const) {
	test(`the post-mortem of a job that timed out in an endless loop has its times, its progress and its place (${isolation})`, async t => {
		const faena = await openEngine(t, {isolation, workers: 1, postMortem: true});
		const before = Date.now();
		const {outcome, postMortem} = await getStuck(t, () => faena.enqueue('lostInThought', 7, {timeout: 300, maxAttempts: 1}));
		t.is(outcome.status, 'dead');
		t.like(postMortem, {execution: 1, attempt: 1, progress: {done: 7, total: 10}});
		t.true((postMortem?.startedAt ?? 0) >= before - 5 && (postMortem?.durationMs ?? 0) >= 300);
		t.regex(postMortem?.stack ?? '', /^ {4}at ponder \(file:.*tasks\.ts:\d+:\d+\)\n {4}at lostInThought \(/);
		t.true((postMortem?.heap?.usedBytes ?? 0) > 1e6 && (postMortem?.heap?.limitBytes ?? 0) > 1e7);
		if (outcome.status === 'dead') t.like(outcome.error, {postMortem: {execution: 1}});
	});

	test(`a job that was cancelled while it ran keeps where it was, and is charged nothing (${isolation})`, async t => {
		const faena = await openEngine(t, {isolation, workers: 1});
		const runs = new Promise(resolve => faena.once('progress', resolve));
		const job = await faena.enqueue('lostInThought', 1);
		await runs;
		await faena.cancel(job.id);
		t.is((await job.outcome()).status, 'cancelled');
		t.like((await job.info())?.error, {reason: 'cancelled', postMortem: {execution: 1, attempt: 0, progress: {done: 1}}});
	});

	test(`a job that ended its worker keeps the exit code and the last output (${isolation})`, async t => {
		const faena = await openEngine(t, {isolation, workers: 1});
		const job = await faena.enqueue('disasterAtThree', 'exit', {maxAttempts: 1});
		await job.outcome();
		t.like((await job.info())?.error, {reason: 'lostWorker', exitCode: 7, postMortem: {execution: 1, attempt: 1}});
		await knowsThatItWasAtThree(t, faena, job.id);
	});

	test(`a job that ran out of memory keeps the last output, and the size of the heap (${isolation})`, async t => {
		const faena = await openEngine(t, {isolation, workers: 1, resourceLimits: {maxOldGenerationSizeMb: 64}});
		const job = await faena.enqueue('disasterAtThree', 'outOfMemory', {maxAttempts: 1});
		await job.outcome();
		t.like((await job.info())?.error, {reason: 'lostWorker', postMortem: {attempt: 1, heap: {limitBytes: 64 * 1024 ** 2}}});
		await knowsThatItWasAtThree(t, faena, job.id);
	});

	test(`the post-mortem of a job in native code says that its place is not known (${isolation})`, async t => {
		const faena = await openEngine(t, {isolation, workers: 1, postMortem: true});
		const job = await faena.enqueue('digestDeeply', undefined, {timeout: 50, maxAttempts: 1});
		await job.outcome();
		const {postMortem} = (await job.info())?.error ?? {};
		t.regex(postMortem?.noStack ?? '', /did not answer/);
	});

	test(`the post-mortem of a job that waits for ever says so, and for what it waits (${isolation})`, async t => {
		const faena = await openEngine(t, {isolation, workers: 1, postMortem: true});
		const waitFor = async (what: 'promise' | 'timer') =>
			(await getStuck(t, () => faena.enqueue('awaitForever', what, {timeout: 100, maxAttempts: 1}))).postMortem;
		const never = await waitFor('promise');
		t.is(never?.noStack, 'It was waiting, with nothing of it on the stack. Its worker had nothing open: no timer, file or socket.');
		t.true((never?.heap?.usedBytes ?? 0) > 1e6);
		const slow = await waitFor('timer');
		t.is(slow?.noStack, 'It was waiting, with nothing of it on the stack. Its worker had open: Timeout.');
	});
}

test('unless it is asked for, no stack of a thread is read, and a stuck job keeps everything else', async t => {
	const faena = await openEngine(t, {workers: 1});
	const job = await faena.enqueue('lostInThought', 7, {timeout: 300, maxAttempts: 1});
	await job.outcome();
	const {postMortem} = (await job.info())?.error ?? {};
	t.like(postMortem, {execution: 1, attempt: 1, progress: {done: 7, total: 10}, stack: undefined});
	t.regex(postMortem?.noStack ?? '', /only with open\(\{postMortem: true\}\)/);
	t.true((postMortem?.heap?.usedBytes ?? 0) > 1e6);
});

test('in a child process the stack of a stuck job is read unasked', async t => {
	const faena = await openEngine(t, {isolation: 'process', workers: 1});
	const {postMortem} = await getStuck(t, () => faena.enqueue('lostInThought', 7, {timeout: 300, maxAttempts: 1}));
	t.regex(postMortem?.stack ?? '', /at ponder /);
});

test('a job that crashed natively keeps the signal and the last output', async t => {
	const faena = await openEngine(t, {isolation: 'process', workers: 1});
	const job = await faena.enqueue('disasterAtThree', 'abort', {maxAttempts: 1});
	await job.outcome();
	t.like((await job.info())?.error, {reason: 'lostWorker', signal: 'SIGABRT', postMortem: {attempt: 1}});
	await knowsThatItWasAtThree(t, faena, job.id);
});

for (const isolation of ['thread', 'process', 'inline'] as const) {
	test(`a job that heeds its cancellation keeps its times, its progress, and the error that it threw then (${isolation})`, async t => {
		const faena = await openEngine(t, {isolation, workers: 1, grace: 60_000});
		const before = Date.now();
		const waits = new Promise(resolve => faena.once('progress', resolve));
		const job = await faena.enqueue('heedSignal', null);
		await waits;
		await faena.cancel(job.id);
		t.is((await job.outcome()).status, 'cancelled');
		const {reason, cause, postMortem} = ((await job.info()) as {error: JobError}).error;
		t.is(reason, 'cancelled');
		t.like(cause, {name: 'AbortError', message: 'The job was cancelled.'});
		const {startedAt = 0, durationMs = -1, ...rest} = postMortem ?? {};
		t.like(rest, {execution: 1, attempt: 0, progress: {done: 1, total: 2}});
		t.deepEqual(Object.keys(rest), ['execution', 'attempt', 'progress']);
		t.true(startedAt >= before - 5 && startedAt + durationMs <= Date.now() + 5);
	});
}

test('a job that heeds its timeout has no stack, since its worker went on', async t => {
	const faena = await openEngine(t, {workers: 1, grace: 60_000});
	const job = await faena.enqueue('heed', null, {timeout: 50, maxAttempts: 1});
	await job.outcome();
	const {postMortem} = (await job.info())?.error ?? {};
	t.is(postMortem?.execution, 1);
	t.false('stack' in (postMortem ?? {}) || 'noStack' in (postMortem ?? {}));
});
