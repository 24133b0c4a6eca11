import {once} from 'node:events';
import {mkdtempSync, rmSync} from 'node:fs';
import {createServer, type Server, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {basename, join, resolve} from 'node:path';
import {deserialize, serialize} from 'node:v8';
import type {WatchdogCommand} from './watchdog.ts';

/**
 * The pool's end of the socket between it and the watchdog of a child process. The watchdog gets commands by it; its answers
 * and the messages of the process's main thread come back, in order. When the pool hangs up, or its process dies, the watchdog
 * ends its process.
 *
 * It is no pipe of the process's own: tasks read stdin and write to stdout, and so do their libraries, and the channel of
 * `process.send()` sends only while the event loop turns.
 */
export class ControlSocket {
	/** Resolves once the watchdog is there; rejects if the socket can't be opened. */
	readonly connected: Promise<void>;
	readonly #server: Server;
	#socket: Socket | undefined;

	constructor(rendezvous: string, receive: (message: unknown) => void) {
		this.#server = createServer().unref();
		this.connected = this.#connect(receive);
		// Not by a cluster's primary.
		this.#server.listen({path: socketIn(rendezvous), exclusive: true});
	}

	send(command: WatchdogCommand): void {
		if (this.#socket?.writable) writeFrame(this.#socket, serialize(command));
	}

	/** Tells the watchdog to end its process. What was sent before still arrives. Returns false if there is no watchdog. */
	hangUp(): boolean {
		const socket = this.#socket;
		if (!socket || socket.destroyed) return false;
		socket.end();
		return true;
	}

	/** After the process has ended: resolves when all it sent was received. */
	async end(): Promise<void> {
		this.#server.close();
		const socket = this.#socket?.ref();
		// Not by once(), which rejects if a command fails that was on its way to the process when that died.
		if (socket && !socket.closed) await new Promise(resolve => void socket.once('close', resolve));
	}

	async #connect(receive: (message: unknown) => void): Promise<void> {
		const [socket] = (await once(this.#server, 'connection')) as [Socket];
		this.#server.close();
		this.#socket = socket.unref();
		// Of a process that is about to end nothing more is expected.
		socket.on('error', () => undefined);
		readFrames(socket, receive);
	}
}

/** Before each message on a socket: how many bytes it has. */
const LENGTH_BYTES = 4;

/** Sends a serialized message. `then` is called once all of it has left this process. */
export function writeFrame(socket: Socket, body: Uint8Array, then?: () => void): void {
	const length = Buffer.alloc(LENGTH_BYTES);
	length.writeUInt32LE(body.length);
	socket.cork();
	socket.write(length);
	socket.write(body, then);
	socket.uncork();
}

/** Calls `receive` with each message that comes by the socket. */
export function readFrames(socket: Socket, receive: (message: unknown) => void): void {
	let parts: Buffer[] = [];
	let size = 0;
	let bodyBytes: number | undefined;
	socket.on('data', part => {
		parts.push(part as Buffer);
		size += part.length;
		for (let end = bodyBytes ?? LENGTH_BYTES; size >= end; end = bodyBytes ?? LENGTH_BYTES) {
			const all = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
			const piece = all.subarray(0, end);
			parts = [all.subarray(end)];
			size -= end;
			if (bodyBytes === undefined) bodyBytes = piece.readUInt32LE();
			else {
				bodyBytes = undefined;
				const message = read(piece);
				if (message !== undefined) receive(message.content);
			}
		}
	});
}

/** A message that can't be read is skipped. Its sender is broken; a worker that is silent for long is ended. */
function read(body: Uint8Array): {readonly content: unknown} | undefined {
	try {
		return {content: deserialize(body)};
	} catch {
		return undefined;
	}
}

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
