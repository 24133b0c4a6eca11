import {statSync} from 'node:fs';
import type {Health} from '../../job/events.ts';
import {FaenaError} from '../../support/errors.ts';
import type {Connection} from './connection.ts';
import {refuseDamaged} from './inspection.ts';
import {findSeveralLibraries, severalLibrariesMessage} from './one-library.ts';
import {refuseUntrusted} from './trusted-files.ts';

/**
 * Checks the files of an open database. If another program deletes or replaces a file, a connection still writes to the old one. If another program
 * truncates a file, a connection still reads the missing part from memory. Such commits are lost when the connection closes. This only reads the
 * attributes of the files: to open and close one would drop SQLite's locks on it.
 */
export class FileGuard {
	readonly #path: string;
	readonly #connection: Connection;
	readonly #identities = new Map<string, string>();
	#sizeBytes = 0;
	#logBytes = 0;
	/** The SQLite libraries of this process, if several have had the database open. */
	#libraries: readonly string[] | undefined;

	/** @throws FaenaError `BadDatabase` as {@link check}; or if another SQLite library of this process has the database open, or another user may have made one of its files */
	constructor(path: string, connection: Connection) {
		this.#path = path;
		this.#connection = connection;
		// Checked again: another user may have made a file after the first check and before SQLite opened it.
		refuseUntrusted(path);
		this.checkHealth();
		this.#refuseLibraries();
	}

	/**
	 * Checks that the database and its log are the files that were opened, and have not become shorter. Call it before each transaction, since the next
	 * write may restore the size of a truncated file.
	 * @throws FaenaError `BadDatabase` if a file is missing, replaced or truncated
	 */
	check(): void {
		const sizeBytes = this.#sizeOf(this.#path);
		const logBytes = this.#sizeOf(this.#logPath);
		if (sizeBytes < this.#sizeBytes) this.#refuseTruncated(sizeBytes);
		if (logBytes < this.#logBytes) this.#refuseTruncatedLog();
		// Last, so that a file that was refused once is refused again.
		this.#sizeBytes = sizeBytes;
		this.#logBytes = logBytes;
	}

	/**
	 * As {@link check}; also compares the log with the index that all processes share, and looks for other SQLite libraries.
	 * @throws FaenaError `BadDatabase` as {@link check}
	 */
	checkHealth(): Health {
		this.check();
		this.#refuseTruncatedLog();
		this.#sizeOf(`${this.#path}-shm`);
		this.#libraries ??= findSeveralLibraries(this.#path);
		const libraries = this.#libraries;
		return {logBytes: this.#logBytes, ...(libraries && {secondLibrary: {libraries, message: severalLibrariesMessage(this.#path, libraries)}})};
	}

	/**
	 * Call it once SQLite has found the database damaged.
	 * @throws FaenaError `BadDatabase` if the state of its files explains the damage
	 */
	explainDamage(): void {
		this.#libraries ??= findSeveralLibraries(this.#path);
		this.#refuseLibraries();
		this.check();
	}

	#refuseLibraries(): void {
		if (this.#libraries) throw new FaenaError('BadDatabase', severalLibrariesMessage(this.#path, this.#libraries));
	}

	/** Checks only that the database is the file that was opened. To close a connection may remove the log. */
	checkIdentity(): void {
		this.#sizeOf(this.#path);
	}

	get #logPath(): string {
		return `${this.#path}-wal`;
	}

	/** The size of the file. Throws if it is not the same file as before. */
	#sizeOf(path: string): number {
		const stat = statSync(path, {throwIfNoEntry: false});
		const identity = stat && `${stat.dev}:${stat.ino}`;
		const known = this.#identities.get(path);
		if (known !== undefined && identity !== known) throw this.#lost(path, identity === undefined ? 'deleted or moved' : 'replaced by another file');
		if (identity !== undefined) this.#identities.set(path, identity);
		return stat?.size ?? 0;
	}

	/** A VACUUM also makes a database shorter, and loses nothing. So the content decides. */
	#refuseTruncated(sizeBytes: number): void {
		// An empty file would pass as a new, undamaged database.
		if (sizeBytes === 0) throw this.#lost(this.#path, 'emptied');
		refuseDamaged(this.#path);
	}

	/** SQLite itself truncates a log once its content is in the database. So only the part that is not in the database counts. */
	#refuseTruncatedLog(): void {
		// Checked twice, since another process may have moved the log's content and truncated it during the first check.
		if (this.#isLogTooShort() && this.#isLogTooShort()) throw this.#lost(this.#logPath, 'truncated');
	}

	#isLogTooShort(): boolean {
		const neededBytes = this.#connection.unmovedLogBytes();
		return this.#sizeOf(this.#logPath) < neededBytes;
	}

	#lost(path: string, what: string): FaenaError {
		// If another library had the database open, it has closed it, which does this.
		if (this.#libraries) return new FaenaError('BadDatabase', `${path} was ${what}. ${severalLibrariesMessage(this.#path, this.#libraries)}`);
		return new FaenaError(
			'BadDatabase',
			`${path} was ${what} while the database was in use, so the last commits may be lost. Restore the file if you can, and open the database again. Close every engine on a database before you change its files. Another SQLite library in the same process (node:sqlite, a second copy of better-sqlite3) does this when it closes the database.`,
		);
	}
}

/** The guard of a database in memory. */
export const NO_FILES: Pick<FileGuard, 'check' | 'checkHealth' | 'checkIdentity' | 'explainDamage'> = {
	check: () => undefined,
	checkHealth: () => ({logBytes: 0}),
	checkIdentity: () => undefined,
	explainDamage: () => undefined,
};
