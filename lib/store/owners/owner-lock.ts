import {existsSync, rmSync, statSync} from 'node:fs';
import Database from 'better-sqlite3';
import type {OwnerId} from '../../job/claim.ts';
import {FaenaError} from '../../support/errors.ts';
import {rendezvousFolder} from '../../support/rendezvous.ts';
import {isBusy, NO_WAIT, translate} from '../sqlite-errors.ts';
import {createPrivately, problemOfLock, refuse} from '../trusted-files.ts';
import {ownerLockAt} from './owner-files.ts';

/** True if one of these owners of the database certainly lives. Each engine has an owner, which holds a lock as long as the engine is open. */
export function isInUse(location: string, owners: readonly OwnerId[]): boolean {
	const locks = owners.filter(isFileName).map(owner => ownerLockAt(location, owner));
	return locks.some(lock => existsSync(lock) && !isLockFree(lock));
}

/**
 * Removes the owner's temporary folder and the files beside the lock, then the lock. SQLite's journal stays if the owner was killed; outputs stay if it was not: its program may print them
 * after it has left. Returns false, and leaves all, if the lock is another owner's now, perhaps one of the same name: the lock is held until its file is gone.
 * @param own the lock, if it is that of an owner of this store
 */
export function removeLock(path: string, own?: OwnerLock): boolean {
	const held = own?.isInPlace() ? own : lockWhole(path);
	if (!held && existsSync(path)) return false;
	// An open file can't be removed there.
	if (process.platform === 'win32') held?.close();
	const beside = ['-open', '-commands', '-commands2', ...(own ? [] : ['-output']), '-journal', ''].map(suffix => path + suffix);
	for (const each of [rendezvousFolder(path), ...beside]) {
		try {
			rmSync(each, {recursive: true, force: true});
		} catch {
			// A file that stays does no harm: no process holds the lock. A sweep removes it later.
		}
	}
	held?.close();
	return true;
}

/** Some systems allow no longer names of files. Names of Faena's own owners have 21 characters. */
const MAX_OWNER_LENGTH = 100;

/** True if the name can be part of a file's name. Another program may write any text into a row, also a path. SQLite drops white space at the end of a path. */
export function isFileName(owner: OwnerId): boolean {
	return owner.length <= MAX_OWNER_LENGTH && !/[/\\\0]|\s$|-(open|commands2?|output|journal)$/.test(owner);
}

/**
 * Takes the owner's own part of the lock, which one process can have. Does not wait for it, since the caller has the write lock of the database.
 * @throws FaenaError `OwnerInUse` if another program has locked the file; `BadDatabase` if it can't be opened
 */
export function holdLock(path: string): OwnerLock {
	for (;;) {
		createPrivately(path);
		refuse(problemOfLock(path));
		const inode = () => statSync(path, {throwIfNoEntry: false})?.ino;
		const made = inode();
		const isInPlace = () => made !== undefined && inode() === made;
		const db = lock(path, 'immediate');
		// Another program may just have removed the file: then no other process would see this lock.
		if (db && isInPlace()) return {isInPlace, close: () => void db.close()};
		db?.close();
		if (!db && isInPlace()) {
			const message = `${path} is locked by another program. Only engines, and programs that claim jobs, use this file: each as an owner of its own.`;
			throw new FaenaError('OwnerInUse', `${message} End the other program that has it open, or give this one another owner's name.`);
		}
	}
}

/** Locks the file. Returns `undefined` if another process has locked it, or it is gone. */
function lock(path: string, how: 'immediate' | 'exclusive'): Database.Database | undefined {
	let db: Database.Database | undefined;
	try {
		db = new Database(path, {...NO_WAIT, fileMustExist: true});
		db.exec(`begin ${how}`);
		return db;
	} catch (error) {
		db?.close();
		if (isBusy(error) || !existsSync(path)) return undefined;
		throw translate(error, path);
	}
}

/** Locks the file against all shares. A file that another user may have made is not locked. */
function lockWhole(path: string): Pick<OwnerLock, 'close'> | undefined {
	return existsSync(path) && problemOfLock(path) === undefined ? lock(path, 'exclusive') : undefined;
}

/** A lock that is held. */
export interface OwnerLock {
	/** Drops it. */
	close(): void;
	/** False if somebody has removed its file. */
	isInPlace(): boolean;
}

/** Keeps references: a garbage-collected connection closes, and drops its share of the lock. */
const shares: Database.Database[] = [];

/**
 * Takes a share of the lock for a child process, until the process ends. It makes no file: if the file of a living owner was
 * removed, a new one, which is free once this process ends, would show the owner as dead.
 */
export function shareLock(path: string): void {
	if (!existsSync(path)) return;
	refuse(problemOfLock(path));
	const db = new Database(path, {fileMustExist: true});
	// A transaction has a share of the lock once it has read.
	db.exec('begin; select * from sqlite_schema');
	shares.push(db);
}

/**
 * True if the lock's file exists, and no process holds the lock or a share of it: then its owner has ended. A missing file is no evidence: it may be in
 * a folder that this process can't see, or another program may have removed it. A file that another user may have made is no evidence either.
 */
export function isLockFree(path: string): boolean {
	const held = lockWhole(path);
	held?.close();
	return held !== undefined;
}
