import type {JobId} from '../../../job/job.ts';
import type {Place} from '../../../job/search.ts';
import {failpoint} from '../../../support/failpoint.ts';
import {type Deleted, type EndedBefore, type EndedDeletion, type EndTimes, endTimeOf} from '../../deletions.ts';
import type {SearchPage} from '../../found-jobs.ts';
import {hasEnded, STATUS_OF, StoredState} from '../../stored-state.ts';
import {nameOf} from '../../task-number.ts';
import {MAX_RUN_JOBS} from '../connection/schema.sql.ts';
import type {Statements} from '../connection/statements.sql.ts';
import {type BlockedRun, blockedRunOf, takeBlocked} from '../rows/blocked.ts';
import {deleteEdgesTo, isNeeded} from '../rows/edges.ts';
import {endExpiry} from '../rows/expiry.ts';
import {laneKey} from '../rows/lanes.ts';
import {freeKey} from '../rows/numbered-keys.ts';
import {deleteInRun, type FoundJob, findJob} from '../rows/packed-rows.ts';
import {lastOfRun} from '../rows/run-range.ts';
import {forgetMoments} from '../rows/scheduled-jobs.ts';
import {parentsChanged, type Tx} from '../rows/tx.ts';

/** What a page deleted, with the files of results that these jobs named. */
interface DeletedEnded extends Deleted {
	readonly unnamed: readonly string[];
}

/** Deletes a page of jobs that have ended, except in open batches. */
export function deleteEnded(tx: Tx, what: EndedDeletion, {after, limit = MAX_RUN_JOBS}: SearchPage): DeletedEnded {
	const from = typeof after === 'number' ? after : 0;
	if ('ids' in what) return deleteById(tx, what.ids, from, limit);
	if ('ended' in what) {
		const {old, next} = findOutdated(tx.statements, what.ended, {after, limit});
		return {...deleteAll(tx, old), next};
	}
	const {page, hasMore} = takePage(tx.statements.endedJobs.iterate({after: from}) as IterableIterator<Ended>, () => from, limit);
	const old = page.filter(job => job.isInOpenBatch === 0 && job.endedAt < what.endedBefore);
	return {...deleteAll(tx, old), next: hasMore ? (page.at(-1)?.last ?? null) : null};
}

function deleteById(tx: Tx, ids: readonly JobId[], after: JobId, limit: number): DeletedEnded {
	const {statements} = tx;
	const wanted = [...new Set(ids.filter(id => id > after))].sort((a, b) => a - b);
	const page = wanted.slice(0, limit);
	const unnamed: string[] = [];
	let deleted = 0;
	for (const id of page) {
		const job = findJob(statements, id);
		if (!job || !hasEnded(job.state) || (job.batch !== null && statements.isBatchOpen.get(job.batch) !== undefined)) continue;
		if (isNeeded(tx, [id, id])) continue;
		const blob = statements.blobOf.get(id) as string | null | undefined;
		if (blob) unnamed.push(blob);
		deleteRun(tx, id, id);
		deleted++;
	}
	if (deleted > 0) failpoint('cleanup:written');
	return {deleted, next: page.length < wanted.length ? (page.at(-1) ?? null) : null, unnamed};
}

function deleteAll(tx: Tx, found: readonly Ended[]): Pick<DeletedEnded, 'deleted' | 'unnamed'> {
	const old = found.flatMap(each => unneededOf(tx, each));
	for (const job of old) {
		if (job.state !== null) deleteJob(tx, job.first, {...job, state: job.state, rank: 0});
		else for (let id = job.first; id <= job.last; ) id = deleteRun(tx, id, job.last) + 1;
	}
	if (old.length > 0) failpoint('cleanup:written');
	return {deleted: old.reduce((jobs, {first, last}) => jobs + last - first + 1, 0), unnamed: old.flatMap(({blob}) => blob ?? [])};
}

/** The job, or the parts of the run, without those for which an unended job has waited: it needs their results. */
function unneededOf(tx: Tx, ended: Ended): Ended[] {
	if (!isNeeded(tx, [ended.first, ended.last])) return [ended];
	const parts: {first: JobId; last: JobId}[] = [];
	for (let id = ended.first; id <= ended.last; id++) {
		const last = parts.at(-1);
		if (isNeeded(tx, [id, id])) continue;
		if (last?.last === id - 1) last.last = id;
		else parts.push({first: id, last: id});
	}
	return parts.map(part => ({...ended, ...part}));
}

/** A row of the statements `endedJobs` and `outdatedJobs`: an ended job that has a row of its own, or a run of completed jobs, of which no more is known. */
interface Ended extends Pick<FoundJob, 'task' | 'batch' | 'key'> {
	readonly first: JobId;
	readonly last: JobId;
	readonly endedAt: number;
	readonly isInOpenBatch: number;
	readonly state: StoredState | null;
	readonly blob: string | null;
}

