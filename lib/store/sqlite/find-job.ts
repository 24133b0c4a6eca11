import {type JobId, type JobStatus, STATUSES} from '../../job/job.ts';
import type {Statements} from './connection.ts';
import {claimedRunOf, unpackRun} from './packed-rows.ts';
import {STATUS_OF, StoredState} from './tally.ts';
import type {Tx} from './tx.ts';

/** The state of a job, and what must be known of the job to move or delete it. */
export interface FoundJob {
	readonly task: number;
	readonly batch: number | null;
	readonly key: string | null;
	readonly rank: number;
	readonly state: StoredState;
	readonly executions: number;
	/** True if the job's state is in the row of a run. */
	readonly isInRun: boolean;
}

/** Finds the job by its id. Changes nothing. */
export function findJob(statements: Statements, id: JobId): FoundJob | undefined {
	const row = statements.jobState.get(id) as JobStateRow | undefined;
	if (!row) {
		const kind = statements.jobRunKind.get(id, id) as [task: number, priority: number] | undefined;
		return kind && findInRuns(statements, id, {task: kind[0], batch: null, key: null, rank: -kind[1]});
	}
	const [task, batch, key, priority, lane, ready, waiting, failed, runAt, claimed, ended, status] = row;
	const job = {task, batch, key, rank: -priority, isInRun: false};
	if (ready !== null) return {...job, state: lane === task ? StoredState.ready : StoredState.quarantined, executions: ready};
	if (claimed !== null) return {...job, state: StoredState.running, executions: claimed};
	if (ended !== null) return {...job, state: status as StoredState, executions: ended};
	if (waiting === null) return findInRuns(statements, id, job);
	return {...job, state: failed === 0 ? StoredState.delayed : runAt === null ? StoredState.parked : StoredState.failed, executions: waiting};
}

/**
 * Finds a job that is about to change, and unpacks its run.
 * @returns `undefined`, with nothing changed, if the job is in none of these statuses
 */
export function findToChange(tx: Tx, id: JobId, statuses: readonly JobStatus[] = STATUSES): FoundJob | undefined {
	const job = findJob(tx.statements, id);
	if (!job || !statuses.includes(STATUS_OF[job.state])) return undefined;
	if (job.isInRun) tx.unpacked += unpackRun(tx.statements, id);
	return job;
}

type JobStateRow = readonly [
	task: number,
	batch: number | null,
	key: string | null,
	priority: number,
	lane: number | null,
	ready: number | null,
	waiting: number | null,
	failed: number | null,
	runAt: number | null,
	claimed: number | null,
	ended: number | null,
	status: number | null,
];

function findInRuns(statements: Statements, id: JobId, job: Pick<FoundJob, 'task' | 'batch' | 'key' | 'rank'>): FoundJob {
	const {task, rank} = job;
	if (statements.readyRunAt.get(task, rank, task, rank, id, id) !== undefined) return {...job, state: StoredState.ready, executions: 0, isInRun: true};
	if (claimedRunOf(statements, id)) return {...job, state: StoredState.running, executions: 1, isInRun: true};
	if (statements.outcomeRunFirst.get(id, id) !== undefined) return {...job, state: StoredState.completed, executions: 1, isInRun: true};
	// Another program has deleted the row of its state. As a parked job it can still be cancelled, retried and deleted.
	return {...job, state: StoredState.parked, executions: 0, isInRun: false};
}
