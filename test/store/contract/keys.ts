import type {Claim} from '../../../lib/job/claim.ts';
import {pack} from '../../../lib/job/groups/packed.ts';
import type {Job} from '../../../lib/job/job.ts';
import {FaenaError} from '../../../lib/support/errors.ts';
import type {PlainChanges} from '../../fixtures/plain.ts';
import {
	claimOf,
	claimsOf,
	commit,
	completeAll,
	conflict,
	copy,
	ERROR,
	enqueue,
	fresh,
	ID_OF,
	idsOf,
	jobOf,
	law,
	newJob,
	OTHER,
	OWNER,
	oneJobOfEachStatus,
	PAYLOADS,
	POLICY,
	reused,
	statuses,
	T0,
	take,
} from './laws.ts';

law('enqueuing the same key with the same payload returns the same job', async (t, queue) => {
	t.deepEqual(await queue.enqueue([newJob({key: 'a', payload: '{"x":1,"y":2}'})]), [fresh(1)]);
	t.deepEqual(await queue.enqueue([newJob({key: 'a', payload: '{"y":2,"x":1}'}), newJob()]), [reused(1), fresh(2)]);
	t.is((await queue.jobs({}).page()).length, 2);
});

law('payloads of one key are compared as values, in any form', async (t, queue) => {
	await queue.enqueue(PAYLOADS.map((payload, index) => newJob({payload, key: `k${index}`})));
	const again = PAYLOADS.map((payload, index) => newJob({payload: copy(payload), key: `k${index}`}));
	t.deepEqual(
		(await queue.enqueue(again)).map(each => each.reused),
		PAYLOADS.map(() => true),
	);
	const {enqueued} = await commit(queue, {enqueue: PAYLOADS.map((_, index) => newJob({payload: '"another"', key: `k${index}`}))});
	t.deepEqual(
		enqueued,
		PAYLOADS.map((_, index) => conflict(index + 1)),
	);
});

law('the same key with another payload is a conflict of that job, and the other jobs are enqueued', async (t, queue) => {
	await queue.enqueue([newJob({key: 'a', payload: '1'})]);
	const {enqueued} = await commit(queue, {enqueue: [newJob(), newJob({key: 'a', payload: '2'}), newJob({key: 'b'})]});
	t.deepEqual(enqueued, [fresh(2), conflict(1), fresh(3)]);
	t.is((await queue.values(1))?.payload, '1');
});

law('two jobs of one transaction can share a key', async (t, queue) => {
	const {enqueued} = await commit(queue, {enqueue: [newJob({key: 'a'}), newJob({key: 'a'}), newJob({key: 'a', payload: '2'})]});
	t.deepEqual(enqueued, [fresh(1), reused(1), conflict(1)]);
	t.is((await queue.counts()).pending, 1);
});

law('a conflict makes enqueue() refuse all its jobs, in a sentence that names the key and its job', async (t, queue) => {
	await queue.enqueue([newJob(), newJob({key: 'a', payload: '1'})]);
	const error = await t.throwsAsync(queue.enqueue([newJob(), newJob({key: 'b'}), newJob({key: 'a', payload: '2'})]), {
		instanceOf: FaenaError,
		code: 'KeyConflict',
	});
	t.regex(error?.message ?? '', /"a" of task hash belongs to job 2/);
	t.is((await queue.jobs({}).page()).length, 2);
	// A store may leave out the ids of jobs that were refused.
	const [made] = await queue.enqueue([newJob({key: 'b', payload: '3'})]);
	t.true(made?.reused === false && made.id >= 3);
});

law('enqueue() refuses two jobs that share a key but not the payload', async (t, queue) => {
	await t.throwsAsync(queue.enqueue([newJob({key: 'a'}), newJob({key: 'a', payload: '2'})]), {code: 'KeyConflict'});
	t.deepEqual(await queue.jobs({}).page(), []);
	t.is((await enqueue(queue, newJob({key: 'a', payload: '2'}))).length, 1);
});

