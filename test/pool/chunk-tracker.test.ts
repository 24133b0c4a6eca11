import test from 'ava';
import type {FailureRecord} from '../../lib/job/failure.ts';
import type {ClaimedGroup} from '../../lib/job/group.ts';
import {packTimes} from '../../lib/job/packed.ts';
import type {Loss} from '../../lib/pool/chunk-outcomes.ts';
import {ChunkTracker} from '../../lib/pool/chunk-tracker.ts';
import type {InFlightChunk} from '../../lib/pool/in-flight.ts';
import {type Slot, Slots} from '../../lib/pool/slots.ts';
import type {OutcomesMessage} from '../../lib/worker/messages.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandListener} from '../fixtures/hand-listener.ts';
import {HandWorker, sideOf} from '../fixtures/hand-worker.ts';

const FAILURE: FailureRecord = {reason: 'threw', name: 'Error', message: 'it failed'};
const CRASH: Loss = {ending: {exitCode: 1}, wasEnded: false, wasSilent: false, isUnproven: false};

/** A tracker with a worker that is ready. */
function setUp(phase: Slot['phase'] = 'ready') {
	const [clock, listener, worker, budget] = [new HandClock(), new HandListener(), new HandWorker(), {slots: 2, busy: 0}];
	const slots = new Slots(budget, clock);
	const slot = slots.add(worker);
	slot.phase = phase;
	const tracker = new ChunkTracker(slots, listener, clock);
	const add = (group: ClaimedGroup): InFlightChunk => {
		tracker.add(slot, group);
		return slot.chunks.at(-1) as InFlightChunk;
	};
	return {add, budget, clock, listener, slot, tracker, worker};
}

function report(first: number, jobs: number, more: Partial<OutcomesMessage> = {}): OutcomesMessage {
	return {type: 'outcomes', chunk: 1, first, values: {count: jobs, text: null}, times: packTimes(jobs, {}), ...more};
}

test('a chunk is sent at once to a worker that is ready, with a number of its own, and otherwise kept', t => {
	const {add, tracker, worker, slot, clock, budget} = setUp();
	clock.pass(5);
	const [first, second] = [add(claimedGroup(3)), add(claimedGroup(2, {ids: 9}))];
	t.deepEqual([first.number, second.number, first.givenAt], [1, 2, 1005]);
	t.like(worker.requests, [
		{type: 'chunk', chunk: 1, chunkState: first.chunkState.address, group: first.group},
		{type: 'chunk', chunk: 2},
	]);
	t.deepEqual([tracker.size, slot.chunks, budget.busy], [5, [first, second], 1]);
	const loading = setUp('loading');
	const kept = loading.add(claimedGroup(3));
	t.deepEqual([loading.worker.requests, loading.tracker.size], [[], 3]);
	t.is(kept.chunkState.address, 0);
	loading.tracker.send(kept);
	t.is(loading.worker.requests.length, 1);
	t.is(sideOf(kept).start(2, 5), true);
});

test('a request that fails is no error: its worker has ended', async t => {
	const {add, worker} = setUp();
	worker.answer = async () => Promise.reject(new Error('it ended'));
	add(claimedGroup(1));
	await new Promise(resolve => setImmediate(resolve));
	t.pass();
});

test('reported outcomes are kept until they are confirmed, and confirmed once', t => {
	const {add, tracker, listener, slot, budget} = setUp();
	const chunk = add(claimedGroup(3));
	tracker.report(chunk, report(0, 2));
	t.deepEqual([chunk.reported, chunk.confirmedUpTo, tracker.size], [2, 0, 3]);
	t.deepEqual(listener.takeSettled(), []);
	tracker.confirm(chunk, {isLast: false});
	t.deepEqual([chunk.reported, chunk.confirmedUpTo, tracker.size], [2, 2, 1]);
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'returned'],
	]);
	t.deepEqual(listener.calls, [['ended', 'count']]);
	tracker.confirm(chunk, {isLast: false});
	t.deepEqual([slot.chunks.length, budget.busy], [1, 1]);
	let hasEnded = false;
	chunk.onEnd(() => {
		hasEnded = true;
	});
	tracker.report(chunk, report(2, 1));
	tracker.confirm(chunk, {isLast: true});
	t.deepEqual(listener.takeSettled(), [[3, 'returned']]);
	t.deepEqual([slot.chunks.length, budget.busy, tracker.size, hasEnded], [0, 0, 0, true]);
});

test('a failure that came to light before the confirmation counts, and only for the job that it names', t => {
	const {add, tracker, listener} = setUp();
	const chunk = add(claimedGroup(3));
	tracker.report(chunk, report(0, 1));
	tracker.report(chunk, report(1, 2));
	tracker.confirm(chunk, {isLast: true, failures: new Map([[1, FAILURE]])});
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'threw'],
		[3, 'returned'],
	]);
});

