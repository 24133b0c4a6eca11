import {type Encoded, sizeBytes} from '../../job/encoding.ts';
import {
	type Job,
	type JobEnd,
	type JobFilter,
	type JobId,
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
import type {Statements} from './connection.ts';
import {claimedRunOf, type JobRun, jobRunOf, resultInRun} from './packed-rows.ts';
import {findIds} from './search.ts';
import {STATUS_OF, StoredState} from './tally.ts';
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
		jobs.push({...toJob(row, names.policy(row.policy)), ...(values && {values}), ...(want.logs && {logs: readLogs(statements, row.id)})});
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
	return (tasks.all() as [id: number, name: string, paused: number][]).map(([id, task, paused]) => {
		const byState = Object.entries(StoredState).map(([name, state]) => [name, jobs.get(`${id}:${state}`) ?? 0]);
		return {task, isPaused: paused === 1, ...(Object.fromEntries(byState) as Readonly<Record<keyof typeof StoredState, number>>)};
	});
}