law('a transaction that fails changes nothing: nothing is settled, updated, enqueued or claimed', async (t, queue, clock) => {
	await enqueue(queue, newJob({key: 'a'}), newJob(), newJob(), newJob({runAt: T0 + 1}));
	const [first, second] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	clock.pass(10);
	const before = await queue.jobs({}).page();
	const changes: PlainChanges = {
		settle: [
			{...first, outcome: {type: 'returned', value: '1', enqueue: [newJob(), newJob({key: 'b'})]}},
			{...second, outcome: {type: 'threw', error: ERROR}},
		],
		update: [{...first, progress: {done: 1, at: T0}, logs: [{at: T0, level: 'info', text: 'line'}]}],
		enqueue: [newJob({task: 'never seen'}), newJob({key: 'a', payload: '"other"'})],
		rejectConflicts: true,
		claim: {...claimOf('hash'), owner: OTHER},
	};
	await t.throwsAsync(async () => commit(queue, changes), {code: 'KeyConflict'});
	t.deepEqual(await queue.jobs({}).page(), before);
	t.deepEqual(await queue.logs(first.id), []);
	t.like(await queue.counts(), {pending: 2, running: 2});
	t.deepEqual(
		await queue.settle(
			first.lease,
			[first, second].map(claim => ({...claim, outcome: {type: 'released'}})),
		),
		{accepted: 2, lost: 0},
	);
	// A store may leave out numbers that a transaction which failed would have given.
	t.true((await take(queue)).lease >= 2);
	t.true((await enqueue(queue, newJob({task: 'never seen'})))[0] >= 5);
});

const RERUN = {changed: true, failed: true};

law(
	'a changed job that may be rerun begins a new round with its new properties, from any status but running; its old result is deleted',
	async (t, queue, clock) => {
		const {running: _, ...ids} = ID_OF;
		await oneJobOfEachStatus(queue, clock, status => ({key: status}));
		const policy = {...POLICY, maxAttempts: 9};
		const changed = Object.keys(ids).map(key => newJob({key, payload: '"new"', priority: 3, policy, rerun: RERUN}));
		const before = await queue.jobs({}).page();
		t.deepEqual(
			await queue.enqueue(changed),
			Object.values(ids).map(id => reused(id)),
		);
		for (const id of Object.values(ids)) {
			const job = await jobOf(queue, id);
			const {executions, createdAt} = before.find(each => each.id === id) as Job;
			t.like(job, {status: 'pending', priority: 3, attempts: 0, maxAttempts: 9, executions, createdAt});
			t.deepEqual(
				['error', 'endedAt', 'runAt', 'startedAt', 'progress'].filter(name => name in job),
				[],
			);
			t.deepEqual(await queue.values(id), {payload: '"new"'});
		}
		t.deepEqual(await queue.counts(), {blocked: 0, pending: 5, running: 1, failed: 0, completed: 0, dead: 0, cancelled: 0});
		t.deepEqual(
			(await take(queue, 10)).jobs.map(({id, payload}) => [id, payload]),
			Object.values(ids).map(id => [id, '"new"']),
		);
	},
);

law('a changed job that may be rerun can be delayed, and may have been enqueued in the same transaction', async (t, queue) => {
	const {enqueued} = await commit(queue, {
		enqueue: [
			newJob({key: 'a', payload: '1'}),
			newJob(),
			newJob({key: 'a', payload: '2', rerun: RERUN}),
			newJob(),
			newJob({key: 'a', payload: '3', runAt: T0 + 5, rerun: RERUN}),
		],
	});
	t.deepEqual(enqueued, [fresh(1), fresh(2), reused(1), fresh(3), reused(1)]);
	t.like(await jobOf(queue, 1), {status: 'pending', runAt: T0 + 5});
	t.is((await queue.values(1))?.payload, '3');
	t.deepEqual(idsOf(await take(queue, 5)), [2, 3]);
});

