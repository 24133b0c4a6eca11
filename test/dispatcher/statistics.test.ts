import test from 'ava';
import {Statistics} from '../../lib/dispatcher/statistics.ts';
import {withPolicies} from '../../lib/dispatcher/timeouts.ts';
import {type EndedGroup, policyAt} from '../../lib/job/groups/group.ts';
import {packTimes} from '../../lib/job/groups/packed-times.ts';
import {toEndedGroup} from '../../lib/job/groups/single-jobs.ts';
import type {Settled} from '../../lib/store/store.ts';
import {POLICY} from '../fixtures/dispatcher.ts';
import {claimedGroup, returnedGroup} from '../fixtures/groups.ts';
import {near} from '../fixtures/near.ts';

function completed(durationMs: number, waitMs?: number): EndedGroup {
	const outcome = {type: 'returned', value: null, startedAt: waitMs ?? 0, durationMs, cpuMs: durationMs / 2} as const;
	return toEndedGroup([{id: 1, lease: 1, execution: waitMs === undefined ? 2 : 1, outcome}], 0);
}

/** Of a chunk of the task whose timeout is so many percent of the median. */
function timeoutOf(statistics: Statistics, task: string, timeoutPercent: number): number | null {
	const {policies} = withPolicies(claimedGroup(1, {task, policies: {...POLICY, timeoutPercent}}), {}, each => statistics.medianMs(each));
	return policyAt(policies, 0).timeoutMs;
}

test('quantiles, waits and processor time are kept by task', t => {
	const statistics = new Statistics(2);
	statistics.countEnded('hash', [completed(1, 5), completed(2), completed(3), completed(100)]);
	statistics.countEnded('parse', [completed(7)]);
	const {hash, parse} = statistics.report().tasks;
	t.like(hash, {completed: 4, cpuMs: 53});
	t.true(Math.abs((hash?.duration.p50 ?? 0) - 2) < 0.1);
	t.true(Math.abs((hash?.duration.max ?? 0) - 100) < 1);
	t.true(Math.abs((hash?.wait.p95 ?? 0) - 5) < 0.1);
	t.is(parse?.wait.mean, 0);
});

test('a wait of ages, from the start time in a damaged row, is counted as the longest possible', t => {
	const statistics = new Statistics(2);
	statistics.countEnded('hash', [completed(1, 5e13), completed(1, Number.MAX_VALUE)]);
	t.is(statistics.report().tasks['hash']?.completed, 2);
});

test('a timeout as a share of the median needs ten completed executions, and is at least 100 ms', t => {
	const statistics = new Statistics(2);
	t.is(timeoutOf(statistics, 'hash', 300), null);
	statistics.countEnded(
		'hash',
		Array.from({length: 9}, () => completed(1000)),
	);
	t.is(timeoutOf(statistics, 'hash', 300), null);
	statistics.countEnded('hash', [completed(1000)]);
	t.true(Math.abs((timeoutOf(statistics, 'hash', 300) ?? 0) - 3000) < 30);
	statistics.countEnded(
		'short',
		Array.from({length: 10}, () => completed(1)),
	);
	t.is(timeoutOf(statistics, 'short', 300), 100);
});

test('when to try a refused enqueue again follows from the mean run time of the task or of all, within bounds', t => {
	const statistics = new Statistics(2);
	t.is(statistics.retryAfterMs(1, 'hash'), 5000);
	statistics.countEnded('hash', [completed(20_000), completed(40_000)]);
	statistics.countEnded('parse', [completed(0.1), completed(0.1)]);
	t.is(statistics.retryAfterMs(1, 'hash'), 15_000);
	t.is(statistics.retryAfterMs(3, 'hash'), 45_000);
	t.is(statistics.retryAfterMs(1, 'hash', 1), 30_000);
	t.is(statistics.retryAfterMs(1, 'parse'), 1000);
	t.is(statistics.retryAfterMs(1, undefined), 7500);
	t.is(statistics.retryAfterMs(1_000_000, 'hash'), 3_600_000);
	t.is(statistics.retryAfterMs(1, 'never seen'), 5000);
	t.is(new Statistics(0).retryAfterMs(1, 'hash'), 5000);
});

test('executions are counted by the status that the store gave them', t => {
	const statistics = new Statistics(1);
	const others: Settled[] = ['failed', 'dead', 'cancelled', 'pending', 'lost'];
	const group = {lease: 1, ids: 1, executions: 1, createdAt: 0, values: {count: 7, text: null}, times: packTimes(7, {})};
	statistics.settled([group], [{others: new Map(others.map((status, index) => [index, status]))}]);
	t.deepEqual(statistics.report().executions, {completed: 2, failed: 1, dead: 1, cancelled: 1, released: 1, lost: 1});
});

