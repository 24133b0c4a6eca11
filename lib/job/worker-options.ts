import type {ExecutionOptions, Isolation} from './task.ts';

/** Options of a pool and its workers. */
export interface PoolOptions {
	/** The `file:` URL of the tasks module. */
	readonly tasks: string;
	/** Defaults of jobs that tasks enqueue. */
	readonly defaults: ExecutionOptions;
	readonly workers: number;
	/** How long after a job was told to stop its worker is ended. */
	readonly graceMs: number;
	/** The most bytes of an encoded result. */
	readonly maxValueBytes: number;
	/** The most bytes of an encoded checkpoint. */
	readonly maxCheckpointBytes: number;
	/** Where the tasks' own output to stdout goes. */
	readonly taskOutput: 'inherit' | 'stderr';
	/** The engine's isolation. A task may have one of its own. */
	readonly isolation: Isolation;
	/** V8 limits of each worker. */
	readonly resourceLimits: ResourceLimits | undefined;
	/** Environment variables of the workers, besides those of this process. */
	readonly env: Readonly<Record<string, string>> | undefined;
	/** Node's options of the workers, besides those of this process. */
	readonly execArgv: readonly string[];
	readonly nice: number | undefined;
	readonly recycle: Recycle;
	readonly minFreeMemoryBytes: number;
	/** Whether the pool reads the stack of a worker thread by the inspector before it ends the thread for a stuck job. */
	readonly postMortem: boolean;
	/** The owner's lock file. Child processes hold a share in the lock while they live. */
	readonly ownerLock?: string;
	/** The file in which the owner's workers record which jobs they have open. */
	readonly openJobs?: string;
}

/** When a worker is replaced; Infinity for never. */
export interface Recycle {
	readonly jobs: number;
	readonly ageMs: number;
	readonly memoryBytes: number;
}

/** Those of Node's `Worker`, in MiB. */
export interface ResourceLimits {
	/** The heap of objects that live for long. */
	readonly maxOldGenerationSizeMb?: number;
	/** The heap of new objects. */
	readonly maxYoungGenerationSizeMb?: number;
	/** The memory for compiled code. */
	readonly codeRangeSizeMb?: number;
	/** The call stack; 4 by Node's default. */
	readonly stackSizeMb?: number;
}
