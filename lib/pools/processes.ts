import type {ChildProcess} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {Tinypool} from 'tinypool';
import type {PoolListener, PoolOptions, ResourceLimits} from '../pool.ts';
import type {WorkerRequest} from '../protocol.ts';
import {workerUrl} from '../worker-url.ts';
import {Lifeline} from './lifeline.ts';
import {closeMeetingPlace, openMeetingPlace} from './meeting-place.ts';
import {RemoteBoards} from './remote-board.ts';
import {NO_ANSWER} from './stack-probe.ts';
import {type Budget, WorkerPool} from './worker-pool.ts';
import type {Ending, Examination, PoolBoard, PoolWorker, SourceListener, WorkerSource} from './worker-source.ts';

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
	readonly #place = openMeetingPlace();
	readonly #lifeline: Lifeline;
	readonly #boards: RemoteBoards;
	readonly #options: PoolOptions;
	#child: ChildProcess | undefined;
	#stderr = '';
	#gone: Promise<void> | undefined;

	constructor(options: PoolOptions, listener: SourceListener) {
		const {resourceLimits, env, execArgv} = options;
		this.#options = options;
		this.#listener = listener;
		this.#lifeline = new Lifeline(this.#place, listener.message);
		this.#boards = new RemoteBoards(this.#place, command => this.#lifeline.send(command));
		this.#tinypool = new Tinypool({
			filename: fileURLToPath(workerUrl('process')),
			runtime: 'child_process',
			minThreads: 0,
			maxThreads: 1,
			concurrentTasksPerWorker: 2,
			idleTimeout: MAX_TIMER_MS,
			serialization: 'advanced',
			argv: [this.#place],
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
		const answer = this.#tinypool.run(request);
		if (request.type !== 'load') return answer;
		// Tinypool starts the process with the first request.
		this.#gone = this.#attach();
		const [loaded] = await Promise.all([answer, this.#lifeline.connected]);
		return loaded;
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
		this.#redirect(child);
		await Promise.all(['exit', 'disconnect'].map(event => new Promise(resolve => child.once(event, resolve))));
		await this.#lifeline.end();
		this.#listener.gone(this, this.#endingOf(child));
		this.#boards.close();
		closeMeetingPlace(this.#place);
	}

	/** Where what the tasks write goes, also past `process.stdout`; and there is nothing for them to read. */
	#redirect({stdin, stdout, stderr}: ChildProcess): void {
		stdin?.destroy();
		if (this.#options.taskOutput === 'stderr') stdout?.unpipe(process.stdout).pipe(process.stderr);
		stderr?.on('data', (text: Buffer) => {
			this.#stderr = (this.#stderr + text.toString()).slice(-STDERR_TAIL);
		});
	}

	#endingOf({exitCode, signalCode: signal}: ChildProcess): Ending {
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
