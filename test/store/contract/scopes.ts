import type {Claim} from '../../../lib/job/claim.ts';
import {type JobId, MAX_SUSPICION} from '../../../lib/job/job.ts';
import type {NewJob} from '../../../lib/job/new-job.ts';
import type {ClaimRequest} from '../../../lib/store/store.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
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
	newJob,
	ON_COMPLETE,
	OWNER,
	POLICY,
	reused,
	T0,
	TASKS,
	take,
} from './laws.ts';

const [A, B] = ['app/tasks', 'app/tasks in /b'];

function claimIn(scopes: readonly string[], claim: ClaimRequest = claimOf('hash')): ClaimRequest {
	return {...claim, scopes};
}

async function takeIn(queue: RawQueue, scopes: readonly string[], limit = 10): Promise<JobId[]> {
	return idsOf(await queue.dequeue({owner: OWNER, tasks: TASKS, scopes, limit}));
}

law('a job with a scope is claimed only for that scope, and a job without one for any', async (t, queue) => {
	await enqueue(queue, newJob({scope: A}), newJob(), newJob({scope: B}), newJob({scope: A}), newJob({scope: A, task: 'thumbnail'}));
	t.deepEqual(await takeIn(queue, ['other']), [2]);
	t.deepEqual(await takeIn(queue, []), []);
	t.deepEqual(await takeIn(queue, [A], 2), [1, 4]);
	await enqueue(queue, newJob());
	t.deepEqual(await takeIn(queue, [A, B]), [3, 5, 6]);
	t.deepEqual([(await jobOf(queue, 1)).scope, (await jobOf(queue, 2)).scope], [A, undefined]);
});

law('a claimed job tells whose it is', async (t, queue) => {
	await enqueue(queue, ...[A, undefined, B, A, B].map(scope => newJob({scope})), newJob({scope: A, key: 'k'}));
	const claimed = async (scopes: readonly string[], enqueue: readonly NewJob[] = []) =>
		(await commit(queue, {enqueue, claim: claimIn(scopes)})).claimed.jobs.map(({id, scope}) => [id, scope]);
	t.deepEqual(await claimed([A]), [
		[1, A],
		[2, undefined],
		[4, A],
		[6, A],
	]);
	await queue.adopt(B, 'new');
	t.deepEqual(await claimed(['new']), [
		[3, 'new'],
		[5, 'new'],
	]);
	t.deepEqual(await claimed([A, B], [newJob({scope: B}), newJob({scope: B})]), [
		[7, B],
		[8, B],
	]);
	await queue.adopt(B, A);
	await queue.leave(OWNER);
	t.deepEqual(await claimed([A]), [
		[1, A],
		[2, undefined],
		[4, A],
		[6, A],
		[7, A],
		[8, A],
	]);
});

law('a job that a commit enqueues is claimed by it only if its scope is requested', async (t, queue) => {
	const jobs = [newJob({scope: A}), newJob({scope: B}), newJob()];
	for (const scopes of [[A], [A, B]]) {
		const {claimed, backlog} = await commit(queue, {enqueue: jobs, claim: claimIn(scopes)});
		t.is(backlog, 0);
		t.true(claimed.jobs.length > 0);
	}
	// The first commit has left the job of the scope that it had not requested.
	t.deepEqual(
		(await queue.jobs({status: 'pending'}).page()).map(({id}) => id),
		[],
	);
	t.is((await queue.counts()).running, 6);
});

law('the limits of a lane hold for its scopes together, and priority counts among them', async (t, queue) => {
	await enqueue(queue, newJob({scope: A}), newJob({scope: B, priority: 3}), newJob({priority: 1}), newJob({scope: A, priority: 2}), newJob({scope: B}));
	const limit = (most: number, task = 'hash') => claimIn([A, B], {...claimOf({task, limit: most}), limit: 10});
	t.deepEqual(
		(await commit(queue, {claim: limit(2)})).claimed.jobs.map(({id}) => id),
		[2, 4],
	);
	const concurrency = claimIn([A, B], claimOf({concurrency: 3}));
	t.deepEqual(
		(await commit(queue, {claim: concurrency})).claimed.jobs.map(({id}) => id),
		[3],
	);
	t.is((await commit(queue, {claim: concurrency})).backlog, 0);
	t.is((await commit(queue, {claim: claimIn([A], claimOf({limit: 0}))})).backlog, 1);
});

