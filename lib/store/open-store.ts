import {bad, boolean, type Checks, checked, choice, type Duration, giving, kind, number, type Size, show, time} from '../job/checks.ts';
import type {BackedUp, Vacuumed} from '../job/events.ts';
import {blobThreshold, lease} from '../job/options.ts';
import {systemClock} from '../support/clock.ts';
import {JobQueue} from './job-queue.ts';
import {kindOf} from './kinds.ts';
import type {PostgresPool} from './postgres-client.ts';
import {postgresParts} from './postgres-url.ts';
import type {Store} from './store.ts';
import {IN_MEMORY, type OpenStoreOptions} from './store-options.ts';

/** Options of {@link openQueue}. @example const options: QueueOptions = {durability: 'normal'}; */
export interface QueueOptions extends Pick<OpenStoreOptions, 'durability' | 'readOnly' | 'random' | 'pool'> {
	/** The time without a heartbeat after which an owner is taken for dead; default 30 s, at least 1 s. */
	readonly lease?: Duration;
	/** As the option of `open()`: larger results lie in files of their own. */
	readonly blobs?: {readonly threshold: Size};
	/** The wall clock, in milliseconds since 1970; default: the system's. */
	readonly now?: () => number;
}

/**
 * Opens the store at a location. It loads SQLite only when it is called: a program with an engine does not need SQLite in its own thread.
 * @param location the path of an SQLite file, which is created if it does not exist; the URL of a PostgreSQL database, in which the schema is made; or
 *   `:memory:` for a store that ends with the process
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`
 */
export async function openStore(location: string, options: OpenStoreOptions = {}): Promise<Store> {
	const kind = kindOf(location);
	return kind.open(kind.locate('openQueue()', location), options);
}

/**
 * Opens a queue without an engine, for programs with a loop of their own and for benchmarks.
 * @param location the path of an SQLite file, which is created if it does not exist; the URL of a PostgreSQL database, in which the schema is made; or
 *   `:memory:` for a queue that ends with the process
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`
 * @example const queue = await openQueue('jobs.db');
 */
export async function openQueue(location: string, options: QueueOptions = {}): Promise<JobQueue> {
	if (typeof location !== 'string' || location === '')
		throw bad(`openQueue() expects the path of an SQLite file, the URL of a PostgreSQL database, or ':memory:'; it got ${show(location)}`);
	const {lease: leaseMs, blobs: blobThresholdBytes, now, ...rest} = checked('openQueue()', options, QUEUE_CHECKS) as CheckedOptions;
	if (location === IN_MEMORY && rest.readOnly) throw bad("openQueue(':memory:') is a new queue, so readOnly is of no use; leave it out");
	if (rest.pool && kindOf(location).hasFiles) throw bad('openQueue() takes the option pool only with the URL of a PostgreSQL database, such as postgres://');
	return new JobQueue(await openStore(location, {...rest, leaseMs, blobThresholdBytes, clock: now && {...systemClock, now}}));
}

/**
 * Gives the space of deleted jobs back to the disk: writes the content of a queue's file anew, without the free parts. This needs free space of up to
 * twice the content, and takes about a second per 100 MB, in which it blocks the event loop of the caller. Other programs may read meanwhile; their
 * writes wait. SQLite's temporary file lies beside the queue's file, unless the environment variable `SQLITE_TMPDIR` names a folder; in a worker
 * thread, which can't set that variable, in SQLite's default folder.
 * @param location the path of an SQLite file that exists
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`, `StorageFull`; `DatabaseBusy` if an engine uses a file with more than 256 MiB of content
 * @example await vacuum('jobs.db');
 */
export async function vacuum(location: string): Promise<Vacuumed> {
	if (typeof location !== 'string' || location === '' || location === IN_MEMORY)
		throw bad(`vacuum() expects the path of an SQLite file; it got ${show(location)}`);
	return kindOf(location).vacuum(location);
}

/**
 * Copies a queue to a new file, with its large results in the folder `FILE-blobs` beside it, while engines go on. The copy is one moment of the queue. In it
 * no job runs and no map has a batch, as after the death of every program. It takes about a second per 100 MB, in which it blocks the event loop of the
 * caller; meanwhile the log of the queue grows. The file gets its content when the copy is whole.
 * @param location the path of an SQLite file that exists
 * @param file the path of the copy, which must not exist
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`, `StorageFull`, `DatabaseBusy`
 * @example await backup('jobs.db', 'copy.db');
 */
export async function backup(location: string, file: string): Promise<BackedUp> {
	for (const path of [location, file])
		if (typeof path !== 'string' || path === '' || path === IN_MEMORY)
			throw bad(`backup() expects the path of an SQLite file, and the path of the copy; it got ${show(path)}`);
	if (kindOf(location).hasFiles && !kindOf(file).hasFiles) throw bad('backup() writes an SQLite file; name a path for it');
	return kindOf(location).backup(location, file);
}

/**
 * The SQL that makes the queue in the schema of a PostgreSQL database, or prepares it for this release of Faena.
 * @throws FaenaError `BadOption`
 */
export async function schemaSql(location: string): Promise<string> {
	const {schemasFor} = await import('./postgres/connection/schema.ts');
	const {upgrade} = await import('./postgres/connection/migrate.ts');
	const {schema} = postgresParts(location);
	return `-- Run it as the owner of the schema. If the owner may not create schemas, let someone who may first run:
-- ${schemasFor(schema).replace(/[\r\n]/g, ' ')}
-- It gives way to a long query or transaction that holds a table ("lock timeout"), and has then changed nothing: run it again.

begin;

${upgrade(schema)}
commit;
`;
}

type CheckedOptions = Omit<QueueOptions, 'lease' | 'blobs'> & {readonly lease?: number; readonly blobs?: number};

const pool = kind<PostgresPool>('a Pool of the package pg', value => typeof Object(value).connect === 'function');

export const QUEUE_CHECKS: Checks = {
	durability: choice('full', 'normal'),
	readOnly: boolean,
	pool,
	lease,
	blobs: blobThreshold('openQueue({blobs})'),
	now: giving('openQueue()', 'now', time),
	random: giving('openQueue()', 'random', number(0, 1)),
};
