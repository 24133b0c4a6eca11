import {randomBytes} from 'node:crypto';
import {mkdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join, resolve} from 'node:path';

/** The path of a folder, not made yet, in which two processes find each other. */
export function newRendezvous(): string {
	const name = `faena-${randomBytes(6).toString('hex')}`;
	// TMPDIR may be relative, and the program may work elsewhere by the time the folder is removed.
	const path = join(resolve(tmpdir()), name);
	// Temporary folders of some build systems lie too deep for a socket.
	const isTooLong = process.platform !== 'win32' && Buffer.byteLength(socketIn(path)) > MAX_SOCKET_PATH_BYTES;
	return isTooLong ? join('/tmp', name) : path;
}

/** Makes the folder. Other users may not enter it. */
export function makeRendezvous(path = newRendezvous()): string {
	mkdirSync(path, {mode: 0o700});
	return path;
}

/** The longest path of a socket on macOS; Linux takes four bytes more. */
const MAX_SOCKET_PATH_BYTES = 103;

/** The path of the socket in the folder. */
export function socketIn(rendezvous: string): string {
	return process.platform === 'win32' ? join('\\\\.\\pipe', basename(rendezvous)) : join(rendezvous, 'control');
}

/** Removes the folder, if it is still there. */
export function removeRendezvous(rendezvous: string): void {
	try {
		rmSync(rendezvous, {recursive: true, force: true});
	} catch {
		// On Windows an open file can't be removed; the other side does it at the end.
	}
}
