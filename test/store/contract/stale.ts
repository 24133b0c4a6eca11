import type {NewGroup} from '../../../lib/job/groups/group.ts';
import {pack} from '../../../lib/job/groups/packed.ts';
import type {JobId} from '../../../lib/job/job.ts';
import type {OnParentDead} from '../../../lib/job/parents.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimsOf, commit, ERROR, idsOf, jobOf, law, newJob, OTHER, take} from './laws.ts';

/** Results that were made from other results, which are no longer the last ones. */

function groupOf(count: number, ids: readonly JobId[] = [], onParentDead: OnParentDead = 'cancel', parts: Partial<NewGroup> = {}): NewGroup {
	const {payload: _, ...options} = newJob();
	const parents = {edges: [{kind: 'all' as const, parents: {ids, count: ids.length}}], onParentDead};
	return {...options, values: pack(new Array<string>(count).fill('1')), ...(ids.length > 0 && {parents}), ...parts};
}

/** Runs the jobs that are ready. Each returns this value, or fails for good without one. */
async function run(queue: RawQueue, value: string | Uint8Array | undefined, limit = 99): Promise<JobId[]> {
	const taken = await take(queue, limit);
	const outcome = value === undefined ? {type: 'threw' as const, error: {...ERROR, retry: 'never' as const}} : {type: 'returned' as const, value};
	await commit(queue, {settle: claimsOf(taken).map(claim => ({...claim, outcome}))});
	return idsOf(taken);
}

/** The stale jobs, as lists, counts and ends show them. */
async function staleIn(queue: RawQueue): Promise<string> {
	const jobs = await queue.jobs({}).page();
	const stale = jobs.filter(job => job.stale);
	const ends = (await queue.store.outcomes(jobs.map(({id}) => id))).outcomes;
	const searched = await queue.jobs({stale: true}).page();
	const told = stale.map(({id, stale}) => `${id} ${stale}`).join(', ');
	const others = [searched, ends.filter(end => end.stale)].map(found => found.map(({id, stale}) => `${id} ${stale}`).join(', '));
	const {count} = await queue.store.jobs({stale: true}, {}, {count: true});
	return others.every(each => each === told) && count === stale.length ? told : JSON.stringify([told, others, count]);
}

law('a job is stale once a parent has completed again with another result, and what depends on it is stale through it', async (t, queue) => {
	await queue.store.commit({enqueue: [groupOf(2), groupOf(3, [1, 2]), groupOf(1, [3]), groupOf(1, [2])]});
	t.deepEqual([await run(queue, '1'), await run(queue, '1'), await run(queue, '1')], [[1, 2], [3, 4, 5, 7], [6]]);
	t.is(await staleIn(queue), '');
	t.is(await queue.retry({ids: [1]}), 1);
	t.is(await staleIn(queue), '');
	t.deepEqual(await run(queue, '2'), [1]);
	t.is(await staleIn(queue), '3 direct, 4 direct, 5 direct, 6 through');
	// Alone, as among others.
	t.deepEqual(
		[(await jobOf(queue, 6)).stale, (await jobOf(queue, 7)).stale, (await queue.jobs({ids: [6, 7], stale: true}).page()).length],
		['through', undefined, 1],
	);
	t.is(await queue.retry({ids: [4]}), 1);
	t.deepEqual(await run(queue, '1'), [4]);
	t.is(await staleIn(queue), '3 direct, 5 direct, 6 through');
	t.is(await queue.retry({ids: [3]}), 1);
	t.is(await staleIn(queue), '5 direct');
	t.deepEqual(await run(queue, '2'), [3]);
	t.is(await staleIn(queue), '5 direct, 6 direct');
});

law('a new round with an equal result makes nothing stale, nor does one that has not completed', async (t, queue) => {
	await queue.store.commit({enqueue: [groupOf(3), groupOf(1, [1, 2, 3])]});
	const values = ['"a text that is longer than others"', new Uint8Array([1, 2, 3]), 'null'];
	for (const value of values) await run(queue, value, 1);
	await run(queue, '1');
	for (const value of values) await queue.retry({ids: [values.indexOf(value) + 1]}).then(() => run(queue, value));
	t.is(await staleIn(queue), '');
	await queue.retry({ids: [2]});
	await run(queue, undefined);
	t.is(await staleIn(queue), '');
	await queue.retry({ids: [2]});
	await run(queue, '"123"');
	t.is(await staleIn(queue), '4 direct');
	await queue.retry({ids: [2]});
	t.is(await staleIn(queue), '');
	await run(queue, values[1]);
	t.is(await staleIn(queue), '');
});

