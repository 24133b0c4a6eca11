import type {PlainJob} from '../../fixtures/plain.ts';
import {claimOf, claimsOf, commit, conflict, enqueue, fresh, law, newJob, OWNER, oneJobOfEachStatus, reused, T0, take} from './laws.ts';

function limited(maxPending: PlainJob['maxPending'], parts: Partial<PlainJob> = {}): PlainJob {
	return {...newJob(parts), maxPending};
}

function full(of: 'task' | 'all', pending: number, limit: number) {
	return {id: 0, reused: false, full: {of, pending, limit}};
}

law('a job that would exceed the limit of its task, or of all tasks, is refused; other jobs of the transaction are not', async (t, queue) => {
	const {enqueued} = await commit(queue, {
		enqueue: [
			limited({task: 2}),
			limited({task: 2}),
			limited({task: 2}),
			limited({task: 1}, {task: 'thumbnail'}),
			limited({all: 3}),
			limited({task: 9, all: 4}),
			limited({task: 9, all: 4}, {task: 'thumbnail'}),
			newJob(),
		],
	});
	t.deepEqual(enqueued, [fresh(1), fresh(2), full('task', 2, 2), fresh(3), full('all', 3, 3), fresh(4), full('all', 4, 4), fresh(5)]);
	t.like(await queue.counts(), {pending: 5});
});

law('ready and delayed jobs count as pending; those that run, have failed or have ended do not', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	await enqueue(queue, newJob({runAt: T0 + 60_000}));
	const {enqueued} = await commit(queue, {enqueue: [limited({task: 2, all: 2}), limited({task: 3, all: 3}), limited({task: 3, all: 3})]});
	t.deepEqual(enqueued, [full('task', 2, 2), fresh(8), full('task', 3, 3)]);
});

law('there is room again as soon as a pending job is claimed, cancelled or discarded', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	const tries = async () => (await commit(queue, {enqueue: [limited({task: 3})]})).enqueued[0];
	t.deepEqual(await tries(), full('task', 3, 3));
	await take(queue);
	t.deepEqual([await tries(), await tries()], [fresh(4), full('task', 3, 3)]);
	await queue.cancel({ids: [4]});
	t.deepEqual([await tries(), await tries()], [fresh(5), full('task', 3, 3)]);
	await queue.discard([5], {stop: false});
	t.deepEqual([await tries(), await tries()], [fresh(6), full('task', 3, 3)]);
});

law('jobs that the same transaction settles are counted in their new state', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue));
	const {enqueued, claimed} = await commit(queue, {
		settle: [{...claim, outcome: {type: 'released'}} as never],
		enqueue: [limited({task: 1})],
		claim: {...claimOf('hash'), owner: OWNER},
	});
	t.deepEqual(enqueued, [full('task', 1, 1)]);
	t.is(claimed.jobs.length, 1);
});

law('jobs that the same transaction claims are counted as pending', async (t, queue) => {
	// The second one meets the first one's key, whose row must be there by then.
	for (const scope of ['task', 'all'] as const) {
		const {enqueued, claimed} = await commit(queue, {
			enqueue: [newJob({key: scope}), newJob({key: scope, payload: '2'}), limited({[scope]: 1})],
			claim: {...claimOf('hash'), owner: OWNER},
		});
		const id = enqueued[0]?.id as number;
		t.deepEqual(enqueued, [fresh(id), conflict(id), full(scope, 1, 1)]);
		t.is(claimed.jobs.length, 1);
	}
});

law('a group is enqueued as a whole or not at all', async (t, queue) => {
	const group = (count: number, keys?: string[]) => ({
		...newJob(),
		values: {count, text: new Array(count).fill('1').join('\n')},
		keys,
		maxPending: {task: 5},
	});
	const {enqueued} = await queue.store.commit({enqueue: [group(3), group(3), group(2), group(1, ['a'])]});
	t.deepEqual(
		enqueued.map(({ids, full}) => [ids, full?.pending]),
		[
			[1, undefined],
			[[], 3],
			[4, undefined],
			[[], 5],
		],
	);
	t.like(await queue.counts(), {pending: 5});
});

law('a key that exists is reused, and may conflict, also if there is no room', async (t, queue) => {
	await enqueue(queue, newJob({key: 'a'}), newJob());
	const {enqueued} = await commit(queue, {
		enqueue: [limited({task: 1}, {key: 'a'}), limited({task: 1}, {key: 'a', payload: '2'}), limited({task: 1}, {key: 'b'}), limited({all: 2}, {key: 'a'})],
	});
	t.deepEqual(enqueued, [reused(1), conflict(1), full('task', 2, 1), reused(1)]);
	const mixed = {...newJob(), values: {count: 3, text: '1\n1\n1'}, keys: ['a', 'c', 'c'], maxPending: {task: 3}};
	t.deepEqual((await queue.store.commit({enqueue: [mixed, {...mixed, keys: ['d', 'a', 'e']}]})).enqueued, [
		{ids: [1, 3, 3], reused: [0, 2]},
		{ids: [], full: {of: 'task', pending: 3, limit: 3}},
	]);
});

law('jobs that a job enqueues, a retry and a batch that completes may exceed a limit, and count', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const [claim] = claimsOf(await take(queue));
	await commit(queue, {settle: [{...claim, outcome: {type: 'returned', value: null, enqueue: [newJob(), newJob()]}} as never]});
	await queue.retry({ids: [1]});
	t.like(await queue.counts(), {pending: 4});
	t.deepEqual((await commit(queue, {enqueue: [limited({task: 2})]})).enqueued, [full('task', 4, 2)]);
});
