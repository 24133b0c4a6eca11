import test from 'ava';
import type {ClaimedGroup} from '../../lib/job/groups/group.ts';
import {packTimes} from '../../lib/job/groups/packed-times.ts';
import type {JobId} from '../../lib/job/job.ts';
import type {PoolOptions} from '../../lib/job/options.ts';
import {PoolChunkState, type PoolWorker} from '../../lib/pool/pool.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {ChunkState} from '../../lib/worker/chunk-state.ts';
import type {ChunkMessage, FinalMessage, OutcomesMessage} from '../../lib/worker/messages.ts';
import {POLICY} from '../fixtures/dispatcher.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandListener} from '../fixtures/hand-listener.ts';
import {HAND_POOL_OPTIONS, HandSource} from '../fixtures/hand-source.ts';
import {AskedWorker, type HandWorker} from '../fixtures/hand-worker.ts';

/** A pool whose workers have loaded their tasks. The test plays the workers. */
async function setUp(options: Partial<PoolOptions> = {}, kind: PoolWorker['kind'] = 'thread') {
	const [clock, listener, source] = [new HandClock(), new HandListener(), new HandSource(kind)];
	const pool = new WorkerPool({[kind]: source.make}, {...HAND_POOL_OPTIONS, ...options}, listener, clock);
	const loaded = pool.load();
	for (const {load} of source.workers) load?.resolve({tasks: []});
	await loaded;
	await clock.nextTurn();
	listener.calls.splice(0);
	let nextId = 1;
	/** Gives so many jobs to the pool. Returns the request that a worker gets, and the worker's side of it. */
	const run = (jobs: number, parts: Partial<ClaimedGroup> = {}) => {
		const ids = nextId;
		nextId += jobs;
		const before = source.workers.map(({requests}) => requests.length);
		pool.run(claimedGroup(jobs, {ids, ...parts}));
		const index = source.workers.findIndex(({requests}, each) => requests.length > (before[each] ?? 0));
		const worker = source.workers[index] as HandWorker;
		const request = worker.requests.at(-1) as ChunkMessage;
		const side = new ChunkState(request.chunkState as SharedArrayBuffer);
		const say = (message: unknown) => source.say(worker, message);
		const report = (first: number, count: number, more: Partial<OutcomesMessage> = {}) =>
			say({type: 'outcomes', chunk: request.chunk, first, values: {count, text: null}, times: timesOf(count), ...more});
		const final = (isLast: boolean, more: Partial<FinalMessage> = {}) => say({type: 'final', chunk: request.chunk, isLast, ...more});
		return {index, worker, request, side, say, report, final, ids: Array.from({length: jobs}, (_, each) => ids + each)};
	};
	/** Watches the running jobs every 20 ms for so long. */
	const watch = async (ms: number) => {
		for (let passed = 0; passed < ms; passed += 20) await clock.advance(20);
	};
	return {clock, listener, pool, run, source, watch};
}

function timesOf(jobs: number): Uint8Array {
	return packTimes(jobs, {startedAt: new Float64Array(jobs).fill(1000), durationMs: new Float64Array(jobs).fill(1)});
}

const settled = (ids: readonly JobId[], type: string) => ids.map(id => [id, type]);

test('the pool has as many slots as workers, and knows how many jobs it has', async t => {
	const {pool, run} = await setUp();
	t.deepEqual([pool.slots, pool.size, pool.capacity()], [2, 0, {idle: 2, prefetch: 0}]);
	run(2000);
	t.deepEqual([pool.size, pool.capacity()], [2000, {idle: 1, prefetch: 1}]);
});

test('outcomes are settled when they are final, and the end of the chunk makes the worker free', async t => {
	const {pool, listener, run} = await setUp();
	const {report, final} = run(3);
	report(0, 2);
	t.deepEqual(listener.settled, []);
	final(false);
	t.deepEqual(listener.takeSettled(), settled([1, 2], 'returned'));
	t.deepEqual(listener.calls, [['ended', 'count']]);
	report(2, 1);
	final(true);
	t.deepEqual(listener.takeSettled(), settled([3], 'returned'));
	t.deepEqual(listener.calls.at(-1), ['freed']);
	t.deepEqual([pool.size, pool.capacity().idle], [0, 2]);
	// Its chunk is over.
	report(0, 1);
	final(true);
	t.deepEqual(listener.settled, []);
});

