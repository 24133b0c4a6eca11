import {existsSync} from 'node:fs';
import {bad} from '../job/checks.ts';
import type {BackedUp, Vacuumed} from '../job/events.ts';
import type {Inspection} from './inspection.ts';
import type {Move, MoveSource, MoveTarget} from './moving.ts';
import {postgresParts, shownUrl} from './postgres-url.ts';
import {isOwnFile, queuePath} from './queue-path.ts';
import type {Store} from './store.ts';
import {IN_MEMORY, type OpenStoreOptions} from './store-options.ts';

/** A kind of store: all that is done with a queue by its location alone. A verb loads the store's code, and its driver, when it is called. */
export interface StoreKind {
	/** What a location of this kind is called. */
	readonly noun: 'file' | 'URL';
	/** Whether the queue is a file, with others beside it; otherwise a schema of a server. */
	readonly hasFiles: boolean;
	/** True for the locations of this kind. */
	matches(location: string | URL): boolean;
	/**
	 * The location by which `open` reaches the queue, whatever the working directory is then.
	 * @param where the function whose argument it is, for an error
	 * @throws FaenaError `BadOption`
	 */
	locate(where: string, location: string | URL): string;
	/** The location as it may be shown: without a password. */
	shown(location: string): string;
	/** Whether a path leads to a file of the queue. */
	isOwnFile(location: string): (path: string) => boolean;
	/** True if there is a queue. Otherwise `open` makes one. */
	exists(location: string): Promise<boolean>;
	open(location: string, options: OpenStoreOptions): Promise<Store>;
	inspect(location: string): Promise<Inspection>;
	/** The move of a queue that can only be read, since it has moved or has not arrived. */
	move(location: string): Promise<Pick<Move, 'place' | 'isArriving'> | undefined>;
	/** Opens the queue, to move all that it has. */
	source(location: string): Promise<MoveSource>;
	/** Opens the queue, to move another one there. @param mayMake to make it if there is none */
	target(location: string, mayMake: boolean): Promise<MoveTarget>;
	/** @throws FaenaError `BadOption` if it has no files; as the function `vacuum` of `faena/queue` */
	vacuum(location: string): Promise<Vacuumed>;
	/** @throws FaenaError `BadOption` if it has no files; as the function `backup` of `faena/queue` */
	backup(location: string, file: string): Promise<BackedUp>;
}

/** The queue in a schema of a PostgreSQL database. */
const POSTGRES: StoreKind = {
	noun: 'URL',
	hasFiles: false,
	matches: location => /^postgres(ql)?:/i.test(String(location)),
	locate: (_where, location) => String(location),
	shown: shownUrl,
	isOwnFile: () => () => false,
	async exists(location) {
		const {url, schema} = postgresParts(location);
		const {schemaExists} = await import('./postgres/inspect.ts');
		return schemaExists(url, schema);
	},
	async open(location, options) {
		const {url, schema} = postgresParts(location);
		const {PostgresStore} = await import('./postgres/postgres.ts');
		const store = new PostgresStore(url, {...options, schema});
		try {
			await store.counts();
			return store;
		} catch (error) {
			// Its connections would keep the process alive.
			await store.close();
			throw error;
		}
	},
	async inspect(location) {
		const {url, schema} = postgresParts(location);
		const {inspectSchema} = await import('./postgres/inspect.ts');
		return inspectSchema(url, schema);
	},
	async move(location) {
		const {url, schema} = postgresParts(location);
		const {moveOfSchema} = await import('./postgres/inspect.ts');
		return moveOfSchema(url, schema);
	},
	async source(location) {
		const {url, schema} = postgresParts(location);
		const {PostgresSource} = await import('./postgres/queue-move.ts');
		return PostgresSource.open(url, schema);
	},
	async target(location, mayMake) {
		const {url, schema} = postgresParts(location);
		const {PostgresTarget} = await import('./postgres/queue-move.ts');
		return PostgresTarget.open(url, schema, mayMake);
	},
	async vacuum() {
		throw bad('vacuum() is for SQLite files. PostgreSQL gives the space of deleted rows to new ones by itself (autovacuum)');
	},
	async backup(location) {
		throw bad(`backup() is for SQLite files. Copy a queue on PostgreSQL with: pg_dump --schema='${postgresParts(location).schema}' --file=FILE 'URL'`);
	},
};

/** The queue in an SQLite file, or in memory. */
const SQLITE: StoreKind = {
	noun: 'file',
	hasFiles: true,
	matches: () => true,
	locate: (where, location) => (location === IN_MEMORY ? IN_MEMORY : queuePath(where, location)),
	shown: location => location,
	isOwnFile,
	exists: async location => existsSync(location),
	async open(location, options) {
		const {SqliteStore} = await import('./sqlite/sqlite.ts');
		const store = new SqliteStore(location, options);
		await store.counts();
		return store;
	},
	async inspect(location) {
		const {inspectFile} = await import('./sqlite/connection/inspect.ts');
		return inspectFile(queuePath('inspect()', location));
	},
	async move(location) {
		const {moveOfFile} = await import('./sqlite/connection/inspect.ts');
		return moveOfFile(queuePath('moveOf()', location));
	},
	async source(location) {
		const {SqliteSource} = await import('./sqlite/queue-move.ts');
		return SqliteSource.open(queuePath('moveQueue()', location));
	},
	async target(location, mayMake) {
		const {SqliteTarget} = await import('./sqlite/queue-move.ts');
		return SqliteTarget.open(queuePath('moveQueue()', location), mayMake);
	},
	async vacuum(location) {
		const {vacuumFile} = await import('./sqlite/connection/vacuum.ts');
		return vacuumFile(queuePath('vacuum()', location));
	},
	async backup(location, file) {
		const {backUpFile} = await import('./sqlite/backup.ts');
		return backUpFile(queuePath('backup()', location), queuePath('backup()', file));
	},
};

/** The first that matches is the kind of a location. */
const KINDS: readonly StoreKind[] = [POSTGRES, SQLITE];

/**
 * The kind of store that a location selects.
 * @throws FaenaError `BadOption` if it is a URL of no kind
 */
export function kindOf(location: string | URL): StoreKind {
	const kind = KINDS.find(each => each.matches(location)) as StoreKind;
	// As a path it would be shown in messages, with the password of a URL that is mistyped.
	if (kind === SQLITE && /:\/\/|\/\/[^/]*:.*@/.test(String(location)) && !(location instanceof URL && location.protocol === 'file:'))
		throw bad(
			'The queue must be the path of an SQLite file or a URL that begins with postgres://, and this is another URL. Correct its beginning; it is not shown here, since it may have a password',
		);
	return kind;
}

/** The location of a queue as it may be shown: without a password. */
export function shownLocation(location: string): string {
	return kindOf(location).shown(location);
}
