import {backoffMs} from '../../job/backoff.ts';
import type {Encoded} from '../../job/encoding.ts';
import {type FailureRecord, poison} from '../../job/failure.ts';
import {type JobId, type JobStatus, MAX_CRASHES, type Policy} from '../../job/job.ts';
import type {ChildJob} from '../../job/new-job.ts';
import {MAX_LOG_LINES, type Note, type Outcome, type Settlement} from '../../job/outcome.ts';
import {expandSettling, isReturnedRun, type Settling} from '../../job/runs.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Settled} from '../store.ts';
import {erase} from './erase.ts';
import {loosenJobs} from './job-run.ts';
import {fitsInRun, writeResults} from './outcome-run.ts';
import {makeReady} from './ready.ts';
import {type ClaimedRun, claimedRunOf, loosen} from './runs.ts';
import {StoredState} from './stored-state.ts';
import {type Trouble, troubleOf} from './trouble.ts';
import type {ClaimRow, Tx} from './tx.ts';

/** A settlement that enqueues, with the claim that was found for it. */
export interface Maker {
	readonly index: number;
	readonly claim: ClaimRow;
	readonly outcome: Outcome;
	readonly jobs: readonly ChildJob[];
}

/** Something to be settled, and where its first job is among all. */
type Part = readonly [index: number, settling: Settling];
type Single = readonly [index: number, settlement: Settlement];

/**
 * Writes down how executions ended. The fence is the row of `claimed` or `claimed_run`: a settlement whose lease or execution does not
 * match it changes nothing. What enqueues jobs is left to the caller, in order.
 */
export function settle(tx: Tx, settling: readonly Settling[]): {settled: Settled[]; makers: Maker[]} {
	const parts: Part[] = [];
	let jobs = 0;
	for (const each of settling) {
		parts.push([jobs, each]);
		jobs += jobsOf(each);
	}
	const settled: Settled[] = new Array(jobs).fill('lost');
	const makers: Maker[] = [];
	for (const [lease, own] of Map.groupBy(parts, ([, {lease}]) => lease)) settleLease(tx, lease, own, settled, makers);
	return {settled, makers: makers.sort((a, b) => a.index - b.index)};
}

function settleLease(tx: Tx, lease: number, parts: readonly Part[], settled: Settled[], makers: Maker[]): void {
	const end = ([index, {outcome}]: Single, claim: ClaimRow) => {
		if (outcome.type === 'returned' && outcome.enqueue) makers.push({index, claim, outcome, jobs: outcome.enqueue});
		else settled[index] = endExecution(tx, claim, outcome);
	};
	const inOrder = toOrder(parts);
	const [low, high] = boundsOf(inOrder);
	const others = settleRuns(tx, tx.statements.claimedRunsOfLease.all(lease, high, low) as ClaimedRun[], inOrder, settled, end);
	if (others.length > 0) settleRows(tx, lease, others, end);
	// For the whole lease at once: that costs jobs without checkpoints nothing.
	tx.statements.deleteCheckpointsOfCompleted.run(low, high);
}

/** Of what settles a job twice the first counts: so what overlaps is expanded. */
function toOrder(parts: readonly Part[]): Part[] {
	const inOrder = parts.toSorted(([, a], [, b]) => firstOf(a) - firstOf(b));
	const overlap = inOrder.some(([, each], place) => place > 0 && firstOf(each) <= lastOf((inOrder[place - 1] as Part)[1]));
	const isMixed = overlap && !parts.every(isSingle);
	return isMixed ? toOrder(parts.flatMap(expand)) : inOrder;
}

type End = (settlement: Single, claim: ClaimRow) => void;

/** Settles those whose jobs are claimed in runs. Returns the others. */
function settleRuns(tx: Tx, runs: readonly ClaimedRun[], inOrder: readonly Part[], settled: Settled[], end: End): Single[] {
	const parts = inOrder.flatMap(part => (isSingle(part) || runs.some(run => isWithin(part, run)) ? [part] : expand(part)));
	const others: Part[] = [];
	let next = 0;
	for (const run of runs) {
		const start = parts.findIndex(([, each], index) => index >= next && firstOf(each) >= run[0]);
		if (start < 0) break;
		others.push(...parts.slice(next, start));
		for (next = start; next < parts.length && firstOf((parts[next] as Part)[1]) <= run[1]; ) next++;
		settleRun(tx, run, parts.slice(start, next), settled, end);
	}
	// A run that is within none is expanded.
	return [...others, ...parts.slice(next)] as readonly Part[] as Single[];
}

