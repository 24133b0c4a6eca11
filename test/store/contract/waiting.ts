import type {Claim} from '../../../lib/job/claim.ts';
import {idAt, type NewGroup} from '../../../lib/job/group.ts';
import type {JobId} from '../../../lib/job/job.ts';
import {pack} from '../../../lib/job/packed.ts';
import type {OnDead, ParentEdge, Parents} from '../../../lib/job/parents.ts';
import type {JobQueue} from '../../../lib/store/job-queue.ts';
import {claimOf, claimsOf, commit, ERROR, idsOf, jobOf, law, newJob, POLICY, T0, take} from './laws.ts';

/** Jobs that wait for all of these. */
function after(ids: readonly JobId[], onDead: OnDead = 'cancel'): Parents {
	return {edges: [{kind: 'all', parents: {ids, count: ids.length}}], onDead};
}

function groupOf(count: number, edges: readonly ParentEdge[] = [], parts: Partial<NewGroup> = {}): NewGroup {
	const {payload: _, ...options} = newJob();
	return {...options, values: pack(new Array<string>(count).fill('1')), ...(edges.length > 0 && {parents: {edges, onDead: 'cancel' as const}}), ...parts};
}

async function enqueueGroups(queue: JobQueue, ...groups: NewGroup[]): Promise<JobId[]> {
	const {enqueued} = await queue.store.commit({enqueue: groups});
	return enqueued.map(({ids}) => idAt(ids, 0));
}

async function end(queue: JobQueue, limit: number, type: 'returned' | 'threw' = 'returned'): Promise<JobId[]> {
	const taken = await take(queue, limit);
	const outcome = type === 'returned' ? {type, value: '1'} : {type, error: {...ERROR, retry: 'never' as const}};
	await commit(queue, {settle: claimsOf(taken).map(claim => ({...claim, outcome}))});
	return idsOf(taken);
}

async function statusesOf(queue: JobQueue): Promise<string> {
	return (await queue.jobs({})).map(({status}) => status[0]).join('');
}

law('a job that waits for others is blocked, is not claimed, and is ready in the transaction that ends the last of them', async (t, queue) => {
	const [first, second] = (await enqueueGroups(queue, groupOf(1), groupOf(1))) as [JobId, JobId];
	const [third] = (await enqueueGroups(queue, groupOf(1, after([first, second]).edges))) as [JobId];
	t.is((await jobOf(queue, third)).status, 'blocked');
	t.like(await queue.counts(), {blocked: 1, pending: 2});
	t.deepEqual(await queue.store.counts(), [
		{
			...{task: 'hash', isPaused: false, blocked: 1, ready: 2, quarantined: 0, delayed: 0, failed: 0, parked: 0, running: 0},
			completed: 0,
			dead: 0,
			cancelled: 0,
		},
	]);
	t.deepEqual(
		(await queue.jobs({status: 'blocked'})).map(({id}) => id),
		[third],
	);
	const claims = claimsOf(await take(queue, 9)) as [Claim, Claim];
	t.is(claims.length, 2);
	await commit(queue, {settle: [{...claims[1], outcome: {type: 'returned', value: '1'}}]});
	t.is((await jobOf(queue, third)).status, 'blocked');
	const {claimed} = await commit(queue, {settle: [{...claims[0], outcome: {type: 'returned', value: '1'}}], claim: claimOf('hash')});
	t.deepEqual(
		claimed.jobs.map(({id}) => id),
		[third],
	);
	t.like(await queue.counts(), {blocked: 0, running: 1, completed: 2});
});

law('a job whose parents have ended is ready at once', async (t, queue) => {
	await enqueueGroups(queue, groupOf(3));
	await end(queue, 3);
	const [id] = (await enqueueGroups(queue, groupOf(1, after([1, 3]).edges))) as [JobId];
	t.is((await jobOf(queue, id)).status, 'pending');
	t.deepEqual(await end(queue, 9), [id]);
});

law('a group with a parent that does not exist is refused, and says which', async (t, queue) => {
	await enqueueGroups(queue, groupOf(1));
	const {enqueued} = await queue.store.commit({enqueue: [groupOf(2, after([1, 7]).edges), groupOf(1)]});
	t.deepEqual(enqueued, [{ids: [], missing: 7}, {ids: 2}]);
	t.is((await queue.jobs({})).length, 2);
});

