import type {Lease} from '../../../job/claim.ts';
import type {Encoded} from '../../../job/encoding.ts';
import {type ClaimedGroup, idAt, numberAt, toColumn, toIds} from '../../../job/groups/group.ts';
import {pack} from '../../../job/groups/packed.ts';
import {type JobId, MAX_SUSPICION} from '../../../job/job.ts';
import type {OpenJobs} from '../../../job/open-jobs.ts';
import {failpoint} from '../../../support/failpoint.ts';
import type {Claimed, ClaimRequest, Released, ReleaseOptions} from '../../store.ts';
import {StoredState} from '../../stored-state.ts';
import {mayExpire, withExpiries} from '../rows/expiry.ts';
import {byOrder, failureStateOf, type Head, type Lane, laneKey, lanesToClaim, makeReady, type ReadyJob, type ReadyRow, readHead} from '../rows/lanes.ts';
import {claimedRunOf, unpackClaimed} from '../rows/packed-rows.ts';
import {sizesOfResults, withParents} from '../rows/parent-results.ts';
import {withMoments} from '../rows/scheduled-jobs.ts';
import {type ClaimRow, nextLease, type Tx} from '../rows/tx.ts';
import {endExecution} from './settle.ts';

/** Claims the first jobs of the requested lanes: by priority, then in order of arrival, across all lanes. */
export function claim(tx: Tx, request: ClaimRequest, requested: readonly Lane[], owner: number): Claimed {
	const groups: ClaimedGroup[] = [];
	const passedOver: JobId[] = [];
	let lease = 0;
	for (const lane of lanesToClaim(tx, requested, request)) {
		const head = readHead(tx.statements, lane, request.maxBytes, tx.facts.get('hasEdges') ? jobs => sizesOfResults(tx, jobs) : undefined);
		if (head.parts.length === 0) continue;
		lease ||= nextLease(tx);
		const isComplete = claimHead(tx, lane, head, lease, owner);
		const own = toGroups(tx, lease, lane, isComplete ? head.parts : claimedParts(tx, head, lease, passedOver));
		groups.push(...own.map(group => withMoments(tx, withParents(tx, withExpiries(tx, group)))));
	}
	return {lease, groups: groups.sort(inOrder), ...(passedOver.length > 0 && {passedOver})};
}

/** The order of claiming: by priority, then in order of arrival. */
export function inOrder(a: ClaimedGroup, b: ClaimedGroup): number {
	const placeOf = ({priorities, ids}: ClaimedGroup) => [-numberAt(priorities, 0), idAt(ids, 0)] as const;
	return byOrder(placeOf(a), placeOf(b));
}

/**
 * Moves the jobs from `ready` to `claimed`. The jobs are the head of a lane, so two statements move all rows, and two or three move a run.
 * @returns false if some jobs could not be claimed: another program has written that they are claimed already
 */
function claimHead({statements, tally}: Tx, {task, state}: Lane, {parts, lastRow, runs}: Head, lease: number, owner: number): boolean {
	const lane = laneKey(task, state);
	let isComplete = true;
	if (lastRow) {
		const [rank, id] = lastRow;
		const {changes} = statements.claimUpTo.run(lease, owner, lane, rank, id);
		isComplete = statements.deleteReadyUpTo.run(lane, rank, id).changes === changes;
	}
	for (const [[rank, first, , batch, , , , , last], upTo] of runs) {
		statements.deleteReadyRun.run(task, rank, first);
		if (last && upTo < last) statements.insertReadyRun.run(task, rank, upTo + 1, last, batch);
		isComplete = statements.insertClaimedRun.run(first, upTo, lease, owner, task, batch).changes > 0 && isComplete;
	}
	failpoint('dequeue:written');
	for (const part of parts) {
		if ('payloads' in part) tally.move(task, part.batch, state, StoredState.running, part.payloads.count);
		else for (const [batch, own] of Map.groupBy(part, row => row[3])) tally.move(task, batch, state, StoredState.running, own.length);
	}
	return isComplete;
}

/** The jobs that the lease could claim. The others, which are passed over, are no longer ready, and their old claims stay. */
function claimedParts({statements}: Tx, {parts}: Head, lease: number, passedOver: JobId[]): Head['parts'] {
	const isClaimed = (id: JobId) => {
		const is = statements.claimsOfLease.get(id, id, lease) !== undefined || claimedRunOf(statements, id)?.[2] === lease;
		if (!is) passedOver.push(id);
		return is;
	};
	return parts.flatMap((part): Head['parts'] => {
		if ('payloads' in part) return isClaimed(part.first) ? [part] : [];
		return [part.filter(([, id]) => isClaimed(id))];
	});
}

/** The claimed jobs of a lane as groups: one for each run, and one for the rows between two runs. */
function toGroups(tx: Tx, lease: number, lane: Lane, parts: Head['parts']): ClaimedGroup[] {
	return parts.flatMap((part): ClaimedGroup[] => {
		if (!('payloads' in part)) return part.length > 0 ? [groupOfRows(tx, lease, lane, part)] : [];
		const {rank, first, policy, createdAt, batch, payloads, keys} = part;
		const columns = {ids: first, executions: 1, createdAt, priorities: -rank, policies: tx.numbers.policy(policy), batches: batch, values: payloads, keys};
		return [{task: lane.name, scopes: lane.scope, lease, ...columns}];
	});
}

