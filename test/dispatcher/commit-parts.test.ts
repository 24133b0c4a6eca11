import test from 'ava';
import {changesOf, enqueuesJobs, fromParts, NO_WRITES, replacementOf, toParts, type Writes} from '../../lib/dispatcher/commits.ts';
import type {Outcome} from '../../lib/job/claim.ts';
import {settlementsOf} from '../../lib/job/group.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {newJob} from '../fixtures/dispatcher.ts';
import {endedGroup, returnedGroup} from '../fixtures/groups.ts';
import {groupNew} from '../fixtures/plain.ts';

const PARENT: Outcome = {type: 'returned', value: null, enqueue: [newJob()]};
const THREW: Outcome = {type: 'threw', error: {reason: 'threw', name: 'Error', message: 'it failed'}};
const REFUSAL = new FaenaError('TooLarge', 'It is too large.');
const CALL = {call: 1, type: 'enqueue', group: groupNew([newJob()])[0] as never, watch: false} as const;

const [parents, first, second] = [endedGroup([THREW, PARENT]), returnedGroup([1, 2], {ids: 5}), endedGroup([THREW], 9)];
const WRITTEN: Writes = {updates: [{id: 1, lease: 1, execution: 1}], settle: [parents, first, second], enqueues: [CALL]};

test('updates come first, then outcomes, those that enqueue jobs as the last of them, then calls', t => {
	const parts = toParts(WRITTEN);
	t.deepEqual(
		parts.map(({type}) => type),
		['update', 'settle', 'settle', 'settle', 'enqueue'],
	);
	t.deepEqual(fromParts(parts), {...WRITTEN, settle: [first, second, parents]});
	t.deepEqual(toParts(NO_WRITES), []);
	t.deepEqual(fromParts(toParts({...NO_WRITES, settle: [parents]})), {...NO_WRITES, settle: [parents]});
	t.deepEqual(fromParts(toParts({...NO_WRITES, settle: [first]})), {...NO_WRITES, settle: [first]});
});

test('the changes of a transaction are the updates, the outcomes, and the groups of the calls', t => {
	t.deepEqual(changesOf(WRITTEN), {update: WRITTEN.updates, settle: WRITTEN.settle, enqueue: [CALL.group]});
});

test('a group enqueues jobs if one of its executions that returned does', t => {
	const returned = returnedGroup([1], {endings: new Map([[0, {type: 'returned'}]])});
	t.deepEqual([parents, first, second, returned, endedGroup([])].map(enqueuesJobs), [true, false, false, false, false]);
});

test('a refused group is replaced by its jobs, one by one', t => {
	const parts = replacementOf({type: 'settle', group: endedGroup([THREW, PARENT, THREW], 4)}, REFUSAL);
	t.deepEqual(
		parts.map(part => (part.type === 'settle' ? [...settlementsOf(part.group)].map(({id, outcome}) => [id, outcome.type]) : part)),
		[[[4, 'threw']], [[5, 'returned']], [[6, 'threw']]],
	);
	t.is(replacementOf({type: 'settle', group: endedGroup([THREW, THREW])}, REFUSAL).length, 2);
});

test('the refused outcome of one job is replaced by a failure with the refusal, without times, and that by nothing', t => {
	const [part, ...rest] = replacementOf({type: 'settle', group: returnedGroup([5], {ids: 7, executions: 3, lease: 2})}, REFUSAL);
	t.deepEqual(rest, []);
	if (part?.type !== 'settle') return t.fail();
	const [settlement] = [...settlementsOf(part.group)];
	t.like(settlement, {id: 7, lease: 2, execution: 3, outcome: {type: 'threw', error: {code: 'TooLarge', message: 'It is too large.'}}});
	t.false('durationMs' in (settlement?.outcome ?? {}));
	t.deepEqual(replacementOf(part, REFUSAL), []);
});

test('a refused update, or a refused call, is left out', t => {
	t.deepEqual(replacementOf({type: 'update', update: {id: 1, lease: 1, execution: 1}}, REFUSAL), []);
	t.deepEqual(replacementOf({type: 'enqueue', call: CALL}, REFUSAL), []);
});
