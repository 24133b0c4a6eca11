import {accessSync, constants, existsSync, readFileSync, statSync} from 'node:fs';
import {dirname} from 'node:path';
import Database from 'better-sqlite3';
import type {Health} from '../../../job/events.ts';
import {monotonicMs} from '../../../support/clock.ts';
import {FaenaError} from '../../../support/errors.ts';
import {NO_WAIT, retryWhileBusy} from '../../sqlite-errors.ts';
import {createPrivately, refuse, refuseUntrusted} from '../../trusted-files.ts';
import {LogProbe} from './log-probe.ts';
import {APPLICATION_ID, MIGRATIONS} from './schema.sql.ts';

/** How often the attributes of the log are read. Before each transaction, {@link LogProbe} looks at its length. */
const CHECK_LOG_EVERY_MS = 20;

/**
 * Checks the files of an open database. If another program deletes or replaces a file, a connection still writes to the old one. If another program
 * truncates a file, a connection still reads the missing part from memory. Such commits are lost when the connection closes. Of the database and its
 * index only attributes are read: to open and close them would drop SQLite's locks. The log has none; {@link LogProbe} opens it.
 */
export class FileGuard {
	readonly #path: string;
	/** The length that the log must have if parts of it are not in the database yet; otherwise 0. */
	readonly #unmovedLogBytes: () => number;
	/** The length of the database after the last commit, as all its connections know it. */
	readonly #committedBytes: () => number;
	readonly #identities = new Map<string, string>();
	#sizeBytes = 0;
	#logBytes = 0;
	readonly #log: LogProbe | undefined;
	/** When the attributes of the log were read, by the steady clock. */
	#logCheckedAt = -Infinity;
	/** Set once several SQLite libraries of this process have had the database open. */
	#secondLibrary: Health['secondLibrary'];

