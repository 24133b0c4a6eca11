import type {CompletedBatch} from './batch.ts';
import type {FailureRecord} from './failure.ts';
import type {JobId, LogLevel} from './job.ts';

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

export type EventName = JobEvent['type'];

/** What happens to jobs that this engine's dispatcher runs. */
export type JobEvent =
	| {readonly type: 'completed'; readonly id: JobId; readonly durationMs: number}
	/** An execution failed and there will be another, or the job waits for `retry()`. */
	| {readonly type: 'failed'; readonly id: JobId; readonly error: FailureRecord}
	| {readonly type: 'dead'; readonly id: JobId; readonly error: FailureRecord}
	| {readonly type: 'cancelled'; readonly id: JobId}
	| {readonly type: 'progress'; readonly id: JobId; readonly done: number; readonly total?: number}
	| {readonly type: 'log'; readonly id: JobId; readonly at: number; readonly level: LogLevel; readonly text: string}
	/** A batch completed in a transaction of this dispatcher. */
	| ({readonly type: 'batchCompleted'} & CompletedBatch)
	| ({readonly type: 'workerLost'} & WorkerLoss)
	| ({readonly type: 'slowStart'} & SlowStart)
	| ({readonly type: 'secondLibrary'} & NonNullable<Health['secondLibrary']>)
	// From here on for the log alone.
	| {readonly type: 'ownerLost'}
	| {readonly type: 'recovered'; readonly jobs: number}
	| {readonly type: 'logGrown'; readonly logBytes: number}
	/** So many in a row. */
	| {readonly type: 'setBack'; readonly setbacks: number; readonly waitMs: number; readonly error: FailureRecord}
	/** The store refuses to write what became of the job, whose claim stays, or what it said; to dequeue it, or anything of the task; or to take jobs back. */
	| {readonly type: 'refused'; readonly id?: JobId; readonly task?: string; readonly error: FailureRecord}
	| {readonly type: 'memoryShort'; readonly id: JobId};

/** The state of what the jobs lie on. */
export interface Health {
	/** What the log has grown to. */
	readonly logBytes: number;
	/** Another SQLite library of this process has the database open: the files of those that are loaded, and a sentence that says what to do. */
	readonly secondLibrary?: {readonly libraries: readonly string[]; readonly message: string};
}
