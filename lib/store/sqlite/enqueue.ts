import {type Encoded, sameValue} from '../../job/encoding.ts';
import type {FailureRecord} from '../../job/failure.ts';
import {type EnqueuedGroup, type NewGroup, newJobsOf, sizeOf, toIds} from '../../job/group.ts';
import type {BatchId, JobId} from '../../job/job.ts';
import {type ChildJob, dueAtOf, type NewJob} from '../../job/new-job.ts';
import {asPacked, isPackable, type PackedStrings, slicePacked, toPackedStrings} from '../../job/packed-strings.ts';
import {failpoint} from '../../support/failpoint.ts';
import {enqueueFailure, keyConflict, RETRIED_BY_DEFAULT} from '../store.ts';
import {replaceJob, retryJob} from './move.ts';
import {scopeOf} from './names.ts';
import {MAX_RUN_JOBS} from './packed-rows.ts';
import {StoredState} from './tally.ts';
import {nextJobId, type Tx} from './tx.ts';

/** Enqueues jobs with rising ids. For a job whose key exists, the result has the job with that key. */
export function enqueue(tx: Tx, groups: readonly NewGroup[], rejectConflicts: boolean): EnqueuedGroup[] {
	if (groups.length === 0) return [];
	const first = nextJobId(tx);
	const runs = new RunBuilder(tx);
	let next = first;
	const enqueued = groups.map(group => {
		const result = isRun(tx, group) ? addRun(tx, next, group, runs) : addJobs(tx, {next, first}, group, runs, rejectConflicts);
		next += sizeOf(group) - (result.reused?.length ?? 0) - (result.conflicts?.length ?? 0);
		return result;
	});
	runs.flush();
	if (next > first) {
		tx.statements.setJobCounter.run(next - 1);
		failpoint('enqueue:written');
	}
	return enqueued;
}

/** The failure of a job that enqueues these jobs, if the key of one belongs to another payload: in the store, or among the jobs before it. */
export function findConflict(tx: Tx, jobs: readonly ChildJob[]): FailureRecord | undefined {
	const own = new Map<string, Encoded>();
	for (const job of jobs) {
		if (job.key === undefined) continue;
		const name = JSON.stringify([job.task, job.key]);
		const holder = findByKey(tx, job);
		const held = holder ? holder.payload : own.get(name);
		if (held !== undefined && !sameValue(held, job.payload)) return enqueueFailure(job, holder?.id);
		own.set(name, job.payload);
	}
	return undefined;
}

/** True if the jobs of the group can be written as runs. */
function isRun({now}: Tx, group: NewGroup): boolean {
	return asPacked(group.values) !== undefined && group.keys === undefined && group.batch === undefined && dueAtOf(group, now) === null;
}

function addRun(tx: Tx, first: JobId, group: NewGroup, runs: RunBuilder): EnqueuedGroup {
	const key = keyOf(tx, group, false);
	runs.addRun(first, key, asPacked(group.values) as NonNullable<ReturnType<typeof asPacked>>);
	tx.tally.move(key.task, null, null, StoredState.ready, sizeOf(group));
	return {ids: first};
}

function keyOf({names}: Tx, {task, policy, priority, batch}: Omit<NewJob, 'payload'>, hasOwnRows: boolean): RunKey {
	return {task: names.task(task), policy: names.policyId(policy), priority, batch: batch ?? null, hasOwnRows};
}

/** @param start the id of the next job, and the id of the first job of this transaction */
function addJobs(tx: Tx, start: {readonly next: JobId; readonly first: JobId}, group: NewGroup, runs: RunBuilder, rejectConflicts: boolean): EnqueuedGroup {
	const [ids, reused, conflicts]: [JobId[], number[], number[]] = [[], [], []];
	const dueAt = dueAtOf(group, tx.now);
	let {next} = start;
	for (const job of newJobsOf(group)) {
		const holder = findByKey(tx, job);
		if (!holder) {
			addJob(tx, next, job, dueAt, runs);
			ids.push(next++);
			continue;
		}
		// The job with the key may be one of this transaction, whose rows are not written yet.
		if (holder.id >= start.first) runs.flush();
		const isReused = resolveKeyCollision(tx, job, holder);
		if (!isReused && rejectConflicts) throw keyConflict(job, holder.id);
		(isReused ? reused : conflicts).push(ids.length);
		ids.push(holder.id);
	}
	return {ids: toIds(ids), ...(reused.length > 0 && {reused}), ...(conflicts.length > 0 && {conflicts})};
}

