import test, {type ExecutionContext} from 'ava';
import {backoffMs} from '../../lib/job/backoff.ts';
import type {CompletedBatch} from '../../lib/job/batch.ts';
import type {Claim, OwnerId} from '../../lib/job/claim.ts';
import {type Encoded, encode} from '../../lib/job/encoding.ts';
import type {FailureRecord} from '../../lib/job/failure.ts';
import {type Job, type JobFilter, type JobId, type JobStatus, MAX_SUSPICION, mostTogether, type Policy, STATUSES} from '../../lib/job/job.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import type {OpenJobs} from '../../lib/job/open-jobs.ts';
import {MAX_LOG_LINES, type Outcome, type Settlement} from '../../lib/job/outcome.ts';
import {toPackedStrings} from '../../lib/job/packed-strings.ts';
import {packTimes} from '../../lib/job/packed-times.ts';
import type {NewRun, ReturnedRun} from '../../lib/job/runs.ts';
import {type Dequeued, demandOf, type JobQueue, type Moved, type MovePage, movedTo, type Settled, type TaskDemand, type Turn} from '../../lib/store/store.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {OpenedJobs} from '../fixtures/open-jobs.ts';
import {type PlainResult, turnOf} from '../fixtures/packed.ts';

/** What the suite gives to the queue under test: a clock and a die it drives itself. */
export interface QueueOptions {
	readonly now: () => number;
	readonly steadyMs: () => number;
	readonly random: () => number;
	readonly leaseMs: number;
	/** For a queue without files: which jobs the workers of an owner have open. */
	readonly openJobs: (owner: OwnerId) => readonly OpenJobs[];
}

/** Registers a test for each law of {@link JobQueue}. `open` gives a new, empty queue each time; the suite closes it. */
export function exerciseQueue(name: string, open: (options: QueueOptions) => JobQueue | Promise<JobQueue>): void {
	for (const {title, check} of LAWS) {
		test(`${name}: ${title}`, async t => {
			const clock: Clock = {now: T0, jumpedMs: 0, random: 0};
			const opened = new OpenedJobs();
			const [now, steadyMs, random] = [() => clock.now, () => clock.now - clock.jumpedMs, () => clock.random];
			const queue = await open({now, steadyMs, random, leaseMs: LEASE_MS, openJobs: opened.of});
			t.teardown(() => queue.close());
			await check(t, queue, clock, opened);
		});
	}
}

interface Clock {
	/** Milliseconds since 1970. */
	now: number;
	/** How much of that was a jump, and no time that passed. */
	jumpedMs: number;
	/** What the die shows next. */
	random: number;
}

type Check = (t: ExecutionContext, queue: JobQueue, clock: Clock, opened: OpenedJobs) => Promise<void>;

const T0 = 1_700_000_000_000;
const LEASE_MS = 30_000;
const OWNER = 'owner-1';
const OTHER = 'owner-2';
const TASKS = ['hash', 'thumbnail'];
const POLICY: Policy = {maxAttempts: 3, timeoutMs: 60_000, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const ERROR: FailureRecord = {reason: 'threw', name: 'TypeError', message: 'no such thing', stack: 'TypeError: no such thing\n    at hash', code: 'E_NONE'};

const LAWS: {readonly title: string; readonly check: Check}[] = [];

function law(title: string, check: Check): void {
	LAWS.push({title, check});
}

// Enqueuing

law('ids are 1, 2, 3… in order of arrival', async (t, queue) => {
	t.deepEqual(await queue.enqueue([newJob(), newJob()]), [fresh(1), fresh(2)]);
	t.deepEqual(await queue.enqueue([newJob({priority: 9})]), [fresh(3)]);
});

law('enqueuing nothing is no error', async (t, queue) => {
	t.deepEqual(await queue.enqueue([]), []);
});

law('an id is never used twice, even after its job was cleaned up', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	await queue.cancel({});
	clock.now += 1;
	t.is((await queue.cleanup({endedBefore: clock.now})).deleted, 2);
	t.deepEqual(await enqueue(queue, newJob()), [3]);
});

law('a new job is pending and shows all it was given', async (t, queue) => {
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

law('what a job was not given is absent, not undefined', async (t, queue) => {
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
	t.deepEqual(Object.keys(jobs[0] ?? {}).sort(), ['attempts', 'createdAt', 'execution', 'id', 'payload', 'policy', 'task']);
});

const PAYLOADS: readonly Encoded[] = [
	'{"file":"ä\\u0000😀.png"}',
	'""',
	new Uint8Array([1, 0, 255]),
	new Uint8Array([1]),
	encode(new Map([[1n, new Date(0)]]), 'payload'),
	null,
];

law('payloads come back as they went in: text, bytes and nothing', async (t, queue) => {
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

law('results come back as they went in: text, bytes and nothing', async (t, queue) => {
	await enqueue(queue, ...PAYLOADS.map(() => newJob()));
	const claims = claimsOf(await take(queue, 10));
	await turnOf(queue, {settle: claims.map((claim, index) => ({...claim, outcome: {type: 'returned', value: PAYLOADS[index] ?? null}}))});
	const stored = await Promise.all(claims.map(({id}) => queue.values(id)));
	t.deepEqual(
		stored.map(values => plain(values?.result)),
		PAYLOADS.map(plain),
	);
});

law('each job keeps the policy it was enqueued with', async (t, queue) => {
	const policies: Policy[] = [
		POLICY,
		{maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 0, factor: 1.5, maxMs: 0, jitter: 0.25}, retry: 'manual'},
		{...POLICY, timeoutMs: 1, backoff: {...POLICY.backoff, jitter: 1}},
	];
	await enqueue(queue, ...policies.map(policy => newJob({policy})));
	const {jobs} = await take(queue, 3);
	t.deepEqual(
		jobs.map(job => job.policy),
		policies,
	);
	t.deepEqual(
		(await queue.jobs({})).map(({maxAttempts, timeoutMs}) => ({maxAttempts, timeoutMs})),
		policies.map(({maxAttempts, timeoutMs}) => ({maxAttempts, timeoutMs})),
	);
});

law('thousands of jobs fit in one turn', async (t, queue) => {
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
	const {settled} = await turnOf(queue, {settle: claimsOf(dequeued).map(claim => ({...claim, outcome: {type: 'returned', value: String(claim.id)}}))});
	t.true(settled.every(status => status === 'completed'));
	t.like(await queue.counts(), {pending: 0, running: 0, completed: count});
	t.is((await queue.values(count))?.result, String(count));
});

law('new jobs in a run are the jobs one by one, now or for later', async (t, queue, clock) => {
	const texts = ['"a"', null, '"b"', null];
	const run = (parts: Partial<NewRun>): NewRun => {
		const {payload: _, ...job} = newJob();
		return {...job, payloads: toPackedStrings(texts), ...parts};
	};
	const {enqueued} = await turnOf(queue, {enqueue: [newJob({key: 'a'}), run({}), run({runAt: T0 + 1000}), newJob(), run({priority: 1})]});
	t.deepEqual(
		enqueued.map(({id}) => id),
		[1, 2, 6, 10, 11],
	);
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
	clock.now += 1000;
	t.deepEqual(
		await payloads(9),
		[6, 7, 8, 9].map((id, index) => [id, texts[index]]),
	);
});

law('what is settled in a run is settled as one by one: of a job that is settled twice the first counts, and what does not match is lost', async (t, queue) => {
	await enqueue(queue, ...Array.from({length: 12}, () => newJob()));
	const {lease} = await take(queue, 10);
	const run = (first: JobId, last: JobId, of = lease): ReturnedRun => {
		const ids = range(first, last);
		const times = packTimes(ids.length, {startedAt: Float64Array.from(ids, id => T0 + id), durationMs: Float64Array.from(ids, id => id / 2)});
		return {first, lease: of, createdAt: T0, values: toPackedStrings(ids.map(String)), times};
	};
	const released = (id: JobId): Settlement => ({id, lease, execution: 1, outcome: {type: 'released'}});
	const {settled} = await turnOf(queue, {settle: [run(1, 2, lease + 1), released(4), run(3, 6)]});
	const [done, lost] = ['completed', 'lost'] as const;
	t.deepEqual(settled, [lost, lost, 'pending', done, lost, done, done]);
	t.deepEqual((await turnOf(queue, {settle: [run(9, 12)]})).settled, [done, done, lost, lost]);
	t.deepEqual((await turnOf(queue, {settle: [run(5, 8), released(1), run(1, 3)]})).settled, [lost, lost, done, done, 'pending', lost, done, lost]);
	t.deepEqual(await listed(queue, {status: 'completed'}), [2, 3, 5, 6, 7, 8, 9, 10]);
	t.like(await queue.job(7), {status: done, startedAt: T0 + 7, durationMs: 3.5});
	t.is((await queue.values(8))?.result, '8');
	t.like(await queue.counts(), {pending: 4, running: 0, completed: 8});
});

law('whoever listens hears of each enqueue() once its jobs are there, of each announce(), and of none that was refused', async (t, queue) => {
	const heard: Promise<number>[] = [];
	const stop = queue.onEnqueue(() => heard.push(Promise.resolve(queue.counts()).then(({pending}) => pending)));
	await queue.enqueue([newJob({key: 'a'}), newJob()]);
	await t.throwsAsync(queue.enqueue([newJob({key: 'a', payload: '"other"'})]));
	await queue.enqueue([newJob()]);
	queue.announce();
	stop();
	await queue.enqueue([newJob()]);
	t.deepEqual(await Promise.all(heard), [2, 3, 3]);
});

// Keys

law('the same key with the same payload is the same job', async (t, queue) => {
	t.deepEqual(await queue.enqueue([newJob({key: 'a', payload: '{"x":1,"y":2}'})]), [fresh(1)]);
	t.deepEqual(await queue.enqueue([newJob({key: 'a', payload: '{"y":2,"x":1}'}), newJob()]), [{id: 1, existing: true, conflict: false}, fresh(2)]);
	t.is((await queue.jobs({})).length, 2);
});

law('payloads of one key are compared as values, whatever their form', async (t, queue) => {
	await queue.enqueue(PAYLOADS.map((payload, index) => newJob({payload, key: `k${index}`})));
	const again = PAYLOADS.map((payload, index) => newJob({payload: copy(payload), key: `k${index}`}));
	t.deepEqual(
		(await queue.enqueue(again)).map(each => each.existing),
		PAYLOADS.map(() => true),
	);
	const {enqueued} = await turnOf(queue, {enqueue: PAYLOADS.map((_, index) => newJob({payload: '"another"', key: `k${index}`}))});
	t.deepEqual(
		enqueued,
		PAYLOADS.map((_, index) => ({id: index + 1, existing: false, conflict: true})),
	);
});

law('the same key with another payload is a conflict, told per job, and the others are enqueued', async (t, queue) => {
	await queue.enqueue([newJob({key: 'a', payload: '1'})]);
	const {enqueued} = await turnOf(queue, {enqueue: [newJob(), newJob({key: 'a', payload: '2'}), newJob({key: 'b'})]});
	t.deepEqual(enqueued, [fresh(2), {id: 1, existing: false, conflict: true}, fresh(3)]);
	t.is((await queue.values(1))?.payload, '1');
});

law('two jobs of one turn can share a key', async (t, queue) => {
	const {enqueued} = await turnOf(queue, {enqueue: [newJob({key: 'a'}), newJob({key: 'a'}), newJob({key: 'a', payload: '2'})]});
	t.deepEqual(enqueued, [fresh(1), {id: 1, existing: true, conflict: false}, {id: 1, existing: false, conflict: true}]);
	t.is((await queue.counts()).pending, 1);
});

law('a conflict makes enqueue() refuse all its jobs, in a sentence that names the key and its job', async (t, queue) => {
	await queue.enqueue([newJob(), newJob({key: 'a', payload: '1'})]);
	const error = await t.throwsAsync(queue.enqueue([newJob(), newJob({key: 'b'}), newJob({key: 'a', payload: '2'})]), {
		instanceOf: FaenaError,
		code: 'KeyConflict',
	});
	t.regex(error?.message ?? '', /"a" of task hash belongs to job 2/);
	t.is((await queue.jobs({})).length, 2);
	t.deepEqual(await queue.enqueue([newJob({key: 'b', payload: '3'})]), [fresh(3)]);
});

law('two jobs of one enqueue() that share a key and not the payload are refused together', async (t, queue) => {
	await t.throwsAsync(queue.enqueue([newJob({key: 'a'}), newJob({key: 'a', payload: '2'})]), {code: 'KeyConflict'});
	t.deepEqual(await queue.jobs({}), []);
	t.deepEqual(await enqueue(queue, newJob({key: 'a', payload: '2'})), [1]);
});

law('a turn that fails changes nothing: nothing is settled, noted, enqueued or dequeued', async (t, queue, clock) => {
	await enqueue(queue, newJob({key: 'a'}), newJob(), newJob(), newJob({runAt: T0 + 1}));
	const [first, second] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	clock.now += 10;
	const before = await queue.jobs({});
	const turn: Turn = {
		settle: [
			{...first, outcome: {type: 'returned', value: '1', enqueue: [newJob(), newJob({key: 'b'})]}},
			{...second, outcome: {type: 'threw', error: ERROR}},
		],
		notes: [{...first, progress: {done: 1, at: T0}, logs: [{at: T0, level: 'info', text: 'line'}]}],
		enqueue: [newJob({task: 'never seen'}), newJob({key: 'a', payload: '"other"'})],
		rejectConflicts: true,
		dequeue: {owner: OTHER, tasks: [{task: 'hash', limit: 5}], limit: 5, maxBytes: Infinity},
	};
	await t.throwsAsync(async () => turnOf(queue, turn), {code: 'KeyConflict'});
	t.deepEqual(await queue.jobs({}), before);
	t.deepEqual(await queue.logs(first.id), []);
	t.like(await queue.counts(), {pending: 2, running: 2});
	t.deepEqual(
		await queue.settle(
			first.lease,
			[first, second].map(claim => ({...claim, outcome: {type: 'released'}})),
		),
		{accepted: 2, lost: 0},
	);
	t.is((await take(queue)).lease, 2);
	t.deepEqual(await enqueue(queue, newJob({task: 'never seen'})), [5]);
});

const RERUN = {changed: true, failed: true};

law('a changed job that may be rerun begins a new round with all that is new, from whatever status; its old result is gone', async (t, queue, clock) => {
	const {running: _, ...ids} = ID_OF;
	await oneJobOfEachStatus(queue, clock, status => ({key: status}));
	const policy = {...POLICY, maxAttempts: 9};
	const changed = Object.keys(ids).map(key => newJob({key, payload: '"new"', priority: 3, policy, rerun: RERUN}));
	const before = await queue.jobs({});
	t.deepEqual(
		await queue.enqueue(changed),
		Object.values(ids).map(id => ({id, existing: true, conflict: false})),
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
	t.deepEqual(await queue.counts(), {pending: 5, running: 1, failed: 0, completed: 0, dead: 0, cancelled: 0});
	t.deepEqual(
		(await take(queue, 10)).jobs.map(({id, payload}) => [id, payload]),
		Object.values(ids).map(id => [id, '"new"']),
	);
});

law('a changed job that may be rerun can be delayed, and may have been enqueued in the same turn', async (t, queue) => {
	const {enqueued} = await turnOf(queue, {
		enqueue: [
			newJob({key: 'a', payload: '1'}),
			newJob(),
			newJob({key: 'a', payload: '2', rerun: RERUN}),
			newJob(),
			newJob({key: 'a', payload: '3', runAt: T0 + 5, rerun: RERUN}),
		],
	});
	t.deepEqual(enqueued, [fresh(1), fresh(2), {id: 1, existing: true, conflict: false}, fresh(3), {id: 1, existing: true, conflict: false}]);
	t.like(await jobOf(queue, 1), {status: 'pending', runAt: T0 + 5});
	t.is((await queue.values(1))?.payload, '3');
	t.deepEqual(idsOf(await take(queue, 5)), [2, 3]);
});

law('a job that runs is not changed: that is a conflict, in a sentence of its own, also where it might be rerun', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({key: 'a', batch}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const changed = newJob({key: 'a', batch, payload: '2', rerun: RERUN});
	t.deepEqual((await turnOf(queue, {enqueue: [changed]})).enqueued, [{id: 1, existing: false, conflict: true}]);
	await t.throwsAsync(queue.enqueue([changed]), {code: 'KeyConflict', message: /"a" of task hash belongs to job 1, which is running with another payload/});
	await queue.complete(claim, '"old"');
	t.is((await queue.values(1))?.result, '"old"');
	t.like(await queue.batch('nightly'), {counts: {completed: 1}});
	t.deepEqual(await queue.enqueue([changed]), [{id: 1, existing: true, conflict: false}]);
	t.like(await queue.batch('nightly'), {counts: {pending: 1, completed: 0}});
	t.deepEqual(await queue.values(1), {payload: '2'});
});

law('jobs that did not work out and may be rerun get a new round when they are enqueued again, the others stay as they are', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock, status => ({key: status}));
	const again = Object.keys(ID_OF).map(key => newJob({key}));
	const before = await queue.jobs({});
	await queue.enqueue(again.map(job => ({...job, rerun: {changed: true, failed: false}})));
	t.deepEqual(await queue.jobs({}), before);
	const enqueued = await queue.enqueue(again.map(job => ({...job, rerun: {changed: false, failed: true}})));
	t.true(enqueued.every(({existing}) => existing));
	t.deepEqual(await statuses(queue), {
		pending: 'pending',
		running: 'running',
		failed: 'pending',
		completed: 'completed',
		dead: 'pending',
		cancelled: 'pending',
	});
	t.like(await jobOf(queue, ID_OF.dead), {attempts: 0, executions: 1});
});

law('a key is unique per task outside batches, and per batch inside', async (t, queue) => {
	const [one, two] = [await queue.openBatch('one', 'hash', OWNER), await queue.openBatch('two', 'hash', OWNER)];
	const places = [{}, {task: 'thumbnail'}, {batch: one}, {batch: two}];
	const jobs = places.map((place, index) => newJob({...place, key: 'a', payload: String(index)}));
	t.deepEqual(await queue.enqueue(jobs), [1, 2, 3, 4].map(fresh));
	t.deepEqual(
		(await queue.enqueue(jobs)).map(({id, existing}) => [id, existing]),
		[1, 2, 3, 4].map(id => [id, true]),
	);
});

law('a key stays taken when its job has ended, and is free once the job is cleaned up', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const jobs = [newJob({key: 'a'}), newJob({key: 'a', batch})];
	await enqueue(queue, ...jobs);
	await completeAll(queue);
	t.deepEqual(
		(await queue.enqueue(jobs)).map(({id, existing}) => [id, existing]),
		[
			[1, true],
			[2, true],
		],
	);
	await queue.closeBatch(batch, OWNER);
	await queue.cleanup({endedBefore: clock.now + 1});
	t.deepEqual(await enqueue(queue, newJob({key: 'a', payload: '"other"'})), [3]);
});

law('the empty text is a key like any other', async (t, queue) => {
	await enqueue(queue, newJob({key: ''}));
	t.deepEqual(await queue.enqueue([newJob({key: ''})]), [{id: 1, existing: true, conflict: false}]);
	t.is((await jobOf(queue, 1)).key, '');
	t.is((await take(queue)).jobs[0]?.key, '');
});

// Dequeuing

law('jobs are dequeued by priority, then in order of arrival, across tasks', async (t, queue) => {
	const priorities = [0, 5, -5, 5, 0, 1];
	await enqueue(queue, ...priorities.map((priority, index) => newJob({priority, task: TASKS[index % 2] as string})));
	t.deepEqual(idsOf(await take(queue, 3)), [2, 4, 6]);
	t.deepEqual(idsOf(await take(queue, 10)), [1, 5, 3]);
});

law('a dequeued job is running and tells what a worker needs', async (t, queue) => {
	await enqueue(queue, newJob({payload: '{"file":"a.png"}', key: 'a'}));
	t.deepEqual(await take(queue), {
		lease: 1,
		jobs: [{id: 1, task: 'hash', payload: '{"file":"a.png"}', createdAt: T0, execution: 1, attempts: 0, policy: POLICY, key: 'a'}],
	});
	t.like(await jobOf(queue, 1), {status: 'running', executions: 1, attempts: 0});
});

law('a running job is not given again', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	await take(queue);
	t.deepEqual(idsOf(await take(queue, 5, OTHER)), [2]);
	t.deepEqual(idsOf(await take(queue, 5)), []);
});

