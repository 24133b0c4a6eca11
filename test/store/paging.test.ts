import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import Database from 'better-sqlite3';
import type {ClaimedJob, Outcome} from '../../lib/job/claim.ts';
import {type JobId, type JobStatus, STATUSES} from '../../lib/job/job.ts';
import type {NewJob} from '../../lib/job/new-job.ts';
import type {Policy} from '../../lib/job/policy.ts';
import type {Place} from '../../lib/job/search.ts';
import {MIGRATIONS} from '../../lib/store/sqlite/connection/schema.sql.ts';
import {SQL} from '../../lib/store/sqlite/connection/statements.sql.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {openQueueAt} from '../fixtures/queue.ts';
import type {RawQueue} from '../fixtures/raw-queue.ts';

const POLICY: Policy = {maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};
const PARKED: Policy = {...POLICY, maxAttempts: 2, retry: 'manual'};
const ERROR = {reason: 'threw', name: 'Error', message: 'no'} as const;

// Plans

/** Tables with a row for each job, or for each run of jobs. */
const LARGE = ['job', 'job_run', 'key', 'ready', 'ready_run', 'waiting', 'claimed', 'claimed_run', 'outcome', 'outcome_run', 'failure_state', 'progress'];
LARGE.push('checkpoint', 'log', 'execution', 'expiry');

/** Statements that read the whole of a large table, and why they may. */
const SCANS: Readonly<Record<string, string>> = {
	anyCheckpoint: 'it reads one row',
	anyExpiry: 'the same',
	anyHeld: 'the number of running jobs is bounded by the workers',
	claimGroupsOfOwner: 'the number of running jobs is bounded by the workers, and an index would cost an entry per claim',
	claimOfOwnerAt: 'the same',
	claimedRunsOfOwner: 'the same',
	claimsByStart: 'the same',
	claimsByOwner: 'the same',
	edgesFrom: 'all edges of the parents are passed, in this order',
	edgesTo: 'the same of children',
	keepUsed: 'the children of an edge, at most as many as a run has jobs',
};

test('no statement reads the whole of a table that grows with the jobs, or sorts its rows', t => {
	const db = new Database(':memory:');
	for (const step of MIGRATIONS) db.exec(step);
	const names = {
		id: 1,
		key: 1,
		number: 1,
		last: 1,
		after: 1,
		upTo: 1,
		limit: 1,
		task: 1,
		batch: 1,
		lane: 1,
		rank: 1,
		failed: 1,
		status: 1,
		value: 1,
		since: 1,
		until: 1,
		keyId: 1,
		endKey: 1,
		endId: 1,
		least: 1,
		first: 1,
		completed: 1,
		dead: 1,
		cancelled: 1,
		closedAt: 1,
		isDone: 1,
		owner: 1,
		code: 1,
		digest: 1,
		link: 1,
		parent: 1,
		from: 1,
		to: 1,
	};
	const found = Object.entries(SQL).filter(([, sql]) => {
		const explain = db.prepare(`explain query plan ${sql}`);
		const unnamed = sql.match(/\?/g)?.map(() => 1) ?? [];
		const plan = explain.all(...unnamed, ...(sql.includes('@') ? [names] : [])) as {readonly detail: string}[];
		return plan.some(({detail}) => isLargeScan(sql, detail));
	});
	t.deepEqual(
		found.map(([name]) => name),
		Object.keys(SQL).filter(name => name in SCANS),
	);
	t.true(found.length === Object.keys(SCANS).length && Object.keys(SQL).length > 100);
	db.close();
});

function isLargeScan(sql: string, detail: string): boolean {
	if (detail.includes('TEMP B-TREE')) return true;
	const name = /^SCAN (\w+)/.exec(detail)?.[1];
	if (name === undefined) return false;
	const table = new RegExp(`(?:from|join) (\\w+) ${name}\\b`).exec(sql)?.[1] ?? name;
	return LARGE.includes(table);
}

// Pages read

/** The bytes that this thread has read from files; `undefined` if the system does not report them. */
function bytesRead(): number | undefined {
	const path = '/proc/thread-self/io';
	return existsSync(path) ? Number(/rchar: (\d+)/.exec(readFileSync(path, 'utf8'))?.[1]) : undefined;
}

const RUN = 250;

