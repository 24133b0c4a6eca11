import {type ChildProcess, spawn} from 'node:child_process';
import {join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {nanoid} from 'nanoid';
import {type ErrorEnvelope, toEnvelope} from '../job/failure.ts';
import {sleep, systemClock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {workerUrl} from '../support/node.ts';
import {makeRendezvous, removeRendezvous, socketIn} from '../support/rendezvous.ts';
import {howItEnded, Kind, readFrames, writeFrame} from './frames.ts';
import {endLivingCommands, makeList} from './living-commands.ts';
import {WORKER_ENV} from './process-table.ts';

/** What the spawner is started with. */
export interface SpawnerStart {
	readonly rendezvous: string;
	/** The path of the list of its living commands. */
	readonly list: string;
	readonly ownerLock: string | undefined;
	/** The priority of commands that name none. */
	readonly nice: number | undefined;
	/** In the environment of the spawner and of its commands. */
	readonly mark: string;
}

/** Where a worker finds the spawner, and by which name it is known there; or why there is none. */
export type SpawnerAddress = {readonly socket: string; readonly worker: string} | {readonly error: ErrorEnvelope};

export interface SpawnerOptions extends Partial<Pick<SpawnerStart, 'nice' | 'ownerLock'>> {
	/** The path of the list of living commands; default: in the spawner's own folder, where no other engine looks. */
	readonly list?: string | undefined;
}

/** A spawner, as the pool sees it. If it dies, its commands are ended before workers hear of it: they ask again, and so get another one. */
export class Spawner {
	readonly #options: SpawnerOptions;
	/** By worker: the name by which the spawner knows it. */
	readonly #names = new WeakMap<object, string>();
	#process: SpawnerProcess | undefined;
	#isClosed = false;

	constructor(options: SpawnerOptions) {
		this.#options = options;
	}

	/** Starts the spawner, if there is none. `lost`: the socket of the one that the worker has lost, perhaps before the engine knows it. */
	async addressFor(worker: object, lost?: string): Promise<SpawnerAddress> {
		try {
			if (lost !== undefined && lost === this.#process?.socket) await this.#process.ended();
			while (this.#process?.isLost) await this.#process.gone;
			if (this.#isClosed) throw new FaenaError('Closed', 'The engine is closed, so that no command is started.');
			this.#process ??= new SpawnerProcess(this.#options, own => {
				if (this.#process === own) this.#process = undefined;
			});
			const {ready, socket} = this.#process;
			await ready.promise;
			const name = this.#names.get(worker) ?? nanoid();
			this.#names.set(worker, name);
			return {socket, worker: name};
		} catch (error) {
			return {error: toEnvelope(error)};
		}
	}

	/** Kills the commands of a worker that has ended, if it has some. Resolves once they are gone; with false if some may live. */
	endCommandsOf(worker: object): Promise<boolean> | undefined {
		const name = this.#names.get(worker);
		return name === undefined ? undefined : this.#process?.endWorker(name);
	}

	/** Kills all commands, and ends the spawner. Resolves once it has ended. */
	async close(): Promise<void> {
		this.#isClosed = true;
		await this.#process?.end();
	}
}

/** Options of V8's for a small process without threads of V8's: a start of a command then takes an eighth less CPU time. */
const SMALL = ['--single-threaded', '--max-semi-space-size=1'];
/** Characters kept of the end of stderr. */
const STDERR_TAIL = 2048;
/** A spawner that has not ended its commands by then is killed itself, and the engine ends them. */
const ENDING_MS = 10_000;

class SpawnerProcess {
	readonly #start: SpawnerStart;
	readonly #child: ChildProcess;
	/** Workers may connect. */
	readonly ready = Promise.withResolvers<void>();
	/** By number of the request. */
	readonly #requests = new Map<number, (areGone: boolean) => void>();
	#lastRequest = 0;
	#isEnding = false;
	#stderr = '';
	isLost = false;
	/** Resolves when it and its commands have ended; with false if some of these may live. */
	readonly gone: Promise<boolean>;

	constructor({ownerLock, list: given, nice}: SpawnerOptions, onGone: (own: SpawnerProcess) => void) {
		let rendezvous: string | undefined;
		try {
			rendezvous = makeRendezvous(ownerLock);
			const list = given === undefined ? join(rendezvous, 'commands') : resolve(given);
			this.#start = {rendezvous, list, ownerLock: ownerLock && resolve(ownerLock), nice, mark: nanoid()};
			makeList(list, this.#start.mark);
		} catch (error) {
			if (rendezvous !== undefined) removeRendezvous(rendezvous);
			throw this.#toError(error as Error);
		}
		// Options of this Node, such as those that load other modules, would only make it larger: each start of a command copies its page tables.
		const {NODE_OPTIONS: _, ...env} = process.env;
		this.#child = spawn(process.execPath, [...SMALL, fileURLToPath(workerUrl('spawner')), JSON.stringify(this.#start)], {
			// A signal to the program's process group must not end it before its commands.
			...{detached: true, windowsHide: true, stdio: 'pipe', env: {...env, [WORKER_ENV]: this.#start.mark}},
			// It must not keep a folder from being removed.
			...(process.platform !== 'win32' && {cwd: '/'}),
		});
		this.gone = this.#follow().finally(() => onGone(this));
		// If it fails, those who wait for it hear of it.
		this.ready.promise.catch(() => undefined);
	}

	get socket(): string {
		return socketIn(this.#start.rendezvous);
	}

	async endWorker(name: string): Promise<boolean> {
		if (this.isLost) return this.gone;
		const request = ++this.#lastRequest;
		const ended = new Promise<boolean>(resolve => void this.#requests.set(request, resolve));
		if (this.#child.stdin?.writable) writeFrame(this.#child.stdin, Kind.endWorker, request, name);
		await this.#killUnless(ended);
		return ended;
	}

	async end(): Promise<void> {
		this.#isEnding = true;
		this.#child.stdin?.end();
		// A pool that closes waits for it.
		this.#child.ref();
		await this.ended();
	}

	/** It is about to end. Resolves when it and its commands have ended. */
	async ended(): Promise<void> {
		await this.#killUnless(this.gone);
		await this.gone;
	}

	/** It may have been suspended. */
	async #killUnless(ended: Promise<unknown>): Promise<void> {
		const isOver = await Promise.race([ended.then(() => true), sleep(systemClock, ENDING_MS)]);
		if (!isOver) this.#child.kill('SIGKILL');
	}

	async #follow(): Promise<boolean> {
		const child = this.#child;
		const {stdin, stdout, stderr} = child;
		stdout && readFrames(stdout, (kind, id, body) => this.#receive(kind, id, body));
		stderr?.on('data', (text: Buffer) => {
			this.#stderr = (this.#stderr + text.toString()).slice(-STDERR_TAIL);
		});
		for (const stream of [stdin, stdout, stderr]) {
			stream?.on('error', () => undefined);
			(stream as unknown as {unref(): void} | null)?.unref();
		}
		child.unref();
		const error = await new Promise<Error | undefined>(resolve => {
			child.once('error', resolve);
			child.once('close', () => resolve(undefined));
		});
		this.isLost = true;
		const {list, rendezvous} = this.#start;
		const areGone = await endLivingCommands(list).catch(() => false);
		removeRendezvous(rendezvous);
		if (!areGone) process.stderr.write('faena: commands whose spawner was lost may still live; they could not all be found or killed\n');
		this.ready.reject(this.#toError(error));
		for (const resolve of this.#requests.values()) resolve(areGone);
		if (!this.#isEnding && error === undefined) process.stderr.write(`faena: ${this.#toError().message}\n`);
		return areGone;
	}

	#receive(kind: number, request: number, body: Buffer): void {
		if (kind === Kind.ready) this.ready.resolve();
		if (kind !== Kind.workerEnded) return;
		this.#requests.get(request)?.(body.length === 0);
		this.#requests.delete(request);
	}

	/** @param cause why it could not be started; there may be no process then */
	#toError(cause?: Error): FaenaError {
		const how = cause ? `could not be started (${cause.message})` : howItEnded(this.#child.exitCode, this.#child.signalCode);
		const complaint = this.#stderr === '' ? '' : ` It said: ${this.#stderr.trim()}`;
		return new FaenaError('CommandNotStarted', `The process that starts commands ${how}.${complaint}`, {cause});
	}
}
