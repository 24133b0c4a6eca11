import {type JobId, type JobStatus, STATUSES} from '../../../job/job.ts';
import type {JobFilter} from '../../../job/search.ts';
import {STATUS_OF, StoredState} from '../../stored-state.ts';
import {nameOf} from '../../task-number.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {byOrder} from '../rows/lanes.ts';
import {numberOfKey} from '../rows/numbered-keys.ts';
import {findJob} from '../rows/packed-rows.ts';
import {lastOfRun, type Range} from '../rows/run-range.ts';
import type {Tx} from '../rows/tx.ts';
import {staleJobs} from './stale.ts';

/** Lists of jobs in the order of their ids: pages of a filter's jobs. */

type Source = Pick<Tx, 'statements' | 'numbers'>;

/** Which jobs to find: of this task and batch, if not `null`, after one id and up to another. */
interface Criteria {
	readonly task: number | null;
	readonly batch: number | null;
	readonly statuses: readonly JobStatus[];
	readonly after: JobId;
	readonly upTo: JobId;
	readonly limit: number;
}

/** A page of ids, in order. The next page begins after the job `next`; `null` at the end. */
interface Found {
	readonly ids: readonly JobId[];
	readonly next: JobId | null;
}

/** The range of ids that a page covers in an index that also has jobs of other tasks or batches. It bounds the page even if few jobs match. */
const MAX_WINDOW_IDS = 100_000;
/** The most jobs of a batch, or of a list of ids, that a page checks one by one. */
const MAX_CHECKED_JOBS = 1000;

/** What to find, without the numbers of the task and the batch. */
export type SearchedIds = Omit<Criteria, 'task' | 'batch'>;

/** The numbers of the name of the filter's task, and of its batch; `undefined` if there is no such task or batch. */
export function numbersOf({statements, numbers}: Source, filter: JobFilter): Pick<Criteria, 'task' | 'batch'> | undefined {
	const task = filter.task === undefined ? null : numbers.knownTask(filter.task);
	const batch = filter.batch === undefined ? null : (statements.batch.get(filter.batch) as {id: number} | undefined)?.id;
	return task === undefined || batch === undefined ? undefined : {task, batch};
}

/** As {@link findIds}, also by the time of creation. Clocks may go back, so the ids of a range of time may have gaps. */
export function findCreated(source: Source, filter: JobFilter, page: SearchedIds): Found {
	if (filter.since === undefined && filter.until === undefined) return findIds(source, filter, page);
	if (page.after >= page.upTo) return {ids: [], next: null};
	const {statements} = source;
	const [since, until] = [Number(filter.since ?? -Infinity), Number(filter.until ?? Infinity)];
	const upTo = page.after + MAX_WINDOW_IDS;
	const first = statements.firstCreated.get({after: page.after, upTo, since, until}) as JobId | null;
	if (first === null) return {ids: [], next: nextJob(statements, upTo)};
	const {ids, next} = findIds(source, filter, {...page, after: first - 1, limit: Math.max(page.limit, MAX_CHECKED_JOBS)});
	const created = ids.filter(id => {
		const at = statements.createdAt.get({id}) as number;
		return at >= since && at < until;
	});
	return created.length > page.limit ? {ids: created.slice(0, page.limit), next: created[page.limit - 1] as JobId} : {ids: created, next};
}

/** All jobs of a filter that has few. */
export function findAll(source: Source, filter: JobFilter, page: SearchedIds): JobId[] {
	const all: JobId[] = [];
	for (let after: JobId | null = 0; after !== null; ) {
		const {ids, next}: Found = findIds(source, filter, {...page, after, limit: MAX_CHECKED_JOBS});
		all.push(...ids);
		after = next;
	}
	return all;
}

/** True if the filter selects so few jobs that they can be read one by one. */
export function hasFewJobs(statements: Statements, {ids, key, stale}: JobFilter, batch: number | null): boolean {
	if (stale || key !== undefined || (ids?.length ?? Infinity) <= MAX_CHECKED_JOBS) return true;
	return batch !== null && jobsOfBatch(statements, batch) <= MAX_CHECKED_JOBS;
}

