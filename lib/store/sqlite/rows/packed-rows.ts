import type {Settlement} from '../../../job/claim.ts';
import {type EndedGroup, keyAt, listKeys, sizeOf} from '../../../job/groups/group.ts';
import {asPacked, cutPacked, joinPacked, type PackedStrings, readPacked, slicePacked} from '../../../job/groups/packed.ts';
import {type JobTimes, PackedTimes, packTimes, pickTimes} from '../../../job/groups/packed-times.ts';
import type {JobId} from '../../../job/job.ts';
import {StoredState} from '../../stored-state.ts';
import {MAX_RUN_JOBS} from '../connection/schema.sql.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {blockedRunOf, takeBlocked} from './blocked.ts';
import {freeKeys, freeNumbers} from './numbered-keys.ts';
import {keySpaceOf} from './tx.ts';

/**
 * A run is one row for many jobs with consecutive ids. `job_run` has their immutable columns; `ready_run`, `claimed_run` and `outcome_run` have the
 * state that they share. A job that fails is cut out of its run: {@link extractJobs}. Before anything else happens to one job of a run, all its jobs get
 * rows of their own: {@link unpackRun}.
 */

/** The last job of a run. If another program wrote a row that is too long, the excess is ignored. */
export function lastOfRun(first: JobId, last: JobId): JobId {
	return Math.min(last, first + MAX_RUN_JOBS - 1);
}

/** The bounds of a run. */
export type Range = readonly [first: JobId, last: JobId];

/** The state of a job, and the facts that are needed to move or delete it. */
export interface FoundJob {
	readonly task: number;
	readonly batch: number | null;
	readonly key: string | null;
	readonly rank: number;
	readonly state: StoredState;
	readonly executions: number;
	/** True if the job's state is in the row of a run. */
	readonly isInRun?: true;
}

/** Finds the job by its id. Changes nothing. */
export function findJob(statements: Statements, id: JobId): FoundJob | undefined {
	const job = (statements.jobState.get(id) as StoredJob | undefined) ?? findPacked(statements, id);
	if (job?.state !== null) return job as FoundJob | undefined;
	if (readyRunOf(statements, id, job)) return {...job, state: StoredState.ready, isInRun: true};
	if (claimedRunOf(statements, id)) return {...job, state: StoredState.running, executions: 1, isInRun: true};
	if (statements.outcomeRunFirst.get(id, id) !== undefined) return {...job, state: StoredState.completed, executions: 1, isInRun: true};
	const blocked = blockedRunOf(statements, id);
	// After its first execution a job has rows of its own.
	if (blocked) return {...job, state: StoredState.blocked, executions: blocked.executions, ...(blocked.executions === 0 && {isInRun: true})};
	// Another program has deleted the row of its state. As a parked job it can still be cancelled, retried and deleted.
	return {...job, state: StoredState.parked};
}

/** The state is `null` if it is in the row of a run. */
type StoredJob = Omit<FoundJob, 'state'> & {readonly state: StoredState | null};

function findPacked({packedState}: Statements, id: JobId): StoredJob | undefined {
	const run = packedState.get(id, id) as (Pick<JobRun, 'first' | 'task' | 'batch' | 'firstNumber' | 'keys'> & {readonly rank: number}) | undefined;
	if (!run) return undefined;
	const {task, batch, rank} = run;
	return {task, batch, rank, key: keyAt(keysOf(run), id - run.first) ?? null, state: null, executions: 0};
}

/** Unpacks the runs that have this job: gives each of their jobs rows of its own. Returns the number of jobs. */
export function unpackRun(statements: Statements, id: JobId, job: FoundJob): number {
	if (job.state === StoredState.running) return unpackClaimed(statements, id);
	unpackJobs(statements, id);
	// The row of its state is cut when the job leaves it.
	if (job.state === StoredState.blocked) return 1;
	if (job.state === StoredState.ready) {
		const [first, last] = readyRunOf(statements, id, job) as Range;
		statements.deleteReadyRun.run(job.task, job.rank, first);
		return statements.insertReadyRange.run(first, last).changes;
	}
	const run = outcomeRunOf(statements, id) as OutcomeRun;
	statements.deleteOutcomeRun.run(run[0]);
	const results = readResults(run);
	for (const [index, {startedAt, endedAt, durationMs, cpuMs, memoryBytes, worker, value}] of results.entries())
		statements.insertOutcome.run(run[0] + index, StoredState.completed, 1, endedAt, worker, startedAt, durationMs, cpuMs, memoryBytes, value, null);
	return results.length;
}

