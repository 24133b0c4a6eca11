/** A queue in a file that moves, or that one moves to: `../queue-move.ts`. */

import {existsSync, readFileSync, renameSync, rmSync} from 'node:fs';
import {dirname, join} from 'node:path';
import Database from 'better-sqlite3';
import {bad} from '../../job/checks.ts';
import {packTimes} from '../../job/packed.ts';
import {FaenaError} from '../../support/errors.ts';
import {failpoint} from '../../support/failpoint.ts';
import {type Arrival, inUseToMove, type Move, type MovedPage, type MoveSource, type MoveTarget, type RowTarget, receiveRows} from '../moving.ts';
import {type Cursor, type JobCount, type LastNumbers, MAX_PAGE, type MovedRow, type TableName} from '../queue-rows.ts';
import {backUpFile, filesOf, removeLeftovers, syncFile} from './backup.ts';
import {blobsAt, isBlobName, syncFolder} from './blobs.ts';
import {connect} from './connection.ts';
import {inParts} from './edges.ts';
import {COUNTS, insertOf, PARTS, TALLIES} from './queue-rows.sql.ts';
import {MAX_RUN_JOBS} from './schema.sql.ts';
import {SqliteStore} from './sqlite.ts';
import {QUEUE_MOVED, retryWhileBusy, translate} from './sqlite-errors.ts';
import {refuse} from './trusted-files.ts';

/** Nobody else writes to a file that moves. */
const WAIT = {timeout: 10_000};

/** Beside the tables of every queue: of one that moves, the move; of one that is made, what has arrived. */
const MOVED = 'create table if not exists moved (id text not null, "to" text not null, is_done integer not null) strict';
const ARRIVING = 'create table arriving (id text not null, part text, after text, is_done integer not null) strict';

function has(db: Database.Database, table: 'moved' | 'arriving'): boolean {
	return db.prepare("select 1 from sqlite_schema where type = 'table' and name = ?").get(table) !== undefined;
}

/** Opens a database whose schema is current. */
async function open(path: string): Promise<Database.Database> {
	(await connect(path, 'full')).close();
	const db = new Database(path, WAIT);
	db.pragma('synchronous = full');
	return db;
}

function countsIn(db: Database.Database): readonly JobCount[] {
	return db.prepare(COUNTS).raw().all() as JobCount[];
}

/** Counts are not looked at: a connection writes one to find out whether it can write. */
function freeze(db: Database.Database, sentence: string): void {
	thaw(db);
	const text = `${QUEUE_MOVED}${sentence}`.replaceAll("'", "''");
	const tables = db
		.prepare("select name from sqlite_schema where type = 'table' and name not in ('moved', 'tally') and name not like 'sqlite_%'")
		.pluck()
		.all() as string[];
	for (const table of tables) {
		for (const change of ['insert', 'update', 'delete'])
			db.exec(`create trigger moved_${table}_${change} before ${change} on ${table} begin select raise(abort, '${text}'); end`);
	}
}

function thaw(db: Database.Database): void {
	const names = db.prepare("select name from sqlite_schema where type = 'trigger' and name glob 'moved_*'").pluck().all() as string[];
	for (const name of names) db.exec(`drop trigger ${name}`);
}

export class SqliteSource implements MoveSource {
	readonly parts = PARTS;
	readonly #path: string;
	readonly #db: Database.Database;

	private constructor(path: string, db: Database.Database) {
		this.#path = path;
		this.#db = db;
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
	}

	static async open(path: string): Promise<SqliteSource> {
		if (!existsSync(path)) refuse(`There is no queue ${path}. Name an existing file.`);
		return new SqliteSource(path, await open(path));
	}

