/** A queue in a file that moves, or that one moves to: `../queue-move.ts`. */

import {existsSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import Database from 'better-sqlite3';
import {packTimes} from '../../job/groups/packed-times.ts';
import {FaenaError} from '../../support/errors.ts';
import {assertKnown, inUseToMove, type Move, type MovedPage, type MoveSource, type MoveTarget} from '../moving.ts';
import {type Cursor, type JobCount, type LastNumbers, MAX_PAGE, type MovedRow, type TableName} from '../queue-rows.ts';
import {isBusy, retryWhileBusy, translate} from '../sqlite-errors.ts';
import {refuse} from '../trusted-files.ts';
import {blobsAt, isBlobName, syncFolder} from './connection/blobs.ts';
import {connect} from './connection/connection.ts';
import {freeze, thaw, unfrozen} from './connection/frozen.ts';
import {MAX_RUN_JOBS, TABLES} from './connection/schema.sql.ts';
import {COUNTS, insertOf, PARTS, TALLIES} from './queue-rows.sql.ts';
import {inParts} from './rows/edges.ts';
import {SqliteStore} from './sqlite.ts';

/** For the lock of a program that looks at the queue, in milliseconds. */
const WAIT = {timeout: 2000};

/** The row of {@link Move}. */
interface MoveRow extends Omit<Move, 'after'> {
	readonly after: string | null;
}

class FileEnd {
	protected readonly path: string;
	protected readonly db: Database.Database;

	protected constructor(path: string, db: Database.Database) {
		this.path = path;
		this.db = db;
	}

	/** Makes the queue if there is none, and upgrades its schema. */
	protected static async connect(path: string, mayMake: boolean): Promise<Database.Database> {
		if (!mayMake && !existsSync(path)) refuse(`There is no queue ${path}. Name an existing file.`);
		(await connect(path, 'full')).close();
		const db = new Database(path, WAIT);
		db.pragma('synchronous = full');
		return db;
	}

	async move(): Promise<Move | undefined> {
		return this.known();
	}

	async counts(): Promise<readonly JobCount[]> {
		return this.tried(() => this.db.prepare(COUNTS).raw().all() as JobCount[]);
	}

	protected known(): Move | undefined {
		const row = this.tried(() => this.db.prepare('select id, is_arriving as isArriving, place, is_done as isDone, part, after from queue_move').get());
		if (row === undefined) return undefined;
		const {isArriving, isDone, after, ...move} = row as MoveRow;
		return {...move, isArriving: Boolean(isArriving), isDone: Boolean(isDone), after: JSON.parse(after ?? 'null') as Cursor | null};
	}

	/** In a transaction. */
	protected know({id, isArriving, place, isDone, part, after}: Move): void {
		this.db.exec('delete from queue_move');
		const values = [id, Number(isArriving), place, Number(isDone), part, after && JSON.stringify(after)];
		this.db.prepare('insert into queue_move (id, is_arriving, place, is_done, part, after) values (?, ?, ?, ?, ?, ?)').run(values);
	}

	/** All or nothing. */
	protected async change<Result>(run: () => Result): Promise<Result> {
		const transaction = this.db.transaction(run);
		try {
			return await retryWhileBusy(() => transaction.immediate());
		} catch (error) {
			throw translate(error, this.path);
		}
	}

	protected tried<Result>(run: () => Result): Result {
		try {
			return run();
		} catch (error) {
			throw translate(error, this.path);
		}
	}

	async close(): Promise<void> {
		this.db.close();
	}
}

export class SqliteSource extends FileEnd implements MoveSource {
	readonly parts = PARTS;

	static async open(path: string): Promise<SqliteSource> {
		const db = await FileEnd.connect(path, false);
		db.function('pack_times', (startedAt, durationMs, cpuMs, memoryBytes) => {
			const columns = {startedAt, durationMs, cpuMs, memoryBytes} as Record<string, number | null>;
			if (Object.values(columns).every(value => value === null)) return null;
			return Buffer.from(packTimes(1, Object.fromEntries(Object.entries(columns).map(([name, value]) => [name, Float64Array.of(value ?? NaN)]))));
		});
		db.function('load_result', (value, blob) => {
			if (typeof blob !== 'string') return value;
			const file = join(blobsAt(path), blob);
			return blob.endsWith('.json') ? readFileSync(file, 'utf8') : readFileSync(file);
		});
		return new SqliteSource(path, db);
	}

	async settle(): Promise<void> {
		this.#refuseMissing();
		const store = new SqliteStore(this.path);
		try {
			while ((await store.reclaim()).hasMore);
			this.#refuseUsed();
			while (this.#isUnderWay()) await store.commit({});
		} finally {
			await store.close();
		}
	}

	freeze(move: Move, known: Move | undefined, sentence: string): Promise<boolean> {
		return this.change(() => {
			assertKnown(this.known(), known, this.path);
			if (!known) this.#refuseUsed();
			if (!known && this.#isUnderWay()) return false;
			this.know(move);
			freeze(this.db, sentence);
			return true;
		});
	}

	#refuseUsed(): void {
		const owners = this.db.prepare('select name from owner').pluck().all() as string[];
		const isClaimed = this.db.prepare('select 1 from claimed union all select 1 from claimed_run').get() !== undefined;
		if (owners.length > 0 || isClaimed) throw inUseToMove(this.path, owners);
	}

	/** True if changes are to be passed on. */
	#isUnderWay(): boolean {
		return this.db.prepare('select 1 from parent_change').get() !== undefined;
	}

	#refuseMissing(): void {
		const names = this.db.prepare('select distinct blob from outcome where blob is not null').pluck().all() as string[];
		const missing = names.filter(name => !isBlobName(name) || !existsSync(join(blobsAt(this.path), name)));
		if (missing.length === 0) return;
		const advice = 'Restore the files, or delete the jobs that have lost their results; then move the queue.';
		const what = `${missing.length} large result${missing.length === 1 ? ' is' : 's are'} missing in ${blobsAt(this.path)}, such as ${missing[0]}`;
		throw new FaenaError('BadDatabase', `${what}. ${advice}`);
	}

	reopen(): Promise<void> {
		return this.change(() => thaw(this.db));
	}

	async read(name: string, after: Cursor | null): Promise<MovedPage> {
		const {first, next, keys, toRows = row => [row]} = PARTS.find(part => part.name === name) as (typeof PARTS)[number];
		const cursor = Object.fromEntries((after ?? []).map((value, index) => [`key${index}`, value]));
		const rows: MovedRow[] = [];
		let [bytes, last] = [0, null as Cursor | null];
		return this.tried(() => {
			for (const row of this.db.prepare(after ? next : first).iterate({...cursor, limit: MAX_PAGE.rows}) as Iterable<MovedRow>) {
				const own = Object.fromEntries(Object.entries(row).slice(0, -keys));
				last = Object.values(row).slice(-keys) as (number | string)[];
				rows.push(...toRows(own));
				bytes += sizeOf(own);
				if (bytes >= MAX_PAGE.bytes) break;
			}
			return {rows, last};
		});
	}

	async lastNumbers(): Promise<LastNumbers> {
		const batch = this.db.prepare("select seq from sqlite_sequence where name = 'batch'").pluck().get() as number | undefined;
		const [job = 0, lease = 0] = this.db.prepare('select jobs from tally where task = 0 order by state').pluck().all() as number[];
		return {job, lease, batch: batch ?? 0};
	}
}

