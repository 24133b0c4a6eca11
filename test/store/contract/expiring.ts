import type {Claim, Outcome} from '../../../lib/job/claim.ts';
import {expiry} from '../../../lib/job/failure.ts';
import {listIds, sizeOf} from '../../../lib/job/groups/group.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimOf, claimsOf, commit, ERROR, enqueue, idsOf, jobOf, law, newJob, OTHER, OWNER, outlast, POLICY, range, T0, take} from './laws.ts';

/** Claims nothing, and lets jobs expire. */
async function expire(queue: RawQueue): Promise<readonly number[]> {
	const {expired = []} = await commit(queue, {claim: {owner: OWNER, lanes: [], limit: 0, maxBytes: 0}});
	return expired;
}

law(
	'a job that was not claimed in time is cancelled by the next claim, which tells so; the reason is its error, also in its history',
	async (t, queue, clock) => {
		await enqueue(queue, newJob({expiresMs: 1000}), newJob(), newJob({expiresMs: 1001}));
		clock.pass(999);
		t.deepEqual(await expire(queue), []);
		clock.pass(1);
		const {expired, claimed} = await commit(queue, {claim: claimOf('hash')});
		t.deepEqual(expired, [1]);
		t.deepEqual(
			claimed.jobs.map(({id}) => id),
			[2, 3],
		);
		const error = expiry(1);
		t.is(error.reason, 'expired');
		t.like(await jobOf(queue, 1), {status: 'cancelled', endedAt: T0 + 1000, executions: 1, attempts: 0, error});
		t.deepEqual(await queue.outcomes([1]), [{id: 1, status: 'cancelled', result: null, error}]);
		t.deepEqual(await queue.history(1), [{execution: 1, status: 'cancelled', endedAt: T0 + 1000, error}]);
		clock.pass(10_000);
		t.deepEqual(await expire(queue), []);
		t.like(await queue.counts(), {running: 2, cancelled: 1});
	},
);

law('no claim starts a job that has expired, whatever its lane, its state and the number of such jobs', async (t, queue, clock) => {
	const jobs = range(1, 2500).map(id => newJob({expiresMs: 10, ...(id % 3 === 0 && {delayMs: 1}), ...(id % 5 === 0 && {key: `k${id}`}), priority: id % 2}));
	await enqueue(queue, ...jobs, newJob({task: 'thumbnail'}));
	clock.pass(11);
	const expired: number[] = [];
	for (let claims = 0; expired.length < 2500; claims++) {
		const {expired: page = [], claimed, expiresInMs} = await queue.store.commit({claim: claimOf('hash', 'thumbnail', {isQuarantined: true})});
		expired.push(...page);
		t.deepEqual(
			claimed.groups.map(({task}) => task),
			expired.length < 2500 || expiresInMs === 0 ? [] : ['thumbnail'],
		);
		t.true(claims < 10);
	}
	t.is(new Set(expired).size, 2500);
	t.like(await queue.counts({task: 'hash'}), {cancelled: 2500, pending: 0});
});

law('a claim says when its jobs expire, if they may', async (t, queue, clock) => {
	await enqueue(queue, newJob({expiresMs: 10}), newJob({expiresMs: 10}));
	await enqueue(queue, newJob(), newJob({expiresMs: 20, delayMs: 5}), newJob(), newJob({expiresMs: 30, key: 'a'}));
	clock.pass(6);
	const {claimed} = await queue.store.commit({claim: claimOf('hash')});
	const found = claimed.groups.flatMap(({ids, values, expiries}) => listIds(ids, sizeOf({values})).map((id, index) => [id, expiries?.get(index)]));
	t.deepEqual(
		found.sort(([a = 0], [b = 0]) => a - b),
		[
			[1, T0 + 10],
			[2, T0 + 10],
			[3, undefined],
			[4, T0 + 25],
			[5, undefined],
			[6, T0 + 30],
		],
	);
});

