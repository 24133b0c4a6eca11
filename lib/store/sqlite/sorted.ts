import type {JobId, JobSearch, JobSort, JobStatus, Place} from '../../job/job.ts';
import {type JobTimes, PackedTimes} from '../../job/packed.ts';
import {findJob, lastOfRun, type Range} from './packed-rows.ts';
import {STATUS_OF, StoredState} from './schema.sql.ts';
import type {Statements} from './statements.sql.ts';

/**
 * Lists that are sorted by a time or a duration, the highest first. The index of each table has its rows in this order. The row of a run stands where
 * the highest value of its jobs belongs; its times are read once a list comes there.
 */

/** A job's place in the list. */
export type SortedPlace = Exclude<Place, JobId>;

/** Which jobs to find: of this task and batch, if not `null`. */
interface Criteria {
	readonly task: number | null;
	readonly batch: number | null;
	readonly statuses: readonly JobStatus[];
}

export interface SortedFound {
	readonly places: readonly SortedPlace[];
	/** `null` at the end. */
	readonly next: SortedPlace | null;
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
];

/** The most rows that a page looks at if few of them match. */
const MAX_ROWS = 20_000;

const START: SortedPlace = {value: Infinity, id: Number.MAX_SAFE_INTEGER};

/** The statements by which a list finds its rows. */
interface Sources {
	readonly outcomes: keyof Statements;
	readonly runs: keyof Statements;
	readonly runsAcross?: keyof Statements;
	readonly others: readonly (keyof Statements)[];
	/** Where a run has the values, if its jobs don't share one. */
	readonly column?: keyof JobTimes;
}

const SOURCES: Readonly<Record<Sort, Sources>> = {
	startedAt: {
		outcomes: 'outcomesByStart',
		runs: 'runsByStart',
		runsAcross: 'runsAcrossStart',
		others: ['failuresByStart', 'claimsByStart'],
		column: 'startedAt',
	},
	endedAt: {outcomes: 'outcomesByEnd', runs: 'runsByEnd', others: []},
	duration: {
		outcomes: 'outcomesByDuration',
		runs: 'runsByDuration',
		runsAcross: 'runsAcrossDuration',
		others: ['failuresByDuration'],
		column: 'durationMs',
	},
};

const ENDED = {completed: StoredState.completed, dead: StoredState.dead, cancelled: StoredState.cancelled} as const satisfies Partial<
	Record<JobStatus, StoredState>
>;

/** Finds a page of the list. It may be short before the end, if few of the rows match. */
export function findSorted(statements: Statements, search: SortedSearch, criteria: Criteria, after: SortedPlace = START, limit = 1): SortedFound {
	const {sort, since = -Infinity, until = Infinity} = search;
	// A range of times is a range of the list, unless the list is sorted by something else.
	const [from, least] = sort === 'duration' ? [after, -Infinity] : [laterOf(after, {value: Number(until), id: 0}), Number(since)];
	const isMeant = (place: SortedPlace) => place.value >= least && isBefore(from, place);
	let found: SortedPlace[] = [];
	let rows = 0;
	for (const row of merge(sourcesOf(statements, sort, criteria, from))) {
		const [value, id] = row;
		if (value < least) break;
		if (found.length >= limit) found = inOrder(found).slice(0, limit);
		const last = found[limit - 1];
		if (last && isBefore(last, {value, id})) return {places: found, next: last};
		const rest = {value, id: id + 1};
		if (++rows > MAX_ROWS && isBefore(from, rest)) return {places: inOrder(found).filter(place => isBefore(place, rest)), next: rest};
		found.push(...placesIn(statements, row, search, criteria).filter(isMeant));
	}
	return pageOf(found, limit);
}

/** The first of these places, which are all. */
export function pageOf(all: readonly SortedPlace[], limit: number): SortedFound {
	const places = inOrder(all).slice(0, limit);
	return {places, next: all.length > limit ? (places.at(-1) ?? null) : null};
}

/** True if the one comes earlier in the list than the other. */
export function isBefore(one: SortedPlace, other: SortedPlace): boolean {
	return one.value > other.value || (one.value === other.value && one.id > other.id);
}

function laterOf(one: SortedPlace, other: SortedPlace): SortedPlace {
	return isBefore(one, other) ? other : one;
}

function inOrder(places: readonly SortedPlace[]): SortedPlace[] {
	return places.toSorted((a, b) => (isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0));
}

/** The rows of each table in the order of the list. */
function sourcesOf(statements: Statements, sort: Sort, {task, statuses}: Criteria, from: SortedPlace): Iterator<Row>[] {
	const {outcomes, runs, runsAcross, others} = SOURCES[sort];
	const ended = Object.entries(ENDED).filter(([status]) => statuses.includes(status as JobStatus));
	const areOthersMeant = statuses.some(status => status !== 'completed');
	return [
		...ended.map(([, status]) => rowsOf(statements[outcomes], from, {status})),
		...(statuses.includes('completed') ? [rowsOf(statements[runs], from, {task})] : []),
		...(statuses.includes('completed') && runsAcross ? [(statements[runsAcross].all({...from, task}) as Row[]).values()] : []),
		...(areOthersMeant ? others.map(name => rowsOf(statements[name], from)) : []),
	];
}

const MAX_BLOCK_ROWS = 256;

/** Reads in blocks that become larger: usually few rows of each statement are wanted. An open statement would keep the connection from anything else. */
function* rowsOf(statement: Statements[keyof Statements], from: SortedPlace, more: object = {}): Generator<Row> {
	let place = from;
	for (let limit = 4; ; limit = Math.min(2 * limit, MAX_BLOCK_ROWS)) {
		const rows = statement.all({...more, ...place, limit}) as Row[];
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

/** The jobs of a row that match. */
function placesIn(statements: Statements, row: Row, {sort, since = -Infinity, until = Infinity}: SortedSearch, criteria: Criteria): SortedPlace[] {
	const [value, id, first, last, endedAt, state, task, batch] = row;
	const status = STATUS_OF[state ?? findJob(statements, last)?.state ?? StoredState.parked];
	if (!criteria.statuses.includes(status)) return [];
	if ((criteria.task !== null && criteria.task !== task) || (criteria.batch !== null && criteria.batch !== batch)) return [];
	const hasTimes = since !== -Infinity || until !== Infinity;
	if (sort === 'duration' && hasTimes && !(endedAt !== null && endedAt >= Number(since) && endedAt < Number(until))) return [];
	return first === null ? [{value, id}] : placesInRun(statements, [first, last], value, SOURCES[sort].column);
}

function placesInRun(statements: Statements, [first, last]: Range, value: number, name: keyof JobTimes | undefined): SortedPlace[] {
	const ids = Array.from({length: lastOfRun(first, last) - first + 1}, (_, index) => first + index);
	if (!name) return ids.map(id => ({value, id}));
	const times = new PackedTimes((statements.timesOfRun.get(first) as Uint8Array | undefined) ?? new Uint8Array());
	const column = times.column(name);
	return ids.map((id, index) => ({value: column?.at(index) ?? NaN, id})).filter(place => Number.isFinite(place.value));
}
