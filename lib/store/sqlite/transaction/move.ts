import {expiry} from '../../../job/failure.ts';
import {type JobId, type JobStatus, RETRIED_BY_DEFAULT, STATUSES} from '../../../job/job.ts';
import {dueAtOf, type NewJob} from '../../../job/new-job.ts';
import {type JobFilter, type MoveTarget, movableStatuses} from '../../../job/search.ts';
import type {Moved, MovePage} from '../../store.ts';
import {STATUS_OF, Stop, StoredState} from '../../stored-state.ts';
import {MAX_RUN_JOBS} from '../connection/schema.sql.ts';
import {findCreated} from '../read/find.ts';
import {deleteEdgesTo, insertEdges, isAncestor, lostParentOf, type Waits} from '../rows/edges.ts';
import {endExpiry, holdExpiry, mayExpire, setExpiry} from '../rows/expiry.ts';
import {type FoundJob, findJob} from '../rows/packed-rows.ts';
import {keySpaceOf, lastNumber, type Tx} from '../rows/tx.ts';
import {cancelChild, reachChildren} from './children.ts';
import {deleteRun} from './delete.ts';
import {hold, isHeld, unhold} from './held.ts';
import {beginRound, cancelBecause, cancelJob, endRound, rescope, unpack} from './rounds.ts';

/** A transaction that has unpacked this many jobs moves no more. To move one job of a run, all of the run are unpacked. */
const MAX_UNPACKED_JOBS = 2 * MAX_RUN_JOBS;

