import {type Encoded, sizeBytes} from '../../../job/encoding.ts';
import {withListedKeys} from '../../../job/groups/cut-and-join.ts';
import {keyAt} from '../../../job/groups/group.ts';
import {type JobEnd, type JobId, type JobRecord, type LogLevel, type LogLine, STATUSES} from '../../../job/job.ts';
import {type JobSearch, type JobSort, type JobValues, type Place, SORTED_BY} from '../../../job/search.ts';
import {defined} from '../../../support/defined.ts';
import type {JobEdges, JobPage, OutcomePage, SearchPage, StoredJob, Wanted} from '../../found-jobs.ts';
import {readFailure} from '../../stored-json.ts';
import {readJobRecord, type StoredJobRow} from '../../stored-rows.ts';
import {STATUS_OF, StoredState} from '../../stored-state.ts';
import {type SortedPlace, TopPlaces} from '../../top-places.ts';
import type {Blobs} from '../connection/blobs.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {blockedRunOf} from '../rows/blocked.ts';
import {edgesFrom, edgesTo} from '../rows/edges.ts';
import {readHistory} from '../rows/history.ts';
import {resultInRun, resultsWith} from '../rows/outcome-runs.ts';
import {claimedRunOf, type JobRun, jobRunOf, keysOf, payloadReader} from '../rows/packed-rows.ts';
import type {Tx} from '../rows/tx.ts';
import {findAll, findCreated, hasFewJobs, numbersOf} from './find.ts';
import {findSorted} from './sorted.ts';
import {staleJobs} from './stale.ts';

type Source = Pick<Tx, 'statements' | 'numbers' | 'blobs'>;

/** A page ends with the job or outcome whose values bring the total over this size. */
const MAX_PAGE_BYTES = 64 * 1024 * 1024;
const DEFAULT_PAGE_JOBS = 100;

/** A page of the jobs that the search selects. A page may be short, even empty, before the last one: it looks at a limited number of rows. */
export function readPage(source: Source, search: JobSearch, {after, limit = DEFAULT_PAGE_JOBS}: SearchPage, want: Wanted): JobPage {
	const {statements} = source;
	const {places, next} = findPlaces(source, search, after, limit);
	if (want.count) return {jobs: [], count: places.length, next};
	const jobs: StoredJob[] = [];
	let bytes = 0;
	const ids = places.map(idOf);
	const lastId = ids.at(-1);
	const stale = staleJobs(statements, ids);
	for (const row of readRows(statements, ids)) {
		const values = want.values ? readValues(source, row) : undefined;
		bytes += values ? sizeBytes(values.payload) + sizeBytes(values.result ?? null) + sizeBytes(values.checkpoint?.state ?? null) : 0;
		jobs.push({
			...jobOf(source, row, stale.get(row.id)),
			...(values && {values}),
			...readOthers(statements, row.id, want),
		});
		if (bytes > MAX_PAGE_BYTES && row.id !== lastId) return {jobs, count: jobs.length, next: places.find(place => idOf(place) === row.id) ?? null};
	}
	return {jobs, count: jobs.length, next};
}

/** What is wanted of a job besides its fields and values. */
function readOthers(statements: Statements, id: JobId, {logs, history, edges}: Wanted): Pick<StoredJob, 'logs' | 'history' | 'edges'> {
	return {
		...(logs && {logs: readLogs(statements, id)}),
		...(history && {history: readHistory(statements, id)}),
		...(edges && {edges: readEdges(statements, id)}),
	};
}

function readEdges(statements: Statements, id: JobId): JobEdges {
	// The end of a flow's input is no job.
	const parents = edgesTo(statements, [id, id]).flatMap(edge => (edge.parents[0] < 0 ? [] : [edge.parents]));
	// A child that names this job twice has two edges.
	const children = new Map(edgesFrom(statements, [id, id]).map(edge => [`${edge.children}`, edge.children]));
	return {parents, children: [...children.values()]};
}