law('leases are 1, 2, 3…, one per dequeue that gave something', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	t.is((await take(queue, 2)).lease, 1);
	t.is((await queue.dequeue({owner: OWNER, tasks: ['unknown']})).lease, 0);
	t.is((await take(queue, 2)).lease, 2);
	t.deepEqual(await take(queue, 2), {lease: 0, jobs: []});
});

law('dequeue() gives one job unless told otherwise', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, tasks: TASKS})), [1]);
});

law('only jobs of the demanded tasks are given', async (t, queue) => {
	await enqueue(queue, newJob({task: 'thumbnail'}), newJob());
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, tasks: ['hash'], limit: 5})), [2]);
	t.deepEqual(idsOf(await queue.dequeue({owner: OWNER, tasks: [], limit: 5})), []);
});

law('a demand is kept: so many of each task, so many in all', async (t, queue) => {
	await enqueue(queue, ...['hash', 'hash', 'hash', 'thumbnail', 'hash', 'thumbnail'].map(task => newJob({task})));
	t.deepEqual(await demand(queue, {hash: 2, thumbnail: 1}, 10), [1, 2, 4]);
	t.deepEqual(await demand(queue, {hash: 0, thumbnail: 0}, 10), []);
	t.deepEqual(await demand(queue, {hash: 5, thumbnail: 5}, 2), [3, 5]);
	t.deepEqual(await demand(queue, {hash: 5, thumbnail: 5}, 0), []);
	t.deepEqual(await demand(queue, {hash: 0, thumbnail: 5}, 10), [6]);
});

law('a task at its limit does not stand in the way of others', async (t, queue) => {
	await enqueue(queue, newJob({priority: 9}), newJob({priority: 9}), newJob({task: 'thumbnail'}));
	t.deepEqual(await demand(queue, {hash: 1, thumbnail: 1}, 2), [1, 3]);
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

law('a dequeue gives one job, however large', async (t, queue) => {
	await enqueue(queue, newJob({payload: new Uint8Array(10_000)}), newJob({task: 'thumbnail'}), newJob());
	t.deepEqual(idsOf(await take(queue, 10, OWNER, 1)), [1]);
	t.deepEqual(idsOf(await take(queue, 10, OWNER, 0)), [2]);
});

law('the backlog is what could have been dequeued and was not', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob({task: 'thumbnail'}), newJob({task: 'unknown'}), newJob({runAt: T0 + 1}));
	t.is((await turnOf(queue, {})).backlog, 0);
	t.is((await turnOf(queue, {dequeue: {owner: OWNER, tasks: TASKS.map(task => ({task, limit: 1})), limit: 5, maxBytes: Infinity}})).backlog, 1);
	await queue.pause(['hash']);
	t.is((await turnOf(queue, {dequeue: {owner: OWNER, tasks: TASKS.map(task => ({task, limit: 1})), limit: 5, maxBytes: Infinity}})).backlog, 0);
	await queue.resume(['hash']);
	t.is((await turnOf(queue, {dequeue: {owner: OWNER, tasks: [{task: 'hash', limit: 0}], limit: 5, maxBytes: Infinity}})).backlog, 1);
});

law('a turn can settle a job and dequeue what it enqueued', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const result = await turnOf(queue, {
		settle: [{...claim, outcome: {type: 'released'}}],
		enqueue: [newJob()],
		dequeue: {owner: OWNER, tasks: [{task: 'hash', limit: 5}], limit: 5, maxBytes: Infinity},
	});
	t.deepEqual(result.settled, ['pending']);
	t.deepEqual(result.enqueued, [fresh(2)]);
	t.deepEqual(
		result.dequeued.jobs.map(({id, execution}) => [id, execution]),
		[
			[1, 2],
			[2, 1],
		],
	);
});

// Time

law('a delayed job is given at its time, not before', async (t, queue, clock) => {
	await enqueue(queue, newJob({runAt: T0 + 1000}));
	clock.now = T0 + 999;
	t.deepEqual(idsOf(await take(queue)), []);
	clock.now = T0 + 1000;
	t.deepEqual(idsOf(await take(queue)), [1]);
});

law('a job whose time has come waits no more: it has no runAt, and its turn comes by priority and arrival', async (t, queue, clock) => {
	await enqueue(queue, newJob({runAt: T0 + 2000}), newJob({runAt: T0 + 1000}), newJob({runAt: T0 + 3000, priority: 1}), newJob({runAt: T0 - 1}));
	t.is((await jobOf(queue, 4)).runAt, undefined);
	clock.now = T0 + 3000;
	t.deepEqual(idsOf(await take(queue, 2)), [3, 1]);
	t.is((await jobOf(queue, 2)).runAt, undefined);
	t.is((await jobOf(queue, 2)).status, 'pending');
});

law('delayed jobs of high priority are not in the way of others', async (t, queue) => {
	await enqueue(queue, newJob({runAt: T0 + 1, priority: 9}), newJob());
	t.deepEqual(idsOf(await take(queue, 5)), [2]);
});

law('a turn tells when the next waiting job becomes due', async (t, queue, clock) => {
	t.is((await turnOf(queue, {})).nextRunAt, null);
	t.is((await turnOf(queue, {enqueue: [newJob({runAt: T0 + 2000}), newJob({runAt: T0 + 1000, task: 'unknown'}), newJob()]})).nextRunAt, T0 + 1000);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.is((await turnOf(queue, {settle: [{...claim, outcome: {type: 'threw', error: ERROR}}]})).nextRunAt, T0 + 1000);
	await queue.cancel({task: 'unknown'});
	t.is((await turnOf(queue, {})).nextRunAt, T0 + 1000);
	await queue.cancel({status: 'failed'});
	t.is((await turnOf(queue, {})).nextRunAt, T0 + 2000);
	clock.now = T0 + 2000;
	const {nextRunAt} = await turnOf(queue, {dequeue: {owner: OWNER, tasks: [], limit: 0, maxBytes: 0}});
	t.is(nextRunAt, null);
});

// Settling

law('a returned job is completed, with its result, times and no error', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0 + 1, durationMs: 2});
	clock.now = T0 + 2000;
	t.is(await settleOne(queue, {type: 'returned', value: '{"bytes":3}', startedAt: T0 + 1990, durationMs: 7.25}), 'completed');
	const job = await jobOf(queue, 1);
	t.like(job, {status: 'completed', attempts: 1, executions: 2, startedAt: T0 + 1990, durationMs: 7.25, endedAt: T0 + 2000});
	t.false('error' in job);
	t.deepEqual(await queue.values(1), {payload: '1', result: '{"bytes":3}'});
});

for (const type of ['threw', 'timedOut', 'lostWorker'] as const) {
	law(
		`an execution that ${type === 'threw' ? 'threw' : type === 'timedOut' ? 'timed out' : 'lost its worker'} is charged, and tried again after the backoff`,
		async (t, queue, clock) => {
			await enqueue(queue, newJob());
			t.is(await settleOne(queue, {type, error: {...ERROR, reason: type}, startedAt: T0 - 5, durationMs: 5}), 'failed');
			const {endedAt, ...job} = await jobOf(queue, 1);
			t.is(endedAt, undefined);
			t.like(job, {status: 'failed', attempts: 1, runAt: T0 + 1000, startedAt: T0 - 5, durationMs: 5, error: {...ERROR, reason: type}});
			clock.now = T0 + 1000;
			const {jobs} = await take(queue);
			t.like(jobs[0] ?? {}, {id: 1, execution: 2, attempts: 1});
		},
	);
}

law('backoff grows with each attempt and is jittered by the die', async (t, queue, clock) => {
	const backoff = {baseMs: 1000, factor: 3, maxMs: 5000, jitter: 0.5};
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 9, backoff}}));
	for (const [index, random] of [0, 0.5, 0.25].entries()) {
		clock.random = random;
		await settleOne(queue, {type: 'threw', error: ERROR});
		const {runAt = 0} = await jobOf(queue, 1);
		t.is(runAt - clock.now, backoffMs(backoff, index + 1, random));
		clock.now = runAt;
	}
});

