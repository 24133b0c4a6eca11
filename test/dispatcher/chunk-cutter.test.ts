import test from 'ava';
import {cutIntoChunks} from '../../lib/dispatcher/chunk-cutter.ts';
import {type ClaimedGroup, listIds, sizeOf} from '../../lib/job/groups/group.ts';
import {countOf, pack} from '../../lib/job/groups/packed.ts';
import {claimedJobsOf} from '../../lib/job/groups/single-jobs.ts';
import type {Policy} from '../../lib/job/policy.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1, factor: 1, maxMs: 1, jitter: 0}, retry: 'auto'};

function group(first: number, last: number): ClaimedGroup {
	const values = pack(Array.from({length: last - first + 1}, () => '1'));
	return {task: 'hash', lease: 7, policies: POLICY, ids: first, executions: 1, createdAt: 5, priorities: 0, values};
}

const idsOf = (all: readonly ClaimedGroup[]) => all.flatMap(each => listIds(each.ids, sizeOf(each)));

test('chunks cut from groups are these groups, in order; a group that is large enough is a chunk by itself', t => {
	const groups = [group(1, 2), group(5, 24), group(30, 31), group(40, 44)];
	for (const most of [1, 2, 3, 7, 100]) {
		const chunks = cutIntoChunks(groups, () => most);
		t.true(chunks.every(chunk => sizeOf(chunk) <= most));
		t.deepEqual(idsOf(chunks), idsOf(groups));
	}
	const sizes = [2, 16, 16, 100];
	const lefts: number[] = [];
	const chunks = cutIntoChunks(groups, left => {
		lefts.push(left);
		return sizes.shift() as number;
	});
	t.deepEqual(
		chunks.map(({ids}) => ids),
		// The last two groups are too short for a chunk of their own.
		[1, 5, 21, [30, 31, 40, 41, 42, 43, 44]],
	);
	t.deepEqual(lefts, [29, 27, 11, 7]);
});

test('a large group is not joined with a few jobs before it', t => {
	const chunks = cutIntoChunks([group(1, 1), group(3, 3), group(10, 29)], () => 16);
	t.deepEqual(
		chunks.map(({ids, values}) => [ids, countOf(values)]),
		[
			[[1, 3], 2],
			[10, 16],
			[26, 4],
		],
	);
});

test('jobs of different policies share a chunk', t => {
	const once = {...POLICY, maxAttempts: 1};
	const [chunk, ...others] = cutIntoChunks([group(1, 2), {...group(9, 9), policies: once}], () => 100);
	t.deepEqual([chunk?.ids, others], [[1, 2, 9], []]);
	t.deepEqual(
		[...claimedJobsOf(chunk as ClaimedGroup)].map(({policy}) => policy),
		[POLICY, POLICY, once],
	);
});
