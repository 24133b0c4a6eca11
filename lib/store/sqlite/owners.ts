import {existsSync, readdirSync, rmSync, statSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import Database from 'better-sqlite3';
import type {OwnerId} from '../../job/claim.ts';
import {type OpenJobs, readOpenJobs} from '../../job/open-jobs.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import {IN_MEMORY} from '../store.ts';
import {isBusy, NO_WAIT} from './sqlite-errors.ts';
import {createPrivately, problemOfLock, refuse} from './trusted-files.ts';
import type {Tx} from './tx.ts';

/** A lock without a row is left over if it is at least this old. The row of a younger one may not be written yet. */
const MIN_LEFTOVER_AGE_MS = 60_000;

/** A row of the statement `owners`. */
export type OwnerRow = readonly [id: number, name: OwnerId, heartbeatAt: number];

interface Owned {
	/** The number of its row. */
	id?: number;
	readonly lock: Database.Database | undefined;
}

/** The owners of this store, each with its row and its lock; and checks whether other owners live. */
export class Owners {
	readonly #location: string;
	readonly #leaseMs: number;
	readonly #steadyMs: () => number;
	readonly #owned = new Map<OwnerId, Owned>();
	/** Owners that lost their claims and got a new row by a later claim, before they have heard of it. */
	readonly fenced = new Set<OwnerId>();
	/** The heartbeats that were last seen, by the number of the owner's row, which no later owner of the same name has. */
	#seen = new Map<number, {readonly heartbeatAt: number; readonly since: number}>();
	#lookedAt = -Infinity;
	#isSwept = false;

	constructor(location: string, leaseMs: number, steadyMs: () => number) {
		this.#location = location;
		this.#leaseMs = leaseMs;
		this.#steadyMs = steadyMs;
	}

	get names(): OwnerId[] {
		return [...this.#owned.keys()];
	}

	/** The number of the owner's row; `undefined` if it is not an owner of this store. */
	idOf(owner: OwnerId): number | undefined {
		return this.#owned.get(owner)?.id;
	}

	/** The owner's number. A new owner gets its lock and its row. The lock comes first, since a row without a lock means a dead owner. */
	register(owner: OwnerId, {statements, registered, now}: Tx): number {
		const known = this.idOf(owner);
		if (known !== undefined && statements.ownerById.get(known) !== undefined) return known;
		this.forget(owner);
		if (!isFileName(owner))
			throw new FaenaError(
				'BadOption',
				`An owner's name names a file: at most 100 characters, without / and \\, and no white space at its end. This is ${JSON.stringify(owner)}.`,
			);
		const path = this.#lockOf(owner);
		const owned: Owned = {lock: path === undefined ? undefined : holdLock(path)};
		this.#owned.set(owner, owned);
		registered.push(owner);
		failpoint('owner:locked');
		if (path !== undefined) createPrivately(openJobsAt(this.#location, owner));
		owned.id = statements.insertOwner.get(owner, now) as number;
		if (known !== undefined) this.fenced.add(owner);
		return owned.id;
	}

	/** Drops and removes the lock of an owner that has no row any more. */
	forget(owner: OwnerId): void {
		if (this.unlock(owner)) this.removeLock(owner);
	}

	/** Drops the lock, and leaves its file, which then shows that the owner has ended. Returns false if it is not an owner of this store. */
	unlock(owner: OwnerId): boolean {
		this.#owned.get(owner)?.lock?.close();
		this.fenced.delete(owner);
		return this.#owned.delete(owner);
	}

	/**
	 * The dead ones of all owners. An owner is dead if it has certainly ended, or is silent. The time that a heartbeat states is no evidence: the wall
	 * clock jumps, and machines sleep. An owner counts as silent once this process has seen the same heartbeat for a whole lease, by its own steady
	 * clock. If this process has not looked for half a lease, the whole machine may have slept, so it starts to watch again.
	 */
	dead(owners: readonly OwnerRow[]): OwnerRow[] {
		const now = this.#steadyMs();
		const before = now - this.#lookedAt > this.#leaseMs / 2 ? undefined : this.#seen;
		this.#lookedAt = now;
		this.#seen = new Map();
		return owners.filter(([id, name, heartbeatAt]) => {
			const known = before?.get(id);
			const since = known?.heartbeatAt === heartbeatAt ? known.since : now;
			this.#seen.set(id, {heartbeatAt, since});
			return now - since > this.#leaseMs || this.#isGone(name);
		});
	}

	#isGone(owner: OwnerId): boolean {
		if (this.#owned.has(owner)) return false;
		const lock = this.#lockOf(owner);
		return lock === undefined || isLockFree(lock);
	}

	/** The jobs that the owner's workers have open. */
	openJobs(owner: OwnerId): OpenJobs[] {
		return this.#lockOf(owner) === undefined ? [] : readOpenJobs(openJobsAt(this.#location, owner));
	}

	removeLock(owner: OwnerId): void {
		const lock = this.#lockOf(owner);
		if (lock !== undefined) removeLock(lock);
	}

	/** The path of the owner's lock. A store in memory has none, and neither has a name that can't be part of a file's name. */
	#lockOf(owner: OwnerId): string | undefined {
		return this.#location !== IN_MEMORY && isFileName(owner) ? ownerLockAt(this.#location, owner) : undefined;
	}

	/** Removes locks that are left over: their owners died before they had a row, or while their jobs were reclaimed. That is rare, so it runs once per store. */
	sweepLocks(living: readonly OwnerId[]): void {
		if (this.#isSwept || this.#location === IN_MEMORY) return;
		this.#isSwept = true;
		const folder = dirname(this.#location);
		const prefix = basename(ownerLockAt(this.#location, ''));
		const locks = new Set(living.map(name => prefix + name));
		for (const name of readdirSync(folder)) {
			// The lock to which the file belongs.
			const lock = name.replace(/-(open|journal)$/, '');
			if (!name.startsWith(prefix) || locks.has(name) || locks.has(lock)) continue;
			const age = Date.now() - (statSync(join(folder, name), {throwIfNoEntry: false})?.mtimeMs ?? Infinity);
			const path = join(folder, lock);
			if (age > MIN_LEFTOVER_AGE_MS && (!existsSync(path) || isLockFree(path))) removeLock(path);
		}
	}
}

/**
 * The path of an owner's lock. A living owner holds a lock on this file. The operating system drops the lock when the process ends, however it ends.
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

/** True if one of these owners of the database certainly lives. Each engine has an owner, which holds a lock as long as the engine is open. */
export function isInUse(location: string, owners: readonly OwnerId[]): boolean {
	const locks = owners.filter(isFileName).map(owner => ownerLockAt(location, owner));
	return locks.some(lock => existsSync(lock) && !isLockFree(lock));
}

/** Removes the files beside the lock, then the lock. SQLite's journal stays if the owner was killed. */
export function removeLock(path: string): void {
	for (const suffix of ['-open', '-journal', '']) {
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
export function holdLock(path: string): Database.Database {
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
