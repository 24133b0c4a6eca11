import type {Batch} from './batch.ts';
import {argument, bad, type Check, checked, integer, show} from './checks.ts';
import {type Counts, type Job, type JobId, type JobRecord, type JobRef, NO_JOBS, STATUSES, type TaskCounts, toCounts, toJob} from './job.ts';
import {checkFilter, checkSearch} from './options.ts';
import {type JobFilter, type JobSearch, type MoveTarget, movableStatuses, type Place, pages, SORTED_BY} from './search.ts';

/** Where lists and counts of jobs are read. */
export interface JobSource {
	/** A page of a search; with `count` only the number of its jobs. It may be short, even empty, before the last one. */
	page(search: JobSearch, page: {readonly after: Place | undefined; readonly limit: number}, want?: {readonly count: true}): Promise<JobsRead>;
	counts(): Promise<readonly TaskCounts[]>;
	batch(name: string): Promise<Batch | undefined>;
}

interface JobsRead {
	readonly jobs: readonly JobRecord[];
	readonly count: number;
	/** `null` at the end. */
	readonly next: Place | null;
}

const DEFAULT_LIMIT = 100;
/** The jobs that are read at once. A dispatcher does nothing else meanwhile. */
const PAGE_JOBS = 1000;
/** The jobs that are counted at once. */
const PAGE_COUNT = 10_000;

/**
 * A list of jobs, which `jobs()` returns. Nothing is read before it is iterated, or a verb is called. It is read 1,000 jobs at a time: of a longer list, a
 * job that changes meanwhile may be left out, or come twice.
 * @example
 * for await (const job of faena.jobs({batch: 'photos'})) console.log(job.id, job.status);
 * const [latest] = await faena.jobs({status: 'dead', sort: 'endedAt'}).page({limit: 1});
 */
export class JobList implements AsyncIterable<Job> {
	readonly #search: JobSearch;
	readonly #source: JobSource;

	/** @internal Use `jobs()`. */
	constructor(search: JobSearch<JobRef>, source: JobSource, ...more: readonly unknown[]) {
		// A caller whose conditions are elsewhere would read all jobs.
		if (more.length > 0) throw bad('jobs() takes one object, with the conditions; limit and after are those of page(): jobs({status}).page({limit, after})');
		this.#search = checkSearch('jobs()', search);
		this.#source = source;
	}

	/**
	 * One page of the list: an array of at most `limit` jobs, whose `hasMore` says whether more follow.
	 * @param options.after only jobs that come later in the list than this one: the last job of the page before. In a list by `id`, the default, its id
	 * is enough
	 * @param options.limit the most jobs, at least 1; default 100
	 * @throws FaenaError `BadOption`, `Closed`
	 * @example
	 * const list = faena.jobs({status: 'dead'});
	 * const first = await list.page({limit: 20});
	 * const second = await list.page({limit: 20, after: first.at(-1)});
	 */
	async page(options: {readonly after?: JobRef; readonly limit?: number} = {}): Promise<readonly Job[] & {readonly hasMore: boolean}> {
		const {after, limit = DEFAULT_LIMIT} = checked('page()', options, {after: value => value, limit: limitOf}) as {after?: unknown; limit?: number};
		const jobs: Job[] = [];
		// One job more shows that there are more.
		for await (const job of this.#read(placeOf(this.#search, after), limit + 1)) jobs.push(job);
		return Object.defineProperty(jobs.slice(0, limit), 'hasMore', {value: jobs.length > limit}) as Job[] & {readonly hasMore: boolean};
	}

	/** All jobs of the list, for lists that fit in memory. */
	async toArray(): Promise<Job[]> {
		const jobs: Job[] = [];
		for await (const job of this) jobs.push(job);
		return jobs;
	}

	/** All jobs of the list: for `for await`. */
	[Symbol.asyncIterator](): AsyncGenerator<Job, void, undefined> {
		return this.#read(undefined, Infinity);
	}

	async *#read(after: Place | undefined, limit: number): AsyncGenerator<Job, void, undefined> {
		let left = limit;
		for await (const {jobs} of pages(from => this.#source.page(this.#search, {after: from, limit: Math.min(left, PAGE_JOBS)}), after)) {
			for (const job of jobs) yield toJob(job);
			left -= jobs.length;
			if (left <= 0) return;
		}
	}
}

/**
 * The numbers of the jobs that match, by status. A source counts along by task and by batch. Other jobs are counted page by page.
 * @throws FaenaError `BadOption`
 */
export async function countJobs(given: JobSearch<JobRef>, source: JobSource): Promise<Counts> {
	const search = checkSearch('counts()', given);
	const {status = STATUSES, task, batch, ...others} = search;
	const isCountedAlong = Object.values(others).every(value => value === undefined) && (task === undefined || batch === undefined);
	const ofTask = async () => toCounts((await source.counts()).filter(each => task === undefined || each.task === task));
	const known = isCountedAlong ? (batch === undefined ? await ofTask() : ((await source.batch(batch))?.counts ?? NO_JOBS)) : undefined;
	const counts = {...NO_JOBS};
	for (const each of STATUSES) if ([status].flat().includes(each)) counts[each] = known?.[each] ?? (await count({...search, status: each}, source));
	return counts;
}

async function count(search: JobSearch, source: JobSource): Promise<number> {
	let jobs = 0;
	for await (const page of pages(after => source.page(search, {after, limit: PAGE_COUNT}, {count: true}))) jobs += page.count;
	return jobs;
}

const anyNumber = integer(1, Number.MAX_SAFE_INTEGER);
const limitOf: Check = value => (value === Infinity ? value : anyNumber(value));
const idAfter = integer(0, Number.MAX_SAFE_INTEGER);

/** @throws FaenaError `BadOption` */
function placeOf({sort = 'id'}: JobSearch, after: unknown): Place | undefined {
	const where = 'page()';
	if (after === undefined) return undefined;
	const job = typeof after === 'object' && after !== null ? (after as Job) : undefined;
	if (sort === 'id') return argument(where, 'after', job ? job.id : after, idAfter) as JobId;
	const value = job?.[SORTED_BY[sort].value];
	if (job && typeof value === 'number' && !Number.isNaN(value)) return {value, id: argument(where, 'after', job.id, idAfter) as JobId};
	throw bad(`${where} of a list sorted by ${sort} expects as after the last job of the page before, as it was listed there; it got ${show(after)}`);
}

/** The filter of jobs that a verb moves. A store knows jobs by the time of their creation; by another time they are looked up first. */
export async function toFilter(to: MoveTarget, where: string, jobs: JobRef | JobSearch<JobRef>, source: JobSource): Promise<JobFilter> {
	const {sort = 'id', ...filter} = checkFilter(where, jobs);
	if (sort === 'id') return filter;
	const {since: _since, until: _until, ...others} = {...filter, status: movableStatuses(to, filter)};
	const ids: JobId[] = [];
	for await (const {id} of new JobList({...filter, ...others, sort}, source)) ids.push(id);
	return {...others, ids};
}