law('each job of a group waits for the parent at its place, also for one of an earlier group of the same transaction', async (t, queue) => {
	const each: ParentEdge = {kind: 'each', parents: {groupsBefore: 1, first: 0, count: 4}};
	const [parent, child] = (await enqueueGroups(queue, groupOf(4), groupOf(4, [each]))) as [JobId, JobId];
	t.is(await statusesOf(queue), 'ppppbbbb');
	t.deepEqual(await end(queue, 1), [parent]);
	t.is(await statusesOf(queue), 'cppppbbb');
	t.deepEqual(await end(queue, 3), [parent + 1, parent + 2, parent + 3]);
	t.is(await statusesOf(queue), 'ccccpppp');
	t.deepEqual(await end(queue, 9), [child, child + 1, child + 2, child + 3]);
});

law('a chain runs one job after the other', async (t, queue) => {
	await enqueueGroups(queue, groupOf(50, [{kind: 'each', parents: {groupsBefore: 0, first: 0, count: 49}, start: 1}]));
	for (let id = 1; id <= 50; id++) t.deepEqual(await end(queue, 9), [id]);
});

law('a fan-out and a fan-in of many jobs: the last one runs after all', async (t, queue) => {
	const out: ParentEdge = {kind: 'all', parents: {groupsBefore: 1, first: 0, count: 1}};
	const into: ParentEdge = {kind: 'all', parents: {groupsBefore: 1, first: 0, count: 4500}};
	const [, first, last] = (await enqueueGroups(queue, groupOf(1), groupOf(4500, [out]), groupOf(1, [into]))) as [JobId, JobId, JobId];
	t.like(await queue.counts(), {blocked: 4501, pending: 1});
	await end(queue, 1);
	t.like(await queue.counts(), {blocked: 1, pending: 4500});
	for (let done = 0; done < 4500; done += 900) t.is((await end(queue, 900))[0], first + done);
	t.deepEqual(await end(queue, 9), [last]);
});

law('a lattice: each job waits for the one before it in its row and the one above it', async (t, queue) => {
	const size = 5;
	const groups = Array.from({length: size}, (_, row) => {
		const before: ParentEdge = {kind: 'each', parents: {groupsBefore: 0, first: 0, count: size - 1}, start: 1};
		const above: ParentEdge = {kind: 'each', parents: {groupsBefore: 1, first: 0, count: size}};
		return groupOf(size, row === 0 ? [before] : [before, above]);
	});
	await enqueueGroups(queue, ...groups);
	for (let diagonal = 0; diagonal < 2 * size - 1; diagonal++) {
		const expected = Array.from({length: size}, (_, row) => [row, diagonal - row] as const).filter(([, column]) => column >= 0 && column < size);
		t.deepEqual(
			await end(queue, 99),
			expected.map(([row, column]) => 1 + row * size + column),
		);
	}
});

law('if a parent is dead or cancelled, its children are cancelled, and theirs; with onDead run they run', async (t, queue) => {
	await enqueueGroups(queue, groupOf(1), groupOf(1), groupOf(1, after([1]).edges), groupOf(1, after([3]).edges));
	await enqueueGroups(queue, groupOf(1, [], {parents: after([1, 2, 3], 'run')}), groupOf(1, after([2]).edges));
	await end(queue, 1, 'threw');
	t.is(await statusesOf(queue), 'dpccbb');
	t.like(await jobOf(queue, 3), {error: {reason: 'parent', message: 'It waited for job 1, which is dead, cancelled or deleted.'}});
	t.like(await jobOf(queue, 4), {error: {reason: 'parent', message: 'It waited for job 3, which is dead, cancelled or deleted.'}});
	await queue.cancel({ids: [2]});
	t.is(await statusesOf(queue), 'dcccpc');
	t.deepEqual(await end(queue, 9), [5]);
});

law('the transaction that loses children names them', async (t, queue) => {
	await enqueueGroups(queue, groupOf(1), groupOf(2, after([1]).edges));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const {expired} = await commit(queue, {settle: [{...claim, outcome: {type: 'cancelled'}}]});
	t.deepEqual(expired, [2, 3]);
});

law('a job that is enqueued with a dead parent is cancelled at once', async (t, queue) => {
	await enqueueGroups(queue, groupOf(2));
	await end(queue, 1, 'threw');
	await enqueueGroups(queue, groupOf(1, after([2, 1]).edges), groupOf(1, [], {parents: after([1], 'run')}));
	t.is(await statusesOf(queue), 'dpcp');
});

law('a retry of a dead parent brings back the children that it took with it', async (t, queue) => {
	await enqueueGroups(queue, groupOf(1), groupOf(2, after([1]).edges), groupOf(1, after([2, 3]).edges), groupOf(1, after([1]).edges));
	await queue.cancel({ids: [5]});
	await end(queue, 1, 'threw');
	t.is(await statusesOf(queue), 'dcccc');
	t.is(await queue.retry({ids: [2]}), 0);
	t.is(await queue.retry({ids: [1]}), 1);
	t.is(await statusesOf(queue), 'pbbbc');
	t.deepEqual(await end(queue, 9), [1]);
	t.deepEqual(await end(queue, 9), [2, 3]);
	t.deepEqual(await end(queue, 9), [4]);
});

