import type {Claim, Outcome} from '../../../lib/job/claim.ts';
import type {JobId} from '../../../lib/job/job.ts';
import {movableStatuses} from '../../../lib/job/search.ts';
import type {Moved, MovePage} from '../../../lib/store/store.ts';
import {
	claimsOf,
	commit,
	completeAll,
	ERROR,
	enqueue,
	fresh,
	ID_OF,
	idsOf,
	jobOf,
	law,
	listed,
	listenTo,
	newJob,
	OTHER,
	OWNER,
	oneJobOfEachStatus,
	POLICY,
	range,
	settleAsked,
	settleOne,
	statuses,
	stopsIn,
	T0,
	take,
} from './laws.ts';

law('a cancel ends pending and failed jobs at once, and leaves ended jobs as they are', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const dead = await jobOf(queue, ID_OF.dead);
	const completed = await jobOf(queue, ID_OF.completed);
	clock.pass(5);
	t.deepEqual(await queue.cancel({}), {cancelled: [ID_OF.pending, ID_OF.failed], asked: [ID_OF.running]});
	t.deepEqual([await jobOf(queue, ID_OF.dead), await jobOf(queue, ID_OF.completed)], [dead, completed]);
	for (const id of [ID_OF.pending, ID_OF.failed]) {
		const job = await jobOf(queue, id);
		t.like(job, {status: 'cancelled', endedAt: clock.now()});
		t.false('runAt' in job);
	}
	t.like(await jobOf(queue, ID_OF.failed), {attempts: 1, error: ERROR});
	t.deepEqual(idsOf(await take(queue, 10)), []);
});

law('a delayed job that was cancelled never runs', async (t, queue, clock) => {
	await enqueue(queue, newJob({runAt: T0 + 10}));
	await queue.cancel({ids: [1]});
	clock.pass(10);
	t.deepEqual(idsOf(await take(queue)), []);
	t.is((await commit(queue, {})).dueInMs, null);
});

law('a cancel of a running job asks its owner, with each heartbeat until the job is settled', async (t, queue, clock) => {
	const [heard, heardByOther, heardByThird] = [listenTo(queue, clock, OWNER), listenTo(queue, clock, OTHER), listenTo(queue, clock, 'unknown')];
	await enqueue(queue, newJob(), newJob(), newJob());
	const [one, two] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	const [three] = claimsOf(await take(queue, 1, OTHER)) as [Claim];
	t.deepEqual(stopsIn(await heard()), []);
	t.deepEqual(await queue.cancel({ids: [1, 3]}), {cancelled: [], asked: [1, 3]});
	t.deepEqual(await queue.cancel({ids: [1]}), {cancelled: [], asked: [1]});
	t.deepEqual(stopsIn(await heard()), [one]);
	t.deepEqual(stopsIn(await heardByOther()), [three]);
	t.is((await jobOf(queue, 1)).status, 'running');
	await queue.cancel({ids: [2]});
	t.deepEqual(stopsIn(await heard()), [one, two]);
	await commit(queue, {settle: [one, two].map(claim => ({...claim, outcome: {type: 'cancelled'}}))});
	await queue.cancel({ids: [3]});
	t.deepEqual(stopsIn(await heardByOther()), [three]);
	t.deepEqual(stopsIn(await heard()), []);
	t.deepEqual(stopsIn(await heardByThird()), []);
});

law('a job that returns in spite of a cancel is completed', async (t, queue) => {
	t.is(await settleAsked(queue, {type: 'returned', value: '1'}), 'completed');
	t.is((await queue.values(1))?.result, '1');
});

law('a released job is cancelled if a cancel was asked', async (t, queue) => {
	t.is(await settleAsked(queue, {type: 'released'}), 'cancelled');
	t.like(await jobOf(queue, 1), {status: 'cancelled', attempts: 0, endedAt: T0});
});

law('an execution that fails after a cancel was asked is charged, and its job cancelled with that error', async (t, queue) => {
	t.is(await settleAsked(queue, {type: 'timedOut', error: {...ERROR, reason: 'timedOut'}}), 'cancelled');
	t.like(await jobOf(queue, 1), {status: 'cancelled', attempts: 1, endedAt: T0, error: {...ERROR, reason: 'timedOut'}});
});

law('a cancel asks one execution to stop: the next execution, after a retry, is not asked', async (t, queue, clock) => {
	await settleAsked(queue, {type: 'cancelled'});
	const heard = listenTo(queue, clock, OWNER);
	await queue.retry({});
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.deepEqual(stopsIn(await heard()), []);
	t.deepEqual((await commit(queue, {settle: [{...claim, outcome: {type: 'released'}}]})).settled, ['pending']);
});

