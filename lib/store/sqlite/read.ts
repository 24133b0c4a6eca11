import {type Encoded, sizeBytes} from '../../job/encoding.ts';
import {
	type Job,
	type JobEnd,
	type JobFilter,
	type JobId,
	type JobStatus,
	type JobValues,
	type LogLevel,
	type LogLine,
	type Page,
	type Policy,
	STATUSES,
} from '../../job/job.ts';
import {readPacked} from '../../job/packed.ts';
import {defined} from '../../support/defined.ts';
import type {JobPage, OutcomePage, StoredJob, TaskCounts, Wanted} from '../store.ts';
import {readFailure} from '../stored-json.ts';
import type {Blobs} from './blobs.ts';
import {readHistory} from './history.ts';
import {byOrder} from './lanes.ts';
import {claimedRunOf, findJob, type JobRun, jobRunOf, lastOfRun, type Range, resultInRun} from './packed-rows.ts';
import {byState, STATUS_OF, StoredState} from './schema.sql.ts';
import type {Statements} from './statements.sql.ts';
import type {Tx} from './tx.ts';

type Source = Pick<Tx, 'statements' | 'names' | 'blobs'>;

/** A page ends with the job or outcome whose values bring the total over this size. */
const MAX_PAGE_BYTES = 64 * 1024 * 1024;
const DEFAULT_PAGE_JOBS = 100;

/** A page of the filter's jobs. A page may be short, even empty, before the last one: a search covers a limited range of ids per page. */
export function readPage(source: Source, filter: JobFilter, {after = 0, limit = DEFAULT_PAGE_JOBS}: Page, want: Wanted): JobPage {
	const {statements, names} = source;
	const {status = STATUSES} = filter;
	const statuses = STATUSES.filter(each => [status].flat().includes(each));
	const {ids, next} = findIds(source, filter, {statuses, after, upTo: Number.MAX_SAFE_INTEGER, limit});
	const jobs: StoredJob[] = [];
	let bytes = 0;
	for (const row of readRows(statements, ids)) {
		const values = want.values ? readValues(source, row) : undefined;
		bytes += values ? sizeBytes(values.payload) + sizeBytes(values.result ?? null) + sizeBytes(values.checkpoint?.state ?? null) : 0;
		jobs.push({
			...toJob(row, names.policy(row.policy)),
			...(values && {values}),
			...(want.logs && {logs: readLogs(statements, row.id)}),
			...(want.history && {history: readHistory(statements, row.id)}),
		});
		if (bytes > MAX_PAGE_BYTES && row.id !== ids.at(-1)) return {jobs, next: row.id};
	}
	return {jobs, next};
}

type Numbers = 'runAt' | 'endedAt' | 'startedAt' | 'durationMs' | 'cpuMs' | 'memoryBytes' | 'resultBytes' | 'done' | 'total' | 'at';

/** A row of the statement `jobView`. */
interface JobRow
	extends Pick<Job, 'id' | 'task' | 'priority' | 'createdAt' | 'attempts' | 'executions' | 'payloadBytes'>,
		Readonly<Record<Numbers, number | null>> {
	readonly policy: number;
	/** `null` in the statement's row if the state is in the row of a run. */
	readonly state: StoredState | null;
	readonly key: string | null;
	readonly batch: string | null;
	readonly failure: string | null;
	/** The payload of a packed job. */
	readonly payload?: string | null;
	/** The result of a job in the row of a run. */
	readonly value?: string | null;
}

/** The jobs that exist. A run is read once for neighbours. */
function* readRows(statements: Statements, ids: readonly JobId[]): Generator<JobRow> {
	let run: JobRun | undefined;
	let packed: JobRow | undefined;
	let payloadAt = readPacked(null);
	for (const id of ids) {
		let row = statements.jobView.get(id) as JobRow | undefined;
		if (!row && !(run && id >= run.first && id <= run.last)) {
			run = jobRunOf(statements, id);
			packed = run && (statements.packedView.get(run.first) as JobRow | undefined);
			payloadAt = readPacked(run?.payloads ?? null);
		}
		if (!row && run && packed) {
			const payload = payloadAt(id - run.first);
			row = {...packed, id, payload, payloadBytes: sizeBytes(payload)};
		}
		if (row) yield row.state === null ? Object.assign(row, stateInRun(statements, id)) : row;
	}
}

/** The state of a job that is in the row of a run. */
function stateInRun(statements: Statements, id: JobId): Partial<JobRow> {
	if (claimedRunOf(statements, id)) return {state: StoredState.running, executions: 1};
	const result = resultInRun(statements, id);
	return result ? {state: StoredState.completed, executions: 1, ...result, resultBytes: sizeBytes(result.value)} : {state: StoredState.ready};
}

