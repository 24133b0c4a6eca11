import test from 'ava';
import {JobEvents} from '../../lib/dispatcher/job-events.ts';
import {type FailureRecord, poison} from '../../lib/job/failure.ts';
import {claimedGroup, endedGroup} from '../fixtures/groups.ts';
import {openRawQueue} from '../fixtures/raw-queue.ts';
import {newJob} from '../store/contract/laws.ts';

const ERROR: FailureRecord = {reason: 'threw', name: 'Error', message: 'it failed'};

test('an event says which job it is about, of which batch, in which attempt, where it ran and how long', async t => {
	const queue = await openRawQueue(':memory:');
	t.teardown(() => queue.close());
	const batch = await queue.openBatch('nightly', 'count', 'owner');
	const events = new JobEvents(queue.store);
	const claimed = claimedGroup(3, {batches: [null, batch, batch], attempts: new Map([[2, 4]]), keys: new Map([[1, 'a']])});
	await events.learn([claimed, undefined]);
	const group = {...endedGroup([], 1), claimed, worker: 'thread 1'};
	const ended = (id: number) => events.ended(group, id, {type: 'returned', value: '1', durationMs: 5}, 'completed');
	t.deepEqual(ended(1), {type: 'completed', id: 1, task: 'count', attempt: 1, worker: 'thread 1', durationMs: 5});
	t.deepEqual(ended(2), {type: 'completed', id: 2, task: 'count', batch: 'nightly', key: 'a', attempt: 1, worker: 'thread 1', durationMs: 5});
	t.deepEqual(ended(3), {type: 'completed', id: 3, task: 'count', batch: 'nightly', attempt: 5, worker: 'thread 1', durationMs: 5});
	t.deepEqual(events.updated({id: 2, lease: 1, execution: 1, progress: {done: 1, total: 2, at: 5}}, claimed), [
		{type: 'progress', id: 2, task: 'count', batch: 'nightly', key: 'a', attempt: 1, done: 1, total: 2},
	]);
});

for (const [why, error] of [
	['maxAttempts', ERROR],
	['noRetry', {...ERROR, retry: 'never'}],
	['maxCrashes', poison(3, ERROR)],
] as const) {
	test(`the event of a dead job says why it has no further attempt: ${why}`, t => {
		const event = new JobEvents({} as never).ended(endedGroup([]), 1, {type: 'threw', error}, 'dead');
		t.like(event, {type: 'dead', why, error});
	});
}

test('jobs that were cancelled before they ran are looked up, however many; those that are gone are left out', async t => {
	const queue = await openRawQueue(':memory:');
	t.teardown(() => queue.close());
	await queue.store.commit({enqueue: [{...newJob(), values: Array.from({length: 150}, () => '1')} as never]});
	const said: unknown[] = [];
	for await (const event of new JobEvents(queue.store).cancelled(Array.from({length: 200}, (_, index) => index + 1))) said.push(event);
	t.is(said.length, 150);
	t.deepEqual(said.at(-1), {type: 'cancelled', id: 150, task: 'hash'});
	for await (const event of new JobEvents(queue.store).cancelled([])) t.fail(JSON.stringify(event));
});