/** About. */
function sizeOf(row: MovedRow): number {
	return Object.values(row).reduce((sum: number, value) => sum + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 8), 0);
}

/** Tables that are empty in a queue that was never used. The last numbers are in `tally`. */
const OF_JOBS = TABLES.filter(name => name !== 'tally' && name !== 'queue_move');

export class SqliteTarget extends FileEnd implements MoveTarget {
	readonly #statements = new Map<string, Database.Statement>();

	static async open(path: string, mayMake: boolean): Promise<SqliteTarget> {
		const db = await FileEnd.connect(path, mayMake);
		try {
			db.pragma('locking_mode = exclusive');
			db.exec('begin immediate; commit');
			return new SqliteTarget(path, db);
		} catch (error) {
			// Two that wait for each other would wait for ever.
			db.close();
			if (!isBusy(error)) throw translate(error, path);
			throw new FaenaError('DatabaseBusy', `${path} is in use by another faena move, or by a program. Wait for its end, or name another file.`);
		}
	}

	async isUnused(): Promise<boolean> {
		const hasRows = `select 1 from tally where task = 0 and state = 0 and jobs > 0 ${OF_JOBS.map(name => `union all select 1 from ${name}`).join(' ')}`;
		return this.db.prepare(hasRows).get() === undefined;
	}

