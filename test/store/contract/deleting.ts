import type {Claim, Settlement} from '../../../lib/job/claim.ts';
import type {JobId} from '../../../lib/job/job.ts';
import type {Place} from '../../../lib/job/search.ts';
import type {Deleted, EndedBefore} from '../../../lib/store/deletions.ts';
import {
	claimOf,
	claimsOf,
	commit,
	completeAll,
	ERROR,
	enqueue,
	ID_OF,
	jobOf,
	law,
	listed,
	newJob,
	ON_COMPLETE,
	OWNER,
	oneJobOfEachStatus,
	POLICY,
	range,
	settleOne,
	T0,
	take,
} from './laws.ts';

law('a batch is deleted in bounded pages with all its jobs, in any states, and no job of another batch is', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const batch = await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE});
	await enqueue(queue, newJob({batch, key: 'a'}), newJob({batch, runAt: T0 + 100}), ...range(1, 3).map(() => newJob({batch, priority: 5})));
	const [a, b] = claimsOf(await take(queue, 3)) as [Claim, Claim];
	await commit(queue, {
		settle: [
			{...a, outcome: {type: 'returned', value: '1'}},
			{...b, outcome: {type: 'threw', error: ERROR}},
		],
	});
	await queue.endInput(batch, 5, OWNER);
	const error = await t.throwsAsync(async () => queue.deleteBatch('one'), {code: 'BatchRunning'});
	t.regex(error?.message ?? '', /One job of the batch "one"/);
	t.is((await listed(queue, {batch: 'one'})).length, 5);
	await settleOne(queue, {type: 'released'});
	await queue.leave(OWNER);
	t.deepEqual(await queue.deleteBatch('one', 3), {deleted: 3, isGone: false});
	t.like(await queue.batch('one'), {name: 'one', total: undefined, completedAt: undefined});
	t.deepEqual(await queue.deleteBatch('one', 3), {deleted: 2, isGone: true});
	t.deepEqual(await queue.deleteBatch('one'), {deleted: 0, isGone: true});
	t.deepEqual(await queue.batches(), []);
	t.deepEqual(await listed(queue, {}), range(1, 6));
	t.deepEqual(await queue.counts(), {blocked: 0, pending: 2, running: 0, failed: 1, completed: 1, dead: 1, cancelled: 1});
	const again = await queue.openBatch('one', 'thumbnail', OWNER);
	t.deepEqual(await enqueue(queue, newJob({batch: again, task: 'thumbnail', key: 'a', payload: '"other"'})), [12]);
	t.deepEqual((await queue.batch('one'))?.counts, {blocked: 0, pending: 1, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0});
});

law('a closed batch is deleted with the last of its jobs', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch, key: 'a'}), newJob({batch}));
	await queue.cancel({ids: [1]});
	await queue.closeBatch(batch, OWNER);
	clock.pass(1);
	await queue.store.delete({endedBefore: clock.now()});
	t.is((await jobOf(queue, 2)).batch, 'nightly');
	await t.throwsAsync(async () => queue.openBatch('nightly', 'thumbnail', OWNER), {code: 'BatchConflict'});
	await queue.cancel({});
	clock.pass(1);
	await queue.store.delete({endedBefore: clock.now()});
	await queue.openBatch('nightly', 'thumbnail', OWNER);
	t.is(await queue.job(2), undefined);
});

law('cleanup deletes jobs that ended before the time given, and no others', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const endedAt = clock.now();
	t.deepEqual(await queue.store.delete({endedBefore: endedAt}), {deleted: 0, next: null});
	clock.pass(1);
	await queue.cancel({ids: [ID_OF.pending]});
	t.deepEqual(await queue.store.delete({endedBefore: endedAt + 1}), {deleted: 3, next: null});
	t.deepEqual(await listed(queue, {}), [ID_OF.pending, ID_OF.running, ID_OF.failed]);
	t.deepEqual(await queue.counts(), {blocked: 0, pending: 0, running: 1, failed: 1, completed: 0, dead: 0, cancelled: 1});
});

