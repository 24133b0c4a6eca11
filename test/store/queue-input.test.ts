import test from 'ava';
import {PermanentError} from '../../lib/index.ts';
import {pack} from '../../lib/job/groups/packed.ts';
import {DEFAULT_POLICY} from '../../lib/job/options.ts';
import {forPolicyNumbers, POLICY_OPTIONS} from '../../lib/job/policy.ts';
import {type DequeuedJob, type Enqueued, type JobQueue, openQueue, type QueueJob} from '../../lib/queue.ts';

const CLAIM = {id: 1, lease: 1, execution: 1};
const JOB = {task: 'hash', payload: '1'};

/** What a program in JavaScript may write, and the sentence that it gets. */
const MISTAKES: readonly (readonly [call: (queue: JobQueue) => Promise<unknown>, sentence: RegExp])[] = [
	[queue => queue.enqueue(JOB as never), /^enqueue\(\) expects as jobs an array; it got an object\.$/],
	[queue => queue.enqueue([undefined as never]), /^enqueue\(\) expects as task a task's name.*; it got undefined\.$/],
	[queue => queue.enqueue(['hash' as never]), /^enqueue\(\) expects an object of options; it got "hash"\.$/],
	[queue => queue.enqueue([{...JOB, paylod: 1} as never]), /^enqueue\(\) has no option "paylod"; did you mean "payload"\?$/],
	[queue => queue.enqueue([{...JOB, delayMs: 5} as never]), /^enqueue\(\) has no option "delayMs"; did you mean "delay"\?$/],
	[queue => queue.enqueue([{...JOB, priority: 'high'} as never]), /^enqueue\(\) expects as priority a whole number/],
	[queue => queue.enqueue([{...JOB, runAt: 1, delay: 1}]), /^enqueue\(\) got both delay and runAt; give one of them\.$/],
	[queue => queue.enqueue([{...JOB, maxAttempts: 0}]), /^enqueue\(\) expects as maxAttempts a whole number from 1/],
	[queue => queue.enqueue([{...JOB, policy: {maxAttempts: 5}} as never]), /^enqueue\(\) has no option "policy"/],
	[queue => queue.enqueue([{...JOB, backoff: {base: 'soon'} as never}]), /^backoff expects as base a time/],
	[queue => queue.enqueue([{...JOB, key: ''}]), /^enqueue\(\) expects as key a text/],
	[queue => queue.enqueue([{...JOB, unique: 'unended'}]), /^enqueue\(\) got unique without a key/],
	[queue => queue.enqueue([{...JOB, rerun: {changed: true} as never}]), /^enqueue\(\{rerun\}\) expects as failed true or false; it got undefined\.$/],
	[queue => queue.dequeue({tasks: ['hash']} as never), /^dequeue\(\) expects as owner a text/],
	[queue => queue.dequeue({owner: 'me', tasks: 'hash'} as never), /^dequeue\(\) expects as tasks an array; it got "hash"\.$/],
	[queue => queue.dequeue({owner: 'me', tasks: ['hash'], limit: -1}), /^dequeue\(\) expects as limit a whole number from 0/],
	[queue => queue.complete({id: 1, execution: 1} as never), /^complete\(\) expects as lease a whole number from 1 .*; it got undefined\.$/],
	[queue => queue.complete(1 as never), /^complete\(\) expects as claim an object with id, lease and execution; it got 1\.$/],
	[queue => queue.fail({...CLAIM, execution: '1'} as never, new Error('x')), /^fail\(\) expects as execution a whole number/],
	[queue => queue.settle(1, CLAIM as never), /^settle\(\) expects as outcomes an array/],
	[queue => queue.settle(1, [{...CLAIM, outcome: {type: 'done'}} as never]), /^settle\(\) expects as an outcome's type "returned" or .*; it got "done"\.$/],
	[queue => queue.edit(1, {delayMs: 5} as never), /^edit\(\) has no option "delayMs"; did you mean "delay"\?$/],
	[queue => queue.enqueue([{...JOB, key: 'a', unique: 'unended', batch: 1}]), /^enqueue\(\) got unique with a batch/],
	[queue => queue.enqueue([{...JOB, key: 'a', unique: 'unended', rerun: {changed: true, failed: true}}]), /^enqueue\(\) got both unique and rerun/],
	[queue => queue.enqueue([{...JOB, key: 'a', unique: 'always' as never}]), /^enqueue\(\) expects as unique "unended"/],
	[queue => queue.enqueue([{...JOB, expires: 0}]), /^enqueue\(\) expects as expires at least 1 ms/],
	[queue => queue.enqueue([{...JOB, expires: '5 parsecs' as never}]), /^enqueue\(\) expects as expires a time/],
	[queue => queue.edit(1, {runAt: 5, delay: 5}), /^edit\(\) got both delay and runAt/],
	[queue => queue.edit(0, {priority: 1}), /^A job's id is a positive whole number; it got 0\.$/],
	[queue => queue.edit(1, {}), /^edit\(\) expects what to change/],
	[queue => queue.enqueue([JOB, {...JOB, delayMs: 1000} as never]), /^enqueue\(\) has no option "delayMs"; did you mean "delay"\?$/],
	[queue => queue.pause(5 as never), /^pause\(\) expects as task a text/],
	[queue => queue.resume(['']), /^resume\(\) expects as task a text/],
	[queue => queue.heartbeat(undefined as never), /^heartbeat\(\) expects as owner a text .*; it got undefined\.$/],
	[queue => queue.release('me', -1), /^release\(\) expects as after a whole number from 0/],
	[queue => queue.leave(5 as never), /^leave\(\) expects as owner a text .*; it got 5\.$/],
	[queue => queue.job('1' as never), /^A job's id is a positive whole number; it got "1"\.$/],
	[queue => queue.values(0), /^A job's id is a positive whole number; it got 0\.$/],
	[queue => queue.logs(undefined as never), /^A job's id is a positive whole number; it got undefined\.$/],
	[async queue => queue.jobs({statu: 'dead'} as never).page(), /^jobs\(\) has no option "statu"; did you mean "status"\?$/],
	[queue => queue.jobs().page({limit: 'all'} as never), /^page\(\) expects as limit a whole number/],
	[queue => queue.outcomes(1 as never), /^outcomes\(\) expects as ids an array; it got 1\.$/],
	[queue => queue.counts('hash' as never), /^counts\(\) expects an object of options; it got "hash"\.$/],
	[queue => queue.openBatch('nightly', 'hash', undefined as never), /^openBatch\(\) expects as owner a text/],
	[queue => queue.openBatch('nightly', 'hash', 'me', {onComplete: {} as never}), /^openBatch\(\{onComplete\}\) expects as task a text/],
	[queue => queue.endInput(1, -1, 'me'), /^endInput\(\) expects as total a whole number from 0/],
	[queue => queue.closeBatch('nightly' as never, 'me'), /^closeBatch\(\) expects as batch a whole number/],
	[queue => queue.leaveBatch(1, '' as never), /^leaveBatch\(\) expects as owner a text/],
	[queue => queue.batch(undefined as never), /^batch\(\) expects as name a text/],
	[queue => queue.deleteBatch('nightly', 'all' as never), /^deleteBatch\(\) expects as limit a whole number/],
	[queue => queue.cleanup({endedBefore: 5} as never), /^cleanup\(\) has no option "endedBefore"; there is ids, olderThan\.$/],
];

test('each verb refuses what it can’t use with a sentence, and changes nothing', async t => {
	const queue = await openQueue(':memory:');
	for (const [call, sentence] of MISTAKES) await t.throwsAsync(async () => call(queue), {code: 'BadOption', message: sentence}, String(call));
	t.deepEqual(await queue.jobs({}).page(), []);
	t.deepEqual([await queue.batches(), await queue.paused()], [[], []]);
	await queue.close();
});

test("options are flat, as in enqueue() of an engine; what a job leaves out has its default, and its task's own where it runs", async t => {
	const queue = await openQueue(':memory:');
	const [plain, own] = await queue.enqueue([
		{task: 'hash', payload: 1},
		{...JOB, priority: 2, maxAttempts: 9, timeout: '1.5s', backoff: {base: '5ms'}},
	]);
	t.like(await queue.job(plain?.id as number), {priority: 0, maxAttempts: 3, timeoutMs: null, status: 'pending'});
	t.like(await queue.job(own?.id as number), {priority: 2, maxAttempts: 9, timeoutMs: 1500});
	const {claimed} = await queue.store.commit({claim: {owner: 'me', lanes: [{task: 'hash', limit: 10}], limit: 10, maxBytes: Infinity}});
	const {maxAttempts: _, ...numbers} = forPolicyNumbers((_, {usual}) => usual);
	const defaults = {...numbers, retry: 'auto', backoff: {baseMs: 1000, factor: 2, maxMs: 3_600_000, jitter: 0.5}} as const;
	t.deepEqual(
		claimed.groups.flatMap(({policies}) => policies),
		[
			{
				maxAttempts: 9,
				timeoutMs: 1500,
				...defaults,
				backoff: {...defaults.backoff, baseMs: 5},
				unset: ['maxDelays', 'maxReleases', 'retry', 'onDead'].filter(n => POLICY_OPTIONS.includes(n as never)),
			},
			{maxAttempts: 3, timeoutMs: null, ...defaults, unset: POLICY_OPTIONS},
		] as never,
	);
	await queue.close();
});

test('jobs with the same options share a group, also if each has objects of its own; others do not', async t => {
	const queue = await openQueue(':memory:');
	const groups = async (jobs: readonly QueueJob[]) => {
		const commit = queue.store.commit.bind(queue.store);
		let made = 0;
		queue.store.commit = changes => {
			made = changes.enqueue?.length ?? 0;
			return commit(changes);
		};
		await queue.enqueue(jobs);
		queue.store.commit = commit;
		return made;
	};
	t.is(await groups(Array.from({length: 10}, (_, n) => ({task: 'hash', payload: n, backoff: {base: 5}}))), 1);
	t.is(await groups(Array.from({length: 10}, (_, n) => ({task: 'hash', payload: n, key: `${n}`}))), 1);
	const [{id}] = (await queue.enqueue([JOB])) as [Enqueued];
	t.is(
		await groups([
			JOB,
			{...JOB, maxAttempts: 2},
			{...JOB, maxAttempts: 2, priority: 1},
			{...JOB, key: 'a'},
			{...JOB, dependsOn: [id]},
			{...JOB, dependsOn: [id]},
		]),
		6,
	);
	t.is((await queue.counts()).pending, 25);
	await queue.close();
});

test('values go in and come out as they are: payloads, results, checkpoints, errors', async t => {
	const queue = await openQueue(':memory:');
	const payload = {when: new Date(5), bytes: new Uint8Array([1, 2]), big: 3n, of: new Map([['a', new Set([1])]])};
	const [one, two, three] = (await queue.enqueue([{...JOB, payload}, {task: 'hash'}, {...JOB, payload: 'text'}])) as [Enqueued, Enqueued, Enqueued];
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['hash'], limit: 3});
	t.deepEqual(
		jobs.map(job => job.payload),
		[payload, undefined, 'text'],
	);
	t.like(jobs[0], {id: one.id, task: 'hash', lease, execution: 1, attempts: 0, maxAttempts: 3, timeoutMs: null});
	await queue.store.commit({update: [{id: two.id, lease, execution: 1, checkpoint: {at: 7, state: '{"row":5}'}}]});
	t.true(await queue.complete(jobs[0] as DequeuedJob, {sum: 5n}));
	await queue.release('me', 0);
	const {jobs: again} = await queue.dequeue({owner: 'me', tasks: ['hash'], limit: 3});
	t.deepEqual(
		again.map(job => [job.id, job.checkpoint]),
		[
			[two.id, {row: 5}],
			[three.id, undefined],
		],
	);
	t.like(await queue.values(two.id), {payload: undefined, checkpoint: {execution: 1, at: 7, state: {row: 5}}});
	t.true(await queue.fail(again[1] as DequeuedJob, new PermanentError('far', {cause: new RangeError('near')})));
	t.true(await queue.complete(again[0] as DequeuedJob));
	const ends = await queue.outcomes([one.id, two.id, three.id, 99]);
	t.deepEqual(ends.slice(0, 2), [
		{id: one.id, status: 'completed', result: {sum: 5n}},
		{id: two.id, status: 'completed', result: undefined},
	]);
	t.like(ends[2], {id: three.id, status: 'dead'});
	t.true(ends[2]?.error?.cause instanceof RangeError);
	t.regex(ends[2]?.error?.worker ?? '', new RegExp(`process ${process.pid} on `));
	t.true(Date.now() - (ends[2]?.error?.failedAt ?? 0) < 60_000);
	t.deepEqual(ends[3], {id: 99, status: 'missing'});
	t.true((await queue.history(three.id)).at(-1)?.error?.cause instanceof RangeError);
	await t.throwsAsync(
		queue.complete(again[0] as DequeuedJob, () => 1),
		{code: 'NotEncodable'},
	);
	await t.throwsAsync(queue.enqueue([JOB, {...JOB, payload: () => 1}]), {code: 'NotEncodable'});
	await queue.close();
});

test("a job whose payload can't be decoded is dead with a reason, and the others of its dequeue come", async t => {
	const queue = await openQueue(':memory:');
	await queue.store.commit({enqueue: [{task: 'hash', priority: 0, runAt: null, policy: DEFAULT_POLICY, values: pack(['{not json'])}]});
	await queue.enqueue([JOB]);
	const {jobs} = await queue.dequeue({owner: 'me', limit: 5});
	t.deepEqual(
		jobs.map(({id}) => id),
		[2],
	);
	t.like(await queue.job(1), {status: 'dead', error: {reason: 'threw'}});
	await queue.close();
});

test('enqueue() makes all jobs or none: also if a job waits for one that is not there', async t => {
	const queue = await openQueue(':memory:');
	const [{id}] = (await queue.enqueue([JOB])) as [Enqueued];
	await t.throwsAsync(queue.enqueue([JOB, {...JOB, dependsOn: [id, 99]}, JOB]), {code: 'NoSuchJob', message: /can't wait for job 99/});
	t.is((await queue.counts()).pending, 1);
	await queue.enqueue([{...JOB, dependsOn: [id], onParentDead: 'run'}]);
	t.is((await queue.counts()).blocked, 1);
	await queue.close();
});

test('complete() and fail() of a job that was deleted reject; of one that another has, they return false', async t => {
	const queue = await openQueue(':memory:');
	await queue.enqueue([JOB, JOB]);
	const [gone, taken] = (await queue.dequeue({owner: 'me', limit: 2})).jobs as [DequeuedJob, DequeuedJob];
	await queue.complete(gone, 1);
	await queue.cleanup({ids: [gone.id]});
	await t.throwsAsync(queue.complete(gone), {code: 'NoSuchJob', message: 'There is no job 1; it may have been cleaned up.'});
	await t.throwsAsync(queue.fail(gone, new Error('late')), {code: 'NoSuchJob'});
	await queue.release('me', 0);
	t.false(await queue.complete(taken));
	t.false(await queue.fail(taken, new Error('late')));
	await queue.close();
});
