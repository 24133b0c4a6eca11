import type {JobId} from '../../job/job.ts';
import {StoredState} from './tally.ts';
import type {Tx} from './tx.ts';

interface ReadyJob {
	readonly id: JobId;
	readonly task: number;
	readonly batch: number | null;
	readonly rank: number;
	readonly executions: number;
}

/** Makes a job of another state ready or quarantined. If another program has made it ready already, that row stays. */
export function makeReady(tx: Tx, {id, task, batch, rank, executions}: ReadyJob, from: StoredState): void {
	const isSuspect = executions > 0 && failureStateOf(tx, id).suspicion > 0;
	const state = isSuspect ? StoredState.quarantined : StoredState.ready;
	tx.statements.insertReady.run(laneOf(task, state), rank, id, executions, batch);
	tx.tally.move(task, batch, from, state);
}

/** The value of `ready.task` for a task's jobs in this state. */
export function laneOf(task: number, state: StoredState): number {
	return state === StoredState.quarantined ? -task : task;
}

/** The attempts charged to a job in this round, and how strongly it is suspected of having killed a process. */
export interface FailureState {
	readonly attempts: number;
	/** A level: see `MAX_SUSPICION`. */
	readonly suspicion: number;
	readonly crashes: number;
}

const NO_FAILURES: FailureState = {attempts: 0, suspicion: 0, crashes: 0};

export function failureStateOf({statements}: Tx, id: JobId): FailureState {
	const row = statements.failureState.get(id) as [number, number, number] | undefined;
	return row ? {attempts: row[0], suspicion: row[1], crashes: row[2]} : NO_FAILURES;
}
