import {type EnqueuedGroup, idAt, toNewGroups} from '../../job/group.ts';
import type {NewJob} from '../../job/new-job.ts';
import {FaenaError} from '../../support/errors.ts';
import type {Enqueued} from '../job-queue.ts';
import {Blobs} from './blobs.ts';
import {prepare, type Statements} from './connection.ts';
import {enqueue} from './enqueue.ts';
import {refuseNewer} from './file-guard.ts';
import {Names} from './names.ts';
import {type OwnConnection, refuseOtherLibrary} from './one-library.ts';
import {APPLICATION_ID, MIGRATIONS} from './schema.sql.ts';
import {Tally} from './tally.ts';

/**
 * Enqueues one job on a connection that the program opened itself: in a savepoint of its transaction, or in a transaction of its own.
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`, `KeyConflict`, with nothing left of the job in the transaction
 */
export function enqueueOn(connection: OwnConnection, job: NewJob, now: number): Enqueued {
	refuseOtherLibrary('enqueueIn()', connection);
	let enqueued: EnqueuedGroup | undefined;
	const run = connection.transaction(() => {
		const statements = lockedStatements(connection);
		const tally = new Tally();
		// Nothing is cached between calls: the program may roll back any savepoint, and Faena would not notice.
		const parts = {statements, names: new Names(statements), tally, blobs: new Blobs(connection.name, Infinity)};
		const tx = {...parts, now, random: Math.random, completed: [], unpacked: 0};
		[enqueued] = enqueue(tx, toNewGroups([job]), true);
		for (const change of tally.tasks.take()) statements.addToTally.run(...change);
	});
	run.immediate();
	const {ids, reused = []} = enqueued as EnqueuedGroup;
	return {id: idAt(ids, 0), reused: reused.length > 0};
}

/** Prepared once for each connection. */
const prepared = new WeakMap<OwnConnection, Statements>();

/**
 * Takes the write lock, checks the schema, and returns Faena's statements on the connection.
 * @throws FaenaError `BadDatabase` if the database is not Faena's, or has an older schema; `NewerDatabase`
 */
function lockedStatements(connection: OwnConnection): Statements {
	const {name} = connection;
	const statements = prepared.get(connection) ?? prepareOn(connection);
	// The first statement is a write: a transaction that has only read gets no write lock once another connection has written.
	statements.takeWriteLock.run();
	// Checked in each call: a newer Faena may have upgraded the file since the last one.
	if (Number(connection.pragma('application_id', {simple: true})) !== APPLICATION_ID) throw foreign(name);
	const version = refuseNewer(connection, name);
	if (version < MIGRATIONS.length)
		throw new FaenaError(
			'BadDatabase',
			`${name} was last opened by an older Faena (schema ${version}; this one has ${MIGRATIONS.length}). Open it with open() once.`,
		);
	return statements;
}

function prepareOn(connection: OwnConnection): Statements {
	try {
		const statements = prepare(connection as unknown as Parameters<typeof prepare>[0]);
		prepared.set(connection, statements);
		return statements;
	} catch (error) {
		// A table or a column is missing.
		if ((error as {code?: unknown}).code === 'SQLITE_ERROR') throw foreign(connection.name, error);
		throw error;
	}
}

function foreign(name: string, cause?: unknown): FaenaError {
	const message = `${name} is not a database of this Faena. Connect to the file that open() was given, after open() has created it.`;
	return new FaenaError('BadDatabase', message, {cause});
}
