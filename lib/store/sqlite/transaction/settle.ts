import type {Outcome, Settlement} from '../../../job/claim.ts';
import type {FailureRecord} from '../../../job/failure.ts';
import {cutColumn} from '../../../job/groups/cut-and-join.ts';
import {type EndedGroup, idAt, listIds, sizeOf} from '../../../job/groups/group.ts';
import {asPacked, cutPacked, isPackable, type PackedStrings} from '../../../job/groups/packed.ts';
import {cutTimes, PackedTimes} from '../../../job/groups/packed-times.ts';
import {groupChildJobs, settlementsOf} from '../../../job/groups/single-jobs.ts';
import type {JobId} from '../../../job/job.ts';
import {type Charges, type NextState, nextState, type Unreturned} from '../../../job/next-state.ts';
import {withOwn} from '../../../job/options.ts';
import {failpoint} from '../../../support/failpoint.ts';
import type {Settled, SettledGroup} from '../../store.ts';
import {writeFailure} from '../../stored-json.ts';
import {LEFT_AS, StoredState, stopRequest} from '../../stored-state.ts';
import {endExpiry, resumeExpiry} from '../rows/expiry.ts';
import {keepFailure} from '../rows/history.ts';
import {failureStateOf, makeReady} from '../rows/lanes.ts';
import {insertOutcomeRun, type RunSlice, writeResults} from '../rows/outcome-runs.ts';
import {type ClaimedRun, extractJobs} from '../rows/packed-rows.ts';
import {type ClaimRow, parentsChanged, type Tx} from '../rows/tx.ts';
import {deleteJobRows} from './delete.ts';
import {enqueue, findConflict} from './enqueue.ts';
import {insertHeld} from './held.ts';

/**
 * Records the outcomes of executions. The fence is the row in `claimed` or `claimed_run`: if the lease or the number of an execution does not match it,
 * the outcome changes nothing (I5). Executions that enqueue jobs are settled last, in the order of the groups, which is the order of the new jobs' ids.
 */
export function settle(tx: Tx, groups: readonly EndedGroup[]): SettledGroup[] {
	const results = groups.map((): Result => ({others: new Map()}));
	const parts = groups.flatMap((group, position) => partsOf(tx, group, results[position] as Result, position));
	const parents = [...Map.groupBy(parts, ({lease}) => lease)].flatMap(([lease, own]) => settleLease(tx, lease, own));
	parents.sort(({part: a}, {part: b}) => a.position - b.position || a.index - b.index);
	for (const parent of parents) settleParent(tx, parent);
	if (groups.some(({code}) => code !== undefined) && tx.facts.get('hasFingerprints'))
		for (const [position, group] of groups.entries()) noteCode(tx, group, results[position] as Result);
	if (groups.length > 0) failpoint('settle:written');
	return results;
}

/** Puts the code by which the jobs ran into their fingerprints. */
function noteCode({statements: {setCode}}: Tx, group: EndedGroup, {others}: Result): void {
	const {code, ids} = group;
	if (code === undefined) return;
	if (typeof ids === 'number' && others.size === 0) setCode.run({code, first: ids, last: ids + sizeOf(group) - 1});
	else for (const [index, id] of listIds(ids, sizeOf(group)).entries()) if (others.get(index) !== 'lost') setCode.run({code, first: id, last: id});
}

/** A {@link SettledGroup} in the making. */
interface Result {
	readonly others: Map<number, Settled>;
	refusals?: Map<number, FailureRecord>;
}

function setStatus({result, index}: Single, status: Settled): void {
	if (status !== 'completed') result.others.set(index, status);
}

/** A group whose jobs fit in one run; or one execution of a group. `position`: of the group; `index`: of the part's first job in it. */
type Part = RunSlice & {
	readonly lease: number;
	readonly first: JobId;
	readonly last: JobId;
	readonly result: Result;
	readonly position: number;
	readonly index: number;
};

type Single = Part & {readonly settlement: Settlement};

/** An execution that ended, with its claim. */
interface Ended {
	readonly part: Single;
	readonly claim: ClaimRow;
}

