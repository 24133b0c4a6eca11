import {existsSync, readdirSync, statSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import type {Batch, BatchOptions, DeleteResult} from '../../job/batch.ts';
import type {Claim, Lease, OwnerId} from '../../job/claim.ts';
import type {Health} from '../../job/events.ts';
import type {
	BatchId,
	CleanupOptions,
	CleanupResult,
	Counts,
	Durability,
	Job,
	JobEnd,
	JobFilter,
	JobId,
	JobValues,
	LogLevel,
	LogLine,
	Page,
} from '../../job/job.ts';
import {readOpenJobs} from '../../job/open-jobs.ts';
import type {Settling} from '../../job/runs.ts';
import {monotonicMs} from '../../support/clock.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import {HeartbeatMonitor} from '../heartbeat-monitor.ts';
import {
	type Awaitable,
	JobQueue,
	type Moved,
	type MovePage,
	type MoveTarget,
	movedTo,
	type OutstandingOptions,
	type Turn,
	type TurnResult,
	URGENT_WAIT_MS,
} from '../store.ts';
import {attendBatches, type BatchRow, deleteBatch, endInput, forgetBatches, openBatch, toBatch} from './batches.ts';
import {Blobs} from './blobs.ts';
import {settleAll} from './child-jobs.ts';
import {cleanup} from './cleanup.ts';
import {giveBack, takeBack} from './control.ts';
import {type Connection, connect, connectToLook, patiently, patientlyHere, type Statements, translate} from './database.ts';
import {backlog, demandedLanes, dequeue, promote} from './dequeue.ts';
import {enqueue} from './enqueue.ts';
import {FileGuard} from './file-guard.ts';
import {moveJobs} from './move.ts';
import {Names} from './names.ts';
import {OneByOne} from './one-by-one.ts';
import {holdLock, isLockFree, lockOf, openJobsAt, ownerLockAt, removeLock} from './owner-lock.ts';
import {createPrivately} from './private-file.ts';
import {find, findAll} from './search.ts';
import {note} from './settle.ts';
import {StoredState, Tally, toCounts} from './stored-state.ts';
import type {Tx} from './tx.ts';
import {readEnds, readJob, readJobs, readValues, statusesOf, toJob} from './view.ts';

export interface SqliteOptions {
	/** `full` (default): a commit survives a loss of power; `normal`: a crash of the process. */
	readonly durability?: Durability;
	/** To look only: nothing is created, written or recovered, and the file and its folder need not be writable where a program has it open; default false. */
	readonly readOnly?: boolean;
	/** An owner silent for longer is taken for dead; default 30,000. */
	readonly leaseMs?: number;
	/** Results of more bytes, encoded, lie in files of their own, in the folder `DATABASE-blobs`; default: none. */
	readonly blobThresholdBytes?: number;
	/** The wall clock, in milliseconds since 1970. */
	readonly now?: () => number;
	/** Milliseconds on a clock that never jumps. */
	readonly steadyMs?: () => number;
	/** A number in [0, 1), for the jitter of the backoff. */
	readonly random?: () => number;
}

/** Jobs cancelled, retried or deleted in one transaction. */
const CHUNK = 1000;

interface Opened {
	readonly connection: Connection;
	readonly fileGuard: FileGuard;
	readonly names: Names;
}

/** Before the first connection; and after an I/O error, until something is asked again. */
interface Lost {
	readonly connection?: undefined;
	/** Of the connection that was lost. */
	readonly fileGuard?: FileGuard;
}

interface Owned {
	readonly id: number;
	release(): void;
}

/** Where jobs are that run or could at once. */
const RUNNABLE = [StoredState.ready, StoredState.suspect, StoredState.running] as const;

/** A lock file without a row is litter once it is this old; a younger one may be about to get its row. */
const LITTER_MS = 60_000;

/**
 * Opens the queue in an SQLite file, creating it if it is not there.
 * @param path as `queuePath` gives it: the same for every engine on the file, wherever the program works later
 * @throws FaenaError `BadDatabase`, `NewerDatabase`
 */
export async function openSqlite(path: string, options: SqliteOptions = {}): Promise<SqliteQueue> {
	const queue = new SqliteQueue(path, options);
	await queue.changes();
	return queue;
}

/**
 * Jobs in an SQLite file, which several processes may share. `sqlite.sql.ts` says where a job lies; the files beside it
 * move it; this class gives them their transactions, and holds the owners that live in it.
 */
export class SqliteQueue extends JobQueue {
	readonly location: string;
	readonly #durability: Durability;
	readonly #isReadOnly: boolean;
	readonly #now: () => number;
	readonly #random: () => number;
	readonly #tally = new Tally();
	readonly #blobs: Blobs;
	readonly #heartbeats: HeartbeatMonitor;
	readonly #owners = new Map<OwnerId, Owned>();
	readonly #line = new OneByOne();
	#state: Opened | Lost | 'closed' = {};
	/** What was found to be wrong with the database: from then on nothing is read from it, and above all nothing written. */
	#badness: unknown;
	#closed: Promise<void> | undefined;
	#dataVersion = 0;
	#isSwept = false;
	/** The disk was full, and what the log holds could not be moved into the database since. */
	#isShortOfRoom = false;

	constructor(path: string, options: SqliteOptions) {
		const {
			durability = 'full',
			readOnly = false,
			leaseMs = 30_000,
			blobThresholdBytes = Infinity,
			now = Date.now,
			steadyMs = monotonicMs,
			random = Math.random,
		} = options;
		super();
		this.location = path;
		this.#durability = durability;
		this.#isReadOnly = readOnly;
		this.#heartbeats = new HeartbeatMonitor(leaseMs, steadyMs);
		this.#now = now;
		this.#random = random;
		this.#blobs = new Blobs(path, blobThresholdBytes);
	}

	turn(turn: Turn): Awaitable<TurnResult> {
		const opened = turn.isUrgent && this.#opened();
		if (opened) return this.#turnNow(opened, turn);
		let settling: readonly Settling[] | undefined;
		return this.#guard(opened => {
			// Once, however often the transaction has to be tried.
			const prepared = settling ?? this.#blobs.prepare(turn.settle ?? []);
			settling = prepared;
			return this.#transact(opened, tx => this.#turn(tx, turn, prepared));
		});
	}

	/** What waits for its turn has not begun: this may come before it. */
	#turnNow(opened: Opened, turn: Turn): TurnResult {
		try {
			// To prepare forgets what was prepared for a turn that waits for the lock.
			const settling = turn.settle?.length ? this.#blobs.prepare(turn.settle) : [];
			return patientlyHere(() => this.#transact(opened, tx => this.#turn(tx, turn, settling)), URGENT_WAIT_MS);
		} catch (error) {
			throw this.#meet(error, opened);
		}
	}

	#turn(tx: Tx, turn: Turn, settling: readonly Settling[]): TurnResult {
		for (const each of turn.notes ?? []) note(tx, each);
		const {settled, refused} = settleAll(tx, settling);
		const enqueued = turn.enqueue ? enqueue(tx, turn.enqueue, turn.rejectConflicts ?? false) : [];
		if (turn.dequeue) promote(tx);
		const lanes = () => (turn.dequeue ? demandedLanes(tx, turn.dequeue) : []);
		const demanded = lanes();
		const dequeued = turn.dequeue ? dequeue(tx, turn.dequeue, demanded, this.#ownerId(turn.dequeue.owner, tx)) : {lease: 0, jobs: []};
		attendBatches(tx);
		// The job of a batch that completed may be the first of its task.
		const left = backlog(tx, tx.completed.length > 0 ? lanes() : demanded);
		this.#saveTally(tx);
		return {
			settled,
			...(refused.size > 0 && {refused}),
			enqueued,
			dequeued,
			backlog: left,
			nextRunAt: (tx.statements.nextRunAt.get() ?? null) as number | null,
		};
	}

	move(filter: JobFilter, to: MoveTarget, {after = 0, limit = CHUNK, stop = false, ...page}: MovePage = {}): Awaitable<Moved> {
		const statuses = movedTo(to, filter);
		return this.#write(tx => {
			const upTo = page.upTo ?? (tx.statements.jobCounter.get() as JobId);
			const {ids, next} = find(tx, {filter, statuses, after, upTo, limit});
			const {last = after, ...moved} = moveJobs(tx, ids, {to, statuses, stop});
			const from = ids.length === 0 || last === ids.at(-1) ? next : last;
			return {...moved, next: from === null ? null : {after: from, upTo, limit, stop}};
		});
	}

	pause(tasks: readonly string[]): Awaitable<void> {
		return this.#setPaused(tasks, 1);
	}

	resume(tasks: readonly string[]): Awaitable<void> {
		return this.#setPaused(tasks, 0);
	}

	paused(): Awaitable<string[]> {
		return this.#read(({pausedTasks}) => pausedTasks.all() as string[]);
	}

	heartbeat(owner: OwnerId): Awaitable<boolean> {
		return this.#write(tx => {
			const known = this.#owners.get(owner);
			const lives = known !== undefined && tx.statements.heartbeat.run(tx.now, known.id).changes === 1;
			if (!lives) {
				this.#release(owner);
				this.#ownerId(owner, tx);
			}
			failpoint('heartbeat:written');
			return lives || known === undefined;
		});
	}

	renew(owner: OwnerId): Awaitable<boolean> {
		return this.#write(({statements, now}) => statements.renew.run(now, owner).changes === 1);
	}

	async recover(): Promise<number> {
		if (this.#isReadOnly) return 0;
		const owners = await this.#read(({owners}) => owners.all() as [number, OwnerId, number][]);
		const silent = this.#heartbeats.findSilent(owners.map(([, name, heartbeatAt]) => [name, heartbeatAt]));
		const dead = owners.filter(([, name]) => silent.has(name) || this.#isGone(name));
		let jobs = 0;
		for (const [id, name, heartbeatAt] of dead) {
			const taken = await this.#write(tx => {
				// While this waited for the lock the owner may have said that it lives, or have been taken back by another process.
				if (tx.statements.heartbeatOf.get(id) !== heartbeatAt) return undefined;
				const open = isFileName(name) ? readOpenJobs(openJobsAt(this.location, name)) : [];
				const taken = takeBack(tx, id, open);
				failpoint('recovery:written');
				return taken;
			});
			// Its lock may be one of its next life by now.
			if (taken === undefined) continue;
			jobs += taken;
			failpoint('recovery:committed');
			this.#removeLock(name);
		}
		await this.#sweepLocks();
		return jobs;
	}

	giveBack(owner: OwnerId, after: Lease): Awaitable<number> {
		return this.#write(tx => {
			const known = this.#owners.get(owner);
			return known ? giveBack(tx, known.id, after) : 0;
		});
	}

	async leave(owner: OwnerId): Promise<void> {
		const known = this.#owners.get(owner);
		if (!known) return this.#guard(() => undefined);
		try {
			await this.#write(tx => takeBack(tx, known.id, []));
		} catch (error) {
			// The row stays, so the lock's file does, too: without a holder it says that the owner has ended.
			this.#unlock(owner);
			throw error;
		} finally {
			this.#heartbeats.drop(owner);
		}
		// A call that was made meanwhile may have made the owner anew.
		if (this.#owners.get(owner) === known) this.#release(owner);
	}

	job(id: JobId): Awaitable<Job | undefined> {
		return this.#read((statements, names) => {
			const row = readJob(statements, id);
			return row && toJob(row, names.policy(row.policy));
		});
	}

	jobs(filter: JobFilter, {after = 0, limit = 100}: Page = {}): Awaitable<Job[]> {
		return this.#snapshot((statements, names) => {
			const upTo = Number.MAX_SAFE_INTEGER;
			const ids = findAll({statements, names}, {filter, statuses: statusesOf(filter), after, upTo, limit});
			return readJobs(statements, ids).map(row => toJob(row, names.policy(row.policy)));
		});
	}

	values(id: JobId): Awaitable<JobValues | undefined> {
		return this.#read(statements => readValues(statements, id, this.#blobs));
	}

	ends(ids: readonly JobId[]): Awaitable<JobEnd[]> {
		return this.#read(statements => readEnds(statements, ids, this.#blobs));
	}

	logs(id: JobId): Awaitable<LogLine[]> {
		return this.#read(({logOfJob}) =>
			(logOfJob.all(id) as [number, number, LogLevel, string][]).map(([execution, at, level, text]) => ({execution, at, level, text})),
		);
	}

	counts({task}: {readonly task?: string} = {}): Awaitable<Counts> {
		return this.#read(({tally}, names) => {
			const number = task === undefined ? undefined : names.knownTask(task);
			const rows = (tally.all() as [number, StoredState, number][]).filter(row => task === undefined || row[0] === number);
			return toCounts(place => rows.reduce((sum, row) => (row[1] === place ? sum + row[2] : sum), 0));
		});
	}

	outstanding(tasks: readonly string[], {waiting = true}: OutstandingOptions = {}): Awaitable<number> {
		const unpaused = waiting ? [...RUNNABLE, StoredState.scheduled, StoredState.failed] : RUNNABLE;
		return this.#read(({tallyOf}, names) => {
			let jobs = 0;
			for (const task of tasks) {
				const number = names.knownTask(task);
				const places = names.isPaused(task) ? [StoredState.running] : unpaused;
				for (const place of places) jobs += (tallyOf.get(number ?? -1, place) ?? 0) as number;
			}
			return jobs;
		});
	}

	openBatch(name: string, task: string, owner: OwnerId, options: BatchOptions = {}): Awaitable<BatchId> {
		return this.#write(tx => {
			const batch = openBatch(tx, name, task, options);
			tx.statements.ownBatch.run(this.#ownerId(owner, tx), batch);
			return batch;
		});
	}

	endInput(batch: BatchId, total: number, owner: OwnerId): Awaitable<boolean> {
		return this.#write(tx => endInput(tx, batch, total, this.#ownerId(owner, tx)));
	}

	async closeBatch(batch: BatchId, owner: OwnerId): Promise<void> {
		await this.#write(({statements, now}) => statements.closeBatch.run(now, batch, owner));
	}

	async leaveBatch(batch: BatchId, owner: OwnerId): Promise<void> {
		await this.#write(({statements}) => statements.leaveBatch.run(batch, owner));
	}

	deleteBatch(name: string, limit = CHUNK): Awaitable<DeleteResult> {
		return this.#write(tx => deleteBatch(tx, name, limit));
	}

	batch(name: string): Awaitable<Batch | undefined> {
		return this.#read(statements => {
			const row = statements.batch.get(name) as BatchRow | undefined;
			return row && toBatch(statements, row);
		});
	}

	batches(): Awaitable<Batch[]> {
		return this.#read(statements => (statements.batches.all() as BatchRow[]).map(row => toBatch(statements, row)));
	}

	async cleanup(options: CleanupOptions): Promise<CleanupResult> {
		const {unnamed, ...result} = await this.#cleanup(options).catch(error => {
			// A step that found no room has moved the log into the database: that leaves room for the next, which makes more.
			if (error instanceof FaenaError && error.code === 'StorageFull') return this.#cleanup(options);
			throw error;
		});
		if (result.deleted > 0) failpoint('cleanup:committed');
		const orphans =
			result.next === null ? await this.#read(({isBlobNamed}) => this.#blobs.orphans(this.#now(), name => isBlobNamed.get(name) !== undefined)) : [];
		await this.#deleteBlobs([...unnamed, ...orphans]);
		return result;
	}

	async #cleanup(options: CleanupOptions): Promise<ReturnType<typeof cleanup>> {
		return this.#write(tx => {
			const result = cleanup(tx, options);
			if (result.next === null) forgetBatches(tx);
			return result;
		});
	}

	/** Those that no job names. After the transaction in which the last one did, so that no row names a file that is gone. */
	async #deleteBlobs(names: readonly string[]): Promise<void> {
		if (names.length === 0) return;
		// A loss of power that takes back the cleanup's commit must not find the files gone: this syncs the log.
		if (this.#durability === 'normal') await this.#guard(({connection}) => connection.checkpoint());
		await this.#write(({statements}) => {
			for (const name of names) if (statements.isBlobNamed.get(name) === undefined) this.#blobs.delete(name);
			failpoint('blob:deleted');
		});
	}

	async changes(): Promise<boolean> {
		const version = await this.#guard(({connection}) => connection.dataVersion());
		if (version === this.#dataVersion) return false;
		this.#dataVersion = version;
		return true;
	}

	stops(owner: OwnerId): Awaitable<Claim[]> {
		return this.#read(({claimsToStop}) => (claimsToStop.all(owner) as [number, number, number][]).map(([id, lease, execution]) => ({id, lease, execution})));
	}

	examine(): Awaitable<Health> {
		return this.#guard(({fileGuard}) => fileGuard.examine());
	}

	close(): Promise<void> {
		this.#closed ??= this.#close();
		return this.#closed;
	}

	async #close(): Promise<void> {
		try {
			for (const owner of [...this.#owners.keys()]) await this.leave(owner);
		} finally {
			await this.#line.idle();
			for (const owner of [...this.#owners.keys()]) this.#unlock(owner);
			if (this.#state !== 'closed') this.#state.connection?.close();
			this.#state = 'closed';
		}
	}

	// ——— transactions ———

	#write<Result>(run: (tx: Tx) => Result): Awaitable<Result> {
		return this.#guard(opened => this.#transact(opened, run));
	}

	#transact<Result>({connection, fileGuard, names}: Opened, run: (tx: Tx) => Result): Result {
		fileGuard.look();
		const owners = new Set(this.#owners.values());
		const tx: Tx = {
			statements: connection.statements,
			names,
			tally: this.#tally,
			blobs: this.#blobs,
			now: this.#now(),
			random: this.#random,
			completed: [],
			loosened: 0,
		};
		try {
			const result = connection.transaction(() => {
				const result = run(tx);
				this.#saveTally(tx);
				return result;
			});
			if (this.#isShortOfRoom) this.#makeRoom(connection);
			this.tellCompleted(tx.completed);
			return result;
		} catch (error) {
			names.forget();
			this.#tally.forget();
			// Their rows are not there, and their numbers are another's next.
			for (const [owner, owned] of this.#owners) if (!owners.has(owned)) this.#release(owner);
			throw error;
		}
	}

	#saveTally(tx: Tx): void {
		const {statements, tally} = tx;
		attendBatches(tx);
		for (const change of tally.tasks.take()) statements.addToTally.run(...change);
	}

	#read<Result>(run: (statements: Statements, names: Names) => Result): Awaitable<Result> {
		return this.#guard(({connection, names}) => run(connection.statements, names));
	}

	/** As {@link #read}; and all that is read is of one moment. */
	#snapshot<Result>(run: (statements: Statements, names: Names) => Result): Awaitable<Result> {
		return this.#guard(({connection, names}) => connection.snapshot(() => run(connection.statements, names)));
	}

	/**
	 * Everything that touches the database goes through here: in the order of the calls, though one may have to wait for a lock, and is
	 * tried again then.
	 */
	#guard<Result>(attempt: (opened: Opened) => Result): Awaitable<Result> {
		return this.#line.run(() => {
			const opened = this.#opened();
			return opened ? this.#attempt(opened, attempt) : this.#reopen().then(reopened => this.#attempt(reopened, attempt));
		});
	}

	#attempt<Result>(opened: Opened, attempt: (opened: Opened) => Result): Awaitable<Result> {
		const fail = (error: unknown) => {
			throw this.#meet(error, opened);
		};
		try {
			const result = patiently(() => attempt(opened));
			return result instanceof Promise ? result.catch(fail) : result;
		} catch (error) {
			return fail(error);
		}
	}

	/** Does what an error asks for, and says what is to be thrown. */
	#meet(error: unknown, opened: Opened): unknown {
		const translated = translate(error, this.location);
		const code = translated instanceof FaenaError ? translated.code : undefined;
		if (code === 'OutcomeUnknown') this.#lose(opened);
		if (code === 'StorageFull') this.#makeRoom(opened.connection);
		// One of our own is about a result's file, or comes from the file guard, which says the same again.
		return code === 'BadDatabase' && translated !== error ? this.#giveUp(translated, opened) : translated;
	}

	/** So that jobs can be settled while the disk is full: that takes a few pages, and a log that was moved can be written to again. */
	#makeRoom(connection: Connection): void {
		try {
			connection.checkpoint();
			this.#isShortOfRoom = false;
		} catch {
			// There is as little room in the database as in the log. So once there is some, before the log takes it.
			this.#isShortOfRoom = true;
		}
	}

	#opened(): Opened | undefined {
		if (this.#state === 'closed') throw new FaenaError('Closed', 'This queue is closed.');
		if (this.#badness !== undefined) throw this.#badness;
		return this.#state.connection && this.#state;
	}

	async #reopen(): Promise<Opened> {
		const opened = await this.#connect(this.#state as Lost);
		// Of what others wrote meanwhile nobody has heard.
		this.#dataVersion = -1;
		return opened;
	}

	async #connect(lost: Lost): Promise<Opened> {
		// One that is gone would be made anew, without its jobs.
		lost.fileGuard?.recall();
		const connection = await (this.#isReadOnly ? connectToLook(this.location) : connect(this.location, this.#durability));
		try {
			const fileGuard = await patiently(() => new FileGuard(this.location, connection));
			const opened = {connection, fileGuard, names: new Names(connection.statements)};
			this.#state = opened;
			return opened;
		} catch (error) {
			connection.close();
			throw error;
		}
	}

	/** What was done to the files of a database in use says more than what SQLite met in them. */
	#giveUp(error: unknown, {fileGuard}: Opened): unknown {
		this.#badness = error;
		try {
			fileGuard.explain();
		} catch (reason) {
			this.#badness = reason;
		}
		return this.#badness;
	}

	/** After a failed fsync nothing this connection remembers of the file can be trusted. */
	#lose({connection, fileGuard}: Opened): void {
		if (this.#state !== 'closed') this.#state = {fileGuard};
		connection.close();
	}

	// ——— owners ———

	/** The owner's number, made with its lock if it is new. The lock comes first: a row without one is a dead owner. */
	#ownerId(owner: OwnerId, {statements, now}: Tx): number {
		const known = this.#owners.get(owner);
		if (known && statements.ownerById.get(known.id) !== undefined) return known.id;
		this.#release(owner);
		if (!isFileName(owner))
			throw new FaenaError('BadOption', `An owner's name names a file: without / and \\, and no white space at its end. This is ${JSON.stringify(owner)}.`);
		const lock = holdLock(ownerLockAt(this.location, owner));
		failpoint('owner:locked');
		try {
			createPrivately(openJobsAt(this.location, owner));
			const id = statements.insertOwner.get(owner, now) as number;
			this.#owners.set(owner, {id, release: lock.release});
			return id;
		} catch (error) {
			// Or it would stand in the way of its own next try.
			lock.release();
			this.#removeLock(owner);
			throw error;
		}
	}

	#isGone(owner: OwnerId): boolean {
		return !this.#owners.has(owner) && (!isFileName(owner) || isLockFree(ownerLockAt(this.location, owner)));
	}

	/** Removes the locks of owners that died before they had a row, or while they were buried. Rare: so once for each queue. */
	async #sweepLocks(): Promise<void> {
		if (this.#isSwept) return;
		this.#isSwept = true;
		const folder = dirname(this.location);
		const prefix = basename(ownerLockAt(this.location, ''));
		const owners = new Set((await this.#read(({owners}) => owners.all() as [number, OwnerId, number][])).map(([, name]) => prefix + name));
		for (const name of readdirSync(folder)) {
			const lock = lockOf(name);
			if (!name.startsWith(prefix) || owners.has(name) || owners.has(lock)) continue;
			const age = Date.now() - (statSync(join(folder, name), {throwIfNoEntry: false})?.mtimeMs ?? Infinity);
			const path = join(folder, lock);
			if (age > LITTER_MS && (!existsSync(path) || isLockFree(path))) removeLock(path);
		}
	}

	/** For an owner that has no row. */
	#release(owner: OwnerId): void {
		if (this.#unlock(owner)) this.#removeLock(owner);
	}

	/** Gives up the lock, and leaves its file. Returns false if the owner is not one of this queue. */
	#unlock(owner: OwnerId): boolean {
		this.#owners.get(owner)?.release();
		return this.#owners.delete(owner);
	}

	#removeLock(owner: OwnerId): void {
		if (isFileName(owner)) removeLock(ownerLockAt(this.location, owner));
	}

	#setPaused(tasks: readonly string[], paused: 0 | 1): Awaitable<void> {
		return this.#write(({statements, names}) => {
			for (const task of tasks) statements.pauseTask.run(paused, names.task(task));
		});
	}
}

/** What a row says of an owner may be anything, also a way to somewhere else. SQLite leaves out white space at the end of a path. */
function isFileName(owner: OwnerId): boolean {
	return !/[/\\\0]|\s$/.test(owner);
}
