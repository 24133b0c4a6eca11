import type {Claim, Outcome, Settlement} from '../../../lib/job/claim.ts';
import type {FailureRecord} from '../../../lib/job/failure.ts';
import type {JobId} from '../../../lib/job/job.ts';
import {backoffMs} from '../../../lib/job/next-state.ts';
import type {Policy} from '../../../lib/job/policy.ts';
import type {Settled} from '../../../lib/store/store.ts';
import {commitPlain} from '../../fixtures/plain.ts';
import {claimOf, claimsOf, commit, ERROR, enqueue, idsOf, jobOf, law, listed, newJob, OTHER, OWNER, POLICY, plain, range, settleOne, T0, take} from './laws.ts';

law('a job that is settled twice in a group counts once, and a claim that does not match is lost', async (t, queue) => {
	await enqueue(queue, ...Array.from({length: 12}, () => newJob()));
	const {lease} = await take(queue, 10);
	const returned = (first: JobId, last: JobId, of = lease): Settlement[] =>
		range(first, last).map(id => ({id, lease: of, execution: 1, outcome: {type: 'returned', value: String(id), startedAt: T0 + id, durationMs: id / 2}}));
	const released = (id: JobId): Settlement => ({id, lease, execution: 1, outcome: {type: 'released'}});
	const {settled} = await commit(queue, {settle: [...returned(1, 2, lease + 1), released(4), ...returned(3, 6)]});
	const [done, lost] = ['completed', 'lost'] as const;
	t.deepEqual(settled, [lost, lost, 'pending', done, lost, done, done]);
	t.deepEqual((await commit(queue, {settle: returned(9, 12)})).settled, [done, done, lost, lost]);
	t.deepEqual((await commit(queue, {settle: [...returned(5, 8), released(1), ...returned(1, 3)]})).settled, [
		lost,
		lost,
		done,
		done,
		'pending',
		lost,
		done,
		lost,
	]);
	t.deepEqual(await listed(queue, {status: 'completed'}), [2, 3, 5, 6, 7, 8, 9, 10]);
	t.like(await queue.job(7), {status: done, startedAt: T0 + 7, durationMs: 3.5});
	t.is((await queue.values(8))?.result, '8');
	t.like(await queue.counts(), {pending: 4, running: 0, completed: 8});
});

law('jobs without a value among jobs with one keep none, however their rows are cut: payloads and results', async (t, queue) => {
	// Enqueued apart, and settled together.
	await enqueue(queue, newJob({payload: null}));
	await enqueue(queue, newJob({payload: '"x"'}));
	const claims = claimsOf(await take(queue, 2));
	await commit(queue, {settle: claims.map((claim, index) => ({...claim, outcome: {type: 'returned', value: index === 0 ? null : '5'}}))});
	t.deepEqual(
		(await queue.outcomes([1, 2])).map(({result}) => result),
		[null, '5'],
	);
	// Enqueued and settled together, and cut later.
	await enqueue(queue, newJob({payload: null}), newJob({payload: '"y"'}), newJob({payload: null}));
	await queue.edit(4, {payload: '"z"'});
	t.deepEqual(
		(await take(queue, 3)).jobs.map(({payload}) => payload),
		[null, '"z"', null],
	);
	await enqueue(queue, newJob({payload: null}), newJob({payload: null}), newJob({payload: '"y"'}));
	const together = claimsOf(await take(queue, 3));
	await commit(queue, {settle: together.map((claim, index) => ({...claim, outcome: {type: 'returned', value: index === 2 ? '7' : null}}))});
	await queue.retry({ids: [7]});
	t.deepEqual(
		(await queue.outcomes([6, 8])).map(({result}) => result),
		[null, '7'],
	);
	await queue.store.delete({ids: [8]});
	t.is((await queue.values(6))?.payload, null);
	t.is((await queue.values(7))?.payload, null);
});

