import {type JobFilter, type JobId, type JobStatus, STATUSES} from '../../job/job.ts';
import type {Statements} from './connection.ts';
import type {Names} from './names.ts';
import {findJob, lastOfRun} from './packed-rows.ts';
import {STATUS_OF, StoredState} from './tally.ts';

interface Source {
	readonly statements: Statements;
	readonly names: Names;
}

/** The jobs to find. */
interface Search {
	readonly filter: Omit<JobFilter, 'status'>;
	readonly statuses: readonly JobStatus[];
	/** Only jobs with a higher id. */
	readonly after: JobId;
	/** Only jobs with this or a lower id. */
	readonly upTo: JobId;
	readonly limit: number;
}

/** A page of ids. */
interface Found {
	/** In order. */
	readonly ids: readonly JobId[];
	/** The next page begins after this job; `null` at the end. */
	readonly next: JobId | null;
}

/** The range of ids that a page covers in an index that also has jobs of other tasks or batches. It bounds the page even if few jobs match. */
const MAX_WINDOW_IDS = 100_000;
/** The most jobs of a batch, or of a list of ids, that a page checks one by one. */
const MAX_CHECKED_JOBS = 1000;
const NO_JOBS: Found = {ids: [], next: null};

/** Finds a page of jobs. It reads about as many rows as the limit, and at most {@link MAX_WINDOW_IDS}, with any number of jobs in the store. */
export function findIds(source: Source, search: Search): Found {
	const {ids, next} = findPage(source, search);
	// In a damaged file ids may go backwards. A caller that followed them would never finish.
	return {ids, next: next !== null && next > search.after ? next : null};
}

function findPage({statements, names}: Source, {filter, statuses, after, upTo, limit}: Search): Found {
	const task = filter.task === undefined ? null : names.knownTask(filter.task);
	const batch = filter.batch === undefined ? null : (statements.batch.get(filter.batch) as {id: number} | undefined)?.id;
	if (task === undefined || batch === undefined || statuses.length === 0 || after >= upTo) return NO_JOBS;
	const criteria = {task, batch, statuses, after, upTo, limit};
	if (filter.ids) return searchIds(statements, filter.ids, criteria);
	if (batch !== null && isBatchSmaller(statements, batch, statuses)) return searchBatch(statements, criteria);
	return searchStates(statements, criteria);
}

/** A {@link Search} with the numbers of its task and batch; `null` for any. */
interface Criteria {
	readonly task: number | null;
	readonly batch: number | null;
	readonly statuses: readonly JobStatus[];
	readonly after: JobId;
	readonly upTo: JobId;
	readonly limit: number;
}

function searchIds(statements: Statements, given: readonly JobId[], criteria: Criteria): Found {
	const ids = [...new Set(given.filter(id => id > criteria.after && id <= criteria.upTo))].sort((a, b) => a - b);
	return checkOneByOne(statements, ids, criteria, Math.min(criteria.limit, MAX_CHECKED_JOBS));
}

function checkOneByOne(statements: Statements, ids: readonly JobId[], {task, batch, statuses}: Criteria, limit: number): Found {
	const checked = ids.slice(0, limit);
	const found = checked.filter(id => {
		const job = findJob(statements, id);
		return job && (task === null || job.task === task) && (batch === null || job.batch === batch) && statuses.includes(STATUS_OF[job.state]);
	});
	return {ids: found, next: checked.length < ids.length ? (checked.at(-1) as JobId) : null};
}

/** True if the batch has no more jobs than the store has in these statuses. Then it is faster to search the batch. */
function isBatchSmaller({tally, batchTally}: Statements, batch: number, statuses: readonly JobStatus[]): boolean {
	const ofBatch = (batchTally.all(batch) as [StoredState, number][]).reduce((sum, [, jobs]) => sum + jobs, 0);
	const inStatuses = (tally.all() as [number, StoredState, number][]).reduce(
		(sum, [, state, jobs]) => (statuses.includes(STATUS_OF[state]) ? sum + jobs : sum),
		0,
	);
	return ofBatch <= inStatuses;
}

function searchBatch(statements: Statements, criteria: Criteria): Found {
	const {after, upTo, task, batch, statuses} = criteria;
	const isAnyStatus = statuses.length === STATUSES.length;
	const limit = isAnyStatus ? criteria.limit : Math.min(criteria.limit, MAX_CHECKED_JOBS);
	const ids = takeRanges(statements.pageOfBatch, {after, upTo, task, batch}, limit + 1).map(([id]) => id);
	if (!isAnyStatus) return checkOneByOne(statements, ids, criteria, limit);
	return ids.length > limit ? {ids: ids.slice(0, limit), next: ids[limit - 1] as JobId} : {ids, next: null};
}

/** Reads the tables of all states that belong to these statuses, each in order of ids. */
function searchStates(statements: Statements, criteria: Criteria): Found {
	const {task, batch, after, limit} = criteria;
	const isMixed = task !== null || batch !== null;
	const window = {after, upTo: isMixed ? Math.min(criteria.upTo, after + MAX_WINDOW_IDS) : criteria.upTo};
	const ranges = [...rangesOf(statements, criteria, window)].sort(([a], [b]) => a - b);
	const ids: JobId[] = [];
	for (const [first, last] of ranges) {
		// Skips an id that was found before: if another program has written to the file, a job may be in two states.
		for (let id = Math.max(first, (ids.at(-1) ?? window.after) + 1); id <= Math.min(last, window.upTo); id++) {
			if (ids.push(id) === limit) return {ids, next: id};
		}
	}
	return {ids, next: window.upTo < criteria.upTo ? beforeNextJob(statements, window.upTo) : null};
}

