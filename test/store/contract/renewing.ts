import type {NewGroup} from '../../../lib/job/groups/group.ts';
import {pack} from '../../../lib/job/groups/packed.ts';
import type {JobId} from '../../../lib/job/job.ts';
import type {OnParentDead, ParentEdge, Parents} from '../../../lib/job/parents.ts';
import type {JobRange, StoredJob} from '../../../lib/store/found-jobs.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimsOf, commit, ERROR, idsOf, jobOf, law, newJob, OWNER, T0, take} from './laws.ts';

/** Items that run again, by the options that they are given now. */

const RERUN = {changed: true, failed: true};

function after(ids: readonly JobId[], onParentDead: OnParentDead = 'cancel'): Parents {
	return {edges: [{kind: 'all', parents: {ids, count: ids.length}}], onParentDead};
}

/** A group of items with these keys. */
function items(keys: readonly string[], parts: Partial<NewGroup> = {}): NewGroup {
	const {payload: _, ...options} = newJob();
	return {...options, keys: pack(keys), values: pack(keys.map(() => '1')), ...parts};
}

/** As {@link items}, all of which are out of date. */
function outdated(keys: readonly string[], parts: Partial<NewGroup> = {}): NewGroup {
	return items(keys, {rerun: RERUN, outdated: keys.map((_, index) => index), ...parts});
}

async function send(queue: RawQueue, ...groups: readonly NewGroup[]) {
	return (await queue.store.commit({enqueue: groups})).enqueued;
}

async function end(queue: RawQueue, limit = 99, type: 'returned' | 'threw' = 'returned'): Promise<JobId[]> {
	const taken = await take(queue, limit);
	const outcome = type === 'returned' ? {type, value: '1'} : {type, error: {...ERROR, retry: 'never' as const}};
	await commit(queue, {settle: claimsOf(taken).map(claim => ({...claim, outcome}))});
	return idsOf(taken);
}

async function parentsOf(queue: RawQueue, id: JobId): Promise<number[]> {
	const {jobs} = await queue.store.jobs({ids: [id]}, {}, {edges: true});
	const {parents} = (jobs[0] as Required<StoredJob>).edges;
	return (parents as readonly JobRange[]).flatMap(([first, last]) => Array.from({length: last - first + 1}, (_, index) => first + index));
}

async function statusesOf(queue: RawQueue): Promise<string> {
	return (await queue.jobs({}).page()).map(({status}) => status[0]).join('');
}

law('an item that runs again waits for the jobs that it is given now, and for no others', async (t, queue) => {
	await send(queue, items(['monday']), items(['a', 'b', 'c'], {parents: after([1])}));
	t.deepEqual([await end(queue), await end(queue)], [[1], [2, 3, 4]]);
	await send(queue, items(['tuesday']), items(['wednesday']));
	await send(queue, outdated(['b'], {parents: after([6, 5])}), outdated(['c']));
	t.is(await statusesOf(queue), 'ccbppp');
	t.deepEqual([await parentsOf(queue, 2), await parentsOf(queue, 3), await parentsOf(queue, 4)], [[1], [6, 5], []]);
	t.deepEqual([await end(queue), await end(queue)], [[4, 5, 6], [3]]);
	// Those of the first run are no longer its parents.
	t.is(await queue.retry({ids: [1]}), 1);
	t.like(await queue.store.delete({ids: [5, 6]}), {deleted: 2});
	t.is(await statusesOf(queue), 'pccc');
});

law(
	'a new item waits for one that runs again by the same call, in its own group only if that is no circle, and for whatever else it is given',
	async (t, queue) => {
		await send(queue, items(['a', 'dead']), items(['other'], {priority: -1}));
		t.deepEqual([await end(queue, 1), await end(queue, 1, 'threw')], [[1], [2]]);
		await send(queue, outdated(['a'], {parents: after([3])}), items(['n'], {parents: after([1, 3])}), items(['o'], {parents: after([1])}));
		await send(queue, outdated(['dead']), outdated(['dead', 'm'], {parents: after([2, 3])}), items(['l'], {parents: after([2], 'run')}));
		t.is(await statusesOf(queue), 'bppbbbb');
		t.deepEqual(
			[await end(queue, 9), await end(queue, 9)],
			[
				[2, 3],
				[1, 6, 7],
			],
		);
		await send(queue, outdated(['a', 'k'], {parents: after([1])}));
		t.is(await statusesOf(queue), 'cccppccp');
	},
);

law('an item that failed and runs again takes the parents, the time and the expiry that it is given now', async (t, queue, clock) => {
	await send(queue, items(['a', 'b', 'c']), items(['job']));
	t.deepEqual(await end(queue, 3, 'threw'), [1, 2, 3]);
	const rerun = {changed: false, failed: true};
	await send(queue, items(['a'], {rerun, delayMs: 50}), items(['b'], {rerun, expiresMs: 30}), items(['c'], {rerun, parents: after([4])}));
	t.is(await statusesOf(queue), 'ppbp');
	t.is((await jobOf(queue, 1)).runAt, T0 + 50);
	clock.pass(30);
	t.deepEqual(await end(queue), [4]);
	t.like(await jobOf(queue, 2), {status: 'cancelled', error: {reason: 'expired'}});
	clock.pass(20);
	t.deepEqual(await end(queue), [1, 3]);
});

