import {type Encoded, sameValue} from '../../job/encoding.ts';
import type {FailureRecord} from '../../job/failure.ts';
import type {JobId} from '../../job/job.ts';
import type {MadeJob, NewJob} from '../../job/new-job.ts';
import {expandNew, isNewRun, type NewRun} from '../../job/runs.ts';
import {failpoint} from '../../support/failpoint.ts';
import {type Enqueued, enqueueFailure, keyConflict, RETRIED_BY_DEFAULT} from '../store.ts';
import {replaceJob, retryJob} from './control.ts';
import {nextJobId} from './counter.ts';
import {fitsInJobRun} from './job-run.ts';
import {scopeOf} from './names.ts';
import {Newcomers} from './newcomers.ts';
import {Place} from './places.ts';
import type {Session} from './session.ts';

/** Puts jobs in, with rising ids. A key that is there already gives its job instead. */
export function enqueue(session: Session, jobs: readonly (NewJob | NewRun)[], rejectConflicts: boolean): Enqueued[] {
	const {statements} = session;
	const first = nextJobId(session);
	const enqueued: Enqueued[] = [];
	let id = first;
	const newcomers = new Newcomers(session);
	for (const job of jobs) {
		if (isNewRun(job)) {
			enqueued.push({id, existing: false, conflict: false});
			id = addRun(session, id, job, newcomers);
			continue;
		}
		const holder = findByKey(session, job);
		if (holder) {
			// A job of this very turn must be in its place before it can leave it.
			if (holder.id >= first) newcomers.flush();
			enqueued.push(meet(session, job, holder, rejectConflicts));
			continue;
		}
		add(session, id, job, newcomers);
		enqueued.push({id, existing: false, conflict: false});
		id++;
	}
	newcomers.flush();
	if (id > first) {
		statements.setJobCounter.run(id - 1);
		failpoint('enqueue:written');
	}
	return enqueued;
}

/** What the first of the jobs fails its maker with whose key names another payload, in the queue or among those before it. */
export function findConflict(session: Session, jobs: readonly MadeJob[]): FailureRecord | undefined {
	const own = new Map<string, Encoded>();
	for (const job of jobs) {
		if (job.key === undefined) continue;
		const name = JSON.stringify([job.task, job.key]);
		const holder = findByKey(session, job);
		const held = holder ? holder.payload : own.get(name);
		if (held !== undefined && !sameValue(held, job.payload)) return enqueueFailure(job, holder?.id);
		own.set(name, job.payload);
	}
	return undefined;
}

/** Returns the id after those of its jobs. */
function addRun(session: Session, first: JobId, run: NewRun, newcomers: Newcomers): JobId {
	const {names, tally, now} = session;
	const {payloads, priority, runAt} = run;
	if (runAt !== null && runAt > now) for (const [index, job] of expandNew([run]).entries()) add(session, first + index, job, newcomers);
	else {
		const task = names.task(run.task);
		newcomers.addRun(first, {task, policy: names.policyId(run.policy), priority, batch: null, isLoose: false}, payloads);
		tally.move(task, null, null, Place.ready, payloads.count);
	}
	return first + payloads.count;
}

function add({statements, names, tally, now}: Session, id: JobId, job: NewJob, newcomers: Newcomers): void {
	const {key, payload, priority} = job;
	const [task, policy, batch] = [names.task(job.task), names.policyId(job.policy), job.batch ?? null];
	const isDelayed = job.runAt !== null && job.runAt > now;
	const isLoose = isDelayed || !fitsInJobRun(job);
	if (isLoose) statements.insertJob.run(id, task, policy, priority, now, batch, key ?? null, payload);
	if (key !== undefined) statements.insertKey.run(scopeOf(task, job.batch), key, id);
	if (isDelayed) statements.insertWaiting.run(id, job.runAt, 0, 0);
	else newcomers.add(id, {task, policy, priority, batch, isLoose}, isLoose ? null : payload);
	tally.move(task, batch, null, isDelayed ? Place.scheduled : Place.ready);
}

interface Holder {
	readonly id: JobId;
	readonly payload: Encoded;
}

function findByKey({statements, names}: Session, {task, batch, key}: NewJob): Holder | undefined {
	if (key === undefined) return undefined;
	const row = statements.jobByKey.get(scopeOf(names.task(task), batch), key) as [JobId, Encoded] | undefined;
	return row && {id: row[0], payload: row[1]};
}

/** What becomes of a new job whose key belongs to one that is there. */
function meet(session: Session, job: NewJob, {id, payload}: Holder, rejectConflicts: boolean): Enqueued {
	const existing = {id, existing: true, conflict: false};
	if (sameValue(payload, job.payload)) {
		if (job.rerun?.failed) retryJob(session, id, RETRIED_BY_DEFAULT);
		return existing;
	}
	if (job.rerun?.changed && replaceJob(session, id, job)) return existing;
	if (rejectConflicts) throw keyConflict(job, id);
	return {id, existing: false, conflict: true};
}
