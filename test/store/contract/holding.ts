import type {Claim} from '../../../lib/job/claim.ts';
import type {JobId} from '../../../lib/job/job.ts';
import type {MoveTarget} from '../../../lib/job/search.ts';
import type {MovePage} from '../../../lib/store/store.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimsOf, commit, ERROR, enqueue, idsOf, jobOf, law, listenTo, newJob, OTHER, OWNER, outlast, POLICY, reused, T0, take} from './laws.ts';

const NAME = 'nightly';

async function openWith(queue: RawQueue, ...keys: string[]): Promise<number> {
	const batch = await queue.openBatch(NAME, 'hash', OWNER);
	if (keys.length > 0) await enqueue(queue, ...keys.map(key => newJob({batch, key})));
	return batch;
}

/** Moves all jobs of the batch. */
async function move(queue: RawQueue, to: MoveTarget, page: MovePage = {}): Promise<{ids: JobId[]; asked: JobId[]}> {
	const all = {ids: [] as JobId[], asked: [] as JobId[]};
	for (let next: MovePage | null = page; next; ) {
		const moved: Awaited<ReturnType<typeof queue.store.move>> = await queue.store.move({batch: NAME}, to, next);
		all.ids.push(...moved.ids);
		all.asked.push(...moved.asked);
		next = moved.next;
	}
	return all;
}

async function heldOf(queue: RawQueue): Promise<number | undefined> {
	return (await queue.batch(NAME))?.held;
}

law('a held job is pending and is not claimed, until it is enqueued again by its key', async (t, queue) => {
	const batch = await openWith(queue, 'a', 'b', 'c');
	await enqueue(queue, newJob());
	t.deepEqual(await move(queue, 'held'), {ids: [1, 2, 3], asked: []});
	t.is(await heldOf(queue), 3);
	t.is((await jobOf(queue, 2)).status, 'pending');
	t.is((await jobOf(queue, 2)).runAt, undefined);
	t.deepEqual(idsOf(await take(queue, 9)), [4]);
	t.is((await queue.store.commit({})).dueInMs, null);
	const {enqueued} = await queue.store.commit({
		enqueue: [{...newJob({batch}), values: ['1', '1'], keys: ['b', 'new']}],
	});
	t.deepEqual(enqueued, [{ids: [2, 5], reused: [0], named: [0]}]);
	t.deepEqual(idsOf(await take(queue, 9)), [2, 5]);
	t.is(await heldOf(queue), 2);
	t.deepEqual(await move(queue, 'unheld'), {ids: [1, 3], asked: []});
	t.deepEqual(idsOf(await take(queue, 9)), [1, 3]);
	t.is(await heldOf(queue), undefined);
});

law('a held job that has changed is named as well, and runs with what it has today', async (t, queue) => {
	const batch = await openWith(queue, 'a', 'b');
	await move(queue, 'held');
	const rerun = {changed: true, failed: false};
	const {enqueued} = await queue.store.commit({enqueue: [{...newJob({batch}), values: ['"new"', '1'], keys: ['a', 'b'], rerun, outdated: [1]}]});
	t.deepEqual(enqueued, [{ids: 1, reused: [0, 1], named: [0, 1]}]);
	t.is(await heldOf(queue), undefined);
	t.deepEqual(
		(await take(queue, 9)).jobs.map(({id, payload}) => [id, payload]),
		[
			[1, '"new"'],
			[2, '1'],
		],
	);
});

law('a job that is enqueued again has the policy, the priority and the scope of today; one that is only released keeps its own', async (t, queue) => {
	const batch = await openWith(queue, 'a', 'b');
	await move(queue, 'held');
	const today = {...POLICY, maxAttempts: 7, timeoutMs: 5};
	t.deepEqual((await commit(queue, {enqueue: [newJob({batch, key: 'b', policy: today, priority: 4, scope: 'app'})]})).enqueued, [reused(2)]);
	t.like(await jobOf(queue, 2), {maxAttempts: 7, timeoutMs: 5, priority: 4, scope: 'app'});
	await move(queue, 'unheld');
	t.like(await jobOf(queue, 1), {maxAttempts: 3, timeoutMs: 60_000, priority: 0});
	t.deepEqual(idsOf(await take(queue, 9)), [1]);
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, tasks: ['hash'], scopes: ['app'], limit: 9})), [2]);
	t.like(await queue.counts(), {pending: 0, running: 2});
});

law('held jobs do not count for the completion of their batch, and can be cancelled and deleted alone', async (t, queue, clock) => {
	const batch = await openWith(queue, 'a', 'b', 'c', 'd');
	const news = listenTo(queue, clock, OWNER);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await move(queue, 'held');
	await commit(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1'}}]});
	await queue.store.updateBatch(batch, OWNER, {total: 1});
	t.truthy((await queue.batch(NAME))?.completedAt);
	t.like(
		(await news()).find(({type}) => type === 'batchCompleted'),
		{batch: NAME, counts: {completed: 1, pending: 3}},
	);
	await enqueue(queue, newJob({batch, key: 'b'}));
	t.is((await queue.batch(NAME))?.completedAt, undefined);
	t.deepEqual(await move(queue, 'cancelled', {isHeld: true}), {ids: [3, 4], asked: []});
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status}) => status),
		['completed', 'pending', 'cancelled', 'cancelled'],
	);
	await move(queue, 'held');
	t.deepEqual(await move(queue, 'discarded', {isHeld: true}), {ids: [2], asked: []});
	t.is(await queue.job(2), undefined);
});

