import {existsSync, statSync} from 'node:fs';
import {dirname} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import type {Durability} from '../../job/job.ts';
import {monotonicMs} from '../../support/clock.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {OwnConnection} from './own-connection.ts';
import {createPrivately, storageFull} from './private-file.ts';
import {APPLICATION_ID, MIGRATIONS, SQL} from './schema.sql.ts';
import {refuseUntrusted} from './trusted-files.ts';

export type Statements = Readonly<Record<keyof typeof SQL, Database.Statement<unknown[], unknown>>>;

/**
 * An open database with its statements prepared. Nothing here waits for a lock: each call that meets one throws, and is to be repeated
 * {@link patiently}. Everything that is particular to better-sqlite3 is behind this file.
 */
export interface Connection {
	readonly statements: Statements;
	/** Runs the function in one transaction that holds the write lock from its start. */
	transaction<Result>(run: () => Result): Result;
	/** Runs the function, which only reads, in one transaction: all that it reads is of the same moment. */
	snapshot<Result>(run: () => Result): Result;
	/** Changes with every commit of another connection, and with none of this one. */
	dataVersion(): number;
	/** Moves what it can of the log into the database, without waiting for anybody: the log's room can be written to again. */
	checkpoint(): void;
	/** How long the log must be for what only it holds; 0 if all of it has been moved into the database, or a lock keeps this from being asked. */
	unmovedLogBytes(): number;
	close(): void;
}

/** Pages the log may grow to before a commit moves them into the database: 16 MiB. More makes bursts faster and files larger. */
const CHECKPOINT_PAGES = 4000;

/** Another connection may hold a lock for so long before this is an error. */
const BUSY_TIMEOUT_MS = 10_000;
/** How often a lock is asked for; and how much of the time between two tries counts, however long the thread was busy with something else. */
const ASK_EVERY_MS = 1;
const MAX_COUNTED_MS = 20;
/** SQLite's own wait would stop the thread. */
const NO_WAIT = {timeout: 0};

/**
 * Opens or creates the database. One that isn't ours, is damaged, or was written by a newer Faena is refused untouched.
 * @throws FaenaError `BadDatabase`, `NewerDatabase`
 */
export async function connect(path: string, durability: Durability): Promise<Connection> {
	try {
		await prepareFile(path);
		const db = new Database(path, NO_WAIT);
		try {
			await patiently(() => configure(db, durability));
			// Before anything is written: one that lacks our tables is refused untouched, whatever it says of itself.
			const known = await patiently(() => (isCurrent(db, path) ? prepare(db) : undefined));
			// Where several processes make one new file, SQLite refuses this step to all but one of them.
			await patiently(() => db.pragma('journal_mode = wal'));
			const statements = known ?? (await patiently(() => migrate(db, path)));
			await patiently(() => verifyDurability(db, statements, durability));
			return toConnection(db, statements);
		} catch (error) {
			db.close();
			throw error;
		}
	} catch (error) {
		throw translate(error, path);
	}
}

/**
 * Opens a database that is there, to look at it: makes, changes and recovers nothing, and holds up no writer.
 * @throws FaenaError `BadDatabase`, `NewerDatabase`
 */
export async function connectToLook(path: string): Promise<Connection> {
	try {
		if (!existsSync(path)) throw new FaenaError('BadDatabase', `There is no database ${path}.`);
		refuseUntrusted(path);
		await patiently(() => inspectBy(path, {readonly: true}));
		const db = new Database(path, {readonly: true, ...NO_WAIT});
		try {
			const statements = await patiently(() => (isCurrent(db, path) ? prepare(db) : undefined));
			if (!statements)
				throw new FaenaError('BadDatabase', `${path} was never finished, or is of an older Faena; a program that opens it to work on it mends that.`);
			// How much of the log isn't in the database yet is asked by an attempt to move it, which is a writer's.
			return {...toConnection(db, statements), unmovedLogBytes: () => 0};
		} catch (error) {
			db.close();
			throw error;
		}
	} catch (error) {
		throw isUnreadable(error) ? cannotLook(path, error) : translate(error, path);
	}
}

