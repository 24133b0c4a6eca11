import type {JobFilter, JobId, JobStatus} from '../../job/job.ts';
import {STATUSES} from '../../job/job.ts';
import type {Statements} from './database.ts';
import {look} from './locate.ts';
import type {Names} from './names.ts';
import {lastOfRun} from './runs.ts';
import {STATUS_OF, StoredState} from './stored-state.ts';

/** Where a search reads. */
export interface Source {
	readonly statements: Statements;
	readonly names: Names;
}

/** Which jobs are looked for. */
export interface Search {
	readonly filter: Omit<JobFilter, 'status'>;
	readonly statuses: readonly JobStatus[];
	/** Only jobs with a higher id than this. */
	readonly after: JobId;
	/** Only jobs with this id or a lower one. */
	readonly upTo: JobId;
	readonly limit: number;
}

/** What one step of a search found. */
export interface Found {
	/** In order. */
	readonly ids: readonly JobId[];
	/** The next step begins after this job; `null` if nothing is left to look at. */
	readonly next: JobId | null;
}

/**
 * The range of ids that a step covers in an index that also has jobs of other tasks or batches. It limits how long a step takes, however
 * few jobs match.
 */
const WINDOW = 100_000;
/** Jobs of a batch, or of a list of ids, that a step looks at one by one. */
const LOOKED_AT = 1000;
const NOTHING: Found = {ids: [], next: null};

/** Takes steps until the limit is reached or nothing is left. */
export function findAll(source: Source, {limit, after, ...search}: Search): readonly JobId[] {
	const ids: JobId[] = [];
	for (let from: JobId | null = after; from !== null && ids.length < limit; ) {
		const found = find(source, {...search, after: from, limit: limit - ids.length});
		for (const id of found.ids) ids.push(id);
		from = found.next;
	}
	return ids;
}

/** One step: it reads about as many rows as the limit says, and {@link WINDOW} at most, however many jobs there are. */
export function find(source: Source, search: Search): Found {
	const {ids, next} = findFrom(source, search);
	// In a damaged file ids may go backwards. A caller that followed them would never finish.
	return {ids, next: next !== null && next > search.after ? next : null};
}

function findFrom({statements, names}: Source, {filter, statuses, after, upTo, limit}: Search): Found {
	const task = filter.task === undefined ? null : names.knownTask(filter.task);
	const batch = filter.batch === undefined ? null : (statements.batch.get(filter.batch) as {id: number} | undefined)?.id;
	if (task === undefined || batch === undefined || statuses.length === 0 || after >= upTo) return NOTHING;
	const wanted = {task, batch, statuses, after, upTo, limit};
	if (filter.ids) return findById(statements, filter.ids, wanted);
	if (batch !== null && isBatchSmaller(statements, batch, statuses)) return findInBatch(statements, wanted);
	return findInPlaces(statements, wanted);
}

interface Wanted {
	readonly task: number | null;
	readonly batch: number | null;
	readonly statuses: readonly JobStatus[];
	readonly after: JobId;
	readonly upTo: JobId;
	readonly limit: number;
}

function findById(statements: Statements, given: readonly JobId[], wanted: Wanted): Found {
	const ids = [...new Set(given.filter(id => id > wanted.after && id <= wanted.upTo))].sort((a, b) => a - b);
	return lookAt(statements, ids, wanted, Math.min(wanted.limit, LOOKED_AT));
}

/** Looks at these jobs one by one, up to the limit. */
function lookAt(statements: Statements, ids: readonly JobId[], {task, batch, statuses}: Wanted, most: number): Found {
	const looked = ids.slice(0, most);
	const found = looked.filter(id => {
		const job = look(statements, id);
		return job && (task === null || job.task === task) && (batch === null || job.batch === batch) && statuses.includes(STATUS_OF[job.place]);
	});
	return {ids: found, next: looked.length < ids.length ? (looked.at(-1) as JobId) : null};
}

/** True if the batch has no more jobs than the queue has in these statuses: then searching the batch is faster. */
function isBatchSmaller({tally, batchTally}: Statements, batch: number, statuses: readonly JobStatus[]): boolean {
	const ofBatch = (batchTally.all(batch) as [StoredState, number][]).reduce((sum, [, jobs]) => sum + jobs, 0);
	const inStatuses = (tally.all() as [number, StoredState, number][]).reduce(
		(sum, [, place, jobs]) => (statuses.includes(STATUS_OF[place]) ? sum + jobs : sum),
		0,
	);
	return ofBatch <= inStatuses;
}

function findInBatch(statements: Statements, wanted: Wanted): Found {
	const isAnyMeant = wanted.statuses.length === STATUSES.length;
	const most = isAnyMeant ? wanted.limit : Math.min(wanted.limit, LOOKED_AT);
	const ids = take(statements.pageOfBatch, {...windowOf(wanted), task: wanted.task, batch: wanted.batch}, most + 1).map(([id]) => id);
	if (!isAnyMeant) return lookAt(statements, ids, wanted, most);
	return ids.length > most ? {ids: ids.slice(0, most), next: ids[most - 1] as JobId} : {ids, next: null};
}

