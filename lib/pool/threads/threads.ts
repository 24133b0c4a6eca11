import {Session} from 'node:inspector';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import type {Worker} from 'node:worker_threads';
import {nanoid} from 'nanoid';
import {Piscina} from 'piscina';
import type {PostMortem} from '../../job/failure.ts';
import type {PoolOptions} from '../../job/options.ts';
import {FaenaError} from '../../support/errors.ts';
import {inheritedArgs, refusedArgs, workerUrl} from '../../support/node.ts';
import {type LoadMessage, type ThreadIdentity, transferListOf, type WorkerRequest} from '../../worker/messages.ts';
import {Descendants} from '../descendants.ts';
import type {PoolListener} from '../pool.ts';
import {asWorkerThread} from '../process-table.ts';
import type {Budget} from '../slots.ts';
import {ANSWER_MS, type InspectorClient, NO_ANSWER, type StackSnapshot, takeStackSnapshot} from '../stack-snapshot.ts';
import {WorkerPool} from '../worker-pool.ts';
import {EachApart, type Examination, MAX_JOBS, type PoolWorker, SharedChunkState, type SourceListener} from '../worker-source.ts';

/** Tasks in worker threads, by Piscina. */
export function threadPool(options: PoolOptions, listener: PoolListener, budget?: Budget): WorkerPool {
	const source = new EachApart(MAX_JOBS, own => new ThreadWorker(options, own), endAndWait);
	return new WorkerPool(source, options, listener, budget);
}

/** Each thread has a Piscina of its own: a Piscina of several threads starts no more once one has failed while starting. */
class ThreadWorker implements PoolWorker {
	readonly kind = 'thread';
	readonly #options: PoolOptions;
	readonly #listener: SourceListener;
	readonly #identity: ThreadIdentity = {mark: nanoid(), thread: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))};
	#piscina: Piscina | undefined;
	#isTornDown = false;
	/** Resolves when its end was reported. */
	gone: Promise<void> | undefined;

	constructor(options: PoolOptions, listener: SourceListener) {
		this.#options = options;
		this.#listener = listener;
	}

	chunkState(jobs: number): SharedChunkState {
		return new SharedChunkState(jobs);
	}

	async request(request: WorkerRequest): Promise<unknown> {
		if (request.type === 'load') return this.#load({...request, identity: this.#identity});
		// Piscina would start another thread.
		if (!this.#thread) throw new Error('The thread has ended.');
		const answer = await this.#piscina?.run(request, {transferList: transferListOf(request)});
		this.#isTornDown = request.type === 'teardown';
		return answer;
	}

	/** The processes that it must not leave behind; `undefined` after an orderly teardown, which may leave some on purpose. */
	descendants(): Descendants | undefined {
		const {mark, thread} = this.#identity;
		return this.#isTornDown ? undefined : new Descendants({pid: process.pid, thread: asWorkerThread(Atomics.load(thread, 0)), mark});
	}

	async examine(): Promise<Examination> {
		if (!this.#thread) return {};
		const snapshot = this.#options.postMortem ? takeThreadSnapshot(this.#thread.threadId) : NOT_ASKED;
		const [stack, heap] = await Promise.all([snapshot, heapOf(this.#thread)]);
		return {...stack, ...(heap && {heap})};
	}

	end(): boolean {
		void endWorkers([this]);
		return true;
	}

	async terminate(): Promise<void> {
		await this.#thread?.terminate();
	}

	get #thread(): Worker | undefined {
		return this.#piscina?.threads[0];
	}

	async #load(request: LoadMessage): Promise<unknown> {
		try {
			return await this.#start(request);
		} catch (error) {
			if (!this.gone) this.#listener.gone(this, {exitCode: null, error});
			throw error;
		}
	}

	#start(request: LoadMessage): Promise<unknown> {
		const inherited = inheritedArgs();
		try {
			return this.#startWith(inherited, request);
		} catch (error) {
			const refused = refusedArgs(error);
			this.#checkOwnArgs(refused, error);
			// V8's options, for instance, hold for all threads of a process anyway.
			return this.#startWith(
				inherited.filter(arg => !refused.includes(arg)),
				request,
			);
		}
	}

	#checkOwnArgs(refused: readonly string[], cause: unknown): void {
		const own = this.#options.execArgv.filter(arg => refused.includes(arg));
		if (own.length === 0) return;
		const sentence = `open() expects as execArgv what Node lets a worker thread have; it got ${own.join(', ')}.`;
		throw new FaenaError('BadOption', `${sentence} Give it to the program itself, or choose {isolation: 'process'}.`, {cause});
	}

