import type {JobId, Page} from '../../job/job.ts';
import {failpoint} from '../../support/failpoint.ts';
import {type Deleted, type EndedBefore, type EndTimes, endTimeOf} from '../store.ts';
import {endExpiry} from './expiry.ts';
import {laneKey} from './lanes.ts';
import {deleteInRun, type FoundJob, findJob, lastOfRun, MAX_RUN_JOBS} from './packed-rows.ts';
import {STATUS_OF, StoredState} from './schema.sql.ts';
import type {Statements} from './statements.sql.ts';
import {scopeOf, type Tx} from './tx.ts';

/** Deletes a page of jobs that ended before a time. Returns the files of results that these jobs named as `unnamed`. */
export function deleteEndedBefore(
	tx: Tx,
	endedBefore: number | EndedBefore,
	{after = 0, limit = MAX_RUN_JOBS}: Page,
): Deleted & {readonly unnamed: readonly string[]} {
	const {page, next} = endedPage(tx.statements, after, limit);
	const old = page.filter(job => job.isInOpenBatch === 0 && job.endedAt < timeFor(tx, endedBefore, job));
	for (const job of old) {
		if (job.state !== null) deleteJob(tx, job.first, {...job, state: job.state, rank: 0});
		else for (let id = job.first; id <= job.last; ) id = deleteRun(tx, id, job.last) + 1;
	}
	if (old.length > 0) failpoint('cleanup:written');
	return {deleted: old.reduce((jobs, {first, last}) => jobs + last - first + 1, 0), next, unnamed: old.flatMap(({blob}) => blob ?? [])};
}

/** Deletes a page of those of the jobs that have ended, except in open batches. Returns the files of results that they named as `unnamed`. */
export function deleteEnded(tx: Tx, ids: readonly JobId[], {after = 0, limit = MAX_RUN_JOBS}: Page): Deleted & {readonly unnamed: readonly string[]} {
	const {statements} = tx;
	const wanted = [...new Set(ids.filter(id => id > after))].sort((a, b) => a - b);
	const page = wanted.slice(0, limit);
	const unnamed: string[] = [];
	let deleted = 0;
	for (const id of page) {
		const job = findJob(statements, id);
		if (!job || job.state < StoredState.completed || (job.batch !== null && statements.isBatchOpen.get(job.batch) !== undefined)) continue;
		const blob = statements.blobOf.get(id) as string | null | undefined;
		if (blob) unnamed.push(blob);
		deleteRun(tx, id, id);
		deleted++;
	}
	if (deleted > 0) failpoint('cleanup:written');
	return {deleted, next: page.length < wanted.length ? (page.at(-1) ?? null) : null, unnamed};
}

/** When this job, or the jobs of this run, must have ended to be deleted. A run has only completed jobs, all of one task. */
function timeFor({statements}: Tx, endedBefore: number | EndedBefore, {first, state, task}: Ended): number {
	if (typeof endedBefore === 'number') return endedBefore;
	const status = STATUS_OF[state ?? StoredState.completed] as keyof EndTimes;
	if (endedBefore.tasks.size === 0) return endedBefore[status];
	const number = state === null ? findJob(statements, first)?.task : task;
	return endTimeOf(endedBefore, statements.taskById.get(number ?? 0) as string, status);
}

/** A row of the statement `endedJobs`: an ended job that has a row of its own, or a run of completed jobs, of which no more is known. */
interface Ended extends Pick<FoundJob, 'task' | 'batch' | 'key'> {
	readonly first: JobId;
	readonly last: JobId;
	readonly endedAt: number;
	readonly isInOpenBatch: number;
	readonly state: StoredState | null;
	readonly blob: string | null;
}

/** A page of ended jobs, in order. A run is cut only if it is longer than the limit, since the rest of a cut run must be written anew. */
function endedPage({endedJobs}: Statements, after: JobId, limit: number): {readonly page: readonly Ended[]; readonly next: JobId | null} {
	const page: Ended[] = [];
	let [done, room] = [after, limit];
	for (const ended of endedJobs.iterate({after}) as IterableIterator<Ended>) {
		const [first, last] = [Math.max(ended.first, after + 1), lastOfRun(ended.first, ended.last)];
		const jobs = last - first + 1;
		if (jobs <= 0) continue;
		if (jobs > room && page.length > 0) return {page, next: done};
		done = Math.min(last, first + room - 1);
		page.push({...ended, first, last: done});
		if (done < last) return {page, next: done};
		room -= jobs;
	}
	return {page, next: null};
}

/** Deletes a job that is not running, and the jobs after it in its run, up to the id `upTo`. Returns the last job that was deleted or passed over. */
export function deleteRun(tx: Tx, id: JobId, upTo: JobId): JobId {
	const job = findJob(tx.statements, id);
	if (!job || job.state === StoredState.running) return id;
	if (!job.isInRun) {
		deleteJob(tx, id, job);
		return id;
	}
	const last = deleteInRun(tx.statements, id, upTo, job);
	endExpiry(tx, id, last);
	tx.tally.move(job.task, job.batch, job.state, null, last - id + 1);
	return last;
}

/** Deletes a job that has rows of its own. */
function deleteJob(tx: Tx, id: JobId, job: Pick<FoundJob, 'task' | 'batch' | 'key' | 'rank' | 'state'>): void {
	deleteStateRow(tx, id, job);
	deleteJobRows(tx, id, job);
}

/** Deletes the row of a job's state. The job must not be running. */
export function deleteStateRow({statements}: Tx, id: JobId, {task, rank, state}: Pick<FoundJob, 'task' | 'rank' | 'state'>): void {
	if (state === StoredState.ready || state === StoredState.quarantined) statements.deleteReady.run(laneKey(task, state), rank, id);
	else if (state >= StoredState.completed) statements.deleteOutcome.run(id);
	else statements.deleteWaiting.run(id);
}

/** Deletes all rows of a job but the row of its state, which the caller deletes. */
export function deleteJobRows(tx: Tx, id: JobId, {task, batch, key, state}: Pick<FoundJob, 'task' | 'batch' | 'key' | 'state'>): void {
	const {statements, tally} = tx;
	endExpiry(tx, id);
	for (const name of ['deleteFailureState', 'deleteExecutions', 'deleteProgress', 'deleteCheckpoint', 'deleteLog', 'deleteJob'] as const)
		statements[name].run(id);
	// Another job may have taken the key.
	if (key !== null) statements.deleteKey.run(scopeOf(task, batch), key, id);
	tally.move(task, batch, state, null);
}
