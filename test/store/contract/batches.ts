import type {CompletedBatch} from '../../../lib/job/batch.ts';
import type {Claim} from '../../../lib/job/claim.ts';
import {pack} from '../../../lib/job/groups/packed.ts';
import type {JobId} from '../../../lib/job/job.ts';
import {FaenaError} from '../../../lib/support/errors.ts';
import {
	claimOf,
	claimsOf,
	commit,
	completeAll,
	ERROR,
	enqueue,
	idsOf,
	jobOf,
	law,
	listed,
	newJob,
	ON_COMPLETE,
	OTHER,
	OWNER,
	outlast,
	POLICY,
	range,
	settleOne,
	T0,
	take,
} from './laws.ts';

law('a batch keeps the name of its renewal until a map has yielded all items, also if it is left or opened again', async (t, queue) => {
	const renewalOf = async () => (await queue.batch('nightly'))?.renewal;
	const open = (renewal?: string) => queue.store.openBatch('nightly', 'hash', OWNER, {renewal});
	const batch = await open('first');
	t.is(await renewalOf(), 'first');
	await queue.store.updateBatch(batch, OWNER, {total: 0});
	await queue.store.updateBatch(batch, OWNER, {isLeft: true});
	for (const later of ['second', undefined]) {
		await open(later);
		await queue.leaveBatch(batch, OTHER);
		await queue.closeBatch(batch, OTHER);
		await queue.leaveBatch(batch, OWNER);
		t.is(await renewalOf(), 'first');
	}
	for (const how of [{isClosed: true}, {isLeft: true, isDone: true}] as const) {
		await open('third');
		await queue.store.updateBatch(batch, OWNER, how);
		t.false('renewal' in ((await queue.batch('nightly')) ?? {}));
		await open();
		t.is(await renewalOf(), undefined);
		await queue.leaveBatch(batch, OWNER);
		await open('fourth');
		t.is(await renewalOf(), 'fourth');
		await queue.closeBatch(batch, OWNER);
	}
});

law('a batch is found by its name', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	t.true(batch > 0);
	await queue.leaveBatch(batch, OWNER);
	t.is(await queue.openBatch('nightly', 'hash', OWNER), batch);
	t.not(await queue.openBatch('weekly', 'hash', OWNER), batch);
	await queue.closeBatch(batch, OWNER);
	t.is(await queue.openBatch('nightly', 'hash', OWNER), batch);
});

law('a batch belongs to one task', async (t, queue) => {
	await queue.openBatch('nightly', 'hash', OWNER);
	const error = await t.throwsAsync(async () => queue.openBatch('nightly', 'thumbnail', OWNER), {instanceOf: FaenaError, code: 'BatchConflict'});
	t.regex(error?.message ?? '', /"nightly".*thumbnail/);
});

law('a batch has one owner at a time: it is refused to all others, and to its owner a second time, until its owner leaves or closes it', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const refused = async (owner: string) => {
		const error = await t.throwsAsync(async () => queue.openBatch('nightly', 'hash', owner, {onComplete: ON_COMPLETE}), {code: 'BatchInUse'});
		t.regex(error?.message ?? '', /"nightly" .*one map at a time/);
	};
	await queue.endInput(batch, 0, OWNER);
	const before = await queue.batches();
	for (const owner of [OWNER, OTHER]) await refused(owner);
	// An owner that does not have the batch can't change it.
	t.false(await queue.endInput(batch, 7, OTHER));
	await queue.leaveBatch(batch, OTHER);
	await queue.closeBatch(batch, OTHER);
	await queue.leave(OTHER);
	await refused(OTHER);
	t.deepEqual(await queue.batches(), before);
	t.true((await queue.openBatch('weekly', 'hash', OTHER)) > 0);
	await queue.leaveBatch(batch, OWNER);
	t.is(await queue.openBatch('nightly', 'hash', OTHER), batch);
	await refused(OWNER);
	await queue.closeBatch(batch, OTHER);
	t.is(await queue.openBatch('nightly', 'hash', OWNER), batch);
});

law('an owner that leaves or is taken for dead frees its batches and its jobs', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch}));
	await take(queue);
	await queue.leave(OWNER);
	t.like(await jobOf(queue, 1), {status: 'pending'});
	t.is(await queue.openBatch('nightly', 'hash', OWNER), batch);
	await take(queue);
	t.is(await outlast(queue, clock), 1);
	// The owner does not have the batch any more, so it can't close it.
	await queue.closeBatch(batch, OWNER);
	t.is((await queue.batch('nightly'))?.closedAt, undefined);
	t.is(await queue.openBatch('nightly', 'hash', OTHER), batch);
	t.false(await queue.endInput(batch, 1, OWNER));
	t.like(await queue.batch('nightly'), {total: undefined});
});

