import type {JobId, JobStatus} from '../../job/job.ts';
import type {Statements} from './database.ts';
import {claimedRunOf, loosen} from './runs.ts';
import {STATUS_OF, StoredState} from './stored-state.ts';
import type {Tx} from './tx.ts';

/** What must be known of a job to delete it. */
export interface DeletedJob {
	readonly task: number;
	readonly batch: number | null;
	readonly key: string | null;
	readonly place: StoredState;
}

/** Where a job is and what follows it when it moves. */
export interface Located extends DeletedJob {
	readonly rank: number;
	readonly executions: number;
	/** A run says where it is: it has no row of its own there. */
	readonly isInRun: boolean;
}

/** Finds the job by its id and changes nothing; `undefined` if there is no such job. */
export function look(statements: Statements, id: JobId): Located | undefined {
	const row = statements.jobPlaces.get(id) as PlacesRow | undefined;
	if (!row) {
		const kind = statements.jobRunKind.get(id, id) as [task: number, priority: number] | undefined;
		return kind && inRun(statements, id, {task: kind[0], batch: null, key: null, rank: -kind[1]});
	}
	const [task, batch, key, priority, lane, ready, waiting, failed, runAt, claimed, ended, status] = row;
	const at = {task, batch, key, rank: -priority, isInRun: false};
	if (ready !== null) return {...at, place: lane === task ? StoredState.ready : StoredState.suspect, executions: ready};
	if (claimed !== null) return {...at, place: StoredState.running, executions: claimed};
	if (ended !== null) return {...at, place: status as StoredState, executions: ended};
	if (waiting === null) return inRun(statements, id, at);
	return {...at, place: failed === 0 ? StoredState.scheduled : runAt === null ? StoredState.parked : StoredState.failed, executions: waiting};
}

/** Finds a job that is about to be changed, and gives it rows of its own. */
export function locate(tx: Tx, id: JobId): Located | undefined {
	const job = look(tx.statements, id);
	if (job?.isInRun) tx.loosened += loosen(tx, id);
	return job;
}

/** As {@link locate}, of a job in one of these statuses; `undefined` if it is in none of them (any more), and then nothing is changed. */
export function locateIn(tx: Tx, id: JobId, statuses: readonly JobStatus[]): Located | undefined {
	const job = look(tx.statements, id);
	if (!job || !statuses.includes(STATUS_OF[job.place])) return undefined;
	return job.isInRun ? locate(tx, id) : job;
}

type PlacesRow = readonly [
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

function inRun(statements: Statements, id: JobId, at: Pick<Located, 'task' | 'batch' | 'key' | 'rank'>): Located {
	const {task, rank} = at;
	if (statements.readyRunAt.get(task, rank, task, rank, id, id) !== undefined) return {...at, place: StoredState.ready, executions: 0, isInRun: true};
	if (claimedRunOf(statements, id)) return {...at, place: StoredState.running, executions: 1, isInRun: true};
	if (statements.outcomeRunFirst.get(id, id) !== undefined) return {...at, place: StoredState.completed, executions: 1, isInRun: true};
	// Another program has written to the file. As a parked job it can still be cancelled, retried and deleted.
	return {...at, place: StoredState.parked, executions: 0, isInRun: false};
}