law('suspects of a task run together whatever their scopes, as many as the most suspicious of them lets', async (t, queue) => {
	const scopes = [A, undefined, B, A, undefined];
	await enqueue(queue, ...scopes.map(scope => newJob({scope})));
	const levels = [1, 1, MAX_SUSPICION - 1, 1, 1];
	const {claimed} = await commit(queue, {claim: claimIn([A, B])});
	const ends = claimed.jobs.map(({id, execution}) => ({id, execution, lease: claimed.lease}));
	await commit(queue, {settle: ends.map(claim => ({...claim, outcome: {type: 'released', suspicion: levels[claim.id - 1] as number}}))});
	const suspects = async (scopes: readonly string[]) =>
		(await commit(queue, {claim: claimIn(scopes, claimOf({task: 'hash', isQuarantined: true}))})).claimed.jobs.map(({id}) => id);
	t.deepEqual([await suspects([A, B]), await suspects([A, B]), await suspects([A])], [[1, 2], [3, 4], [5]]);
});

law('keys, pauses, counts and limits of pending jobs are those of the task, whatever the scope', async (t, queue) => {
	await enqueue(queue, newJob({scope: A, key: 'k'}));
	t.deepEqual((await commit(queue, {enqueue: [newJob({scope: B, key: 'k'})]})).enqueued, [reused(1)]);
	t.like(await commit(queue, {enqueue: [{...newJob({scope: B}), maxPending: {task: 1}}]}), {enqueued: [{full: {of: 'task', pending: 1, limit: 1}}]});
	await enqueue(queue, newJob({scope: B}), newJob());
	t.deepEqual((await queue.store.counts()).map(({task, scope, ready}) => `${task} ${scope ?? ''} ${ready}`).sort(), ['hash  1', `hash ${A} 1`, `hash ${B} 1`]);
	t.deepEqual(
		(await queue.jobs({task: 'hash'}).page()).map(({id}) => id),
		[1, 2, 3],
	);
	t.deepEqual(
		(await queue.jobs({task: 'hash', status: 'pending'}).page()).map(({id}) => id),
		[1, 2, 3],
	);
	await queue.pause(['hash']);
	t.deepEqual(await takeIn(queue, [A, B]), []);
	await queue.resume(['hash']);
	t.deepEqual(await takeIn(queue, [A, B]), [1, 2, 3]);
	await completeAll(queue);
	t.like(await queue.counts(), {running: 3});
});

law('a job keeps its scope when it waits, fails, is released, cancelled and retried', async (t, queue, clock) => {
	await enqueue(queue, newJob({scope: A, policy: {...POLICY, maxAttempts: 2}}), newJob({scope: A, runAt: T0 + 1000}));
	const [parent] = await enqueue(queue, newJob({task: 'thumbnail'}));
	const group = {...newJob({scope: A}), parents: {edges: [{kind: 'all' as const, parents: {ids: parent, count: 1}}], onParentDead: 'cancel' as const}};
	await commit(queue, {enqueue: [group]});
	const first = await queue.dequeue({owner: OWNER, tasks: ['hash'], scopes: [A], limit: 9});
	t.deepEqual(idsOf(first), [1]);
	await commit(queue, {settle: [{...(claimsOf(first)[0] as Claim), outcome: {type: 'released'}}]});
	t.deepEqual(idsOf(await take(queue, 9)), [3]);
	const again = await queue.dequeue({owner: OWNER, tasks: ['hash'], scopes: [A], limit: 9});
	t.deepEqual(idsOf(again), [1]);
	await commit(queue, {
		settle: [
			{...(claimsOf(again)[0] as Claim), outcome: {type: 'threw', error: ERROR}},
			{id: 3, lease: 2, execution: 1, outcome: {type: 'returned', value: '1'}},
		],
	});
	clock.pass(5000);
	t.deepEqual(idsOf(await take(queue, 9)), []);
	t.deepEqual(await takeIn(queue, [A]), [1, 2, 4]);
	await queue.leave(OWNER);
	await queue.cancel({task: 'hash'});
	t.is(await queue.retry({task: 'hash'}), 3);
	t.deepEqual(idsOf(await take(queue, 9)), []);
	t.deepEqual(await takeIn(queue, [A]), [1, 2, 4]);
});

