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
import {withoutNulls} from '../../support/defined.ts';
import type {JobPage, OutcomePage, StoredJob, Wanted} from '../store.ts';
import {readFailure} from '../stored-json.ts';
import type {Blobs} from './blobs.ts';
import type {Statements} from './connection.ts';
import type {Names} from './names.ts';
import {claimedRunOf, type JobRun, jobRunOf, resultInRun} from './packed-rows.ts';
import {findIds} from './search.ts';
import {StoredState} from './tally.ts';

// Columns of the statement `jobView` that are null for some jobs.
const STATE = ['ready_executions', 'run_at', 'failed', 'waiting_executions', 'claimed_execution', 'running_since', 'status', 'ended_execution'] as const;
const OUTCOME = ['started_at', 'ended_at', 'duration_ms', 'cpu_ms', 'memory_bytes', 'payload_bytes', 'result_bytes'] as const;
const FAILURE = ['attempts', 'failed_started_at', 'failed_duration_ms', 'failed_cpu_ms', 'failed_memory_bytes'] as const;
const NUMBERS = [...STATE, ...OUTCOME, ...FAILURE, 'done', 'total', 'at'] as const;
const TEXTS = ['key', 'batch', 'failure'] as const;

type Nullable = Readonly<Record<(typeof NUMBERS)[number], number | null> & Record<(typeof TEXTS)[number], string | null>>;

/** A row of the statement `jobView`. */
interface JobRow extends Nullable {
	readonly id: JobId;
	readonly task: string;
	readonly policy: number;
	readonly priority: number;
	readonly created_at: number;
}

const NULLS = Object.fromEntries([...NUMBERS, ...TEXTS].map(name => [name, null])) as Nullable;

function toJob(row: JobRow, policy: Policy): Job {
	const executions = row.ended_execution ?? row.claimed_execution ?? row.waiting_executions ?? row.ready_executions ?? 0;
	return {
		id: row.id,
		task: row.task,
		status: toStatus(row),
		priority: row.priority,
		createdAt: row.created_at,
		attempts: row.attempts ?? 0,
		maxAttempts: policy.maxAttempts,
		executions,
		timeoutMs: policy.timeoutMs,
		payloadBytes: row.payload_bytes ?? 0,
		...withoutNulls({
			timeoutPercent: policy.timeoutPercent ?? null,
			key: row.key,
			batch: row.batch,
			runAt: row.run_at,
			endedAt: row.ended_at,
			...costOf(row, executions),
			progress: row.done === null ? null : {done: row.done, ...withoutNulls({total: row.total}), at: row.at ?? 0},
			error: row.failure === null ? null : readFailure(row.failure),
		}),
	};
}

interface Source {
	readonly statements: Statements;
	readonly names: Names;
	readonly blobs: Blobs;
}

/** A page ends with the job or outcome whose values bring the total over this size. */
const MAX_PAGE_BYTES = 64 * 1024 * 1024;
const DEFAULT_PAGE_JOBS = 100;

/** A page of the filter's jobs. A page may be short, even empty, before the last one: a search covers a limited range of ids per page. */
export function readPage({statements, names, blobs}: Source, filter: JobFilter, {after = 0, limit = DEFAULT_PAGE_JOBS}: Page, want: Wanted): JobPage {
	const {ids, next} = findIds({statements, names}, {filter, statuses: statusesOf(filter), after, upTo: Number.MAX_SAFE_INTEGER, limit});
	const rows = readJobs(statements, ids);
	const jobs: StoredJob[] = [];
	let bytes = 0;
	for (const row of rows) {
		const values = want.values ? readValues(statements, row.id, blobs) : undefined;
		bytes += values ? sizeBytes(values.payload) + sizeBytes(values.result ?? null) + sizeBytes(values.checkpoint?.state ?? null) : 0;
		jobs.push({...toJob(row, names.policy(row.policy)), ...(values && {values}), ...(want.logs && {logs: readLogs(statements, row.id)})});
		if (bytes > MAX_PAGE_BYTES && jobs.length < rows.length) return {jobs, next: row.id};
	}
	return {jobs, next};
}

function readLogs({logOfJob}: Statements, id: JobId): LogLine[] {
	return (logOfJob.all(id) as [number, number, LogLevel, string][]).map(([execution, at, level, text]) => ({execution, at, level, text}));
}

/** The rows of the jobs that exist. A run is read once for neighbours. */
function readJobs(statements: Statements, ids: readonly JobId[]): JobRow[] {
	let run: JobRun | undefined;
	const runOf = (id: JobId) => {
		if (!run || id < run.first || id > run.last) run = jobRunOf(statements, id);
		return run;
	};
	return ids.flatMap(id => {
		const row = (statements.jobView.get(id) as JobRow | undefined) ?? packedJob(statements, id, runOf(id));
		return row ? withRun(statements, row) : [];
	});
}

