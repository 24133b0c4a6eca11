import test from 'ava';
import {ChunkSizer, CommitTiming} from '../../lib/dispatcher/demand.ts';
import type {Capacity} from '../../lib/pool/pool.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandPool} from '../fixtures/hand-pool.ts';
import {near} from '../fixtures/near.ts';

function setUp(capacity: Capacity): {readonly pace: CommitTiming; readonly clock: HandClock; readonly sizer: ChunkSizer} {
	const [pool, clock, sizer] = [new HandPool(), new HandClock(), new ChunkSizer(() => 1000)];
	pool.capacity = () => capacity;
	const pace = new CommitTiming(pool, sizer, clock);
	pace.committed();
	return {pace, clock, sizer};
}

test('a commit waits for nothing where a worker is idle, or where there is no pool', t => {
	t.is(setUp({idle: 1, prefetch: 0}).pace.lingerMs(), 0);
	const pace = new CommitTiming(undefined, new ChunkSizer(() => 1000), new HandClock());
	pace.committed();
	t.is(pace.lingerMs(), 0);
});

test('while each worker has two chunks, commits are a chunk of work apart', t => {
	const {pace, clock} = setUp({idle: 0, prefetch: 0});
	near(t, pace.lingerMs(), 4);
	clock.pass(3);
	near(t, pace.lingerMs(), 1);
	clock.pass(2);
	near(t, pace.lingerMs(), -1);
	pace.committed();
	near(t, pace.lingerMs(), 4);
});

test('where a worker has room for a second chunk, the commit comes shortly before the shortest chunk ends', t => {
	const {pace} = setUp({idle: 0, prefetch: 1});
	t.is(pace.lingerMs(), 0);
	pace.dispatched(2);
	near(t, pace.lingerMs(), 2 - 4 * 0.04);
	pace.dispatched(50);
	near(t, pace.lingerMs(), 4);
	const full = setUp({idle: 0, prefetch: 0}).pace;
	full.dispatched(2);
	near(t, full.lingerMs(), 4);
});

test('the first update waits at most 20 ms for a commit, and wakes the loop then', async t => {
	const {pace, clock, sizer} = setUp({idle: 0, prefetch: 0});
	sizer.observeCommit(10);
	near(t, pace.lingerMs(), 100);
	let wakes = 0;
	clock.pass(50);
	pace.updateWaits(() => wakes++);
	near(t, pace.lingerMs(), 20);
	await clock.advance(19);
	t.is(wakes, 0);
	await clock.advance(1);
	t.is(wakes, 1);
	near(t, pace.lingerMs(), 0);
	pace.updatesTaken();
	near(t, pace.lingerMs(), 30);
});
