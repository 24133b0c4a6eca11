import type {Outcome} from '../../../lib/job/claim.ts';
import type {JobId} from '../../../lib/job/job.ts';
import type {NewJob} from '../../../lib/job/new-job.ts';
import {forPolicyNumbers, type Policy} from '../../../lib/job/policy.ts';
import {commitPlain, groupNew} from '../../fixtures/plain.ts';
import {claimsOf, commit, ERROR, enqueue, fresh, idsOf, jobOf, law, newJob, OWNER, PAYLOADS, POLICY, plain, range, T0, take} from './laws.ts';

law('ids are 1, 2, 3… in order of arrival', async (t, queue) => {
	t.deepEqual(await queue.enqueue([newJob(), newJob()]), [fresh(1), fresh(2)]);
	t.deepEqual(await queue.enqueue([newJob({priority: 9})]), [fresh(3)]);
});

law('each enqueued group gets its ids, and the indexes of keys that exist already only if there are any', async (t, queue) => {
	const keyed = (keys: string[], payload = '1') => groupNew(keys.map(key => newJob({key, payload})));
	const {enqueued} = await queue.store.commit({
		enqueue: [...groupNew([newJob(), newJob()]), ...keyed(['a', 'b']), ...keyed(['c', 'a', 'b']), ...keyed(['a'], '2')],
	});
	t.deepEqual(
		enqueued.map(({ids, reused, conflicts}) => [ids, reused, conflicts]),
		[
			[1, undefined, undefined],
			[3, undefined, undefined],
			[[5, 3, 4], [1, 2], undefined],
			[3, undefined, [0]],
		],
	);
});

law('an enqueue may be empty', async (t, queue) => {
	t.deepEqual(await queue.enqueue([]), []);
});

law('an id is never used twice, even after its job was cleaned up', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	await queue.cancel({});
	clock.pass(1);
	t.is((await queue.store.delete({endedBefore: clock.now()})).deleted, 2);
	t.deepEqual(await enqueue(queue, newJob()), [3]);
});

law('a new job is pending and has every property it was given', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const [id] = await enqueue(queue, newJob({priority: -7, runAt: T0 + 5000, key: 'a', batch}));
	t.deepEqual(await jobOf(queue, id), {
		id: 1,
		task: 'hash',
		status: 'pending',
		priority: -7,
		key: 'a',
		batch: 'nightly',
		createdAt: T0,
		runAt: T0 + 5000,
		attempts: 0,
		maxAttempts: 3,
		executions: 0,
		timeoutMs: 60_000,
		payloadBytes: 1,
	});
});

law('a property that a job was not given is absent, not undefined', async (t, queue) => {
	const [id] = await enqueue(queue, newJob());
	t.deepEqual(Object.keys(await jobOf(queue, id)).sort(), [
		'attempts',
		'createdAt',
		'executions',
		'id',
		'maxAttempts',
		'payloadBytes',
		'priority',
		'status',
		'task',
		'timeoutMs',
	]);
	t.deepEqual(Object.keys((await queue.values(id)) ?? {}), ['payload']);
	const {jobs} = await take(queue);
	t.deepEqual(Object.keys(jobs[0] ?? {}).sort(), ['attempts', 'createdAt', 'execution', 'id', 'lease', 'payload', 'policy', 'task']);
});

law('payloads are returned as they were stored: text, bytes and nothing', async (t, queue) => {
	const ids = await enqueue(queue, ...PAYLOADS.map(payload => newJob({payload})));
	const stored = await Promise.all(ids.map(id => queue.values(id)));
	const {jobs} = await take(queue, 10);
	t.deepEqual(
		stored.map(values => plain(values?.payload)),
		PAYLOADS.map(plain),
	);
	t.deepEqual(
		jobs.map(job => plain(job.payload)),
		PAYLOADS.map(plain),
	);
});

law('results are returned as they were stored: text, bytes and nothing', async (t, queue) => {
	await enqueue(queue, ...PAYLOADS.map(() => newJob()));
	const claims = claimsOf(await take(queue, 10));
	await commit(queue, {settle: claims.map((claim, index) => ({...claim, outcome: {type: 'returned', value: PAYLOADS[index] ?? null}}))});
	const stored = await Promise.all(claims.map(({id}) => queue.values(id)));
	t.deepEqual(
		stored.map(values => plain(values?.result)),
		PAYLOADS.map(plain),
	);
});

law('each job keeps the policy it was enqueued with', async (t, queue) => {
	const policies: Policy[] = [
		POLICY,
		{...forPolicyNumbers((name, {least}) => least + name.length), timeoutMs: null, backoff: {baseMs: 0, factor: 1.5, maxMs: 0, jitter: 0.25}, retry: 'manual'},
		{...POLICY, timeoutMs: 1, backoff: {...POLICY.backoff, jitter: 1}},
	];
	await enqueue(queue, ...policies.map(policy => newJob({policy})));
	const {jobs} = await take(queue, 3);
	t.deepEqual(
		jobs.map(job => job.policy),
		policies,
	);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({maxAttempts, timeoutMs}) => ({maxAttempts, timeoutMs})),
		policies.map(({maxAttempts, timeoutMs}) => ({maxAttempts, timeoutMs})),
	);
});

law('thousands of jobs fit in one transaction', async (t, queue) => {
	const count = 5000;
	const enqueued = await queue.enqueue(Array.from({length: count}, (_, index) => newJob({payload: String(index)})));
	t.deepEqual(
		enqueued.map(({id}) => id),
		range(1, count),
	);
	const dequeued = await take(queue, count);
	t.deepEqual(
		dequeued.jobs.map(({id, payload}) => [id, payload]),
		range(1, count).map(id => [id, String(id - 1)]),
	);
	const {settled} = await commit(queue, {settle: claimsOf(dequeued).map(claim => ({...claim, outcome: {type: 'returned', value: String(claim.id)}}))});
	t.true(settled.every(status => status === 'completed'));
	t.like(await queue.counts(), {pending: 0, running: 0, completed: count});
	t.is((await queue.values(count))?.result, String(count));
});

