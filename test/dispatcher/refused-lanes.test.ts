import test from 'ava';
import {RefusedLanes} from '../../lib/dispatcher/commits.ts';
import type {LaneRequest} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {HandClock} from '../fixtures/hand-clock.ts';

const REFUSAL = new FaenaError('BadRow', 'refused');
const [A, B, SUSPECTS, EMPTY] = [
	{task: 'a', limit: 1},
	{task: 'b', limit: 1},
	{task: 'a', limit: 1, isQuarantined: true},
	{task: 'c', limit: 0},
] as const satisfies LaneRequest[];
const ALL: readonly LaneRequest[] = [A, EMPTY, B, SUSPECTS];

test('as long as none was refused all lanes are asked, also those that want nothing', t => {
	const lanes = new RefusedLanes(new HandClock());
	t.is(lanes.claimable(ALL), ALL);
	t.true(lanes.isEmpty);
	t.is(lanes.waitMs, Infinity);
	lanes.clear(ALL);
	t.true(lanes.isEmpty);
});

test('after a claim of several lanes was refused each of them is asked alone until it succeeds; then all are asked again', t => {
	const lanes = new RefusedLanes(new HandClock());
	t.is(lanes.add(ALL, REFUSAL), undefined);
	for (const lane of [A, B, SUSPECTS]) {
		t.false(lanes.isEmpty);
		t.is(lanes.waitMs, 0);
		t.deepEqual(lanes.claimable(ALL), [lane]);
		lanes.clear([lane]);
	}
	t.true(lanes.isEmpty);
	t.is(lanes.claimable(ALL), ALL);
});

test('a lane that is refused alone begins to rest, which is said once until it succeeds; the others go on together', t => {
	const clock = new HandClock();
	const lanes = new RefusedLanes(clock);
	lanes.add(ALL, REFUSAL);
	t.is(lanes.add([A, EMPTY], REFUSAL), A);
	t.deepEqual(lanes.claimable(ALL), [B]);
	lanes.clear([B]);
	lanes.clear([SUSPECTS]);
	t.is(lanes.waitMs, 20);
	t.deepEqual(lanes.claimable(ALL), [B, SUSPECTS]);
	t.deepEqual(lanes.claimable([A]), []);
	clock.pass(20);
	t.is(lanes.waitMs, 0);
	t.deepEqual(lanes.claimable(ALL), [A]);
	t.is(lanes.add([A], REFUSAL), undefined);
	t.is(lanes.waitMs, 40);
	clock.pass(40);
	lanes.clear([A]);
	t.is(lanes.add([A], REFUSAL), A);
});

test('the rest lasts until the first of the lanes may be asked', t => {
	const clock = new HandClock();
	const lanes = new RefusedLanes(clock);
	lanes.add([A], REFUSAL);
	clock.pass(15);
	lanes.add([B], REFUSAL);
	t.is(lanes.waitMs, 5);
});

test('a lane that wants nothing is neither asked nor blamed', t => {
	const lanes = new RefusedLanes(new HandClock());
	t.is(lanes.add([EMPTY], REFUSAL), undefined);
	t.true(lanes.isEmpty);
	lanes.add([A, B], REFUSAL);
	t.deepEqual(lanes.claimable([{...A, limit: 0}, B]), [B]);
	lanes.clear([A, B]);
	t.is(lanes.add([A, B], REFUSAL), undefined);
});
