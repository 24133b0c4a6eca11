import type {BatchOptions} from '../../job/batch.ts';
import type {Claim, OwnerId} from '../../job/claim.ts';
import type {BatchId, Durability, JobFilter, JobId, Page} from '../../job/job.ts';
import {type Clock, systemClock} from '../../support/clock.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import {HeartbeatMonitor} from '../heartbeat-monitor.ts';
import {movableStatuses} from '../moving.ts';
import {
	type BatchChange,
	type BatchPage,
	type Changes,
	type Committed,
	type Deleted,
	type JobPage,
	type Moved,
	type MovePage,
	type MoveTarget,
	type News,
	type OutcomePage,
	type Released,
	type ReleaseOptions,
	type Store,
	type TaskCounts,
	URGENT_WAIT_MS,
	type Wanted,
} from '../store.ts';
import {changeBatch, deleteBatch, deleteEmptyBatches, openBatch, readBatches, updateBatches} from './batches.ts';
import {Blobs} from './blobs.ts';
import {claim, promote, releaseClaims} from './claim.ts';
import {IN_MEMORY} from './connection.ts';
import {enqueue} from './enqueue.ts';
import {backlog, requestedLanes} from './lanes.ts';
import {Listeners} from './listeners.ts';
import {deleteEndedBefore, moveJobs} from './move.ts';
import {Owners} from './owners.ts';
import {readCounts, readOutcomes, readPage} from './read.ts';
import {findIds} from './search.ts';
import {settle, writeUpdate} from './settle.ts';
import {Transactions} from './transactions.ts';
import type {Tx} from './tx.ts';

export interface SqliteOptions {
	/** `full` (default): a commit survives a loss of power. `normal`: it survives a crash of the process. */
	readonly durability?: Durability | undefined;
	/**
	 * Opens the file for reading alone: nothing is created, changed or recovered; default false. While another program has the file open, the file and its
	 * folder need not be writable.
	 */
	readonly readOnly?: boolean | undefined;
	/** The time without a heartbeat after which an owner is taken for dead; default 30,000. */
	readonly leaseMs?: number | undefined;
	/** Encoded results of more bytes lie in files of their own, in the folder `DATABASE-blobs`; default: no limit. */
	readonly blobThresholdBytes?: number | undefined;
	/** Default: the clock of the system. */
	readonly clock?: Pick<Clock, 'now' | 'steadyMs' | 'every'> | undefined;
	/** A number in [0, 1), for the jitter of the backoff. */
	readonly random?: (() => number) | undefined;
}

/** The default size of a page of `move`. */
const DEFAULT_MOVE_JOBS = 1000;

/**
 * Opens the store in an SQLite file, which is created if it does not exist; or in memory.
 * @param location an absolute path from `queuePath`, so that it stays valid when the program changes its working directory; or `:memory:`
 * @throws FaenaError `BadDatabase`, `NewerDatabase`
 */
export async function openSqlite(location: string, options: SqliteOptions = {}): Promise<SqliteStore> {
	const store = new SqliteStore(location, options);
	await store.counts();
	return store;
}

/**
 * A store in an SQLite file, which several processes may share, or in memory. `schema.sql.ts` describes the tables. Each file beside it has one kind of
 * work in a transaction, such as `claim.ts`. {@link Transactions} runs the transactions.
 */
export class SqliteStore implements Store {
	readonly location: string;
	readonly #durability: Durability;
	readonly #isReadOnly: boolean;
	readonly #now: () => number;
	readonly #blobs: Blobs;
	readonly #heartbeats: HeartbeatMonitor;
	readonly #owners: Owners;
	readonly #transactions: Transactions;
	readonly #listeners: Listeners;
	/** The number of jobs that moves of this store have asked owners to stop. */
	#askedJobs = 0;
	#closed: Promise<void> | undefined;