law('an owner that was taken for dead gets its batch back when its input ends, if no other owner has the batch', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await outlast(queue, clock);
	t.true(await queue.endInput(batch, 3, OWNER));
	await t.throwsAsync(async () => queue.openBatch('nightly', 'hash', OTHER), {code: 'BatchInUse'});
	await queue.closeBatch(batch, OWNER);
	t.like(await queue.batch('nightly'), {total: 3, closedAt: clock.now()});
});

law('a batch counts its own jobs in each status, however they move', async (t, queue, clock) => {
	const none = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
	const [nightly, weekly] = [await queue.openBatch('nightly', 'hash', OWNER), await queue.openBatch('weekly', 'hash', OWNER)];
	const countsOf = async (name: string) => (await queue.batch(name))?.counts;
	t.deepEqual(await countsOf('nightly'), none);
	const policy = {...POLICY, maxAttempts: 1};
	await enqueue(
		queue,
		...range(1, 4).map(() => newJob({batch: nightly, policy})),
		newJob(),
		newJob({batch: weekly}),
		newJob({batch: nightly, runAt: T0 + 5}),
		newJob({batch: nightly}),
	);
	t.deepEqual(
		[await countsOf('nightly'), await countsOf('weekly')],
		[
			{...none, pending: 6},
			{...none, pending: 1},
		],
	);
	const [a, b, c, d, ...rest] = claimsOf(await take(queue, 7)) as [Claim, Claim, Claim, Claim, ...Claim[]];
	t.deepEqual(
		[await countsOf('nightly'), await countsOf('weekly')],
		[
			{...none, pending: 1, running: 5},
			{...none, running: 1},
		],
	);
	await commit(queue, {
		settle: [
			{...a, outcome: {type: 'returned', value: '1'}},
			{...b, outcome: {type: 'threw', error: ERROR}},
			{...c, outcome: {type: 'released'}},
			{...d, outcome: {type: 'cancelled'}},
			...rest.map(claim => ({...claim, outcome: {type: 'threw', error: ERROR} as const})),
		],
	});
	const counts = {blocked: 0, pending: 2, running: 0, failed: 1, completed: 1, dead: 1, cancelled: 1};
	t.deepEqual([await countsOf('nightly'), await countsOf('weekly')], [counts, {...none, failed: 1}]);
	clock.pass(1000);
	await queue.dequeue({owner: OWNER, tasks: []});
	t.deepEqual(await countsOf('nightly'), {...counts, pending: 3, failed: 0});
	await queue.retry({});
	t.deepEqual(await countsOf('nightly'), {...none, pending: 5, completed: 1});
	await queue.cancel({ids: [8]});
	await queue.closeBatch(nightly, OWNER);
	clock.pass(1);
	await queue.store.delete({endedBefore: clock.now()});
	t.deepEqual(await countsOf('nightly'), {...none, pending: 4});
	t.deepEqual(await queue.counts(), {...none, pending: 6});
});

law('batches are listed in the order of their creation, each with its task and times', async (t, queue, clock) => {
	t.deepEqual(await queue.batches(), []);
	const first = await queue.openBatch('weekly', 'thumbnail', OWNER);
	clock.pass(5);
	const second = await queue.openBatch('nightly', 'hash', OWNER);
	clock.pass(5);
	await queue.closeBatch(second, OWNER);
	await queue.leaveBatch(first, OWNER);
	await queue.openBatch('weekly', 'thumbnail', OWNER);
	const counts = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
	t.deepEqual(await queue.batches(), [
		{id: first, name: 'weekly', task: 'thumbnail', createdAt: T0, counts, marks: [{at: T0 + 10, ended: 0}]},
		{id: second, name: 'nightly', task: 'hash', createdAt: T0 + 5, closedAt: T0 + 10, counts, marks: [{at: T0 + 5, ended: 0}]},
	]);
	t.is(await queue.batch('unknown'), undefined);
});