/** SQLite reads a database with a log only by an index beside it, which it must be able to make where no program has it open. */
function isUnreadable(error: unknown): boolean {
	return error instanceof Database.SqliteError && /^SQLITE_(CANTOPEN|READONLY)/.test(error.code);
}

function cannotLook(path: string, cause: unknown): FaenaError {
	return new FaenaError(
		'BadDatabase',
		`${path} can't be read from here: SQLite needs to write ${path}-shm and ${path}-wal beside it, and may not. Look as a user who may, or at a copy of the database and its log elsewhere.`,
		{cause},
	);
}

/** Turns SQLite's codes into sentences. Other errors pass through. */
export function translate(error: unknown, path: string): unknown {
	if (isTooLarge(error))
		return new FaenaError(
			'TooLarge',
			`${path} can't store a value that is so large: SQLite takes at most 1,000,000,000 bytes in a row. Store less, or keep large results in files (option blobs).`,
			{cause: error},
		);
	if (!(error instanceof Database.SqliteError)) return error;
	const {code} = error;
	const bad = (problem: string) => new FaenaError('BadDatabase', `${path} ${problem} (${code}).`, {cause: error});
	if (code === 'SQLITE_NOTADB') return bad('is not an SQLite database; name another file');
	if (code.startsWith('SQLITE_CORRUPT'))
		return bad('is a damaged SQLite database; restore it from a backup, or recover what is left with the sqlite3 shell (.recover)');
	// The statements are right for the database that Faena made.
	if (code === 'SQLITE_ERROR') return bad(`is damaged, or was changed by another program: ${error.message}; restore it from a backup, or name another file`);
	if (code.startsWith('SQLITE_READONLY'))
		return bad('can not be written; check the permissions of the file and its folder, and that their disk is not mounted read-only, then open it anew');
	if (code.startsWith('SQLITE_CANTOPEN'))
		return bad('can not be opened; check that it is a file, and that the file, its folder and their disk can be read and written');
	// No disk that fails, but a log that ends where there was more: reopened, it would pass for one that never had it.
	if (code === 'SQLITE_IOERR_SHORT_READ') return bad('or the log beside it was truncated while it was in use; restore it from a backup');
	if (code === 'SQLITE_MISMATCH' || code.startsWith('SQLITE_CONSTRAINT'))
		return new FaenaError(
			'BadRow',
			`${path} refuses to store this: ${error.message} (${code}). Either a value in it is of the wrong type, or rows that Faena never writes are in its way.`,
			{cause: error},
		);
	// SQLite has tried for ten seconds by then.
	if (code === 'SQLITE_PROTOCOL') return bad('let no transaction begin: its disk fails, or another program that uses it stands still in the midst of a write');
	if (code === 'SQLITE_FULL') return storageFull(path, error);
	if (code.startsWith('SQLITE_BUSY'))
		return new FaenaError(
			'DatabaseBusy',
			`${path} was locked by another program for more than ${BUSY_TIMEOUT_MS / 1000} s; end the long transaction there (${code}).`,
			{cause: error},
		);
	if (code.startsWith('SQLITE_IOERR')) {
		return new FaenaError(
			'OutcomeUnknown',
			`Reading or writing ${path} failed (${code}): look after the disk. Whether the last commit took effect is unknown; enqueue again with the same key to be safe.`,
			{cause: error},
		);
	}
	return error;
}

/** The first is what SQLite says, the others what says better-sqlite3 of a value that it gives to it, and V8 of many that are joined. */
function isTooLarge(error: unknown): boolean {
	if (error instanceof Database.SqliteError) return error.code === 'SQLITE_TOOBIG';
	return error instanceof RangeError && /^The bound .* too big$|^Invalid string length$/.test(error.message);
}