/** Finds a page of jobs, by all of the filter but its times. It reads about as many rows as the limit, and at most {@link MAX_WINDOW_IDS}, with any number of jobs in the store. */
export function findIds(source: Source, filter: JobFilter, page: SearchedIds): Found {
	const {statements} = source;
	const scope = numbersOf(source, filter);
	if (!scope || page.statuses.length === 0 || page.after >= page.upTo) return {ids: [], next: null};
	const criteria = {...page, ...scope};
	const named = filter.key === undefined ? filter.ids : idsByKey(statements, filter.key, criteria, filter.ids);
	const stale = filter.stale && staleJobs(statements, named);
	const candidates = stale ? (named?.filter(id => stale.has(id)) ?? [...stale.keys()]) : named;
	const {ids, next} = candidates
		? checkOneByOne(statements, idsIn(candidates, page), criteria, Math.min(page.limit, MAX_CHECKED_JOBS))
		: search(statements, criteria);
	// In a damaged file ids may go backwards. A caller that followed them would never finish.
	return {ids, next: next !== null && next > page.after ? next : null};
}

/** The job that has the key in the batch; or, without one, in the task, outside batches; of these ids, if there are some. */
function idsByKey(statements: Statements, key: string, {task, batch}: Pick<Criteria, 'task' | 'batch'>, among: readonly JobId[] | undefined): JobId[] {
	const number = numberOfKey(key);
	const byNumber = number === undefined ? [] : (statements.idsByNumber.all({number, batch}) as JobId[]);
	const ids = [...(statements.idsByKey.all({key, task, batch}) as JobId[]), ...byNumber];
	return among ? ids.filter(id => among.includes(id)) : ids;
}

function idsIn(given: readonly JobId[], {after, upTo}: Pick<Criteria, 'after' | 'upTo'>): JobId[] {
	return [...new Set(given.filter(id => id > after && id <= upTo))].sort((a, b) => a - b);
}

function checkOneByOne(statements: Statements, ids: readonly JobId[], {task, batch, statuses}: Criteria, limit: number): Found {
	const checked = ids.slice(0, limit);
	const found = checked.filter(id => {
		const job = findJob(statements, id);
		return job && (task === null || nameOf(job.task) === task) && (batch === null || job.batch === batch) && statuses.includes(STATUS_OF[job.state]);
	});
	return {ids: found, next: checked.length < ids.length ? (checked.at(-1) as JobId) : null};
}

function search(statements: Statements, criteria: Criteria): Found {
	const {batch} = criteria;
	// If the batch has no more jobs than the store has in these statuses, it is faster to search the batch.
	const isBatchSmaller = batch !== null && jobsOfBatch(statements, batch) <= jobsIn(tallyOf(statements, {...criteria, task: null}));
	return isBatchSmaller ? searchBatch(statements, criteria) : searchStates(statements, criteria);
}

type Tallied = readonly [state: StoredState, jobs: number];

function jobsIn(rows: readonly Tallied[]): number {
	return rows.reduce((sum, [, jobs]) => sum + jobs, 0);
}

function jobsOfBatch(statements: Statements, batch: number): number {
	return jobsIn(statements.batchStates.all(batch) as Tallied[]);
}

/** The number of jobs in the states of these statuses. */
function tallyOf({tally}: Statements, {task, statuses}: Pick<Criteria, 'task' | 'statuses'>): Tallied[] {
	const rows = tally.all() as [task: number, state: StoredState, jobs: number][];
	return rows.flatMap(([each, state, jobs]) =>
		(task === null ? each > 0 : nameOf(each) === task) && statuses.includes(STATUS_OF[state]) ? [[state, jobs] as const] : [],
	);
}

export function searchBatch(statements: Statements, criteria: Criteria): Found {
	const isAnyStatus = criteria.statuses.length === STATUSES.length;
	const limit = isAnyStatus ? criteria.limit : Math.min(criteria.limit, MAX_CHECKED_JOBS);
	const ids = idsOf(takeRanges(statements.pageOfBatch, criteria, limit + 1), {...criteria, limit: limit + 1});
	if (!isAnyStatus) return checkOneByOne(statements, ids, criteria, limit);
	return ids.length > limit ? {ids: ids.slice(0, limit), next: ids[limit - 1] as JobId} : {ids, next: null};
}

/** The first ids of the ranges. */
function idsOf(ranges: readonly Range[], {after, upTo, limit}: Pick<Criteria, 'after' | 'upTo' | 'limit'>): JobId[] {
	const ids: JobId[] = [];
	for (const [first, last] of ranges) {
		// Skips an id that was found before: if another program has written to the file, a job may be in two rows.
		for (let id = Math.max(first, (ids.at(-1) ?? after) + 1); id <= Math.min(last, upTo); id++) if (ids.push(id) === limit) return ids;
	}
	return ids;
}

