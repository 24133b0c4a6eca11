import type {JobFilter, JobId, JobStatus, Page} from '../../job/job.ts';
import {dueAtOf, type NewJob} from '../../job/new-job.ts';
import {failpoint} from '../../support/failpoint.ts';
import {type Deleted, type Moved, type MovePage, type MoveTarget, movableStatuses, RETRIED_BY_DEFAULT} from '../store.ts';
import {laneOf, makeReady} from './lanes.ts';
import {deleteInRun, type FoundJob, findJob, lastOfRun, MAX_RUN_JOBS, unpackRun} from './packed-rows.ts';
import {findIds} from './read.ts';
import {STATUS_OF, StoredState} from './schema.sql.ts';
import type {Statements} from './statements.sql.ts';
import {Stop, scopeOf, type Tx} from './tx.ts';

/** A transaction that has unpacked this many jobs moves no more. To move one job of a run, all of the run are unpacked. */
const MAX_UNPACKED_JOBS = 2 * MAX_RUN_JOBS;

/** Moves a page of the filter's jobs, in order, as far as one transaction goes. */
export function moveJobs(tx: Tx, filter: JobFilter, to: MoveTarget, {after = 0, limit = 1000, stop = false, ...page}: MovePage): Moved {
	const statuses = movableStatuses(to, filter);
	const upTo = page.upTo ?? (tx.statements.jobCounter.get() as JobId);
	const {ids, next} = findIds(tx, filter, {statuses, after, upTo, limit});
	const moved = {ids: [] as JobId[], asked: [] as JobId[]};
	const goingOnAfter = (last: JobId) => ({...moved, next: {after: last, upTo, limit, stop}});
	const ends = neighboursOf(ids);
	for (let index = 0; index < ids.length; ) {
		if (tx.unpacked >= MAX_UNPACKED_JOBS) return goingOnAfter(ids[index - 1] ?? after);
		const id = ids[index] as JobId;
		const job = findIn(tx, id, statuses);
		const {list, last = id} = job ? MOVES[to](tx, id, job, {stop, upTo: ends[index] as JobId}) : {};
		const start = index;
		while ((ids[index] ?? Infinity) <= last) index++;
		if (list) moved[list].push(...ids.slice(start, index));
	}
	return next === null ? {...moved, next} : goingOnAfter(next);
}

/** For each id, the last one of those that follow it without a gap. */
function neighboursOf(ids: readonly JobId[]): readonly JobId[] {
	const ends = [...ids];
	for (let index = ids.length - 2; index >= 0; index--) if (ids[index + 1] === (ids[index] as JobId) + 1) ends[index] = ends[index + 1] as JobId;
	return ends;
}

/** Finds the job if it is in one of these statuses. */
function findIn({statements}: Tx, id: JobId, statuses: readonly JobStatus[]): FoundJob | undefined {
	const job = findJob(statements, id);
	return job && statuses.includes(STATUS_OF[job.state]) ? job : undefined;
}

/** What a move did. */
interface Move {
	/** `asked` if the job runs, and its owner was asked to stop it. */
	readonly list: 'ids' | 'asked';
	/** The last job that it moved, of those up to `upTo`; by default only this one. */
	readonly last?: JobId;
}

type MoveJob = (tx: Tx, id: JobId, job: FoundJob, options: {readonly stop: boolean; readonly upTo: JobId}) => Move;

const MOVES: Readonly<Record<MoveTarget, MoveJob>> = {
	cancelled(tx, id, job) {
		const {statements, tally, now} = tx;
		unpack(tx, id, job);
		if (job.state === StoredState.running) {
			statements.askToStop.run(now, id);
			return {list: 'asked'};
		}
		deleteStateRow(tx, id, job);
		statements.insertOutcome.run(id, StoredState.cancelled, job.executions, now, null, null, null, null, null, null);
		tally.move(job.task, job.batch, job.state, StoredState.cancelled);
		return {list: 'ids'};
	},
	pending(tx, id, job) {
		endRound(tx, id, job);
		makeReady(tx, id, job, job.state);
		return {list: 'ids'};
	},
	discarded(tx, id, job, {stop, upTo}) {
		const {statements} = tx;
		if (job.batch !== null) statements.endInput.run(null, job.batch);
		if (job.state === StoredState.running) {
			unpack(tx, id, job);
			statements.askToStop.run(stop ? Stop.discardNow : Stop.discard, id);
			return {list: 'asked'};
		}
		return {list: 'ids', last: deleteRun(tx, id, upTo)};
	},
};