async function prepareFile(path: string): Promise<void> {
	const folder = dirname(path);
	if (!existsSync(folder)) throw new FaenaError('BadDatabase', `The folder ${folder} of the database does not exist; create it first.`);
	refuseUntrusted(path);
	createPrivately(path);
	// In this order, since one that is made has its first page before it has a log.
	const hasLog = existsSync(`${path}-wal`);
	if (statSync(path).size > 0) await patiently(() => inspect(path));
	else if (hasLog) throw emptied(path);
}

/** SQLite would take it for a new one, and delete its log. */
function emptied(path: string): FaenaError {
	return new FaenaError(
		'BadDatabase',
		`${path} was emptied: it holds nothing, and beside it lies its log, which was left untouched. Restore it from a backup; or move both away, to begin anew.`,
	);
}

/** Looks before anything could write: a read-only connection neither recovers nor checkpoints a log. */
function inspect(path: string): void {
	try {
		inspectBy(path, {readonly: true});
	} catch (error) {
		// A program died while it made the file, and left a journal: nobody can read before that is rolled back.
		if (!(error instanceof Database.SqliteError) || error.code !== 'SQLITE_READONLY_ROLLBACK') throw error;
		inspectBy(path, {readonly: false});
	}
}

function inspectBy(path: string, {readonly}: {readonly readonly: boolean}): void {
	const db = new Database(path, {readonly, ...NO_WAIT});
	try {
		// One look: another process may be making its tables at this moment.
		db.exec('begin');
		const applicationId = db.pragma('application_id', {simple: true});
		const tables = db.prepare("select count(*) from sqlite_schema where type = 'table'").pluck().get();
		if (applicationId !== APPLICATION_ID && tables !== 0) {
			throw new FaenaError('BadDatabase', `${path} is a database of another program; it was left untouched. Name another file.`);
		}
		refuseNewer(db, path);
		refuseTruncated(db, path);
		refuseIfSmallAndDamaged(db, path);
	} finally {
		db.close();
	}
}

/**
 * Reads all of a database that is in use, by a connection that remembers nothing of it.
 * @throws FaenaError `BadDatabase` if it is not whole
 */
export function refuseDamaged(path: string): void {
	const db = new Database(path, {readonly: true, ...NO_WAIT});
	try {
		const damage = damageOf(db);
		if (damage !== undefined) throw new FaenaError('BadDatabase', `${path} was truncated or damaged while it was in use: ${damage}. ${HOW_TO_RESTORE}`);
	} finally {
		db.close();
	}
}

const HOW_TO_RESTORE = 'Restore it from a backup, or recover what is left with the sqlite3 shell (.recover).';

/** The first thing that is wrong, on one line. */
function damageOf(db: Database.Database): string | undefined {
	try {
		const found = db.pragma('integrity_check(1)', {simple: true}) as string;
		return found === 'ok' ? undefined : found.replace('*** in database main ***\n', '').replace(/\n.*/s, '');
	} catch (error) {
		if (error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code)) return error.message;
		throw error;
	}
}

/**
 * A database that is read in some hundredths of a second is checked as a whole; damage in a larger one shows when it is met,
 * and who writes to it until then may make it worse.
 */
const CHECKED_BYTES = 8 * 1024 * 1024;

function refuseIfSmallAndDamaged(db: Database.Database, path: string): void {
	if (pagesBytes(db) > CHECKED_BYTES) return;
	const damage = damageOf(db);
	if (damage !== undefined) throw new FaenaError('BadDatabase', `${path} is damaged: ${damage}. It was left untouched. ${HOW_TO_RESTORE}`);
}

function pagesBytes(db: Database.Database): number {
	return Number(db.pragma('page_count', {simple: true})) * Number(db.pragma('page_size', {simple: true}));
}

function refuseTruncated(db: Database.Database, path: string): void {
	const sizeBytes = pagesBytes(db);
	// Pages may still be in the log; and in this order, since a log is removed once all is in the file.
	if (existsSync(`${path}-wal`)) return;
	const actual = statSync(path).size;
	if (sizeBytes > actual)
		throw new FaenaError('BadDatabase', `${path} is truncated: it should be ${sizeBytes} bytes long and is ${actual}. Restore it from a backup.`);
}

