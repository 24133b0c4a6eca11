import {bad, show} from '../job/checks.ts';
import {MAX_VALUE_LIMIT_BYTES} from '../job/encoding.ts';
import type {JobId} from '../job/job.ts';
import {JobBuilder, type NewJob} from '../job/new-job.ts';
import type {AnyTasks, EnqueueArgs, JobOptions, TasksOf} from '../job/task/task.ts';
import type {PostgresTransaction} from '../store/postgres-client.ts';
import {enqueueOn, type OwnConnection} from '../store/sqlite/caller-connection.ts';
import {WHY_ONE_LIBRARY} from '../store/sqlite/connection/file-guard.ts';

const BUILDER = new JobBuilder([], {}, MAX_VALUE_LIMIT_BYTES);

/** Task, payload and options of {@link enqueueIn}, for each task of the module. */
export type EnqueueInArgs<Tasks, Options = JobOptions> = {
	[Name in keyof TasksOf<Tasks> & string]: [task: Name, ...rest: EnqueueArgs<Tasks, Name, Options>];
}[keyof TasksOf<Tasks> & string];

/** The id of the job; `reused` if it is an existing job with the key. */
type EnqueuedIn = {readonly id: JobId; readonly reused: boolean};

/**
 * Enqueues a job in the program's own transaction (a transactional outbox): the job exists if and only if that transaction
 * commits. Running engines notice it within 50 ms of the commit. Outside a transaction, this makes one. The job is as durable as
 * the connection's commits are: `pragma synchronous = full` makes them survive a loss of power. Options come from `options`,
 * then from the task where the job runs, its `priority` from `DEFAULTS`. Those of `open()` are not known here, so the limit of the payload
 * is 1 GiB, the highest `maxValue`.
 * @example
 * db.transaction(() => {
 *   insertOrder.run(order);
 *   enqueueIn<typeof import('./tasks.ts')>(db, 'sendReceipt', order.id, {key: order.id});
 * })();
 * @param connection a `Database` of better-sqlite3 on the file that engines are opened on. It must be of the copy that Faena
 * uses: two SQLite libraries in one process destroy the file.
 * @returns the job's id; `reused` if it is an existing job with the key
 * @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict`, `BadDatabase`, `NewerDatabase`: nothing of the
 * job is left in the transaction, which may go on. What SQLite itself throws passes as it is; a transaction that reads before
 * it first writes should be begun by `.immediate()`, or SQLite may refuse it with `SQLITE_BUSY`.
 */
export function enqueueIn<Tasks = AnyTasks>(connection: OwnConnection, ...args: EnqueueInArgs<Tasks>): {readonly id: JobId; readonly reused: boolean};
/**
 * Enqueues a job in the program's own transaction on PostgreSQL: the job exists if and only if that transaction commits, and running engines notice it
 * then. Options as above, and `schema`, the schema of the queue; default `faena`. There is no `dependsOn`.
 * @example
 * await client.query('begin');
 * await client.query('insert into orders …');
 * await enqueueIn<typeof import('./tasks.ts')>(client, 'sendReceipt', order.id, {key: order.id});
 * await client.query('commit');
 * @param transaction a Client or a Pool of the package `pg`, or anything whose `query(text, values)` resolves with `rows` as theirs does
 * @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`; `KeyConflict`, `BadDatabase`, after which PostgreSQL takes no other statement of the
 *   transaction but a rollback, also to a savepoint. What the client itself throws passes as it is.
 */
export function enqueueIn<Tasks = AnyTasks>(
	transaction: PostgresTransaction,
	...args: EnqueueInArgs<Tasks, Omit<JobOptions, 'dependsOn' | 'onParentDead'> & {readonly schema?: string}>
): Promise<{readonly id: JobId; readonly reused: boolean}>;
export function enqueueIn(
	connection: OwnConnection | PostgresTransaction,
	...[task, payload, given]: EnqueueInArgs<AnyTasks, JobOptions & {readonly schema?: string}>
): EnqueuedIn | Promise<EnqueuedIn> {
	const {schema, ...options} = given ?? {};
	if (isTransaction(connection)) return enqueueInPostgres(connection, schema, () => makeJob(task, payload, options));
	checkConnection(connection);
	if (schema !== undefined) throw bad('enqueueIn() takes the option schema only with a client of PostgreSQL');
	return enqueueOn(connection, makeJob(task, payload, options), Date.now());
}

async function enqueueInPostgres(transaction: PostgresTransaction, schema: unknown = 'faena', make: () => NewJob): Promise<EnqueuedIn> {
	const job = make();
	if (typeof schema !== 'string' || schema === '') throw bad(`enqueueIn() expects as schema the name of the queue's schema; it got ${show(schema)}`);
	const {enqueueInTransaction} = await import('../store/postgres/caller-transaction.ts');
	return enqueueInTransaction(transaction, schema, job);
}

function makeJob(task: unknown, payload: unknown, options: JobOptions): NewJob {
	if (typeof task !== 'string' || task === '') throw bad(`enqueueIn() expects a task's name after the connection; it got ${show(task)}`);
	const resolved = BUILDER.resolve('enqueueIn()', task, options);
	return {task, payload: BUILDER.encode(payload), ...resolved};
}

/** A Database of better-sqlite3 has no function of this name. */
function isTransaction(connection: OwnConnection | PostgresTransaction): connection is PostgresTransaction {
	return typeof Object(connection).query === 'function';
}

function checkConnection(connection: OwnConnection): void {
	// Compared by name, since not every Node has the class.
	if (connection?.constructor?.name === 'DatabaseSync')
		throw bad(
			`enqueueIn() got a DatabaseSync of node:sqlite. ${WHY_ONE_LIBRARY} Close it, and open the file by the better-sqlite3 that Faena uses, or by node:sqlite in a process without Faena`,
		);
	const isConnection = typeof connection?.prepare === 'function' && typeof connection.pragma === 'function' && typeof connection.transaction === 'function';
	if (!isConnection)
		throw bad(
			`enqueueIn() expects first a Database of better-sqlite3, or a Client or Pool of pg: the connection whose transaction the job is to be part of; it got ${show(connection)}`,
		);
	if (!connection.open) throw bad(`enqueueIn() got a connection to ${connection.name} that is closed; call it before you close the connection`);
	if (connection.readonly) throw bad(`enqueueIn() got a connection to ${connection.name} that can only read; open it without the option readonly`);
}
