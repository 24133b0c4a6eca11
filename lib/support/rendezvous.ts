import {createHash, randomBytes} from 'node:crypto';
import {lstatSync, mkdirSync, rmdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, dirname, join, resolve} from 'node:path';

/**
 * The folder of an owner, or of a program without one, for all its {@link makeRendezvous}. Its name follows from the owner's lock: whoever removes that
 * lock removes the folder, whatever was being started when the owner was killed.
 */
export function rendezvousFolder(ownerLock?: string): string {
	const id = ownerLock === undefined ? randomBytes(6) : createHash('sha256').update(basename(ownerLock)).digest();
	const name = `faena-${id.toString('hex', 0, 6)}`;
	// TMPDIR may be relative, and the program may work elsewhere by the time the folder is removed.
	const path = join(resolve(tmpdir()), name);
	// Temporary folders of some build systems lie too deep for a socket.
	const isTooLong = process.platform !== 'win32' && Buffer.byteLength(socketIn(join(path, '01234567'))) > MAX_SOCKET_PATH_BYTES;
	return isTooLong ? join('/tmp', name) : path;
}

/** Makes a folder in which two processes find each other, and which other users may not enter. */
export function makeRendezvous(ownerLock?: string): string {
	const folder = rendezvousFolder(ownerLock);
	const path = join(folder, randomBytes(4).toString('hex'));
	mkdirSync(path, {recursive: true, mode: 0o700});
	const {uid, mode} = lstatSync(folder);
	const isOwn = uid === (process.getuid?.() ?? uid) && (process.platform === 'win32' || (mode & 0o077) === 0);
	if (isOwn) return path;
	throw new Error(`${folder} may belong to another user, or be entered by others.`);
}

/** The longest path of a socket on macOS; Linux takes four bytes more. */
const MAX_SOCKET_PATH_BYTES = 103;

/** The path of the socket in the folder. */
export function socketIn(rendezvous: string): string {
	const pipe = `${basename(dirname(rendezvous))}-${basename(rendezvous)}`;
	return process.platform === 'win32' ? join('\\\\.\\pipe', pipe) : join(rendezvous, 'control');
}

/** Removes the folder, if it is still there, and the owner's with the last one. */
export function removeRendezvous(rendezvous: string): void {
	try {
		rmSync(rendezvous, {recursive: true, force: true});
		rmdirSync(dirname(rendezvous));
	} catch {
		// The owner has others. On Windows an open file can't be removed; the other side does it at the end.
	}
}
