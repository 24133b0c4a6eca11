import type {Claim, Settlement} from '../../../lib/job/claim.ts';
import {toFailure} from '../../../lib/job/failure.ts';
import type {NewGroup} from '../../../lib/job/groups/group.ts';
import {pack} from '../../../lib/job/groups/packed.ts';
import {toEndedGroup} from '../../../lib/job/groups/single-jobs.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimsOf, commit, completeAll, jobOf, law, lawOfStores, newJob, OWNER, POLICY, take} from './laws.ts';

const GROUP = {task: 'hash', priority: 0, runAt: null, policy: POLICY};
const RERUN = {changed: true, failed: false};

/** A group of jobs with these keys, all of the same payload. */
function groupOf(keys: readonly string[], parts: Partial<NewGroup> = {}): NewGroup {
	return {...GROUP, keys: pack(keys), values: pack(keys.map(() => '1')), ...parts};
}

async function send(queue: RawQueue, ...groups: readonly NewGroup[]) {
	return (await queue.store.commit({enqueue: groups})).enqueued;
}

law('a job keeps the fingerprint that it was enqueued with, by key, in its batch or outside of one', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await send(queue, groupOf(['a', 'b'], {fingerprints: pack(['one', 'two'])}), groupOf(['a'], {batch, fingerprints: ['x'.repeat(1000)]}), groupOf(['c']));
	const found = await queue.store.holders({task: 'hash'}, ['b', 'none', 'c', 'a']);
	t.deepEqual(found, {ids: [2, null, 4, 1], statuses: ['pending', null, 'pending', 'pending'], fingerprints: ['two', null, null, 'one']});
	t.deepEqual(await queue.store.holders({task: 'hash', batch}, ['a', 'b']), {
		ids: [3, null],
		statuses: ['pending', null],
		fingerprints: ['x'.repeat(1000), null],
	});
	t.deepEqual(await queue.store.holders({task: 'never seen'}, ['a']), {ids: [null], statuses: [null], fingerprints: [null]});
	t.deepEqual(await queue.store.holders({task: 'hash'}, []), {ids: [], statuses: [], fingerprints: []});
});

law('keys that are consecutive numbers have fingerprints, too; statuses are those of the moment', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const texts = Array.from({length: 50}, (_, index) => `f${index}`);
	await send(queue, {...GROUP, batch, keys: 10, values: pack(texts.map(() => '1')), fingerprints: pack(texts)});
	const [first] = claimsOf(await take(queue, 2)) as [Claim];
	await queue.complete(first, '1');
	t.deepEqual(await queue.store.holders({task: 'hash', batch}, ['59', '10', '11', '12', '60', '9']), {
		ids: [50, 1, 2, 3, null, null],
		statuses: ['pending', 'completed', 'running', 'pending', null, null],
		fingerprints: ['f49', 'f0', 'f1', 'f2', null, null],
	});
});

law('a fingerprint replaces the one before without another run; null keeps it', async (t, queue) => {
	await send(queue, groupOf(['a', 'b', 'c'], {fingerprints: ['1', '2', '3']}));
	await completeAll(queue);
	const [again] = await send(queue, groupOf(['c', 'new', 'a', 'b'], {fingerprints: ['new', '4', null, 'newer'], rerun: RERUN}));
	t.deepEqual(again, {ids: [3, 4, 1, 2], reused: [0, 2, 3]});
	const {statuses, fingerprints} = await queue.store.holders({task: 'hash'}, ['a', 'b', 'c', 'new']);
	t.deepEqual(
		[statuses, fingerprints],
		[
			['completed', 'completed', 'completed', 'pending'],
			['1', 'newer', 'new', '4'],
		],
	);
});

law('a job that is outdated begins a new round, from any status but running; the others of its group do not', async (t, queue) => {
	await send(queue, groupOf(['a', 'b', 'c'], {fingerprints: ['1', '2', '3']}));
	await completeAll(queue);
	const outdated = groupOf(['a', 'b', 'c', 'd'], {fingerprints: [null, 'new', null, '4'], outdated: [1, 3], rerun: RERUN});
	t.deepEqual(await send(queue, outdated), [{ids: 1, reused: [0, 1, 2]}]);
	t.deepEqual(await queue.store.holders({task: 'hash'}, ['a', 'b', 'c', 'd']), {
		ids: [1, 2, 3, 4],
		statuses: ['completed', 'pending', 'completed', 'pending'],
		fingerprints: ['1', 'new', '3', '4'],
	});
	t.deepEqual(await queue.values(2), {payload: '1'});
	t.is((await jobOf(queue, 2)).executions, 1);
	// A pending one has not run yet.
	t.deepEqual(await send(queue, outdated), [{ids: 1, reused: [0, 1, 2, 3]}]);
	await take(queue, 10);
	t.deepEqual(await send(queue, {...outdated, fingerprints: ['x', 'y', 'z', null]}), [{ids: 1, reused: [0, 1, 2, 3], left: [1, 3]}]);
	const {fingerprints} = await queue.store.holders({task: 'hash'}, ['a', 'b', 'c', 'd']);
	t.deepEqual(fingerprints, ['x', 'new', 'z', '4']);
	const other = {...outdated, values: pack(['1', '2', '1', '1']), fingerprints: undefined};
	t.deepEqual(await send(queue, other), [{ids: 1, reused: [0, 2, 3], left: [3], conflicts: [1]}]);
	t.deepEqual(await queue.counts({task: 'hash'}), {blocked: 0, pending: 0, running: 2, failed: 0, completed: 2, dead: 0, cancelled: 0});
});

