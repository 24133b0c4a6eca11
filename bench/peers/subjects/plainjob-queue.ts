import Database from 'better-sqlite3';
import {better, defineQueue, type Logger, type Queue} from 'plainjob';
import type {Durability} from '../../suite.ts';

export function openPlainjob(file: string, durability: Durability): {readonly queue: Queue; readonly database: Database.Database} {
	const database = new Database(file);
	const queue = defineQueue({connection: better(database), logger: SILENT});
	if (durability === 'full') database.pragma('synchronous = FULL');
	return {queue, database};
}

/** It writes several lines a job to the console. */
export const SILENT: Logger = {error: () => {}, warn: () => {}, info: () => {}, debug: () => {}};
