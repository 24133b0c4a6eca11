import {mkdirSync, readdirSync, readFileSync, rmSync, statSync} from 'node:fs';
import {hostname, tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
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

/** A program may print for so long after its engine has ended, and its lock is gone. */
const MAX_PRINTING_MS = 24 * 3600 * 1000;

/**
 * The folder for outputs of commands that the owner's program has not printed yet. If the owner dies, it is removed with the lock.
 * @param files `undefined` if the queue has no files: then it lies in a folder of this user, and is removed a day later
 */
export function outputsAt(files: string | undefined, owner: OwnerId): string | undefined {
	const from = files ?? ownerFilesAt('map');
	if (files === undefined && from !== undefined) removeOldOutputs(dirname(from));
	return from && `${ownerLockAt(from, owner)}-output`;
}

function removeOldOutputs(folder: string): void {
	for (const name of readdirSync(folder)) {
		const path = join(folder, name);
		if (/^map-owner-.*-output$/.test(name) && areOldOutputs(path)) rmSync(path, {recursive: true, force: true});
	}
}

/** True if nobody prints these outputs any more, though no lock says so. */
export function areOldOutputs(path: string): boolean {
	return Date.now() - (statSync(path, {throwIfNoEntry: false})?.mtimeMs ?? Infinity) > MAX_PRINTING_MS;
}
