/** A queue on PostgreSQL that moves, or that one moves to: `../queue-move.ts`. */

import {setTimeout as sleep} from 'node:timers/promises';
import type {CompletionJob} from '../../job/new-job.ts';
import {FaenaError} from '../../support/errors.ts';
import {assertKnown, inUseToMove, type Move, type MovedPage, type MoveSource, type MoveTarget} from '../moving.ts';
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
import {storable} from './connection/call-values.ts';
import {connectionTo} from './connection/connections.ts';
import {TYPES} from './connection/database.ts';
import {type Client, pg} from './connection/driver.ts';
import {installedIn, LOCK_TIMEOUT_MS, MAX_TRIES, RETRY_AFTER_MS} from './connection/migrate.ts';
import {codeOf, nameOfDatabase, translate} from './connection/postgres-errors.ts';
import {FREEZE, functionsOf} from './connection/schema.ts';
import {PostgresStore} from './postgres.ts';

const LOCK_NOT_AVAILABLE = '55P03';

/** A connection to the queue, which uses it for itself: no pooler may be in between. */
class PostgresEnd {
	protected readonly url: string;
	protected readonly schema: string;
	readonly #client: Client;

	protected constructor(url: string, schema: string) {
		this.url = url;
		this.schema = schema;
		this.#client = new pg.Client(connectionTo(url));
		// A lost connection fails the statement that waits for its answer.
		this.#client.on('error', () => {});
	}

	/** Makes the queue if there is none, and it may. */
	protected async connect(mayMake: boolean): Promise<this> {
		try {
			await this.#client.connect();
			if (!mayMake && !(await installedIn((text, values) => this.query(text, values), this.schema))) {
				const message = `There is no queue in the schema ${pg.escapeIdentifier(this.schema)} of the database. Name another schema or database.`;
				throw new FaenaError('BadDatabase', message);
			}
			await this.use(store => store.counts());
			return this;
		} catch (error) {
			await this.close();
			throw translate(error, this.name, false);
		}
	}

	protected async use(run: (store: PostgresStore) => Promise<unknown>): Promise<void> {
		const store = new PostgresStore(this.url, {schema: this.schema});
		try {
			await run(store);
		} finally {
			await store.close();
		}
	}

	protected get name(): string {
		return nameOfDatabase(this.url);
	}

	/** In the text, `@.` stands for the schema of the tables. */
	protected async query<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
		try {
			const own = text.replaceAll('@.', `${pg.escapeIdentifier(this.schema)}.`);
			return (await this.#client.query({text: own, values: values as unknown[], types: TYPES})).rows as Row[];
		} catch (error) {
			throw translate(error, this.name, false);
		}
	}

	/** @param move whose changes a queue that moves allows */
	protected async transaction<Result>(run: () => Promise<Result>, move = ''): Promise<Result> {
		await this.query('begin');
		try {
			const path = [functionsOf(this.schema), this.schema].map(name => pg.escapeIdentifier(name));
			await this.query("select set_config('search_path', $1, true), set_config('faena.moving', $2, true)", [`${path}, pg_temp`, move]);
			const result = await run();
			await this.query('commit');
			return result;
		} catch (error) {
			await this.query('rollback').catch(() => {});
			throw error;
		}
	}

	/** A transaction during which nobody else changes the queue. It gives way to programs, and tries again. */
	protected async alone<Result>(run: () => Promise<Result>): Promise<Result> {
		for (let tries = 1; ; tries++) {
			try {
				return await this.transaction(async () => {
					await this.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
					await this.query('select pg_advisory_xact_lock(lock_key(), 1)');
					await this.query('lock table arrived in share row exclusive mode');
					return run();
				});
			} catch (error) {
				if (codeOf(error) !== LOCK_NOT_AVAILABLE || tries === MAX_TRIES) throw error;
				await sleep(RETRY_AFTER_MS);
			}
		}
	}

	async move(): Promise<Move | undefined> {
		const [move] = await this.query<Move>('select id, is_arriving as "isArriving", place, is_done as "isDone", part, after from @.queue_move');
		return move;
	}

	/** In a transaction. */
	protected async know({id, isArriving, place, isDone, part, after}: Move): Promise<void> {
		await this.query('delete from queue_move');
		await this.query('insert into queue_move values ($1, $2, $3, $4, $5, $6)', [id, isArriving, place, isDone, part, JSON.stringify(after)]);
	}

	/** In a transaction. */
	protected async refuseChanges(move: string, sentence: string): Promise<void> {
		const settings = {tables: this.schema, move, sentence};
		for (const [name, value] of Object.entries(settings)) await this.query('select set_config($1, $2, true)', [`faena.${name}`, value]);
		await this.query(FREEZE);
	}

