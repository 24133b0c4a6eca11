import {existsSync, readdirSync, statSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import type {OwnerId} from '../../job/claim.ts';
import {type OpenJobs, readOpenJobs} from '../../job/open-jobs.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import {IN_MEMORY} from './connection.ts';
import {holdLock, isFileName, isLockFree, lockOf, openJobsAt, ownerLockAt, removeLock} from './owner-lock.ts';
import {createPrivately} from './trusted-files.ts';
import type {Tx} from './tx.ts';

/** A lock without a row is left over if it is at least this old. The row of a younger one may not be written yet. */
const MIN_LEFTOVER_AGE_MS = 60_000;

interface Owned {
	/** The number of its row. */
	readonly id: number;
	/** Drops the lock. */
	release(): void;
}

/** The owners of this store, each with its row and its lock; and checks whether other owners live. */
export class Owners {
	readonly #location: string;
	readonly #owned = new Map<OwnerId, Owned>();
	/** The owners when the current transaction began. */
	#before: ReadonlySet<Owned> = new Set();
	#isSwept = false;

	constructor(location: string) {
		this.#location = location;
	}

	get names(): OwnerId[] {
		return [...this.#owned.keys()];
	}

	/** The number of the owner's row; `undefined` if it is not an owner of this store. */
	idOf(owner: OwnerId): number | undefined {
		return this.#owned.get(owner)?.id;
	}

	/** The owner's number. A new owner gets its lock and its row. The lock comes first, since a row without a lock means a dead owner. */
	register(owner: OwnerId, {statements, now}: Tx): number {
		const known = this.#owned.get(owner);
		if (known && statements.ownerById.get(known.id) !== undefined) return known.id;
		this.forget(owner);
		if (!isFileName(owner))
			throw new FaenaError(
				'BadOption',
				`An owner's name names a file: at most 100 characters, without / and \\, and no white space at its end. This is ${JSON.stringify(owner)}.`,
			);
		const lock = this.#hasFiles ? holdLock(ownerLockAt(this.#location, owner)) : NO_LOCK;
		failpoint('owner:locked');
		try {
			if (this.#hasFiles) createPrivately(openJobsAt(this.#location, owner));
			const id = statements.insertOwner.get(owner, now) as number;
			this.#owned.set(owner, {id, release: lock.release});
			return id;
		} catch (error) {
			// Otherwise this lock would prevent the next attempt.
			lock.release();
			this.removeLock(owner);
			throw error;
		}
	}

	/** Remembers the owners at the beginning of a transaction. */
	begin(): void {
		this.#before = new Set(this.#owned.values());
	}

	/** Forgets owners whose rows were rolled back. Another owner may get their numbers. */
	rollBack(): void {
		for (const [owner, owned] of this.#owned) if (!this.#before.has(owned)) this.forget(owner);
	}

	/** Drops and removes the lock of an owner that has no row any more. */
	forget(owner: OwnerId): void {
		if (this.unlock(owner)) this.removeLock(owner);
	}

	/** Drops the lock, and leaves its file, which then shows that the owner has ended. Returns false if it is not an owner of this store. */
	unlock(owner: OwnerId): boolean {
		this.#owned.get(owner)?.release();
		return this.#owned.delete(owner);
	}

	/** True if the owner has certainly ended. */
	isGone(owner: OwnerId): boolean {
		if (this.#owned.has(owner)) return false;
		return !this.#hasFiles || !isFileName(owner) || isLockFree(ownerLockAt(this.#location, owner));
	}

	/** The jobs that the owner's workers have open. */
	openJobs(owner: OwnerId): OpenJobs[] {
		return this.#hasFiles && isFileName(owner) ? readOpenJobs(openJobsAt(this.#location, owner)) : [];
	}

	removeLock(owner: OwnerId): void {
		if (this.#hasFiles && isFileName(owner)) removeLock(ownerLockAt(this.#location, owner));
	}

	/** Removes locks that are left over: their owners died before they had a row, or while their jobs were reclaimed. That is rare, so it runs once per store. */
	sweepLocks(living: readonly OwnerId[]): void {
		if (this.#isSwept || !this.#hasFiles) return;
		this.#isSwept = true;
		const folder = dirname(this.#location);
		const prefix = basename(ownerLockAt(this.#location, ''));
		const locks = new Set(living.map(name => prefix + name));
		for (const name of readdirSync(folder)) {
			const lock = lockOf(name);
			if (!name.startsWith(prefix) || locks.has(name) || locks.has(lock)) continue;
			const age = Date.now() - (statSync(join(folder, name), {throwIfNoEntry: false})?.mtimeMs ?? Infinity);
			const path = join(folder, lock);
			if (age > MIN_LEFTOVER_AGE_MS && (!existsSync(path) || isLockFree(path))) removeLock(path);
		}
	}

	get #hasFiles(): boolean {
		return this.#location !== IN_MEMORY;
	}
}

const NO_LOCK = {release: () => undefined};