/** Enqueues this many jobs, stored in turn as a completed run, a pending run, rows with keys and delayed rows that expire; then a few of every status. */
async function fill(path: string, jobs: number): Promise<void> {
	const queue = await openQueueAt(path, {durability: 'normal'});
	await enqueue(queue, 2, () => ({task: 'outer'}));
	for (let start = 0; start < jobs; start += 4 * RUN) {
		await complete(queue, await run(queue, 'done', RUN));
		await run(queue, 'later', RUN);
		await enqueue(queue, RUN, index => ({task: 'keyed', key: `${start}/${index}`}));
		await enqueue(queue, RUN, index => ({task: 'other', runAt: Date.now() + 1e9 + index, expiresMs: 1e9}));
	}
	await enqueue(queue, 2, () => ({task: 'outer'}));
	await sample(queue);
	await queue.close();
}

/** Enqueues a batch with some jobs of every status. */
async function sample(queue: RawQueue): Promise<void> {
	const batch = await queue.openBatch('last', 'rare', 'me');
	await enqueue(queue, 60, index => ({task: 'rare', batch, policy: index % 2 ? POLICY : PARKED, key: String(index)}));
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['rare'], limit: 50});
	const outcomeAt = (index: number): Outcome =>
		index < 20 ? {type: 'threw', error: ERROR} : index < 30 ? {type: 'cancelled'} : {type: 'returned', value: '1'};
	await queue.settle(
		lease,
		jobs.slice(0, 40).map(({id, execution}, index) => ({id, execution, outcome: outcomeAt(index)})),
	);
	await queue.leave('me');
}

async function run(queue: RawQueue, task: string, jobs: number): Promise<JobId> {
	const job = {task, priority: 0, runAt: null, policy: POLICY};
	const enqueued = await queue.enqueue(Array.from({length: jobs}, (_, index) => ({...job, payload: String(index)})));
	return enqueued[0]?.id as JobId;
}

async function enqueue(queue: RawQueue, jobs: number, parts: (index: number) => Partial<NewJob>): Promise<void> {
	const job = {task: 'later', payload: '1', priority: 0, runAt: null, policy: POLICY};
	await queue.enqueue(Array.from({length: jobs}, (_, index) => ({...job, ...parts(index)})));
}

async function complete(queue: RawQueue, first: JobId): Promise<void> {
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['done'], limit: RUN});
	await queue.settle(
		lease,
		jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: String(id - first), startedAt: Date.now() - 10, durationMs: id % 100}})),
	);
}

/** Of the first two jobs and the last two, settles the first and the last. */
async function settleOuter(queue: RawQueue): Promise<void> {
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['outer'], limit: 4});
	const ends = [jobs[0], jobs[3]].map(job => ({...(job as ClaimedJob), outcome: {type: 'returned', value: '1'} as const}));
	await queue.settle(lease, ends);
	await queue.leave('me');
}

const ASKED: Readonly<Record<string, (queue: RawQueue, middle: JobId) => unknown>> = {
	'a settlement of a job before and one behind all others': queue => settleOuter(queue),
	'a release of such jobs': async queue => {
		await queue.dequeue({owner: 'me', tasks: ['outer'], limit: 2});
		await queue.leave('me');
	},
	'a job': (queue, middle) => queue.job(middle),
	'the end of a job': (queue, middle) => queue.outcomes([middle]),
	'jobs by their ids': (queue, middle) => queue.jobs({ids: [middle, middle + RUN, middle + 2 * RUN, middle + 3 * RUN]}).page(),
	'the first jobs': queue => queue.jobs({}).page(),
	'jobs from the middle on': (queue, middle) => queue.jobs().page({after: middle}),
	...Object.fromEntries(STATUSES.map(status => [`the first ${status} jobs`, (queue: RawQueue) => queue.jobs({status}).page({limit: 8})])),
	'pending jobs from the middle on': (queue, middle) => queue.jobs({status: 'pending'}).page({after: middle}),
	'completed jobs from the middle on': (queue, middle) => queue.jobs({status: 'completed'}).page({after: middle, limit: 10}),
	'jobs that have not ended': queue => queue.jobs({status: ['pending', 'running', 'failed']}).page(),
	'pending jobs of a rare task': queue => queue.jobs({status: 'pending', task: 'rare'}).page(),
	'jobs of a batch': queue => queue.jobs({batch: 'last'}).page(),
	'unended jobs of a batch': queue => queue.jobs({batch: 'last', status: ['pending', 'failed']}).page(),
	'the latest starts': queue => queue.jobs({sort: 'startedAt'}).page({limit: 10}),
	'the latest ends': queue => queue.jobs({sort: 'endedAt'}).page({limit: 10}),
	'the latest deaths': queue => queue.jobs({sort: 'endedAt', status: 'dead'}).page({limit: 10}),
	'the longest jobs': queue => queue.jobs({sort: 'duration'}).page({limit: 3}),
	'a cancel of one job': (queue, middle) => queue.cancel({ids: [middle + RUN]}),
	'a cancel of a job with a row': (queue, middle) => queue.cancel({ids: [middle + 2 * RUN]}),
	'a retry of one job': (queue, middle) => queue.retry({ids: [middle]}),
	'a cancel of a batch': queue => queue.cancel({batch: 'last'}),
	'a page of jobs to be cancelled': queue => queue.store.move({status: 'pending'}, 'cancelled', {limit: 5}),
	'a step of a cleanup': (queue, middle) => queue.store.delete({endedBefore: Date.now() + 1000}, {limit: 10, after: middle}),
};