/**
 * A page of the jobs that ended before the time of their task and status, in the order of their ends. It passes by jobs of open batches, and jobs of
 * tasks with an earlier time than the latest of all tasks.
 */
export function findOutdated(
	statements: Statements,
	ended: EndedBefore,
	{after, limit = MAX_RUN_JOBS}: SearchPage,
): {readonly old: readonly Ended[]; readonly next: Place | null} {
	const from = typeof after === 'object' ? after : {value: 0, id: 0};
	const latest = (status: keyof EndTimes) => Math.max(ended[status], ...[...ended.tasks.values()].map(times => times[status]));
	const times = {completed: latest('completed'), dead: latest('dead'), cancelled: latest('cancelled')};
	const rows = statements.outdatedJobs.iterate({...from, ...times}) as IterableIterator<Ended>;
	const {page, hasMore} = takePage(rows, ({endedAt}) => (endedAt === from.value ? from.id : 0), limit);
	const last = page.at(-1);
	// In a damaged file rows may go backwards.
	const next = hasMore && last && (last.endedAt > from.value || last.last > from.id) ? {value: last.endedAt, id: last.last} : null;
	return {old: page.filter(job => job.isInOpenBatch === 0 && job.endedAt < timeFor(statements, ended, job)), next};
}

/** When this job, or the jobs of this run, must have ended to be deleted. A run has only completed jobs, all of one task. */
function timeFor(statements: Statements, ended: EndedBefore, {first, state, task}: Ended): number {
	const status = STATUS_OF[state ?? StoredState.completed] as keyof EndTimes;
	if (ended.tasks.size === 0) return ended[status];
	const number = state === null ? findJob(statements, first)?.task : task;
	return endTimeOf(ended, statements.taskById.get(nameOf(number ?? 0)) as string, status);
}

/** The first of these rows. A run is cut only if it is longer than the limit, since the rest of a cut run must be written anew. */
function takePage(rows: Iterable<Ended>, after: (ended: Ended) => JobId, limit: number): {readonly page: readonly Ended[]; readonly hasMore: boolean} {
	const page: Ended[] = [];
	let room = limit;
	for (const ended of rows) {
		const [first, last] = [Math.max(ended.first, after(ended) + 1), lastOfRun(ended.first, ended.last)];
		const jobs = last - first + 1;
		if (jobs <= 0) continue;
		if (jobs > room && page.length > 0) return {page, hasMore: true};
		page.push({...ended, first, last: Math.min(last, first + room - 1)});
		if (jobs > room) return {page, hasMore: true};
		room -= jobs;
	}
	return {page, hasMore: false};
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
	forgetMoments(tx, id, last);
	tx.statements.deleteFingerprints.run(id, last);
	parentsChanged(tx, id, last, 'deleted');
	deleteEdgesTo(tx, id, last);
	tx.tally.move(job.task, job.batch, job.state, null, last - id + 1);
	return last;
}

/** Deletes a job that has rows of its own. */
function deleteJob(tx: Tx, id: JobId, job: Pick<FoundJob, 'task' | 'batch' | 'key' | 'rank' | 'state'>): void {
	deleteStateRow(tx, id, job);
	deleteJobRows(tx, id, job);
}

/** Deletes the row of a job's state. The job must not be running. */
export function deleteStateRow({statements, facts}: Tx, id: JobId, {task, rank, state}: Pick<FoundJob, 'task' | 'rank' | 'state'>): void {
	if (state === StoredState.ready || state === StoredState.quarantined) statements.deleteReady.run(laneKey(task, state), rank, id);
	else if (hasEnded(state)) statements.deleteOutcome.run(id);
	else if (state === StoredState.blocked) takeBlocked(statements, blockedRunOf(statements, id) as BlockedRun, id, id);
	else {
		statements.deleteWaiting.run(id);
		facts.forget('nextRunAt');
	}
}

/** Deletes all rows of a job but the row of its state, which the caller deletes. */
export function deleteJobRows(tx: Tx, id: JobId, {task, batch, key, state}: Pick<FoundJob, 'task' | 'batch' | 'key' | 'state'>): void {
	const {statements, tally} = tx;
	endExpiry(tx, id);
	forgetMoments(tx, id);
	statements.deleteFingerprints.run(id, id);
	for (const name of ['deleteFailureState', 'deleteExecutions', 'deleteProgress', 'deleteCheckpoint', 'deleteLog', 'deleteJob'] as const)
		statements[name].run(id);
	if (key !== null) freeKey(statements, task, batch, key, id);
	// Those that wait for it can't run any more, and the edges to it are not needed.
	parentsChanged(tx, id, id, 'deleted');
	deleteEdgesTo(tx, id, id);
	tally.move(task, batch, state, null);
}
