/**
 * Types of the whole suite. A {@link Case} describes one measurement: a trial with one subject in one lane. Each measurement has a
 * process of its own (`one.ts`). `plan.ts` lists the cases, `blocks.ts` draws their order.
 */

/** What the jobs survive: nothing, a crash of the process, a loss of power. */
export type Durability = 'memory' | 'normal' | 'full';

/** How jobs are enqueued, and what else is asked of them. */
export type Intake =
	/** Each enqueue awaited before the next. */
	| 'strict'
	/** Enqueues awaited, 64 of them under way. */
	| 'default'
	/** Results awaited, 64 calls under way. */
	| 'call'
	/** All in one call. */
	| 'bulk'
	/** By a durable map. */
	| 'map'
	/** By a durable map with keys of the user's: in order, or in none. */
	| 'map-sorted-keys'
	| 'map-random-keys'
	/** In one call, and each: has a key; has one of three priorities; is due some milliseconds later. */
	| 'keys'
	| 'priorities'
	| 'delays'
	/** In one call, and one job in a hundred fails at its first attempt and is repeated at once. */
	| 'failures'
	/** In two calls at once, for two tasks. */
	| 'two-tasks'
	/** In one call, and one job of another task is awaited meanwhile, again and again. */
	| 'watched';

/** Number of enqueues or calls under way at a time with the intakes `default` and `call`. */
export const IN_FLIGHT = 64;

/** With the intake `failures`, jobs with a multiple of this number fail at their first execution. */
export const FAILING_EVERY = 100;

export type TaskName = 'identity' | 'spin' | 'sha256' | 'json' | 'wait';

export interface Case {
	readonly trial: string;
	readonly subject: string;
	readonly durability: Durability;
	readonly intake: Intake;
	readonly task: TaskName;
	readonly jobs: number;
	/** Intended work of one job, or how long it waits. `identity` has none. */
	readonly workMicros: number;
	/** Threads or processes that execute. */
	readonly workers: number;
	/** Other parameters of the trial: producers, processes, payload bytes, share of capacity; 1 as `isolated` if child processes run the jobs. */
	readonly vary?: Readonly<Record<string, number>>;
	/** Short hash of the measured revision; missing for this code. */
	readonly revision?: string;
}

/** What a measuring process needs besides its case. */
export interface Surroundings {
	/** Rounds of each task's kernel in a microsecond, calibrated just before. */
	readonly roundsPerMicro: Readonly<Record<TaskName, number>>;
	/** The folder for databases, on the disk to measure. */
	readonly folder: string;
	readonly seed: number;
	/** How long a subject runs jobs before the clock starts. */
	readonly warmUpMs: number;
	/** A library that counts fsyncs when it is preloaded, and the file in which it counts. Without it fsyncs are not counted. */
	readonly counter?: {readonly library: string; readonly file: string};
	/** Servers that run for the peers: their addresses, and their processes, whose CPU time counts. */
	readonly servers?: Readonly<Record<string, {readonly url: string; readonly pid: number}>>;
}

/** CPU microseconds by the threads and processes that used them. */
export interface CpuSplit {
	readonly caller: number;
	readonly dispatcher: number;
	readonly workers: number;
	/** V8's threads for garbage collection and compilation, and CPU time that can't be attributed. */
	readonly other: number;
	/** Servers beside the program: Redis, PostgreSQL. */
	readonly servers: number;
}

/** The figures of one measurement. */
export interface Measurement {
	/** When the clock started, in milliseconds that all processes share. */
	readonly startMs?: number;
	readonly wallMs: number;
	/** Number of jobs, if the case doesn't fix it: the trial `dequeue` runs for a fixed time. */
	readonly jobs?: number;
	/** CPU time of the whole process tree and its servers between the first enqueue and the last durable result. */
	readonly cpu: CpuSplit;
	readonly fsyncs?: number;
	/** Time of all these fsyncs together. */
	readonly fsyncMs?: number;
	/** Number of calls of `nanosleep`: SQLite sleeps while another connection writes. */
	readonly sleeps?: number;
	readonly transactions?: number;
	/** Mean number of jobs in a message to a worker. */
	readonly meanChunk?: number;
	/** Jobs that may run again if the program is killed: the most that workers have at a time. */
	readonly atRisk?: number;
	/** Delays of the caller's event loop, in milliseconds. */
	readonly loopMs?: Quantiles;
	/** Figures that only this trial has. */
	readonly figures?: Readonly<Record<string, number>>;
	/** Quantiles of latencies, in milliseconds. */
	readonly latencyMs?: Readonly<Partial<Record<Span, Quantiles>>>;
	/** The distributions of these latencies in full, for charts. */
	readonly curvesMs?: Readonly<Partial<Record<Span, Curve>>>;
	/** Values after each tenth of the jobs. */
	readonly tenths?: Readonly<Record<string, readonly number[]>>;
}

/** A latency: from a job's enqueue, or its intended arrival, to this event; or the time of one call of `claim` or `complete`. */
export type Span = 'durableEnqueue' | 'start' | 'durableResult' | 'claim' | 'complete';

/** From percentile 0, the smallest value, to 100, the largest. */
export type Curve = readonly (readonly [percentile: number, ms: number])[];

export interface Quantiles {
	readonly p50: number;
	readonly p90: number;
	readonly p99: number;
	readonly p999: number;
	readonly max: number;
}

/** A line of the results. */
export interface Entry extends Case {
	readonly run: string;
	readonly block: number;
	readonly at: string;
	/** Milliseconds of the fixed spin just before and just after. */
	readonly spinMs: readonly [before: number, after: number];
	/** Share of the processors' time that other machines took. */
	readonly stolen: number;
	/** Why it doesn't count: it broke the discard rule of `protocol.ts`, or was void. */
	readonly discarded?: string;
	/** Missing if the measurement was void: it failed, or its jobs were not each executed and recorded once. */
	readonly measurement?: Measurement;
}

export function totalCpu({caller, dispatcher, workers, other, servers}: CpuSplit): number {
	return caller + dispatcher + workers + other + servers;
}
