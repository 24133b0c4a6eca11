import type {EditResult, JobEdit, JobId, JobStatus} from '../../../job/job.ts';
import {dueAtOf} from '../../../job/new-job.ts';
import {STATUS_OF, StoredState} from '../../stored-state.ts';
import {type BlockedRun, blockedRunOf, insertBlocked, takeBlocked} from '../rows/blocked.ts';
import {makeReady} from '../rows/lanes.ts';
import {type FoundJob, findJob} from '../rows/packed-rows.ts';
import type {Tx} from '../rows/tx.ts';
import {deleteStateRow} from './delete.ts';
import {insertHeld} from './held.ts';
import {unpack} from './rounds.ts';

/** Changes a blocked, pending or failed job. Attempts, failure and the number of executions stay. */
export function editJob(tx: Tx, edit: JobEdit): EditResult | 'missing' {
	const {statements} = tx;
	const {id, payload, priority} = edit;
	const job = findJob(statements, id);
	if (!job) return 'missing';
	const status = STATUS_OF[job.state];
	if (!isEditable(status)) return status;
	unpack(tx, id, job);
	changeOrder(tx, edit, job);
	if (priority !== undefined) statements.setPriority.run(priority, id);
	if (payload !== undefined) {
		statements.setPayload.run(payload, id);
		// The checkpoint belongs to the old payload.
		statements.deleteCheckpoint.run(id);
	}
	return 'edited';
}

function isEditable(status: JobStatus): status is 'blocked' | 'pending' | 'failed' {
	return status === 'blocked' || status === 'pending' || status === 'failed';
}

/** Writes the row of the job's state anew, if the edit changes it: a time may change the state, and some rows have the rank. */
function changeOrder(tx: Tx, {id, priority, runAt, delayMs}: JobEdit, job: FoundJob): void {
	const rank = priority === undefined ? job.rank : -priority;
	const hasTime = runAt !== undefined || delayMs !== undefined;
	if (!hasTime && (rank === job.rank || !hasRank(job.state))) return;
	const dueAt = dueAtOf({runAt: runAt ?? null, delayMs}, tx.now);
	if (job.state === StoredState.blocked) changeBlocked(tx, id, rank, hasTime ? dueAt : undefined);
	else if (hasTime) changeTime(tx, id, job, rank, dueAt);
	else {
		deleteStateRow(tx, id, job);
		makeReady(tx, id, {...job, rank}, job.state);
	}
}

function hasRank(state: StoredState): boolean {
	return state <= StoredState.quarantined || state === StoredState.blocked;
}

function changeTime(tx: Tx, id: JobId, job: FoundJob, rank: number, dueAt: number | null): void {
	deleteStateRow(tx, id, job);
	if (job.state === StoredState.held) {
		insertHeld(tx, id, job, dueAt);
		return;
	}
	tx.statements.renewExpiry.run(dueAt ?? tx.now, id);
	if (dueAt === null) {
		makeReady(tx, id, {...job, rank}, job.state);
		return;
	}
	const hasFailed = STATUS_OF[job.state] === 'failed';
	tx.statements.insertWaiting.run(id, dueAt, hasFailed ? 1 : 0, job.executions);
	tx.facts.forget('nextRunAt');
	tx.tally.move(job.task, job.batch, job.state, hasFailed ? StoredState.failed : StoredState.delayed);
}

function changeBlocked({statements}: Tx, id: JobId, rank: number, dueAt: number | null | undefined): void {
	const run = takeBlocked(statements, blockedRunOf(statements, id) as BlockedRun, id, id);
	insertBlocked(statements, {...run, rank, ...(dueAt !== undefined && {runAt: dueAt})});
}
