import test from 'ava';

import fc from 'fast-check';
import type {Outcome, Settlement} from '../../lib/job/claim.ts';
import {cutClaimed, executionsOf, joinClaimed, pickClaimed} from '../../lib/job/groups/cut-and-join.ts';
import {type ClaimedGroup, type EndedGroup, indexOf, sizeOf, toColumn, toIds} from '../../lib/job/groups/group.ts';
import {pack} from '../../lib/job/groups/packed.ts';
import {claimedJobsOf, newJobsOf, pickEnded, settlementsOf, toEndedGroup, toNewGroups, toReleased, withEndings} from '../../lib/job/groups/single-jobs.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import type {Policy} from '../../lib/job/policy.ts';
import {claimedGroup} from '../fixtures/groups.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1, factor: 1, maxMs: 1, jitter: 0}, retry: 'auto'};
const OTHER_POLICY: Policy = {...POLICY, maxAttempts: 1};

interface Row {
	readonly id: number;
	readonly execution: number;
	readonly createdAt: number;
	readonly payload: string | Uint8Array | null;
	readonly policy: Policy;
	readonly attempts: number;
	readonly key: string | null;
	readonly expiresAt: number | null;
}

const rows = fc.uniqueArray(
	fc.record({
		id: fc.oneof(fc.integer({min: 1, max: 40}), fc.integer({min: 1, max: 9999})),
		execution: fc.constantFrom(1, 1, 1, 2),
		createdAt: fc.constantFrom(5, 5, 6),
		policy: fc.constantFrom(POLICY, POLICY, OTHER_POLICY),
		payload: fc.oneof(fc.constant('1'), fc.constant(null), fc.constant('two\nlines'), fc.constant(new Uint8Array([1, 2]))),
		attempts: fc.constantFrom(0, 0, 2),
		key: fc.constantFrom(null, null, 'key'),
		expiresAt: fc.constantFrom(null, null, 7, 8),
	}),
	{selector: ({id}) => id, minLength: 1, maxLength: 40},
);

function claimed(all: readonly Row[]): ClaimedGroup {
	const sparse = <Value>(of: (row: Row) => Value | undefined) =>
		new Map(all.flatMap((row, index) => (of(row) === undefined ? [] : [[index, of(row) as Value]])));
	return {
		...{task: 'hash', lease: 7, quarantine: undefined, priorities: 0},
		ids: toIds(all.map(({id}) => id)),
		executions: toColumn(all.map(({execution}) => execution)),
		createdAt: toColumn(all.map(({createdAt}) => createdAt)),
		policies: toColumn(all.map(({policy}) => policy)),
		values: pack(all.map(({payload}) => payload)),
		attempts: sparse(({attempts}) => attempts || undefined),
		keys: sparse(({key}) => key ?? undefined),
		expiries: sparse(({expiresAt}) => expiresAt ?? undefined),
	};
}

const list = (group: ClaimedGroup) => [...claimedJobsOf(group)].map((job, index) => ({...job, expiresAt: group.expiries?.get(index)}));

test('a group cut in two and joined again has the same jobs', t => {
	fc.assert(
		fc.property(rows, fc.nat(), (all, at) => {
			const group = claimed(all);
			const cut = at % (all.length + 1);
			const parts = [cutClaimed(group, 0, cut), cutClaimed(group, cut, all.length)].filter(part => sizeOf(part) > 0);
			t.deepEqual(list(joinClaimed(parts)), list(group));
			t.deepEqual(
				parts.flatMap(part => list(part)),
				list(group),
			);
		}),
	);
});

test('the jobs that are picked out of a group are those at the indexes', t => {
	fc.assert(
		fc.property(rows, fc.array(fc.boolean(), {minLength: 40, maxLength: 40}), (all, chosen) => {
			const group = claimed(all);
			const indexes = all.map((_, index) => index).filter(index => chosen[index]);
			t.deepEqual(
				list(pickClaimed(group, indexes)),
				list(group).filter((_, index) => chosen[index]),
			);
		}),
	);
});

