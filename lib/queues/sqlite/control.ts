import type {JobId, JobStatus} from '../../job.ts';
import type {CleanupOptions, CleanupResult} from '../../queue.ts';
import {scopeOf} from './enqueue.ts';
import {Place} from './places.ts';
import type {ClaimRow, Session} from './session.ts';
import {endExecution} from './settle.ts';

/** Where a job is and what follows it when it moves. */
interface Located {
	readonly task: number;
	readonly rank: number;
	readonly place: Place;
	readonly executions: number;
}

function locate({statements}: Session, id: JobId): Located | undefined {
	const row = statements.jobPlaces.get(id) as (number | null)[] | undefined;
	if (!row) return undefined;
	const [task, priority, ready, waiting, failed, runAt, claimed, ended, status] = row;
	const at = {task: task as number, rank: -(priority as number)};
	if (typeof ready === 'number') return {...at, place: Place.ready, executions: ready};
	if (typeof claimed === 'number') return {...at, place: Place.running, executions: claimed};
	if (typeof ended === 'number') return {...at, place: status as Place, executions: ended};
	const place = failed === 0 ? Place.scheduled : runAt === null ? Place.parked : Place.failed;
	return {...at, place, executions: waiting as number};
}

/** Cancels a job that isn't running; asks for a running one to be stopped. */
export function cancelJob(session: Session, id: JobId): 'cancelled' | 'asked' | 'ended' {
	const {statements, tally, now} = session;
	const job = locate(session, id);
	if (!job || job.place >= Place.completed) return 'ended';
	if (job.place === Place.running) {
		statements.askToStop.run(now, id);
		return 'asked';
	}
	leavePlace(session, id, job);
	statements.insertOutcome.run(id, Place.cancelled, job.executions, null, now, null, null);
	tally.move(job.task, job.place, Place.cancelled);
	return 'cancelled';
}

/**
 * Opens a new round: no attempts, no failure, no result, ready at once. The numbers of its executions go on. Does nothing
 * and returns false if the job is not in one of the statuses (any more).
 */
export function retryJob(session: Session, id: JobId, statuses: readonly JobStatus[]): boolean {
	const job = locate(session, id);
	const status = job && RETRIABLE[job.place];
	if (!job || !status || !statuses.includes(status)) return false;
	const {statements, tally} = session;
	leavePlace(session, id, job);
	statements.deleteTrouble.run(id);
	statements.deleteProgress.run(id);
	statements.insertReady.run(job.task, job.rank, id, job.executions);
	tally.move(job.task, job.place, Place.ready);
	return true;
}

const RETRIABLE: Readonly<Partial<Record<Place, JobStatus>>> = {
	[Place.failed]: 'failed',
	[Place.parked]: 'failed',
	[Place.completed]: 'completed',
	[Place.dead]: 'dead',
	[Place.cancelled]: 'cancelled',
};

function leavePlace({statements}: Session, id: JobId, {task, rank, place}: Located): void {
	if (place === Place.ready) statements.deleteReady.run(task, rank, id);
	else if (place >= Place.completed) statements.deleteOutcome.run(id);
	else statements.deleteWaiting.run(id);
}

/** Takes back what an owner held, uncharged. A dead host accuses nobody, but its jobs are suspect from then on. */
export function takeBack(session: Session, owner: number, {suspect}: {suspect: boolean}): number {
	const {statements} = session;
	const claims = statements.claimsOfOwner.all(owner) as ClaimRow[];
	for (const claim of claims) {
		if (suspect) statements.suspect.run(claim[0]);
		endExecution(session, claim, {type: 'released'});
		statements.deleteClaim.run(claim[0]);
	}
	statements.deleteOwner.run(owner);
	return claims.length;
}

export function cleanup(session: Session, {endedBefore, limit = 1000, after = 0}: CleanupOptions): CleanupResult {
	const {statements} = session;
	// One more than is looked at tells whether there is more.
	const found = statements.outcomesToClean.all(after, limit + 1) as OutcomeRow[];
	const rows = found.slice(0, limit);
	const old = rows.filter(([, , endedAt, , , , isSpared]) => endedAt < endedBefore && isSpared === 0);
	for (const row of old) deleteJob(session, row);
	const next = found.length > limit ? (rows.at(-1)?.[0] ?? null) : null;
	if (next === null) statements.deleteEmptyBatches.run();
	return {deleted: old.length, next};
}

type OutcomeRow = [id: JobId, place: Place, endedAt: number, task: number, batch: number | null, key: string | null, isSpared: number];

function deleteJob({statements, tally}: Session, [id, place, , task, batch, key]: OutcomeRow): void {
	for (const name of ['deleteOutcome', 'deleteTrouble', 'deleteProgress', 'deleteCheckpoint', 'deleteLog', 'deleteJob'] as const) statements[name].run(id);
	if (key !== null) statements.deleteKey.run(scopeOf(task, batch), key);
	tally.move(task, place, null);
}

/** Statuses that {@link cancelJob} changes. */
export const CANCELLABLE: readonly JobStatus[] = ['pending', 'running', 'failed'];
