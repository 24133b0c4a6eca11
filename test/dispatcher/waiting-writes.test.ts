import test from 'ava';
import {Agenda} from '../../lib/dispatcher/agenda.ts';
import {EnqueueCalls} from '../../lib/dispatcher/enqueue-calls.ts';
import {WaitingWrites} from '../../lib/dispatcher/waiting-writes.ts';
import {toEndedGroup} from '../../lib/job/groups/single-jobs.ts';
import type {LogLine} from '../../lib/job/job.ts';
import {makeContext, POLICY} from '../fixtures/dispatcher.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {MemoryStore} from '../store/oracle.ts';

const MIB = 1024 ** 2;
const RUNNING = {id: 1, lease: 1, execution: 1};

function setUp() {
	const clock = new HandClock();
	const {context} = makeContext(new MemoryStore({clock}), {clock, agenda: new Agenda(clock)});
	return {waiting: new WaitingWrites(context), agenda: context.agenda};
}

function line(text: string): Omit<LogLine, 'execution'> {
	return {at: 1, level: 'info', text};
}

test('while the store is away, one update of each running job waits: the last progress and checkpoint, and the log lines that a store keeps', t => {
	const {waiting} = setUp();
	const state = new Uint8Array(MIB);
	waiting.update({...RUNNING, startedAt: 5});
	// Two thousand tell as much as 4 GiB, and 4000 lines.
	for (let round = 1; round <= 2000; round++) {
		for (const id of [1, 2]) waiting.update({...RUNNING, id, progress: {done: round, at: round}, logs: [line(`a${round}`), line(`b${round}`)]});
		waiting.update({...RUNNING, checkpoint: {at: round, state}});
		// Each try to write them fails.
		if (round % 100 === 0) waiting.putBack(waiting.take());
	}
	const {updates} = waiting.take();
	t.like(updates, {...[{...RUNNING, startedAt: 5, progress: {done: 2000, at: 2000}, checkpoint: {at: 2000, state}}, {id: 2}], length: 2});
	for (const {logs = []} of updates) {
		t.is(logs.length, 200);
		t.deepEqual([logs.at(0)?.text, logs.at(-1)?.text], ['a1901', 'b2000']);
	}
	t.false(waiting.hasUpdates);
});

test('executions of one job, and those of another lease, have updates of their own', t => {
	const {waiting} = setUp();
	for (const other of [{}, {execution: 2}, {lease: 2}]) waiting.update({...RUNNING, ...other, startedAt: 1});
	t.is(waiting.take().updates.length, 3);
});

test('a transaction writes about 64 MiB: what is left is due at once, in order, and an outcome never goes before an update', t => {
	const {waiting, agenda} = setUp();
	const value = new Uint8Array(8 * MIB);
	for (let id = 1; id <= 40; id++) {
		waiting.update({...RUNNING, id, checkpoint: {at: 1, state: value}});
		waiting.settle([toEndedGroup([{...RUNNING, id, outcome: {type: 'returned', value}}])]);
	}
	const order: string[] = [];
	let taken = 0;
	for (; waiting.hasUpdates || waiting.hasOutcomes; taken++) {
		const {updates, settle} = waiting.take();
		t.is(updates.length + settle.length, 8);
		order.push(...updates.map(({id}) => `update ${id}`), ...settle.map(({ids}) => `end ${ids}`));
		t.is(agenda.inMs('updates'), waiting.hasUpdates ? 0 : Infinity);
		t.is(agenda.inMs('outcomes'), waiting.hasOutcomes ? 0 : Infinity);
	}
	t.is(taken, 10);
	const each = Array.from({length: 40}, (_, index) => index + 1);
	t.deepEqual(order, [...each.map(id => `update ${id}`), ...each.map(id => `end ${id}`)]);
});

test('children that an outcome enqueues, and log lines, count as what a transaction writes', t => {
	const {waiting} = setUp();
	const child = {task: 'count', payload: 'x'.repeat(40 * MIB), priority: 0, runAt: null, policy: POLICY};
	for (const id of [1, 2, 3]) {
		waiting.settle([toEndedGroup([{...RUNNING, id, outcome: {type: 'returned', value: null, enqueue: [child]}}])]);
		waiting.update({...RUNNING, id, logs: [line('y'.repeat(40 * MIB))]});
	}
	const sizes = [1, 2, 3, 4].map(() => waiting.take()).map(({updates, settle}) => [updates.length, settle.length]);
	t.deepEqual(sizes, [
		[2, 0],
		[1, 1],
		[0, 2],
		[0, 0],
	]);
});

test('a transaction takes in calls that enqueue about 64 MiB, also past calls that wait for room', t => {
	for (const waits of [undefined, 1]) {
		const calls = new EnqueueCalls();
		const push = (call: number) => {
			const group = {task: `task ${call}`, values: [new Uint8Array(10 * MIB)], priority: 0, runAt: null, policy: POLICY};
			calls.push({call, type: 'enqueue', group, watch: false, ...(waits !== undefined && {waits})});
		};
		for (let call = 1; call <= 70; call++) push(call);
		const taken = Array.from({length: 11}, () => calls.take().map(({call}) => call));
		t.deepEqual(
			taken.map(({length}) => length),
			[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0],
		);
		t.deepEqual(
			taken.flat(),
			Array.from({length: 70}, (_, index) => index + 1),
		);
	}
});
