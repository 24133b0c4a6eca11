import type {ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {nanoid} from 'nanoid';
import {Tinypool} from 'tinypool';
import type {PoolOptions, ResourceLimits} from '../../job/options.ts';
import {sleep, systemClock} from '../../support/clock.ts';
import {inheritedArgs, workerUrl} from '../../support/node.ts';
import type {LoadMessage, WorkerRequest} from '../../worker/messages.ts';
import {Descendants, SEARCHING_MS} from '../descendants.ts';
import type {PoolListener} from '../pool.ts';
import {MARK} from '../process-table.ts';
import type {Budget} from '../slots.ts';
import {WorkerPool} from '../worker-pool.ts';
import {EachApart, type Examination, type PoolChunkState, type PoolWorker, type SourceListener, type WorkerEnd} from '../worker-source.ts';
import {MAX_CELLS} from './chunk-states.ts';
import {ControlSocket, makeRendezvous, removeRendezvous} from './control-socket.ts';
import {RemoteChunkStates} from './remote-chunk-states.ts';
import type {WatchdogAnswer} from './watchdog.ts';

/** Tasks in child processes, by Tinypool: a native crash ends only its own process. */
export function processPool(options: PoolOptions, listener: PoolListener, budget?: Budget): WorkerPool {
	const make = (own: SourceListener) => new ProcessWorker(options, own);
	const source = new EachApart(MAX_CELLS, make, workers => Promise.all(workers.map(worker => worker.endAndWait())));
	return new WorkerPool(source, options, listener, budget);
}

/** Each process has a Tinypool of its own: a Tinypool of several chooses by itself which process gets a request. */
class ProcessWorker implements PoolWorker {
	readonly kind = 'process';
	readonly #options: PoolOptions;
	readonly #listener: SourceListener;
	#child: Child | undefined;

	constructor(options: PoolOptions, listener: SourceListener) {
		this.#options = options;
		this.#listener = listener;
	}

	chunkState(jobs: number): PoolChunkState {
		return this.#started.chunkStates.open(jobs);
	}

	request(request: WorkerRequest): Promise<unknown> {
		return request.type === 'load' ? this.#load(request) : this.#started.request(request);
	}

	examine(): Promise<Examination> {
		return this.#started.chunkStates.examine();
	}

	end(): boolean {
		void this.#child?.end();
		return true;
	}

	async endAndWait(): Promise<void> {
		await this.#child?.endAndWait();
	}

	async #load(request: LoadMessage): Promise<unknown> {
		try {
			this.#child = new Child(this.#options, request, message => this.#listener.message(this, message));
		} catch (error) {
			this.#listener.gone(this, {exitCode: null, error});
			throw error;
		}
		void this.#reportExit(this.#child);
		return this.#child.loaded;
	}

	async #reportExit(child: Child): Promise<void> {
		this.#listener.gone(this, await child.ended);
		// Until then the pool reads there which job ran.
		child.chunkStates.close();
	}

	/** `load` is the first request. */
	get #started(): Child {
		return this.#child as Child;
	}
}

/** How long a watchdog may take to end its process: it first searches twice for processes that were started there. */
const ENDING_MS = 2 * SEARCHING_MS + 1000;

/** Characters kept of the end of stderr: all that is known of a native crash. */
const STDERR_TAIL = 4096;

/** A process, from its start to its end. */
class Child {
	/** The answer to the first request. */
	readonly loaded: Promise<unknown>;
	/** Resolves when it is gone and all its messages were delivered. */
	readonly ended: Promise<WorkerEnd>;
	readonly chunkStates: RemoteChunkStates;
	readonly #options: PoolOptions;
	readonly #rendezvous = makeRendezvous();
	readonly #mark = nanoid();
	#isTornDown = false;
	readonly #tinypool: Tinypool;
	readonly #process: ChildProcess;
	readonly #exited: Promise<unknown>;
	readonly #controlSocket: ControlSocket;
	#end: Promise<void> | undefined;
	#stderr = '';

	constructor(options: PoolOptions, load: LoadMessage, receive: (message: unknown) => void) {
		this.#options = options;
		try {
			this.#controlSocket = new ControlSocket(this.#rendezvous, message => {
				if (isAnswer(message)) this.chunkStates.receive(message);
				else receive(message);
			});
			this.chunkStates = new RemoteChunkStates(this.#rendezvous, command => this.#controlSocket.send(command));
			this.#tinypool = makeTinypool(options, this.#rendezvous, this.#mark);
			// Tinypool starts its process with the first request.
			const answer = this.#tinypool.run(load);
			this.#process = (this.#tinypool.threads[0] as unknown as {readonly process: ChildProcess}).process;
			this.loaded = this.#connect(answer);
		} catch (error) {
			removeRendezvous(this.#rendezvous);
			throw error;
		}
		this.#exited = new Promise(resolve => this.#process.once('exit', resolve));
		this.#redirect(this.#process);
		this.ended = this.#watch();
	}