const PAGE_BYTES = 4096;
/** The tree of a table with a hundred times as many rows has one more level, and a verb reads several tables. */
const MORE_PAGES = 15;

async function pagesRead(path: string, ask: (queue: RawQueue) => unknown): Promise<number> {
	// A new connection has an empty cache.
	const queue = await openQueueAt(path, {durability: 'normal'});
	const before = bytesRead() as number;
	await ask(queue);
	const pages = ((bytesRead() as number) - before) / PAGE_BYTES;
	await queue.close();
	return Math.round(pages);
}

test.serial('a verb of a queue reads as much of a hundred thousand jobs as of a thousand', async t => {
	t.timeout(120_000);
	if (bytesRead() === undefined) return t.pass('This system does not tell what a thread has read.');
	const folder = makeFolder(t);
	const [small, large] = [join(folder, 'small.db'), join(folder, 'large.db')];
	await fill(small, 1000);
	await fill(large, 100_000);
	const middleOf = (jobs: number) => 4 * RUN * Math.floor(jobs / (8 * RUN)) + 1 + RUN / 2;
	for (const [what, ask] of Object.entries(ASKED)) {
		const [few, many] = [await pagesRead(small, queue => ask(queue, middleOf(1000))), await pagesRead(large, queue => ask(queue, middleOf(100_000)))];
		t.log(`${what}: ${few} → ${many} pages`);
		t.true(many <= few + MORE_PAGES, `${what} reads ${few} pages of a thousand jobs, and ${many} of a hundred thousand`);
	}
});

/** Ends this many jobs: half of them complete together, the others are cancelled. Then ends a few jobs in every way. */
async function fillEnded(path: string, jobs: number): Promise<void> {
	const queue = await openQueueAt(path, {durability: 'normal'});
	for (let start = 0; start < jobs; start += 2 * RUN) {
		await complete(queue, await run(queue, 'done', RUN));
		await enqueue(queue, RUN, index => ({task: 'other', runAt: Date.now() + 1e9 + index}));
	}
	await queue.cancel({task: 'other'});
	await sample(queue);
	await queue.close();
}

test.serial('a search by retention reads as much of a hundred thousand jobs that are kept as of a thousand', async t => {
	t.timeout(120_000);
	if (bytesRead() === undefined) return t.pass('This system does not tell what a thread has read.');
	const folder = makeFolder(t);
	const [small, large] = [join(folder, 'small.db'), join(folder, 'large.db')];
	await fillEnded(small, 1000);
	await fillEnded(large, 100_000);
	const [never, hourAgo] = [-Infinity, Date.now() - 3_600_000];
	for (const times of [
		{completed: hourAgo, dead: hourAgo, cancelled: hourAgo},
		{completed: hourAgo, dead: Date.now() + 1000, cancelled: never},
	]) {
		const search = async ({store}: RawQueue) => {
			for (let after: Place | null | undefined; after !== null; ) after = (await store.delete({ended: {...times, tasks: new Map()}}, {after})).next;
		};
		const [few, many] = [await pagesRead(small, search), await pagesRead(large, search)];
		t.log(`${few} → ${many} pages`);
		t.true(many <= few + MORE_PAGES);
	}
});

test.serial('no status hides another: rare jobs are found among many', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	await fill(path, 4000);
	const queue = await openQueueAt(path, {durability: 'normal'});
	t.teardown(() => queue.close());
	const counts = await queue.counts();
	const found = await Promise.all(STATUSES.map(async status => [status, (await queue.jobs({status}).page({limit: 100_000})).length] as [JobStatus, number]));
	t.deepEqual(Object.fromEntries(found), {...counts});
	t.true(found.every(([status, jobs]) => jobs > 0 || ['running', 'blocked'].includes(status)));
});