test('a job is found by its id, and ids of other jobs are not found', t => {
	fc.assert(
		fc.property(rows, all => {
			const group = claimed(all);
			for (const [index, {id}] of all.entries()) t.is(indexOf(group, id), index);
			t.is(indexOf(group, 10_000), -1);
			t.is(indexOf(group, 0), -1);
		}),
	);
});

function range(first: number, last: number): Row[] {
	return Array.from({length: last - first + 1}, (_, index) => ({
		id: first + index,
		execution: 1,
		createdAt: 5,
		payload: '1',
		policy: POLICY,
		attempts: 0,
		expiresAt: null,
		key: null,
	}));
}

const outcome = fc.oneof<fc.Arbitrary<Outcome>[]>(
	fc.record({type: fc.constant('returned' as const), value: fc.constantFrom('1', null, 'two\nlines'), startedAt: fc.constant(5), durationMs: fc.constant(1.5)}),
	fc.constant({type: 'threw', error: {reason: 'threw', name: 'Error', message: 'no luck'}}),
	fc.constant({type: 'released', suspicion: 3}),
	fc.constant({type: 'cancelled'}),
);
const settlements = fc
	.array(outcome, {minLength: 1, maxLength: 20})
	.map(all => all.map((each, index): Settlement => ({id: 3 + index, lease: 7, execution: 1, outcome: each})));

test('settlements that are put into a group and read again are the same', t => {
	fc.assert(fc.property(settlements, all => void t.deepEqual([...settlementsOf(toEndedGroup(all))], all)));
});

test('executions that are picked out of a group are the same', t => {
	fc.assert(
		fc.property(settlements, all => {
			const group = toEndedGroup(all);
			const odd = all.map((_, index) => index).filter(index => index % 2 === 1);
			t.deepEqual(
				[...settlementsOf(pickEnded(group, odd))],
				all.filter((_, index) => index % 2 === 1),
			);
		}),
	);
});

test('an execution that fails after it returned loses its result; the others keep theirs', t => {
	const error = {reason: 'threw', name: 'Error', message: 'late'} as const;
	const group = toEndedGroup([1, 2, 3].map(id => ({id, lease: 1, execution: 1, outcome: {type: 'returned', value: String(id)}})));
	const [one, two, three] = settlementsOf(withEndings(group, new Map([[1, {type: 'threw', error}]])));
	t.deepEqual(
		[one, two, three].map(each => each?.outcome),
		[
			{type: 'returned', value: '1'},
			{type: 'threw', error},
			{type: 'returned', value: '3'},
		],
	);
});

test('released jobs name the same executions and have no times', t => {
	const group = claimed(range(4, 6));
	t.deepEqual(
		[...settlementsOf(toReleased(group))],
		[4, 5, 6].map(id => ({id, lease: 7, execution: 1, outcome: {type: 'released'}})),
	);
	const named: Partial<EndedGroup> = executionsOf(group, 1, 3);
	t.deepEqual(named, {lease: 7, ids: 5, executions: 1, createdAt: 5});
});

test('new jobs that differ only in their payloads are one group; a job with a key is a group of one', t => {
	const job = (payload: string, parts: Partial<NewJob> = {}): NewJob => ({task: 'hash', payload, priority: 0, runAt: null, policy: POLICY, ...parts});
	const jobs = [job('1'), job('2'), job('3', {key: 'a'}), job('4', {priority: 1}), job('5', {priority: 1})];
	const groups = toNewGroups(jobs);
	t.deepEqual(groups.map(sizeOf), [2, 1, 2]);
	t.deepEqual(
		groups.flatMap(group => [...newJobsOf(group)].map(({payload, key, priority}) => [payload, key, priority])),
		jobs.map(({payload, key, priority}) => [payload, key, priority]),
	);
});

test('keys that are numbers go on where a part begins, also those that begin at 0', t => {
	const group = claimedGroup(6, {keys: 0});
	t.is(cutClaimed(group, 2, 4).keys, 2);
	t.is(cutClaimed(cutClaimed(group, 2, 6), 1, 3).keys, 3);
	t.is(cutClaimed(group, 0, 2).keys, 0);
});