law('cleanup by id deletes those of the jobs that have ended, except in open batches', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	t.deepEqual(await queue.store.delete({ids: Object.values(ID_OF)}), {deleted: 3, next: null});
	t.deepEqual(await listed(queue, {}), [ID_OF.pending, ID_OF.running, ID_OF.failed]);
	t.deepEqual(await queue.store.delete({ids: [99]}), {deleted: 0, next: null});
	t.deepEqual(await queue.store.delete({ids: []}), {deleted: 0, next: null});
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const [id = 0] = await enqueue(queue, newJob({batch, key: 'a'}));
	await queue.cancel({ids: [id]});
	t.deepEqual(await queue.store.delete({ids: [id]}), {deleted: 0, next: null});
	await queue.closeBatch(batch, OWNER);
	t.deepEqual(await queue.store.delete({ids: [id]}), {deleted: 1, next: null});
});

law('a closed batch without jobs is deleted by a cleanup up to a time, and by nothing else that deletes jobs', async (t, queue, clock) => {
	const [full, empty] = [await queue.openBatch('full', 'hash', OWNER), await queue.openBatch('empty', 'hash', OWNER)];
	const [id] = await enqueue(queue, newJob({batch: full}));
	await settleOne(queue, {type: 'returned', value: null});
	for (const batch of [full, empty]) await queue.closeBatch(batch, OWNER);
	const names = async () => (await queue.batches()).map(({name}) => name);
	const endedBefore = clock.now() + 1;
	await queue.store.delete({ids: [99]});
	t.deepEqual(await names(), ['full', 'empty']);
	t.like(await queue.store.delete({ended: {completed: endedBefore, dead: endedBefore, cancelled: endedBefore, tasks: new Map()}}), {deleted: 1});
	t.is(await queue.job(id as JobId), undefined);
	t.deepEqual(await names(), ['full', 'empty']);
	t.like(await queue.batch('full'), {counts: {completed: 0}});
	await queue.store.delete({endedBefore});
	t.deepEqual(await names(), []);
});

law('cleanup by id works in pages, and takes jobs out of the middle of others', async (t, queue) => {
	const ids = await enqueue(queue, ...range(1, 9).map(() => newJob({})));
	const {lease, jobs} = await take(queue, 9);
	await commit(queue, {settle: jobs.map(({id, execution}) => ({id, lease, execution, outcome: {type: 'returned', value: `${id}`} as const}))});
	const chosen = [8, 2, 4, 4, 3].map(index => ids[index - 1] as JobId);
	const first = await queue.store.delete({ids: chosen}, {limit: 3});
	t.deepEqual(first, {deleted: 3, next: ids[3] as JobId});
	t.deepEqual(await queue.store.delete({ids: chosen}, {limit: 3, after: first.next as JobId}), {deleted: 1, next: null});
	const left = [1, 5, 6, 7, 9].map(index => ids[index - 1] as JobId);
	t.deepEqual(await listed(queue, {}), left);
	t.deepEqual(
		(await queue.outcomes(ids)).flatMap(({id, status, result}) => (status === 'completed' ? [[id, result]] : [])),
		left.map(id => [id, `${id}`]),
	);
	t.is((await queue.counts()).completed, 5);
});

law('nothing is left of a job that was cleaned up', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {update: [{...claim, progress: {done: 1, at: T0}, logs: [{at: T0, level: 'info', text: 'line'}], checkpoint: {at: T0, state: '1'}}]});
	await queue.complete(claim, '1');
	await queue.store.delete({endedBefore: clock.now() + 1});
	t.is(await queue.job(1), undefined);
	t.is(await queue.values(1), undefined);
	t.deepEqual(await queue.logs(1), []);
	t.false(await queue.complete(claim));
	t.is(await queue.retry({ids: [1]}), 0);
});

