import {rmSync} from 'node:fs';
import type {Claim} from '../../../lib/job/claim.ts';
import type {Released} from '../../../lib/store/store.ts';
import {claimOf, claimsOf, commit, enqueue, idsOf, jobOf, LEASE_MS, law, lawOfStores, newJob, OTHER, OWNER, outlast, take} from './laws.ts';

law('an owner that is silent for longer than the lease loses its jobs, uncharged', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	const [lost] = claimsOf(await take(queue, 2)) as [Claim];
	await queue.cancel({ids: [2]});
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.is(await outlast(queue, clock, 1), 2);
	t.is(await queue.reclaim(), 0);
	t.like(await jobOf(queue, 1), {status: 'pending', attempts: 0, executions: 1});
	t.like(await jobOf(queue, 2), {status: 'cancelled', attempts: 0, endedAt: clock.now()});
	t.false(await queue.complete(lost));
	t.deepEqual(
		(await take(queue, 5, OTHER)).jobs.map(({id, execution}) => [id, execution]),
		[[1, 2]],
	);
});

law('a heartbeat keeps an owner alive, and with it all its leases; a claim does not', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	await take(queue);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.true(await queue.heartbeat(OWNER));
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	await take(queue);
	t.is(await outlast(queue, clock, 1), 2);
});

law('only a silent owner loses jobs', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	await take(queue);
	await take(queue, 1, OTHER);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	await queue.heartbeat(OTHER);
	t.is(await outlast(queue, clock, 1), 1);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status}) => status),
		['pending', 'running'],
	);
});

law('a jump of the wall clock makes no owner silent, and hides no silent owner', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	for (const jump of [86_400_000, -86_400_000]) {
		await take(queue);
		await queue.reclaim();
		clock.jump(jump);
		t.is(await outlast(queue, clock, LEASE_MS), 0);
		t.is(await outlast(queue, clock, 1), 1);
		t.false(await queue.heartbeat(OWNER));
	}
});

law('an owner with the name and heartbeat of one that has left has a whole lease', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await queue.dequeue({owner: OWNER, tasks: []});
	await queue.reclaim();
	await queue.leave(OWNER);
	// The steady clock goes on, and the wall clock is set back.
	clock.pass(LEASE_MS / 2);
	clock.jump(-LEASE_MS / 2);
	await take(queue);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.is(await outlast(queue, clock, 1), 1);
});

law('after a long time without a reclaim, as after a sleep, an owner counts as silent only after another lease', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await take(queue);
	clock.pass(10 * LEASE_MS);
	t.is(await queue.reclaim(), 0);
	clock.pass(10 * LEASE_MS);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.is(await outlast(queue, clock, 1), 1);
});

law('a heartbeat of an unknown owner is fenced, and registers no owner; a claim or an opened batch registers its owner', async (t, queue, clock) => {
	for (let time = 0; time < 2; time++) t.is(await queue.store.heartbeat(OWNER), 'fenced');
	await commit(queue, {claim: claimOf()});
	t.is(await queue.store.heartbeat(OWNER), 'alive');
	t.is(await queue.store.heartbeat(OTHER), 'fenced');
	const batch = await queue.openBatch('nightly', 'hash', OTHER);
	t.is(await queue.store.heartbeat(OTHER), 'alive');
	await outlast(queue, clock);
	for (const owner of [OWNER, OTHER]) t.is(await queue.store.heartbeat(owner), 'fenced');
	t.true(await queue.endInput(batch, 0, OTHER));
	t.is(await queue.store.heartbeat(OTHER), 'alive');
});

law('an owner that was taken for dead hears it once, also if that was twice', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	for (let time = 0; time < 2; time++) {
		await take(queue);
		await outlast(queue, clock);
	}
	t.false(await queue.heartbeat(OWNER));
	await take(queue);
	t.true(await queue.heartbeat(OWNER));
});

law('an owner that was taken for dead is fenced until it claims again', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await take(queue);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.true(await queue.heartbeat(OWNER));
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.is(await outlast(queue, clock, 1), 1);
	for (let time = 0; time < 2; time++) t.false(await queue.heartbeat(OWNER));
	t.deepEqual(idsOf(await take(queue)), [1]);
	t.true(await queue.heartbeat(OWNER));
});

law('an owner that was taken for dead, and claims before its next heartbeat, learns it once', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await take(queue);
	await outlast(queue, clock);
	t.deepEqual(idsOf(await take(queue)), [1]);
	t.false(await queue.heartbeat(OWNER));
	t.true(await queue.heartbeat(OWNER));
	t.is((await queue.counts()).running, 1);
});

