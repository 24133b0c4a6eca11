import type {PostMortem} from '../job/failure.ts';
import type {StopReason} from '../job/job.ts';
import {CELL_BYTES, ChunkState, HEAD_BYTES} from '../worker/chunk-state.ts';
import type {WorkerRequest} from '../worker/messages.ts';

/** Makes a worker of a pool, a thread, a process or the caller, which starts with its first request. Everything else is done by {@link WorkerPool}. */
export type WorkerSource = (listener: WorkerListener) => PoolWorker;

export interface WorkerListener {
	/** A message from the worker: Faena's, or one that a task posted to the parent of its thread. */
	message(message: unknown): void;
	/** The worker is about to end. */
	failing(): void;
	/** The worker has ended, and all its messages were delivered. */
	gone(ending: WorkerEnd): void;
}

export interface PoolWorker {
	readonly kind: 'thread' | 'process' | 'caller';
	/** The state of a chunk with so many jobs; only of a worker that shares no memory with the pool. */
	chunkState?(jobs: number): PoolChunkState;
	/** Resolves with the answer to `load`, the first request, or with nothing at the end of others. Rejects if the worker ends before. */
	request(request: WorkerRequest): Promise<unknown>;
	/** Finds out where it is and what it uses, before it is ended. Takes at most about 3 s. */
	examine(): Promise<Examination>;
	/** Ends it. Resolves once it is `gone`. A caller only closes what it has open. */
	end(): Promise<void>;
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
 * The pool's side of a chunk's state. A worker that shares memory with the pool need not be asked. Where it has to be asked, `then` is called
 * with its answer: before the worker reports any job that was taken back.
 */
export class PoolChunkState extends ChunkState {
	static override create(jobs: number): PoolChunkState {
		return new PoolChunkState(new SharedArrayBuffer(HEAD_BYTES + CELL_BYTES * jobs));
	}

	/** By which the worker finds its side. */
	get address(): SharedArrayBuffer | number {
		return this.buffer as SharedArrayBuffer;
	}

	/** Takes back those of the jobs that have not started. */
	takeBack(indexes: readonly number[], then: (taken: readonly number[]) => void): void {
		then(indexes.filter(index => this.take(index)));
	}

	/** Tells the job to stop; `then` is called if it runs. */
	tellToStop(index: number, reason: StopReason, then: () => void): void {
		if (this.stop(index, reason)) then();
	}

	refresh(): void {}
}