function refuseNewer(db: Pick<OwnConnection, 'pragma'>, path: string): number {
	const version = Number(db.pragma('user_version', {simple: true}));
	if (version > MIGRATIONS.length) {
		throw new FaenaError(
			'NewerDatabase',
			`${path} was written by a newer Faena (schema ${version}; this one knows ${MIGRATIONS.length}); it was left untouched. Update Faena.`,
		);
	}
	return version;
}

function configure(db: Database.Database, durability: Durability): void {
	db.pragma(`synchronous = ${durability}`);
	db.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
	db.pragma(`journal_size_limit = ${CHECKPOINT_PAGES * 4096}`);
	db.pragma('cache_size = -65536');
	db.pragma('foreign_keys = off');
	db.pragma('trusted_schema = off');
	db.pragma('cell_size_check = on');
}

function isCurrent(db: Database.Database, path: string): boolean {
	return db.pragma('application_id', {simple: true}) === APPLICATION_ID && refuseNewer(db, path) === MIGRATIONS.length;
}

function migrate(db: Database.Database, path: string): Statements {
	const run = db.transaction(() => {
		const version = refuseNewer(db, path);
		for (const step of MIGRATIONS.slice(version)) db.exec(step);
		db.pragma(`application_id = ${APPLICATION_ID}`);
		db.pragma(`user_version = ${MIGRATIONS.length}`);
		failpoint('migration:written');
	});
	run.immediate();
	return prepare(db);
}

/** SQLite reports `full` for a new connection and falls back to its compiled default with the first write: so ask after one. */
function verifyDurability(db: Database.Database, {takeWriteLock}: Statements, durability: Durability): void {
	takeWriteLock.run();
	const actual = db.pragma('synchronous', {simple: true});
	const expected = durability === 'full' ? 2 : 1;
	if (actual !== expected) throw new FaenaError('BadDatabase', `SQLite did not accept durability ${durability}: synchronous is ${actual}, not ${expected}.`);
}

/** Statements whose rows have many columns are read by name; those with one column as that value; the rest as tuples. */
const BY_NAME: ReadonlySet<string> = new Set<keyof typeof SQL>(['jobView', 'batch', 'batches', 'batchById']);
const ONE_VALUE: ReadonlySet<string> = new Set<keyof typeof SQL>([
	'taskName',
	'insertTask',
	'pausedTasks',
	'policyBySpec',
	'policyById',
	'insertPolicy',
	'suspicionsInLane',
	'insertBatch',
	'jobsOfBatch',
	'jobAfter',
	'deleteEmptyBatches',
	'claimedRunsOfOwner',
	'isInJobRun',
	'outcomeRunFirst',
	'jobCounter',
	'nextLease',
	'jobRank',
	'jobPolicy',
	'jobKey',
	'nextRunAt',
	'claim',
	'checkpointState',
	'ownerById',
	'heartbeatOf',
	'ownerOfBatch',
	'insertOwner',
	'tallyOf',
]);

function toConnection(db: Database.Database, statements: Statements): Connection {
	const dataVersion = db.prepare('pragma data_version').pluck();
	const snapshot = db.transaction((run: () => unknown) => run());
	return {
		statements,
		transaction: makeTransaction(db),
		snapshot: run => snapshot(run) as ReturnType<typeof run>,
		dataVersion: () => dataVersion.get() as number,
		checkpoint: () => void db.pragma('wal_checkpoint(passive)'),
		unmovedLogBytes: () => unmovedLogBytes(db),
		close: () => db.close(),
	};
}

