import type {PostMortem} from '../job/failure.ts';
import type {StopReason} from '../job/job.ts';
import {MAX_RUN_JOBS} from '../job/runs.ts';
import {type BoardProgress, ChunkState, type Running} from '../worker/chunk-state.ts';
import type {WorkerRequest} from '../worker/messages.ts';

/** Where a pool's workers come from: what a worker is and how one is spoken to. Everything else is {@link WorkerPool}'s. */
export interface WorkerSource {
	/** The most jobs for which its workers have room. */
	readonly maxJobs: number;
	/** Starts this many workers. */
	start(count: number, listener: SourceListener): void;
	/** Starts one more, joined before this returns. Without it, no worker that ends is replaced. */
	readonly add?: () => void;
	/** Ends all workers at once, whatever they do. Resolves when they are gone. */
	close(): Promise<void>;
}

/** Starts workers one by one, as many as it is told, and ends them all. */
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
	/** From this worker: one of Faena's, or whatever a task posts to those who started its worker. */
	message(worker: PoolWorker, message: unknown): void;
	/** The worker is about to end. */
	failing(worker: PoolWorker, error: unknown): void;
	/** The worker has really ended, and all it posted was delivered. */
	gone(worker: PoolWorker, ending: Ending): void;
}

export interface PoolWorker {
	/** What it is, for sentences. */
	readonly kind: 'thread' | 'process' | 'caller';
	chunkState(jobs: number): PoolChunkState;
	/** The answer to `load`; to the others nothing, at their end. Rejects if the worker ends before. */
	request(request: WorkerRequest): Promise<unknown>;
	/** Looks where it is and what it uses, before it is ended. Takes at most about three seconds. */
	examine(): Promise<Examination>;
	/** Ends it, whatever it does; `gone` follows. False if it can't be ended. */
	end(): boolean;
}

/** What was found of a worker whose job had to be stopped hard. */
export type Examination = Pick<PostMortem, 'heap' | 'stack' | 'noStack'>;

/** How a worker ended. */
export interface Ending {
	readonly exitCode: number | null;
	readonly signal?: string;
	readonly isOutOfMemory?: boolean;
	/** Of its heap, where it is known. */
	readonly limitBytes?: number;
	/** What it died of, where that is known. */
	readonly error?: unknown;
	/** Processes that its tasks have started may still live, which could not be found or killed. */
	readonly leavesProcesses?: boolean;
	/** The last it wrote to stderr, where that was seen. */
	readonly stderr?: string;
}

/** The pool's side of a chunk's state. What it asks for may happen at once or, where the worker has to be asked, by a later `refresh`. */
export interface PoolChunkState {
	/** What the worker finds its side by. */
	readonly address: SharedArrayBuffer | number;
	/** Takes back those of the jobs that have not started, and says which. */
	take(indexes: readonly number[], then: (taken: readonly number[]) => void): void;
	/** Tells the job to stop if it runs, and says so. */
	stop(index: number, reason: StopReason, then: () => void): void;
	refresh(): void;
	running(): Running | undefined;
	/** What was started last, whether it runs or has ended. */
	lastStarted(): Running | undefined;
	progress(): BoardProgress | undefined;
	/** The worker was asked to give it back, and may have, which is not known yet. */
	isAskedFor(index: number): boolean;
	/** Has not started, as far as is known. */
	isFree(index: number): boolean;
	/** Why it was told to stop, or is being told. */
	stopReason(index: number): StopReason | undefined;
}

/** The most jobs in a chunk: then it holds a whole run, and its report no more. */
export const MAX_JOBS = MAX_RUN_JOBS;

/** For workers that share memory with the pool: everything happens at once. */
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

	progress(): BoardProgress | undefined {
		return this.#chunkState.progress();
	}

	isAskedFor(_: number): boolean {
		return false;
	}

	isFree(index: number): boolean {
		return this.#chunkState.isFree(index);
	}

	stopReason(index: number): StopReason | undefined {
		return this.#chunkState.stopReason(index);
	}
}

/** Of a chunk that its worker has not got: nothing of it can have started. */
export const UNSENT: PoolChunkState = {
	address: 0,
	take: (indexes, then) => then(indexes),
	stop: () => undefined,
	refresh: () => undefined,
	running: () => undefined,
	lastStarted: () => undefined,
	progress: () => undefined,
	isAskedFor: () => false,
	isFree: () => true,
	stopReason: () => undefined,
};
