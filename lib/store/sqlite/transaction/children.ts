import {type FailureRecord, parentFailure} from '../../../job/failure.ts';
import type {JobId} from '../../../job/job.ts';
import {readFailure} from '../../stored-json.ts';
import {StoredState} from '../../stored-state.ts';
import {type BlockedRun, blockedRunOf, blockedRunsIn, insertBlocked, takeBlocked} from '../rows/blocked.ts';
import {deadParentOf, type Edge, edgesFrom, lostParentOf, openParentsOf} from '../rows/edges.ts';
import {holdExpiry, mayExpire} from '../rows/expiry.ts';
import {makeReady} from '../rows/lanes.ts';
import {type FoundJob, findJob, unpackJobs} from '../rows/packed-rows.ts';
import type {Range} from '../rows/run-range.ts';
import type {ParentChange, Tx} from '../rows/tx.ts';
import {judgeUsed, keepUsed} from '../rows/used-results.ts';
import {deleteStateRow} from './delete.ts';
import {beginRound, cancelBecause, endRound, unpack} from './rounds.ts';

/** A transaction that has changed this many rows of children leaves the rest to later ones. */
const MAX_CHANGED_ROWS = 5000;

/** Changes of parents that have not reached all children are stored as their positions here: never reorder. */
const CHANGES = ['completed', 'dead', 'deleted', 'reopened'] as const satisfies readonly ParentChange['change'][];

/**
 * Passes the changes of this transaction's jobs on to the jobs that wait for them, and those to the jobs that wait for these. What is too much for one
 * transaction is stored, and left to later ones, in the same order.
 * @param maxRows Infinity before parents are counted: the count of a job must not miss a change that is not passed on yet
 */
export function reachChildren(tx: Tx, maxRows = MAX_CHANGED_ROWS): void {
	const {statements, facts, changedParents} = tx;
	if (!facts.get('hasEdges')) return void changedParents.splice(0);
	const budget: Budget = {rows: maxRows};
	if (facts.get('hasParentChanges')) passStored(tx, budget);
	while (changedParents.length > 0 && budget.rows > 0) {
		const rest = pass(tx, changedParents.shift() as ParentChange, budget);
		if (rest) changedParents.unshift(rest);
	}
	for (const {first, last, change, edge = 0, digest = null} of changedParents.splice(0)) {
		statements.insertParentChange.run(first, last, CHANGES.indexOf(change), edge, digest);
		facts.forget('hasParentChanges');
	}
}

/** How many rows this transaction may still change. */
interface Budget {
	rows: number;
}

type ChangeRow = readonly [id: number, first: JobId, last: JobId, change: number, edge: number, digest: string | null];

/** Takes one at a time: there may be millions. */
function passStored(tx: Tx, budget: Budget): void {
	const {statements, facts} = tx;
	while (budget.rows > 0) {
		const row = statements.firstParentChange.get() as ChangeRow | undefined;
		if (!row) break;
		const [id, first, last, change, edge, digest] = row;
		// Of an earlier build, or damaged: `reopened` counts the parents anew.
		const rest = pass(tx, {first, last, change: CHANGES[change] ?? 'reopened', edge, digest: digest ?? undefined}, budget);
		if (rest) statements.continueParentChange.run(rest.edge, id);
		else statements.deleteParentChange.run(id);
	}
	facts.forget('hasParentChanges');
}

/** Passes the change over edges, while rows may be changed. Returns the rest of it. */
function pass(tx: Tx, change: ParentChange, budget: Budget): ParentChange | undefined {
	// Counted too: many changes reach no child any more.
	budget.rows--;
	if (change.change !== 'deleted') judgeUsed(tx, change.first, change.last);
	let passed = change.edge ?? 0;
	for (const edge of edgesFrom(tx.statements, [change.first, change.last], passed)) {
		// Parts of an edge that was cut have one place, and are passed together.
		if (budget.rows <= 0 && edge.place > passed) return {...change, edge: passed};
		passed = edge.place;
		if (change.digest !== undefined) keepUsed(tx, edge.parents[0], edge.children, change.digest);
		budget.rows -= PASSES[change.change](tx, edge);
	}
	return undefined;
}

const PASSES: Readonly<Record<ParentChange['change'], (tx: Tx, edge: Edge) => number>> = {
	completed: countDown,
	dead: (tx, edge) => (edge.onParentDead === 'cancel' ? cancelChildren(tx, edge) : countDown(tx, edge)),
	deleted: cancelChildren,
	reopened: waitAgain,
};

