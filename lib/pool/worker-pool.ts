import {toFailure} from '../job/failure.ts';
import type {ClaimedGroup} from '../job/group.ts';
import type {JobId, StopReason} from '../job/job.ts';
import type {PoolOptions} from '../job/options.ts';
import type {TaskInfo} from '../job/task.ts';
import {type Clock, systemClock} from '../support/clock.ts';
import {type ChunkReport, isWorkerMessage} from '../worker/messages.ts';
import {InFlightChunk} from './in-flight.ts';
import type {Capacity, Pool, PoolListener, WorkerSource} from './pool.ts';
import {type Budget, type Slot, Slots} from './slots.ts';
import {MAX_SILENCE_MS, Watch} from './watch.ts';
import {WorkerLifecycle} from './worker-lifecycle.ts';
import {problemOf} from './worker-reports.ts';

/**
 * A pool of workers, threads or processes by its {@link WorkerSource}. One slot per worker, at most two chunks in each: one
 * that runs, one that waits, so that the worker never idles while a commit is under way. Nothing ever waits in the queues
 * of the libraries below: the pool names the worker for each chunk and gives it one only when it has room.
 */
export class WorkerPool implements Pool {
	readonly slots: number;
	readonly #options: PoolOptions;
	readonly #listener: PoolListener;
	readonly #clock: Clock;
	readonly #slots: Slots;
	readonly #lifecycle: WorkerLifecycle;
	readonly #watch: Watch;
	#lastNumber = 0;

	constructor(
		makeWorker: WorkerSource,
		options: PoolOptions,
		listener: PoolListener,
		budget: Budget = {slots: options.workers, busy: 0},
		clock: Clock = systemClock,
	) {
		this.slots = options.workers;
		this.#options = options;
		this.#listener = listener;
		this.#clock = clock;
		this.#slots = new Slots(budget, clock);
		this.#lifecycle = new WorkerLifecycle(makeWorker, options, listener, this.#slots, clock, (slot, message) => this.#receive(slot, message));
		this.#watch = new Watch(this.#slots, options.graceMs, clock, {
			idle: () => this.capacity().idle,
			run: chunk => this.run(chunk),
			end: (slot, reason) => this.#lifecycle.end(slot, reason),
		});
	}

	/** @param atLeast workers that are started at once, and replaced. The others start with their first chunk, if the tasks are known to load */
	load(atLeast = this.slots): Promise<readonly TaskInfo[]> {
		return this.#lifecycle.start(atLeast);
	}

	get size(): number {
		return this.#slots.chunks.reduce((jobs, {open}) => jobs + open, 0);
	}

	capacity(): Capacity {
		return this.#slots.capacity(this.#lifecycle.addable);
	}

	run(chunk: ClaimedGroup): void {
		const slot = this.#slots.pick(() => this.#lifecycle.add());
		this.#watch.start();
		const inFlight = new InFlightChunk(++this.#lastNumber, slot.worker, chunk, this.#listener, this.#clock);
		this.#slots.assign(slot, inFlight);
		if (slot.phase !== 'loading') inFlight.send();
	}

	stop(id: JobId, reason: StopReason): boolean {
		const chunk = this.#slots.chunks.find(each => each.openIndexOf(id) >= 0);
		if (!chunk) return false;
		const index = chunk.openIndexOf(id);
		chunk.takeBack([index], reason === 'cancelled' ? {type: 'cancelled'} : {type: 'released'});
		if (chunk.openIndexOf(id) < 0) return true;
		// What a micro-batch is to give back, such as memory, only all of its jobs can.
		const running = reason === 'interrupted' ? chunk.running()?.indexes : undefined;
		this.#watch.stop(chunk, running ?? [index], reason);
		return true;
	}

	/** The jobs that run, as far as is known, and since when on the pool's steady clock. */
	running(): {readonly id: JobId; readonly since: number}[] {
		return this.#slots.chunks.flatMap(chunk => {
			const running = chunk.chunkState.running();
			return running ? [{id: chunk.idAt(running.index), since: running.since}] : [];
		});
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
		for (const chunk of this.#slots.chunks) this.#watch.interrupt(chunk);
	}

	async close(): Promise<void> {
		this.interrupt();
		await this.#lifecycle.close();
		this.#watch.close();
	}

	#receive(slot: Slot, message: unknown): void {
		// From a worker that is ended for nonsense nothing more is believed.
		if (slot.chunks.some(({nonsense}) => nonsense !== undefined) || !isWorkerMessage(message)) return;
		if (message.type === 'setup') this.#lifecycle.setUp(slot, message);
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
			chunk.tell(index, update);
		} else if (message.type === 'outcomes') {
			chunk.report(message);
			slot.quietLooks = 0;
			slot.hasReported = true;
		} else {
			chunk.confirm(message);
			if (!message.isLast) return;
			this.#lifecycle.retireIfDue(slot, message.memoryBytes ?? 0);
			this.#listener.freed();
		}
	}
}
