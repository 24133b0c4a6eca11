import type {Lease} from '../../job/claim.ts';
import {type JobId, type JobStatus, MAX_SUSPICION} from '../../job/job.ts';
import type {NewJob} from '../../job/new-job.ts';
import type {OpenJobs} from '../../job/open-jobs.ts';
import {leavePlace} from './erase.ts';
import {type Located, locate, locateIn} from './locate.ts';
import {Place} from './places.ts';
import {makeReady} from './ready.ts';
import {loosen} from './runs.ts';
import type {ClaimRow, Session} from './session.ts';
import {endExecution} from './settle.ts';

/** Cancels a job that isn't running; asks for a running one to be stopped. Leaves a job that is in none of these statuses, which must be of jobs that have not ended. */
export function cancelJob(session: Session, id: JobId, statuses: readonly JobStatus[]): 'moved' | 'asked' | 'left' {
	const {statements, tally, now} = session;
	const job = locateIn(session, id, statuses);
	if (!job) return 'left';
	if (job.place === Place.running) {
		statements.askToStop.run(now, id);
		return 'asked';
	}
	leavePlace(session, id, job);
	statements.insertOutcome.run(id, Place.cancelled, job.executions, null, now, null, null, null, null, null);
	tally.move(job.task, job.batch, job.place, Place.cancelled);
	return 'moved';
}

/**
 * Opens a new round: no attempts, no failure, no result, ready at once. The numbers of its executions go on. Leaves a
 * job that is in none of these statuses, which must be of jobs that have failed or ended.
 */
export function retryJob(session: Session, id: JobId, statuses: readonly JobStatus[]): 'moved' | 'left' {
	const job = locateIn(session, id, statuses);
	if (!job) return 'left';
	endRound(session, id, job);
	makeReady(session, {...job, id}, job.place);
	return 'moved';
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

/** Takes back what an owner held, uncharged. Those of its jobs that these name are suspects, or more suspect, from then on. */
export function takeBack(session: Session, owner: number, open: readonly OpenJobs[]): number {
	const {statements} = session;
	loosenClaims(session, owner, 0);
	for (const {lease, first, last} of open) statements.suspectClaims.run(owner, lease, first, last, MAX_SUSPICION);
	const jobs = giveBack(session, owner, 0);
	statements.deleteOwner.run(owner);
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
	const groups = statements.claimGroupsOfOwner.all(owner, after) as ClaimGroup[];
	for (const [task, batch, isSuspect, isThere, jobs] of groups) {
		const place = isSuspect === 1 ? Place.suspect : Place.ready;
		tally.move(task, batch, Place.running, isThere === 1 ? place : null, jobs);
	}
	statements.readyClaimsOfOwner.run(owner, after);
	return stopped.length + statements.deleteClaimsOfOwner.run(owner, after).changes;
}

/** A job that somebody has deleted can't come back. */
type ClaimGroup = [task: number, batch: number | null, isSuspect: number, isThere: number, jobs: number];

function loosenClaims(session: Session, owner: number, after: Lease): void {
	for (const first of session.statements.claimedRunsOfOwner.all(owner, after) as JobId[]) loosen(session, first);
}
