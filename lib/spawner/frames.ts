import type {Readable, Writable} from 'node:stream';

/**
 * Messages with a spawner: from a worker and back by a socket, from the engine and back by its stdin and stdout. Output and input of
 * commands are sent as they are, everything else as JSON:
 *
 *     length of the rest, 4 bytes | kind, 1 byte | number of the command or request, 4 bytes | body
 */
export const Kind = {
	/** From a worker, before all others: its name. */
	hello: 0,
	/** From a worker: {@link StartCommand}. */
	start: 1,
	/** From a worker: a part of the input. */
	input: 2,
	/** From a worker: the input is complete. */
	inputEnd: 3,
	/** From a worker: the name of a signal for the command's process group. SIGKILL also ends what has left the group. */
	kill: 4,
	/** To a worker: the command may have the next part of its input. */
	more: 5,
	stdout: 6,
	stderr: 7,
	/** To a worker: {@link CommandEnd}. */
	end: 8,
	/** From the engine: end the commands of the worker with this name, which has ended. */
	endWorker: 9,
	/** To the engine: these have ended, or (with a body) some may live. */
	workerEnded: 10,
	/** To the engine: workers may connect. */
	ready: 11,
	/** From a worker: send no more output of the command until {@link Kind.release}. */
	hold: 12,
	release: 13,
	/** Between a pool and a watchdog, which have no other kind. */
	message: 14,
} as const;

export interface StartCommand {
	readonly file: string;
	readonly args: readonly string[];
	readonly cwd: string;
	/** Left out if it is that of the command before. */
	readonly env?: Readonly<Record<string, string>>;
	readonly hasInput: boolean;
	readonly nice?: number | undefined;
	/** The arguments are not quoted, which only cmd.exe needs. */
	readonly isVerbatim?: boolean;
}

export type CommandEnd =
	| {readonly exitCode: number | null; readonly signal: string | null}
	/** It was not started. */
	| {readonly code: string | undefined; readonly message: string};

/** How a process ended, for people. */
export function howItEnded(exitCode: number | null, signal: string | null | undefined): string {
	return signal ? `was ended by ${signal}` : `ended with exit code ${exitCode}`;
}

const LENGTH_BYTES = 4;
const HEAD_BYTES = 9;
const EMPTY = new Uint8Array();
/** A body is copied behind its head if it is shorter than this: two writes cost more. */
const MIN_APART_BYTES = 4096;

/** @param then called once all of it has left this process */
export function writeFrame(stream: Writable, kind: number, id: number, body: Uint8Array | string = EMPTY, then?: () => void): void {
	const bytes = typeof body === 'string' ? Buffer.from(body) : body;
	const isApart = bytes.length >= MIN_APART_BYTES;
	const head = Buffer.allocUnsafe(isApart ? HEAD_BYTES : HEAD_BYTES + bytes.length);
	head.writeUInt32LE(HEAD_BYTES - LENGTH_BYTES + bytes.length, 0);
	head.writeUInt8(kind, 4);
	head.writeUInt32LE(id, 5);
	if (!isApart) head.set(bytes, HEAD_BYTES);
	stream.cork();
	stream.write(head, isApart ? undefined : then);
	if (isApart) stream.write(bytes, then);
	stream.uncork();
}

/** Calls `receive` for each message. The body is a part of what was read, and not a copy. */
export function readFrames(stream: Readable, receive: (kind: number, id: number, body: Buffer) => void): void {
	let parts: Buffer[] = [];
	let size = 0;
	let neededBytes = LENGTH_BYTES;
	stream.on('data', (part: Buffer) => {
		parts.push(part);
		size += part.length;
		while (size >= neededBytes) {
			const all = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
			// A broken sender must not end the reader.
			const end = Math.max(HEAD_BYTES, LENGTH_BYTES + all.readUInt32LE(0));
			parts = [all];
			neededBytes = end;
			if (size < end) break;
			parts = end === size ? [] : [all.subarray(end)];
			size -= end;
			neededBytes = LENGTH_BYTES;
			receive(all.readUInt8(4), all.readUInt32LE(5), all.subarray(HEAD_BYTES, end));
		}
	});
}
