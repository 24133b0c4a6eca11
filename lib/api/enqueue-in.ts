import {bad, show} from '../job/checks.ts';
import {MAX_VALUE_LIMIT_BYTES} from '../job/encoding.ts';
import type {JobId} from '../job/job.ts';
import {JobMaker} from '../job/new-job.ts';
import type {AnyTasks, EnqueueArgs, JobOptions, TaskName} from '../job/task.ts';
import {enqueueOn, type OwnConnection} from '../store/sqlite/caller-connection.ts';
import {WHY_ONE_LIBRARY} from '../store/sqlite/file-guard.ts';

const MAKER = new JobMaker([], {}, MAX_VALUE_LIMIT_BYTES);

/** Task, payload and options of {@link enqueueIn}, for each task of the module. */
export type EnqueueInArgs<Tasks> = {
	[Name in TaskName<Tasks>]: [task: Name, ...rest: EnqueueArgs<Tasks, Name, JobOptions>];
}[TaskName<Tasks>];

/**
 * Enqueues a job in the program's own transaction (a transactional outbox): the job exists if and only if that transaction
 * commits. Running engines notice it within 50 ms of the commit. Outside a transaction, this makes one. The job is as durable as
 * the connection's commits are: `pragma synchronous = full` makes them survive a loss of power. Options come from `options` and
 * from `DEFAULTS`. Those of `task()` and `open()` are not known here, so the limit of the payload is 1 GiB, the highest
 * `maxValueBytes`.
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
export function enqueueIn<Tasks = AnyTasks>(
	connection: OwnConnection,
	...[task, payload, options]: EnqueueInArgs<Tasks>
): {readonly id: JobId; readonly reused: boolean} {
	checkConnection(connection);
	if (typeof task !== 'string' || task === '') throw bad(`enqueueIn() expects a task's name after the connection; it got ${show(task)}`);
	const resolved = MAKER.resolve('enqueueIn()', task, options ?? {});
	return enqueueOn(connection, {task, payload: MAKER.encode(payload), ...resolved}, Date.now());
}

function checkConnection(connection: OwnConnection): void {
	// Compared by name, since not every Node has the class.
	if (connection?.constructor?.name === 'DatabaseSync')
		throw bad(
			`enqueueIn() got a DatabaseSync of node:sqlite. ${WHY_ONE_LIBRARY} Close it, and open the file by the better-sqlite3 that Faena uses, or by node:sqlite in a process without Faena`,
		);
	const isConnection = typeof connection?.prepare === 'function' && typeof connection.pragma === 'function' && typeof connection.transaction === 'function';
	if (!isConnection)
		throw bad(`enqueueIn() expects first a Database of better-sqlite3: the connection whose transaction the job is to be part of; it got ${show(connection)}`);
	if (!connection.open) throw bad(`enqueueIn() got a connection to ${connection.name} that is closed; call it before you close the connection`);
	if (connection.readonly) throw bad(`enqueueIn() got a connection to ${connection.name} that can only read; open it without the option readonly`);
}