function toJob(row: JobRow, {maxAttempts, timeoutMs, timeoutPercent}: Policy): Job {
	const {id, task, priority, createdAt, attempts, executions, payloadBytes} = row;
	const {key, batch, runAt, endedAt, startedAt, durationMs, cpuMs, memoryBytes, resultBytes, done, total, at, failure} = row;
	return {
		...{id, task, status: STATUS_OF[row.state as StoredState] ?? 'dead', priority, createdAt, attempts, maxAttempts, executions, timeoutMs, payloadBytes},
		...defined({timeoutPercent: timeoutPercent ?? null, key, batch, runAt, endedAt, startedAt, durationMs}),
		...defined({
			waitMs: startedAt !== null && executions === 1 ? Math.max(0, startedAt - createdAt) : null,
			cpuMs,
			memoryBytes,
			resultBytes,
			progress: done === null ? null : {done, ...defined({total}), at: at ?? 0},
			error: failure === null ? null : readFailure(failure),
		}),
	};
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
	let bytes = 0;
	for (let index = after; index < ids.length; index++) {
		const outcome = readOutcome(statements, blobs, ids[index] as JobId);
		if (!outcome) continue;
		outcomes.push(outcome);
		bytes += sizeBytes(outcome.result);
		if (bytes > MAX_PAGE_BYTES && index + 1 < ids.length) return {outcomes, next: index + 1};
	}
	return {outcomes, next: null};
}

/** A row of the statement `jobEnd`. The state is null if the job has not ended, or is in the row of a run. */
type EndRow = readonly [state: StoredState | null, value: Encoded | number, blob: string | null, failure: string | null];

/** Returns `undefined` if the job has not ended. */
function readOutcome(statements: Statements, blobs: Blobs, id: JobId): JobEnd | undefined {
	const row = statements.jobEnd.get(id) as EndRow | undefined;
	const inRun = (row?.[0] ?? null) === null ? resultInRun(statements, id) : undefined;
	if (inRun) return {id, status: 'completed', result: inRun.value};
	if (!row) return statements.packedState.get(id, id) === undefined ? {id, status: 'missing', result: null} : undefined;
	const [state, value, blob, failure] = row;
	if (state === null) return undefined;
	const status = (STATUS_OF[state] ?? 'dead') as JobEnd['status'];
	return {id, status, result: blobs.load([value, blob]), ...(failure !== null && status !== 'completed' && {error: readFailure(failure)})};
}

export function readCounts({tasks, tally}: Statements): TaskCounts[] {
	const jobs = new Map((tally.all() as [task: number, state: StoredState, jobs: number][]).map(([task, state, jobs]) => [`${task}:${state}`, jobs]));
	const rows = tasks.all() as [id: number, name: string, paused: number][];
	return rows.map(([id, task, paused]) => ({task, isPaused: paused === 1, ...byState(state => jobs.get(`${id}:${state}`) ?? 0)}));
}

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

/** Finds a page of jobs. It reads about as many rows as the limit, and at most {@link MAX_WINDOW_IDS}, with any number of jobs in the store. */
export function findIds({statements, names}: Pick<Tx, 'statements' | 'names'>, filter: JobFilter, page: Omit<Criteria, 'task' | 'batch'>): Found {
	const task = filter.task === undefined ? null : names.knownTask(filter.task);
	const batch = filter.batch === undefined ? null : (statements.batch.get(filter.batch) as {id: number} | undefined)?.id;
	if (task === undefined || batch === undefined || page.statuses.length === 0 || page.after >= page.upTo) return {ids: [], next: null};
	const criteria = {...page, task, batch};
	const candidates = filter.key === undefined ? filter.ids : idsByKey(statements, filter.key, criteria, filter.ids);
	const {ids, next} = candidates
		? checkOneByOne(statements, idsIn(candidates, page), criteria, Math.min(page.limit, MAX_CHECKED_JOBS))
		: search(statements, criteria);
	// In a damaged file ids may go backwards. A caller that followed them would never finish.
	return {ids, next: next !== null && next > page.after ? next : null};
}

/** The jobs that have the key in the batch; or, without one, in the task and all batches; of these ids, if there are some. */
function idsByKey(statements: Statements, key: string, {task, batch}: Pick<Criteria, 'task' | 'batch'>, among: readonly JobId[] | undefined): JobId[] {
	const ids = statements.idsByKey.all({key, task, batch}) as JobId[];
	return among ? ids.filter(id => among.includes(id)) : ids;
}

function idsIn(given: readonly JobId[], {after, upTo}: Pick<Criteria, 'after' | 'upTo'>): JobId[] {
	return [...new Set(given.filter(id => id > after && id <= upTo))].sort((a, b) => a - b);
}

