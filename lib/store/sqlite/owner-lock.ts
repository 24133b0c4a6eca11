import {existsSync, rmSync} from 'node:fs';
import Database from 'better-sqlite3';
import type {OwnerId} from '../../job/claim.ts';
import type {PerSpawner} from '../../job/options.ts';
import {FaenaError} from '../../support/errors.ts';
import {isBusy, NO_WAIT} from './sqlite-errors.ts';
import {createPrivately, problemOfLock, refuse} from './trusted-files.ts';

/**
 * The path of an owner's lock, a small SQLite database. A living owner holds a lock on this file. The operating system drops the lock when the process ends, however it ends.
 * So this works although process ids are reused, and between containers that share a volume. The owner's child processes hold shares in the lock:
 * as long as one of them may be running a job, no process reclaims the owner's jobs.
 */
export function ownerLockAt(location: string, owner: OwnerId): string {
	return `${location}-owner-${owner}`;
}

/** The path of the file in which the owner's workers keep the list of jobs that they have open. */
export function openJobsAt(location: string, owner: OwnerId): string {
	return `${ownerLockAt(location, owner)}-open`;
}

/** The paths of the files in which the owner's spawners keep the lists of their living commands. */
export function commandsAt(location: string, owner: OwnerId): PerSpawner<string> {
	const lock = ownerLockAt(location, owner);
	return [`${lock}-commands`, `${lock}-commands2`];
}

/** True if one of these owners of the database certainly lives. Each engine has an owner, which holds a lock as long as the engine is open. */
export function isInUse(location: string, owners: readonly OwnerId[]): boolean {
	const locks = owners.filter(isFileName).map(owner => ownerLockAt(location, owner));
	return locks.some(lock => existsSync(lock) && !isLockFree(lock));
}

/** Removes the files beside the lock, then the lock. SQLite's journal stays if the owner was killed. */
export function removeLock(path: string): void {
	for (const suffix of ['-open', '-commands', '-commands2', '-journal', '']) {
		try {
			rmSync(path + suffix, {force: true});
		} catch {
			// A file that stays does no harm: no process holds the lock. A sweep removes it later.
		}
	}
}

/** Some systems allow no longer names of files. Names of Faena's own owners have 21 characters. */
const MAX_OWNER_LENGTH = 100;

/** True if the name can be part of a file's name. Another program may write any text into a row, also a path. SQLite drops white space at the end of a path. */
export function isFileName(owner: OwnerId): boolean {
	return owner.length <= MAX_OWNER_LENGTH && !/[/\\\0]|\s$/.test(owner);
}

/**
 * Takes the owner's own part of the lock, which one process can have. Does not wait for it, since the caller has the write lock of the database.
 * @throws FaenaError `DatabaseBusy` if another program has locked the file
 */
export function holdLock(path: string): OwnerLock {
	const db = openLock(path, NO_WAIT);
	try {
		db.exec('begin immediate');
	} catch (error) {
		db.close();
		if (!isBusy(error)) throw error;
		const message = `${path} is locked by another program. Only engines use this file. End the other program that has it open.`;
		throw new FaenaError('DatabaseBusy', message, {cause: error});
	}
	return db;
}

/** A lock that is held. `close` drops it. */
export type OwnerLock = Pick<Database.Database, 'close'>;

/** Keeps references: a garbage-collected connection closes, and drops its share of the lock. */
const shares: Database.Database[] = [];

/** Takes a share of the lock for a child process, until the process ends. */
export function shareLock(path: string): void {
	const db = openLock(path);
	// A transaction has a share of the lock once it has read.
	db.exec('begin; select * from sqlite_schema');
	shares.push(db);
}

function openLock(path: string, options: Database.Options = {}): Database.Database {
	createPrivately(path);
	refuse(problemOfLock(path));
	return new Database(path, {...options, fileMustExist: true});
}

/**
 * True if the lock's file exists, and no process holds the lock or a share of it: then its owner has ended. A missing file is no evidence: it may be in
 * a folder that this process can't see, or another program may have removed it. A file that another user may have made is no evidence either.
 */
export function isLockFree(path: string): boolean {
	if (!existsSync(path) || problemOfLock(path) !== undefined) return false;
	let db: Database.Database | undefined;
	try {
		db = new Database(path, {...NO_WAIT, fileMustExist: true});
		db.exec('begin exclusive');
		return true;
	} catch (error) {
		// Another process may just have reclaimed the jobs and removed the file.
		if (isBusy(error) || !existsSync(path)) return false;
		throw error;
	} finally {
		db?.close();
	}
}