	async move(): Promise<Move | undefined> {
		const row = has(this.#db, 'moved') ? (this.#db.prepare('select * from moved').get() as Move & {readonly is_done: number}) : undefined;
		return row && {id: row.id, to: row.to, isDone: row.is_done === 1};
	}

	async freeze({id, to, isDone}: Move, sentence: string): Promise<void> {
		const isNew = (await this.move()) === undefined;
		if (isNew) this.#refuseMissing();
		const begin = this.#db.transaction(() => {
			if (isNew && !this.#isQuiet()) return false;
			this.#db.exec(`${MOVED}; delete from moved`);
			this.#db.prepare('insert into moved values (?, ?, ?)').run(id, to, isDone ? 1 : 0);
			freeze(this.#db, sentence);
			return true;
		});
		for (;;) {
			if (isNew) await this.#settle();
			if (await retryWhileBusy(() => begin.immediate())) return;
		}
	}

	/** Ends dead owners, and passes changes of parents on. */
	async #settle(): Promise<void> {
		const store = new SqliteStore(this.#path);
		try {
			while ((await store.reclaim()).hasMore);
			while (this.#db.prepare('select 1 from parent_change').get() !== undefined) await store.commit({});
		} finally {
			await store.close();
		}
	}

	/** False if changes are to be passed on. */
	#isQuiet(): boolean {
		const owners = this.#db.prepare('select name from owner').pluck().all() as string[];
		const isClaimed = this.#db.prepare('select 1 from claimed union all select 1 from claimed_run').get() !== undefined;
		if (owners.length > 0 || isClaimed) throw inUseToMove(this.#path, owners);
		return this.#db.prepare('select 1 from parent_change').get() === undefined;
	}

	#refuseMissing(): void {
		const names = this.#db.prepare('select distinct blob from outcome where blob is not null').pluck().all() as string[];
		const missing = names.filter(name => !isBlobName(name) || !existsSync(join(blobsAt(this.#path), name)));
		if (missing.length === 0) return;
		const advice = 'Restore the files, or delete the jobs that have lost their results; then move the queue.';
		const what = `${missing.length} large result${missing.length === 1 ? ' is' : 's are'} missing in ${blobsAt(this.#path)}, such as ${missing[0]}`;
		throw new FaenaError('BadDatabase', `${what}. ${advice}`);
	}

	async reopen(): Promise<boolean> {
		return retryWhileBusy(() =>
			this.#db
				.transaction(() => {
					const hasMoved = has(this.#db, 'moved');
					thaw(this.#db);
					if (hasMoved) this.#db.exec('drop table moved');
					return hasMoved;
				})
				.immediate(),
		);
	}

	async read(name: string, after: Cursor | null): Promise<MovedPage> {
		const {first, next, keys, toRows = row => [row]} = PARTS.find(part => part.name === name) as (typeof PARTS)[number];
		const cursor = Object.fromEntries((after ?? []).map((value, index) => [`key${index}`, value]));
		const rows: MovedRow[] = [];
		let [bytes, last] = [0, null as Cursor | null];
		for (const row of this.#db.prepare(after ? next : first).iterate({...cursor, limit: MAX_PAGE.rows}) as Iterable<MovedRow>) {
			const own = Object.fromEntries(Object.entries(row).slice(0, -keys));
			last = Object.values(row).slice(-keys) as (number | string)[];
			rows.push(...toRows(own));
			for (const value of Object.values(own)) bytes += typeof value === 'string' || value instanceof Uint8Array ? value.length : 8;
			if (bytes >= MAX_PAGE.bytes) break;
		}
		return {rows, last};
	}

	async counts(): Promise<readonly JobCount[]> {
		return countsIn(this.#db);
	}

	async lastNumbers(): Promise<LastNumbers> {
		const last = (state: number) => (this.#db.prepare('select jobs from tally where task = 0 and state = ?').pluck().get(state) ?? 0) as number;
		const batch = this.#db.prepare("select seq from sqlite_sequence where name = 'batch'").pluck().get() as number | undefined;
		return {job: last(0), lease: last(1), batch: batch ?? 0};
	}

	explain(error: unknown): unknown {
		return translate(error, this.#path);
	}

	async close(): Promise<void> {
		this.#db.close();
	}
}

/** What has arrived in a file; `undefined` if it does not exist. */
async function arrivalIn(path: string): Promise<Arrival | undefined> {
	if (!existsSync(path)) return undefined;
	const db = await open(path);
	try {
		if (!has(db, 'arriving')) return undefined;
		const row = db.prepare('select * from arriving').get() as Arrival & {readonly after: string | null; readonly is_done: number};
		return {id: row.id, part: row.part, after: JSON.parse(row.after ?? 'null') as Cursor | null, isDone: row.is_done === 1};
	} finally {
		db.close();
	}
}

async function forgetArrival(path: string): Promise<void> {
	const db = await open(path);
	db.exec('drop table if exists arriving');
	db.close();
}

async function arrivedIn(path: string): Promise<Arrival | undefined> {
	const arrived = await arrivalIn(path);
	if (!arrived && existsSync(path)) throw bad(`The queue ${path} exists already. A move makes a new one; name another file`);
	return arrived;
}

/** A file that takes rows. It gets its name when it is whole. */
export class SqliteTarget implements RowTarget {
	readonly #path: string;
	readonly #draft: string;
	#db: Database.Database | undefined;
	readonly #statements = new Map<string, Database.Statement>();

	private constructor(path: string) {
		this.#path = path;
		this.#draft = `${path}-moving`;
	}

	static async open(path: string): Promise<SqliteTarget> {
		return new SqliteTarget(path);
	}

	async arrival(): Promise<Arrival | undefined> {
		const draft = await arrivalIn(this.#draft);
		// It is not done before it has its name.
		return (await arrivedIn(this.#path)) ?? (draft && {...draft, isDone: false});
	}

	async begin(id: string): Promise<void> {
		if (existsSync(this.#draft)) for (const file of filesOf(this.#draft)) rmSync(file, {recursive: true, force: true});
		const db = await this.#opened();
		db.exec(ARRIVING);
		db.prepare('insert into arriving (id, is_done) values (?, 0)').run(id);
	}

	async #opened(): Promise<Database.Database> {
		this.#db ??= await open(this.#draft);
		return this.#db;
	}

	async receive(...call: Parameters<MoveTarget['receive']>): Promise<void> {
		const [source, ...rest] = call;
		await receiveRows(source, this, ...rest);
	}

	async write(table: TableName, rows: readonly MovedRow[], arrival: Arrival): Promise<void> {
		const db = await this.#opened();
		db.transaction(() => {
			for (const row of rows) {
				const insert = insertOf(table, row);
				for (const each of insert.rows) this.#insert(db, insert.table, each);
			}
			this.#note(db, arrival);
		})();
	}

	#insert(db: Database.Database, table: string, row: Readonly<Record<string, unknown>>): void {
		const names = Object.keys(row);
		const text = `insert into ${table} (${names}) values (${names.map(() => '?')})`;
		const statement = this.#statements.get(text) ?? db.prepare(text);
		this.#statements.set(text, statement);
		statement.run(Object.values(row).map(value => (typeof value === 'boolean' ? Number(value) : value)));
	}

	#note(db: Database.Database, {id, part, after, isDone}: Arrival): void {
		db.prepare('update arriving set part = ?, after = ?, is_done = ? where id = ?').run(part, JSON.stringify(after), isDone ? 1 : 0, id);
	}

	async counts(): Promise<readonly JobCount[]> {
		return countsIn(await this.#opened());
	}

	async finish(arrival: Arrival, {job, lease, batch}: LastNumbers): Promise<void> {
		const db = await this.#opened();
		db.transaction(() => {
			cutLongEdges(db);
			db.exec(TALLIES);
			for (const [state, last] of [job, lease].entries()) db.prepare('update tally set jobs = ? where task = 0 and state = ?').run(last, state);
			db.exec("delete from sqlite_sequence where name = 'batch'");
			db.prepare("insert into sqlite_sequence (name, seq) values ('batch', ?)").run(batch);
			this.#note(db, arrival);
		})();
		await this.close();
		syncFile(this.#draft);
		failpoint('move:named');
		await arrivedIn(this.#path);
		renameSync(this.#draft, this.#path);
		syncFolder(dirname(this.#path));
	}

	forget(): Promise<void> {
		return forgetArrival(this.#path);
	}

	explain(error: unknown): unknown {
		return translate(error, this.#path);
	}

	async close(): Promise<void> {
		this.#db?.close();
		this.#db = undefined;
		this.#statements.clear();
	}
}

/** A copy of a file, with its large results. */
export class FileCopy implements MoveTarget {
	readonly #from: string;
	readonly #path: string;

	private constructor(from: string, path: string) {
		this.#from = from;
		this.#path = path;
	}

	static open(from: string, path: string): FileCopy {
		return new FileCopy(from, path);
	}

	arrival(): Promise<Arrival | undefined> {
		removeLeftovers(this.#path);
		return arrivedIn(this.#path);
	}

	async receive(_source: MoveSource, {id}: Move): Promise<void> {
		await backUpFile(this.#from, this.#path, draft => {
			const db = new Database(draft);
			db.transaction(() => {
				thaw(db);
				db.exec(`drop table moved; ${ARRIVING}`);
				db.prepare('insert into arriving (id, is_done) values (?, 1)').run(id);
			})();
			db.close();
		});
	}

	forget(): Promise<void> {
		return forgetArrival(this.#path);
	}

	explain(error: unknown): unknown {
		return error;
	}

	async close(): Promise<void> {}
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
