import type {Clock} from '../support/clock.ts';
import type {PostgresPool} from './postgres-client.ts';

/** The location of a store without files, which ends with the process. */
export const IN_MEMORY = ':memory:';

/** Options with which a store is opened. */
export interface OpenStoreOptions {
	/** `full` (default): a commit survives a loss of power. `normal`: it survives a crash of the process. */
	readonly durability?: 'full' | 'normal' | undefined;
	/** A Pool of the driver `pg` that the program brings, for the URL of a PostgreSQL database. It stays open, and its options count. */
	readonly pool?: PostgresPool | undefined;
	/** Opens the file for reading alone, and changes nothing; default false. While another program has it open, file and folder need not be writable. */
	readonly readOnly?: boolean | undefined;
	/** The time without a heartbeat after which an owner is taken for dead; default 30,000. */
	readonly leaseMs?: number | undefined;
	/** Encoded results of more bytes lie in files of their own, in the folder `DATABASE-blobs`; default: no limit. */
	readonly blobThresholdBytes?: number | undefined;
	/** Default: the clock of the system. */
	readonly clock?: Pick<Clock, 'now' | 'steadyMs' | 'every'> | undefined;
	/** A number in [0, 1), for the jitter of the backoff. */
	readonly random?: (() => number) | undefined;
}
