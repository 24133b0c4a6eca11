import type {ChildProcess} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import type {ResourceLimits} from 'node:worker_threads';
import {nanoid} from 'nanoid';
import {Tinypool} from 'tinypool';
import type {PoolOptions} from '../../job/options.ts';
import {Descendants, SEARCHING_MS} from '../../spawner/descendants.ts';
import {WORKER_ENV} from '../../spawner/process-table.ts';
import {sleep, systemClock} from '../../support/clock.ts';
import {inheritedArgs, nameOfProcess, WORKER_ARGS, workerUrl} from '../../support/node.ts';
import type {LoadMessage, WorkerRequest} from '../../worker/messages.ts';
import type {Examination, PoolChunkState, PoolWorker, WorkerListener, WorkerSource} from '../pool.ts';
import {RemoteChunkStates, type WatchdogAnswer} from './chunk-states.ts';
import {ControlSocket} from './control-socket.ts';

/** Tasks in child processes, by Tinypool: a native crash ends only its own process. */
export function processSource(options: PoolOptions): WorkerSource {
	return listener => new ProcessWorker(options, listener);
}

/** How long a watchdog may take to end its process: it first searches twice for processes that were started there. */
const ENDING_MS = 2 * SEARCHING_MS + 1000;

/** Characters kept of the end of stderr: all that is known of a native crash. */
const STDERR_TAIL = 4096;

/** Each process has a Tinypool of its own: a Tinypool of several chooses by itself which process gets a request. */
class ProcessWorker implements PoolWorker {
	readonly kind = 'process';
	readonly #options: PoolOptions;
	readonly #listener: WorkerListener;
	readonly #mark = nanoid();
	/** From here on: set by the first request, which starts the process. */
	#chunkStates!: RemoteChunkStates;
	#controlSocket!: ControlSocket;
	#tinypool!: Tinypool;
	#process!: ChildProcess;
	/** Resolves when its end was reported. */
	#gone: Promise<void> | undefined;
	#isTornDown = false;
	#ending: Promise<void> | undefined;
	#stderr = '';

	constructor(options: PoolOptions, listener: WorkerListener) {
		this.#options = options;
		this.#listener = listener;
	}

	get name(): string {
		return nameOfProcess(this.#process.pid);
	}

	chunkState(jobs: number): PoolChunkState {
		return this.#chunkStates.open(jobs);
	}

	async request(request: WorkerRequest): Promise<unknown> {
		if (request.type === 'load') return this.#load(request);
		// Tinypool would start another process.
		if (this.#tinypool.threads.length === 0) throw new Error('The process has ended.');
		const answer = await this.#tinypool.run(request);
		this.#isTornDown = request.type === 'teardown';
		return answer;
	}

	examine(): Promise<Examination> {
		return this.#chunkStates.examine();
	}

	async end(): Promise<void> {
		if (!this.#gone) return;
		// Tinypool's processes don't keep the program alive; a pool that is closed waits for them.
		this.#process.ref();
		this.#process.channel?.ref();
		// A second call must not kill it before its watchdog is done.
		this.#ending ??= this.#endByWatchdog();
		await this.#gone;
	}

	/** Its watchdog ends it, with all that it has started. If this program did it and were killed meanwhile, processes would stay suspended. */
	async #endByWatchdog(): Promise<void> {
		if (!this.#isTornDown && this.#controlSocket.hangUp()) await Promise.race([this.#gone, sleep(systemClock, ENDING_MS)]);
		this.#process.kill('SIGKILL');
	}

	async #load(request: LoadMessage): Promise<unknown> {
		try {
			this.#controlSocket = new ControlSocket(message => {
				const answer = message as WatchdogAnswer | null;
				if (answer?.type === 'answer') this.#chunkStates.receive(answer);
				else this.#listener.message(message);
			}, this.#options.ownerLock);
			const {rendezvous} = this.#controlSocket;
			this.#chunkStates = new RemoteChunkStates(rendezvous, command => this.#controlSocket.send(command));
			this.#tinypool = makeTinypool(this.#options, rendezvous, this.#mark);
			// Tinypool starts its process with the first request.
			const answer = this.#tinypool.run(request);
			this.#process = (this.#tinypool.threads[0] as unknown as {readonly process: ChildProcess}).process;
			this.#redirect(this.#process);
			this.#gone = this.#follow(this.#process);
			const [loaded] = await Promise.all([answer, this.#controlSocket.connected]);
			return loaded;
		} catch (error) {
			if (!this.#gone) {
				void this.#controlSocket?.end();
				void this.#listener.gone({exitCode: null, error});
			}
			throw error;
		}
	}

	/** Directs the tasks' output, also what is written past `process.stdout`, and gives them an empty stdin. */
	#redirect({stdin, stdout, stderr}: ChildProcess): void {
		stdin?.destroy();
		if (this.#options.taskOutput === 'stderr') stdout?.unpipe(process.stdout).pipe(process.stderr);
		stderr?.on('data', (text: Buffer) => {
			this.#stderr = (this.#stderr + text.toString()).slice(-STDERR_TAIL);
		});
	}

	async #follow(child: ChildProcess): Promise<void> {
		const isStarted = child.pid !== undefined;
		// Not by once(), which rejects if the process could not be killed.
		const happened = (event: string) => new Promise<unknown>(resolve => void child.once(event, resolve));
		const [error] = await Promise.all((isStarted ? ['exit', 'disconnect'] : ['error']).map(happened));
		await this.#controlSocket.end();
		const isAlone = !isStarted || this.#isTornDown || (await Descendants.endOrphans(this.#mark));
		const {exitCode, signalCode: signal} = child;
		const stderr = this.#stderr;
		const limitMb = this.#options.resourceLimits?.maxOldGenerationSizeMb;
		const ending = {
			exitCode,
			...(signal !== null && {signal}),
			isOutOfMemory: /heap out of memory|Reached heap limit/i.test(stderr),
			leavesProcesses: !isAlone,
			...(limitMb !== undefined && {limitBytes: limitMb * 1024 ** 2}),
			...(exitCode !== 0 && stderr !== '' && {stderr}),
		};
		await this.#listener.gone(isStarted ? ending : {exitCode: null, error});
		// Until then the pool reads there which job ran.
		this.#chunkStates.close();
	}
}

function makeTinypool({resourceLimits, env, execArgv, ownerLock}: PoolOptions, rendezvous: string, mark: string): Tinypool {
	const tinypool = new Tinypool({
		filename: fileURLToPath(workerUrl('process')),
		runtime: 'child_process',
		minThreads: 0,
		maxThreads: 1,
		// Two chunks, and the address of the spawner.
		concurrentTasksPerWorker: 3,
		idleTimeout: MAX_TIMER_MS,
		serialization: 'advanced',
		argv: [rendezvous, ...(ownerLock === undefined ? [] : [ownerLock])],
		env: {...process.env, ...env, [WORKER_ENV]: mark} as Record<string, string>,
		execArgv: [...inheritedArgs(), ...WORKER_ARGS, ...memoryArgs(resourceLimits), ...execArgv],
	});
	// A process that ends is handled at its exit; without a listener Tinypool's event would end the dispatcher.
	tinypool.on('error', () => undefined);
	return tinypool;
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
