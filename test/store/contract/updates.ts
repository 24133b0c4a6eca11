import {type Claim, MAX_LOG_LINES, type Outcome} from '../../../lib/job/claim.ts';
import type {Changes} from '../../../lib/store/store.ts';
import {groupNew} from '../../fixtures/plain.ts';
import {claimsOf, commit, ERROR, enqueue, jobOf, law, newJob, OTHER, outlast, PAYLOADS, POLICY, plain, range, T0, take} from './laws.ts';

law('progress is shown until the job is claimed again', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {update: [{...claim, progress: {done: 1, total: 4, at: T0}}]});
	t.deepEqual((await jobOf(queue, 1)).progress, {done: 1, total: 4, at: T0});
	await commit(queue, {update: [{...claim, progress: {done: 2.5, at: T0 + 1}}]});
	await commit(queue, {update: [{...claim, logs: [{at: T0 + 2, level: 'info', text: 'line'}]}]});
	t.deepEqual((await jobOf(queue, 1)).progress, {done: 2.5, at: T0 + 1});
	await commit(queue, {settle: [{...claim, outcome: {type: 'released'}}]});
	t.deepEqual((await jobOf(queue, 1)).progress, {done: 2.5, at: T0 + 1});
	await take(queue);
	t.false('progress' in (await jobOf(queue, 1)));
});

law('log lines are kept in order, each with its level, over all executions', async (t, queue) => {
	await enqueue(queue, newJob());
	for (const execution of [1, 2]) {
		const [claim] = claimsOf(await take(queue)) as [Claim];
		await commit(queue, {update: [{...claim, logs: [{at: T0, level: 'debug', text: `begin ${execution}`}]}]});
		await commit(queue, {update: [{...claim, logs: [{at: T0 + 1, level: 'error', text: 'ä\n'}]}], settle: []});
		await commit(queue, {settle: [{...claim, outcome: {type: 'released'}}]});
	}
	t.deepEqual(await queue.logs(1), [
		{execution: 1, at: T0, level: 'debug', text: 'begin 1'},
		{execution: 1, at: T0 + 1, level: 'error', text: 'ä\n'},
		{execution: 2, at: T0, level: 'debug', text: 'begin 2'},
		{execution: 2, at: T0 + 1, level: 'error', text: 'ä\n'},
	]);
});

law('a log line may be any string, and its job goes on: what a store cannot keep of it is marked', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {
		update: [{...claim, logs: [{at: T0, level: 'info', text: 'a\0b\ud800c'}]}],
		settle: [{...claim, outcome: {type: 'returned', value: '1'}}],
	});
	t.is((await jobOf(queue, 1)).status, 'completed');
	t.regex((await queue.logs(1))[0]?.text ?? '', /^a(\0|\ufffd)b[\ufffd\ud800]c$/);
});

law('a job keeps its latest log lines, up to a limit', async (t, queue) => {
	await enqueue(queue, newJob(), newJob());
	const [claim, other] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	const lines = range(1, MAX_LOG_LINES + 5).map(at => ({at, level: 'info' as const, text: `line ${at}`}));
	await commit(queue, {update: [{...other, logs: [{at: 0, level: 'info', text: 'spared'}]}]});
	await commit(queue, {update: [{...claim, logs: lines}]});
	await commit(queue, {update: [{...claim, logs: [{at: 999, level: 'info', text: 'last'}]}]});
	t.deepEqual(
		(await queue.logs(1)).map(({at}) => at),
		[...range(7, MAX_LOG_LINES + 5), 999],
	);
	t.is((await queue.logs(2)).length, 1);
});

law('the last update of an execution is kept, though it is settled in the same transaction', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const update = {...claim, progress: {done: 4, total: 4, at: T0}, logs: [{at: T0, level: 'info' as const, text: 'done'}]};
	await commit(queue, {update: [update], settle: [{...claim, outcome: {type: 'returned', value: '1'}}]});
	t.like(await jobOf(queue, 1), {status: 'completed', progress: {done: 4, total: 4, at: T0}});
	t.deepEqual(await queue.logs(1), [{execution: 1, at: T0, level: 'info' as const, text: 'done'}]);
});

