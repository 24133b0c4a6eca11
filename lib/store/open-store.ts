import {bad, boolean, type Checks, checked, choice, giving, number, type Size, text, time} from '../job/checks.ts';
import {blobThreshold, lease, queuePath} from '../job/options.ts';
import type {SqliteOptions} from './sqlite/sqlite.ts';
import type {JobQueue} from './store.ts';

export interface QueueOptions extends Pick<SqliteOptions, 'durability' | 'readOnly' | 'now' | 'random'> {
	/** An owner silent for longer is taken for dead; default 30 s, at least 1 s. */
	readonly lease?: number | string;
	/** As the option of `open()`: results of more bytes lie in files of their own. */
	readonly blobs?: {readonly threshold: Size};
}

/**
 * Opens a queue by itself, for programs that bring their own loop, and for benchmarks.
 * @param location an SQLite file, created if it is not there, or `:memory:` for a queue that ends with the process
 * @throws FaenaError `BadOption`, `BadDatabase`, `NewerDatabase`
 */
export async function openQueue(location: string, options: QueueOptions = {}): Promise<JobQueue> {
	if (typeof location !== 'string' || location === '') throw bad(`openQueue() expects the path of an SQLite file; it got ${typeof location}`);
	const {lease: leaseMs, blobs: blobThresholdBytes, ...rest} = checked('openQueue()', options, QUEUE_CHECKS);
	const settings = {...rest, ...(leaseMs !== undefined && {leaseMs}), ...(blobThresholdBytes !== undefined && {blobThresholdBytes})} as SqliteOptions;
	// Loaded only now, as most programs have an engine, which loads them in a thread of its own.
	if (location !== ':memory:') {
		const path = queuePath('openQueue()', text(location));
		return (await import('./sqlite/sqlite.ts')).openSqlite(path, settings);
	}
	return new (await import('./memory.ts')).MemoryQueue(settings);
}

export const QUEUE_CHECKS: Checks = {
	durability: choice('full', 'normal'),
	readOnly: boolean,
	lease,
	blobs: blobThreshold('openQueue({blobs})'),
	now: giving('openQueue()', 'now', time),
	random: giving('openQueue()', 'random', number(0, 1)),
};
