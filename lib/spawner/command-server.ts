import {type ChildProcess, spawn} from 'node:child_process';
import type {Socket} from 'node:net';
import {getPriority, setPriority} from 'node:os';
import type {Readable} from 'node:stream';
import {setTimeout} from '../support/primordials.ts';
import {Descendants} from './descendants.ts';
import {type CommandEnd, Kind, readFrames, type StartCommand, writeFrame} from './frames.ts';
import {type LivingCommands, signalGroup} from './living-commands.ts';
import {openProcessTable, WORKER_ENV} from './process-table.ts';

const IS_WINDOWS = process.platform === 'win32';

/** How often it is seen whether a command that has ended still has output. */
const QUIET_MS = 100;
/** More than this was not in a pipe when its command ended: a process that has left the group goes on writing. */
const MAX_LATE_BYTES = 1024 ** 2;
/** How long the engine waits for commands that can't be killed, such as those in an uninterruptible call. */
const MAX_ENDING_MS = 5000;

/** Starts the commands of an engine's workers, in the spawner. When a worker's connection closes, the worker has ended: its commands are killed. */
export class CommandServer {
	readonly living: LivingCommands;
	readonly mark: string;
	readonly #connections = new Set<Connection>();
	/** Names of workers that have ended. What they have sent may still arrive. */
	readonly #ended = new Set<string>();
	#isEnding = false;

	constructor(living: LivingCommands, mark: string) {
		this.living = living;
		this.mark = mark;
	}

	mayStart(worker: string): boolean {
		return !this.#isEnding && !this.#ended.has(worker);
	}

	accept(socket: Socket): void {
		const connection = new Connection(socket, this);
		this.#connections.add(connection);
		socket.once('close', async () => {
			await connection.end();
			this.#connections.delete(connection);
		});
	}

