import type {Claim, Outcome} from '../../../lib/job/claim.ts';
import {listIds} from '../../../lib/job/groups/group.ts';
import {claimOf, claimsOf, commit, ERROR, enqueue, fresh, idsOf, jobOf, law, listed, newJob, POLICY, T0, take} from './laws.ts';

law('jobs that a job enqueues are stored when it completes, and can be claimed in the same transaction', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const jobs = [newJob({payload: '"next"', priority: 3}), newJob({task: 'thumbnail', runAt: T0 + 1000, key: 'a'}), newJob({task: 'never seen'})];
	const result = await commit(queue, {
		settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: jobs}}],
		enqueue: [newJob()],
		claim: claimOf('hash', 'thumbnail'),
	});
	t.deepEqual(result.settled, ['completed']);
	t.false('refusals' in result);
	t.deepEqual(result.enqueued, [fresh(5)]);
	t.deepEqual(
		result.claimed.jobs.map(({id, payload}) => [id, payload]),
		[
			[2, '"next"'],
			[5, '1'],
		],
	);
	t.is(result.dueInMs, 1000);
	t.like(await jobOf(queue, 3), {task: 'thumbnail', status: 'pending', runAt: T0 + 1000, key: 'a'});
	t.is((await jobOf(queue, 4)).task, 'never seen');
	t.like(await queue.counts(), {pending: 2, running: 2, completed: 1});
	clock.pass(1000);
	t.deepEqual(idsOf(await take(queue, 9)), [3]);
});

law('the job of onDead is stored in the transaction that makes a job dead, after what others enqueue, and not while attempts are left', async (t, queue) => {
	const policy = {...POLICY, maxAttempts: 2, backoff: {...POLICY.backoff, baseMs: 0}};
	await enqueue(queue, newJob({policy}), newJob({policy: {...policy, maxAttempts: 1}}), newJob());
	const [first, second, third] = claimsOf(await take(queue, 3)) as [Claim, Claim, Claim];
	const threw = {type: 'threw', error: ERROR, onDead: newJob({task: 'note', payload: '"dead"'})} as const;
	const settle = [
		{...second, outcome: threw},
		{...first, outcome: threw},
		{...third, outcome: {type: 'returned', value: '1', enqueue: [newJob({task: 'next'})]}},
	] as const;
	t.deepEqual((await commit(queue, {settle: [...settle, {...second, outcome: threw}]})).settled, ['dead', 'failed', 'completed', 'lost']);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({id, task}) => [id, task]),
		[...[1, 2, 3].map(id => [id, 'hash']), [4, 'note'], [5, 'next']],
	);
	t.like(await jobOf(queue, 4), {status: 'pending'});
	const [again] = claimsOf(await take(queue, 1)) as [Claim];
	t.deepEqual(
		(await commit(queue, {settle: [{...again, outcome: threw}], claim: claimOf('note')})).claimed.jobs.map(({id}) => id),
		[4, 6],
	);
});

law('jobs that a job enqueues are dropped if its claim was lost', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const settlement = {...claim, outcome: {type: 'returned' as const, value: '1', enqueue: [newJob()]}};
	await commit(queue, {settle: [{...settlement, execution: 2}]});
	await commit(queue, {settle: [{...settlement, lease: claim.lease + 1}]});
	t.is((await queue.jobs({}).page()).length, 1);
	t.deepEqual((await commit(queue, {settle: [settlement, settlement]})).settled, ['completed', 'lost']);
	t.is((await queue.jobs({}).page()).length, 2);
});

law('a job that enqueues a key that exists with the same payload enqueues no second job', async (t, queue) => {
	await enqueue(queue, newJob({key: 'a', payload: '{"x":1,"y":2}'}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const jobs = [newJob({key: 'a', payload: '{"y":2,"x":1}'}), newJob({key: 'b'}), newJob({key: 'b'}), newJob({key: 'b', task: 'thumbnail', payload: '2'})];
	t.deepEqual((await commit(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: jobs}}]})).settled, ['completed']);
	t.deepEqual(
		(await queue.jobs({status: 'pending'}).page()).map(({id, task, key}) => [id, task, key]),
		[
			[2, 'hash', 'b'],
			[3, 'thumbnail', 'b'],
		],
	);
});

