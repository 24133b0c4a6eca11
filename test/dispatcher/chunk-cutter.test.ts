import test from 'ava';
import {ChunkCutter} from '../../lib/dispatcher/demand.ts';
import {type ClaimedGroup, listIds, sizeOf} from '../../lib/job/group.ts';
import type {Policy} from '../../lib/job/job.ts';
import {pack} from '../../lib/job/packed.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1, factor: 1, maxMs: 1, jitter: 0}, retry: 'auto'};

function group(first: number, last: number): ClaimedGroup {
	const values = pack(Array.from({length: last - first + 1}, () => '1'));
	return {task: 'hash', lease: 7, policy: POLICY, ids: first, executions: 1, createdAt: 5, priorities: 0, values};
}

const idsOf = (all: readonly ClaimedGroup[]) => all.flatMap(each => listIds(each.ids, sizeOf(each)));

test('chunks cut from groups are these groups, in order; a group that is large enough is a chunk by itself', t => {
	const groups = [group(1, 2), group(5, 24), group(30, 31), group(40, 44)];
	for (const most of [1, 2, 3, 7, 100]) {
		const cutter = new ChunkCutter(groups);
		const chunks: ClaimedGroup[] = [];
		while (cutter.length > 0) chunks.push(cutter.take(most));
		t.true(chunks.every(chunk => sizeOf(chunk) <= most));
		t.deepEqual(idsOf(chunks), idsOf(groups));
	}
	const cutter = new ChunkCutter(groups);
	t.is(sizeOf(cutter.take(2)), 2);
	t.is(cutter.take(16).ids, 5);
	t.is(cutter.take(16).ids, 21);
	// These two groups are too short for a chunk of their own.
	t.deepEqual(cutter.take(100).ids, [30, 31, 40, 41, 42, 43, 44]);
});

test('groups of different policies share no chunk', t => {
	const other = {...group(9, 9), policy: {...POLICY, maxAttempts: 1}};
	const cutter = new ChunkCutter([group(1, 1), other]);
	t.deepEqual([cutter.take(100).ids, cutter.take(100).ids], [1, 9]);
});