test('a report of jobs that were all taken back tells nothing', t => {
	const {add, tracker, listener} = setUp();
	const chunk = add(claimedGroup(2));
	tracker.takeBack(chunk, [0, 1], {type: 'released'});
	t.is(tracker.size, 0);
	listener.takeSettled();
	tracker.report(chunk, report(0, 2));
	t.deepEqual([chunk.reported, chunk.unconfirmed], [2, []]);
	tracker.confirm(chunk, {isLast: true});
	t.deepEqual(listener.takeSettled(), []);
	t.is(tracker.size, 0);
});

test('jobs that have not started are taken back once, with the outcome that is given', t => {
	const {add, tracker, listener} = setUp();
	const chunk = add(claimedGroup(4));
	sideOf(chunk).start(0, 1000);
	tracker.takeBack(chunk, [0, 1, 2], {type: 'cancelled'});
	tracker.takeBack(chunk, [2, 3], {type: 'released'});
	t.deepEqual(listener.takeSettled(), [
		[2, 'cancelled'],
		[3, 'cancelled'],
		[4, 'released'],
	]);
	t.is(tracker.size, 1);
	t.is(chunk.size, 4);
	tracker.settleTakenBack(chunk, [1], {type: 'released'});
	t.deepEqual(listener.takeSettled(), []);
});

test('a chunk that is not sent gets shorter by what is taken back; without a job it has ended, and its worker is free', t => {
	const {add, tracker, listener, slot, budget} = setUp('loading');
	const chunk = add(claimedGroup(3));
	let ends = 0;
	chunk.onEnd(() => void ends++);
	tracker.takeBack(chunk, [1], {type: 'released'});
	t.deepEqual([chunk.size, chunk.group.ids, ends], [2, [1, 3], 0]);
	t.deepEqual(listener.calls, [['ended', 'count']]);
	tracker.takeBack(chunk, [0, 1], {type: 'cancelled'});
	t.deepEqual(listener.takeSettled(), [
		[2, 'released'],
		[1, 'cancelled'],
		[3, 'cancelled'],
	]);
	t.deepEqual([ends, slot.chunks.length, budget.busy, tracker.size], [1, 0, 0, 0]);
	t.deepEqual(listener.calls.filter(([name]) => name === 'freed').length, 1);
});

test('of jobs that were taken back, those that were told to stop because they are cancelled end so', t => {
	const {add, tracker, listener} = setUp();
	const chunk = add(claimedGroup(3));
	const side = sideOf(chunk);
	side.startMany(0, 3, 1000);
	chunk.chunkState.stop(0, 'cancelled', () => undefined);
	chunk.chunkState.stop(1, 'interrupted', () => undefined);
	tracker.settleCancelled(chunk, [0, 1, 2]);
	t.deepEqual(listener.takeSettled(), [[1, 'cancelled']]);
	t.deepEqual([...chunk.takenBack], [0]);
});

test('jobs that are removed for another worker get no outcome here', t => {
	const {add, tracker, listener} = setUp();
	const chunk = add(claimedGroup(3));
	tracker.remove(chunk, [1, 2]);
	tracker.remove(chunk, [2]);
	t.deepEqual([tracker.size, [...chunk.takenBack], listener.settled], [1, [1, 2], []]);
});

test('a lost worker leaves what it reported, and the outcomes that follow from the loss; its last progress is told before', t => {
	const {add, tracker, listener, slot, budget} = setUp();
	const chunk = add(claimedGroup(3));
	const side = sideOf(chunk);
	tracker.report(chunk, report(0, 1));
	side.start(0, 1000);
	side.finish(0);
	side.start(1, 1000);
	side.setProgress(5, NaN, 7000);
	tracker.lose(chunk, CRASH);
	t.like(listener.updates, [{id: 2, progress: {done: 5, at: 7000}}]);
	const crashed = listener.settled.find(([id]) => id === 2)?.[1];
	t.like(crashed, {error: {postMortem: {progress: {done: 5}}}});
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'lostWorker'],
		[3, 'released'],
	]);
	t.deepEqual([slot.chunks.length, budget.busy, tracker.size], [0, 0, 0]);
});

test('a worker that is lost after it reported all settles that alone', t => {
	const {add, tracker, listener} = setUp();
	const chunk = add(claimedGroup(2));
	tracker.report(chunk, report(0, 2));
	tracker.lose(chunk, CRASH);
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'returned'],
	]);
	t.is(tracker.size, 0);
});

test('progress is told once', t => {
	const {add, tracker, listener} = setUp();
	const chunk = add(claimedGroup(1));
	tracker.takeProgress(chunk);
	sideOf(chunk).start(0, 1000);
	sideOf(chunk).setProgress(1, 2, 7000);
	tracker.takeProgress(chunk);
	tracker.takeProgress(chunk);
	t.deepEqual(listener.updates, [{id: 1, lease: 1, execution: 1, progress: {done: 1, total: 2, at: 7000}}]);
});
