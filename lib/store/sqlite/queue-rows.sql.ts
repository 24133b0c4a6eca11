/** The statements of a move to and from SQLite, whose rows are those of `queue-rows.ts`. */

import {readPacked} from '../../job/groups/packed.ts';
import {PackedTimes} from '../../job/groups/packed-times.ts';
import {MOVED_TABLES, type MovedRow, type MovedValue, type TableName} from '../queue-rows.ts';
import {StoredState} from '../stored-state.ts';
import {byWorker, type OutcomeRun} from './rows/outcome-runs.ts';

/** What is read for a table. */
export interface TableSource {
	readonly name: string;
	readonly table: TableName;
	/** The statement of the first page, and that of a later one. */
	readonly first: string;
	readonly next: string;
	/** The number of columns that give the order of the rows. They come last. */
	readonly keys: number;
	/** Makes the rows of the table from one that was read. */
	readonly toRows?: ((row: MovedRow) => MovedRow[]) | undefined;
}

interface SourceOptions {
	/** The table here. */
	readonly from?: string;
	/** The columns that give the order of the rows; by default those of the key. */
	readonly by?: readonly string[];
	/** Columns that are not those of the same name. */
	readonly as?: Readonly<Record<string, string>>;
	readonly where?: string;
	readonly toRows?: (row: MovedRow) => MovedRow[];
}

export const namesOf = (table: TableName) => MOVED_TABLES[table].columns.map(({name}) => name);

/** @param name by default that of the table */
function part(
	table: TableName,
	{from = table, by = namesOf(table).slice(0, MOVED_TABLES[table].keys), as = {}, where = 'true', toRows}: SourceOptions = {},
	name: string = table,
): TableSource {
	const columns = namesOf(table).map(column => `${as[column] ?? column} as ${column}`);
	const order = by.join();
	const select = `select ${[...columns, ...by.map((column, index) => `${column} as key${index}`)]} from ${from} where ${where}`;
	const rest = `order by ${order} limit @limit`;
	return {
		name,
		table,
		first: `${select} ${rest}`,
		next: `${select} and (${order}) > (${by.map((_, index) => `@key${index}`)}) ${rest}`,
		keys: by.length,
		toRows,
	};
}

const times = (of = '') => `pack_times(${['started_at', 'duration_ms', 'cpu_ms', 'memory_bytes'].map(name => of + name)})`;
const single = (of = '') => ({first: `${of}id`, last: `${of}id`});

/** The row of `job`, or of `job_run`, that has the first job of a run. */
const JOB_OF_RUN =
	'left join job j on j.id = o.first left join job_run r on j.id is null and r.first = (select max(first) from job_run where first <= o.first)';

/** A key of a batch that is a number: in PostgreSQL, all of them are rows of `key_run`. */
const IS_NUMBER = "space > 0 and length(key) between 1 and 15 and key not glob '*[^0-9]*' and (key = '0' or key not glob '0*')";

export const PARTS: readonly TableSource[] = [
	...(['task', 'scope', 'policy'] as const).map(table => part(table)),
	part('batch', {as: {task: 'nullif(task, 0)'}}),
	part('schedule', {as: {value: 'payload'}}),
	part('job', {as: {...single(), first_number: 'null', keys: 'key', value: 'payload'}, by: ['id']}),
	part('job', {from: 'job_run', as: {value: "iif(first = last, nullif(payloads, ''), payloads)"}}, 'job_run'),
	part('key', {where: `not (${IS_NUMBER})`}),
	part(
		'key_run',
		{from: 'key', where: IS_NUMBER, as: {batch: 'space', first: 'cast(key as integer)', last: 'cast(key as integer)', first_id: 'id'}, by: ['space', 'key']},
		'number',
	),
	part('key_run'),
	part('ready', {as: {...single(), lane: 'task'}, by: ['task', 'rank', 'id']}),
	part('ready', {from: 'ready_run', as: {lane: 'task', executions: '0'}, by: ['task', 'rank', 'first']}, 'ready_run'),
	part('waiting', {from: 'waiting w join job j on j.id = w.id', as: {...single('w.'), rank: '-priority'}, by: ['w.id']}),
	part('blocked', {from: 'blocked_run'}),
	part('outcome', {
		from: 'outcome o join job j on j.id = o.id',
		as: {
			...{...single('o.'), rank: '-priority', times: times(), value: 'load_result(value, blob)'},
			...{earliest_start: 'started_at', latest_start: 'started_at', shortest_ms: 'duration_ms', longest_ms: 'duration_ms'},
		},
		by: ['o.id'],
	}),
	part(
		'outcome',
		{
			from: `outcome_run o ${JOB_OF_RUN}`,
			as: {
				...{first: 'o.first', last: 'o.last', batch: 'o.batch', value: 'o.results', worker: 'o.workers', execution: '1', status: `${StoredState.completed}`},
				...{task: 'coalesce(j.task, r.task)', rank: '-coalesce(j.priority, r.priority)'},
			},
			by: ['o.first'],
			toRows: toOutcomes,
		},
		'outcome_run',
	),
	part('failure_state', {as: {times: times()}}),
	part('execution', {as: {times: times(), status: 'state'}}),
	...(['fingerprint', 'progress'] as const).map(table => part(table)),
	part('checkpoint', {as: {value: 'state'}}),
	...(['log', 'expiry', 'edge', 'scheduled', 'used_result'] as const).map(table => part(table)),
];

