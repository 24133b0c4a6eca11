import {type JobTimes, PackedTimes} from '../../../job/groups/packed-times.ts';
import type {JobId, JobStatus} from '../../../job/job.ts';
import type {JobSearch, JobSort} from '../../../job/search.ts';
import {STATUS_OF, StoredState} from '../../stored-state.ts';
import {nameOf} from '../../task-number.ts';
import {isBefore, type SortedFound, type SortedPlace, TopPlaces} from '../../top-places.ts';
import {INDEXED_MS, NOT_HERE, QUICK_MS} from '../connection/sorted.sql.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {findJob} from '../rows/packed-rows.ts';
import {lastOfRun, type Range} from '../rows/run-range.ts';

/**
 * Lists that are sorted by a time or a duration, the highest first. Rows are read in the order of indexes and merged. A row stands at the value of its
 * job, or higher: a run where the highest value of its jobs belongs, and jobs that ended soon after they started at their ends. No index is in the order of
 * short durations: a list that has come to them looks at all jobs, a part at a time, for each page.
 */

/** Which jobs to find: of this task and batch, if not `null`, and of these ids, if there are some. */
interface Criteria {
	readonly task: number | null;
	readonly batch: number | null;
	readonly statuses: readonly JobStatus[];
	readonly ids?: ReadonlySet<JobId> | undefined;
}

type Sort = Exclude<JobSort, 'id'>;
type SortedSearch = Pick<JobSearch, 'since' | 'until'> & {readonly sort: Sort};

/** A row of the statements: a job, or a run of jobs. */
type Row = readonly [
	value: number,
	id: JobId,
	/** `null` for a single job. */
	first: JobId | null,
	last: JobId,
	endedAt: number | null,
	/** `null` for a job that has not ended. */
	state: StoredState | null,
	task: number | null,
	batch: number | null,
	/** Of a job that stands higher: its value. {@link NOT_HERE} for a row that is found in another place of the list. */
	own: number | null,
];

/** The most rows that a page looks at if few of them match. */
const MAX_ROWS = 20_000;
/** Before all jobs, and after the runs of older versions, in which any duration may be. */
const START: SortedPlace = {value: Number.MAX_VALUE, id: Number.MAX_SAFE_INTEGER};
/** Before all short durations. */
const SHORT: SortedPlace = {value: INDEXED_MS, id: 0};

type Name = keyof Statements;

/** Rows that are looked at before the first job is returned. */
interface Scan {
	readonly rows: Name;
	/** Where a page of them ends. */
	readonly end: Name;
	readonly isOfRuns: boolean;
	/** Whether rows above the place, or all rows are looked at. */
	readonly isOfAll: boolean;
}

/** The statements by which a list finds its rows. */
interface Sources {
	/** Jobs that have ended and have rows of their own, in the order of the list or of their ends. */
	readonly outcomes?: Name;
	readonly quickOutcomes?: Name;
	/** Runs. */
	readonly runs?: Name;
	readonly quickRuns?: Name;
	readonly scans: readonly Scan[];
	/** Jobs that have not ended, or whose last execution failed. */
	readonly others: readonly Name[];
}

const SOURCES: Readonly<Record<Sort | 'shortDuration', Sources>> = {
	startedAt: {
		outcomes: 'outcomesByStart',
		quickOutcomes: 'quickOutcomes',
		runs: 'runsByStart',
		quickRuns: 'quickRuns',
		scans: [{rows: 'runsAcrossStart', end: 'runsAcrossStartEnd', isOfRuns: true, isOfAll: false}],
		others: ['failuresByStart', 'claimsByStart'],
	},
	endedAt: {outcomes: 'outcomesByEnd', runs: 'runsByEnd', scans: [], others: []},
	duration: {
		outcomes: 'outcomesByDuration',
		runs: 'runsByDuration',
		scans: [{rows: 'runsAcrossDuration', end: 'runsAcrossDurationEnd', isOfRuns: true, isOfAll: false}],
		others: ['failuresByDuration'],
	},
	shortDuration: {
		scans: [
			{rows: 'shortRuns', end: 'shortRunsEnd', isOfRuns: true, isOfAll: true},
			{rows: 'shortOutcomes', end: 'shortOutcomesEnd', isOfRuns: false, isOfAll: true},
		],
		others: ['failuresByDuration'],
	},
};

/** Where a run has the values of its jobs, if they don't share one. */
const COLUMNS: Readonly<Record<Sort, keyof JobTimes | undefined>> = {startedAt: 'startedAt', endedAt: undefined, duration: 'durationMs'};