/** The id before the next job. The gap between two jobs may have many more ids than there are jobs. */
function beforeNextJob({jobAfter}: Statements, id: JobId): JobId | null {
	const next = jobAfter.get(id, id) as JobId | null;
	return next === null ? null : next - 1;
}

/** The parameters of the statements `pageOf…`. */
interface Window {
	readonly after: JobId;
	readonly upTo: JobId;
}

type Range = readonly [first: JobId, last: JobId];

/** The first jobs of each state, up to the limit in each. */
function* rangesOf(statements: Statements, {task, batch, statuses, limit}: Criteria, window: Window): Generator<Range> {
	if (batch === null && statuses.length === STATUSES.length) {
		yield* takeRanges(statements.pageOfJobs, {...window, task}, limit);
		yield* takeRanges(statements.pageOfJobRuns, {...window, task}, limit);
		return;
	}
	const states = statesWithJobs(statements, {task, batch, statuses});
	if (states.has(StoredState.ready) || states.has(StoredState.quarantined)) yield* readyRanges(statements, {task, batch, limit}, window);
	for (const [own, statement, values] of PAGES) {
		if (own.some(state => states.has(state))) yield* takeRanges(statements[statement], {...window, task, batch, ...values}, limit);
	}
}

/** The statements that read the tables of states other than ready and quarantined, with their further parameters. */
const PAGES: readonly (readonly [states: readonly StoredState[], statement: keyof Statements, values: object])[] = [
	[[StoredState.delayed], 'pageOfWaiting', {failed: 0}],
	[[StoredState.failed, StoredState.parked], 'pageOfWaiting', {failed: 1}],
	[[StoredState.running], 'pageOfClaimed', {}],
	[[StoredState.running], 'pageOfClaimedRuns', {}],
	[[StoredState.completed], 'pageOfCompleted', {}],
	[[StoredState.completed], 'pageOfOutcomeRuns', {}],
	[[StoredState.dead], 'pageOfUnhappy', {status: StoredState.dead}],
	[[StoredState.cancelled], 'pageOfUnhappy', {status: StoredState.cancelled}],
];

/** Ready jobs are in the order of claiming: by task, then rank, then id. So each task and rank is read by itself. */
function* readyRanges(statements: Statements, {task, batch, limit}: Pick<Criteria, 'task' | 'batch' | 'limit'>, window: Window): Generator<Range> {
	const tasks = task === null ? undefined : [task, -task];
	for (const [lane, rank] of lanes(statements.readyLaneAfter, tasks)) yield* takeRanges(statements.pageOfReady, {...window, batch, lane, rank}, limit);
	for (const [lane, rank] of lanes(statements.readyRunLaneAfter, tasks)) yield* takeRanges(statements.pageOfReadyRuns, {...window, batch, lane, rank}, limit);
}

/** The states that have such jobs, by the tallies. A state may have many jobs, but none of the task or the batch. */
function statesWithJobs({tally, batchTally}: Statements, {task, batch, statuses}: Pick<Criteria, 'task' | 'batch' | 'statuses'>): ReadonlySet<StoredState> {
	const counted = (tally.all() as [number, StoredState, number][]).filter(([each, , jobs]) => jobs > 0 && (task === null || each === task));
	const ofBatch = batch === null ? undefined : new Set((batchTally.all(batch) as [StoredState, number][]).flatMap(([state, jobs]) => (jobs > 0 ? state : [])));
	return new Set(counted.flatMap(([, state]) => (statuses.includes(STATUS_OF[state]) && (ofBatch?.has(state) ?? true) ? state : [])));
}

/** Each task and rank that has ready jobs, found by one step in the index for each. */
function* lanes(laneAfter: Statements[keyof Statements], tasks: readonly number[] = []): Generator<readonly [lane: number, rank: number]> {
	const next = (lane: number, rank: number) => {
		const at = laneAfter.get(lane, rank) as [number, number] | undefined;
		// In a damaged file lanes may go backwards.
		return at && (at[0] > lane || (at[0] === lane && at[1] > rank)) ? at : undefined;
	};
	const [low, high] = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
	for (const task of tasks) for (let at = next(task, low); at?.[0] === task; at = next(...at)) yield at;
	if (tasks.length > 0) return;
	for (let at = next(low, high); at; at = next(...at)) yield at;
}

/** Reads rows until they have this many jobs. */
function takeRanges(statement: Statements[keyof Statements], values: object, jobs: number): Range[] {
	const ranges: Range[] = [];
	let count = 0;
	for (const [first, last] of statement.iterate(values) as IterableIterator<Range>) {
		const end = lastOfRun(first, last);
		ranges.push([first, end]);
		const after = (values as Window).after;
		count += end - Math.max(first, after + 1) + 1;
		if (count >= jobs) break;
	}
	return ranges;
}
