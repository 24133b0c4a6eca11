import {existsSync, statSync} from 'node:fs';
import {dirname} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Vacuumed} from '../../../job/events.ts';
import {FaenaError} from '../../../support/errors.ts';
import {isInUse} from '../../owners/owner-lock.ts';
import {retryWhileBusy} from '../../sqlite-errors.ts';
import {refuse} from '../../trusted-files.ts';
import {withFile} from './connection.ts';
import type {OwnerValues} from './statements.sql.ts';

/** Writes of an engine wait as long as it takes to write the content anew, and fail after 10 s. A slow disk writes this much in half of that. */
const MAX_BYTES_IN_USE = 256 * 1024 ** 2;

/** Engines read for a few milliseconds. Another program may read for any time. */
const MAX_WAIT_MS = 1000;
const RETRY_MS = 10;

/** Gives the free part of a database back to the disk. */
export async function vacuumFile(path: string): Promise<Vacuumed> {
	if (!existsSync(path)) refuse(`There is no database ${path}. Name an existing file.`);
	return withFile(path, false, async connection => {
		const {databaseBytes: beforeBytes, freeBytes} = connection.size();
		const names = (connection.statements.owners.all() as OwnerValues[]).map(([, name]) => name);
		if (beforeBytes - freeBytes > MAX_BYTES_IN_USE && isInUse(path, names)) {
			throw new FaenaError(
				'DatabaseBusy',
				`${path} is in use by an engine, which would have to wait too long: more than ${MAX_BYTES_IN_USE / 1024 ** 2} MiB must be written anew. Close the engines on it, then try again.`,
			);
		}
		await retryWhileBusy(() => withTemporaryFolder(dirname(path), () => connection.vacuum()));
		for (let waitedMs = 0; !connection.shorten() && waitedMs < MAX_WAIT_MS; waitedMs += RETRY_MS) await sleep(RETRY_MS);
		const [{databaseBytes}, afterBytes] = [connection.size(), statSync(path).size];
		return {beforeBytes, afterBytes, ...(databaseBytes < afterBytes && {laterBytes: databaseBytes})};
	});
}

/** SQLite writes the new content to a temporary file first, by default in a folder that is often in memory. It reads the variable each time. */
function withTemporaryFolder(folder: string, run: () => void): void {
	const isSet = process.env['SQLITE_TMPDIR'] !== undefined;
	if (!isSet) process.env['SQLITE_TMPDIR'] = folder;
	try {
		run();
	} finally {
		if (!isSet) delete process.env['SQLITE_TMPDIR'];
	}
}
