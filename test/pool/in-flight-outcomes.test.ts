import test from 'ava';
import type {FailureRecord} from '../../lib/job/failure.ts';
import {type ClaimedGroup, toSent} from '../../lib/job/groups/group.ts';
import {packTimes} from '../../lib/job/groups/packed-times.ts';
import {InFlightChunk} from '../../lib/pool/in-flight.ts';
import {type Loss, lostJobs} from '../../lib/pool/lost-chunk.ts';
import {type Slot, Slots} from '../../lib/pool/slots.ts';
import type {OutcomesMessage} from '../../lib/worker/messages.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandListener} from '../fixtures/hand-listener.ts';
import {HandWorker, sideOf} from '../fixtures/hand-worker.ts';

const FAILURE: FailureRecord = {reason: 'threw', name: 'Error', message: 'it failed'};
const CRASH: Loss = {ending: {exitCode: 1}, wasEnded: false, wasSilent: false, isUnproven: false};

/** A worker that is ready. */
function setUp(phase: Slot['phase'] = 'ready') {
	const [clock, listener, worker] = [new HandClock(), new HandListener(), new HandWorker()];
	const slots = new Slots(2, clock);
	const slot = slots.add(worker);
	slot.phase = phase;
	let chunks = 0;
	const add = (group: ClaimedGroup): InFlightChunk => {
		const chunk = new InFlightChunk(++chunks, worker, group, listener, clock);
		slots.assign(slot, chunk);
		if (phase !== 'loading') chunk.send();
		return chunk;
	};
	const lose = (chunk: InFlightChunk) => {
		chunk.updates.tellProgress();
		chunk.lose(lostJobs(chunk, CRASH, clock));
	};
	/** Jobs without an outcome. */
	const open = () => slot.chunks.reduce((jobs, chunk) => jobs + chunk.open, 0);
	return {add, clock, listener, lose, open, slot, slots, worker};
}

function report(first: number, jobs: number, more: Partial<OutcomesMessage> = {}): OutcomesMessage {
	return {type: 'outcomes', chunk: 1, first, values: {count: jobs, text: null}, times: packTimes(jobs, {}), ...more};
}

test('a chunk is sent at once to a worker that is ready, with a number of its own, and otherwise kept', t => {
	const {add, worker, slot, slots, clock, open} = setUp();
	clock.pass(5);
	const [first, second] = [add(claimedGroup(3)), add(claimedGroup(2, {ids: 9}))];
	t.deepEqual([first.number, second.number, first.givenAt], [1, 2, 1005]);
	t.like(worker.requests, [
		{type: 'chunk', chunk: 1, chunkState: first.chunkState.address, group: toSent(first.group)},
		{type: 'chunk', chunk: 2},
	]);
	t.deepEqual([open(), slot.chunks, slots.busy], [5, [first, second], 1]);
	const loading = setUp('loading');
	const kept = loading.add(claimedGroup(3));
	t.deepEqual([loading.worker.requests, loading.open()], [[], 3]);
	t.is(kept.sent, undefined);
	kept.send();
	t.is(loading.worker.requests.length, 1);
	t.is(sideOf(kept).start(2, 5), true);
});

test('a request that fails is ignored, because its worker has ended', async t => {
	const {add, worker} = setUp();
	worker.answer = async () => Promise.reject(new Error('it ended'));
	add(claimedGroup(1));
	await new Promise(resolve => setImmediate(resolve));
	t.pass();
});

test('reported outcomes are kept until they are confirmed, and confirmed once', t => {
	const {add, listener, slot, slots, open} = setUp();
	const chunk = add(claimedGroup(3));
	chunk.report(report(0, 2));
	t.deepEqual([chunk.reported, chunk.reports.confirmedUpTo, open()], [2, 0, 3]);
	t.deepEqual(listener.takeSettled(), []);
	chunk.confirm({isLast: false});
	t.deepEqual([chunk.reported, chunk.reports.confirmedUpTo, open()], [2, 2, 1]);
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'returned'],
	]);
	t.deepEqual(listener.calls, [['ended', 'count']]);
	chunk.confirm({isLast: false});
	t.deepEqual([slot.chunks.length, slots.busy], [1, 1]);
	let hasEnded = false;
	chunk.onEnd.push(() => {
		hasEnded = true;
	});
	chunk.report(report(2, 1));
	chunk.confirm({isLast: true});
	t.deepEqual(listener.takeSettled(), [[3, 'returned']]);
	t.deepEqual([slot.chunks.length, slots.busy, open(), hasEnded], [0, 0, 0, true]);
});

test('a report confirms those before it if they have waited for more than 100 ms', t => {
	const {add, clock, listener} = setUp();
	const chunk = add(claimedGroup(9));
	chunk.report(report(0, 2));
	clock.pass(60);
	chunk.report(report(2, 1));
	clock.pass(40);
	chunk.report(report(3, 1));
	t.deepEqual([chunk.reports.confirmedUpTo, listener.takeSettled()], [0, []]);
	clock.pass(1);
	chunk.report(report(4, 1));
	t.deepEqual([chunk.reports.confirmedUpTo, chunk.reported, listener.takeSettled().length], [4, 5, 4]);
	clock.pass(100);
	chunk.report(report(5, 1));
	t.is(chunk.reports.confirmedUpTo, 4);
});

test('a report that confirms those before it brings what came to light about them', t => {
	const {add, clock, listener} = setUp();
	const chunk = add(claimedGroup(3));
	chunk.report(report(0, 2));
	clock.pass(101);
	chunk.report({...report(2, 1), late: new Map([[1, FAILURE]])});
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'threw'],
	]);
});

