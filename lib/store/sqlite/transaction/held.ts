/**
 * Held jobs: an earlier run of their batch has left them unfinished, and a later one has not named them. One that does not run has a row in `waiting` with
 * a time less than 0, so that it never becomes due. One that runs is marked: it is held if its execution does not end it.
 */

import type {JobId} from '../../../job/job.ts';
import type {NewJob} from '../../../job/new-job.ts';
import {Stop, StoredState} from '../../stored-state.ts';
import {blockedRunOf} from '../rows/blocked.ts';
import {lostParentOf} from '../rows/edges.ts';
import {holdExpiry} from '../rows/expiry.ts';
import {type FoundJob, findJob} from '../rows/packed-rows.ts';
import type {Tx} from '../rows/tx.ts';
import {cancelChild, reachChildren} from './children.ts';
import {deleteStateRow} from './delete.ts';
import {beginRound, rescope, unpack} from './rounds.ts';

/** Holds a job. Returns false if it is parked, and so waits for a person anyway, or was asked to stop. */
export function hold(tx: Tx, id: JobId, job: FoundJob): boolean {
	if (job.state === StoredState.parked || job.state === StoredState.held) return false;
	unpack(tx, id, job);
	tx.facts.forget('hasHeld');
	if (job.state === StoredState.running) return tx.statements.askToHold.run(Stop.hold, id).changes > 0;
	holdWaiting(tx, id, job);
	return true;
}

/** Holds a job that does not run. One that has failed loses the time of its next attempt. */
export function holdWaiting(tx: Tx, id: JobId, job: FoundJob): void {
	const {statements} = tx;
	const runAt = job.state === StoredState.blocked ? blockedRunOf(statements, id)?.runAt : job.state === StoredState.delayed ? statements.runAtOf.get(id) : null;
	deleteStateRow(tx, id, job);
	insertHeld(tx, id, job, (runAt ?? null) as number | null);
}

/** Writes that a job is held; the caller deletes the row of its state. @param runAt when it would become due; `null` for at once */
export function insertHeld(
	tx: Tx,
	id: JobId,
	{task, batch, executions, state}: Pick<FoundJob, 'task' | 'batch' | 'executions' | 'state'>,
	runAt: number | null,
): void {
	tx.statements.insertWaiting.run(id, -(runAt ?? 1), 0, executions);
	tx.facts.forget('hasHeld');
	holdExpiry(tx, id);
	tx.tally.move(task, batch, state, StoredState.held);
}

export function isHeld({statements}: Tx, id: JobId, {state}: FoundJob): boolean {
	return state === StoredState.held || (state === StoredState.running && statements.stopOf.get(id) === Stop.hold);
}

/** The job, if it is held. */
export function findHeld(tx: Tx, id: JobId): FoundJob | undefined {
	const job = tx.facts.get('hasHeld') ? findJob(tx.statements, id) : undefined;
	return job && isHeld(tx, id, job) ? job : undefined;
}

/**
 * Ends the hold of a job, if it is held.
 * @param anew its options from now on; by default it keeps those that it has
 * @returns whether it was held
 */
export function unhold(tx: Tx, id: JobId, anew?: Pick<NewJob, 'task' | 'scope' | 'priority' | 'policy'>): boolean {
	const {statements, numbers, facts, now} = tx;
	const found = findHeld(tx, id);
	if (!found) return false;
	facts.forget('hasHeld');
	// Before its open parents are counted.
	reachChildren(tx, Infinity);
	if (anew) statements.setPolicy.run(numbers.policyId(anew.policy), anew.priority, id);
	if (found.state === StoredState.running) return statements.endHold.run(id).changes > 0;
	const runAt = -(statements.runAtOf.get(id) as number);
	const dueAt = runAt > now ? runAt : null;
	deleteStateRow(tx, id, found);
	statements.renewExpiry.run(dueAt ?? now, id);
	if (beginRound(tx, id, anew ? rescope(tx, id, found, anew) : found, anew && -anew.priority, dueAt)) holdExpiry(tx, id);
	const lost = lostParentOf(tx, id);
	if (lost !== undefined) cancelChild(tx, id, lost);
	reachChildren(tx, Infinity);
	return true;
}
