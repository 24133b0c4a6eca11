import type {CompletedBatch} from '../../job/batch.ts';
import type {OwnerId} from '../../job/claim.ts';
import type {Health} from '../../job/events.ts';
import type {JobId} from '../../job/job.ts';
import {FaenaError} from '../../support/errors.ts';
import {openedReadOnly} from '../conflict-errors.ts';
import type {Owners} from '../owners/owners.ts';
import {retryWhileBusy, retryWhileBusySync, translate} from '../sqlite-errors.ts';
import {IN_MEMORY, type OpenStoreOptions} from '../store-options.ts';
import type {Blobs} from './connection/blobs.ts';
import {type Connection, connect} from './connection/connection.ts';
import {FileGuard} from './connection/file-guard.ts';
import type {Statements} from './connection/statements.sql.ts';
import {CachedFacts} from './rows/cached-facts.ts';
import {NumberTable, Tally, type Tx} from './rows/tx.ts';
import {updateBatches} from './transaction/batches.ts';
import {reachChildren} from './transaction/children.ts';
import {updateSchedules} from './transaction/schedules.ts';

export type TransactionOptions = {readonly [Name in 'durability' | 'readOnly' | 'clock' | 'random']: NonNullable<OpenStoreOptions[Name]>};

interface Opened {
	readonly connection: Connection;
	numbers: NumberTable;
	facts: CachedFacts;
	/** The number of times that the database was opened. Other connections may have written before each of them. */
	readonly opening: number;
}

/** What the transactions of a store share. */
interface Parts {
	readonly location: string;
	readonly options: TransactionOptions;
	readonly blobs: Blobs;
	readonly owners: Owners;
	/** Called after each commit for each batch that it completed. */
	readonly onCompleted: (batch: CompletedBatch) => void;
	/** Called after each commit that cancelled jobs because of a parent. */
	readonly onLost: (ids: readonly JobId[]) => void;
}

/**
 * Runs the reads and writes of a database one at a time, in the order of the calls. It waits for locks. After an I/O error it opens the database
 * again with the next call. On a full disk it makes room in the log. Once the database is found damaged, every call fails.
 */
export class Transactions {
	readonly #parts: Parts;
	/** `undefined` before the first use, and after an I/O error until the next use. */
	#opened: Opened | undefined;
	/** Of the last connection, even if it was closed after an error. A database in memory has none. */
	#fileGuard: FileGuard | undefined;
	#openings = 0;
	/** Makes the error of every further call, once the database is closed, or was found damaged. */
	#refusal: (() => unknown) | undefined;
	/** True if the disk was full and the log could not be moved into the database since then. */
	#isShortOfRoom = false;
	/** The end of the last call that has to wait, unless it has ended. */
	#last: Promise<unknown> | undefined;

	constructor(parts: Parts) {
		this.#parts = parts;
	}

	/**
	 * Runs the function on the open database after all earlier calls, within this call if none of them waits. Repeats it while another connection
	 * holds the lock. `prepare` runs before it, once.
	 */
	async use<Result>(attempt: (opened: Opened) => Result, prepare?: () => void): Promise<Result> {
		const call = () => {
			const opened = this.#usable();
			return opened ? this.#run(opened, attempt, prepare) : this.#open().then(reopened => this.#run(reopened, attempt, prepare));
		};
		const result = this.#last ? this.#last.then(call) : call();
		if (result instanceof Promise) {
			const forget = () => {
				if (this.#last === last) this.#last = undefined;
			};
			const last: Promise<unknown> = result.then(forget, forget);
			this.#last = last;
		}
		return result;
	}

	#run<Result>(opened: Opened, attempt: (opened: Opened) => Result, prepare?: () => void): Result | Promise<Result> {
		const fail = (error: unknown) => {
			throw this.#handle(error, opened);
		};
		try {
			prepare?.();
			const result = retryWhileBusy(
				() => attempt(opened),
				() => opened.connection.statements.dataVersion.get(),
			);
			return result instanceof Promise ? result.catch(fail) : result;
		} catch (error) {
			return fail(error);
		}
	}

