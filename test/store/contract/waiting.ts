import type {Claim} from '../../../lib/job/claim.ts';
import {executionsOf} from '../../../lib/job/groups/cut-and-join.ts';
import {type ClaimedGroup, type EndedGroup, idAt, listIds, type NewGroup, sizeOf} from '../../../lib/job/groups/group.ts';
import {countOf, pack} from '../../../lib/job/groups/packed.ts';
import {packTimes} from '../../../lib/job/groups/packed-times.ts';
import type {JobId} from '../../../lib/job/job.ts';
import {listParents, outcomesOf} from '../../../lib/job/parent-results.ts';
import type {OnParentDead, ParentEdge, ParentOutcome, Parents} from '../../../lib/job/parents.ts';
import type {JobRange, StoredJob} from '../../../lib/store/found-jobs.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimOf, claimsOf, commit, ERROR, idsOf, jobOf, law, newJob, OWNER, POLICY, settleOne, T0, take} from './laws.ts';

/** Jobs that wait for all of these. */
function after(ids: readonly JobId[], onParentDead: OnParentDead = 'cancel'): Parents {
	return {edges: [{kind: 'all', parents: {ids, count: ids.length}}], onParentDead};
}

function groupOf(count: number, edges: readonly ParentEdge[] = [], parts: Partial<NewGroup> = {}): NewGroup {
	const {payload: _, ...options} = newJob();
	return {...options, values: pack(new Array<string>(count).fill('1')), ...(edges.length > 0 && {parents: {edges, onParentDead: 'cancel' as const}}), ...parts};
}

async function enqueueGroups(queue: RawQueue, ...groups: NewGroup[]): Promise<JobId[]> {
	const {enqueued} = await queue.store.commit({enqueue: groups});
	return enqueued.map(({ids}) => idAt(ids, 0));
}

async function end(queue: RawQueue, limit: number, type: 'returned' | 'threw' = 'returned'): Promise<JobId[]> {
	const taken = await take(queue, limit);
	const outcome = type === 'returned' ? {type, value: '1'} : {type, error: {...ERROR, retry: 'never' as const}};
	await commit(queue, {settle: claimsOf(taken).map(claim => ({...claim, outcome}))});
	return idsOf(taken);
}

/** The executions of the group, as returned. */
function toReturned(group: ClaimedGroup): EndedGroup {
	const count = sizeOf(group);
	return {...executionsOf(group, 0, count), values: pack(new Array(count).fill('1')), times: packTimes(count, {})};
}

async function statusesOf(queue: RawQueue): Promise<string> {
	return (await queue.jobs({}).page()).map(({status}) => status[0]).join('');
}

law('a job that waits for one that is not there fails the whole transaction under rejectConflicts, and else is missing', async (t, queue) => {
	const child = groupOf(1, [], {parents: after([1, 99])});
	await queue.store.commit({enqueue: [groupOf(1)]});
	await t.throwsAsync(queue.store.commit({enqueue: [groupOf(2), child], rejectConflicts: true}), {
		code: 'NoSuchJob',
		message: /^A job of task hash can't wait for job 99: there is no such job/,
	});
	t.is((await queue.counts()).pending, 1);
	t.deepEqual((await queue.store.commit({enqueue: [groupOf(2), child]})).enqueued[1], {ids: [], missing: 99});
	t.is((await queue.counts()).pending, 3);
});

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
			held: 0,
		},
	]);
	t.deepEqual(
		(await queue.jobs({status: 'blocked'}).page()).map(({id}) => id),
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
	t.is((await queue.jobs({}).page()).length, 2);
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

law('if a parent is dead or cancelled, its children are cancelled, and theirs; with onParentDead run they run', async (t, queue) => {
	await enqueueGroups(queue, groupOf(1), groupOf(1), groupOf(1, after([1]).edges), groupOf(1, after([3]).edges));
	await enqueueGroups(queue, groupOf(1, [], {parents: after([1, 2, 3], 'run')}), groupOf(1, after([2]).edges));
	await end(queue, 1, 'threw');
	t.is(await statusesOf(queue), 'dpccbb');
	t.like(await jobOf(queue, 3), {error: {reason: 'parent', message: 'It waited for job 1, which is dead.'}});
	t.like(await jobOf(queue, 4), {error: {reason: 'parent', message: 'It waited for job 3, which was cancelled.'}});
	await queue.cancel({ids: [2]});
	t.is(await statusesOf(queue), 'dcccpc');
	t.deepEqual(await end(queue, 9), [5]);
});

law('each transaction that loses children tells the listeners which', async (t, queue) => {
	const lost: (readonly JobId[])[] = [];
	const stop = queue.store.listen(OWNER, news => void (news.type === 'childrenCancelled' && lost.push(news.ids)));
	await enqueueGroups(queue, groupOf(1), groupOf(2, after([1]).edges), groupOf(1), groupOf(1, after([4]).edges));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {settle: [{...claim, outcome: {type: 'cancelled'}}]});
	await queue.cancel({ids: [4]});
	await enqueueGroups(queue, groupOf(1, after([1]).edges));
	stop();
	t.deepEqual(lost, [[2, 3], [5], [6]]);
});

