import type {StopReason} from './board.ts';
import type {FailureRecord} from './failure.ts';
import type {JobId} from './job.ts';
import type {JobList} from './job-list.ts';
import type {Lease, Note} from './queue.ts';
import type {Settling} from './runs.ts';
import type {ExecutionOptions} from './task.ts';
import type {TaskInfo} from './tasks-module.ts';

/**
 * Where tasks run. Every implementation passes `test/pools/contract.ts`. A pool owns the clock of a running job: it stops
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

/** What a pool tells its dispatcher. Called at any time; the listener stores and rings a bell. */
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

/** How a worker was lost. */
export interface WorkerLoss {
	readonly kind: 'thread' | 'process';
	/**
	 * `ended` by itself; `outOfMemory`; `stopped`, since its job did not heed a timeout, cancel or interruption; `blocked`, since it did not
	 * go on for 5 s, or not do what its pool asked; `broken`, since what it said could not be true, as told in `error`; `unready`, since it
	 * could not load the tasks or set them up, for the reason in `error`.
	 */
	readonly reason: 'ended' | 'outOfMemory' | 'stopped' | 'blocked' | 'broken' | 'unready';
	readonly exitCode?: number;
	readonly signal?: string;
	/** Processes that its tasks have started may still live: Faena could not find or kill them within a second or two. */
	readonly leavesProcesses?: boolean;
	/** The job that it ran. */
	readonly job?: JobId;
	readonly error?: FailureRecord;
}

/** A worker has been loading the tasks module, or setting up the task, for so long. */
export interface SlowStart {
	readonly kind: 'thread' | 'process' | 'caller';
	readonly task?: string;
	readonly durationMs: number;
}

/** Where tasks run: in worker threads, in child processes, or in the caller's own thread. */
export type Isolation = 'thread' | 'process' | 'inline';

export interface PoolOptions {
	/** A `file:` URL. */
	readonly tasks: string;
	/** Defaults of the jobs that tasks enqueue. */
	readonly defaults: ExecutionOptions;
	readonly workers: number;
	/** From telling a job to stop until its worker is ended. */
	readonly graceMs: number;
	/** The most bytes of an encoded result. */
	readonly maxValueBytes: number;
	/** The most bytes of an encoded checkpoint. */
	readonly maxCheckpointBytes: number;
	/** Where the tasks' own output to stdout goes. */
	readonly taskOutput: 'inherit' | 'stderr';
	/** The engine's isolation, for tasks that don't choose. */
	readonly isolation: Isolation;
	/** V8 limits of each worker. */
	readonly resourceLimits: ResourceLimits | undefined;
	/** Added to the environment of this process. */
	readonly env: Readonly<Record<string, string>> | undefined;
	/** Added to the options of this process. */
	readonly execArgv: readonly string[];
	readonly nice: number | undefined;
	readonly recycle: Recycle;
	readonly minFreeMemoryBytes: number;
	/** Of the queue's owner: child processes hold a share in it for as long as they live. */
	readonly ownerLock?: string;
	/** The file in which the owner's workers tell which jobs they have open. */
	readonly openJobs?: string;
}

/** When a worker is replaced; Infinity for never. */
export interface Recycle {
	readonly jobs: number;
	readonly ageMs: number;
	readonly memoryBytes: number;
}

/** As of Node's `Worker`, in MiB. */
export interface ResourceLimits {
	readonly maxOldGenerationSizeMb?: number;
	readonly maxYoungGenerationSizeMb?: number;
	readonly codeRangeSizeMb?: number;
	readonly stackSizeMb?: number;
}