law('if two groups settle the same job, the first group counts, even if the second begins with an earlier job', async (t, queue) => {
	await enqueue(queue, ...range(1, 10).map(() => newJob()));
	const {lease} = await take(queue, 10);
	const returned = (first: JobId, last: JobId, value: string): Settlement[] =>
		range(first, last).map(id => ({id, lease, execution: 1, outcome: {type: 'returned', value}}));
	const settle = [...returned(4, 8, '1'), ...returned(2, 5, '2')];
	const {settled} = await commitPlain(queue.store, {settle}, index => index === 5);
	const [done, lost] = ['completed', 'lost'] as const;
	t.deepEqual(settled, [done, done, done, done, done, done, done, lost, lost]);
	const results = (await queue.outcomes(range(1, 10))).map(({id, result}) => [id, result]);
	t.deepEqual(results, [...range(2, 3).map(id => [id, '2']), ...range(4, 8).map(id => [id, '1'])]);
	t.like(await queue.counts(), {running: 3, completed: 7});
});

law('a group with a wrong lease or execution number is lost and changes nothing', async (t, queue) => {
	await enqueue(queue, ...range(1, 10).map(() => newJob()));
	const {lease} = await take(queue, 10);
	const before = await queue.jobs({}).page();
	for (const wrong of [{execution: 2}, {lease: lease + 1}]) {
		const settle = range(1, 10).map(id => ({id, lease, execution: 1, ...wrong, outcome: {type: 'returned', value: '1'} as const}));
		t.deepEqual(
			(await commit(queue, {settle})).settled,
			settle.map(() => 'lost'),
		);
	}
	t.deepEqual(await queue.jobs({}).page(), before);
});

law('a returned job is completed, with its result, times and no error', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0 + 1, durationMs: 2});
	clock.pass(T0 + 2000 - clock.now());
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
			clock.pass(T0 + 1000 - clock.now());
			const {jobs} = await take(queue);
			t.like(jobs[0] ?? {}, {id: 1, execution: 2, attempts: 1});
		},
	);
}

law('an error can decide that its job is dead at once, or how long it waits for the next attempt', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob(), newJob({policy: {...POLICY, retry: 'manual'}}), newJob({policy: {...POLICY, maxAttempts: 1, maxDelays: 0}}));
	const {lease} = await take(queue, 4);
	const later = {...ERROR, retry: {afterMs: 90_000}} as const;
	const errors = [{...ERROR, retry: 'never'} as const, later, later, later];
	const settle = errors.map((error, index) => ({id: index + 1, lease, execution: 1, outcome: {type: 'threw', error} as const}));
	t.deepEqual((await commit(queue, {settle})).settled, ['dead', 'failed', 'failed', 'dead']);
	t.like(await jobOf(queue, 1), {attempts: 1, error: {retry: 'never'}});
	t.like(await jobOf(queue, 2), {attempts: 0, runAt: clock.now() + 90_000, error: later});
	t.false('runAt' in (await jobOf(queue, 3)));
	t.like(await queue.counts(), {dead: 2, failed: 2});
});

law(
	'an execution that asks for a later one costs no attempt as often as maxDelays says, then it is charged; a new round counts anew',
	async (t, queue, clock) => {
		await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 2, maxDelays: 2}}));
		const later = {type: 'threw', error: {...ERROR, retry: {afterMs: 90_000}}} as const;
		const seen: [Settled | undefined, number, number][] = [];
		const end = async (outcome: Outcome) => {
			const status = await settleOne(queue, outcome);
			const {attempts, executions} = await jobOf(queue, 1);
			seen.push([status, attempts, executions]);
			clock.pass(90_000);
		};
		await end(later);
		await end({type: 'threw', error: ERROR});
		await end(later);
		await end(later);
		t.deepEqual(seen, [
			['failed', 0, 1],
			['failed', 1, 2],
			['failed', 1, 3],
			['dead', 2, 4],
		]);
		t.deepEqual(
			(await queue.history(1)).map(({execution, status}) => [execution, status]),
			[1, 2, 3, 4].map(execution => [execution, 'failed']),
		);
		await queue.retry({ids: [1]});
		await end(later);
		t.deepEqual(seen.at(-1), ['failed', 0, 5]);
	},
);

