import {type Encoded, sameValue} from '../../job/encoding.ts';
import type {FailureRecord} from '../../job/failure.ts';
import type {JobId} from '../../job/job.ts';
import type {ChildJob, NewJob} from '../../job/new-job.ts';
import {expandNew, isNewRun, type NewRun} from '../../job/runs.ts';
import {failpoint} from '../../support/failpoint.ts';
import {type Enqueued, enqueueFailure, keyConflict, RETRIED_BY_DEFAULT} from '../store.ts';
import {replaceJob, retryJob} from './control.ts';
import {nextJobId} from './counter.ts';
import {fitsInJobRun} from './job-run.ts';
import {scopeOf} from './names.ts';
import {RunBuilder} from './run-builder.ts';
import {StoredState} from './stored-state.ts';
import type {Tx} from './tx.ts';

/** Puts jobs in, with rising ids. A key that is there already gives its job instead. */
export function enqueue(tx: Tx, jobs: readonly (NewJob | NewRun)[], rejectConflicts: boolean): Enqueued[] {
	const {statements} = tx;
	const first = nextJobId(tx);
	const enqueued: Enqueued[] = [];
	let id = first;
	const runs = new RunBuilder(tx);
	for (const job of jobs) {
		if (isNewRun(job)) {
			enqueued.push({id, existing: false, conflict: false});
			id = addRun(tx, id, job, runs);
			continue;
		}
		const holder = findByKey(tx, job);
		if (holder) {
			// A job of this very turn must be in its place before it can leave it.
			if (holder.id >= first) runs.flush();
			enqueued.push(meet(tx, job, holder, rejectConflicts));
			continue;
		}
		add(tx, id, job, runs);
		enqueued.push({id, existing: false, conflict: false});
		id++;
	}
	runs.flush();
	if (id > first) {
		statements.setJobCounter.run(id - 1);
		failpoint('enqueue:written');
	}
	return enqueued;
}

/** What the first of the jobs fails its maker with whose key names another payload, in the queue or among those before it. */
export function findConflict(tx: Tx, jobs: readonly ChildJob[]): FailureRecord | undefined {
	const own = new Map<string, Encoded>();
	for (const job of jobs) {
		if (job.key === undefined) continue;
		const name = JSON.stringify([job.task, job.key]);
		const holder = findByKey(tx, job);
		const held = holder ? holder.payload : own.get(name);
		if (held !== undefined && !sameValue(held, job.payload)) return enqueueFailure(job, holder?.id);
		own.set(name, job.payload);
	}
	return undefined;
}

/** Returns the id after those of its jobs. */
function addRun(tx: Tx, first: JobId, run: NewRun, runs: RunBuilder): JobId {
	const {names, tally, now} = tx;
	const {payloads, priority, runAt} = run;
	if (runAt !== null && runAt > now) for (const [index, job] of expandNew([run]).entries()) add(tx, first + index, job, runs);
	else {
		const task = names.task(run.task);
		runs.addRun(first, {task, policy: names.policyId(run.policy), priority, batch: null, isLoose: false}, payloads);
		tally.move(task, null, null, StoredState.ready, payloads.count);
	}
	return first + payloads.count;
}

function add({statements, names, tally, now}: Tx, id: JobId, job: NewJob, runs: RunBuilder): void {
	const {key, payload, priority} = job;
	const [task, policy, batch] = [names.task(job.task), names.policyId(job.policy), job.batch ?? null];
	const isDelayed = job.runAt !== null && job.runAt > now;
	const isLoose = isDelayed || !fitsInJobRun(job);
	if (isLoose) statements.insertJob.run(id, task, policy, priority, now, batch, key ?? null, payload);
	if (key !== undefined) statements.insertKey.run(scopeOf(task, job.batch), key, id);
	if (isDelayed) statements.insertWaiting.run(id, job.runAt, 0, 0);
	else runs.add(id, {task, policy, priority, batch, isLoose}, isLoose ? null : payload);
	tally.move(task, batch, null, isDelayed ? StoredState.scheduled : StoredState.ready);
}

interface Holder {
	readonly id: JobId;
	readonly payload: Encoded;
}

function findByKey({statements, names}: Tx, {task, batch, key}: NewJob): Holder | undefined {
	if (key === undefined) return undefined;
	const row = statements.jobByKey.get(scopeOf(names.task(task), batch), key) as [JobId, Encoded] | undefined;
	return row && {id: row[0], payload: row[1]};
}

/** What becomes of a new job whose key belongs to one that is there. */
function meet(tx: Tx, job: NewJob, {id, payload}: Holder, rejectConflicts: boolean): Enqueued {
	const existing = {id, existing: true, conflict: false};
	if (sameValue(payload, job.payload)) {
		if (job.rerun?.failed) retryJob(tx, id, RETRIED_BY_DEFAULT);
		return existing;
	}
	if (job.rerun?.changed && replaceJob(tx, id, job)) return existing;
	if (rejectConflicts) throw keyConflict(job, id);
	return {id, existing: false, conflict: true};
}
