import type {JobId} from '../../job/job.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Claimed, ClaimRequest} from '../store.ts';
import {toGroups} from './claimed-groups.ts';
import {nextLease} from './counter.ts';
import {byOrder, type Head, type Heads, isPacked, limitLanes, readHeads} from './heads.ts';
import {type Lane, openLanes, type RequestedLane} from './lanes.ts';
import type {ClaimedRun} from './packed-rows.ts';
import {laneOf} from './ready.ts';
import {StoredState} from './tally.ts';
import type {ClaimRow, Tx} from './tx.ts';

/** Claims the first jobs of the requested lanes: by priority, then in order of arrival, across all lanes. */
export function claim(tx: Tx, request: ClaimRequest, requested: readonly RequestedLane[], owner: number): Claimed {
	const open = openLanes(tx, requested, request.limit);
	const lanes = open.length === 1 ? open : limitLanes(tx.statements, open, request);
	const claimed: {readonly heads: readonly Head[]; readonly lane: Lane}[] = [];
	const passedOver: JobId[] = [];
	let lease = 0;
	for (const lane of lanes) {
		const heads = readHeads(tx.statements, lane, request.maxBytes);
		if (heads.jobs === 0) continue;
		lease ||= nextLease(tx);
		const isComplete = claimHeads(tx, lane, heads, lease, owner);
		const unclaimed = isComplete ? NO_HEADS : unclaimedOf(tx, heads, lease);
		passedOver.push(...[...unclaimed].map(([, id]) => id));
		claimed.push({lane, heads: isComplete ? heads.heads : heads.heads.filter(head => !unclaimed.has(head))});
	}
	const groups = claimed.flatMap(({heads, lane}) => toGroups(tx, lease, lane, heads));
	if (lanes.length > 1) groups.sort((a, b) => byOrder(a.first, b.first));
	return {lease, groups: groups.map(({group}) => group), ...(passedOver.length > 0 && {passedOver})};
}

/**
 * Moves the jobs from `ready` to `claimed`. The jobs are the head of a lane, so two statements move all rows, and two or three move a run.
 * @returns false if some jobs could not be claimed: another program has written that they are claimed already
 */
function claimHeads({statements, tally}: Tx, {task, state}: Lane, {heads, lastRow, runs}: Heads, lease: number, owner: number): boolean {
	const lane = laneOf(task, state);
	let isComplete = true;
	if (lastRow) {
		const [rank, id] = lastRow;
		const {changes} = statements.claimUpTo.run(lease, owner, lane, rank, id);
		isComplete = statements.deleteReadyUpTo.run(lane, rank, id).changes === changes;
	}
	for (const {rank, first, last, batch, upTo} of runs) {
		statements.deleteReadyRun.run(task, rank, first);
		if (upTo < last) statements.insertReadyRun.run(task, rank, upTo + 1, last, batch);
		isComplete = statements.insertClaimedRun.run(first, upTo, lease, owner, task, batch).changes > 0 && isComplete;
	}
	failpoint('dequeue:written');
	// Jobs of a batch are usually neighbours, so the tally changes once for many jobs.
	let [batch, jobs]: [number | null, number] = [null, 0];
	for (const head of heads) {
		const own = isPacked(head) ? null : head[3];
		if (own !== batch) {
			tally.move(task, batch, state, StoredState.running, jobs);
			[batch, jobs] = [own, 0];
		}
		jobs += isPacked(head) ? head[2].payloads.count : 1;
	}
	tally.move(task, batch, state, StoredState.running, jobs);
	return isComplete;
}

const NO_HEADS: ReadonlySet<Head> = new Set();

/** The jobs that the lease could not claim. They are no longer ready, and their old claims stay. */
function unclaimedOf({statements}: Tx, {heads}: Heads, lease: number): ReadonlySet<Head> {
	const claimed = new Set((statements.claimsOfLease.all(0, Number.MAX_SAFE_INTEGER, lease) as ClaimRow[]).map(([id]) => id));
	const runs = statements.claimedRunsOfLease.all(lease, Number.MAX_SAFE_INTEGER, 0) as ClaimedRun[];
	return new Set(heads.filter(([, id]) => !claimed.has(id) && !runs.some(([first, last]) => id >= first && id <= last)));
}