law('a retry of a completed parent makes children that have not started wait again', async (t, queue) => {
	await enqueueGroups(queue, groupOf(2), groupOf(1, after([1, 2]).edges), groupOf(1, after([1]).edges, {priority: 1}));
	t.deepEqual(await end(queue, 1), [1]);
	t.is(await queue.retry({ids: [1]}), 1);
	t.is(await statusesOf(queue), 'ppbb');
	t.deepEqual(await end(queue, 2), [1, 2]);
	t.is(await statusesOf(queue), 'ccpp');
});

law('deleting an unended parent cancels its children; ended parents are kept while a child needs them', async (t, queue, clock) => {
	await enqueueGroups(queue, groupOf(2), groupOf(1, after([1]).edges), groupOf(1, after([2]).edges));
	await end(queue, 1);
	clock.pass(10);
	t.deepEqual(await queue.cleanup({endedBefore: T0 + 100}), {deleted: 0, next: null});
	await queue.discard([2], {stop: false});
	t.is(await statusesOf(queue), 'cpc');
	t.deepEqual(await end(queue, 9), [3]);
	clock.pass(10);
	t.like(await queue.cleanup({endedBefore: T0 + 100}), {deleted: 3});
	t.is((await queue.jobs({})).length, 0);
});

law('a job that waits also has a time, a priority and a key', async (t, queue, clock) => {
	await enqueueGroups(queue, groupOf(1), groupOf(1, after([1]).edges, {runAt: T0 + 1000, keys: pack(['a'])}));
	t.like(await jobOf(queue, 2), {status: 'blocked', runAt: T0 + 1000, key: 'a'});
	await end(queue, 1);
	t.like(await jobOf(queue, 2), {status: 'pending', runAt: T0 + 1000});
	t.deepEqual(await end(queue, 1), []);
	clock.pass(1000);
	t.deepEqual(await end(queue, 1), [2]);
	const {enqueued} = await queue.store.commit({enqueue: [groupOf(1, after([2]).edges, {keys: pack(['a'])})]});
	t.deepEqual(enqueued, [{ids: 2, reused: [0]}]);
});

law('a job that waits expires only after its parents have ended', async (t, queue, clock) => {
	await enqueueGroups(queue, groupOf(1), groupOf(1, after([1]).edges, {expiresMs: 100}));
	clock.pass(1000);
	t.deepEqual(await end(queue, 9), [1]);
	clock.pass(99);
	t.is((await jobOf(queue, 2)).status, 'pending');
	clock.pass(1);
	t.deepEqual(await end(queue, 9), []);
	t.like(await jobOf(queue, 2), {status: 'cancelled', error: {reason: 'expired'}});
});

law('a job that waits can be edited and cancelled', async (t, queue) => {
	await enqueueGroups(queue, groupOf(1), groupOf(3, after([1]).edges));
	const {edited} = await queue.store.commit({edit: [{id: 3, priority: 5, payload: '"new"'}]});
	t.deepEqual(edited, ['edited']);
	t.deepEqual((await queue.cancel({ids: [2]})).cancelled, [2]);
	t.is(await statusesOf(queue), 'pcbb');
	await end(queue, 1);
	t.deepEqual(idsOf(await take(queue, 1)), [3]);
	t.deepEqual((await queue.values(3))?.payload, '"new"');
});

law('a batch with jobs that wait is not complete', async (t, queue) => {
	const batch = await queue.store.openBatch('pages', 'hash', 'owner-1');
	await enqueueGroups(queue, groupOf(1, [], {batch}), groupOf(1, after([1]).edges, {batch}));
	await queue.store.updateBatch(batch, 'owner-1', {total: 2});
	await end(queue, 1);
	t.like((await queue.batch('pages'))?.counts, {completed: 1, pending: 1});
	t.is((await queue.batch('pages'))?.completedAt, undefined);
	await end(queue, 1);
	t.is((await queue.batch('pages'))?.completedAt, T0);
});

law('jobs of a dead owner go back, and their children still wait', async (t, queue) => {
	await enqueueGroups(queue, groupOf(1, [], {policy: {...POLICY, maxAttempts: 2}}), groupOf(1, after([1]).edges));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {settle: [{...claim, outcome: {type: 'threw', error: {...ERROR, retry: {afterMs: 0}}}}]});
	t.is(await statusesOf(queue), 'fb');
	t.deepEqual(await end(queue, 9), [1]);
	t.deepEqual(await end(queue, 9), [2]);
});