const ENDED = {completed: StoredState.completed, dead: StoredState.dead, cancelled: StoredState.cancelled} as const satisfies Partial<
	Record<JobStatus, StoredState>
>;

/** Finds a page of the list. It may be short, even empty, before the end: it looks at a limited number of rows. */
export function findSorted(statements: Statements, search: SortedSearch, criteria: Criteria, after: SortedPlace = START, limit = 1): SortedFound {
	const {from, least, sources, nextRange} = rangeOf(search, after);
	const found = new TopPlaces(from, least, limit);
	const take = (row: Row) => takeJobs(statements, row, search, criteria, found);
	const rest = takeScanned(statements, scansOf(sources, criteria), {...search, ...criteria}, from, found, take);
	if (rest) return {places: [], next: rest};
	let rows = 0;
	for (const row of merge(sourcesOf(statements, sources, criteria, from))) {
		const [value, id] = row;
		if (value < least) break;
		if (found.isFullBefore({value, id})) return found.page();
		const rest = {value, id: id + 1};
		if (isBefore(from, rest) && ++rows > MAX_ROWS) return {places: found.all().filter(place => isBefore(place, rest)), next: rest};
		take(row);
	}
	return found.page(nextRange);
}

/** Where the page is: from which place and down to which value of which rows, and where the next part of the list begins. */
interface ListRange {
	readonly from: SortedPlace;
	readonly least: number;
	readonly sources: Sources;
	readonly nextRange: SortedPlace | null;
}

/** A range of times is a range of the list, unless the list is sorted by something else. */
function rangeOf({sort, since = -Infinity, until = Infinity}: SortedSearch, after: SortedPlace): ListRange {
	if (sort !== 'duration') return {from: laterOf(after, {value: Number(until), id: 0}), least: Number(since), sources: SOURCES[sort], nextRange: null};
	if (isBefore(after, SHORT)) return {from: after, least: INDEXED_MS, sources: SOURCES.duration, nextRange: SHORT};
	return {from: after, least: -Infinity, sources: SOURCES.shortDuration, nextRange: null};
}

/** What pages have found in scans, and the scan and the row after which the next page goes on. */
interface SoFar {
	readonly scan: number;
	readonly key: number;
	readonly keyId: JobId;
	readonly places: readonly SortedPlace[];
}

type Key = readonly [key: number, id: JobId];

type StatusScan = Scan & {readonly status: StoredState};

function scansOf({scans}: Sources, criteria: Criteria): StatusScan[] {
	return scans.flatMap(scan => endedStates(criteria, scan.isOfRuns).map(status => ({...scan, status})));
}

/**
 * Takes the jobs of scans. There may be very many rows: this page looks at a limited number.
 * @returns the same place with what was found, if there are more rows
 */
function takeScanned(
	statements: Statements,
	scans: readonly StatusScan[],
	{task, since = -Infinity, until = Infinity}: Criteria & SortedSearch,
	from: SortedPlace,
	found: TopPlaces,
	take: (row: Row) => void,
): SortedPlace | undefined {
	const {value, id} = from;
	// All rows are in the order of their ends, which is what a range of times is about in a list by duration.
	const startOf = ({isOfAll}: StatusScan) => (isOfAll ? {key: Math.max(0, Number(since)), keyId: 0} : {key: value, keyId: id - 1});
	const limitOf = ({isOfAll}: StatusScan): Key => (isOfAll && until !== Infinity ? [Number(until), 0] : [Infinity, Number.MAX_SAFE_INTEGER]);
	const soFar = from.soFar as SoFar | undefined;
	for (const place of soFar?.places ?? []) found.add(place.value, place.id);
	for (let index = soFar?.scan ?? 0; index < scans.length; index++) {
		const scan = scans[index] as StatusScan;
		const {key, keyId} = soFar?.scan === index ? soFar : startOf(scan);
		const end = statements[scan.end].get({status: scan.status, key, keyId}) as Key | undefined;
		const limit = limitOf(scan);
		// Runs of older versions have Infinity as their key: they, too, are read a page at a time.
		const isLast = !end || (limit[0] < Infinity && end[0] >= limit[0]);
		const [endKey, endId] = isLast ? limit : end;
		// What is below all that was found need not be read.
		const least = found.page().next?.value ?? 0;
		const rows = statements[scan.rows].all({value, id, task, status: scan.status, key, keyId, endKey, endId, least}) as Row[];
		for (const row of rows) take(row);
		if (!isLast) return {value, id, soFar: {scan: index, key: endKey, keyId: endId, places: found.all()} satisfies SoFar};
	}
	return undefined;
}

function laterOf(one: SortedPlace, other: SortedPlace): SortedPlace {
	return isBefore(one, other) ? other : one;
}