law('jobs are deleted by the time of their status, and of their task if it has one', async (t, queue, clock) => {
	const end = async (task: string, ending: 'returned' | 'threw' | 'cancelled') => {
		const [id] = await enqueue(queue, newJob({task, policy: {...POLICY, maxAttempts: 1}}));
		if (ending === 'cancelled') await queue.cancel({ids: [id]});
		else await settleOne(queue, ending === 'threw' ? {type: 'threw', error: ERROR} : {type: 'returned', value: null});
		return id;
	};
	const ended = {completed: 0, dead: 0, cancelled: 0, other: 0, otherDead: 0};
	ended.completed = await end('hash', 'returned');
	ended.dead = await end('hash', 'threw');
	ended.cancelled = await end('hash', 'cancelled');
	ended.other = await end('thumbnail', 'returned');
	ended.otherDead = await end('thumbnail', 'threw');
	// A run of completed jobs.
	const run = await enqueue(queue, ...range(1, 3).map(() => newJob({task: 'thumbnail'})));
	const {lease, jobs} = await take(queue, 3);
	await commit(queue, {settle: jobs.map(({id, execution}) => ({id, lease, execution, outcome: {type: 'returned', value: '1'} as const}))});
	const left = async () => (await queue.jobs().page({limit: 100})).map(({id}) => id);
	const [never, now] = [-Infinity, clock.now() + 1];
	const remove = (ended: EndedBefore) => queue.store.delete({ended});
	t.like(await remove({completed: never, dead: never, cancelled: never, tasks: new Map()}), {deleted: 0, next: null});
	t.like(await remove({completed: never, dead: now - 1, cancelled: now, tasks: new Map()}), {deleted: 1});
	t.false((await left()).includes(ended.cancelled));
	const ofTask = new Map([['thumbnail', {completed: now, dead: never, cancelled: never}]]);
	t.like(await remove({completed: never, dead: never, cancelled: never, tasks: ofTask}), {deleted: 4});
	t.deepEqual(await left(), [ended.completed, ended.dead, ended.otherDead]);
	t.deepEqual(await queue.jobs({ids: run}).page(), []);
	t.like(await remove({completed: now, dead: now, cancelled: never, tasks: new Map([['thumbnail', {completed: never, dead: never, cancelled: never}]])}), {
		deleted: 3,
	});
	t.deepEqual(await left(), []);
});

law('jobs are deleted by the time of their status in pages in the order of their ends, which pass by jobs that are kept', async (t, queue, clock) => {
	const batch = await queue.openBatch('open', 'hash', OWNER);
	const ended: JobId[] = [];
	const returned = async (count: number, job: Partial<ReturnType<typeof newJob>>) => {
		clock.pass(1);
		ended.push(...(await enqueue(queue, ...range(1, count).map(() => newJob({...job})))));
		const {lease, jobs} = await take(queue, count);
		await commit(queue, {settle: jobs.map(({id, execution}) => ({id, lease, execution, outcome: {type: 'returned', value: '1'} as const}))});
	};
	const waiting = await enqueue(queue, newJob({runAt: T0 + 1000}), newJob({runAt: T0 + 1000}));
	await returned(3, {});
	await returned(5, {batch});
	await returned(2, {task: 'thumbnail'});
	await returned(1, {});
	// They ended last, and were enqueued first.
	await queue.cancel({ids: waiting});
	const now = clock.now();
	await returned(4, {});
	const [first, second] = [ended.slice(0, 3), ended.slice(10, 11)];
	const tasks = new Map([['thumbnail', {completed: T0, dead: T0, cancelled: T0}]]);
	const gone: JobId[][] = [];
	let before = await listed(queue, {});
	for (let after: Place | null | undefined; after !== null; ) {
		const page: Deleted = await queue.store.delete({ended: {completed: now + 1, dead: now + 1, cancelled: now + 1, tasks}}, {after, limit: 2});
		const left = await listed(queue, {});
		gone.push(before.filter(id => !left.includes(id)));
		t.is(gone.at(-1)?.length, page.deleted);
		[before, after] = [left, page.next];
	}
	t.true(gone.every(page => page.length <= 2));
	t.deepEqual(gone.flat().slice(0, 3), first);
	t.deepEqual(new Set(gone.flat().slice(3)), new Set([...waiting, ...second]));
	t.deepEqual(before, [...ended.slice(3, 10), ...ended.slice(11)]);
});

