import type {CompletedBatch} from '../../job/batch.ts';
import type {Health} from '../../job/events.ts';
import type {Durability} from '../../job/job.ts';
import {FaenaError} from '../../support/errors.ts';
import type {Blobs} from './blobs.ts';
import {type Connection, connect, connectInMemory, connectReadOnly, IN_MEMORY, type Statements} from './connection.ts';
import {FileGuard, NO_FILES} from './file-guard.ts';
import {retryWhileBusy, retryWhileBusySync, translate} from './sqlite-errors.ts';
import {Tally} from './tally.ts';
import {Names, type Tx} from './tx.ts';

export interface TransactionOptions {
	readonly durability: Durability;
	readonly isReadOnly: boolean;
	readonly blobs: Blobs;
	/** The wall clock, in milliseconds since 1970. */
	readonly now: () => number;
	/** A number in [0, 1). */
	readonly random: () => number;
	/** Called before each transaction. */
	readonly onBegin: () => void;
	/** Called at the end of each transaction, before its commit. */
	readonly beforeCommit: (tx: Tx) => void;
	/** Called after each commit with the batches that it completed. */
	readonly onCompleted: (batches: readonly CompletedBatch[]) => void;
	/** Called after a transaction that was rolled back. */
	readonly onRollback: () => void;
}

interface Opened {
	readonly connection: Connection;
	readonly fileGuard: Pick<FileGuard, keyof typeof NO_FILES>;
	readonly names: Names;
}

/** The state before the first use, and after an I/O error until the next use. */
interface Unopened {
	readonly connection?: undefined;
	/** The guard of the connection that was closed after the error. */
	readonly fileGuard?: Opened['fileGuard'];
}

/**
 * Runs the reads and writes of a database one at a time, in the order of the calls. It waits for locks. After an I/O error it opens the database
 * again with the next call. On a full disk it makes room in the log. Once the database is found damaged, every call fails.
 */
export class Transactions {
	readonly #location: string;
	readonly #options: TransactionOptions;
	readonly #executor = new SerialExecutor();
	#state: Opened | Unopened | 'closed' = {};
	/** The error of every further call, once the database was found damaged. */
	#damage: unknown;
	/** True if the disk was full and the log could not be moved into the database since then. */
	#isShortOfRoom = false;
	/** The number of times that the database was opened. Other connections may have written before each of them. */
	#openings = 0;

	constructor(location: string, options: TransactionOptions) {
		this.#location = location;
		this.#options = options;
	}

