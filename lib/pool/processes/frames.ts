import type {Socket} from 'node:net';
import {deserialize} from 'node:v8';

/** Before each message on a socket: how many bytes it has. */
const HEAD_BYTES = 4;

/** Sends a serialized message. `then` is called once all of it has left this process. */
export function writeFrame(socket: Socket, body: Uint8Array, then?: () => void): void {
	const head = Buffer.alloc(HEAD_BYTES);
	head.writeUInt32LE(body.length);
	socket.cork();
	socket.write(head);
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
		for (let end = bodyBytes ?? HEAD_BYTES; size >= end; end = bodyBytes ?? HEAD_BYTES) {
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

/** Of a message that can't be read nothing is known. Its sender is broken, and ended when it says nothing for long. */
function read(body: Uint8Array): {readonly content: unknown} | undefined {
	try {
		return {content: deserialize(body)};
	} catch {
		return undefined;
	}
}
