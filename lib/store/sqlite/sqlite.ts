import type {BatchId, BatchOptions, CompletedBatch} from '../../job/batch.ts';
import type {OwnerId} from '../../job/claim.ts';
import type {JobId} from '../../job/job.ts';
import type {Schedule} from '../../job/schedule.ts';
import type {JobFilter, JobSearch, MoveTarget, Page} from '../../job/search.ts';
import {systemClock} from '../../support/clock.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import {ownerInUse} from '../conflict-errors.ts';
import type {Deleted, Deletion, EndedDeletion} from '../deletions.ts';
import type {JobPage, KeyHolders, KeySpace, OutcomePage, SearchPage, Wanted} from '../found-jobs.ts';
import {type Changes, Listeners} from '../listeners.ts';
import {Owners} from '../owners/owners.ts';
import type * as contract from '../store.ts';
import {type Store, URGENT_WAIT_MS} from '../store.ts';
import {IN_MEMORY, type OpenStoreOptions} from '../store-options.ts';
import {type CountRow, toTaskCounts} from '../stored-state.ts';
import {Blobs} from './connection/blobs.ts';
import {MIGRATIONS} from './connection/schema.sql.ts';
import type {OwnerValues, Statements} from './connection/statements.sql.ts';
import {readHolders} from './read/holders.ts';
import {readOutcomes, readPage} from './read/read.ts';
import {expiresInMs} from './rows/expiry.ts';
import {backlog, requestedLanes} from './rows/lanes.ts';
import type {Tx} from './rows/tx.ts';
import {changeBatch, deleteBatch, deleteEmptyBatches, openBatch, readBatches, updateBatches} from './transaction/batches.ts';
import {reachChildren} from './transaction/children.ts';
import {claim, inOrder, promote, releaseClaims} from './transaction/claim.ts';
import {deleteEnded, findOutdated} from './transaction/delete.ts';
import {canClaimDirectly, DirectClaim} from './transaction/direct-claim.ts';
import {editJob} from './transaction/edit.ts';
import {enqueue} from './transaction/enqueue.ts';
import {expireJobs, moveJobs} from './transaction/move.ts';
import {changeSchedule, momentInMs, readSchedules, updateSchedules} from './transaction/schedules.ts';
import {settle} from './transaction/settle.ts';
import {writeUpdate} from './transaction/updates.ts';
import {type TransactionOptions, Transactions} from './transactions.ts';

/** A cancel by another process must reach a listener within 50 ms. */
const POLL_INTERVAL_MS = 20;

/**
 * A store in an SQLite file, which several processes may share, or in memory. `schema.sql.ts` describes the tables. Each file beside it has one kind of
 * work in a transaction, such as `claim.ts`. {@link Transactions} runs the transactions.
 */
export class SqliteStore implements Store {
	readonly location: string;
	readonly threadLocation: string | undefined;
	readonly leaseMs: number;
	readonly schemaVersion = MIGRATIONS.length;
	readonly #options: TransactionOptions;
	readonly #blobs: Blobs;
	readonly #owners: Owners;
	readonly #transactions: Transactions;
	readonly #listeners: Listeners;
	/** The number of jobs that moves of this store have asked owners to stop. */
	#askedJobs = 0;
	#closed: Promise<void> | undefined;

