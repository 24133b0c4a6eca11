import type {Claim} from '../../../lib/job/claim.ts';
import {type Job, type JobId, type JobStatus, STATUSES} from '../../../lib/job/job.ts';
import type {JobFilter, Place} from '../../../lib/job/search.ts';
import type {JobPage, OutcomePage, Wanted} from '../../../lib/store/found-jobs.ts';
import type {BatchPage} from '../../../lib/store/store.ts';
import {
	claimsOf,
	commit,
	ERROR,
	enqueue,
	ID_OF,
	idsOf,
	law,
	listed,
	listenTo,
	newJob,
	OWNER,
	oneJobOfEachStatus,
	POLICY,
	range,
	settleOne,
	stopsIn,
	T0,
	take,
} from './laws.ts';

law('jobs are listed in order of arrival, page by page', async (t, queue) => {
	await enqueue(queue, ...range(1, 120).map(id => newJob({priority: id % 3})));
	t.deepEqual(await listed(queue, {}), range(1, 100));
	t.deepEqual(
		(await queue.jobs().page({after: 100})).map(({id}) => id),
		range(101, 120),
	);
	t.deepEqual(
		(await queue.jobs().page({after: 5, limit: 2})).map(({id}) => id),
		[6, 7],
	);
});

law('a filter names ids, a task, statuses or a batch, and all it names must hold', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const batch = await queue.openBatch('nightly', 'thumbnail', OWNER);
	const [inBatch, keyed] = (await enqueue(queue, newJob({task: 'thumbnail', batch}), newJob({task: 'thumbnail', batch, key: 'a'}))) as [JobId, JobId];
	t.deepEqual(await listed(queue, {ids: [ID_OF.dead, 99, ID_OF.failed]}), [ID_OF.failed, ID_OF.dead]);
	t.deepEqual(await listed(queue, {ids: []}), []);
	t.deepEqual(await listed(queue, {task: 'thumbnail'}), [inBatch, keyed]);
	t.deepEqual(await listed(queue, {status: 'pending', task: 'hash'}), [ID_OF.pending]);
	t.deepEqual(await listed(queue, {status: ['completed', 'dead', 'running']}), [ID_OF.running, ID_OF.completed, ID_OF.dead]);
	t.deepEqual(await listed(queue, {status: []}), []);
	t.deepEqual(await listed(queue, {batch: 'nightly'}), [inBatch, keyed]);
	t.deepEqual(await listed(queue, {batch: 'nightly', status: 'failed'}), []);
	t.deepEqual(await listed(queue, {batch: 'unknown'}), []);
	for (const [status, id] of Object.entries(ID_OF)) t.deepEqual(await listed(queue, {status: status as JobStatus, task: 'hash'}), [id]);
});

law('a job is found, and cancelled, by its key in a task, which is outside batches, or in a batch', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const other = await queue.openBatch('weekly', 'thumbnail', OWNER);
	const ids = await enqueue(
		queue,
		newJob({key: 'a'}),
		newJob({key: 'b'}),
		newJob({key: 'a', batch}),
		newJob({task: 'thumbnail', key: 'a'}),
		newJob({task: 'thumbnail', key: 'a', batch: other}),
		newJob(),
		newJob({key: '7'}),
		newJob({key: '7', batch}),
	);
	t.deepEqual(await listed(queue, {task: 'hash', key: 'a'}), [ids[0]]);
	t.deepEqual(await listed(queue, {task: 'hash', key: '7'}), [ids[6]] as JobId[]);
	t.deepEqual(await listed(queue, {task: 'hash', batch: 'nightly', key: '7'}), [ids[7]] as JobId[]);
	t.deepEqual(await listed(queue, {batch: 'nightly', key: 'a'}), [ids[2]] as JobId[]);
	t.deepEqual(await listed(queue, {task: 'thumbnail', batch: 'nightly', key: 'a'}), []);
	t.deepEqual(await listed(queue, {task: 'hash', key: 'a', ids: [1, 2]}), [1]);
	for (const filter of [
		{task: 'hash', key: 'c'},
		{task: 'none', key: 'a'},
		{batch: 'none', key: 'a'},
	])
		t.deepEqual(await listed(queue, filter), []);
	t.like(await queue.cancel({task: 'thumbnail', key: 'a'}), {cancelled: [4]});
	t.like(await queue.cancel({batch: 'weekly', key: 'a'}), {cancelled: [5]});
	await t.throwsAsync(queue.cancel({key: 'a'}), {code: 'BadOption', message: /cancel\(\) got a key alone, .* name one of them, too/});
});

