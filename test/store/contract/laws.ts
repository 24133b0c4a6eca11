import type {ExecutionContext} from 'ava';
import type {Claim, Outcome, OwnerId} from '../../../lib/job/claim.ts';
import {type Encoded, encode} from '../../../lib/job/encoding.ts';
import type {FailureRecord} from '../../../lib/job/failure.ts';
import type {Job, JobId, JobStatus} from '../../../lib/job/job.ts';
import type {NewJob} from '../../../lib/job/new-job.ts';
import type {OpenJobs} from '../../../lib/job/open-jobs.ts';
import {forPolicyNumbers, type Policy} from '../../../lib/job/policy.ts';
import type {JobFilter} from '../../../lib/job/search.ts';
import type {ClaimRequest, LaneRequest, News, Settled} from '../../../lib/store/store.ts';
import type {Clock} from '../../../lib/support/clock.ts';
import {HandClock} from '../../fixtures/hand-clock.ts';
import type {OpenedJobs} from '../../fixtures/open-jobs.ts';
import {commitPlain, type PlainChanges, type PlainCommitted} from '../../fixtures/plain.ts';
import type {RawDequeued, RawQueue} from '../../fixtures/raw-queue.ts';

/** The options of a store under test, with a clock and random numbers that the suite controls. */
export interface StoreOptions {
	readonly clock: Clock;
	readonly random: () => number;
	readonly leaseMs: number;
	/** The jobs that the workers of an owner have open; for a store without files. */
	readonly openJobs: (owner: OwnerId) => readonly OpenJobs[];
}

export class SuiteClock extends HandClock {
	/** The next random number. */
	random = 0;
}

/** A law of every store, checked by a queue over a new store. */
export type Check = (t: ExecutionContext, queue: RawQueue, clock: SuiteClock, opened: OpenedJobs) => Promise<void>;

/** A law of several stores of one queue. `another` opens one more. */
type CheckOfStores = (t: ExecutionContext, queue: RawQueue, clock: SuiteClock, another: () => Promise<RawQueue>) => Promise<void>;

export const LAWS: {readonly title: string; readonly check: Check; readonly needsOpenJobs: boolean}[] = [];
export const LAWS_OF_STORES: {readonly title: string; readonly check: CheckOfStores}[] = [];

export function law(title: string, check: Check): void {
	LAWS.push({title, check, needsOpenJobs: false});
}

/** A law of a store that knows which jobs the workers of a dead owner had open. */
export function lawOfOpenJobs(title: string, check: Check): void {
	LAWS.push({title, check, needsOpenJobs: true});
}

/** A law of a store that other programs can open, too. */
export function lawOfStores(title: string, check: CheckOfStores): void {
	LAWS_OF_STORES.push({title, check});
}

/** Stores poll for their listeners every 20 ms. The clock moves by half of that. */
const POLL_MS = 10;

export const T0 = 1_700_000_000_000;
export const LEASE_MS = 30_000;
export const OWNER = 'owner-1';
export const OTHER = 'owner-2';
export const TASKS = ['hash', 'thumbnail'];
export const POLICY: Policy = {
	...forPolicyNumbers((_, {usual}) => usual),
	timeoutMs: 60_000,
	backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0},
	retry: 'auto',
};
export const ERROR: FailureRecord = {
	reason: 'threw',
	name: 'TypeError',
	message: 'no such thing',
	stack: 'TypeError: no such thing\n    at hash',
	code: 'E_NONE',
};
export const ON_COMPLETE = {task: 'thumbnail', priority: 4, policy: {...POLICY, maxAttempts: 7}};
export const PAYLOADS: readonly Encoded[] = [
	'{"file":"ä\\u0000😀.png"}',
	'""',
	new Uint8Array([1, 0, 255]),
	new Uint8Array([1]),
	encode(new Map([[1n, new Date(0)]]), 'payload'),
	null,
];

export function newJob(parts: Partial<NewJob> = {}): NewJob {
	return {task: 'hash', payload: '1', priority: 0, runAt: null, policy: POLICY, ...parts};
}

/** The claim of a dispatcher that takes ten jobs of each lane. */
export function claimOf(...lanes: readonly (Partial<LaneRequest> | string)[]): ClaimRequest {
	const all = lanes.map(lane => (typeof lane === 'string' ? {task: lane, limit: 10} : {task: 'hash', limit: 10, ...lane}));
	return {owner: OWNER, lanes: all, limit: 10, maxBytes: Infinity};
}

export function fresh(id: JobId): {id: JobId; reused: boolean} {
	return {id, reused: false};
}

export function reused(id: JobId): {id: JobId; reused: boolean} {
	return {id, reused: true};
}

export function conflict(id: JobId): {id: JobId; conflict: true} {
	return {id, conflict: true};
}

export function commit(queue: RawQueue, changes: PlainChanges): Promise<PlainCommitted> {
	return commitPlain(queue.store, changes);
}

export async function enqueue(queue: RawQueue, ...jobs: NewJob[]): Promise<[JobId, ...JobId[]]> {
	const enqueued = await queue.enqueue(jobs);
	return enqueued.map(({id}) => id) as [JobId, ...JobId[]];
}