law('a job that ran without a result of a dead parent is stale once that has one', async (t, queue) => {
	await queue.store.commit({enqueue: [groupOf(2), groupOf(1, [1]), groupOf(1, [3, 2], 'run'), groupOf(1, [4])]});
	t.deepEqual([await run(queue, undefined, 1), await run(queue, '1'), await run(queue, '1'), await run(queue, '1')], [[1], [2], [4], [5]]);
	t.is(await queue.retry({ids: [1]}), 1);
	t.deepEqual(await run(queue, '1'), [1]);
	t.is(await staleIn(queue), '');
	t.deepEqual(await run(queue, '1'), [3]);
	t.is(await staleIn(queue), '4 direct, 5 through');
});

law('what counts is the execution that completed: one that began while its parent ran again, or before', async (t, queue) => {
	await queue.store.commit({enqueue: [groupOf(1), groupOf(2, [1])]});
	await run(queue, '1');
	const [failed, running] = claimsOf(await take(queue, 2));
	t.is(await queue.retry({ids: [1]}), 1);
	await commit(queue, {settle: failed ? [{...failed, outcome: {type: 'released'}}] : []});
	const [parent] = claimsOf(await take(queue, 1, OTHER));
	const [again] = parent?.id === 2 ? [parent] : claimsOf(await take(queue, 1, OTHER));
	const rest = parent?.id === 2 ? claimsOf(await take(queue, 1, OTHER)) : [parent];
	const returned = (claims: readonly (typeof failed)[], value = '1') =>
		commit(queue, {settle: claims.flatMap(claim => (claim ? [{...claim, outcome: {type: 'returned', value} as const}] : []))});
	await returned([again, running]);
	t.is(await staleIn(queue), '');
	await returned(rest);
	// The first had found it open, the second one its former result, which is the same.
	t.is(await staleIn(queue), '2 direct');
});

law('a job stays stale when its parent is deleted; deleted jobs are not', async (t, queue) => {
	await queue.store.commit({enqueue: [groupOf(1), groupOf(4, [1]), groupOf(1, [3])]});
	t.deepEqual([await run(queue, '1'), await run(queue, '1'), await run(queue, '1')], [[1], [2, 3, 4, 5], [6]]);
	await queue.retry({ids: [1]});
	await run(queue, '2');
	await queue.store.delete({ids: [1, 3]});
	t.is(await staleIn(queue), '2 direct, 4 direct, 5 direct');
	await queue.store.delete({ids: [2, 4, 5]});
	t.is(await staleIn(queue), '');
});

law('a retry of stale jobs brings them up to date, and what follows: each waits for those of its parents that run again', async (t, queue) => {
	const batch = await queue.openBatch('report', 'hash', 'me');
	await queue.store.commit({
		enqueue: [groupOf(2), groupOf(2, [1], 'cancel', {batch}), groupOf(1, [3, 2]), groupOf(1, [5], 'cancel', {batch}), groupOf(1, [2])],
	});
	for (let depth = 0; depth < 4; depth++) await run(queue, '1');
	t.is(await queue.retry({stale: true}), 0);
	await queue.retry({ids: [1, 2]});
	await run(queue, '2');
	t.is(await staleIn(queue), '3 direct, 4 direct, 5 direct, 6 through, 7 direct');
	// 5 is of no batch, and follows 3.
	t.is(await queue.retry({stale: true, batch: 'report'}), 4);
	t.is((await queue.jobs({}).page()).map(({status}) => status[0]).join(''), 'ccppbbc');
	t.deepEqual([await run(queue, '2'), await run(queue, '2'), await run(queue, '2')], [[3, 4], [5], [6]]);
	t.is(await staleIn(queue), '7 direct');
	t.is(await queue.retry({stale: true}), 1);
	await run(queue, '2');
	t.is(await staleIn(queue), '');
});

law('a retry of stale jobs leaves those that can not run again, since a job was deleted, and what was made from their results', async (t, queue) => {
	await queue.store.commit({enqueue: [groupOf(3), groupOf(1, [1, 2]), groupOf(1, [4]), groupOf(1, [1]), groupOf(1, [5, 6])]});
	for (let depth = 0; depth < 4; depth++) await run(queue, '1');
	await queue.retry({ids: [1]});
	await run(queue, '2');
	await queue.store.delete({ids: [2]});
	t.is(await staleIn(queue), '4 direct, 5 through, 6 direct, 7 through');
	t.is(await queue.retry({stale: true}), 1);
	t.deepEqual(await run(queue, '3'), [6]);
	t.is(await staleIn(queue), '4 direct, 5 through, 7 direct');
	t.is(await queue.retry({stale: true}), 0);
	t.is(await queue.retry({stale: true, ids: [5]}), 0);
});