law('a job whose time comes again shows its last error until it is completed', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await settleOne(queue, {type: 'threw', error: ERROR});
	clock.now = T0 + 1000;
	await queue.dequeue({owner: OWNER, tasks: []});
	t.like(await jobOf(queue, 1), {status: 'pending', attempts: 1, error: ERROR});
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.like(await jobOf(queue, 1), {status: 'running', error: ERROR});
	await queue.complete(claim);
	t.false('error' in (await jobOf(queue, 1)));
});

law('a job without attempts left is dead, with the error of its last execution', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 2}}));
	t.is(await settleOne(queue, {type: 'threw', error: ERROR}), 'failed');
	clock.now = T0 + 1000;
	t.is(await settleOne(queue, {type: 'lostWorker', error: {...ERROR, reason: 'lostWorker', exitCode: 139}}), 'dead');
	t.like(await jobOf(queue, 1), {status: 'dead', attempts: 2, endedAt: T0 + 1000, error: {...ERROR, reason: 'lostWorker', exitCode: 139}});
	t.false('runAt' in (await jobOf(queue, 1)));
	t.deepEqual(Object.keys((await queue.values(1)) ?? {}), ['payload']);
});

law('an error keeps its causes', async (t, queue) => {
	await enqueue(queue, newJob());
	const error: FailureRecord = {reason: 'threw', name: 'Error', message: 'outer', causes: [{name: 'Thrown', message: 'ünïcode 😀', code: 5}]};
	await settleOne(queue, {type: 'threw', error});
	t.deepEqual((await jobOf(queue, 1)).error, error);
});

law('under manual retry a failed job is parked until somebody retries it', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, retry: 'manual'}}));
	t.is(await settleOne(queue, {type: 'threw', error: ERROR}), 'failed');
	t.false('runAt' in (await jobOf(queue, 1)));
	clock.now += 1e9;
	t.deepEqual(await turnOf(queue, {dequeue: {owner: OWNER, tasks: [{task: 'hash', limit: 1}], limit: 1, maxBytes: Infinity}}), {
		settled: [],
		enqueued: [],
		dequeued: {lease: 0, jobs: []},
		backlog: 0,
		nextRunAt: null,
	});
	t.is(await queue.retry({ids: [1]}), 1);
	t.deepEqual(idsOf(await take(queue)), [1]);
});

law('under manual retry a job is dead when its attempts are used up', async (t, queue) => {
	await enqueue(queue, newJob({policy: {...POLICY, retry: 'manual', maxAttempts: 1}}));
	t.is(await settleOne(queue, {type: 'threw', error: ERROR}), 'dead');
});

law('a cancelled execution is charged nothing', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	t.is(await settleOne(queue, {type: 'cancelled'}), 'cancelled');
	t.is(await settleOne(queue, {type: 'cancelled', error: {...ERROR, reason: 'cancelled'}, startedAt: T0, durationMs: 3}), 'cancelled');
	const [one, two] = await queue.jobs({});
	t.like(one ?? {}, {status: 'cancelled', attempts: 0, endedAt: T0});
	t.false('error' in (one ?? {}));
	t.like(two ?? {}, {status: 'cancelled', attempts: 0, endedAt: T0, startedAt: T0, durationMs: 3, error: {...ERROR, reason: 'cancelled'}});
});

law('a job that is cancelled keeps the error of its last execution, unless it is told another', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	for (const _ of [1, 2]) await settleOne(queue, {type: 'threw', error: ERROR});
	clock.now = T0 + 1000;
	await settleOne(queue, {type: 'cancelled'});
	await settleOne(queue, {type: 'cancelled', error: {...ERROR, reason: 'cancelled'}});
	t.deepEqual(
		(await queue.jobs({})).map(({status, attempts, error}) => [status, attempts, error?.reason]),
		[
			['cancelled', 1, 'threw'],
			['cancelled', 1, 'cancelled'],
		],
	);
});

law('a released job is ready again, in its old place, charged nothing; the number of the execution is used up', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	t.is(await settleOne(queue, {type: 'released'}), 'pending');
	t.like(await jobOf(queue, 1), {status: 'pending', attempts: 0, executions: 1});
	const {jobs} = await take(queue);
	t.like(jobs[0] ?? {}, {id: 1, execution: 2, attempts: 0});
});

law('a settlement whose job, lease or execution does not match is lost and changes nothing', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	await settleOne(queue, {type: 'released'});
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const before = await queue.jobs({});
	const wrong = [{id: 2}, {id: 99}, {lease: claim.lease - 1}, {lease: claim.lease + 1}, {execution: 1}, {execution: 3}];
	const settle = wrong.map(part => ({...claim, ...part, outcome: {type: 'returned', value: '9'} as const}));
	t.deepEqual(
		(await turnOf(queue, {settle})).settled,
		wrong.map(() => 'lost'),
	);
	t.deepEqual(await queue.jobs({}), before);
	t.deepEqual(await queue.settle(claim.lease, [{...claim, outcome: {type: 'returned', value: '1'}}]), {accepted: 1, lost: 0});
});

law(
	'of many that were enqueued and dequeued together each settles for itself, in whatever order; what is repeated, stale or of another lease changes nothing',
	async (t, queue, clock) => {
		await enqueue(queue, ...range(1, 10).map(payload => newJob({payload: String(payload)})));
		const claims = claimsOf(await take(queue, 8));
		const returned = (id: JobId, parts: Partial<Claim> = {}) => ({
			...(claims[id - 1] as Claim),
			...parts,
			outcome: {type: 'returned', value: `"${id}"`} as const,
		});
		const lease = (claims[0] as Claim).lease + 1;
		clock.now += 10;
		t.deepEqual(
			(await turnOf(queue, {settle: [returned(4), returned(2), returned(4), returned(3, {execution: 2}), returned(5, {lease}), returned(1)]})).settled,
			['completed', 'completed', 'lost', 'lost', 'lost', 'completed'],
		);
		t.deepEqual(
			(await turnOf(queue, {settle: [returned(2), {...(claims[6] as Claim), outcome: {type: 'threw', error: ERROR}}, returned(6), returned(5)]})).settled,
			['lost', 'failed', 'completed', 'completed'],
		);
		t.deepEqual(Object.fromEntries((await queue.jobs({})).map(({id, status}) => [id, status])), {
			1: 'completed',
			2: 'completed',
			3: 'running',
			4: 'completed',
			5: 'completed',
			6: 'completed',
			7: 'failed',
			8: 'running',
			9: 'pending',
			10: 'pending',
		});
		t.deepEqual(
			(await queue.ends(range(1, 10))).map(({id, status, value}) => [id, status, plain(value)]),
			[1, 2, 4, 5, 6].map(id => [id, 'completed', `"${id}"`]),
		);
		t.is(plain((await queue.values(4))?.result), '"4"');
		t.like(await jobOf(queue, 4), {executions: 1, endedAt: clock.now, resultBytes: 3});
		t.deepEqual(await queue.counts(), {pending: 2, running: 2, failed: 1, completed: 5, dead: 0, cancelled: 0});
		t.deepEqual(await listed(queue, {status: 'completed'}), [1, 2, 4, 5, 6]);
		t.is(await queue.retry({ids: [4]}), 1);
		t.deepEqual(await listed(queue, {status: 'completed'}), [1, 2, 5, 6]);
		t.deepEqual(idsOf(await take(queue, 3)), [4, 9, 10]);
		clock.now += 10;
		t.is((await queue.cleanup({endedBefore: clock.now})).deleted, 4);
		t.deepEqual(await listed(queue, {}), [3, 4, 7, 8, 9, 10]);
	},
);

law('an execution is settled once', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const {settled} = await turnOf(queue, {
		settle: [
			{...claim, outcome: {type: 'returned', value: '1'}},
			{...claim, outcome: {type: 'returned', value: '2'}},
		],
	});
	t.deepEqual(settled, ['completed', 'lost']);
	t.false(await queue.complete(claim, '3'));
	t.is((await queue.values(1))?.result, '1');
});

law('a lease can be settled in parts, and several leases in one turn, each job on its own', async (t, queue) => {
	await enqueue(queue, ...range(1, 6).map(() => newJob()));
	const [a, b, c] = claimsOf(await take(queue, 3)) as [Claim, Claim, Claim];
	const [d, e, f] = claimsOf(await take(queue, 3, OTHER)) as [Claim, Claim, Claim];
	t.true(await queue.complete(b));
	const outcomes: [Claim, Outcome][] = [
		[e, {type: 'threw', error: ERROR}],
		[b, {type: 'returned', value: '1'}],
		[c, {type: 'returned', value: '2'}],
		[
			{...d, lease: a.lease},
			{type: 'returned', value: '3'},
		],
		[f, {type: 'released'}],
		[a, {type: 'cancelled'}],
	];
	const {settled} = await turnOf(queue, {settle: outcomes.map(([claim, outcome]) => ({...claim, outcome}))});
	t.deepEqual(settled, ['failed', 'lost', 'completed', 'lost', 'pending', 'cancelled']);
	t.deepEqual(
		(await queue.jobs({})).map(({status}) => status),
		['cancelled', 'completed', 'completed', 'running', 'failed', 'pending'],
	);
	t.true(await queue.complete(d));
});

law('complete() and fail() settle one job, and tell when its claim was lost', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const [one, two] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	t.true(await queue.complete(one, '"done"'));
	t.true(await queue.fail(two, new RangeError('too far')));
	t.false(await queue.complete(one, '"again"'));
	t.false(await queue.fail(two, new Error('again')));
	t.is((await queue.values(one.id))?.result, '"done"');
	t.like((await jobOf(queue, two.id)).error ?? {}, {reason: 'threw', name: 'RangeError', message: 'too far'});
});

// Jobs that jobs enqueue

law('what a job enqueues is there once it is completed, and can be dequeued in the same turn', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const jobs = [newJob({payload: '"next"', priority: 3}), newJob({task: 'thumbnail', runAt: T0 + 1000, key: 'a'}), newJob({task: 'never seen'})];
	const result = await turnOf(queue, {
		settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: jobs}}],
		enqueue: [newJob()],
		dequeue: {owner: OWNER, tasks: TASKS.map(task => ({task, limit: 9})), limit: 9, maxBytes: Infinity},
	});
	t.deepEqual(result.settled, ['completed']);
	t.false('refused' in result);
	t.deepEqual(result.enqueued, [fresh(5)]);
	t.deepEqual(
		result.dequeued.jobs.map(({id, payload}) => [id, payload]),
		[
			[2, '"next"'],
			[5, '1'],
		],
	);
	t.is(result.nextRunAt, T0 + 1000);
	t.like(await jobOf(queue, 3), {task: 'thumbnail', status: 'pending', runAt: T0 + 1000, key: 'a'});
	t.is((await jobOf(queue, 4)).task, 'never seen');
	t.like(await queue.counts(), {pending: 2, running: 2, completed: 1});
	clock.now += 1000;
	t.deepEqual(idsOf(await take(queue, 9)), [3]);
});

law('what a job enqueues is dropped if its claim was lost', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const settlement = {...claim, outcome: {type: 'returned' as const, value: '1', enqueue: [newJob()]}};
	await turnOf(queue, {settle: [{...settlement, execution: 2}]});
	await turnOf(queue, {settle: [{...settlement, lease: claim.lease + 1}]});
	t.is((await queue.jobs({})).length, 1);
	t.deepEqual((await turnOf(queue, {settle: [settlement, settlement]})).settled, ['completed', 'lost']);
	t.is((await queue.jobs({})).length, 2);
});

law('of what a job enqueues, a key that exists with the same payload is not enqueued again', async (t, queue) => {
	await enqueue(queue, newJob({key: 'a', payload: '{"x":1,"y":2}'}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const jobs = [newJob({key: 'a', payload: '{"y":2,"x":1}'}), newJob({key: 'b'}), newJob({key: 'b'}), newJob({key: 'b', task: 'thumbnail', payload: '2'})];
	t.deepEqual((await turnOf(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: jobs}}]})).settled, ['completed']);
	t.deepEqual(
		(await queue.jobs({status: 'pending'})).map(({id, task, key}) => [id, task, key]),
		[
			[2, 'hash', 'b'],
			[3, 'thumbnail', 'b'],
		],
	);
});

law('a job that enqueues a key with another payload fails, charged, and enqueues nothing', async (t, queue, clock) => {
	await enqueue(queue, newJob({key: 'a', payload: '"held"', priority: -1}), newJob({policy: {...POLICY, maxAttempts: 2}}), newJob());
	const enqueues = [newJob(), newJob({key: 'b'}), newJob({key: 'a', payload: '"other"'})];
	for (const status of ['failed', 'dead'] as const) {
		const claims = claimsOf(await take(queue, status === 'failed' ? 2 : 1)) as [Claim, Claim];
		const outcomes: Outcome[] = [
			{type: 'returned', value: '"dropped"', enqueue: enqueues, startedAt: T0 + 5, durationMs: 2},
			{type: 'returned', value: null},
		];
		const {settled, refused} = await turnOf(queue, {
			notes: [{...claims[0], checkpoint: {at: T0, state: '7'}}],
			settle: claims.map((claim, index) => ({...claim, outcome: outcomes[index] as Outcome})),
		});
		t.is(settled[0], status);
		const error = refused?.get(0);
		t.like(error, {reason: 'threw', code: 'KeyConflict'});
		t.regex(error?.message ?? '', /^The key "a" of task hash, which this job enqueues, belongs to job 1, which has another payload\.$/);
		t.is(refused?.size, 1);
		t.like(await jobOf(queue, 2), {status, attempts: status === 'failed' ? 1 : 2, error, startedAt: T0 + 5, durationMs: 2});
		t.deepEqual(await queue.values(2), {payload: '1', checkpoint: {execution: claims[0].execution, at: T0, state: '7'}});
		clock.now += 10_000;
	}
	t.is((await jobOf(queue, 3)).status, 'completed');
	t.deepEqual(await listed(queue, {}), [1, 2, 3]);
	t.deepEqual(await enqueue(queue, newJob({key: 'b', payload: '"free"'})), [4]);
});