law('two jobs of a group with one key share a fingerprint, the last one', async (t, queue) => {
	t.deepEqual(await send(queue, groupOf(['a', 'b', 'a'], {fingerprints: pack(['1', '2', '3'])})), [{ids: [1, 2, 1], reused: [2]}]);
	t.deepEqual((await queue.store.holders({task: 'hash'}, ['a', 'b'])).fingerprints, ['3', '2']);
});

law('a fingerprint is deleted with its job, and no later job gets it', async (t, queue, clock) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	await send(queue, groupOf(['a', 'b'], {fingerprints: ['1', '2']}), groupOf(['a', 'b'], {batch, fingerprints: pack(['3', '4'])}));
	await completeAll(queue);
	await queue.store.updateBatch(batch, OWNER, {isClosed: true});
	clock.advance(10);
	await queue.store.delete({endedBefore: clock.now()});
	await send(queue, groupOf(['a', 'b']));
	t.deepEqual((await queue.store.holders({task: 'hash'}, ['a', 'b'])).fingerprints, [null, null]);
	const next = await queue.openBatch('other', 'hash', OWNER);
	await send(queue, groupOf(['a', 'b'], {batch: next, fingerprints: pack(['5', '6'])}));
	await queue.store.updateBatch(next, OWNER, {isLeft: true});
	await queue.deleteBatch('other');
	const last = await queue.openBatch('other', 'hash', OWNER);
	await commit(queue, {enqueue: [newJob({key: 'a', batch: last})]});
	t.deepEqual(await queue.store.holders({task: 'hash', batch: last}, ['a', 'b']), {
		ids: [(await queue.store.holders({task: 'hash', batch: last}, ['a'])).ids[0] as number, null],
		statuses: ['pending', null],
		fingerprints: [null, null],
	});
});

law('a fingerprint begins with the code that a job was enqueued for, and once it has run, with the code that ran', async (t, queue) => {
	const fingerprints = pack(['new files', 'new files ', 'new ', 'new files', 'new files']);
	const keys = ['a', 'b', 'c', 'd', 'e'];
	await send(queue, groupOf(keys, {fingerprints}), groupOf(['none']), groupOf(['other'], {fingerprints: ['old x']}));
	const claims = claimsOf(await take(queue, 7));
	const ended = claims.map(({id, ...claim}) => ({...claim, id, outcome: {type: 'returned', value: '1'} as const}));
	const [a, b, c, d, e, none, other] = ended as [Settlement, Settlement, Settlement, Settlement, Settlement, Settlement, Settlement];
	const failed = {...d, outcome: {type: 'threw', error: toFailure(new Error('no'))} as const};
	const lost = {...e, execution: 7};
	const groups = [
		toEndedGroup([a, b, c].map(each => ({...each, code: 'old'}))),
		toEndedGroup([
			{...failed, code: 'older'},
			{...lost, code: 'wrong'},
		]),
	];
	const others = [toEndedGroup([none, other].map(each => ({...each, code: 'old'})))];
	await queue.store.commit({settle: [...groups, ...others]});
	const found = await queue.store.holders({task: 'hash'}, [...keys, 'none', 'other']);
	t.deepEqual(found.fingerprints, ['old files', 'old files ', 'old ', 'older files', 'new files', null, 'old x']);
	// Of another program it is not known, and stays.
	await queue.complete(e, '1');
	t.deepEqual((await queue.store.holders({task: 'hash'}, ['e'])).fingerprints, ['new files']);
});

law('the code of executions is noted in packed rows and in single ones, of those alone that still hold their claims', async (t, queue) => {
	const batch = await queue.openBatch('nightly', 'hash', OWNER);
	const texts = Array.from({length: 50}, (_, index) => `new ${index}`);
	await send(queue, {...GROUP, batch, keys: 0, values: pack(texts.map(() => '1')), fingerprints: pack(texts)});
	const claims = claimsOf(await take(queue, 50));
	const settle = (some: readonly Claim[], code: string) =>
		queue.store.commit({settle: [toEndedGroup(some.map(claim => ({...claim, code, outcome: {type: 'returned', value: '"x"'}})))]});
	await settle(claims.slice(10, 12), 'first');
	await settle(claims.slice(0, 40), 'second');
	const {fingerprints} = await queue.store.holders({task: 'hash', batch}, ['0', '9', '10', '11', '12', '39', '40']);
	t.deepEqual(fingerprints, ['second 0', 'second 9', 'first 10', 'first 11', 'second 12', 'second 39', 'new 40']);
});

lawOfStores('a store that did not claim a job can settle its failure, and notes the code that ran', async (t, queue, _clock, another) => {
	await send(queue, groupOf(['a', 'b'], {fingerprints: pack(['old files', 'old files'])}));
	const [a, b] = claimsOf(await take(queue, 2)) as [Claim, Claim];
	const failed = {...a, code: 'new', outcome: {type: 'threw', error: toFailure(new Error('no'))}} as const;
	const lost = {...b, code: 'wrong', execution: 7, outcome: failed.outcome};
	const {settled} = await commit(await another(), {settle: [failed, lost]});
	t.deepEqual(settled, ['failed', 'lost']);
	t.deepEqual((await queue.store.holders({task: 'hash'}, ['a', 'b'])).fingerprints, ['new files', 'old files']);
});
