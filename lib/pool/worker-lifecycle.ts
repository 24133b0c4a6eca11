import {availableParallelism} from 'node:os';
import {fileURLToPath} from 'node:url';
import type {WorkerLoss} from '../job/events.ts';
import {type FailureRecord, fromEnvelope, toFailure} from '../job/failure.ts';
import type {PerSpawner, PoolOptions} from '../job/options.ts';
import type {TaskInfo} from '../job/task/task.ts';
import {Spawner} from '../spawner/spawner.ts';
import {type Clock, sleep} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {ms, trace} from '../support/trace.ts';
import type {Loaded, SetupMessage} from '../worker/messages.ts';
import {howWorkerEnded, type Loss, lostJobs} from './lost-chunk.ts';
import type {PoolListener, PoolWorker, WorkerEnd, WorkerKind, WorkerSource, WorkerSources} from './pool.ts';
import type {EndReason, Slot, Slots} from './slots.ts';
import {toLoaded} from './worker-reports.ts';

/** Wait before a worker whose module could not be loaded again is replaced. */
const RELOAD_MS = 1000;
/** A load that takes longer than this holds up no other: it probably waits for something. */
const MAX_ALONE_MS = 1000;
/** A worker that loads or sets up for longer than this is reported. */
const SLOW_START_MS = 10_000;

/** Starts workers, replaces them, and ends them. Only once a worker is gone do its jobs get their outcomes, and another worker is started. */
export class WorkerLifecycle {
	readonly #sources: WorkerSources;
	readonly #options: PoolOptions;
	readonly #listener: PoolListener;
	readonly #slots: Slots;
	readonly #clock: Clock;
	readonly #receive: (slot: Slot, message: unknown) => void;
	readonly #maxLoading: number;
	/** Node's `spawn()` waits until the new process has begun its program. So two spawners start more commands than one. More than two gain nothing. */
	readonly #spawners: PerSpawner<Spawner>;
	/** Of each kind that was started: that the first worker has loaded the tasks, or failed to. */
	readonly #starts = new Map<WorkerKind, PromiseWithResolvers<readonly TaskInfo[]>>();

	/** @param maxLoading how many workers {@link start} lets load at the same time: more would only delay the first */
	constructor(
		sources: WorkerSources,
		options: PoolOptions,
		listener: PoolListener,
		slots: Slots,
		clock: Clock,
		receive: (slot: Slot, message: unknown) => void,
		maxLoading = availableParallelism(),
	) {
		this.#sources = sources;
		this.#options = options;
		this.#listener = listener;
		this.#slots = slots;
		this.#clock = clock;
		this.#receive = receive;
		this.#maxLoading = maxLoading;
		const {ownerLock, nice, commands: [first, second] = []} = options;
		this.#spawners = [new Spawner({ownerLock, nice, list: first}), new Spawner({ownerLock, nice, list: second})];
	}

	/** Starts so many workers, and replaces them; others start with their first chunk. Resolves with the tasks once the first has loaded them. */
	start(kind: WorkerKind, atLeast: number): Promise<readonly TaskInfo[]> {
		const start = Promise.withResolvers<readonly TaskInfo[]>();
		this.#starts.set(kind, start);
		this.#slots.reserved.set(kind, atLeast);
		for (let started = 0; started < Math.min(atLeast, this.#maxLoading); started++) this.#startMissing(kind);
		return start.promise;
	}

	/** Starts one of the reserved workers, if one is missing. */
	#startMissing(kind: WorkerKind): void {
		const count = this.#slots.count(({worker}) => worker.kind === kind);
		if (!this.#slots.isClosed && count < (this.#slots.reserved.get(kind) ?? 0)) this.#startWorker(kind);
	}

	add(kind: WorkerKind): Slot | undefined {
		return this.#slots.addable(kind) > 0 ? this.#startWorker(kind) : undefined;
	}

	#startWorker(kind: WorkerKind): Slot {
		const make = this.#sources[kind] as WorkerSource;
		const worker = make({
			message: message => this.#receive(slot, message),
			failing: () => {
				// One that loads has no chunk to lose, and is not replaced at once.
				if (slot.phase !== 'loading') slot.phase = 'ending';
			},
			gone: ending => this.#onGone(slot, ending),
		});
		const slot = this.#slots.add(worker);
		void this.#load(slot);
		return slot;
	}

	#traceLoaded(slot: Slot, loaded: Loaded | undefined): void {
		const what = !loaded ? 'ended while it loaded the tasks' : 'tasks' in loaded ? 'has started and loaded the tasks' : 'could not load the tasks';
		trace?.('worker', `${nameOf(slot)} ${what}, after ${ms(this.#clock.steadyMs() - slot.startedAt)}`);
	}