law('a group of new jobs has the effect of its jobs one by one, with a delay or without', async (t, queue, clock) => {
	const texts = ['"a"', null, '"b"', null];
	const group = (parts: Partial<NewJob>) => texts.map(payload => newJob({payload, ...parts}));
	const jobs = [newJob({key: 'a'}), ...group({}), ...group({runAt: T0 + 1000}), newJob(), ...group({priority: 1})];
	t.deepEqual((await commit(queue, {enqueue: jobs})).enqueued, range(1, 14).map(fresh));
	t.like(await queue.counts(), {pending: 14});
	const payloads = async (limit: number) => (await take(queue, limit)).jobs.map(({id, payload}) => [id, payload]);
	t.deepEqual(
		await payloads(3),
		[11, 12, 13].map((id, index) => [id, texts[index]]),
	);
	t.deepEqual(await payloads(4), [
		[14, null],
		[1, '1'],
		[2, '"a"'],
		[3, null],
	]);
	t.deepEqual(await payloads(9), [
		[4, '"b"'],
		[5, null],
		[10, '1'],
	]);
	clock.pass(1000);
	t.deepEqual(
		await payloads(9),
		[6, 7, 8, 9].map((id, index) => [id, texts[index]]),
	);
});

law('how jobs are grouped changes nothing: all in one, each in its own, or cut anywhere', async (t, queue) => {
	const outcomes: Outcome[] = [
		{type: 'returned', value: '"a"', startedAt: T0 + 1, durationMs: 2.5},
		{type: 'returned', value: null},
		{type: 'returned', value: '"parent"', enqueue: [newJob({task: 'thumbnail'})]},
		{type: 'threw', error: ERROR, startedAt: T0 + 2, durationMs: 1},
		{type: 'released'},
		{type: 'cancelled'},
		{type: 'returned', value: new Uint8Array([1, 2])},
		{type: 'returned', value: '"b"'},
	];
	const seen: unknown[] = [];
	for (const [round, isCut] of [() => false, () => true, (index: number) => index % 3 === 1].entries()) {
		const batch = await queue.openBatch(`batch ${round}`, 'hash', OWNER);
		const jobs = outcomes.map((_, index) => newJob({payload: String(index), ...(index > 4 && {batch, key: String(index)})}));
		const {enqueued} = await commitPlain(queue.store, {enqueue: jobs}, isCut);
		const claimed = await take(queue, jobs.length);
		const settle = claimsOf(claimed).map((claim, index) => ({...claim, outcome: outcomes[index] as Outcome}));
		const {settled} = await commitPlain(queue.store, {settle}, isCut);
		const first = enqueued[0]?.id ?? 0;
		const relative = (id: JobId) => id - first;
		const stored = await queue.store.jobs({}, {after: first - 1}, {values: true});
		await queue.cancel({status: ['pending', 'failed']});
		seen.push({
			enqueued: enqueued.map(each => ({...each, id: relative(each.id)})),
			claimed: claimed.jobs.map(({lease: _, ...job}) => ({...job, id: relative(job.id)})),
			settled,
			stored: stored.jobs.map(job => ({
				...job,
				id: relative(job.id),
				batch: job.batch !== undefined,
				values: {...job.values, result: plain(job.values?.result)},
			})),
		});
	}
	t.like(seen[0], {settled: ['completed', 'completed', 'completed', 'failed', 'pending', 'cancelled', 'completed', 'completed']});
	t.deepEqual(seen[1], seen[0]);
	t.deepEqual(seen[2], seen[0]);
});

law('a delay counts from the commit, by the clock of the store', async (t, queue, clock) => {
	clock.pass(500);
	const {enqueued, dueInMs} = await commit(queue, {enqueue: [newJob({delayMs: 1000}), newJob({delayMs: 0}), newJob({runAt: T0, delayMs: 2000})]});
	t.deepEqual([enqueued, dueInMs], [[1, 2, 3].map(fresh), 1000]);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({runAt}) => runAt),
		[T0 + 1500, undefined, T0 + 2500],
	);
	t.deepEqual(idsOf(await take(queue, 3)), [2]);
	clock.pass(1000);
	t.deepEqual(idsOf(await take(queue, 3)), [1]);
	const [changed] = (await commit(queue, {enqueue: [newJob({key: 'a'}), newJob({key: 'a', payload: '2', delayMs: 10, rerun: {changed: true, failed: false}})]}))
		.enqueued;
	t.is((await jobOf(queue, changed?.id ?? 0)).runAt, clock.now() + 10);
});

law('a listener of a queue is called for each enqueue() once its jobs are stored, for each announce(), and for no refused call', async (t, queue) => {
	const heard: Promise<number>[] = [];
	const stop = queue.onEnqueue(() => heard.push(Promise.resolve(queue.counts()).then(({pending}) => pending)));
	await queue.enqueue([newJob({key: 'a'}), newJob()]);
	await t.throwsAsync(queue.enqueue([newJob({key: 'a', payload: '"other"'})]));
	await queue.enqueue([newJob()]);
	queue.announce();
	stop();
	await queue.enqueue([newJob()]);
	// A store may count later than it was asked.
	const counted = await Promise.all(heard);
	t.is(counted.length, 3);
	for (const [index, least] of [2, 3, 3].entries()) t.true((counted[index] as number) >= least);
});
