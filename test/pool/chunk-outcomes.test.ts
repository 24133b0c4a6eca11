import test from 'ava';
import type {Ending} from '../../lib/job/claim.ts';
import type {FailureRecord} from '../../lib/job/failure.ts';
import type {EndedGroup} from '../../lib/job/groups/group.ts';
import {packTimes} from '../../lib/job/groups/packed-times.ts';
import {settlementsOf} from '../../lib/job/groups/single-jobs.ts';
import {MAX_SUSPICION} from '../../lib/job/job.ts';
import {postMortemOf, reportedBy, stoppedEnding, withFailures} from '../../lib/pool/in-flight.ts';
import type {OutcomesMessage} from '../../lib/worker/messages.ts';
import {newJob, POLICY} from '../fixtures/dispatcher.ts';
import {claimedGroup, returnedGroup} from '../fixtures/groups.ts';
import {sentChunk} from '../fixtures/hand-worker.ts';

const FAILURE: FailureRecord = {reason: 'threw', name: 'Error', message: 'it failed'};
const TIMES = {startedAt: 5000, durationMs: 1234};
const MADE = [newJob()];

/** A report of the jobs from an index on, which ran for 1, 2, 3 … ms and returned 1, 2, 3 …. */
function report(first: number, jobs: number, more: Partial<OutcomesMessage> = {}): OutcomesMessage {
	const numbers = Array.from({length: jobs}, (_, index) => first + index + 1);
	const times = packTimes(jobs, {startedAt: new Float64Array(jobs).fill(5000), durationMs: Float64Array.from(numbers)});
	return {type: 'outcomes', chunk: 1, first, values: {count: jobs, text: numbers.join('\n')}, times, ...more};
}

function outcomesOf(group: EndedGroup | undefined): unknown[][] {
	return group ? [...settlementsOf(group)].map(({id, outcome}) => [id, outcome.type, 'value' in outcome ? outcome.value : null, outcome.durationMs]) : [];
}

test('jobs that are reported have returned, in the order of their chunk', t => {
	const {chunk} = sentChunk(claimedGroup(5, {ids: 10, lease: 3, executions: [1, 2, 3, 4, 5], createdAt: [5, 6, 7, 8, 9]}));
	const group = reportedBy(chunk, report(1, 2));
	t.deepEqual(outcomesOf(group), [
		[11, 'returned', '2', 2],
		[12, 'returned', '3', 3],
	]);
	t.like(group, {lease: 3, ids: 11, executions: [2, 3], createdAt: [6, 7], endings: undefined});
});

test('jobs that were taken back are left out of a report, and a report of nothing else is none', t => {
	const {chunk} = sentChunk(claimedGroup(4, {ids: 10}));
	chunk.remove([1]);
	t.deepEqual(outcomesOf(reportedBy(chunk, report(0, 3))), [
		[10, 'returned', '1', 1],
		[12, 'returned', '3', 3],
	]);
	t.is(reportedBy(chunk, report(1, 1)), undefined);
	t.deepEqual(outcomesOf(reportedBy(chunk, report(2, 2))), [
		[12, 'returned', '3', 3],
		[13, 'returned', '4', 4],
	]);
});

test('each job of a report ends as the report says: stopped before failed, failed before returned', t => {
	const {chunk} = sentChunk(claimedGroup(7, {policies: {...POLICY, timeoutMs: 2500}}));
	const group = reportedBy(
		chunk,
		report(1, 6, {
			stops: new Map([
				[1, 'timedOutTogether'],
				[2, 'timedOut'],
				[5, 'interrupted'],
			]),
			failures: new Map([
				[2, FAILURE],
				[3, FAILURE],
			]),
			enqueues: new Map([
				[3, MADE],
				[4, MADE],
			]),
		}),
	);
	t.deepEqual(
		[...(group?.endings ?? [])].sort(([a], [b]) => a - b),
		[
			[0, {type: 'released', suspicion: MAX_SUSPICION}],
			[1, stoppedEnding(chunk, 2, 'timedOut', {startedAt: 5000, durationMs: 3}, FAILURE)],
			[2, {type: 'threw', error: {...FAILURE, attempt: 1, failedAt: 5004}}],
			[3, {type: 'returned', enqueue: MADE}],
			[4, {type: 'released'}],
		],
	);
});

