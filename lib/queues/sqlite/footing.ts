import {statSync} from 'node:fs';
import {FaenaError} from '../../errors.ts';
import type {Health} from '../../queue.ts';
import {type Connection, refuseDamaged} from './database.ts';
import {severalLibraries, severalLibrariesOn} from './one-library.ts';
import {refuseUntrusted} from './trusted-files.ts';

/**
 * The files that an open database stands on. A connection goes on writing into a file that somebody has deleted or replaced,
 * and answers from memory what somebody has cut off; what it says to be durable then is gone when it closes. Only looked at
 * from outside: to open and close a file of the database would drop SQLite's locks on it.
 */
export class Footing {
	readonly #path: string;
	readonly #connection: Connection;
	readonly #identities = new Map<string, string>();
	#sizeBytes = 0;
	#logBytes = 0;
	/** Of this process, if others than ours were seen to have the database open. */
	#libraries: readonly string[] | undefined;

	/** @throws FaenaError `BadDatabase` as {@link examine}, if another SQLite library of this process has the database open, or another user may have made a file of it */
	constructor(path: string, connection: Connection) {
		this.#path = path;
		this.#connection = connection;
		// Once more: SQLite may have opened a file that another user made after we looked, and keeps that open from now on.
		refuseUntrusted(path);
		this.examine();
		this.#refuseLibraries();
	}

	/**
	 * Whether the database and its log are there and have not become shorter. To be called before each transaction: whatever
	 * somebody cuts off, the next write may make good, in size alone.
	 * @throws FaenaError `BadDatabase` if one of them is not the one that was opened, or lacks what it held
	 */
	look(): void {
		const sizeBytes = this.#sizeOf(this.#path);
		const logBytes = this.#sizeOf(this.#logPath);
		if (sizeBytes < this.#sizeBytes) this.#refuseTruncated(sizeBytes);
		if (logBytes < this.#logBytes) this.#refuseTruncatedLog();
		// Not before: who was refused once is refused again.
		this.#sizeBytes = sizeBytes;
		this.#logBytes = logBytes;
	}

	/**
	 * Looks more closely, also at what the processes on the database share of its log.
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

	/** Whether the database itself is the one that was opened, where the connection has been closed: its log may have gone with it. */
	recall(): void {
		this.#sizeOf(this.#path);
	}

	get #logPath(): string {
		return `${this.#path}-wal`;
	}

	/** The size of the file, which must be the one that it was. */
	#sizeOf(path: string): number {
		const stat = statSync(path, {throwIfNoEntry: false});
		const identity = stat && `${stat.dev}:${stat.ino}`;
		const known = this.#identities.get(path);
		if (known !== undefined && identity !== known) throw this.#lost(path, identity === undefined ? 'deleted or moved' : 'replaced by another file');
		if (identity !== undefined) this.#identities.set(path, identity);
		return stat?.size ?? 0;
	}

	/** A VACUUM makes a database shorter, too, and takes nothing away. */
	#refuseTruncated(sizeBytes: number): void {
		// It would pass for a new one, which nothing is wrong with.
		if (sizeBytes === 0) throw this.#lost(this.#path, 'emptied');
		refuseDamaged(this.#path);
	}

	/** A log whose content has been moved into the database is cut off by SQLite itself. */
	#refuseTruncatedLog(): void {
		// Asked twice, since another process may have moved it and cut it off after the first question.
		if (this.#isLogTooShort() && this.#isLogTooShort()) throw this.#lost(this.#logPath, 'truncated');
	}

	#isLogTooShort(): boolean {
		const neededBytes = this.#connection.unmovedLogBytes();
		return this.#sizeOf(this.#logPath) < neededBytes;
	}

	#lost(path: string, what: string): FaenaError {
		// It has closed the database since.
		if (this.#libraries) return new FaenaError('BadDatabase', `${path} was ${what}. ${severalLibraries(this.#path, this.#libraries)}`);
		return new FaenaError(
			'BadDatabase',
			`${path} was ${what} while the database was in use, so that what was written last may be lost. Put back what you have, and open it anew; before you touch the files of a database, close every engine on it. Another SQLite library in the same process (node:sqlite, a second copy of better-sqlite3) does this when it closes the database.`,
		);
	}
}
