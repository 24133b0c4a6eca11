import type {PostMortem} from '../job/failure.ts';
import {MAX_GROUP_JOBS} from '../job/group.ts';
import type {StopReason} from '../job/job.ts';
import {ChunkState, type PublishedProgress, type Running} from '../worker/chunk-state.ts';
import type {WorkerRequest} from '../worker/messages.ts';

/** Makes the workers of a pool: threads, processes or the caller. Everything else is done by {@link WorkerPool}. */
export interface WorkerSource {
	/** The most jobs that a chunk for its workers may have. */
	readonly maxJobs: number;
	/** Starts this many workers. */
	start(count: number, listener: SourceListener): void;
	/** Starts one more, which joins before this returns. Without it, workers that end are not replaced. */
	readonly add?: () => void;
	/** Ends all workers at once. Resolves when they are gone. */
	close(): Promise<void>;
}

/** Starts each worker by a function, and ends them all together. */
export class EachApart<Worker extends PoolWorker> implements WorkerSource {
	readonly maxJobs: number;
	readonly #make: (listener: SourceListener) => Worker;
	readonly #end: (workers: readonly Worker[]) => Promise<unknown>;
	readonly #workers = new Set<Worker>();
	#listener: SourceListener | undefined;

	constructor(maxJobs: number, make: (listener: SourceListener) => Worker, end: (workers: readonly Worker[]) => Promise<unknown>) {
		this.maxJobs = maxJobs;
		this.#make = make;
		this.#end = end;
	}

	start(count: number, listener: SourceListener): void {
		this.#listener = listener;
		for (let index = 0; index < count; index++) this.add();
	}

	readonly add = (): void => {
		const listener = this.#listener as SourceListener;
		const worker = this.#make({
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
		await this.#end([...this.#workers]);
	}
}

export interface SourceListener {
	/** The worker takes requests from now on. */
	joined(worker: PoolWorker): void;
	/** A message from this worker: Faena's, or one that a task posted to the parent of its thread. */
	message(worker: PoolWorker, message: unknown): void;
	/** The worker is about to end. */
	failing(worker: PoolWorker, error: unknown): void;
	/** The worker has ended, and all its messages were delivered. */
	gone(worker: PoolWorker, ending: WorkerEnd): void;
}

export interface PoolWorker {
	/** Used in sentences. */
	readonly kind: 'thread' | 'process' | 'caller';
	chunkState(jobs: number): PoolChunkState;
	/** Resolves with the answer to `load`, or with nothing at the end of other requests. Rejects if the worker ends before. */
	request(request: WorkerRequest): Promise<unknown>;
	/** Finds out where it is and what it uses, before it is ended. Takes at most about 3 s. */
	examine(): Promise<Examination>;
	/** Ends it; `gone` follows. False if it can't be ended. */
	end(): boolean;
}

/** What was found of a worker before it was ended for a stuck job. */
export type Examination = Pick<PostMortem, 'heap' | 'stack' | 'noStack'>;

/** How a worker ended. */
export interface WorkerEnd {
	readonly exitCode: number | null;
	readonly signal?: string;
	readonly isOutOfMemory?: boolean;
	/** Limit of its heap, where it is known. */
	readonly limitBytes?: number;
	/** The error that ended it, where it is known. */
	readonly error?: unknown;
	/** Some processes that its tasks have started could not be found or killed. */
	readonly leavesProcesses?: boolean;
	/** The end of its stderr, where that was read. */
	readonly stderr?: string;
}

/**
 * The pool's side of a chunk's state. Where the worker has to be asked, `then` is called with its answer: before the worker reports any job
 * that was taken back.
 */
export interface PoolChunkState {
	/** By which the worker finds its side. */
	readonly address: SharedArrayBuffer | number;
	/** Takes back those of the jobs that have not started. */
	take(indexes: readonly number[], then: (taken: readonly number[]) => void): void;
	/** Tells the job to stop; `then` is called if it runs. */
	stop(index: number, reason: StopReason, then: () => void): void;
	refresh(): void;
	running(): Running | undefined;
	/** The jobs that were started last, whether they run or have ended. */
	lastStarted(): Running | undefined;
	progress(): PublishedProgress | undefined;
	/** It has not started, as far as is known. */
	isFree(index: number): boolean;
	/** Why it was told to stop, or is being told. */
	stopReason(index: number): StopReason | undefined;
}

/** The most jobs in a chunk: then it holds a whole run, and its report no more. */
export const MAX_JOBS = MAX_GROUP_JOBS;

/** For workers that share memory with the pool: it answers at once. */
export class SharedChunkState implements PoolChunkState {
	readonly address: SharedArrayBuffer;
	readonly #chunkState: ChunkState;

	constructor(jobs: number) {
		this.#chunkState = ChunkState.create(jobs);
		this.address = this.#chunkState.buffer as SharedArrayBuffer;
	}

	take(indexes: readonly number[], then: (taken: readonly number[]) => void): void {
		then(indexes.filter(index => this.#chunkState.take(index)));
	}

	stop(index: number, reason: StopReason, then: () => void): void {
		if (this.#chunkState.stop(index, reason)) then();
	}

	refresh(): void {}

	running(): Running | undefined {
		return this.#chunkState.running();
	}

	lastStarted(): Running | undefined {
		return this.#chunkState.lastStarted();
	}

	progress(): PublishedProgress | undefined {
		return this.#chunkState.progress();
	}

	isFree(index: number): boolean {
		return this.#chunkState.isFree(index);
	}

	stopReason(index: number): StopReason | undefined {
		return this.#chunkState.stopReason(index);
	}
}

/** The state of a chunk that was not sent yet: none of its jobs can have started. */
export const UNSENT: PoolChunkState = {
	address: 0,
	take: (indexes, then) => then(indexes),
	stop: () => undefined,
	refresh: () => undefined,
	running: () => undefined,
	lastStarted: () => undefined,
	progress: () => undefined,
	isFree: () => true,
	stopReason: () => undefined,
};
