import type {JobId} from '../../../lib/job/job.ts';
import {forPolicyNumbers} from '../../../lib/job/policy.ts';
import type {Schedule, ScheduleChange, ScheduleResult, ScheduleSpec} from '../../../lib/job/schedule.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimOf, claimsOf, commit, jobOf, law, newJob, POLICY, T0, take} from './laws.ts';

const HOUR = 3_600_000;

/** Its properties in another order than any store may keep them. */
const OTHER_POLICY: ScheduleSpec['policy'] = {
	retry: POLICY.retry,
	timeoutMs: POLICY.timeoutMs,
	backoff: POLICY.backoff,
	...forPolicyNumbers((_, {usual}) => usual),
};

function specOf(parts: Partial<ScheduleSpec> = {}): ScheduleSpec {
	const plain = {catchUp: 'one', overlap: 'skip', jitterMs: 0, until: null, expiresMs: null} as const;
	return {timing: {everyMs: HOUR, from: 'clock'}, ...plain, task: 'hash', payload: '"x"', priority: 0, policy: POLICY, ...parts};
}

async function change(queue: RawQueue, ...changes: ScheduleChange[]): Promise<readonly ScheduleResult[]> {
	return (await queue.store.commit({schedule: changes})).scheduled ?? [];
}

async function set(queue: RawQueue, parts: Partial<ScheduleSpec> = {}, nextAt: number | null = T0 + HOUR): Promise<void> {
	const lastAt = (await queue.store.schedules()).find(({name}) => name === 'hourly')?.lastAt ?? null;
	await change(queue, {type: 'set', name: 'hourly', spec: specOf(parts), nextAt, lastAt});
}

/** Advances the schedule from one moment over these to the next one. */
async function advance(queue: RawQueue, at: number, moments: readonly number[], nextAt: number | null, missed = 0): Promise<readonly JobId[] | undefined> {
	const [result] = await change(queue, {type: 'advance', name: 'hourly', at, moments, nextAt, missed});
	return result?.isDone ? result.jobIds : undefined;
}

async function theSchedule(queue: RawQueue): Promise<Schedule> {
	return (await queue.store.schedules())[0] as Schedule;
}

async function endAll(queue: RawQueue): Promise<void> {
	const claims = claimsOf(await take(queue, 9));
	await commit(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'returned', value: '1'}}))});
}

law('a schedule is kept as it was set; the same again changes nothing, another one replaces it', async (t, queue) => {
	await set(queue);
	const first = await theSchedule(queue);
	t.deepEqual(first, {
		...{name: 'hourly', spec: specOf(), createdAt: T0, nextAt: T0 + HOUR, isPaused: false},
		...{lastJobId: null, lastAt: null, runs: 0, skipped: 0, missed: 0},
	});
	t.deepEqual(await change(queue, {type: 'set', name: 'hourly', spec: specOf({policy: OTHER_POLICY}), nextAt: T0 + 5, lastAt: null}), [
		{isDone: false, jobIds: []},
	]);
	t.deepEqual(await theSchedule(queue), first);
	await set(queue, {payload: '"y"'}, T0 + 5);
	t.like(await theSchedule(queue), {nextAt: T0 + 5, spec: {payload: '"y"'}});
	t.is((await queue.store.commit({})).momentInMs, 5);
	await change(queue, {type: 'set', name: 'also', spec: specOf({payload: new Uint8Array([1, 7])}), nextAt: null, lastAt: null});
	t.deepEqual(
		(await queue.store.schedules()).map(({name, spec: {payload}}) => [name, payload === null || typeof payload === 'string' ? payload : [...payload]]),
		[
			['also', [1, 7]],
			['hourly', '"y"'],
		],
	);
	t.deepEqual(await change(queue, {type: 'delete', name: 'hourly'}, {type: 'delete', name: 'hourly'}, {type: 'pause', name: 'hourly'}), [
		{isDone: true, jobIds: []},
		{isDone: false, jobIds: []},
		{isDone: false, jobIds: []},
	]);
	t.is((await queue.store.commit({})).momentInMs, undefined);
});