function idOf(place: Place): JobId {
	return typeof place === 'number' ? place : place.id;
}

/** A page of a list. The next page begins after `next`. */
interface Places {
	readonly places: readonly Place[];
	readonly next: Place | null;
}

function findPlaces(source: Source, search: JobSearch, after: Place | undefined, limit: number): Places {
	const {sort = 'id', status = STATUSES} = search;
	const statuses = STATUSES.filter(each => [status].flat().includes(each));
	const page = {statuses, after: 0, upTo: Number.MAX_SAFE_INTEGER, limit};
	if (sort === 'id') {
		const {ids, next} = findCreated(source, search, {...page, after: typeof after === 'number' ? after : 0});
		return {places: ids, next};
	}
	const from = typeof after === 'object' ? after : undefined;
	const scope = numbersOf(source, search);
	if (!scope) return {places: [], next: null};
	return hasFewJobs(source.statements, search, scope.batch)
		? sortJobs(source, {...search, sort}, findAll(source, search, page), from, limit)
		: findSorted(source.statements, {...search, sort}, {...scope, statuses, ids: search.ids && new Set(search.ids)}, from, limit);
}

/** Reads these jobs and sorts them. */
function sortJobs(
	{statements, numbers}: Source,
	{sort, since = -Infinity, until = Infinity}: JobSearch & {readonly sort: JobSort},
	ids: readonly JobId[],
	after: SortedPlace | undefined,
	limit: number,
): Places {
	const by = SORTED_BY[sort];
	const isTimed = since !== -Infinity || until !== Infinity;
	const found = new TopPlaces(after, -Infinity, limit);
	for (const row of readRows(statements, ids)) {
		const job = jobOf({numbers}, row);
		const [value, time = NaN] = [job[by.value], job[by.time]];
		if (value !== undefined && (!isTimed || (time >= Number(since) && time < Number(until)))) found.add(value, row.id);
	}
	return found.page();
}

/** A row of the statement `jobView`. */
interface JobRow extends Omit<StoredJobRow, 'state' | 'progress' | 'stale'>, Readonly<Record<'done' | 'total' | 'at', number | null>> {
	readonly policy: number;
	/** `null` in the statement's row if the state is in the row of a run. */
	readonly state: StoredState | null;
	/** The payload of a packed job. */
	readonly payload?: string | null;
	/** The result of a job in the row of a run. */
	readonly value?: string | null;
}

/** The jobs that exist. */
function* readRows(statements: Statements, ids: readonly JobId[]): Generator<JobRow> {
	const packedAt = packedReader(statements);
	for (const id of ids) {
		const row = (statements.jobView.get(id) as JobRow | undefined) ?? packedAt(id);
		if (row) yield row.state === null ? Object.assign(row, stateInRun(statements, id)) : row;
	}
}

/** A function that returns the row of a job of a run. The run is read once for neighbours. */
function packedReader(statements: Statements): (id: JobId) => JobRow | undefined {
	let run: JobRun | undefined;
	let read: ((id: JobId) => JobRow) | undefined;
	return id => {
		if (!run || id < run.first || id > run.last) {
			run = jobRunOf(statements, id);
			read = run && rowsOf(run, statements.packedView.get(run.first) as JobRow);
		}
		return read?.(id);
	};
}

function rowsOf(run: JobRun, row: JobRow): (id: JobId) => JobRow {
	const payloadAt = payloadReader(run);
	const {keys} = withListedKeys({keys: keysOf(run)});
	return id => {
		const payload = payloadAt(id);
		return {...row, id, payload, payloadBytes: sizeBytes(payload), key: keyAt(keys, id - run.first) ?? null};
	};
}