law('a discard deletes pending and failed jobs, leaves ended jobs, and marks running ones', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock, key => ({key}));
	const ended = [await jobOf(queue, ID_OF.completed), await jobOf(queue, ID_OF.dead), await jobOf(queue, ID_OF.cancelled)];
	t.deepEqual(await queue.discard([...Object.values(ID_OF), 99], {stop: false}), {discarded: [ID_OF.pending, ID_OF.failed], asked: [ID_OF.running]});
	t.deepEqual(await listed(queue, {}), [ID_OF.running, ID_OF.completed, ID_OF.dead, ID_OF.cancelled]);
	t.deepEqual([await jobOf(queue, ID_OF.completed), await jobOf(queue, ID_OF.dead), await jobOf(queue, ID_OF.cancelled)], ended);
	t.deepEqual(await enqueue(queue, newJob({key: 'pending', payload: '"other"'})), [7]);
	t.is((await queue.values(ID_OF.failed))?.payload, undefined);
});

for (const stop of [false, true]) {
	law(`a running job that is discarded ${stop ? 'is stopped' : 'may end'}: an outcome that ends it counts, any other deletes it`, async (t, queue, clock) => {
		const heard = listenTo(queue, clock, OWNER);
		const once = {...POLICY, maxAttempts: 1};
		await enqueue(queue, ...range(1, 6).map(id => newJob({key: String(id), policy: id === 3 ? once : POLICY})));
		const claims = claimsOf(await take(queue, 6));
		t.deepEqual(await queue.discard(range(1, 6), {stop}), {discarded: [], asked: range(1, 6)});
		t.deepEqual(stopsIn(await heard()), stop ? claims : []);
		t.is((await queue.counts()).running, 6);
		const outcomes: Outcome[] = [
			{type: 'returned', value: '1'},
			{type: 'threw', error: ERROR},
			{type: 'threw', error: ERROR},
			{type: 'cancelled'},
			{type: 'released'},
		];
		const {settled} = await commit(queue, {settle: outcomes.map((outcome, index) => ({...(claims[index] as Claim), outcome}))});
		t.deepEqual(settled, ['completed', 'discarded', 'dead', 'discarded', 'discarded']);
		await queue.leave(OWNER);
		t.deepEqual(await listed(queue, {}), [1, 3]);
		t.deepEqual(await queue.counts(), {blocked: 0, pending: 0, running: 0, failed: 0, completed: 1, dead: 1, cancelled: 0});
		t.deepEqual(await queue.enqueue([newJob({key: '4', payload: '"other"'})]), [fresh(7)]);
	});
}

law('a cancel overrides a discard, and a discard that stops overrides one that does not', async (t, queue, clock) => {
	const heard = listenTo(queue, clock, OWNER);
	await enqueue(queue, newJob(), newJob(), newJob());
	const claims = claimsOf(await take(queue, 3));
	await queue.discard([1, 2], {stop: false});
	await queue.cancel({ids: [1, 3]});
	await queue.discard([2, 3], {stop: true});
	t.deepEqual(stopsIn(await heard()), claims);
	const {settled} = await commit(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'cancelled'}}))});
	t.deepEqual(settled, ['cancelled', 'discarded', 'cancelled']);
});

law('a batch does not complete by a discard of a job: its input is needed again', async (t, queue) => {
	const heard: string[] = [];
	queue.onBatchCompleted(({batch}) => heard.push(batch));
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, newJob({batch}), newJob({batch}));
	await queue.endInput(batch, 2, OWNER);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await queue.discard([1, 2], {stop: false});
	await commit(queue, {settle: [{...claim, outcome: {type: 'released'}}]});
	t.deepEqual([heard, await listed(queue, {})], [[], []]);
	t.like(await queue.batch('one'), {total: undefined, counts: {pending: 0, running: 0}});
});

law('retry() begins a new round of failed, dead and cancelled jobs, and leaves the others', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	t.is(await queue.retry({}), 3);
	t.deepEqual(await statuses(queue), {
		pending: 'pending',
		running: 'running',
		failed: 'pending',
		completed: 'completed',
		dead: 'pending',
		cancelled: 'pending',
	});
});

law('retry() begins a new round of completed jobs if the filter names them by status or id', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	t.is(await queue.retry({task: 'hash', status: ['completed', 'running', 'pending']}), 1);
	await completeAll(queue);
	t.is(await queue.retry({ids: Object.values(ID_OF), status: 'dead'}), 1);
	t.is(await queue.retry({ids: [ID_OF.completed, ID_OF.running, 99]}), 1);
});

