import {once} from 'node:events';
import {createServer, type Server, type Socket} from 'node:net';
import {deserialize, serialize} from 'node:v8';
import {Worker} from 'node:worker_threads';
import {Kind, readFrames, writeFrame} from '../../spawner/frames.ts';
import {workerUrl} from '../../support/node.ts';
import {wait} from '../../support/primordials.ts';
import {makeRendezvous, removeRendezvous, socketIn} from '../../support/rendezvous.ts';
import type {WorkerMessage} from '../../worker/messages.ts';
import type {Regions, WatchdogCommand} from './chunk-states.ts';

/**
 * The pool's end of the socket between it and the watchdog of a child process: a thread, whose event loop turns also while a task
 * computes. The watchdog gets commands by it; its answers and the messages of the process's main thread come back, in order. When the
 * pool hangs up, or its process dies, the watchdog ends its process.
 *
 * It is no pipe of the process's own: tasks read stdin and write to stdout, and so do their libraries, and the channel of
 * `process.send()` sends only while the event loop turns.
 */
export class ControlSocket {
	/** The folder in which the pool and the child process find each other. */
	readonly rendezvous: string;
	/** Resolves once the watchdog is there; rejects if the socket can't be opened. */
	readonly connected: Promise<void>;
	readonly #server: Server;
	#socket: Socket | undefined;

	constructor(receive: (message: unknown) => void, ownerLock?: string) {
		this.rendezvous = makeRendezvous(ownerLock);
		this.#server = createServer().unref();
		this.connected = this.#connect(receive);
		// Not by a cluster's primary.
		this.#server.listen({path: socketIn(this.rendezvous), exclusive: true});
	}

	send(command: WatchdogCommand): void {
		if (this.#socket?.writable) writeMessage(this.#socket, serialize(command));
	}

	/** Tells the watchdog to end its process. What was sent before still arrives. Returns false if there is no watchdog. */
	hangUp(): boolean {
		const socket = this.#socket;
		if (!socket || socket.destroyed) return false;
		socket.end();
		return true;
	}

	/** Cleans up after the process has ended, or could not be started. Resolves when all it sent was received. */
	async end(): Promise<void> {
		this.#server.close();
		const socket = this.#socket?.ref();
		// Not by once(), which rejects if a command fails that was on its way to the process when that died.
		if (socket && !socket.closed) await new Promise(resolve => void socket.once('close', resolve));
		removeRendezvous(this.rendezvous);
	}

	async #connect(receive: (message: unknown) => void): Promise<void> {
		const [socket] = (await once(this.#server, 'connection')) as [Socket];
		this.#server.close();
		this.#socket = socket.unref();
		// Of a process that is about to end nothing more is expected.
		socket.on('error', () => undefined);
		readMessages(socket, receive);
	}
}

/** What the watchdog thread is started with. */
export interface WatchdogStart {
	readonly regions: Regions;
	readonly rendezvous: string;
	readonly ownerLock: string | undefined;
	/** Of the main thread. */
	readonly heapLimitBytes: number;
	/** How many messages of the main thread it has sent. */
	readonly sent: Int32Array;
}

/**
 * Starts the watchdog; resolves when it is on duty. Returns how the main thread posts messages to the pool: each is waited for until it
 * has left the process. So whatever ends the process next, the pool has all messages; and a process can't post more than its pool takes.
 */
export async function startWatchdog(start: Omit<WatchdogStart, 'sent'>): Promise<(message: WorkerMessage) => void> {
	const sent = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
	const watchdog = new Worker(workerUrl('watchdog'), {workerData: {...start, sent} satisfies WatchdogStart, name: 'faena watchdog'});
	await once(watchdog, 'message');
	watchdog.unref();
	let posted = 0;
	return message => {
		const body = serialize(message);
		watchdog.postMessage(body, [body.buffer as ArrayBuffer]);
		wait(sent, 0, posted);
		posted = (posted + 1) | 0;
	};
}

/** Sends a serialized message; `then` is called once all of it has left this process. */
export function writeMessage(socket: Socket, body: Uint8Array, then?: () => void): void {
	writeFrame(socket, Kind.message, 0, body, then);
}

/** A message that can't be read is skipped. Its sender is broken; a worker that is silent for long is ended. */
export function readMessages(socket: Socket, receive: (message: unknown) => void): void {
	readFrames(socket, (_, __, body) => {
		let message: unknown;
		try {
			message = deserialize(body);
		} catch {
			return;
		}
		receive(message);
	});
}
