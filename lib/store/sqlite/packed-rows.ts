import type {Settlement} from '../../job/claim.ts';
import type {Encoded} from '../../job/encoding.ts';
import type {EndedGroup} from '../../job/group.ts';
import {type JobId, type JobStatus, STATUSES} from '../../job/job.ts';
import {
	asPacked,
	isPackable,
	type JobTimes,
	joinPacked,
	type PackedStrings,
	PackedTimes,
	packTimes,
	pickTimes,
	readPacked,
	slicePacked,
} from '../../job/packed.ts';
import type {Statements} from './connection.ts';
import {STATUS_OF, StoredState} from './tally.ts';
import type {Tx} from './tx.ts';

/**
 * A run is one row for many jobs with consecutive ids. `job_run` has their immutable columns; `ready_run`, `claimed_run` and `outcome_run` have the
 * state that they share. Before one job of a run can change by itself, all its jobs get rows of their own: {@link unpackRun}.
 */

/** The most jobs in a run. It limits the cost of unpacking one. */
export const MAX_RUN_JOBS = 2000;

/** The last job of a run. If another program wrote a row that is too long, the excess is ignored. */
export function lastOfRun(first: JobId, last: JobId): JobId {
	return Math.min(last, first + MAX_RUN_JOBS - 1);
}

// ——— immutable columns ———

/** A row of the statement `jobRunOf`. */
type JobRunRow = readonly [first: JobId, last: JobId, task: number, policy: number, priority: number, createdAt: number, payloads: string | null];

/** Jobs that share a row of `job_run`. */
export interface JobRun {
	readonly first: JobId;
	readonly last: JobId;
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly createdAt: number;
	payloadOf(id: JobId): Encoded;
	payloadsOf(first: JobId, last: JobId): PackedStrings;
}

/** The run that has this job; `undefined` if the job has a row of its own, or does not exist. */
export function jobRunOf({jobRunOf}: Statements, id: JobId): JobRun | undefined {
	const row = jobRunOf.get(id, id) as JobRunRow | undefined;
	if (!row) return undefined;
	const [first, last, task, policy, priority, createdAt, payloads] = row;
	let payloadAt: ((index: number) => string | null) | undefined;
	return {
		first,
		last: lastOfRun(first, last),
		task,
		policy,
		priority,
		createdAt,
		payloadOf(id) {
			payloadAt ??= readPacked(payloads);
			return payloadAt(id - first);
		},
		payloadsOf: (from, to) => slicePacked({count: last - first + 1, text: payloads}, from - first, to - first + 1),
	};
}

/** Gives the jobs of a run rows in `job`. Returns the number of jobs. */
export function unpackJobs(statements: Statements, id: JobId): number {
	const run = jobRunOf(statements, id);
	if (!run) return 0;
	const {first, last, task, policy, priority, createdAt} = run;
	statements.deleteJobRun.run(first);
	for (let id = first; id <= last; id++) statements.insertJob.run(id, task, policy, priority, createdAt, null, null, run.payloadOf(id));
	return last - first + 1;
}

// ——— outcomes ———

/** A row of the statement `outcomeRunOf`. */
export type OutcomeRunRow = readonly [first: JobId, last: JobId, batch: number | null, endedAt: number, times: Uint8Array, results: string | null];

/** The outcome of one job of a run. */
interface RunResult {
	readonly id: JobId;
	readonly startedAt: number | null;
	readonly endedAt: number;
	readonly durationMs: number | null;
	readonly cpuMs: number | null;
	readonly memoryBytes: number | null;
	readonly value: string | null;
}

/** True if the row of a run can hold the outcome of this execution. */
export function fitsInRun({execution, outcome}: Settlement): boolean {
	return execution === 1 && outcome.type === 'returned' && !outcome.enqueue && isPackable(outcome.value);
}

/** Executions that fit in a run: a group, or a single one. */
export type RunPart = {readonly group: EndedGroup; readonly settlement?: undefined} | {readonly group?: undefined; readonly settlement: Settlement};

/** The columns `times` and `results` of these executions. */
export function writeResults(parts: readonly RunPart[], jobs: number): [times: Uint8Array, results: string | null] {
	const [only] = parts;
	if (parts.length === 1 && only?.group) return [only.group.times, (asPacked(only.group.values) as PackedStrings).text];
	return [joinTimes(parts, jobs), joinPacked(parts.map(valuesOf)).text];
}

