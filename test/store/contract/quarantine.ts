import type {Claim, Outcome} from '../../../lib/job/claim.ts';
import {type JobId, MAX_SUSPICION, mostTogether} from '../../../lib/job/job.ts';
import type {OpenedJobs} from '../../fixtures/open-jobs.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {
	claimOf,
	claimsOf,
	commit,
	ERROR,
	enqueue,
	idsOf,
	jobOf,
	law,
	lawOfOpenJobs,
	listed,
	newJob,
	OTHER,
	OWNER,
	outlast,
	POLICY,
	type SuiteClock,
	settleOne,
	T0,
	take,
} from './laws.ts';

/** Lets an owner die while a worker has the first jobs open, quarantined or not; this many times. */
async function killOwner(queue: RawQueue, clock: SuiteClock, opened: OpenedJobs, jobs: number, times = 1): Promise<void> {
	for (let time = 0; time < times; time++) {
		const {lease, jobs: taken} = await take(queue, jobs);
		opened.show(
			queue,
			OWNER,
			lease,
			taken.map(({id}) => id),
		);
		await outlast(queue, clock);
	}
}

lawOfOpenJobs('jobs of a dead owner are suspects if a worker had them open and their outcomes were not final', async (t, queue, clock, opened) => {
	await enqueue(queue, ...Array.from({length: 5}, () => newJob()));
	const {lease} = await take(queue, 4);
	opened.show(queue, OWNER, lease, [1, 2, 3], 1);
	t.is(await outlast(queue, clock), 4);
	t.deepEqual(idsOf((await commit(queue, {claim: claimOf({isQuarantined: true})})).claimed), [2, 3]);
	t.deepEqual(idsOf((await commit(queue, {claim: claimOf('hash')})).claimed), [1, 4, 5]);
	for (const id of [1, 2, 3, 4]) t.like(await jobOf(queue, id), {attempts: 0, executions: 2});
});

lawOfOpenJobs('an owner that dies without open jobs, or that leaves, leaves no suspects', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob(), newJob());
	await take(queue, 2);
	await outlast(queue, clock);
	const {lease} = await take(queue, 2);
	opened.show(queue, OWNER, lease, [1, 2], 2);
	await outlast(queue, clock);
	const again = await take(queue, 2);
	opened.show(queue, OWNER, again.lease, [1, 2]);
	await queue.leave(OWNER);
	t.deepEqual(idsOf((await commit(queue, {claim: claimOf('hash')})).claimed), [1, 2]);
});

lawOfOpenJobs('a job is no suspect because a worker had jobs of another lease or of another owner open', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob(), newJob());
	const {lease} = await take(queue);
	const other = await take(queue, 1, OTHER);
	opened.show(queue, OWNER, lease + 1, [1]);
	opened.show(queue, OTHER, lease, [1, 2]);
	t.is(await outlast(queue, clock), 2);
	t.not(other.lease, lease);
	t.deepEqual(idsOf((await commit(queue, {claim: claimOf('hash')})).claimed), [1, 2]);
});

lawOfOpenJobs('only a claim that requests quarantined jobs gets suspects, marked as quarantined', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob(), newJob(), newJob({task: 'thumbnail'}));
	await killOwner(queue, clock, opened, 2);
	await enqueue(queue, newJob());
	const {claimed, backlog} = await commit(queue, {claim: claimOf('hash')});
	t.deepEqual([idsOf(claimed), backlog], [[4], 0]);
	t.false('quarantine' in (claimed.jobs[0] as object));
	t.deepEqual([(await commit(queue, {claim: claimOf({limit: 0, isQuarantined: true})})).backlog], [2]);
	const suspects = await commit(queue, {claim: claimOf({limit: 1, isQuarantined: true})});
	t.deepEqual([idsOf(suspects.claimed), suspects.backlog], [[1], 1]);
	t.is(suspects.claimed.jobs[0]?.quarantine, 'together');
	t.like(await jobOf(queue, 1), {status: 'running', attempts: 0, executions: 2});
});

