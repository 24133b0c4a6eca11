/** A queue on PostgreSQL that moves, or that one moves to: `../queue-move.ts`. */

import {setTimeout as sleep} from 'node:timers/promises';
import pg from 'pg';
import {bad} from '../../job/checks.ts';
import type {Policy} from '../../job/job.ts';
import {type Arrival, inUseToMove, type Move, type MovedPage, type MoveSource, type MoveTarget, type RowTarget, receiveRows} from '../moving.ts';
import {
	type ColumnType,
	type Cursor,
	type JobCount,
	type LastNumbers,
	MAX_PAGE,
	MOVED_TABLES,
	type MovedRow,
	type MovedTable,
	type TableName,
} from '../queue-rows.ts';
import {readCompletionJob, readScheduleSpec, specOf} from '../stored-json.ts';
import {StoredState} from '../stored-state.ts';
import {storable} from './call-values.ts';
import {connectionTo, TYPES} from './database.ts';
import {LOCK_TIMEOUT_MS, MAX_TRIES, RETRY_AFTER_MS} from './migrate.ts';
import {PostgresStore} from './postgres.ts';
import {codeOf, nameOfDatabase, translate} from './postgres-errors.ts';
import {FREEZE, functionsOf} from './schema.ts';

const LOCK_NOT_AVAILABLE = '55P03';

/** A connection to the queue, of which each transaction is a move's own. */
class Connection {
	readonly url: string;
	readonly schema: string;
	readonly #client: pg.Client;

	constructor(url: string, schema: string) {
		this.url = url;
		this.schema = schema;
		this.#client = new pg.Client(connectionTo(url));
		// A lost connection fails the statement that waits for its answer.
		this.#client.on('error', () => {});
	}

	/** Makes the queue if there is none. */
	static async open(url: string, schema: string): Promise<Connection> {
		const store = new PostgresStore(url, {schema});
		try {
			await store.counts();
		} finally {
			await store.close();
		}
		const connection = new Connection(url, schema);
		await connection.#client.connect();
		return connection;
	}

	/** In the text, `@.` stands for the schema of the tables, and `@@.` for that of the functions. */
	async query<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
		const own = text.replace(/@?@\./g, name => `${pg.escapeIdentifier(name === '@.' ? this.schema : functionsOf(this.schema))}.`);
		return (await this.#client.query({text: own, values: values as unknown[], types: TYPES})).rows as Row[];
	}

	async has(table: 'moved' | 'arriving'): Promise<boolean> {
		const [found] = await this.query<{name: string | null}>('select to_regclass($1) as name', [`${pg.escapeIdentifier(this.schema)}.${table}`]);
		return found?.name !== null;
	}

	/** @param move whose changes a frozen queue allows */
	async transaction<Result>(run: () => Promise<Result>, move = ''): Promise<Result> {
		await this.query('begin');
		try {
			await this.query("select set_config('faena.moving', $1, true)", [move]);
			const result = await run();
			await this.query('commit');
			return result;
		} catch (error) {
			await this.query('rollback').catch(() => {});
			throw error;
		}
	}

	/** A transaction during which nobody else changes the queue. It gives way to programs, and tries again. */
	async alone<Result>(run: () => Promise<Result>): Promise<Result> {
		for (let tries = 1; ; tries++) {
			try {
				return await this.transaction(async () => {
					await this.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
					await this.query('select pg_advisory_xact_lock(@.lock_key(), 1)');
					await this.query('lock table @.arrived in share row exclusive mode');
					return run();
				});
			} catch (error) {
				if (codeOf(error) !== LOCK_NOT_AVAILABLE || tries === MAX_TRIES) throw error;
				await sleep(RETRY_AFTER_MS);
			}
		}
	}

	async freeze(move: string, sentence: string): Promise<void> {
		const settings = {tables: this.schema, move, sentence};
		for (const [name, value] of Object.entries(settings)) await this.query('select set_config($1, $2, true)', [`faena.${name}`, value]);
		await this.query(FREEZE);
	}

	async thaw(): Promise<void> {
		await this.query('drop function if exists @.refuse_change() cascade');
	}

	counts(): Promise<JobCount[]> {
		return this.query<Record<'task' | 'batch' | 'state' | 'jobs', number>>(`${COUNTS} order by 1, 2, 3`).then(rows =>
			rows.map(({task, batch, state, jobs}) => [task, batch, state, jobs]),
		);
	}

