import type {StopReason} from '../board.ts';
import type {JobId} from '../job.ts';
import type {Chunk, Isolation, Lane, Places, Pool, PoolListener, PoolOptions} from '../pool.ts';
import type {TaskInfo} from '../tasks-module.ts';
import {processPool} from './processes.ts';
import {threadPool} from './threads.ts';
import type {Budget, WorkerPool} from './worker-pool.ts';

/**
 * Threads and processes under one budget of slots. The engine's isolation says which of them starts with the engine; the
 * other starts when a task needs it: processes one by one, with the first job that must have one.
 */
export class Workforce implements Pool {
	readonly slots: number;
	readonly #budget: Budget;
	readonly #pools: Readonly<Record<'thread' | 'process', WorkerPool>>;
	readonly #usual: 'thread' | 'process';
	/** Of tasks that want another isolation than the usual one. */
	readonly #unusual = new Set<string>();

	constructor({isolation, ...options}: PoolOptions & {readonly isolation: Isolation}, listener: PoolListener) {
		this.slots = options.workers;
		this.#budget = {slots: options.workers, busy: 0};
		this.#usual = isolation === 'process' ? 'process' : 'thread';
		this.#pools = {thread: threadPool(options, listener, this.#budget), process: processPool(options, listener, this.#budget)};
	}

	async load(): Promise<readonly TaskInfo[]> {
		const infos = await this.#pools[this.#usual].load();
		for (const {name, options} of infos) if ((options.isolation ?? this.#usual) !== this.#usual) this.#unusual.add(name);
		if (this.#usual === 'thread') this.#pools.process.openLazily();
		else if (this.#unusual.size > 0) await this.#pools.thread.load();
		return infos;
	}

	get size(): number {
		return this.#sum(pool => pool.size);
	}

	places(lane?: Lane): Places {
		if (lane) return this.#poolOf(lane).places();
		return {idle: this.#budget.slots - this.#budget.busy, second: this.#sum(pool => pool.places().second)};
	}

	run(chunk: Chunk): void {
		this.#poolOf(chunk).run(chunk);
	}

	stop(id: JobId, reason: StopReason): boolean {
		return this.#pools.thread.stop(id, reason) || this.#pools.process.stop(id, reason);
	}

	recall(task?: string): void {
		for (const pool of Object.values(this.#pools)) pool.recall(task);
	}

	interrupt(): void {
		for (const pool of Object.values(this.#pools)) pool.interrupt();
	}

	async close(): Promise<void> {
		await Promise.all(Object.values(this.#pools).map(pool => pool.close()));
	}

	#poolOf({task, solo}: Lane): WorkerPool {
		if (solo) return this.#pools.process;
		const isUsual = !this.#unusual.has(task);
		return this.#pools[isUsual === (this.#usual === 'thread') ? 'thread' : 'process'];
	}

	#sum(of: (pool: WorkerPool) => number): number {
		return of(this.#pools.thread) + of(this.#pools.process);
	}
}
