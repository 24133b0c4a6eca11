import type {CompletedBatch} from './batch.ts';
import type {FailureRecord, JobError} from './failure.ts';
import type {Counts, Job, JobId, LogLine} from './job.ts';

/** What events say of a job that runs. `attempt`: the number of the attempt, from 1. */
type Running = Pick<Job, 'id' | 'task' | 'batch' | 'key'> & {readonly attempt: number};

/** What events say of an execution that has ended. `worker`: where it ran; `durationMs`: its run time in milliseconds, if it is known. */
type Executed = Running & {readonly worker?: string; readonly durationMs?: number};

/** The error as the dispatcher sends it. */
type Sent<Event> = Omit<Event, 'error'> & {readonly error: FailureRecord};

/** The events of an engine, about the jobs that its own dispatcher runs. Each has one argument.
 * @example const onDead = ({id, error}: EngineEvents['dead'][0]) => console.error(id, error.message); */
export interface EngineEvents {
	/** An execution returned, and its result is committed. */
	completed: [Executed & {readonly durationMs: number}];
	/** An execution failed. The job will run again, or waits for `retry()`. */
	failed: [Executed & {readonly error: JobError}];
	/** A job failed for the last time. `why`: its attempts are used up, it has killed its worker too often, or it was not to be retried. */
	dead: [Executed & {readonly error: JobError; readonly why: 'maxAttempts' | 'maxCrashes' | 'noRetry'}];
	/** A job was cancelled, also before it ran. `error` says why, if it was not by `cancel()`. */
	cancelled: [
		Pick<Job, 'id' | 'task' | 'batch' | 'key'> & {readonly attempt?: number; readonly worker?: string; readonly durationMs?: number; readonly error?: JobError},
	];
	/** A task called `ctx.progress(done, total)`. Calls in quick succession are one event. */
	progress: [Running & {readonly done: number; readonly total?: number}];
	/** A task called `ctx.log`. */
	log: [Running & {readonly at: number; readonly level: LogLine['level']; readonly text: string}];
	/** The input and all jobs of a batch have ended; the last one ended in this dispatcher. */
	batchCompleted: [{readonly batch: string; readonly counts: Counts}];
	/** A worker ended unexpectedly, or the engine had to end it. Another takes its place. */
	workerLost: [
		{
			/** What the worker was. */
			readonly kind: 'thread' | 'process';
			/**
			 * `ended`: it ended by itself. `outOfMemory`: it used up its heap. For the other reasons the pool ended it. `stopped`: its job ignored a
			 * timeout, cancel or interruption. `blocked`: it made no progress for 5 s, or did not do what the pool asked. `broken`: it sent a report
			 * that can't be true; `error` says which. `unready`: it could not load the tasks or set them up; `error` says why.
			 */
			readonly reason: 'ended' | 'outOfMemory' | 'stopped' | 'blocked' | 'broken' | 'unready';
			/** Its exit code, if it ended by itself. */
			readonly exitCode?: number;
			/** The signal that ended it. */
			readonly signal?: string;
			/** Processes that its tasks started may still live: Faena could not find or kill them within about two seconds. */
			readonly leavesProcesses?: boolean;
			/** The job that it was running. */
			readonly jobId?: JobId;
			/** The error that ended it, if one did. */
			readonly error?: JobError;
		},
	];
	/** A worker is still loading the tasks module, or setting up a task, after the time `durationMs`. */
	slowStart: [
		{
			/** What the worker is. `caller`: the thread that opened the engine. */
			readonly kind: 'thread' | 'process' | 'caller';
			/** The task that it is setting up; absent while it loads the module. */
			readonly task?: string;
			/** How long this has taken so far. */
			readonly durationMs: number;
		},
	];
	/** Another SQLite library of this process (node:sqlite, a second copy of better-sqlite3) has the database open, which destroys it. Once; on Linux only. */
	secondLibrary: [{readonly libraries: readonly string[]; readonly message: string}];
}

/** A worker that was lost, and why. */
export type WorkerLoss = Omit<EngineEvents['workerLost'][0], 'error'> & {readonly error?: FailureRecord};

/** A worker that is still loading the tasks module, or setting up a task. */
export type SlowStart = EngineEvents['slowStart'][0];

export type EventName = JobEvent['type'];

/** What a dispatcher reports of its jobs, its workers and itself. */
export type JobEvent =
	| ({readonly type: 'completed'} & EngineEvents['completed'][0])
	| ({readonly type: 'failed'} & Sent<EngineEvents['failed'][0]>)
	| ({readonly type: 'dead'} & Sent<EngineEvents['dead'][0]>)
	| ({readonly type: 'cancelled'} & Partial<Sent<unknown>> & Omit<EngineEvents['cancelled'][0], 'error'>)
	| ({readonly type: 'progress'} & EngineEvents['progress'][0])
	| ({readonly type: 'log'} & EngineEvents['log'][0])
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
	| {readonly type: 'memoryShort'; readonly id: JobId}
	/** A signal closes the engine, which waits so long for so many jobs that run. */
	| {readonly type: 'draining'; readonly jobs: number; readonly drainMs: number};

/** The sizes of a database before and after a vacuum, in bytes. @example const {afterBytes}: Vacuumed = await vacuum('jobs.db'); */
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

/** What a backup copied. @example const {bytes}: BackedUp = await backup('jobs.db', 'copy.db'); */
export interface BackedUp {
	/** The size of the new database. */
	readonly bytes: number;
	/** The number of large results that lie in files of their own. */
	readonly results: number;
	/** The number of such results that the queue has lost before. */
	readonly missingResults: number;
}

/** A queue that has moved. @example const {jobs}: MovedQueue = await moveQueue('jobs.db', 'postgres://localhost/app'); */
export interface MovedQueue {
	/** How many jobs it has. */
	readonly jobs: number;
}

/** The size of what a store keeps, in bytes, without large results that lie in files of their own. */
export type StorageSize = EngineStats['storage'];

/** The state of the store's files. */
export interface Health extends StorageSize {
	/** Set if another SQLite library of this process has the database open: the files of all loaded libraries, and what to do about it. */
	readonly secondLibrary?: {readonly libraries: readonly string[]; readonly message: string};
	/** Set if notifications of the server don't reach the store: it hears of other programs up to a second later. */
	readonly hasNoNotifications?: boolean;
}

/** Figures of an engine's dispatcher since it was opened. Times are in milliseconds. @example const {busyRatio}: EngineStats = await faena.stats(); */
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
	readonly storage: {
		/** Of the database. It stays when jobs are deleted: new jobs use the free part first. `faena vacuum` makes it smaller. */
		readonly databaseBytes: number;
		/** Of the part of the database that is free. */
		readonly freeBytes: number;
		/** Of the write-ahead log beside the database. */
		readonly logBytes: number;
	};
	/** Figures of each task that ran. Times are in milliseconds: the average, the median, what 95 and 99 of 100 don't exceed, and the highest. */
	readonly tasks: Readonly<
		Record<
			string,
			{
				/** The number of its executions that completed. */
				readonly completed: number;
				/** Run time of completed executions. */
				readonly duration: Readonly<Record<'mean' | 'p50' | 'p95' | 'p99' | 'max', number>>;
				/** From enqueue to start, of first executions that completed. */
				readonly wait: Readonly<Record<'mean' | 'p50' | 'p95' | 'p99' | 'max', number>>;
				/** Processor time of all executions for which it is known. */
				readonly cpuMs: number;
			}
		>
	>;
}

/** Of run times, or of waits. */
export type Quantiles = EngineStats['tasks'][string]['duration'];
