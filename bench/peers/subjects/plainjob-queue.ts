import Database from 'better-sqlite3';
import {better, defineQueue, type Logger, type Queue} from 'plainjob';
import type {Durability} from '../../plan/suite.ts';

export function openPlainjob(file: string, durability: Durability): {readonly queue: Queue; readonly database: Database.Database} {
	const database = new Database(file);
	const queue = defineQueue({connection: better(database), logger: SILENT});
	// plainjob's own 5 s are too short if each commit waits for the disk. SQLite's locks are not fair, and a process that waited longer
	// marked a job as failed that had succeeded ("database is locked").
	database.pragma('busy_timeout = 60000');
	if (durability === 'full') database.pragma('synchronous = FULL');
	return {queue, database};
}

/** plainjob's usual logger writes several lines a job to the console. */
export const SILENT: Logger = {error: () => {}, warn: () => {}, info: () => {}, debug: () => {}};
