import test from 'ava';
import {RetryState} from '../../lib/dispatcher/retries.ts';
import {type ErrorCode, FaenaError} from '../../lib/support/errors.ts';
import {HandClock} from '../fixtures/hand-clock.ts';

const failure = (code: ErrorCode) => new FaenaError(code, code);

test('each failure in a row doubles the wait, up to a second', t => {
	const clock = new HandClock();
	const state = new RetryState(clock);
	t.deepEqual([state.count, state.waitMs], [0, 0]);
	const waits = Array.from({length: 8}, () => state.add(failure('DatabaseBusy'), Infinity));
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
	state.add(failure('DatabaseBusy'), Infinity);
	state.add(failure('DatabaseBusy'), Infinity);
	state.clear();
	t.deepEqual([state.count, state.waitMs], [0, 0]);
	t.is(state.add(failure('DatabaseBusy'), Infinity), 20);
});

for (const code of ['BadDatabase', 'NewerDatabase', 'Closed'] as const) {
	test(`after ${code} there is no hope`, t => {
		const state = new RetryState(new HandClock());
		const error = failure(code);
		t.is(
			t.throws(() => state.add(error, Infinity)),
			error,
		);
		t.is(state.count, 0);
	});
}

for (const error of [failure('DatabaseBusy'), failure('OutcomeUnknown'), new Error('unknown')]) {
	test(`the sixty-first failure of "${error.message}" in a row ends it`, t => {
		const state = new RetryState(new HandClock());
		for (let count = 0; count < 60; count++) state.add(error, Infinity);
		t.is(
			t.throws(() => state.add(error, Infinity)),
			error,
		);
	});
}

for (const code of ['StorageFull', 'BadRow', 'TooLarge'] as const) {
	test(`after ${code}, which somebody can mend, it is tried for ever`, t => {
		const state = new RetryState(new HandClock());
		for (let count = 0; count < 100; count++) state.add(failure(code), Infinity);
		t.is(state.count, 100);
	});
}

test('half a second after the deadline a failure ends it, whatever it is', t => {
	const clock = new HandClock();
	const state = new RetryState(clock);
	const until = clock.steadyMs() + 1000;
	clock.pass(1500);
	t.is(state.add(failure('StorageFull'), until), 20);
	clock.pass(1);
	t.throws(() => state.add(failure('StorageFull'), until), {code: 'StorageFull'});
});