law('a schedule is advanced from one moment once: whoever comes second changes nothing', async (t, queue) => {
	await set(queue, {priority: 4});
	const ids = await advance(queue, T0 + HOUR, [T0 + HOUR], T0 + 2 * HOUR);
	t.is(ids?.length, 1);
	t.is(await advance(queue, T0 + HOUR, [T0 + HOUR], T0 + 2 * HOUR), undefined);
	t.like(await jobOf(queue, ids?.[0] ?? 0), {task: 'hash', status: 'pending', priority: 4, scheduledAt: T0 + HOUR});
	t.like(await theSchedule(queue), {nextAt: T0 + 2 * HOUR, lastJobId: ids?.[0], lastAt: T0 + HOUR, runs: 1, skipped: 0, missed: 0});
	t.like(await queue.counts(), {pending: 1});
	const {claimed} = await queue.store.commit({claim: claimOf('hash')});
	t.deepEqual([...(claimed.groups[0]?.scheduledAt ?? [])], [[0, T0 + HOUR]]);
});

law('several moments have a job each, which run one after the other', async (t, queue) => {
	await set(queue);
	const ids = (await advance(queue, T0 + HOUR, [T0 + HOUR, T0 + 2 * HOUR, T0 + 3 * HOUR], T0 + 4 * HOUR, 5)) as JobId[];
	t.like(await queue.counts(), {pending: 1, blocked: 2});
	t.like(await theSchedule(queue), {runs: 3, missed: 5, lastAt: T0 + 3 * HOUR, lastJobId: ids[2]});
	for (const id of ids) {
		t.is((await jobOf(queue, id)).status, 'pending');
		await endAll(queue);
	}
	t.like(await queue.counts(), {completed: 3});
});

law('while the job before has not ended, overlap says what a moment does: nothing, or a job that waits for it', async (t, queue) => {
	await set(queue);
	const [first] = (await advance(queue, T0 + HOUR, [T0 + HOUR], T0 + 2 * HOUR)) as [JobId];
	t.deepEqual(await advance(queue, T0 + 2 * HOUR, [T0 + 2 * HOUR], T0 + 3 * HOUR), []);
	t.like(await theSchedule(queue), {runs: 1, skipped: 1, nextAt: T0 + 3 * HOUR, lastJobId: first});
	await set(queue, {overlap: 'queue'}, T0 + 3 * HOUR);
	const [second] = (await advance(queue, T0 + 3 * HOUR, [T0 + 3 * HOUR], T0 + 4 * HOUR)) as [JobId];
	t.is((await jobOf(queue, second)).status, 'blocked');
	// A dead run does not end the schedule, nor the job that waits for it.
	const [claim] = claimsOf(await take(queue, 9));
	const failure = {reason: 'threw', name: 'Error', message: 'no', retry: 'never'} as const;
	await commit(queue, {settle: claim ? [{...claim, outcome: {type: 'threw', error: failure}}] : []});
	t.is((await jobOf(queue, first)).status, 'dead');
	t.is((await jobOf(queue, second)).status, 'pending');
	await endAll(queue);
	t.is((await advance(queue, T0 + 4 * HOUR, [T0 + 4 * HOUR], T0 + 5 * HOUR))?.length, 1);
});

law('a paused schedule enqueues nothing, and goes on where it is told', async (t, queue) => {
	await set(queue);
	await change(queue, {type: 'pause', name: 'hourly'});
	t.is((await queue.store.commit({})).momentInMs, undefined);
	t.is(await advance(queue, T0 + HOUR, [T0 + HOUR], T0 + 2 * HOUR), undefined);
	t.like(await theSchedule(queue), {isPaused: true, nextAt: T0 + HOUR});
	const resumed = {type: 'resume', name: 'hourly', at: T0 + HOUR, nextAt: T0 + 9 * HOUR} as const;
	t.deepEqual(await change(queue, {...resumed, at: T0}), [{isDone: false, jobIds: []}]);
	t.deepEqual(await change(queue, resumed, {...resumed, nextAt: T0 + HOUR}), [
		{isDone: true, jobIds: []},
		// Of two that end the same pause, the second changes nothing: no moment comes twice.
		{isDone: false, jobIds: []},
	]);
	t.deepEqual(await change(queue, {...resumed, at: T0 + 9 * HOUR, nextAt: T0 + HOUR}), [{isDone: false, jobIds: []}]);
	t.like(await theSchedule(queue), {isPaused: false, nextAt: T0 + 9 * HOUR});
	t.is((await queue.store.commit({})).momentInMs, 9 * HOUR);
});