law('a job that enqueues one key with two payloads fails', async (t, queue) => {
	await enqueue(queue, newJob({policy: {...POLICY, retry: 'manual'}}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const jobs = [newJob({key: 'a', payload: '1'}), newJob({key: 'a', task: 'thumbnail', payload: '2'}), newJob({key: 'a', payload: '3'})];
	const {settled, refused} = await turnOf(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1', enqueue: jobs}}]});
	t.deepEqual(settled, ['failed']);
	t.regex(refused?.get(0)?.message ?? '', /belongs to another job that it enqueues/);
	t.deepEqual(await listed(queue, {}), [1]);
});

law('jobs that jobs enqueue come in the order of the settlements, whatever their leases, and each sees the keys of those before', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	const [first, third] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	const [second] = claimsOf(await take(queue)) as [Claim];
	const settle = [first, second, third].map((claim, index) => ({
		...claim,
		outcome: {type: 'returned' as const, value: null, enqueue: [newJob({payload: String(index), key: index === 0 ? 'a' : 'b'})]},
	}));
	const {settled, refused} = await turnOf(queue, {settle});
	t.deepEqual(settled, ['completed', 'completed', 'failed']);
	t.deepEqual([...(refused?.keys() ?? [])], [2]);
	t.deepEqual(await Promise.all([4, 5].map(async id => (await queue.values(id))?.payload)), ['0', '1']);
});

law('what ends without enqueuing anything frees its key for what jobs of the same turn enqueue, wherever it stands in it', async (t, queue) => {
	await enqueue(queue, newJob(), newJob({key: 'a'}));
	const [maker, withdrawn] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	await queue.withdraw([2], {stop: false});
	const {settled} = await turnOf(queue, {
		settle: [
			{...maker, outcome: {type: 'returned', value: null, enqueue: [newJob({key: 'a'})]}},
			{...withdrawn, outcome: {type: 'released'}},
		],
	});
	t.deepEqual(settled, ['completed', 'withdrawn']);
	t.like(await jobOf(queue, 3), {key: 'a', status: 'pending'});
});

// Cancelling

law('cancelling ends pending and failed jobs at once and leaves ended ones alone', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const dead = await jobOf(queue, ID_OF.dead);
	const completed = await jobOf(queue, ID_OF.completed);
	clock.now += 5;
	t.deepEqual(await queue.cancel({}), {cancelled: [ID_OF.pending, ID_OF.failed], asked: [ID_OF.running]});
	t.deepEqual([await jobOf(queue, ID_OF.dead), await jobOf(queue, ID_OF.completed)], [dead, completed]);
	for (const id of [ID_OF.pending, ID_OF.failed]) {
		const job = await jobOf(queue, id);
		t.like(job, {status: 'cancelled', endedAt: clock.now});
		t.false('runAt' in job);
	}
	t.like(await jobOf(queue, ID_OF.failed), {attempts: 1, error: ERROR});
	t.deepEqual(idsOf(await take(queue, 10)), []);
});

law('a delayed job that was cancelled never runs', async (t, queue, clock) => {
	await enqueue(queue, newJob({runAt: T0 + 10}));
	await queue.cancel({ids: [1]});
	clock.now += 10;
	t.deepEqual(idsOf(await take(queue)), []);
	t.is((await turnOf(queue, {})).nextRunAt, null);
});

law('a running job is cancelled by asking its owner, who is told until the job is settled', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	const [one, two] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	const [three] = claimsOf(await take(queue, 1, OTHER)) as [Claim];
	t.deepEqual(await queue.stops(OWNER), []);
	t.deepEqual(await queue.cancel({ids: [1, 3]}), {cancelled: [], asked: [1, 3]});
	t.deepEqual(await queue.cancel({ids: [1]}), {cancelled: [], asked: [1]});
	t.deepEqual(await queue.stops(OWNER), [one]);
	t.deepEqual(await queue.stops(OTHER), [three]);
	t.is((await jobOf(queue, 1)).status, 'running');
	await turnOf(queue, {settle: [one, two].map(claim => ({...claim, outcome: {type: 'cancelled'}}))});
	t.deepEqual(await queue.stops(OWNER), []);
	t.deepEqual(await queue.stops(OTHER), [three]);
	t.deepEqual(await queue.stops('unknown'), []);
});

law('a job that returns in spite of a cancel is completed', async (t, queue) => {
	t.is(await settleAsked(queue, {type: 'returned', value: '1'}), 'completed');
	t.is((await queue.values(1))?.result, '1');
});

law('a released job is cancelled if that was asked', async (t, queue) => {
	t.is(await settleAsked(queue, {type: 'released'}), 'cancelled');
	t.like(await jobOf(queue, 1), {status: 'cancelled', attempts: 0, endedAt: T0});
});

law('an execution that fails after a cancel was asked is charged, and its job cancelled with that error', async (t, queue) => {
	t.is(await settleAsked(queue, {type: 'timedOut', error: {...ERROR, reason: 'timedOut'}}), 'cancelled');
	t.like(await jobOf(queue, 1), {status: 'cancelled', attempts: 1, endedAt: T0, error: {...ERROR, reason: 'timedOut'}});
});

law('a cancel asks one execution: a retried job runs unasked', async (t, queue) => {
	await settleAsked(queue, {type: 'cancelled'});
	await queue.retry({});
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.deepEqual(await queue.stops(OWNER), []);
	t.deepEqual((await turnOf(queue, {settle: [{...claim, outcome: {type: 'released'}}]})).settled, ['pending']);
});

// Withdrawing

law('withdrawing deletes what has not begun or waits to be tried again, leaves what has ended, and asks for what runs', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock, key => ({key}));
	const ended = [await jobOf(queue, ID_OF.completed), await jobOf(queue, ID_OF.dead), await jobOf(queue, ID_OF.cancelled)];
	t.deepEqual(await queue.withdraw([...Object.values(ID_OF), 99], {stop: false}), {withdrawn: [ID_OF.pending, ID_OF.failed], asked: [ID_OF.running]});
	t.deepEqual(await listed(queue, {}), [ID_OF.running, ID_OF.completed, ID_OF.dead, ID_OF.cancelled]);
	t.deepEqual([await jobOf(queue, ID_OF.completed), await jobOf(queue, ID_OF.dead), await jobOf(queue, ID_OF.cancelled)], ended);
	t.deepEqual(await enqueue(queue, newJob({key: 'pending', payload: '"other"'})), [7]);
	t.is((await queue.values(ID_OF.failed))?.payload, undefined);
});

for (const stop of [false, true]) {
	law(`a running job that is withdrawn ${stop ? 'is stopped' : 'may end'}: what ends it counts, after anything else it is gone`, async (t, queue) => {
		const once = {...POLICY, maxAttempts: 1};
		await enqueue(queue, ...range(1, 6).map(id => newJob({key: String(id), policy: id === 3 ? once : POLICY})));
		const claims = claimsOf(await take(queue, 6));
		t.deepEqual(await queue.withdraw(range(1, 6), {stop}), {withdrawn: [], asked: range(1, 6)});
		t.deepEqual(await queue.stops(OWNER), stop ? claims : []);
		t.is((await queue.counts()).running, 6);
		const outcomes: Outcome[] = [
			{type: 'returned', value: '1'},
			{type: 'threw', error: ERROR},
			{type: 'threw', error: ERROR},
			{type: 'cancelled'},
			{type: 'released'},
		];
		const {settled} = await turnOf(queue, {settle: outcomes.map((outcome, index) => ({...(claims[index] as Claim), outcome}))});
		t.deepEqual(settled, ['completed', 'withdrawn', 'dead', 'withdrawn', 'withdrawn']);
		await queue.leave(OWNER);
		t.deepEqual(await listed(queue, {}), [1, 3]);
		t.deepEqual(await queue.counts(), {pending: 0, running: 0, failed: 0, completed: 1, dead: 1, cancelled: 0});
		t.deepEqual(await queue.enqueue([newJob({key: '4', payload: '"other"'})]), [fresh(7)]);
	});
}

law('a cancel overrides a withdrawal, and a withdrawal that stops one that does not', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	const claims = claimsOf(await take(queue, 3));
	await queue.withdraw([1, 2], {stop: false});
	await queue.cancel({ids: [1, 3]});
	await queue.withdraw([2, 3], {stop: true});
	t.deepEqual(await queue.stops(OWNER), claims);
	const {settled} = await turnOf(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'cancelled'}}))});
	t.deepEqual(settled, ['cancelled', 'withdrawn', 'cancelled']);
});

law('a batch of which a job is withdrawn does not complete with it: its input is needed again', async (t, queue) => {
	const heard: string[] = [];
	queue.onBatchCompleted(({batch}) => heard.push(batch));
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, newJob({batch}), newJob({batch}));
	await queue.endInput(batch, 2, OWNER);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await queue.withdraw([1, 2], {stop: false});
	await turnOf(queue, {settle: [{...claim, outcome: {type: 'released'}}]});
	t.deepEqual([heard, await listed(queue, {})], [[], []]);
	t.like(await queue.batch('one'), {total: undefined, counts: {pending: 0, running: 0}});
});

// Retrying

law('retry() takes up what did not work out, and leaves what did', async (t, queue, clock) => {
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

law('retry() takes up completed jobs when they are named by status or id', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	t.is(await queue.retry({task: 'hash', status: ['completed', 'running', 'pending']}), 1);
	await completeAll(queue);
	t.is(await queue.retry({ids: Object.values(ID_OF), status: 'dead'}), 1);
	t.is(await queue.retry({ids: [ID_OF.completed, ID_OF.running, 99]}), 1);
});

law('a retried job begins a new round: pending, without attempts, error, result or end', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 1}}), newJob());
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0, durationMs: 1});
	await settleOne(queue, {type: 'returned', value: '1', startedAt: T0, durationMs: 1});
	clock.now += 10;
	t.is(await queue.retry({ids: [1, 2]}), 2);
	for (const job of await queue.jobs({})) {
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

law('a retried job can be tried as often as a new one', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 2}}));
	await settleOne(queue, {type: 'threw', error: ERROR});
	await queue.retry({});
	t.is(await settleOne(queue, {type: 'threw', error: ERROR}), 'failed');
	clock.now += 1000;
	t.is(await settleOne(queue, {type: 'threw', error: ERROR}), 'dead');
});

// Pausing

for (const to of ['cancelled', 'pending', 'discarded'] as const) {
	law(`pages move to ${to} what one move does, in order of arrival, and no page more than its limit`, async (t, queue, clock) => {
		for (let round = 0; round < 3; round++) await oneJobOfEachStatus(queue, clock);
		const meant = (await queue.jobs({})).filter(({status}) => movedTo(to, {}).includes(status)).map(({id}) => id);
		const moved: JobId[] = [];
		for (let page: MovePage | null = {limit: 2}; page; ) {
			const {ids, asked, next}: Moved = await queue.move({}, to, page);
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

law('a page moves the jobs that match when it is taken, and none that came after the first page', async (t, queue) => {
	const ids = await enqueue(queue, ...range(1, 6).map(() => newJob()));
	const first = await queue.move({task: 'hash'}, 'cancelled', {limit: 2});
	t.deepEqual([first.ids, first.asked], [ids.slice(0, 2), []]);
	// Meanwhile the third job completes, the fourth starts, and another one arrives.
	await settleOne(queue, {type: 'returned', value: '1'});
	await take(queue);
	const [late] = await enqueue(queue, newJob());
	const moved = {ids: [] as JobId[], asked: [] as JobId[]};
	for (let page = first.next; page; ) {
		const {ids, asked, next}: Moved = await queue.move({task: 'hash'}, 'cancelled', page);
		moved.ids.push(...ids);
		moved.asked.push(...asked);
		page = next;
	}
	t.deepEqual(moved, {ids: [5, 6], asked: [4]});
	t.is((await jobOf(queue, late)).status, 'pending');
});

law('a verb takes as many jobs as there are, named by a filter or by their ids, in any order and however often', async (t, queue) => {
	const run: NewRun = {task: 'hash', priority: 0, runAt: null, policy: POLICY, payloads: toPackedStrings(range(1, 4500).map(String))};
	await turnOf(queue, {enqueue: [run]});
	const some = range(1, 2500).reverse();
	const {cancelled, asked} = await queue.cancel({ids: [...some, ...some, 9999]});
	t.deepEqual([cancelled.toSorted((a, b) => a - b), asked], [range(1, 2500), []]);
	t.is(await queue.retry({task: 'hash'}), 2500);
	const {withdrawn} = await queue.withdraw(range(1, 4500), {stop: false});
	t.deepEqual(
		withdrawn.toSorted((a, b) => a - b),
		range(1, 4500),
	);
	t.deepEqual(await queue.counts(), {pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0});
});

law('pages follow each other through all jobs of a filter, wherever jobs of other statuses, tasks and batches lie between', async (t, queue, clock) => {
	const batch = await queue.openBatch('one', 'hash', OWNER);
	for (let round = 0; round < 8; round++) {
		await oneJobOfEachStatus(queue, clock, () => (round % 2 === 0 ? {batch, key: String(Math.random())} : {}));
		await enqueue(queue, newJob({task: 'thumbnail', priority: round % 3}), newJob({runAt: clock.now + 1000}));
	}
	const all = await queue.jobs({}, {limit: 1000});
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
				page = await queue.jobs({...filter, ...(status !== undefined && {status})}, {after, limit: 3});
				if (page.length === 0) break;
				found.push(...page);
			}
			t.deepEqual(found, all.filter(isMeant), JSON.stringify({...filter, status}));
		}
	}
});

law('jobs of a paused task are enqueued, not dequeued, and not in the way of others', async (t, queue) => {
	await queue.pause(['hash']);
	t.deepEqual(await enqueue(queue, newJob({priority: 9}), newJob({task: 'thumbnail'})), [1, 2]);
	t.deepEqual(idsOf(await take(queue, 5)), [2]);
	await queue.resume(['hash']);
	t.deepEqual(idsOf(await take(queue, 5)), [1]);
});

law('a task can be paused before anybody enqueued a job of it, and pausing twice is pausing', async (t, queue) => {
	await queue.pause(['hash', 'later']);
	await queue.pause(['hash']);
	t.deepEqual([...(await queue.paused())].sort(), ['hash', 'later']);
	await queue.resume(['hash', 'never paused']);
	t.deepEqual(await queue.paused(), ['later']);
});

law('pausing does not touch what runs', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await queue.pause(['hash']);
	t.deepEqual(await queue.stops(OWNER), []);
	t.true(await queue.complete(claim));
});