/** Gives the jobs of a run rows in `job`. */
export function unpackJobs(statements: Statements, id: JobId): void {
	const run = jobRunOf(statements, id);
	if (!run) return;
	const {first, last, task, policy, priority, createdAt, batch} = run;
	const keys = keysOf(run);
	const listed = keys === undefined ? undefined : listKeys(keys, last - first + 1);
	const payloadAt = payloadReader(run);
	statements.deleteJobRun.run(first);
	for (let id = first; id <= last; id++) {
		const key = listed?.[id - first] ?? null;
		statements.insertJob.run(id, task, policy, priority, createdAt, batch, key, payloadAt(id));
	}
}

/** Gives these jobs, in the order of their ids, rows in `job`. The jobs between them stay runs. No row of a run may have the state of one of them. */
export function extractJobs(statements: Statements, ids: readonly JobId[]): void {
	for (let next = 0; next < ids.length; ) {
		const run = jobRunOf(statements, ids[next] as JobId);
		const start = next++;
		if (!run) continue;
		while (next < ids.length && (ids[next] as JobId) <= run.last) next++;
		extractFrom(statements, run, ids.slice(start, next));
	}
}

function extractFrom(statements: Statements, run: JobRun, ids: readonly JobId[]): void {
	const {first, task, policy, priority, createdAt, batch} = run;
	statements.deleteJobRun.run(first);
	const extracted = new Set(ids);
	for (const part of cutJobRun(
		run,
		ids.flatMap(id => [id, id + 1]),
	)) {
		if (!extracted.has(part.first)) insertJobRun(statements, part);
		else statements.insertJob.run(part.first, task, policy, priority, createdAt, batch, keyAt(keysOf(part), 0) ?? null, part.payloads || null);
	}
}

/** Unpacks the run in which this job is claimed. */
export function unpackClaimed(statements: Statements, id: JobId): number {
	unpackJobs(statements, id);
	const [first, last, lease, owner] = claimedRunOf(statements, id) as ClaimedRun;
	statements.deleteClaimedRun.run(first);
	return statements.claimRange.run(lease, owner, first, last).changes;
}

/**
 * Deletes this job, and the jobs after it in its run, up to the id `upTo`. The job must not be running. Jobs of a run have no failure, checkpoint,
 * progress or log. Unpacks nothing: on a full disk there would be no room for the rows.
 * @returns the last job that was deleted
 */
export function deleteInRun(statements: Statements, from: JobId, upTo: JobId, job: FoundJob): JobId {
	const {task, batch, rank} = job;
	const outcomes = job.state === StoredState.completed ? outcomeRunOf(statements, from) : undefined;
	const blocked = job.state === StoredState.blocked ? blockedRunOf(statements, from) : undefined;
	const [first, end] = outcomes ?? (blocked ? [blocked.first, blocked.last] : (readyRunOf(statements, from, job) as Range));
	const last = lastOfRun(first, end);
	const to = Math.max(from, Math.min(last, upTo));
	if (blocked) takeBlocked(statements, blocked, from, to);
	else if (outcomes) statements.deleteOutcomeRun.run(first);
	else statements.deleteReadyRun.run(task, rank, first);
	insertRest(blocked ? [from, to] : [first, last], [from, to], (...rest) => {
		if (outcomes) {
			const part = sliceOutcomeRun(outcomes, ...rest);
			insertOutcomeRun(statements, part, [{times: new PackedTimes(part[4])}]);
		} else statements.insertReadyRun.run(task, rank, ...rest, batch);
	});
	const run = jobRunOf(statements, from);
	if (run) {
		statements.deleteJobRun.run(run.first);
		insertRest([run.first, run.last], [from, to], (...rest) => insertJobRun(statements, sliceJobRun(run, ...rest)));
		freeKeysInRun(statements, run, from, to);
	} else {
		freeKeys(statements, from, to);
		statements.deleteJobs.run(from, to);
	}
	return to;
}

