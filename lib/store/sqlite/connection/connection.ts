import Database from 'better-sqlite3';
import type {StorageSize} from '../../../job/events.ts';
import type {Durability} from '../../../job/job.ts';
import type {InspectedMove} from '../../inspection.ts';
import {isBusy, NO_WAIT, retryWhileBusy, translate} from '../../sqlite-errors.ts';
import {IN_MEMORY} from '../../store-options.ts';
import {refuse} from '../../trusted-files.ts';
import {damageOf, leavingNothing, pragmaNumber, prepareFile, prepareReading, refuseNewer, unreadableHere} from './file-guard.ts';
import {migrate} from './migrate.ts';
import {APPLICATION_ID, MIGRATIONS} from './schema.sql.ts';
import {prepare, type Statements} from './statements.sql.ts';

const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/**
 * An open database with prepared statements. No call waits for a lock: if another connection holds it, the call throws. Callers repeat it by
 * {@link retryWhileBusy}.
 */
export class Connection {
	readonly statements: Statements;
	readonly #db: Database.Database;
	readonly #onClose: () => void;
	readonly #transact: Database.Transaction<(run: () => unknown) => unknown>;

	/** @param onClose called once the connection is closed */
	constructor(db: Database.Database, statements: Statements, onClose: () => void) {
		this.statements = statements;
		this.#db = db;
		this.#onClose = onClose;
		// Made once, since to make a transaction function takes longer than to begin a transaction.
		this.#transact = db.transaction((run: () => unknown) => run());
	}

