import test from 'ava';
import {JobMaker} from '../../lib/job/new-job.ts';
import {JobContext} from '../../lib/worker/context.ts';
import type {JobUpdate} from '../../lib/worker/updates.ts';

const JOB = {id: 7, task: 'hash', execution: 1, attempts: 0, maxAttempts: 3};

/** A context, and what its host was told. */
function make() {
	const updates: JobUpdate[] = [];
	const progress: number[] = [];
	const context = new JobContext(
		{
			job: JOB,
			checkpoint: undefined,
			stopReason: () => undefined,
			stopped: () => Promise.resolve(),
			progress: done => void progress.push(done),
			update: update => void updates.push(update),
		},
		{maxCheckpointBytes: 1000, resource: 'model', maker: new JobMaker([{name: 'hash', options: {}}], {}, 1000)},
	);
	return {context, updates, progress};
}

test('the methods of a context may be taken out of it', t => {
	const {context, updates, progress} = make();
	const {progress: say, log, checkpoint, enqueue} = context;
	say(1, 2);
	log('one');
	log.warn('two');
	checkpoint({at: 3});
	enqueue('hash', 4);
	t.like(context.close(), [{task: 'hash', payload: '4'}]);
	t.deepEqual(progress, [1]);
	const lines = updates.flatMap(({logs}) => logs ?? []);
	t.deepEqual(
		lines.map(({level, text}) => [level, text]),
		[
			['info', 'one'],
			['warn', 'two'],
		],
	);
	t.is(updates.findLast(update => update.checkpoint)?.checkpoint?.state, '{"at":3}');
});

/** What a task may have left running says this after its job has ended. */
const LATE: Readonly<Record<string, (context: JobContext) => void>> = {
	progress: context => context.progress(5),
	log: context => context.log('late'),
	checkpoint: context => context.checkpoint('late'),
};

for (const [what, say] of Object.entries(LATE)) {
	test(`${what} after the job has ended is dropped`, async t => {
		const {context, updates, progress} = make();
		context.close();
		say(context);
		await afterNotes();
		t.deepEqual([updates, progress], [[], []]);
	});
}

/** Longer than updates wait for company. */
function afterNotes(): Promise<void> {
	return new Promise(resolve => setTimeout(resolve, 100));
}

test('progress that is no number is refused with what came', t => {
	const {context} = make();
	const progress = context.progress as (...all: unknown[]) => void;
	const cases: readonly (readonly [unknown[], string])[] = [
		[['5'], 'as done a number; it got "5".'],
		[[Number.NaN], 'as done a number; it got NaN.'],
		[[{done: 1}], 'as done a number; it got an object.'],
		[[5, '10'], 'as total a number; it got "10".'],
	];
	for (const [given, words] of cases) t.throws(() => progress(...given), {code: 'BadOption', message: `ctx.progress() expects ${words}`});
});