law("options that nobody has given to a job are its task's own, if it fails", async (t, queue, clock) => {
	const unset: Policy = {...POLICY, unset: ['maxAttempts', 'backoff']};
	const own = {maxAttempts: 1, backoff: {...POLICY.backoff, baseMs: 5000}};
	const child = newJob({task: 'thumbnail', key: 'taken'});
	await enqueue(queue, newJob({policy: unset}), newJob({policy: {...POLICY, unset: ['backoff']}}), newJob(), newJob({policy: unset}), {...child, payload: '2'});
	const claimed = await queue.dequeue({owner: OWNER, tasks: ['hash'], limit: 4});
	t.deepEqual(claimed.jobs[0]?.policy, unset);
	const outcome: Outcome = {type: 'threw', error: ERROR};
	const [first, second, third, maker] = claimsOf(claimed).map(claim => ({...claim, own, outcome})) as [Settlement, Settlement, Settlement, Settlement];
	const settle = [first, second, third, {...maker, outcome: {type: 'returned', value: null, enqueue: [child]} as const}];
	t.deepEqual((await commit(queue, {settle})).settled, ['dead', 'failed', 'failed', 'dead']);
	t.is((await jobOf(queue, 2)).runAt, clock.now() + 5000);
	t.is((await jobOf(queue, 3)).runAt, clock.now() + 1000);
});

law('only what a task throws can put its job off: a time in the error of a lost worker or a timeout charges it all the same', async (t, queue) => {
	for (const type of ['timedOut', 'lostWorker'] as const) {
		const [id] = (await enqueue(queue, newJob())) as [number];
		await settleOne(queue, {type, error: {...ERROR, reason: type, retry: {afterMs: 90_000}}});
		t.like(await jobOf(queue, id), {status: 'failed', attempts: 1});
	}
});

law('a stored error comes back whole', async (t, queue) => {
	const inner = {name: 'Inner', message: 'one', builtIn: 'RangeError', fields: {at: 1}} as const;
	const fields = {status: 404, at: new Date(0), bytes: new Uint8Array([1, 2]), none: undefined, deep: {list: [1n, -0]}};
	const error = {...ERROR, builtIn: 'AggregateError', fields, errors: [inner], causes: [{...inner, errors: [inner]}]} as const;
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 1}}));
	await settleOne(queue, {type: 'threw', error});
	t.deepEqual((await queue.store.jobs({ids: [1]})).jobs[0]?.error, error);
});

law('the executions that have ended are kept, with their errors, times and workers', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const [first, third] = [{...ERROR, message: 'first'}, {...ERROR, reason: 'timedOut', message: 'third'} as const];
	await end({type: 'threw', error: first, startedAt: T0 + 1, durationMs: 2, cpuMs: 1, memoryBytes: 100}, 'thread 1');
	t.deepEqual(await queue.history(1), [
		{execution: 1, status: 'failed', endedAt: T0, startedAt: T0 + 1, durationMs: 2, cpuMs: 1, memoryBytes: 100, worker: 'thread 1', error: first},
	]);
	clock.pass(1000);
	await end({type: 'released'});
	await end({type: 'timedOut', error: third, startedAt: T0 + 1000, durationMs: 60}, 'thread 2');
	clock.pass(2000);
	await end({type: 'returned', value: '1', startedAt: T0 + 3000, durationMs: 7}, 'thread 1');
	const history = [
		{execution: 1, status: 'failed', error: first, worker: 'thread 1', endedAt: T0},
		{execution: 3, status: 'failed', error: third, worker: 'thread 2', durationMs: 60},
		{execution: 4, status: 'completed', worker: 'thread 1', startedAt: T0 + 3000, durationMs: 7, endedAt: T0 + 3000},
	];
	t.like(await queue.history(1), history);
	t.is((await queue.history(1)).length, 3);
	await queue.retry({ids: [1]});
	await end({type: 'cancelled', startedAt: T0 + 3001});
	t.like(await queue.history(1), [...history, {execution: 5, status: 'cancelled', startedAt: T0 + 3001}]);
	t.false('worker' in ((await queue.history(1))[3] ?? {}));

	async function end(outcome: Outcome, worker?: string): Promise<void> {
		const {lease, jobs} = await take(queue);
		await commit(queue, {settle: jobs.map(({id, execution}) => ({id, lease, execution, outcome, worker}))});
	}
});

