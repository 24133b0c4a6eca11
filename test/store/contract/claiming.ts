import type {Claim} from '../../../lib/job/claim.ts';
import {claimedJobsOf} from '../../../lib/job/groups/single-jobs.ts';
import type {JobId} from '../../../lib/job/job.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimOf, claimsOf, commit, ERROR, enqueue, fresh, idsOf, jobOf, law, newJob, OTHER, OWNER, POLICY, T0, TASKS, take} from './laws.ts';

law('jobs are claimed by priority, then in order of arrival, across tasks', async (t, queue) => {
	const priorities = [0, 5, -5, 5, 0, 1];
	await enqueue(queue, ...priorities.map((priority, index) => newJob({priority, task: TASKS[index % 2] as string})));
	t.deepEqual(idsOf(await take(queue, 3)), [2, 4, 6]);
	t.deepEqual(idsOf(await take(queue, 10)), [1, 5, 3]);
});

law('jobs that one commit enqueues and claims come by priority, then in order of arrival', async (t, queue) => {
	const jobs = [0, 0, 9, 5].map(priority => newJob({priority}));
	t.deepEqual(idsOf((await commit(queue, {enqueue: jobs, claim: claimOf('hash')})).claimed), [3, 4, 1, 2]);
});

law('a claimed job is running and has all fields that a worker needs', async (t, queue) => {
	await enqueue(queue, newJob({payload: '{"file":"a.png"}', key: 'a'}));
	t.deepEqual(await take(queue), {
		lease: 1,
		jobs: [{id: 1, lease: 1, task: 'hash', payload: '{"file":"a.png"}', createdAt: T0, execution: 1, attempts: 0, policy: POLICY, key: 'a'}],
	});
	t.like(await jobOf(queue, 1), {status: 'running', executions: 1, attempts: 0});
});

law('a running job is not claimed again', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	await take(queue);
	t.deepEqual(idsOf(await take(queue, 5, OTHER)), [2]);
	t.deepEqual(idsOf(await take(queue, 5)), []);
});

law('leases are 1, 2, 3…, one per dequeue that claimed a job', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	t.is((await take(queue, 2)).lease, 1);
	t.is((await queue.dequeue({owner: OWNER, tasks: ['unknown']})).lease, 0);
	t.is((await take(queue, 2)).lease, 2);
	t.deepEqual(await take(queue, 2), {lease: 0, jobs: []});
});

law('dequeue() claims one job by default, and any number on request', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, tasks: TASKS})), [1]);
	await enqueue(queue, newJob());
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, tasks: TASKS, limit: Infinity})), [2, 3]);
});

law('a claim takes only jobs of its tasks', async (t, queue) => {
	await enqueue(queue, newJob({task: 'thumbnail'}), newJob());
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, tasks: ['hash'], limit: 5})), [2]);
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, tasks: [], limit: 5})), []);
});

law('a dequeue that names no tasks takes jobs of any, in the same order, but none of a paused task', async (t, queue, clock) => {
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, limit: 5})), []);
	await enqueue(queue, newJob(), newJob({task: 'thumbnail', priority: 1}), newJob({task: 'other'}), newJob({scope: 'elsewhere'}));
	await queue.pause(['other']);
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, limit: 5})), [2, 1]);
	await queue.resume(['other']);
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, limit: 5, scopes: ['elsewhere']})), [3, 4]);
	await enqueue(queue, newJob({task: 'later', delayMs: 1000}));
	clock.pass(1000);
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, limit: 5})), [5]);
});

law('complete() and fail() take the jobs of a dequeue', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const {jobs} = await queue.dequeue({owner: OWNER, limit: 2});
	t.true(await queue.complete(jobs[0] as Claim, '1'));
	t.true(await queue.fail(jobs[1] as Claim, new Error('broken')));
	t.like(await queue.counts(), {completed: 1, running: 0});
});

async function claimed(queue: RawQueue, limits: Readonly<Record<string, number>>, limit: number): Promise<JobId[]> {
	const lanes = Object.entries(limits).map(([task, limit]) => ({task, limit}));
	return idsOf((await commit(queue, {claim: {...claimOf(...lanes), limit}})).claimed);
}

