import {type ExecutionRecord, MAX_EXECUTIONS} from '../../job/claim.ts';
import {PackedTimes} from '../../job/groups/packed-times.ts';
import {type JobEnd, type JobId, type JobStatus, type LogLine, STATUSES} from '../../job/job.ts';
import type {JobSearch, JobValues, Place} from '../../job/search.ts';
import {defined} from '../../support/defined.ts';
import type {JobEdges, JobPage, KeyHolders, KeySpace, OutcomePage, SearchPage, StoredJob, Wanted} from '../found-jobs.ts';
import {readFailure} from '../stored-json.ts';
import {readJobRecord, type StoredJobRow} from '../stored-rows.ts';
import {STATUS_OF, StoredState} from '../stored-state.ts';
import type {Database} from './connection/database.ts';
import type {Named, NumberTables} from './number-tables.ts';
import {findSorted, isSorted} from './sorted.ts';

/** What reading needs. */
interface Source {
	readonly db: Database;
	readonly names: NumberTables;
}

const DEFAULT_PAGE_JOBS = 100;
const MAX_PAGE_ENDS = 1000;

/** The states of the jobs in these statuses. */
export function statesOf(statuses: readonly JobStatus[]): StoredState[] {
	return Object.values(StoredState).filter(state => statuses.includes(STATUS_OF[state]));
}

/** A filter as the functions of the schema take it. */
export function toFilter({ids, task, batch, key, stale, since, until}: JobSearch): object {
	return defined({ids, task, batch, key, stale, since: since && Number(since), until: until && Number(until)});
}

/** A page of the jobs that the search selects. */
export async function readPage({db, names}: Source, search: JobSearch, {after, limit = DEFAULT_PAGE_JOBS}: SearchPage, want: Wanted): Promise<JobPage> {
	const {status} = search;
	const states = statesOf(STATUSES.filter(each => status === undefined || [status].flat().includes(each)));
	const {places, next} = isSorted(search)
		? await findSorted(db, await withIdsOfKey(db, search, states), states, after, limit)
		: await findIds(db, search, states, after, limit);
	if (want.count) return {jobs: [], count: places.length, next};
	const ids = places.map(place => (typeof place === 'number' ? place : place.id));
	const rows = await db.query<JobRow>('select * from @@.describe($1, $2)', [ids, want.values === true]);
	// Large values end the page early. If its last jobs were deleted just now, the next page is empty.
	const end = want.values ? rows.at(-1)?.id : undefined;
	const named = await names.read(rows.map(({info: {policy}}) => ({policy})));
	const jobs = await Promise.all(
		rows.map(async row => ({...jobOf(row, named), ...(want.values && {values: toValues(row)}), ...(await readOthers(db, row.id, want))})),
	);
	if (end === undefined || end === ids.at(-1)) return {jobs, count: places.length, next};
	return {jobs, count: jobs.length, next: places.find(place => (typeof place === 'number' ? place : place.id) === end) ?? null};
}

/** The jobs that have these keys. */
export async function readHolders(db: Database, call: KeySpace & {readonly keys: readonly string[]}): Promise<KeyHolders> {
	const rows = await db.query<{id: JobId | null; state: StoredState | null; fingerprint: string | null}>('select * from @@.holders($1)', [
		JSON.stringify(call),
	]);
	return {
		// Another program may have deleted the job, and left its key.
		ids: rows.map(({id, state}) => (state === null ? null : id)),
		statuses: rows.map(({state}) => (state === null ? null : STATUS_OF[state])),
		fingerprints: rows.map(({fingerprint}) => fingerprint),
	};
}

/** A key belongs to one job, and few are stale: so a sorted list gets their ids. */
async function withIdsOfKey<Search extends JobSearch>(db: Database, search: Search, states: readonly StoredState[]): Promise<Search> {
	if (search.key === undefined && !search.stale) return search;
	const {ids, task, batch, key, stale} = search;
	return {...search, ids: (await findIds(db, defined({ids, task, batch, key, stale}), states, undefined, MAX_FOUND_JOBS)).places};
}

/** The most jobs that a sorted list finds by their key or their staleness. */
const MAX_FOUND_JOBS = 100_000;

async function findIds(db: Database, search: JobSearch, states: readonly StoredState[], after: Place | undefined, limit: number) {
	const values = [JSON.stringify(toFilter(search)), states, typeof after === 'number' ? after : 0, Number.MAX_SAFE_INTEGER, limit];
	const [found] = await db.query<{ids: JobId[]; next: JobId | null}>('select * from @@.find_ids($1, $2, $3, $4, $5)', values);
	return {places: found?.ids ?? [], next: found?.next ?? null};
}

/** A row of the function `describe`. */
interface JobRow {
	readonly id: JobId;
	readonly info: Omit<StoredJobRow, 'id'> & {
		readonly policy: number;
		readonly offset: number | null;
		readonly checkpoint: {readonly execution: number; readonly at: number} | null;
	};
	/** Of the row of its outcome, in which it has the place `offset`. */
	readonly times: Uint8Array | null;
	readonly payload: string | null;
	readonly payload_bytes: Uint8Array | null;
	readonly result: string | null;
	readonly result_bytes: Uint8Array | null;
	readonly checkpoint: string | null;
	readonly checkpoint_bytes: Uint8Array | null;
}

