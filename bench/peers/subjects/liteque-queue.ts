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
 * liteque passes an asynchronous function to better-sqlite3's `transaction()`. Version 12, which Node 24 needs, refuses that. Older versions
 * committed such a transaction before its first statement ran, so that each statement ran on its own. So it does here. liteque's
 * comparison of `allocationId` decides which process has the job.
 */
const {transaction} = Database.prototype;
Database.prototype.transaction = function (this: Database.Database, run: (...values: unknown[]) => unknown) {
	const isAsync = run.constructor.name === 'AsyncFunction';
	return isAsync ? Object.assign(run.bind(undefined), {deferred: run}) : transaction.call(this, run);
} as typeof transaction;
