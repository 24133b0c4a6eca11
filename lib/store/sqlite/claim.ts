import type {Encoded} from '../../job/encoding.ts';
import {type ClaimedGroup, toColumn, toIds} from '../../job/group.ts';
import {type JobId, MAX_SUSPICION} from '../../job/job.ts';
import {pack} from '../../job/packed.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Claimed, ClaimRequest} from '../store.ts';
import {byOrder, type Head, type Heads, isPacked, limitLanes, type PackedHead, type ReadyRow, readHeads} from './heads.ts';
import {failureStateOf, type Lane, laneOf, makeReady, openLanes, type RequestedLane} from './lanes.ts';
import type {ClaimedRun} from './packed-rows.ts';
import {StoredState} from './tally.ts';
import {type ClaimRow, nextLease, type Tx} from './tx.ts';

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

/** A group with its first job. */
interface OrderedGroup {
	readonly first: Head;
	readonly group: ClaimedGroup;
}

/** The claimed jobs of a lane as groups: one for each run, and one for each policy of the rows between two runs. */
export function toGroups(tx: Tx, lease: number, lane: Lane, heads: readonly Head[]): OrderedGroup[] {
	const groups: OrderedGroup[] = [];
	let rows = new Map<number, ReadyRow[]>();
	const endRows = () => {
		for (const own of rows.values()) groups.push({first: own[0] as ReadyRow, group: groupOfRows(tx, lease, lane, own)});
		rows = new Map();
	};
	for (const head of heads) {
		if (isPacked(head)) {
			endRows();
			groups.push({first: head, group: groupOfRun(tx, lease, lane, head)});
		} else {
			const own = rows.get(head[4]);
			if (own) own.push(head);
			else rows.set(head[4], [head]);
		}
	}
	endRows();
	return groups;
}

function groupOfRun({names}: Tx, lease: number, {name}: Lane, [rank, first, {policy, createdAt, payloads}]: PackedHead): ClaimedGroup {
	return {task: name, lease, policy: names.policy(policy), ids: first, executions: 1, createdAt, priorities: -rank, values: payloads};
}

/** @param rows jobs with the same policy */
function groupOfRows(tx: Tx, lease: number, {name, state}: Lane, rows: readonly ReadyRow[]): ClaimedGroup {
	const histories = new Map<number, History>();
	const keys = new Map<number, string>();
	for (const [index, [, id, executions, , , , key]] of rows.entries()) {
		if (executions > 0) histories.set(index, historyOf(tx, id));
		if (key !== null) keys.set(index, key);
	}
	const isAlone = [...histories.values()].some(history => history.isAlone);
	return {
		task: name,
		lease,
		policy: tx.names.policy((rows[0] as ReadyRow)[4]),
		quarantine: state !== StoredState.quarantined ? undefined : isAlone ? 'alone' : 'together',
		ids: toIds(rows.map(([, id]) => id)),
		executions: toColumn(rows.map(([, , executions]) => executions + 1)),
		createdAt: toColumn(rows.map(([, , , , , createdAt]) => createdAt)),
		priorities: toColumn(rows.map(([rank]) => -rank)),
		values: pack(rows.map(([, , , , , , , payload]) => payload)),
		attempts: sparse(histories, ({attempts}) => attempts || undefined),
		keys: keys.size > 0 ? keys : undefined,
		checkpoints: sparse(histories, ({checkpoint}) => checkpoint),
	};
}

/** One value of the histories by index, where it is not `undefined`. */
function sparse<Value>(histories: ReadonlyMap<number, History>, of: (history: History) => Value | undefined): ReadonlyMap<number, Value> | undefined {
	const found = [...histories].flatMap(([index, history]) => {
		const value = of(history);
		return value === undefined ? [] : [[index, value] as const];
	});
	return found.length > 0 ? new Map(found) : undefined;
}

interface History {
	readonly attempts: number;
	readonly isAlone: boolean;
	readonly checkpoint: Encoded | undefined;
}

/** The attempts, suspicion and checkpoint of a job that was executed before. Deletes its progress. */
function historyOf(tx: Tx, id: JobId): History {
	const {deleteProgress, checkpointState} = tx.statements;
	deleteProgress.run(id);
	const {attempts, suspicion} = failureStateOf(tx, id);
	return {attempts, isAlone: suspicion === MAX_SUSPICION, checkpoint: checkpointState.get(id) as Encoded | undefined};
}

/** The most jobs that one transaction makes ready. The next transaction takes more. */
const MAX_PROMOTED_JOBS = 5000;

/** Makes delayed and failed jobs ready whose time has come. */
export function promote(tx: Tx): void {
	const {statements, now} = tx;
	const due = statements.dueJobs.all(now, MAX_PROMOTED_JOBS) as [
		id: number,
		task: number,
		batch: number | null,
		rank: number,
		failed: number,
		executions: number,
	][];
	for (const [id, task, batch, rank, failed, executions] of due) {
		statements.deleteWaiting.run(id);
		makeReady(tx, {id, task, batch, rank, executions}, failed === 1 ? StoredState.failed : StoredState.delayed);
		failpoint('promotion:written');
	}
}