// Counting

law('counts covers all six statuses, of all tasks or of one', async (t, queue, clock) => {
	const none = {pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
	t.deepEqual(await queue.counts(), none);
	await oneJobOfEachStatus(queue, clock);
	await enqueue(queue, newJob({task: 'thumbnail', runAt: clock.now + 1}));
	t.deepEqual(await queue.counts(), {pending: 2, running: 1, failed: 1, completed: 1, dead: 1, cancelled: 1});
	t.deepEqual(await queue.counts({task: 'thumbnail'}), {...none, pending: 1});
	t.deepEqual(await queue.counts({task: 'unknown'}), none);
});

law('outstanding is what can still run by itself: not parked, not paused', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	await enqueue(queue, newJob({runAt: clock.now + 100}), newJob({task: 'thumbnail'}));
	t.is(await queue.outstanding(['hash']), 4);
	t.is(await queue.outstanding(TASKS), 5);
	t.is(await queue.outstanding([]), 0);
	t.is(await queue.outstanding(['hash'], {waiting: false}), 2);
	t.is(await queue.outstanding(TASKS, {waiting: false}), 3);
	await queue.pause(['hash']);
	t.is(await queue.outstanding(TASKS, {waiting: false}), 2);
	t.is(await queue.outstanding(['hash']), 1);
	t.is(await queue.outstanding(TASKS), 2);
});

law('a parked job is not outstanding', async (t, queue) => {
	await enqueue(queue, newJob({policy: {...POLICY, retry: 'manual'}}));
	await settleOne(queue, {type: 'threw', error: ERROR});
	t.is(await queue.outstanding(['hash']), 0);
});

// Looking

law('jobs are listed in order of arrival, page by page', async (t, queue) => {
	await enqueue(queue, ...range(1, 120).map(id => newJob({priority: id % 3})));
	t.deepEqual(await listed(queue, {}), range(1, 100));
	t.deepEqual(
		(await queue.jobs({}, {after: 100})).map(({id}) => id),
		range(101, 120),
	);
	t.deepEqual(
		(await queue.jobs({}, {after: 5, limit: 2})).map(({id}) => id),
		[6, 7],
	);
	t.deepEqual(await queue.jobs({}, {limit: 0}), []);
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

law('a job that is not there has no description, no values and no log', async (t, queue) => {
	t.is(await queue.job(1), undefined);
	t.is(await queue.values(1), undefined);
	t.deepEqual(await queue.logs(1), []);
});

law('the ends of jobs tell how those that ended did, and which are not there', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const jobs = await queue.jobs({});
	const ends = await queue.ends([...jobs.map(({id}) => id), 999]);
	const expected = await Promise.all(
		jobs
			.filter(({status}) => ['completed', 'dead', 'cancelled'].includes(status))
			.map(async ({id, status, error}) => {
				const value = status === 'completed' ? ((await queue.values(id))?.result ?? null) : null;
				return {id, status, value, ...(error && status !== 'completed' && {error})};
			}),
	);
	t.is(expected.length, 3);
	t.deepEqual(ends, [...expected, {id: 999, status: 'missing', value: null}] as typeof ends);
});

// Notes

law('progress is shown until the job is dequeued again', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await turnOf(queue, {notes: [{...claim, progress: {done: 1, total: 4, at: T0}}]});
	t.deepEqual((await jobOf(queue, 1)).progress, {done: 1, total: 4, at: T0});
	await turnOf(queue, {notes: [{...claim, progress: {done: 2.5, at: T0 + 1}}]});
	await turnOf(queue, {notes: [{...claim, logs: [{at: T0 + 2, level: 'info', text: 'line'}]}]});
	t.deepEqual((await jobOf(queue, 1)).progress, {done: 2.5, at: T0 + 1});
	await turnOf(queue, {settle: [{...claim, outcome: {type: 'released'}}]});
	t.deepEqual((await jobOf(queue, 1)).progress, {done: 2.5, at: T0 + 1});
	await take(queue);
	t.false('progress' in (await jobOf(queue, 1)));
});

law('log lines are kept in order, each with its level, over all executions', async (t, queue) => {
	await enqueue(queue, newJob());
	for (const execution of [1, 2]) {
		const [claim] = claimsOf(await take(queue)) as [Claim];
		await turnOf(queue, {notes: [{...claim, logs: [{at: T0, level: 'debug', text: `begin ${execution}`}]}]});
		await turnOf(queue, {notes: [{...claim, logs: [{at: T0 + 1, level: 'error', text: 'ä\n'}]}], settle: []});
		await turnOf(queue, {settle: [{...claim, outcome: {type: 'released'}}]});
	}
	t.deepEqual(await queue.logs(1), [
		{execution: 1, at: T0, level: 'debug', text: 'begin 1'},
		{execution: 1, at: T0 + 1, level: 'error', text: 'ä\n'},
		{execution: 2, at: T0, level: 'debug', text: 'begin 2'},
		{execution: 2, at: T0 + 1, level: 'error', text: 'ä\n'},
	]);
});

law('a job keeps its latest log lines, up to a limit', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const [claim, other] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	const lines = range(1, MAX_LOG_LINES + 5).map(at => ({at, level: 'info' as const, text: `line ${at}`}));
	await turnOf(queue, {notes: [{...other, logs: [{at: 0, level: 'info', text: 'spared'}]}]});
	await turnOf(queue, {notes: [{...claim, logs: lines}]});
	await turnOf(queue, {notes: [{...claim, logs: [{at: 999, level: 'info', text: 'last'}]}]});
	t.deepEqual(
		(await queue.logs(1)).map(({at}) => at),
		[...range(7, MAX_LOG_LINES + 5), 999],
	);
	t.is((await queue.logs(2)).length, 1);
});

law('what an execution says last is kept, though it is settled in the same turn', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const note = {...claim, progress: {done: 4, total: 4, at: T0}, logs: [{at: T0, level: 'info' as const, text: 'done'}]};
	await turnOf(queue, {notes: [note], settle: [{...claim, outcome: {type: 'returned', value: '1'}}]});
	t.like(await jobOf(queue, 1), {status: 'completed', progress: {done: 4, total: 4, at: T0}});
	t.deepEqual(await queue.logs(1), [{execution: 1, at: T0, level: 'info' as const, text: 'done'}]);
});

law('a checkpoint is given with each execution after its own, whatever became of that, until the job completes', async (t, queue, clock) => {
	const ends: Outcome[] = [{type: 'threw', error: ERROR}, {type: 'released'}, {type: 'timedOut', error: ERROR}, {type: 'cancelled'}];
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 2}}));
	t.false('checkpoint' in ((await queue.values(1)) ?? {}));
	for (const [index, outcome] of ends.entries()) {
		const dequeued = await take(queue);
		t.is(dequeued.jobs[0]?.checkpoint, index === 0 ? undefined : `"state ${index}"`);
		const [claim] = claimsOf(dequeued) as [Claim];
		await turnOf(queue, {notes: [{...claim, checkpoint: {at: T0, state: '"replaced"'}}]});
		await turnOf(queue, {notes: [{...claim, checkpoint: {at: T0 + index, state: `"state ${index + 1}"`}}]});
		await turnOf(queue, {settle: [{...claim, outcome}]});
		t.deepEqual((await queue.values(1))?.checkpoint, {execution: index + 1, at: T0 + index, state: `"state ${index + 1}"`});
		clock.now += 100_000;
		await queue.retry({});
	}
	const last = await take(queue);
	t.like(last.jobs[0], {execution: 5, checkpoint: '"state 4"'});
	t.true(await queue.complete(claimsOf(last)[0] as Claim));
	t.false('checkpoint' in ((await queue.values(1)) ?? {}));
	await queue.retry({ids: [1]});
	t.false('checkpoint' in ((await take(queue)).jobs[0] ?? {}));
});

law('a job that gets another payload begins without a checkpoint', async (t, queue) => {
	await enqueue(queue, newJob({key: 'a', payload: '1'}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await turnOf(queue, {notes: [{...claim, checkpoint: {at: T0, state: '"of payload 1"'}}], settle: [{...claim, outcome: {type: 'cancelled'}}]});
	await turnOf(queue, {enqueue: [newJob({key: 'a', payload: '2', rerun: {changed: true, failed: true}})]});
	const [job] = (await take(queue)).jobs;
	t.is(job?.payload, '2');
	t.false('checkpoint' in (job ?? {}));
});

law('a checkpoint may be text, bytes or nothing', async (t, queue) => {
	await enqueue(queue, ...PAYLOADS.map(() => newJob()));
	const claims = claimsOf(await take(queue, 10));
	await turnOf(queue, {
		notes: claims.map((claim, index) => ({...claim, checkpoint: {at: T0, state: PAYLOADS[index] ?? null}})),
		settle: claims.map(claim => ({...claim, outcome: {type: 'released'}})),
	});
	t.deepEqual(
		(await take(queue, 10)).jobs.map(job => plain(job.checkpoint)),
		PAYLOADS.map(plain),
	);
});

law('the job of an owner that died goes on from its checkpoint', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await turnOf(queue, {notes: [{...claim, checkpoint: {at: T0, state: '1'}}]});
	await outlast(queue, clock);
	t.like((await take(queue, 1, OTHER)).jobs[0], {execution: 2, checkpoint: '1'});
	await turnOf(queue, {notes: [{...claim, checkpoint: {at: T0, state: '"late"'}}]});
	t.is((await queue.values(1))?.checkpoint?.state, '1');
});

law('jobs of one lease that end in one turn each keep their own checkpoint, but for those that complete', async (t, queue) => {
	await enqueue(queue, ...range(1, 4).map(() => newJob()));
	const [first, second, third, fourth] = claimsOf(await take(queue, 4)) as [Claim, Claim, Claim, Claim];
	const notes = [first, second, third, fourth].map(claim => ({...claim, checkpoint: {at: T0, state: String(claim.id)}}));
	const done: Outcome = {type: 'returned', value: null};
	await turnOf(queue, {
		notes,
		settle: [
			{...first, outcome: done},
			{...third, outcome: {type: 'cancelled'}},
			{...fourth, outcome: done},
		],
	});
	const states = await Promise.all([1, 2, 3, 4].map(async id => (await queue.values(id))?.checkpoint?.state));
	t.deepEqual(states, [undefined, '2', '3', undefined]);
	t.true(await queue.complete(second));
});

law('a note whose claim was lost is dropped', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const note = {progress: {done: 1, at: T0}, logs: [{at: T0, level: 'info' as const, text: 'late'}], checkpoint: {at: T0, state: '1'}};
	await turnOf(queue, {notes: [{id: 99}, {lease: claim.lease + 1}, {execution: 2}].map(wrong => ({...claim, ...wrong, ...note}))});
	await queue.complete(claim);
	await turnOf(queue, {notes: [{...claim, ...note}]});
	t.false('progress' in (await jobOf(queue, 1)));
	t.false('checkpoint' in ((await queue.values(1)) ?? {}));
	t.deepEqual(await queue.logs(1), []);
});

// Owners

/** Looks at the owners for so long. Returns how many jobs were taken back. */
async function outlast(queue: JobQueue, clock: Clock, ms = LEASE_MS + 1): Promise<number> {
	let jobs = await queue.recover();
	for (const until = clock.now + ms; clock.now < until; ) {
		clock.now = Math.min(until, clock.now + LEASE_MS / 2);
		jobs += await queue.recover();
	}
	return jobs;
}

law('an owner that is silent for longer than the lease loses its jobs, uncharged', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	const [lost] = claimsOf(await take(queue, 2)) as [Claim];
	await queue.cancel({ids: [2]});
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.is(await outlast(queue, clock, 1), 2);
	t.is(await queue.recover(), 0);
	t.like(await jobOf(queue, 1), {status: 'pending', attempts: 0, executions: 1});
	t.like(await jobOf(queue, 2), {status: 'cancelled', attempts: 0, endedAt: clock.now});
	t.false(await queue.complete(lost));
	t.deepEqual(
		(await take(queue, 5, OTHER)).jobs.map(({id, execution}) => [id, execution]),
		[[1, 2]],
	);
});

law('a heartbeat keeps an owner alive, and with it all its leases; a dequeue does not', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	await take(queue);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.true(await queue.heartbeat(OWNER));
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	await take(queue);
	t.is(await outlast(queue, clock, 1), 2);
});

law('only the silent owner loses jobs', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	await take(queue);
	await take(queue, 1, OTHER);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	await queue.heartbeat(OTHER);
	t.is(await outlast(queue, clock, 1), 1);
	t.deepEqual(
		(await queue.jobs({})).map(({status}) => status),
		['pending', 'running'],
	);
});

law('a clock that jumps takes nobody for silent, and hides nobody who is', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	for (const jump of [86_400_000, -86_400_000]) {
		await take(queue);
		await queue.recover();
		clock.now += jump;
		clock.jumpedMs += jump;
		t.is(await outlast(queue, clock, LEASE_MS), 0);
		t.is(await outlast(queue, clock, 1), 1);
		t.false(await queue.heartbeat(OWNER));
	}
});

law('who has left and comes again by the same name has a whole lease, even where its heartbeat is that of the one before', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await queue.heartbeat(OWNER);
	await queue.recover();
	await queue.leave(OWNER);
	// Time goes on, and the wall clock is set back to where it was.
	clock.jumpedMs -= LEASE_MS / 2;
	await take(queue);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.is(await outlast(queue, clock, 1), 1);
});

law('who did not look for long, as after a sleep, takes nobody for silent that was not seen to be', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await take(queue);
	clock.now += 10 * LEASE_MS;
	t.is(await queue.recover(), 0);
	clock.now += 10 * LEASE_MS;
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.is(await outlast(queue, clock, 1), 1);
});

