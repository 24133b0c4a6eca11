import {AsyncResource} from 'node:async_hooks';
import {once} from 'node:events';
import {connect, type Socket} from 'node:net';
import {fromEnvelope} from '../job/failure.ts';
import {FaenaError} from '../support/errors.ts';
import {withResolvers} from '../support/primordials.ts';
import {type CommandEnd, Kind, readFrames, type StartCommand, writeFrame} from './frames.ts';
import type {SpawnerAddress} from './spawner.ts';

/** A command to start, and what is to be done with its output. */
export interface NewCommand extends Omit<StartCommand, 'env' | 'hasInput' | 'file' | 'args'> {
	readonly file: string;
	readonly args: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly input: Uint8Array | undefined;
	/** Gets a part of its output as soon as it comes. What follows is not sent before the promise is settled. */
	output(stream: 'stdout' | 'stderr', part: Buffer): Promise<void> | undefined;
}

/** Bytes of the input that are sent at once. The next come when the command has taken them. */
const INPUT_PART_BYTES = 64 * 1024;
/** The spawner may be lost between its answer and the connection. */
const MAX_TRIES = 3;

/** A worker's end of its connection with the spawner. It connects for the first command, and again if the spawner was lost. */
export class CommandClient {
	/** What arrives belongs to no job. */
	readonly #outside = new AsyncResource('FaenaCommands');
	readonly #ask: (lost: string | undefined) => void;
	/** The socket of the spawner that was lost. */
	#lost: string | undefined;
	#address: PromiseWithResolvers<SpawnerAddress> | undefined;
	#connection: Promise<Connection> | undefined;

	/** @param ask asks the pool for the spawner's address, which it gives to {@link receive}; also tells it which spawner was lost */
	constructor(ask: (lost: string | undefined) => void) {
		this.#ask = ask;
	}

	receive(address: SpawnerAddress): void {
		this.#address?.resolve(address);
		this.#address = undefined;
	}

	/** @throws FaenaError `CommandNotStarted` if there is no spawner */
	connect(): Promise<Connection> {
		this.#connection ??= this.#outside.runInAsyncScope(() => this.#connect());
		return this.#connection;
	}

	async #connect(): Promise<Connection> {
		try {
			for (let tries = 1; ; tries++) {
				this.#address ??= withResolvers();
				this.#ask(this.#lost);
				const address = await this.#address.promise;
				if ('error' in address) throw fromEnvelope(address.error);
				const socket = connect(address.socket);
				try {
					await once(socket, 'connect');
				} catch (error) {
					this.#lost = address.socket;
					if (tries < MAX_TRIES) continue;
					throw new FaenaError('CommandNotStarted', `The process that starts commands can't be reached: ${(error as Error).message}.`, {cause: error});
				}
				return new Connection(socket, address.worker, () => this.#reconnect(address.socket));
			}
		} catch (error) {
			this.#connection = undefined;
			throw error;
		}
	}

	/** The pool answers once the commands of a lost spawner are gone. */
	async #reconnect(lost: string): Promise<void> {
		this.#lost = lost;
		this.#connection = undefined;
		await this.connect().catch(() => undefined);
	}
}

interface Running extends Pick<NewCommand, 'output' | 'input'> {
	/** Bytes of the input that were sent. */
	sent: number;
	/** Parts of the output that it is busy with. */
	busy: number;
	readonly end: PromiseWithResolvers<CommandEnd | 'lost'>;
}

/** A connection, from its hello until the spawner ends. */
class Connection {
	readonly #socket: Socket;
	readonly #running = new Map<number, Running>();
	#last = 0;
	/** The environment of the last command, as JSON. */
	#env: string | undefined;

	/** @param lost called when the spawner was lost; resolves once its commands are gone */
	constructor(socket: Socket, worker: string, lost: () => Promise<void>) {
		this.#socket = socket.unref();
		socket.on('error', () => undefined);
		socket.once('close', async () => {
			await lost();
			for (const {end} of this.#running.values()) end.resolve('lost');
		});
		writeFrame(socket, Kind.hello, 0, worker);
		readFrames(socket, (kind, id, body) => this.#receive(kind, id, body));
	}

	/** Starts a command. Its end is `lost` if the spawner was lost, and the command with it. */
	start({file, args, cwd, env, nice, isVerbatim, input, output}: NewCommand): {
		readonly ended: Promise<CommandEnd | 'lost'>;
		kill(signal: NodeJS.Signals): void;
	} {
		const id = ++this.#last;
		const running: Running = {output, input, sent: 0, busy: 0, end: withResolvers()};
		this.#running.set(id, running);
		// A command keeps the caller's process alive, as one of its own would.
		this.#socket.ref();
		const known = JSON.stringify(env);
		const start: StartCommand = {
			...{file, args, cwd, nice, hasInput: input !== undefined},
			...(isVerbatim && {isVerbatim}),
			...(known !== this.#env && {env}),
		};
		this.#env = known;
		writeFrame(this.#socket, Kind.start, id, JSON.stringify(start));
		this.#sendInput(id, running);
		return {ended: running.end.promise, kill: signal => writeFrame(this.#socket, Kind.kill, id, signal)};
	}

	#receive(kind: number, id: number, body: Buffer): void {
		const running = this.#running.get(id);
		if (!running) return;
		if (kind === Kind.stdout) this.#output(id, running, 'stdout', body);
		else if (kind === Kind.stderr) this.#output(id, running, 'stderr', body);
		else if (kind === Kind.more) this.#sendInput(id, running);
		else if (kind === Kind.end) {
			this.#running.delete(id);
			if (this.#running.size === 0) this.#socket.unref();
			running.end.resolve(JSON.parse(body.toString()) as CommandEnd);
		}
	}

	#output(id: number, running: Running, stream: 'stdout' | 'stderr', part: Buffer): void {
		const taken = running.output(stream, part);
		if (!taken) return;
		if (running.busy++ === 0) writeFrame(this.#socket, Kind.hold, id);
		void taken.finally(() => {
			if (--running.busy === 0) writeFrame(this.#socket, Kind.release, id);
		});
	}

	#sendInput(id: number, running: Running): void {
		const {input, sent} = running;
		if (input === undefined) return;
		const part = input.subarray(sent, sent + INPUT_PART_BYTES);
		running.sent += part.length;
		if (part.length > 0) writeFrame(this.#socket, Kind.input, id, part);
		if (running.sent === input.length) {
			writeFrame(this.#socket, Kind.inputEnd, id);
			// The end, too.
			running.sent = Number.POSITIVE_INFINITY;
		}
	}
}

export type {Connection};