function partsOf({blobs}: Tx, group: EndedGroup, result: Result, position: number): Part[] {
	const {lease, ids, executions, endings, values} = group;
	const isRun = typeof ids === 'number' && executions === 1 && asPacked(values) !== undefined && !blobs.hasLarge(values);
	const times = new PackedTimes(group.times);
	const whole = {group, times, lease, first: idAt(ids, 0), last: idAt(ids, 0) + sizeOf(group) - 1, result, position, index: 0};
	if (!isRun || sizeOf(group) === 0) return toSingles(whole);
	return endings ? toStretches(whole) : [whole];
}

/** Splits a group of neighbours: those that end in their own way become single, and the others between them stay groups. */
function toStretches(part: Part & {readonly group: EndedGroup}): Part[] {
	const {group, times, first} = part;
	const {endings = new Map(), values, ...rest} = group;
	const size = sizeOf(group);
	const alone = [...endings.keys()].sort((a, b) => a - b);
	const singles = toSingles(part, alone);
	const bounds = [0, ...alone.flatMap(index => [index, index + 1]), size].filter((bound, index, all) => index === 0 || bound !== all[index - 1]);
	return cutPacked(asPacked(values) as PackedStrings, bounds).flatMap((own, at): Part[] => {
		const [start, end] = [bounds[at] as number, bounds[at + 1] as number];
		if (endings.has(start)) return singles.splice(0, 1);
		const packed = cutTimes(times, start, end);
		const stretch = {...rest, ids: first + start, createdAt: cutColumn(group.createdAt, start, end), endings: undefined, values: own, times: packed};
		return [{...part, group: stretch, times: new PackedTimes(packed), first: first + start, last: first + end - 1, index: start}];
	});
}

/** @param indexes of the wanted executions of a group; by default all */
function toSingles(part: Part, indexes?: readonly number[]): Single[] {
	if (!part.group) return [part];
	const {lease, result, position, index} = part;
	return [...settlementsOf(part.group, indexes)].map((settlement, at) => {
		const {id} = settlement;
		return {lease, result, settlement, first: id, last: id, position, index: index + (indexes?.[at] ?? at)};
	});
}

/** @returns the executions that enqueue jobs, which are left to be settled */
function settleLease(tx: Tx, lease: number, parts: readonly Part[]): Ended[] {
	const inOrder = sortParts(parts);
	const [low, high] = boundsOf(inOrder);
	const runs = tx.statements.claimedRunsOfLease.all(lease, high, low) as ClaimedRun[];
	let next = 0;
	const place = (part: Part): (readonly [part: Part, run: ClaimedRun | undefined])[] => {
		while (next < runs.length && part.first > (runs[next] as ClaimedRun)[1]) next++;
		const run = runs[next];
		if (run && part.first >= run[0] && part.last <= run[1]) return [[part, run]];
		return part.group ? toSingles(part).flatMap(place) : [[part, undefined]];
	};
	const ended = [...Map.groupBy(inOrder.flatMap(place), ([, run]) => run)].flatMap(([run, placed]) => {
		const own = placed.map(([part]) => part);
		return run ? settleRun(tx, run, own) : settleRows(tx, lease, own as Single[]);
	});
	for (const {part, claim} of ended) if (!mayEnqueue(part)) setStatus(part, endExecution(tx, claim, part.settlement));
	// One statement for the whole lease.
	if (tx.facts.get('hasCheckpoints')) tx.statements.deleteCheckpointsOfCompleted.run(low, high);
	return ended.filter(({part}) => mayEnqueue(part));
}

/** True if the end of the execution may enqueue jobs: its own, or that of `onDead`. */
function mayEnqueue({settlement: {outcome}}: Single): boolean {
	return outcome.type === 'returned' ? outcome.enqueue !== undefined : 'onDead' in outcome;
}

function boundsOf(inOrder: readonly Part[]): [low: JobId, high: JobId] {
	return [(inOrder[0] as Part).first, (inOrder.at(-1) as Part).last];
}

/** Sorts the parts by their jobs, and splits groups that overlap: of two settlements of one job the first counts. */
function sortParts(parts: readonly Part[]): Part[] {
	const inOrder = parts.toSorted((a, b) => a.first - b.first);
	const overlap = inOrder.some(({first}, index) => index > 0 && first <= (inOrder[index - 1] as Part).last);
	return overlap && parts.some(({group}) => group) ? sortParts(parts.flatMap(part => toSingles(part))) : inOrder;
}

