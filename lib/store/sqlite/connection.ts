import {existsSync} from 'node:fs';
import Database from 'better-sqlite3';
import type {Durability} from '../../job/job.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import {inspect, prepareFile, refuseNewer} from './inspection.ts';
import {isLockHeld} from './owner-lock.ts';
import {APPLICATION_ID, MIGRATIONS} from './schema.sql.ts';
import {isBusy, NO_WAIT, retryWhileBusy, translate} from './sqlite-errors.ts';
import {SQL} from './statements.sql.ts';
import {refuseUntrusted} from './trusted-files.ts';

export type Statements = Readonly<Record<keyof typeof SQL, Database.Statement<unknown[], unknown>>>;

/**
 * An open database with prepared statements. No call waits for a lock: if another connection holds it, the call throws. Callers repeat it by
 * {@link retryWhileBusy}.
 */
export interface Connection {
	readonly statements: Statements;
	/** Runs the function in one transaction, which holds the write lock from its start. */
	transaction<Result>(run: () => Result): Result;
	/** Runs a function that only reads in one transaction, so that it reads one state of the database. */
	snapshot<Result>(run: () => Result): Result;
	/** Changes with every commit of another connection, and with none of this one. */
	dataVersion(): number;
	/** Moves the log into the database as far as other connections allow. SQLite can then write over the log from its start. */
	checkpoint(): void;
	/** The length that the log must have if parts of it are not in the database yet, in bytes. 0 if all of it is, or if a lock prevents the question. */
	unmovedLogBytes(): number;
	close(): void;
}

/** When the log has this many pages, 16 MiB, a commit moves them into the database. A larger number makes bursts faster and files larger. */
const CHECKPOINT_PAGES = 4000;

/**
 * Opens or creates the database, and upgrades its schema. Refuses, and leaves untouched, a database that another program made, that is damaged, or
 * that a newer Faena wrote.
 * @throws FaenaError `BadDatabase`, `NewerDatabase`; `DatabaseBusy` if an older Faena has it open
 */
export async function connect(path: string, durability: Durability): Promise<Connection> {
	try {
		await prepareFile(path);
		const db = new Database(path, NO_WAIT);
		try {
			await retryWhileBusy(() => configure(db, durability));
			// Before the first write: this fails, with nothing changed, if tables are missing although the header says that this is a Faena database.
			const current = await retryWhileBusy(() => (isCurrent(db, path) ? prepare(db) : undefined));
			// If several processes create the file at once, SQLite refuses this step to all but one of them.
			await retryWhileBusy(() => db.pragma('journal_mode = wal'));
			const statements = current ?? (await retryWhileBusy(() => migrate(db, path)));
			await retryWhileBusy(() => verifyDurability(db, statements, durability));
			return toConnection(db, statements);
		} catch (error) {
			db.close();
			throw error;
		}
	} catch (error) {
		throw translate(error, path);
	}
}

/** Creates a database in memory, which ends with its connection. */
export function connectInMemory(): Connection {
	const db = new Database(IN_MEMORY, NO_WAIT);
	configure(db, 'normal');
	return {...toConnection(db, migrate(db, IN_MEMORY)), unmovedLogBytes: () => 0};
}

/** The location of a store without files. */
export const IN_MEMORY = ':memory:';

/**
 * Opens an existing database for reading alone. It creates, changes and recovers nothing, and no writer waits for it.
 * @throws FaenaError `BadDatabase`, `NewerDatabase`
 */
export async function connectReadOnly(path: string): Promise<Connection> {
	try {
		if (!existsSync(path)) throw new FaenaError('BadDatabase', `There is no database ${path}.`);
		refuseUntrusted(path);
		await retryWhileBusy(() => inspect(path, {readonly: true}));
		const db = new Database(path, {readonly: true, ...NO_WAIT});
		try {
			const statements = await retryWhileBusy(() => (isCurrent(db, path) ? prepare(db) : undefined));
			if (!statements)
				throw new FaenaError('BadDatabase', `${path} was never finished, or an older Faena wrote it. Open it once with open(), which finishes or upgrades it.`);
			// Only a writer can ask how much of the log is not in the database yet.
			return {...toConnection(db, statements), unmovedLogBytes: () => 0};
		} catch (error) {
			db.close();
			throw error;
		}
	} catch (error) {
		throw isUnreadable(error) ? unreadable(path, error) : translate(error, path);
	}
}