function groupOfRows(tx: Tx, lease: number, {name, scope, state}: Lane, rows: readonly ReadyRow[]): ClaimedGroup {
	const attempts = new Map<number, number>();
	const keys = new Map<number, string>();
	const checkpoints = new Map<number, Encoded>();
	let quarantine: ClaimedGroup['quarantine'] = state === StoredState.quarantined ? 'together' : undefined;
	for (const [index, [, id, executions, , , , key]] of rows.entries()) {
		if (key !== null) keys.set(index, key);
		if (executions === 0) continue;
		const before = failureStateOf(tx, id);
		const checkpoint = (tx.facts.get('hasCheckpoints') ? tx.statements.checkpointState.get(id) : undefined) as Encoded | undefined;
		if (before.attempts > 0) attempts.set(index, before.attempts);
		if (quarantine && before.suspicion === MAX_SUSPICION) quarantine = 'alone';
		if (checkpoint !== undefined) checkpoints.set(index, checkpoint);
		tx.statements.deleteProgress.run(id);
	}
	return {
		task: name,
		scopes: scope,
		lease,
		quarantine,
		ids: toIds(rows.map(([, id]) => id)),
		executions: toColumn(rows.map(([, , executions]) => executions + 1)),
		createdAt: toColumn(rows.map(([, , , , , createdAt]) => createdAt)),
		priorities: toColumn(rows.map(([rank]) => -rank)),
		policies: toColumn(rows.map(([, , , , policy]) => tx.numbers.policy(policy))),
		batches: toColumn(rows.map(([, , , batch]) => batch)),
		values: pack(rows.map(([, , , , , , , payload]) => payload)),
		attempts: unlessEmpty(attempts),
		keys: unlessEmpty(keys),
		checkpoints: unlessEmpty(checkpoints),
	};
}

function unlessEmpty<Value>(map: ReadonlyMap<number, Value>): ReadonlyMap<number, Value> | undefined {
	return map.size > 0 ? map : undefined;
}

/** The most jobs that one transaction makes ready. The next transaction takes more. */
const MAX_PROMOTED_JOBS = 5000;

/** Makes delayed and failed jobs ready whose time has come. */
export function promote(tx: Tx): void {
	const {statements, facts, now} = tx;
	if ((facts.get('nextRunAt') ?? Infinity) > now) return;
	facts.forget('nextRunAt');
	const due = statements.dueJobs.all(now, MAX_PROMOTED_JOBS) as (ReadyJob & {readonly id: JobId; readonly failed: number})[];
	for (const job of due) {
		statements.deleteWaiting.run(job.id);
		makeReady(tx, job.id, job, job.failed === 1 ? StoredState.failed : StoredState.delayed);
		failpoint('promotion:written');
	}
}

/** The most jobs that become ready again in one transaction. The last run may exceed it. */
const MAX_RELEASED_JOBS = 5000;

/**
 * Makes a page of an owner's running jobs ready again, uncharged, by a few statements. Jobs that were asked to stop end one by one.
 * @param open of a dead owner, the jobs that its workers had open: their suspicion rises
 */
export function releaseClaims(tx: Tx, owner: number, {after = 0, leave = false}: ReleaseOptions, open?: readonly OpenJobs[]): Released {
	const {statements, tally} = tx;
	const upTo = unpackPage(tx, owner, after);
	for (const {lease, first, last} of open ?? []) statements.suspectClaims.run(owner, lease, first, Math.min(last, upTo), MAX_SUSPICION);
	// Any job of a dead owner may have started. The next claim looks at all other jobs whose time is over.
	tx.facts.forget('hasExpiries');
	if (mayExpire(tx)) statements[open ? 'deleteExpiriesOfOwner' : 'unmarkExpiriesOfOwner'].run(owner, after, upTo);
	const stopped = statements.stoppedClaimsOfOwner.all(owner, after, upTo) as ClaimRow[];
	for (const claim of stopped) {
		statements.deleteClaim.run(claim[0]);
		endExecution(tx, claim, {outcome: {type: 'released'}});
	}
	for (const [task, batch, isSuspect, isThere, jobs] of statements.claimGroupsOfOwner.all(owner, after, upTo) as ClaimGroup[]) {
		const state = isSuspect === 1 ? StoredState.quarantined : StoredState.ready;
		tally.move(task, batch, StoredState.running, isThere === 1 ? state : null, jobs);
	}
	statements.readyClaimsOfOwner.run(owner, after, upTo);
	const jobs = stopped.length + statements.deleteClaimsOfOwner.run(owner, after, upTo).changes;
	const hasMore = (statements.claimOfOwnerAt.get(owner, after, 0) ?? statements.claimedRunsOfOwner.get(owner, after)) !== undefined;
	if (leave && !hasMore) statements.deleteOwner.run(owner);
	return {jobs, hasMore};
}

/** Unpacks the next claimed runs. Returns the last job of the page. */
function unpackPage({statements}: Tx, owner: number, after: Lease): JobId {
	let jobs = 0;
	for (const first of statements.claimedRunsOfOwner.all(owner, after) as JobId[]) {
		if (jobs >= MAX_RELEASED_JOBS) break;
		jobs += unpackClaimed(statements, first);
	}
	return (statements.claimOfOwnerAt.get(owner, after, MAX_RELEASED_JOBS - 1) as JobId | undefined) ?? Number.MAX_SAFE_INTEGER;
}

/** A row of the statement `claimGroupsOfOwner`. `isThere`: another program may have deleted the job. */
type ClaimGroup = [task: number, batch: number | null, isSuspect: number, isThere: number, jobs: number];
