/** A queue that moves: triggers refuse all changes of its tables, those of other programs too. */

import type Database from 'better-sqlite3';
import {QUEUE_MOVED} from '../../sqlite-errors.ts';
import {TABLES} from './schema.sql.ts';

/** A connection writes a count to find out whether it can write. */
const FROZEN = TABLES.filter(name => name !== 'tally' && name !== 'queue_move');

/** In a transaction, which has written the row of `queue_move`. */
export function freeze(db: Database.Database, sentence: string): void {
	dropTriggers(db);
	const text = `${QUEUE_MOVED}${sentence}`.replaceAll("'", "''");
	for (const table of FROZEN) {
		for (const change of ['insert', 'update', 'delete']) {
			const when = 'when not exists (select 1 from queue_move where is_open)';
			db.exec(`create trigger queue_move_${change}_${table} before ${change} on ${table} ${when} begin select raise(abort, '${text}'); end`);
		}
	}
}

/** Makes it a queue like any other. */
export function thaw(db: Database.Database): void {
	dropTriggers(db);
	db.exec('delete from queue_move');
}

function dropTriggers(db: Database.Database): void {
	const names = db.prepare("select name from sqlite_schema where type = 'trigger' and name glob 'queue_move_*'").pluck().all() as string[];
	for (const name of names) db.exec(`drop trigger ${name}`);
}

/** Makes changes in a transaction, of a queue that is frozen or not. */
export function unfrozen(db: Database.Database, run: () => void): void {
	db.exec('update queue_move set is_open = 1');
	run();
	db.exec('update queue_move set is_open = 0');
}
