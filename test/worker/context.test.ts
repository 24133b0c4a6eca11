import test from 'ava';
import {JobBuilder} from '../../lib/job/new-job.ts';
import {PoolChunkState} from '../../lib/pool/pool.ts';
import {Execution, type JobContext} from '../../lib/worker/context.ts';
import type {UpdateMessage} from '../../lib/worker/messages.ts';

const GROUP = {task: 'hash', lease: 1, maxAttempts: 3, ids: 7, executions: 1, createdAt: 0, values: ['1']};

/** A context, what it has posted, and the last progress that it has shown. */
function make() {
	const updates: UpdateMessage[] = [];
	const chunkState = PoolChunkState.create(1);
	const {context} = new Execution(
		{
			message: {type: 'chunk', chunk: 1, chunkState: 1, group: GROUP},
			payloads: ['1'],
			parents: undefined,
			chunkState,
			outcomes: undefined as never,
			resource: 'model',
			retryIf: undefined,
			run: undefined,
			options: {
				maxValueBytes: 1000,
				maxCheckpointBytes: 1000,
				builder: new JobBuilder([{name: 'hash', options: {}}], {}, 1000),
				commands: undefined as never,
				slot: 1,
				post: update => void updates.push(update as UpdateMessage),
			},
		},
		0,
		1,
	);
	return {context, updates, progress: () => chunkState.progress()?.progress.done};
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
	t.is(progress(), 1);
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
		t.deepEqual([updates, progress()], [[], undefined]);
	});
}

/** Longer than updates wait for company. */
function afterNotes(): Promise<void> {
	return new Promise(resolve => setTimeout(resolve, 100));
}

test('a progress that is not a number is refused; the error shows the value', t => {
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
