import test from 'ava';
import {InFlightChunk} from '../../lib/pool/in-flight.ts';
import {type Slot, Slots} from '../../lib/pool/slots.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandListener} from '../fixtures/hand-listener.ts';
import {HandWorker, sideOf} from '../fixtures/hand-worker.ts';

/** So many threads that are ready, of which so many may be busy. */
function setUp(workers: number, maxBusy = workers) {
	const clock = new HandClock();
	const slots = new Slots(maxBusy, clock);
	const add = (kind: 'thread' | 'process' = 'thread') => {
		const slot = slots.add(new HandWorker(kind));
		slot.phase = 'ready';
		return slot;
	};
	const all = Array.from({length: workers}, () => add());
	/** Gives the worker a chunk whose first job runs since now. */
	const give = (slot: Slot, jobs = 1): InFlightChunk => {
		const chunk = new InFlightChunk(1, slot.worker, claimedGroup(jobs), new HandListener(), clock);
		slots.assign(slot, chunk);
		if (slot.chunks.length === 1) sideOf(chunk).start(0, clock.steadyMs());
		return chunk;
	};
	return {add, all, clock, give, slots};
}

const none = () => undefined;

test('a worker begins as one that loads, without chunks, with a number of its own', t => {
	const {slots, clock} = setUp(0);
	clock.pass(5);
	const [first, second] = [new HandWorker(), new HandWorker()];
	t.like(slots.add(first), {worker: first, number: 0, phase: 'loading', chunks: [], jobs: 0, startedAt: 1005, hasReported: false, quietMs: 0});
	t.like(slots.add(second), {worker: second, number: 1});
	t.is(slots.all.size, 2);
});

test('each worker has the lowest number that is free, whatever its kind', t => {
	const {slots, add} = setUp(0);
	const added = [add('process'), add('thread'), add('process'), add('thread'), add('process')];
	t.deepEqual(
		added.map(({number}) => number),
		[0, 1, 2, 3, 4],
	);
	slots.all.delete(added[2] as Slot);
	t.deepEqual([add('process').number, add('process').number], [2, 5]);
});

test('no worker is added for a chunk where so many start by themselves', t => {
	const {slots} = setUp(1, 4);
	t.is(slots.addable('thread'), 3);
	slots.reserved.set('thread', 3);
	t.deepEqual([slots.addable('thread'), slots.addable('process')], [1, 4]);
	t.deepEqual(slots.capacity('thread'), {idle: 2, prefetch: 0});
});

test('ready workers without a chunk are idle; those with one whose job is short have room for a second; workers that may be added count as idle', t => {
	const {slots, all, give, clock} = setUp(4);
	const [one, two, three, four] = all as [Slot, Slot, Slot, Slot];
	t.deepEqual(slots.capacity('thread'), {idle: 4, prefetch: 0});
	give(one);
	give(two);
	give(two);
	four.phase = 'retiring';
	t.deepEqual(slots.capacity('thread'), {idle: 1, prefetch: 1});
	three.phase = 'loading';
	t.deepEqual(slots.capacity('thread'), {idle: 0, prefetch: 1});
	slots.all.delete(three);
	t.deepEqual([slots.addable('thread'), slots.capacity('thread')], [1, {idle: 1, prefetch: 1}]);
	slots.isClosed = true;
	clock.pass(250);
	t.deepEqual(slots.capacity('thread'), {idle: 0, prefetch: 1});
	clock.pass(1);
	t.deepEqual(slots.capacity('thread'), {idle: 0, prefetch: 0});
	t.true(slots.chunks.length > 0);
});

test('no more workers are idle than may be busy besides those of other kinds', t => {
	const {slots, all, add, give} = setUp(3);
	give(add('process'));
	t.deepEqual(slots.capacity('thread'), {idle: 2, prefetch: 0});
	t.deepEqual(slots.capacity('process'), {idle: 2, prefetch: 1});
	give(all[0] as Slot);
	t.is(slots.busy, 2);
	t.deepEqual(slots.capacity('thread'), {idle: 1, prefetch: 1});
});

test('a chunk goes to an idle worker first, then to a new one, then behind a short job, at last behind a long one', t => {
	const {slots, all, give, clock, add} = setUp(2, 9);
	const [one, two] = all as [Slot, Slot];
	t.is(slots.pick('thread', none), one);
	give(one);
	t.is(slots.pick('thread', none), two);
	give(two);
	const three = slots.pick('thread', () => add());
	t.is(three.number, 2);
	give(three);
	clock.pass(251);
	t.is(slots.pick('thread', none), one);
	sideOf(two.chunks[0] as InFlightChunk).finish(0);
	t.is(slots.pick('thread', none), two);
	for (const slot of [one, two, three]) give(slot);
	t.throws(() => slots.pick('thread', none), {message: 'The pool was given a chunk and has no place for it.'});
});

test('while as many are busy as may be, a chunk goes behind another one, also if a worker is idle, and none is added', t => {
	const {slots, all, give} = setUp(2, 1);
	give(all[1] as Slot);
	t.is(
		slots.pick('thread', () => t.fail()),
		all[1] as Slot,
	);
});

test('workers that load, retire or end are not picked', t => {
	const {slots, all} = setUp(3);
	for (const [index, phase] of (['loading', 'retiring', 'ending'] as const).entries()) (all[index] as Slot).phase = phase;
	t.throws(() => slots.pick('thread', none));
	t.deepEqual(slots.capacity('thread'), {idle: 0, prefetch: 0});
});

test('a worker counts as busy once, however many chunks it has, and its jobs are counted', t => {
	const {slots, all, give} = setUp(2);
	const [one] = all as [Slot];
	t.deepEqual(slots.chunks, []);
	const [first, second] = [give(one, 3), give(one, 4)];
	t.deepEqual([slots.busy, one.jobs], [1, 7]);
	t.deepEqual(slots.chunks, [first, second]);
	first.lose([]);
	t.deepEqual([slots.busy, one.chunks], [1, [second]]);
	second.lose([]);
	t.deepEqual([slots.busy, one.chunks, one.jobs], [0, [], 7]);
	t.deepEqual(slots.chunks, []);
});