law('a page of a release or reclaim is bounded, and all pages together take all jobs of the owner', async (t, queue, clock) => {
	const count = 12_000;
	await commit(queue, {enqueue: Array.from({length: count}, () => newJob())});
	const pages = async (page: () => Promise<Released>) => {
		const jobs: number[] = [];
		for (let hasMore = true; hasMore; ) {
			const released = await page();
			jobs.push(released.jobs);
			hasMore = released.hasMore;
		}
		t.true(jobs.length > 1);
		t.is(
			jobs.reduce((sum, each) => sum + each, 0),
			count,
		);
		t.like(await queue.counts(), {pending: count, running: 0});
	};
	await take(queue, count);
	await pages(() => queue.store.release(OWNER));
	t.is(await queue.store.heartbeat(OWNER), 'alive');
	await take(queue, count);
	await pages(() => queue.store.release(OWNER, {leave: true}));
	t.is(await queue.store.heartbeat(OWNER), 'fenced');
	await take(queue, count);
	await queue.store.reclaim();
	for (let half = 0; half < 2; half++) {
		clock.pass(LEASE_MS / 2);
		await queue.store.reclaim();
	}
	clock.pass(1);
	await pages(() => queue.store.reclaim());
	t.is(await queue.store.heartbeat(OWNER), 'fenced');
});

law('an owner that leaves releases its jobs, uncharged', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	const [one] = claimsOf(await take(queue, 2)) as [Claim];
	await take(queue, 1, OTHER);
	await queue.cancel({ids: [2]});
	await queue.leave(OWNER);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status, attempts}) => [status, attempts]),
		[
			['pending', 0],
			['cancelled', 0],
			['running', 0],
		],
	);
	t.false(await queue.complete(one));
	await queue.leave('unknown');
});

law('an owner can release its jobs of leases after a given one, uncharged, and keeps its other jobs', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob(), newJob());
	const {lease} = await take(queue);
	const [unheard] = claimsOf(await take(queue, 2)) as [Claim];
	await take(queue, 1, OTHER);
	await queue.cancel({ids: [3]});
	t.is(await queue.release(OWNER, lease), 2);
	t.is(await queue.release(OWNER, lease), 0);
	t.is(await queue.release('unknown', 0), 0);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status, attempts}) => [status, attempts]),
		[
			['running', 0],
			['pending', 0],
			['cancelled', 0],
			['running', 0],
		],
	);
	t.false(await queue.complete(unheard));
	t.true(await queue.heartbeat(OWNER));
});

lawOfStores(
	"an owner's name belongs to one store; another one that claims by it is refused, until the first one's lock is free",
	async (t, queue, _, another) => {
		await enqueue(queue, newJob(), newJob());
		await take(queue);
		const other = await another();
		for (const call of [() => take(other), () => other.openBatch('nightly', 'hash', OWNER)])
			t.regex((await t.throwsAsync(call, {code: 'OwnerInUse'}))?.message ?? '', /"owner-1"|-owner-1 is locked/);
		t.like(await queue.counts(), {running: 1, pending: 1});
		t.true(await queue.heartbeat(OWNER));
		await queue.close();
		t.deepEqual(idsOf(await take(other)), [1]);
		t.true(await other.heartbeat(OWNER));
	},
);

lawOfStores(
	'the name of an owner whose lock is missing is free once it is silent for a lease: its claims are released, and it is fenced',
	async (t, queue, clock, another) => {
		await enqueue(queue, newJob(), newJob());
		const [claim] = claimsOf(await take(queue)) as [Claim];
		rmSync(queue.store.ownerFiles(OWNER).ownerLock as string);
		const other = await another();
		for (let half = 0; half <= 2; half++) {
			await t.throwsAsync(take(other), {code: 'OwnerInUse'});
			clock.pass(LEASE_MS / 2);
		}
		t.deepEqual(idsOf(await take(other)), [1]);
		t.false(await queue.heartbeat(OWNER));
		t.false(await queue.complete(claim));
		await t.throwsAsync(take(queue), {code: 'OwnerInUse'});
		await queue.close();
		t.true(await other.heartbeat(OWNER));
		t.like(await other.counts(), {running: 1, pending: 1});
	},
);

law('an owner that was taken for dead continues with new leases', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const old = await take(queue);
	await outlast(queue, clock);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.not(claim.lease, old.lease);
	t.deepEqual((await commit(queue, {settle: [...claimsOf(old), claim].map(each => ({...each, outcome: {type: 'returned', value: '1'}}))})).settled, [
		'lost',
		'completed',
	]);
});
