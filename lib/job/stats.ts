/** What an engine's dispatcher did since it was opened. Times in milliseconds. */
export interface EngineStats {
	readonly uptimeMs: number;
	/** Jobs that can run at the same time. */
	readonly slots: number;
	/** Which share of the slots' time jobs were running, from 0 to 1. */
	readonly busyRatio: number;
	/** Executions by how they ended; `lost` are those whose lease had been lost, so that they changed nothing. */
	readonly executions: {
		readonly completed: number;
		readonly failed: number;
		readonly dead: number;
		readonly cancelled: number;
		readonly released: number;
		readonly lost: number;
	};
	/** Of the last ten seconds. */
	readonly completedPerSecond: number;
	/** Transactions of the main loop: at the durability `full` each is one fsync. */
	readonly commits: {readonly count: number; readonly failed: number; readonly meanMs: number; readonly p95Ms: number};
	readonly chunks: {readonly count: number; readonly meanJobs: number};
	/** Workers that ended by themselves, or that the engine ended since they did not work any more; without those that it ended to stop a job. */
	readonly lostWorkers: number;
	readonly tasks: Readonly<Record<string, TaskStats>>;
}

export interface TaskStats {
	readonly completed: number;
	/** How long completed executions ran. */
	readonly duration: Quantiles;
	/** From enqueue to start, of completed first executions. */
	readonly wait: Quantiles;
	/** Processor time, where it is known. */
	readonly cpuMs: number;
}

export interface Quantiles {
	readonly mean: number;
	readonly p50: number;
	readonly p95: number;
	readonly p99: number;
	readonly max: number;
}
