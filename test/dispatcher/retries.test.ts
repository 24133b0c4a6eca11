import test from 'ava';
import {isRefusal, makeRetries, type Retries, RetryState} from '../../lib/dispatcher/retries.ts';
import type {JobEvent} from '../../lib/job/events.ts';
import {type ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {HandClock} from '../fixtures/hand-clock.ts';

const failure = (code: ErrorCode) => new FaenaError(code, code);

test('each failure in a row doubles the wait, up to a second', t => {
	const clock = new HandClock();
	const state = new RetryState(clock);
	t.deepEqual([state.count, state.waitMs], [0, 0]);
	const waits = Array.from({length: 8}, () => state.add(failure('DatabaseBusy')));
	t.deepEqual(waits, [20, 40, 80, 160, 320, 640, 1000, 1000]);
	t.is(state.count, 8);
	t.is(state.waitMs, 1000);
	clock.pass(400);
	t.is(state.waitMs, 600);
	clock.pass(700);
	t.is(state.waitMs, 0);
});

test('a success ends the row: the wait is over, and the next failure is the first', t => {
	const state = new RetryState(new HandClock());
	state.add(failure('DatabaseBusy'));
	state.add(failure('DatabaseBusy'));
	state.clear();
	t.deepEqual([state.count, state.waitMs], [0, 0]);
	t.is(state.add(failure('DatabaseBusy')), 20);
});

for (const code of ['BadDatabase', 'NewerDatabase', 'Closed'] as const) {
	test(`after ${code} there is no hope`, t => {
		const state = new RetryState(new HandClock());
		const error = failure(code);
		t.is(
			t.throws(() => state.add(error)),
			error,
		);
		t.is(state.count, 0);
	});
}

for (const error of [failure('DatabaseBusy'), failure('OutcomeUnknown'), new Error('unknown')]) {
	test(`the sixty-first failure of "${error.message}" in a row ends it`, t => {
		const state = new RetryState(new HandClock());
		for (let count = 0; count < 60; count++) state.add(error);
		t.is(
			t.throws(() => state.add(error)),
			error,
		);
	});
}

test('a server that was away for long, and fails otherwise once it is back, is tried on', t => {
	const state = new RetryState(new HandClock());
	for (let count = 0; count < 200; count++) state.add(failure('Unreachable'));
	for (let count = 0; count < 60; count++) state.add(failure('OutcomeUnknown'));
	t.throws(() => state.add(failure('OutcomeUnknown')));
});

for (const code of ['StorageFull', 'BadRow', 'TooLarge'] as const) {
	test(`after ${code}, which an operator can mend, it is tried for ever`, t => {
		const state = new RetryState(new HandClock());
		for (let count = 0; count < 100; count++) state.add(failure(code));
		t.is(state.count, 100);
	});
}

test('half a second after the deadline a failure ends the retries, but a refusal does not: its row may stay for ever', t => {
	const clock = new HandClock();
	const until = clock.steadyMs() + 1000;
	const state = new RetryState(clock, () => until);
	clock.pass(1500);
	t.is(state.add(failure('StorageFull')), 20);
	clock.pass(1);
	t.is(state.add(failure('BadRow')), 40);
	t.throws(() => state.add(failure('StorageFull')), {code: 'StorageFull'});
});

/** With the events that they report. */
function setUp(deadline = Infinity): {readonly retries: Retries; readonly clock: HandClock; readonly events: JobEvent[]} {
	const [clock, events] = [new HandClock(), [] as JobEvent[]];
	const retries = makeRetries(
		clock,
		() => deadline,
		event => void events.push(event),
	);
	return {clock, events, retries};
}

test('each activity has its own failures', t => {
	const {retries} = setUp();
	const all = Object.values(retries);
	for (const state of all) {
		state.add(failure('DatabaseBusy'));
		t.deepEqual(
			all.filter(({count}) => count > 0),
			[state],
		);
		state.clear();
	}
});

test('each failure is reported, with how many came in a row and how long the wait is', t => {
	const {retries, events} = setUp();
	retries.commit.add(failure('DatabaseBusy'));
	retries.commit.add(failure('DatabaseBusy'));
	t.like(events[0], {type: 'setBack', setbacks: 1, waitMs: 20, error: {code: 'DatabaseBusy', message: 'DatabaseBusy'}});
	t.like(events[1], {setbacks: 2, waitMs: 40});
	t.is(events.length, 2);
});

test('a refusal is reported once, until a success', t => {
	const {retries, events} = setUp();
	for (let count = 0; count < 3; count++) retries.maintenance.add(failure('BadRow'));
	t.is(events.length, 1);
	retries.maintenance.clear();
	retries.maintenance.add(failure('BadRow'));
	t.is(events.length, 2);
});

test('a permanent failure is thrown, and not reported', t => {
	const {retries, events} = setUp(0);
	t.throws(() => retries.commit.add(failure('BadDatabase')), {code: 'BadDatabase'});
	t.throws(() => retries.commit.add(failure('DatabaseBusy')), {code: 'DatabaseBusy'});
	t.deepEqual(events, []);
});

test('work between commits that fails is tried later, and work that succeeds ends the failures of its own activity only', async t => {
	const {retries, events} = setUp();
	const fail = () => Promise.reject(failure('DatabaseBusy'));
	await retries.maintenance.attempt(fail);
	await retries.idle.attempt(fail);
	t.is(events.length, 2);
	await retries.maintenance.attempt(() => Promise.resolve());
	t.deepEqual([retries.maintenance.count, retries.idle.count], [0, 1]);
	await t.throwsAsync(
		retries.maintenance.attempt(() => Promise.reject(failure('Closed'))),
		{code: 'Closed'},
	);
});

test('only a value or a row is refused: a full disk, a lock or an unknown outcome may be over at the next try', t => {
	const codes = ['BadRow', 'TooLarge', 'StorageFull', 'DatabaseBusy', 'OutcomeUnknown', 'BadDatabase', 'Closed'] as const;
	t.deepEqual(
		codes.filter(code => isRefusal(new FaenaError(code, ''))),
		['BadRow', 'TooLarge'],
	);
	t.false(isRefusal(new RangeError('refused')));
});
