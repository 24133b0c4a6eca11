/** Figures of an engine's dispatcher since it was opened. Times are in milliseconds. */
export interface EngineStats {
	/** Since the engine was opened. */
	readonly uptimeMs: number;
	/** Jobs that can run at the same time. */
	readonly slots: number;
	/** The share of the slots' time in which they ran jobs, from 0 to 1. */
	readonly busyRatio: number;
	/** Executions by how they ended. `lost`: their lease was lost, so that they changed nothing. */
	readonly executions: {
		readonly completed: number;
		readonly failed: number;
		readonly dead: number;
		readonly cancelled: number;
		readonly released: number;
		readonly lost: number;
	};
	/** Completed jobs per second, over the last nine to ten seconds. */
	readonly completedPerSecond: number;
	/** Transactions of the dispatcher's loop. At the durability `full` each costs one fsync. */
	readonly commits: {readonly count: number; readonly failed: number; readonly meanMs: number; readonly p95Ms: number};
	/** The portions of jobs that workers got, and how many jobs each had on average. */
	readonly chunks: {readonly count: number; readonly meanJobs: number};
	/** Workers that ended by themselves, or that the engine ended because they no longer worked. Workers that it ended to stop a job don't count. */
	readonly lostWorkers: number;
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

/** In milliseconds. */
export interface Quantiles {
	/** The average. */
	readonly mean: number;
	/** The median. */
	readonly p50: number;
	/** 95 of 100 are at most this. */
	readonly p95: number;
	/** 99 of 100 are at most this. */
	readonly p99: number;
	/** The highest. */
	readonly max: number;
}
