import test from 'ava';
import {sizeOf} from '../../lib/job/group.ts';
import {InFlightChunk, toMessage} from '../../lib/pool/in-flight.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandWorker, sentChunk} from '../fixtures/hand-worker.ts';

test('a chunk that is not sent runs nothing, and all its jobs wait', t => {
	const worker = new HandWorker();
	const chunk = new InFlightChunk(7, worker, claimedGroup(3, {ids: 5}), 1000);
	t.is(chunk.worker, worker);
	t.deepEqual([chunk.givenAt, chunk.openIndexOf(5), chunk.reported], [1000, 0, 0]);
	t.deepEqual([chunk.size, chunk.idAt(2), chunk.running(), chunk.waiting()], [3, 7, undefined, [0, 1, 2]]);
	t.is(chunk.newProgress(), undefined);
	t.deepEqual(toMessage(chunk), {type: 'chunk', chunk: 7, chunkState: 0, group: chunk.group});
});

test('what runs is what the worker started last, without jobs that were taken back, until it is reported', t => {
	const {chunk, side} = sentChunk(claimedGroup(5));
	t.is(chunk.running(), undefined);
	side.start(0, 50);
	t.deepEqual(chunk.running(), {indexes: [0], since: 50});
	chunk.reported = 1;
	t.is(chunk.running(), undefined);
	side.finish(0);
	chunk.chunkState.take([2], taken => chunk.markTakenBack(taken));
	side.startMany(1, 4, 60);
	t.deepEqual(chunk.running(), {indexes: [1, 3], since: 60});
	chunk.reported = 3;
	t.deepEqual(chunk.running()?.indexes, [1, 3]);
	chunk.reported = 4;
	t.is(chunk.running(), undefined);
});

test('a job is open until it is confirmed or taken back', t => {
	const {chunk} = sentChunk(claimedGroup(4, {ids: 10}));
	chunk.reported = 2;
	chunk.confirmedUpTo = 1;
	chunk.markTakenBack([3]);
	t.deepEqual(
		[9, 10, 11, 12, 13, 14].map(id => chunk.openIndexOf(id)),
		[-1, -1, 1, 2, -1, -1],
	);
});

test('waiting jobs are those that have not started; a share of them is taken from the end, at least so many', t => {
	const {chunk, side} = sentChunk(claimedGroup(8));
	side.start(0, 50);
	side.finish(0);
	side.start(1, 50);
	chunk.markTakenBack([7]);
	t.deepEqual(chunk.waiting(), [2, 3, 4, 5, 6]);
	t.deepEqual(chunk.waiting(0.5), [4, 5, 6]);
	t.deepEqual(chunk.waiting(0), []);
});

test('a job is marked as taken back once', t => {
	const {chunk} = sentChunk(claimedGroup(4));
	t.deepEqual(chunk.markTakenBack([1, 2]), [1, 2]);
	t.deepEqual(chunk.markTakenBack([2, 3]), [3]);
	t.deepEqual([...chunk.takenBack], [1, 2, 3]);
});

test('before it is sent, a chunk is shortened by what was taken back', t => {
	const chunk = new InFlightChunk(1, new HandWorker(), claimedGroup(4, {ids: 10}), 1000);
	chunk.markTakenBack([1]);
	chunk.shorten();
	t.deepEqual(chunk.group.ids, [10, 12, 13]);
	t.is(chunk.size, 3);
	t.is(chunk.takenBack.size, 0);
	chunk.markTakenBack([0, 1, 2]);
	chunk.shorten();
	t.is(sizeOf(chunk.group), 0);
});

test('settlements and updates name the claim of their job', t => {
	const {chunk} = sentChunk(claimedGroup(2, {ids: 10, lease: 3, executions: [4, 5]}));
	t.deepEqual(chunk.settlement(1, {type: 'released'}), {id: 11, lease: 3, execution: 5, outcome: {type: 'released'}});
	t.deepEqual(chunk.update(0, {startedAt: 1}), {id: 10, lease: 3, execution: 4, startedAt: 1});
});

test('that jobs have started is told once, by the wall clock', t => {
	const {chunk} = sentChunk(claimedGroup(3));
	const clock = new HandClock(500_000.4);
	clock.pass(100);
	t.deepEqual(chunk.newStarts({indexes: [0, 1], since: 1050}, clock), [
		{id: 1, lease: 1, execution: 1, startedAt: 500_050},
		{id: 2, lease: 1, execution: 1, startedAt: 500_050},
	]);
	t.deepEqual(chunk.newStarts({indexes: [0, 1], since: 1050}, clock), []);
	t.is(chunk.newStarts({indexes: [2], since: 1050}, clock).length, 1);
	t.deepEqual(chunk.newStarts({indexes: [], since: 1050}, clock), []);
	t.is(sentChunk(claimedGroup(3)).chunk.newStarts({indexes: [1], since: 1050}, clock).length, 1);
});

test('progress of the running job is told once for each time that the job reports it', t => {
	const {chunk, side} = sentChunk(claimedGroup(2));
	t.is(chunk.newProgress(), undefined);
	side.start(0, 50);
	t.is(chunk.newProgress(), undefined);
	side.setProgress(1, 4, 5000);
	const update = {id: 1, lease: 1, execution: 1, progress: {done: 1, total: 4, at: 5000}};
	t.deepEqual(chunk.newProgress(), update);
	t.is(chunk.newProgress(), undefined);
	side.setProgress(2, NaN, 5001);
	t.deepEqual(chunk.newProgress(), {...update, progress: {done: 2, at: 5001}});
	side.finish(0);
	side.setProgress(3, NaN, 5002);
	t.is(chunk.newProgress(), undefined);
	side.start(1, 60);
	side.setProgress(1, NaN, 5003);
	side.setProgress(2, NaN, 5004);
	// As many reports as the first job had made.
	t.like(chunk.newProgress(), {id: 2, progress: {done: 2}});
	t.deepEqual(
		[...chunk.progress],
		[
			[0, {done: 2, at: 5001}],
			[1, {done: 2, at: 5004}],
		],
	);
});

test('progress that can not be true is not told', t => {
	const {chunk, side} = sentChunk(claimedGroup(1));
	side.start(0, 50);
	side.setProgress(NaN, 4, 5000);
	t.is(chunk.newProgress(), undefined);
	t.is(chunk.progress.size, 0);
});

test('all that wait for the end of a chunk are called, in order', t => {
	const {chunk} = sentChunk(claimedGroup(1));
	const called: number[] = [];
	chunk.onEnd(() => void called.push(1));
	chunk.onEnd(() => void called.push(2));
	t.deepEqual(called, []);
	chunk.end();
	t.deepEqual(called, [1, 2]);
});
