import {failpoint} from '../../failpoint.ts';
import {type JobId, type JobStatus, MAX_SUSPICIONS} from '../../job.ts';
import type {CleanupOptions, CleanupResult, Lease, NewJob} from '../../queue.ts';
import {type Doomed, erase} from './erase.ts';
import {Place} from './places.ts';
import {laneOf, makeReady} from './ready.ts';
import {loosen} from './runs.ts';
import type {ClaimRow, Session} from './session.ts';
import {endExecution} from './settle.ts';

/** Where a job is and what follows it when it moves. */
interface Located extends Doomed {
	readonly rank: number;
	readonly executions: number;
}

/** Whoever asks is about to change the job, so it gets rows of its own. */
export function locate(session: Session, id: JobId): Located | undefined {
	const {jobPlaces} = session.statements;
	let row = jobPlaces.get(id) as PlacesRow | undefined;
	if (!row || row.slice(5).every(place => place === null)) {
		loosen(session, id);
		row = jobPlaces.get(id) as PlacesRow | undefined;
	}
	if (!row) return undefined;
	const [task, batch, key, priority, lane, ready, waiting, failed, runAt, claimed, ended, status] = row;
	const at = {task, batch, key, rank: -priority};
	if (typeof ready === 'number') return {...at, place: lane === task ? Place.ready : Place.suspect, executions: ready};
	if (typeof claimed === 'number') return {...at, place: Place.running, executions: claimed};
	if (typeof ended === 'number') return {...at, place: status as Place, executions: ended};
	const place = failed === 0 ? Place.scheduled : runAt === null ? Place.parked : Place.failed;
	return {...at, place, executions: waiting as number};
}

type PlacesRow = [task: number, batch: number | null, key: string | null, priority: number, ...places: (number | null)[]];

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
	statements.insertOutcome.run(id, Place.cancelled, job.executions, null, now, null, null, null, null, null);
	tally.move(job.task, job.batch, job.place, Place.cancelled);
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
	endRound(session, id, job);
	makeReady(session, {...job, id}, job.place);
	return true;
}

/** Opens a new round with another payload. Does nothing and returns false if the job is running. */
export function replaceJob(session: Session, id: JobId, {payload, priority, policy, runAt}: NewJob): boolean {
	const job = locate(session, id);
	if (!job || job.place === Place.running) return false;
	const {statements, tally, names, now} = session;
	endRound(session, id, job);
	// It is about the payload it had.
	statements.deleteCheckpoint.run(id);
	statements.replaceJob.run(names.policyId(policy), priority, payload, id);
	const isDelayed = runAt !== null && runAt > now;
	if (!isDelayed) makeReady(session, {...job, id, rank: -priority}, job.place);
	else {
		statements.insertWaiting.run(id, runAt, 0, job.executions);
		tally.move(job.task, job.batch, job.place, Place.scheduled);
	}
	return true;
}

function endRound(session: Session, id: JobId, job: Located): void {
	leavePlace(session, id, job);
	session.statements.deleteTrouble.run(id);
	session.statements.deleteProgress.run(id);
}

const RETRIABLE: Readonly<Partial<Record<Place, JobStatus>>> = {
	[Place.failed]: 'failed',
	[Place.parked]: 'failed',
	[Place.completed]: 'completed',
	[Place.dead]: 'dead',
	[Place.cancelled]: 'cancelled',
};

function leavePlace({statements}: Session, id: JobId, {task, rank, place}: Pick<Located, 'task' | 'rank' | 'place'>): void {
	if (place === Place.ready || place === Place.suspect) statements.deleteReady.run(laneOf(task, place), rank, id);
	else if (place >= Place.completed) statements.deleteOutcome.run(id);
	else statements.deleteWaiting.run(id);
}

