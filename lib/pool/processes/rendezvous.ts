import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join, resolve} from 'node:path';

/** The longest path of a socket on macOS; Linux takes four bytes more. */
const MAX_SOCKET_PATH_BYTES = 103;

/** Makes the folder in which a pool and its child process find each other. Other users may not enter it. */
export function makeRendezvous(): string {
	// TMPDIR may be relative, and the program may work elsewhere by the time the folder is removed.
	const prefix = join(resolve(tmpdir()), 'faena-');
	// Temporary folders of some build systems lie too deep for a socket.
	const isTooLong = process.platform !== 'win32' && Buffer.byteLength(socketIn(`${prefix}XXXXXX`)) > MAX_SOCKET_PATH_BYTES;
	return mkdtempSync(isTooLong ? '/tmp/faena-' : prefix);
}

/** The file of {@link RemoteChunkStates}. */
export function chunkStateFileIn(rendezvous: string): string {
	return join(rendezvous, 'chunk-state');
}

/** The socket of the {@link ControlSocket}. */
export function socketIn(rendezvous: string): string {
	return process.platform === 'win32' ? join('\\\\.\\pipe', basename(rendezvous)) : join(rendezvous, 'control');
}

/** Removes the folder. The child does it once both sides have met; the pool does it at the end, in case the child never came. */
export function removeRendezvous(rendezvous: string): void {
	try {
		rmSync(rendezvous, {recursive: true, force: true});
	} catch {
		// On Windows an open file can't be removed; the pool does it at the end.
	}
}