function freeKeysInRun(statements: Statements, run: JobRun, from: JobId, to: JobId): void {
	const {first, task, batch, firstNumber, keys} = run;
	if (firstNumber !== null && batch !== null) freeNumbers(statements, batch, firstNumber + from - first, firstNumber + to - first);
	if (keys === null) return;
	const keyAt = readPacked(keys);
	for (let id = from; id <= to; id++) statements.deleteKey.run(keySpaceOf(task, batch), keyAt(id - first), id);
}

/** Writes the jobs of a run before and after this part of it as runs. */
function insertRest([first, last]: Range, [from, to]: Range, insert: (first: JobId, last: JobId) => void): void {
	if (first < from) insert(first, from - 1);
	if (to < last) insert(to + 1, last);
}

/** Jobs that share a row of `job_run`. */
export interface JobRun {
	readonly first: JobId;
	readonly last: JobId;
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly createdAt: number;
	readonly batch: number | null;
	/** The key of the first job, if the keys are consecutive numbers. They are also in `key_run`. */
	readonly firstNumber: number | null;
	/** Otherwise a line for each key, which are also in `key`; `null` if the jobs have none. */
	readonly keys: string | null;
	/** Packed strings. */
	readonly payloads: string | null;
}

/** The keys of a run's jobs. */
export function keysOf({firstNumber, keys}: Pick<JobRun, 'firstNumber' | 'keys'>): number | PackedStrings | undefined {
	return firstNumber ?? (keys === null ? undefined : {count: MAX_RUN_JOBS, text: keys});
}

export function insertJobRun({insertJobRun}: Statements, run: JobRun): void {
	const {first, last, task, policy, priority, createdAt, batch, firstNumber, keys, payloads} = run;
	insertJobRun.run(first, last, task, policy, priority, createdAt, batch, firstNumber, keys, payloads);
}

/** The part of a run from one job up to another one. */
function sliceJobRun(run: JobRun, from: JobId, to: JobId): JobRun {
	const {first, last, firstNumber, keys} = run;
	return {
		...run,
		first: from,
		last: to,
		firstNumber: firstNumber === null ? null : firstNumber + from - first,
		keys: keys === null ? null : slicePacked({count: last - first + 1, text: keys}, from - first, to - first + 1).text,
		payloads: payloadsOf(run, from, to).text,
	};
}

/** The run in parts. These jobs, in the order of their ids, are the first of a part. */
function cutJobRun(run: JobRun, starts: readonly JobId[]): JobRun[] {
	const {first, last, firstNumber} = run;
	const end = last + 1;
	const bounds = [first, ...starts, end].filter((id, index, all) => id <= end && id !== all[index - 1]).map(id => id - first);
	const cut = (text: string | null) => cutPacked({count: end - first, text}, bounds).map(part => part.text);
	const [keys, payloads] = [cut(run.keys), cut(run.payloads)];
	return payloads.map((part, index) => {
		const [from, to] = [bounds[index] as number, bounds[index + 1] as number];
		return {
			...{...run, first: first + from, last: first + to - 1, payloads: part, keys: keys[index] as string | null},
			firstNumber: firstNumber === null ? null : firstNumber + from,
		};
	});
}

/** A function that returns the payload of each job of the run. */
export function payloadReader({first, payloads}: JobRun): (id: JobId) => string | null {
	const payloadAt = readPacked(payloads);
	return id => payloadAt(id - first);
}

/** The run that has this job; `undefined` if the job has a row of its own, or does not exist. */
export function jobRunOf({jobRunOf}: Statements, id: JobId): JobRun | undefined {
	const run = jobRunOf.get(id, id) as JobRun | undefined;
	return run && {...run, last: lastOfRun(run.first, run.last)};
}

/** The payloads from one job of the run up to another one. */
export function payloadsOf({first, last, payloads}: JobRun, from: JobId, to: JobId): PackedStrings {
	return slicePacked({count: last - first + 1, text: payloads}, from - first, to - first + 1);
}

/** The bounds of the run that has this job, if it is ready in one. */
function readyRunOf({readyRunOf}: Statements, id: JobId, {task, rank}: Pick<FoundJob, 'task' | 'rank'>): Range | undefined {
	return readyRunOf.get({id, task, rank}) as Range | undefined;
}

/** A row of the statements `claimedRun…`. */
export type ClaimedRun = readonly [first: JobId, last: JobId, lease: number, owner: number, task: number, batch: number | null];