law('of many executions the first ten and the last ten are kept, also over rounds', async (t, queue) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 1}}));
	for (let execution = 1; execution <= 24; execution++) {
		if (execution > 1) t.is(await queue.retry({ids: [1]}), 1);
		await settleOne(queue, execution % 5 === 0 ? {type: 'returned', value: '1'} : {type: 'threw', error: {...ERROR, message: String(execution)}});
		const kept = (await queue.history(1)).map(({execution}) => execution);
		t.deepEqual(kept, execution <= 20 ? range(1, execution) : [...range(1, 10), ...range(execution - 9, execution)]);
	}
});

law('jobs that completed together have a history each, also after they are moved one by one', async (t, queue) => {
	await enqueue(queue, ...range(1, 6).map(() => newJob()));
	const {lease} = await take(queue, 6);
	const worker = (id: JobId) => (id < 4 ? 'thread 1' : id < 6 ? 'thread 2' : undefined);
	const returned = (id: JobId): Outcome => ({type: 'returned', value: String(id), startedAt: T0 + id, durationMs: id});
	await commit(queue, {settle: range(1, 6).map(id => ({id, lease, execution: 1, outcome: returned(id), worker: worker(id)}))});
	const expected = (id: JobId) => {
		const name = worker(id);
		return [{execution: 1, status: 'completed', endedAt: T0, startedAt: T0 + id, durationMs: id, ...(name !== undefined && {worker: name})}];
	};
	for (const id of range(1, 6)) t.deepEqual(await queue.history(id), expected(id) as never);
	await queue.store.delete({endedBefore: T0 + 1}, {limit: 2});
	t.deepEqual(await queue.history(2), []);
	for (const id of range(3, 6)) t.deepEqual(await queue.history(id), expected(id) as never);
	await queue.retry({ids: [4]});
	for (const id of range(3, 6)) t.deepEqual(await queue.history(id), expected(id) as never);
});

law('backoff grows with each attempt and is jittered at random', async (t, queue, clock) => {
	const backoff = {baseMs: 1000, factor: 3, maxMs: 5000, jitter: 0.5};
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 9, backoff}}));
	for (const [index, random] of [0, 0.5, 0.25].entries()) {
		clock.random = random;
		await settleOne(queue, {type: 'threw', error: ERROR});
		const {runAt = 0} = await jobOf(queue, 1);
		t.is(runAt - clock.now(), backoffMs(backoff, index + 1, random));
		clock.pass(runAt - clock.now());
	}
});

law('a failed job that is ready again shows its last error until it completes', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	await settleOne(queue, {type: 'threw', error: ERROR});
	clock.pass(T0 + 1000 - clock.now());
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
	clock.pass(T0 + 1000 - clock.now());
	t.is(await settleOne(queue, {type: 'lostWorker', error: {...ERROR, reason: 'lostWorker', exitCode: 139}}), 'dead');
	t.like(await jobOf(queue, 1), {status: 'dead', attempts: 2, endedAt: T0 + 1000, error: {...ERROR, reason: 'lostWorker', exitCode: 139}});
	t.false('runAt' in (await jobOf(queue, 1)));
	t.deepEqual(Object.keys((await queue.values(1)) ?? {}), ['payload']);
});

