import {closeSync, existsSync, openSync} from 'node:fs';
import {FaenaError} from '../../support/errors.ts';

/** Payloads may be secrets: the file, and with it SQLite's side files, is readable by its owner alone. */
export function createPrivately(path: string): void {
	if (existsSync(path)) return;
	try {
		closeSync(openSync(path, 'wx', 0o600));
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
		if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw storageFull(path, error);
		throw new FaenaError('BadDatabase', `${path} can not be created: ${(error as Error).message}.`, {cause: error});
	}
}

/** Of a write that found no space on the disk. */
export function storageFull(path: string, cause: unknown): FaenaError {
	return new FaenaError('StorageFull', `There was no room for ${path} to grow: the disk is full. Nothing of this was kept; free some space and try again.`, {
		cause,
	});
}