/** The run that has this job, if it is claimed in one. */
export function claimedRunOf({claimedRunOf}: Statements, id: JobId): ClaimedRun | undefined {
	return claimedRunOf.get(id, id) as ClaimedRun | undefined;
}

/** A row of the statement `outcomeRunOf`. */
export type OutcomeRun = readonly [
	first: JobId,
	last: JobId,
	batch: number | null,
	endedAt: number,
	times: Uint8Array,
	results: string | null,
	workers: string | null,
];

/**
 * Writes a run, with the bounds of its times: lists that are sorted by a time find it by them.
 * @param parts the times of the run
 */
export function insertOutcomeRun({insertOutcomeRun}: Statements, run: OutcomeRun, parts: readonly Timed[]): void {
	insertOutcomeRun.run(...run, ...boundsOf(parts, 'startedAt'), ...boundsOf(parts, 'durationMs'));
}

/** The times of a group, or of one execution. */
type Timed = {readonly times: PackedTimes} | {readonly times?: undefined; readonly settlement: Settlement};

/** The lowest and the highest value; -1 if none is known. */
function boundsOf(parts: readonly Timed[], name: 'startedAt' | 'durationMs'): readonly [lowest: number, highest: number] {
	let [lowest, highest] = [Infinity, -Infinity];
	for (const part of parts) {
		const value = part.times ? undefined : part.settlement.outcome[name];
		const [least = value ?? Infinity, most = value ?? -Infinity] = part.times?.column(name)?.bounds() ?? [];
		lowest = Math.min(lowest, least);
		highest = Math.max(highest, most);
	}
	return Number.isFinite(lowest) && Number.isFinite(highest) ? [lowest, highest] : [-1, -1];
}

/** The run that has this job, if it completed in one. */
function outcomeRunOf({outcomeRunOf}: Statements, id: JobId): OutcomeRun | undefined {
	return outcomeRunOf.get(id, id) as OutcomeRun | undefined;
}

/** The results of completed jobs of a run, from this job up to `last` at most; `undefined` if the job did not complete in a run. */
export function resultsOfRun(statements: Statements, id: JobId, last: JobId): PackedStrings | undefined {
	const run = outcomeRunOf(statements, id);
	if (!run) return undefined;
	const [first, end, , , , results] = run;
	return slicePacked({count: end - first + 1, text: results}, id - first, Math.min(last, end) - first + 1);
}

/** The part of a run from one job up to another one. */
function sliceOutcomeRun([first, last, batch, endedAt, times, results, workers]: OutcomeRun, from: JobId, to: JobId): OutcomeRun {
	const [start, end] = [from - first, to - first + 1];
	const {text} = slicePacked({count: last - first + 1, text: results}, start, end);
	const indexes = Array.from({length: end - start}, (_, index) => start + index);
	const ran = readWorkers(workers).slice(start, end);
	return [from, to, batch, endedAt, pickTimes(times, indexes), text, writeWorkers(ran.map(worker => [1, worker]))];
}

/** The run in parts, of which one worker ran each. */
export function byWorker(run: OutcomeRun): (readonly [part: OutcomeRun, worker: string | null])[] {
	const [first, last] = [run[0], lastOfRun(run[0], run[1])];
	const ran = readWorkers(run[6]);
	const parts: [OutcomeRun, string | null][] = [];
	for (let from = first; from <= last; ) {
		const worker = ran[from - first] ?? null;
		let to = from;
		while (to < last && (ran[to + 1 - first] ?? null) === worker) to++;
		parts.push([from === first && to === run[1] ? run : sliceOutcomeRun(run, from, to), worker]);
		from = to + 1;
	}
	return parts;
}

/** Executions that fit in a run: a group, with its times, or a single one. */
export type RunPart =
	| {readonly group: EndedGroup; readonly times: PackedTimes; readonly settlement?: undefined}
	| {readonly group?: undefined; readonly times?: undefined; readonly settlement: Settlement};

/** The columns `times`, `results` and `workers` of these executions. */
export function writeResults(parts: readonly RunPart[], jobs: number): [times: Uint8Array, results: string | null, workers: string | null] {
	const [only] = parts;
	const workers = writeWorkers(parts.map(({group, settlement}) => (group ? [sizeOf(group), group.worker] : [1, settlement.worker])));
	if (parts.length === 1 && only?.group) return [only.group.times, valuesOf(only).text, workers];
	return [joinTimes(parts, jobs), joinPacked(parts.map(valuesOf)).text, workers];
}