	/** In a transaction: makes it a queue like any other. */
	protected async thaw(): Promise<void> {
		await this.query('drop function if exists @.refuse_change() cascade');
		await this.query('delete from queue_move');
	}

	counts(): Promise<JobCount[]> {
		return this.transaction(async () => {
			const rows = await this.query<Record<'task' | 'batch' | 'state' | 'jobs', number>>(`${COUNTS} order by 1, 2, 3`);
			return rows.map(({task, batch, state, jobs}) => [task, batch, state, jobs]);
		});
	}

	close(): Promise<void> {
		return this.#client.end();
	}
}

/** The rows of {@link JobCount}. */
const COUNTS = `select task, batch, state, sum(jobs)::bigint as jobs from (
		select abs(lane) as task, batch, case when lane < 0 then ${StoredState.quarantined} else ${StoredState.ready} end as state, last - first + 1 as jobs from @.ready
		union all select task, batch, waiting_state(run_at, failed), last - first + 1 from @.waiting
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
const ON_COMPLETE = `jsonb_set(jsonb_set(on_complete, '{task}', to_jsonb((select t.name from task t where t.id = name_of((on_complete->'task')::bigint)))), '{policy}',
	(select p.spec::jsonb from policy p where p.id = (on_complete->'policy')::bigint))`;

export class PostgresSource extends PostgresEnd implements MoveSource {
	readonly parts = (Object.keys(MOVED_TABLES) as TableName[]).map(name => ({name, table: name}));

	static open(url: string, schema: string): Promise<PostgresSource> {
		return new PostgresSource(url, schema).connect(false);
	}

	async settle(): Promise<void> {
		await this.use(async store => {
			while ((await store.reclaim()).hasMore);
			await this.#refuseUsed();
			await store.counts();
			while ((await this.query('select from @.parent_change limit 1')).length > 0) await store.commit({});
		});
	}

	freeze(move: Move, known: Move | undefined, sentence: string): Promise<boolean> {
		return this.alone(async () => {
			assertKnown(await this.move(), known, this.name);
			if (!known) await this.#refuseUsed();
			if (!known && (await this.query('select from arrived union all select from parent_change limit 1')).length > 0) return false;
			await this.know(move);
			await this.refuseChanges(move.id, sentence);
			return true;
		});
	}

	async #refuseUsed(): Promise<void> {
		const owners = await this.query<{name: string}>('select name from @.owner where heartbeat_at > 0');
		const claimed = await this.query('select from @.claimed limit 1');
		const names = owners.map(({name}) => name);
		if (owners.length > 0 || claimed.length > 0) throw inUseToMove(this.name, names);
	}

	reopen(): Promise<void> {
		return this.alone(() => this.thaw());
	}

	async read(part: string, after: Cursor | null): Promise<MovedPage> {
		const table = MOVED_TABLES[part as TableName] as MovedTable;
		const keys = table.columns.slice(0, table.keys).map(({name}) => name);
		const columns = columnsOf(table);
		const bytes = columns.flatMap(({name, type}) => (type === 'text' || type === 'bytes' ? [`coalesce(octet_length(${name}), 0)`] : []));
		const listed = columns.map(({name, type}) => (type !== 'json' ? name : `${name === 'on_complete' ? ON_COMPLETE : name}::text as ${name}`));
		const isAfter = after ? `where (${keys}) > (${keys.map((_, index) => `$${index + 1}`)})` : '';
		// A page ends with the row that brings it to its size: of the others, no value is read.
		const statement = `select ${listed} from (
				select *, sum(${['0', ...bytes].join(' + ')}) over (order by ${keys} rows between unbounded preceding and 1 preceding) as bytes_before
				from (select * from ${part} ${isAfter} order by ${keys} limit ${MAX_PAGE.rows}) page
			) sized where coalesce(bytes_before, 0) < ${MAX_PAGE.bytes} order by ${keys}`;
		type Row = MovedRow & {readonly text_value?: string; readonly byte_value?: Uint8Array};
		const rows = await this.transaction(() => this.query<Row>(statement, after ?? []));
		const last = rows.at(-1);
		return {
			rows: rows.map(({text_value, byte_value, ...row}) => ('value' in row || text_value === undefined ? row : {...row, value: byte_value ?? text_value})),
			last: last ? keys.map(name => last[name] as number | string) : null,
		};
	}

	async lastNumbers(): Promise<LastNumbers> {
		const last = (sequence: string) => `(select case when is_called then last_value else 0 end from @.${sequence})`;
		const [numbers] = await this.query<LastNumbers>(`select ${last('job_id')} as job, ${last('lease_id')} as lease, ${last('batch_id_seq')} as batch`);
		return numbers as LastNumbers;
	}
}

/** The sequences of tables that number their rows. */
const NUMBERED: Partial<Record<TableName, string>> = {task: 'id', scope: 'id', policy: 'id', batch: 'id', schedule: 'id', edge: 'id', log: 'seq'};

export class PostgresTarget extends PostgresEnd implements MoveTarget {
	static async open(url: string, schema: string, mayMake: boolean): Promise<PostgresTarget> {
		const target = await new PostgresTarget(url, schema).connect(mayMake);
		const [lock] = await target.query<{isMine: boolean}>('select pg_try_advisory_lock(@.lock_key(), 5) as "isMine"');
		if (lock?.isMine) return target;
		await target.close();
		const message = `Another faena move brings a queue to the schema ${pg.escapeIdentifier(schema)} of the database. Wait for its end, or name another schema.`;
		throw new FaenaError('DatabaseBusy', message);
	}

	async isUnused(): Promise<boolean> {
		const tables = [...Object.keys(MOVED_TABLES), 'arrived', 'claimed', 'owner'];
		return (await this.query(tables.map(name => `(select from @.${name} limit 1)`).join(' union all '))).length === 0;
	}

	begin(move: Move): Promise<void> {
		return this.alone(async () => {
			await this.thaw();
			await this.query(`truncate ${[...Object.keys(MOVED_TABLES), 'tally', 'batch_tally']}`);
			await this.know(move);
			await this.refuseChanges(move.id, 'A queue is moving here, and has not arrived. Call faena move again, which goes on with it.');
		});
	}

	async write(table: TableName, rows: readonly MovedRow[], move: Move): Promise<void> {
		await this.transaction(async () => {
			const own: MovedRow[] = [];
			for (const row of rows) own.push(...(await this.#toOwn(table, row)));
			const columns = columnsOf(MOVED_TABLES[table]).concat(table === 'schedule' ? NUMBERS_OF_SCHEDULE : []);
			const listed = columns.map(({name, type}) => (type === 'json' ? `${name}::jsonb` : name));
			const arrays = columns.map(({type}, index) => `$${index + 1}::${CAST[type]}[]`);
			await this.query(
				`insert into ${table} (${columns.map(({name}) => name)}) overriding system value select ${listed} from unnest(${arrays}) u (${columns.map(({name}) => name)})`,
				columns.map(({name, type}) => own.map(row => toValue(row[name] ?? null, type))),
			);
			await this.#number(table);
			await this.know(move);
		}, move.id);
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

	/** The numbers of a task in its scope, and of a policy, which get one if they have none. */
	async #numbersOf({task, scope, policy}: Pick<CompletionJob, 'task' | 'scope' | 'policy'>): Promise<{readonly task: number; readonly policy: number}> {
		const number = async (table: 'task' | 'policy', column: string, value: string) => {
			await this.query(`insert into ${table} (${column}) select $1 where not exists (select from ${table} where ${column} = $1)`, [value]);
			const [row] = await this.query<{id: number}>(`select id from ${table} where ${column} = $1`, [value]);
			return row?.id as number;
		};
		const [scoped] = await this.query<{id: number}>('select in_scope($1, $2) as id', [await number('task', 'name', task), scope ?? null]);
		return {task: scoped?.id as number, policy: await number('policy', 'spec', specOf(policy))};
	}

	/** The next row gets the number after the last one. */
	async #number(table: TableName): Promise<void> {
		const column = NUMBERED[table];
		if (column) await this.query(`select setval(pg_get_serial_sequence('${table}', '${column}'), max(${column})) from ${table}`);
	}

	async finish(move: Move, {job, lease, batch}: LastNumbers): Promise<void> {
		await this.transaction(async () => {
			await this.query(`insert into tally select task, state, sum(jobs) from (${COUNTS}) counts group by 1, 2`);
			await this.query(`insert into batch_tally select batch, task, state, sum(jobs) from (${COUNTS}) counts where batch is not null group by 1, 2, 3`);
			for (const [sequence, last] of Object.entries({job_id: job, lease_id: lease, batch_id_seq: batch}))
				await this.query(`select setval('${sequence}', greatest(1, $1::bigint), $1::bigint > 0)`, [last]);
			await this.know(move);
		}, move.id);
	}

	open(): Promise<void> {
		return this.alone(() => this.thaw());
	}
}

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
