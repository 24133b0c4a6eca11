import test from 'ava';
import {Calls} from '../../lib/dispatcher/calls.ts';
import type {Committer} from '../../lib/dispatcher/committer.ts';
import type {OpenBatches} from '../../lib/dispatcher/open-batches.ts';
import {Schedules} from '../../lib/dispatcher/schedules.ts';
import type {TaskCounts} from '../../lib/store/store.ts';
import {makeContext} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {override} from '../fixtures/override.ts';
import {MemoryStore} from '../store/oracle.ts';

const NO_JOBS: TaskCounts = {
	...{task: 'count', isPaused: false, blocked: 0, ready: 0, quarantined: 0, delayed: 0, held: 0, failed: 0, parked: 0, running: 0},
	...{completed: 0, dead: 0, cancelled: 0},
};

/** Two calls, of which the second does not wait for delayed jobs. */
async function setUp(...counts: readonly Partial<TaskCounts>[]) {
	const store = override(new MemoryStore(), () => ({counts: async () => counts.map(each => ({...NO_JOBS, ...each}))}));
	const {context, flush} = makeContext(store, {clock: new HandClock()});
	const committer = {demand: {tasks: new Map(['count', 'other'].map(task => [task, {}]))}, waiting: {}, isDue: false} as unknown as Committer & {
		isDue: boolean;
	};
	const calls = new Calls(context, committer, undefined as unknown as OpenBatches, new Schedules(context, committer));
	context.agenda.set('moments', Infinity);
	calls.waiting.push({call: 1, type: 'idle', waiting: true});
	calls.waiting.push({call: 2, type: 'idle', waiting: false});
	await calls.perform();
	const answered = async (isDue = false, mayUnblock = false) => {
		Object.assign(committer, {isDue, mayUnblock, jobsMayBeReady: () => undefined});
		await calls.answerIdle();
		return flush().replies.map(({call}) => call);
	};
	return {calls, answered};
}

const CASES: Readonly<Record<string, readonly [counts: readonly Partial<TaskCounts>[], answered: readonly number[]]>> = {
	'no job': [[], [1, 2]],
	'jobs that have ended, or are parked': [[{completed: 1, dead: 1, cancelled: 1, parked: 1}], [1, 2]],
	'a job that runs': [[{running: 1}], []],
	'a job that runs of a paused task': [[{running: 1, isPaused: true}], []],
	'a ready job': [[{ready: 1}], []],
	'a suspect that is ready': [[{quarantined: 1}], []],
	'ready jobs of a paused task': [[{ready: 1, quarantined: 1, isPaused: true}], [1, 2]],
	'a ready job of a task of its own and one of another engine': [[{task: 'other', ready: 1}, {task: 'foreign'}], []],
	'jobs of tasks of other engines': [[{task: 'foreign', ready: 1, running: 1, delayed: 1}], [1, 2]],
	'a delayed job': [[{delayed: 1}], [2]],
	'a job that waits to be tried again': [[{failed: 1}], [2]],
	'delayed jobs of a paused task': [[{delayed: 1, failed: 1, isPaused: true}], [1, 2]],
};

for (const [what, [counts, answered]] of Object.entries(CASES)) {
	test(`with ${what} in the store, of the call that waits for delayed jobs and the one that does not ${answered.length} are answered`, async t => {
		const idle = await setUp(...counts);
		t.deepEqual(await idle.answered(), answered);
		t.is(idle.calls.idle.length > 0, answered.length < 2);
		t.deepEqual(await idle.answered(), []);
	});
}

test('a call that does not wait for delayed jobs waits for one that is due', async t => {
	const {answered} = await setUp({delayed: 1});
	t.deepEqual(await answered(true), []);
	t.deepEqual(await answered(false), [2]);
});

test('no call is answered while a change is on its way to jobs that wait', async t => {
	const {answered} = await setUp();
	t.deepEqual(await answered(false, true), []);
	t.deepEqual(await answered(), [1, 2]);
});