	async request(request: WorkerRequest): Promise<unknown> {
		// Tinypool would start another process.
		if (this.#tinypool.threads.length === 0) throw new Error('The process has ended.');
		const answer = await this.#tinypool.run(request);
		this.#isTornDown = request.type === 'teardown';
		return answer;
	}

	/**
	 * Its watchdog ends it, with all processes that it has started. If this program is killed meanwhile, the watchdog goes on. If this program
	 * did it, a kill could leave processes suspended for ever.
	 */
	end(): Promise<void> {
		// A second call must not kill it before its watchdog is done.
		this.#end ??= this.#endByWatchdog();
		return this.#end;
	}

	async #endByWatchdog(): Promise<void> {
		if (!this.#isTornDown && this.#controlSocket.hangUp()) await Promise.race([this.#exited, sleep(systemClock, ENDING_MS)]);
		this.#process.kill('SIGKILL');
	}

	async endAndWait(): Promise<void> {
		// Tinypool's processes don't keep the program alive; a pool that is closed waits for them.
		this.#process.ref();
		this.#process.channel?.ref();
		void this.end();
		await this.ended;
	}

	async #connect(answer: Promise<unknown>): Promise<unknown> {
		const [loaded] = await Promise.all([answer, this.#controlSocket.connected]);
		return loaded;
	}

	/** Directs the tasks' output, also what is written past `process.stdout`, and gives them an empty stdin. */
	#redirect({stdin, stdout, stderr}: ChildProcess): void {
		stdin?.destroy();
		if (this.#options.taskOutput === 'stderr') stdout?.unpipe(process.stdout).pipe(process.stderr);
		stderr?.on('data', (text: Buffer) => {
			this.#stderr = (this.#stderr + text.toString()).slice(-STDERR_TAIL);
		});
	}

	async #watch(): Promise<WorkerEnd> {
		const child = this.#process;
		const [error] = child.pid === undefined ? await once(child, 'error') : await this.#exit();
		await this.#controlSocket.end();
		removeRendezvous(this.#rendezvous);
		if (child.pid === undefined) return {exitCode: null, error};
		const isAlone =
			this.#isTornDown ||
			(await Descendants.ofEnded(this.#mark)
				.end()
				.catch(() => false));
		return {...this.#ending(), leavesProcesses: !isAlone};
	}

	async #exit(): Promise<[]> {
		await Promise.all(['exit', 'disconnect'].map(event => new Promise(resolve => this.#process.once(event, resolve))));
		return [];
	}

	#ending(): WorkerEnd {
		const {exitCode, signalCode: signal} = this.#process;
		const stderr = this.#stderr;
		const limitMb = this.#options.resourceLimits?.maxOldGenerationSizeMb;
		return {
			exitCode,
			...(signal !== null && {signal}),
			isOutOfMemory: /heap out of memory|Reached heap limit/i.test(stderr),
			...(limitMb !== undefined && {limitBytes: limitMb * 1024 ** 2}),
			...(exitCode !== 0 && stderr !== '' && {stderr}),
		};
	}
}

function makeTinypool({resourceLimits, env, execArgv, ownerLock}: PoolOptions, rendezvous: string, mark: string): Tinypool {
	const tinypool = new Tinypool({
		filename: fileURLToPath(workerUrl('process')),
		runtime: 'child_process',
		minThreads: 0,
		maxThreads: 1,
		concurrentTasksPerWorker: 2,
		idleTimeout: MAX_TIMER_MS,
		serialization: 'advanced',
		argv: [rendezvous, ...(ownerLock === undefined ? [] : [ownerLock])],
		env: {...process.env, ...env, [MARK]: mark} as Record<string, string>,
		execArgv: [...inheritedArgs(), ...memoryArgs(resourceLimits), ...execArgv],
	});
	// A process that ends is handled at its exit; without a listener Tinypool's event would end the dispatcher.
	tinypool.on('error', () => undefined);
	return tinypool;
}

function isAnswer(message: unknown): message is WatchdogAnswer {
	return (message as Partial<WatchdogAnswer> | null)?.type === 'answer';
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/** V8's flags for what worker threads take as options. */
function memoryArgs({maxOldGenerationSizeMb, maxYoungGenerationSizeMb, stackSizeMb}: ResourceLimits = {}): string[] {
	return [
		...(maxOldGenerationSizeMb === undefined ? [] : [`--max-old-space-size=${Math.ceil(maxOldGenerationSizeMb)}`]),
		// The young generation is three semi-spaces.
		...(maxYoungGenerationSizeMb === undefined ? [] : [`--max-semi-space-size=${Math.ceil(maxYoungGenerationSizeMb / 3)}`]),
		...(stackSizeMb === undefined ? [] : [`--stack-size=${Math.floor(stackSizeMb * 1024)}`]),
	];
}
