import {randomInt} from 'node:crypto';
import Database from 'better-sqlite3';
import {bad} from '../../job/checks.ts';
import {type EnqueuedGroup, idAt} from '../../job/groups/group.ts';
import {toNewGroups} from '../../job/groups/single-jobs.ts';
import type {NewJob} from '../../job/new-job.ts';
import {FaenaError} from '../../support/errors.ts';
import {noParent} from '../conflict-errors.ts';
import type {Enqueued} from '../queue-input.ts';
import {refuse} from '../trusted-files.ts';
import {Blobs} from './connection/blobs.ts';
import {pragmaNumber, refuseNewer, WHY_ONE_LIBRARY} from './connection/file-guard.ts';
import {APPLICATION_ID, MIGRATIONS} from './connection/schema.sql.ts';
import {prepare, type Statements} from './connection/statements.sql.ts';
import {CachedFacts} from './rows/cached-facts.ts';
import {NumberTable, Tally} from './rows/tx.ts';
import {enqueue} from './transaction/enqueue.ts';

/** A connection that a program opened itself: a `Database` of the copy of better-sqlite3 that Faena uses.
 * @example const orders: OwnConnection = new Database('jobs.db'); */
export interface OwnConnection {
	/** The path of the database. */
	readonly name: string;
	/** False once it is closed. */
	readonly open: boolean;
	/** True if it can't write. */
	readonly readonly: boolean;
	/** As better-sqlite3's. */
	prepare(sql: string): object;
	/** As better-sqlite3's. */
	pragma(source: string, options: {readonly simple: true}): unknown;
	/** As better-sqlite3's. */
	transaction(run: () => void): {immediate(): void};
}

/**
 * Enqueues one job on a connection that the program opened itself: in a savepoint of its transaction, or in a transaction of its own.
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`, `KeyConflict`, with nothing left of the job in the transaction
 */
export function enqueueOn(connection: OwnConnection, job: NewJob, now: number): Enqueued {
	const statements = prepared.get(connection) ?? prepareOn(connection);
	let enqueued: EnqueuedGroup | undefined;
	const run = connection.transaction(() => {
		// The first statement is a write: a transaction that has only read gets no write lock once another connection has written.
		statements.takeWriteLock.run();
		checkSchema(connection);
		const tally = new Tally();
		// Nothing is cached between calls: the program may roll back any savepoint, and Faena would not notice.
		const facts = new CachedFacts(statements);
		const caches = {numbers: new NumberTable(statements, facts), facts, blobs: new Blobs(connection.name, Infinity)};
		const tx = {
			statements,
			tally,
			...caches,
			now,
			random: Math.random,
			completed: [],
			registered: [],
			changedParents: [],
			lostChildren: [],
			isUnblocked: false,
			unpacked: 0,
		};
		[enqueued] = enqueue(tx, toNewGroups([job]), true);
		for (const change of tally.tasks.take()) statements.addToTally.run(...change);
	});
	run.immediate();
	const {ids, reused = [], missing} = enqueued as EnqueuedGroup;
	if (missing !== undefined) throw noParent(job.task, missing);
	return {id: idAt(ids, 0), reused: reused.length > 0};
}

/** Called in each transaction: a newer Faena may have upgraded the file since the last one. */
function checkSchema(connection: OwnConnection): void {
	const {name} = connection;
	if (pragmaNumber(connection, 'application_id') !== APPLICATION_ID) throw foreign(name);
	const version = refuseNewer(connection, name);
	if (version === MIGRATIONS.length) return;
	refuse(`${name} was last opened by an older Faena (schema ${version}; this one has ${MIGRATIONS.length}). Open it with open() once: that upgrades it.`);
}

/** The statements on each connection, whose library is Faena's. */
const prepared = new WeakMap<OwnConnection, Statements>();

function prepareOn(connection: OwnConnection): Statements {
	if (!hasSameLibrary(connection))
		throw bad(
			`enqueueIn() got a connection of another copy of better-sqlite3 than Faena's. ${WHY_ONE_LIBRARY} Let both use one copy: "npm ls better-sqlite3" shows ` +
				'the copies, and "npm dedupe", or the version that faena depends on, makes them one. Or use that copy in a process without Faena',
		);
	try {
		const statements = prepare(connection as unknown as Parameters<typeof prepare>[0]);
		prepared.set(connection, statements);
		return statements;
	} catch (error) {
		// A table or a column is missing.
		throw (error as {code?: unknown}).code === 'SQLITE_ERROR' ? foreign(connection.name, error) : error;
	}
}

function foreign(name: string, cause?: unknown): FaenaError {
	const message = `${name} is not a database of this Faena. Connect to the file that open() was given, after open() has created it.`;
	return new FaenaError('BadDatabase', message, {cause});
}

/**
 * Compares the soft heap limits, since that limit is one variable of a whole library. The first call sets Faena's to a random number. Classes don't
 * tell libraries apart: in a test runner each test file has classes of its own, from the same library.
 */
function hasSameLibrary(connection: OwnConnection): boolean {
	const own = new Database(':memory:');
	try {
		if (pragmaNumber(own, 'soft_heap_limit') === 0) own.pragma(`soft_heap_limit = ${NO_LIMIT_BYTES + randomInt(2 ** 40)}`);
		// Read twice, since another thread may have set it between the two readings.
		const [before, theirs, after] = [own, connection, own].map(each => pragmaNumber(each, 'soft_heap_limit'));
		return theirs === before || theirs === after;
	} finally {
		own.close();
	}
}

/** A pebibyte: more than any process has. */
const NO_LIMIT_BYTES = 2 ** 50;
