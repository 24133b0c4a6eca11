import {fileURLToPath} from 'node:url';
import {MessageChannel, type MessagePort, type Worker} from 'node:worker_threads';
import {nanoid} from 'nanoid';
import {Piscina} from 'piscina';
import type {PostMortem} from '../../job/failure.ts';
import type {PoolOptions} from '../../job/options.ts';
import {Descendants} from '../../spawner/descendants.ts';
import {asWorkerThread} from '../../spawner/process-table.ts';
import {FaenaError} from '../../support/errors.ts';
import {inheritedArgs, nameOfProcess, refusedArgs, WORKER_ARGS, workerUrl} from '../../support/node.ts';
import {type LoadMessage, type ServeMessage, type ThreadIdentity, transferListOf, type WorkerRequest} from '../../worker/messages.ts';
import type {Examination, PoolWorker, WorkerListener, WorkerSource} from '../pool.ts';
import {ANSWER_MS, endThreads, takeThreadSnapshot, within} from '../stack-snapshot.ts';

/** Tasks in worker threads, by Piscina. */
export function threadSource(options: PoolOptions): WorkerSource {
	return listener => new ThreadWorker(options, listener);
}

/** Each thread has a Piscina of its own: a Piscina of several threads starts no more once one has failed while starting. */
class ThreadWorker implements PoolWorker {
	readonly kind = 'thread';
	readonly #options: PoolOptions;
	readonly #listener: WorkerListener;
	readonly #identity: ThreadIdentity = {mark: nanoid(), thread: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))};
	#piscina: Piscina | undefined;
	/** For its chunks: a `run()` of Piscina for each would cost 40 µs more, and an answer. */
	#port: MessagePort | undefined;
	#isTornDown = false;
	/** Resolves when its end was reported. */
	#gone: Promise<void> | undefined;

	constructor(options: PoolOptions, listener: WorkerListener) {
		this.#options = options;
		this.#listener = listener;
	}

	async request(request: WorkerRequest): Promise<unknown> {
		if (request.type === 'load') return this.#load({...request, identity: this.#identity});
		// Piscina would start another thread.
		if (!this.#thread) throw new Error('The thread has ended.');
		if (request.type !== 'teardown') return this.#port?.postMessage(request, transferListOf(request));
		const answer = await this.#piscina?.run(request);
		this.#isTornDown = true;
		return answer;
	}

	async examine(): Promise<Examination> {
		if (!this.#thread) return {};
		const snapshot = this.#options.postMortem ? takeThreadSnapshot(this.#thread.threadId) : NOT_ASKED;
		const [stack, heap] = await Promise.all([snapshot, heapOf(this.#thread)]);
		return {...stack, ...(heap && {heap})};
	}

	/** Ends the thread with the processes that it has started; a thread in `execFileSync()` ends when its command dies. */
	async end(): Promise<void> {
		await endThreads(async () => {
			// An orderly teardown may leave some on purpose.
			if (this.#isTornDown) return this.#thread?.terminate();
			const {mark, thread} = this.#identity;
			const descendants = new Descendants({pid: process.pid, thread: asWorkerThread(Atomics.load(thread, 0)), mark});
			// The thread is ended even if the search fails.
			await descendants.stop().catch(() => undefined);
			descendants.kill();
			await descendants.reap().catch(() => undefined);
			const ended = this.#thread?.terminate();
			// From here on its tasks start nothing more.
			await descendants.end().catch(() => undefined);
			return ended;
		});
		await this.#gone;
	}

	get name(): string {
		return `thread ${this.#thread?.threadId} of ${nameOfProcess()}`;
	}

	get #thread(): Worker | undefined {
		return this.#piscina?.threads[0];
	}

	async #load(request: LoadMessage): Promise<unknown> {
		try {
			const answer = await this.#start(request);
			this.#serve();
			return answer;
		} catch (error) {
			if (!this.#gone) void this.#listener.gone({exitCode: null, error});
			throw error;
		}
	}

	/** Starts the task of Piscina's that runs the chunks. */
	#serve(): void {
		const {port1, port2} = new MessageChannel();
		this.#port = port1;
		// It ends with the thread.
		// Piscina's type of the list is made of Node's types, with those of Node 26 wrongly.
		const transferList = [port2] as never;
		void this.#piscina?.run({type: 'serve', port: port2} satisfies ServeMessage, {transferList}).catch(() => undefined);
	}

	#start(request: LoadMessage): Promise<unknown> {
		const inherited = inheritedArgs();
		try {
			return this.#startWith(inherited, request);
		} catch (cause) {
			const refused = refusedArgs(cause);
			const own = this.#options.execArgv.filter(arg => refused.includes(arg));
			const sentence = `open() expects as execArgv options that Node allows in a worker thread; it got ${own.join(', ')}.`;
			if (own.length > 0) throw new FaenaError('BadOption', `${sentence} Give it to the program itself, or choose {isolation: 'process'}.`, {cause});
			// V8's options, for instance, hold for all threads of a process anyway.
			const allowed = inherited.filter(arg => !refused.includes(arg));
			return this.#startWith(allowed, request);
		}
	}

	/** Piscina starts its thread with the first request. */
	#startWith(inherited: readonly string[], request: LoadMessage): Promise<unknown> {
		const {resourceLimits, env, execArgv} = this.#options;
		const args = [...WORKER_ARGS, ...execArgv];
		const piscina = new Piscina({
			filename: fileURLToPath(workerUrl('thread-entry')),
			minThreads: 0,
			maxThreads: 1,
			idleTimeout: Infinity,
			concurrentTasksPerWorker: 2,
			recordTiming: false,
			...(resourceLimits && {resourceLimits}),
			...(env && {env: {...process.env, ...env} as Record<string, string>}),
			...(args.length > 0 && {execArgv: [...inherited, ...args]}),
		});
		// A failing thread is handled at its exit; without a listener Piscina's event would end the dispatcher.
		piscina.on('error', () => undefined);
		const answer = piscina.run(request);
		this.#piscina = piscina;
		this.#gone = this.#follow(piscina, piscina.threads[0] as Worker);
		return answer;
	}

	async #follow(piscina: Piscina, thread: Worker): Promise<void> {
		const {maxOldGenerationSizeMb} = thread.resourceLimits ?? {};
		let error: unknown;
		thread.on('message', (message: unknown) => this.#listener.message(message));
		thread.once('error', (thrown: unknown) => {
			error = thrown;
			this.#listener.failing();
		});
		const exitCode = await new Promise<number>(resolve => thread.once('exit', resolve));
		const isOutOfMemory = (error as {code?: unknown} | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
		// It gets no chunk while its processes are searched for.
		this.#listener.failing();
		// Rejects requests that it had not received.
		void piscina.destroy();
		const isAlone = this.#isTornDown || (await Descendants.endOrphans(this.#identity.mark));
		const limit = maxOldGenerationSizeMb && {limitBytes: maxOldGenerationSizeMb * 1024 ** 2};
		await this.#listener.gone({exitCode, isOutOfMemory, leavesProcesses: !isAlone, ...limit, error});
	}
}

/** Node's inspector can abort the whole program, so it looks at threads only on request. */
const NOT_ASKED: Examination = {noStack: 'Stacks of threads are read only with open({postMortem: true}).'};

/** `undefined` for a thread in native code, which doesn't answer. */
async function heapOf(thread: Worker): Promise<PostMortem['heap']> {
	const statistics = await within(ANSWER_MS, thread.getHeapStatistics()).catch(() => undefined);
	return statistics && {usedBytes: statistics.used_heap_size, limitBytes: statistics.heap_size_limit};
}
