import type {NewJob} from '../../job/new-job.ts';
import type {Enqueued} from '../store.ts';
import {Blobs} from './blobs.ts';
import {borrow} from './database.ts';
import {enqueue} from './enqueue.ts';
import {Names} from './names.ts';
import {refuseOtherLibrary} from './one-library.ts';
import type {OwnConnection} from './own-connection.ts';
import {Tally} from './stored-state.ts';

/**
 * Enqueues one job on a connection that is not ours: in its transaction, as a savepoint of it, or in one of its own.
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`, `KeyConflict`, after which nothing of it is left in the transaction
 */
export function enqueueOn(connection: OwnConnection, job: NewJob, now: number): Enqueued {
	refuseOtherLibrary('enqueueIn()', connection);
	let enqueued: Enqueued | undefined;
	const run = connection.transaction(() => {
		const statements = borrow(connection);
		const tally = new Tally();
		// Names anew each time: their owner may roll back, to whatever savepoint, and we would not hear of it.
		const parts = {statements, names: new Names(statements), tally, blobs: new Blobs(connection.name, Infinity)};
		const tx = {...parts, now, random: Math.random, completed: [], loosened: 0};
		[enqueued] = enqueue(tx, [job], true);
		for (const change of tally.tasks.take()) statements.addToTally.run(...change);
	});
	run.immediate();
	return enqueued as Enqueued;
}
