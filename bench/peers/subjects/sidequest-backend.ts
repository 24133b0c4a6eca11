import SqliteBackend from '@sidequest/sqlite-backend';
import type Database from 'better-sqlite3';

/**
 * Sidequest's backend with connections in WAL mode, by Knex's hook for new connections. Sidequest's own migration tries to set that mode
 * within a transaction, where SQLite ignores it. Then each job costs 12 fsyncs.
 */
export class SqliteBackendWith extends SqliteBackend {
	constructor(filename: string, synchronous: 'NORMAL' | 'FULL') {
		super({
			connection: {filename},
			pool: {
				afterCreate(connection: Database.Database, done: (error: unknown, connection: unknown) => void) {
					connection.pragma('journal_mode = WAL');
					connection.pragma(`synchronous = ${synchronous}`);
					done(null, connection);
				},
			},
		});
	}
}
