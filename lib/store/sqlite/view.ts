import {type Encoded, sizeBytes} from '../../job/encoding.ts';
import type {JobEnd, JobValues} from '../../job/job.ts';
import {type Job, type JobFilter, type JobId, type JobStatus, type Policy, STATUSES} from '../../job/job.ts';
import {readFailure} from '../stored-json.ts';
import type {Blobs} from './blobs.ts';
import type {Statements} from './database.ts';
import {type JobRun, jobRunOf} from './job-run.ts';
import {claimedRunOf, resultInRun} from './runs.ts';
import {StoredState} from './stored-state.ts';

/** A row of the statement `jobView`. */
export interface JobRow {
	readonly id: number;
	readonly task: string;
	readonly policy: number;
	readonly priority: number;
	readonly created_at: number;
	readonly key: string | null;
	readonly batch: string | null;
	readonly ready_executions: number | null;
	readonly run_at: number | null;
	readonly failed: number | null;
	readonly waiting_executions: number | null;
	readonly claimed_execution: number | null;
	readonly running_since: number | null;
	readonly status: number | null;
	readonly ended_execution: number | null;
	readonly started_at: number | null;
	readonly ended_at: number | null;
	readonly duration_ms: number | null;
	readonly cpu_ms: number | null;
	readonly memory_bytes: number | null;
	readonly payload_bytes: number | null;
	readonly result_bytes: number | null;
	readonly attempts: number | null;
	readonly failure: string | null;
	readonly failed_started_at: number | null;
	readonly failed_duration_ms: number | null;
	readonly failed_cpu_ms: number | null;
	readonly failed_memory_bytes: number | null;
	readonly done: number | null;
	readonly total: number | null;
	readonly at: number | null;
}

/** What is known of a job of which nothing is known. */
const NOTHING: Omit<JobRow, 'id' | 'task' | 'policy' | 'priority' | 'created_at'> = {
	key: null,
	batch: null,
	ready_executions: null,
	run_at: null,
	failed: null,
	waiting_executions: null,
	claimed_execution: null,
	running_since: null,
	status: null,
	ended_execution: null,
	started_at: null,
	ended_at: null,
	duration_ms: null,
	cpu_ms: null,
	memory_bytes: null,
	payload_bytes: null,
	result_bytes: null,
	attempts: null,
	failure: null,
	failed_started_at: null,
	failed_duration_ms: null,
	failed_cpu_ms: null,
	failed_memory_bytes: null,
	done: null,
	total: null,
	at: null,
};

export function toJob(row: JobRow, policy: Policy): Job {
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
		...present({
			timeoutPercent: policy.timeoutPercent ?? null,
			key: row.key,
			batch: row.batch,
			runAt: row.run_at,
			endedAt: row.ended_at,
			...costOf(row, executions),
			progress: row.done === null ? null : {done: row.done, ...present({total: row.total}), at: row.at ?? 0},
			error: row.failure === null ? null : readFailure(row.failure),
		}),
	};
}

/** The row of a job, wherever it lies. */
export function readJob(statements: Statements, id: JobId): JobRow | undefined {
	return readJobs(statements, [id])[0];
}

/** The rows of those of the jobs that are there. Neighbours in a run share one reading of it. */
export function readJobs(statements: Statements, ids: readonly JobId[]): JobRow[] {
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
	// As for one with a row of its own, if somebody took its task away.
	if (task === undefined) return undefined;
	return {...NOTHING, id, task, policy, priority, created_at: createdAt, payload_bytes: sizeBytes(run.payloadOf(id))};
}

/** With what a run says of where the job is. */
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

/** Of the last execution that failed or ended. */
function costOf(row: JobRow, executions: number) {
	const startedAt = row.running_since ?? row.started_at ?? row.failed_started_at;
	return {
		startedAt,
		// What is known of the execution before is not mixed with the running one.
		durationMs: row.running_since === null ? (row.duration_ms ?? row.failed_duration_ms) : null,
		waitMs: startedAt !== null && executions === 1 ? Math.max(0, startedAt - row.created_at) : null,
		cpuMs: row.running_since === null ? (row.cpu_ms ?? row.failed_cpu_ms) : null,
		memoryBytes: row.running_since === null ? (row.memory_bytes ?? row.failed_memory_bytes) : null,
		resultBytes: row.status === StoredState.completed ? (row.result_bytes ?? 0) : null,
	};
}

/** The fields that have a value. */
function present<Fields extends object>(fields: Fields): {[Name in keyof Fields]?: NonNullable<Fields[Name]>} {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as {[Name in keyof Fields]?: NonNullable<Fields[Name]>};
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

export function readValues(statements: Statements, id: JobId, blobs: Blobs): JobValues | undefined {
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

/** A row of the statement `jobEnd`; the status is null of a job that has not ended. */
type EndRow = readonly [status: number | null, value: Encoded | number, blob: string | null, failure: string | null];

/** Looks up how jobs ended; those that have not are left out. */
export function readEnds(statements: Statements, ids: readonly JobId[], blobs: Blobs): JobEnd[] {
	return ids.flatMap((id): JobEnd | [] => {
		const row = statements.jobEnd.get(id) as EndRow | undefined;
		const inRun = (row?.[0] ?? null) === null ? resultInRun(statements, id) : undefined;
		if (inRun) return {id, status: 'completed', value: inRun.value};
		if (!row && statements.isInJobRun.get(id, id) !== undefined) return [];
		return toEnd(id, row, blobs) ?? [];
	});
}

function toEnd(id: JobId, row: EndRow | undefined, blobs: Blobs): JobEnd | undefined {
	if (!row) return {id, status: 'missing', value: null};
	const [place, value, blob, failure] = row;
	if (place === null) return undefined;
	const status = (ENDED[place] ?? 'dead') as JobEnd['status'];
	return {id, status, value: blobs.load([value, blob]), ...(failure !== null && status !== 'completed' && {error: readFailure(failure)})};
}

/** The statuses that a filter names, each once; all if it names none. */
export function statusesOf({status}: JobFilter): readonly JobStatus[] {
	return status === undefined ? STATUSES : STATUSES.filter(each => [status].flat().includes(each));
}
