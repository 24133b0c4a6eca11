import {type JobTimes, PackedTimes} from '../../job/groups/packed-times.ts';
import type {JobId} from '../../job/job.ts';
import type {JobSearch, JobSort, Place} from '../../job/search.ts';
import {StoredState} from '../stored-state.ts';
import {isBefore, type SortedFound, type SortedPlace, TopPlaces} from '../top-places.ts';
import type {Database} from './connection/database.ts';

/** Lists by a time or a duration, the highest first. Rows are read by their highest value and merged, until enough jobs come before the next row. */

type Sort = Exclude<JobSort, 'id'>;

type SortedSearch = JobSearch & {readonly sort: Sort};

export function isSorted(search: JobSearch): search is SortedSearch {
	return search.sort !== undefined && search.sort !== 'id';
}

/** Jobs with consecutive ids. */
interface SortedRow {
	readonly first: JobId;
	readonly last: JobId;
	/** The highest value of its jobs, or higher. */
	readonly upper: number;
	/** If they don't share one value. */
	readonly times: Uint8Array | null;
}

const START: SortedPlace = {value: Number.MAX_VALUE, id: Number.MAX_SAFE_INTEGER};

/** The most rows that a page looks at after its place. */
const MAX_ROWS = 20_000;
const BLOCK_ROWS = 256;

const SOURCES: Readonly<Record<Sort, readonly string[]>> = {
	startedAt: ['runs', 'singles', 'failures', 'claims'],
	endedAt: ['singles'],
	duration: ['runs', 'singles', 'failures'],
};

const COLUMNS: Readonly<Record<Sort, keyof JobTimes | undefined>> = {startedAt: 'startedAt', endedAt: undefined, duration: 'durationMs'};

/** Finds a page of the list. It may be short, even empty, before the end: it looks at a limited number of rows. */
export async function findSorted(
	db: Database,
	search: SortedSearch,
	states: readonly StoredState[],
	after: Place | undefined,
	limit: number,
): Promise<SortedFound> {
	const ids = search.ids && new Set(search.ids);
	const {from, least} = rangeOf(search, typeof after === 'object' ? after : START);
	const found = new TopPlaces(from, least, limit);
	let rows = 0;
	const sources = SOURCES[search.sort].flatMap(source => statesFor(source, states).map(own => rowsOf(db, search, own, source, from)));
	for await (const row of merge(sources)) {
		const place = {value: row.upper, id: row.last};
		if (row.upper < least) break;
		if (found.isFullBefore(place)) return found.page();
		const rest = {value: row.upper, id: row.last + 1};
		if (isBefore(from, rest) && ++rows > MAX_ROWS) return {places: found.all().filter(each => isBefore(each, rest)), next: rest};
		for (const {value, id} of placesOf(row, COLUMNS[search.sort], ids)) found.add(value, id);
	}
	return found.page();
}

/** The states of each read of a source: of outcomes, each state has an order of its own. */
function statesFor(source: string, states: readonly StoredState[]): (readonly StoredState[])[] {
	return source === 'runs' || source === 'singles' ? ENDED.filter(state => states.includes(state)).map(state => [state]) : [states];
}

const ENDED = [StoredState.completed, StoredState.dead, StoredState.cancelled];

/** From which place, and down to which value. In a list by duration a range of times is about the ends of jobs. */
function rangeOf({sort, since = -Infinity, until = Infinity}: SortedSearch, after: SortedPlace): {readonly from: SortedPlace; readonly least: number} {
	if (sort === 'duration') return {from: after, least: -Infinity};
	return {from: Number(until) <= after.value ? {value: Number(until), id: 0} : after, least: Number(since)};
}

/** The jobs of the row that have a value, if they are among these. */
function* placesOf({first, last, upper, times}: SortedRow, column: keyof JobTimes | undefined, ids: ReadonlySet<JobId> | undefined): Generator<SortedPlace> {
	const values = column && times ? new PackedTimes(times).column(column) : undefined;
	for (let id = first; id <= last; id++) {
		const value = values ? values.at(id - first) : upper;
		if (Number.isFinite(value) && (ids?.has(id) ?? true)) yield {value, id};
	}
}

async function* rowsOf(db: Database, search: SortedSearch, states: readonly number[], source: string, {value}: SortedPlace): AsyncGenerator<SortedRow> {
	const {sort, task, batch, since, until} = search;
	const times = sort === 'duration' ? [since, until].map(time => (time === undefined ? null : Number(time))) : [null, null];
	// Of a row whose jobs have several values, some may come after the place.
	let [upper, first]: [number, JobId] = [source === 'runs' ? Number.MAX_VALUE : value, Number.MAX_SAFE_INTEGER];
	for (;;) {
		const values = [source, sort, states, task, batch, value, upper, first, BLOCK_ROWS, ...times];
		const rows = await db.query<SortedRow>('select * from @@.sorted_rows($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)', values);
		yield* rows;
		const last = rows.at(-1);
		if (!last || rows.length < BLOCK_ROWS) return;
		[upper, first] = [last.upper, last.first];
	}
}

/** Merges rows of several sources, each from the highest value on. */
async function* merge(sources: readonly AsyncGenerator<SortedRow>[]): AsyncGenerator<SortedRow> {
	const heads = await Promise.all(sources.map(async source => ({source, row: (await source.next()).value as SortedRow | undefined})));
	for (;;) {
		const [best] = heads
			.filter(({row}) => row)
			.sort((a, b) => (b.row as SortedRow).upper - (a.row as SortedRow).upper || (b.row as SortedRow).last - (a.row as SortedRow).last);
		if (!best?.row) return;
		yield best.row;
		best.row = (await best.source.next()).value as SortedRow | undefined;
	}
}