lawOfOpenJobs('each death of their owner halves the number of suspects that run together, until each runs alone', async (t, queue, clock, opened) => {
	const most = mostTogether(1);
	await enqueue(queue, ...Array.from({length: most + 1}, () => newJob()));
	const suspects = async () => {
		const lane = {limit: 2 * most, isQuarantined: true};
		return idsOf((await commit(queue, {claim: {...claimOf(lane), limit: 2 * most}})).claimed).length;
	};
	const {lease, jobs} = await take(queue, most + 1);
	opened.show(
		queue,
		OWNER,
		lease,
		jobs.map(({id}) => id),
	);
	await outlast(queue, clock);
	for (let together = most; together > 1; together /= 2) {
		t.is(await suspects(), together);
		await queue.leave(OWNER);
		await killOwner(queue, clock, opened, together);
	}
	t.is(await suspects(), 1);
	t.like(await queue.counts(), {pending: most, running: 1, dead: 0, failed: 0});
});

law('the highest suspicion of the jobs that are claimed together limits their number', async (t, queue) => {
	await enqueue(queue, ...[9, 1, 9, 9, 10, 1].map(() => newJob()));
	const claims = claimsOf(await take(queue, 6));
	const levels = [1, 1, 9, 9, 10, 1];
	await commit(queue, {settle: claims.map((claim, index) => ({...claim, outcome: {type: 'released', suspicion: levels[index] ?? 0}}))});
	const groups: (readonly JobId[])[] = [];
	for (let group = 0; group < 4; group++) groups.push(idsOf((await commit(queue, {claim: claimOf({isQuarantined: true})})).claimed));
	t.deepEqual(groups, [[1, 2], [3, 4], [5], [6]]);
});

law('a job keeps the cost of its last execution that failed or ended', async (t, queue, clock) => {
	await enqueue(queue, newJob({payload: '"in"'}));
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0 + 40, durationMs: 9, cpuMs: 8.5, memoryBytes: 700});
	t.like(await jobOf(queue, 1), {waitMs: 40, durationMs: 9, cpuMs: 8.5, memoryBytes: 700, payloadBytes: 4});
	t.false('resultBytes' in (await jobOf(queue, 1)));
	clock.pass(1000);
	await settleOne(queue, {type: 'returned', value: '"out"', startedAt: T0 + 1010, durationMs: 2, cpuMs: 1});
	const job = await jobOf(queue, 1);
	t.like(job, {durationMs: 2, cpuMs: 1, payloadBytes: 4, resultBytes: 5});
	t.false('waitMs' in job || 'memoryBytes' in job);
});

law('a running job shows its start, once that was stored, and no figures of the execution before', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0 + 1, durationMs: 9, cpuMs: 8});
	clock.pass(1000);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.like(await jobOf(queue, 1), {startedAt: T0 + 1, durationMs: 9});
	await commit(queue, {update: [{...claim, startedAt: T0 + 1005}]});
	const job = await jobOf(queue, 1);
	t.like(job, {status: 'running', startedAt: T0 + 1005});
	t.false('durationMs' in job || 'cpuMs' in job);
	await commit(queue, {update: [{...claim, lease: claim.lease + 1, startedAt: 7}]});
	t.is((await jobOf(queue, 1)).startedAt, T0 + 1005);
});

law('a timeout in percent of the median is stored with the job', async (t, queue) => {
	await enqueue(queue, newJob({policy: {...POLICY, timeoutMs: null, timeoutPercent: 250}}), newJob());
	t.like(await jobOf(queue, 1), {timeoutMs: null, timeoutPercent: 250});
	t.false('timeoutPercent' in (await jobOf(queue, 2)));
	t.is((await take(queue)).jobs[0]?.policy.timeoutPercent, 250);
});