/** Reads the tables of all states that belong to these statuses, each in order of ids. */
function searchStates(statements: Statements, criteria: Criteria): Found {
	const {task, batch, after, limit} = criteria;
	const isMixed = task !== null || batch !== null;
	const upTo = isMixed ? Math.min(criteria.upTo, after + MAX_WINDOW_IDS) : criteria.upTo;
	const ranges = [...rangesOf(statements, {...criteria, upTo})].sort(([a], [b]) => a - b);
	const ids = idsOf(ranges, {after, upTo, limit});
	if (ids.length === limit) return {ids, next: ids.at(-1) as JobId};
	if (upTo >= criteria.upTo) return {ids, next: null};
	return {ids, next: nextJob(statements, upTo)};
}

/** Where to go on after this id. The gap between two jobs may have many more ids than there are jobs. */
function nextJob(statements: Statements, upTo: JobId): JobId | null {
	const next = statements.jobAfter.get(upTo, upTo) as JobId | null;
	return next === null ? null : next - 1;
}

/** The first jobs of each state, up to the limit in each. */
function* rangesOf(statements: Statements, criteria: Criteria): Generator<Range> {
	const {batch, statuses} = criteria;
	if (batch === null && statuses.length === STATUSES.length) return yield* takeRanges(statements.pageOfJobs, criteria);
	// A state may have many jobs, but none of the task or the batch.
	const ofBatch = batch === null ? undefined : new Set((statements.batchStates.all(batch) as Tallied[]).flatMap(([state, jobs]) => (jobs > 0 ? state : [])));
	const counted = tallyOf(statements, criteria).filter(([state, jobs]) => jobs > 0 && (ofBatch?.has(state) ?? true));
	const states = new Set(counted.map(([state]) => state));
	if (states.has(StoredState.ready) || states.has(StoredState.quarantined)) yield* readyRanges(statements, criteria);
	for (const [own, statement, values] of PAGES) {
		if (own.some(state => states.has(state))) yield* takeRanges(statements[statement], {...criteria, ...values});
	}
}

/** The statements that read the tables of states other than ready and quarantined, with their further parameters. */
const PAGES: readonly (readonly [states: readonly StoredState[], statement: keyof Statements, values: object])[] = [
	[[StoredState.blocked], 'pageOfBlocked', {}],
	[[StoredState.delayed, StoredState.held], 'pageOfWaiting', {failed: 0}],
	[[StoredState.failed, StoredState.parked], 'pageOfWaiting', {failed: 1}],
	[[StoredState.running], 'pageOfClaimed', {}],
	[[StoredState.completed], 'pageOfCompleted', {}],
	[[StoredState.dead], 'pageOfUnhappy', {status: StoredState.dead}],
	[[StoredState.cancelled], 'pageOfUnhappy', {status: StoredState.cancelled}],
];

/** Ready jobs are in the order of claiming: by task, then rank, then id. So each task and rank is read by itself. */
function* readyRanges(statements: Statements, criteria: Criteria): Generator<Range> {
	const {task} = criteria;
	const [low, high] = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
	for (const lane of task === null ? [low] : lanesOf(statements, task)) {
		for (let at = laneAfter(statements, [lane, task === null ? high : low]); at && (task === null || at[0] === lane); at = laneAfter(statements, at))
			yield* takeRanges(statements.pageOfReady, {...criteria, lane: at[0], rank: at[1]});
	}
}

/** The lanes of a task, in all scopes. */
function lanesOf({tally}: Statements, name: number): number[] {
	const tasks = new Set((tally.all() as [task: number, state: StoredState, jobs: number][]).map(([task]) => task));
	return [...tasks].flatMap(task => (nameOf(task) === name ? [-task, task] : []));
}

type LaneRank = readonly [lane: number, rank: number];

/** The next lane and rank that has ready jobs, found by one step in the index. */
function laneAfter({readyLaneAfter}: Statements, at: LaneRank): LaneRank | undefined {
	const found = readyLaneAfter.get({lane: at[0], rank: at[1]}) as LaneRank | undefined;
	// In a damaged file lanes may go backwards.
	return found && byOrder(found, at) > 0 ? found : undefined;
}

/** Reads rows until they have this many jobs. The criteria are the parameters of the statement. */
function takeRanges<Values extends Criteria>(statement: Statements[keyof Statements], criteria: Values, jobs = criteria.limit): Range[] {
	const ranges: Range[] = [];
	let count = 0;
	for (const [first, last] of statement.iterate(criteria) as IterableIterator<Range>) {
		const end = lastOfRun(first, last);
		ranges.push([first, end]);
		count += end - Math.max(first, criteria.after + 1) + 1;
		if (count >= jobs) break;
	}
	return ranges;
}
