import type {JobId} from '../../job.ts';
import {scopeOf} from './names.ts';
import type {Place} from './places.ts';
import type {Session} from './session.ts';

/** What must be known of a job to delete it. */
export interface Doomed {
	readonly task: number;
	readonly batch: number | null;
	readonly key: string | null;
	readonly place: Place;
}

/** Deletes all that is known of a job, but for its row in the place where it is, which is the caller's to delete. */
export function erase({statements, tally}: Session, id: JobId, {task, batch, key, place}: Doomed): void {
	for (const name of ['deleteTrouble', 'deleteProgress', 'deleteCheckpoint', 'deleteLog', 'deleteJob'] as const) statements[name].run(id);
	if (key !== null) statements.deleteKey.run(scopeOf(task, batch), key);
	tally.move(task, batch, place, null);
}