	begin(move: Move): Promise<void> {
		return this.change(() => {
			thaw(this.db);
			for (const table of OF_JOBS) this.db.exec(`delete from ${table}`);
			this.know(move);
			freeze(this.db, 'A queue is moving here, and has not arrived. Call faena move again, which goes on with it.');
		});
	}

	write(table: TableName, rows: readonly MovedRow[], move: Move): Promise<void> {
		return this.#bring(move, () => {
			for (const row of rows) {
				const insert = insertOf(table, row);
				for (const each of insert.rows) this.#insert(insert.table, each);
			}
		});
	}

	#bring(move: Move, run: () => void): Promise<void> {
		return this.change(() => {
			this.know(move);
			unfrozen(this.db, run);
		});
	}

	#insert(table: string, row: Readonly<Record<string, unknown>>): void {
		const names = Object.keys(row);
		const text = `insert into ${table} (${names}) values (${names.map(() => '?')})`;
		const statement = this.#statements.get(text) ?? this.db.prepare(text);
		this.#statements.set(text, statement);
		statement.run(Object.values(row).map(value => (typeof value === 'boolean' ? Number(value) : value)));
	}

	async finish(move: Move, {job, lease, batch}: LastNumbers): Promise<void> {
		await this.#bring(move, () => {
			cutLongEdges(this.db);
			this.db.exec(TALLIES);
			for (const [state, last] of [job, lease].entries()) this.db.prepare('update tally set jobs = ? where task = 0 and state = ?').run(last, state);
			this.db.exec("delete from sqlite_sequence where name = 'batch'");
			this.db.prepare("insert into sqlite_sequence (name, seq) values ('batch', ?)").run(batch);
		});
		syncFolder(dirname(this.path));
	}

	open(): Promise<void> {
		return this.change(() => thaw(this.db));
	}
}

/** Its indexes find a range only if it is not longer than {@link MAX_RUN_JOBS}. */
function cutLongEdges(db: Database.Database): void {
	const long = `parent_last - parent_first >= ${MAX_RUN_JOBS} or child_last - child_first >= ${MAX_RUN_JOBS}`;
	const rows = db.prepare(`select *, coalesce(place, id) as place from edge where ${long}`).all() as (Record<string, number> & {readonly is_each: number})[];
	const insert = db.prepare('insert into edge (parent_first, parent_last, child_first, child_last, is_each, runs_on_dead, place) values (?, ?, ?, ?, ?, ?, ?)');
	for (const {id, parent_first, parent_last, child_first, child_last, is_each, runs_on_dead, place} of rows as Record<string, number>[]) {
		db.prepare('delete from edge where id = ?').run(id);
		for (const [first, last] of inParts([parent_first as number, parent_last as number])) {
			const shift = (child_first as number) - (parent_first as number);
			const children = is_each ? [[first + shift, last + shift]] : inParts([child_first as number, child_last as number]);
			for (const [from, to] of children) insert.run(first, last, from, to, is_each, runs_on_dead, place);
		}
	}
}