test('a pool ignores messages of unknown types, and reports about chunks that their worker does not have', async t => {
	const {listener, run, source} = await setUp();
	const {say, request} = run(1);
	const other = run(1);
	for (const message of [null, 5, {}, {type: 'load'}, {type: 'final', chunk: other.request.chunk, isLast: true}]) say(message);
	say({type: 'final', chunk: request.chunk + 9, isLast: true});
	source.say(source.workers[1] as HandWorker, {type: 'outcomes', chunk: request.chunk, first: 0, values: {count: 1, text: null}, times: timesOf(1)});
	t.deepEqual([listener.settled, listener.calls], [[], []]);
});

test('a worker whose message can not be true is ended as broken, and nothing more of it is believed', async t => {
	const {listener, run, source} = await setUp();
	const {report, final, worker, say, request, side} = run(2);
	run(1);
	const behind = run(1);
	t.is(behind.worker, worker);
	side.start(0, 1000);
	side.finish(0);
	report(0, 1);
	report(0, 1);
	t.is(worker.ends, 1);
	t.deepEqual(listener.takeSettled(), settled([2, 4], 'released'));
	final(false);
	behind.say({type: 'update', chunk: behind.request.chunk, index: 0, logs: []});
	say({type: 'update', chunk: request.chunk, index: 0, logs: []});
	t.deepEqual(listener.updates, []);
	t.deepEqual(listener.settled, []);
	source.lose(worker);
	t.deepEqual(listener.takeSettled(), settled([1], 'returned'));
	t.like(
		listener.calls.find(([name]) => name === 'lost'),
		[
			'lost',
			{
				reason: 'broken',
				error: {reason: 'lostWorker', message: "The worker's report was not believed, since it reported job 0 of its chunk when job 1 was next."},
			},
		],
	);
});

test('a worker that has reported a job accuses none when it breaks before it starts the next', async t => {
	for (const [hasReported, suspicion] of [
		[true, undefined],
		[false, 10],
	] as const) {
		const {listener, run, source} = await setUp({workers: 1});
		if (hasReported) {
			const {report, final} = run(1);
			report(0, 1);
			final(true);
			listener.settled.splice(0);
		}
		const {worker} = run(1);
		source.lose(worker, {exitCode: 70});
		const [outcome] = listener.settled.map(([, each]) => each);
		t.is(outcome && 'suspicion' in outcome ? outcome.suspicion : undefined, suspicion);
	}
});

test('an update of a running job is passed on with its claim; its progress is kept for a post-mortem', async t => {
	const {listener, run, source} = await setUp();
	const {say, request, worker, side} = run(2);
	const update = {type: 'update', chunk: request.chunk, index: 1} as const;
	const [progress, logs, checkpoint] = [{done: 1, at: 5}, [{at: 1, level: 'info', text: 'x'}], {at: 1, state: '1'}];
	say({...update, progress, nth: 1});
	say({...update, logs});
	say({...update, checkpoint});
	const claim = {id: 2, lease: 1, execution: 1};
	t.deepEqual(listener.updates as unknown[], [
		{...claim, progress},
		{...claim, logs},
		{...claim, checkpoint},
	]);
	side.startMany(1, 2, 1000);
	source.lose(worker);
	t.like(listener.settled.find(([id]) => id === 2)?.[1], {error: {postMortem: {progress}}});
});

test('a job that has not started is stopped at once, and so is one that its pool has not sent', async t => {
	const {pool, listener, run} = await setUp();
	const {side, ids} = run(3);
	side.start(0, 1000);
	t.true(pool.stop(ids[1] as JobId, 'cancelled'));
	t.true(pool.stop(ids[2] as JobId, 'interrupted'));
	t.deepEqual(listener.takeSettled(), [
		[2, 'cancelled'],
		[3, 'released'],
	]);
	t.false(pool.stop(ids[2] as JobId, 'cancelled'));
	t.false(pool.stop(99, 'cancelled'));
});

