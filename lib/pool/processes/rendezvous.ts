import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join, resolve} from 'node:path';

/** What a socket's path may be long, in bytes: on macOS; Linux takes four more. */
const MAX_SOCKET_PATH_BYTES = 103;

/** Makes a folder that nobody else may enter, in which a pool and its child process find each other. */
export function openMeetingPlace(): string {
	// TMPDIR may be relative, and the program may work elsewhere by the time the folder is removed.
	const prefix = join(resolve(tmpdir()), 'faena-');
	// Temporary folders of some build systems lie too deep for a socket.
	const isTooLong = process.platform !== 'win32' && Buffer.byteLength(socketAt(`${prefix}XXXXXX`)) > MAX_SOCKET_PATH_BYTES;
	return mkdtempSync(isTooLong ? '/tmp/faena-' : prefix);
}

/** The file of {@link RemoteChunkStates}. */
export function boardAt(place: string): string {
	return join(place, 'board');
}

/** The socket of the {@link ControlSocket}. */
export function socketAt(place: string): string {
	return process.platform === 'win32' ? join('\\\\.\\pipe', basename(place)) : join(place, 'line');
}

/** For whoever comes last, so that nothing stays, however both sides end: the child, or the pool if it never came. */
export function closeMeetingPlace(place: string): void {
	try {
		rmSync(place, {recursive: true, force: true});
	} catch {
		// On Windows an open file can't be removed; the pool does it at the end.
	}
}
