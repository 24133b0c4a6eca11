import type {EditResult, JobEdit} from '../../job/job.ts';
import {dueAtOf} from '../../job/new-job.ts';
import {deleteStateRow} from './delete.ts';
import {makeReady} from './lanes.ts';
import {unpack} from './move.ts';
import {type FoundJob, findJob} from './packed-rows.ts';
import {STATUS_OF, StoredState} from './schema.sql.ts';
import type {Tx} from './tx.ts';

/** Changes a pending or failed job. Attempts, failure and the number of executions stay. */
export function editJob(tx: Tx, edit: JobEdit): EditResult {
	const {statements} = tx;
	const {id, payload, priority} = edit;
	const job = findJob(statements, id);
	if (!job) return 'missing';
	const status = STATUS_OF[job.state];
	if (status !== 'pending' && status !== 'failed') return status;
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

/** Writes the row of the job's state anew, if the edit changes it: a time may change the state, and the rows of ready jobs have the rank. */
function changeOrder(tx: Tx, {id, priority, runAt, delayMs}: JobEdit, job: FoundJob): void {
	const rank = priority === undefined ? job.rank : -priority;
	const isReady = job.state <= StoredState.quarantined;
	const hasTime = runAt !== undefined || delayMs !== undefined;
	if (!hasTime && (rank === job.rank || !isReady)) return;
	deleteStateRow(tx, id, job);
	const dueAt = dueAtOf({runAt: runAt ?? null, delayMs}, tx.now);
	if (hasTime) tx.statements.renewExpiry.run(dueAt ?? tx.now, id);
	const hasFailed = STATUS_OF[job.state] === 'failed';
	if (dueAt === null) makeReady(tx, id, {...job, rank}, job.state);
	else {
		tx.statements.insertWaiting.run(id, dueAt, hasFailed ? 1 : 0, job.executions);
		tx.known.forget('nextRunAt');
		tx.tally.move(job.task, job.batch, job.state, hasFailed ? StoredState.failed : StoredState.delayed);
	}
}