law('a running job is not changed: that is a conflict with a message of its own, even if the job may be rerun', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({key: 'a', batch}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const changed = newJob({key: 'a', batch, payload: '2', rerun: RERUN});
	t.deepEqual((await commit(queue, {enqueue: [changed]})).enqueued, [conflict(1)]);
	await t.throwsAsync(queue.enqueue([changed]), {code: 'KeyConflict', message: /"a" of task hash belongs to job 1, which has .* it is running/});
	await queue.complete(claim, '"old"');
	t.is((await queue.values(1))?.result, '"old"');
	t.like(await queue.batch('nightly'), {counts: {completed: 1}});
	t.deepEqual(await queue.enqueue([changed]), [reused(1)]);
	t.like(await queue.batch('nightly'), {counts: {pending: 1, completed: 0}});
	t.deepEqual(await queue.values(1), {payload: '2'});
});

law('failed, dead and cancelled jobs that may be rerun get a new round when they are enqueued again; other jobs stay as they are', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock, status => ({key: status}));
	const again = Object.keys(ID_OF).map(key => newJob({key}));
	const before = await queue.jobs({}).page();
	await queue.enqueue(again.map(job => ({...job, rerun: {changed: true, failed: false}})));
	t.deepEqual(await queue.jobs({}).page(), before);
	const anew = again.map(job => ({...job, rerun: {changed: false, failed: true}, priority: 7, policy: {...job.policy, maxAttempts: 9, timeoutMs: 700}}));
	const enqueued = await queue.enqueue(anew);
	t.true(enqueued.every(({reused}) => reused));
	t.deepEqual(await statuses(queue), {
		pending: 'pending',
		running: 'running',
		failed: 'pending',
		completed: 'completed',
		dead: 'pending',
		cancelled: 'pending',
	});
	// By the policy that they are given now.
	for (const name of ['failed', 'dead', 'cancelled'] as const)
		t.like(await jobOf(queue, ID_OF[name]), {attempts: 0, priority: 7, maxAttempts: 9, timeoutMs: 700}, name);
	for (const name of ['pending', 'running', 'completed'] as const) t.like(await jobOf(queue, ID_OF[name]), {maxAttempts: 3, timeoutMs: 60_000}, name);
	t.like(await jobOf(queue, ID_OF.dead), {executions: 1});
});

law('a key is unique per task outside batches, and per batch inside', async (t, queue) => {
	const [one, two] = [await queue.openBatch('one', 'hash', OWNER), await queue.openBatch('two', 'hash', OWNER)];
	const places = [{}, {task: 'thumbnail'}, {batch: one}, {batch: two}];
	const jobs = places.map((place, index) => newJob({...place, key: 'a', payload: String(index)}));
	t.deepEqual(await queue.enqueue(jobs), [1, 2, 3, 4].map(fresh));
	t.deepEqual(
		(await queue.enqueue(jobs)).map(({id, reused}) => [id, reused]),
		[1, 2, 3, 4].map(id => [id, true]),
	);
});

law('a key stays in use when its job has ended, and is free once the job is cleaned up', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const jobs = [newJob({key: 'a'}), newJob({key: 'a', batch})];
	await enqueue(queue, ...jobs);
	await completeAll(queue);
	t.deepEqual(
		(await queue.enqueue(jobs)).map(({id, reused}) => [id, reused]),
		[
			[1, true],
			[2, true],
		],
	);
	await queue.closeBatch(batch, OWNER);
	await queue.store.delete({endedBefore: clock.now() + 1});
	const other = newJob({key: 'a', payload: '"other"'});
	t.deepEqual(await enqueue(queue, other), [3]);
	t.deepEqual(await queue.enqueue([other]), [reused(3)]);
});

law('the empty text is a key like any other', async (t, queue) => {
	await enqueue(queue, newJob({key: ''}));
	t.deepEqual(await queue.enqueue([newJob({key: ''})]), [reused(1)]);
	t.is((await jobOf(queue, 1)).key, '');
	t.is((await take(queue)).jobs[0]?.key, '');
});

const UNENDED = {key: 'a', unique: 'unended'} as const;

