import test from 'ava';
import {toColumn} from '../../lib/job/groups/group.ts';
import type {StopReason} from '../../lib/job/job.ts';
import {JobSupervisor} from '../../lib/pool/job-supervisor.ts';
import {type Examination, PoolChunkState} from '../../lib/pool/pool.ts';
import {type Slot, Slots} from '../../lib/pool/slots.ts';
import {POLICY} from '../fixtures/dispatcher.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandWorker, sentChunk} from '../fixtures/hand-worker.ts';

const GRACE_MS = 200;

/** Jobs that a worker has, the first of them running since 1000, and the ladder for them. */
function setUp({jobs = 2, timeoutMs = null}: {readonly jobs?: number; readonly timeoutMs?: number | null | readonly (number | null)[]} = {}) {
	const [clock, worker] = [new HandClock(), new HandWorker()];
	const slots = new Slots(1, clock);
	const slot = slots.add(worker);
	slot.phase = 'ready';
	const policies = toColumn([timeoutMs].flat().map(each => ({...POLICY, timeoutMs: each})));
	const {chunk, side} = sentChunk(claimedGroup(jobs, {policies}), worker);
	slots.assign(slot, chunk);
	side.start(0, 1000);
	const ended: Slot[] = [];
	let examinations = 0;
	let examination: () => Promise<unknown> = async () => ({stack: '    at loop'});
	worker.examine = () => {
		examinations++;
		return examination() as Promise<Examination>;
	};
	const run = () => {
		throw new Error('There is no other worker.');
	};
	const watch = new JobSupervisor(slots, GRACE_MS, clock, {end: each => void ended.push(each)}, run);
	const turn = () => clock.nextTurn();
	return {
		...{clock, slot, slots, chunk, side, watch, ended, turn},
		examinations: () => examinations,
		examineBy: (by: typeof examination) => {
			examination = by;
		},
		/** A look of the pool at the running jobs. */
		look: async () => {
			watch.look();
			await turn();
		},
	};
}

test('a running job is asked to stop, with the reason, and has the grace from then on', t => {
	const {watch, chunk, side, clock} = setUp();
	clock.pass(50);
	watch.stop(chunk, [0], 'cancelled');
	t.is(side.stopReason(0), 'cancelled');
	t.deepEqual([...chunk.deadlines], [[0, 1050 + GRACE_MS]]);
	clock.pass(50);
	watch.stop(chunk, [0], 'timedOut');
	t.is(side.stopReason(0), 'cancelled');
	t.deepEqual([...chunk.deadlines], [[0, 1050 + GRACE_MS]]);
});

test('a worker that has to be asked, and does not answer, has two seconds more; the grace counts from its answer', t => {
	const {watch, chunk, clock} = setUp();
	let answer: () => void = () => undefined;
	class Asked extends PoolChunkState {
		override tellToStop(_: number, __: StopReason, then: () => void): void {
			answer = then;
		}
	}
	chunk.chunkState = new Asked(PoolChunkState.create(2).buffer);
	watch.stop(chunk, [0], 'cancelled');
	t.deepEqual([...chunk.deadlines], [[0, 1000 + GRACE_MS + 2000]]);
	clock.pass(500);
	answer();
	t.deepEqual([...chunk.deadlines], [[0, 1500 + GRACE_MS]]);
});

test('a job that does not heed its stop is examined when the grace is over, and then its worker is ended', async t => {
	const {watch, chunk, clock, ended, slot, look, ...own} = setUp();
	watch.stop(chunk, [0], 'cancelled');
	clock.pass(GRACE_MS);
	await look();
	t.is(own.examinations(), 0);
	clock.pass(1);
	await look();
	t.is(own.examinations(), 1);
	t.deepEqual(ended, [slot]);
	t.deepEqual(chunk.examination, {stack: '    at loop'});
});