/** Removes the ended jobs from the claimed run. Neighbours that fit in a run complete as one run. The others are returned. */
function settleRun(tx: Tx, run: ClaimedRun, parts: readonly Part[]): Ended[] {
	const [first, last, lease, owner, task, batch] = run;
	const {deleteClaimedRun, insertClaimedRun} = tx.statements;
	deleteClaimedRun.run(first);
	const ended: Ended[] = [];
	const neighbours: Part[] = [];
	let next = first;
	for (const part of parts) {
		if (part.first < next || (part.settlement && part.settlement.execution !== 1)) {
			setStatus(part as Single, 'lost');
			continue;
		}
		if (part.first > next) {
			completeRun(tx, run, neighbours.splice(0));
			insertClaimedRun.run(next, part.first - 1, lease, owner, task, batch);
		}
		next = part.last + 1;
		if (fits(tx, part)) neighbours.push(part);
		else {
			completeRun(tx, run, neighbours.splice(0));
			ended.push({part: part as Single, claim: [part.first, 1, task, batch, null]});
		}
	}
	completeRun(tx, run, neighbours);
	extractJobs(
		tx.statements,
		ended.map(({part}) => part.first),
	);
	if (next <= last) insertClaimedRun.run(next, last, lease, owner, task, batch);
	return ended;
}

/** True if the row of a run can hold the outcome. */
function fits({blobs}: Tx, {settlement}: Part): boolean {
	if (!settlement) return true;
	const {outcome} = settlement;
	return outcome.type === 'returned' && !outcome.enqueue && isPackable(outcome.value) && !blobs.isLarge(outcome.value);
}

function completeRun(tx: Tx, [, , , , task, batch]: ClaimedRun, parts: readonly Part[]): void {
	const {statements, tally, now} = tx;
	if (parts.length === 0) return;
	const [first, last] = boundsOf(parts);
	const jobs = last - first + 1;
	insertOutcomeRun(statements, [first, last, batch, now, ...writeResults(parts, jobs)], parts);
	endExpiry(tx, first, last);
	tally.move(task, batch, StoredState.running, StoredState.completed, jobs);
	parentsChanged(tx, first, last, 'completed');
}

/** Deletes the claims of ended jobs that have rows of their own. */
function settleRows({statements}: Tx, lease: number, singles: readonly Single[]): Ended[] {
	const {claimsOfLease, deleteClaimsOfLease, deleteClaim} = statements;
	const [low, high] = boundsOf(singles);
	const claims = new Map((claimsOfLease.all(low, high, lease) as ClaimRow[]).map(row => [row[0], row]));
	const ended: Ended[] = [];
	for (const part of singles) {
		const {id, execution} = part.settlement;
		const claim = claims.get(id);
		if (claim?.[1] === execution) {
			claims.delete(id);
			ended.push({part, claim});
		} else setStatus(part, 'lost');
	}
	// Usually the lease has no other job between the first and the last one, so that one statement deletes all.
	if (claims.size === 0) deleteClaimsOfLease.run(low, high, lease);
	else for (const {claim} of ended) deleteClaim.run(claim[0]);
	return ended;
}

/** Settles an execution and enqueues its jobs. The execution fails if one of their keys belongs to another payload. */
function settleParent(tx: Tx, {part, claim}: Ended): void {
	const {index, result, settlement} = part;
	const {outcome} = settlement;
	const children = outcome.type === 'returned' ? (outcome.enqueue ?? []) : [];
	const conflict = findConflict(tx, children, claim[0]);
	if (conflict) {
		result.refusals ??= new Map();
		result.refusals.set(index, conflict);
		setStatus(part, endExecution(tx, claim, {...settlement, outcome: {...outcome, type: 'threw', error: conflict}}));
		return;
	}
	// First, since this job may have the key of one that it enqueues.
	setStatus(part, endExecution(tx, claim, settlement));
	if (outcome.type !== 'returned') return;
	enqueue(tx, groupChildJobs(children), false);
	tx.statements.deleteCheckpoint.run(claim[0]);
}

