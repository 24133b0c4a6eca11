import type {ExecutionOptions, Isolation} from './task.ts';

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