function addJob(tx: Tx, id: JobId, job: NewJob, dueAt: number | null, runs: RunBuilder): void {
	const {statements, tally, now} = tx;
	const {payload, priority} = job;
	const isPlain = job.key === undefined && job.batch === undefined && isPackable(payload);
	const key = keyOf(tx, job, dueAt !== null || !isPlain);
	const {task, policy, batch, hasOwnRows} = key;
	if (hasOwnRows) statements.insertJob.run(id, task, policy, priority, now, batch, job.key ?? null, payload);
	if (job.key !== undefined) statements.insertKey.run(scopeOf(task, job.batch), job.key, id);
	if (dueAt !== null) statements.insertWaiting.run(id, dueAt, 0, 0);
	else runs.add(id, key, hasOwnRows ? null : payload);
	tally.move(task, batch, null, dueAt === null ? StoredState.ready : StoredState.delayed);
}

interface Holder {
	readonly id: JobId;
	readonly payload: Encoded;
}

function findByKey(
	{statements, names}: Tx,
	{task, batch, key}: {readonly task: string; readonly batch?: BatchId | undefined; readonly key?: string | undefined},
): Holder | undefined {
	if (key === undefined) return undefined;
	const row = statements.jobByKey.get(scopeOf(names.task(task), batch), key) as [JobId, Encoded] | undefined;
	return row && {id: row[0], payload: row[1]};
}

/** The key of a new job belongs to an earlier job. Returns false if that job keeps another payload. */
function resolveKeyCollision(tx: Tx, job: NewJob, {id, payload}: Holder): boolean {
	if (!sameValue(payload, job.payload)) return job.rerun?.changed === true && replaceJob(tx, id, job);
	if (job.rerun?.failed) retryJob(tx, id, RETRIED_BY_DEFAULT);
	return true;
}

const MIN_RUN_JOBS = 2;

/** The properties that the jobs of a run share. */
export interface RunKey {
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly batch: number | null;
	/** True if the jobs have rows in `job`. */
	readonly hasOwnRows: boolean;
}

interface OpenRun extends RunKey {
	readonly first: JobId;
	readonly payloads: Encoded[];
}

/**
 * Makes new jobs ready. They are added in order of their ids. Neighbours with the same {@link RunKey} become a run; the other jobs get rows in `ready`,
 * which are copied from `job`.
 */
export class RunBuilder {
	readonly #tx: Tx;
	#run: OpenRun | undefined;
	/** Jobs that are no run, and have no rows in `ready` yet. */
	#range: {readonly first: JobId; last: JobId} | undefined;

	constructor(tx: Tx) {
		this.#tx = tx;
	}

	/** Adds a job. The payload is used only if the job has no row in `job`. */
	add(id: JobId, key: RunKey, payload: Encoded): void {
		if (!this.#run || !continues(this.#run, id, key)) {
			this.#endRun();
			this.#run = {...key, first: id, payloads: []};
		}
		this.#run.payloads.push(payload);
	}

	/** Adds jobs that have no rows in `job`. */
	addRun(first: JobId, key: RunKey, payloads: PackedStrings): void {
		if (payloads.count < MIN_RUN_JOBS) {
			if (payloads.count === 1) this.add(first, key, payloads.text || null);
			return;
		}
		this.flush();
		for (let start = 0; start < payloads.count; start += MAX_RUN_JOBS) {
			const part = slicePacked(payloads, start, Math.min(payloads.count, start + MAX_RUN_JOBS));
			this.#insertRun(first + start, key, part);
		}
	}

	/** Writes all jobs that were added. */
	flush(): void {
		this.#endRun();
		this.#endRange();
	}

	#endRun(): void {
		const run = this.#run;
		this.#run = undefined;
		if (!run) return;
		const {statements, now} = this.#tx;
		const {task, policy, priority, batch, hasOwnRows, first, payloads} = run;
		const last = first + payloads.length - 1;
		if (payloads.length >= MIN_RUN_JOBS) {
			this.#insertRun(first, run, toPackedStrings(payloads));
			return;
		}
		if (!hasOwnRows) statements.insertJob.run(first, task, policy, priority, now, batch, null, payloads[0] as Encoded);
		if (this.#range?.last === first - 1) this.#range.last = last;
		else {
			this.#endRange();
			this.#range = {first, last};
		}
	}

	#insertRun(first: JobId, {task, policy, priority, batch, hasOwnRows}: RunKey, {count, text}: PackedStrings): void {
		const {statements, now} = this.#tx;
		const last = first + count - 1;
		if (!hasOwnRows) statements.insertJobRun.run(first, last, task, policy, priority, now, text);
		statements.insertReadyRun.run(task, -priority, first, last, batch);
	}

	#endRange(): void {
		if (this.#range) this.#tx.statements.insertReadyRange.run(this.#range.first, this.#range.last);
		this.#range = undefined;
	}
}

function continues(run: OpenRun, id: JobId, {task, policy, priority, batch, hasOwnRows}: RunKey): boolean {
	const isNext = id === run.first + run.payloads.length && run.payloads.length < MAX_RUN_JOBS;
	return isNext && run.task === task && run.policy === policy && run.priority === priority && run.batch === batch && run.hasOwnRows === hasOwnRows;
}
