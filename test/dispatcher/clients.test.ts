import test from 'ava';
import {Clients} from '../../lib/dispatcher/clients.ts';
import type {Outcome} from '../../lib/job/claim.ts';
import type {EventName} from '../../lib/job/events.ts';
import type {NewGroup} from '../../lib/job/groups/group.ts';
import type {JobId} from '../../lib/job/job.ts';
import type {Settled} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {arm} from '../../lib/support/failpoint.ts';
import type {EnqueueCall, EnqueueReply, RepliesMessage} from '../../lib/transport/messages.ts';
import {POLICY} from '../fixtures/dispatcher.ts';
import {claimedGroup, endedGroup, returnedGroup} from '../fixtures/groups.ts';
import {noticesOf} from '../fixtures/notices.ts';
import {MemoryStore} from '../store/oracle.ts';

const EVENTS: readonly EventName[] = ['completed', 'failed', 'dead', 'cancelled', 'progress', 'log', 'recovered'];

function setUp(events: readonly EventName[] = EVENTS) {
	const messages: RepliesMessage[] = [];
	const clients = new Clients(new MemoryStore(), message => void messages.push(message as RepliesMessage), events);
	/** What leaves now. */
	const flush = (): Partial<RepliesMessage> => {
		clients.flush();
		const message = messages.pop();
		if (!message) return {};
		const {completed: _, ...rest} = {...message, notices: noticesOf(message)};
		return rest;
	};
	return {clients, messages, flush};
}

function enqueueCall(call: number, jobs: number, watch = false): EnqueueCall & {readonly call: number} {
	const group: NewGroup = {task: 'count', values: {count: jobs, text: null}, priority: 0, runAt: null, policy: POLICY};
	return {call, type: 'enqueue', group, watch};
}

test('replies, notices and events leave together, once', t => {
	const {clients, messages, flush} = setUp();
	clients.watch([1]);
	clients.reply(1, 'value');
	clients.refuse(2, new FaenaError('Closed', 'closed'));
	clients.publish({type: 'recovered', jobs: 3});
	clients.notifyEnd(1, () => ({id: 1, status: 'missing', result: null}));
	t.deepEqual(messages, []);
	const message = flush();
	t.is(message.type, 'replies');
	t.deepEqual(message.replies?.[0], {call: 1, value: 'value'});
	t.like(message.replies?.[1], {call: 2, error: {code: 'Closed', message: 'closed'}});
	t.deepEqual(message.notices, [{id: 1, status: 'missing', result: null}]);
	t.deepEqual(message.events, [{type: 'recovered', jobs: 3}]);
	t.deepEqual(flush(), {});
	clients.reply(3, undefined);
	t.deepEqual(flush(), {type: 'replies', replies: [{call: 3, value: undefined}], notices: [], events: []});
});

test.serial('replies leave at a moment at which a program under test can be made to die; nothing to say passes none', t => {
	const {clients} = setUp();
	const disarm = arm({'replies:ready': 'throw'});
	clients.flush();
	clients.reply(1, undefined);
	t.throws(() => clients.flush(), {message: 'The failpoint replies:ready was reached.'});
	disarm();
});

test('a notice or an event is also sent by itself', t => {
	const {clients, flush} = setUp();
	clients.publish({type: 'recovered', jobs: 1});
	clients.publish({type: 'recovered', jobs: 2});
	t.deepEqual(flush().events, [
		{type: 'recovered', jobs: 1},
		{type: 'recovered', jobs: 2},
	]);
	clients.watch([1]);
	clients.notifyEnd(1, () => ({id: 1, status: 'missing', result: null}));
	t.is(flush().notices?.length, 1);
});

test('only events that a caller listens to are kept, from the moment it says so', t => {
	const {clients, flush} = setUp(['memoryShort']);
	clients.publish({type: 'recovered', jobs: 1});
	clients.updated({id: 1, lease: 1, execution: 1, progress: {done: 1, at: 5}, logs: [{at: 1, level: 'info', text: 'x'}], claimed: claimedGroup(1)});
	t.deepEqual(flush(), {});
	for (const id of [1, 2]) clients.publish({type: 'memoryShort', id});
	t.deepEqual(flush().events, [
		{type: 'memoryShort', id: 1},
		{type: 'memoryShort', id: 2},
	]);
	clients.subscribe(['recovered']);
	clients.publish({type: 'memoryShort', id: 1});
	clients.publish({type: 'recovered', jobs: 1});
	t.deepEqual(flush().events, [{type: 'recovered', jobs: 1}]);
});

