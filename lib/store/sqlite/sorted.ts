import type {JobId, JobSearch, JobSort, JobStatus, Place} from '../../job/job.ts';
import {type JobTimes, PackedTimes} from '../../job/packed.ts';
import {findJob, lastOfRun, type Range} from './packed-rows.ts';
import {STATUS_OF, StoredState} from './schema.sql.ts';
import {INDEXED_MS} from './sorted.sql.ts';
import type {Statements} from './statements.sql.ts';

/**
 * Lists that are sorted by a time or a duration, the highest first. The index of each table has its rows in this order. The row of a run stands where
 * the highest value of its jobs belongs, or higher; its times are read once a list comes there. Runs of short jobs are in no index of durations: a list
 * that has come to such durations looks at all runs, a page of them at a time, before it returns the first job.
 */

/** A place in a sorted list. */
export type SortedPlace = Exclude<Place, JobId>;

/** Which jobs to find: of this task and batch, if not `null`, and of these ids, if there are some. */
interface Criteria {
	readonly task: number | null;
	readonly batch: number | null;
	readonly statuses: readonly JobStatus[];
	readonly ids?: ReadonlySet<JobId> | undefined;
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
	/** Of a run, its place in the index. */
	key: number,
];

/** The most rows that a page looks at if few of them match. */
const MAX_ROWS = 20_000;
/** The most runs that a page looks at before it returns the first job. */
const MAX_RUNS_ACROSS = 1000;

/** Before all jobs, and after the runs of older versions, of which any value may be in any place. */
const START: SortedPlace = {value: Number.MAX_VALUE, id: Number.MAX_SAFE_INTEGER};
/** Before all short durations. */
const SHORT: SortedPlace = {value: INDEXED_MS, id: 0};

/** The statements by which a list finds its rows. */
interface Sources {
	readonly outcomes: keyof Statements;
	/** Runs in the order of the list. */
	readonly runs?: keyof Statements;
	/** Runs that are looked at before all else, */
	readonly runsAcross?: keyof Statements;
	/** all of them. */
	readonly isFromFirst?: true;
	readonly others: readonly (keyof Statements)[];
	/** Where a run has the values, if its jobs don't share one. */
	readonly column?: keyof JobTimes;
}

const SOURCES: Readonly<Record<Sort | 'shortDuration', Sources>> = {
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
	shortDuration: {
		outcomes: 'outcomesByDuration',
		runsAcross: 'runsByShortDuration',
		isFromFirst: true,
		others: ['failuresByDuration'],
	},
};

const ENDED = {completed: StoredState.completed, dead: StoredState.dead, cancelled: StoredState.cancelled} as const satisfies Partial<
	Record<JobStatus, StoredState>
>;

/** Finds a page of the list. It may be short, even empty, before the end: it looks at a limited number of rows. */
export function findSorted(statements: Statements, search: SortedSearch, criteria: Criteria, after: SortedPlace = START, limit = 1): SortedFound {
	const {from, least, sources, nextPart} = partOf(search, after);
	const found = new FirstPlaces(from, least, limit);
	const take = (row: Row) => takeJobs(statements, row, search, criteria, found);
	const rest = takeAcross(statements, sources, criteria, from, found, take);
	if (rest) return {places: [], next: rest};
	let rows = 0;
	for (const row of merge(sourcesOf(statements, sources, criteria, from))) {
		const [value, id] = row;
		if (value < least) break;
		if (found.isFullBefore({value, id})) return found.page();
		const rest = {value, id: id + 1};
		if (++rows > MAX_ROWS && isBefore(from, rest)) return {places: found.all().filter(place => isBefore(place, rest)), next: rest};
		take(row);
	}
	return found.page(nextPart);
}

/** Where the page is: from which place and down to which value of which rows, and where the next part of the list begins. */
interface Part {
	readonly from: SortedPlace;
	readonly least: number;
	readonly sources: Sources;
	readonly nextPart: SortedPlace | null;
}

/** A range of times is a range of the list, unless the list is sorted by something else. */
function partOf({sort, since = -Infinity, until = Infinity}: SortedSearch, after: SortedPlace): Part {
	if (sort !== 'duration') return {from: laterOf(after, {value: Number(until), id: 0}), least: Number(since), sources: SOURCES[sort], nextPart: null};
	if (isBefore(after, SHORT)) return {from: after, least: INDEXED_MS, sources: SOURCES.duration, nextPart: SHORT};
	return {from: after, least: -Infinity, sources: SOURCES.shortDuration, nextPart: null};
}

/** What pages have found among the runs that are looked at first, and the run after which the next page goes on. */
interface SoFar {
	readonly key: number;
	readonly first: JobId;
	readonly places: readonly SortedPlace[];
}

/**
 * Takes jobs of the runs that have jobs before and after the place. There may be very many.
 * @returns the same place with what was found, if there are more such runs
 */