/** Of a run, a row for the jobs of each worker. */
function toOutcomes(row: MovedRow): MovedRow[] {
	const {first, last, batch, ended_at, times, value, worker: workers, ...rest} = row;
	return byWorker([first, last, batch, ended_at, times, value, workers] as unknown as OutcomeRun).map(([[from, to, , , ownTimes, results], worker]) => {
		const packed = new PackedTimes(ownTimes);
		const bounds = (name: 'startedAt' | 'durationMs') =>
			packed
				.column(name)
				?.bounds()
				.map(bound => (Number.isFinite(bound) ? bound : null)) ?? [];
		const [[earliest_start = null, latest_start = null], [shortest_ms = null, longest_ms = null]] = [bounds('startedAt'), bounds('durationMs')];
		const own = {first: from, last: to, times: ownTimes, value: from === to ? results || null : results, worker};
		return {...rest, batch, ended_at, ...own, earliest_start, latest_start, shortest_ms, longest_ms} as MovedRow;
	});
}

const JOBS = 'sum(last - first + 1)';

/** The rows of {@link JobCount}. */
export const COUNTS = `select task, batch, state, sum(jobs) as jobs from (
		select abs(task) as task, batch, iif(task < 0, ${StoredState.quarantined}, ${StoredState.ready}) as state, count(*) as jobs from ready group by 1, 2, 3
		union all select task, batch, ${StoredState.ready}, ${JOBS} from ready_run group by 1, 2
		union all select j.task, j.batch, iif(w.run_at < 0, ${StoredState.held}, iif(w.failed = 0, ${StoredState.delayed},
			iif(w.run_at is null, ${StoredState.parked}, ${StoredState.failed}))), count(*) from waiting w join job j on j.id = w.id group by 1, 2, 3
		union all select task, batch, ${StoredState.blocked}, ${JOBS} from blocked_run group by 1, 2
		union all select j.task, j.batch, o.status, count(*) from outcome o join job j on j.id = o.id group by 1, 2, 3
		union all select coalesce(j.task, r.task), o.batch, ${StoredState.completed}, sum(o.last - o.first + 1) from outcome_run o ${JOB_OF_RUN} group by 1, 2
	) group by 1, 2, 3`;

/** The counts that a queue keeps. Those of task 0 are no counts. */
export const TALLIES = `delete from tally where task <> 0;
	delete from batch_tally;
	insert into tally select task, state, sum(jobs) from (${COUNTS}) group by 1, 2;
	insert into batch_tally select batch, task, state, sum(jobs) from (${COUNTS}) where batch is not null group by 1, 2, 3;`;

/** Rows of a table here for a row of the other queue. */
export interface Insert {
	/** Here. */
	readonly table: string;
	readonly rows: Iterable<Readonly<Record<string, unknown>>>;
}

/**
 * What is inserted for a row. Jobs get rows of their own: only where a state is one before the first execution may jobs share its row, whatever the rows of
 * `job` are.
 */
export function insertOf(table: TableName, row: MovedRow): Insert {
	const {value = null, ...rest} = row;
	switch (table) {
		case 'batch':
			return {table, rows: [{...row, task: row['task'] ?? 0}]};
		case 'schedule':
		case 'job':
			return table === 'job' ? {table, rows: toJobs(row)} : {table, rows: [{...rest, payload: value}]};
		case 'checkpoint':
			return {table, rows: [{...rest, state: value}]};
		case 'ready': {
			const {lane: task = null, ...ready} = rest;
			if (row['executions'] !== 0 || (task as number) < 0) return {table, rows: eachJob({...ready, task})};
			const {executions, ...run} = ready;
			return {table: 'ready_run', rows: [{...run, task}]};
		}
		case 'blocked':
			return {table: 'blocked_run', rows: row['executions'] === 0 ? [row] : Array.from(eachJob(row), ({id, ...each}) => ({...each, first: id, last: id}))};
		case 'waiting': {
			const {task, rank, batch, ...waiting} = rest;
			return {table, rows: eachJob(waiting)};
		}
		case 'outcome':
			return {table, rows: toOutcomeRows(row)};
		case 'failure_state':
		case 'execution': {
			const {times, status, ...own} = row;
			return {table, rows: [{...own, ...timesIn(times, 0), ...(status !== undefined && {state: status})}]};
		}
		default:
			return {table, rows: [row]};
	}
}

/** The row for each of its jobs. */
function* eachJob({first, last, ...rest}: MovedRow): Generator<MovedRow & {readonly id: number}> {
	for (let id = first as number; id <= (last as number); id++) yield {id, ...rest};
}

/** Reads the values of a row's jobs, of which a single one has any. */
function linesOf({first, last}: MovedRow, value: MovedValue): (id: number) => MovedValue {
	if (first === last) return () => value;
	const lineAt = readPacked(value as string | null);
	return id => lineAt(id - (first as number));
}

function* toJobs(row: MovedRow): Generator<MovedRow> {
	const {first_number = null, keys = null, value = null, ...rest} = row;
	const [keyAt, valueAt] = [linesOf(row, keys), linesOf(row, value)];
	for (const job of eachJob(rest)) {
		const key = first_number === null ? keyAt(job.id) : `${(first_number as number) + job.id - (row['first'] as number)}`;
		yield {...job, key, payload: valueAt(job.id)};
	}
}

function* toOutcomeRows(row: MovedRow): Generator<MovedRow> {
	const {task, rank, batch, times = null, value = null, earliest_start, latest_start, shortest_ms, longest_ms, ...rest} = row;
	const valueAt = linesOf(row, value);
	for (const job of eachJob(rest)) yield {...job, value: valueAt(job.id), ...timesIn(times, job.id - (row['first'] as number))};
}

function timesIn(times: MovedValue | undefined, index: number): MovedRow {
	const {startedAt = null, durationMs = null, cpuMs = null, memoryBytes = null} = times instanceof Uint8Array ? new PackedTimes(times).known(index) : {};
	return {started_at: startedAt, duration_ms: durationMs, cpu_ms: cpuMs, memory_bytes: memoryBytes};
}