	constructor(location: string, options: SqliteOptions = {}) {
		const {durability = 'full', readOnly = false, leaseMs = 30_000, blobThresholdBytes = Infinity, clock = systemClock, random = Math.random} = options;
		this.location = location;
		this.#durability = durability;
		this.#isReadOnly = readOnly;
		this.#now = clock.now;
		this.#heartbeats = new HeartbeatMonitor(leaseMs, clock.steadyMs);
		this.#blobs = new Blobs(location, location === IN_MEMORY ? Infinity : blobThresholdBytes);
		this.#owners = new Owners(location);
		this.#transactions = new Transactions(location, {
			durability,
			isReadOnly: readOnly,
			blobs: this.#blobs,
			now: clock.now,
			random,
			onBegin: () => this.#owners.begin(),
			beforeCommit: saveTally,
			onCompleted: batches => this.#listeners.completed(batches),
			onRollback: () => this.#owners.rollBack(),
		});
		this.#listeners = new Listeners(
			{
				version: async () => `${await this.#transactions.foreignVersion()}+${this.#askedJobs}`,
				stopRequests: owner => this.#stopRequests(owner),
				checkHealth: async () => ({type: 'health', ...(await this.#transactions.checkHealth())}),
			},
			clock,
		);
	}

	commit(changes: Changes): Promise<Committed> {
		const {settle: ended = [], urgent} = changes;
		if (urgent && ended.length === 0) return this.#transactions.writeNow(tx => this.#commit(tx, changes), URGENT_WAIT_MS, urgent);
		return this.#write(
			tx => this.#commit(tx, changes),
			() => this.#blobs.prepare(ended),
		);
	}

	#commit(tx: Tx, {update = [], settle: ended = [], enqueue: arrived = [], rejectConflicts = false, claim: request}: Changes): Committed {
		for (const each of update) writeUpdate(tx, each);
		const settled = settle(tx, ended);
		const enqueued = enqueue(tx, arrived, rejectConflicts);
		if (request) promote(tx);
		const lanes = () => (request ? requestedLanes(tx, request) : []);
		const requested = lanes();
		const claimed = request ? claim(tx, request, requested, this.#owners.register(request.owner, tx)) : {lease: 0, groups: []};
		updateBatches(tx);
		// A batch that completed may have enqueued the first job of a task.
		const left = backlog(tx, tx.completed.length > 0 ? lanes() : requested);
		const dueAt = (tx.statements.nextRunAt.get() ?? null) as number | null;
		return {settled, enqueued, claimed, backlog: left, dueInMs: dueAt === null ? null : Math.max(0, dueAt - tx.now)};
	}

	move(filter: JobFilter, to: MoveTarget, {after = 0, limit = DEFAULT_MOVE_JOBS, stop = false, ...page}: MovePage = {}): Promise<Moved> {
		const statuses = movableStatuses(to, filter);
		return this.#write(tx => {
			const upTo = page.upTo ?? (tx.statements.jobCounter.get() as JobId);
			const {ids, next} = findIds(tx, filter, {statuses, after, upTo, limit});
			const {last = after, ...moved} = moveJobs(tx, ids, {to, statuses, stop});
			const from = ids.length === 0 || last === ids.at(-1) ? next : last;
			this.#askedJobs += moved.asked.length;
			return {...moved, next: from === null ? null : {after: from, upTo, limit, stop}};
		});
	}

	setPaused(tasks: readonly string[], isPaused: boolean): Promise<void> {
		return this.#write(({statements, names}) => {
			for (const task of tasks) statements.pauseTask.run(isPaused ? 1 : 0, names.task(task));
		});
	}

	heartbeat(owner: OwnerId): Promise<'alive' | 'fenced'> {
		return this.#write(({statements, now}) => {
			const isAlive = statements.heartbeat.run(now, owner).changes === 1;
			if (!isAlive) this.#owners.forget(owner);
			failpoint('heartbeat:written');
			return isAlive ? 'alive' : 'fenced';
		});
	}

	async release(owner: OwnerId, {after = 0, leave = false}: ReleaseOptions = {}): Promise<Released> {
		const id = this.#owners.idOf(owner);
		if (id === undefined) return this.#transactions.read(() => ({jobs: 0, hasMore: false}));
		if (!leave) return this.#write(tx => releaseClaims(tx, id, {after, leave}));
		return this.#leave(owner, id, after);
	}

	async #leave(owner: OwnerId, id: number, after: number): Promise<Released> {
		try {
			const released = await this.#write(tx => releaseClaims(tx, id, {after, leave: true}));
			// A later call may have registered the owner again.
			if (!released.hasMore && this.#owners.idOf(owner) === id) this.#owners.forget(owner);
			return released;
		} catch (error) {
			// The row stays, so the file of the lock must stay, too. Without a holder it shows that the owner has ended.
			this.#owners.unlock(owner);
			throw error;
		} finally {
			this.#heartbeats.drop(owner);
		}
	}

	async reclaim(): Promise<Released> {
		if (this.#isReadOnly) return {jobs: 0, hasMore: false};
		const owners = await this.#transactions.read(({owners}) => owners.all() as OwnerRow[]);
		const silent = this.#heartbeats.findSilent(owners.map(([, name, heartbeatAt]) => [name, heartbeatAt]));
		let jobs = 0;
		for (const row of owners.filter(([, name]) => silent.has(name) || this.#owners.isGone(name))) {
			const released = await this.#reclaimFrom(row);
			jobs += released?.jobs ?? 0;
			if (released?.hasMore) return {jobs, hasMore: true};
		}
		this.#owners.sweepLocks((await this.#transactions.read(({owners}) => owners.all() as OwnerRow[])).map(([, name]) => name));
		return {jobs, hasMore: false};
	}

	/** Returns `undefined` if the owner has renewed its lease, or another process has reclaimed its jobs. */
	async #reclaimFrom([id, name, heartbeatAt]: OwnerRow): Promise<Released | undefined> {
		const released = await this.#write(tx => {
			if (tx.statements.heartbeatOf.get(id) !== heartbeatAt) return undefined;
			const released = releaseClaims(tx, id, {leave: true}, this.#owners.openJobs(name));
			failpoint('reclaim:written');
			return released;
		});
		if (released) failpoint('reclaim:committed');
		// Otherwise the lock may belong to a later owner of the same name.
		if (released && !released.hasMore) this.#owners.removeLock(name);
		return released;
	}

	jobs(filter: JobFilter, page: Page = {}, want: Wanted = {}): Promise<JobPage> {
		return this.#transactions.snapshot((statements, names) => readPage({statements, names, blobs: this.#blobs}, filter, page, want));
	}

	outcomes(ids: readonly JobId[], {after = 0}: {readonly after?: number} = {}): Promise<OutcomePage> {
		return this.#transactions.read(statements => readOutcomes(statements, this.#blobs, ids, after));
	}

	counts(): Promise<readonly TaskCounts[]> {
		return this.#transactions.read(readCounts);
	}

	openBatch(name: string, task: string, owner: OwnerId, options: BatchOptions = {}): Promise<BatchId> {
		return this.#write(tx => {
			const batch = openBatch(tx, name, task, options);
			tx.statements.ownBatch.run(this.#owners.register(owner, tx), batch);
			return batch;
		});
	}

	updateBatch(batch: BatchId, owner: OwnerId, change: BatchChange): Promise<boolean> {
		return this.#write(tx => {
			return changeBatch(tx, batch, owner, change, () => this.#owners.register(owner, tx));
		});
	}

	batches({name}: {readonly name?: string} = {}, page: Page = {}): Promise<BatchPage> {
		return this.#transactions.snapshot(statements => readBatches(statements, name, page));
	}

	async delete(what: {readonly endedBefore: number} | {readonly batch: string}, page: Page = {}): Promise<Deleted> {
		if ('batch' in what) return this.#write(tx => deleteBatch(tx, what.batch, page));
		const {unnamed, ...result} = await this.#deleteEnded(what.endedBefore, page).catch(error => {
			// The failed attempt has moved the log into the database. That leaves room for a second attempt, which frees more.
			if (error instanceof FaenaError && error.code === 'StorageFull') return this.#deleteEnded(what.endedBefore, page);
			throw error;
		});
		if (result.deleted > 0) failpoint('cleanup:committed');
		await this.#deleteBlobs([...unnamed, ...(result.next === null ? await this.#orphans() : [])]);
		return result;
	}

	#deleteEnded(endedBefore: number, page: Page): Promise<Deleted & {readonly unnamed: readonly string[]}> {
		return this.#write(tx => {
			const result = deleteEndedBefore(tx, endedBefore, page);
			if (result.next === null) deleteEmptyBatches(tx);
			return result;
		});
	}

	#orphans(): Promise<string[]> {
		return this.#transactions.read(({isBlobNamed}) => this.#blobs.orphans(this.#now(), name => isBlobNamed.get(name) !== undefined));
	}

	/** Deletes those of the files that no job names. Call it after the transaction that deleted jobs, so that no row names a missing file. */
	async #deleteBlobs(names: readonly string[]): Promise<void> {
		if (names.length === 0) return;
		// If a loss of power undid the commit of the cleanup, the files would be missing. A checkpoint syncs the log.
		if (this.#durability === 'normal') await this.#transactions.checkpoint();
		await this.#write(({statements}) => {
			for (const name of names) if (statements.isBlobNamed.get(name) === undefined) this.#blobs.delete(name);
			failpoint('blob:deleted');
		});
	}

	listen(owner: OwnerId | undefined, listener: (news: News) => void | Promise<void>): () => void {
		if (this.#closed) throw new FaenaError('Closed', 'This queue is closed.');
		return this.#listeners.add(owner, listener);
	}

	#stopRequests(owner: OwnerId): Promise<Claim[]> {
		return this.#transactions.read(({claimsToStop}) =>
			(claimsToStop.all(owner) as [number, number, number][]).map(([id, lease, execution]) => ({id, lease, execution})),
		);
	}

	close(): Promise<void> {
		this.#closed ??= this.#close();
		return this.#closed;
	}

	async #close(): Promise<void> {
		try {
			for (const owner of this.#owners.names) while ((await this.release(owner, {leave: true})).hasMore);
		} finally {
			this.#listeners.stop();
			await this.#transactions.close(() => {
				for (const owner of this.#owners.names) this.#owners.unlock(owner);
			});
		}
	}

	#write<Result>(run: (tx: Tx) => Result, prepare?: () => void): Promise<Result> {
		return this.#transactions.write(run, prepare);
	}
}

type OwnerRow = readonly [id: number, name: OwnerId, heartbeatAt: number];

function saveTally(tx: Tx): void {
	updateBatches(tx);
	for (const change of tx.tally.tasks.take()) tx.statements.addToTally.run(...change);
}