law('a completed item whose new round can not begin, since a job in its dependsOn is dead, keeps its result; a changed one is a conflict', async (t, queue) => {
	await send(queue, items(['a', 'b']), items(['dead'], {priority: -1}));
	t.deepEqual([await end(queue, 2), await end(queue, 1, 'threw')], [[1, 2], [3]]);
	const parents = after([3]);
	const answers = await send(queue, outdated(['a'], {parents}), items(['b'], {rerun: RERUN, values: ['2'], parents}), items(['new'], {parents}));
	t.deepEqual(answers, [{ids: 1, reused: [0], left: [0]}, {ids: 2, conflicts: [0]}, {ids: 4}]);
	t.is(await statusesOf(queue), 'ccdc');
	t.like(await queue.values(2), {payload: '1', result: '1'});
	t.deepEqual([(await jobOf(queue, 1)).status, (await jobOf(queue, 4)).error?.reason], ['completed', 'parent']);
	const changed = {enqueue: [items(['b'], {rerun: RERUN, values: ['2'], parents})], rejectConflicts: true};
	await t.throwsAsync(queue.store.commit(changed), {code: 'KeyConflict', message: /"b" .* job 2, .* it is running, or a job in its dependsOn/});
	await send(queue, outdated(['a'], {parents: after([3], 'run')}));
	t.deepEqual([await end(queue), await parentsOf(queue, 1)], [[1], [3]]);
});

law('an item whose parent was deleted runs again if it is given another one', async (t, queue) => {
	await send(queue, items(['monday']), items(['a', 'b'], {parents: after([1])}));
	t.deepEqual([await end(queue), await end(queue, 1), await end(queue, 1, 'threw')], [[1], [2], [3]]);
	t.like(await queue.store.delete({ids: [1]}), {deleted: 1});
	t.is(await queue.retry({ids: [2, 3]}), 0);
	await send(queue, items(['tuesday']));
	await send(queue, outdated(['a'], {parents: after([4])}), items(['b'], {rerun: RERUN, parents: after([4])}));
	t.is(await statusesOf(queue), 'bbp');
	t.deepEqual([await end(queue), await end(queue)], [[4], [2, 3]]);
});

law('no item is made to wait for a job that waits for it, through any number of others: it stays as it is', async (t, queue) => {
	await send(queue, items(['a', 'b']), items(['c'], {parents: after([1])}), items(['d'], {parents: after([2, 3])}));
	t.deepEqual([await end(queue), await end(queue), await end(queue)], [[1, 2], [3], [4]]);
	const [own, through] = await send(queue, outdated(['a'], {parents: after([1])}), outdated(['a'], {parents: after([2, 4])}));
	t.deepEqual(
		[own, through],
		[
			{ids: 1, reused: [0], left: [0]},
			{ids: 1, reused: [0], left: [0]},
		],
	);
	t.deepEqual(await send(queue, outdated(['a'], {values: ['2'], parents: after([4])})), [{ids: 1, conflicts: [0]}]);
	t.is(await statusesOf(queue), 'cccc');
	await send(queue, outdated(['c'], {parents: after([2])}));
	await send(queue, outdated(['a'], {parents: after([3])}));
	t.is(await statusesOf(queue), 'bcpc');
	t.deepEqual([await end(queue), await end(queue)], [[3], [1]]);
});

law('an item that gets other parents leaves the edges of its neighbours as they are, and in their order', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const numbered = (keys: number, count: number, parts: Partial<NewGroup> = {}): NewGroup => {
		const {keys: _, ...group} = items([], parts);
		return {...group, batch, keys, values: pack(new Array<string>(count).fill('1'))};
	};
	const edges: ParentEdge[] = [
		{kind: 'all', parents: {ids: [2, 2], count: 2}},
		{kind: 'each', parents: {ids: 4, count: 3}, start: 2},
		{kind: 'all', parents: {ids: 1, count: 1}},
		{kind: 'each', parents: {ids: 4, count: 5}},
	];
	await send(queue, numbered(100, 8), numbered(0, 5, {parents: {edges, onParentDead: 'cancel'}}));
	await end(queue);
	t.deepEqual(await end(queue), [9, 10, 11, 12, 13]);
	const before = [await parentsOf(queue, 9), await parentsOf(queue, 12), await parentsOf(queue, 13)];
	t.deepEqual(before, [
		[2, 2, 1, 4],
		[2, 2, 5, 1, 7],
		[2, 2, 6, 1, 8],
	]);
	for (const key of [2, 1]) await send(queue, numbered(key, 1, {rerun: RERUN, outdated: [0], parents: after([3])}));
	t.deepEqual([await parentsOf(queue, 9), await parentsOf(queue, 12), await parentsOf(queue, 13)], before);
	t.deepEqual([await parentsOf(queue, 10), await parentsOf(queue, 11)], [[3], [3]]);
	await end(queue);
	t.is(await queue.retry({ids: [12, 1]}), 2);
	t.deepEqual([await end(queue), await end(queue)], [[1], [12]]);
});