law('the time counts from when the job becomes due', async (t, queue, clock) => {
	await enqueue(queue, newJob({expiresMs: 10, delayMs: 100}), newJob({expiresMs: 10, runAt: T0 + 200}), newJob({expiresMs: 10, runAt: T0 - 5}));
	clock.pass(10);
	t.deepEqual(await expire(queue), [3]);
	clock.pass(99);
	t.deepEqual(await expire(queue), []);
	clock.pass(1);
	t.deepEqual(await expire(queue), [1]);
	clock.pass(99);
	t.deepEqual(idsOf(await take(queue, 5)), [2]);
});

law('a job that has started does not expire: not while it runs, nor when it fails or comes back', async (t, queue, clock) => {
	await enqueue(queue, ...range(1, 5).map(() => newJob({expiresMs: 10, policy: {...POLICY, retry: 'auto'}})));
	const [failed, interrupted, suspected, told, completed] = claimsOf(await take(queue, 5)) as [Claim, Claim, Claim, Claim, Claim];
	await commit(queue, {update: [{...told, startedAt: T0}]});
	clock.pass(20);
	t.deepEqual(await expire(queue), []);
	await commit(queue, {
		settle: [
			{...failed, outcome: {type: 'threw', error: ERROR}},
			{...interrupted, outcome: {type: 'released', startedAt: T0 + 5, durationMs: 15}},
			{...suspected, outcome: {type: 'released', suspicion: 1}},
			{...told, outcome: {type: 'released'}},
			{...completed, outcome: {type: 'returned', value: '1'}},
		],
	});
	clock.pass(100_000);
	t.deepEqual(await expire(queue), []);
	t.like(await queue.counts(), {pending: 4, completed: 1});
});

