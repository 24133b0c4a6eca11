import test from 'ava';
import {Clients} from '../../lib/dispatcher/clients.ts';
import {JobEvents} from '../../lib/dispatcher/job-events.ts';
import {type FailureRecord, poison} from '../../lib/job/failure.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import type {RepliesMessage} from '../../lib/transport/messages.ts';
import {claimedGroup, endedGroup} from '../fixtures/groups.ts';
import {override} from '../fixtures/override.ts';
import {openRawQueue} from '../fixtures/raw-queue.ts';
import {newJob} from '../store/contract/laws.ts';
import {MemoryStore} from '../store/oracle.ts';

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

test('the name of a batch that is gone is looked up once', async t => {
	let looks = 0;
	const found = {id: 8, name: 'another one'};
	const events = new JobEvents({batches: async () => ({batches: looks++ === 0 ? [found] : [], next: null})} as never);
	for (let round = 0; round < 2; round++) await events.learn([claimedGroup(1, {batches: 7})]);
	t.is(looks, 1);
	t.deepEqual(events.updated({id: 1, lease: 1, execution: 1, progress: {done: 1, at: 5}}, claimedGroup(1, {batches: 7})), [
		{type: 'progress', id: 1, task: 'count', attempt: 1, done: 1},
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
	const events = new JobEvents(queue.store);
	const said = await events.cancelled(Array.from({length: 200}, (_, index) => index + 1));
	t.is(said.length, 150);
	t.deepEqual(said.at(-1), {type: 'cancelled', id: 150, task: 'hash'});
	t.deepEqual(await events.cancelled([]), []);
});

test('a store that fails while names of batches, or cancelled jobs, are read loses no event and no commit', async t => {
	const memory = new MemoryStore();
	let isAway = true;
	const store = override(memory, inner => ({
		batches: (...args) => (isAway ? Promise.reject(new FaenaError('Unreachable', 'away')) : inner.batches(...args)),
		jobs: (...args) => (isAway ? Promise.reject(new FaenaError('Unreachable', 'away')) : inner.jobs(...args)),
	}));
	const sent: RepliesMessage[] = [];
	const clients = new Clients(store, message => void sent.push(message as RepliesMessage), ['cancelled', 'dead']);
	await memory.commit({enqueue: [{...newJob(), values: ['1']} as never]});
	await memory.move({ids: [1]}, 'cancelled');
	clients.cancelled([1]);
	await t.throwsAsync(clients.lookUp(), {code: 'Unreachable'});
	await t.throwsAsync(clients.learnBatches([{claimed: claimedGroup(1, {batches: 1})}]), {code: 'Unreachable'});
	isAway = false;
	await clients.lookUp();
	clients.flush();
	t.like(sent[0]?.events, [{type: 'cancelled', id: 1, task: 'hash'}]);
});