law('a heartbeat tells an owner that it was given up, once', async (t, queue, clock) => {
	t.true(await queue.heartbeat(OWNER));
	clock.now += LEASE_MS + 1;
	t.true(await queue.heartbeat(OWNER));
	await outlast(queue, clock);
	t.false(await queue.heartbeat(OWNER));
	t.true(await queue.heartbeat(OWNER));
});

law('an owner that lives elsewhere can be renewed, and learns that it was given up', async (t, queue, clock) => {
	t.false(await queue.renew(OWNER));
	await enqueue(queue, newJob());
	await take(queue);
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.true(await queue.renew(OWNER));
	t.is(await outlast(queue, clock, LEASE_MS), 0);
	t.is(await outlast(queue, clock, 1), 1);
	t.false(await queue.renew(OWNER));
	t.false(await queue.heartbeat(OWNER));
	t.true(await queue.renew(OWNER));
});

law('an owner that leaves gives its jobs back, uncharged', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob());
	const [one] = claimsOf(await take(queue, 2)) as [Claim];
	await take(queue, 1, OTHER);
	await queue.cancel({ids: [2]});
	await queue.leave(OWNER);
	t.deepEqual(
		(await queue.jobs({})).map(({status, attempts}) => [status, attempts]),
		[
			['pending', 0],
			['cancelled', 0],
			['running', 0],
		],
	);
	t.false(await queue.complete(one));
	await queue.leave('unknown');
});

law('what an owner was given and did not hear of is given back, uncharged; what it knows of stays its own', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob(), newJob());
	const {lease} = await take(queue);
	const [unheard] = claimsOf(await take(queue, 2)) as [Claim];
	await take(queue, 1, OTHER);
	await queue.cancel({ids: [3]});
	t.is(await queue.giveBack(OWNER, lease), 2);
	t.is(await queue.giveBack(OWNER, lease), 0);
	t.is(await queue.giveBack('unknown', 0), 0);
	t.deepEqual(
		(await queue.jobs({})).map(({status, attempts}) => [status, attempts]),
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

law('an owner that was given up goes on with new leases', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const old = await take(queue);
	await outlast(queue, clock);
	await queue.heartbeat(OWNER);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.not(claim.lease, old.lease);
	t.deepEqual((await turnOf(queue, {settle: [...claimsOf(old), claim].map(each => ({...each, outcome: {type: 'returned', value: '1'}}))})).settled, [
		'lost',
		'completed',
	]);
});

// Suspects

/** Kills, as it were, the owner of all that runs, so many times, each time with the first jobs open in a worker, suspects or not. */
async function killHost(queue: JobQueue, clock: Clock, opened: OpenedJobs, jobs: number, times = 1): Promise<void> {
	for (let time = 0; time < times; time++) {
		const {lease, jobs: taken} = await take(queue, jobs);
		opened.show(
			queue,
			OWNER,
			lease,
			taken.map(({id}) => id),
		);
		await outlast(queue, clock);
		await queue.heartbeat(OWNER);
	}
}

function turnFor(queue: JobQueue, ...tasks: TaskDemand[]): Promise<PlainResult> {
	return turnOf(queue, {dequeue: {owner: OWNER, tasks, limit: 10, maxBytes: Infinity}});
}

law('of the jobs of a dead owner those are suspects that a worker had open and whose outcomes were not final', async (t, queue, clock, opened) => {
	await enqueue(queue, ...Array.from({length: 5}, () => newJob()));
	const {lease} = await take(queue, 4);
	opened.show(queue, OWNER, lease, [1, 2, 3], 1);
	t.is(await outlast(queue, clock), 4);
	await queue.heartbeat(OWNER);
	t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 9, suspects: true})).dequeued), [2, 3]);
	t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 9})).dequeued), [1, 4, 5]);
	for (const id of [1, 2, 3, 4]) t.like(await jobOf(queue, id), {attempts: 0, executions: 2});
});

law('an owner that dies without a job open leaves no suspect, nor does one that leaves', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob(), newJob());
	await take(queue, 2);
	await outlast(queue, clock);
	await queue.heartbeat(OWNER);
	const {lease} = await take(queue, 2);
	opened.show(queue, OWNER, lease, [1, 2], 2);
	await outlast(queue, clock);
	await queue.heartbeat(OWNER);
	const again = await take(queue, 2);
	opened.show(queue, OWNER, again.lease, [1, 2]);
	await queue.leave(OWNER);
	t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 9})).dequeued), [1, 2]);
});

law('what a worker had open by another lease, or of another owner, makes no job suspect', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob(), newJob());
	const {lease} = await take(queue);
	const other = await take(queue, 1, OTHER);
	opened.show(queue, OWNER, lease + 1, [1]);
	opened.show(queue, OTHER, lease, [1, 2]);
	t.is(await outlast(queue, clock), 2);
	await queue.heartbeat(OWNER);
	t.not(other.lease, lease);
	t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 9})).dequeued), [1, 2]);
});

law('only a dispatcher that asks for suspects gets them, and is told that they are', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob(), newJob(), newJob({task: 'thumbnail'}));
	await killHost(queue, clock, opened, 2);
	await enqueue(queue, newJob());
	const {dequeued, backlog} = await turnFor(queue, {task: 'hash', limit: 9});
	t.deepEqual([idsOf(dequeued), backlog], [[4], 0]);
	t.false('isSuspect' in (dequeued.jobs[0] as object));
	t.deepEqual([(await turnFor(queue, {task: 'hash', limit: 0, suspects: true})).backlog], [2]);
	const suspects = await turnFor(queue, {task: 'hash', limit: 1, suspects: true});
	t.deepEqual([idsOf(suspects.dequeued), suspects.backlog], [[1], 1]);
	t.true(suspects.dequeued.jobs[0]?.isSuspect);
	t.like(await jobOf(queue, 1), {status: 'running', attempts: 0, executions: 2});
});

law('each death of their host halves the suspects that run together, until each is alone', async (t, queue, clock, opened) => {
	const most = mostTogether(1);
	await enqueue(queue, ...Array.from({length: most + 1}, () => newJob()));
	const suspects = async () => {
		const tasks = [{task: 'hash', limit: 2 * most, suspects: true}];
		return idsOf((await turnOf(queue, {dequeue: {owner: OWNER, tasks, limit: 2 * most, maxBytes: Infinity}})).dequeued).length;
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
		await queue.heartbeat(OWNER);
		t.is(await suspects(), together);
		await queue.leave(OWNER);
		await killHost(queue, clock, opened, together);
	}
	await queue.heartbeat(OWNER);
	t.is(await suspects(), 1);
	t.like(await queue.counts(), {pending: most, running: 1, dead: 0, failed: 0});
});

law('the most suspect of the jobs that are dequeued together says how many they are', async (t, queue) => {
	await enqueue(queue, ...[9, 1, 9, 9, 10, 1].map(() => newJob()));
	const claims = claimsOf(await take(queue, 6));
	const levels = [1, 1, 9, 9, 10, 1];
	await turnOf(queue, {settle: claims.map((claim, index) => ({...claim, outcome: {type: 'released', suspicion: levels[index] ?? 0}}))});
	const groups: (readonly JobId[])[] = [];
	for (let group = 0; group < 4; group++) groups.push(idsOf((await turnFor(queue, {task: 'hash', limit: 9, suspects: true})).dequeued));
	t.deepEqual(groups, [[1, 2], [3, 4], [5], [6]]);
});

law('what an execution cost is kept, of the last one that failed or ended', async (t, queue, clock) => {
	await enqueue(queue, newJob({payload: '"in"'}));
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0 + 40, durationMs: 9, cpuMs: 8.5, memoryBytes: 700});
	t.like(await jobOf(queue, 1), {waitMs: 40, durationMs: 9, cpuMs: 8.5, memoryBytes: 700, payloadBytes: 4});
	t.false('resultBytes' in (await jobOf(queue, 1)));
	clock.now += 1000;
	await settleOne(queue, {type: 'returned', value: '"out"', startedAt: T0 + 1010, durationMs: 2, cpuMs: 1});
	const job = await jobOf(queue, 1);
	t.like(job, {durationMs: 2, cpuMs: 1, payloadBytes: 4, resultBytes: 5});
	t.false('waitMs' in job || 'memoryBytes' in job);
});

law('a running job tells since when it runs, once that was noted, and nothing of the execution before', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0 + 1, durationMs: 9, cpuMs: 8});
	clock.now += 1000;
	const [claim] = claimsOf(await take(queue)) as [Claim];
	t.like(await jobOf(queue, 1), {startedAt: T0 + 1, durationMs: 9});
	await turnOf(queue, {notes: [{...claim, startedAt: T0 + 1005}]});
	const job = await jobOf(queue, 1);
	t.like(job, {status: 'running', startedAt: T0 + 1005});
	t.false('durationMs' in job || 'cpuMs' in job);
	await turnOf(queue, {notes: [{...claim, lease: claim.lease + 1, startedAt: 7}]});
	t.is((await jobOf(queue, 1)).startedAt, T0 + 1005);
});

law('a timeout that is a share of the median is kept with the job', async (t, queue) => {
	await enqueue(queue, newJob({policy: {...POLICY, timeoutMs: null, timeoutPercent: 250}}), newJob());
	t.like(await jobOf(queue, 1), {timeoutMs: null, timeoutPercent: 250});
	t.false('timeoutPercent' in (await jobOf(queue, 2)));
	t.is((await take(queue)).jobs[0]?.policy.timeoutPercent, 250);
});

law('a suspect that is given back, or that killed its worker, stays one until it is retried', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob());
	await killHost(queue, clock, opened, 1);
	const lost: Outcome = {type: 'lostWorker', error: {reason: 'lostWorker', name: 'LostWorker', message: 'It crashed.'}};
	for (const outcome of [{type: 'released'}, lost, lost] satisfies Outcome[]) {
		clock.now += 3_600_000;
		await queue.heartbeat(OWNER);
		t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 1})).dequeued), []);
		const {dequeued} = await turnFor(queue, {task: 'hash', limit: 1, suspects: true});
		await turnOf(queue, {settle: claimsOf(dequeued).map(claim => ({...claim, outcome}))});
	}
	t.is(await queue.retry({ids: [1]}), 1);
	t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 1})).dequeued), [1]);
});

for (const [end, outcome] of [
	['throws', {type: 'threw', error: ERROR}],
	['times out', {type: 'timedOut', error: ERROR}],
	['completes', {type: 'returned', value: '1'}],
] as const) {
	law(`a suspect that ${end} is one no more`, async (t, queue, clock, opened) => {
		await enqueue(queue, newJob());
		await killHost(queue, clock, opened, 1);
		await settleOne(queue, outcome);
		if (outcome.type === 'returned') await queue.retry({ids: [1]});
		clock.now += 3_600_000;
		await queue.heartbeat(OWNER);
		t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 1})).dequeued), [1]);
	});
}

law('a job that is released as a suspect is one at once, and never less of one than it was', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	for (const suspicion of [MAX_SUSPICION, 1, 0]) {
		for (const claim of claimsOf(await take(queue, 2))) await turnOf(queue, {settle: [{...claim, outcome: {type: 'released', suspicion}}]});
		t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 1})).dequeued), []);
	}
	const {dequeued} = await turnFor(queue, {task: 'hash', limit: 9, suspects: true});
	t.deepEqual(idsOf(dequeued), [1]);
	t.true(dequeued.jobs[0]?.isSuspect);
});

law('suspects are pending, outstanding, can be paused and cancelled like others', async (t, queue, clock, opened) => {
	await enqueue(queue, newJob(), newJob({priority: 3}));
	await killHost(queue, clock, opened, 2);
	t.is((await queue.counts()).pending, 2);
	t.is(await queue.outstanding(['hash']), 2);
	t.deepEqual(await listed(queue, {status: 'pending'}), [1, 2]);
	await queue.pause(['hash']);
	t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 9, suspects: true})).dequeued), []);
	await queue.resume(['hash']);
	t.deepEqual(await queue.cancel({ids: [1]}), {cancelled: [1], asked: []});
	t.deepEqual(idsOf((await turnFor(queue, {task: 'hash', limit: 9, suspects: true})).dequeued), [2]);
	t.deepEqual(await queue.counts(), {pending: 0, running: 1, failed: 0, completed: 0, dead: 0, cancelled: 1});
});

law('a job that killed its worker three times is dead, however many attempts it has left', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 10}}));
	const lost: Outcome = {type: 'lostWorker', error: {reason: 'lostWorker', name: 'LostWorker', message: 'It crashed.'}};
	const outcomes: Outcome[] = [lost, {type: 'threw', error: ERROR}, lost, lost];
	for (const [index, outcome] of outcomes.entries()) {
		t.is(await settleOne(queue, outcome), index < 3 ? 'failed' : 'dead');
		clock.now += 3_600_000;
	}
	t.like(await jobOf(queue, 1), {attempts: 4, error: {reason: 'poison', name: 'Poison', message: 'It killed its worker 3 times. The last time: It crashed.'}});
	await queue.retry({ids: [1]});
	t.is(await settleOne(queue, lost), 'failed');
});

// Concurrency

law('no more jobs of a task run at the same time than its concurrency, whoever runs them', async (t, queue) => {
	await enqueue(queue, newJob(), newJob(), newJob(), newJob({task: 'thumbnail'}));
	await take(queue, 1, OTHER);
	const hash = {task: 'hash', limit: 9, concurrency: 2};
	const {dequeued, backlog} = await turnFor(queue, hash, {task: 'thumbnail', limit: 9});
	t.deepEqual(idsOf(dequeued), [2, 4]);
	t.is(backlog, 0);
	t.is((await turnFor(queue, hash)).dequeued.jobs.length, 0);
	await queue.leave(OTHER);
	const next = await turnFor(queue, {...hash, limit: 0});
	t.deepEqual([idsOf(next.dequeued), next.backlog], [[], 1]);
	t.deepEqual(idsOf((await turnFor(queue, hash)).dequeued), [1]);
});

law('a settlement makes room for the next in the same turn', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const tasks = [{task: 'hash', limit: 9, concurrency: 1}];
	const {dequeued} = await turnFor(queue, ...tasks);
	const settle = claimsOf(dequeued).map(claim => ({...claim, outcome: {type: 'returned', value: null} as const}));
	t.deepEqual(idsOf((await turnOf(queue, {settle, dequeue: {owner: OWNER, tasks, limit: 9, maxBytes: Infinity}})).dequeued), [2]);
});

