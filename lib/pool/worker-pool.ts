import {size} from '../job/checks.ts';
import type {Lease} from '../job/claim.ts';
import {toFailure} from '../job/failure.ts';
import {type ClaimedGroup, MAX_GROUP_JOBS} from '../job/groups/group.ts';
import type {JobId, StopReason} from '../job/job.ts';
import type {PoolOptions} from '../job/options.ts';
import type {TaskInfo} from '../job/task/task.ts';
import {type Clock, systemClock} from '../support/clock.ts';
import {type ChunkReport, isWorkerMessage} from '../worker/messages.ts';
import {InFlightChunk} from './in-flight.ts';
import {JobSupervisor, MAX_SILENCE_MS} from './job-supervisor.ts';
import {MemoryWatch} from './memory.ts';
import {type Capacity, type Lane, laneOf, type Pool, type PoolListener, type WorkerKind, type WorkerSources} from './pool.ts';
import {type Slot, Slots} from './slots.ts';
import {WorkerLifecycle} from './worker-lifecycle.ts';
import {problemOf} from './worker-reports.ts';

/** How often the free memory is checked. */
const CHECK_MEMORY_EVERY_MS = 100;

/**
 * A pool of workers of one or several kinds, by their {@link WorkerSources}, under one budget of slots and of memory. A worker has at most two
 * chunks: one that runs, one that waits, so that it never idles while a commit is under way. Nothing ever waits in the queues of the libraries
 * below: the pool names the worker for each chunk and gives it one only when it has room.
 */
export class WorkerPool implements Pool {
	readonly slots: number;
	readonly maxJobs = MAX_GROUP_JOBS;
	readonly #sources: WorkerSources;
	readonly #options: PoolOptions;
	readonly #listener: PoolListener;
	readonly #clock: Clock;
	readonly #memory: MemoryWatch;
	/** For tasks that name no other. */
	readonly #usual: WorkerKind;
	readonly #slots: Slots;
	readonly #lifecycle: WorkerLifecycle;
	readonly #supervisor: JobSupervisor;
	#tasks: ReadonlyMap<string, TaskInfo['options']> = new Map();
	#lastNumber = 0;
	#endMemoryChecks: (() => void) | undefined;
	/** The start time of the job that was stopped last because memory was short. */
	#stoppedSince: number | undefined;
	#closing: Promise<void> | undefined;

	/** @param freeBytes the free memory of the system or the container */
	constructor(sources: WorkerSources, options: PoolOptions, listener: PoolListener, clock = systemClock, freeBytes = () => process.availableMemory()) {
		this.slots = options.workers;
		this.#sources = sources;
		this.#options = options;
		this.#listener = listener;
		this.#clock = clock;
		this.#memory = new MemoryWatch(options.minFreeMemoryBytes, clock.steadyMs, freeBytes);
		const [first, ...others] = Object.keys(sources) as [WorkerKind, ...WorkerKind[]];
		this.#usual = others.find(kind => kind === options.isolation) ?? first;
		this.#slots = new Slots(options.workers, clock);
		this.#lifecycle = new WorkerLifecycle(sources, options, listener, this.#slots, clock, (slot, message) => this.#receive(slot, message));
		this.#supervisor = new JobSupervisor(this.#slots, options.graceMs, clock, this.#lifecycle, chunk => this.run(chunk));
	}

	/** Starts the usual workers and, if a task names another kind, all threads or one process. Further processes start with their first chunk. */
	async load(): Promise<readonly TaskInfo[]> {
		const infos = await this.#lifecycle.start(this.#usual, this.slots);
		this.#tasks = new Map(infos.map(({name, options}) => [name, options]));
		for (const kind of Object.keys(this.#sources) as WorkerKind[]) {
			const isNamed = infos.some(({options}) => options.isolation === kind);
			if (isNamed && kind !== this.#usual) await this.#lifecycle.start(kind, kind === 'thread' ? this.slots : 1);
		}
		const mayBeShort = this.#usual !== 'caller' && (this.#memory.minFreeBytes > 0 || infos.some(({options}) => options.memory));
		if (mayBeShort) this.#endMemoryChecks = this.#clock.every(CHECK_MEMORY_EVERY_MS, () => this.#checkMemory());
		return infos;
	}

	get size(): number {
		return this.#slots.chunks.reduce((jobs, {open}) => jobs + open, 0);
	}

	capacity(lane?: Lane): Capacity {
		const capacity = this.#slots.capacity(lane ? this.#kindOf(lane) : this.#usual);
		if (!lane) return capacity;
		const memoryBytes = this.#memoryOf(lane);
		const room = this.#memory.room(memoryBytes, this.#slots.busy);
		// A prefetched chunk takes over the memory of the one before it, which may be of a task that needs less.
		return {idle: Math.min(capacity.idle, room), prefetch: memoryBytes > 0 || room === 0 ? 0 : capacity.prefetch};
	}

	#kindOf({task, quarantined}: Lane): WorkerKind {
		const named = quarantined ? 'process' : this.#tasks.get(task)?.isolation;
		return named !== undefined && named in this.#sources ? (named as WorkerKind) : this.#usual;
	}

	#memoryOf({task}: Pick<Lane, 'task'>): number {
		const memory = this.#tasks.get(task)?.memory;
		return memory === undefined ? 0 : size(memory);
	}