law('each later execution gets the checkpoint of an earlier one, however that ended, until the job completes', async (t, queue, clock) => {
	const ends: Outcome[] = [{type: 'threw', error: ERROR}, {type: 'released'}, {type: 'timedOut', error: ERROR}, {type: 'cancelled'}];
	await enqueue(queue, newJob({policy: {...POLICY, maxAttempts: 2}}));
	t.false('checkpoint' in ((await queue.values(1)) ?? {}));
	for (const [index, outcome] of ends.entries()) {
		const dequeued = await take(queue);
		t.is(dequeued.jobs[0]?.checkpoint, index === 0 ? undefined : `"state ${index}"`);
		const [claim] = claimsOf(dequeued) as [Claim];
		await commit(queue, {update: [{...claim, checkpoint: {at: T0, state: '"replaced"'}}]});
		await commit(queue, {update: [{...claim, checkpoint: {at: T0 + index, state: `"state ${index + 1}"`}}]});
		await commit(queue, {settle: [{...claim, outcome}]});
		t.deepEqual((await queue.values(1))?.checkpoint, {execution: index + 1, at: T0 + index, state: `"state ${index + 1}"`});
		clock.pass(100_000);
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
	await commit(queue, {update: [{...claim, checkpoint: {at: T0, state: '"of payload 1"'}}], settle: [{...claim, outcome: {type: 'cancelled'}}]});
	await commit(queue, {enqueue: [newJob({key: 'a', payload: '2', rerun: {changed: true, failed: true}})]});
	const [job] = (await take(queue)).jobs;
	t.is(job?.payload, '2');
	t.false('checkpoint' in (job ?? {}));
});

law('a checkpoint may be text, bytes or nothing', async (t, queue) => {
	await enqueue(queue, ...PAYLOADS.map(() => newJob()));
	const claims = claimsOf(await take(queue, 10));
	await commit(queue, {
		update: claims.map((claim, index) => ({...claim, checkpoint: {at: T0, state: PAYLOADS[index] ?? null}})),
		settle: claims.map(claim => ({...claim, outcome: {type: 'released'}})),
	});
	t.deepEqual(
		(await take(queue, 10)).jobs.map(job => plain(job.checkpoint)),
		PAYLOADS.map(plain),
	);
});

law('the job of a dead owner resumes from its checkpoint', async (t, queue, clock) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await commit(queue, {update: [{...claim, checkpoint: {at: T0, state: '1'}}]});
	await outlast(queue, clock);
	t.like((await take(queue, 1, OTHER)).jobs[0], {execution: 2, checkpoint: '1'});
	await commit(queue, {update: [{...claim, checkpoint: {at: T0, state: '"late"'}}]});
	t.is((await queue.values(1))?.checkpoint?.state, '1');
});

law('jobs of one lease that end in one transaction keep their own checkpoints, except those that complete', async (t, queue) => {
	await enqueue(queue, ...range(1, 4).map(() => newJob()));
	const [first, second, third, fourth] = claimsOf(await take(queue, 4)) as [Claim, Claim, Claim, Claim];
	const update = [first, second, third, fourth].map(claim => ({...claim, checkpoint: {at: T0, state: String(claim.id)}}));
	const done: Outcome = {type: 'returned', value: null};
	await commit(queue, {
		update,
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

law('an update whose claim was lost is dropped', async (t, queue) => {
	await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const update = {progress: {done: 1, at: T0}, logs: [{at: T0, level: 'info' as const, text: 'late'}], checkpoint: {at: T0, state: '1'}};
	await commit(queue, {update: [{id: 99}, {lease: claim.lease + 1}, {execution: 2}].map(wrong => ({...claim, ...wrong, ...update}))});
	await queue.complete(claim);
	await commit(queue, {update: [{...claim, ...update}]});
	t.false('progress' in (await jobOf(queue, 1)));
	t.false('checkpoint' in ((await queue.values(1)) ?? {}));
	t.deepEqual(await queue.logs(1), []);
});

law('a commit within the call is reported before the call returns, with its error if it failed, and not again', async (t, queue) => {
	await enqueue(queue, newJob({key: 'a'}));
	const [claim] = claimsOf(await take(queue)) as [Claim];
	const heard: unknown[] = [];
	const urgent = (error: unknown) => void heard.push(error);
	const commits: Changes[] = [
		{update: [{...claim, checkpoint: {at: T0, state: '1'}}], urgent},
		{enqueue: groupNew([newJob({key: 'a', payload: '"other"'})]), rejectConflicts: true, urgent},
	];
	for (const [index, changes] of commits.entries()) {
		const committing = queue.store.commit(changes);
		const within = heard.splice(0);
		const error = await committing.then(
			() => undefined,
			thrown => thrown as unknown,
		);
		t.is(error !== undefined, index === 1);
		t.true(within.length <= 1 && heard.length === 0);
		if (within.length === 1) t.is(within[0], error);
	}
	t.is((await queue.values(1))?.checkpoint?.state, '1');
});
