import type {JobId} from '../../job/job.ts';
import {Place} from './places.ts';
import type {Session} from './session.ts';
import {isSuspect, troubleOf} from './trouble.ts';

interface ReadyJob {
	readonly id: JobId;
	readonly task: number;
	readonly batch: number | null;
	readonly rank: number;
	readonly executions: number;
}

/** Makes a job ready that was somewhere else, in the part of `ready` that it belongs to. One that somebody has put there already stays as it is there. */
export function makeReady(session: Session, {id, task, batch, rank, executions}: ReadyJob, from: Place): void {
	const place = executions > 0 && isSuspect(troubleOf(session, id)) ? Place.suspect : Place.ready;
	session.statements.insertReady.run(laneOf(task, place), rank, id, executions, batch);
	session.tally.move(task, batch, from, place);
}

/** What `ready.task` says of such a job. */
export function laneOf(task: number, place: Place): number {
	return place === Place.suspect ? -task : task;
}