	/** Kills the commands of a worker that has ended, and takes no more from it. Resolves with false if some may live. */
	async endWorker(worker: string): Promise<boolean> {
		this.#ended.add(worker);
		const own = [...this.#connections].filter(connection => connection.worker === worker);
		const ended = Promise.all(own.map(connection => connection.end())).then(() => true);
		return Promise.race([ended, new Promise<boolean>(resolve => void setTimeout(resolve, MAX_ENDING_MS, false).unref())]);
	}

	/** Kills all commands. Resolves once they are gone. */
	async end(): Promise<void> {
		this.#isEnding = true;
		await Promise.all([...this.#connections].map(connection => connection.end()));
	}
}

/** The commands of one worker. */
class Connection {
	readonly #socket: Socket;
	readonly #server: CommandServer;
	readonly #commands = new Map<number, Command>();
	worker = '';
	#env: Readonly<Record<string, string>> = {};

	constructor(socket: Socket, server: CommandServer) {
		this.#socket = socket;
		this.#server = server;
		readFrames(socket, (kind, id, body) => this.#receive(kind, id, body));
		// The worker's end, which is a 'close', too.
		socket.on('error', () => undefined);
		socket.on('drain', () => {
			for (const command of this.#commands.values()) command.resume();
		});
	}

	/** Takes nothing more from the worker, and kills its commands. Resolves once they are gone. */
	async end(): Promise<void> {
		this.#socket.destroy();
		// Their output goes nowhere from now on.
		for (const command of this.#commands.values()) command.release();
		await endAll([...this.#commands.values()]);
	}

	#receive(kind: number, id: number, body: Buffer): void {
		// What was read together with the frame at which it was ended.
		if (this.#socket.destroyed) return;
		const command = this.#commands.get(id);
		if (kind === Kind.hello) this.worker = body.toString();
		if (!this.#server.mayStart(this.worker)) this.#socket.destroy();
		else if (kind === Kind.start) this.#start(id, JSON.parse(body.toString()) as StartCommand);
		else if (kind === Kind.input) command?.write(body);
		else if (kind === Kind.inputEnd) command?.endInput();
		else if (kind === Kind.hold) command?.hold();
		else if (kind === Kind.release) command?.release();
		else if (kind === Kind.kill) void command?.kill(body.toString() as NodeJS.Signals);
	}

	#start(id: number, start: StartCommand): void {
		if (start.env) this.#env = {...start.env, [WORKER_ENV]: this.#server.mark};
		const command = new Command(start, this.#env, this.#server.living, {
			send: (kind, body) => this.#send(kind, id, body),
			gone: end => {
				this.#commands.delete(id);
				this.#send(Kind.end, id, JSON.stringify(end satisfies CommandEnd));
			},
		});
		this.#commands.set(id, command);
	}

	/** Returns false if the socket takes no more for now. */
	#send(kind: number, id: number, body?: Uint8Array | string): boolean {
		if (this.#socket.destroyed) return true;
		writeFrame(this.#socket, kind, id, body);
		return !this.#socket.writableNeedDrain;
	}
}

interface CommandListener {
	/** Returns false if the worker can't take more for now. */
	send(kind: number, body?: Uint8Array): boolean;
	/** Its group is gone, and all its output was sent. */
	gone(end: CommandEnd): void;
}

/** A command, from its start until its process group is gone and its output was read. */
class Command {
	readonly #listener: CommandListener;
	/** Resolves when it has ended. */
	readonly gone = Promise.withResolvers<void>();
	#child: ChildProcess | undefined;
	#lateBytes = 0;
	#isHeld = false;
	/** It was asked to end. */
	#isStopping = false;
	/** `dead` once the first process of the group has ended. */
	#phase: 'alive' | 'dead' | 'gone' = 'alive';
	/** Resolves once its processes were searched for and killed. It has not ended before. */
	ending: Promise<void> | undefined;

	constructor(start: StartCommand, env: Readonly<Record<string, string>>, living: LivingCommands, listener: CommandListener) {
		this.#listener = listener;
		let slot: number | undefined;
		try {
			slot = living.reserve();
			void this.#run(this.#spawn(start, env), living, slot);
		} catch (error) {
			if (slot !== undefined) living.ended(slot);
			this.#refuse(error as NodeJS.ErrnoException);
		}
	}

	/** The leader of its session and group; `undefined` if there is none, or it has ended. */
	get pid(): number | undefined {
		return this.#phase === 'gone' ? undefined : this.#child?.pid;
	}

	write(part: Uint8Array): void {
		this.#child?.stdin?.write(part, error => {
			// A command that has closed its stdin needs no more.
			if (!error) this.#listener.send(Kind.more);
		});
	}

	endInput(): void {
		this.#child?.stdin?.end();
	}

	async kill(signal: NodeJS.Signals): Promise<void> {
		if (signal === 'SIGKILL') {
			this.release();
			return endAll([this]);
		}
		const {pid} = this;
		if (pid === undefined || this.#phase !== 'alive') return;
		this.#isStopping = true;
		if (IS_WINDOWS) this.#child?.kill(signal);
		// A stopped process would not see the signal.
		else if (signalGroup(pid, signal)) signalGroup(pid, 'SIGCONT');
	}

	/** The task is busy with its output. */
	hold(): void {
		this.#isHeld = true;
		this.#child?.stdout?.pause();
		this.#child?.stderr?.pause();
	}

	release(): void {
		this.#isHeld = false;
		this.resume();
	}

	/** The worker can take output again. */
	resume(): void {
		if (this.#isHeld) return;
		this.#child?.stdout?.resume();
		this.#child?.stderr?.resume();
	}

	#spawn(start: StartCommand, env: Readonly<Record<string, string>>): ChildProcess {
		const {cwd, hasInput, nice, isVerbatim = false} = start;
		const {file, args} = IS_WINDOWS ? start : withPriority(start);
		const child = spawn(file, args, {
			...{cwd, env, detached: !IS_WINDOWS, windowsHide: true, windowsVerbatimArguments: isVerbatim},
			stdio: [hasInput ? 'pipe' : 'ignore', 'pipe', 'pipe'],
		});
		if (IS_WINDOWS && nice !== undefined && child.pid !== undefined) setPriority(child.pid, nice);
		return child;
	}

	async #run(child: ChildProcess, living: LivingCommands, slot: number): Promise<void> {
		this.#child = child;
		child.once('error', (error: NodeJS.ErrnoException) => {
			if (child.pid !== undefined) return;
			living.ended(slot);
			this.#refuse(error);
		});
		if (child.pid === undefined) return;
		living.started(slot, child.pid);
		child.stdin?.on('error', () => undefined);
		this.#forward(child.stdout as Readable, Kind.stdout);
		this.#forward(child.stderr as Readable, Kind.stderr);
		const closed = new Promise<void>(resolve => void child.once('close', () => resolve()));
		child.once('exit', () => {
			this.#giveUpOutput(child);
			this.#phase = 'dead';
			if (IS_WINDOWS) return;
			// What the command has left in its group ends with it. Usually there is nothing. Of one that was stopped, all of the session ends.
			const isLeft = signalGroup(child.pid as number, 'SIGKILL');
			if (isLeft || this.#isStopping) void endAll([this]);
		});
		await closed;
		await this.ending;
		living.ended(slot);
		this.#end({exitCode: child.exitCode, signal: child.signalCode});
	}

	#forward(stream: Readable, kind: number): void {
		stream.on('data', (part: Buffer) => {
			if (this.#phase !== 'alive') this.#lateBytes += part.length;
			if (!this.#listener.send(kind, part)) stream.pause();
		});
		stream.on('error', () => undefined);
	}

	/** A process that has left the group may hold the pipes open for ever. */
	#giveUpOutput(child: ChildProcess): void {
		let seen = -1;
		const timer = setInterval(() => {
			const isPaused = child.stdout?.isPaused() || child.stderr?.isPaused();
			if (!isPaused && (seen === this.#lateBytes || this.#lateBytes > MAX_LATE_BYTES)) {
				child.stdout?.destroy();
				child.stderr?.destroy();
			}
			seen = this.#lateBytes;
		}, QUIET_MS);
		child.once('close', () => clearInterval(timer));
	}

	#refuse({code, message}: NodeJS.ErrnoException): void {
		// Not before the constructor has returned.
		setImmediate(() => this.#end({code, message}));
	}

	#end(end: CommandEnd): void {
		this.#phase = 'gone';
		this.#listener.gone(end);
		this.gone.resolve();
	}
}

/** A command whose priority were set after its start may have started others before. So `nice` starts it, which counts from the spawner's own. */
function withPriority({file, args, nice}: StartCommand): Pick<StartCommand, 'file' | 'args'> {
	const difference = nice === undefined ? 0 : nice - getPriority();
	return difference === 0 ? {file, args} : {file: 'nice', args: ['-n', String(difference), '--', file, ...args]};
}

/** Kills these commands with all their descendants. Resolves once they are gone. */
async function endAll(commands: readonly Command[]): Promise<void> {
	const pids = new Set(commands.flatMap(({pid}) => pid ?? []));
	const killed = IS_WINDOWS ? endTrees(pids) : endSessions(pids);
	for (const command of commands) command.ending = killed;
	await killed;
	await Promise.all(commands.map(({gone}) => gone.promise));
}

async function endSessions(sessions: ReadonlySet<number>): Promise<void> {
	const own = {pid: process.pid, sessions};
	let isComplete = sessions.size === 0;
	while (!isComplete) {
		const table = openProcessTable();
		await table.refresh();
		// Those are children of this process. Others of the sessions have lost their parents.
		const others = new Set(table.childrenOf({pid: process.pid}).filter(pid => !sessions.has(pid)));
		const descendants = new Descendants(own, table, pid => others.has(pid));
		isComplete = await descendants.end().catch(() => false);
		// Where orphans can't be found, the group has most of them.
		for (const pid of sessions) signalGroup(pid, 'SIGKILL');
		if (!isComplete) await new Promise(resolve => void setTimeout(resolve, QUIET_MS));
	}
}

async function endTrees(pids: ReadonlySet<number>): Promise<void> {
	const each = [...pids].map(
		pid =>
			new Promise(
				resolve =>
					void spawn('taskkill', ['/pid', String(pid), '/T', '/F'], {windowsHide: true, stdio: 'ignore'})
						.on('error', resolve)
						.on('close', resolve),
			),
	);
	await Promise.all(each);
}