	async #load(slot: Slot): Promise<void> {
		this.#startPreparing(slot);
		const endAlone = this.#clock.after(MAX_ALONE_MS, () => this.#startMissing(slot.worker.kind));
		// A request that is not answered is that of a worker that ended.
		slot.loaded = slot.worker.request({...this.#options, type: 'load', worker: slot.number}).then(toLoaded, () => undefined);
		const loaded = await slot.loaded;
		endAlone();
		endPreparing(slot);
		if (trace) this.#traceLoaded(slot, loaded);
		if (!loaded || slot.phase !== 'loading') return;
		if ('tasks' in loaded) {
			slot.phase = 'ready';
			slot.codes = loaded.codes;
			for (const chunk of slot.chunks) chunk.send(slot.codes);
			this.#starts.get(slot.worker.kind)?.resolve(loaded.tasks);
			this.#startMissing(slot.worker.kind);
			this.#listener.freed();
			return;
		}
		this.#starts.get(slot.worker.kind)?.reject(fromEnvelope(loaded.error));
		// A module that loaded before now doesn't. The worker is replaced after a pause, since the next one may fail, too.
		await sleep(this.#clock, RELOAD_MS);
		if (slot.phase === 'loading') this.end(slot, 'unready', toFailure(fromEnvelope(loaded.error)));
	}

	/** The worker sets a task up, or has done so. */
	setUp(slot: Slot, {worker, task}: SetupMessage): void {
		if (slot.number !== worker) return;
		trace?.('worker', `${nameOf(slot)} ${typeof task === 'string' ? `sets up the task ${task}` : 'has set it up'}`);
		if (typeof task === 'string') this.#startPreparing(slot, task);
		else endPreparing(slot);
	}

	/** Tells the worker where its spawner is, and starts that before, if there is none. A worker that has ended needs no answer. */
	async introduceSpawner(slot: Slot, lost?: string): Promise<void> {
		const {worker} = slot;
		const address = await this.#spawnerOf(slot).addressFor(worker, lost);
		await worker.request({type: 'spawner', address}).catch(() => undefined);
	}

	/** A worker's number is given to the one that replaces it, so the workers share the spawners evenly. */
	#spawnerOf({number}: Slot): Spawner {
		return this.#spawners[number % 2] as Spawner;
	}

	#startPreparing(slot: Slot, task?: string): void {
		endPreparing(slot);
		const slow = {kind: slot.worker.kind, ...(task !== undefined && {task}), durationMs: SLOW_START_MS};
		slot.endPreparing = this.#clock.after(SLOW_START_MS, () => this.#listener.startsSlowly(slow));
	}

	/** Replaces a worker that has done enough, once its chunks are done. */
	retireIfDue(slot: Slot, memoryBytes: number): void {
		const {recycle} = this.#options;
		const isDue = slot.jobs >= recycle.jobs || this.#clock.steadyMs() - slot.startedAt >= recycle.ageMs || memoryBytes >= recycle.memoryBytes;
		if (isDue && slot.phase === 'ready') slot.phase = 'retiring';
		if (slot.phase === 'retiring' && slot.chunks.length === 0) void this.#tearDown(slot).then(() => this.end(slot, 'retired'));
	}

