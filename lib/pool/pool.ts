/** The station `pool/`: workers, and the jobs that they have in hand. It never reaches the database, and never decides whether a job runs again. */

import type {Lease} from '../job/claim.ts';
import type {SlowStart, WorkerLoss} from '../job/events.ts';
import type {PostMortem} from '../job/failure.ts';
import type {ClaimedGroup, EndedGroup, RunningUpdate} from '../job/groups/group.ts';
import type {JobId, StopReason} from '../job/job.ts';
import type {TaskInfo} from '../job/task/task.ts';
import {CELL_BYTES, ChunkState, HEAD_BYTES} from '../worker/chunk-state.ts';
import type {WorkerRequest} from '../worker/messages.ts';

/** Where tasks run. It stops jobs that time out, and gives back, unasked, what it could not run. `test/pool/contract.ts` holds each to its laws. */
export interface Pool {
	/** Starts the workers and loads the tasks module in each. @throws FaenaError `BadTasksModule` */
	load(): Promise<readonly TaskInfo[]>;

	/** Jobs it can run at the same time. */
	readonly slots: number;

	/** The most jobs of a chunk. */
	readonly maxJobs: number;

	/** Chunks that it can take now: of this lane or, without one, of the most usual lane. */
	capacity(lane?: Lane): Capacity;

	/** Runs the jobs of the chunk, at most {@link maxJobs}, one after the other in one worker. Call it at most as often as {@link capacity} allows. */
	run(chunk: ClaimedGroup): void;

	/** Takes the job back if it has not started, stops it if it runs. False if the pool does not have it, or not of this lease. */
	stop(id: JobId, reason: StopReason, lease?: Lease): boolean;

	/** Releases jobs that have not started, of one task or all. Resolves once none can start any more; a silent worker is waited for 2 s. */
	release(task?: string): Promise<void>;

	/** Resolves once the workers have obeyed every {@link stop} so far: a job that has not started by then never starts. Takes at most about 2 s. */
	confirmStops(): Promise<void>;

	/** Stops every running job, uncharged, and releases the others. */
	interrupt(): void;

	/** Jobs that it has without an outcome. */
	readonly size: number;

	/** Ends the workers and stops hard what still runs. Resolves when they are gone. */
	close(): Promise<void>;
}

export interface Capacity {
	/** Workers without a chunk. */
	readonly idle: number;
	/** Workers that have room for a second chunk and whose running job has been short so far. */
	readonly prefetch: number;
}

/** What decides where a job runs. */
export interface Lane {
	readonly task: string;
	/** Its jobs are suspects: they run in a child process, whatever the task's isolation. */
	readonly quarantined: boolean;
}

/** Where a chunk runs. */
export function laneOf({task, quarantine}: ClaimedGroup): Lane {
	return {task, quarantined: quarantine !== undefined};
}

/** The events of a pool, for its dispatcher. They come at any time; the listener stores them and wakes its loop. */
export interface PoolListener {
	/** Executions of a task ended. Each job given to `run` is settled exactly once. */
	ended(task: string, groups: readonly EndedGroup[]): void;
	updated(update: RunningUpdate): void;
	/** The capacity may have grown. */
	freed(): void;
	/** A worker ended by itself, or the pool had to end it. */
	lost(loss: WorkerLoss): void;
	/** A worker has been loading or setting up for 10 s. */
	startsSlowly(slow: SlowStart): void;
	/** This job was stopped, to run again, since memory is short. */
	memoryShort(id: JobId): void;
}

/** The caller's own thread is a worker of an inline pool. */
export type WorkerKind = 'thread' | 'process' | 'caller';

/** Makes a worker, which starts with its first request. Everything else is done by {@link WorkerPool}. */
export type WorkerSource = (listener: WorkerListener) => PoolWorker;

export type WorkerSources = Readonly<Partial<Record<WorkerKind, WorkerSource>>>;

export interface WorkerListener {
	/** A message from the worker: Faena's, or one that a task posted to the parent of its thread. */
	message(message: unknown): void;
	/** The worker is about to end. */
	failing(): void;
	/** The worker has ended, and all its messages were delivered. If it resolves later, the states of its chunks are still needed until then. */
	gone(ending: WorkerEnd): void | Promise<void>;
}

export interface PoolWorker {
	readonly kind: WorkerKind;
	/** Its thread, process and host, for people. */
	readonly name?: string;
	/** The state of a chunk with so many jobs; only of a worker that shares no memory with the pool. */
	chunkState?(jobs: number): PoolChunkState;
	/** Resolves with the answer to `load`, or with nothing: after a `teardown`, and at any time after a chunk. Rejects if the worker ends before. */
	request(request: WorkerRequest): Promise<unknown>;
	/** Finds out where it is and what it uses, before it is ended. Takes at most about 3 s. */
	examine(): Promise<Examination>;
	/** Ends it. Resolves once it is `gone`. A caller only closes what it has open. */
	end(): Promise<void>;
}

/** Facts about a worker that is ended for a stuck job. */
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

/** The pool's side of a chunk's state. Where the worker must be asked, `then` gets its answer before the worker reports a job that was taken back. */
export class PoolChunkState extends ChunkState {
	static create(jobs: number): PoolChunkState {
		return new PoolChunkState(new SharedArrayBuffer(HEAD_BYTES + CELL_BYTES * jobs));
	}

	/** The address by which the worker finds its side. */
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