	run(chunk: ClaimedGroup): void {
		this.#memory.started(this.#memoryOf(chunk));
		const kind = this.#kindOf(laneOf(chunk));
		const slot = this.#slots.pick(kind, () => this.#lifecycle.add(kind));
		const inFlight = new InFlightChunk(++this.#lastNumber, slot.worker, chunk, this.#listener, this.#clock);
		this.#slots.assign(slot, inFlight);
		this.#supervisor.follow(slot, inFlight);
		if (slot.phase !== 'loading') inFlight.send(slot.codes);
	}

	stop(id: JobId, reason: StopReason, lease?: Lease): boolean {
		const chunk = this.#slots.chunks.find(each => (lease ?? each.group.lease) === each.group.lease && each.openIndexOf(id) >= 0);
		if (!chunk) return false;
		const index = chunk.openIndexOf(id);
		chunk.takeBack([index], reason === 'cancelled' ? {type: 'cancelled'} : {type: 'released'});
		if (chunk.openIndexOf(id) < 0) return true;
		// A micro-batch frees its memory only if all of its jobs stop.
		const running = reason === 'interrupted' ? chunk.running()?.indexes : undefined;
		this.#supervisor.stop(chunk, running ?? [index], reason);
		return true;
	}

	/** Stops the youngest job if memory is short, and lets the others wait until it is not. */
	#checkMemory(): void {
		if (this.#memory.mustStop(this.#slots.busy)) this.#stopYoungest();
		this.#listener.freed();
	}

	#stopYoungest(): void {
		const running = this.#slots.chunks.flatMap(chunk => {
			const shown = chunk.chunkState.running();
			return shown ? [{id: chunk.idAt(shown.index), since: shown.since}] : [];
		});
		const [youngest] = running.sort((a, b) => b.since - a.since);
		// One that is still being stopped will free its memory soon.
		if (!youngest || youngest.since === this.#stoppedSince) return;
		this.#stoppedSince = youngest.since;
		if (this.stop(youngest.id, 'interrupted')) this.#listener.memoryShort(youngest.id);
	}

	async release(task?: string): Promise<void> {
		const chunks = this.#slots.chunks.filter(({group}) => task === undefined || group.task === task);
		for (const chunk of chunks) if (chunk.intent === 'run') chunk.intent = 'released';
		await Promise.all(chunks.map(chunk => this.#askBack(chunk, chunk.waiting())));
	}

	async confirmStops(): Promise<void> {
		// A worker obeys its commands in their order: once it has answered this one, it has obeyed those before.
		await Promise.all(this.#slots.chunks.map(chunk => this.#askBack(chunk, [])));
	}

	/** Resolves once the worker has answered, the chunk has ended, or the worker is silent: as a process that was suspended by a signal. */
	#askBack(chunk: InFlightChunk, indexes: readonly number[]): Promise<void> {
		return new Promise(resolve => {
			chunk.onEnd.push(resolve, this.#clock.after(MAX_SILENCE_MS, resolve));
			chunk.takeBack(indexes, {type: 'released'}, resolve);
		});
	}

	interrupt(): void {
		for (const chunk of this.#slots.chunks) this.#supervisor.interrupt(chunk);
	}

	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #close(): Promise<void> {
		this.#endMemoryChecks?.();
		this.interrupt();
		await this.#lifecycle.close();
		this.#supervisor.close();
	}

	#receive(slot: Slot, message: unknown): void {
		// Later messages of a worker that is ended for nonsense are ignored.
		if (slot.chunks.some(({nonsense}) => nonsense !== undefined) || !isWorkerMessage(message)) return;
		if (message.type === 'setup') this.#lifecycle.setUp(slot, message);
		else if (message.type === 'spawner') void this.#lifecycle.introduceSpawner(slot, message.lost);
		else this.#receiveReport(slot, message);
	}

	#receiveReport(slot: Slot, message: ChunkReport): void {
		const chunk = slot.chunks.find(({number}) => number === message.chunk);
		if (!chunk) return;
		chunk.nonsense = problemOf(chunk, message, this.#options);
		if (chunk.nonsense !== undefined) {
			const error = new Error(`The worker's report was not believed, since ${chunk.nonsense}.`);
			this.#lifecycle.end(slot, 'broken', toFailure(error, 'lostWorker'));
		} else if (message.type === 'update') {
			const {type: _, chunk: __, index, ...update} = message;
			chunk.updates.tell(index, update);
		} else if (message.type === 'outcomes') {
			chunk.report(message);
			slot.quietMs = 0;
			slot.hasReported = true;
		} else {
			chunk.confirm(message);
			if (!message.isLast) return;
			this.#lifecycle.retireIfDue(slot, message.memoryBytes ?? 0);
			this.#listener.freed();
		}
	}
}