// Batches and cleaning up

law('a batch is found by its name', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	t.true(batch > 0);
	await queue.leaveBatch(batch, OWNER);
	t.is(await queue.openBatch('nightly', 'hash', OWNER), batch);
	t.not(await queue.openBatch('weekly', 'hash', OWNER), batch);
	await queue.closeBatch(batch, OWNER);
	t.is(await queue.openBatch('nightly', 'hash', OWNER), batch);
});

law('a batch belongs to one task', async (t, queue) => {
	await queue.openBatch('nightly', 'hash', OWNER);
	const error = await t.throwsAsync(async () => queue.openBatch('nightly', 'thumbnail', OWNER), {instanceOf: FaenaError, code: 'BatchConflict'});
	t.regex(error?.message ?? '', /"nightly".*thumbnail/);
});

law('a batch has one owner at a time: it is refused to all others, and to its owner a second time, until that leaves or closes it', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const refused = async (owner: string) => {
		const error = await t.throwsAsync(async () => queue.openBatch('nightly', 'hash', owner, {onComplete: ON_COMPLETE}), {code: 'BatchInUse'});
		t.regex(error?.message ?? '', /"nightly" .*one map at a time/);
	};
	await queue.endInput(batch, 0, OWNER);
	const before = await queue.batches();
	for (const owner of [OWNER, OTHER]) await refused(owner);
	// Who doesn't have it changes nothing of it.
	t.false(await queue.endInput(batch, 7, OTHER));
	await queue.leaveBatch(batch, OTHER);
	await queue.closeBatch(batch, OTHER);
	await queue.leave(OTHER);
	await refused(OTHER);
	t.deepEqual(await queue.batches(), before);
	t.true((await queue.openBatch('weekly', 'hash', OTHER)) > 0);
	await queue.leaveBatch(batch, OWNER);
	t.is(await queue.openBatch('nightly', 'hash', OTHER), batch);
	await refused(OWNER);
	await queue.closeBatch(batch, OTHER);
	t.is(await queue.openBatch('nightly', 'hash', OWNER), batch);
});

law('an owner that leaves, or is given up, frees its batches with its jobs', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch}));
	await take(queue);
	await queue.leave(OWNER);
	t.like(await jobOf(queue, 1), {status: 'pending'});
	t.is(await queue.openBatch('nightly', 'hash', OWNER), batch);
	await take(queue);
	t.is(await outlast(queue, clock), 1);
	// It has nothing any more that it could give up.
	await queue.closeBatch(batch, OWNER);
	t.is((await queue.batch('nightly'))?.closedAt, undefined);
	t.is(await queue.openBatch('nightly', 'hash', OTHER), batch);
	t.false(await queue.endInput(batch, 1, OWNER));
	t.like(await queue.batch('nightly'), {total: undefined});
});

law('an owner that was given up gets its batch back when its input ends, if no other has taken it', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await outlast(queue, clock);
	t.true(await queue.endInput(batch, 3, OWNER));
	await t.throwsAsync(async () => queue.openBatch('nightly', 'hash', OTHER), {code: 'BatchInUse'});
	await queue.closeBatch(batch, OWNER);
	t.like(await queue.batch('nightly'), {total: 3, closedAt: clock.now});
});

law('a batch counts its jobs in each status, and no others, wherever they move', async (t, queue, clock) => {
	const none = {pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
	const [nightly, weekly] = [await queue.openBatch('nightly', 'hash', OWNER), await queue.openBatch('weekly', 'hash', OWNER)];
	const countsOf = async (name: string) => (await queue.batch(name))?.counts;
	t.deepEqual(await countsOf('nightly'), none);
	const policy = {...POLICY, maxAttempts: 1};
	await enqueue(
		queue,
		...range(1, 4).map(() => newJob({batch: nightly, policy})),
		newJob(),
		newJob({batch: weekly}),
		newJob({batch: nightly, runAt: T0 + 5}),
		newJob({batch: nightly}),
	);
	t.deepEqual(
		[await countsOf('nightly'), await countsOf('weekly')],
		[
			{...none, pending: 6},
			{...none, pending: 1},
		],
	);
	const [a, b, c, d, ...rest] = claimsOf(await take(queue, 7)) as [Claim, Claim, Claim, Claim, ...Claim[]];
	t.deepEqual(
		[await countsOf('nightly'), await countsOf('weekly')],
		[
			{...none, pending: 1, running: 5},
			{...none, running: 1},
		],
	);
	await turnOf(queue, {
		settle: [
			{...a, outcome: {type: 'returned', value: '1'}},
			{...b, outcome: {type: 'threw', error: ERROR}},
			{...c, outcome: {type: 'released'}},
			{...d, outcome: {type: 'cancelled'}},
			...rest.map(claim => ({...claim, outcome: {type: 'threw', error: ERROR} as const})),
		],
	});
	const counts = {pending: 2, running: 0, failed: 1, completed: 1, dead: 1, cancelled: 1};
	t.deepEqual([await countsOf('nightly'), await countsOf('weekly')], [counts, {...none, failed: 1}]);
	clock.now += 1000;
	await queue.dequeue({owner: OWNER, tasks: []});
	t.deepEqual(await countsOf('nightly'), {...counts, pending: 3, failed: 0});
	await queue.retry({});
	t.deepEqual(await countsOf('nightly'), {...none, pending: 5, completed: 1});
	await queue.cancel({ids: [8]});
	await queue.closeBatch(nightly, OWNER);
	clock.now += 1;
	await queue.cleanup({endedBefore: clock.now});
	t.deepEqual(await countsOf('nightly'), {...none, pending: 4});
	t.deepEqual(await queue.counts(), {...none, pending: 6});
});

law('batches are listed in the order in which they were made, each with its task and times', async (t, queue, clock) => {
	t.deepEqual(await queue.batches(), []);
	const first = await queue.openBatch('weekly', 'thumbnail', OWNER);
	clock.now += 5;
	const second = await queue.openBatch('nightly', 'hash', OWNER);
	clock.now += 5;
	await queue.closeBatch(second, OWNER);
	await queue.leaveBatch(first, OWNER);
	await queue.openBatch('weekly', 'thumbnail', OWNER);
	const counts = {pending: 0, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0};
	t.deepEqual(await queue.batches(), [
		{id: first, name: 'weekly', task: 'thumbnail', createdAt: T0, counts, marks: [{at: T0 + 10, ended: 0}]},
		{id: second, name: 'nightly', task: 'hash', createdAt: T0 + 5, closedAt: T0 + 10, counts, marks: [{at: T0 + 5, ended: 0}]},
	]);
	t.is(await queue.batch('unknown'), undefined);
});

const ON_COMPLETE = {task: 'thumbnail', priority: 4, policy: {...POLICY, maxAttempts: 7}};

law('a batch completes in the transaction in which its input has ended and no job of it is left unended, whichever comes last', async (t, queue, clock) => {
	const heard: CompletedBatch[] = [];
	queue.onBatchCompleted(batch => heard.push(batch));
	const [one, two] = [
		await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE}),
		await queue.openBatch('two', 'hash', OWNER, {onComplete: ON_COMPLETE}),
	];
	await enqueue(queue, newJob({batch: one}), newJob({batch: one}), newJob({batch: two}));
	const [a, b, c] = claimsOf(await take(queue, 3)) as [Claim, Claim, Claim];
	clock.now += 5;
	await queue.endInput(one, 2, OWNER);
	await turnOf(queue, {settle: [a, c].map(claim => ({...claim, outcome: {type: 'returned', value: '1'}}))});
	t.deepEqual([heard, (await queue.jobs({task: 'thumbnail'})).length], [[], 0]);
	t.like(await queue.batch('one'), {total: 2, startedAt: T0, completedAt: undefined});
	await turnOf(queue, {settle: [{...b, outcome: {type: 'cancelled'}}]});
	const counts = {pending: 0, running: 0, failed: 0, completed: 1, dead: 0, cancelled: 1};
	t.deepEqual(heard, [{batch: 'one', counts}]);
	t.like(await queue.batch('one'), {completedAt: T0 + 5, counts});
	const [id] = await listed(queue, {task: 'thumbnail'});
	t.like(await jobOf(queue, id as JobId), {status: 'pending', priority: 4, maxAttempts: 7, createdAt: T0 + 5});
	t.deepEqual(await queue.values(id as JobId), {payload: JSON.stringify({batch: 'one', counts})});
	await queue.endInput(two, 1, OWNER);
	t.deepEqual(heard.at(-1), {batch: 'two', counts: {...counts, cancelled: 0}});
	t.is((await listed(queue, {task: 'thumbnail'})).length, 2);
});

law('a turn that completes a batch can say that its job waits; a batch without jobs completes when its input ends', async (t, queue) => {
	const batch = await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE});
	await enqueue(queue, newJob({batch}));
	await queue.endInput(batch, 1, OWNER);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const demanded = {owner: OWNER, tasks: [{task: 'thumbnail', limit: 1}], limit: 1, maxBytes: Infinity};
	const {backlog, dequeued} = await turnOf(queue, {settle: [{...claim, outcome: {type: 'returned', value: '1'}}], dequeue: demanded});
	t.deepEqual([backlog, idsOf(dequeued)], [1, []]);
	t.deepEqual(idsOf(await take(queue)), [2]);
	await queue.endInput(await queue.openBatch('empty', 'hash', OWNER, {onComplete: ON_COMPLETE}), 0, OWNER);
	t.like(await queue.batch('empty'), {total: 0, completedAt: T0});
	t.deepEqual([await queue.endInput(batch, 1, OWNER), await queue.endInput(99, 1, OWNER)], [true, false]);
	t.deepEqual(idsOf(await take(queue)), [3]);
});

law('a batch completes by a cancel, and by the recovery of a dead owner whose job was to be cancelled', async (t, queue, clock) => {
	const heard: string[] = [];
	queue.onBatchCompleted(({batch}) => heard.push(batch));
	for (const name of ['one', 'two']) {
		const batch = await queue.openBatch(name, 'hash', OWNER);
		await enqueue(queue, newJob({batch}));
		await queue.endInput(batch, 1, OWNER);
	}
	await take(queue);
	await queue.cancel({});
	t.deepEqual(heard, ['two']);
	await outlast(queue, clock);
	t.deepEqual(heard, ['two', 'one']);
});

law('a completed batch completes again only after a job of it was retried or added, not by opening it again', async (t, queue, clock) => {
	const heard: string[] = [];
	const stop = queue.onBatchCompleted(({batch}) => heard.push(batch));
	const batch = await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE});
	await enqueue(queue, newJob({batch}));
	await queue.endInput(batch, 1, OWNER);
	await completeAll(queue);
	await completeAll(queue);
	clock.now += 5;
	await queue.leaveBatch(batch, OWNER);
	t.is(await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE}), batch);
	t.like(await queue.batch('one'), {total: undefined, completedAt: T0});
	await queue.endInput(batch, 1, OWNER);
	t.like(await queue.batch('one'), {total: 1, completedAt: T0});
	await queue.retry({ids: [1]});
	t.like(await queue.batch('one'), {total: 1, completedAt: undefined});
	await completeAll(queue);
	t.like(await queue.batch('one'), {completedAt: T0 + 5});
	t.deepEqual(heard, ['one', 'one']);
	t.is((await listed(queue, {task: 'thumbnail'})).length, 2);
	await queue.leaveBatch(batch, OWNER);
	await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, newJob({batch}));
	stop();
	await queue.cancel({});
	await queue.endInput(batch, 2, OWNER);
	t.deepEqual([heard.length, (await listed(queue, {task: 'thumbnail'})).length], [2, 2]);
});

law('a parked job keeps its batch from completing, since somebody is to decide about it', async (t, queue) => {
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, newJob({batch, policy: {...POLICY, retry: 'manual'}}));
	await queue.endInput(batch, 1, OWNER);
	await settleOne(queue, {type: 'threw', error: ERROR});
	t.is((await queue.batch('one'))?.completedAt, undefined);
	await queue.cancel({});
	t.is((await queue.batch('one'))?.completedAt, T0);
});

law('a batch remembers where its count stood at two moments, at least ten seconds apart', async (t, queue, clock) => {
	const batch = await queue.openBatch('one', 'hash', OWNER);
	await enqueue(queue, ...range(1, 6).map(() => newJob({batch})));
	const marks = async () => (await queue.batch('one'))?.marks;
	for (const [after, expected] of [
		[9_999, [[0, 0]]],
		[
			1,
			[
				[0, 0],
				[10_000, 1],
			],
		],
		[
			9_999,
			[
				[0, 0],
				[10_000, 1],
			],
		],
		[
			5_001,
			[
				[10_000, 1],
				[25_000, 3],
			],
		],
	] as const) {
		clock.now += after;
		await settleOne(queue, {type: 'returned', value: '1'});
		t.deepEqual(
			await marks(),
			expected.map(([at, ended]) => ({at: T0 + at, ended})),
		);
	}
	await queue.leaveBatch(batch, OWNER);
	await queue.openBatch('one', 'hash', OWNER);
	t.deepEqual(await marks(), [{at: clock.now, ended: 4}]);
});