law('run enqueues a job at once, and leaves the next moment as it is, and what is known of earlier ones', async (t, queue) => {
	await set(queue, {jitterMs: HOUR});
	const [one, two] = await change(queue, {type: 'run', name: 'hourly'}, {type: 'run', name: 'hourly'});
	t.is(one?.jobIds.length, 1);
	t.deepEqual(two, {isDone: true, jobIds: []});
	t.like(await jobOf(queue, one?.jobIds[0] ?? 0), {scheduledAt: T0, status: 'pending'});
	t.like(await theSchedule(queue), {nextAt: T0 + HOUR, runs: 1, skipped: 0, lastAt: null});
});

law('an interval from the end of the job: the next moment is known in the transaction that ends it, in whatever way', async (t, queue, clock) => {
	const timing = {everyMs: HOUR, from: 'end'} as const;
	await set(queue, {timing}, T0);
	for (const how of ['complete', 'cancel', 'delete'] as const) {
		const {nextAt} = await theSchedule(queue);
		clock.advance((nextAt as number) - clock.now());
		const [id] = (await advance(queue, nextAt as number, [nextAt as number], null)) as [JobId];
		t.is((await theSchedule(queue)).nextAt, null);
		clock.advance(10);
		if (how === 'complete') await endAll(queue);
		else if (how === 'cancel') await queue.cancel({ids: [id]});
		else await queue.discard([id], {stop: true});
		t.is((await theSchedule(queue)).nextAt, clock.now() + HOUR, how);
	}
	await set(queue, {timing, until: clock.now() + HOUR}, clock.now());
	await advance(queue, clock.now(), [clock.now()], null);
	clock.advance(1);
	await endAll(queue);
	t.is((await theSchedule(queue)).nextAt, null);
	t.is((await queue.store.commit({})).momentInMs, undefined);
});

law('a moment with jitter has a job that starts somewhat later, and knows its moment', async (t, queue, clock) => {
	await set(queue, {jitterMs: 60_000});
	clock.advance(HOUR);
	const [id] = (await advance(queue, T0 + HOUR, [T0 + HOUR], T0 + 2 * HOUR)) as [JobId];
	const {runAt = T0 + HOUR, scheduledAt} = await jobOf(queue, id);
	t.is(scheduledAt, T0 + HOUR);
	t.true(runAt >= T0 + HOUR && runAt < T0 + HOUR + 60_000, `${runAt}`);
});

law('the moment of a job is deleted with it', async (t, queue) => {
	await set(queue);
	const [id] = (await advance(queue, T0 + HOUR, [T0 + HOUR], T0 + 2 * HOUR)) as [JobId];
	await queue.discard([id], {stop: true});
	await commit(queue, {enqueue: [newJob()]});
	const {jobs} = await queue.store.jobs({});
	t.is(jobs[0]?.scheduledAt, undefined);
});

law('a schedule is not changed by one who does not know its last moment: the next one could come twice', async (t, queue) => {
	await set(queue);
	await advance(queue, T0 + HOUR, [T0 + HOUR], T0 + 2 * HOUR);
	const stale = {type: 'set', name: 'hourly', spec: specOf({payload: '"y"'}), nextAt: T0 + HOUR, lastAt: null} as const;
	t.deepEqual(await change(queue, stale), [{isDone: false, jobIds: []}]);
	t.like(await theSchedule(queue), {nextAt: T0 + 2 * HOUR, spec: {payload: '"x"'}});
	t.like(await change(queue, {...stale, nextAt: T0 + 3 * HOUR, lastAt: T0 + HOUR}), {0: {isDone: true}});
	t.like(await theSchedule(queue), {nextAt: T0 + 3 * HOUR, spec: {payload: '"y"'}});
});
