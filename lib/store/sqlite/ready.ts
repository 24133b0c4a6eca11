import type {JobId} from '../../job/job.ts';
import {StoredState} from './stored-state.ts';
import {isSuspect, troubleOf} from './trouble.ts';
import type {Tx} from './tx.ts';

interface ReadyJob {
	readonly id: JobId;
	readonly task: number;
	readonly batch: number | null;
	readonly rank: number;
	readonly executions: number;
}

/** Makes a job ready that was somewhere else, in the part of `ready` that it belongs to. One that somebody has put there already stays as it is there. */
export function makeReady(tx: Tx, {id, task, batch, rank, executions}: ReadyJob, from: StoredState): void {
	const place = executions > 0 && isSuspect(troubleOf(tx, id)) ? StoredState.suspect : StoredState.ready;
	tx.statements.insertReady.run(laneOf(task, place), rank, id, executions, batch);
	tx.tally.move(task, batch, from, place);
}

/** What `ready.task` says of such a job. */
export function laneOf(task: number, place: StoredState): number {
	return place === StoredState.suspect ? -task : task;
}
