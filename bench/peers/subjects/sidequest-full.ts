import SqliteBackend from '@sidequest/sqlite-backend';
import type Database from 'better-sqlite3';

/** Sidequest's backend on connections with `synchronous=FULL`, by Knex's hook for new connections. */
export default class FullSqliteBackend extends SqliteBackend {
	constructor(filename: string) {
		super({connection: {filename}, pool: {afterCreate}});
	}
}

function afterCreate(connection: Database.Database, done: (error: unknown, connection: unknown) => void): void {
	connection.pragma('synchronous = FULL');
	done(null, connection);
}