function takeAcross(
	statements: Statements,
	{runsAcross, isFromFirst}: Sources,
	{task, statuses}: Criteria,
	from: SortedPlace,
	found: FirstPlaces,
	take: (row: Row) => void,
): SortedPlace | undefined {
	if (!runsAcross || !statuses.includes('completed')) return undefined;
	const {value, id} = from;
	const {key, first, places} = (from.soFar as SoFar | undefined) ?? {key: isFromFirst ? 0 : value, first: isFromFirst ? 0 : id - 1, places: []};
	for (const place of places) found.add(place.value, place.id);
	// Runs below all that was found need not be read.
	const least = found.page().next?.value ?? 0;
	const rows = statements[runsAcross].all({value, id, task, key, first, least, limit: MAX_RUNS_ACROSS}) as Row[];
	for (const row of rows) take(row);
	const last = rows.at(-1);
	if (!last || rows.length < MAX_RUNS_ACROSS) return undefined;
	return {value, id, soFar: {key: last[8], first: last[2] as JobId, places: found.all()} satisfies SoFar};
}

/** The first places of those that are added, in the order of the list. */
export class FirstPlaces {
	/** The last of them, once there are enough. */
	last: SortedPlace | undefined;
	readonly #from: SortedPlace | undefined;
	readonly #least: number;
	readonly #limit: number;
	#places: SortedPlace[] = [];

	/** @param from only places after this one, with at least this value */
	constructor(from: SortedPlace | undefined, least: number, limit: number) {
		this.#from = from;
		this.#least = least;
		this.#limit = limit;
	}

	add(value: number, id: JobId): void {
		if (!(value >= this.#least) || (this.#from && !isAfter(this.#from, value, id))) return;
		if (this.last && isAfter(this.last, value, id)) return;
		if (this.#places.push({value, id}) >= 2 * this.#limit + 16) this.#cut();
	}

	/** True if there are enough, all before this place. */
	isFullBefore({value, id}: SortedPlace): boolean {
		if (this.last ? this.#places.length >= 1.25 * this.#limit + 16 : this.#places.length >= this.#limit) this.#cut();
		return this.last !== undefined && isAfter(this.last, value, id);
	}

	all(): readonly SortedPlace[] {
		this.#cut();
		return this.#places;
	}

	/** @param end where the list goes on if there are not enough */
	page(end: SortedPlace | null = null): SortedFound {
		return {places: this.all(), next: this.last ?? end};
	}

	/** Leaves out what is too much. A job that moved between two pages may be there twice. */
	#cut(): void {
		const sorted = this.#places.sort((a, b) => b.value - a.value || b.id - a.id).filter((place, index, all) => place.id !== all[index - 1]?.id);
		this.#places = sorted.slice(0, this.#limit);
		if (this.#places.length === this.#limit) this.last = this.#places.at(-1);
	}
}

/** True if the one comes earlier in the list than the other. */
function isBefore(one: SortedPlace, {value, id}: SortedPlace): boolean {
	return isAfter(one, value, id);
}

/** True if this value and id come later in the list than the place. */
function isAfter(place: SortedPlace, value: number, id: JobId): boolean {
	return place.value > value || (place.value === value && place.id > id);
}

function laterOf(one: SortedPlace, other: SortedPlace): SortedPlace {
	return isBefore(one, other) ? other : one;
}

/** The rows of each table in the order of the list. */
function sourcesOf(statements: Statements, {outcomes, runs, others}: Sources, {task, statuses}: Criteria, from: SortedPlace): Iterator<Row>[] {
	const ended = Object.entries(ENDED).filter(([status]) => statuses.includes(status as JobStatus));
	const areOthersMeant = statuses.some(status => status !== 'completed');
	return [
		...ended.map(([, status]) => rowsOf(statements[outcomes], from, {status})),
		...(runs && statuses.includes('completed') ? [rowsOf(statements[runs], from, {task})] : []),
		...(areOthersMeant ? others.map(name => rowsOf(statements[name], from)) : []),
	];
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
function takeJobs(statements: Statements, row: Row, search: SortedSearch, criteria: Criteria, found: FirstPlaces): void {
	const [value, id, first, last, , state] = row;
	const status = STATUS_OF[state ?? findJob(statements, last)?.state ?? StoredState.parked];
	if (!criteria.statuses.includes(status) || !matches(row, search, criteria)) return;
	if (first !== null) takeRun(statements, [first, last], value, SOURCES[search.sort].column, criteria.ids, found);
	else if (criteria.ids?.has(id) ?? true) found.add(value, id);
}

function matches([, , , , endedAt, , task, batch]: Row, {sort, since = -Infinity, until = Infinity}: SortedSearch, criteria: Criteria): boolean {
	if ((criteria.task !== null && criteria.task !== task) || (criteria.batch !== null && criteria.batch !== batch)) return false;
	if (sort !== 'duration' || (since === -Infinity && until === Infinity)) return true;
	return endedAt !== null && endedAt >= Number(since) && endedAt < Number(until);
}

function takeRun(
	statements: Statements,
	[first, end]: Range,
	shared: number,
	name: keyof JobTimes | undefined,
	ids: ReadonlySet<JobId> | undefined,
	found: FirstPlaces,
): void {
	const times = name && new PackedTimes((statements.timesOfRun.get(first) as Uint8Array | undefined) ?? new Uint8Array());
	const column = name && times?.column(name);
	const last = lastOfRun(first, end);
	for (let id = first; id <= last; id++) {
		const value = name ? (column?.at(id - first) ?? NaN) : shared;
		if (Number.isFinite(value) && (ids?.has(id) ?? true)) found.add(value, id);
	}
}