/** A number of consecutive jobs, and the worker that ran them, if it is known. */
type WorkerOfJobs = readonly [jobs: number, worker: string | null | undefined];

function writeWorkers(all: readonly WorkerOfJobs[]): string | null {
	const joined: [jobs: number, worker: string | null][] = [];
	for (const [jobs, worker = null] of all) {
		const last = joined.at(-1);
		if (last?.[1] === worker) last[0] += jobs;
		else joined.push([jobs, worker]);
	}
	return joined.some(([, worker]) => worker !== null) ? JSON.stringify(joined) : null;
}

/** The worker of each job of a run. If another program wrote the column, what can be read of it. */
function readWorkers(stored: string | null): (string | null)[] {
	try {
		const pairs = JSON.parse(stored ?? '[]') as [unknown, unknown][];
		return pairs.flatMap(([jobs, worker]) => {
			const count = Math.min(Number(jobs), MAX_RUN_JOBS);
			return new Array<string | null>(count).fill(typeof worker === 'string' ? worker : null);
		});
	} catch {
		return [];
	}
}

function valuesOf({group, settlement}: RunPart): PackedStrings {
	if (group) return asPacked(group.values) as PackedStrings;
	return {count: 1, text: settlement.outcome.type === 'returned' ? (settlement.outcome.value as string | null) : null};
}

function joinTimes(parts: readonly RunPart[], jobs: number): Uint8Array {
	const all = parts.map(({times, settlement}) => times ?? settlement.outcome);
	const join = (name: keyof JobTimes): Float64Array => {
		const column = new Float64Array(jobs);
		let offset = 0;
		for (const each of all) {
			if (each instanceof PackedTimes) offset += each.column(name).copyTo(column, offset);
			else column[offset++] = each[name] ?? NaN;
		}
		return column;
	};
	return packTimes(jobs, {startedAt: join('startedAt'), durationMs: join('durationMs'), cpuMs: join('cpuMs'), memoryBytes: join('memoryBytes')});
}

/** The outcome of one job of a run. */
type RunResult = {readonly [Name in keyof JobTimes]: number | null} & {
	readonly endedAt: number;
	readonly value: string | null;
	readonly worker: string | null;
};

/** The outcome of each job of the run. Of a damaged row, the values that can still be read. */
function readResults([first, last, , endedAt, times, results, workers]: OutcomeRun): RunResult[] {
	const packed = new PackedTimes(times);
	const ran = readWorkers(workers);
	const valueAt = readPacked(results);
	const known = (value: number) => (Number.isFinite(value) ? value : null);
	return Array.from({length: lastOfRun(first, last) - first + 1}, (_, index) => {
		const {startedAt, durationMs, cpuMs, memoryBytes} = packed.at(index);
		const times = {startedAt: known(startedAt), durationMs: known(durationMs), cpuMs: known(cpuMs), memoryBytes: known(memoryBytes)};
		return {...times, endedAt, value: valueAt(index), worker: ran[index] ?? null};
	});
}

const MAX_CACHED_RUNS = 8;
const cached = new WeakMap<Statements, Map<JobId, readonly RunResult[]>>();

/**
 * The outcome of this job, if it completed in a run. The last runs are cached, since callers often ask for neighbours. The cache stays valid: a run may
 * be deleted but never changes, and no later run begins with the same job. Don't call this in a transaction that may be rolled back.
 */
export function resultInRun(statements: Statements, id: JobId): RunResult | undefined {
	const found = resultsWith(statements, id);
	return found?.results[id - found.first];
}

/** The outcomes of the run that has this job. */
export function resultsWith(statements: Statements, id: JobId): {readonly first: JobId; readonly results: readonly RunResult[]} | undefined {
	const first = statements.outcomeRunFirst.get(id, id) as JobId | undefined;
	if (first === undefined) return undefined;
	const runs = cached.get(statements) ?? new Map<JobId, readonly RunResult[]>();
	cached.set(statements, runs);
	let results = runs.get(first);
	if (!results) {
		results = readResults(outcomeRunOf(statements, id) as OutcomeRun);
		runs.set(first, results);
		for (const oldest of runs.keys()) if (runs.size > MAX_CACHED_RUNS) runs.delete(oldest);
	}
	return {first, results};
}