test('counts start at zero', t => {
	let now = 500;
	const statistics = new Statistics(2, () => now);
	now = 1500;
	t.deepEqual(statistics.report(), {
		uptimeMs: 1000,
		slots: 2,
		busyRatio: 0,
		executions: {completed: 0, failed: 0, dead: 0, cancelled: 0, released: 0, lost: 0},
		completedPerSecond: 0,
		commits: {count: 0, failed: 0, meanMs: 0, p95Ms: 0},
		chunks: {count: 0, meanJobs: 0},
		lostWorkers: 0,
		storage: {databaseBytes: 0, freeBytes: 0, logBytes: 0},
		tasks: {},
	});
	t.is(new Statistics(0, () => now).report().busyRatio, 0);
	t.is(timeoutOf(statistics, 'count', 100), null);
});

test('the slots are busy for the share of their time in which jobs ran, however these ended', t => {
	let now = 0;
	const statistics = new Statistics(2, () => now);
	now = 1000;
	const threw = {type: 'threw', error: {reason: 'threw', name: 'Error', message: 'it failed'}} as const;
	statistics.countEnded('count', [returnedGroup([100, 200]), returnedGroup([NaN]), returnedGroup([100, NaN, 100], {endings: new Map([[0, threw]])})]);
	near(t, statistics.report().busyRatio, 0.25);
	t.is(statistics.report().tasks['count']?.cpuMs, 0);
	statistics.countEnded('count', [returnedGroup([1e6])]);
	t.is(statistics.report().busyRatio, 1);
});

test('executions that did not return count neither as completed nor in durations and waits; their processor time does', t => {
	const statistics = new Statistics(1);
	const released = {type: 'released'} as const;
	const times = packTimes(3, {
		startedAt: Float64Array.from([1010, 1020, 1030]),
		durationMs: Float64Array.from([1000, 2000, 2000]),
		cpuMs: Float64Array.from([1, 2, 4]),
	});
	const group = {lease: 1, ids: 1, executions: [1, 1, 2], createdAt: [1000, 1000, 0], values: {count: 3, text: null}, times};
	statistics.countEnded('count', [{...group, endings: new Map([[0, released]])}]);
	const {count} = statistics.report().tasks;
	t.like(count, {completed: 2, cpuMs: 7});
	near(t, count?.duration.mean ?? 0, 2000, 2);
	// Of the second alone: the third was tried before.
	near(t, count?.wait.mean ?? 0, 20, 0.1);
	near(t, count?.wait.max ?? 0, 20, 0.1);
});

test('an execution that returned and enqueued jobs is one that returned', t => {
	const statistics = new Statistics(1);
	statistics.countEnded('count', [returnedGroup([NaN, NaN], {endings: new Map([[0, {type: 'returned', enqueue: []}]])})]);
	const {count} = statistics.report().tasks;
	t.is(count?.completed, 2);
	t.is(count?.duration.max, 0);
});

for (const [what, createdAt, executions] of [
	['are alike', 1000, 1],
	['came at different times', [1000, 1000, 1000], 1],
	['have different numbers of executions', 1000, [1, 1, 1]],
] as const) {
	test(`waits of first executions are reported, whether the jobs ${what} or not`, t => {
		const statistics = new Statistics(1);
		const times = packTimes(3, {startedAt: Float64Array.from([1010, 1030, NaN])});
		statistics.countEnded('count', [{lease: 1, ids: 1, executions, createdAt, values: {count: 3, text: null}, times}]);
		const {mean, max, p50} = statistics.report().tasks['count']?.wait ?? {mean: 0, max: 0, p50: 0};
		near(t, mean, 20, 0.1);
		near(t, max, 30, 0.1);
		near(t, p50, 10, 0.1);
	});
}

test('the jobs that ran are those whose duration is known', t => {
	const statistics = new Statistics(1);
	const jobsOf = (...groups: EndedGroup[]) => statistics.countEnded('count', groups);
	t.deepEqual(jobsOf(), {jobs: 0, totalMs: 0});
	t.deepEqual(jobsOf(returnedGroup([NaN, NaN])), {jobs: 0, totalMs: 0});
	t.deepEqual(jobsOf(returnedGroup([2, 2, NaN, 5]), returnedGroup([6, 7])), {jobs: 5, totalMs: 22});
	const released = {type: 'released'} as const;
	t.deepEqual(jobsOf(returnedGroup([9, NaN], {endings: new Map([0, 1].map(index => [index, released]))})), {jobs: 1, totalMs: 9});
});