/** To read a database with a log, SQLite needs the index beside it. If no program has the database open, SQLite must create the index. */
function isUnreadable(error: unknown): boolean {
	return error instanceof Database.SqliteError && /^SQLITE_(CANTOPEN|READONLY)/.test(error.code);
}

function unreadable(path: string, cause: unknown): FaenaError {
	return new FaenaError(
		'BadDatabase',
		`${path} can't be read: SQLite must write ${path}-shm and ${path}-wal beside it, and has no permission. Read it as a user with that permission, or copy the database and its log to another folder.`,
		{cause},
	);
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

/** Upgrades the schema in one transaction: all of it or nothing. Its cost does not depend on the number of jobs. */
function migrate(db: Database.Database, path: string): Statements {
	const run = db.transaction(() => {
		const version = refuseNewer(db, path);
		if (version > 0 && version < MIGRATIONS.length) refuseInUse(db, path, version);
		for (const step of MIGRATIONS.slice(version)) {
			db.exec(step);
			failpoint('migration:step');
		}
		db.pragma(`application_id = ${APPLICATION_ID}`);
		db.pragma(`user_version = ${MIGRATIONS.length}`);
		failpoint('migration:written');
	});
	run.immediate();
	failpoint('migration:committed');
	return prepare(db);
}

/** An engine of an older schema could not go on after the upgrade. Each engine has an owner, which holds a lock as long as the engine is open. */
function refuseInUse(db: Database.Database, path: string, version: number): void {
	const owners = db.prepare('select name from owner').pluck().all() as string[];
	if (!owners.some(owner => isLockHeld(path, owner))) return;
	throw new FaenaError(
		'DatabaseBusy',
		`${path} is in use by an engine of an older Faena (schema ${version}; this one has ${MIGRATIONS.length}). It was left untouched. Close every engine on it, then open it again: that upgrades it.`,
	);
}

/** A new connection reports `full`, but may fall back to SQLite's compiled default with the first write. So this reads the setting after a write. */
function verifyDurability(db: Database.Database, {takeWriteLock}: Statements, durability: Durability): void {
	takeWriteLock.run();
	const actual = db.pragma('synchronous', {simple: true});
	const expected = durability === 'full' ? 2 : 1;
	if (actual !== expected) throw new FaenaError('BadDatabase', `SQLite did not accept durability ${durability}: synchronous is ${actual}, not ${expected}.`);
}

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

function makeTransaction(db: Database.Database): Connection['transaction'] {
	let hasBegun = false;
	// Made once, since to make a transaction function takes longer than to begin a transaction.
	const transact = db.transaction((run: () => unknown) => {
		hasBegun = true;
		return run();
	});
	return run => {
		hasBegun = false;
		try {
			return transact.immediate(run) as ReturnType<typeof run>;
		} catch (error) {
			// A transaction that has begun must not be repeated, so its error is no longer a busy one.
			throw hasBegun && isBusy(error) ? translate(error, db.name) : error;
		}
	};
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

/** Statements whose rows are read as objects, since they have many columns. A row of one column is read as its value, other rows as tuples. */
const BY_NAME: ReadonlySet<string> = new Set<keyof typeof SQL>([
	...(['jobState', 'packedState', 'jobView', 'packedView', 'jobColumns', 'jobByKey', 'dueJobs', 'jobRunOf', 'endedJobs', 'failureState'] as const),
	...(['batch', 'batches', 'batchById'] as const),
]);

export function prepare(db: Database.Database): Statements {
	const prepared = Object.entries(SQL).map(([name, sql]) => {
		const statement = db.prepare(sql);
		// A program that opened the connection itself may have another default for integers.
		if (statement.reader) statement.safeIntegers(false);
		if (statement.reader) statement.columns().length === 1 ? statement.pluck() : statement.raw(!BY_NAME.has(name));
		return [name, statement];
	});
	return Object.fromEntries(prepared) as Statements;
}