	/** @param location an absolute path from `queuePath`, so that it stays valid when the program changes its working directory; or `:memory:` */
	constructor(location: string, options: OpenStoreOptions = {}) {
		this.location = location;
		this.threadLocation = location === IN_MEMORY ? undefined : location;
		const {durability = 'full', readOnly = false, leaseMs = 30_000, blobThresholdBytes = Infinity, clock = systemClock, random = Math.random} = options;
		this.leaseMs = leaseMs;
		this.#options = {durability, readOnly, clock, random};
		this.#blobs = new Blobs(location, location === IN_MEMORY ? Infinity : blobThresholdBytes);
		this.#owners = new Owners(() => (location === IN_MEMORY ? undefined : location), leaseMs, clock.steadyMs);
		this.#listeners = new Listeners({
			...{clock, intervalMs: POLL_INTERVAL_MS},
			...{changes: (owner, known) => this.#changes(owner, known), health: () => this.#transactions.checkHealth()},
		});
		const onCompleted = (batch: CompletedBatch) => this.#listeners.tell({type: 'batchCompleted', ...batch});
		const onLost = (ids: readonly JobId[]) => this.#listeners.tell({type: 'childrenCancelled', ids});
		this.#transactions = new Transactions({location, options: this.#options, blobs: this.#blobs, owners: this.#owners, onCompleted, onLost});
	}

	now(): number {
		return this.#options.clock.now();
	}

	commit(changes: contract.Changes): Promise<contract.Committed> {
		const {settle: ended = [], urgent} = changes;
		if (urgent && ended.length === 0) return this.#transactions.writeNow(tx => this.#commit(tx, changes), URGENT_WAIT_MS, urgent);
		const prepare = () => this.#blobs.prepare(ended);
		const write = () => this.#transactions.write(tx => this.#commit(tx, changes), prepare);
		return changes.claim ? this.#registering(changes.claim.owner, write) : write();
	}

	#commit(
		tx: Tx,
		{update = [], settle: ended = [], edit, enqueue: arrived = [], schedule, rejectConflicts = false, claim: request}: contract.Changes,
	): contract.Committed {
		for (const each of update) writeUpdate(tx, each);
		const settled = settle(tx, ended);
		reachChildren(tx);
		const edited = edit?.map(each => editJob(tx, each));
		const lanes = () => (request ? requestedLanes(tx, request) : []);
		let requested = lanes();
		const owner = () => (request ? this.#register(request.owner, tx) : 0);
		const mayBeDirect = request && !rejectConflicts && canClaimDirectly(tx, request, requested, arrived);
		const direct = mayBeDirect ? new DirectClaim(tx, requested, owner()) : undefined;
		const enqueued = enqueue(tx, arrived, rejectConflicts, direct);
		const scheduled = schedule?.map(change => changeSchedule(tx, change));
		const expired = request ? expireJobs(tx) : undefined;
		reachChildren(tx);
		if (request) promote(tx);
		// A task may be new.
		if (!direct) requested = lanes();
		// While jobs are left that have expired, none is claimed.
		const open = expired?.hasMore ? [] : requested;
		const claimed = request && !direct ? claim(tx, request, open, owner()) : {lease: direct?.lease ?? 0, groups: direct?.groups.sort(inOrder) ?? []};
		updateSchedules(tx);
		updateBatches(tx);
		// A batch that completed may have enqueued the first job of a task.
		const left = backlog(tx, tx.completed.length > 0 ? lanes() : requested);
		return {
			settled,
			...(edited && {edited}),
			...(scheduled && {scheduled}),
			enqueued,
			claimed,
			backlog: left,
			...(mayHaveUnblocked(tx) && {unblocked: true}),
			dueInMs: dueInMs(tx),
			...expiries(tx, expired?.ids),
			...momentInMs(tx),
		};
	}

	/** The owner's number. A new owner gets its lock and its row. */
	#register(owner: OwnerId, {statements, registered, now}: Tx): number {
		let id = statements.ownerNamed.get(owner) as number | undefined;
		if (id === undefined) {
			registered.push(owner);
			this.#owners.hold(owner);
			id = statements.insertOwner.get(owner, now) as number;
		}
		// The lock stays as it is: if it is free, the other owner is dead.
		else if (!this.#owners.isOwn(owner, id)) throw ownerInUse(owner);
		this.#owners.registered(owner, id);
		return id;
	}

	#registering<Result>(owner: OwnerId, call: () => Promise<Result>): Promise<Result> {
		return this.#owners.registering(owner, call, () => this.reclaim());
	}

	move(filter: JobFilter, to: MoveTarget, page: contract.MovePage = {}): Promise<contract.Moved> {
		return this.#transactions.write(tx => {
			const {owner} = page;
			if (owner !== undefined && tx.statements.batchOfOther.get(filter.batch ?? null, owner) !== undefined) return {ids: [], asked: [], next: null};
			const moved = moveJobs(tx, filter, to, page);
			this.#askedJobs += moved.asked.length;
			return moved;
		});
	}

	setPaused(tasks: readonly string[], isPaused: boolean): Promise<void> {
		return this.#transactions.write(({statements, numbers, facts}) => {
			for (const task of tasks) statements.pauseTask.run(isPaused ? 1 : 0, numbers.task(task));
			facts.forget('unpaused');
		});
	}

	adopt(from: string, to: string): Promise<boolean> {
		return this.#transactions.write(({statements, facts}) => {
			facts.forget('scopes');
			const renamed = [statements.renameScope, statements.renameScopeOfSchedules, statements.renameScopeOfBatches].map(each => each.run({from, to}).changes);
			return renamed.some(changes => changes > 0);
		});
	}

	heartbeat(owner: OwnerId): Promise<'alive' | 'fenced'> {
		const renew = (row: number | null) =>
			this.#transactions.write(({statements, now}) => {
				const isAlive = statements.heartbeat.run(now, owner, row).changes === 1;
				failpoint('heartbeat:written');
				return isAlive;
			});
		return this.#owners.heartbeat(owner, renew);
	}

	ownerFiles(owner: OwnerId): contract.OwnerFiles {
		this.#owners.hold(owner);
		return this.#owners.filesOf(owner);
	}

	release(owner: OwnerId, {after = 0, leave = false}: contract.ReleaseOptions = {}): Promise<contract.Released> {
		const nothing = {jobs: 0, hasMore: false};
		const release = (tx: Tx) => {
			const id = tx.statements.ownerNamed.get(owner) as number | undefined;
			return id !== undefined && this.#owners.isOwn(owner, id) ? releaseClaims(tx, id, {after, leave}) : nothing;
		};
		return this.#owners.release(owner, leave, () => (this.#owners.has(owner) ? this.#transactions.write(release) : this.#transactions.use(() => nothing)));
	}

	async reclaim(): Promise<contract.Released> {
		if (this.#options.readOnly) return {jobs: 0, hasMore: false};
		const rows = await this.#transactions.use(({connection}) => connection.statements.owners.all() as OwnerValues[]);
		const owners = rows.map(([id, name, heartbeatAt]) => ({id, name, heartbeatAt, isLocal: true}));
		return this.#owners.reclaim(owners, async ({id, heartbeatAt}, open) => {
			const released = await this.#transactions.write(tx => {
				if (tx.statements.heartbeatOf.get(id) !== heartbeatAt) return undefined;
				const released = releaseClaims(tx, id, {leave: true}, open);
				failpoint('reclaim:written');
				return released;
			});
			if (released) failpoint('reclaim:committed');
			return released;
		});
	}

	jobs(search: JobSearch, page: SearchPage = {}, want: Wanted = {}): Promise<JobPage> {
		return this.#transactions.use(({connection, numbers}) =>
			connection.snapshot(() => readPage({statements: connection.statements, numbers, blobs: this.#blobs}, search, page, want)),
		);
	}

	outcomes(ids: readonly JobId[], {after = 0}: {readonly after?: number} = {}): Promise<OutcomePage> {
		return this.#transactions.use(({connection}) => readOutcomes(connection.statements, this.#blobs, ids, after));
	}

	holders(of: KeySpace, keys: readonly string[]): Promise<KeyHolders> {
		return this.#transactions.use(({connection, numbers}) => connection.snapshot(() => readHolders({statements: connection.statements, numbers}, of, keys)));
	}

	counts(): Promise<readonly contract.TaskCounts[]> {
		return this.#transactions.use(({connection}) => toTaskCounts(connection.statements.taskCounts.all() as CountRow[]));
	}

	openBatch(name: string, task: string | undefined, owner: OwnerId, options: BatchOptions = {}): Promise<BatchId> {
		const open = (tx: Tx) => {
			const batch = openBatch(tx, name, task, options);
			tx.statements.ownBatch.run(this.#register(owner, tx), batch);
			return batch;
		};
		return this.#registering(owner, () => this.#transactions.write(open));
	}

	updateBatch(batch: BatchId, owner: OwnerId, change: contract.BatchChange): Promise<boolean> {
		const write = () => this.#transactions.write(tx => changeBatch(tx, batch, owner, change, () => this.#register(owner, tx)));
		return this.#registering(owner, write);
	}

	batches({name}: {readonly name?: string} = {}, page: Page = {}): Promise<contract.BatchPage> {
		return this.#transactions.use(({connection}) => connection.snapshot(() => readBatches(connection.statements, name, page)));
	}

	schedules(): Promise<readonly Schedule[]> {
		return this.#transactions.use(({connection}) => readSchedules(connection.statements));
	}

	async delete(what: Deletion, page: SearchPage = {}): Promise<Deleted> {
		if ('batch' in what) return this.#transactions.write(tx => deleteBatch(tx, what, page));
		const {unnamed, ...result} = await this.#deleteEnded(what, page).catch(error => {
			// The failed attempt has moved the log into the database. That leaves room for a second attempt, which frees more.
			if (error instanceof FaenaError && error.code === 'StorageFull') return this.#deleteEnded(what, page);
			throw error;
		});
		if (result.deleted > 0) failpoint('cleanup:committed');
		const orphans = await this.#transactions.use(({connection: {statements}}) =>
			result.next === null ? this.#blobs.orphans(this.#options.clock.now(), name => isNamed(statements, name)) : [],
		);
		await this.#deleteBlobs([...unnamed, ...orphans]);
		return result;
	}

	async #deleteEnded(what: EndedDeletion, page: SearchPage): Promise<ReturnType<typeof deleteEnded>> {
		if ('ended' in what) {
			const found = await this.#transactions.use(({connection}) => connection.snapshot(() => findOutdated(connection.statements, what.ended, page)));
			// A page with nothing to delete takes no lock.
			if (found.old.length === 0) return {deleted: 0, next: found.next, unnamed: []};
		}
		return this.#transactions.write(tx => {
			const result = deleteEnded(tx, what, page);
			if (result.next === null && 'endedBefore' in what) deleteEmptyBatches(tx);
			return result;
		});
	}

	/** Deletes those of the files that no job names. Call it after the transaction that deleted jobs, so that no row names a missing file. */
	async #deleteBlobs(names: readonly string[]): Promise<void> {
		if (names.length === 0) return;
		// If a loss of power undid the commit of the cleanup, the files would be missing. A checkpoint syncs the log.
		if (this.#options.durability === 'normal') await this.#transactions.use(({connection}) => connection.checkpoint());
		await this.#transactions.write(({statements}) => {
			for (const name of names) if (!isNamed(statements, name)) this.#blobs.delete(name);
			failpoint('blob:deleted');
		});
	}

	listen(owner: OwnerId | undefined, tell: (news: contract.News) => void | Promise<void>): () => void {
		if (this.#closed) throw new FaenaError('Closed', 'This queue is closed.');
		return this.#listeners.add(owner, tell);
	}

	/**
	 * The version of the store, and the owner's jobs to stop unless the version is known. The version changes once another connection has committed,
	 * or a move of this store has asked an owner to stop a job.
	 */
	#changes(owner: OwnerId | undefined, known: string | undefined): Promise<Changes> {
		return this.#transactions.use(({connection, opening}) => {
			const version = `${opening}:${connection.statements.dataVersion.get()}+${this.#askedJobs}`;
			const claims = version === known || owner === undefined ? [] : (connection.statements.claimsToStop.all(owner) as [number, number, number][]);
			return {version, stop: claims.map(([id, lease, execution]) => ({id, lease, execution}))};
		});
	}

	close(): Promise<void> {
		this.#closed ??= this.#close();
		return this.#closed;
	}

	async #close(): Promise<void> {
		try {
			await this.#owners.leave(owner => this.release(owner, {leave: true}));
		} finally {
			this.#listeners.end();
			await this.#transactions.close();
		}
	}
}

/** Milliseconds until the next waiting job becomes due; `null` if none waits. */
function dueInMs({facts, now}: Tx): number | null {
	const dueAt = facts.get('nextRunAt');
	return dueAt === null ? null : Math.max(0, dueAt - now);
}

/** True if jobs that waited for others became ready, or changes of their parents are left for the next transaction. */
function mayHaveUnblocked({isUnblocked, facts}: Tx): boolean {
	return isUnblocked || (facts.get('hasEdges') && facts.get('hasParentChanges'));
}

function expiries(tx: Tx, expired: readonly JobId[] = []): Pick<contract.Committed, 'expired' | 'expiresInMs'> {
	return {expired: expired.length > 0 ? expired : undefined, expiresInMs: expiresInMs(tx)};
}

/** True if a job names the file of a result. */
function isNamed({isBlobNamed}: Statements, name: string): boolean {
	return isBlobNamed.get(name) !== undefined;
}
