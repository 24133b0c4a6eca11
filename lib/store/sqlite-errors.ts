import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import {monotonicMs} from '../support/clock.ts';
import {type ErrorCode, FaenaError} from '../support/errors.ts';

/** If one transaction of another connection holds a lock for longer, that is an error. */
const BUSY_TIMEOUT_MS = 10_000;
/** Time between two attempts to get a lock. */
const RETRY_INTERVAL_MS = 1;
/** The most time that counts between two attempts, however long the thread was busy with other work. */
const MAX_COUNTED_MS = 20;
/** The option of a connection. SQLite's own wait for a lock would block the thread. */
export const NO_WAIT = {timeout: 0};

/** The error for each of SQLite's codes, by default `BadDatabase`. The first pattern that matches counts. */
const ERRORS: readonly (readonly [sqlite: RegExp, sentence: string, code?: ErrorCode])[] = [
	[/^SQLITE_NOTADB$/, 'PATH is not an SQLite database. Name another file (CODE).'],
	[/^SQLITE_CORRUPT/, 'PATH is a damaged SQLite database. Restore it from a backup, or recover what is left with the sqlite3 shell (.recover) (CODE).'],
	// Faena's statements are valid on an intact database.
	[/^SQLITE_ERROR$/, 'PATH is damaged, or another program has changed it: MESSAGE. Restore it from a backup, or name another file (CODE).'],
	[
		/^SQLITE_READONLY/,
		"PATH can't be written. Check the permissions of the file and its folder, and that their disk is not mounted read-only, then open it again (CODE).",
	],
	[/^SQLITE_CANTOPEN/, "PATH can't be opened. Check that it is a file, and that the file, its folder and their disk can be read and written (CODE)."],
	// The log is shorter than before; the disk has not failed. After a reopening, the database would look as if nothing were missing.
	[/^SQLITE_IOERR_SHORT_READ$/, 'PATH or the log beside it was truncated while it was in use. Restore it from a backup (CODE).'],
	// SQLite reports this after it has tried for ten seconds.
	[/^SQLITE_PROTOCOL$/, 'PATH allowed no transaction: its disk fails, or another program that uses it was stopped during a write (CODE).'],
	[
		/^SQLITE_(MISMATCH$|CONSTRAINT)/,
		'PATH refuses to store this: MESSAGE (CODE). Either a value has the wrong type, or rows that Faena never writes conflict with it.',
		'BadRow',
	],
	[
		/^SQLITE_TOOBIG$/,
		"PATH can't store a value of this size: SQLite takes at most 1,000,000,000 bytes in a row. Store less, or keep large results in files (option blobs).",
		'TooLarge',
	],
	[/^SQLITE_BUSY/, `PATH was locked by another program for more than ${BUSY_TIMEOUT_MS / 1000} s. End the long transaction there (CODE).`, 'DatabaseBusy'],
	[
		/^SQLITE_IOERR/,
		'Reading or writing PATH failed (CODE). Check the disk. The last commit may or may not have taken effect. To be safe, enqueue again with the same key.',
		'OutcomeUnknown',
	],
];

/** How the message of a trigger begins that refuses writes, since the queue has moved. */
export const QUEUE_MOVED = 'QueueMoved: ';

/** Turns an error of SQLite into a FaenaError. Returns any other error as it is. */
export function translate(error: unknown, path: string): unknown {
	const sqliteCode = codeOf(error);
	if (sqliteCode === 'SQLITE_FULL') return storageFull(path, error);
	const {message} = Object(error) as Error;
	if (sqliteCode === 'SQLITE_CONSTRAINT_TRIGGER' && message.startsWith(QUEUE_MOVED))
		return new FaenaError('QueueMoved', message.slice(QUEUE_MOVED.length), {cause: error});
	const known = ERRORS.find(([pattern]) => pattern.test(sqliteCode));
	if (!known) return error;
	const [, sentence, code = 'BadDatabase'] = known;
	const words = {PATH: path, CODE: sqliteCode, MESSAGE: message};
	return new FaenaError(
		code,
		sentence.replace(/PATH|CODE|MESSAGE/g, word => words[word as keyof typeof words]),
		{cause: error},
	);
}

/** SQLite has a code for a value that is too large. better-sqlite3 throws a RangeError for a bound value, and V8 throws one for joined values. */
function codeOf(error: unknown): string {
	if (error instanceof Database.SqliteError) return error.code;
	return error instanceof RangeError && /^The bound .* too big$|^Invalid string length$/.test(error.message) ? 'SQLITE_TOOBIG' : '';
}

export function isBusy(error: unknown): boolean {
	return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

/**
 * Calls the function at once, and returns its result if it succeeds. While another connection holds the lock, calls it again every millisecond from
 * the event loop, so that this thread does other work in between. The intervals of SQLite's own wait would grow to 100 ms, and others get the lock first.
 * @param version changes with each commit of another connection: then it is not one long transaction that holds the lock
 */
export function retryWhileBusy<Result>(attempt: () => Result, version: () => unknown = () => undefined): Result | Promise<Result> {
	try {
		return attempt();
	} catch (error) {
		if (!isBusy(error)) throw error;
		return retry(attempt, version);
	}
}

async function retry<Result>(attempt: () => Result, version: () => unknown): Promise<Result> {
	let seen = version();
	for (let waitedMs = 0; ; ) {
		const before = monotonicMs();
		await sleep(RETRY_INTERVAL_MS);
		// If this thread was busy with other work, the other connection need not have held its lock for all that time.
		waitedMs += Math.min(monotonicMs() - before, MAX_COUNTED_MS);
		try {
			return attempt();
		} catch (error) {
			if (!isBusy(error)) throw error;
			if (waitedMs < BUSY_TIMEOUT_MS) continue;
			const now = version();
			if (now === seen) throw error;
			seen = now;
			waitedMs = 0;
		}
	}
}

/** As {@link retryWhileBusy}, but blocks the thread, for this time at most. */
export function retryWhileBusySync<Result>(attempt: () => Result, maxMs: number): Result {
	for (const until = monotonicMs() + maxMs; ; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_INTERVAL_MS)) {
		try {
			return attempt();
		} catch (error) {
			if (!isBusy(error) || monotonicMs() >= until) throw error;
		}
	}
}

/** The error of a file that could not be written: `StorageFull`, or `BadDatabase` with this problem. */
export function unwritable(path: string, problem: string, cause: unknown): FaenaError {
	const {code, message} = cause as NodeJS.ErrnoException;
	return code === 'ENOSPC' ? storageFull(path, cause) : new FaenaError('BadDatabase', `${problem}: ${message}.`, {cause});
}

/** The error of a write on a full disk. */
export function storageFull(path: string, cause: unknown): FaenaError {
	return new FaenaError('StorageFull', `The disk is full, so ${path} can't grow. Nothing of this call was stored. Free some space and try again.`, {cause});
}
