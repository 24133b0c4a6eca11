import {type Encoded, sameValue} from '../../encoding.ts';
import type {JobId} from '../../job.ts';
import {type Enqueued, keyConflict, type NewJob} from '../../queue.ts';
import {Place} from './places.ts';
import type {Session} from './session.ts';

/** Puts jobs in, with rising ids. A key that is there already gives its job instead. */
export function enqueue(session: Session, jobs: readonly NewJob[], rejectConflicts: boolean): Enqueued[] {
	const {statements, tally} = session;
	const first = (statements.counter.get('job') as number) + 1;
	const enqueued: Enqueued[] = [];
	let id = first;
	let firstReady = first;
	for (const job of jobs) {
		const existing = job.key === undefined ? undefined : findByKey(session, job, job.key, rejectConflicts);
		if (existing) {
			enqueued.push(existing);
			continue;
		}
		const place = insertJob(session, id, job);
		if (place === Place.scheduled) {
			makeReady(session, firstReady, id - 1);
			firstReady = id + 1;
		}
		tally.move(session.names.task(job.task), job.batch ?? null, null, place);
		enqueued.push({id, existing: false, conflict: false});
		id++;
	}
	makeReady(session, firstReady, id - 1);
	if (id > first) statements.setCounter.run(id - 1, 'job');
	return enqueued;
}

function insertJob({statements, names, now}: Session, id: JobId, job: NewJob): Place {
	const task = names.task(job.task);
	statements.insertJob.run(id, task, names.policyId(job.policy), job.priority, now, job.batch ?? null, job.key ?? null, job.payload);
	if (job.key !== undefined) statements.insertKey.run(scopeOf(task, job.batch), job.key, id);
	if (job.runAt === null || job.runAt <= now) return Place.ready;
	statements.insertWaiting.run(id, job.runAt, 0, 0);
	return Place.scheduled;
}

/** New jobs become ready by the range, read back from `job`: two thirds of the cost of a statement per job. */
function makeReady({statements}: Session, first: JobId, last: JobId): void {
	if (first <= last) statements.insertReadyRange.run(first, last);
}

function findByKey({statements, names}: Session, job: NewJob, key: string, rejectConflicts: boolean): Enqueued | undefined {
	const row = statements.jobByKey.get(scopeOf(names.task(job.task), job.batch), key) as [JobId, Encoded] | undefined;
	if (!row) return undefined;
	const [id, payload] = row;
	const conflict = !sameValue(payload, job.payload);
	if (conflict && rejectConflicts) throw keyConflict(job.task, key, id);
	return {id, existing: !conflict, conflict};
}

/** Keys of a batch and keys of a task outside batches share a table. */
export function scopeOf(task: number, batch: number | null | undefined): number {
	return batch ?? -task;
}