function countDown(tx: Tx, {parents, children, isEach}: Edge): number {
	const ended = isEach ? 1 : parents[1] - parents[0] + 1;
	const runs = blockedRunsIn(tx.statements, ...children);
	for (const run of runs) {
		const taken = takeBlocked(tx.statements, run, ...children);
		if (taken.parents > ended) insertBlocked(tx.statements, {...taken, parents: taken.parents - ended});
		else unblock(tx, taken);
	}
	return runs.length;
}

function unblock(tx: Tx, run: BlockedRun): void {
	const {first, last, task, rank, batch, executions} = run;
	const {statements, tally, facts, now} = tx;
	const runAt = run.runAt !== null && run.runAt > now ? run.runAt : null;
	tx.isUnblocked = true;
	if (mayExpire(tx)) for (let id = first; id <= last; id++) statements.renewExpiry.run(runAt ?? now, id);
	if (runAt !== null) {
		for (let id = first; id <= last; id++) statements.insertWaiting.run(id, runAt, 0, executions);
		facts.forget('nextRunAt');
		tally.move(task, batch, StoredState.blocked, StoredState.delayed, last - first + 1);
	} else if (executions > 0) {
		for (let id = first; id <= last; id++) makeReady(tx, id, {task, batch, rank, executions}, StoredState.blocked);
	} else {
		statements.insertReadyRun.run(task, rank, first, last, batch);
		tally.move(task, batch, StoredState.blocked, StoredState.ready, last - first + 1);
	}
}

function cancelChildren(tx: Tx, {parents, children, isEach}: Edge): number {
	let rows = 0;
	for (const {first, last} of blockedRunsIn(tx.statements, ...children)) {
		const [from, to]: Range = [Math.max(first, children[0]), Math.min(last, children[1])];
		for (let id = from; id <= to; id++) cancelChild(tx, id, isEach ? parents[0] + id - children[0] : parents[0]);
		rows += to - from + 1;
	}
	return rows;
}

/** Cancels a blocked job, because it waits for this parent, which will not complete. */
export function cancelChild(tx: Tx, id: JobId, lost: JobId): void {
	const {statements} = tx;
	const job = findJob(statements, id);
	if (job?.state !== StoredState.blocked) return;
	unpackJobs(statements, id);
	cancelBecause(tx, id, job, parentFailure(lost, stateOfLost(tx, lost)));
	tx.lostChildren.push(id);
}

function stateOfLost({statements}: Tx, parent: JobId): 'dead' | 'cancelled' | 'deleted' {
	const state = findJob(statements, parent)?.state;
	return state === StoredState.dead ? 'dead' : state === StoredState.cancelled ? 'cancelled' : 'deleted';
}

/** A parent has a new round: its children that have not started wait for it again, and those that were cancelled because of it have a new round, too. */
function waitAgain(tx: Tx, {children}: Edge): number {
	let rows = 0;
	for (let id = children[0]; id <= children[1]; id++) {
		const job = findJob(tx.statements, id);
		if (job?.state === StoredState.cancelled ? reopenChild(tx, id, job) : job && blockAgain(tx, id, job)) rows++;
	}
	return rows;
}

function reopenChild(tx: Tx, id: JobId, job: FoundJob): boolean {
	if (failureOf(tx, id)?.reason !== 'parent' || lostParentOf(tx, id) !== undefined) return false;
	endRound(tx, id, job);
	beginRound(tx, id, job);
	return true;
}

/** The parents are counted anew, since changes of several may come in one transaction, and one edge after the other. */
function blockAgain(tx: Tx, id: JobId, job: FoundJob): boolean {
	const {statements, tally, facts} = tx;
	const isBlocked = job.state === StoredState.blocked;
	// One that was taken back after a parent died runs without it.
	if ((!isBlocked && job.state > StoredState.delayed) || deadParentOf(tx, id) !== undefined) return false;
	const parents = openParentsOf(tx, id);
	if (parents === 0) return false;
	if (isBlocked) {
		insertBlocked(statements, {...takeBlocked(statements, blockedRunOf(statements, id) as BlockedRun, id, id), parents});
		return true;
	}
	unpack(tx, id, job);
	const runAt = job.state === StoredState.delayed ? (statements.runAtOf.get(id) as number | null) : null;
	deleteStateRow(tx, id, job);
	insertBlocked(statements, {...job, first: id, last: id, runAt, parents});
	holdExpiry(tx, id);
	tally.move(job.task, job.batch, job.state, StoredState.blocked);
	facts.forget('nextRunAt');
	return true;
}

function failureOf({statements}: Tx, id: JobId): FailureRecord | undefined {
	const failure = statements.failureOf.get(id) as string | null | undefined;
	return failure ? readFailure(failure) : undefined;
}