test('what came to light is kept until the outcomes are confirmed, however that happens', t => {
	for (const isLost of [false, true]) {
		const {add, listener} = setUp();
		const chunk = add(claimedGroup(3));
		chunk.report(report(0, 2));
		chunk.report({...report(2, 1), late: new Map([[1, FAILURE]])});
		t.deepEqual(listener.takeSettled(), []);
		if (isLost) chunk.lose([]);
		else chunk.confirm({isLast: true});
		t.deepEqual(listener.takeSettled(), [
			[1, 'returned'],
			[2, 'threw'],
			[3, 'returned'],
		]);
	}
});

test('a failure that came to light before the confirmation counts, and only for the job that it names', t => {
	const {add, listener} = setUp();
	const chunk = add(claimedGroup(3));
	chunk.report(report(0, 1));
	chunk.report(report(1, 2));
	chunk.confirm({isLast: true, failures: new Map([[1, FAILURE]])});
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'threw'],
		[3, 'returned'],
	]);
});

test('a report of jobs that were all taken back is not passed on', t => {
	const {add, listener, open} = setUp();
	const chunk = add(claimedGroup(2));
	chunk.takeBack([0, 1], {type: 'released'});
	t.is(open(), 0);
	listener.takeSettled();
	chunk.report(report(0, 2));
	t.deepEqual([chunk.reported, chunk.reports.unconfirmed], [2, []]);
	chunk.confirm({isLast: true});
	t.deepEqual(listener.takeSettled(), []);
	t.is(open(), 0);
});

test('jobs that have not started are taken back once, with the outcome that is given', t => {
	const {add, listener, open} = setUp();
	const chunk = add(claimedGroup(4));
	sideOf(chunk).start(0, 1000);
	chunk.takeBack([0, 1, 2], {type: 'cancelled'});
	chunk.takeBack([2, 3], {type: 'released'});
	t.deepEqual(listener.takeSettled(), [
		[2, 'cancelled'],
		[3, 'cancelled'],
		[4, 'released'],
	]);
	t.is(open(), 1);
	t.is(chunk.size, 4);
	chunk.settleTakenBack([1], {type: 'released'});
	t.deepEqual(listener.takeSettled(), []);
});

test('a chunk is sent without what was taken back before; without a job it has ended, and its worker is free', t => {
	const sent = setUp('loading');
	const other = sent.add(claimedGroup(3));
	other.takeBack([1], {type: 'released'});
	other.send();
	t.deepEqual([other.size, other.group.ids, other.open, sent.worker.requests.length], [2, [1, 3], 2, 1]);
	const {add, listener, slot, slots, open} = setUp('loading');
	const chunk = add(claimedGroup(3));
	let ends = 0;
	chunk.onEnd.push(() => void ends++);
	chunk.takeBack([1], {type: 'released'});
	t.deepEqual([chunk.open, chunk.waiting(), ends], [2, [0, 2], 0]);
	t.deepEqual(listener.calls, [['ended', 'count']]);
	chunk.takeBack([0, 2], {type: 'cancelled'});
	t.deepEqual(listener.takeSettled(), [
		[2, 'released'],
		[1, 'cancelled'],
		[3, 'cancelled'],
	]);
	t.deepEqual([ends, slot.chunks.length, slots.busy, open()], [1, 0, 0, 0]);
	t.deepEqual(listener.calls.filter(([name]) => name === 'freed').length, 1);
});

test('jobs that are removed for another worker get no outcome here', t => {
	const {add, listener, open} = setUp();
	const chunk = add(claimedGroup(3));
	chunk.remove([1, 2]);
	chunk.remove([2]);
	t.deepEqual([open(), [...chunk.takenBack], listener.settled], [1, [1, 2], []]);
});

test('a lost worker leaves the outcomes that it reported, and those that follow from the loss; its last progress comes before', t => {
	const {add, listener, slot, slots, open, lose} = setUp();
	const chunk = add(claimedGroup(3));
	const side = sideOf(chunk);
	chunk.report(report(0, 1));
	side.start(0, 1000);
	side.finish(0);
	side.start(1, 1000);
	side.setProgress(5, NaN, 7000);
	lose(chunk);
	t.like(listener.updates, [{id: 2, progress: {done: 5, at: 7000}}]);
	const crashed = listener.settled.find(([id]) => id === 2)?.[1];
	t.like(crashed, {error: {postMortem: {progress: {done: 5}}}});
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'lostWorker'],
		[3, 'released'],
	]);
	t.deepEqual([slot.chunks.length, slots.busy, open()], [0, 0, 0]);
});

test('a worker that is lost after it reported all settles that alone', t => {
	const {add, listener, open, lose} = setUp();
	const chunk = add(claimedGroup(2));
	chunk.report(report(0, 2));
	lose(chunk);
	t.deepEqual(listener.takeSettled(), [
		[1, 'returned'],
		[2, 'returned'],
	]);
	t.is(open(), 0);
});

test('progress is passed on once', t => {
	const {add, listener} = setUp();
	const chunk = add(claimedGroup(1));
	chunk.updates.tellProgress();
	sideOf(chunk).start(0, 1000);
	sideOf(chunk).setProgress(1, 2, 7000);
	chunk.updates.tellProgress();
	chunk.updates.tellProgress();
	t.deepEqual(listener.updates, [{id: 1, lease: 1, execution: 1, progress: {done: 1, total: 2, at: 7000}}]);
});