	explain(error: unknown): unknown {
		return translate(error, nameOfDatabase(this.url), false);
	}

	close(): Promise<void> {
		return this.#client.end();
	}
}

/** The rows of {@link JobCount}. */
const COUNTS = `select task, batch, state, sum(jobs)::bigint as jobs from (
		select abs(lane) as task, batch, case when lane < 0 then ${StoredState.quarantined} else ${StoredState.ready} end as state, last - first + 1 as jobs from @.ready
		union all select task, batch, @@.waiting_state(run_at, failed), last - first + 1 from @.waiting
		union all select task, batch, ${StoredState.blocked}, last - first + 1 from @.blocked
		union all select task, batch, status, last - first + 1 from @.outcome
	) counted group by 1, 2, 3`;

const CAST: Readonly<Record<ColumnType, string>> = {
	...{number: 'int8', real: 'float8', text: 'text', boolean: 'bool', json: 'text', bytes: 'bytea', value: 'text'},
};

/** The columns of a table, which has two for a value. */
function columnsOf({columns}: MovedTable): MovedTable['columns'] {
	return columns.flatMap(column =>
		column.type === 'value' ? [{name: 'text_value', type: 'text'} as const, {name: 'byte_value', type: 'bytes'} as const] : [column],
	);
}

/** The job that a batch enqueues when it completes has its task and its policy by number here. */
const ON_COMPLETE = `jsonb_set(jsonb_set(on_complete, '{task}', to_jsonb((select t.name from @.task t where t.id = (on_complete->'task')::bigint))), '{policy}',
	(select p.spec::jsonb from @.policy p where p.id = (on_complete->'policy')::bigint))`;

export class PostgresSource implements MoveSource {
	readonly parts = (Object.keys(MOVED_TABLES) as TableName[]).map(name => ({name, table: name}));
	readonly #connection: Connection;

	private constructor(connection: Connection) {
		this.#connection = connection;
	}

	static async open(url: string, schema: string): Promise<PostgresSource> {
		return new PostgresSource(await Connection.open(url, schema));
	}

	async move(): Promise<Move | undefined> {
		if (!(await this.#connection.has('moved'))) return undefined;
		const [move] = await this.#connection.query<Move>('select id, "to", is_done as "isDone" from @.moved');
		return move;
	}

	async freeze(move: Move, sentence: string): Promise<void> {
		const connection = this.#connection;
		const isNew = (await this.move()) === undefined;
		const begin = async () => {
			if (isNew && !(await this.#isQuiet())) return false;
			await connection.query('create table if not exists @.moved (id text primary key, "to" text not null, is_done boolean not null)');
			await connection.query('delete from @.moved');
			await connection.query('insert into @.moved values ($1, $2, $3)', [move.id, move.to, move.isDone]);
			await connection.freeze(move.id, sentence);
			return true;
		};
		do if (isNew) await this.#settle();
		while (!(await connection.alone(begin)));
	}

	/** Ends dead owners, and passes on what is under way. */
	async #settle(): Promise<void> {
		const store = new PostgresStore(this.#connection.url, {schema: this.#connection.schema});
		try {
			while ((await store.reclaim()).hasMore);
			await store.counts();
			while ((await this.#connection.query('select from @.parent_change limit 1')).length > 0) await store.commit({});
		} finally {
			await store.close();
		}
	}

	/** False if jobs have arrived, or changes are to be passed on. */
	async #isQuiet(): Promise<boolean> {
		const connection = this.#connection;
		const owners = await connection.query<{name: string}>('select name from @.owner where heartbeat_at > 0');
		const claimed = await connection.query('select from @.claimed limit 1');
		if (owners.length > 0 || claimed.length > 0)
			throw inUseToMove(
				nameOfDatabase(connection.url),
				owners.map(({name}) => name),
			);
		return (await connection.query('select from @.arrived union all select from @.parent_change limit 1')).length === 0;
	}

	async reopen(): Promise<boolean> {
		const hasMoved = await this.#connection.has('moved');
		await this.#connection.alone(async () => {
			await this.#connection.thaw();
			await this.#connection.query('drop table if exists @.moved');
		});
		return hasMoved;
	}

	async read(part: string, after: Cursor | null): Promise<MovedPage> {
		const table = MOVED_TABLES[part as TableName] as MovedTable;
		const keys = table.columns.slice(0, table.keys).map(({name}) => name);
		const columns = columnsOf(table);
		const bytes = columns.flatMap(({name, type}) => (type === 'text' || type === 'bytes' ? [`coalesce(octet_length(${name}), 0)`] : []));
		const listed = columns.map(({name, type}) => (type !== 'json' ? name : `${name === 'on_complete' ? ON_COMPLETE : name}::text as ${name}`));
		const isAfter = after ? `where (${keys}) > (${keys.map((_, index) => `$${index + 1}`)})` : '';
		// A page ends with the row that brings it to its size: of the others, no value is read.
		const rows = await this.#connection.query<MovedRow & {readonly text_value?: string; readonly byte_value?: Uint8Array}>(
			`select ${listed} from (
				select *, sum(${['0', ...bytes].join(' + ')}) over (order by ${keys} rows between unbounded preceding and 1 preceding) as bytes_before
				from (select * from @.${part} ${isAfter} order by ${keys} limit ${MAX_PAGE.rows}) page
			) sized where coalesce(bytes_before, 0) < ${MAX_PAGE.bytes} order by ${keys}`,
			after ?? [],
		);
		const last = rows.at(-1);
		return {
			rows: rows.map(({text_value, byte_value, ...row}) => ('value' in row || text_value === undefined ? row : {...row, value: byte_value ?? text_value})),
			last: last ? keys.map(name => last[name] as number | string) : null,
		};
	}

	counts(): Promise<readonly JobCount[]> {
		return this.#connection.counts();
	}

	async lastNumbers(): Promise<LastNumbers> {
		const last = (sequence: string) => `(select case when is_called then last_value else 0 end from @.${sequence})`;
		const [numbers] = await this.#connection.query<LastNumbers>(
			`select ${last('job_id')} as job, ${last('lease_id')} as lease, ${last('batch_id_seq')} as batch`,
		);
		return numbers as LastNumbers;
	}

	explain(error: unknown): unknown {
		return this.#connection.explain(error);
	}

	close(): Promise<void> {
		return this.#connection.close();
	}
}

/** The sequences of tables that number their rows. */
const NUMBERED: Partial<Record<TableName, string>> = {task: 'id', scope: 'id', policy: 'id', batch: 'id', schedule: 'id', edge: 'id', log: 'seq'};

export class PostgresTarget implements RowTarget {
	readonly #connection: Connection;