law('a job that does not exist has no description, no values, no log and no history', async (t, queue) => {
	t.is(await queue.job(1), undefined);
	t.is(await queue.values(1), undefined);
	t.deepEqual(await queue.logs(1), []);
	t.deepEqual(await queue.history(1), []);
});

law('outcomes() returns the ends of jobs, and which jobs do not exist', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const {jobs} = await queue.store.jobs({});
	const outcomes = await queue.outcomes([...jobs.map(({id}) => id), 999]);
	const expected = await Promise.all(
		jobs
			.filter(({status}) => ['completed', 'dead', 'cancelled'].includes(status))
			.map(async ({id, status, error}) => {
				const result = status === 'completed' ? ((await queue.values(id))?.result ?? null) : null;
				return {id, status, result, ...(error && status !== 'completed' && {error})};
			}),
	);
	t.is(expected.length, 3);
	t.deepEqual(outcomes, [...expected, {id: 999, status: 'missing', result: null}] as typeof outcomes);
});

law('pages follow each other through all jobs of a filter, with jobs of other statuses, tasks and batches between them', async (t, queue, clock) => {
	const batch = await queue.openBatch('one', 'hash', OWNER);
	for (let round = 0; round < 8; round++) {
		await oneJobOfEachStatus(queue, clock, () => (round % 2 === 0 ? {batch, key: String(Math.random())} : {}));
		await enqueue(queue, newJob({task: 'thumbnail', priority: round % 3}), newJob({runAt: clock.now() + 1000}));
	}
	const all = await queue.jobs().page({limit: 1000});
	const filters: JobFilter[] = [{}, {task: 'hash'}, {task: 'thumbnail'}, {batch: 'one'}, {ids: range(5, 40)}];
	for (const filter of filters) {
		for (const status of [undefined, ...STATUSES, ['pending', 'dead'] as const, []]) {
			const isMeant = (job: Job) =>
				(!filter.task || job.task === filter.task) &&
				(!filter.batch || job.batch === filter.batch) &&
				(!filter.ids || filter.ids.includes(job.id)) &&
				(status === undefined || [status].flat().includes(job.status));
			const found: Job[] = [];
			for (let page: readonly Job[] = [], after = 0; ; after = page.at(-1)?.id ?? 0) {
				page = await queue.jobs({...filter, ...(status !== undefined && {status})}).page({after, limit: 3});
				if (page.length === 0) break;
				found.push(...page);
			}
			t.deepEqual(found, all.filter(isMeant), JSON.stringify({...filter, status}));
		}
	}
});

law('counts covers all six statuses, of all tasks or of one', async (t, queue, clock) => {
	const none = {blocked: 0, pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
	t.deepEqual(await queue.counts(), none);
	await oneJobOfEachStatus(queue, clock);
	await enqueue(queue, newJob({task: 'thumbnail', runAt: clock.now() + 1}));
	t.deepEqual(await queue.counts(), {blocked: 0, pending: 2, running: 1, failed: 1, completed: 1, dead: 1, cancelled: 1});
	t.deepEqual(await queue.counts({task: 'thumbnail'}), {...none, pending: 1});
	t.deepEqual(await queue.counts({task: 'unknown'}), none);
});

law('a store counts the jobs of each task by state', async (t, queue, clock) => {
	const none = {
		isPaused: false,
		blocked: 0,
		ready: 0,
		quarantined: 0,
		delayed: 0,
		failed: 0,
		parked: 0,
		running: 0,
		completed: 0,
		dead: 0,
		cancelled: 0,
		held: 0,
	};
	const countsOf = async (task: string) => (await queue.store.counts()).find(each => each.task === task);
	await oneJobOfEachStatus(queue, clock);
	await enqueue(queue, newJob({runAt: clock.now() + 100}), newJob({task: 'thumbnail', policy: {...POLICY, retry: 'manual'}}));
	await queue.pause(['hash', 'later']);
	await settleOne(queue, {type: 'threw', error: ERROR});
	t.deepEqual(await countsOf('hash'), {
		...none,
		task: 'hash',
		isPaused: true,
		ready: 1,
		delayed: 1,
		failed: 1,
		running: 1,
		completed: 1,
		dead: 1,
		cancelled: 1,
	});
	t.deepEqual(await countsOf('thumbnail'), {...none, task: 'thumbnail', parked: 1});
	t.deepEqual(await countsOf('later'), {...none, task: 'later', isPaused: true});
	await queue.resume(['hash']);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {settle: [{...claim, outcome: {type: 'released', suspicion: 1}}]});
	t.like(await countsOf('hash'), {isPaused: false, blocked: 0, ready: 0, quarantined: 1});
});