	/** Lets the tasks of an idle worker clean up, once. */
	#tearDown(slot: Slot): Promise<unknown> {
		slot.tornDown ??= this.#withinGrace(slot.worker.request({type: 'teardown'}).catch(() => undefined));
		return slot.tornDown;
	}

	#withinGrace(work: Promise<unknown>): Promise<unknown> {
		return Promise.race([work, sleep(this.#clock, this.#options.graceMs)]);
	}

	/** Ends the worker. What it posted before still arrives, unless it is broken; when it is gone, the rest is settled. */
	end(slot: Slot, reason: EndReason, error?: FailureRecord): void {
		if (slot.phase === 'ending') return;
		const isCaller = slot.worker.kind === 'caller';
		// A caller can't be ended. Its chunks are settled all the same if it is broken or closing, or the engine could never close.
		if (isCaller && reason === 'stopped' && slot.chunks[0]?.intent !== 'interrupted') return;
		// While the commands of its job are killed it would go on with the next job.
		for (const chunk of [...slot.chunks]) chunk.takeBack(chunk.waiting(), {type: 'released'});
		if (isCaller) {
			const commands = this.#spawnerOf(slot).endCommandsOf(slot.worker);
			if (commands) void commands.then(() => this.#loseCaller(slot));
			else this.#loseCaller(slot);
			return;
		}
		slot.phase = 'ending';
		slot.end = {reason, ...(error && {error})};
		void slot.worker.end();
	}

	/** The caller itself goes on. */
	#loseCaller(slot: Slot): void {
		this.#loseChunks(slot, {exitCode: null});
		this.#listener.freed();
	}

	/** A worker that ends while it loads is not replaced in a tight loop, nor are its jobs given back in one. */
	#onGone(slot: Slot, ending: WorkerEnd): void | Promise<void> {
		const commands = this.#spawnerOf(slot).endCommandsOf(slot.worker);
		if (commands) return this.#removeAfter(commands, slot, ending);
		if (slot.phase !== 'loading') return this.#removeWorker(slot, ending);
		const unloadable = toUnloadable(slot.worker, ending, this.#options.tasks);
		this.#starts.get(slot.worker.kind)?.reject(unloadable);
		slot.end = {reason: 'unready', error: toFailure(unloadable)};
		void sleep(this.#clock, RELOAD_MS).then(() => this.#removeWorker(slot, ending));
	}

	/** Its jobs may run again only when their commands are gone. */
	async #removeAfter(commands: Promise<boolean>, slot: Slot, ending: WorkerEnd): Promise<void> {
		// It gets no chunk meanwhile.
		slot.phase = 'ending';
		const areGone = await commands;
		this.#removeWorker(slot, areGone ? ending : {...ending, leavesProcesses: true});
	}

	#removeWorker(slot: Slot, ending: WorkerEnd): void {
		if (!this.#slots.all.has(slot)) return;
		slot.phase = 'ending';
		endPreparing(slot);
		for (const {chunkState} of slot.chunks) chunkState.refresh();
		if (!this.#slots.isClosed && slot.end?.reason !== 'retired' && slot.worker.kind !== 'caller') this.#listener.lost(lossOf(slot, ending));
		this.#loseChunks(slot, ending);
		this.#slots.all.delete(slot);
		this.#startMissing(slot.worker.kind);
		this.#listener.freed();
	}

	#loseChunks(slot: Slot, ending: WorkerEnd): void {
		const loss: Loss = {
			ending,
			wasEnded: this.#slots.isClosed || slot.end !== undefined,
			wasSilent: slot.end?.reason === 'blocked',
			// A chunk that has started a job is to blame, and no chunk that waited behind it.
			isUnproven: !slot.hasReported && !slot.chunks.some(({chunkState}) => chunkState.lastStarted()),
		};
		for (const chunk of [...slot.chunks]) {
			chunk.updates.tellProgress();
			chunk.lose(lostJobs(chunk, loss, this.#clock));
		}
	}

	/** Tears down what is idle and ends the rest; from now on no worker is started. Resolves when all are gone. */
	async close(): Promise<void> {
		this.#slots.isClosed = true;
		for (const {reject} of this.#starts.values()) reject(new FaenaError('Closed', 'The pool was closed while it loaded its tasks.'));
		const slots = [...this.#slots.all];
		const idle = slots.filter(({phase, chunks}) => (phase === 'ready' || phase === 'retiring') && chunks.length === 0);
		// A thread that is ended while it loads a native addon takes the whole process along; it is given the grace for that.
		const loading = slots.filter(({worker, phase}) => worker.kind === 'thread' && phase === 'loading').map(({loaded}) => loaded);
		await Promise.all([...idle.map(slot => this.#tearDown(slot)), this.#withinGrace(Promise.all(loading))]);
		await Promise.all([...this.#slots.all].map(({worker}) => worker.end()));
		await Promise.all(this.#spawners.map(spawner => spawner.close()));
		for (const slot of this.#slots.all) this.#removeWorker(slot, {exitCode: 0});
	}
}

function endPreparing(slot: Slot): void {
	slot.endPreparing?.();
	slot.endPreparing = undefined;
}

function lossOf({worker, end, chunks: [chunk]}: Slot, {exitCode, signal, isOutOfMemory, leavesProcesses}: WorkerEnd): WorkerLoss {
	const running = chunk?.chunkState.running();
	return {
		kind: worker.kind as WorkerLoss['kind'],
		...((end as Omit<WorkerLoss, 'kind'> | undefined) ?? {reason: isOutOfMemory ? 'outOfMemory' : 'ended'}),
		...(exitCode !== null && {exitCode}),
		...(signal !== undefined && {signal}),
		...(leavesProcesses && {leavesProcesses}),
		...(chunk && running && {jobId: chunk.idAt(running.index)}),
	};
}

/** Why a worker ended while it loaded the tasks module. */
function toUnloadable({kind}: PoolWorker, ending: WorkerEnd, tasks: string): FaenaError {
	if (ending.error instanceof FaenaError) return ending.error;
	const [, refusal] = /: (bad option: .*)/.exec(ending.stderr ?? '') ?? [];
	if (refusal) return new FaenaError('BadOption', `open() expects as execArgv options of Node's; a worker ${kind} said: ${refusal}`);
	const limit = ending.isOutOfMemory && ending.limitBytes ? ` Its limit was ${ending.limitBytes / 1024 ** 2} MiB (maxOldGenerationSizeMb).` : '';
	const complaint = ending.stderr ? ` It said: ${ending.stderr.trim()}` : '';
	const thrown = ending.error === undefined || ending.exitCode === null || ending.isOutOfMemory ? '' : ` ${toFailure(ending.error).message}`;
	const message = `The tasks module ${fileURLToPath(tasks)} can't be loaded: its worker ${kind} ${howWorkerEnded(ending)}.${limit}${complaint}${thrown}`;
	return new FaenaError('BadTasksModule', message, {cause: ending.error});
}

function nameOf({worker, number}: Slot): string {
	return worker.name ?? `${worker.kind} ${number}`;
}