test('a timeout that is a share of the median becomes milliseconds; another one stays', t => {
	const statistics = new Statistics(1);
	statistics.countEnded('count', [returnedGroup(Array(20).fill(1000))]);
	const [share, plain] = [
		{...POLICY, timeoutPercent: 300},
		{...POLICY, timeoutMs: 5},
	];
	const {policies} = withPolicies(claimedGroup(2, {policies: [share, plain]}), {}, () => statistics.medianMs('count'));
	near(t, policyAt(policies, 0).timeoutMs ?? 0, 3000, 30);
	t.is(policyAt(policies, 0).timeoutPercent, 300);
	t.is(policyAt(policies, 1), plain);
	const group = claimedGroup(1, {policies: plain});
	const unset = claimedGroup(1, {policies: {...POLICY, unset: ['timeout', 'maxAttempts']}});
	const own = {timeout: {timeoutMs: null, timeoutPercent: 300}, maxAttempts: 7, backoff: {...POLICY.backoff, baseMs: 9}};
	t.deepEqual(withPolicies(unset, own, () => 1000).policies, {...POLICY, maxAttempts: 7, timeoutMs: 3000, timeoutPercent: 300});
	t.is(
		withPolicies(group, {}, () => 1),
		group,
	);
});

test('a second execution waited for another reason', t => {
	const statistics = new Statistics(1);
	for (const createdAt of [0, [0, 0]])
		statistics.countEnded('count', [returnedGroup([1, 1], {executions: 2, createdAt, times: packTimes(2, {startedAt: Float64Array.of(5, 5)})})]);
	t.is(statistics.report().tasks['count']?.wait.max, 0);
});

test('durations of jobs in a row that are equal count once each', t => {
	const statistics = new Statistics(1);
	statistics.countEnded('count', [returnedGroup([...Array<number>(9).fill(1000), 2000])]);
	const {duration} = statistics.report().tasks['count'] ?? {};
	near(t, duration?.p50 ?? 0, 1000, 1);
	near(t, duration?.mean ?? 0, 1100, 1);
	near(t, duration?.p95 ?? 0, 2000, 2);
	near(t, duration?.p99 ?? 0, 2000, 2);
	near(t, duration?.max ?? 0, 2000, 2);
	const halves = [1000, 2000].flatMap(ms => Array<number>(50).fill(ms));
	statistics.countEnded('halves', [returnedGroup(halves)]);
	near(t, timeoutOf(statistics, 'halves', 100) ?? 0, 1000, 2);
});

test('commits are counted by whether they succeeded, with how long these took', t => {
	const statistics = new Statistics(1);
	for (const ms of [...Array<number>(19).fill(2), 100]) statistics.committed(ms);
	statistics.failedCommits += 2;
	const {count, failed, meanMs, p95Ms} = statistics.report().commits;
	t.deepEqual([count, failed], [20, 2]);
	near(t, meanMs, (19 * 2 + 100) / 20, 0.1);
	near(t, p95Ms, 2, 0.1);
});

test('chunks are counted with how many jobs they have on average', t => {
	const statistics = new Statistics(1);
	for (const jobs of [1, 2, 6]) statistics.dispatched(jobs);
	t.deepEqual(statistics.report().chunks, {count: 3, meanJobs: 3});
});

test('a discarded job counts as released, and one that runs elsewhere not at all', t => {
	const statistics = new Statistics(1);
	statistics.settled(
		[returnedGroup([1, 1]), returnedGroup([1])],
		[
			{
				others: new Map<number, Settled>([
					[0, 'discarded'],
					[1, 'running'],
				]),
			},
			{others: new Map()},
		],
	);
	t.deepEqual(statistics.report().executions, {completed: 1, failed: 0, dead: 0, cancelled: 0, released: 1, lost: 0});
});

test('the rate is that of the last ten seconds, or of the time since the start if that is shorter', t => {
	let now = 100_300;
	const statistics = new Statistics(1, () => now);
	const complete = (jobs: number) => statistics.settled([returnedGroup(Array<number>(jobs).fill(1))], [{others: new Map()}]);
	const rateAt = (ms: number) => {
		now = 100_300 + ms;
		return statistics.report().completedPerSecond;
	};
	complete(10);
	t.is(rateAt(0), 10_000);
	t.is(rateAt(2000), 5);
	now = 103_200;
	complete(10);
	now = 103_250;
	complete(20);
	t.is(rateAt(8000), 5);
	t.is(rateAt(9999), 40 / 9.999);
	t.is(rateAt(10_000), 30 / 9);
	t.is(rateAt(11_999), 30_000 / 9999);
	now = 112_300;
	complete(1);
	// Whole seconds are counted, and divided by the time since the first of them began.
	t.is(rateAt(12_000), 1 / 9);
	now = 113_800;
	complete(7);
	t.is(rateAt(13_999), 8000 / 9999);
	t.is(rateAt(21_999), 8000 / 9999);
	t.is(rateAt(22_000), 7 / 9);
	t.is(rateAt(23_000), 0);
});

test('each of the last ten seconds counts', t => {
	let now = 0;
	const statistics = new Statistics(1, () => now);
	for (let second = 0; second < 10; second++) {
		now = 1000 * second + 999;
		statistics.settled([returnedGroup([1])], [{others: new Map()}]);
	}
	t.is(statistics.report().completedPerSecond, 10 / 9.999);
});
