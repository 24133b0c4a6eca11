import type {FailureRecord} from '../../../job/failure.ts';
import type {JobId} from '../../../job/job.ts';
import type {NewJob} from '../../../job/new-job.ts';
import {writeFailure} from '../../stored-json.ts';
import {hasEnded, StoredState} from '../../stored-state.ts';
import {inScope, nameOf, scopeOf} from '../../task-number.ts';
import {insertBlocked} from '../rows/blocked.ts';
import {edgesFrom, unmetParentsOf} from '../rows/edges.ts';
import {endExpiry} from '../rows/expiry.ts';
import {keepFailure, keepLastExecution} from '../rows/history.ts';
import {failureStateOf, makeReady} from '../rows/lanes.ts';
import {type FoundJob, unpackRun} from '../rows/packed-rows.ts';
import {parentsChanged, type Tx} from '../rows/tx.ts';
import {digestOf} from '../rows/used-results.ts';
import {deleteStateRow} from './delete.ts';

/** Cancels a job that is not running. @param execution the number of the last one */
export function cancelJob(tx: Tx, id: JobId, job: FoundJob, execution: number): void {
	const {statements, tally, now} = tx;
	deleteStateRow(tx, id, job);
	statements.insertOutcome.run(id, StoredState.cancelled, execution, now, null, null, null, null, null, null, null);
	endExpiry(tx, id);
	tally.move(job.task, job.batch, job.state, StoredState.cancelled);
	parentsChanged(tx, id, id, 'dead');
}

/** Cancels a job that is not running, and keeps why. Attempts that it has made still count, and an execution that failed is in its history. */
export function cancelBecause(tx: Tx, id: JobId, job: FoundJob, reason: FailureRecord): void {
	const {statements, now} = tx;
	// Its history has each number once.
	const execution = job.executions + 1;
	if (job.executions > 0) keepFailure(statements, id);
	cancelJob(tx, id, job, execution);
	const {attempts, crashes, suspicion, delays} = failureStateOf(tx, id);
	statements.setFailureState.run(id, attempts, crashes, suspicion, delays, execution, now, null, null, null, null, null, writeFailure(reason));
}

/** Ends the round of a job: of its state only the number of executions is left. A new state must follow. */
export function endRound(tx: Tx, id: JobId, job: FoundJob): void {
	unpack(tx, id, job);
	if (job.executions > 0) keepLastExecution(tx.statements, id);
	const isParent = hasEnded(job.state) && tx.facts.get('hasEdges') && edgesFrom(tx.statements, [id, id]).length > 0;
	const digest = isParent ? digestOf(tx.statements, id) : undefined;
	deleteStateRow(tx, id, job);
	tx.statements.deleteFailureState.run(id);
	tx.statements.deleteProgress.run(id);
	endExpiry(tx, id);
	if (hasEnded(job.state)) parentsChanged(tx, id, id, 'reopened', digest);
}

/** Gives a job whose round was ended its new state. Returns whether it waits for others. @param dueAt in milliseconds since 1970; `null` for at once */
export function beginRound(tx: Tx, id: JobId, job: FoundJob, rank = job.rank, dueAt: number | null = null): boolean {
	const {statements, tally, facts} = tx;
	const {task, batch, state, executions} = job;
	const parents = unmetParentsOf(tx, id);
	if (parents > 0) {
		insertBlocked(statements, {first: id, last: id, task, rank, batch, runAt: dueAt, executions, parents});
		tally.move(task, batch, state, StoredState.blocked);
	} else if (dueAt === null) makeReady(tx, id, {...job, rank}, state);
	else {
		statements.insertWaiting.run(id, dueAt, 0, executions);
		facts.forget('nextRunAt');
		tally.move(task, batch, state, StoredState.delayed);
	}
	return parents > 0;
}

/** The job gets the scope of those who name it anew: this changes the number of its task. Call it while no row has its state. */
export function rescope({statements, numbers, tally}: Tx, id: JobId, job: FoundJob, {task, scope}: Pick<NewJob, 'task' | 'scope'>): FoundJob {
	const number = inScope(nameOf(job.task), scopeOf(numbers.task(task, scope)));
	if (number === job.task) return job;
	statements.setTask.run(number, id);
	tally.move(job.task, job.batch, job.state, null);
	tally.move(number, job.batch, null, job.state);
	return {...job, task: number};
}

/** Gives the job, and the others of its run, rows of their own. */
export function unpack(tx: Tx, id: JobId, job: FoundJob): void {
	if (job.isInRun) tx.unpacked += unpackRun(tx.statements, id, job);
}