test('an interrupted job is not examined: its worker is ended at once', async t => {
	const {watch, chunk, clock, ended, look, ...own} = setUp();
	watch.stop(chunk, [0], 'interrupted');
	clock.pass(GRACE_MS + 1);
	await look();
	t.deepEqual([ended.length, own.examinations()], [1, 0]);
	t.is(chunk.examination, undefined);
});

test('a worker is examined once at a time, and ended though that fails or finds nonsense', async t => {
	for (const [found, kept] of [
		[() => Promise.reject(new Error('no inspector')), undefined],
		[async () => ({stack: 5}), undefined],
		[async () => ({noStack: 'It waits.'}), {noStack: 'It waits.'}],
	] as const satisfies [() => Promise<unknown>, Examination | undefined][]) {
		const {watch, chunk, clock, ended, look, examineBy, ...own} = setUp();
		const {promise, resolve} = Promise.withResolvers<void>();
		examineBy(async () => {
			await promise;
			return found();
		});
		watch.stop(chunk, [0], 'cancelled');
		clock.pass(GRACE_MS + 1);
		await look();
		await look();
		t.deepEqual([own.examinations(), ended.length], [1, 0]);
		resolve();
		await clock.nextTurn();
		t.is(ended.length, 1);
		t.deepEqual(chunk.examination, kept);
		await look();
		t.is(own.examinations(), 2);
	}
});

test('a worker whose job, or chunk, ends while it is examined is not ended', async t => {
	for (const end of ['job', 'chunk'] as const) {
		const {watch, chunk, side, clock, ended, look, examineBy} = setUp();
		const {promise, resolve} = Promise.withResolvers<object>();
		examineBy(() => promise);
		watch.stop(chunk, [0], 'cancelled');
		clock.pass(GRACE_MS + 1);
		await look();
		if (end === 'chunk') chunk.lose([]);
		else {
			side.finish(0);
			side.start(1, 1300);
		}
		resolve({});
		await clock.nextTurn();
		t.deepEqual(ended, []);
		t.is(chunk.examination, undefined);
	}
});

test('a job that runs longer than its timeout is asked to stop', async t => {
	const {side, clock, look} = setUp({timeoutMs: 100});
	clock.pass(100);
	await look();
	t.is(side.stopReason(0), undefined);
	clock.pass(1);
	await look();
	t.is(side.stopReason(0), 'timedOut');
	const endless = setUp();
	endless.clock.pass(1e9);
	await endless.look();
	t.is(endless.side.stopReason(0), undefined);
	t.deepEqual(endless.ended, []);
});

test('all jobs of a micro-batch time out together at the shortest of their timeouts, and the first deadline ends their worker', async t => {
	const {chunk, side, clock, ended, look} = setUp({jobs: 3, timeoutMs: [5, null, 100]});
	side.finish(0);
	side.startMany(1, 3, 1000);
	clock.pass(100);
	await look();
	t.is(chunk.deadlines.size, 0);
	clock.pass(1);
	await look();
	t.deepEqual([...chunk.deadlines.keys()], [1, 2]);
	chunk.deadlines.set(2, 1050);
	chunk.deadlines.set(1, 5000);
	await look();
	t.is(ended.length, 1);
});

test('an interrupted chunk stops its running job and those that its worker starts later', async t => {
	const {watch, chunk, side, look} = setUp();
	watch.interrupt(chunk);
	t.is(chunk.intent, 'interrupted');
	t.is(side.stopReason(0), 'interrupted');
	side.finish(0);
	side.start(1, 1000);
	await look();
	t.is(side.stopReason(1), 'interrupted');
});

test('a chunk that runs nothing is interrupted all the same', t => {
	const {watch, chunk, side} = setUp();
	side.finish(0);
	watch.interrupt(chunk);
	t.is(chunk.intent, 'interrupted');
	t.is(chunk.deadlines.size, 0);
});

test('a job of an ordinary chunk is not stopped by a look', async t => {
	const {side, look, chunk} = setUp();
	await look();
	t.is(side.stopReason(0), undefined);
	t.is(chunk.deadlines.size, 0);
});