/** Begins a new round of a failed, dead or cancelled job: no attempts, no failure, no result, ready at once. The numbers of executions go on. */
export function retryJob(tx: Tx, id: JobId): void {
	const job = findIn(tx, id, RETRIED_BY_DEFAULT);
	if (job) MOVES.pending(tx, id, job, {stop: false, upTo: id});
}

/** Begins a new round with another payload. Returns false, with no such change, if the job is running. */
export function replaceJob(tx: Tx, id: JobId, {payload, priority, policy, ...when}: NewJob): boolean {
	const job = findJob(tx.statements, id);
	if (!job || job.state === StoredState.running) return false;
	const {statements, tally, names, now} = tx;
	endRound(tx, id, job);
	// The checkpoint belongs to the old payload.
	statements.deleteCheckpoint.run(id);
	statements.replaceJob.run(names.policyId(policy), priority, payload, id);
	const dueAt = dueAtOf(when, now);
	if (dueAt === null) makeReady(tx, id, {...job, rank: -priority}, job.state);
	else {
		statements.insertWaiting.run(id, dueAt, 0, job.executions);
		tally.move(job.task, job.batch, job.state, StoredState.delayed);
	}
	return true;
}

function endRound(tx: Tx, id: JobId, job: FoundJob): void {
	unpack(tx, id, job);
	deleteStateRow(tx, id, job);
	tx.statements.deleteFailureState.run(id);
	tx.statements.deleteProgress.run(id);
}

function unpack(tx: Tx, id: JobId, job: FoundJob): void {
	if (job.isInRun) tx.unpacked += unpackRun(tx.statements, id, job);
}

/** Deletes a page of jobs that ended before a time. Returns the files of results that these jobs named as `unnamed`. */
export function deleteEndedBefore(tx: Tx, endedBefore: number, {after = 0, limit = MAX_RUN_JOBS}: Page): Deleted & {readonly unnamed: readonly string[]} {
	const {page, next} = endedPage(tx.statements, after, limit);
	const old = page.filter(({endedAt, isInOpenBatch}) => endedAt < endedBefore && isInOpenBatch === 0);
	for (const job of old) {
		if (job.state !== null) deleteJob(tx, job.first, {...job, state: job.state, rank: 0});
		else for (let id = job.first; id <= job.last; ) id = deleteRun(tx, id, job.last) + 1;
	}
	if (old.length > 0) failpoint('cleanup:written');
	return {deleted: old.reduce((jobs, {first, last}) => jobs + last - first + 1, 0), next, unnamed: old.flatMap(({blob}) => blob ?? [])};
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
	tx.tally.move(job.task, job.batch, job.state, null, last - id + 1);
	return last;
}

/** Deletes a job that has rows of its own. */
function deleteJob(tx: Tx, id: JobId, job: Pick<FoundJob, 'task' | 'batch' | 'key' | 'rank' | 'state'>): void {
	deleteStateRow(tx, id, job);
	deleteJobRows(tx, id, job);
}

/** Deletes the row of a job's state. The job must not be running. */
function deleteStateRow({statements}: Tx, id: JobId, {task, rank, state}: Pick<FoundJob, 'task' | 'rank' | 'state'>): void {
	if (state === StoredState.ready || state === StoredState.quarantined) statements.deleteReady.run(laneOf(task, state), rank, id);
	else if (state >= StoredState.completed) statements.deleteOutcome.run(id);
	else statements.deleteWaiting.run(id);
}

/** Deletes all rows of a job but the row of its state, which the caller deletes. */
export function deleteJobRows({statements, tally}: Tx, id: JobId, {task, batch, key, state}: Pick<FoundJob, 'task' | 'batch' | 'key' | 'state'>): void {
	for (const name of ['deleteFailureState', 'deleteProgress', 'deleteCheckpoint', 'deleteLog', 'deleteJob'] as const) statements[name].run(id);
	if (key !== null) statements.deleteKey.run(scopeOf(task, batch), key);
	tally.move(task, batch, state, null);
}