/** A settlement without its claim, which the row of the claim repeats. */
type Ran = Pick<Settlement, 'outcome' | 'worker' | 'own'>;

/** Moves a job from `claimed` to its next state, by the outcome of its execution. The caller has deleted the row of the claim. */
export function endExecution(tx: Tx, claim: ClaimRow, ran: Ran): Settled {
	const [id, execution, , , stop] = claim;
	const {outcome} = ran;
	if (execution > 1 && outcome.type !== 'released') keepFailure(tx.statements, id);
	if (outcome.type === 'returned') {
		insertOutcome(tx, claim, StoredState.completed, ran);
		if (execution > 1) tx.statements.clearFailure.run(id);
		endExpiry(tx, id);
		return 'completed';
	}
	const policy = withOwn(tx.numbers.policy(columnsOf(tx, id).policy), ran.own);
	const next = nextState(outcome, failureStateOf(tx, id), stopRequest(stop), policy, tx.random);
	write(tx, claim, {...ran, outcome}, next);
	if (next.to === 'dead' && 'onDead' in outcome && outcome.onDead) enqueue(tx, groupChildJobs([outcome.onDead]), false);
	return LEFT_AS[next.to];
}

/** Writes what a job becomes whose execution has not returned. */
function write(tx: Tx, claim: ClaimRow, ran: Ran & {readonly outcome: Outcome & Unreturned}, {to, waitMs = 0, charges, failure}: NextState): void {
	const [id, executions, task, batch] = claim;
	const {statements, tally} = tx;
	const {outcome} = ran;
	const isReleased = outcome.type === 'released';
	if (to === 'discarded') {
		deleteJobRows(tx, id, {task, batch, key: columnsOf(tx, id).key, state: StoredState.running});
		return;
	}
	if (failure) setFailureState(tx, claim, charges ?? failureStateOf(tx, id), ran, failure);
	else if (outcome.type === 'cancelled') statements.clearTiming.run(id);
	else if (charges) statements.suspect.run(id, charges.suspicion);
	if (!isReleased || to === 'cancelled' || outcome.suspicion || outcome.startedAt !== undefined) endExpiry(tx, id);
	else resumeExpiry(tx, id);
	switch (to) {
		case 'ready':
			makeReady(tx, id, {task, batch, rank: columnsOf(tx, id).rank, executions}, StoredState.running);
			break;
		case 'held':
			insertHeld(tx, id, {task, batch, executions, state: StoredState.running}, null);
			break;
		case 'dead':
		case 'cancelled':
			insertOutcome(tx, claim, StoredState[to], ran);
			break;
		default:
			statements.insertWaiting.run(id, to === 'parked' ? null : tx.now + waitMs, 1, executions);
			tx.facts.forget('nextRunAt');
			tally.move(task, batch, StoredState.running, StoredState[to]);
	}
}

/** Their values are `undefined` if another program has deleted the job. */
function columnsOf({statements}: Tx, id: JobId): {readonly rank: number; readonly policy: number; readonly key: string | null} {
	return (statements.jobColumns.get(id) ?? {}) as ReturnType<typeof columnsOf>;
}

function insertOutcome(tx: Tx, [id, execution, task, batch]: ClaimRow, state: StoredState, {outcome, worker}: Ran): void {
	const value = outcome.type === 'returned' && state === StoredState.completed ? outcome.value : null;
	tx.statements.insertOutcome.run(id, state, execution, tx.now, worker ?? null, ...timesOf(outcome), ...tx.blobs.store(value));
	tx.tally.move(task, batch, StoredState.running, state);
	parentsChanged(tx, id, id, state === StoredState.completed ? 'completed' : 'dead');
}

function setFailureState(
	{statements, now}: Tx,
	[id, execution]: ClaimRow,
	{attempts, crashes, suspicion, delays}: Charges,
	{outcome, worker}: Ran,
	error: FailureRecord,
): void {
	statements.setFailureState.run(id, attempts, crashes, suspicion, delays, execution, now, worker ?? null, ...timesOf(outcome), writeFailure(error));
}

function timesOf({startedAt, durationMs, cpuMs, memoryBytes}: Outcome): (number | null)[] {
	return [startedAt ?? null, durationMs ?? null, cpuMs ?? null, memoryBytes ?? null];
}