law('a page that keeps the first of the jobs that completed together hides none of the rest', async (t, queue, clock) => {
	const ids = await enqueue(queue, ...range(1, 4).map(() => newJob({})));
	const {lease, jobs} = await take(queue, 4);
	await commit(queue, {settle: jobs.map(({id, execution}) => ({id, lease, execution, outcome: {type: 'returned', value: '1'} as const}))});
	const parents = {edges: [{kind: 'all', parents: {ids: ids.slice(0, 2), count: 2}}], onParentDead: 'cancel'} as const;
	const [child] = await enqueue(queue, newJob({parents, runAt: clock.now() + 1000}));
	const now = clock.now() + 1;
	const ended = {completed: now, dead: now, cancelled: now, tasks: new Map()};
	let deleted = 0;
	for (let after: Place | null | undefined; after !== null; ) {
		const page: Deleted = await queue.store.delete({ended}, {after, limit: 1});
		deleted += page.deleted;
		after = page.next;
	}
	t.is(deleted, 2);
	t.deepEqual(await listed(queue, {}), [...ids.slice(0, 2), child as JobId]);
});

law('a batch is deleted only if it is not in use since a time, if one is given', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch}), newJob({batch}));
	const remove = (unusedSince: number) => queue.store.delete({batch: 'nightly', unusedSince});
	t.deepEqual(await remove(clock.now() + 1), {deleted: 0, next: null});
	await queue.endInput(batch, 2, OWNER);
	await queue.closeBatch(batch, OWNER);
	// Its jobs have not ended.
	t.deepEqual(await remove(clock.now() + 1), {deleted: 0, next: null});
	await completeAll(queue);
	clock.pass(1000);
	await queue.retry({ids: [1]});
	t.deepEqual(await remove(clock.now() + 1), {deleted: 0, next: null});
	await completeAll(queue);
	t.deepEqual(await remove(clock.now()), {deleted: 0, next: null});
	t.deepEqual(await remove(clock.now() + 1), {deleted: 2, next: null});
	t.is(await queue.batch('nightly'), undefined);
});

law(
	'an open batch whose map was interrupted is deleted if it has no owner, its jobs have ended, and nothing of it happened since a time',
	async (t, queue, clock) => {
		const batch = await queue.openBatch('nightly', 'hash', OWNER);
		await enqueue(queue, ...range(1, 3).map(() => newJob({batch})));
		clock.pass(60_000);
		await completeAll(queue);
		const remove = (unusedSince: number) => queue.store.delete({batch: 'nightly', unusedSince}, {limit: 2});
		t.deepEqual(await remove(clock.now() + 1), {deleted: 0, next: null});
		await queue.leaveBatch(batch, OWNER);
		t.deepEqual(await remove(clock.now()), {deleted: 0, next: null});
		clock.pass(60_000);
		t.like(await remove(clock.now()), {deleted: 2});
		t.deepEqual(await remove(clock.now()), {deleted: 1, next: null});
		t.is(await queue.batch('nightly'), undefined);
	},
);

law('cleanup() of a queue goes to its end, also of more jobs than a page has, and returns how many it has deleted', async (t, queue, clock) => {
	await enqueue(queue, ...Array.from({length: 2500}, () => newJob()));
	const claims = claimsOf(await take(queue, 2500));
	await commit(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'returned', value: '1'} as const}))});
	clock.pass(1000);
	t.is(await queue.cleanup({olderThan: 1001}), 0);
	t.is(await queue.cleanup(7), 1);
	t.is(await queue.cleanup({ids: [7, 8, 9]}), 2);
	t.is(await queue.cleanup({olderThan: '1s'}), 2497);
	t.deepEqual(await listed(queue, {}), []);
});