law('a job that has failed, and is ready again before its time is over, does not expire', async (t, queue, clock) => {
	await enqueue(queue, newJob({expiresMs: 5000}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {settle: [{...claim, outcome: {type: 'threw', error: ERROR}}]});
	clock.pass(1000);
	t.deepEqual(await expire(queue), []);
	t.like(await jobOf(queue, 1), {status: 'pending', attempts: 1});
	clock.pass(4000);
	t.deepEqual(await expire(queue), []);
	t.deepEqual(idsOf(await take(queue)), [1]);
});

law('a job that was claimed and comes back without having started still expires', async (t, queue, clock) => {
	await enqueue(queue, ...range(1, 4).map(() => newJob({expiresMs: 10})));
	const claims = claimsOf(await take(queue, 3));
	const [early, late] = claims as [Claim, Claim, Claim];
	await commit(queue, {settle: [{...early, outcome: {type: 'released'}}]});
	t.like(await jobOf(queue, 1), {status: 'pending', executions: 1});
	clock.pass(10);
	t.deepEqual(await expire(queue), [1, 4]);
	t.deepEqual(await queue.history(1), [{execution: 2, status: 'cancelled', endedAt: T0 + 10, error: expiry(0.01)}]);
	const {expired, claimed} = await commit(queue, {settle: [{...late, outcome: {type: 'released'}}], claim: claimOf('hash')});
	t.deepEqual([expired, claimed.jobs], [[2], []]);
	await queue.leave(OWNER);
	t.deepEqual(await expire(queue), [3]);
});

law('jobs that a dead owner had claimed may have started, and do not expire', async (t, queue, clock) => {
	await enqueue(queue, ...range(1, 4).map(() => newJob({expiresMs: 10})));
	await take(queue, 3, OTHER);
	await outlast(queue, clock);
	t.deepEqual(await expire(queue), [4]);
	t.like(await queue.counts(), {pending: 3, cancelled: 1});
});

law(
	'a new round does not expire, unless it is that of a job that is enqueued again, which brings its own time; what it expired of stays in the history',
	async (t, queue, clock) => {
		await enqueue(queue, newJob({expiresMs: 10}), newJob({expiresMs: 10}), newJob({key: 'a', expiresMs: 10}), newJob({key: 'b', expiresMs: 10}));
		await queue.cancel({ids: [1]});
		t.is(await queue.retry({ids: [1]}), 1);
		clock.pass(10);
		t.deepEqual(await expire(queue), [2, 3, 4]);
		t.is(await queue.retry({ids: [2]}), 1);
		const rerun = {changed: true, failed: true};
		await commit(queue, {enqueue: [newJob({key: 'a', payload: '2', expiresMs: 50, rerun}), newJob({key: 'b', expiresMs: 50, rerun})]});
		clock.pass(50);
		t.deepEqual(await expire(queue), [3, 4]);
		t.deepEqual(idsOf(await take(queue, 5)), [1, 2]);
		t.deepEqual(await queue.history(2), [{execution: 1, status: 'cancelled', endedAt: T0 + 10, error: expiry(0.01)}]);
	},
);

law('an edit of the time moves the time at which the job expires; other edits leave it', async (t, queue, clock) => {
	await enqueue(queue, newJob({expiresMs: 10}), newJob({expiresMs: 10}), newJob({expiresMs: 10}));
	clock.pass(9);
	await commit(queue, {
		edit: [
			{id: 1, delayMs: 100},
			{id: 2, runAt: null},
			{id: 3, priority: 1, payload: '2'},
		],
	});
	clock.pass(1);
	t.deepEqual(await expire(queue), [3]);
	clock.pass(9);
	t.deepEqual(await expire(queue), [2]);
	clock.pass(99);
	t.deepEqual(await expire(queue), []);
	clock.pass(1);
	t.deepEqual(await expire(queue), [1]);
});

law('a commit says for how long no job expires', async (t, queue, clock) => {
	t.is((await queue.store.commit({})).expiresInMs, undefined);
	await enqueue(queue, newJob({expiresMs: 500}), newJob({expiresMs: 50, delayMs: 5}));
	t.is((await queue.store.commit({})).expiresInMs, 55);
	clock.pass(60);
	t.is((await queue.store.commit({})).expiresInMs, 0);
	t.deepEqual(await expire(queue), [2]);
	t.is((await queue.store.commit({})).expiresInMs, 440);
	await queue.complete(claimsOf(await take(queue))[0] as Claim);
	t.is((await queue.store.commit({})).expiresInMs, undefined);
});

const SETTLE = (outcome: Outcome) => async (queue: RawQueue, ids: readonly number[], before?: () => Promise<unknown>) => {
	const taken = await take(queue, ids.length);
	await before?.();
	await commit(queue, {settle: claimsOf(taken).map(claim => ({...claim, outcome}))});
};

const ENDS: Readonly<Record<string, (queue: RawQueue, ids: readonly number[]) => Promise<unknown>>> = {
	'was discarded': (queue, ids) => queue.discard(ids, {stop: false}),
	'was cancelled': (queue, ids) => queue.cancel({ids}),
	'has completed': SETTLE({type: 'returned', value: '1'}),
	'was discarded while it ran': (queue, ids) => SETTLE({type: 'released'})(queue, ids, () => queue.discard(ids, {stop: true})),
	'was cancelled while it ran': (queue, ids) => SETTLE({type: 'cancelled'})(queue, ids, () => queue.cancel({ids})),
};

for (const [what, end] of Object.entries(ENDS)) {
	law(`a job that ${what} expires no more, whether it lay in a run or had a row`, async (t, queue) => {
		for (const keys of [
			[undefined, undefined, undefined],
			['a', 'b', 'c'],
		]) {
			const ids = await enqueue(queue, ...keys.map(key => newJob({expiresMs: 50, key})));
			t.is((await queue.store.commit({})).expiresInMs, 50);
			await end(queue, ids);
			t.is((await queue.store.commit({})).expiresInMs, undefined);
		}
	});
}

law('a batch completes when its last job expires', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch, expiresMs: 10}), newJob({batch, expiresMs: 10, key: 'a'}));
	await queue.endInput(batch, 2, OWNER);
	clock.pass(10);
	t.deepEqual(await expire(queue), [1, 2]);
	t.like(await queue.batch('nightly'), {completedAt: T0 + 10, counts: {cancelled: 2, pending: 0}});
});

law('a job that a task enqueues expires, too; and a key of an expired job can be taken', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: [newJob({expiresMs: 10, key: 'a'}), newJob({expiresMs: 10})]}}]});
	clock.pass(10);
	t.deepEqual(await expire(queue), [2, 3]);
	t.deepEqual(await queue.enqueue([newJob({key: 'a', unique: 'unended'})]), [{id: 4, reused: false}]);
});