	/** As {@link use}, in one transaction. */
	write<Result>(run: (tx: Tx) => Result, prepare?: () => void): Promise<Result> {
		return this.use(opened => this.#transact(opened, run), prepare);
	}

	/**
	 * As {@link write}, but if the database is open, runs within the call, ahead of waiting calls. Blocks the thread for a lock for `waitMs` at most.
	 * Calls `tried` before it returns, with the error if it failed.
	 */
	async writeNow<Result>(run: (tx: Tx) => Result, waitMs: number, tried: (error: unknown) => void): Promise<Result> {
		const opened = this.#usable();
		if (!opened) return this.write(run);
		try {
			const result = retryWhileBusySync(() => this.#transact(opened, run), waitMs);
			tried(undefined);
			return result;
		} catch (error) {
			const thrown = this.#handle(error, opened);
			tried(thrown);
			throw thrown;
		}
	}

	checkHealth(): Promise<Health> {
		return this.use(({connection}) => ({...(this.#fileGuard?.checkHealth() ?? {logBytes: 0}), ...connection.size()}));
	}

	/** Closes the database and drops the locks of the owners, once all calls have ended. Later calls fail. */
	async close(): Promise<void> {
		while (this.#last) await this.#last;
		for (const owner of this.#parts.owners.names) this.#parts.owners.unlock(owner);
		this.#opened?.connection.close();
		if (this.#opened) this.#fileGuard?.close();
		this.#opened = undefined;
		this.#refusal = () => new FaenaError('Closed', 'This queue is closed.');
	}

	#transact<Result>(opened: Opened, run: (tx: Tx) => Result): Result {
		const {
			blobs,
			owners,
			onCompleted,
			onLost,
			location,
			options: {readOnly, clock, random},
		} = this.#parts;
		if (readOnly) throw openedReadOnly(location);
		const {connection, numbers} = opened;
		const {statements} = connection;
		this.#fileGuard?.check();
		const lists = {completed: [] as CompletedBatch[], registered: [] as OwnerId[], changedParents: [], lostChildren: [] as JobId[]};
		let result: Result;
		try {
			result = connection.transaction(() => {
				// Read within the transaction: from here on no other connection can commit.
				const version = statements.dataVersion.get();
				if (version !== opened.facts.version) opened.facts.reset(version);
				const {facts} = opened;
				const tx: Tx = {statements, numbers, facts, tally: new Tally(), blobs, now: clock.now(), random, ...lists, isUnblocked: false, unpacked: 0};
				const result = run(tx);
				reachChildren(tx);
				updateSchedules(tx);
				updateBatches(tx);
				for (const change of tx.tally.tasks.take()) {
					statements.addToTally.run(...change);
					facts.addToTally(...change);
				}
				return result;
			});
		} catch (error) {
			Object.assign(opened, newCaches(statements));
			// Another owner may get their numbers.
			for (const owner of lists.registered) owners.unregistered(owner);
			throw error;
		}
		if (this.#isShortOfRoom) this.#makeRoom(connection);
		for (const batch of lists.completed) onCompleted(batch);
		if (lists.lostChildren.length > 0) onLost(lists.lostChildren);
		return result;
	}

	/** Reacts to an error, and returns the error to throw. */
	#handle(error: unknown, {connection}: Opened): unknown {
		const translated = translate(error, this.#parts.location);
		const code = translated instanceof FaenaError ? translated.code : undefined;
		// After a failed fsync, the connection's cache may differ from the file. A database in memory would be lost with its connection.
		if (code === 'OutcomeUnknown' && this.#parts.location !== IN_MEMORY) {
			this.#opened = undefined;
			connection.close();
			this.#fileGuard?.close();
		}
		if (code === 'StorageFull') this.#makeRoom(connection);
		// A BadDatabase of our own is about the file of a result, or comes from the file guard, which throws it again in the next call.
		if (code !== 'BadDatabase' || translated === error) return translated;
		// The state of the files explains more than the error of SQLite.
		const damage = this.#fileGuard?.explainDamage() ?? translated;
		this.#refusal = () => damage;
		return damage;
	}

	/** Moves the log, so that jobs can be settled while the disk is full: SQLite can write over the start of a log that was moved. */
	#makeRoom(connection: Connection): void {
		try {
			connection.checkpoint();
			this.#isShortOfRoom = false;
		} catch {
			// The database can't grow either. The next commit that succeeds tries again.
			this.#isShortOfRoom = true;
		}
	}

	/** The open database; `undefined` if it must be opened first. */
	#usable(): Opened | undefined {
		if (this.#refusal) throw this.#refusal();
		return this.#opened;
	}

	async #open(): Promise<Opened> {
		// Otherwise a database that was deleted would be created anew, without its jobs.
		this.#fileGuard?.checkIdentity();
		const {location, options} = this.#parts;
		const connection = await connect(location, options.durability, options.readOnly);
		try {
			if (location !== IN_MEMORY)
				this.#fileGuard = await retryWhileBusy(
					() =>
						new FileGuard(
							location,
							() => connection.unmovedLogBytes(),
							() => connection.size().databaseBytes,
						),
				);
			const {statements} = connection;
			this.#opened = {connection, ...newCaches(statements), opening: ++this.#openings};
			return this.#opened;
		} catch (error) {
			connection.close();
			throw error;
		}
	}
}

/** What a connection remembers of the database. */
function newCaches(statements: Statements): Pick<Opened, 'numbers' | 'facts'> {
	const facts = new CachedFacts(statements);
	return {facts, numbers: new NumberTable(statements, facts)};
}
