import type {JobUpdate} from '../job/claim.ts';
import type {SlowStart, WorkerLoss} from '../job/events.ts';
import type {ClaimedGroup, EndedGroup} from '../job/group.ts';
import type {JobId, StopReason} from '../job/job.ts';
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

	/** Chunks that it can take now: of this lane or, without one, of the most usual lane. */
	capacity(lane?: Lane): Capacity;

	/** Runs the jobs of the chunk, at most {@link MAX_GROUP_JOBS}, one after the other in one worker. Call it at most as often as {@link capacity} allows. */
	run(chunk: ClaimedGroup): void;

	/** Takes the job back if it has not started, stops it if it runs. False if the pool does not have it. */
	stop(id: JobId, reason: StopReason): boolean;

	/**
	 * Returns jobs that have not started as released: those of one task, or all. Resolves once none of them can start any more, or 2 s after a
	 * worker was asked that does not answer.
	 */
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

/** What a pool tells its dispatcher. Called at any time; the listener stores, and wakes its loop. */
export interface PoolListener {
	/** Executions of a task ended. Each job given to `run` is settled exactly once. */
	ended(task: string, groups: readonly EndedGroup[]): void;
	updated(update: JobUpdate): void;
	/** The capacity may have grown. */
	freed(): void;
	/** A worker ended that was not to, or had to be ended. */
	lost(loss: WorkerLoss): void;
	/** A worker that is to be made ready is not yet. */
	startsSlowly(slow: SlowStart): void;
	/** This job was stopped, to run again, since memory is short. */
	memoryShort(id: JobId): void;
}
