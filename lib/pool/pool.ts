import type {Lease} from '../job/claim.ts';
import type {SlowStart, WorkerLoss} from '../job/events.ts';
import type {JobId, StopReason} from '../job/job.ts';
import type {JobList} from '../job/job-list.ts';
import type {Note} from '../job/outcome.ts';
import type {Settling} from '../job/runs.ts';
import type {TaskInfo} from '../job/task.ts';

/**
 * Where tasks run. Every implementation passes `test/pool/contract.ts`. A pool owns the clock of a running job: it stops
 * jobs that time out, and gives back, unasked, what it could not run.
 */
export interface Pool {
	/**
	 * Starts the workers and loads the tasks module in each.
	 * @throws FaenaError `BadTasksModule`
	 */
	load(): Promise<readonly TaskInfo[]>;

	/** Jobs it can run at the same time. */
	readonly slots: number;

	/** The most jobs that a chunk of this kind may have. */
	maxJobs(lane: Lane): number;

	/** Chunks it can take now, of this kind or of the most usual. */
	places(lane?: Lane): Places;

	/** Runs the jobs of the chunk one after the other in one worker. Call it at most as often as {@link places} allows. */
	run(chunk: Chunk): void;

	/** Takes the job back if it has not started, stops it if it runs. False if the pool does not have it. */
	stop(id: JobId, reason: StopReason): boolean;

	/** Gives back, as released, what has not started: of one task, or all. Resolves once nothing of that can start any more; after 2 s without an answer of a worker that has to be asked. */
	recall(task?: string): Promise<void>;

	/** Resolves once the workers have heard of every {@link stop} so far: a job that had not started by then never starts. Takes at most about two seconds. */
	heard(): Promise<void>;

	/** Stops every running job, uncharged, with all it takes: they come back as released. */
	interrupt(): void;

	/** Jobs it has and has not yet given an outcome for. */
	readonly size: number;

	/** Ends the workers; whatever still runs is stopped hard. Resolves when they are gone. */
	close(): Promise<void>;
}

export interface Places {
	/** Workers without a chunk. */
	readonly idle: number;
	/** Workers whose running job is short so far and that have room for a second chunk. */
	readonly second: number;
}

/** What decides where a job runs. */
export interface Lane {
	readonly task: string;
	/** In a child process, whatever the task's isolation: its jobs are suspected of killing their process. */
	readonly solo: boolean;
}

/** The jobs of one task that are handed to a worker in one message. */
export interface Chunk extends Lane {
	readonly lease: Lease;
	readonly jobs: JobList;
}

/** What a pool tells its dispatcher. Called at any time; the listener stores, and wakes its loop. */
export interface PoolListener {
	/** Executions of a task ended. Each job given to `run` is settled exactly once. */
	ended(task: string, settling: readonly Settling[]): void;
	noted(note: Note): void;
	/** There may be more places than before. */
	freed(): void;
	/** A worker ended that was not to, or had to be ended. */
	lost(loss: WorkerLoss): void;
	/** A worker that is to be made ready is not yet. */
	startsSlowly(slow: SlowStart): void;
	/** This job was stopped, to run again, since memory is short. */
	memoryShort(id: JobId): void;
}