/** A transaction that has the write lock from its beginning. */
function makeTransaction(db: Database.Database): Connection['transaction'] {
	let hasBegun = false;
	// Made once: to make one takes longer than to begin it.
	const transact = db.transaction((run: () => unknown) => {
		hasBegun = true;
		return run();
	});
	return run => {
		hasBegun = false;
		try {
			return transact.immediate(run) as ReturnType<typeof run>;
		} catch (error) {
			// Only a transaction that has not begun may be repeated.
			throw hasBegun && isBusy(error) ? translate(error, db.name) : error;
		}
	};
}

/**
 * Tries at once; and as long as another connection is in the way again from the event loop, so that timers and messages of this thread go on
 * between the tries. All who wait ask equally often, so that each gets its turn; SQLite's own waits grow to 100 ms.
 * @returns the result itself where the first try succeeds
 */
export function patiently<Result>(attempt: () => Result): Result | Promise<Result> {
	try {
		return attempt();
	} catch (error) {
		if (!isBusy(error)) throw error;
		return tryAgain(attempt);
	}
}

/** The same within the call, for as long as that may be. */
export function patientlyHere<Result>(attempt: () => Result, mostMs: number): Result {
	for (const until = monotonicMs() + mostMs; ; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ASK_EVERY_MS)) {
		try {
			return attempt();
		} catch (error) {
			if (!isBusy(error) || monotonicMs() >= until) throw error;
		}
	}
}

async function tryAgain<Result>(attempt: () => Result): Promise<Result> {
	for (let waitedMs = 0; ; ) {
		const before = monotonicMs();
		await sleep(ASK_EVERY_MS);
		// Where this thread had other things to do, the other connection has not held its lock for all that time.
		waitedMs += Math.min(monotonicMs() - before, MAX_COUNTED_MS);
		try {
			return attempt();
		} catch (error) {
			if (!isBusy(error) || waitedMs >= BUSY_TIMEOUT_MS) throw error;
		}
	}
}

function isBusy(error: unknown): boolean {
	return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

function unmovedLogBytes(db: Database.Database): number {
	try {
		const [{log, checkpointed}] = db.pragma('wal_checkpoint(noop)') as [{readonly log: number; readonly checkpointed: number}];
		return log > checkpointed ? LOG_HEADER_BYTES + log * (FRAME_HEADER_BYTES + Number(db.pragma('page_size', {simple: true}))) : 0;
	} catch (error) {
		if (isBusy(error)) return 0;
		throw error;
	}
}

const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

function prepare(db: Database.Database): Statements {
	const prepared = Object.entries(SQL).map(([name, sql]) => {
		const statement = db.prepare(sql);
		if (statement.reader) ONE_VALUE.has(name) ? statement.pluck() : statement.raw(!BY_NAME.has(name));
		// Where somebody else opened the connection, its default may be another.
		if (statement.reader) statement.safeIntegers(false);
		return [name, statement];
	});
	return Object.fromEntries(prepared) as Statements;
}

/** Prepared once for each connection. */
const borrowed = new WeakMap<OwnConnection, Statements>();

/**
 * Our statements on a connection that is not ours, in a transaction that has the write lock from here on.
 * @throws FaenaError `BadDatabase` if it is on no database of Faena, or one of an older version; `NewerDatabase`
 */
export function borrow(connection: OwnConnection): Statements {
	const {name} = connection;
	const statements = borrowed.get(connection) ?? prepareOn(connection);
	// A write comes first: a transaction that has only read so far gets no lock once another has written since.
	statements.takeWriteLock.run();
	// Asked each time: a newer Faena may have opened the file meanwhile.
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
		const statements = prepare(connection as unknown as Database.Database);
		borrowed.set(connection, statements);
		return statements;
	} catch (error) {
		// It lacks our tables, or columns of them.
		if ((error as {code?: unknown}).code === 'SQLITE_ERROR') throw foreign(connection.name, error);
		throw error;
	}
}

function foreign(name: string, cause?: unknown): FaenaError {
	return new FaenaError('BadDatabase', `${name} has no queue of this Faena in it. Connect to the file that open() was given, once that has opened it.`, {
		cause,
	});
}