test('progress and log lines of running jobs are events', t => {
	const {clients, flush} = setUp();
	const logs = [{at: 1, level: 'info', text: 'x'} as const, {at: 2, level: 'warn', text: 'y'} as const];
	const claimed = claimedGroup(9);
	clients.updated({id: 7, lease: 1, execution: 1, progress: {done: 1, at: 5}, logs, claimed});
	clients.updated({id: 8, lease: 1, execution: 1, progress: {done: 1, total: 0, at: 5}, claimed});
	clients.updated({id: 9, lease: 1, execution: 1, startedAt: 1, claimed});
	t.deepEqual(flush().events, [
		{type: 'progress', id: 7, ...ABOUT, done: 1},
		{type: 'log', id: 7, ...ABOUT, at: 1, level: 'info', text: 'x'},
		{type: 'log', id: 7, ...ABOUT, at: 2, level: 'warn', text: 'y'},
		{type: 'progress', id: 8, ...ABOUT, done: 1, total: 0},
	]);
});

test('each enqueue call is answered with the result of its own group', t => {
	const {clients, flush} = setUp();
	const results: EnqueueReply[] = [{ids: 1}, {ids: [5, 9], reused: [1]}];
	for (const [index, result] of results.entries()) clients.enqueued(enqueueCall(index + 1, 3 - index), result);
	t.deepEqual(flush().replies, [
		{call: 1, value: results[0]},
		{call: 2, value: results[1]},
	]);
	t.is(clients.watched.size === 0, true);
});

test('a caller that watches the jobs that it enqueues gets their ends: jobs that existed before are looked up; a job in conflict is not watched', async t => {
	const {clients, flush} = setUp();
	clients.enqueued(enqueueCall(1, 2, true), {ids: 1});
	clients.enqueued(enqueueCall(2, 2, true), {ids: [5, 9], reused: [1]});
	clients.enqueued(enqueueCall(3, 2, true), {ids: [4, 6], conflicts: [0]});
	clients.enqueued(enqueueCall(4, 1, true), {ids: [], full: {of: 'all', pending: 9, limit: 9, retryAfterMs: 1000}});
	await clients.lookUp();
	// The store has no such job.
	t.deepEqual(flush().notices, [{id: 9, status: 'missing', result: null, earlier: true}]);
	for (const id of [1, 2, 4, 5, 6]) clients.notifyEnd(id, () => ({id, status: 'missing', result: null}));
	t.deepEqual(
		flush().notices?.map(({id}) => id),
		[1, 2, 5, 6],
	);
});

test('a caller that gives up one of the jobs that it has enqueued together hears no more of it, and still of the others', t => {
	const {clients, flush} = setUp([]);
	clients.enqueued(enqueueCall(1, 3, true), {ids: 1});
	clients.unwatch([2]);
	t.deepEqual(
		[1, 2, 3].map(id => clients.awaits(returnedGroup([1], {ids: id}))),
		[true, false, true],
	);
	for (const id of [1, 2, 3]) clients.notifyEnd(id, () => ({id, status: 'missing', result: null}));
	t.deepEqual(
		flush().notices?.map(({id}) => id),
		[1, 3],
	);
});

/** What events say of a job of these tests. */
const ABOUT = {task: 'count', attempt: 1};
const ERROR = {reason: 'threw', name: 'Error', message: 'it failed'} as const;
const THREW: Outcome = {type: 'threw', error: ERROR, durationMs: 5};
const RETURNED: Outcome = {type: 'returned', value: '1', durationMs: 5};

