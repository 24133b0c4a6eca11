import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import type {Worker} from 'node:worker_threads';
import {nanoid} from 'nanoid';
import {Piscina, queueOptionsSymbol} from 'piscina';
import {FaenaError} from '../errors.ts';
import type {PostMortem} from '../failure.ts';
import {inheritedArgs, refusedArgs} from '../node-args.ts';
import type {PoolListener, PoolOptions} from '../pool.ts';
import type {ThreadIdentity, WorkerRequest} from '../protocol.ts';
import {memoryOf} from '../transfer.ts';
import {workerUrl} from '../worker-url.ts';
import {Descendants} from './descendants.ts';
import {asWorkerThread} from './process-table.ts';
import {ANSWER_MS} from './stack-probe.ts';
import {endThreads, whereaboutsOfThread} from './thread-stack.ts';
import {type Budget, WorkerPool} from './worker-pool.ts';
import {type Examination, MAX_JOBS, type PoolWorker, SharedBoard, type SourceListener, type WorkerSource} from './worker-source.ts';

/** Tasks in worker threads, by Piscina. */
export function threadPool(options: PoolOptions, listener: PoolListener, budget?: Budget): WorkerPool {
	return new WorkerPool(new ThreadSource(options), options, listener, budget);
}

/**
 * Piscina starts the threads, replaces those that end, and carries the requests; which thread gets a request is told to
 * its load balancer.
 */
class ThreadSource implements WorkerSource {
	readonly maxJobs = MAX_JOBS;
	readonly #options: PoolOptions;
	/** Each resolves when its end was told. */
	readonly #workers = new Map<ThreadWorker, Promise<void>>();
	#piscina: Piscina | undefined;
	#isClosing = false;

	constructor(options: PoolOptions) {
		this.#options = options;
	}