law('a claim keeps its limits: the number of jobs of each task, and of jobs in all', async (t, queue) => {
	await enqueue(queue, ...['hash', 'hash', 'hash', 'thumbnail', 'hash', 'thumbnail'].map(task => newJob({task})));
	t.deepEqual(await claimed(queue, {hash: 2, thumbnail: 1}, 10), [1, 2, 4]);
	t.deepEqual(await claimed(queue, {hash: 0, thumbnail: 0}, 10), []);
	t.deepEqual(await claimed(queue, {hash: 5, thumbnail: 5}, 2), [3, 5]);
	t.deepEqual(await claimed(queue, {hash: 5, thumbnail: 5}, 0), []);
	t.deepEqual(await claimed(queue, {hash: 0, thumbnail: 5}, 10), [6]);
});

law('a task at its limit does not hold up other tasks', async (t, queue) => {
	await enqueue(queue, newJob({priority: 9}), newJob({priority: 9}), newJob({task: 'thumbnail'}));
	t.deepEqual(await claimed(queue, {hash: 1, thumbnail: 1}, 2), [1, 3]);
});

law('a dequeue stops with the job that reaches maxBytes', async (t, queue) => {
	await enqueue(queue, ...['"ää"', '"four"', '"123"', null, '1', '2'].map(payload => newJob({payload})));
	t.deepEqual(idsOf(await take(queue, 10, OWNER, 12)), [1, 2]);
	t.deepEqual(idsOf(await take(queue, 10, OWNER, 6)), [3, 4, 5]);
});

law('maxBytes is kept across tasks', async (t, queue) => {
	await enqueue(queue, ...['hash', 'thumbnail', 'hash', 'thumbnail'].map(task => newJob({task, payload: '"12345678"'})));
	t.deepEqual(idsOf(await take(queue, 10, OWNER, 25)), [1, 2, 3]);
});

law('a dequeue claims one job, however large it is', async (t, queue) => {
	await enqueue(queue, newJob({payload: new Uint8Array(10_000)}), newJob({task: 'thumbnail'}), newJob());
	t.deepEqual(idsOf(await take(queue, 10, OWNER, 1)), [1]);
	t.deepEqual(idsOf(await take(queue, 10, OWNER, 0)), [2]);
});

law('the backlog is the number of jobs that could have been claimed and were not', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob({task: 'thumbnail'}), newJob({task: 'unknown'}), newJob({runAt: T0 + 1}));
	t.is((await commit(queue, {})).backlog, 0);
	t.is((await commit(queue, {claim: claimOf({limit: 1}, {task: 'thumbnail', limit: 1})})).backlog, 1);
	await queue.pause(['hash']);
	t.is((await commit(queue, {claim: claimOf({limit: 1}, {task: 'thumbnail', limit: 1})})).backlog, 0);
	await queue.resume(['hash']);
	t.is((await commit(queue, {claim: claimOf({limit: 0})})).backlog, 1);
});

law('one transaction can settle a job, enqueue another and claim both', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const result = await commit(queue, {
		settle: [{...claim, outcome: {type: 'released'}}],
		enqueue: [newJob()],
		claim: claimOf('hash'),
	});
	t.deepEqual(result.settled, ['pending']);
	t.deepEqual(result.enqueued, [fresh(2)]);
	t.deepEqual(
		result.claimed.jobs.map(({id, execution}) => [id, execution]),
		[
			[1, 2],
			[2, 1],
		],
	);
});

law('a delayed job is claimed at its time, not before', async (t, queue, clock) => {
	await enqueue(queue, newJob({runAt: T0 + 1000}), newJob({runAt: T0 + 1001}));
	clock.pass(999);
	t.deepEqual(idsOf(await take(queue, 2)), []);
	clock.pass(1);
	t.deepEqual(idsOf(await take(queue, 2)), [1]);
	clock.pass(1);
	t.deepEqual(idsOf(await take(queue, 2)), [2]);
});

law('a delayed job whose time has come has no runAt, and is claimed by priority and arrival', async (t, queue, clock) => {
	await enqueue(queue, newJob({runAt: T0 + 2000}), newJob({runAt: T0 + 1000}), newJob({runAt: T0 + 3000, priority: 1}), newJob({runAt: T0 - 1}));
	t.is((await jobOf(queue, 4)).runAt, undefined);
	clock.pass(3000);
	t.deepEqual(idsOf(await take(queue, 2)), [3, 1]);
	t.is((await jobOf(queue, 2)).runAt, undefined);
	t.is((await jobOf(queue, 2)).status, 'pending');
});