	/** Runs the function in one transaction, which holds the write lock from its start. */
	transaction<Result>(run: () => Result): Result {
		let hasBegun = false;
		const begin = () => {
			hasBegun = true;
			return run();
		};
		try {
			return this.#transact.immediate(begin) as Result;
		} catch (error) {
			// A transaction that has begun must not be repeated, so its error is no longer a busy one.
			throw hasBegun && isBusy(error) ? translate(error, this.#db.name) : error;
		}
	}

	/** Runs a function that only reads in one transaction, so that it reads one state of the database. */
	snapshot<Result>(run: () => Result): Result {
		return this.#transact(run) as Result;
	}

	/** Moves the log into the database as far as other connections allow. SQLite can then write over the log from its start. */
	checkpoint(): void {
		this.#db.pragma('wal_checkpoint(passive)');
	}

	/** The length that the log must have if parts of it are not in the database yet, in bytes. 0 if all of it is, or if a lock prevents the question. */
	unmovedLogBytes(): number {
		// Only a writer can ask.
		if (this.#db.readonly) return 0;
		try {
			const [{log, checkpointed}] = this.#db.pragma('wal_checkpoint(noop)') as [{readonly log: number; readonly checkpointed: number}];
			return log > checkpointed ? LOG_HEADER_BYTES + log * (FRAME_HEADER_BYTES + pragmaNumber(this.#db, 'page_size')) : 0;
		} catch (error) {
			if (isBusy(error)) return 0;
			throw error;
		}
	}

	/** The size of the database, which may in part be in the log alone. */
	size(): Pick<StorageSize, 'databaseBytes' | 'freeBytes'> {
		const [pageBytes, pages, freePages] = ['page_size', 'page_count', 'freelist_count'].map(name => pragmaNumber(this.#db, name)) as [number, number, number];
		return {databaseBytes: pages * pageBytes, freeBytes: freePages * pageBytes};
	}

	/** Writes the database anew, without its free pages, while other connections wait with their writes. The result is in the log. */
	vacuum(): void {
		this.#db.exec('vacuum');
	}

	/** Writes a copy of one moment of the database, without its free pages, into an empty file. Other connections go on meanwhile. */
	copyInto(path: string): void {
		this.#db.prepare('vacuum into ?').run(path);
	}

	/** The first damage of the database, on one line. This reads all of it. */
	damage(): string | undefined {
		return damageOf(this.#db);
	}

	/** The move of the queue to another place, or from one. */
	move(): InspectedMove | undefined {
		const row = this.#db.prepare('select place, is_arriving from queue_move').raw().get() as [string, number] | undefined;
		return row && {place: row[0], isArriving: row[1] === 1};
	}

	/** How SQLite keeps a commit from being lost, for instance `wal`. */
	journalMode(): string {
		return this.#db.pragma('journal_mode', {simple: true}) as string;
	}

	/** For instance `3.50.4`. */
	version(): string {
		return this.#db.prepare('select sqlite_version()').pluck().get() as string;
	}

	/** Moves all of the log into the database, which makes a file that is too long shorter. Returns false if another connection prevents it. */
	shorten(): boolean {
		const [{busy}] = this.#db.pragma('wal_checkpoint(truncate)') as [{readonly busy: number}];
		return busy === 0;
	}

	close(): void {
		this.#db.close();
		this.#onClose();
	}
}

/**
 * Opens or creates a database, and upgrades its schema. With `isReadOnly`, opens an existing one, and creates, changes and recovers nothing.
 * @throws FaenaError `BadDatabase`, `NewerDatabase`; `DatabaseBusy` if an older Faena has it open
 */
export async function connect(path: string, durability: Durability, isReadOnly = false): Promise<Connection> {
	const leaveNothing = isReadOnly ? leavingNothing(path) : () => {};
	try {
		if (path !== IN_MEMORY) await (isReadOnly ? prepareReading(path) : prepareFile(path));
		const db = new Database(path, {readonly: isReadOnly, ...NO_WAIT});
		try {
			return new Connection(db, await setUp(db, path, durability, isReadOnly), leaveNothing);
		} catch (error) {
			db.close();
			throw error;
		}
	} catch (error) {
		leaveNothing();
		// To read a database with a log, SQLite needs the index beside it. If no program has the database open, SQLite must create the index.
		if (isReadOnly && error instanceof Database.SqliteError && /^SQLITE_(CANTOPEN|READONLY)/.test(error.code)) throw unreadableHere(path, error);
		throw translate(error, path);
	}
}

/** Opens a database, by {@link connect}, for this alone. */
export async function withFile<Result>(path: string, isReadOnly: boolean, run: (connection: Connection) => Promise<Result>): Promise<Result> {
	const connection = await connect(path, 'full', isReadOnly);
	try {
		return await run(connection);
	} catch (error) {
		throw translate(error, path);
	} finally {
		connection.close();
	}
}

async function setUp(db: Database.Database, path: string, durability: Durability, isReadOnly: boolean): Promise<Statements> {
	if (!isReadOnly) await retryWhileBusy(() => configure(db, durability));
	// Before the first write: this fails, with nothing changed, if tables are missing although the header says that this is a Faena database.
	const isCurrent = () => pragmaNumber(db, 'application_id') === APPLICATION_ID && refuseNewer(db, path) === MIGRATIONS.length;
	const current = await retryWhileBusy(() => (isCurrent() ? prepare(db) : undefined));
	if (isReadOnly && !current) refuse(`${path} was never finished, or an older Faena wrote it. Open it once with open(), which finishes or upgrades it.`);
	if (isReadOnly) return current as Statements;
	// If several processes create the file at once, SQLite refuses this step to all but one of them.
	await retryWhileBusy(() => db.pragma('journal_mode = wal'));
	const statements = current ?? (await retryWhileBusy(() => migrate(db, path)));
	await retryWhileBusy(() => verifyDurability(db, statements, durability));
	return statements;
}

/** When the log has this many pages, 16 MiB, a commit moves them into the database. A larger number makes bursts faster and files larger. */
const CHECKPOINT_PAGES = 4000;

function configure(db: Database.Database, durability: Durability): void {
	db.pragma(`synchronous = ${durability}`);
	db.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
	db.pragma(`journal_size_limit = ${CHECKPOINT_PAGES * 4096}`);
	db.pragma('cache_size = -65536');
	db.pragma('foreign_keys = off');
	db.pragma('trusted_schema = off');
	db.pragma('cell_size_check = on');
}

/** A new connection reports `full`, but may fall back to SQLite's compiled default with the first write. So this reads the setting after a write. */
function verifyDurability(db: Database.Database, {takeWriteLock}: Statements, durability: Durability): void {
	takeWriteLock.run();
	const actual = pragmaNumber(db, 'synchronous');
	const expected = durability === 'full' ? 2 : 1;
	if (actual !== expected) refuse(`SQLite did not accept durability ${durability}: synchronous is ${actual}, not ${expected}.`);
}
