import type {Lease} from '../../job/claim.ts';
import {type JobId, type JobStatus, MAX_SUSPICION} from '../../job/job.ts';
import type {NewJob} from '../../job/new-job.ts';
import type {OpenJobs} from '../../job/open-jobs.ts';
import {leavePlace} from './erase.ts';
import {type Located, locate, locateIn} from './locate.ts';
import {makeReady} from './ready.ts';
import {loosen} from './runs.ts';
import {endExecution} from './settle.ts';
import {StoredState} from './stored-state.ts';
import type {ClaimRow, Tx} from './tx.ts';

/** Cancels a job that isn't running; asks for a running one to be stopped. Leaves a job that is in none of these statuses, which must be of jobs that have not ended. */
export function cancelJob(tx: Tx, id: JobId, statuses: readonly JobStatus[]): 'moved' | 'asked' | 'left' {
	const {statements, tally, now} = tx;
	const job = locateIn(tx, id, statuses);
	if (!job) return 'left';
	if (job.place === StoredState.running) {
		statements.askToStop.run(now, id);
		return 'asked';
	}
	leavePlace(tx, id, job);
	statements.insertOutcome.run(id, StoredState.cancelled, job.executions, null, now, null, null, null, null, null);
	tally.move(job.task, job.batch, job.place, StoredState.cancelled);
	return 'moved';
}

/**
 * Opens a new round: no attempts, no failure, no result, ready at once. The numbers of its executions go on. Leaves a
 * job that is in none of these statuses, which must be of jobs that have failed or ended.
 */
export function retryJob(tx: Tx, id: JobId, statuses: readonly JobStatus[]): 'moved' | 'left' {
	const job = locateIn(tx, id, statuses);
	if (!job) return 'left';
	endRound(tx, id, job);
	makeReady(tx, {...job, id}, job.place);
	return 'moved';
}

/** Opens a new round with another payload. Does nothing and returns false if the job is running. */
export function replaceJob(tx: Tx, id: JobId, {payload, priority, policy, runAt}: NewJob): boolean {
	const job = locate(tx, id);
	if (!job || job.place === StoredState.running) return false;
	const {statements, tally, names, now} = tx;
	endRound(tx, id, job);
	// It is about the payload it had.
	statements.deleteCheckpoint.run(id);
	statements.replaceJob.run(names.policyId(policy), priority, payload, id);
	const isDelayed = runAt !== null && runAt > now;
	if (!isDelayed) makeReady(tx, {...job, id, rank: -priority}, job.place);
	else {
		statements.insertWaiting.run(id, runAt, 0, job.executions);
		tally.move(job.task, job.batch, job.place, StoredState.scheduled);
	}
	return true;
}

function endRound(tx: Tx, id: JobId, job: Located): void {
	leavePlace(tx, id, job);
	tx.statements.deleteTrouble.run(id);
	tx.statements.deleteProgress.run(id);
}

/** Takes back what an owner held, uncharged. Those of its jobs that these name are suspects, or more suspect, from then on. */
export function takeBack(tx: Tx, owner: number, open: readonly OpenJobs[]): number {
	const {statements} = tx;
	loosenClaims(tx, owner, 0);
	for (const {lease, first, last} of open) statements.suspectClaims.run(owner, lease, first, last, MAX_SUSPICION);
	const jobs = giveBack(tx, owner, 0);
	statements.deleteOwner.run(owner);
	return jobs;
}

/** Makes those jobs ready again, uncharged, that an owner holds by leases after this one: all at once but for those that were asked to stop. */
export function giveBack(tx: Tx, owner: number, after: Lease): number {
	const {statements, tally} = tx;
	loosenClaims(tx, owner, after);
	const stopped = statements.stoppedClaimsOfOwner.all(owner, after) as ClaimRow[];
	for (const claim of stopped) {
		endExecution(tx, claim, {type: 'released'});
		statements.deleteClaim.run(claim[0]);
	}
	const groups = statements.claimGroupsOfOwner.all(owner, after) as ClaimGroup[];
	for (const [task, batch, isSuspect, isThere, jobs] of groups) {
		const place = isSuspect === 1 ? StoredState.suspect : StoredState.ready;
		tally.move(task, batch, StoredState.running, isThere === 1 ? place : null, jobs);
	}
	statements.readyClaimsOfOwner.run(owner, after);
	return stopped.length + statements.deleteClaimsOfOwner.run(owner, after).changes;
}

/** A job that somebody has deleted can't come back. */
type ClaimGroup = [task: number, batch: number | null, isSuspect: number, isThere: number, jobs: number];

function loosenClaims(tx: Tx, owner: number, after: Lease): void {
	for (const first of tx.statements.claimedRunsOfOwner.all(owner, after) as JobId[]) loosen(tx, first);
}