law('cleanup works in pages: it looks at no more jobs than its limit, and returns where the next page begins', async (t, queue, clock) => {
	await enqueue(queue, ...range(1, 7).map(() => newJob()));
	await queue.cancel({ids: [1, 3, 5]});
	clock.pass(10);
	await queue.cancel({ids: [2, 6]});
	const endedBefore = T0 + 1;
	t.deepEqual(await queue.store.delete({endedBefore}, {limit: 2}), {deleted: 1, next: 2});
	t.deepEqual(await queue.store.delete({endedBefore}, {limit: 2, after: 2}), {deleted: 2, next: 5});
	t.deepEqual(await queue.store.delete({endedBefore}, {limit: 2, after: 5}), {deleted: 0, next: null});
	t.deepEqual(await listed(queue, {}), [2, 4, 6, 7]);
	t.deepEqual(await queue.store.delete({endedBefore: T0 + 100}, {limit: 2}), {deleted: 2, next: null});
});

law('completed jobs are cleaned up in pages of any size, also if a page ends among jobs that were enqueued and completed together', async (t, queue, clock) => {
	await commit(queue, {enqueue: range(1, 30).map(id => newJob({payload: String(id)}))});
	const claims = claimsOf((await commit(queue, {claim: {...claimOf({limit: 25}), limit: 25}})).claimed);
	clock.pass(10);
	const returned = (claim: Claim): Settlement => ({...claim, outcome: {type: 'returned', value: `${claim.id}0`, startedAt: T0 + claim.id}});
	await commit(queue, {settle: claims.slice(0, 20).map(returned)});
	const left = async () => (await queue.jobs({status: 'completed'}).page()).map(({id, startedAt}) => [id, startedAt]);
	const expected = (ids: readonly JobId[]) => ids.map(id => [id, T0 + id]);
	t.deepEqual(await queue.store.delete({endedBefore: clock.now() + 1}, {limit: 4, after: 6}), {deleted: 4, next: 10});
	t.deepEqual(await left(), expected([...range(1, 6), ...range(11, 20)]));
	t.deepEqual(await queue.store.delete({endedBefore: clock.now() + 1}, {limit: 3}), {deleted: 3, next: 3});
	for (let deleted = 0, after = 3; deleted < 5; ) {
		const step = await queue.store.delete({endedBefore: clock.now() + 1}, {limit: 5 - deleted, after});
		[deleted, after] = [deleted + step.deleted, step.next as JobId];
	}
	t.deepEqual(await left(), expected(range(13, 20)));
	for (const id of range(13, 20)) t.like(await queue.values(id), {payload: String(id), result: `${id}0`});
	t.deepEqual(await listed(queue, {}), range(13, 30));
	t.deepEqual(await queue.store.delete({endedBefore: clock.now() + 1}), {deleted: 8, next: null});
	t.deepEqual(await queue.counts(), {blocked: 0, pending: 5, running: 5, failed: 0, completed: 0, dead: 0, cancelled: 0});
	await queue.leave(OWNER);
	t.is((await take(queue, 100)).jobs.length, 10);
});

law('cleanup keeps the jobs of open batches', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch, key: 'a'}), newJob());
	await queue.cancel({});
	clock.pass(1);
	const endedBefore = clock.now();
	t.deepEqual(await queue.store.delete({endedBefore}), {deleted: 1, next: null});
	await queue.closeBatch(batch, OWNER);
	await queue.openBatch('nightly', 'hash', OWNER);
	t.deepEqual(await queue.store.delete({endedBefore}), {deleted: 0, next: null});
	await queue.closeBatch(batch, OWNER);
	t.deepEqual(await queue.store.delete({endedBefore}), {deleted: 1, next: null});
});