law('a batch completes in the transaction that ends its input or its last job, whichever comes last', async (t, queue, clock) => {
	const heard: CompletedBatch[] = [];
	queue.onBatchCompleted(batch => heard.push(batch));
	const [one, two] = [
		await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE}),
		await queue.openBatch('two', 'hash', OWNER, {onComplete: ON_COMPLETE}),
	];
	await enqueue(queue, newJob({batch: one}), newJob({batch: one}), newJob({batch: two}));
	const [a, b, c] = claimsOf(await take(queue, 3)) as [Claim, Claim, Claim];
	clock.pass(5);
	await queue.endInput(one, 2, OWNER);
	await commit(queue, {settle: [a, c].map(claim => ({...claim, outcome: {type: 'returned', value: '1'}}))});
	t.deepEqual([heard, (await queue.jobs({task: 'thumbnail'}).page()).length], [[], 0]);
	t.like(await queue.batch('one'), {total: 2, startedAt: T0, completedAt: undefined});
	await commit(queue, {settle: [{...b, outcome: {type: 'cancelled'}}]});
	const counts = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 1, dead: 0, cancelled: 1};
	t.deepEqual(heard, [{batch: 'one', counts}]);
	t.like(await queue.batch('one'), {completedAt: T0 + 5, counts, completionJobId: 4});
	const [id] = await listed(queue, {task: 'thumbnail'});
	t.like(await jobOf(queue, id as JobId), {status: 'pending', priority: 4, maxAttempts: 7, createdAt: T0 + 5});
	t.deepEqual(await queue.values(id as JobId), {payload: JSON.stringify({batch: 'one', counts})});
	await queue.endInput(two, 1, OWNER);
	t.deepEqual(heard.at(-1), {batch: 'two', counts: {...counts, cancelled: 0}});
	t.is((await listed(queue, {task: 'thumbnail'})).length, 2);
});

law('the backlog of a commit that completes a batch counts the job of the batch; a batch without jobs completes when its input ends', async (t, queue) => {
	const batch = await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE});
	await enqueue(queue, newJob({batch}));
	await queue.endInput(batch, 1, OWNER);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const {backlog, claimed} = await commit(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1'}}], claim: claimOf('thumbnail')});
	t.deepEqual([backlog, idsOf(claimed)], [1, []]);
	t.deepEqual(idsOf(await take(queue)), [2]);
	await queue.endInput(await queue.openBatch('empty', 'hash', OWNER, {onComplete: ON_COMPLETE}), 0, OWNER);
	t.like(await queue.batch('empty'), {total: 0, completedAt: T0});
	t.deepEqual([await queue.endInput(batch, 1, OWNER), await queue.endInput(99, 1, OWNER)], [true, false]);
	t.deepEqual(idsOf(await take(queue)), [3]);
});

law('a batch completes by a cancel, and when the job of a dead owner that was to be cancelled is reclaimed', async (t, queue, clock) => {
	const heard: string[] = [];
	queue.onBatchCompleted(({batch}) => heard.push(batch));
	for (const name of ['one', 'two']) {
		const batch = await queue.openBatch(name, 'hash', OWNER);
		await enqueue(queue, newJob({batch}));
		await queue.endInput(batch, 1, OWNER);
	}
	await take(queue);
	await queue.cancel({});
	t.deepEqual(heard, ['two']);
	await outlast(queue, clock);
	t.deepEqual(heard, ['two', 'one']);
});

law('a batch that is opened again completes again if it has got jobs, also if these have ended before its input has', async (t, queue) => {
	const heard: string[] = [];
	queue.onBatchCompleted(({batch}) => heard.push(batch));
	const batch = await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE});
	await enqueue(queue, newJob({batch}));
	await queue.endInput(batch, 1, OWNER);
	await completeAll(queue);
	await queue.leaveBatch(batch, OWNER);
	const {completionJobId} = (await queue.batch('one')) ?? {};
	await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE});
	await enqueue(queue, newJob({batch}));
	await completeAll(queue);
	await queue.endInput(batch, 2, OWNER);
	t.deepEqual(heard, ['one', 'one']);
	t.not((await queue.batch('one'))?.completionJobId, completionJobId);
});

law('a completed batch completes again only after a job of it was retried or added, not after it was opened again', async (t, queue, clock) => {
	const heard: string[] = [];
	const stop = queue.onBatchCompleted(({batch}) => heard.push(batch));
	const batch = await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE});
	await enqueue(queue, newJob({batch}));
	await queue.endInput(batch, 1, OWNER);
	await completeAll(queue);
	await completeAll(queue);
	clock.pass(5);
	await queue.leaveBatch(batch, OWNER);
	t.is(await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE}), batch);
	t.like(await queue.batch('one'), {total: undefined, completedAt: T0});
	await queue.endInput(batch, 1, OWNER);
	t.like(await queue.batch('one'), {total: 1, completedAt: T0});
	await queue.retry({ids: [1]});
	t.like(await queue.batch('one'), {total: 1, completedAt: undefined, completionJobId: 2});
	await completeAll(queue);
	t.is((await queue.batch('one'))?.completionJobId, 3);
	t.like(await queue.batch('one'), {completedAt: T0 + 5});
	t.deepEqual(heard, ['one', 'one']);
	t.is((await listed(queue, {task: 'thumbnail'})).length, 2);
	await queue.leaveBatch(batch, OWNER);
	await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, newJob({batch}));
	t.like(await queue.batch('one'), {completedAt: undefined});
	stop();
	await queue.cancel({});
	await queue.endInput(batch, 2, OWNER);
	t.deepEqual([heard.length, (await listed(queue, {task: 'thumbnail'})).length], [2, 2]);
});