law('delayed jobs of high priority do not hold up other jobs', async (t, queue) => {
	await enqueue(queue, newJob({runAt: T0 + 1, priority: 9}), newJob());
	t.deepEqual(idsOf(await take(queue, 5)), [2]);
});

law('a commit returns the time until the next waiting job becomes due', async (t, queue, clock) => {
	t.is((await commit(queue, {})).dueInMs, null);
	t.is((await commit(queue, {enqueue: [newJob({runAt: T0 + 2000}), newJob({runAt: T0 + 1000, task: 'unknown'}), newJob()]})).dueInMs, 1000);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.is((await commit(queue, {settle: [{...claim, outcome: {type: 'threw', error: ERROR}}]})).dueInMs, 1000);
	await queue.cancel({task: 'unknown'});
	t.is((await commit(queue, {})).dueInMs, 1000);
	await queue.cancel({status: 'failed'});
	clock.pass(500);
	t.is((await commit(queue, {})).dueInMs, 1500);
	clock.pass(2000);
	t.is((await commit(queue, {})).dueInMs, 0);
	t.is((await commit(queue, {claim: claimOf()})).dueInMs, null);
});

law('no more jobs of a task run at the same time than its concurrency, for all owners together', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob(), newJob({task: 'thumbnail'}));
	await take(queue, 1, OTHER);
	const hash = {task: 'hash', limit: 9, concurrency: 2};
	const {claimed, backlog} = await commit(queue, {claim: claimOf(hash, 'thumbnail')});
	t.deepEqual(idsOf(claimed), [2, 4]);
	t.is(backlog, 0);
	t.is((await commit(queue, {claim: claimOf(hash)})).claimed.jobs.length, 0);
	await queue.leave(OTHER);
	const next = await commit(queue, {claim: claimOf({...hash, limit: 0})});
	t.deepEqual([idsOf(next.claimed), next.backlog], [[], 1]);
	t.deepEqual(idsOf((await commit(queue, {claim: claimOf(hash)})).claimed), [1]);
});

law('a settlement makes room for another job of its task in the same transaction', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const claim = claimOf({concurrency: 1});
	const {claimed} = await commit(queue, {claim});
	const settle = claimsOf(claimed).map(claim => ({...claim, outcome: {type: 'returned', value: null} as const}));
	t.deepEqual(idsOf((await commit(queue, {settle, claim})).claimed), [2]);
});

law(
	'a claim returns groups in the order of their first jobs, each of one task; the jobs of a task come in order, whatever their policies',
	async (t, queue) => {
		const policy = {...POLICY, maxAttempts: 9};
		await enqueue(
			queue,
			newJob({task: 'thumbnail'}),
			newJob({policy}),
			newJob({priority: 1}),
			newJob({task: 'thumbnail'}),
			newJob({policy}),
			newJob({priority: 1}),
		);
		const {claimed} = await queue.store.commit({claim: claimOf('hash', 'thumbnail')});
		const order = [3, 6, 1, 2, 4, 5];
		const groups = claimed.groups.map(group => ({...group, jobs: [...claimedJobsOf(group)]}));
		t.deepEqual(
			groups.flatMap(({jobs}) => jobs.map(({id}) => id)).sort((a, b) => a - b),
			[...order].sort((a, b) => a - b),
		);
		const placesOf = (task?: string) =>
			groups.filter(group => task === undefined || group.task === task).map(({jobs}) => jobs.map(({id}) => order.indexOf(id)));
		for (const each of [placesOf().map(([first]) => first ?? -1), placesOf('hash').flat(), placesOf('thumbnail').flat()])
			t.deepEqual(
				each,
				each.toSorted((a, b) => a - b),
			);
		for (const {task, lease, jobs, quarantine} of groups) {
			t.deepEqual([lease, quarantine], [1, undefined]);
			for (const job of jobs) t.like(job, {task, policy: [2, 5].includes(job.id) ? policy : POLICY});
		}
	},
);
