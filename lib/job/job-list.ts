import type {Batch} from './batch.ts';
import {argument, bad, type Check, integer, show} from './checks.ts';
import {type Counts, type Job, type JobId, NO_JOBS, STATUSES, type TaskCounts, toCounts} from './job.ts';
import {checkSearch} from './options.ts';
import {type JobSearch, type Place, pages, SORTED_BY} from './search.ts';

/** Which jobs to list, in what order, from where, and how many. */
export interface JobListOptions extends JobSearch {
	/** Only jobs that come later in the list than this one: the last job of the page before. In a list by `id`, the default, its id is enough. */
	readonly after?: JobId | Job;
	/** The most jobs, at least 1. Default: 100 if the list is awaited; no limit if it is iterated. */
	readonly limit?: number;
}

/** The jobs of an awaited list. `hasMore`: true if more jobs match than its limit lets through. */
export type JobListPage = readonly Job[] & {readonly hasMore: boolean};

/** Where lists and counts of jobs are read. */
export interface JobSource {
	/** A page of a search; with `count` only the number of its jobs. It may be short, even empty, before the last one. */
	page(search: JobSearch, page: {readonly after: Place | undefined; readonly limit: number}, want?: {readonly count: true}): Promise<JobsRead>;
	counts(): Promise<readonly TaskCounts[]>;
	batch(name: string): Promise<Batch | undefined>;
}

interface JobsRead {
	readonly jobs: readonly Job[];
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
 * A list of jobs, which `jobs()` returns. Awaited, it is an array of at most `limit` jobs. Iterated by `for await`, it has all jobs that match. It is read
 * page by page, 1,000 jobs at a time: of a longer list, a job that changes meanwhile may be left out, or come twice. Nothing is read before.
 * @example
 * const page = await faena.jobs({status: 'dead', sort: 'endedAt', limit: 20});
 * for await (const job of faena.jobs({batch: 'photos'})) console.log(job.id, job.status);
 */
export class JobList implements Promise<JobListPage>, AsyncIterable<Job> {
	readonly #options: JobListOptions;
	readonly #source: JobSource;
	#page: Promise<JobListPage> | undefined;
	/** The name by which a list is shown. */
	readonly [Symbol.toStringTag] = 'JobList';

	/** @internal Use `jobs()`. */
	constructor(options: JobListOptions, source: JobSource, ...more: readonly unknown[]) {
		// As in 0.1.0. A caller whose page is not where it says would read the first page again and again.
		if (more.length > 0) throw bad('jobs() takes one object, with the conditions, limit and after: jobs({status, limit, after})');
		this.#options = options;
		this.#source = source;
	}

	async #readAll(): Promise<JobListPage> {
		const {search, after, limit = DEFAULT_LIMIT} = checkListOptions(this.#options);
		const jobs: Job[] = [];
		// One job more shows that there are more.
		for await (const job of this.#iterate(search, after, limit + 1)) jobs.push(job);
		return Object.defineProperty(jobs.slice(0, limit), 'hasMore', {value: jobs.length > limit}) as readonly Job[] as JobListPage;
	}

	/** All jobs of the list: for `for await`. */
	async *[Symbol.asyncIterator](): AsyncGenerator<Job, void, undefined> {
		const {search, after, limit = Infinity} = checkListOptions(this.#options);
		yield* this.#iterate(search, after, limit);
	}

	async *#iterate(search: JobSearch, after: Place | undefined, limit: number): AsyncGenerator<Job, void, undefined> {
		let left = limit;
		for await (const {jobs} of pages(from => this.#source.page(search, {after: from, limit: Math.min(left, PAGE_JOBS)}), after)) {
			yield* jobs;
			left -= jobs.length;
			if (left <= 0) return;
		}
	}

	// biome-ignore lint/suspicious/noThenProperty: it is a promise.
	then<Value = JobListPage, Other = never>(
		onFulfilled?: ((page: JobListPage) => Value | PromiseLike<Value>) | null,
		onRejected?: ((reason: unknown) => Other | PromiseLike<Other>) | null,
	): Promise<Value | Other> {
		this.#page ??= this.#readAll();
		return this.#page.then(onFulfilled, onRejected);
	}

	catch<Other = never>(onRejected?: ((reason: unknown) => Other | PromiseLike<Other>) | null): Promise<JobListPage | Other> {
		return this.then(undefined, onRejected);
	}

	finally(onFinally?: (() => void) | null): Promise<JobListPage> {
		return this.then().finally(onFinally);
	}
}

/**
 * The numbers of the jobs that match, by status. A source counts along by task and by batch. Other jobs are counted page by page.
 * @throws FaenaError `BadOption`
 */
export async function countJobs(search: JobSearch, source: JobSource): Promise<Counts> {
	const {status = STATUSES, task, batch, ...others} = checkSearch('counts()', search);
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

interface CheckedList {
	readonly search: JobSearch;
	readonly after: Place | undefined;
	readonly limit?: number;
}

/** @throws FaenaError `BadOption` */
function checkListOptions(options: JobListOptions): CheckedList {
	const where = 'jobs()';
	const {after, limit, ...search} = checkSearch(where, options, {after: value => value, limit: limitOf}) as JobListOptions;
	return {search, after: placeOf(where, search, after), ...(limit !== undefined && {limit})};
}

const idAfter = integer(0, Number.MAX_SAFE_INTEGER);

function placeOf(where: string, {sort = 'id'}: JobSearch, after: unknown): Place | undefined {
	if (after === undefined) return undefined;
	const job = typeof after === 'object' && after !== null ? (after as Job) : undefined;
	if (sort === 'id') return argument(where, 'after', job ? job.id : after, idAfter) as JobId;
	const value = job?.[SORTED_BY[sort].value];
	if (job && typeof value === 'number' && !Number.isNaN(value)) return {value, id: argument(where, 'after', job.id, idAfter) as JobId};
	throw bad(`${where} sorted by ${sort} expects as after the last job of the page before, as it was listed there; it got ${show(after)}`);
}