test.serial('a list by duration has each of very many short jobs once', async t => {
	const queue = await openQueueAt(join(makeFolder(t), 'jobs.db'), {durability: 'normal'});
	t.teardown(() => queue.close());
	const count = 11_000;
	await enqueue(queue, count, index => ({task: 'done', key: String(index)}));
	const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['done'], limit: count});
	// A few are long.
	const durationOf = (id: JobId) => (id % 4000 === 0 ? id : ((id * 7919) % count) / count);
	await queue.settle(
		lease,
		jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: null, startedAt: Date.now(), durationMs: durationOf(id)}})),
	);
	const listed: JobId[] = [];
	for await (const {id} of queue.jobs({sort: 'duration'})) listed.push(id);
	t.deepEqual(
		listed,
		jobs.map(({id}) => id).sort((a, b) => durationOf(b) - durationOf(a) || b - a),
	);
});

/** Adds jobs that have ended and have rows of their own. */
function addEnded(path: string, jobs: number, row: (index: number) => {readonly task?: number; readonly startedAt: number; readonly endedAt: number}): void {
	const db = new Database(path);
	const addJob = db.prepare('insert into job (id, task, policy, priority, created_at) values (?, ?, 1, 0, 0)');
	const addOutcome = db.prepare('insert into outcome (id, status, execution, ended_at, started_at, duration_ms) values (?, 6, 1, ?, ?, ?)');
	db.transaction(() => {
		for (let index = 0; index < jobs; index++) {
			const {task = 1, startedAt, endedAt} = row(index);
			addJob.run(1000 + index, task);
			addOutcome.run(1000 + index, endedAt, startedAt, endedAt - startedAt);
		}
	})();
	db.close();
}

test.serial('a list by start reads few of the jobs that took long', async t => {
	if (bytesRead() === undefined) return t.pass('This system does not tell what a thread has read.');
	const folder = makeFolder(t);
	const read = async (jobs: number) => {
		const path = join(folder, `${jobs}.db`);
		const queue = await openQueueAt(path, {durability: 'normal'});
		await enqueue(queue, 1, () => ({}));
		await queue.close();
		addEnded(path, jobs, index => ({startedAt: 1e12 + 1000 * index - 5000, endedAt: 1e12 + 1000 * index}));
		return pagesRead(path, async queue => t.is((await queue.jobs({sort: 'startedAt'}).page({limit: 10})).length, 10));
	};
	const [few, many] = [await read(1000), await read(100_000)];
	t.true(many <= few + MORE_PAGES, `${few} → ${many} pages`);
});

test.serial('a list by start of a rare task takes few pages, though very many jobs ended within a second', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {durability: 'normal'});
	t.teardown(() => queue.close());
	await enqueue(queue, 2, index => ({task: ['often', 'rare'][index] as string}));
	addEnded(path, 50_000, index => ({task: index % 10_000 === 0 ? 2 : 1, startedAt: 1e12 + (index % 900) - 10, endedAt: 1e12 + (index % 900)}));
	let [found, pages] = [0, 0];
	for (let after: Place | null | undefined; after !== null; pages++) {
		const page = await queue.store.jobs({sort: 'startedAt', task: 'rare'}, {after, limit: 100});
		found += page.jobs.length;
		after = page.next;
	}
	t.is(found, 5);
	t.true(pages < 10);
});

test.serial('jobs that an older version completed are in each list once', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {durability: 'normal'});
	t.teardown(() => queue.close());
	const [first, count] = [1, 2500];
	await enqueue(queue, count, () => ({task: 'done'}));
	for (let id = first; id < first + count; id++) {
		const {lease, jobs} = await queue.dequeue({owner: 'me', tasks: ['done'], limit: 1});
		await queue.settle(
			lease,
			jobs.map(({id, execution}) => ({id, execution, outcome: {type: 'returned', value: '1', startedAt: Date.now() - 5, durationMs: (id % 50) / 7}})),
		);
	}
	const db = new Database(path);
	t.is(db.prepare('update outcome_run set earliest_start = null, latest_start = null, shortest_ms = null, longest_ms = null').run().changes, count);
	db.close();
	const firstPage = await queue.store.jobs({sort: 'duration'}, {limit: 10});
	t.deepEqual(firstPage.jobs, [], 'one page looked at the times of all of these runs');
	t.not(firstPage.next, null);
	for (const sort of ['startedAt', 'endedAt', 'duration'] as const) {
		const value = {startedAt: 'startedAt', endedAt: 'endedAt', duration: 'durationMs'} as const;
		const listed: number[] = [];
		const ids = new Set<JobId>();
		for await (const job of queue.jobs({sort})) {
			listed.push(job[value[sort]] as number);
			ids.add(job.id);
		}
		t.is(ids.size, count);
		t.deepEqual(
			listed,
			listed.toSorted((a, b) => b - a),
		);
	}
});