	start(count: number, listener: SourceListener): void {
		try {
			this.#start(count, listener, inheritedArgs());
		} catch (error) {
			const refused = refusedArgs(error);
			this.#checkOwnArgs(refused, error);
			// V8's options, for instance, hold for all threads of the process as it is.
			this.#start(
				count,
				listener,
				inheritedArgs().filter(arg => !refused.includes(arg)),
			);
		}
	}

	#checkOwnArgs(refused: readonly string[], cause: unknown): void {
		const own = this.#options.execArgv.filter(arg => refused.includes(arg));
		if (own.length === 0) return;
		const sentence = `open() expects as execArgv what Node lets a worker thread have; it got ${own.join(', ')}.`;
		throw new FaenaError('BadOption', `${sentence} Give it to the program itself, or choose {isolation: 'process'}.`, {cause});
	}

	#start(count: number, listener: SourceListener, inherited: readonly string[]): void {
		const {resourceLimits, env, execArgv} = this.#options;
		const piscina = new Piscina({
			filename: fileURLToPath(workerUrl('thread-entry')),
			minThreads: count,
			maxThreads: count,
			idleTimeout: Infinity,
			concurrentTasksPerWorker: 2,
			recordTiming: false,
			loadBalancer: (request, threads) => threads.find(thread => thread.id === targetOf(request)) ?? null,
			...(resourceLimits && {resourceLimits}),
			...(env && {env: {...process.env, ...env} as Record<string, string>}),
			...(execArgv.length > 0 && {execArgv: [...inherited, ...execArgv]}),
		});
		this.#piscina = piscina;
		// The thread can take a request only after this event.
		piscina.on('workerCreate', ({id}: {id: number}) => queueMicrotask(() => this.#join(piscina, id, listener)));
		// A failing thread is dealt with at its exit; without a listener Piscina's event would end the dispatcher.
		piscina.on('error', () => undefined);
	}

	async close(): Promise<void> {
		this.#isClosing = true;
		// Piscina's own close() counts a busy worker several times and ends the others under their jobs; destroy() it is,
		// and what still runs is settled from the boards, as after any loss.
		await endWorkers([...this.#workers.keys()], async () => this.#piscina?.destroy());
		await Promise.all(this.#workers.values());
	}

	#join(piscina: Piscina, id: number, listener: SourceListener): void {
		const thread = piscina.threads.find(({threadId}) => threadId === id);
		if (!thread || this.#isClosing) return;
		const worker = new ThreadWorker(piscina, thread, id);
		const {maxOldGenerationSizeMb} = thread.resourceLimits ?? {};
		let error: unknown;
		thread.on('message', (message: unknown) => listener.message(worker, message));
		thread.once('error', (thrown: unknown) => {
			error = thrown;
			listener.failing(worker, thrown);
		});
		const exited = new Promise<number>(resolve => thread.once('exit', resolve));
		const gone = exited.then(async exitCode => {
			const isOutOfMemory = (error as {code?: unknown} | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
			// No chunk is given to it while its processes are looked for.
			listener.failing(worker, error);
			const leavesProcesses = !(await worker.endOrphans().catch(() => false));
			this.#workers.delete(worker);
			listener.gone(worker, {exitCode, isOutOfMemory, leavesProcesses, ...(maxOldGenerationSizeMb && {limitBytes: maxOldGenerationSizeMb * MIB}), error});
			setImmediate(() => this.#isExhausted() && listener.exhausted());
		});
		this.#workers.set(worker, gone);
		listener.joined(worker);
	}

	/** Piscina stops replacing threads once one failed while starting: then only a new one helps. */
	#isExhausted(): boolean {
		return !this.#isClosing && this.#piscina?.threads.length === 0;
	}
}

class ThreadWorker implements PoolWorker {
	readonly kind = 'thread';
	readonly #piscina: Piscina;
	readonly #thread: Worker;
	readonly #id: number;
	readonly #identity: ThreadIdentity = {mark: nanoid(), thread: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))};
	#isTornDown = false;

	constructor(piscina: Piscina, thread: Worker, id: number) {
		this.#piscina = piscina;
		this.#thread = thread;
		this.#id = id;
	}

	board(jobs: number): SharedBoard {
		return new SharedBoard(jobs);
	}

	async request(request: WorkerRequest): Promise<unknown> {
		const identity = request.type === 'load' && {identity: this.#identity};
		const answer = await this.#piscina.run({...request, ...identity, [queueOptionsSymbol]: this.#id}, {transferList: memoryOf(request)});
		this.#isTornDown = request.type === 'teardown';
		return answer;
	}

	/** The processes that it must not leave behind: of one that was torn down none. */
	descendants(): Descendants | undefined {
		const {mark, thread} = this.#identity;
		return this.#isTornDown ? undefined : new Descendants({pid: process.pid, thread: asWorkerThread(Atomics.load(thread, 0)), mark});
	}

	/** After its end. False if one may be left. */
	async endOrphans(): Promise<boolean> {
		return this.#isTornDown || Descendants.ofEnded(this.#identity.mark).end();
	}

	async examine(): Promise<Examination> {
		const [where, heap] = await Promise.all([whereaboutsOfThread(this.#id), heapOf(this.#thread)]);
		return {...where, ...(heap && {heap})};
	}

	end(): boolean {
		void endWorkers([this], () => this.#thread.terminate());
		return true;
	}
}

/**
 * Ends threads, and with them the processes that they have started. A thread in `execFileSync()` ends when its command dies.
 * The second search comes after the threads were told to end: from then on their tasks start nothing more.
 */
function endWorkers(workers: readonly ThreadWorker[], end: () => Promise<unknown>): Promise<void> {
	return endThreads(async () => {
		const descendants = workers.flatMap(worker => worker.descendants() ?? []);
		// Whatever comes of the search, the threads are ended.
		await Promise.allSettled(descendants.map(each => each.stop()));
		for (const each of descendants) each.kill();
		await Promise.allSettled(descendants.map(each => each.reap()));
		const ended = end();
		await Promise.allSettled(descendants.map(each => each.end()));
		await ended;
	});
}

const MIB = 1024 ** 2;

/** A thread in native code doesn't answer, and Node tells it only from 22.16 on. */
async function heapOf(thread: Worker): Promise<PostMortem['heap']> {
	const statistics = await Promise.race([thread.getHeapStatistics?.().catch(() => undefined), sleep(ANSWER_MS, undefined, {ref: false})]);
	return statistics && {usedBytes: statistics.used_heap_size, limitBytes: statistics.heap_size_limit};
}

/** Piscina hands to its balancer what a request has under this symbol, which is not cloned with it. */
function targetOf(request: object): number | undefined {
	return (request as {[queueOptionsSymbol]?: number})[queueOptionsSymbol];
}