law('jobs of a paused task are enqueued, not claimed, and do not hold up other jobs', async (t, queue) => {
	await queue.pause(['hash']);
	t.deepEqual(await enqueue(queue, newJob({priority: 9}), newJob({task: 'thumbnail'})), [1, 2]);
	t.deepEqual(idsOf(await take(queue, 5)), [2]);
	await queue.resume(['hash']);
	t.deepEqual(idsOf(await take(queue, 5)), [1]);
});

law('a task can be paused before it has a job, and to pause it twice is to pause it once', async (t, queue) => {
	await queue.pause(['hash', 'later']);
	await queue.pause(['hash']);
	t.deepEqual([...(await queue.paused())].sort(), ['hash', 'later']);
	await queue.resume(['hash', 'never paused']);
	t.deepEqual(await queue.paused(), ['later']);
});

law('a pause does not touch running jobs', async (t, queue, clock) => {
	const heard = listenTo(queue, clock, OWNER);
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await queue.pause(['hash']);
	t.deepEqual(stopsIn(await heard()), []);
	t.true(await queue.complete(claim));
});

law('pages of jobs, outcomes and batches come to an end, and together have the content of one page', async (t, queue) => {
	const count = 2500;
	const large = new Uint8Array(16 * 1024 * 1024);
	await commit(queue, {enqueue: range(1, count).map(id => newJob({payload: String(id)}))});
	const claims = claimsOf(await take(queue, count));
	await commit(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'returned', value: claim.id % 400 === 0 ? large : '1'}}))});
	const jobs: [JobId, unknown][] = [];
	for (let after: Place | null = 0; after !== null; ) {
		const page: JobPage = await queue.store.jobs({}, {after, limit: 700}, {values: true});
		t.true(page.jobs.length > 0 && page.jobs.length <= 700);
		jobs.push(...page.jobs.map(({id, values}) => [id, values?.payload] as [JobId, unknown]));
		after = page.next;
	}
	t.deepEqual(
		jobs,
		range(1, count).map(id => [id, String(id)]),
	);
	const ids = [9999, ...range(1, count).reverse()];
	const outcomes: JobId[] = [];
	let pages = 0;
	for (let after: number | null = 0; after !== null; pages++) {
		const page: OutcomePage = await queue.store.outcomes(ids, {after});
		outcomes.push(...page.outcomes.map(({id}) => id));
		after = page.next;
	}
	t.deepEqual(outcomes, ids);
	t.true(pages > 1);
	for (const name of ['a', 'b', 'c', 'd', 'e']) await queue.openBatch(name, 'hash', OWNER);
	const names: string[] = [];
	for (let after: number | null = 0; after !== null; ) {
		const page: BatchPage = await queue.store.batches({}, {after, limit: 2});
		t.true(page.batches.length > 0 && page.batches.length <= 2);
		names.push(...page.batches.map(({name}) => name));
		after = page.next;
	}
	t.deepEqual(names, ['a', 'b', 'c', 'd', 'e']);
});

law('jobs of a page have values and log lines only if the reader wants them', async (t, queue) => {
	await enqueue(queue, newJob({payload: '"in"'}), newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {update: [{...claim, logs: [{at: T0, level: 'info', text: 'line'}]}], settle: [{...claim, outcome: {type: 'returned', value: '"out"'}}]});
	const read = async (want: Wanted) => (await queue.store.jobs({}, {}, want)).jobs.map(({values, logs}) => ({values, logs}));
	const [values, logs] = [{payload: '"in"', result: '"out"'}, [{execution: 1, at: T0, level: 'info' as const, text: 'line'}]];
	const none = {values: undefined, logs: undefined};
	t.deepEqual(await read({}), [none, none]);
	t.deepEqual(await read({values: true}), [
		{...none, values},
		{...none, values: {payload: '1'}},
	]);
	t.deepEqual(await read({logs: true}), [
		{...none, logs},
		{...none, logs: []},
	]);
	t.deepEqual(await read({values: true, logs: true}), [
		{values, logs},
		{values: {payload: '1'}, logs: []},
	]);
});
