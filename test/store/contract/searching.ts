import type {Outcome} from '../../../lib/job/claim.ts';
import {type Job, STATUSES} from '../../../lib/job/job.ts';
import {type JobSearch, type Place, SORTED_BY, SORTS} from '../../../lib/job/search.ts';
import type {RawQueue} from '../../fixtures/raw-queue.ts';
import {claimsOf, commit, ERROR, enqueue, law, newJob, OWNER, oneJobOfEachStatus, POLICY, range, type SuiteClock, T0, take} from './laws.ts';

/** Jobs in all statuses, with and without batch and key, in runs and in rows of their own, with times that repeat, cross each other and are missing. */
async function fill(queue: RawQueue, clock: SuiteClock): Promise<void> {
	const batch = await queue.openBatch('one', 'hash', OWNER);
	for (const round of range(1, 4)) {
		await oneJobOfEachStatus(queue, clock, status => (round % 2 === 0 ? {batch, key: `${round} ${status}`} : {}));
		await complete(queue, clock, 300, round);
		await endSome(queue, clock, round);
		clock.pass(40);
	}
	await queue.retry({status: 'dead', batch: 'one'});
}

async function complete(queue: RawQueue, clock: SuiteClock, jobs: number, round: number): Promise<void> {
	await enqueue(queue, ...range(1, jobs).map(() => newJob({task: 'thumbnail', priority: 9})));
	for (const limit of [1, 99, 200]) {
		const claims = claimsOf(await take(queue, limit));
		clock.pass(round === 3 ? 0 : 5);
		const outcome = (index: number): Outcome => ({
			type: 'returned',
			value: '1',
			...(round < 4 && {startedAt: clock.now() - (index % 30), durationMs: (index * 7) % 50}),
		});
		await commit(queue, {settle: claims.map((claim, index) => ({...claim, outcome: outcome(index)}))});
	}
}

/** Ends executions otherwise than {@link complete}: in rows of their own. */
async function endSome(queue: RawQueue, clock: SuiteClock, round: number): Promise<void> {
	await enqueue(queue, ...range(1, 12).map(id => newJob({priority: 9, policy: {...POLICY, maxAttempts: 1 + (id % 2)}})));
	const claims = claimsOf(await take(queue, 12));
	const outcomes: Outcome[] = [
		{type: 'threw', error: ERROR, startedAt: clock.now() - 3, durationMs: round},
		{type: 'cancelled', startedAt: clock.now() - 3, durationMs: 2.5},
		{type: 'cancelled'},
		{type: 'released'},
	];
	await commit(queue, {
		update: claims.slice(8, 10).map(claim => ({...claim, startedAt: clock.now()})),
		settle: claims.slice(0, 8).map((claim, index) => ({...claim, outcome: outcomes[index % outcomes.length] as Outcome})),
	});
}

/** The jobs in the order of the search, found by looking at all. */
function expected(all: readonly Job[], {sort = 'id', since = -Infinity, until = Infinity, task, batch, status = STATUSES}: JobSearch): number[] {
	const {value, time} = SORTED_BY[sort];
	const isTimed = since !== -Infinity || until !== Infinity;
	const isMeant = (job: Job) =>
		(task === undefined || job.task === task) &&
		(batch === undefined || job.batch === batch) &&
		[status].flat().includes(job.status) &&
		job[value] !== undefined &&
		(!isTimed || ((job[time] ?? NaN) >= Number(since) && (job[time] ?? NaN) < Number(until)));
	const direction = sort === 'id' ? 1 : -1;
	return all
		.filter(isMeant)
		.sort((a, b) => direction * ((a[value] ?? 0) - (b[value] ?? 0) || a.id - b.id))
		.map(({id}) => id);
}

async function pages(queue: RawQueue, search: JobSearch, limit: number): Promise<number[]> {
	const found: number[] = [];
	for (let after: Place | null | undefined; after !== null; ) {
		const page = await queue.store.jobs(search, {after, limit});
		found.push(...page.jobs.map(({id}) => id));
		after = page.next;
	}
	return found;
}

const SEARCHES: readonly JobSearch[] = [
	{},
	{task: 'thumbnail'},
	{task: 'hash', status: ['dead', 'failed']},
	{batch: 'one'},
	{status: 'completed'},
	{status: ['cancelled', 'running', 'blocked', 'pending']},
	{since: T0 + 30},
	{until: T0 + 60},
	{since: T0 + 20, until: T0 + 90, task: 'thumbnail'},
];

