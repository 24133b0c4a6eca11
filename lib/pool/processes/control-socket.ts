import {once} from 'node:events';
import {createServer, type Server, type Socket} from 'node:net';
import {serialize} from 'node:v8';
import type {WatchdogCommand} from './child-chunk-state.ts';
import {readFrames, writeFrame} from './frames.ts';
import {socketAt} from './rendezvous.ts';

/**
 * The pool's end of the socket between it and the watchdog of a child process. The watchdog gets commands by it; what the
 * process's main thread says comes back, in order. When the pool hangs up, or its process dies, the watchdog ends its process.
 *
 * It is no pipe of the process's own: tasks read stdin and write to stdout, and so do their libraries, and the channel of
 * `process.send()` sends only while the event loop turns.
 */
export class ControlSocket {
	/** Resolves once the watchdog is there; rejects if it has no place to come to. */
	readonly connected: Promise<void>;
	readonly #server: Server;
	#socket: Socket | undefined;

	constructor(place: string, receive: (message: unknown) => void) {
		this.#server = createServer().unref();
		this.connected = this.#connect(receive);
		// Not by a cluster's primary.
		this.#server.listen({path: socketAt(place), exclusive: true});
	}

	send(command: WatchdogCommand): void {
		if (this.#socket?.writable) writeFrame(this.#socket, serialize(command));
	}

	/** Tells the watchdog to end its process. What it has to say before still comes. Returns false if there is no watchdog. */
	hangUp(): boolean {
		const socket = this.#socket;
		if (!socket || socket.destroyed) return false;
		socket.end();
		return true;
	}

	/** After the process has ended: resolves when all it said was received. */
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