/** The rows of each table, from the highest value on. */
function sourcesOf(
	statements: Statements,
	{outcomes, quickOutcomes, runs, quickRuns, others}: Sources,
	criteria: Criteria,
	from: SortedPlace,
): Iterator<Row>[] {
	const {task, statuses} = criteria;
	const quick = {value: from.value + QUICK_MS, id: START.id};
	const read = (name: Name | undefined, start: SortedPlace, more?: object) => (name ? [rowsOf(statements[name], start, more)] : []);
	return [
		...endedStates(criteria, false).flatMap(status => [...read(outcomes, from, {status}), ...read(quickOutcomes, quick, {status})]),
		...endedStates(criteria, true).flatMap(() => [...read(runs, from, {task}), ...read(quickRuns, quick, {task})]),
		...(statuses.some(status => status !== 'completed') ? others : []).flatMap(name => read(name, from)),
	];
}

/** The states of the wanted jobs that have ended. All jobs of a run are completed. */
function endedStates({statuses}: Criteria, isOfRuns: boolean): StoredState[] {
	const states = Object.entries(ENDED).flatMap(([status, state]) => (statuses.includes(status as JobStatus) ? state : []));
	return isOfRuns ? states.filter(state => state === StoredState.completed) : states;
}

const MAX_BLOCK_ROWS = 256;

/** Reads in blocks that become larger: usually few rows of each statement are wanted. An open statement would keep the connection from anything else. */
function* rowsOf(statement: Statements[keyof Statements], from: SortedPlace, more: object = {}): Generator<Row> {
	let place = from;
	for (let limit = 4; ; limit = Math.min(2 * limit, MAX_BLOCK_ROWS)) {
		const {value, id} = place;
		const rows = statement.all({...more, value, id, limit}) as Row[];
		yield* rows;
		const last = rows.at(-1);
		if (!last || rows.length < limit) return;
		const next = {value: last[0], id: last[2] ?? last[1]};
		// In a damaged file rows may go backwards.
		if (!isBefore(place, next)) return;
		place = next;
	}
}

/** Merges rows of several sources, each in the order of the list. */
function* merge(sources: readonly Iterator<Row>[]): Generator<Row> {
	const heads = sources.map((source): Head => ({source, row: source.next().value as Row | undefined}));
	for (;;) {
		const first = heads.reduce<Head | undefined>((best, head) => (head.row && (!best?.row || isRowBefore(head.row, best.row)) ? head : best), undefined);
		if (!first?.row) return;
		yield first.row;
		first.row = first.source.next().value as Row | undefined;
	}
}

interface Head {
	readonly source: Iterator<Row>;
	row: Row | undefined;
}

function isRowBefore([value, id]: Row, [otherValue, otherId]: Row): boolean {
	return isBefore({value, id}, {value: otherValue, id: otherId});
}

/** Takes the jobs of a row that match. */
function takeJobs(statements: Statements, row: Row, search: SortedSearch, criteria: Criteria, found: TopPlaces): void {
	const [value, id, first, last, , state, , , own] = row;
	if (own === NOT_HERE) return;
	const status = STATUS_OF[state ?? findJob(statements, last)?.state ?? StoredState.parked];
	if (!criteria.statuses.includes(status) || !matches(row, search, criteria)) return;
	if (first !== null) takeRun(statements, [first, last], value, COLUMNS[search.sort], criteria.ids, found);
	else if (criteria.ids?.has(id) ?? true) found.add(own ?? value, id);
}

function matches([, , , , endedAt, , task, batch]: Row, {sort, since = -Infinity, until = Infinity}: SortedSearch, criteria: Criteria): boolean {
	if ((criteria.task !== null && criteria.task !== nameOf(task ?? 0)) || (criteria.batch !== null && criteria.batch !== batch)) return false;
	if (sort !== 'duration' || (since === -Infinity && until === Infinity)) return true;
	return endedAt !== null && endedAt >= Number(since) && endedAt < Number(until);
}

function takeRun(
	statements: Statements,
	[first, end]: Range,
	shared: number,
	name: keyof JobTimes | undefined,
	ids: ReadonlySet<JobId> | undefined,
	found: TopPlaces,
): void {
	const times = name && new PackedTimes((statements.timesOfRun.get(first) as Uint8Array | undefined) ?? new Uint8Array());
	const column = name && times?.column(name);
	const last = lastOfRun(first, end);
	for (let id = first; id <= last; id++) {
		const value = name ? (column?.at(id - first) ?? NaN) : shared;
		if (Number.isFinite(value) && (ids?.has(id) ?? true)) found.add(value, id);
	}
}