/** Cuts out of the run what ended. What lies side by side and can lie in a run is in one again; the others end one by one. */
function settleRun(tx: Tx, run: ClaimedRun, parts: readonly Part[], settled: Settled[], end: End): void {
	const [first, last, lease, owner, task, batch] = run;
	const {deleteClaimedRun, insertClaimedRun} = tx.statements;
	deleteClaimedRun.run(first);
	let alike: Settling[] = [];
	const endAlike = () => {
		if (alike.length > 0) completeRun(tx, run, alike);
		alike = [];
	};
	let next = first;
	for (const part of parts) {
		const [index, each] = part;
		const id = firstOf(each);
		if (id < next || (isSingle(part) && part[1].execution !== 1)) continue;
		if (id > next) {
			endAlike();
			insertClaimedRun.run(next, id - 1, lease, owner, task, batch);
		}
		next = lastOf(each) + 1;
		if (!isSingle(part) || (fitsInRun(part[1].outcome) && !tx.blobs.isLarge(part[1].outcome.value))) {
			alike.push(each);
			settled.fill('completed', index, index + jobsOf(each));
		} else {
			endAlike();
			loosenJobs(tx.statements, id);
			end(part, [id, 1, task, batch, null]);
		}
	}
	endAlike();
	if (next <= last) insertClaimedRun.run(next, last, lease, owner, task, batch);
}

function completeRun({statements, tally, now}: Tx, [, , , , task, batch]: ClaimedRun, alike: readonly Settling[]): void {
	const [first, last] = [firstOf(alike[0] as Settling), lastOf(alike.at(-1) as Settling)];
	const jobs = last - first + 1;
	statements.insertOutcomeRun.run(first, last, batch, now, ...writeResults(alike, jobs));
	tally.move(task, batch, StoredState.running, StoredState.completed, jobs);
}

function isSingle(part: Part): part is Single {
	return !isReturnedRun(part[1]);
}

function isWithin([, each]: Part, [first, last]: ClaimedRun): boolean {
	return firstOf(each) >= first && lastOf(each) <= last;
}

function expand([index, each]: Part): Single[] {
	return expandSettling([each]).map((settlement, offset) => [index + offset, settlement]);
}

function firstOf(each: Settling): JobId {
	return isReturnedRun(each) ? each.first : each.id;
}

function lastOf(each: Settling): JobId {
	return firstOf(each) + jobsOf(each) - 1;
}

function jobsOf(each: Settling): number {
	return isReturnedRun(each) ? each.values.count : 1;
}

function boundsOf(parts: readonly Part[]): [low: JobId, high: JobId] {
	let [low, high] = [Infinity, -Infinity];
	for (const [, each] of parts) [low, high] = [Math.min(low, firstOf(each)), Math.max(high, lastOf(each))];
	return [low, high];
}

function settleRows({statements}: Tx, lease: number, singles: readonly Single[], end: End): void {
	const {claimsOfLease, deleteClaimsOfLease, deleteClaim} = statements;
	const [low, high] = boundsOf(singles);
	const rows = claimsOfLease.all(low, high, lease) as ClaimRow[];
	const claims = new Map(rows.map(row => [row[0], row]));
	const ended: JobId[] = [];
	for (const single of singles) {
		const {id, execution} = single[1];
		const claim = claims.get(id);
		if (!claim || claim[1] !== execution) continue;
		claims.delete(id);
		ended.push(id);
		end(single, claim);
	}
	// Usually a chunk is all there is of the lease between its first and its last job: one statement deletes the whole.
	if (claims.size === 0) deleteClaimsOfLease.run(low, high, lease);
	else for (const id of ended) deleteClaim.run(id);
}

/** Moves a job from `claimed` to where its execution's outcome puts it; the claim's row is the caller's to delete. */
export function endExecution(tx: Tx, claim: ClaimRow, outcome: Outcome): Settled {
	const [id, execution, task, batch, stop] = claim;
	switch (outcome.type) {
		case 'returned':
			insertOutcome(tx, claim, StoredState.completed, outcome, outcome.value);
			if (execution > 1) tx.statements.clearFailure.run(id);
			return 'completed';
		case 'released':
			if (stop !== null) return endStopped(tx, claim, outcome);
			if (outcome.suspicion) tx.statements.suspect.run(id, outcome.suspicion);
			makeReady(tx, {id, task, batch, rank: tx.statements.jobRank.get(id) as number, executions: execution}, StoredState.running);
			return 'pending';
		case 'cancelled':
			return endStopped(tx, claim, outcome);
		default:
			return endFailed(tx, claim, outcome);
	}
}