	private constructor(connection: Connection) {
		this.#connection = connection;
	}

	static async open(url: string, schema: string): Promise<PostgresTarget> {
		return new PostgresTarget(await Connection.open(url, schema));
	}

	async arrival(): Promise<Arrival | undefined> {
		if (await this.#connection.has('arriving')) {
			const [arrival] = await this.#connection.query<Arrival>('select id, part, after, is_done as "isDone" from @.arriving');
			if (arrival) return arrival;
		}
		await this.#refuseUsed();
		return undefined;
	}

	async #refuseUsed(): Promise<void> {
		const tables = [...Object.keys(MOVED_TABLES), 'arrived', 'claimed', 'owner'];
		const used = await this.#connection.query<{name: string}>(tables.map(name => `(select '${name}' as name from @.${name} limit 1)`).join(' union all '));
		if (used.length === 0) return;
		throw bad(
			`The queue in the schema ${this.#connection.schema} of ${nameOfDatabase(this.#connection.url).replace('The', 'the')} has been used already. A move makes a new one; name another schema by ?schema= in the URL`,
		);
	}

	async begin(id: string): Promise<void> {
		const connection = this.#connection;
		await connection.alone(async () => {
			// What is there has come by a move that has not gone on.
			if (await connection.has('arriving')) await connection.query(`truncate ${Object.keys(MOVED_TABLES).map(name => `@.${name}`)}; drop table @.arriving`);
			await this.#refuseUsed();
			await connection.query('create table @.arriving (id text primary key, part text, after jsonb, is_done boolean not null)');
			await connection.query('insert into @.arriving (id, is_done) values ($1, false)', [id]);
			await connection.freeze(id, 'A queue is moving here, and has not arrived. Call faena move again, which goes on with it');
		});
	}

	receive(source: MoveSource, ...rest: Tail<Parameters<MoveTarget['receive']>>): Promise<void> {
		return receiveRows(source, this, ...rest);
	}

