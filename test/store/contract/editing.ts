import type {Claim} from '../../../lib/job/claim.ts';
import type {JobId} from '../../../lib/job/job.ts';
import {claimOf, claimsOf, commit, ERROR, enqueue, ID_OF, idsOf, jobOf, law, newJob, OWNER, oneJobOfEachStatus, POLICY, range, T0, take} from './laws.ts';

law('an edit changes pending and failed jobs; of the others it tells the status, and leaves them as they are', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const before = await queue.jobs({}).page();
	const edit = [...Object.values(ID_OF), 99].map(id => ({id, payload: '"new"', priority: 7, runAt: T0 + 60_000}));
	const {edited} = await commit(queue, {edit});
	t.deepEqual(edited, ['edited', 'running', 'edited', 'completed', 'dead', 'cancelled', 'missing']);
	for (const job of before) {
		const isEdited = job.status === 'pending' || job.status === 'failed';
		const changes = {priority: 7, runAt: T0 + 60_000, payloadBytes: 5};
		t.deepEqual(await jobOf(queue, job.id), isEdited ? {...job, ...changes} : job);
		t.is((await queue.values(job.id))?.payload, isEdited ? '"new"' : '1');
	}
	t.like(await queue.counts(), {pending: 1, failed: 1, running: 1, completed: 1});
});

law('what an edit leaves out stays as it is', async (t, queue) => {
	await enqueue(queue, newJob({priority: 2, runAt: T0 + 5, payload: '"old"'}), newJob({priority: 2}));
	const before = [await jobOf(queue, 1), await jobOf(queue, 2)];
	for (const [id, changes] of [
		[1, {priority: 3}],
		[2, {priority: 3}],
		[1, {payload: null}],
		[2, {payload: new Uint8Array([1, 2])}],
		[1, {delayMs: 9}],
		[2, {delayMs: 9}],
	] as const)
		t.true(await queue.edit(id, changes));
	t.deepEqual(await jobOf(queue, 1), {...(before[0] as object), priority: 3, runAt: T0 + 9, payloadBytes: 0} as never);
	t.deepEqual(await jobOf(queue, 2), {...(before[1] as object), priority: 3, runAt: T0 + 9, payloadBytes: 2} as never);
	t.is((await queue.values(1))?.payload, null);
});

law('jobs are claimed by their new priority and at their new time', async (t, queue, clock) => {
	await enqueue(queue, ...range(1, 5).map(() => newJob()), newJob({runAt: T0 + 1000}));
	const edit = [
		{id: 4, priority: 2},
		{id: 2, priority: 1},
		{id: 1, priority: -1},
		{id: 3, delayMs: 50},
		{id: 6, runAt: null, priority: 1},
	];
	t.deepEqual((await commit(queue, {edit})).edited, ['edited', 'edited', 'edited', 'edited', 'edited']);
	t.deepEqual(idsOf(await take(queue, 10)), [4, 2, 6, 5, 1]);
	const {dueInMs} = await commit(queue, {});
	t.is(dueInMs, 50);
	clock.pass(50);
	t.deepEqual(idsOf(await take(queue, 10)), [3]);
});

law('a failed job keeps its attempts and its error; its next attempt comes at the new time, also if it was parked', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob({policy: {...POLICY, retry: 'manual'}}));
	const claims = claimsOf(await take(queue, 2));
	await commit(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'threw', error: ERROR}}))});
	const ids: readonly JobId[] = [1, 2];
	await commit(queue, {edit: ids.map(id => ({id, delayMs: 10}))});
	for (const id of ids) t.like(await jobOf(queue, id), {status: 'failed', attempts: 1, error: ERROR, runAt: T0 + 10});
	await commit(queue, {edit: [{id: 1, priority: 5}]});
	t.like(await jobOf(queue, 1), {status: 'failed', runAt: T0 + 10, priority: 5});
	clock.pass(10);
	t.deepEqual(
		(await take(queue, 2)).jobs.map(({id, attempts}) => [id, attempts]),
		ids.map(id => [id, 1]),
	);
});

law('a failed job that is to run at once is pending, with its attempts', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {settle: [{...claim, outcome: {type: 'threw', error: ERROR}}]});
	t.true(await queue.edit(1, {delayMs: 0}));
	t.like(await jobOf(queue, 1), {status: 'pending', attempts: 1, error: ERROR});
	t.like((await take(queue)).jobs[0], {id: 1, execution: 2, attempts: 1});
});

law('a job with a new payload begins without the checkpoint of the old one; any other edit keeps it', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const claims = claimsOf(await take(queue, 2));
	await commit(queue, {
		update: claims.map(claim => ({...claim, checkpoint: {at: T0, state: '1'}})),
		settle: claims.map(claim => ({...claim, outcome: {type: 'released'}})),
	});
	await commit(queue, {
		edit: [
			{id: 1, payload: '2'},
			{id: 2, priority: 1},
		],
	});
	t.deepEqual(
		(await take(queue, 2)).jobs.map(({id, payload, checkpoint}) => [id, payload, checkpoint]),
		[
			[2, '1', '1'],
			[1, '2', undefined],
		],
	);
});

law('a job that is edited in the transaction that claims it is claimed as it is then', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	const {edited, claimed} = await commit(queue, {
		edit: [
			{id: 2, payload: '"new"', priority: 1},
			{id: 3, delayMs: 5},
		],
		claim: {...claimOf('hash'), owner: OWNER},
	});
	t.deepEqual(edited, ['edited', 'edited']);
	t.deepEqual(
		claimed.jobs.map(({id, payload}) => [id, payload]),
		[
			[2, '"new"'],
			[1, '1'],
		],
	);
	const [claim] = claimsOf(claimed) as [Claim];
	t.deepEqual((await commit(queue, {settle: [{...claim, outcome: {type: 'released'}}], edit: [{id: claim.id, priority: 9}]})).edited, ['edited']);
});

law('an edited job keeps its key and its batch, whose jobs are counted in their new states', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({key: 'a', batch, payload: '1'}), newJob({key: 'b', batch}));
	await commit(queue, {edit: [{id: 1, payload: '2', runAt: T0 + 5}]});
	t.like(await jobOf(queue, 1), {key: 'a', batch: 'nightly'});
	t.like(await queue.batch('nightly'), {counts: {pending: 2}});
	t.deepEqual(await queue.enqueue([newJob({key: 'a', batch, payload: '2'})]), [{id: 1, reused: true}]);
});
