import {existsSync, rmSync} from 'node:fs';
import Database from 'better-sqlite3';
import type {OwnerId} from '../../job/claim.ts';
import {FaenaError} from '../../support/errors.ts';
import {createPrivately} from './private-file.ts';
import {isTrustedLock, refuseUntrustedLock} from './trusted-files.ts';

/**
 * An owner shows that it lives by a lock on a file of its own. The operating system drops the lock when the process ends, however it
 * ends. So this works with recycled process ids, and between containers that share a volume. The owner's child processes hold shares
 * in the lock: as long as one of them may be at work, nobody takes its jobs back.
 */
export function ownerLockAt(location: string, owner: OwnerId): string {
	return `${location}-owner-${owner}`;
}

/** The file in which the owner's workers note which jobs they have open. */
export function openJobsAt(location: string, owner: OwnerId): string {
	return `${ownerLockAt(location, owner)}${OPEN_JOBS}`;
}

const OPEN_JOBS = '-open';
/** SQLite's, of a lock that is held. It stays where its owner was killed. */
const JOURNAL = '-journal';

/** The lock that a file belongs to: itself, or the one beside it. */
export function lockOf(path: string): string {
	const ending = [OPEN_JOBS, JOURNAL].find(each => path.endsWith(each)) ?? '';
	return path.slice(0, path.length - ending.length);
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
	// A transaction holds a share once it has read something.
	db.exec('begin; select * from sqlite_schema');
	shares.push(db);
}

function openLock(path: string, options: Database.Options = {}): Database.Database {
	createPrivately(path);
	refuseUntrustedLock(path);
	return new Database(path, {...options, fileMustExist: true});
}

/**
 * True if the lock's file is there and no process holds a part of it: then its owner has ended. A missing file says nothing: it may be
 * in a folder that this process can't see, or somebody may have removed it while its owner lives. (Faena removes it only for an owner
 * that has ended or whose jobs were taken back.) A file that another user may have put there says nothing either.
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
		// Another process has taken the jobs back at the same moment, and removed the file.
		if (!existsSync(path)) return false;
		throw error;
	} finally {
		db?.close();
	}
}

function isBusy(error: unknown): boolean {
	return error instanceof Database.SqliteError && error.code === 'SQLITE_BUSY';
}

/** Removes what lies beside the lock, then the lock. A file that a failing disk keeps is litter, and is swept later. */
export function removeLock(path: string): void {
	for (const end of [OPEN_JOBS, JOURNAL, '']) {
		try {
			rmSync(path + end, {force: true});
		} catch {
			// Only the lock counts, and nobody holds it any more.
		}
	}
}