function packedJob(statements: Statements, id: JobId, run: JobRun | undefined): JobRow | undefined {
	if (!run) return undefined;
	const {policy, priority, createdAt} = run;
	const task = statements.taskName.get(run.task) as string | undefined;
	// Another program has deleted the task. The statement `jobView` finds no job then, either.
	if (task === undefined) return undefined;
	return {...NULLS, id, task, policy, priority, created_at: createdAt, payload_bytes: sizeBytes(run.payloadOf(id))};
}

/** Adds the state of a job whose state is in the row of a run. */
function withRun(statements: Statements, row: JobRow): JobRow {
	const {id, ready_executions, failed, claimed_execution, status} = row;
	if ((ready_executions ?? failed ?? claimed_execution ?? status) !== null) return row;
	if (claimedRunOf(statements, id)) return {...row, claimed_execution: 1};
	const result = resultInRun(statements, id);
	if (!result) return row;
	return {
		...row,
		status: StoredState.completed,
		ended_execution: 1,
		started_at: result.startedAt,
		ended_at: result.endedAt,
		duration_ms: result.durationMs,
		cpu_ms: result.cpuMs,
		memory_bytes: result.memoryBytes,
		result_bytes: sizeBytes(result.value),
	};
}

/** Times and resources of the last execution that failed or ended; of a running one, its start. */
function costOf(row: JobRow, executions: number) {
	const startedAt = row.running_since ?? row.started_at ?? row.failed_started_at;
	return {
		startedAt,
		// Figures of an earlier execution are not shown beside the start of the running one.
		durationMs: row.running_since === null ? (row.duration_ms ?? row.failed_duration_ms) : null,
		waitMs: startedAt !== null && executions === 1 ? Math.max(0, startedAt - row.created_at) : null,
		cpuMs: row.running_since === null ? (row.cpu_ms ?? row.failed_cpu_ms) : null,
		memoryBytes: row.running_since === null ? (row.memory_bytes ?? row.failed_memory_bytes) : null,
		resultBytes: row.status === StoredState.completed ? (row.result_bytes ?? 0) : null,
	};
}

const ENDED: Readonly<Record<number, JobStatus>> = {[StoredState.completed]: 'completed', [StoredState.dead]: 'dead', [StoredState.cancelled]: 'cancelled'};

function toStatus(row: JobRow): JobStatus {
	if (row.status !== null) return ENDED[row.status] ?? 'dead';
	if (row.claimed_execution !== null) return 'running';
	return row.failed === 1 ? 'failed' : 'pending';
}

/** A row of the statement `jobValues`. */
type ValuesRow = readonly [
	payload: Encoded,
	status: number | null,
	result: Encoded | number,
	blob: string | null,
	execution: number | null,
	at: number | null,
	state: Encoded,
];

function readValues(statements: Statements, id: JobId, blobs: Blobs): JobValues | undefined {
	const row = (statements.jobValues.get(id) as ValuesRow | undefined) ?? packedValues(statements, id);
	if (!row) return undefined;
	const [payload, status, result, blob, execution, at, state] = row;
	const inRun = status === null ? resultInRun(statements, id) : undefined;
	return {
		payload,
		...(status === StoredState.completed && {result: blobs.load([result, blob])}),
		...(inRun && {result: inRun.value}),
		...(execution !== null && {checkpoint: {execution, at: at ?? 0, state}}),
	};
}

function packedValues(statements: Statements, id: JobId): ValuesRow | undefined {
	const run = jobRunOf(statements, id);
	return run && [run.payloadOf(id), null, null, null, null, null, null];
}

/** A row of the statement `jobEnd`. The status is null if the job has not ended. */
type EndRow = readonly [status: number | null, value: Encoded | number, blob: string | null, failure: string | null];

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

function readOutcome(statements: Statements, blobs: Blobs, id: JobId): JobEnd | undefined {
	const row = statements.jobEnd.get(id) as EndRow | undefined;
	const inRun = (row?.[0] ?? null) === null ? resultInRun(statements, id) : undefined;
	if (inRun) return {id, status: 'completed', result: inRun.value};
	if (!row && statements.isInJobRun.get(id, id) !== undefined) return undefined;
	return toEnd(id, row, blobs);
}

function toEnd(id: JobId, row: EndRow | undefined, blobs: Blobs): JobEnd | undefined {
	if (!row) return {id, status: 'missing', result: null};
	const [state, value, blob, failure] = row;
	if (state === null) return undefined;
	const status = (ENDED[state] ?? 'dead') as JobEnd['status'];
	return {id, status, result: blobs.load([value, blob]), ...(failure !== null && status !== 'completed' && {error: readFailure(failure)})};
}

/** The statuses that a filter names; all if it names none. */
function statusesOf({status}: JobFilter): readonly JobStatus[] {
	return status === undefined ? STATUSES : STATUSES.filter(each => [status].flat().includes(each));
}