function jobOf({id, info, times}: JobRow, {policy}: Named): StoredJob {
	const known = times ? new PackedTimes(times).known(info.offset ?? 0) : {};
	return readJobRecord({...info, ...known, id, startedAt: info.startedAt ?? known.startedAt}, policy(info.policy));
}

function toValues({info, payload, payload_bytes, result, result_bytes, checkpoint, checkpoint_bytes}: JobRow): JobValues {
	return {
		payload: payload_bytes ?? payload,
		...(info.state === StoredState.completed && {result: result_bytes ?? result}),
		...(info.checkpoint && {checkpoint: {...info.checkpoint, state: checkpoint_bytes ?? checkpoint}}),
	};
}

/** What is wanted of a job besides its fields and values. */
async function readOthers(db: Database, id: JobId, {logs, history, edges}: Wanted): Promise<Pick<StoredJob, 'logs' | 'history' | 'edges'>> {
	return {
		...(logs && {logs: await db.query<LogLine>('select execution, at, level, text from @.log where id = $1 order by seq', [id])}),
		...(history && {history: toHistory(await db.query<ExecutionRow>('select * from @@.executions_of($1)', [id]))}),
		...(edges && {edges: await readEdges(db, id)}),
	};
}

type EdgeRow = Readonly<Record<'parent_first' | 'parent_last' | 'child_first' | 'child_last', JobId>>;

async function readEdges(db: Database, id: JobId): Promise<JobEdges> {
	const to = await db.query<EdgeRow>('select * from @@.edges_to($1, $1)', [id]);
	// A child that names this job twice has two edges.
	const from = await db.query<EdgeRow>('select distinct child_first, child_last from @@.edges_from($1, $1, 0) order by 1', [id]);
	// The end of a flow's input is no job.
	const parents = to.flatMap(({parent_first, parent_last}) => (parent_first < 0 ? [] : [[parent_first, parent_last] as const]));
	return {parents, children: from.map(({child_first, child_last}) => [child_first, child_last] as const)};
}

/** A row of the function `executions_of`. */
interface ExecutionRow {
	readonly execution: number;
	readonly status: StoredState;
	readonly ended_at: number;
	readonly times: Uint8Array | null;
	/** Of the execution in its times. */
	readonly position: number;
	readonly worker: string | null;
	readonly failure: string | null;
}

function toHistory(rows: readonly ExecutionRow[]): ExecutionRecord[] {
	const records = rows.map(({execution, status, ended_at, times, position, worker, failure}): ExecutionRecord => {
		const error = failure === null ? undefined : readFailure(failure);
		const known = times ? new PackedTimes(times).known(position) : {};
		return {execution, status: statusOf(status, error?.reason), endedAt: ended_at, ...defined({...known, worker, error})};
	});
	return records.length <= MAX_EXECUTIONS ? records : [...records.slice(0, MAX_EXECUTIONS / 2), ...records.slice(-MAX_EXECUTIONS / 2)];
}

function statusOf(state: StoredState, reason: string | undefined): ExecutionRecord['status'] {
	if (reason === 'cancelled' || reason === 'expired' || reason === 'parent' || state === StoredState.cancelled) return 'cancelled';
	return state === StoredState.completed ? 'completed' : 'failed';
}

/** A row of the function `ends_of`. */
interface EndRow {
	readonly id: JobId;
	/** Among the ids that were asked for, from 1. */
	readonly place: number;
	/** `null` if the job has not ended. */
	readonly state: StoredState | null;
	readonly result: string | null;
	readonly result_bytes: Uint8Array | null;
	readonly failure: string | null;
	readonly stale: JobEnd['stale'] | null;
}

/** A page of the ends of jobs, from this index on. */
export async function readOutcomes(db: Database, ids: readonly JobId[], after: number): Promise<OutcomePage> {
	const page = ids.slice(after, after + MAX_PAGE_ENDS);
	const found = await db.query<EndRow>('select * from @@.ends_of($1)', [page]);
	const rows = new Map(found.map(row => [row.id, row]));
	// Large results end the page early. Missing jobs at its end are on the next one.
	const read = page.slice(0, found.at(-1)?.place);
	const next = after + read.length;
	return {outcomes: read.flatMap(id => toEnd(id, rows.get(id))), next: next < ids.length ? next : null};
}

function toEnd(id: JobId, row: EndRow | undefined): JobEnd[] {
	if (!row) return [{id, status: 'missing', result: null}];
	const {state, result, result_bytes, failure, stale} = row;
	if (state === null) return [];
	const end = {id, status: STATUS_OF[state] as JobEnd['status'], result: result_bytes ?? result, ...defined({stale})};
	return [failure === null ? end : {...end, error: readFailure(failure)}];
}