lawOfOpenJobs('a suspect that is released, or that killed its worker, stays a suspect until it is retried', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob());
	await killOwner(queue, clock, opened, 1);
	const lost: Outcome = {type: 'lostWorker', error: {reason: 'lostWorker', name: 'LostWorker', message: 'It crashed.'}};
	for (const outcome of [{type: 'released'}, lost, lost] satisfies Outcome[]) {
		clock.pass(3_600_000);
		t.deepEqual(idsOf((await commit(queue, {claim: claimOf('hash')})).claimed), []);
		const {claimed} = await commit(queue, {claim: claimOf({limit: 1, isQuarantined: true})});
		await commit(queue, {settle: claimsOf(claimed).map(claim => ({...claim, outcome}))});
	}
	t.is(await queue.retry({ids: [1]}), 1);
	t.deepEqual(idsOf((await commit(queue, {claim: claimOf('hash')})).claimed), [1]);
});

for (const [end, outcome] of [
	['throws', {type: 'threw', error: ERROR}],
	['times out', {type: 'timedOut', error: ERROR}],
	['completes', {type: 'returned', value: '1'}],
] as const) {
	lawOfOpenJobs(`a suspect that ${end} is no longer one`, async (t, queue, clock, opened) => {
		await enqueue(queue, newJob());
		await killOwner(queue, clock, opened, 1);
		await settleOne(queue, outcome);
		if (outcome.type === 'returned') await queue.retry({ids: [1]});
		clock.pass(3_600_000);
		t.deepEqual(idsOf((await commit(queue, {claim: claimOf('hash')})).claimed), [1]);
	});
}

law('a job that is released with a suspicion has it at once, and never a lower one than before', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	for (const suspicion of [MAX_SUSPICION, 1, 0]) {
		for (const claim of claimsOf(await take(queue, 2))) await commit(queue, {settle: [{...claim, outcome: {type: 'released', suspicion}}]});
		t.deepEqual(idsOf((await commit(queue, {claim: claimOf('hash')})).claimed), []);
	}
	const {claimed} = await commit(queue, {claim: claimOf({isQuarantined: true})});
	t.deepEqual(idsOf(claimed), [1]);
	t.is(claimed.jobs[0]?.quarantine, 'alone');
});

lawOfOpenJobs('suspects are pending, and can be paused and cancelled like other jobs', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob(), newJob({priority: 3}));
	await killOwner(queue, clock, opened, 2);
	t.is((await queue.counts()).pending, 2);
	t.like((await queue.store.counts())[0], {task: 'hash', ready: 0, quarantined: 2});
	t.deepEqual(await listed(queue, {status: 'pending'}), [1, 2]);
	await queue.pause(['hash']);
	t.deepEqual(idsOf((await commit(queue, {claim: claimOf({isQuarantined: true})})).claimed), []);
	await queue.resume(['hash']);
	t.deepEqual(await queue.cancel({ids: [1]}), {cancelled: [1], asked: []});
	t.deepEqual(idsOf((await commit(queue, {claim: claimOf({isQuarantined: true})})).claimed), [2]);
	t.deepEqual(await queue.counts(), {blocked: 0, pending: 0, running: 1, failed: 0, completed: 0, dead: 0, cancelled: 1});
});

law('a job that killed its worker three times is dead, however many attempts it has left', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 10}}));
	const lost: Outcome = {type: 'lostWorker', error: {reason: 'lostWorker', name: 'LostWorker', message: 'It crashed.'}};
	const outcomes: Outcome[] = [lost, {type: 'threw', error: ERROR}, lost, lost];
	for (const [index, outcome] of outcomes.entries()) {
		t.is(await settleOne(queue, outcome), index < 3 ? 'failed' : 'dead');
		clock.pass(3_600_000);
	}
	t.like(await jobOf(queue, 1), {attempts: 4, error: {reason: 'poison', name: 'Poison', message: 'It killed its worker 3 times. The last time: It crashed.'}});
	await queue.retry({ids: [1]});
	t.is(await settleOne(queue, lost), 'failed');
});