test('a running job is asked to stop; of a micro-batch all jobs if memory is wanted back, otherwise the one', async t => {
	const {pool, run, listener} = await setUp();
	const {side, ids} = run(3);
	side.startMany(0, 2, 1000);
	t.true(pool.stop(ids[0] as JobId, 'cancelled'));
	t.deepEqual([side.stopReason(0), side.stopReason(1)], ['cancelled', undefined]);
	t.true(pool.stop(ids[1] as JobId, 'interrupted'));
	t.is(side.stopReason(1), 'interrupted');
	t.deepEqual(listener.settled, []);
	const other = await setUp();
	const batch = other.run(3);
	batch.side.startMany(0, 2, 1000);
	t.true(other.pool.stop(1, 'interrupted'));
	t.deepEqual([batch.side.stopReason(0), batch.side.stopReason(1)], ['interrupted', 'interrupted']);
});

test('a release gives back jobs that have not started, of one task or all; a job that comes back later goes to no other worker', async t => {
	const {pool, listener, run} = await setUp();
	const [one, two] = [run(2), run(2, {task: 'other'})];
	one.side.start(0, 1000);
	two.side.start(0, 1000);
	await pool.release('other');
	t.deepEqual(listener.takeSettled(), settled([4], 'released'));
	await pool.release();
	t.deepEqual(listener.takeSettled(), settled([2], 'released'));
	t.is(pool.size, 2);
	await pool.release();
	t.deepEqual(listener.takeSettled(), []);
});

test('jobs that a worker gives back after a release go to no other worker', async t => {
	for (const isReleased of [true, false]) {
		const {pool, listener, run, source, watch} = await setUp();
		const asked = new AskedWorker();
		asked.isPrompt = false;
		for (const worker of source.workers) worker.chunkState = asked.chunkState;
		const {side, index} = run(3);
		side.start(0, 1000);
		await watch(40);
		if (isReleased) void pool.release();
		asked.obey();
		t.is(source.workers[1 - index]?.requests.length, isReleased ? 1 : 2);
		t.deepEqual(listener.takeSettled().length, isReleased ? 2 : 0);
	}
});

test('a release, or the confirmation of stops, waits for an answer, for the end of the chunk, or for two seconds', async t => {
	class Silent extends PoolChunkState {
		override takeBack(): void {}
	}
	for (const verb of ['release', 'confirmStops'] as const) {
		for (const way of ['answer', 'end', 'time'] as const) {
			const {pool, clock, run, source} = await setUp();
			if (way !== 'answer') for (const worker of source.workers) worker.chunkState = jobs => new Silent(PoolChunkState.create(jobs).buffer);
			const {report, final} = run(1);
			let isDone = false;
			const done = pool[verb]().then(() => {
				isDone = true;
			});
			await clock.advance(1999);
			t.is(isDone, way === 'answer');
			if (way === 'end') {
				report(0, 1);
				final(true);
			} else await clock.advance(1);
			await done;
		}
	}
});

test('an interruption stops the running jobs of every worker, and a close ends all workers', async t => {
	const {pool, run, source, listener} = await setUp();
	const [one, two] = [run(2), run(1)];
	one.side.start(0, 1000);
	two.side.start(0, 1000);
	pool.interrupt();
	t.deepEqual([one.side.stopReason(0), two.side.stopReason(0)], ['interrupted', 'interrupted']);
	await pool.close();
	t.true(source.hasEnded);
	t.deepEqual(listener.takeSettled().sort(), settled([1, 2, 3], 'released'));
	t.is(pool.size, 0);
});

// Watching

test('a job that runs for longer than its timeout is stopped, and its worker ended after the grace', async t => {
	const {run, watch, source, listener} = await setUp();
	const {side, worker} = run(1, {policies: {...POLICY, timeoutMs: 100}});
	side.start(0, 1000);
	await watch(100);
	t.is(side.stopReason(0), undefined);
	await watch(20);
	t.is(side.stopReason(0), 'timedOut');
	await watch(200);
	t.is(worker.ends, 0);
	await watch(20);
	t.is(worker.ends, 1);
	source.lose(worker, {exitCode: null, signal: 'SIGKILL'});
	t.deepEqual(listener.takeSettled(), settled([1], 'timedOut'));
	t.like(
		listener.calls.find(([name]) => name === 'lost'),
		['lost', {reason: 'stopped', jobId: 1}],
	);
});

test('the start of a job that runs for more than 100 ms is reported, once, and jobs that ended before it are settled', async t => {
	const {run, watch, listener} = await setUp();
	const {side, report} = run(2);
	report(0, 1);
	side.start(0, 1000);
	side.finish(0);
	side.start(1, 1000);
	await watch(100);
	t.deepEqual([listener.updates, listener.settled], [[], []]);
	await watch(40);
	t.deepEqual(listener.updates, [{id: 2, lease: 1, execution: 1, startedAt: 1000}]);
	t.deepEqual(listener.takeSettled(), settled([1], 'returned'));
});