const ENDS: Readonly<Record<string, readonly [outcome: Outcome, status: Settled, event: object | undefined, notice: object | undefined]>> = {
	'an execution that completed': [RETURNED, 'completed', {type: 'completed', durationMs: 5}, {status: 'completed', result: '1'}],
	'one that will be tried again': [THREW, 'failed', {type: 'failed', error: ERROR, durationMs: 5}, undefined],
	'the last one of a job': [
		THREW,
		'dead',
		{type: 'dead', error: ERROR, durationMs: 5, why: 'maxAttempts'},
		{status: 'dead', result: null, error: ERROR, execution: {number: 1, durationMs: 5}},
	],
	'a cancelled one': [{type: 'cancelled'}, 'cancelled', {type: 'cancelled'}, {status: 'cancelled', result: null, execution: {number: 1}}],
	'a cancelled one that ran': [
		{type: 'cancelled', error: ERROR},
		'cancelled',
		{type: 'cancelled', error: ERROR},
		{status: 'cancelled', result: null, error: ERROR, execution: {number: 1}},
	],
	'a released one': [{type: 'released'}, 'pending', undefined, undefined],
	'one that was released until its job was dead': [{type: 'released'}, 'dead', undefined, {status: 'dead', result: null, execution: {number: 1}}],
	'one whose claim was lost': [RETURNED, 'lost', undefined, undefined],
	'one of a job that was discarded': [RETURNED, 'discarded', undefined, undefined],
};

for (const [what, [outcome, status, event, notice]] of Object.entries(ENDS)) {
	test(`of ${what}, a caller hears ${event ? 'an event' : 'no event'} and ${notice ? 'a notice' : 'no notice'}`, t => {
		const {clients, flush} = setUp();
		clients.watch([1, 2, 3]);
		const others = new Map<number, Settled>(status === 'completed' ? [] : [[1, status]]);
		clients.settled(endedGroup([THREW, outcome, RETURNED]), {others: new Map([...others, [0, 'lost']])});
		const {events, notices} = flush();
		t.deepEqual(events, [...(event ? [{...event, id: 2, ...ABOUT}] : []), {type: 'completed', id: 3, ...ABOUT, durationMs: 5}]);
		t.deepEqual(
			notices?.toSorted((a, b) => a.id - b.id),
			[...(notice ? [{...notice, id: 2}] : []), {id: 3, status: 'completed', result: '1'}],
		);
	});
}

test('an execution without a known duration took none', t => {
	const {clients, flush} = setUp();
	clients.settled(returnedGroup([NaN]), {others: new Map()});
	t.deepEqual(flush().events, [{type: 'completed', id: 1, ...ABOUT, durationMs: 0}]);
});

test('an execution that returned and failed after all is reported with the reason of the refusal', t => {
	const {clients, flush} = setUp();
	clients.watch([2]);
	clients.settled(endedGroup([RETURNED, RETURNED]), {
		others: new Map([
			[0, 'failed'],
			[1, 'dead'],
		]),
		refusals: new Map([
			[0, ERROR],
			[1, ERROR],
		]),
	});
	const {events, notices} = flush();
	t.deepEqual(events, [
		{type: 'failed', id: 1, ...ABOUT, error: ERROR},
		{type: 'dead', id: 2, ...ABOUT, error: ERROR, why: 'maxAttempts'},
	]);
	t.deepEqual(notices, [{id: 2, status: 'dead', result: null, error: ERROR, execution: {number: 1}}]);
});

const WAYS: Readonly<Record<string, readonly [events: readonly EventName[], watched: readonly JobId[], status: Settled, heard: number]>> = {
	'a caller that listens to nothing and waits for nothing': [[], [], 'completed', 0],
	'a caller that listens to completions': [['completed'], [], 'completed', 1],
	'a caller that waits for the job': [[], [1], 'completed', 1],
	'a caller that waits for another job': [[], [2], 'completed', 0],
	'a caller that listens to deaths': [['dead'], [], 'dead', 1],
	'a caller that listens to completions alone': [['completed'], [], 'dead', 0],
};

for (const [what, [events, watched, status, heard]] of Object.entries(WAYS)) {
	test(`${what} hears ${heard} times of a job that is ${status}`, t => {
		const {clients, flush} = setUp(events);
		clients.watch(watched);
		const others = new Map<number, Settled>(status === 'completed' ? [] : [[0, status]]);
		clients.settled(endedGroup([status === 'completed' ? RETURNED : THREW]), {others});
		const message = flush();
		t.is((message.events?.length ?? 0) + (message.notices?.length ?? 0), heard);
	});
}