law('an error keeps its causes', async (t, queue) => {
	await enqueue(queue, newJob());
	const error: FailureRecord = {reason: 'threw', name: 'Error', message: 'outer', causes: [{name: 'Thrown', message: 'ünïcode 😀', code: 5}]};
	await settleOne(queue, {type: 'threw', error});
	t.deepEqual((await queue.store.jobs({ids: [1]})).jobs[0]?.error, error);
});

law('under manual retry a failed job is parked until it is retried', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, retry: 'manual'}}));
	t.is(await settleOne(queue, {type: 'threw', error: ERROR}), 'failed');
	t.false('runAt' in (await jobOf(queue, 1)));
	clock.pass(1e9);
	t.deepEqual(await commit(queue, {claim: claimOf('hash')}), {
		settled: [],
		enqueued: [],
		claimed: {lease: 0, jobs: []},
		backlog: 0,
		dueInMs: null,
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
	const [one, two] = await queue.jobs({}).page();
	t.like(one ?? {}, {status: 'cancelled', attempts: 0, endedAt: T0});
	t.false('error' in (one ?? {}));
	t.like(two ?? {}, {status: 'cancelled', attempts: 0, endedAt: T0, startedAt: T0, durationMs: 3, error: {...ERROR, reason: 'cancelled'}});
});

law('a job that is cancelled keeps the error of its last execution, unless its outcome has another', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	for (const _ of [1, 2]) await settleOne(queue, {type: 'threw', error: ERROR});
	clock.pass(T0 + 1000 - clock.now());
	await settleOne(queue, {type: 'cancelled'});
	await settleOne(queue, {type: 'cancelled', error: {...ERROR, reason: 'cancelled'}});
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status, attempts, error}) => [status, attempts, error?.reason]),
		[
			['cancelled', 1, 'threw'],
			['cancelled', 1, 'cancelled'],
		],
	);
});

law('a job that is cancelled when its execution is released keeps the times of the one before', async (t, queue, clock) => {
	await enqueue(queue, newJob({policy: {...POLICY, backoff: {...POLICY.backoff, baseMs: 1}}}));
	await settleOne(queue, {type: 'threw', error: ERROR, startedAt: T0 + 3, durationMs: 40});
	clock.pass(1);
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await queue.cancel({ids: [1]});
	t.deepEqual((await commit(queue, {settle: [{...claim, outcome: {type: 'released'}}]})).settled, ['cancelled']);
	t.like(await jobOf(queue, 1), {status: 'cancelled', startedAt: T0 + 3, durationMs: 40, executions: 2});
});

law('a released job is ready again in its old order, uncharged, and its execution number is not used again', async (t, queue) => {
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
	const before = await queue.jobs({}).page();
	const wrong = [{id: 2}, {id: 99}, {lease: claim.lease - 1}, {lease: claim.lease + 1}, {execution: 1}, {execution: 3}];
	const settle = wrong.map(part => ({...claim, ...part, outcome: {type: 'returned', value: '9'} as const}));
	t.deepEqual(
		(await commit(queue, {settle})).settled,
		wrong.map(() => 'lost'),
	);
	t.deepEqual(await queue.jobs({}).page(), before);
	t.deepEqual(await queue.settle(claim.lease, [{...claim, outcome: {type: 'returned', value: '1'}}]), {accepted: 1, lost: 0});
});