test('progress that a job publishes is reported while it runs', async t => {
	const {run, watch, listener} = await setUp();
	const {side} = run(1);
	side.start(0, 1000);
	side.setProgress(1, NaN, 7000);
	await watch(100);
	t.deepEqual(listener.updates, [{id: 1, lease: 1, execution: 1, progress: {done: 1, at: 7000}}]);
});

test('jobs that wait behind a long one move to an idle worker', async t => {
	const {run, watch, source, listener} = await setUp();
	const {side, index} = run(3);
	side.start(0, 1000);
	await watch(20);
	const other = source.workers[1 - index] as HandWorker;
	t.like(other.requests.at(-1), {type: 'chunk', group: {ids: 3, values: {count: 1}}});
	t.deepEqual(listener.settled, []);
});

test('a worker that neither runs nor reports for five seconds is ended as blocked; a report, a running job or a setup gives it time', async t => {
	const silent = await setUp();
	const {worker} = silent.run(1);
	await silent.watch(5000);
	t.is(worker.ends, 0);
	await silent.watch(100);
	t.is(worker.ends, 1);
	silent.source.lose(worker);
	t.like(
		silent.listener.calls.find(([name]) => name === 'lost'),
		['lost', {reason: 'blocked'}],
	);

	const {run, watch, clock} = await setUp();
	const own = run(3);
	await watch(4000);
	own.report(0, 1);
	await watch(4000);
	own.side.start(1, clock.steadyMs());
	await watch(4000);
	own.side.finish(1);
	await watch(4000);
	own.say({type: 'setup', worker: 0, task: 'count'});
	await watch(6000);
	own.say({type: 'setup', worker: 0});
	await watch(900);
	t.is(own.worker.ends, 0);
	await watch(200);
	t.is(own.worker.ends, 1);
});

test('a start that lies more than a second ahead is impossible: the worker counts as one that runs nothing', async t => {
	for (const [aheadMs, ends] of [
		[1000, 0],
		[1001, 1],
	] as const) {
		const {run, clock, watch} = await setUp();
		const {side, worker} = run(1);
		// It always lies as far ahead.
		for (let look = 0; look < 256; look++) {
			const at = clock.steadyMs() + 20 + aheadMs;
			if (look === 0) side.start(0, at);
			else new Float64Array(side.buffer, 0, 7)[2] = at;
			await watch(20);
		}
		t.is(worker.ends, ends);
	}
});

test('workers that load, or are being ended, are not watched; those that retire are', async t => {
	for (const [phase, isStopped] of [
		['retiring', true],
		['ending', false],
	] as const) {
		const {run, watch, source} = await setUp({recycle: {...HAND_POOL_OPTIONS.recycle, jobs: phase === 'retiring' ? 1 : Infinity}});
		const first = run(1);
		const other = run(1);
		const second = run(1, {policies: {...POLICY, timeoutMs: 100}});
		t.is(second.worker, first.worker);
		t.not(other.worker, first.worker);
		if (phase === 'ending') source.fail(first.worker);
		first.report(0, 1);
		first.final(true);
		second.side.start(0, 1000);
		await watch(200);
		t.is(second.side.stopReason(0) !== undefined, isStopped);
	}
});

test('without a chunk nothing is watched, and with the next one it is watched again', async t => {
	const {run, watch, clock} = await setUp();
	const timers = new Set<object>();
	const {after} = clock;
	Object.assign(clock, {
		after: (ms: number, call: () => void) => {
			const timer = {};
			timers.add(timer);
			const cancel = after(ms, () => {
				timers.delete(timer);
				call();
			});
			return () => {
				timers.delete(timer);
				cancel();
			};
		},
	});
	const {report, final} = run(1);
	run(1);
	t.is(timers.size, 1);
	report(0, 1);
	final(true);
	await watch(100);
	t.is(timers.size, 1);
	const again = await setUp();
	const own = again.run(1);
	own.report(0, 1);
	own.final(true);
	await again.watch(100);
	const last = again.run(1, {policies: {...POLICY, timeoutMs: 100}});
	last.side.start(0, again.clock.steadyMs());
	await again.watch(140);
	t.is(last.side.stopReason(0), 'timedOut');
});
