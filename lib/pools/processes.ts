import type {ChildProcess} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {Tinypool} from 'tinypool';
import type {PoolListener, PoolOptions, ResourceLimits} from '../pool.ts';
import type {WorkerMessage, WorkerRequest} from '../protocol.ts';
import {workerUrl} from '../worker-url.ts';
import {RemoteBoards} from './remote-board.ts';
import {NO_ANSWER} from './stack-probe.ts';
import {type Budget, WorkerPool} from './worker-pool.ts';
import type {Examination, PoolBoard, PoolWorker, SourceListener, WorkerSource} from './worker-source.ts';

/** Tasks in child processes, by Tinypool: what crashes natively there takes nobody along. */
export function processPool(options: PoolOptions, listener: PoolListener, budget?: Budget): WorkerPool {
	return new WorkerPool(new ProcessSource(options), options, listener, budget);
}

/** A Tinypool for each process, since Tinypool gives no say in which of its processes gets a request. */
class ProcessSource implements WorkerSource {
	readonly #options: PoolOptions;
	readonly #workers = new Set<ProcessWorker>();
	#listener: SourceListener | undefined;

	constructor(options: PoolOptions) {
		this.#options = options;
	}

	start(count: number, listener: SourceListener): void {
		this.#listener = listener;
		for (let index = 0; index < count; index++) this.add();
	}

	readonly add = (): void => {
		const listener = this.#listener as SourceListener;
		const worker = new ProcessWorker(this.#options, {
			...listener,
			gone: (own, ending) => {
				this.#workers.delete(worker);
				listener.gone(own, ending);
			},
		});
		this.#workers.add(worker);
		listener.joined(worker);
	};

	async close(): Promise<void> {
		await Promise.all([...this.#workers].map(worker => worker.endAndWait()));
	}
}

/** The end of what a process writes to stderr is kept: it is all that is known of a native crash. */
const STDERR_TAIL = 4096;

class ProcessWorker implements PoolWorker {
	readonly kind = 'process';
	readonly #tinypool: Tinypool;
	readonly #listener: SourceListener;
	readonly #boards = new RemoteBoards(command => this.#child?.stdin?.write(`${JSON.stringify(command)}\n`));
	readonly #channel = {
		onMessage: () => undefined,
		postMessage: (message: unknown) => this.#listener.message(message as WorkerMessage),
	};
	readonly #limitMb: number | undefined;
	#child: ChildProcess | undefined;
	#stderr = '';
	#gone: Promise<void> | undefined;

	constructor({resourceLimits, env, execArgv}: PoolOptions, listener: SourceListener) {
		this.#listener = listener;
		this.#limitMb = resourceLimits?.maxOldGenerationSizeMb;
		this.#tinypool = new Tinypool({
			filename: fileURLToPath(workerUrl('process')),
			runtime: 'child_process',
			minThreads: 0,
			maxThreads: 1,
			concurrentTasksPerWorker: 2,
			idleTimeout: MAX_TIMER_MS,
			serialization: 'advanced',
			env: {...process.env, ...env} as Record<string, string>,
			execArgv: [...inheritedArgs(), ...memoryArgs(resourceLimits), ...execArgv],
		});
		// A process that ends is dealt with at its exit; without a listener Tinypool's event would end the dispatcher.
		this.#tinypool.on('error', () => undefined);
	}

	board(jobs: number): PoolBoard {
		return this.#boards.open(jobs);
	}

	async request(request: WorkerRequest): Promise<unknown> {
		const isLoad = request.type === 'load';
		const answer = this.#tinypool.run(isLoad ? {...request, boardFile: this.#boards.path} : request, {channel: this.#channel});
		// Tinypool starts the process with the first request.
		if (!this.#child) this.#gone = this.#attach();
		return answer;
	}

	async examine(): Promise<Examination> {
		return (await this.#boards.examine()) ?? NO_ANSWER;
	}

	end(): boolean {
		this.#child?.kill('SIGKILL');
		return true;
	}

	async endAndWait(): Promise<void> {
		// Tinypool lets the program end without its processes; who closes the pool waits for them.
		this.#child?.ref();
		this.#child?.channel?.ref();
		this.end();
		await this.#gone;
	}

	/** Resolves when the process is gone and all it sent was delivered. */
	async #attach(): Promise<void> {
		const child = (this.#tinypool.threads[0] as unknown as {readonly process: ChildProcess}).process;
		this.#child = child;
		// Commands to a process that is about to end need not arrive.
		child.stdin?.on('error', () => undefined);
		child.stderr?.on('data', (text: Buffer) => {
			this.#stderr = (this.#stderr + text.toString()).slice(-STDERR_TAIL);
		});
		await Promise.all(['exit', 'disconnect'].map(event => new Promise(resolve => child.once(event, resolve))));
		const {exitCode, signalCode: signal} = child;
		const stderr = this.#stderr;
		this.#listener.gone(this, {
			exitCode,
			...(signal !== null && {signal}),
			isOutOfMemory: /heap out of memory|Reached heap limit/i.test(stderr),
			...(this.#limitMb !== undefined && {limitBytes: this.#limitMb * 1024 ** 2}),
			...(exitCode !== 0 && stderr !== '' && {stderr}),
		});
		this.#boards.close();
	}
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/** What this process was started with, without what is for it alone: a debugger's port, and code given on the command line. */
function inheritedArgs(): string[] {
	const args = [...process.execArgv];
	const code = args.findIndex(arg => /^(-e|--eval|-p|--print|-pe)$/.test(arg));
	if (code >= 0) args.splice(code, 2);
	return args.filter(arg => !/^--inspect|^--input-type/.test(arg));
}

/** V8's flags for what worker threads take as options. */
function memoryArgs({maxOldGenerationSizeMb, maxYoungGenerationSizeMb, stackSizeMb}: ResourceLimits = {}): string[] {
	return [
		...(maxOldGenerationSizeMb === undefined ? [] : [`--max-old-space-size=${Math.ceil(maxOldGenerationSizeMb)}`]),
		// The young generation is three semi-spaces.
		...(maxYoungGenerationSizeMb === undefined ? [] : [`--max-semi-space-size=${Math.ceil(maxYoungGenerationSizeMb / 3)}`]),
		...(stackSizeMb === undefined ? [] : [`--stack-size=${Math.floor(stackSizeMb * 1024)}`]),
	];
}
