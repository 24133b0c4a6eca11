import test from 'ava';
import {Commits} from '../../lib/dispatcher/commits.ts';
import type {LaneRequest} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {MemoryStore} from '../store/oracle.ts';

const REFUSAL = new FaenaError('BadRow', 'refused');
const [A, B, SUSPECTS, EMPTY] = [
	{task: 'a', limit: 1},
	{task: 'b', limit: 1},
	{task: 'a', limit: 1, isQuarantined: true},
	{task: 'c', limit: 0},
] as const satisfies LaneRequest[];
const ALL: readonly LaneRequest[] = [A, EMPTY, B, SUSPECTS];

/** @returns `add`: the tasks of the lanes that are left out from now on; `clear`: claims from the lanes, and succeeds */
function setUp(clock = new HandClock()) {
	const leftOut: unknown[] = [];
	const commits = new Commits({
		...{store: new MemoryStore(), owner: 'owner', clock},
		clients: {refused: ({task}) => void leftOut.push(task), refuse: () => undefined},
	});
	const request = {owner: 'owner', limit: 1, maxBytes: 1000};
	return {
		commits,
		claimable: (lanes: readonly LaneRequest[]) => commits.claimable({...request, lanes}).lanes,
		add(lanes: readonly LaneRequest[]) {
			commits.claimRefused({...request, lanes}, REFUSAL);
			return leftOut.splice(0);
		},
		clear: (lanes: readonly LaneRequest[]) => commits.commit({updates: [], settle: [], enqueues: []}, {...request, lanes}),
	};
}

test('as long as none was refused all lanes are asked, also those that want nothing', async t => {
	const lanes = setUp();
	t.is(lanes.claimable(ALL), ALL);
	t.false(lanes.commits.leavesLanesOut);
	t.is(lanes.commits.waitMs, Infinity);
	await lanes.clear(ALL);
	t.false(lanes.commits.leavesLanesOut);
});

test('after a claim of several lanes was refused each of them is asked alone until it succeeds; then all are asked again', async t => {
	const lanes = setUp();
	t.deepEqual(lanes.add(ALL), []);
	for (const lane of [A, B, SUSPECTS]) {
		t.true(lanes.commits.leavesLanesOut);
		t.is(lanes.commits.waitMs, 0);
		t.deepEqual(lanes.claimable(ALL), [lane]);
		await lanes.clear([lane]);
	}
	t.false(lanes.commits.leavesLanesOut);
	t.is(lanes.claimable(ALL), ALL);
});

test('a lane that is refused alone begins to rest, and is reported once until it succeeds; the others go on together', async t => {
	const clock = new HandClock();
	const lanes = setUp(clock);
	lanes.add(ALL);
	t.deepEqual(lanes.add([A, EMPTY]), ['a']);
	t.deepEqual(lanes.claimable(ALL), [B]);
	await lanes.clear([B]);
	await lanes.clear([SUSPECTS]);
	t.is(lanes.commits.waitMs, 20);
	t.deepEqual(lanes.claimable(ALL), [B, SUSPECTS]);
	t.deepEqual(lanes.claimable([A]), []);
	clock.pass(20);
	t.is(lanes.commits.waitMs, 0);
	t.deepEqual(lanes.claimable(ALL), [A]);
	t.deepEqual(lanes.add([A]), []);
	t.is(lanes.commits.waitMs, 40);
	clock.pass(40);
	await lanes.clear([A]);
	t.deepEqual(lanes.add([A]), ['a']);
});

test('the rest lasts until the first of the lanes may be asked', async t => {
	const clock = new HandClock();
	const lanes = setUp(clock);
	lanes.add([A]);
	clock.pass(15);
	lanes.add([B]);
	t.is(lanes.commits.waitMs, 5);
});

test('a lane that wants nothing is neither asked nor blamed', async t => {
	const lanes = setUp();
	t.deepEqual(lanes.add([EMPTY]), []);
	t.false(lanes.commits.leavesLanesOut);
	lanes.add([A, B]);
	t.deepEqual(lanes.claimable([{...A, limit: 0}, B]), [B]);
	await lanes.clear([A, B]);
	t.deepEqual(lanes.add([A, B]), []);
});
