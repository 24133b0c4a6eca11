import {statSync} from 'node:fs';
import type {Health} from '../../job/events.ts';
import {FaenaError} from '../../support/errors.ts';
import {type Connection, refuseDamaged} from './database.ts';
import {severalLibraries, severalLibrariesOn} from './one-library.ts';
import {refuseUntrusted} from './trusted-files.ts';

/**
 * Checks the files of an open database. A connection goes on writing to a file that somebody has deleted or replaced, and reads
 * from memory what somebody has cut off; what it calls durable then is gone when it closes. The files are only looked at from
 * outside: opening and closing one would drop SQLite's locks on it.
 */
export class FileGuard {
	readonly #path: string;
	readonly #connection: Connection;
	readonly #identities = new Map<string, string>();
	#sizeBytes = 0;
	#logBytes = 0;
	/** The SQLite libraries of this process that have the database open, if there was more than ours. */
	#libraries: readonly string[] | undefined;

	/** @throws FaenaError `BadDatabase` as {@link examine}, if another SQLite library of this process has the database open, or another user may have made a file of it */
	constructor(path: string, connection: Connection) {
		this.#path = path;
		this.#connection = connection;
		// Checked once more: after the first check SQLite may have opened a file that another user had made meanwhile.
		refuseUntrusted(path);
		this.examine();
		this.#refuseLibraries();
	}

	/**
	 * Checks that the database and its log are there and have not become shorter. To be called before each transaction, since the next
	 * write may restore the size of a file that was cut off.
	 * @throws FaenaError `BadDatabase` if one of them is not the one that was opened, or lacks what it held
	 */
	look(): void {
		const sizeBytes = this.#sizeOf(this.#path);
		const logBytes = this.#sizeOf(this.#logPath);
		if (sizeBytes < this.#sizeBytes) this.#refuseTruncated(sizeBytes);
		if (logBytes < this.#logBytes) this.#refuseTruncatedLog();
		// Only now, so that a file that was refused once is refused again.
		this.#sizeBytes = sizeBytes;
		this.#logBytes = logBytes;
	}

	/**
	 * Checks more: also the log against the index that all processes share, and other SQLite libraries.
	 * @returns the size of the log; and the SQLite libraries of this process that have the database open, if there are several
	 */
	examine(): Health {
		this.look();
		this.#refuseTruncatedLog();
		this.#sizeOf(`${this.#path}-shm`);
		this.#libraries ??= severalLibrariesOn(this.#path);
		const libraries = this.#libraries;
		return {logBytes: this.#logBytes, ...(libraries && {secondLibrary: {libraries, message: severalLibraries(this.#path, libraries)}})};
	}

	/**
	 * To be called once SQLite has found the database damaged.
	 * @throws FaenaError `BadDatabase` if what was done to its files explains that
	 */
	explain(): void {
		this.#libraries ??= severalLibrariesOn(this.#path);
		this.#refuseLibraries();
		this.look();
	}

	#refuseLibraries(): void {
		if (this.#libraries) throw new FaenaError('BadDatabase', severalLibraries(this.#path, this.#libraries));
	}

	/** Checks that the database is still the file that was opened. For when the connection was closed, which may have removed the log. */
	recall(): void {
		this.#sizeOf(this.#path);
	}

	get #logPath(): string {
		return `${this.#path}-wal`;
	}

	/** The size of the file. It must be the same file as before. */
	#sizeOf(path: string): number {
		const stat = statSync(path, {throwIfNoEntry: false});
		const identity = stat && `${stat.dev}:${stat.ino}`;
		const known = this.#identities.get(path);
		if (known !== undefined && identity !== known) throw this.#lost(path, identity === undefined ? 'deleted or moved' : 'replaced by another file');
		if (identity !== undefined) this.#identities.set(path, identity);
		return stat?.size ?? 0;
	}

	/** A VACUUM makes a database shorter, too, and loses nothing: so the content decides. */
	#refuseTruncated(sizeBytes: number): void {
		// An empty file would pass as a new, undamaged database.
		if (sizeBytes === 0) throw this.#lost(this.#path, 'emptied');
		refuseDamaged(this.#path);
	}

	/** SQLite itself cuts off a log whose content has been moved into the database. */
	#refuseTruncatedLog(): void {
		// Checked twice, since another process may have moved and cut off the log during the first check.
		if (this.#isLogTooShort() && this.#isLogTooShort()) throw this.#lost(this.#logPath, 'truncated');
	}

	#isLogTooShort(): boolean {
		const neededBytes = this.#connection.unmovedLogBytes();
		return this.#sizeOf(this.#logPath) < neededBytes;
	}

	#lost(path: string, what: string): FaenaError {
		// Another library was seen before: it has closed the database since, which explains this.
		if (this.#libraries) return new FaenaError('BadDatabase', `${path} was ${what}. ${severalLibraries(this.#path, this.#libraries)}`);
		return new FaenaError(
			'BadDatabase',
			`${path} was ${what} while the database was in use, so that what was written last may be lost. Put back what you have, and open it anew; before you touch the files of a database, close every engine on it. Another SQLite library in the same process (node:sqlite, a second copy of better-sqlite3) does this when it closes the database.`,
		);
	}
}
