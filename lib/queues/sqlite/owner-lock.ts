import {existsSync, rmSync} from 'node:fs';
import Database from 'better-sqlite3';
import {FaenaError} from '../../errors.ts';
import type {OwnerId} from '../../queue.ts';
import {createPrivately} from './private-file.ts';
import {isTrustedLock, refuseUntrustedLock} from './trusted-files.ts';

/**
 * That an owner lives is shown by a lock on a file of its own, which the operating system gives up when the process ends,
 * however it ends: right with recycled process ids and between containers that share a volume. Its child processes hold a
 * share in the lock: as long as one of them may be at work, nobody takes their jobs for those of the dead.
 */
export function ownerLockAt(location: string, owner: OwnerId): string {
	return `${location}-owner-${owner}`;
}

/** The file in which the owner's workers tell which jobs they have open. */
export function openJobsAt(location: string, owner: OwnerId): string {
	return `${ownerLockAt(location, owner)}${OPEN_JOBS}`;
}

const OPEN_JOBS = '-open';

/** The lock that a file belongs to: itself, or the one beside it. */
export function lockOf(path: string): string {
	return path.endsWith(OPEN_JOBS) ? path.slice(0, -OPEN_JOBS.length) : path;
}

/**
 * Takes the owner's own part of the lock, which only one process can have. Does not wait for it, since the caller has the write lock.
 * @throws FaenaError `DatabaseBusy` if another program has locked the file
 */
export function holdLock(path: string): {release(): void} {
	const db = openLock(path, {timeout: 0});
	try {
		db.exec('begin immediate');
	} catch (error) {
		db.close();
		if (!isBusy(error)) throw error;
		throw new FaenaError('DatabaseBusy', `${path} is locked by another program. Only engines use this file; end what else has it open.`, {cause: error});
	}
	return {release: () => db.close()};
}

/** Keeps a reference: a connection that is garbage-collected closes, and drops its part of the lock. */
const shares: Database.Database[] = [];

/** Takes a child process's part of the lock, until the process ends. */
export function shareLock(path: string): void {
	const db = openLock(path);
	// A transaction that has read something.
	db.exec('begin; select * from sqlite_schema');
	shares.push(db);
}

function openLock(path: string, options: Database.Options = {}): Database.Database {
	createPrivately(path);
	refuseUntrustedLock(path);
	return new Database(path, {...options, fileMustExist: true});
}

/**
 * True if the lock's file is there and no process holds a part of it: its owner has ended. A file that is missing says
 * nothing, since only its owner, and those that have taken its jobs back, remove it: it may be in a folder that is not seen
 * from here, or have been cleared away while its owner lives. Nor does a file that another user may have put there.
 */
export function isLockFree(path: string): boolean {
	if (!isTrustedLock(path)) return false;
	let db: Database.Database | undefined;
	try {
		db = new Database(path, {timeout: 0, fileMustExist: true});
		db.exec('begin exclusive');
		return true;
	} catch (error) {
		if (isBusy(error)) return false;
		// Another process that recovers at the same moment has removed it since.
		if (!existsSync(path)) return false;
		throw error;
	} finally {
		db?.close();
	}
}

function isBusy(error: unknown): boolean {
	return error instanceof Database.SqliteError && error.code === 'SQLITE_BUSY';
}

/** Removes the lock, and before it what lies beside it. What stays, on a disk that fails, is litter, which is swept one day. */
export function removeLock(path: string): void {
	for (const end of [OPEN_JOBS, '']) {
		try {
			rmSync(path + end, {force: true});
		} catch {
			// Nobody holds it any more, and that is what counts.
		}
	}
}