export function take(queue: RawQueue, limit = 1, owner = OWNER, maxBytes = Infinity): Promise<RawDequeued> {
	return queue.dequeue({owner, tasks: TASKS, limit, maxBytes});
}

/** Dequeues one job and settles it. */
export async function settleOne(queue: RawQueue, outcome: Outcome): Promise<Settled | undefined> {
	const [claim] = claimsOf(await take(queue)) as [Claim];
	return (await commit(queue, {settle: [{...claim, outcome}]})).settled[0];
}

/** Enqueues and dequeues a job, cancels it while it runs, and settles it. */
export async function settleAsked(queue: RawQueue, outcome: Outcome): Promise<Settled | undefined> {
	const [id] = await enqueue(queue, newJob());
	const [claim] = claimsOf(await take(queue)) as [Claim];
	await queue.cancel({ids: [id]});
	return (await commit(queue, {settle: [{...claim, outcome}]})).settled[0];
}

export async function completeAll(queue: RawQueue): Promise<void> {
	const claims = claimsOf(await take(queue, 100));
	await commit(queue, {settle: claims.map(claim => ({...claim, outcome: {type: 'returned', value: '1'}}))});
}

/** The ids of the jobs of {@link oneJobOfEachStatus}. */
export const ID_OF = {pending: 1, running: 2, failed: 3, completed: 4, dead: 5, cancelled: 6} as const satisfies Record<Exclude<JobStatus, 'blocked'>, JobId>;

/** Brings six jobs of the task `hash` into the six statuses; the failed one becomes due in a second. */
export async function oneJobOfEachStatus(queue: RawQueue, clock: SuiteClock, parts: (status: string) => Partial<NewJob> = () => ({})): Promise<void> {
	const policies: Partial<Record<JobStatus, Policy>> = {dead: {...POLICY, maxAttempts: 1}};
	await enqueue(
		queue,
		...Object.keys(ID_OF).map(status => newJob({policy: policies[status as JobStatus] ?? POLICY, priority: status === 'pending' ? -1 : 0, ...parts(status)})),
	);
	const [, failed, completed, dead, cancelled] = claimsOf(await take(queue, 5)) as [Claim, Claim, Claim, Claim, Claim];
	clock.pass(1);
	await commit(queue, {
		settle: [
			{...failed, outcome: {type: 'threw', error: ERROR}},
			{...completed, outcome: {type: 'returned', value: '1'}},
			{...dead, outcome: {type: 'threw', error: ERROR}},
			{...cancelled, outcome: {type: 'cancelled'}},
		],
	});
}

export async function statuses(queue: RawQueue): Promise<Record<string, JobStatus>> {
	const jobs = await queue.jobs({}).page();
	return Object.fromEntries(Object.entries(ID_OF).map(([name, id]) => [name, jobs.find(job => job.id === id)?.status as JobStatus]));
}

export async function jobOf(queue: RawQueue, id: JobId): Promise<Job> {
	const job = await queue.job(id);
	if (!job) throw new Error(`There is no job ${id}.`);
	return job;
}

export async function listed(queue: RawQueue, filter: JobFilter): Promise<JobId[]> {
	return (await queue.jobs(filter).page()).map(({id}) => id);
}

export function idsOf({jobs}: {readonly jobs: readonly {readonly id: JobId}[]}): JobId[] {
	return jobs.map(({id}) => id);
}

export function claimsOf({lease, jobs}: Pick<Claim, 'lease'> & {readonly jobs: readonly Omit<Claim, 'lease'>[]}): Claim[] {
	return jobs.map(({id, execution}) => ({id, lease, execution}));
}

/** The value with its bytes, if it has any, as an array of numbers. */
export function plain(encoded: Encoded | undefined): string | number[] | null | undefined {
	return encoded instanceof Uint8Array ? [...encoded] : encoded;
}

export function copy(encoded: Encoded): Encoded {
	return encoded instanceof Uint8Array ? Buffer.from(encoded) : encoded;
}

export function range(first: number, last: number): number[] {
	return Array.from({length: last - first + 1}, (_, index) => first + index);
}

/** Reclaims twice per lease for this time. Returns the number of reclaimed jobs. */
export async function outlast(queue: RawQueue, clock: SuiteClock, ms = LEASE_MS + 1): Promise<number> {
	let jobs = await queue.reclaim();
	for (let leftMs = ms; leftMs > 0; leftMs -= LEASE_MS / 2) {
		clock.pass(Math.min(leftMs, LEASE_MS / 2));
		jobs += await queue.reclaim();
	}
	return jobs;
}

/** Listens for the owner. The returned function moves the clock, and returns the news of that time. */
export function listenTo(queue: RawQueue, clock: SuiteClock, owner: OwnerId | undefined): (ms?: number) => Promise<News[]> {
	const heard: News[] = [];
	queue.store.listen(owner, news => void heard.push(news));
	return async (ms = 100) => {
		for (let leftMs = ms; leftMs > 0; leftMs -= POLL_MS) await clock.advance(POLL_MS);
		return heard.splice(0);
	};
}

/** The claims to stop, by the last news of changes. */
export function stopsIn(news: readonly News[]): readonly Claim[] {
	return news.findLast(each => each.type === 'changed')?.stop ?? [];
}