law('jobs that a job, a schedule or the end of a batch enqueues have the scope that these name', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: [newJob({scope: A}), newJob()]}}]});
	const timing = {everyMs: 1000, from: 'clock'} as const;
	const spec = {
		timing,
		catchUp: 'one',
		overlap: 'skip',
		jitterMs: 0,
		until: null,
		expiresMs: null,
		task: 'hash',
		scope: A,
		payload: '1',
		priority: 0,
		policy: POLICY,
	} as const;
	await commit(queue, {schedule: [{type: 'set', name: 's', spec, nextAt: T0 + 1000, lastAt: null}]});
	t.deepEqual((await queue.store.schedules())[0]?.spec, spec);
	await commit(queue, {schedule: [{type: 'run', name: 's'}]});
	const batch = await queue.openBatch('b', 'hash', OWNER, {onComplete: {...ON_COMPLETE, scope: A}});
	await queue.store.updateBatch(batch, OWNER, {total: 0});
	t.deepEqual(
		(await queue.jobs({}).page()).map(({id, scope}) => [id, scope]),
		[
			[1, undefined],
			[2, A],
			[3, undefined],
			[4, A],
			[5, A],
		],
	);
	t.deepEqual(await takeIn(queue, []), [3]);
	t.deepEqual(await takeIn(queue, [A]), [5, 2, 4]);
});

law('a scope that adopts another one gets its jobs, and keeps its own', async (t, queue, clock) => {
	await enqueue(queue, newJob({scope: A}), newJob({scope: B}), newJob({scope: A, runAt: T0 + 1000}));
	t.false(await queue.adopt('never seen', B));
	t.true(await queue.adopt(A, B));
	t.deepEqual(await takeIn(queue, [A]), []);
	t.is((await jobOf(queue, 1)).scope, B);
	clock.pass(1000);
	t.deepEqual(await takeIn(queue, [B]), [1, 2, 3]);
	await enqueue(queue, newJob({scope: B}));
	t.deepEqual(await takeIn(queue, [B]), [4]);
	t.deepEqual(
		(await queue.store.counts()).flatMap(({scope, running}) => (scope === undefined ? [] : [[scope, running]])),
		[[B, 4]],
	);
	t.true(await queue.adopt(B, 'new'));
	t.is((await jobOf(queue, 4)).scope, 'new');
});

law('a scope that adopts another one gets its schedules, and the jobs that batches enqueue as they complete', async (t, queue) => {
	const spec = {
		...({timing: {everyMs: 1000, from: 'clock'}, catchUp: 'one', overlap: 'skip', jitterMs: 0, until: null, expiresMs: null} as const),
		...{task: 'hash', scope: A, payload: '"x"', priority: 0, policy: POLICY},
	};
	const batch = await queue.openBatch('nightly', 'hash', OWNER, {onComplete: {...ON_COMPLETE, task: 'hash', scope: A}});
	await queue.store.commit({schedule: [{type: 'set', name: 'hourly', spec, nextAt: T0 + 1000, lastAt: null}]});
	t.true(await queue.adopt(A, B));
	t.is((await queue.store.schedules())[0]?.spec.scope, B);
	await queue.store.commit({schedule: [{type: 'run', name: 'hourly'}]});
	await queue.endInput(batch, 0, OWNER);
	t.deepEqual([await takeIn(queue, [A]), await takeIn(queue, [B])], [[], [2, 1]]);
});
