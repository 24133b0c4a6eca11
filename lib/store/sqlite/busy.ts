import {setTimeout as sleep} from 'node:timers/promises';
import Database from 'better-sqlite3';
import {monotonicMs} from '../../support/clock.ts';

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
