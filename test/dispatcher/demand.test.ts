import test from 'ava';
import {Demand} from '../../lib/dispatcher/demand.ts';
import {idAt, sizeOf} from '../../lib/job/groups/group.ts';
import type {TaskInfo} from '../../lib/job/task/task.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandPool} from '../fixtures/hand-pool.ts';

/** Of tasks whose jobs take so long each; the sizer has learnt that. */
function makeDemand(pool: HandPool | undefined, tasks: Readonly<Record<string, TaskInfo['options']>>, jobMs = 1): Demand {
	const demand = new Demand(pool);
	demand.tasks = new Map(Object.entries(tasks));
	for (const task of Object.keys(tasks)) for (let chunk = 0; chunk < 8; chunk++) demand.sizer.observe(task, 1, jobMs);
	return demand;
}

function limitsOf(demand: Demand): number[] {
	return demand.lanes().map(({limit}) => limit);
}

test('each task has a lane of suspects and one of other jobs, both with its limit of running jobs', t => {
	const demand = makeDemand(new HandPool(), {count: {}, few: {concurrency: 3}});
	t.deepEqual(demand.lanes(), [
		{task: 'count', limit: 8, concurrency: undefined},
		{task: 'count', limit: 4, isQuarantined: true, concurrency: undefined},
		{task: 'few', limit: 2, concurrency: 3},
		{task: 'few', limit: 1, isQuarantined: true, concurrency: 3},
	]);
});

test('a lane of short jobs is filled up to its idle workers and those with room for a second chunk; of long jobs, to the idle ones', t => {
	const pool = new HandPool();
	pool.capacity = () => ({idle: 1, prefetch: 2});
	t.deepEqual(limitsOf(makeDemand(pool, {count: {}})), [12, 4]);
	t.deepEqual(limitsOf(makeDemand(pool, {count: {}}, 250)), [1, 1]);
	pool.capacity = () => ({idle: 0, prefetch: 2});
	t.deepEqual(limitsOf(makeDemand(pool, {count: {}})), [8, 0]);
});

test('suspects are claimed for an idle worker alone, as many as may run together, and no more than other jobs', t => {
	const pool = new HandPool();
	pool.capacity = lane => ({idle: lane?.quarantined ? 3 : 0, prefetch: 0});
	t.deepEqual(limitsOf(makeDemand(pool, {count: {}})), [0, 4]);
	t.deepEqual(limitsOf(makeDemand(pool, {count: {}}, 0.001)), [0, 512]);
});

test('there is capacity if the pool can take a chunk of some task', t => {
	const pool = new HandPool();
	const [short, long] = [makeDemand(pool, {count: {}, other: {}}), makeDemand(pool, {count: {}, other: {}}, 250)];
	t.true(short.hasCapacity);
	pool.capacity = lane => ({idle: lane?.task === 'other' ? 1 : 0, prefetch: 0});
	t.true(long.hasCapacity);
	pool.capacity = () => ({idle: 0, prefetch: 1});
	t.deepEqual([short.hasCapacity, long.hasCapacity], [true, false]);
	pool.capacity = () => ({idle: 0, prefetch: 0});
	t.false(short.hasCapacity);
	pool.capacity = lane => ({idle: lane?.quarantined ? 1 : 0, prefetch: 0});
	t.false(short.hasCapacity);
});

test('of a pool that takes jobs one by one, as many jobs are claimed as it has room for, also of a task with micro-batches', t => {
	const pool = new HandPool();
	pool.maxJobs = 1;
	t.deepEqual(limitsOf(makeDemand(pool, {count: {}, many: {batchSize: 8}})), [2, 1, 2, 1]);
});

test('a dispatcher without a pool claims nothing', t => {
	const demand = makeDemand(undefined, {count: {}});
	t.deepEqual(limitsOf(demand), [0, 0]);
	t.false(demand.hasCapacity);
});

test('jobs of a task with a limit, of concurrency or of memory, go one by one, or in one micro-batch', t => {
	const options = [{concurrency: 9}, {memory: 1000}, {concurrency: 9, batchSize: 3}, {memory: 1000, batchSize: 3000}];
	const limits = options.map(each => limitsOf(makeDemand(new HandPool(), {count: each}, 0.001)));
	t.deepEqual(limits, [
		[2, 1],
		[2, 1],
		[6, 3],
		[4000, 512],
	]);
});

test('a chunk holds whole micro-batches: as many as fill it, and no more than a group', t => {
	const pool = new HandPool();
	const sizeFor = (batchSize: number, jobMs?: number) => (limitsOf(makeDemand(pool, {count: {batchSize}}, jobMs))[0] as number) / pool.slots;
	t.deepEqual([sizeFor(3), sizeFor(300, 0.001), sizeFor(1500, 0.001), sizeFor(2001, 0.001)], [6, 1800, 1500, 2000]);
});

test('the last chunks are small, so that all workers end at about the same time', t => {
	const pool = new HandPool();
	const demand = makeDemand(pool, {count: {}}, 0.04);
	const sizes = (jobs: number, backlog: number) => demand.toChunks([claimedGroup(jobs)], backlog).map(sizeOf);
	// 50 jobs are worth a message.
	t.deepEqual(sizes(400, 0), [100, 75, 57, 50, 50, 50, 18]);
	t.deepEqual(sizes(200, 0), [50, 50, 50, 50]);
	// With a backlog, a chunk is as large as it can be, or an even share of the workers.
	t.deepEqual(sizes(400, 1000), [100, 100, 100, 100]);
	t.deepEqual(sizes(100, 1000), [50, 50]);
	t.deepEqual(sizes(31, 1000), [16, 15]);
	pool.capacity = lane => ({idle: lane?.quarantined ? 9 : 0, prefetch: 0});
	t.deepEqual(sizes(31, 1000), [31]);
	pool.slots = 4;
	t.deepEqual(sizes(480, 0), [60, 53, 50, 50, 50, 50, 50, 50, 50, 17]);
});

test('a share of jobs is no smaller than a micro-batch', t => {
	const demand = makeDemand(new HandPool(), {count: {batchSize: 40}}, 0.1);
	t.deepEqual(demand.toChunks([claimedGroup(80)], 0).map(sizeOf), [40, 40]);
	const sizes = (jobs: number, jobMs: number) =>
		makeDemand(new HandPool(), {count: {}}, jobMs)
			.toChunks([claimedGroup(jobs)], 0)
			.map(sizeOf);
	t.deepEqual(sizes(80, 0.1), [20, 20, 20, 20]);
	t.deepEqual(sizes(4, 2), [1, 1, 1, 1]);
});

test('suspects come first, in the groups in which they were claimed; other jobs are cut task by task', t => {
	const demand = makeDemand(new HandPool(), {count: {}, other: {}}, 50);
	const chunks = demand.toChunks(
		[claimedGroup(1, {ids: 10}), claimedGroup(2, {ids: 20, task: 'other'}), claimedGroup(1, {ids: 30}), claimedGroup(5, {ids: 40, quarantine: 'together'})],
		0,
	);
	t.deepEqual(
		chunks.map(chunk => [chunk.task, idAt(chunk.ids, 0), sizeOf(chunk)]),
		[
			['count', 40, 5],
			['count', 10, 1],
			['count', 30, 1],
			['other', 20, 1],
			['other', 21, 1],
		],
	);
});
