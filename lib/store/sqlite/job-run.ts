import type {Encoded} from '../../job/encoding.ts';
import type {JobId} from '../../job/job.ts';
import type {NewJob} from '../../job/new-job.ts';
import {isPackable, type PackedStrings, readPacked, slicePacked} from '../../job/packed-strings.ts';
import {MAX_RUN_JOBS} from '../../job/runs.ts';
import type {Statements} from './database.ts';

/** A row of the statement `jobRunOf`. */
type JobRunRow = readonly [first: JobId, last: JobId, task: number, policy: number, priority: number, createdAt: number, payloads: string | null];

/** Jobs that share a row. */
export interface JobRun {
	readonly first: JobId;
	readonly last: JobId;
	readonly task: number;
	readonly policy: number;
	readonly priority: number;
	readonly createdAt: number;
	payloadOf(id: JobId): Encoded;
	payloadsOf(first: JobId, last: JobId): PackedStrings;
}

/** True if a run can hold all that is known of the job. */
export function fitsInJobRun({key, batch, payload}: NewJob): boolean {
	return key === undefined && batch === undefined && isPackable(payload);
}

/** The run that has this job; `undefined` if it has a row of its own, or there is none of this id. */
export function jobRunOf({jobRunOf}: Statements, id: JobId): JobRun | undefined {
	const row = jobRunOf.get(id, id) as JobRunRow | undefined;
	if (!row) return undefined;
	const [first, last, task, policy, priority, createdAt, payloads] = row;
	let payloadAt: ((index: number) => string | null) | undefined;
	return {
		first,
		// Somebody may have tampered with it.
		last: Math.min(last, first + MAX_RUN_JOBS - 1),
		task,
		policy,
		priority,
		createdAt,
		payloadOf(id) {
			payloadAt ??= readPacked(payloads);
			return payloadAt(id - first);
		},
		payloadsOf: (from, to) => slicePacked({count: last - first + 1, text: payloads}, from - first, to - first + 1),
	};
}

/** Gives each job of the run that has this one, if one does, a row of its own. Returns how many jobs that are. */
export function loosenJobs(statements: Statements, id: JobId): number {
	const run = jobRunOf(statements, id);
	if (!run) return 0;
	const {first, last, task, policy, priority, createdAt} = run;
	statements.deleteJobRun.run(first);
	for (let id = first; id <= last; id++) statements.insertJob.run(id, task, policy, priority, createdAt, null, null, run.payloadOf(id));
	return last - first + 1;
}
