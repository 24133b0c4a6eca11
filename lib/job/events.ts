import type {CompletedBatch} from './batch.ts';
import type {FailureRecord} from './failure.ts';
import type {JobId, LogLevel} from './job.ts';

/** A worker that was lost, and why. */
export interface WorkerLoss extends Pick<FailureRecord, 'exitCode' | 'signal'> {
	/** What the worker was. */
	readonly kind: 'thread' | 'process';
	/**
	 * `ended`: it ended by itself. `outOfMemory`: it used up its heap. For the other reasons the pool ended it. `stopped`: its job ignored a
	 * timeout, cancel or interruption. `blocked`: it made no progress for 5 s, or did not do what the pool asked. `broken`: it sent a report
	 * that can't be true; `error` says which. `unready`: it could not load the tasks or set them up; `error` says why.
	 */
	readonly reason: 'ended' | 'outOfMemory' | 'stopped' | 'blocked' | 'broken' | 'unready';
	/** Processes that its tasks started may still live: Faena could not find or kill them within about two seconds. */
	readonly leavesProcesses?: boolean;
	/** The job that it was running. */
	readonly jobId?: JobId;
	/** The error that ended it, if one did. */
	readonly error?: FailureRecord;
}

/** A worker that is still loading the tasks module, or setting up a task. */
export interface SlowStart {
	/** What the worker is. `caller`: the thread that opened the engine. */
	readonly kind: 'thread' | 'process' | 'caller';
	/** The task that it is setting up; absent while it loads the module. */
	readonly task?: string;
	/** How long this has taken so far. */
	readonly durationMs: number;
}

export type EventName = JobEvent['type'];

/** What a dispatcher reports of its jobs, its workers and itself. */
export type JobEvent =
	| {readonly type: 'completed'; readonly id: JobId; readonly durationMs: number}
	/** An execution failed. The job will run again, or waits for `retry()`. */
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
	// The events below go to the logger only.
	| {readonly type: 'ownerLost'}
	| {readonly type: 'notificationsMissing'}
	| {readonly type: 'recovered'; readonly jobs: number}
	| {readonly type: 'logGrown'; readonly logBytes: number}
	| ({readonly type: 'databaseGrown'} & StorageSize)
	/** A transaction failed and will be tried again. `setbacks` is how many failed in a row. */
	| {readonly type: 'setBack'; readonly setbacks: number; readonly waitMs: number; readonly error: FailureRecord}
	/**
	 * The store refused something, and goes on without it. With `id`: to write the job's outcome or updates, or to claim it; if it is the outcome,
	 * the job stays claimed. With `task`: to claim jobs of the task. With neither: to reclaim or release jobs.
	 */
	| {readonly type: 'refused'; readonly id?: JobId; readonly task?: string; readonly error: FailureRecord}
	| {readonly type: 'memoryShort'; readonly id: JobId};

/** The sizes of a database before and after a vacuum, in bytes. */
export interface Vacuumed {
	/** The size of the file before. */
	readonly beforeBytes: number;
	/** Its size now. */
	readonly afterBytes: number;
	/**
	 * Its size later, if another program kept the file from becoming shorter because it reads it. Once that program is done, the next checkpoint of
	 * an engine makes the file shorter; so does the end of the last program that has it open.
	 */
	readonly laterBytes?: number;
}

/** What a backup copied. */
export interface BackedUp {
	/** The size of the new database. */
	readonly bytes: number;
	/** The number of large results that lie in files of their own. */
	readonly results: number;
	/** The number of such results that the queue has lost before. */
	readonly missingResults: number;
}

/** A queue that has moved. */
export interface MovedQueue {
	/** How many jobs it has. */
	readonly jobs: number;
}

/** The size of what a store keeps, in bytes, without large results that lie in files of their own. */
export interface StorageSize {
	/** Of the database. It stays when jobs are deleted: new jobs use the free part first. `faena vacuum` makes it smaller. */
	readonly databaseBytes: number;
	/** Of the part of the database that is free. */
	readonly freeBytes: number;
	/** Of the write-ahead log beside the database. */
	readonly logBytes: number;
}

/** The state of the store's files. */
export interface Health extends StorageSize {
	/** Set if another SQLite library of this process has the database open: the files of all loaded libraries, and what to do about it. */
	readonly secondLibrary?: {readonly libraries: readonly string[]; readonly message: string};
	/** Set if notifications of the server don't reach the store: it hears of other programs up to a second later. */
	readonly hasNoNotifications?: boolean;
}

/** Figures of an engine's dispatcher since it was opened. Times are in milliseconds. */
export interface EngineStats {
	/** Since the engine was opened. */
	readonly uptimeMs: number;
	/** Jobs that can run at the same time. */
	readonly slots: number;
	/** The share of the slots' time in which they ran jobs, from 0 to 1. */
	readonly busyRatio: number;
	/** Executions by how they ended. `lost`: their lease was lost, so that they changed nothing. */
	readonly executions: Readonly<Record<'completed' | 'failed' | 'dead' | 'cancelled' | 'released' | 'lost', number>>;
	/** Completed jobs per second, over the last nine to ten seconds. */
	readonly completedPerSecond: number;
	/** Transactions of the dispatcher's loop. At the durability `full` each costs one fsync. */
	readonly commits: {readonly count: number; readonly failed: number; readonly meanMs: number; readonly p95Ms: number};
	/** The portions of jobs that workers got, and how many jobs each had on average. */
	readonly chunks: {readonly count: number; readonly meanJobs: number};
	/** Workers that ended by themselves, or that the engine ended because they no longer worked. Workers that it ended to stop a job don't count. */
	readonly lostWorkers: number;
	/** The size of the queue's file, at most about a second ago. */
	readonly storage: StorageSize;
	/** Figures of each task that ran. */
	readonly tasks: Readonly<Record<string, TaskStats>>;
}

/** Figures of one task. */
export interface TaskStats {
	/** The number of its executions that completed. */
	readonly completed: number;
	/** Run time of completed executions. */
	readonly duration: Quantiles;
	/** From enqueue to start, of first executions that completed. */
	readonly wait: Quantiles;
	/** Processor time of all executions for which it is known. */
	readonly cpuMs: number;
}

/** In milliseconds: the average, the median, what 95 and 99 of 100 don't exceed, and the highest. */
export type Quantiles = Readonly<Record<'mean' | 'p50' | 'p95' | 'p99' | 'max', number>>;
