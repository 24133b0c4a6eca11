import {existsSync, readdirSync, statSync, utimesSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import type {OwnerId} from '../../job/claim.ts';
import {type OpenJobs, readOpenJobs} from '../../job/open-jobs.ts';
import {endLivingCommands} from '../../spawner/living-commands.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import type {OwnerFiles, Released} from '../store.ts';
import {createPrivately} from '../trusted-files.ts';
import {areOldOutputs, ownerLockAt} from './owner-files.ts';
import {holdLock, isFileName, isLockFree, type OwnerLock, removeLock} from './owner-lock.ts';

/** A lock without a row is left over if it is at least this old. The row of a younger one may not be written yet. */
const MIN_LEFTOVER_AGE_MS = 60_000;

/** A row of the table `owner`. */
export interface OwnerRow {
	readonly id: number;
	readonly name: OwnerId;
	readonly heartbeatAt: number;
	/** False if the owner is on another host, whose files are not those of this one. */
	readonly isLocal: boolean;
	/** For how long all stores of the queue together have seen this heartbeat, if they keep that. So programs that live shorter than a lease see it, too. */
	readonly silentMs?: number | null;
}

interface Owned {
	/** The number of its row. */
	id?: number;
	/** The number of its last row, which it may not have any more. */
	formerId?: number | undefined;
	readonly lock: OwnerLock | undefined;
}

/** The owners of a store, each with the number of its row and its lock; and checks whether other owners live. */
export class Owners {
	readonly #filesAt: () => string | undefined;
	readonly #leaseMs: number;
	readonly #steadyMs: () => number;
	readonly #owned = new Map<OwnerId, Owned>();
	/** Owners that lost their claims and got a new row by a later claim, before they have heard of it. */
	readonly fenced = new Set<OwnerId>();
	/** The heartbeats that were last seen, by the number of the owner's row, which no later owner of the same name has. */
	#seen = new Map<number, {readonly heartbeatAt: number; readonly since: number}>();
	#lookedAt = -Infinity;
	#isSwept = false;
	/** Owners without a row whose lock another process still had. */
	readonly #left = new Set<OwnerId>();

	/** @param filesAt the path from which those of all owners' files are made; `undefined` if owners have no files */
	constructor(filesAt: () => string | undefined, leaseMs: number, steadyMs: () => number) {
		this.#filesAt = filesAt;
		this.#leaseMs = leaseMs;
		this.#steadyMs = steadyMs;
	}

	get names(): OwnerId[] {
		return [...this.#owned.keys()];
	}

	/**
	 * Runs a call that may register an owner. If the row of another store has its name, that owner may be dead: then its jobs are reclaimed first.
	 * @throws FaenaError `OwnerInUse` if the other one is not known to be dead
	 */
	async registering<Result>(owner: OwnerId, call: () => Promise<Result>, reclaim: () => Promise<Released>): Promise<Result> {
		for (let isLast = false; ; isLast = true) {
			try {
				return await call();
			} catch (error) {
				if (!(error instanceof FaenaError) || error.code !== 'OwnerInUse') throw error;
				// The name is not this store's, so its lock must not be, either.
				this.forget(owner);
				if (isLast) throw error;
				while ((await reclaim()).hasMore);
			}
		}
	}

	has(owner: OwnerId): boolean {
		return this.#owned.has(owner);
	}

	/**
	 * Takes the lock of an owner, if this store does not have it yet. To be called before the owner's row is written, since a row with a free lock means
	 * a dead owner.
	 * @throws FaenaError `BadOption` if the name can't be part of a file's name; `OwnerInUse` if another program has the lock
	 */
	hold(owner: OwnerId): void {
		if (this.#owned.has(owner)) return;
		if (!isFileName(owner))
			throw new FaenaError(
				'BadOption',
				`An owner's name names a file: at most 100 characters, without / and \\, and with no white space, -open, -commands, -output or -journal at its end. This is ${JSON.stringify(owner)}.`,
			);
		const {ownerLock, openJobs} = this.filesOf(owner);
		this.#owned.set(owner, {lock: ownerLock === undefined ? undefined : holdLock(ownerLock)});
		failpoint('owner:locked');
		if (openJobs !== undefined) createPrivately(openJobs);
	}

	/** The owner has this row. If it had another one before, it was taken for dead. */
	registered(owner: OwnerId, id: number): void {
		const owned = this.#owned.get(owner) ?? {lock: undefined};
		if (owned.id !== undefined && owned.id !== id) this.fenced.add(owner);
		this.#owned.set(owner, {...owned, id});
	}

	/** The owner may have no row: it has heard that it was taken for dead, or the transaction has failed that wrote the row. Its lock stays. */
	unregistered(owner: OwnerId): void {
		const owned = this.#owned.get(owner);
		if (owned) this.#owned.set(owner, {lock: owned.lock, formerId: owned.id ?? owned.formerId});
	}

	/** True if a row of the owner's name is that of this store: also after a transaction that failed, and took effect all the same. */
	isOwn(owner: OwnerId, id: number): boolean {
		const owned = this.#owned.get(owner);
		return owned !== undefined && (owned.id ?? owned.formerId) === id;
	}

	/** Renews the heartbeat of an owner: that of a row; of any store (`null`), which may be this one's in another thread; or of none (0). */
	async heartbeat(owner: OwnerId, renew: (row: number | null) => Promise<boolean>): Promise<'alive' | 'fenced'> {
		const owned = this.#owned.get(owner);
		const isKnown = await renew(owned ? (owned.id ?? 0) : null);
		if (!isKnown) this.unregistered(owner);
		this.#touch(owner);
		// An owner hears once that it was taken for dead.
		const wasFenced = this.fenced.delete(owner);
		return isKnown && !wasFenced ? 'alive' : 'fenced';
	}

	/** Releases a page of an owner's jobs by a call, with which it may leave. */
	async release(owner: OwnerId, leave: boolean, call: () => Promise<Released>): Promise<Released> {
		const before = this.#owned.get(owner)?.id;
		try {
			const released = await call();
			// A later call may have registered the owner again.
			if (leave && !released.hasMore && this.#owned.get(owner)?.id === before) this.forget(owner);
			return released;
		} catch (error) {
			// The row stays, so the file of the lock must stay, too. Without a holder it shows that the owner has ended.
			if (leave) this.unlock(owner);
			throw error;
		}
	}

	/** Lets all owners of this store leave. */
	async leave(release: (owner: OwnerId) => Promise<Released>): Promise<void> {
		const {names} = this;
		try {
			for (const owner of names) while ((await release(owner)).hasMore);
		} finally {
			for (const owner of names) this.unlock(owner);
		}
	}

	/** Reclaims a page of the jobs of dead owners. A falsy result: the owner has renewed its lease, or another store has reclaimed its jobs. */
	async reclaim(owners: readonly OwnerRow[], reclaimFrom: (owner: OwnerRow, open: OpenJobs[]) => Promise<Released | null | undefined>): Promise<Released> {
		let jobs = 0;
		for (const owner of await this.#dead(owners)) {
			const {openJobs} = this.filesOf(owner.name);
			const released = await reclaimFrom(owner, openJobs === undefined ? [] : readOpenJobs(openJobs));
			jobs += released?.jobs ?? 0;
			if (released?.hasMore) return {jobs, hasMore: true};
			if (released) this.#removeLock(owner.name);
		}
		this.#sweepLocks(owners.map(({name}) => name));
		return {jobs, hasMore: false};
	}

	/** Keeps the owner's files from those that remove old files of temporary folders: without its lock it would seem dead to others. */
	#touch(owner: OwnerId): void {
		const now = new Date();
		for (const path of Object.values(this.filesOf(owner))) {
			try {
				utimesSync(path, now, now);
			} catch {
				// It is gone, which is no evidence for others.
			}
		}
	}

	/** Drops and removes the lock of an owner of this store that has no row any more. */
	forget(owner: OwnerId): void {
		const lock = this.#owned.get(owner)?.lock;
		if (lock) removeLock(this.filesOf(owner).ownerLock as string, lock);
		this.unlock(owner);
	}

	/** Drops the lock, and leaves its file, which then shows that the owner has ended. */
	unlock(owner: OwnerId): void {
		this.#owned.get(owner)?.lock?.close();
		this.fenced.delete(owner);
		this.#owned.delete(owner);
	}

	/**
	 * The dead ones of all owners. An owner is dead if it has certainly ended, or is silent. The time that a heartbeat states is no evidence: the wall
	 * clock jumps, and machines sleep. An owner counts as silent once this process has seen the same heartbeat for a whole lease, by its own steady
	 * clock. If this process has not looked for half a lease, the whole machine may have slept, so it starts to watch again.
	 */
	async #dead(owners: readonly OwnerRow[]): Promise<OwnerRow[]> {
		const silent = this.#silent(owners);
		for (const owner of this.#left) owners.some(({name}) => name === owner) ? this.#left.delete(owner) : this.#removeLock(owner);
		const dead: OwnerRow[] = [];
		for (const owner of owners) {
			const isSilent = silent.has(owner.id);
			if (!isSilent && !(owner.isLocal && this.#isGone(owner.name))) continue;
			// Its spawners end its commands. If all were killed, or sleep, this store does so; for commands that can't be killed it waits no longer
			// than a lease.
			if ((await this.#endCommands(owner)) || isSilent) dead.push(owner);
		}
		return dead;
	}

	/** The numbers of those that are silent. */
	#silent(owners: readonly OwnerRow[]): Set<number> {
		const now = this.#steadyMs();
		const before = now - this.#lookedAt > this.#leaseMs / 2 ? undefined : this.#seen;
		this.#lookedAt = now;
		this.#seen = new Map();
		const silent = owners.filter(({id, heartbeatAt, silentMs}) => {
			const known = before?.get(id);
			const since = known?.heartbeatAt === heartbeatAt ? known.since : now;
			this.#seen.set(id, {heartbeatAt, since});
			return Math.max(now - since, silentMs ?? 0) > this.#leaseMs;
		});
		return new Set(silent.map(({id}) => id));
	}

	/** Ends the commands that a dead owner has left. Returns false if some may live. */
	async #endCommands({name, isLocal}: OwnerRow): Promise<boolean> {
		const {commands = []} = isLocal ? this.filesOf(name) : {};
		const areGone = await Promise.all(commands.map(endLivingCommands));
		return !areGone.includes(false);
	}

	#isGone(owner: OwnerId): boolean {
		if (this.#owned.has(owner)) return false;
		const {ownerLock} = this.filesOf(owner);
		return ownerLock !== undefined && isLockFree(ownerLock);
	}

	/** Removes the files of an owner that has no row any more: later, if its process still has them. */
	#removeLock(owner: OwnerId): void {
		const {ownerLock} = this.filesOf(owner);
		if (ownerLock === undefined || removeLock(ownerLock)) this.#left.delete(owner);
		else this.#left.add(owner);
	}

	/** Another program may write any name into a row, also one that can't be part of a file's name: then there are no files. */
	filesOf(owner: OwnerId): OwnerFiles {
		const path = this.#filesAt();
		if (path === undefined || !isFileName(owner)) return {};
		const ownerLock = ownerLockAt(path, owner);
		return {ownerLock, openJobs: `${ownerLock}-open`, commands: [`${ownerLock}-commands`, `${ownerLock}-commands2`]};
	}

	/** Removes locks that are left over: their owners died before they had a row, or while their jobs were reclaimed. That is rare, so it runs once per store. */
	#sweepLocks(living: readonly OwnerId[]): void {
		const path = this.#filesAt();
		if (this.#isSwept || path === undefined) return;
		this.#isSwept = true;
		const folder = dirname(path);
		const prefix = basename(ownerLockAt(path, ''));
		const locks = new Set(living.map(name => prefix + name));
		for (const name of readdirSync(folder)) {
			// The lock to which the file belongs.
			const lock = name.replace(/-(open|commands2?|output|journal)$/, '');
			if (!name.startsWith(prefix) || locks.has(name) || locks.has(lock)) continue;
			const age = Date.now() - (statSync(join(folder, name), {throwIfNoEntry: false})?.mtimeMs ?? Infinity);
			const path = join(folder, lock);
			if (age <= MIN_LEFTOVER_AGE_MS) continue;
			const isFree = existsSync(path) ? isLockFree(path) : !name.endsWith('-output') || areOldOutputs(join(folder, name));
			if (isFree) removeLock(path);
		}
	}
}
