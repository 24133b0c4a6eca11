/** Errors of every store: a name, a key or a batch that belongs to something else. */
import type {OwnerId} from '../job/claim.ts';
import type {FailureRecord} from '../job/failure.ts';
import type {FullQueue} from '../job/groups/group.ts';
import type {EditResult, JobId} from '../job/job.ts';
import type {ChildJob, NewJob} from '../job/new-job.ts';
import {FaenaError} from '../support/errors.ts';

/**
 * Thrown by enqueues of an engine if the store had no room for the job.
 * @param retryAfterMs when there may be room
 */
export function queueFull(task: string, {of, pending, limit}: FullQueue, retryAfterMs: number): FaenaError {
	const [what, whose] = of === 'task' ? [`Task ${task}`, 'its own'] : ['The queue', "open()'s"];
	const message = `${what} has ${pending} pending jobs, and ${whose} maxPending is ${limit}. There may be room in ${Math.ceil(retryAfterMs / 1000)} s.`;
	return Object.assign(new FaenaError('QueueFull', message), {task, pending, limit, retryAfterMs});
}

/** Thrown by enqueues whose `dependsOn` names a job that does not exist; or, of minus its number, whose batch does not. */
export function noParent(task: string, id: JobId): FaenaError {
	if (id < 0) {
		const problem = `A job of task ${task} can't be put into batch ${-id}: there is no such batch in this queue.`;
		return new FaenaError('NoSuchBatch', `${problem} It may have been deleted; openBatch() gives the number of a new one.`);
	}
	return new FaenaError('NoSuchJob', `A job of task ${task} can't wait for job ${id}: there is no such job in this queue. It may have been cleaned up.`);
}

type BatchKind = {readonly task?: string | undefined; readonly stages?: readonly string[] | undefined};

/** The failure of a job that enqueues a job which depends on one that does not exist. */
export function noParentFailure({task}: ChildJob, id: JobId): FailureRecord {
	return {reason: 'threw', name: 'FaenaError', message: noParent(task, id).message, code: 'NoSuchJob'};
}

/** Why a job was cancelled that was enqueued in a program's own transaction, when another job had its key by the time that was committed. */
export function keyTaken(holder: JobId | string, key: string): FailureRecord {
	const message = `Job ${holder} has the key ${key}: it took it, or was retried, before the transaction of this one was committed.`;
	return {reason: 'cancelled', name: 'KeyConflict', message};
}

/** Thrown by `Store.openBatch` if the batch is another map, pipe or flow. */
export function batchConflict(name: string, own: BatchKind, wanted: BatchKind): FaenaError {
	const [is, other] = [kindOf(own), kindOf(wanted)];
	const problem = is === other ? 'is a flow that was enqueued already' : `is ${is}, not ${other}`;
	return new FaenaError('BatchConflict', `The batch ${JSON.stringify(name)} ${problem}. Give this one another name.`);
}

/** Equal for batches of the same task, and for pipes of the same stages. */
export function kindOf({task, stages}: BatchKind): string {
	if (stages) return `a pipe of the stages ${stages.join(' → ')}`;
	return task === undefined ? 'a flow' : `a map of the task ${task}`;
}

/** Thrown by `Store.openBatch` if the batch has an owner. */
export function batchInUse(name: string): FaenaError {
	return new FaenaError(
		'BatchInUse',
		`The batch ${JSON.stringify(name)} has a running map already, in this program or another one. A batch has one map at a time. Wait until the loop of that map has ended, or give this map another batch name. If its program was killed, the batch is free once all processes of that program have ended; if it hangs, after its lease, 30 s by default.`,
	);
}

/** Thrown by claims, and by calls for a batch, if another store has an owner of this name, which is not known to be dead. */
export function ownerInUse(owner: OwnerId, options?: ErrorOptions): FaenaError {
	const what = `Another program claims jobs as the owner "${owner}". End it, or give each program an owner's name of its own, such as a UUID.`;
	return new FaenaError('OwnerInUse', `${what} If it has died, try again: its jobs are free within a lease, 30 s by default.`, options);
}

/** Thrown by `Store.delete` if jobs of the batch are running. */
export function batchRunning(name: string, running: number): FaenaError {
	const jobs = running === 1 ? 'One job' : `${running} jobs`;
	return new FaenaError(
		'BatchRunning',
		`${jobs} of the batch ${JSON.stringify(name)} can't be deleted while running. Cancel the batch, or wait for its jobs, then delete it.`,
	);
}

/**
 * Thrown by `Store.commit` under `rejectConflicts`.
 * @param advice what the caller can do
 */
export function keyConflict(
	{task, key, rerun}: Pick<NewJob, 'task' | 'key' | 'rerun'>,
	id: JobId,
	advice = 'Give another payload another key; or wait until that job has ended and delete it with cleanup().',
): FaenaError {
	const problem = rerun?.changed
		? "has another payload, and can't run anew now: it is running, or a job in its dependsOn is dead, was cancelled, or waits for it. Let the one end, retry the other, or name other jobs."
		: `has another payload. ${advice}`;
	return new FaenaError('KeyConflict', `The key ${JSON.stringify(key)} of task ${task} belongs to job ${id}, which ${problem}`);
}

/**
 * The failure of a job that enqueues a job whose key belongs to another payload.
 * @param holder the job that has the key; `undefined` if another one of the enqueued jobs has it
 */
export function enqueueFailure({task, key}: ChildJob, holder: JobId | undefined): FailureRecord {
	const who = holder === undefined ? 'another job that it enqueues' : `job ${holder}`;
	const message = `The key ${JSON.stringify(key)} of task ${task}, which this job enqueues, belongs to ${who}, which has another payload. Give another payload another key.`;
	return {reason: 'threw', name: 'FaenaError', message, code: 'KeyConflict'};
}

/** The error of a write on a queue that was opened with `readOnly`. The queue can still be read. */
export function openedReadOnly(path: string): FaenaError {
	return new FaenaError('BadDatabase', `${path} can't be written here, because it was opened with readOnly: true. Open it without readOnly to change it.`);
}

export function noSuchJob(id: JobId): FaenaError {
	return new FaenaError('NoSuchJob', `There is no job ${id}; it may have been cleaned up.`);
}

/** Whether an edit has changed the job. @throws FaenaError `NoSuchJob` */
export function isEdited(id: JobId, result: EditResult | 'missing'): boolean {
	if (result === 'missing') throw noSuchJob(id);
	return result === 'edited';
}

export function noSuchBatch(name: string): FaenaError {
	return new FaenaError('NoSuchBatch', `There is no batch ${JSON.stringify(name)}; it may have been deleted.`);
}