test('each kind of ending by itself is kept', t => {
	const {chunk} = sentChunk(claimedGroup(2));
	const endingOf = (more: Partial<OutcomesMessage>) => reportedBy(chunk, report(0, 2, more))?.endings?.get(1);
	t.deepEqual(endingOf({stops: new Map([[1, 'timedOutTogether']])}), {type: 'released', suspicion: MAX_SUSPICION});
	t.deepEqual(endingOf({stops: new Map([[1, 'interrupted']])}), {type: 'released'});
	t.deepEqual(endingOf({failures: new Map([[1, FAILURE]])}), {type: 'threw', error: {...FAILURE, attempt: 1, failedAt: 5002}});
	t.deepEqual(endingOf({enqueues: new Map([[1, MADE]])}), {type: 'returned', enqueue: MADE});
	t.is(reportedBy(chunk, report(0, 1, {failures: new Map([[1, FAILURE]])}))?.endings, undefined);
});

test('a failure that comes to light later is that of a job that had returned, and of no other', t => {
	const {chunk} = sentChunk(claimedGroup(4, {ids: 10}));
	const group = returnedGroup([1, 2, 3], {
		ids: 11,
		values: {count: 3, text: '1\n2\n3'},
		endings: new Map<number, Ending>([
			[1, {type: 'released'}],
			[2, {type: 'returned', enqueue: MADE}],
		]),
	});
	const failed = withFailures(
		chunk,
		group,
		new Map([
			[0, FAILURE],
			[1, FAILURE],
			[2, FAILURE],
			[3, FAILURE],
		]),
	);
	t.deepEqual(outcomesOf(failed), [
		[11, 'threw', null, 1],
		[12, 'released', null, 2],
		[13, 'threw', null, 3],
	]);
	t.is(outcomesOf(withFailures(chunk, group, new Map([[1, FAILURE]])))[0]?.[1], 'threw');
	t.is(withFailures(chunk, group, new Map([[0, FAILURE]])), group);
	t.is(withFailures(chunk, group, new Map([[2, FAILURE]])), group);
});

test('the failure of a stopped job has the reason, the time, and the error that it had thrown', t => {
	const {chunk} = sentChunk(claimedGroup(2, {policies: {...POLICY, timeoutMs: 1500}, attempts: new Map([[1, 2]])}));
	t.deepEqual(stoppedEnding(chunk, 1, 'interrupted', TIMES, FAILURE), {type: 'released'});
	t.deepEqual(stoppedEnding(chunk, 1, 'cancelled', TIMES), {
		type: 'cancelled',
		error: {
			...{reason: 'cancelled', name: 'Cancelled', message: 'Cancelled while running, after 1.234 s.', attempt: 2, failedAt: 6234},
			postMortem: {execution: 1, attempt: 2, ...TIMES},
		},
	});
	t.deepEqual(stoppedEnding(chunk, 1, 'timedOut', TIMES, FAILURE), {
		type: 'timedOut',
		error: {
			reason: 'timedOut',
			name: 'TimedOut',
			message: 'Stopped after 1.234 s: the timeout is 1.5 s.',
			causes: [FAILURE],
			...{attempt: 3, failedAt: 6234, postMortem: {execution: 1, attempt: 3, ...TIMES}},
		},
	});
	const {error} = stoppedEnding(chunk, 1, 'timedOut', TIMES, {...FAILURE, reason: 'badResult'}) as {readonly error: FailureRecord};
	t.is(error.causes, undefined);
});

test('a post-mortem has the last progress of the job, and the examination of its worker', t => {
	const {chunk} = sentChunk(claimedGroup(2, {executions: 5}));
	t.deepEqual(postMortemOf(chunk, 0, TIMES, false), {execution: 5, attempt: 0, ...TIMES});
	chunk.updates.progress.set(0, {done: 1, at: 5});
	chunk.examination = {stack: '    at loop', heap: {limitBytes: 9}};
	t.deepEqual(postMortemOf(chunk, 0, TIMES, true), {
		...{execution: 5, attempt: 1, ...TIMES, progress: {done: 1, at: 5}},
		...{stack: '    at loop', heap: {limitBytes: 9}},
	});
	t.false('progress' in postMortemOf(chunk, 1, TIMES, true));
});
