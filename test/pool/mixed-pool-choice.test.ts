import type {ExecutionContext} from 'ava';
import test from 'ava';
import type {PoolOptions} from '../../lib/job/options.ts';
import {processSource} from '../../lib/pool/processes/processes.ts';
import {threadSource} from '../../lib/pool/threads/threads.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {systemClock} from '../../lib/support/clock.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandListener} from '../fixtures/hand-listener.ts';
import {HAND_POOL_OPTIONS} from '../fixtures/hand-source.ts';

const TASKS = new URL('../fixtures/modules/memory.ts', import.meta.url).href;
const [WAIT, NEEDY, SUSPECT] = [
	{task: 'wait', quarantined: false},
	{task: 'needy', quarantined: false},
	{task: 'wait', quarantined: true},
];

/** A pool of two threads that have loaded their tasks. Processes start with the first suspect, and there is none. */
async function load(t: ExecutionContext, more: Partial<PoolOptions> = {}, freeBytes = () => 1000) {
	const timer = setInterval(() => undefined, 1000);
	const listener = new HandListener();
	const options = {...HAND_POOL_OPTIONS, tasks: TASKS, graceMs: 20, ...more};
	const pool = new WorkerPool({thread: threadSource(options), process: processSource(options)}, options, listener, systemClock, freeBytes);
	t.teardown(async () => {
		await pool.close();
		clearInterval(timer);
	});
	await pool.load();
	while (pool.capacity().idle < 2) await nextFreed(listener);
	return {listener, pool};
}

/** Resolves when the pool may have more capacity. */
function nextFreed(listener: HandListener): Promise<void> {
	return new Promise(resolve => {
		listener.freed = resolve;
	});
}

const group = (task: string, ids: number) => claimedGroup(1, {task, ids});

test.serial('a chunk goes to the threads, where the budget of slots is shared with the processes that suspects would run in', async t => {
	const {pool, listener} = await load(t);
	t.is(pool.slots, 2);
	t.deepEqual([pool.capacity(), pool.capacity(WAIT), pool.capacity(SUSPECT)], Array(3).fill({idle: 2, prefetch: 0}));
	pool.run(group('wait', 1));
	t.deepEqual(pool.capacity(WAIT), {idle: 1, prefetch: 1});
	t.deepEqual(pool.capacity(SUSPECT), {idle: 1, prefetch: 0});
	t.deepEqual([pool.size, pool.stop(9, 'cancelled')], [1, false]);
	t.true(pool.stop(1, 'cancelled'));
	await pool.confirmStops();
	while (pool.size > 0) await nextFreed(listener);
	pool.run(group('wait', 2));
	await pool.release('needy');
	t.is(pool.size, 1);
	await pool.close();
	t.is(pool.size, 0);
	t.deepEqual(listener.settled.map(([id]) => id).toSorted(), [1, 2]);
});

test.serial('jobs that say how much memory they need start as far as there is room; they are given no second chunk', async t => {
	let free = 1000;
	const {listener, pool} = await load(t, {}, () => free);
	free = 700;
	t.deepEqual(pool.capacity(NEEDY), {idle: 2, prefetch: 0});
	free = 500;
	t.deepEqual(
		[pool.capacity(NEEDY), pool.capacity(WAIT)],
		[
			{idle: 1, prefetch: 0},
			{idle: 2, prefetch: 0},
		],
	);
	// One may always run while nothing does.
	free = 0;
	t.is(pool.capacity(NEEDY).idle, 1);
	free = 700;
	pool.run(group('needy', 1));
	// What it may still take is not free.
	t.deepEqual(
		[pool.capacity(NEEDY), pool.capacity(WAIT)],
		[
			{idle: 1, prefetch: 0},
			{idle: 1, prefetch: 1},
		],
	);
	free = 599;
	t.is(pool.capacity(NEEDY).idle, 0);
	t.is(pool.capacity(WAIT).idle, 1);
	// It looks again by itself.
	await nextFreed(listener);
});

test.serial('below the memory that is to stay free nothing starts, and nothing is given ahead, unless nothing runs', async t => {
	let free = 1000;
	const {pool, listener} = await load(t, {minFreeMemoryBytes: 400}, () => free);
	free = 399;
	t.deepEqual(pool.capacity(WAIT), {idle: 1, prefetch: 0});
	pool.run(group('wait', 1));
	t.deepEqual(pool.capacity(WAIT), {idle: 0, prefetch: 0});
	free = 400;
	t.deepEqual(pool.capacity(WAIT), {idle: 1, prefetch: 1});
	// It looks again by itself: the system tells nothing.
	await nextFreed(listener);
	t.is(listener.settled.length, 0);
});