	/** Throws as {@link check}; or if another SQLite library of this process has the database open, or another user may have made one of its files. */
	constructor(path: string, unmovedLogBytes: () => number, committedBytes: () => number) {
		this.#path = path;
		this.#unmovedLogBytes = unmovedLogBytes;
		this.#committedBytes = committedBytes;
		// Checked again: another user may have made a file after the first check and before SQLite opened it.
		refuseUntrusted(path);
		this.checkHealth();
		refuse(this.#secondLibrary?.message);
		this.#log = LogProbe.open(`${path}-wal`);
	}

	/** Call it when the connection is closed. */
	close(): void {
		this.#log?.close();
	}

	/**
	 * Throws if the database or its log was deleted, replaced or truncated since it was opened. Call it before each transaction, since the next write
	 * may restore the size of a truncated file.
	 */
	check(): void {
		const sizeBytes = this.#sizeOf('');
		const logBytes = this.#logSize();
		// An empty file would pass as a new, undamaged database.
		if (sizeBytes < this.#sizeBytes && sizeBytes === 0) throw this.#lost('', 'emptied');
		// A vacuum also makes a database shorter, and loses nothing. If the file can't be known to be whole, its content decides.
		if (sizeBytes < this.#sizeBytes && !this.#isWhole(sizeBytes)) {
			// By a new connection, which has no page in its cache.
			const damage = readFrom(this.#path, true, damageOf);
			refuse(damage && `${this.#path} was truncated or damaged while it was in use: ${damage}. ${HOW_TO_RESTORE}`);
		}
		if (logBytes !== undefined) this.#refuseTruncatedLog();
		// Last, so that a file that was refused once is refused again.
		this.#sizeBytes = sizeBytes;
		this.#logBytes = logBytes ?? this.#logBytes;
	}

	/** The length of the log; `undefined` if it was read a moment ago and the log is not shorter. */
	#logSize(): number | undefined {
		const now = monotonicMs();
		if (now - this.#logCheckedAt < CHECK_LOG_EVERY_MS && this.#log?.hasBytes(this.#logBytes)) return undefined;
		this.#logCheckedAt = now;
		return this.#sizeOf('-wal');
	}

	/** True if the file of this size has all pages of the last commit: a vacuum has made it shorter. To check the content of a large one takes seconds. */
	#isWhole(sizeBytes: number): boolean {
		try {
			return this.#committedBytes() <= sizeBytes;
		} catch {
			return false;
		}
	}

	/** As {@link check}; also compares the log with the index that all processes share, and looks for other SQLite libraries. */
	checkHealth(): Omit<Health, 'databaseBytes' | 'freeBytes'> {
		this.check();
		this.#refuseTruncatedLog();
		this.#sizeOf('-shm');
		this.#secondLibrary ??= findSecondLibrary(this.#path);
		return {logBytes: this.#logBytes, ...(this.#secondLibrary && {secondLibrary: this.#secondLibrary})};
	}

	/** Checks only that the database is the file that was opened. To close a connection may remove the log. */
	checkIdentity(): void {
		this.#sizeOf('');
	}

	/** Returns the error that says why SQLite has found the database damaged, if the state of its files shows that. */
	explainDamage(): unknown {
		this.#secondLibrary ??= findSecondLibrary(this.#path);
		try {
			refuse(this.#secondLibrary?.message);
			this.check();
		} catch (reason) {
			return reason;
		}
	}

	/** SQLite itself truncates a log once its content is in the database. So only the part that is not in the database counts. */
	#refuseTruncatedLog(): void {
		const isTooShort = () => this.#unmovedLogBytes() > this.#sizeOf('-wal');
		// Checked twice, since another process may have moved the log's content and truncated it during the first check.
		if (isTooShort() && isTooShort()) throw this.#lost('-wal', 'truncated');
	}

	/** The size of the database, or of the file beside it with this suffix. Throws if it is not the same file as before. */
	#sizeOf(suffix: '' | '-wal' | '-shm'): number {
		const stat = statSync(this.#path + suffix, {throwIfNoEntry: false});
		const identity = stat && `${stat.dev}:${stat.ino}`;
		const known = this.#identities.get(suffix);
		if (known !== undefined && identity !== known) throw this.#lost(suffix, identity === undefined ? 'deleted or moved' : 'replaced by another file');
		if (identity !== undefined) this.#identities.set(suffix, identity);
		return stat?.size ?? 0;
	}

	#lost(suffix: string, what: string): FaenaError {
		// If another library had the database open, it has closed it, which does this.
		const explanation = this.#secondLibrary
			? `. ${this.#secondLibrary.message}`
			: ' while the database was in use, so the last commits may be lost. Restore the file if you can, and open the database again. Close every engine on a database before you change its files. Another SQLite library in the same process (node:sqlite, a second copy of better-sqlite3) does this when it closes the database.';
		return new FaenaError('BadDatabase', `${this.#path}${suffix} was ${what}${explanation}`);
	}
}

/**
 * Checks the file of a database before it is opened, and creates it if it does not exist. Refuses, and leaves untouched, a database that another
 * program made, that is damaged, or that a newer Faena wrote.
 */
export async function prepareFile(path: string): Promise<void> {
	const folder = dirname(path);
	if (!existsSync(folder)) refuse(`The folder ${folder} of the database does not exist; create it first.`);
	refuseUntrusted(path);
	createPrivately(path);
	// Checked before the size: a new database has its first page before it has a log.
	const hasLog = existsSync(`${path}-wal`);
	if (statSync(path).size > 0) await retryWhileBusy(() => inspectAfterCrash(path));
	// SQLite would take the file for a new database, and delete its log.
	else if (hasLog)
		refuse(
			`${path} was emptied: it has no content, but its log is beside it. Both were left untouched. Restore the file from a backup; or move both away to begin anew.`,
		);
}

/** Inspects the database by a read-only connection if possible, since that neither recovers nor moves a log. */
function inspectAfterCrash(path: string): void {
	try {
		inspect(path);
	} catch (error) {
		// A program died while it created the database, and left a journal. Only a writer can roll that back.
		if (!(error instanceof Database.SqliteError) || error.code !== 'SQLITE_READONLY_ROLLBACK') throw error;
		inspect(path, false);
	}
}

/** As {@link prepareFile}, of a database that exists. */
export async function prepareReading(path: string): Promise<void> {
	if (!existsSync(path)) refuse(`There is no database ${path} to read. Name an existing file, or open it without readOnly, which creates it.`);
	refuseUntrusted(path);
	if (statSync(path).size > 0 && !existsSync(`${path}-wal`) && !canWrite(path)) throw unreadableHere(path);
	await retryWhileBusy(() => inspect(path));
}

/** A reader that can't write the database could make files that its owner can't use. */
function canWrite(path: string): boolean {
	try {
		accessSync(path, constants.W_OK);
		return true;
	} catch {
		return false;
	}
}

/** The error of a database that no program has open, where SQLite can't make what it needs to read it. */
export function unreadableHere(path: string, cause?: unknown): FaenaError {
	return new FaenaError(
		'BadDatabase',
		`${path} can't be read: SQLite must write ${path}-shm and ${path}-wal beside it, and has no permission. Read it as a user with that permission, or copy the database and its log to another folder.`,
		{cause},
	);
}

/**
 * To read a database that no program has open, SQLite makes a log and its index beside it, and a connection that only reads leaves them there. Call this
 * before the first connection, and what it returns after the last one.
 */
export function leavingNothing(path: string): () => void {
	// An empty log is one that another reader has made, and could not remove because of this one.
	const logBytes = () => statSync(`${path}-wal`, {throwIfNoEntry: false})?.size;
	if ((logBytes() ?? 0) > 0 || existsSync(`${path}-journal`)) return () => {};
	return () => {
		if (logBytes() !== 0) return;
		try {
			// A connection that may write removes both if it is the last one to close, and leaves the database as it is.
			readFrom(path, false, db => pragmaNumber(db, 'schema_version'));
		} catch {
			// A program has opened the database meanwhile, and needs them.
		}
	};
}

function inspect(path: string, readonly = true): void {
	refuse(readFrom(path, readonly, db => problemOf(db, path)));
}

function readFrom<Result>(path: string, readonly: boolean, read: (db: Database.Database) => Result): Result {
	const db = new Database(path, {readonly, ...NO_WAIT});
	try {
		return read(db);
	} finally {
		db.close();
	}
}

/**
 * The largest database that is checked as a whole when it is opened, which takes some hundredths of a second. Damage in a larger one is found when the
 * damaged page is read, and writes until then may make it worse.
 */
const MAX_CHECKED_BYTES = 8 * 1024 * 1024;
const HOW_TO_RESTORE = 'Restore it from a backup, or recover what is left with the sqlite3 shell (.recover).';

function problemOf(db: Database.Database, path: string): string | undefined {
	// One transaction, since another process may be creating the tables now.
	db.exec('begin');
	const tables = db.prepare("select count(*) from sqlite_schema where type = 'table'").pluck().get();
	if (pragmaNumber(db, 'application_id') !== APPLICATION_ID && tables !== 0)
		return `${path} is a database of another program; it was left untouched. Name another file.`;
	refuseNewer(db, path);
	const sizeBytes = pragmaNumber(db, 'page_count') * pragmaNumber(db, 'page_size');
	// Pages may still be in the log. Looked for before the file's size is read, since the log is removed only once all pages are in the file.
	const actualBytes = existsSync(`${path}-wal`) ? Infinity : statSync(path).size;
	if (sizeBytes > actualBytes) return `${path} is truncated: it should be ${sizeBytes} bytes long and is ${actualBytes}. Restore it from a backup.`;
	const damage = sizeBytes > MAX_CHECKED_BYTES ? undefined : damageOf(db);
	return damage && `${path} is damaged: ${damage}. It was left untouched. ${HOW_TO_RESTORE}`;
}

/** The first damage, on one line. */
export function damageOf(db: Database.Database): string | undefined {
	try {
		const found = db.pragma('integrity_check(1)', {simple: true}) as string;
		return found === 'ok' ? undefined : found.replace('*** in database main ***\n', '').replace(/\n.*/s, '');
	} catch (error) {
		if (error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code)) return error.message;
		throw error;
	}
}

/** Returns the version of the schema. Throws if a newer Faena wrote it. */
export function refuseNewer(db: Pragmas, path: string): number {
	const version = pragmaNumber(db, 'user_version');
	if (version > MIGRATIONS.length) {
		throw new FaenaError(
			'NewerDatabase',
			`${path} was written by a newer Faena (schema ${version}; this one knows ${MIGRATIONS.length}); it was left untouched. Update Faena.`,
		);
	}
	return version;
}

/**
 * A process must not open a database by two SQLite libraries. POSIX file locks belong to the process: two libraries in one process both get the
 * write lock at once, and when one of them closes the file, the locks of the other are gone. That destroys the database within milliseconds. All
 * connections of one library, in all threads, see each other's locks.
 */
export const WHY_ONE_LIBRARY = "Two SQLite libraries that have one file open in one process don't see each other's locks, and destroy the file.";

const LIBRARY = /(?:\/better-sqlite3\/.*|sqlite[^/]*)\.(?:node|so[.\d]*)$/;

/**
 * Finds out whether several SQLite libraries of this process have the database open: each maps the beginning of the database's `-shm` once, with any
 * number of connections. Node's own library (node:sqlite) has no file. Only Linux shows this.
 */
export function findSecondLibrary(path: string): Health['secondLibrary'] {
	const mapped = mappedFiles();
	if (mapped.filter(file => file === `${path}-shm`).length < 2) return undefined;
	const libraries = [...new Set(mapped.filter(file => LIBRARY.test(file)))].sort();
	const named = [...libraries, ...(libraries.length < 2 ? ['one without a file, such as node:sqlite'] : [])].join('; ');
	const message = `${path} is open by several SQLite libraries of this process: ${named}. ${WHY_ONE_LIBRARY} Close it there, and check it (pragma integrity_check). In this process, open it only by the better-sqlite3 that Faena uses.`;
	return {libraries, message};
}

/** The files whose beginning is mapped into the memory of this process; a file that is mapped several times is there several times. */
function mappedFiles(): string[] {
	try {
		const maps = readFileSync('/proc/self/maps', 'utf8');
		return [...maps.matchAll(/^\S+ \S+ 0+ \S+ \d+ +(\/.*)$/gm)].map(match => match[1] as string);
	} catch {
		// Other systems have no such file, and a sandbox may hide it.
		return [];
	}
}

/** The value of a pragma. A program that opened the connection itself may have another type for integers. */
export function pragmaNumber(connection: Pragmas, pragma: string): number {
	return Number(connection.pragma(pragma, {simple: true}));
}

interface Pragmas {
	pragma(source: string, options: {readonly simple: true}): unknown;
}
