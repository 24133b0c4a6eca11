import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import {monotonicMs} from '../../support/clock.ts';
import {FaenaError} from '../../support/errors.ts';
import {storageFull} from './trusted-files.ts';

type Sentence = (path: string, error: InstanceType<typeof Database.SqliteError>) => FaenaError;

/** The error for each of SQLite's codes. The first pattern that matches counts. */
const SENTENCES: readonly (readonly [code: RegExp, sentence: Sentence])[] = [
	[/^SQLITE_NOTADB$/, bad(() => 'is not an SQLite database. Name another file')],
	[/^SQLITE_CORRUPT/, bad(() => 'is a damaged SQLite database. Restore it from a backup, or recover what is left with the sqlite3 shell (.recover)')],
	// Faena's statements are valid on an intact database.
	[/^SQLITE_ERROR$/, bad(({message}) => `is damaged, or another program has changed it: ${message}. Restore it from a backup, or name another file`)],
	[
		/^SQLITE_READONLY/,
		bad(() => "can't be written. Check the permissions of the file and its folder, and that their disk is not mounted read-only, then open it again"),
	],
	[/^SQLITE_CANTOPEN/, bad(() => "can't be opened. Check that it is a file, and that the file, its folder and their disk can be read and written")],
	// The log is shorter than before; the disk has not failed. After a reopening, the database would look as if nothing were missing.
	[/^SQLITE_IOERR_SHORT_READ$/, bad(() => 'or the log beside it was truncated while it was in use. Restore it from a backup')],
	[
		/^SQLITE_(MISMATCH$|CONSTRAINT)/,
		(path, error) =>
			new FaenaError(
				'BadRow',
				`${path} refuses to store this: ${error.message} (${error.code}). Either a value has the wrong type, or rows that Faena never writes conflict with it.`,
				{cause: error},
			),
	],
	// SQLite reports this after it has tried for ten seconds.
	[/^SQLITE_PROTOCOL$/, bad(() => 'allowed no transaction: its disk fails, or another program that uses it was stopped during a write')],
	[/^SQLITE_FULL$/, storageFull],
	[
		/^SQLITE_BUSY/,
		(path, error) =>
			new FaenaError(
				'DatabaseBusy',
				`${path} was locked by another program for more than ${BUSY_TIMEOUT_MS / 1000} s. End the long transaction there (${error.code}).`,
				{cause: error},
			),
	],
	[
		/^SQLITE_IOERR/,
		(path, error) =>
			new FaenaError(
				'OutcomeUnknown',
				`Reading or writing ${path} failed (${error.code}). Check the disk. The last commit may or may not have taken effect. To be safe, enqueue again with the same key.`,
				{cause: error},
			),
	],
];

function bad(problem: (error: Error) => string): Sentence {
	return (path, error) => new FaenaError('BadDatabase', `${path} ${problem(error)} (${error.code}).`, {cause: error});
}

/** Turns an error of SQLite into a FaenaError. Returns any other error as it is. */
export function translate(error: unknown, path: string): unknown {
	if (isTooLarge(error))
		return new FaenaError(
			'TooLarge',
			`${path} can't store a value of this size: SQLite takes at most 1,000,000,000 bytes in a row. Store less, or keep large results in files (option blobs).`,
			{cause: error},
		);
	if (!(error instanceof Database.SqliteError)) return error;
	return SENTENCES.find(([code]) => code.test(error.code))?.[1](path, error) ?? error;
}

/** SQLite has a code for this. better-sqlite3 throws a RangeError for a bound value, and V8 throws one for joined values. */
function isTooLarge(error: unknown): boolean {
	if (error instanceof Database.SqliteError) return error.code === 'SQLITE_TOOBIG';
	return error instanceof RangeError && /^The bound .* too big$|^Invalid string length$/.test(error.message);
}

/** If another connection holds a lock for longer, that is an error. */
export const BUSY_TIMEOUT_MS = 10_000;
/** Time between two attempts to get a lock. */
const RETRY_INTERVAL_MS = 1;
/** The most time that counts between two attempts, however long the thread was busy with other work. */
const MAX_COUNTED_MS = 20;
/** The option of a connection. SQLite's own wait for a lock would block the thread. */
export const NO_WAIT = {timeout: 0};

/**
 * Calls the function at once. While another connection holds the lock, calls it again every millisecond from the event loop, so that timers and
 * messages of this thread are handled in between. All waiting connections retry at this interval, so that each gets the lock in time; the intervals
 * of SQLite's own wait grow to 100 ms.
 * @returns the result itself if the first attempt succeeds
 */
export function retryWhileBusy<Result>(attempt: () => Result): Result | Promise<Result> {
	try {
		return attempt();
	} catch (error) {
		if (!isBusy(error)) throw error;
		return retry(attempt);
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

async function retry<Result>(attempt: () => Result): Promise<Result> {
	for (let waitedMs = 0; ; ) {
		const before = monotonicMs();
		await sleep(RETRY_INTERVAL_MS);
		// If this thread was busy with other work, the other connection need not have held its lock for all that time.
		waitedMs += Math.min(monotonicMs() - before, MAX_COUNTED_MS);
		try {
			return attempt();
		} catch (error) {
			if (!isBusy(error) || waitedMs >= BUSY_TIMEOUT_MS) throw error;
		}
	}
}

export function isBusy(error: unknown): boolean {
	return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}