law('a move for an owner leaves the jobs of a batch that another owner has', async (t, queue) => {
	const batch = await openWith(queue, 'a', 'b', 'c');
	await queue.leaveBatch(batch, OWNER);
	await queue.openBatch(NAME, 'hash', OTHER);
	const none = {ids: [], asked: []};
	t.deepEqual(await move(queue, 'held', {owner: OWNER}), none);
	t.deepEqual(await move(queue, 'held', {owner: OTHER, limit: 1}), {ids: [1, 2, 3], asked: []});
	for (const to of ['unheld', 'cancelled', 'discarded'] as const) t.deepEqual(await move(queue, to, {owner: OWNER, isHeld: true}), none);
	await queue.leaveBatch(batch, OTHER);
	t.deepEqual(await move(queue, 'cancelled', {owner: OWNER, isHeld: true, limit: 2}), {ids: [1, 2, 3], asked: []});
});

law('a running job that is to be held goes on; if its execution does not end it, it is held', async (t, queue, clock) => {
	const batch = await openWith(queue, 'a', 'b', 'c', 'd', 'e');
	const claims = claimsOf(await take(queue, 5)) as [Claim, Claim, Claim, Claim, Claim];
	t.deepEqual(await move(queue, 'held'), {ids: [], asked: [1, 2, 3, 4, 5]});
	const news = listenTo(queue, clock, OWNER);
	t.deepEqual(
		(await news()).flatMap(each => (each.type === 'changed' ? each.stop : [])),
		[],
	);
	const [first, failed, released, named] = claims;
	await enqueue(queue, newJob({batch, key: 'd'}));
	const {settled} = await commit(queue, {
		settle: [
			{...first, outcome: {type: 'returned', value: '1'}},
			{...failed, outcome: {type: 'threw', error: ERROR}},
			{...released, outcome: {type: 'released'}},
			{...named, outcome: {type: 'released'}},
		],
	});
	t.deepEqual(settled, ['completed', 'pending', 'pending', 'pending']);
	t.is(await heldOf(queue), 2);
	clock.pass(100_000);
	t.deepEqual(idsOf(await take(queue, 9)), [4]);
	t.is((await jobOf(queue, 2)).attempts, 1);
	await outlast(queue, clock);
	t.is(await heldOf(queue), 3);
	await move(queue, 'cancelled', {isHeld: true});
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status}) => status),
		['completed', 'cancelled', 'cancelled', 'pending', 'cancelled'],
	);
});

law('a held job keeps its time, waits for its parents anew, and expires only once it is held no longer', async (t, queue, clock) => {
	const batch = await openWith(queue);
	const [parent] = await enqueue(queue, newJob({task: 'thumbnail'}));
	const edges = [{kind: 'all' as const, parents: {ids: parent, count: 1}}];
	await commit(queue, {
		enqueue: [
			newJob({batch, key: 'delayed', runAt: T0 + 5000}),
			{...newJob({batch, key: 'child'}), parents: {edges, onParentDead: 'cancel'}},
			newJob({batch, key: 'expires', expiresMs: 10}),
		],
	});
	await move(queue, 'held');
	t.is(await heldOf(queue), 3);
	clock.pass(1000);
	t.deepEqual(idsOf(await take(queue, 9)), [parent]);
	t.is((await jobOf(queue, 2)).runAt, T0 + 5000);
	await move(queue, 'unheld');
	t.deepEqual(
		(await queue.jobs({batch: NAME}).page()).map(({status}) => status),
		['pending', 'blocked', 'pending'],
	);
	t.deepEqual(idsOf(await take(queue, 9)), [4]);
	await move(queue, 'held');
	await queue.leave(OWNER);
	await queue.cancel({ids: [parent]});
	await move(queue, 'unheld');
	t.like(await jobOf(queue, 3), {status: 'cancelled', error: {reason: 'parent'}});
	clock.pass(4000);
	t.deepEqual(idsOf(await take(queue, 9)), [2]);
	t.like(await jobOf(queue, 4), {status: 'cancelled', error: {reason: 'expired'}});
});

law('a parked job waits for a person, and is not held', async (t, queue) => {
	const batch = await queue.openBatch(NAME, 'hash', OWNER);
	await enqueue(queue, newJob({batch, key: 'a', policy: {...POLICY, retry: 'manual'}}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {settle: [{...claim, outcome: {type: 'threw', error: ERROR}}]});
	t.deepEqual(await move(queue, 'held'), {ids: [], asked: []});
	t.is((await jobOf(queue, 1)).status, 'failed');
});