law('with unique: unended, a key is taken only until its job has ended; then a new job takes it, with any payload', async (t, queue) => {
	t.deepEqual(await queue.enqueue([newJob(UNENDED), newJob(UNENDED)]), [fresh(1), reused(1)]);
	t.deepEqual((await commit(queue, {enqueue: [newJob({...UNENDED, payload: '2'})]})).enqueued, [conflict(1)]);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.deepEqual(await queue.enqueue([newJob(UNENDED)]), [reused(1)]);
	await commit(queue, {settle: [{...claim, outcome: {type: 'threw', error: ERROR}}]});
	t.deepEqual(await queue.enqueue([newJob(UNENDED)]), [reused(1)]);
	await queue.cancel({ids: [1]});
	t.deepEqual(await queue.enqueue([newJob({...UNENDED, payload: '2'}), newJob({key: 'a', payload: '2'})]), [fresh(2), reused(2)]);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({key, status}) => [key, status]),
		[
			['a', 'cancelled'],
			['a', 'pending'],
		],
	);
	t.deepEqual(await queue.jobs({task: 'hash', key: 'a'}).page(), [await jobOf(queue, 2)]);
});

law('a key passes on in each way in which a job can end, also in the transaction that ends it', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock, status => ({key: status}));
	const again = Object.keys(ID_OF).map(key => newJob({key, unique: 'unended'}));
	t.deepEqual(await queue.enqueue(again), [reused(1), reused(2), reused(3), fresh(7), fresh(8), fresh(9)]);
	const {enqueued} = await commit(queue, {
		settle: [{id: 2, lease: 1, execution: 1, outcome: {type: 'returned', value: '1'}}],
		enqueue: [newJob({key: 'running', unique: 'unended', payload: '2'})],
	});
	t.deepEqual(enqueued, [fresh(10)]);
});

law('a job whose key another job has taken gets no new round, unless that one is deleted', async (t, queue, clock) => {
	await enqueue(queue, newJob(UNENDED));
	await queue.cancel({ids: [1]});
	await enqueue(queue, newJob(UNENDED));
	t.is(await queue.retry({ids: [1]}), 0);
	await queue.cancel({ids: [2]});
	t.is(await queue.retry({task: 'hash'}), 1);
	t.like(await queue.counts(), {pending: 1, cancelled: 1});
	t.like(await jobOf(queue, 2), {status: 'pending'});
	await queue.discard([2], {stop: false});
	t.deepEqual(await queue.jobs({task: 'hash', key: 'a'}).page(), []);
	t.is(await queue.retry({ids: [1]}), 1);
	t.deepEqual(await queue.enqueue([newJob({key: 'a'})]), [reused(1)]);
	await completeAll(queue);
	await queue.store.delete({endedBefore: clock.now() + 1});
	t.deepEqual(await queue.enqueue([newJob({key: 'a', payload: '3'})]), [fresh(3)]);
});

law('deleting a job whose key another job has taken leaves the key to that one', async (t, queue) => {
	await enqueue(queue, newJob(UNENDED));
	await completeAll(queue);
	await enqueue(queue, newJob({key: 'b'}), newJob(UNENDED));
	await queue.store.delete({ids: [1]});
	t.is(await queue.job(1), undefined);
	t.deepEqual(await queue.enqueue([newJob({key: 'a'})]), [reused(3)]);
});

law('a job may enqueue the next one of its own key', async (t, queue) => {
	await enqueue(queue, newJob(UNENDED));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {
		settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: [newJob({...UNENDED, payload: '2'}), newJob({...UNENDED, payload: '2'})]}}],
	});
	t.deepEqual(
		(await queue.jobs({}).page()).map(({key, status}) => [key, status]),
		[
			['a', 'completed'],
			['a', 'pending'],
		],
	);
	const [next] = claimsOf(await take(queue)) as [Claim];
	const children = [newJob({key: 'a', payload: '3'})];
	const {settled} = await commit(queue, {settle: [{...next, outcome: {type: 'returned', value: '1', enqueue: children}}]});
	t.deepEqual(settled, ['failed']);
});

