import type {ClaimedGroup} from '../job/group.ts';
import type {JobId, StopReason} from '../job/job.ts';
import type {PoolOptions} from '../job/options.ts';
import type {TaskInfo} from '../job/task.ts';
import {monotonicMs} from '../support/clock.ts';
import {type Capacity, type Lane, laneOf, type Pool, type PoolListener} from './pool.ts';
import {processPool} from './processes/processes.ts';
import type {Budget} from './slots.ts';
import {threadPool} from './threads/threads.ts';
import type {WorkerPool} from './worker-pool.ts';

/** How often the free memory is checked. */
const LOOK_EVERY_MS = 100;

/**
 * Threads and processes under one budget of slots and of memory. The pool of the engine's isolation starts with the engine. The
 * other one starts with it if a task names it: all threads, or one process, and further processes with the jobs that need them.
 */
export class MixedPool implements Pool {
	readonly slots: number;
	readonly #listener: PoolListener;
	readonly #budget: Budget;
	readonly #memory: MemoryWatch;
	readonly #pools: Readonly<Record<'thread' | 'process', WorkerPool>>;
	readonly #usual: 'thread' | 'process';
	#tasks: ReadonlyMap<string, TaskInfo['options']> = new Map();
	#timer: NodeJS.Timeout | undefined;
	/** When the job was started that was stopped last because memory was short. */
	#stoppedSince: number | undefined;

	constructor(options: PoolOptions, listener: PoolListener, freeBytes: () => number = () => process.availableMemory()) {
		this.slots = options.workers;
		this.#listener = listener;
		this.#budget = {slots: options.workers, busy: 0};
		this.#memory = new MemoryWatch(options.minFreeMemoryBytes, monotonicMs, freeBytes);
		this.#usual = options.isolation === 'process' ? 'process' : 'thread';
		this.#pools = {thread: threadPool(options, listener, this.#budget), process: processPool(options, listener, this.#budget)};
	}

	async load(): Promise<readonly TaskInfo[]> {
		const infos = await this.#pools[this.#usual].load();
		this.#tasks = new Map(infos.map(({name, options}) => [name, options]));
		if (this.#usual === 'thread') await this.#pools.process.load(infos.some(({options}) => options.isolation === 'process') ? 1 : 0);
		else if (infos.some(({options}) => options.isolation === 'thread')) await this.#pools.thread.load();
		if (this.#memory.minFreeBytes > 0 || infos.some(({options}) => options.memoryBytes)) this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
		return infos;
	}

	get size(): number {
		return this.#pools.thread.size + this.#pools.process.size;
	}

	capacity(lane?: Lane): Capacity {
		if (!lane) return this.#pools[this.#usual].capacity();
		const {idle, prefetch} = this.#poolOf(lane).capacity();
		const memoryBytes = this.#memoryOf(lane);
		const room = this.#memory.room(memoryBytes, this.#budget.busy);
		// A prefetched chunk takes over the memory of the one before it, which may be of a task that needs less.
		return {idle: Math.min(idle, room), prefetch: memoryBytes > 0 || room === 0 ? 0 : prefetch};
	}

	run(chunk: ClaimedGroup): void {
		this.#memory.started(this.#memoryOf(chunk));
		this.#poolOf(laneOf(chunk)).run(chunk);
	}

	stop(id: JobId, reason: StopReason): boolean {
		return this.#pools.thread.stop(id, reason) || this.#pools.process.stop(id, reason);
	}

	async confirmStops(): Promise<void> {
		await Promise.all(Object.values(this.#pools).map(pool => pool.confirmStops()));
	}

	async release(task?: string): Promise<void> {
		await Promise.all(Object.values(this.#pools).map(pool => pool.release(task)));
	}

	interrupt(): void {
		for (const pool of Object.values(this.#pools)) pool.interrupt();
	}

	async close(): Promise<void> {
		clearInterval(this.#timer);
		await Promise.all(Object.values(this.#pools).map(pool => pool.close()));
	}

	/** Stops the youngest job if memory is short, and lets the others wait until it is not. */
	#look(): void {
		if (this.#memory.mustStop(this.#budget.busy)) this.#stopYoungest();
		this.#listener.freed();
	}

	#stopYoungest(): void {
		const running = Object.values(this.#pools).flatMap(pool => pool.running());
		const [youngest] = running.sort((a, b) => b.since - a.since);
		// One that is still being stopped will free its memory soon.
		if (!youngest || youngest.since === this.#stoppedSince) return;
		this.#stoppedSince = youngest.since;
		if (this.stop(youngest.id, 'interrupted')) this.#listener.memoryShort(youngest.id);
	}

	#poolOf({task, quarantined}: Lane): WorkerPool {
		return this.#pools[quarantined ? 'process' : (this.#tasks.get(task)?.isolation ?? this.#usual)];
	}

	#memoryOf({task}: Pick<Lane, 'task'>): number {
		return this.#tasks.get(task)?.memoryBytes ?? 0;
	}
}

/** A job may take this long until the system's figure shows the memory that it needs. */
const GROWING_MS = 1000;
/** The memory of a stopped job takes a while to be free again. */
const STOP_EVERY_MS = 1000;

/**
 * Decides from the free memory how many jobs may be started, and when one must be stopped. One job may always run: if memory
 * is short while nothing runs, that has other reasons.
 */
export class MemoryWatch {
	readonly minFreeBytes: number;
	readonly #freeBytes: () => number;
	readonly #now: () => number;
	#started: {readonly at: number; readonly bytes: number}[] = [];
	#stoppedAt = -Infinity;

	/** @param freeBytes the free memory of the system or the container */
	constructor(minFreeBytes: number, now: () => number, freeBytes: () => number) {
		this.minFreeBytes = minFreeBytes;
		this.#now = now;
		this.#freeBytes = freeBytes;
	}

	/** How many jobs may be started if each needs `jobBytes`, while so many run. */
	room(jobBytes: number, running: number): number {
		if (jobBytes === 0 && this.minFreeBytes === 0) return Infinity;
		const free = this.#freeBytes() - this.#promisedBytes();
		const room = jobBytes === 0 ? Infinity : Math.floor((free - this.minFreeBytes) / jobBytes);
		return Math.max(free < this.minFreeBytes ? 0 : room, running === 0 ? 1 : 0);
	}

	/** A job was started that may need this much. */
	started(bytes: number): void {
		if (bytes > 0) this.#started.push({at: this.#now(), bytes});
	}

	/** True if one of the running jobs should be stopped; then not again for a second. */
	mustStop(running: number): boolean {
		if (this.minFreeBytes === 0 || running < 2 || this.#now() - this.#stoppedAt < STOP_EVERY_MS) return false;
		if (this.#freeBytes() >= this.minFreeBytes / 2) return false;
		this.#stoppedAt = this.#now();
		return true;
	}

	/** Memory for jobs that were started so recently that they may not have taken it yet. */
	#promisedBytes(): number {
		const since = this.#now() - GROWING_MS;
		this.#started = this.#started.filter(({at}) => at > since);
		return this.#started.reduce((sum, {bytes}) => sum + bytes, 0);
	}
}