/** The state of a job that is in the row of a run. */
function stateInRun(statements: Statements, id: JobId): Partial<JobRow> {
	if (claimedRunOf(statements, id)) return {state: StoredState.running, executions: 1};
	const result = resultInRun(statements, id);
	if (result) return {state: StoredState.completed, executions: 1, ...result, resultBytes: sizeBytes(result.value)};
	const blocked = blockedRunOf(statements, id);
	return blocked ? {state: StoredState.blocked, executions: blocked.executions, runAt: blocked.runAt} : {state: StoredState.ready};
}

/** @param stale whether the job is stale, and how */
function jobOf({numbers}: Pick<Source, 'numbers'>, row: JobRow, stale?: JobRecord['stale']): JobRecord {
	const {done, total, at} = row;
	const state = row.state as StoredState;
	return readJobRecord({...row, state, ...defined({stale}), progress: done === null ? null : {done, total, at: at ?? 0}}, numbers.policy(row.policy));
}

/** A row of the statement `jobValues`. */
type ValuesRow = readonly [payload: Encoded, result: Encoded | number, blob: string | null, execution: number | null, at: number | null, state: Encoded];

function readValues({statements, blobs}: Source, {id, state, payload = null, value}: JobRow): JobValues {
	const row = statements.jobValues.get(id) as ValuesRow | undefined;
	const [own, result, blob, execution, at, checkpoint] = row ?? [payload, null, null, null, null, null];
	return {
		payload: own,
		...(state === StoredState.completed && {result: value === undefined ? blobs.load([result, blob]) : value}),
		...(execution !== null && {checkpoint: {execution, at: at ?? 0, state: checkpoint}}),
	};
}

function readLogs({logOfJob}: Statements, id: JobId): LogLine[] {
	return (logOfJob.all(id) as [number, number, LogLevel, string][]).map(([execution, at, level, text]) => ({execution, at, level, text}));
}

/** The ends of jobs from this index on. */
export function readOutcomes(statements: Statements, blobs: Blobs, ids: readonly JobId[], after: number): OutcomePage {
	const outcomes: JobEnd[] = [];
	const read = outcomeReader(statements, blobs);
	const stale = staleJobs(statements, ids.slice(after));
	let bytes = 0;
	for (let index = after; index < ids.length; index++) {
		const outcome = read(ids[index] as JobId);
		if (!outcome) continue;
		outcomes.push(stale.size > 0 ? {...outcome, ...defined({stale: stale.get(outcome.id)})} : outcome);
		bytes += sizeBytes(outcome.result);
		if (bytes > MAX_PAGE_BYTES && index + 1 < ids.length) return {outcomes, next: index + 1};
	}
	return {outcomes, next: null};
}

/** A row of the statement `jobEnd`. The state is null if the job has not ended, or is in the row of a run. */
type EndRow = readonly [state: StoredState | null, value: Encoded | number, blob: string | null, failure: string | null];

/** Returns a function that reads how a job ended; `undefined` if it has not. A run is read once for neighbours: its jobs have no other end. */
function outcomeReader(statements: Statements, blobs: Blobs): (id: JobId) => JobEnd | undefined {
	let run: ReturnType<typeof resultsWith>;
	return id => {
		if (!run?.results[id - run.first]) {
			const row = statements.jobEnd.get(id) as EndRow | undefined;
			run = (row?.[0] ?? null) === null ? resultsWith(statements, id) : undefined;
			if (!run) return readOutcome(statements, blobs, id, row);
		}
		return {id, status: 'completed', result: run.results[id - run.first]?.value ?? null};
	};
}

function readOutcome(statements: Statements, blobs: Blobs, id: JobId, row: EndRow | undefined): JobEnd | undefined {
	if (!row) return statements.packedState.get(id, id) === undefined ? {id, status: 'missing', result: null} : undefined;
	const [state, value, blob, failure] = row;
	if (state === null) return undefined;
	const status = (STATUS_OF[state] ?? 'dead') as JobEnd['status'];
	return {id, status, result: blobs.load([value, blob]), ...(failure !== null && status !== 'completed' && {error: readFailure(failure)})};
}