law('a job that is enqueued with a dead parent is cancelled at once', async (t, queue) => {
	await enqueueGroups(queue, groupOf(2));
	await end(queue, 1, 'threw');
	await enqueueGroups(queue, groupOf(1, after([2, 1]).edges), groupOf(1, [], {parents: after([1], 'run')}));
	t.is(await statusesOf(queue), 'dpcp');
});

law('a job whose parent of the same call is cancelled at once is cancelled, too', async (t, queue) => {
	await enqueueGroups(queue, groupOf(1));
	await end(queue, 1, 'threw');
	const ofCall = (groupsBefore: number): ParentEdge[] => [{kind: 'all', parents: {groupsBefore, first: 0, count: 1}}];
	await enqueueGroups(queue, groupOf(1, after([1]).edges), groupOf(1, ofCall(1)), groupOf(1), groupOf(1, ofCall(1)));
	t.is(await statusesOf(queue), 'dccpb');
	t.like(await jobOf(queue, 3), {error: {message: 'It waited for job 2, which was cancelled.'}});
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

law('a child that was taken back after its parent died waits again for a new round of that, however often it is named', async (t, queue) => {
	await queue.store.commit({enqueue: [groupOf(2)]});
	t.deepEqual(await end(queue, 2), [1, 2]);
	await queue.store.commit({enqueue: [groupOf(1, [...after([1]).edges, ...after([2, 1]).edges])]});
	const child = await take(queue, 1);
	await queue.retry({ids: [1], status: 'completed'});
	t.deepEqual(await end(queue, 1, 'threw'), [1]);
	await commit(queue, {settle: claimsOf(child).map(claim => ({...claim, outcome: {type: 'released'}}))});
	t.is(await statusesOf(queue), 'dcp', 'it runs without the parent that died meanwhile');
	await queue.retry({ids: [2], status: 'completed'});
	t.is(await statusesOf(queue), 'dpp', 'another parent changes nothing while the first is dead');
	await queue.retry({ids: [1], status: 'dead'});
	t.is(await statusesOf(queue), 'ppb');
	t.deepEqual(await end(queue, 1), [1]);
	t.is(await statusesOf(queue), 'cpb');
	t.deepEqual(await end(queue, 2), [2]);
	t.deepEqual(await end(queue, 2), [3]);
});

law('a child that waits again waits for all parents that have not ended, also for those it did not wait for while it ran', async (t, queue) => {
	await queue.store.commit({enqueue: [groupOf(2)]});
	t.deepEqual(await end(queue, 2), [1, 2]);
	await queue.store.commit({enqueue: [groupOf(1, after([1, 2]).edges)]});
	const child = await take(queue, 1);
	await queue.retry({ids: [1], status: 'completed'});
	await commit(queue, {settle: claimsOf(child).map(claim => ({...claim, outcome: {type: 'released'}}))});
	t.is(await statusesOf(queue), 'pcp');
	await queue.retry({ids: [2], status: 'completed'});
	t.is(await statusesOf(queue), 'ppb');
	t.deepEqual(await end(queue, 1), [1]);
	t.is(await statusesOf(queue), 'cpb');
	t.deepEqual(await end(queue, 1), [2]);
	t.deepEqual(await end(queue, 1), [3]);
});

law('a child that failed, and is lost with its parent before its next attempt, keeps its attempts and its history', async (t, queue, clock) => {
	await enqueueGroups(queue, groupOf(1), groupOf(1, after([1]).edges));
	await end(queue, 1);
	t.is(await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0, durationMs: 5}), 'failed');
	clock.pass(1000);
	// Its time has come, and it is not claimed yet.
	await take(queue, 0);
	t.is(await queue.retry({ids: [1]}), 1);
	t.is(await statusesOf(queue), 'pb');
	await queue.discard([1], {stop: false});
	const {startedAt, durationMs, ...job} = await jobOf(queue, 2);
	t.like(job, {status: 'cancelled', attempts: 1, executions: 2, error: {name: 'ParentFailed'}});
	t.deepEqual([startedAt, durationMs], [undefined, undefined]);
	const [first, second] = await queue.history(2);
	t.like(first, {execution: 1, status: 'failed', startedAt: T0, durationMs: 5, error: ERROR});
	t.like(second, {execution: 2, status: 'cancelled', error: {name: 'ParentFailed'}});
});