law('a completed batch does not complete again for a job that ended as it was added, since its parent is cancelled', async (t, queue, clock) => {
	const heard: string[] = [];
	queue.onBatchCompleted(({batch}) => heard.push(batch));
	const [parent = 0] = await enqueue(queue, newJob());
	await queue.cancel({});
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await queue.endInput(batch, 0, OWNER);
	clock.pass(5);
	await commit(queue, {enqueue: [newJob({batch, parents: {edges: [{kind: 'all', parents: {ids: parent, count: 1}}], onParentDead: 'cancel'}})]});
	// Counts are added up with a later transaction in some stores.
	await queue.cancel({});
	await queue.retry({ids: []});
	t.deepEqual(heard, ['one']);
	t.like(await queue.batch('one'), {completedAt: T0, counts: {cancelled: 1}});
});

law('a batch with a parked job does not complete, since that job waits for a decision', async (t, queue) => {
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, newJob({batch, policy: {...POLICY, retry: 'manual'}}));
	await queue.endInput(batch, 1, OWNER);
	await settleOne(queue, {type: 'threw', error: ERROR});
	t.is((await queue.batch('one'))?.completedAt, undefined);
	await queue.cancel({});
	t.is((await queue.batch('one'))?.completedAt, T0);
});

law('a batch keeps the number of its ended jobs at two moments, at least ten seconds apart', async (t, queue, clock) => {
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, ...range(1, 6).map(() => newJob({batch})));
	const marks = async () => (await queue.batch('one'))?.marks;
	for (const [after, expected] of [
		[9_999, [[0, 0]]],
		[
			1,
			[
				[0, 0],
				[10_000, 1],
			],
		],
		[
			9_999,
			[
				[0, 0],
				[10_000, 1],
			],
		],
		[
			5_001,
			[
				[10_000, 1],
				[25_000, 3],
			],
		],
	] as const) {
		clock.pass(after);
		await settleOne(queue, {type: 'returned', value: '1'});
		t.deepEqual(
			await marks(),
			expected.map(([at, ended]) => ({at: T0 + at, ended})),
		);
	}
	await queue.leaveBatch(batch, OWNER);
	await queue.openBatch('one', 'hash', OWNER);
	t.deepEqual(await marks(), [{at: clock.now(), ended: 4}]);
});

law('no job of a run gets into its batch once another run has opened it', async (t, queue) => {
	const open = async (owner: string, run: string) => {
		const batch = await queue.store.openBatch('nightly', 'hash', owner, {run, renewal: run});
		return {...newJob({batch}), values: pack(['1']), run};
	};
	const first = await open(OWNER, 'one');
	await queue.store.commit({enqueue: [first]});
	await queue.leave(OWNER);
	await queue.store.commit({enqueue: [first]});
	const second = await open(OTHER, 'two');
	t.like(await queue.batch('nightly'), {run: 'two', renewal: 'one'});
	await queue.closeBatch(second.batch as number, OTHER);
	const {enqueued} = await queue.store.commit({enqueue: [first, second, {...second, run: undefined}]});
	t.deepEqual(
		enqueued.map(({missing}) => missing),
		[-(first.batch as number), undefined, undefined],
	);
	t.is((await queue.counts()).pending, 4);
});

law('no job gets into a batch that does not exist, or that was deleted: the group is refused, or the whole transaction', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch, key: 'a'}));
	t.is((await queue.deleteBatch('nightly')).deleted, 1);
	for (const gone of [batch, batch + 16]) {
		const group = {...newJob({batch: gone}), values: pack(['1', '2']), keys: 7};
		const {enqueued} = await queue.store.commit({enqueue: [group, {...newJob(), values: pack(['3'])}]});
		t.deepEqual(
			enqueued.map(({missing}) => missing),
			[-gone, undefined],
		);
		await t.throwsAsync(enqueue(queue, newJob(), newJob({batch: gone})), {
			instanceOf: FaenaError,
			code: 'NoSuchBatch',
			message: `A job of task hash can't be put into batch ${gone}: there is no such batch in this queue. It may have been deleted; openBatch() gives the number of a new one.`,
		});
	}
	t.is((await queue.counts()).pending, 2);
	const next = await queue.openBatch('nightly', 'hash', OWNER);
	t.deepEqual((await queue.batch('nightly'))?.counts.pending, 0);
	t.is((await enqueue(queue, newJob({batch: next, key: 'a'}))).length, 1);
});
