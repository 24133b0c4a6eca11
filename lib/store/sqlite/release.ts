import type {Lease} from '../../job/claim.ts';
import {type JobId, MAX_SUSPICION} from '../../job/job.ts';
import type {OpenJobs} from '../../job/open-jobs.ts';
import type {Released} from '../store.ts';
import {endExecution} from './end-execution.ts';
import {unpackRun} from './packed-rows.ts';
import {StoredState} from './tally.ts';
import type {ClaimRow, Tx} from './tx.ts';

/** The most jobs that become ready again in one transaction. The last run may exceed it. */
const MAX_RELEASED_JOBS = 5000;

/**
 * Makes a page of a dead owner's running jobs ready again, uncharged, and deletes the owner with the last page. Raises the suspicion of the jobs that
 * its workers had open.
 */
export function reclaimClaims(tx: Tx, owner: number, open: readonly OpenJobs[]): Released {
	const {statements} = tx;
	const upTo = nextPage(tx, owner, 0);
	for (const {lease, first, last} of open) statements.suspectClaims.run(owner, lease, first, Math.min(last, upTo), MAX_SUSPICION);
	return endPage(tx, owner, releasePage(tx, owner, 0, upTo));
}

/** Makes a page of an owner's running jobs ready again, uncharged: jobs of leases after this one. */
export function releaseClaims(tx: Tx, owner: number, {after, leave}: {readonly after: Lease; readonly leave: boolean}): Released {
	const released = releasePage(tx, owner, after, nextPage(tx, owner, after));
	return leave ? endPage(tx, owner, released) : released;
}

function endPage({statements}: Tx, owner: number, released: Released): Released {
	if (!released.hasMore) statements.deleteOwner.run(owner);
	return released;
}

/** Unpacks the next claimed runs. Returns the last job of the page. */
function nextPage({statements}: Tx, owner: number, after: Lease): JobId {
	let jobs = 0;
	for (const first of statements.claimedRunsOfOwner.all(owner, after) as JobId[]) {
		if (jobs >= MAX_RELEASED_JOBS) break;
		jobs += unpackRun(statements, first);
	}
	return (statements.claimOfOwnerAt.get(owner, after, MAX_RELEASED_JOBS - 1) as JobId | undefined) ?? Number.MAX_SAFE_INTEGER;
}

/** Makes the jobs of the page ready again by a few statements. Jobs that were asked to stop end one by one. */
function releasePage(tx: Tx, owner: number, after: Lease, upTo: JobId): Released {
	const {statements, tally} = tx;
	const stopped = statements.stoppedClaimsOfOwner.all(owner, after, upTo) as ClaimRow[];
	for (const claim of stopped) {
		endExecution(tx, claim, {type: 'released'});
		statements.deleteClaim.run(claim[0]);
	}
	const groups = statements.claimGroupsOfOwner.all(owner, after, upTo) as ClaimGroup[];
	for (const [task, batch, isSuspect, isThere, jobs] of groups) {
		const state = isSuspect === 1 ? StoredState.quarantined : StoredState.ready;
		tally.move(task, batch, StoredState.running, isThere === 1 ? state : null, jobs);
	}
	statements.readyClaimsOfOwner.run(owner, after, upTo);
	const jobs = stopped.length + statements.deleteClaimsOfOwner.run(owner, after, upTo).changes;
	return {jobs, hasMore: statements.hasClaims.get(owner, after, owner, after) !== undefined};
}

/** A row of the statement `claimGroupsOfOwner`. `isThere`: another program may have deleted the job. */
type ClaimGroup = [task: number, batch: number | null, isSuspect: number, isThere: number, jobs: number];
