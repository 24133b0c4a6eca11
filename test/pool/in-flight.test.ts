import test from 'ava';
import {InFlightChunk} from '../../lib/pool/in-flight.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandListener} from '../fixtures/hand-listener.ts';
import {HandWorker, sentChunk} from '../fixtures/hand-worker.ts';

test('a chunk that is not sent runs nothing, and all its jobs wait', t => {
	const [worker, listener] = [new HandWorker(), new HandListener()];
	const chunk = new InFlightChunk(7, worker, claimedGroup(3, {ids: 5}), listener, new HandClock());
	t.is(chunk.worker, worker);
	t.deepEqual([chunk.givenAt, chunk.openIndexOf(5), chunk.reported], [1000, 0, 0]);
	t.deepEqual([chunk.size, chunk.idAt(2), chunk.running(), chunk.waiting()], [3, 7, undefined, [0, 1, 2]]);
	chunk.updates.tellProgress();
	t.deepEqual(listener.updates, []);
	t.is(chunk.sent, undefined);
});

test('the running jobs are those that the worker started last, without jobs that were taken back, until they are reported', t => {
	const {chunk, side} = sentChunk(claimedGroup(5));
	t.is(chunk.running(), undefined);
	side.start(0, 50);
	t.deepEqual(chunk.running(), {indexes: [0], since: 50});
	chunk.reports.upTo = 1;
	t.is(chunk.running(), undefined);
	side.finish(0);
	chunk.takeBack([2], {type: 'released'});
	side.startMany(1, 4, 60);
	t.deepEqual(chunk.running(), {indexes: [1, 3], since: 60});
	chunk.reports.upTo = 3;
	t.deepEqual(chunk.running()?.indexes, [1, 3]);
	chunk.reports.upTo = 4;
	t.is(chunk.running(), undefined);
});

test('a job is open until it is confirmed or taken back', t => {
	const {chunk} = sentChunk(claimedGroup(4, {ids: 10}));
	chunk.reports.upTo = 2;
	chunk.reports.confirmedUpTo = 1;
	chunk.remove([3]);
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
	chunk.remove([7]);
	t.deepEqual(chunk.waiting(), [2, 3, 4, 5, 6]);
	t.deepEqual(chunk.waiting(0.5), [4, 5, 6]);
	t.deepEqual(chunk.waiting(0), []);
});

test('settlements and updates name the claim of their job', t => {
	const {chunk, listener} = sentChunk(claimedGroup(2, {ids: 10, lease: 3, executions: [4, 5]}));
	t.like(chunk.settlement(1, {type: 'released'}), {id: 11, lease: 3, execution: 5, outcome: {type: 'released'}});
	chunk.updates.tell(0, {startedAt: 1});
	t.deepEqual(listener.updates, [{id: 10, lease: 3, execution: 4, startedAt: 1}]);
});

test('the start of jobs is reported once, by the wall clock', t => {
	const clock = new HandClock(500_000.4);
	const {chunk, listener} = sentChunk(claimedGroup(3), new HandWorker(), new HandListener(), clock);
	const told = () => listener.updates.splice(0);
	clock.pass(100);
	chunk.updates.tellStarts({indexes: [0, 1], since: 1050});
	t.deepEqual(told(), [
		{id: 1, lease: 1, execution: 1, startedAt: 500_050},
		{id: 2, lease: 1, execution: 1, startedAt: 500_050},
	]);
	chunk.updates.tellStarts({indexes: [0, 1], since: 1050});
	t.deepEqual(told(), []);
	chunk.updates.tellStarts({indexes: [2], since: 1050});
	t.is(told().length, 1);
	chunk.updates.tellStarts({indexes: [], since: 1050});
	t.deepEqual(told(), []);
	const other = sentChunk(claimedGroup(3));
	other.chunk.updates.tellStarts({indexes: [1], since: 1050});
	t.is(other.listener.updates.length, 1);
});

test('progress of the running job is passed on once for each report', t => {
	const {chunk, side, listener} = sentChunk(claimedGroup(2));
	const told = () => {
		chunk.updates.tellProgress();
		return listener.updates.splice(0);
	};
	t.deepEqual(told(), []);
	side.start(0, 50);
	t.deepEqual(told(), []);
	side.setProgress(1, 4, 5000);
	const update = {id: 1, lease: 1, execution: 1, progress: {done: 1, total: 4, at: 5000}};
	t.deepEqual(told(), [update]);
	t.deepEqual(told(), []);
	side.setProgress(2, NaN, 5001);
	t.deepEqual(told(), [{...update, progress: {done: 2, at: 5001}}]);
	side.finish(0);
	side.setProgress(3, NaN, 5002);
	t.deepEqual(told(), []);
	side.start(1, 60);
	side.setProgress(1, NaN, 5003);
	side.setProgress(2, NaN, 5004);
	// As many reports as the first job had made.
	t.like(told(), [{id: 2, progress: {done: 2}}]);
	t.deepEqual(
		[...chunk.updates.progress],
		[
			[0, {done: 2, at: 5001}],
			[1, {done: 2, at: 5004}],
		],
	);
});

test('progress that can not be true is not passed on', t => {
	const {chunk, side, listener} = sentChunk(claimedGroup(1));
	side.start(0, 50);
	side.setProgress(NaN, 4, 5000);
	chunk.updates.tellProgress();
	t.deepEqual(listener.updates, []);
	t.is(chunk.updates.progress.size, 0);
});
