import {keyAt, listKeys} from '../../../job/groups/group.ts';
import {cutPacked, type PackedStrings, readPacked, slicePacked} from '../../../job/groups/packed.ts';
import {PackedTimes} from '../../../job/groups/packed-times.ts';
import type {JobId} from '../../../job/job.ts';
import {StoredState} from '../../stored-state.ts';
import {MAX_RUN_JOBS} from '../connection/schema.sql.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {blockedRunOf, takeBlocked} from './blocked.ts';
import {freeKeys, freeNumbers} from './numbered-keys.ts';
import {insertOutcomeRun, type OutcomeRun, outcomeRunOf, readResults, sliceOutcomeRun} from './outcome-runs.ts';
import {lastOfRun, type Range} from './run-range.ts';
import {keySpaceOf} from './tx.ts';

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
		for (const part of cutJobRun(run, [from, to + 1])) if (part.first !== from) insertJobRun(statements, part);
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