law('a list is sorted by a time or a duration, highest first, then by id; its pages follow each other through all jobs that match', async (t, queue, clock) => {
	await fill(queue, clock);
	const [parent] = await enqueue(queue, newJob({priority: -1}));
	await commit(queue, {enqueue: [newJob({parents: {edges: [{kind: 'all', parents: {ids: parent, count: 1}}], onParentDead: 'cancel'}})]});
	const all: Job[] = [];
	for await (const job of queue.jobs()) all.push(job);
	t.true(all.length > 1200);
	t.deepEqual([...new Set(all.map(({status}) => status))].sort(), [...STATUSES].sort());
	let found = 0;
	for (const sort of SORTS) {
		for (const search of SEARCHES) {
			const wanted = expected(all, {...search, sort});
			if (wanted.length > 0) found++;
			t.deepEqual(await pages(queue, {...search, sort}, 37), wanted, JSON.stringify({...search, sort}));
			t.deepEqual(
				(await queue.jobs({...search, sort}).page({limit: 10_000})).map(({id}) => id),
				wanted,
			);
		}
	}
	t.true(found > 25);
});

law('counts() of a search are the numbers of the jobs in its list', async (t, queue, clock) => {
	await fill(queue, clock);
	for (const sort of SORTS) {
		for (const search of SEARCHES) {
			const jobs = await queue.jobs({...search, sort}).page({limit: 10_000});
			const counts = await queue.counts({...search, sort});
			for (const status of STATUSES) t.is(counts[status], jobs.filter(job => job.status === status).length, JSON.stringify({...search, sort, status}));
		}
	}
});

law('a list by id with a range of times finds jobs that were enqueued while the clock had gone back', async (t, queue, clock) => {
	await enqueue(queue, newJob(), newJob());
	clock.jump(-1000);
	await enqueue(queue, newJob({key: 'k'}));
	clock.jump(1010);
	await enqueue(queue, newJob(), newJob());
	const ids = async (search: JobSearch) => (await queue.jobs(search).page()).map(({id}) => id);
	t.deepEqual(await ids({until: T0}), [3]);
	t.deepEqual(await ids({since: T0}), [1, 2, 4, 5]);
	t.deepEqual(await ids({since: T0, until: T0 + 10}), [1, 2]);
	t.deepEqual(await ids({since: new Date(T0 + 11)}), []);
	t.deepEqual(await ids({ids: [1, 3], until: new Date(T0 + 1)}), [1, 3]);
});

law('a page of a list says whether there are more jobs; an iterated list has them all', async (t, queue) => {
	await enqueue(queue, ...range(1, 250).map(() => newJob()));
	const page = await queue.jobs().page({limit: 249});
	t.true(page.hasMore);
	t.is(page.length, 249);
	t.false((await queue.jobs().page({limit: 250})).hasMore);
	t.is((await queue.jobs().page()).length, 100);
	let count = 0;
	for await (const _ of queue.jobs()) count++;
	t.is(count, 250);
	t.is((await queue.jobs().page({after: 200, limit: 20})).at(-1)?.id, 220);
	t.is((await queue.jobs().toArray()).length, 250);
});

const PAIRS = 1100;

const CROSSING = [
	{what: 'if very many pairs of jobs that ended together have values that cross', unitMs: 1, aheadMs: 4 * PAIRS},
	{what: 'if all of them are short', unitMs: 1 / 512, aheadMs: 4 * PAIRS},
	{what: 'if the clock was set back while they ran', unitMs: 1, aheadMs: 0},
];

for (const {what, unitMs, aheadMs} of CROSSING) {
	law(`a sorted list has each job once, also ${what}`, async (t, queue, clock) => {
		await enqueue(queue, ...range(1, 2 * PAIRS).map(() => newJob()));
		clock.jump(aheadMs);
		for (const pair of range(1, PAIRS)) {
			const claims = claimsOf(await take(queue, 2));
			const values = [pair, 3 * PAIRS - pair];
			await commit(queue, {
				settle: claims.map((claim, index) => {
					const value = values[index] ?? 0;
					return {...claim, outcome: {type: 'returned', value: '1', startedAt: T0 + value, durationMs: value * unitMs}};
				}),
			});
		}
		const wanted = [...range(1, PAIRS).map(pair => 2 * pair), ...range(1, PAIRS).map(pair => 2 * (PAIRS + 1 - pair) - 1)];
		for (const sort of ['duration', 'startedAt'] as const) {
			t.deepEqual(await pages(queue, {sort}, 500), wanted);
			t.is((await queue.counts({sort})).completed, 2 * PAIRS);
		}
	});
}