function checkOneByOne(statements: Statements, ids: readonly JobId[], {task, batch, statuses}: Criteria, limit: number): Found {
	const checked = ids.slice(0, limit);
	const found = checked.filter(id => {
		const job = findJob(statements, id);
		return job && (task === null || job.task === task) && (batch === null || job.batch === batch) && statuses.includes(STATUS_OF[job.state]);
	});
	return {ids: found, next: checked.length < ids.length ? (checked.at(-1) as JobId) : null};
}

function search(statements: Statements, criteria: Criteria): Found {
	const jobsIn = (rows: readonly Tallied[]) => rows.reduce((sum, [, jobs]) => sum + jobs, 0);
	const {batch} = criteria;
	// If the batch has no more jobs than the store has in these statuses, it is faster to search the batch.
	const isBatchSmaller = batch !== null && jobsIn(statements.batchTally.all(batch) as Tallied[]) <= jobsIn(tallyOf(statements, {...criteria, task: null}));
	return isBatchSmaller ? searchBatch(statements, criteria) : searchStates(statements, criteria);
}

type Tallied = readonly [state: StoredState, jobs: number];

/** The number of jobs in the states of these statuses. */
function tallyOf({tally}: Statements, {task, statuses}: Pick<Criteria, 'task' | 'statuses'>): Tallied[] {
	const rows = tally.all() as [task: number, state: StoredState, jobs: number][];
	return rows.flatMap(([each, state, jobs]) => ((task === null || each === task) && statuses.includes(STATUS_OF[state]) ? [[state, jobs] as const] : []));
}

export function searchBatch(statements: Statements, criteria: Criteria): Found {
	const isAnyStatus = criteria.statuses.length === STATUSES.length;
	const limit = isAnyStatus ? criteria.limit : Math.min(criteria.limit, MAX_CHECKED_JOBS);
	const ids = takeRanges(statements.pageOfBatch, criteria, limit + 1).map(([id]) => id);
	if (!isAnyStatus) return checkOneByOne(statements, ids, criteria, limit);
	return ids.length > limit ? {ids: ids.slice(0, limit), next: ids[limit - 1] as JobId} : {ids, next: null};
}

/** Reads the tables of all states that belong to these statuses, each in order of ids. */
function searchStates(statements: Statements, criteria: Criteria): Found {
	const {task, batch, after, limit} = criteria;
	const isMixed = task !== null || batch !== null;
	const upTo = isMixed ? Math.min(criteria.upTo, after + MAX_WINDOW_IDS) : criteria.upTo;
	const ranges = [...rangesOf(statements, {...criteria, upTo})].sort(([a], [b]) => a - b);
	const ids: JobId[] = [];
	for (const [first, last] of ranges) {
		// Skips an id that was found before: if another program has written to the file, a job may be in two states.
		for (let id = Math.max(first, (ids.at(-1) ?? after) + 1); id <= Math.min(last, upTo); id++) {
			if (ids.push(id) === limit) return {ids, next: id};
		}
	}
	if (upTo >= criteria.upTo) return {ids, next: null};
	// The gap between two jobs may have many more ids than there are jobs.
	const next = statements.jobAfter.get(upTo, upTo) as JobId | null;
	return {ids, next: next === null ? null : next - 1};
}

/** The first jobs of each state, up to the limit in each. */
function* rangesOf(statements: Statements, criteria: Criteria): Generator<Range> {
	const {batch, statuses} = criteria;
	if (batch === null && statuses.length === STATUSES.length) return yield* takeRanges(statements.pageOfJobs, criteria);
	// A state may have many jobs, but none of the task or the batch.
	const ofBatch = batch === null ? undefined : new Set((statements.batchTally.all(batch) as Tallied[]).flatMap(([state, jobs]) => (jobs > 0 ? state : [])));
	const counted = tallyOf(statements, criteria).filter(([state, jobs]) => jobs > 0 && (ofBatch?.has(state) ?? true));
	const states = new Set(counted.map(([state]) => state));
	if (states.has(StoredState.ready) || states.has(StoredState.quarantined)) yield* readyRanges(statements, criteria);
	for (const [own, statement, values] of PAGES) {
		if (own.some(state => states.has(state))) yield* takeRanges(statements[statement], {...criteria, ...values});
	}
}

/** The statements that read the tables of states other than ready and quarantined, with their further parameters. */
const PAGES: readonly (readonly [states: readonly StoredState[], statement: keyof Statements, values: object])[] = [
	[[StoredState.delayed], 'pageOfWaiting', {failed: 0}],
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
	for (const lane of task === null ? [low] : [-task, task]) {
		for (let at = laneAfter(statements, [lane, task === null ? high : low]); at && (task === null || at[0] === lane); at = laneAfter(statements, at))
			yield* takeRanges(statements.pageOfReady, {...criteria, lane: at[0], rank: at[1]});
	}
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