/** Moves a page of the filter's jobs, in order, as far as one transaction goes. */
export function moveJobs(tx: Tx, filter: JobFilter, to: MoveTarget, page: MovePage): Moved {
	const {after = 0, upTo = lastNumber(tx, 'job'), limit = 1000, stop = false, isHeld: mustBeHeld = false} = page;
	const statuses = movableStatuses(to, filter);
	const {ids, next} = findCreated(tx, filter, {statuses, after, upTo, limit});
	const moved = {ids: [] as JobId[], asked: [] as JobId[]};
	// The parents of a job are counted for its new round: no change of theirs may be on its way.
	if (to === 'pending' || to === 'unheld') reachChildren(tx, Infinity);
	const goingOnAfter = (last: JobId) => ({...moved, next: {...page, after: last, upTo, limit}});
	const ends = neighboursOf(ids);
	for (let index = 0; index < ids.length; ) {
		if (tx.unpacked >= MAX_UNPACKED_JOBS) return goingOnAfter(ids[index - 1] ?? after);
		const id = ids[index] as JobId;
		const job = findIn(tx, id, statuses, mustBeHeld);
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

/** Finds the job if it is in one of these statuses, and held if it must be. */
function findIn(tx: Tx, id: JobId, statuses: readonly JobStatus[], mustBeHeld = false): FoundJob | undefined {
	const job = findJob(tx.statements, id);
	return job && statuses.includes(STATUS_OF[job.state]) && (!mustBeHeld || isHeld(tx, id, job)) ? job : undefined;
}

/** What a move did. */
interface Move {
	/** The list of {@link Moved} to which the job belongs: `asked` if it is running, so that its owner must stop it; none if it was not moved. */
	readonly list?: 'ids' | 'asked';
	/** The last job that it moved, of those up to `upTo`; by default only this one. */
	readonly last?: JobId;
}

type MoveJob = (tx: Tx, id: JobId, job: FoundJob, options: {readonly stop: boolean; readonly upTo: JobId}) => Move;

const MOVES: Readonly<Record<MoveTarget, MoveJob>> = {
	cancelled(tx, id, job) {
		unpack(tx, id, job);
		if (job.state === StoredState.running) {
			tx.statements.askToStop.run(tx.now, id);
			return {list: 'asked'};
		}
		cancelJob(tx, id, job, job.executions);
		return {list: 'ids'};
	},
	pending: (tx, id, job) => (retry(tx, id, job) ? {list: 'ids'} : {}),
	held: (tx, id, job) => (hold(tx, id, job) ? {list: job.state === StoredState.running ? 'asked' : 'ids'} : {}),
	unheld: (tx, id) => (unhold(tx, id) ? {list: 'ids'} : {}),
	discarded(tx, id, job, {stop, upTo}) {
		const {statements} = tx;
		if (job.batch !== null) statements.reopenInput.run(job.batch);
		if (job.state === StoredState.running) {
			unpack(tx, id, job);
			statements.askToStop.run(stop ? Stop.discardNow : Stop.discard, id);
			return {list: 'asked'};
		}
		return {list: 'ids', last: deleteRun(tx, id, upTo)};
	},
};

/** The most jobs that expire in one transaction. */
const MAX_EXPIRED_JOBS = 1000;

/** Cancels a page of the jobs that have not started in time. */
export function expireJobs(tx: Tx): {readonly ids: readonly JobId[]; readonly hasMore: boolean} {
	const {statements, now} = tx;
	if (!mayExpire(tx)) return {ids: [], hasMore: false};
	const due = statements.dueExpiries.all(now, MAX_EXPIRED_JOBS) as [id: JobId, expiresMs: number][];
	const ids: JobId[] = [];
	for (const [id, expiresMs] of due) {
		if (tx.unpacked >= MAX_UNPACKED_JOBS) return {ids, hasMore: true};
		const job = findJob(statements, id);
		if (job?.state === StoredState.running) {
			statements.markExpiry.run(id);
			continue;
		}
		endExpiry(tx, id);
		// It was deleted, or has ended.
		if (!job || job.state > StoredState.delayed) continue;
		unpack(tx, id, job);
		cancelBecause(tx, id, job, expiry(expiresMs / 1000));
		ids.push(id);
	}
	return {ids, hasMore: due.length === MAX_EXPIRED_JOBS};
}

/** Another job may have taken the job's key since it ended, and both would have it. If that one was deleted, the key is this job's again. */
function regainsKey({statements}: Tx, id: JobId, {task, batch, key}: FoundJob): boolean {
	// In a batch no job takes the key of another.
	if (key === null || batch !== null) return true;
	const space = keySpaceOf(task, batch);
	statements.regainKey.run(space, key, id);
	return statements.idOfKey.get(space, key) === id;
}

/**
 * Begins a new round of a job that has failed: no attempts, no failure, no result, ready at once. The numbers of executions go on. Returns
 * false, with no change, if the job can't run.
 */
function retry(tx: Tx, id: JobId, job: FoundJob): boolean {
	// A job whose parent is dead can't run before that has a new round, too.
	if (lostParentOf(tx, id) !== undefined || !regainsKey(tx, id, job)) return false;
	endRound(tx, id, job);
	beginRound(tx, id, job);
	// Before the next job is moved, which may wait for this one.
	reachChildren(tx, Infinity);
	return true;
}

/** How a job that is enqueued again waits: as the one at this index of its new group. */
export interface Renewal {
	readonly waits: Waits | undefined;
	readonly index: number;
	/** False for the new round of a job that has failed: only such a job gets one, and it keeps its checkpoint. */
	readonly isChanged: boolean;
}

/**
 * Begins a new round of a job that is enqueued again, with all that it is given now. Returns false, with no change, if it can't begin: the job runs,
 * would wait for itself, or would give up a result for a dead parent.
 */
export function rerunJob(tx: Tx, id: JobId, anew: NewJob, {waits, index, isChanged}: Renewal): boolean {
	reachChildren(tx, Infinity);
	const job = findIn(tx, id, isChanged ? STATUSES : RETRIED_BY_DEFAULT);
	if (!job || job.state === StoredState.running) return false;
	const lost = waits?.lost.get(index);
	const keepsEnd = job.state === StoredState.completed || !isChanged;
	if (waits && ((lost !== undefined && keepsEnd) || isAncestor(tx, id, waits))) return false;
	const {statements, numbers, now} = tx;
	endRound(tx, id, job);
	// The checkpoint belongs to the old payload.
	if (isChanged) statements.deleteCheckpoint.run(id);
	statements.replaceJob.run(numbers.policyId(anew.policy), anew.priority, anew.payload, id);
	deleteEdgesTo(tx, id, id);
	if (waits) insertEdges(tx, waits, index, [id, id]);
	const dueAt = dueAtOf(anew, now);
	const isBlocked = beginRound(tx, id, rescope(tx, id, job, anew), -anew.priority, dueAt);
	if (isBlocked) holdExpiry(tx, id, anew.expiresMs);
	else setExpiry(tx, id, anew.expiresMs, dueAt);
	if (lost !== undefined) cancelChild(tx, id, lost);
	reachChildren(tx, Infinity);
	return true;
}