function valuesOf({group, settlement}: RunPart): PackedStrings {
	if (group) return asPacked(group.values) as PackedStrings;
	return {count: 1, text: settlement.outcome.type === 'returned' ? (settlement.outcome.value as string | null) : null};
}

function joinTimes(parts: readonly RunPart[], jobs: number): Uint8Array {
	const times = parts.map(({group, settlement}) => (group ? new PackedTimes(group.times) : settlement.outcome));
	const join = (name: keyof JobTimes): Float64Array => {
		const column = new Float64Array(jobs);
		let offset = 0;
		for (const each of times) {
			if (each instanceof PackedTimes) offset += each.column(name).copyTo(column, offset);
			else column[offset++] = each[name] ?? NaN;
		}
		return column;
	};
	return packTimes(jobs, {startedAt: join('startedAt'), durationMs: join('durationMs'), cpuMs: join('cpuMs'), memoryBytes: join('memoryBytes')});
}

/** The run that has this job, if it completed in one. */
export function outcomeRunOf({outcomeRunOf}: Statements, id: JobId): OutcomeRunRow | undefined {
	return outcomeRunOf.get(id, id) as OutcomeRunRow | undefined;
}

/** The row for the part of a run from one job up to another one. */
export function sliceOutcomeRun([first, last, batch, endedAt, times, results]: OutcomeRunRow, from: JobId, to: JobId): OutcomeRunRow {
	const [start, end] = [from - first, to - first + 1];
	const {text} = slicePacked({count: last - first + 1, text: results}, start, end);
	const indexes = Array.from({length: end - start}, (_, index) => start + index);
	return [from, to, batch, endedAt, pickTimes(times, indexes), text];
}

/** The outcome of each job of the run. Of a damaged row, the values that can still be read. */
function readResults([first, last, , endedAt, times, results]: OutcomeRunRow): RunResult[] {
	const packed = new PackedTimes(times);
	const valueAt = readPacked(results);
	return Array.from({length: lastOfRun(first, last) - first + 1}, (_, index) => {
		const {startedAt, durationMs, cpuMs, memoryBytes} = packed.at(index);
		return {
			id: first + index,
			startedAt: known(startedAt),
			endedAt,
			durationMs: known(durationMs),
			cpuMs: known(cpuMs),
			memoryBytes: known(memoryBytes),
			value: valueAt(index),
		};
	});
}

function known(value: number): number | null {
	return Number.isFinite(value) ? value : null;
}

const MAX_CACHED_RUNS = 8;
const cached = new WeakMap<Statements, Map<JobId, readonly RunResult[]>>();

/**
 * The outcome of this job, if it completed in a run. The last runs are cached, since callers often ask for neighbours. The cache stays valid: a run may
 * be deleted but never changes, and no later run begins with the same job. Don't call this in a transaction that may be rolled back.
 */
export function resultInRun(statements: Statements, id: JobId): RunResult | undefined {
	const first = statements.outcomeRunFirst.get(id, id) as JobId | undefined;
	return first === undefined ? undefined : resultsOf(statements, first)[id - first];
}

function resultsOf(statements: Statements, first: JobId): readonly RunResult[] {
	const runs = cached.get(statements) ?? new Map<JobId, readonly RunResult[]>();
	cached.set(statements, runs);
	const known = runs.get(first);
	if (known) return known;
	const run = outcomeRunOf(statements, first);
	const results = run ? readResults(run) : [];
	runs.set(first, results);
	for (const oldest of runs.keys()) if (runs.size > MAX_CACHED_RUNS) runs.delete(oldest);
	return results;
}

// ——— claims ———

/** A row of the statements `claimedRun…`. */
export type ClaimedRun = readonly [first: JobId, last: JobId, lease: number, owner: number, task: number, batch: number | null];

/** The run that has this job, if it is claimed in one. */
export function claimedRunOf({claimedRunOf}: Statements, id: JobId): ClaimedRun | undefined {
	return claimedRunOf.get(id, id) as ClaimedRun | undefined;
}

// ——— unpacking ———

/** Unpacks the runs that have this job: gives each of their jobs rows of its own. Returns the number of jobs. */
export function unpackRun(statements: Statements, id: JobId): number {
	const jobs = unpackJobs(statements, id);
	return Math.max(jobs, unpackReady(statements, id) || unpackClaimed(statements, id) || unpackOutcome(statements, id));
}