law('a retried job is pending, without attempts, error, result or end', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 1}}), newJob());
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0, durationMs: 1});
	await settleOne(queue, {type: 'returned', value: '1', startedAt: T0, durationMs: 1});
	clock.pass(10);
	t.is(await queue.retry({ids: [1, 2]}), 2);
	for (const job of await queue.jobs({}).page()) {
		t.like(job, {status: 'pending', attempts: 0, executions: 1, createdAt: T0});
		t.deepEqual(
			['error', 'endedAt', 'runAt'].filter(name => name in job),
			[],
		);
	}
	t.deepEqual(await queue.values(2), {payload: '1'});
	t.deepEqual(
		(await take(queue, 2)).jobs.map(({id, execution, attempts}) => [id, execution, attempts]),
		[
			[1, 2, 0],
			[2, 2, 0],
		],
	);
});

law('a retried job has as many attempts as a new one', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 2}}));
	await settleOne(queue, {type: 'threw', error: ERROR});
	await queue.retry({});
	t.is(await settleOne(queue, {type: 'threw', error: ERROR}), 'failed');
	clock.pass(1000);
	t.is(await settleOne(queue, {type: 'threw', error: ERROR}), 'dead');
});

for (const to of ['cancelled', 'pending', 'discarded'] as const) {
	law(`pages together move the same jobs to ${to} as one move, in order of arrival, and no page exceeds its limit`, async (t, queue, clock) => {
		for (let round = 0; round < 3; round++) await oneJobOfEachStatus(queue, clock);
		const meant = (await queue.jobs({}).page()).filter(({status}) => movableStatuses(to, {}).includes(status)).map(({id}) => id);
		const moved: JobId[] = [];
		for (let page: MovePage | null = {limit: 2}; page; ) {
			const {ids, asked, next}: Moved = await queue.store.move({}, to, page);
			t.true(ids.length + asked.length <= 2);
			moved.push(...[...ids, ...asked].sort((a, b) => a - b));
			page = next;
		}
		t.deepEqual(moved, meant);
		const after = await queue.counts();
		const unended = after.pending + after.failed;
		t.is(unended, to === 'pending' ? 12 : 0);
	});
}

law('a page moves the jobs that match when it is taken, and none that was enqueued after the first page', async (t, queue) => {
	const ids = await enqueue(queue, ...range(1, 6).map(() => newJob()));
	const first = await queue.store.move({task: 'hash'}, 'cancelled', {limit: 2});
	t.deepEqual([first.ids, first.asked], [ids.slice(0, 2), []]);
	// Before the next page, the third job completes, the fourth starts, and another job is enqueued.
	await settleOne(queue, {type: 'returned', value: '1'});
	await take(queue);
	const [late] = await enqueue(queue, newJob());
	const moved = {ids: [] as JobId[], asked: [] as JobId[]};
	for (let page = first.next; page; ) {
		const {ids, asked, next}: Moved = await queue.store.move({task: 'hash'}, 'cancelled', page);
		moved.ids.push(...ids);
		moved.asked.push(...asked);
		page = next;
	}
	t.deepEqual(moved, {ids: [5, 6], asked: [4]});
	t.is((await jobOf(queue, late)).status, 'pending');
});

law('a verb takes any number of jobs, named by a filter or by their ids, in any order, also repeatedly', async (t, queue) => {
	await commit(queue, {enqueue: range(1, 4500).map(id => newJob({payload: String(id)}))});
	const some = range(1, 2500).reverse();
	const {cancelled, asked} = await queue.cancel({ids: [...some, ...some, 9999]});
	t.deepEqual([cancelled.toSorted((a, b) => a - b), asked], [range(1, 2500), []]);
	t.is(await queue.retry({task: 'hash'}), 2500);
	const {discarded} = await queue.discard(range(1, 4500), {stop: false});
	t.deepEqual(
		discarded.toSorted((a, b) => a - b),
		range(1, 4500),
	);
	t.deepEqual(await queue.counts(), {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0});
});

law('a filter with an unknown or an undefined condition is refused, and changes no job', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	// biome-ignore lint/suspicious/noExplicitAny: the point is to give what the types refuse
	for (const filter of [{task: undefined}, {idd: 1}, {ids: 1}, {status: 'gone'}] as any[]) {
		await t.throwsAsync(queue.cancel(filter), {code: 'BadOption', message: /^cancel\(\) /});
		await t.throwsAsync(queue.retry(filter), {code: 'BadOption', message: /^retry\(\) /});
	}
	t.like(await queue.counts(), {pending: 2});
});
