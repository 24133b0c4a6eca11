import test from 'ava';
import {forPolicyNumbers, POLICY_OPTIONS} from '../../lib/job/policy.ts';
import {encode, type JobQueue, openQueue} from '../../lib/queue.ts';

const CLAIM = {id: 1, lease: 1, execution: 1};
const JOB = {task: 'hash', payload: '1'};

/** What a program in JavaScript may write, and the sentence that it gets. */
const MISTAKES: readonly (readonly [call: (queue: JobQueue) => Promise<unknown>, sentence: RegExp])[] = [
	[queue => queue.enqueue(JOB as never), /^enqueue\(\) expects as jobs an array; it got an object\.$/],
	[queue => queue.enqueue([undefined as never]), /^enqueue\(\) expects as task a text .*; it got undefined\.$/],
	[queue => queue.enqueue(['hash' as never]), /^enqueue\(\) expects an object of options; it got "hash"\.$/],
	[
		queue => queue.enqueue([{task: 'hash'} as never]),
		/^enqueue\(\) expects as payload what encode\(\) returns.*write encode\(value, 'payload'\); it got undefined\.$/,
	],
	[queue => queue.enqueue([{...JOB, payload: {file: 'a'}} as never]), /as payload what encode\(\) returns.*it got an object\.$/],
	[queue => queue.enqueue([{...JOB, delay: 5} as never]), /^enqueue\(\) has no option "delay"; did you mean "delayMs"\?$/],
	[queue => queue.enqueue([{...JOB, priority: 'high'} as never]), /^enqueue\(\) expects as priority a whole number/],
	[queue => queue.enqueue([{...JOB, runAt: 1, delayMs: 1}]), /^enqueue\(\) got both delayMs and runAt; give one of them\.$/],
	[queue => queue.enqueue([{...JOB, policy: {maxAttempts: 0}}]), /^enqueue\(\{policy\}\) expects as maxAttempts a whole number from 1/],
	[queue => queue.enqueue([{...JOB, policy: {timeout: '5s'} as never}]), /^enqueue\(\{policy\}\) has no option "timeout"; did you mean "timeoutMs"\?$/],
	[queue => queue.enqueue([{...JOB, policy: {backoff: {baseMs: 'soon'} as never}}]), /^policy\.backoff expects as baseMs a time/],
	[queue => queue.enqueue([{...JOB, rerun: {changed: true} as never}]), /^enqueue\(\{rerun\}\) expects as failed true or false; it got undefined\.$/],
	[queue => queue.dequeue({tasks: ['hash']} as never), /^dequeue\(\) expects as owner a text/],
	[queue => queue.dequeue({owner: 'me', tasks: 'hash'} as never), /^dequeue\(\) expects as tasks an array; it got "hash"\.$/],
	[queue => queue.dequeue({owner: 'me', tasks: ['hash'], limit: -1}), /^dequeue\(\) expects as limit a whole number from 0/],
	[queue => queue.complete({id: 1, execution: 1} as never), /^complete\(\) expects as lease a whole number from 1 .*; it got undefined\.$/],
	[queue => queue.complete(1 as never), /^complete\(\) expects as claim an object with id, lease and execution; it got 1\.$/],
	[queue => queue.complete(CLAIM, {width: 5} as never), /^complete\(\) expects as result what encode\(\) returns/],
	[queue => queue.fail({...CLAIM, execution: '1'} as never, new Error('x')), /^fail\(\) expects as execution a whole number/],
	[queue => queue.settle(1, CLAIM as never), /^settle\(\) expects as outcomes an array/],
	[queue => queue.settle(1, [{...CLAIM, outcome: {type: 'done'}} as never]), /^settle\(\) expects as an outcome's type "returned" or .*; it got "done"\.$/],
	[queue => queue.settle(1, [{...CLAIM, outcome: {type: 'returned', value: 5}} as never]), /^settle\(\) expects as an outcome's value what encode/],
	[queue => queue.discard([1.5], {stop: true}), /^discard\(\) expects as ids a whole number/],
	[queue => queue.discard([1], undefined as never), /^discard\(\) expects as stop true or false; it got undefined\.$/],
	[queue => queue.enqueue([JOB, {...JOB, delay: 1000} as never]), /^enqueue\(\) has no option "delay"; did you mean "delayMs"\?$/],
	[queue => queue.pause('hash' as never), /^pause\(\) expects as tasks an array; it got "hash"\.$/],
	[queue => queue.resume(['']), /^resume\(\) expects as tasks a text/],
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

test("what a job leaves out has the defaults of open(), and without a policy its task's own options where it runs", async t => {
	const queue = await openQueue(':memory:');
	const [plain, own] = await queue.enqueue([
		{task: 'hash', payload: encode(1, 'payload')},
		{...JOB, priority: 2, policy: {maxAttempts: 9, timeoutMs: 1500.4, backoff: {baseMs: 5}}},
	]);
	t.like(await queue.job(plain?.id as number), {priority: 0, maxAttempts: 3, timeoutMs: null, status: 'pending'});
	t.like(await queue.job(own?.id as number), {priority: 2, maxAttempts: 9, timeoutMs: 1500});
	const {jobs} = await queue.dequeue({owner: 'me', tasks: ['hash'], limit: Infinity});
	const {maxAttempts: _, ...numbers} = forPolicyNumbers((_, {usual}) => usual);
	const defaults = {...numbers, retry: 'auto', backoff: {baseMs: 1000, factor: 2, maxMs: 3_600_000, jitter: 0.5}} as const;
	t.deepEqual(
		jobs.map(({policy}) => policy),
		[
			{maxAttempts: 9, timeoutMs: 1500, ...defaults, backoff: {...defaults.backoff, baseMs: 5}},
			{maxAttempts: 3, timeoutMs: null, ...defaults, unset: POLICY_OPTIONS},
		],
	);
	await queue.close();
});

test('jobs that share a policy share its object, also after the check', async t => {
	const queue = await openQueue(':memory:');
	const policy = {maxAttempts: 2};
	await queue.enqueue(Array.from({length: 10}, () => ({...JOB, policy})));
	const {claimed} = await queue.store.commit({claim: {owner: 'me', lanes: [{task: 'hash', limit: 10}], limit: 10, maxBytes: Infinity}});
	t.is(claimed.groups.length, 1);
	await queue.close();
});

test('a policy counts as it is in each call, also if the program changes the object', async t => {
	const queue = await openQueue(':memory:');
	const policy: {maxAttempts: number; backoff: {baseMs: number}; retries?: number} = {maxAttempts: 2, backoff: {baseMs: 5}};
	const enqueued = async () => (await queue.enqueue([{...JOB, policy}]))[0]?.id as number;
	const ids = [await enqueued(), await enqueued()];
	policy.maxAttempts = 4;
	ids.push(await enqueued());
	policy.backoff.baseMs = 70;
	ids.push(await enqueued());
	const {jobs} = await queue.dequeue({owner: 'me', tasks: ['hash'], limit: 4});
	const policyOf = (id: number) => jobs.find(job => job.id === id)?.policy;
	t.deepEqual(
		ids.map(id => [policyOf(id)?.maxAttempts, policyOf(id)?.backoff.baseMs]),
		[
			[2, 5],
			[2, 5],
			[4, 5],
			[4, 70],
		],
	);
	policy.backoff.baseMs = -1;
	await t.throwsAsync(async () => queue.enqueue([{...JOB, policy}]), {code: 'BadOption', message: /baseMs/});
	policy.backoff.baseMs = 70;
	policy.retries = 1;
	await t.throwsAsync(async () => queue.enqueue([{...JOB, policy}]), {code: 'BadOption', message: /no option "retries"/});
	await queue.enqueue([{...JOB, policy: {backoff: {}}}]);
	for (const backoff of [[], Promise.resolve()]) {
		await t.throwsAsync(async () => queue.enqueue([{...JOB, policy: {backoff: backoff as object}}]), {code: 'BadOption', message: /backoff/});
	}
	await queue.enqueue([{...JOB, policy: {}}]);
	for (const wrong of [[], Promise.resolve()]) {
		await t.throwsAsync(async () => queue.enqueue([{...JOB, policy: wrong as object}]), {code: 'BadOption', message: /policy/});
	}
	await queue.close();
});