function unpackReady(statements: Statements, id: JobId): number {
	const run = statements.readyRunOf.get(id) as [task: number, rank: number, first: JobId, last: JobId] | undefined;
	if (!run) return 0;
	const [task, rank, first, last] = run;
	statements.deleteReadyRun.run(task, rank, first);
	return statements.insertReadyRange.run(first, last).changes;
}

function unpackClaimed(statements: Statements, id: JobId): number {
	const run = claimedRunOf(statements, id);
	if (!run) return 0;
	const [first, last, lease, owner] = run;
	statements.deleteClaimedRun.run(first);
	return statements.claimRange.run(lease, owner, first, last).changes;
}

function unpackOutcome(statements: Statements, id: JobId): number {
	const run = outcomeRunOf(statements, id);
	if (!run) return 0;
	statements.deleteOutcomeRun.run(run[0]);
	const results = readResults(run);
	for (const {id, startedAt, endedAt, durationMs, cpuMs, memoryBytes, value} of results)
		statements.insertOutcome.run(id, StoredState.completed, 1, startedAt, endedAt, durationMs, cpuMs, memoryBytes, value, null);
	return results.length;
}

/** The state of a job, and what must be known of the job to move or delete it. */
export interface FoundJob {
	readonly task: number;
	readonly batch: number | null;
	readonly key: string | null;
	readonly rank: number;
	readonly state: StoredState;
	readonly executions: number;
	/** True if the job's state is in the row of a run. */
	readonly isInRun: boolean;
}

/** Finds the job by its id. Changes nothing. */
export function findJob(statements: Statements, id: JobId): FoundJob | undefined {
	const row = statements.jobState.get(id) as JobStateRow | undefined;
	if (!row) {
		const kind = statements.jobRunKind.get(id, id) as [task: number, priority: number] | undefined;
		return kind && findInRuns(statements, id, {task: kind[0], batch: null, key: null, rank: -kind[1]});
	}
	const [task, batch, key, priority, lane, ready, waiting, failed, runAt, claimed, ended, status] = row;
	const job = {task, batch, key, rank: -priority, isInRun: false};
	if (ready !== null) return {...job, state: lane === task ? StoredState.ready : StoredState.quarantined, executions: ready};
	if (claimed !== null) return {...job, state: StoredState.running, executions: claimed};
	if (ended !== null) return {...job, state: status as StoredState, executions: ended};
	if (waiting === null) return findInRuns(statements, id, job);
	return {...job, state: failed === 0 ? StoredState.delayed : runAt === null ? StoredState.parked : StoredState.failed, executions: waiting};
}

/**
 * Finds a job that is about to change, and unpacks its run.
 * @returns `undefined`, with nothing changed, if the job is in none of these statuses
 */
export function findToChange(tx: Tx, id: JobId, statuses: readonly JobStatus[] = STATUSES): FoundJob | undefined {
	const job = findJob(tx.statements, id);
	if (!job || !statuses.includes(STATUS_OF[job.state])) return undefined;
	if (job.isInRun) tx.unpacked += unpackRun(tx.statements, id);
	return job;
}

type JobStateRow = readonly [
	task: number,
	batch: number | null,
	key: string | null,
	priority: number,
	lane: number | null,
	ready: number | null,
	waiting: number | null,
	failed: number | null,
	runAt: number | null,
	claimed: number | null,
	ended: number | null,
	status: number | null,
];

function findInRuns(statements: Statements, id: JobId, job: Pick<FoundJob, 'task' | 'batch' | 'key' | 'rank'>): FoundJob {
	const {task, rank} = job;
	if (statements.readyRunAt.get(task, rank, task, rank, id, id) !== undefined) return {...job, state: StoredState.ready, executions: 0, isInRun: true};
	if (claimedRunOf(statements, id)) return {...job, state: StoredState.running, executions: 1, isInRun: true};
	if (statements.outcomeRunFirst.get(id, id) !== undefined) return {...job, state: StoredState.completed, executions: 1, isInRun: true};
	// Another program has deleted the row of its state. As a parked job it can still be cancelled, retried and deleted.
	return {...job, state: StoredState.parked, executions: 0, isInRun: false};
}