law('a batch is deleted in bounded steps with all its jobs, in whatever place they are, and nothing of another', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const batch = await queue.openBatch('one', 'hash', OWNER, {onComplete: ON_COMPLETE});
	await enqueue(queue, newJob({batch, key: 'a'}), newJob({batch, runAt: T0 + 100}), ...range(1, 3).map(() => newJob({batch, priority: 5})));
	const [a, b] = claimsOf(await take(queue, 3)) as [Claim, Claim];
	await turnOf(queue, {
		settle: [
			{...a, outcome: {type: 'returned', value: '1'}},
			{...b, outcome: {type: 'threw', error: ERROR}},
		],
	});
	await queue.endInput(batch, 5, OWNER);
	const error = await t.throwsAsync(async () => queue.deleteBatch('one'), {code: 'BatchRunning'});
	t.regex(error?.message ?? '', /One job of the batch "one"/);
	t.is((await listed(queue, {batch: 'one'})).length, 5);
	await settleOne(queue, {type: 'released'});
	await queue.leave(OWNER);
	t.deepEqual(await queue.deleteBatch('one', 3), {deleted: 3, isGone: false});
	t.like(await queue.batch('one'), {name: 'one', total: undefined, completedAt: undefined});
	t.deepEqual(await queue.deleteBatch('one', 3), {deleted: 2, isGone: true});
	t.deepEqual(await queue.deleteBatch('one'), {deleted: 0, isGone: true});
	t.deepEqual(await queue.batches(), []);
	t.deepEqual(await listed(queue, {}), range(1, 6));
	t.deepEqual(await queue.counts(), {pending: 2, running: 0, failed: 1, completed: 1, dead: 1, cancelled: 1});
	const again = await queue.openBatch('one', 'thumbnail', OWNER);
	t.deepEqual(await enqueue(queue, newJob({batch: again, task: 'thumbnail', key: 'a', payload: '"other"'})), [12]);
	t.deepEqual((await queue.batch('one'))?.counts, {pending: 1, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0});
});

law('a closed batch is forgotten with the last of its jobs', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch, key: 'a'}), newJob({batch}));
	await queue.cancel({ids: [1]});
	await queue.closeBatch(batch, OWNER);
	clock.now += 1;
	await queue.cleanup({endedBefore: clock.now});
	t.is((await jobOf(queue, 2)).batch, 'nightly');
	await t.throwsAsync(async () => queue.openBatch('nightly', 'thumbnail', OWNER), {code: 'BatchConflict'});
	await queue.cancel({});
	clock.now += 1;
	await queue.cleanup({endedBefore: clock.now});
	await queue.openBatch('nightly', 'thumbnail', OWNER);
	t.is(await queue.job(2), undefined);
});

law('cleanup deletes what ended before the time given, and nothing else', async (t, queue, clock) => {
	await oneJobOfEachStatus(queue, clock);
	const endedAt = clock.now;
	t.deepEqual(await queue.cleanup({endedBefore: endedAt}), {deleted: 0, next: null});
	clock.now += 1;
	await queue.cancel({ids: [ID_OF.pending]});
	t.deepEqual(await queue.cleanup({endedBefore: endedAt + 1}), {deleted: 3, next: null});
	t.deepEqual(await listed(queue, {}), [ID_OF.pending, ID_OF.running, ID_OF.failed]);
	t.deepEqual(await queue.counts(), {pending: 0, running: 1, failed: 1, completed: 0, dead: 0, cancelled: 1});
});

law('of a job that was cleaned up nothing is left', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await turnOf(queue, {notes: [{...claim, progress: {done: 1, at: T0}, logs: [{at: T0, level: 'info', text: 'line'}], checkpoint: {at: T0, state: '1'}}]});
	await queue.complete(claim, '1');
	await queue.cleanup({endedBefore: clock.now + 1});
	t.is(await queue.job(1), undefined);
	t.is(await queue.values(1), undefined);
	t.deepEqual(await queue.logs(1), []);
	t.false(await queue.complete(claim));
	t.is(await queue.retry({ids: [1]}), 0);
});

law('cleanup goes in steps: it looks at no more jobs than it is told, and tells where to go on', async (t, queue, clock) => {
	await enqueue(queue, ...range(1, 7).map(() => newJob()));
	await queue.cancel({ids: [1, 3, 5]});
	clock.now += 10;
	await queue.cancel({ids: [2, 6]});
	const endedBefore = T0 + 1;
	t.deepEqual(await queue.cleanup({endedBefore, limit: 2}), {deleted: 1, next: 2});
	t.deepEqual(await queue.cleanup({endedBefore, limit: 2, after: 2}), {deleted: 2, next: 5});
	t.deepEqual(await queue.cleanup({endedBefore, limit: 2, after: 5}), {deleted: 0, next: null});
	t.deepEqual(await listed(queue, {}), [2, 4, 6, 7]);
	t.deepEqual(await queue.cleanup({endedBefore: T0 + 100, limit: 2}), {deleted: 2, next: null});
});

law(
	'completed jobs are cleaned up in whatever steps, also where these end in the midst of those that were enqueued and completed together',
	async (t, queue, clock) => {
		const run: NewRun = {task: 'hash', priority: 0, runAt: null, policy: POLICY, payloads: toPackedStrings(range(1, 30).map(String))};
		await turnOf(queue, {enqueue: [run]});
		const {lease} = (await turnOf(queue, {dequeue: {owner: OWNER, tasks: demandOf(TASKS, 25), limit: 25, maxBytes: Infinity}})).dequeued;
		clock.now += 10;
		const returned: ReturnedRun = {
			first: 1,
			lease,
			createdAt: T0,
			values: toPackedStrings(range(1, 20).map(id => `${id}0`)),
			times: packTimes(20, {startedAt: Float64Array.from(range(1, 20), id => T0 + id)}),
		};
		await turnOf(queue, {settle: [returned]});
		const left = async () => (await queue.jobs({status: 'completed'})).map(({id, startedAt}) => [id, startedAt]);
		const expected = (ids: readonly JobId[]) => ids.map(id => [id, T0 + id]);
		t.deepEqual(await queue.cleanup({endedBefore: clock.now + 1, limit: 4, after: 6}), {deleted: 4, next: 10});
		t.deepEqual(await left(), expected([...range(1, 6), ...range(11, 20)]));
		t.deepEqual(await queue.cleanup({endedBefore: clock.now + 1, limit: 3}), {deleted: 3, next: 3});
		for (let deleted = 0, after = 3; deleted < 5; ) {
			const step = await queue.cleanup({endedBefore: clock.now + 1, limit: 5 - deleted, after});
			[deleted, after] = [deleted + step.deleted, step.next ?? t.fail()];
		}
		t.deepEqual(await left(), expected(range(13, 20)));
		for (const id of range(13, 20)) t.like(await queue.values(id), {payload: String(id), result: `${id}0`});
		t.deepEqual(await listed(queue, {}), range(13, 30));
		t.deepEqual(await queue.cleanup({endedBefore: clock.now + 1}), {deleted: 8, next: null});
		t.deepEqual(await queue.counts(), {pending: 5, running: 5, failed: 0, completed: 0, dead: 0, cancelled: 0});
		await queue.leave(OWNER);
		t.is((await take(queue, 100)).jobs.length, 10);
	},
);

law('cleanup spares the jobs of open batches', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await enqueue(queue, newJob({batch, key: 'a'}), newJob());
	await queue.cancel({});
	clock.now += 1;
	const endedBefore = clock.now;
	t.deepEqual(await queue.cleanup({endedBefore}), {deleted: 1, next: null});
	await queue.closeBatch(batch, OWNER);
	await queue.openBatch('nightly', 'hash', OWNER);
	t.deepEqual(await queue.cleanup({endedBefore}), {deleted: 0, next: null});
	await queue.closeBatch(batch, OWNER);
	t.deepEqual(await queue.cleanup({endedBefore}), {deleted: 1, next: null});
});

law('a queue that nobody else writes to has not changed', async (t, queue) => {
	t.false(await queue.changes());
	await enqueue(queue, newJob());
	t.false(await queue.changes());
});

// Closing

const VERBS: Readonly<Record<Exclude<keyof JobQueue, 'location' | 'close' | 'onEnqueue' | 'onBatchCompleted' | 'announce'>, (queue: JobQueue) => unknown>> = {
	turn: queue => turnOf(queue, {}),
	enqueue: queue => queue.enqueue([]),
	dequeue: queue => queue.dequeue({owner: OWNER, tasks: []}),
	settle: queue => queue.settle(1, []),
	complete: queue => queue.complete({id: 1, lease: 1, execution: 1}),
	fail: queue => queue.fail({id: 1, lease: 1, execution: 1}, new Error('late')),
	move: queue => queue.move({}, 'cancelled'),
	cancel: queue => queue.cancel({}),
	withdraw: queue => queue.withdraw([1], {stop: true}),
	retry: queue => queue.retry({}),
	pause: queue => queue.pause(['hash']),
	resume: queue => queue.resume(['hash']),
	paused: queue => queue.paused(),
	heartbeat: queue => queue.heartbeat(OWNER),
	renew: queue => queue.renew(OWNER),
	recover: queue => queue.recover(),
	giveBack: queue => queue.giveBack(OWNER, 0),
	leave: queue => queue.leave(OWNER),
	job: queue => queue.job(1),
	jobs: queue => queue.jobs({}),
	values: queue => queue.values(1),
	ends: queue => queue.ends([1]),
	logs: queue => queue.logs(1),
	counts: queue => queue.counts(),
	outstanding: queue => queue.outstanding(TASKS),
	openBatch: queue => queue.openBatch('nightly', 'hash', OWNER),
	closeBatch: queue => queue.closeBatch(1, OWNER),
	leaveBatch: queue => queue.leaveBatch(1, OWNER),
	endInput: queue => queue.endInput(1, 1, OWNER),
	deleteBatch: queue => queue.deleteBatch('nightly'),
	batch: queue => queue.batch('nightly'),
	batches: queue => queue.batches(),
	cleanup: queue => queue.cleanup({endedBefore: T0}),
	changes: queue => queue.changes(),
	stops: queue => queue.stops(OWNER),
	examine: queue => queue.examine(),
};

law('a closed queue says so, whatever it is asked; closing it again is no error', async (t, queue) => {
	await enqueue(queue, newJob());
	await queue.close();
	for (const [verb, ask] of Object.entries(VERBS)) {
		await t.throwsAsync(async () => ask(queue), {instanceOf: FaenaError, code: 'Closed', message: 'This queue is closed.'}, verb);
	}
	await queue.close();
	t.true(queue.location.length > 0);
});

// What the laws are written with

function newJob(parts: Partial<NewJob> = {}): NewJob {
	return {task: 'hash', payload: '1', priority: 0, runAt: null, policy: POLICY, ...parts};
}

function fresh(id: JobId): {id: JobId; existing: boolean; conflict: boolean} {
	return {id, existing: false, conflict: false};
}

async function enqueue(queue: JobQueue, ...jobs: NewJob[]): Promise<[JobId, ...JobId[]]> {
	const enqueued = await queue.enqueue(jobs);
	return enqueued.map(({id}) => id) as [JobId, ...JobId[]];
}

function take(queue: JobQueue, limit = 1, owner = OWNER, maxBytes = Infinity): Promise<Dequeued> {
	return queue.dequeue({owner, tasks: TASKS, limit, maxBytes});
}

async function demand(queue: JobQueue, limits: Readonly<Record<string, number>>, limit: number): Promise<JobId[]> {
	const tasks = Object.entries(limits).map(([task, limit]) => ({task, limit}));
	return idsOf((await turnOf(queue, {dequeue: {owner: OWNER, tasks, limit, maxBytes: Infinity}})).dequeued);
}

/** Dequeues one job and settles it. */
async function settleOne(queue: JobQueue, outcome: Outcome): Promise<Settled | undefined> {
	const [claim] = claimsOf(await take(queue)) as [Claim];
	return (await turnOf(queue, {settle: [{...claim, outcome}]})).settled[0];
}

/** Enqueues and dequeues a job, has it cancelled while it runs, and settles it. */
async function settleAsked(queue: JobQueue, outcome: Outcome): Promise<Settled | undefined> {
	const [id] = await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await queue.cancel({ids: [id]});
	return (await turnOf(queue, {settle: [{...claim, outcome}]})).settled[0];
}

async function completeAll(queue: JobQueue): Promise<void> {
	const claims = claimsOf(await take(queue, 100));
	await turnOf(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'returned', value: '1'}}))});
}

/** Where {@link oneJobOfEachStatus} puts them. */
const ID_OF = {pending: 1, running: 2, failed: 3, completed: 4, dead: 5, cancelled: 6} as const satisfies Record<JobStatus, JobId>;

/** Brings six jobs of the task `hash` into the six statuses; the failed one becomes due in a second. */
async function oneJobOfEachStatus(queue: JobQueue, clock: Clock, parts: (status: string) => Partial<NewJob> = () => ({})): Promise<void> {
	const policies: Partial<Record<JobStatus, Policy>> = {dead: {...POLICY, maxAttempts: 1}};
	await enqueue(
		queue,
		...Object.keys(ID_OF).map(status => newJob({policy: policies[status as JobStatus] ?? POLICY, priority: status === 'pending' ? -1 : 0, ...parts(status)})),
	);
	const [, failed, completed, dead, cancelled] = claimsOf(await take(queue, 5)) as [Claim, Claim, Claim, Claim, Claim];
	clock.now += 1;
	await turnOf(queue, {
		settle: [
			{...failed, outcome: {type: 'threw', error: ERROR}},
			{...completed, outcome: {type: 'returned', value: '1'}},
			{...dead, outcome: {type: 'threw', error: ERROR}},
			{...cancelled, outcome: {type: 'cancelled'}},
		],
	});
}

async function statuses(queue: JobQueue): Promise<Record<string, JobStatus>> {
	const jobs = await queue.jobs({});
	return Object.fromEntries(Object.entries(ID_OF).map(([name, id]) => [name, jobs.find(job => job.id === id)?.status as JobStatus]));
}

async function jobOf(queue: JobQueue, id: JobId): Promise<Job> {
	const job = await queue.job(id);
	if (!job) throw new Error(`There is no job ${id}.`);
	return job;
}

async function listed(queue: JobQueue, filter: JobFilter): Promise<JobId[]> {
	return (await queue.jobs(filter)).map(({id}) => id);
}

function idsOf({jobs}: Dequeued): JobId[] {
	return jobs.map(({id}) => id);
}

function claimsOf({lease, jobs}: Dequeued): Claim[] {
	return jobs.map(({id, execution}) => ({id, lease, execution}));
}

/** The bytes of a value, whichever kind of array a queue holds them in. */
function plain(encoded: Encoded | undefined): string | number[] | null | undefined {
	return encoded instanceof Uint8Array ? [...encoded] : encoded;
}

function copy(encoded: Encoded): Encoded {
	return encoded instanceof Uint8Array ? Buffer.from(encoded) : encoded;
}

function range(first: number, last: number): number[] {
	return Array.from({length: last - first + 1}, (_, index) => first + index);
}
