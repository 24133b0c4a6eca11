import test from 'ava';
import {Statistics, WaitingChunks} from '../../lib/dispatcher/statistics.ts';
import {idAt, settlementsOf} from '../../lib/job/group.ts';
import {POLICY} from '../fixtures/dispatcher.ts';
import {claimedGroup, returnedGroup} from '../fixtures/groups.ts';
import {HandPool} from '../fixtures/hand-pool.ts';

function setUp(): {readonly chunks: WaitingChunks; readonly pool: HandPool; readonly statistics: Statistics} {
	const [pool, statistics] = [new HandPool(), new Statistics(2)];
	return {pool, statistics, chunks: new WaitingChunks(pool, statistics)};
}

test('a chunk waits until its lane has capacity, and lets chunks of other lanes pass', t => {
	const {chunks, pool, statistics} = setUp();
	const [suspects, first, second] = [claimedGroup(3, {quarantine: 'together'}), claimedGroup(2), claimedGroup(1, {task: 'other'})] as const;
	pool.capacity = lane => (lane?.quarantined ? {idle: 0, prefetch: 0} : {idle: 0, prefetch: 1});
	t.true(chunks.isEmpty);
	chunks.add([suspects, first]);
	chunks.add([second]);
	chunks.feed();
	t.deepEqual(pool.given, [first, second]);
	t.false(chunks.isEmpty);
	t.deepEqual(statistics.report().chunks, {count: 2, meanJobs: 1.5});
	pool.capacity = () => ({idle: 1, prefetch: 1});
	chunks.feed();
	t.is(pool.given.at(-1), suspects);
	t.true(chunks.isEmpty);
	chunks.feed();
	t.is(pool.given.length, 3);
});

test('the pool is asked again for each chunk: the one before may have taken the last place', t => {
	const {chunks, pool} = setUp();
	pool.capacity = () => ({idle: 1 - pool.given.length, prefetch: 0});
	chunks.add([claimedGroup(1), claimedGroup(1)]);
	chunks.feed();
	t.is(pool.given.length, 1);
});

test('a timeout that is a share of the median becomes milliseconds as the chunk starts; another one stays', t => {
	const {chunks, pool, statistics} = setUp();
	statistics.ended('count', [returnedGroup(Array(20).fill(1000))]);
	const [share, plain] = [claimedGroup(1, {policy: {...POLICY, timeoutPercent: 300}}), claimedGroup(1, {policy: {...POLICY, timeoutMs: 5}})];
	chunks.add([share, plain]);
	chunks.feed();
	const [started] = pool.given;
	t.true(Math.abs((started?.policy.timeoutMs ?? 0) - 3000) < 30);
	t.is(started?.policy.timeoutPercent, 300);
	t.is(pool.given[1], plain);
});

test('only the chunks that are meant are given back, as released', t => {
	const {chunks, pool} = setUp();
	chunks.add([claimedGroup(2, {ids: 5}), claimedGroup(1, {ids: 9, task: 'other'})]);
	const released = chunks.release(({task}) => task === 'count');
	t.deepEqual(
		released.flatMap(group => [...settlementsOf(group)]),
		[5, 6].map(id => ({id, lease: 1, execution: 1, outcome: {type: 'released'}})),
	);
	chunks.feed();
	t.deepEqual(
		pool.given.map(({ids}) => idAt(ids, 0)),
		[9],
	);
});