law('a job that enqueues a key with another payload fails, charged, and enqueues nothing', async (t, queue, clock) => {
	await enqueue(queue, newJob({key: 'a', payload: '"held"', priority: -1}), newJob({policy: {...POLICY, maxAttempts: 2}}), newJob());
	const enqueues = [newJob(), newJob({key: 'b'}), newJob({key: 'a', payload: '"other"'})];
	for (const status of ['failed', 'dead'] as const) {
		const claims = claimsOf(await take(queue, status === 'failed' ? 2 : 1)) as [Claim, Claim];
		const outcomes: Outcome[] = [
			{type: 'returned', value: '"dropped"', enqueue: enqueues, startedAt: T0 + 5, durationMs: 2},
			{type: 'returned', value: null},
		];
		const {settled, refusals} = await commit(queue, {
			update: [{...claims[0], checkpoint: {at: T0, state: '7'}}],
			settle: claims.map((claim, index) => ({...claim, outcome: outcomes[index] as Outcome})),
		});
		t.is(settled[0], status);
		const error = refusals?.get(0);
		t.like(error, {reason: 'threw', code: 'KeyConflict'});
		t.regex(
			error?.message ?? '',
			/^The key "a" of task hash, which this job enqueues, belongs to job 1, which has another payload\. Give another payload another key\.$/,
		);
		t.is(refusals?.size, 1);
		t.like(await jobOf(queue, 2), {status, attempts: status === 'failed' ? 1 : 2, error, startedAt: T0 + 5, durationMs: 2});
		t.deepEqual(await queue.values(2), {payload: '1', checkpoint: {execution: claims[0].execution, at: T0, state: '7'}});
		clock.pass(10_000);
	}
	t.is((await jobOf(queue, 3)).status, 'completed');
	t.deepEqual(await listed(queue, {}), [1, 2, 3]);
	t.deepEqual(await enqueue(queue, newJob({key: 'b', payload: '"free"'})), [4]);
});

law('a job that enqueues one key with two payloads fails', async (t, queue) => {
	await enqueue(queue, newJob({policy: {...POLICY, retry: 'manual'}}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const jobs = [newJob({key: 'a', payload: '1'}), newJob({key: 'a', task: 'thumbnail', payload: '2'}), newJob({key: 'a', payload: '3'})];
	const {settled, refusals} = await commit(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: jobs}}]});
	t.deepEqual(settled, ['failed']);
	t.regex(refusals?.get(0)?.message ?? '', /belongs to another job that it enqueues/);
	t.deepEqual(await listed(queue, {}), [1]);
});

law('jobs that jobs enqueue get their ids in the order of the settlements, with any leases, and each sees the keys of earlier ones', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	const [first, third] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	const [second] = claimsOf(await take(queue)) as [Claim];
	const settle = [first, second, third].map((claim, index) => ({
		...claim,
		outcome: {type: 'returned' as const, value: null, enqueue: [newJob({payload: String(index), key: index === 0 ? 'a' : 'b'})]},
	}));
	const {settled, refusals} = await commit(queue, {settle});
	t.deepEqual(settled, ['completed', 'completed', 'failed']);
	t.deepEqual([...(refusals?.keys() ?? [])], [2]);
	t.deepEqual(await Promise.all([4, 5].map(async id => (await queue.values(id))?.payload)), ['0', '1']);
});

law('a job that ends without enqueuing frees its key for jobs that others enqueue in the same transaction, whatever their order', async (t, queue) => {
	await enqueue(queue, newJob(), newJob({key: 'a'}));
	const [maker, discarded] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	await queue.discard([2], {stop: false});
	const {settled} = await commit(queue, {
		settle: [
			{...maker, outcome: {type: 'returned', value: null, enqueue: [newJob({key: 'a'})]}},
			{...discarded, outcome: {type: 'released'}},
		],
	});
	t.deepEqual(settled, ['completed', 'discarded']);
	t.like(await jobOf(queue, 3), {key: 'a', status: 'pending'});
});

law('jobs that an execution enqueues may wait for each other, for other jobs, and for the execution itself', async (t, queue) => {
	const [other] = await enqueue(queue, newJob());
	await take(queue);
	await enqueue(queue, newJob());
	const [parent] = claimsOf(await take(queue)) as [Claim];
	const child = {task: 'hash', payload: '2', priority: 0, runAt: null, policy: POLICY} as const;
	const all = [child, child, {...child, payload: '3', after: [{index: 1}, other, {index: 0}, parent.id], onParentDead: 'run'}] as const;
	await commit(queue, {settle: [{...parent, outcome: {type: 'returned', value: '"own"', enqueue: all}}]});
	const jobs = await queue.jobs({}).page();
	const [first = 0, second = 0, third = 0] = jobs.slice(-3).map(({id}) => id);
	t.like(await queue.counts(), {pending: 2, blocked: 1, running: 1, completed: 1});
	const {jobs: shown} = await queue.store.jobs({ids: [third]}, {}, {edges: true});
	t.deepEqual(
		shown[0]?.edges?.parents.flatMap(([from, to]) => listIds(from, to - from + 1)),
		[second, other, first, parent.id],
	);
});

law('an execution that enqueues a job for which there is no parent fails', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const child = {task: 'hash', payload: '2', priority: 0, runAt: null, policy: POLICY, after: [99], onParentDead: 'cancel'} as const;
	const {settled} = await commit(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: [child]}}]});
	t.deepEqual(settled, ['failed']);
	t.regex((await jobOf(queue, claim.id)).error?.message ?? '', /can't wait for job 99/);
});
