import test from 'ava';
import {SignalGate} from '../../lib/dispatcher/signal-gate.ts';
import type {Outcome} from '../../lib/job/claim.ts';
import {type EndedGroup, sizeOf} from '../../lib/job/groups/group.ts';
import {settlementsOf} from '../../lib/job/groups/single-jobs.ts';
import {endedGroup, returnedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';

const THREW: Outcome = {type: 'threw', error: {reason: 'threw', name: 'Error', message: 'ended by a signal'}};
const RETURNED: Outcome = {type: 'returned', value: '1'};
const TIMED_OUT: Outcome = {type: 'timedOut', error: {reason: 'timedOut', name: 'TimedOut', message: 'late'}};

function setUp(asks = true) {
	const [clock, settled] = [new HandClock(), [] as (readonly EndedGroup[])[]];
	let questions = 0;
	const gate = new SignalGate(clock, asks ? () => void questions++ : undefined);
	return {
		...{gate, clock},
		pass: (...groups: EndedGroup[]) => gate.pass(groups, each => void settled.push(each)),
		/** The outcomes that were passed on since the last time, by job. */
		takeSettled: () => describe(settled.splice(0).flat()),
		questions: () => questions,
	};
}

function describe(groups: readonly EndedGroup[]): [id: number, type: string][] {
	if (groups.some(group => sizeOf(group) === 0)) throw new Error('A group is empty.');
	return groups.flatMap(group => [...settlementsOf(group)]).map(({id, outcome}) => [id, outcome.type]);
}

const turn = () => new Promise(resolve => setImmediate(resolve));

test('executions that did not throw pass at once, and so does everything where the caller is not to be asked', t => {
	const {takeSettled, pass, questions} = setUp();
	pass(returnedGroup([1, 1]), endedGroup([TIMED_OUT], 3));
	t.deepEqual(takeSettled(), [
		[1, 'returned'],
		[2, 'returned'],
		[3, 'timedOut'],
	]);
	t.is(questions(), 0);
	const open = setUp(false);
	open.pass(endedGroup([THREW]));
	t.deepEqual(open.takeSettled(), [[1, 'threw']]);
	open.gate.hasSignalCome = true;
	open.pass(endedGroup([THREW, RETURNED], 5));
	t.deepEqual(open.takeSettled(), [
		[6, 'returned'],
		[5, 'released'],
	]);
	t.is(open.questions(), 0);
});

test('executions that threw pass when the caller has answered; others of their group do not wait', async t => {
	const {gate, takeSettled, pass, questions} = setUp();
	pass(endedGroup([RETURNED, THREW, TIMED_OUT, THREW]), returnedGroup([1], {ids: 9}), endedGroup([THREW], 20));
	t.deepEqual(takeSettled(), [
		[1, 'returned'],
		[3, 'timedOut'],
		[9, 'returned'],
	]);
	t.true(gate.holding > 0);
	t.is(questions(), 1);
	await turn();
	t.deepEqual(takeSettled(), []);
	gate.answered();
	await turn();
	t.deepEqual(takeSettled(), [
		[2, 'threw'],
		[4, 'threw'],
		[20, 'threw'],
	]);
	t.is(gate.holding, 0);
});

test('answers belong to questions in their order, and an answer too many to none', async t => {
	const {gate, takeSettled, pass} = setUp();
	gate.answered();
	pass(endedGroup([THREW], 1));
	pass(endedGroup([THREW], 2));
	gate.answered();
	await turn();
	t.deepEqual(takeSettled(), [[1, 'threw']]);
	t.true(gate.holding > 0);
	gate.answered();
	await turn();
	t.deepEqual(takeSettled(), [[2, 'threw']]);
});

test('a caller that does not answer is waited for a second', async t => {
	const {clock, takeSettled, pass} = setUp();
	pass(endedGroup([THREW]));
	await clock.advance(999);
	t.deepEqual(takeSettled(), []);
	await clock.advance(1);
	t.deepEqual(takeSettled(), [[1, 'threw']]);
});

test('once a signal has come, executions that threw count as released, and all others as they ended', async t => {
	const {gate, pass, takeSettled} = setUp();
	pass(endedGroup([THREW, RETURNED, TIMED_OUT]), returnedGroup([1], {ids: 5}), endedGroup([TIMED_OUT], 6));
	gate.hasSignalCome = true;
	gate.answered();
	await turn();
	t.deepEqual(takeSettled(), [
		[2, 'returned'],
		[3, 'timedOut'],
		[5, 'returned'],
		[6, 'timedOut'],
		[1, 'released'],
	]);
});