	/** Piscina starts its thread with the first request. */
	#startWith(inherited: readonly string[], request: LoadMessage): Promise<unknown> {
		const {resourceLimits, env, execArgv} = this.#options;
		const piscina = new Piscina({
			filename: fileURLToPath(workerUrl('thread-entry')),
			minThreads: 0,
			maxThreads: 1,
			idleTimeout: Infinity,
			concurrentTasksPerWorker: 2,
			recordTiming: false,
			...(resourceLimits && {resourceLimits}),
			...(env && {env: {...process.env, ...env} as Record<string, string>}),
			...(execArgv.length > 0 && {execArgv: [...inherited, ...execArgv]}),
		});
		// A failing thread is handled at its exit; without a listener Piscina's event would end the dispatcher.
		piscina.on('error', () => undefined);
		const answer = piscina.run(request);
		this.#piscina = piscina;
		this.gone = this.#reportExit(piscina, piscina.threads[0] as Worker);
		return answer;
	}

	async #reportExit(piscina: Piscina, thread: Worker): Promise<void> {
		const {maxOldGenerationSizeMb} = thread.resourceLimits ?? {};
		let error: unknown;
		thread.on('message', (message: unknown) => this.#listener.message(this, message));
		thread.once('error', (thrown: unknown) => {
			error = thrown;
			this.#listener.failing(this, thrown);
		});
		const exitCode = await new Promise<number>(resolve => thread.once('exit', resolve));
		const isOutOfMemory = (error as {code?: unknown} | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
		// It gets no chunk while its processes are searched for.
		this.#listener.failing(this, error);
		// Rejects requests that it had not received.
		void piscina.destroy();
		const isAlone =
			this.#isTornDown ||
			(await Descendants.ofEnded(this.#identity.mark)
				.end()
				.catch(() => false));
		const limit = maxOldGenerationSizeMb && {limitBytes: maxOldGenerationSizeMb * MIB};
		this.#listener.gone(this, {exitCode, isOutOfMemory, leavesProcesses: !isAlone, ...limit, error});
	}
}

/**
 * Ends threads, and with them the processes that they have started. A thread in `execFileSync()` ends when its command dies.
 * The second search comes after the threads were told to end: from then on their tasks start nothing more.
 */
function endWorkers(workers: readonly ThreadWorker[]): Promise<void> {
	return endThreads(async () => {
		const descendants = workers.flatMap(worker => worker.descendants() ?? []);
		// The threads are ended even if the search fails.
		await Promise.allSettled(descendants.map(each => each.stop()));
		for (const each of descendants) each.kill();
		await Promise.allSettled(descendants.map(each => each.reap()));
		const ended = Promise.all(workers.map(worker => worker.terminate()));
		await Promise.allSettled(descendants.map(each => each.end()));
		await ended;
	});
}

async function endAndWait(workers: readonly ThreadWorker[]): Promise<void> {
	await endWorkers(workers);
	await Promise.all(workers.map(worker => worker.gone));
}

/** Node's inspector can abort the whole program, so it looks at threads only on request. */
const NOT_ASKED: StackSnapshot = {noStack: 'Stacks of threads are read only with open({postMortem: true}).'};

const MIB = 1024 ** 2;

/** `undefined` for a thread in native code, which doesn't answer, and before Node 22.16. */
async function heapOf(thread: Worker): Promise<PostMortem['heap']> {
	const statistics = await Promise.race([thread.getHeapStatistics?.().catch(() => undefined), sleep(ANSWER_MS, undefined, {ref: false})]);
	return statistics && {usedBytes: statistics.used_heap_size, limitBytes: statistics.heap_size_limit};
}

/** The snapshot that is being taken. One at a time, since each inspector session receives the events of all threads. */
let current: Promise<unknown> = Promise.resolve();
/** The last snapshot in the queue. */
let last: Promise<unknown> = current;
/** Threads that are being ended. A thread in native code ends after that code returns; snapshots do not wait for that. */
const ending = new Set<Promise<unknown>>();

/**
 * Takes a snapshot of another worker thread of this process. The main thread's inspector relays it, so the main thread must
 * be free to answer.
 */
export function takeThreadSnapshot(threadId: number): Promise<StackSnapshot> {
	const snapshot = last.then(() => takeOnceFree(threadId)).catch(() => NO_ANSWER);
	last = snapshot;
	return snapshot;
}

async function takeOnceFree(threadId: number): Promise<StackSnapshot> {
	while (ending.size > 0) await Promise.all(ending);
	const snapshot = connectAndTake(threadId);
	current = snapshot.catch(() => undefined);
	return snapshot;
}

/**
 * Ends threads once the current snapshot is taken, and makes later snapshots wait. Node aborts the process if its inspector
 * attaches to a thread that is just ending.
 */
export async function endThreads(end: () => Promise<unknown>): Promise<void> {
	const ended = current.then(end);
	const gone = Promise.race([ended, sleep(ANSWER_MS, undefined, {ref: false})]).catch(() => undefined);
	ending.add(gone);
	void gone.then(() => ending.delete(gone));
	await ended;
}

async function connectAndTake(threadId: number): Promise<StackSnapshot> {
	const session = new Session();
	session.connectToMainThread();
	try {
		const sessionId = await attach(session, threadId);
		return sessionId === undefined ? NO_ANSWER : await takeStackSnapshot(clientOf(session, sessionId));
	} finally {
		session.disconnect();
	}
}

/** Resolves with the id of the thread's session, which the main thread's session relays. */
function attach(session: Session, threadId: number): Promise<string | undefined> {
	return new Promise((resolve, reject) => {
		setTimeout(() => resolve(undefined), ANSWER_MS);
		session.on('NodeWorker.attachedToWorker', ({params: {sessionId, workerInfo}}) => {
			if (workerInfo.title.startsWith(`[worker ${threadId}]`)) resolve(sessionId);
		});
		session.post('NodeWorker.enable', {waitForDebuggerOnStart: false}, error => error && reject(error));
	});
}

function clientOf(session: Session, sessionId: string): InspectorClient {
	const answers = new Map<number, (answer: unknown) => void>();
	const client: InspectorClient = {
		post: (method, params) =>
			new Promise(resolve => {
				const id = answers.size + 1;
				answers.set(id, resolve);
				session.post('NodeWorker.sendMessageToWorker', {sessionId, message: JSON.stringify({id, method, params})});
			}),
		onEvent: () => undefined,
		close: () => session.post('NodeWorker.disable'),
	};
	session.on('NodeWorker.receivedMessageFromWorker', ({params}) => {
		if (params.sessionId !== sessionId) return;
		const {id, result, method, params: detail} = JSON.parse(params.message) as {id?: number; result?: unknown; method?: string; params?: never};
		if (method) client.onEvent(method, detail as never);
		else if (id !== undefined) answers.get(id)?.(result);
	});
	return client;
}