/** Reads the places where jobs in these statuses are, each in order of its jobs' ids. */
function findInPlaces(statements: Statements, wanted: Wanted): Found {
	const isMixed = wanted.task !== null || wanted.batch !== null;
	const window = windowOf(isMixed ? {...wanted, upTo: Math.min(wanted.upTo, wanted.after + WINDOW)} : wanted);
	const {limit} = wanted;
	const ranges = [...pages(statements, wanted, window)].sort(([a], [b]) => a - b);
	const ids: JobId[] = [];
	for (const [first, last] of ranges) {
		// No job is in two places, unless another program has written to the file.
		for (let id = Math.max(first, (ids.at(-1) ?? window.after) + 1); id <= Math.min(last, window.upTo); id++) {
			if (ids.push(id) === limit) return {ids, next: id};
		}
	}
	return {ids, next: window.upTo < wanted.upTo ? endOfGap(statements, window.upTo) : null};
}

/** The id before the next job's. There may be many more ids between two jobs than there are jobs. */
function endOfGap({jobAfter}: Statements, id: JobId): JobId | null {
	const next = jobAfter.get(id, id) as JobId | null;
	return next === null ? null : next - 1;
}

/** The parameters of the statements `pageOf…`. */
interface Window {
	readonly after: JobId;
	readonly upTo: JobId;
}

function windowOf({after, upTo}: Window): Window {
	return {after, upTo};
}

type Range = readonly [first: JobId, last: JobId];

/** The first jobs of each place, up to the limit in each. */
function* pages(statements: Statements, {task, batch, statuses, limit}: Wanted, window: Window): Generator<Range> {
	if (batch === null && statuses.length === STATUSES.length) {
		yield* take(statements.pageOfJobs, {...window, task}, limit);
		yield* take(statements.pageOfJobRuns, {...window, task}, limit);
		return;
	}
	const places = placesWith(statements, {task, batch, statuses});
	if (places.has(StoredState.ready) || places.has(StoredState.suspect)) yield* readyPages(statements, {task, batch, limit}, window);
	for (const [own, statement, values] of PAGES) {
		if (own.some(place => places.has(place))) yield* take(statements[statement], {...window, task, batch, ...values}, limit);
	}
}

/** The statements that read a place, but for `ready`, and their further parameters. */
const PAGES: readonly (readonly [places: readonly StoredState[], statement: keyof Statements, values: object])[] = [
	[[StoredState.scheduled], 'pageOfWaiting', {failed: 0}],
	[[StoredState.failed, StoredState.parked], 'pageOfWaiting', {failed: 1}],
	[[StoredState.running], 'pageOfClaimed', {}],
	[[StoredState.running], 'pageOfClaimedRuns', {}],
	[[StoredState.completed], 'pageOfCompleted', {}],
	[[StoredState.completed], 'pageOfOutcomeRuns', {}],
	[[StoredState.dead], 'pageOfUnhappy', {status: StoredState.dead}],
	[[StoredState.cancelled], 'pageOfUnhappy', {status: StoredState.cancelled}],
];

/** Ready jobs are in the order of dequeuing: by task, then rank, then id. */
function* readyPages(statements: Statements, {task, batch, limit}: Pick<Wanted, 'task' | 'batch' | 'limit'>, window: Window): Generator<Range> {
	const tasks = task === null ? undefined : [task, -task];
	for (const [lane, rank] of lanes(statements.readyLaneAfter, tasks)) yield* take(statements.pageOfReady, {...window, batch, lane, rank}, limit);
	for (const [lane, rank] of lanes(statements.readyRunLaneAfter, tasks)) yield* take(statements.pageOfReadyRuns, {...window, batch, lane, rank}, limit);
}

/** Places that have such jobs, by the tally: a place may have many jobs and none of the task or the batch. */
function placesWith({tally, batchTally}: Statements, {task, batch, statuses}: Pick<Wanted, 'task' | 'batch' | 'statuses'>): ReadonlySet<StoredState> {
	const counted = (tally.all() as [number, StoredState, number][]).filter(([each, , jobs]) => jobs > 0 && (task === null || each === task));
	const ofBatch = batch === null ? undefined : new Set((batchTally.all(batch) as [StoredState, number][]).flatMap(([place, jobs]) => (jobs > 0 ? place : [])));
	return new Set(counted.flatMap(([, place]) => (statuses.includes(STATUS_OF[place]) && (ofBatch?.has(place) ?? true) ? place : [])));
}

/** Each task and rank that has ready jobs. Takes one step in the index for each, however many jobs there are. */
function* lanes(laneAfter: Statements[keyof Statements], tasks: readonly number[] = []): Generator<readonly [lane: number, rank: number]> {
	const next = (lane: number, rank: number) => {
		const at = laneAfter.get(lane, rank) as [number, number] | undefined;
		// In a damaged file lanes may go backwards, too.
		return at && (at[0] > lane || (at[0] === lane && at[1] > rank)) ? at : undefined;
	};
	const [low, high] = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
	for (const task of tasks) for (let at = next(task, low); at?.[0] === task; at = next(...at)) yield at;
	if (tasks.length > 0) return;
	for (let at = next(low, high); at; at = next(...at)) yield at;
}

/** Takes rows until they have so many jobs. */
function take(statement: Statements[keyof Statements], values: object, jobs: number): Range[] {
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