law(
	'jobs that were enqueued and claimed together settle one by one in any order; a settlement that is repeated, stale or of another lease changes nothing',
	async (t, queue, clock) => {
		await enqueue(queue, ...range(1, 10).map(payload => newJob({payload: String(payload)})));
		const claims = claimsOf(await take(queue, 8));
		const returned = (id: JobId, parts: Partial<Claim> = {}) => ({
			...(claims[id - 1] as Claim),
			...parts,
			outcome: {type: 'returned', value: `"${id}"`} as const,
		});
		const lease = (claims[0] as Claim).lease + 1;
		clock.pass(10);
		t.deepEqual(
			(await commit(queue, {settle: [returned(4), returned(2), returned(4), returned(3, {execution: 2}), returned(5, {lease}), returned(1)]})).settled,
			['completed', 'completed', 'lost', 'lost', 'lost', 'completed'],
		);
		t.deepEqual(
			(await commit(queue, {settle: [returned(2), {...(claims[6] as Claim), outcome: {type: 'threw', error: ERROR}}, returned(6), returned(5)]})).settled,
			['lost', 'failed', 'completed', 'completed'],
		);
		t.deepEqual(Object.fromEntries((await queue.jobs({}).page()).map(({id, status}) => [id, status])), {
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
			(await queue.outcomes(range(1, 10))).map(({id, status, result}) => [id, status, plain(result)]),
			[1, 2, 4, 5, 6].map(id => [id, 'completed', `"${id}"`]),
		);
		t.is(plain((await queue.values(4))?.result), '"4"');
		t.like(await jobOf(queue, 4), {executions: 1, endedAt: clock.now(), resultBytes: 3});
		t.deepEqual(await queue.counts(), {blocked: 0, pending: 2, running: 2, failed: 1, completed: 5, dead: 0, cancelled: 0});
		t.deepEqual(await listed(queue, {status: 'completed'}), [1, 2, 4, 5, 6]);
		t.is(await queue.retry({ids: [4]}), 1);
		t.deepEqual(await listed(queue, {status: 'completed'}), [1, 2, 5, 6]);
		t.deepEqual(idsOf(await take(queue, 3)), [4, 9, 10]);
		clock.pass(10);
		t.is((await queue.store.delete({endedBefore: clock.now()})).deleted, 4);
		t.deepEqual(await listed(queue, {}), [3, 4, 7, 8, 9, 10]);
	},
);

law('an execution is settled once', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const {settled} = await commit(queue, {
		settle: [
			{...claim, outcome: {type: 'returned', value: '1'}},
			{...claim, outcome: {type: 'returned', value: '2'}},
		],
	});
	t.deepEqual(settled, ['completed', 'lost']);
	t.false(await queue.complete(claim, '3'));
	t.is((await queue.values(1))?.result, '1');
});

law('a lease can be settled in parts, and several leases in one transaction, each job on its own', async (t, queue) => {
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
	const {settled} = await commit(queue, {settle: outcomes.map(([claim, outcome]) => ({...claim, outcome}))});
	t.deepEqual(settled, ['failed', 'lost', 'completed', 'lost', 'pending', 'cancelled']);
	t.deepEqual(
		(await queue.jobs({}).page()).map(({status}) => status),
		['cancelled', 'completed', 'completed', 'running', 'failed', 'pending'],
	);
	t.true(await queue.complete(d));
});

law('complete() and fail() settle one job, and return whether its claim was valid', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const [one, two] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	t.true(await queue.complete(one, '"done"'));
	t.true(await queue.fail(two, new RangeError('too far')));
	t.false(await queue.complete(one, '"again"'));
	t.false(await queue.fail(two, new Error('again')));
	t.is((await queue.values(one.id))?.result, '"done"');
	t.like((await jobOf(queue, two.id)).error ?? {}, {reason: 'threw', name: 'RangeError', message: 'too far'});
});

law('a job keeps its policy, however many others a call names, or the store has seen since it was claimed', async (t, queue) => {
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 1}}), newJob());
	const claims = claimsOf(await take(queue, 2));
	await enqueue(queue, ...range(1, 20_002).map(maxAttempts => newJob({policy: {...POLICY, maxAttempts}})));
	const {settled} = await commit(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'threw', error: ERROR}}))});
	t.deepEqual(settled, ['dead', 'failed']);
	t.is((await jobOf(queue, 3)).maxAttempts, 1);
});
