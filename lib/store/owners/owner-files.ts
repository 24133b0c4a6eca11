import {mkdirSync, readFileSync} from 'node:fs';
import {hostname, tmpdir} from 'node:os';
import {join} from 'node:path';
import type {OwnerId} from '../../job/claim.ts';
import {refuseUntrustedFolder} from '../trusted-files.ts';

/** This machine since it was started. Stores of other machines may see the same folder, in which locks of this one seem free. */
export const HOST = bootId() ?? hostname();

function bootId(): string | undefined {
	try {
		return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
	} catch {
		return undefined;
	}
}

/**
 * The path from which those of the owners' files are made, in a folder that only this user can write to. Returns `undefined` if there can be none: then an
 * owner that has died shows only by its silence.
 * @param place names the queue, and no copy of it
 */
export function ownerFilesAt(place: string): string | undefined {
	const folder = join(tmpdir(), `faena-${process.getuid?.() ?? ''}`);
	try {
		mkdirSync(folder, {mode: 0o700, recursive: true});
		refuseUntrustedFolder(folder);
		return join(folder, place);
	} catch {
		return undefined;
	}
}

/**
 * The path of an owner's lock, a small SQLite database. A living owner holds a lock on this file. The operating system drops the lock when the process ends, however it ends.
 * So this works although process ids are reused, and between containers that share a volume. The owner's child processes hold shares in the lock:
 * as long as one of them may be running a job, no process reclaims the owner's jobs.
 */
export function ownerLockAt(files: string, owner: OwnerId): string {
	return `${files}-owner-${owner}`;
}

/** The folder for outputs of commands that the owner's program has not printed yet. If the owner dies, it is removed with the lock. */
export function outputsAt(files: string, owner: OwnerId): string {
	return `${ownerLockAt(files, owner)}-output`;
}