/** Takes back what an owner held, uncharged. A dead host accuses nobody, but its jobs are suspect from then on. */
export function takeBack(session: Session, owner: number, {suspect}: {suspect: boolean}): number {
	const {statements} = session;
	loosenClaims(session, owner, 0);
	// What ran alone has killed nobody.
	if (suspect) statements.suspectClaims.run(owner, MAX_SUSPICIONS);
	const jobs = giveBack(session, owner, 0);
	statements.deleteOwner.run(owner);
	if (suspect) failpoint('recovery:written');
	return jobs;
}

/** Makes those jobs ready again, uncharged, that an owner holds by leases after this one: all at once but for those that were asked to stop. */
export function giveBack(session: Session, owner: number, after: Lease): number {
	const {statements, tally} = session;
	loosenClaims(session, owner, after);
	const stopped = statements.stoppedClaimsOfOwner.all(owner, after) as ClaimRow[];
	for (const claim of stopped) {
		endExecution(session, claim, {type: 'released'});
		statements.deleteClaim.run(claim[0]);
	}
	const groups = statements.claimGroupsOfOwner.all(MAX_SUSPICIONS, owner, after) as ClaimGroup[];
	for (const [task, batch, isSuspect, isThere, jobs] of groups) {
		const place = isSuspect === 1 ? Place.suspect : Place.ready;
		tally.move(task, batch, Place.running, isThere === 1 ? place : null, jobs);
	}
	statements.readyClaimsOfOwner.run(MAX_SUSPICIONS, owner, after);
	return stopped.length + statements.deleteClaimsOfOwner.run(owner, after).changes;
}

/** A job that somebody has deleted can't come back. */
type ClaimGroup = [task: number, batch: number | null, isSuspect: number, isThere: number, jobs: number];

function loosenClaims(session: Session, owner: number, after: Lease): void {
	for (const first of session.statements.claimedRunsOfOwner.all(owner, after) as JobId[]) loosen(session, first);
}

/** Tells, too, the files of results that those jobs named. */
export function cleanup(session: Session, {endedBefore, limit = 1000, after = 0}: CleanupOptions): CleanupResult & {readonly unnamed: readonly string[]} {
	const {statements} = session;
	loosenOld(session, {endedBefore, limit, after});
	// One more than is looked at tells whether there is more.
	const found = statements.outcomesToClean.all(after, limit + 1) as OutcomeRow[];
	const rows = found.slice(0, limit);
	const old = rows.filter(([, , endedAt, , , , , isSpared]) => endedAt < endedBefore && isSpared === 0);
	for (const [id, place, , , task, batch, key] of old) deleteJob(session, id, {task, batch, key, place, rank: 0});
	if (old.length > 0) failpoint('cleanup:written');
	const next = found.length > limit ? (rows.at(-1)?.[0] ?? null) : null;
	return {deleted: old.length, next, unnamed: old.map(([, , , blob]) => blob).filter(blob => blob !== null)};
}

/** Gives as many of the old jobs after this one rows of their own as are looked at. */
function loosenOld(session: Session, {endedBefore, limit, after}: Required<CleanupOptions>): void {
	let jobs = 0;
	for (const [first, last] of session.statements.oldOutcomeRuns.all(after, endedBefore, limit) as [JobId, JobId][]) {
		if (jobs > limit) return;
		loosen(session, first);
		jobs += last - Math.max(first, after + 1) + 1;
	}
}

type OutcomeRow = [id: JobId, place: Place, endedAt: number, blob: string | null, task: number, batch: number | null, key: string | null, isSpared: number];

/** Deletes a job that isn't running, with all that is known of it. */
export function eraseJob(session: Session, id: JobId): void {
	const job = locate(session, id);
	if (job && job.place !== Place.running) deleteJob(session, id, job);
}

export function deleteJob(session: Session, id: JobId, job: Doomed & {readonly rank: number}): void {
	leavePlace(session, id, job);
	erase(session, id, job);
}

/** Statuses that {@link cancelJob} changes. */
export const CANCELLABLE: readonly JobStatus[] = ['pending', 'running', 'failed'];