law('deleting an unended parent cancels its children; ended parents are kept while a child needs them', async (t, queue, clock) => {
	await enqueueGroups(queue, groupOf(2), groupOf(1, after([1]).edges), groupOf(1, after([2]).edges));
	await end(queue, 1);
	clock.pass(10);
	t.deepEqual(await queue.store.delete({endedBefore: T0 + 100}), {deleted: 0, next: null});
	await queue.discard([2], {stop: false});
	t.is(await statusesOf(queue), 'cpc');
	t.deepEqual(await end(queue, 9), [3]);
	clock.pass(10);
	t.like(await queue.store.delete({endedBefore: T0 + 100}), {deleted: 3});
	t.is((await queue.jobs({}).page()).length, 0);
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

law('a job that waits gets another time, and still waits for its parents', async (t, queue, clock) => {
	await enqueueGroups(queue, groupOf(1), groupOf(2, after([1]).edges));
	const {edited} = await queue.store.commit({
		edit: [
			{id: 2, delayMs: 0},
			{id: 3, delayMs: 10},
		],
	});
	t.deepEqual(edited, ['edited', 'edited']);
	clock.pass(20);
	t.is(await statusesOf(queue), 'pbb');
	t.deepEqual(await end(queue, 9), [1]);
	t.deepEqual(await end(queue, 9), [2, 3]);
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

/** What became of the parents of each claimed job. */
function parentsOf(groups: readonly ClaimedGroup[]): ReadonlyMap<JobId, readonly ParentOutcome[]> {
	return new Map(groups.flatMap(group => [...listParents(group)].map(([index, parents]) => [idAt(group.ids, index), outcomesOf(parents)] as const)));
}

async function claimAll(queue: RawQueue): Promise<readonly ClaimedGroup[]> {
	return (await queue.store.commit({claim: claimOf({limit: 10})})).claimed.groups;
}

law('a claim has what became of the parents of each job, in their order', async (t, queue) => {
	const [first] = (await enqueueGroups(queue, groupOf(4))) as [JobId];
	const claims = claimsOf(await take(queue, 4));
	const failed = {type: 'threw', error: {...ERROR, retry: 'never'}} as const;
	const outcomes = claims.map(({id}) => (id === first + 2 ? failed : ({type: 'returned', value: id === first ? null : `${id - first}`} as const)));
	await commit(queue, {settle: claims.map((claim, index) => ({...claim, outcome: outcomes[index] ?? failed}))});
	const each: ParentEdge = {kind: 'each', parents: {ids: first, count: 4}};
	const pair: ParentEdge = {kind: 'all', parents: {ids: [first + 3, first + 1], count: 2}};
	const [zip, both] = (await enqueueGroups(
		queue,
		groupOf(4, [], {parents: {edges: [each], onParentDead: 'run'}}),
		groupOf(2, [], {parents: {edges: [pair, each], onParentDead: 'run'}}),
	)) as [JobId, JobId];
	const completed = (index: number) => ({id: first + index, status: 'completed' as const, result: index === 0 ? undefined : index});
	const parents = parentsOf(await claimAll(queue));
	t.deepEqual(
		[0, 1, 3].map(index => parents.get(zip + index)),
		[0, 1, 3].map(index => [completed(index)]),
	);
	t.like(parents.get(zip + 2), {length: 1, 0: {id: first + 2, status: 'dead', error: {message: ERROR.message}}});
	t.deepEqual(
		[parents.get(both), parents.get(both + 1)],
		[
			[completed(3), completed(1), completed(0)],
			[completed(3), completed(1), completed(1)],
		],
	);
});

law('a parent that is named twice gives two results, in the order of dependsOn, and is one parent for which the job waits', async (t, queue) => {
	const [first] = (await enqueueGroups(queue, groupOf(2))) as [JobId];
	const twice = after([first + 1, first, first, first + 1]);
	const [child] = (await enqueueGroups(queue, groupOf(1, twice.edges))) as [JobId];
	await end(queue, 1);
	t.is(await queue.retry({ids: [first]}), 1);
	await end(queue, 1);
	t.is((await jobOf(queue, child)).status, 'blocked');
	await end(queue, 1);
	t.is(await queue.retry({ids: [first + 1]}), 1);
	t.is((await jobOf(queue, child)).status, 'blocked');
	await end(queue, 1);
	const ids = parentsOf(await claimAll(queue))
		.get(child)
		?.map(({id}) => id);
	t.deepEqual(ids, [first + 1, first, first, first + 1]);
	const {jobs} = await queue.store.jobs({ids: [first]}, {}, {edges: true});
	t.deepEqual(jobs[0]?.edges?.children, [[child, child]]);
});

const FLOW = {areHeld: true, edges: [], onParentDead: 'cancel'} as const;

law('the jobs of a flow wait until its input has ended; then it is closed, and completes with the last of them', async (t, queue) => {
	const batch = await queue.store.openBatch('report', undefined, 'me', {flow: 'one'});
	const [first] = (await enqueueGroups(queue, groupOf(3, [], {batch, parents: FLOW}))) as [JobId];
	const [merge] = (await enqueueGroups(queue, groupOf(1, [{kind: 'all', parents: {ids: first, count: 3}}], {batch}))) as [JobId];
	t.deepEqual(idsOf(await take(queue, 9)), []);
	t.like(await queue.batch('report'), {flow: {structure: 'one'}, counts: {blocked: 4}});
	t.true(await queue.store.updateBatch(batch, 'me', {total: 4, flowJobs: [[first, 4]]}));
	const sealed = await queue.batch('report');
	t.is(sealed?.task, undefined);
	t.like(sealed, {total: 4, flow: {structure: 'one', jobs: [[first, 4]]}, counts: {blocked: 1, pending: 3}});
	t.truthy(sealed?.closedAt);
	await t.throwsAsync(queue.store.openBatch('report', undefined, 'me', {flow: 'one'}), {code: 'BatchConflict'});
	t.deepEqual(await end(queue, 9), [first, first + 1, first + 2]);
	t.is((await queue.batch('report'))?.completedAt, undefined);
	const [group] = await claimAll(queue);
	t.is(group && idAt(group.ids, 0), merge);
	t.is(group && parentsOf([group]).get(merge)?.length, 3);
	await queue.store.commit({settle: group ? [toReturned(group)] : []});
	t.like(await queue.batch('report'), {completedAt: T0, counts: {completed: 4}});
});

law('a flow whose owner left it before the end of its input can be opened again, or deleted; no job of it ever runs', async (t, queue) => {
	const batch = await queue.store.openBatch('report', undefined, 'me', {flow: 'one'});
	await t.throwsAsync(queue.store.openBatch('report', undefined, 'other', {flow: 'one'}), {code: 'BatchInUse'});
	await t.throwsAsync(queue.store.openBatch('report', 'hash', 'other'), {code: 'BatchConflict'});
	await enqueueGroups(queue, groupOf(2, [], {batch, parents: FLOW}));
	await queue.store.updateBatch(batch, 'me', {isLeft: true});
	t.is(await queue.store.openBatch('report', undefined, 'other', {flow: 'two'}), batch);
	t.deepEqual((await queue.batch('report'))?.flow, {structure: 'two'});
	t.deepEqual(idsOf(await take(queue, 9)), []);
	await queue.store.delete({batch: 'report'});
	t.is((await queue.jobs({}).page()).length, 0);
	const {enqueued} = await queue.store.commit({enqueue: [groupOf(2, [], {batch, parents: FLOW})]});
	t.is(enqueued[0]?.missing, -batch);
	t.is((await queue.jobs({}).page()).length, 0);
});

law('a job of a flow that is retried does not wait for the end of the input again', async (t, queue) => {
	const batch = await queue.store.openBatch('report', undefined, 'me', {flow: 'one'});
	const [first] = (await enqueueGroups(queue, groupOf(2, [], {batch, parents: FLOW}))) as [JobId];
	await queue.cancel({ids: [first]});
	t.is(await queue.retry({ids: [first]}), 1);
	t.is((await jobOf(queue, first)).status, 'blocked');
	await queue.store.updateBatch(batch, 'me', {total: 2, flowJobs: [[first, 2]]});
	await queue.cancel({ids: [first]});
	t.is(await queue.retry({ids: [first]}), 1);
	t.deepEqual(idsOf(await take(queue, 9)), [first, first + 1]);
});

law('a flow of which jobs were discarded keeps its end', async (t, queue) => {
	const batch = await queue.store.openBatch('report', undefined, 'me', {flow: 'one'});
	const [first] = (await enqueueGroups(queue, groupOf(3, [], {batch, parents: FLOW}))) as [JobId];
	await queue.store.updateBatch(batch, 'me', {total: 3, flowJobs: [[first, 3]]});
	t.deepEqual((await queue.discard([first], {stop: false})).discarded, [first]);
	await queue.cancel({ids: [first + 1]});
	t.is(await queue.retry({ids: [first + 1]}), 1);
	t.deepEqual(await end(queue, 9), [first + 1, first + 2]);
	t.like(await queue.batch('report'), {total: 3, completedAt: T0});
	await t.throwsAsync(queue.store.openBatch('report', undefined, 'me', {flow: 'one'}), {code: 'BatchConflict'});
});

law('a flow whose jobs were all deleted can be opened again, and its new jobs wait for the end of its input again', async (t, queue) => {
	const batch = await queue.store.openBatch('report', undefined, 'me', {flow: 'one'});
	const [first] = (await enqueueGroups(queue, groupOf(2, [], {batch, parents: FLOW}))) as [JobId];
	await queue.store.updateBatch(batch, 'me', {total: 2, flowJobs: [[first, 2]]});
	await end(queue, 9);
	t.like(await queue.store.delete({ids: [first]}), {deleted: 1});
	await t.throwsAsync(queue.store.openBatch('report', undefined, 'me', {flow: 'one'}), {code: 'BatchConflict'});
	t.like(await queue.store.delete({ids: [first + 1]}), {deleted: 1});
	t.is(await queue.store.openBatch('report', undefined, 'me', {flow: 'two'}), batch);
	await t.throwsAsync(queue.store.openBatch('report', undefined, 'other', {flow: 'one'}), {code: 'BatchInUse'});
	await enqueueGroups(queue, groupOf(1, [], {batch, parents: FLOW}));
	t.deepEqual(await end(queue, 9), []);
	t.true(await queue.store.updateBatch(batch, 'me', {total: 1, flowJobs: [[first + 2, 1]]}));
	t.deepEqual(await end(queue, 9), [first + 2]);
	t.like(await queue.batch('report'), {flow: {structure: 'two', jobs: [[first + 2, 1]]}, completedAt: T0});
});

law('large results of parents count for the size of a claim', async (t, queue) => {
	const [first] = (await enqueueGroups(queue, groupOf(4))) as [JobId];
	const value = JSON.stringify('x'.repeat(2000));
	await commit(queue, {settle: claimsOf(await take(queue, 4)).map(claim => ({...claim, outcome: {type: 'returned', value}}))});
	const [zip] = (await enqueueGroups(queue, groupOf(4, [{kind: 'each', parents: {ids: first, count: 4}}]))) as [JobId];
	const claim = async () =>
		(await queue.store.commit({claim: {...claimOf('hash'), maxBytes: 3000}})).claimed.groups.flatMap(({ids, values}) => [...listIds(ids, countOf(values))]);
	t.deepEqual(await claim(), [zip, zip + 1]);
	t.deepEqual(await claim(), [zip + 2, zip + 3]);
});

law('a job is shown with the jobs for which it has waited, in order, and those that have waited for it', async (t, queue) => {
	const [first] = (await enqueueGroups(queue, groupOf(3))) as [JobId];
	const [zip, merge] = (await enqueueGroups(
		queue,
		groupOf(3, [{kind: 'each', parents: {ids: first, count: 3}}]),
		groupOf(1, after([first + 2, first, first + 1]).edges),
	)) as [JobId, JobId];
	const edgesOf = async (id: JobId) => {
		const {jobs} = await queue.store.jobs({ids: [id]}, {}, {edges: true});
		const {parents, children} = (jobs[0] as Required<StoredJob>).edges;
		const list = (ranges: readonly JobRange[]) => ranges.flatMap(([from, to]) => listIds(from, to - from + 1));
		return [list(parents), list(children)];
	};
	t.deepEqual(await edgesOf(first + 1), [[], [zip + 1, merge]]);
	t.deepEqual(await edgesOf(zip + 2), [[first + 2], []]);
	t.deepEqual(await edgesOf(merge), [[first + 2, first, first + 1], []]);
});

law('a change of a parent that takes several transactions reaches each child once, also if a neighbour of the child is deleted meanwhile', async (t, queue) => {
	const [completed, parent] = [1, 2];
	await enqueueGroups(queue, groupOf(3));
	await end(queue, 1);
	// Of the others each second one waits for one parent more, so that no two of them share a row.
	const ids = Array.from({length: 24_000}, (_, index) => (index % 2 === 0 ? completed : 3));
	const others = groupOf(ids.length, [...after([parent]).edges, {kind: 'each', parents: {ids, count: ids.length}}]);
	const [first] = (await enqueueGroups(queue, groupOf(3, after([parent, 3]).edges), others)) as [JobId];
	t.deepEqual(await end(queue, 1), [parent]);
	await queue.discard([first + 1], {stop: false});
	while ((await queue.store.commit({})).unblocked);
	t.deepEqual([(await jobOf(queue, first)).status, (await jobOf(queue, first + 2)).status], ['blocked', 'blocked']);
	t.deepEqual(await end(queue, 1), [3]);
	while ((await queue.store.commit({})).unblocked);
	t.like(await queue.counts(), {blocked: 0, pending: ids.length + 2});
});