law('consecutive numbers as keys: a batch knows which of them it has, whatever has happened to their jobs', async (t, queue) => {
	const batch = await queue.openBatch('numbered', 'hash', OWNER);
	const {payload: _, ...options} = newJob({batch});
	const numbers = (first: number, count: number) => ({
		...options,
		keys: first,
		values: {count, text: Array.from({length: count}, (_, index) => first + index).join('\n')},
	});
	const add = async (first: number, count: number) => (await queue.store.commit({enqueue: [numbers(first, count)]})).enqueued[0];
	t.deepEqual(await add(0, 6), {ids: 1});
	t.deepEqual(await add(3, 6), {ids: 4, reused: [0, 1, 2]});
	t.deepEqual(await add(20, 2), {ids: 10});
	const {lease, jobs} = await take(queue, 9);
	t.deepEqual(
		jobs.map(({id, key}) => [id, key]),
		Array.from({length: 9}, (_, index) => [index + 1, `${index}`]),
	);
	const failed = {type: 'threw', error: ERROR} as const;
	await queue.settle(
		lease,
		jobs.map(({id, execution}, index) => ({id, execution, outcome: index === 4 ? failed : {type: 'returned', value: '1'}})),
	);
	t.deepEqual(await add(0, 10), {ids: [1, 2, 3, 4, 5, 6, 7, 8, 9, 12], reused: [0, 1, 2, 3, 4, 5, 6, 7, 8]});
	for (const [key, id] of [
		['4', 5],
		['9', 12],
		['21', 11],
	] as const)
		t.deepEqual(
			(await queue.jobs({batch: 'numbered', key}).page()).map(each => each.id),
			[id],
		);
	t.deepEqual(
		(await queue.jobs({batch: 'numbered', key: '10'}).page()).map(each => each.id),
		[],
	);
	t.like(await jobOf(queue, 8), {key: '7', batch: 'numbered'});
	// A key given as a text is the same key.
	t.deepEqual(await queue.enqueue([newJob({batch, key: '2', payload: '2'}), newJob({batch, key: '02', payload: '2'})]), [reused(3), fresh(13)]);
	t.deepEqual(await add(20, 1), {ids: 10, reused: [0]});
	const other = {...numbers(21, 1), values: {count: 1, text: '0'}};
	t.deepEqual((await queue.store.commit({enqueue: [other]})).enqueued, [{ids: 11, conflicts: [0]}]);
	await queue.discard([5, 10], {stop: false});
	t.deepEqual(await add(4, 2), {ids: [14, 6], reused: [1]});
	t.deepEqual(await add(20, 2), {ids: [15, 11], reused: [1]});
	await queue.leave(OWNER);
	t.true((await queue.deleteBatch('numbered')).isGone);
	const again = await queue.openBatch('numbered', 'hash', OWNER);
	t.deepEqual((await queue.store.commit({enqueue: [{...numbers(0, 3), batch: again}]})).enqueued, [{ids: 16}]);
});

law('numbers as keys that are not consecutive, after some that were: each has one job', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const add = async (keys: number | readonly string[], count: number) => {
		const values = pack(Array.from({length: count}, () => '1'));
		return (await queue.store.commit({enqueue: [{task: 'hash', priority: 0, runAt: null, policy: POLICY, batch, values, keys}]})).enqueued[0];
	};
	t.deepEqual(await add(10, 3), {ids: 1});
	t.deepEqual(await add(['20', 'x', '22'], 3), {ids: 4});
	t.deepEqual(await add(['9', '21'], 2), {ids: 7});
	t.deepEqual(await add(['11', '21', '30'], 3), {ids: [2, 8, 9], reused: [0, 1]});
	t.deepEqual(await add(20, 3), {ids: [4, 8, 6], reused: [0, 1, 2]});
	t.deepEqual(await add(['12', '9', 'x', '30', '31'], 5), {ids: [3, 7, 5, 9, 10], reused: [0, 1, 2, 3]});
});
