import test from 'ava';
import type {DequeuedJob} from '../../lib/job/claim.ts';
import {JobList} from '../../lib/job/job-list.ts';
import {toPackedStrings} from '../../lib/job/packed-strings.ts';
import type {DequeuedRun} from '../../lib/job/runs.ts';

const POLICY = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1, factor: 1, maxMs: 1, jitter: 0}, retry: 'auto'} as const;

function job(id: number, parts: Partial<DequeuedJob> = {}): DequeuedJob {
	return {id, task: 'hash', payload: String(id), createdAt: 5, execution: 1, attempts: 0, policy: POLICY, ...parts};
}

function run(first: number, last: number): DequeuedRun {
	const ids = Array.from({length: last - first + 1}, (_, index) => first + index);
	return {first, task: 'hash', createdAt: 5, policy: POLICY, payloads: toPackedStrings(ids.map(String))};
}

test('a list tells of each job, whether it is in a run or not', t => {
	const list = new JobList([job(2), run(5, 7), job(9)]);
	t.is(list.length, 5);
	t.deepEqual(
		list.all,
		[2, 5, 6, 7, 9].map(id => job(id)),
	);
	t.deepEqual(
		[2, 5, 7, 9, 3, 8].map(id => list.indexOf(id)),
		[0, 1, 3, 4, -1, -1],
	);
	const alone = new JobList([run(5, 7)]);
	const {payload: _, ...known} = job(6);
	t.deepEqual(alone.at(1), known);
	t.deepEqual([alone.at(3), alone.at(-1)], [undefined, undefined]);
	t.deepEqual(
		[4, 5, 7, 8].map(id => alone.indexOf(id)),
		[-1, 0, 2, -1],
	);
});

test('taken one piece after the other it is whole; a run is left alone unless it is short', t => {
	const list = new JobList([job(1), job(2), run(5, 24), run(30, 31), run(40, 44)]);
	for (const most of [1, 2, 3, 7, 100]) {
		const taken: number[] = [];
		while (taken.length < list.length) taken.push(...list.take(taken.length, most).all.map(({id}) => id));
		t.deepEqual(
			taken,
			list.all.map(({id}) => id),
		);
	}
	t.is(list.take(2, 8).run?.first, 5);
	t.deepEqual([list.take(10, 16).length, list.take(10, 16).run?.first], [12, 13]);
	t.deepEqual(
		list.take(22, 100).all.map(({id}) => id),
		[30, 31, 40, 41, 42, 43, 44],
	);
});

test('jobs are alike that follow each other, were made together, and run for the first time', t => {
	t.is(new JobList([job(1), job(2)]).alike(0, 2)?.id, 1);
	t.is(new JobList([run(4, 9)]).alike(2, 3)?.id, 6);
	for (const other of [job(3), job(2, {execution: 2}), job(2, {createdAt: 6})]) t.is(new JobList([job(1), other]).alike(0, 2), undefined);
	t.is(new JobList([run(4, 9)]).alike(6, 1), undefined);
	// A task may say that it had more jobs than it was given.
	for (const list of [new JobList([run(4, 9)]), new JobList([job(4), job(5)])]) t.is(list.alike(1, list.length), undefined);
});
