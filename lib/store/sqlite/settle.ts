import {type JobUpdate, MAX_LOG_LINES, type Outcome, type Settlement} from '../../job/claim.ts';
import type {FailureRecord} from '../../job/failure.ts';
import {type EndedGroup, idAt, settlementsOf, sizeOf, toNewGroups} from '../../job/group.ts';
import type {JobId} from '../../job/job.ts';
import type {ChildJob} from '../../job/new-job.ts';
import {asPacked} from '../../job/packed.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {Settled, SettledGroup} from '../store.ts';
import {endExecution} from './end-execution.ts';
import {enqueue, findConflict} from './enqueue.ts';
import {type ClaimedRun, claimedRunOf, fitsInRun, type RunPart, unpackJobs, unpackRun, writeResults} from './packed-rows.ts';
import {StoredState} from './tally.ts';
import type {ClaimRow, Tx} from './tx.ts';

/**
 * Records the outcomes of executions. The fence is the row in `claimed` or `claimed_run`: if the lease or the number of an execution does not match it,
 * the outcome changes nothing. Executions that enqueue jobs are settled last, in the order of the groups, which is the order of the new jobs' ids.
 */
export function settle(tx: Tx, groups: readonly EndedGroup[]): SettledGroup[] {
	const results = groups.map(group => new Result(sizeOf(group)));
	let jobs = 0;
	const parts = groups.flatMap((group, index) => {
		const own = partsOf(tx, group, results[index] as Result, jobs);
		jobs += sizeOf(group);
		return own;
	});
	const parents: Parent[] = [];
	for (const [lease, own] of Map.groupBy(parts, ({lease}) => lease)) settleLease(tx, lease, own, parents);
	for (const parent of parents.sort((a, b) => a.part.order - b.part.order)) settleParent(tx, parent);
	if (groups.length > 0) failpoint('settle:written');
	return results.map(result => result.toGroup());
}

/** The new statuses of a group's jobs. */
class Result {
	readonly #statuses: (Settled | undefined)[];
	readonly #refusals = new Map<number, FailureRecord>();

	constructor(jobs: number) {
		this.#statuses = new Array<undefined>(jobs).fill(undefined);
	}

	set(index: number, status: Settled, jobs = 1): void {
		this.#statuses.fill(status, index, index + jobs);
	}

	refuse(index: number, refusal: FailureRecord): void {
		this.#refusals.set(index, refusal);
	}