test.serial('the time for a page grows no faster than the number of its jobs', async t => {
	const queue = await openQueueAt(join(makeFolder(t), 'jobs.db'), {durability: 'normal'});
	t.teardown(() => queue.close());
	for (let jobs = 0; jobs < 40_000; jobs += 2000) await run(queue, 'later', 2000);
	const cpuMs = async (limit: number) => {
		const before = process.cpuUsage();
		const {jobs} = await queue.store.jobs({}, {limit});
		t.is(jobs.length, limit);
		const {user, system} = process.cpuUsage(before);
		return (user + system) / 1000;
	};
	await cpuMs(4000);
	const [few, many] = [await cpuMs(4000), await cpuMs(40_000)];
	t.log(`${few} → ${many} ms`);
	t.true(many < 30 * few);
});

// Cleanup

test.serial('a cleanup of jobs that were enqueued and completed together unpacks none of them, and the file does not grow', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {durability: 'normal'});
	t.teardown(() => queue.close());
	for (let round = 0; round < 40; round++) await complete(queue, await run(queue, 'done', RUN));
	await run(queue, 'later', RUN);
	const db = new Database(path);
	t.teardown(() => db.close());
	const rows = () => db.prepare('select (select count(*) from job) + (select count(*) from outcome)').pluck().get();
	const pages = () => db.pragma('page_count', {simple: true}) as number;
	const before = pages();
	let jobs = 0;
	for (let after: JobId | null = 0; after !== null; ) {
		const step = await queue.store.delete({endedBefore: Date.now() + 1000}, {limit: 700, after});
		jobs += step.deleted;
		after = step.next as JobId | null;
		t.is(rows(), 0);
		t.true(pages() <= before);
	}
	t.is(jobs, 40 * RUN);
	t.deepEqual(await queue.counts(), {blocked: 0, pending: RUN, running: 0, failed: 0, completed: 0, dead: 0, cancelled: 0});
	t.is(db.prepare('select count(*) from outcome_run').pluck().get(), 0);
	t.is(db.prepare('select count(*) from job_run').pluck().get(), 1);
});

test.serial('pending and completed jobs of a batch that lie in runs are deleted without being unpacked', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {durability: 'normal'});
	t.teardown(() => queue.close());
	const batch = await queue.openBatch('one', 'done', 'me');
	await enqueue(queue, 2 * RUN, index => ({task: 'done', batch, key: String(index)}));
	await complete(queue, 1);
	const db = new Database(path);
	t.teardown(() => db.close());
	const rows = () => db.prepare('select (select count(*) from ready) + (select count(*) from outcome)').pluck().get();
	for (let isGone = false; !isGone; ) {
		({isGone} = await queue.deleteBatch('one', 70));
		t.is(rows(), 0);
	}
	for (const table of ['job', 'key', 'ready_run', 'outcome_run', 'batch', 'batch_tally'])
		t.is(db.prepare(`select count(*) from ${table}`).pluck().get(), 0, table);
	t.like(await queue.counts(), {pending: 0, completed: 0});
});

test.serial('a page moves few jobs if each of them is in another run', async t => {
	const queue = await openQueueAt(join(makeFolder(t), 'jobs.db'), {durability: 'normal'});
	t.teardown(() => queue.close());
	const runs = 12;
	const firsts = [];
	for (let index = 0; index < runs; index++) firsts.push(await run(queue, 'later', 2000));
	const {ids, next} = await queue.store.move({ids: firsts}, 'cancelled');
	t.true(ids.length > 0 && ids.length < runs && next !== null);
	t.is((await queue.cancel({ids: firsts})).cancelled.length, runs - ids.length);
	t.like(await queue.counts(), {pending: 2000 * runs - runs, cancelled: runs});
});

test.serial('a page of a release unpacks few of the runs that its owner has claimed', async t => {
	const path = join(makeFolder(t), 'jobs.db');
	const queue = await openQueueAt(path, {durability: 'normal'});
	t.teardown(() => queue.close());
	const runs = 8;
	for (let index = 0; index < runs; index++) await run(queue, 'done', 2000);
	await queue.dequeue({owner: 'me', tasks: ['done'], limit: 2000 * runs});
	const db = new Database(path, {readonly: true});
	t.teardown(() => db.close());
	const claimed = () => db.prepare('select count(*) from claimed_run').pluck().get() as number;
	t.is(claimed(), runs);
	const {jobs, hasMore} = await queue.store.release('me');
	t.true(jobs > 0 && hasMore);
	t.true(claimed() > runs / 2);
});