	/** Runs the function in one transaction. `prepare` runs before it, once, however often the transaction is tried. */
	async write<Result>(run: (tx: Tx) => Result, prepare?: () => void): Promise<Result> {
		let isPrepared = false;
		return this.#enqueue(opened => {
			if (!isPrepared) prepare?.();
			isPrepared = true;
			return this.#transact(opened, run);
		});
	}

	/**
	 * As {@link write}, but if the database is open, runs within the call, ahead of waiting calls. Blocks the thread for a lock for `waitMs` at most.
	 * Calls `tried` before it returns, with the error if it failed.
	 */
	async writeNow<Result>(run: (tx: Tx) => Result, waitMs: number, tried: (error: unknown) => void): Promise<Result> {
		const opened = this.#opened();
		if (!opened) return this.write(run);
		let result: Result;
		try {
			result = retryWhileBusySync(() => this.#transact(opened, run), waitMs);
		} catch (error) {
			const thrown = this.#handle(error, opened);
			tried(thrown);
			throw thrown;
		}
		tried(undefined);
		return result;
	}

	async read<Result>(run: (statements: Statements, names: Names) => Result): Promise<Result> {
		return this.#enqueue(({connection, names}) => run(connection.statements, names));
	}

	/** As {@link read}, in one transaction, so that the function reads one state of the database. */
	async snapshot<Result>(run: (statements: Statements, names: Names) => Result): Promise<Result> {
		return this.#enqueue(({connection, names}) => connection.snapshot(() => run(connection.statements, names)));
	}

	/** Returns another value once another connection has committed. */
	async foreignVersion(): Promise<string> {
		return this.#enqueue(({connection}) => `${this.#openings}:${connection.dataVersion()}`);
	}

	/** @throws FaenaError `BadDatabase` if a file is missing, replaced or truncated */
	async checkHealth(): Promise<Health> {
		return this.#enqueue(({fileGuard}) => fileGuard.checkHealth());
	}

	/** Syncs the log, and moves it into the database as far as other connections allow. */
	async checkpoint(): Promise<void> {
		return this.#enqueue(({connection}) => connection.checkpoint());
	}

	/** Closes the database once all calls have ended. Later calls fail. */
	async close(beforeClose: () => void): Promise<void> {
		await this.#executor.idle();
		beforeClose();
		if (this.#state !== 'closed') this.#state.connection?.close();
		this.#state = 'closed';
	}

	#transact<Result>({connection, fileGuard, names}: Opened, run: (tx: Tx) => Result): Result {
		const {blobs, now, random, onBegin, beforeCommit, onCompleted, onRollback} = this.#options;
		fileGuard.check();
		onBegin();
		const tx: Tx = {statements: connection.statements, names, tally: new Tally(), blobs, now: now(), random, completed: [], unpacked: 0};
		try {
			const result = connection.transaction(() => {
				const result = run(tx);
				beforeCommit(tx);
				return result;
			});
			if (this.#isShortOfRoom) this.#makeRoom(connection);
			onCompleted(tx.completed);
			return result;
		} catch (error) {
			names.forget();
			onRollback();
			throw error;
		}
	}

	/** Runs the function after all earlier calls, with the database open, and repeats it while another connection holds the lock. */
	async #enqueue<Result>(attempt: (opened: Opened) => Result): Promise<Result> {
		return this.#executor.run(() => {
			const opened = this.#opened();
			return opened ? this.#run(opened, attempt) : this.#open().then(reopened => this.#run(reopened, attempt));
		});
	}

	#run<Result>(opened: Opened, attempt: (opened: Opened) => Result): Result | Promise<Result> {
		const fail = (error: unknown) => {
			throw this.#handle(error, opened);
		};
		try {
			const result = retryWhileBusy(() => attempt(opened));
			return result instanceof Promise ? result.catch(fail) : result;
		} catch (error) {
			return fail(error);
		}
	}

	/** Reacts to an error, and returns the error to throw. */
	#handle(error: unknown, opened: Opened): unknown {
		const translated = translate(error, this.#location);
		const code = translated instanceof FaenaError ? translated.code : undefined;
		if (code === 'OutcomeUnknown') this.#disconnect(opened);
		if (code === 'StorageFull') this.#makeRoom(opened.connection);
		// A BadDatabase of our own is about the file of a result, or comes from the file guard, which throws it again in the next call.
		return code === 'BadDatabase' && translated !== error ? this.#stop(translated, opened) : translated;
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

	#opened(): Opened | undefined {
		if (this.#state === 'closed') throw new FaenaError('Closed', 'This queue is closed.');
		if (this.#damage !== undefined) throw this.#damage;
		return this.#state.connection && this.#state;
	}

	async #open(): Promise<Opened> {
		// Otherwise a database that was deleted would be created anew, without its jobs.
		(this.#state as Unopened).fileGuard?.checkIdentity();
		const connection = await this.#connect();
		try {
			const fileGuard = this.#location === IN_MEMORY ? NO_FILES : await retryWhileBusy(() => new FileGuard(this.#location, connection));
			const opened = {connection, fileGuard, names: new Names(connection.statements)};
			this.#state = opened;
			this.#openings++;
			return opened;
		} catch (error) {
			connection.close();
			throw error;
		}
	}

	#connect(): Connection | Promise<Connection> {
		if (this.#location === IN_MEMORY) return connectInMemory();
		return this.#options.isReadOnly ? connectReadOnly(this.#location) : connect(this.#location, this.#options.durability);
	}

	/** Makes every further call fail. The state of the files explains more than the error of SQLite. */
	#stop(error: unknown, {fileGuard}: Opened): unknown {
		this.#damage = error;
		try {
			fileGuard.explainDamage();
		} catch (reason) {
			this.#damage = reason;
		}
		return this.#damage;
	}

	/** Closes the connection: after a failed fsync, its cache may differ from the file. */
	#disconnect({connection, fileGuard}: Opened): void {
		// A database in memory would be lost with its connection.
		if (this.#location === IN_MEMORY) return;
		if (this.#state !== 'closed') this.#state = {fileGuard};
		connection.close();
	}
}

/** A result, or a promise of one if the work must wait. */
type Awaitable<T> = T | Promise<T>;

/** Runs functions one at a time, in the order of the calls. A function that need not wait runs within the call, and its result is returned as it is. */
export class SerialExecutor {
	#last: Promise<void> | undefined;

	run<Result>(call: () => Awaitable<Result>): Awaitable<Result> {
		const result = this.#last ? this.#last.then(call) : call();
		if (result instanceof Promise) this.#remember(result);
		return result;
	}

	/** Resolves once all functions have ended. */
	async idle(): Promise<void> {
		while (this.#last) await this.#last;
	}

	#remember(result: Promise<unknown>): void {
		const forget = () => {
			if (this.#last === last) this.#last = undefined;
		};
		const last: Promise<void> = result.then(forget, forget);
		this.#last = last;
	}
}