	toGroup(): SettledGroup {
		const others = new Map<number, Settled>();
		for (let index = 0; index < this.#statuses.length; index++) {
			const status = this.#statuses[index] ?? 'lost';
			if (status !== 'completed') others.set(index, status);
		}
		return {others, ...(this.#refusals.size > 0 && {refusals: this.#refusals})};
	}
}

/** A group whose jobs fit in one run; or one execution of a group. */
type Part = RunPart & {
	readonly lease: number;
	readonly first: JobId;
	readonly last: JobId;
	readonly result: Result;
	/** The index of its first job in the group. */
	readonly index: number;
	/** The index of its first job in the transaction. */
	readonly order: number;
};

type Single = Part & {readonly settlement: Settlement};

/** An execution that enqueues jobs, with its claim. */
interface Parent {
	readonly part: Single;
	readonly claim: ClaimRow;
	readonly outcome: Outcome & {readonly type: 'returned'};
	readonly children: readonly ChildJob[];
}

function partsOf({blobs}: Tx, group: EndedGroup, result: Result, order: number): Part[] {
	const {lease, ids, executions, endings, values} = group;
	const isRun = typeof ids === 'number' && executions === 1 && !endings && asPacked(values) !== undefined && !blobs.hasLarge(values);
	const whole = {lease, first: idAt(ids, 0), last: idAt(ids, 0) + sizeOf(group) - 1, result, index: 0, order};
	return isRun && sizeOf(group) > 0 ? [{...whole, group}] : toSingles({...whole, group});
}

function toSingles(part: Part): Single[] {
	if (!part.group) return [part];
	const {lease, result, index, order} = part;
	return [...settlementsOf(part.group)].map((settlement, offset) => {
		const {id} = settlement;
		return {lease, result, settlement, first: id, last: id, index: index + offset, order: order + offset};
	});
}

function settleLease(tx: Tx, lease: number, parts: readonly Part[], parents: Parent[]): void {
	const end = (part: Single, claim: ClaimRow) => {
		const {outcome} = part.settlement;
		if (outcome.type === 'returned' && outcome.enqueue) parents.push({part, claim, outcome, children: outcome.enqueue});
		else part.result.set(part.index, endExecution(tx, claim, outcome));
	};
	const inOrder = sortParts(parts);
	const [low, high] = boundsOf(inOrder);
	const others = settleRuns(tx, tx.statements.claimedRunsOfLease.all(lease, high, low) as ClaimedRun[], inOrder, end);
	if (others.length > 0) settleRows(tx, lease, others, end);
	// One statement for the whole lease. It costs almost nothing if no job has a checkpoint.
	tx.statements.deleteCheckpointsOfCompleted.run(low, high);
}

/** Sorts the parts by their jobs, and splits groups that overlap: of two settlements of one job the first counts. */
function sortParts(parts: readonly Part[]): Part[] {
	const inOrder = parts.toSorted((a, b) => a.first - b.first);
	const overlap = inOrder.some(({first}, index) => index > 0 && first <= (inOrder[index - 1] as Part).last);
	return overlap && parts.some(({group}) => group) ? sortParts(parts.flatMap(toSingles)) : inOrder;
}

type End = (single: Single, claim: ClaimRow) => void;

/** Settles the parts whose jobs are claimed in runs. Returns the other parts. */
function settleRuns(tx: Tx, runs: readonly ClaimedRun[], inOrder: readonly Part[], end: End): Single[] {
	const parts = inOrder.flatMap(part => (!part.group || runs.some(run => isWithin(part, run)) ? [part] : toSingles(part)));
	const others: Part[] = [];
	let next = 0;
	for (const run of runs) {
		const start = parts.findIndex(({first}, index) => index >= next && first >= run[0]);
		if (start < 0) break;
		others.push(...parts.slice(next, start));
		for (next = start; next < parts.length && (parts[next] as Part).first <= run[1]; ) next++;
		settleRun(tx, run, parts.slice(start, next), end);
	}
	return [...others, ...parts.slice(next)] as Single[];
}

/** Removes the ended jobs from the claimed run. Neighbours that fit in a run complete as one run. The others end one by one. */
function settleRun(tx: Tx, run: ClaimedRun, parts: readonly Part[], end: End): void {
	const [first, last, lease, owner, task, batch] = run;
	const {deleteClaimedRun, insertClaimedRun} = tx.statements;
	deleteClaimedRun.run(first);
	let neighbours: Part[] = [];
	const completeNeighbours = () => {
		if (neighbours.length > 0) completeRun(tx, run, neighbours);
		neighbours = [];
	};
	let next = first;
	for (const part of parts) {
		if (part.first < next || (part.settlement && part.settlement.execution !== 1)) continue;
		if (part.first > next) {
			completeNeighbours();
			insertClaimedRun.run(next, part.first - 1, lease, owner, task, batch);
		}
		next = part.last + 1;
		if (fits(tx, part)) {
			neighbours.push(part);
			part.result.set(part.index, 'completed', part.last - part.first + 1);
		} else {
			completeNeighbours();
			unpackJobs(tx.statements, part.first);
			end(part as Single, [part.first, 1, task, batch, null]);
		}
	}
	completeNeighbours();
	if (next <= last) insertClaimedRun.run(next, last, lease, owner, task, batch);
}

function fits({blobs}: Tx, {settlement}: Part): boolean {
	if (!settlement) return true;
	const {outcome} = settlement;
	return fitsInRun(settlement) && outcome.type === 'returned' && !blobs.isLarge(outcome.value);
}

function completeRun({statements, tally, now}: Tx, [, , , , task, batch]: ClaimedRun, parts: readonly Part[]): void {
	const [first, last] = [(parts[0] as Part).first, (parts.at(-1) as Part).last];
	const jobs = last - first + 1;
	statements.insertOutcomeRun.run(first, last, batch, now, ...writeResults(parts, jobs));
	tally.move(task, batch, StoredState.running, StoredState.completed, jobs);
}

function isWithin({first, last}: Part, run: ClaimedRun): boolean {
	return first >= run[0] && last <= run[1];
}

function boundsOf(parts: readonly Part[]): [low: JobId, high: JobId] {
	let [low, high] = [Infinity, -Infinity];
	for (const {first, last} of parts) [low, high] = [Math.min(low, first), Math.max(high, last)];
	return [low, high];
}

function settleRows({statements}: Tx, lease: number, singles: readonly Single[], end: End): void {
	const {claimsOfLease, deleteClaimsOfLease, deleteClaim} = statements;
	const [low, high] = boundsOf(singles);
	const rows = claimsOfLease.all(low, high, lease) as ClaimRow[];
	const claims = new Map(rows.map(row => [row[0], row]));
	const ended: JobId[] = [];
	for (const single of singles) {
		const {id, execution} = single.settlement;
		const claim = claims.get(id);
		if (!claim || claim[1] !== execution) continue;
		claims.delete(id);
		ended.push(id);
		end(single, claim);
	}
	// Usually the lease has no other job between the first and the last one, so that one statement deletes all.
	if (claims.size === 0) deleteClaimsOfLease.run(low, high, lease);
	else for (const id of ended) deleteClaim.run(id);
}

/** Settles an execution and enqueues its jobs. The execution fails if one of their keys belongs to another payload. */
function settleParent(tx: Tx, {part: {result, index}, claim, outcome, children}: Parent): void {
	const conflict = findConflict(tx, children);
	if (conflict) {
		const {type: _, value: __, enqueue: ___, ...timing} = outcome;
		result.refuse(index, conflict);
		result.set(index, endExecution(tx, claim, {...timing, type: 'threw', error: conflict}));
		return;
	}
	enqueue(tx, toNewGroups(children), false);
	result.set(index, endExecution(tx, claim, outcome));
	tx.statements.deleteCheckpoint.run(claim[0]);
}

/** Stores the start, progress, log lines and checkpoint that a running job reports. Stores nothing if its claim was lost. */
export function writeUpdate(tx: Tx, {id, lease, execution, startedAt, progress, logs, checkpoint}: JobUpdate): void {
	const {statements} = tx;
	const isInRun = statements.claim.get(id, lease, execution) === undefined;
	if (isInRun && (execution !== 1 || claimedRunOf(statements, id)?.[2] !== lease)) return;
	if (isInRun) unpackRun(statements, id);
	if (startedAt !== undefined) statements.setStarted.run(startedAt, id);
	if (progress) statements.setProgress.run(id, progress.done, progress.total ?? null, progress.at);
	if (checkpoint) statements.setCheckpoint.run(id, execution, checkpoint.at, checkpoint.state);
	failpoint('updates:written');
	if (!logs) return;
	for (const {at, level, text} of logs.slice(-MAX_LOG_LINES)) statements.insertLog.run(id, execution, at, level, text);
	statements.trimLog.run(id, id, MAX_LOG_LINES);
}
