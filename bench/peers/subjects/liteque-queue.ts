import Database from 'better-sqlite3';
import {sql} from 'drizzle-orm';
import {buildDBClient, SqliteQueue} from 'liteque';
import type {Durability} from '../../plan/suite.ts';

export function openLiteque(file: string, durability: Durability, options: {readonly runMigrations?: boolean} = {}) {
	const database = buildDBClient(file, options);
	if (durability === 'full') database.run(sql`pragma synchronous = full`);
	return {database, queue: new SqliteQueue<unknown>('bench', database, {defaultJobArgs: {numRetries: 0}, keepFailedJobs: false})};
}

/**
 * It gives better-sqlite3 a transaction that is an asynchronous function, which from version 12 on (that Node 24 needs) is refused. Before, such a
 * transaction was committed before its first statement ran; so they run here as they did there: each on its own, liteque's comparison of
 * `allocationId` deciding who has the job.
 */
const {transaction} = Database.prototype;
Database.prototype.transaction = function (this: Database.Database, run: (...values: unknown[]) => unknown) {
	const isAsync = run.constructor.name === 'AsyncFunction';
	return isAsync ? Object.assign(run.bind(undefined), {deferred: run}) : transaction.call(this, run);
} as typeof transaction;