	async write(table: TableName, rows: readonly MovedRow[], arrival: Arrival): Promise<void> {
		const connection = this.#connection;
		await connection.transaction(async () => {
			const own: MovedRow[] = [];
			for (const row of rows) own.push(...(await this.#toOwn(table, row)));
			const columns = columnsOf(MOVED_TABLES[table]).concat(table === 'schedule' ? NUMBERS_OF_SCHEDULE : []);
			const listed = columns.map(({name, type}) => (type === 'json' ? `${name}::jsonb` : name));
			const arrays = columns.map(({type}, index) => `$${index + 1}::${CAST[type]}[]`);
			await connection.query(
				`insert into @.${table} (${columns.map(({name}) => name)}) overriding system value select ${listed} from unnest(${arrays}) u (${columns.map(({name}) => name)})`,
				columns.map(({name, type}) => own.map(row => toValue(row[name] ?? null, type))),
			);
			await this.#number(table);
			await this.#note(arrival);
		}, arrival.id);
	}

	/** The row here: none for a schedule that another program has damaged. */
	async #toOwn(table: TableName, row: MovedRow): Promise<MovedRow[]> {
		if (table === 'batch') {
			const job = readCompletionJob(row['on_complete'] as string | null);
			return [{...row, on_complete: job ? JSON.stringify({...job, ...(await this.#numbersOf(job))}) : null}];
		}
		if (table === 'log') return [{...row, text: storable(row['text'] as string)}];
		const own = 'value' in row && MOVED_TABLES[table].columns.some(({type}) => type === 'value') ? split(row) : row;
		if (table !== 'schedule') return [own];
		const spec = readScheduleSpec(row['spec'] as string);
		return spec ? [{...own, ...(await this.#numbersOf(spec))}] : [];
	}

	/** The numbers of a task and a policy, which get one if they have none. */
	async #numbersOf({task, policy}: {readonly task: string; readonly policy: Policy}): Promise<{readonly task: number; readonly policy: number}> {
		const number = async (table: 'task' | 'policy', column: string, value: string) => {
			await this.#connection.query(`insert into @.${table} (${column}) select $1 where not exists (select from @.${table} where ${column} = $1)`, [value]);
			const [row] = await this.#connection.query<{id: number}>(`select id from @.${table} where ${column} = $1`, [value]);
			return row?.id as number;
		};
		return {task: await number('task', 'name', task), policy: await number('policy', 'spec', specOf(policy))};
	}

	/** The next row gets the number after the last one. */
	async #number(table: TableName): Promise<void> {
		const column = NUMBERED[table];
		if (column) await this.#connection.query(`select setval(pg_get_serial_sequence('@.${table}', '${column}'), max(${column})) from @.${table}`);
	}

	async #note({id, part, after, isDone}: Arrival): Promise<void> {
		await this.#connection.query('update @.arriving set part = $2, after = $3, is_done = $4 where id = $1', [id, part, JSON.stringify(after), isDone]);
	}

	counts(): Promise<readonly JobCount[]> {
		return this.#connection.counts();
	}

	async finish(arrival: Arrival, {job, lease, batch}: LastNumbers): Promise<void> {
		const connection = this.#connection;
		await connection.transaction(async () => {
			await connection.query(`insert into @.tally select task, state, sum(jobs) from (${COUNTS}) counts group by 1, 2`);
			await connection.query(`insert into @.batch_tally select batch, task, state, sum(jobs) from (${COUNTS}) counts where batch is not null group by 1, 2, 3`);
			for (const [sequence, last] of Object.entries({job_id: job, lease_id: lease, batch_id_seq: batch}))
				await connection.query(`select setval('@.${sequence}', greatest(1, $1::bigint), $1::bigint > 0)`, [last]);
			await this.#note(arrival);
			await connection.thaw();
		}, arrival.id);
	}

	async forget(): Promise<void> {
		await this.#connection.query('drop table if exists @.arriving');
	}

	explain(error: unknown): unknown {
		return this.#connection.explain(error);
	}

	close(): Promise<void> {
		return this.#connection.close();
	}
}

type Tail<List extends readonly unknown[]> = List extends readonly [unknown, ...infer Rest] ? Rest : never;

const NUMBERS_OF_SCHEDULE: MovedTable['columns'] = [
	{name: 'task', type: 'number'},
	{name: 'policy', type: 'number'},
];

function split({value = null, ...row}: MovedRow): MovedRow {
	return {...row, text_value: typeof value === 'string' ? value : null, byte_value: value instanceof Uint8Array ? value : null};
}

function toValue(value: MovedRow[string], type: ColumnType): unknown {
	if (type === 'boolean') return value === null ? null : Boolean(value);
	return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value;
}