function endFailed(tx: Tx, claim: ClaimRow, outcome: Outcome & {type: 'threw' | 'timedOut' | 'lostWorker'}): Settled {
	const [id, execution, task, batch, stop] = claim;
	const {statements, tally, names, now, random} = tx;
	const trouble = troubleOf(tx, id);
	const attempts = trouble.attempts + 1;
	const crashes = trouble.crashes + (outcome.type === 'lostWorker' ? 1 : 0);
	const isPoison = crashes >= MAX_CRASHES;
	// What failed by itself has killed nothing.
	const suspicions = outcome.type === 'lostWorker' ? trouble.suspicions : 0;
	setTrouble(tx, id, {attempts, crashes, suspicions}, outcome, isPoison ? poison(crashes, outcome.error) : outcome.error);
	if (stop !== null && !isToWithdraw(stop)) return endCancelled(tx, claim, outcome);
	const policy: Policy = names.policy(statements.jobPolicy.get(id) as number);
	if (attempts >= policy.maxAttempts || isPoison) {
		insertOutcome(tx, claim, StoredState.dead, outcome, null);
		return 'dead';
	}
	if (stop !== null) return endWithdrawn(tx, claim);
	const runAt = policy.retry === 'manual' ? null : now + backoffMs(policy.backoff, attempts, random());
	statements.insertWaiting.run(id, runAt, 1, execution);
	tally.move(task, batch, StoredState.running, runAt === null ? StoredState.parked : StoredState.failed);
	return 'failed';
}

/** What `claimed.stop` says besides the time of a cancel. The index of claims to stop has the first one, too; `stops` leaves it out. */
export const Stop = {withdraw: -1, withdrawNow: -2} as const;

function isToWithdraw(stop: number): boolean {
	return stop < 0;
}

function endStopped(tx: Tx, claim: ClaimRow, outcome: Outcome): Settled {
	const stop = claim[4];
	return stop !== null && isToWithdraw(stop) ? endWithdrawn(tx, claim) : endCancelled(tx, claim, outcome);
}

function endWithdrawn(tx: Tx, [id, , task, batch]: ClaimRow): Settled {
	erase(tx, id, {task, batch, key: tx.statements.jobKey.get(id) as string | null, place: StoredState.running});
	return 'withdrawn';
}

function endCancelled(tx: Tx, claim: ClaimRow, outcome: Outcome): JobStatus {
	if (outcome.type === 'cancelled' && outcome.error) setTrouble(tx, claim[0], troubleOf(tx, claim[0]), outcome, outcome.error);
	else if (outcome.type === 'cancelled') tx.statements.clearTiming.run(claim[0]);
	insertOutcome(tx, claim, StoredState.cancelled, outcome, null);
	return 'cancelled';
}

function insertOutcome(
	{statements, tally, now, blobs}: Tx,
	[id, execution, task, batch]: ClaimRow,
	place: StoredState,
	{startedAt, durationMs, cpuMs, memoryBytes}: Outcome,
	value: Encoded,
): void {
	statements.insertOutcome.run(id, place, execution, startedAt ?? null, now, durationMs ?? null, cpuMs ?? null, memoryBytes ?? null, ...blobs.store(value));
	tally.move(task, batch, StoredState.running, place);
}

function setTrouble(
	{statements}: Tx,
	id: JobId,
	{attempts, crashes, suspicions}: Trouble,
	{startedAt, durationMs, cpuMs, memoryBytes}: Outcome,
	error: FailureRecord,
): void {
	const timing = [startedAt ?? null, durationMs ?? null, cpuMs ?? null, memoryBytes ?? null];
	statements.setTrouble.run(id, attempts, crashes, suspicions, ...timing, JSON.stringify(error));
}

/** Keeps what a running task said of itself, if the claim is still its own. */
export function note(tx: Tx, {id, lease, execution, startedAt, progress, logs, checkpoint}: Note): void {
	const {statements} = tx;
	const isInRun = statements.claim.get(id, lease, execution) === undefined;
	if (isInRun && (execution !== 1 || claimedRunOf(statements, id)?.[2] !== lease)) return;
	if (isInRun) loosen(tx, id);
	if (startedAt !== undefined) statements.setStarted.run(startedAt, id);
	if (progress) statements.setProgress.run(id, progress.done, progress.total ?? null, progress.at);
	if (checkpoint) statements.setCheckpoint.run(id, execution, checkpoint.at, checkpoint.state);
	failpoint('notes:written');
	if (!logs) return;
	for (const {at, level, text} of logs.slice(-MAX_LOG_LINES)) statements.insertLog.run(id, execution, at, level, text);
	statements.trimLog.run(id, id, MAX_LOG_LINES);
}
