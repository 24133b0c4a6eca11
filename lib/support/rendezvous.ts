import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join, resolve} from 'node:path';

/** Makes a folder in which two processes find each other. Other users may not enter it. */
export function makeRendezvous(): string {
	// TMPDIR may be relative, and the program may work elsewhere by the time the folder is removed.
	const prefix = join(resolve(tmpdir()), 'faena-');
	// Temporary folders of some build systems lie too deep for a socket.
	const isTooLong = process.platform !== 'win32' && Buffer.byteLength(socketIn(`${prefix}XXXXXX`)) > MAX_SOCKET_PATH_BYTES;
	return mkdtempSync(isTooLong ? '/tmp/faena-' : prefix);
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
