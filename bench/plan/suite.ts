/**
 * The words of the suite. A measurement is a {@link Case}: a trial with one subject in one lane. Each is taken in a process
 * of its own (`one.ts`); `plan.ts` says which there are, `main.ts` in what order.
 */

/** What the jobs survive: nothing, a crash of the process, a loss of power. Figures of different lanes are never compared. */
export type Durability = 'memory' | 'normal' | 'full';

/** How jobs come in: each awaited before the next; awaited, 64 of them under way; all in one call; by a durable map. */
export type Intake = 'strict' | 'default' | 'bulk' | 'map';

/** Jobs that are under way at a time in the default lane. */
export const IN_FLIGHT = 64;

export type TaskName = 'identity' | 'spin' | 'sha256' | 'json';

export interface Case {
	readonly trial: string;
	readonly subject: string;
	readonly durability: Durability;
	readonly intake: Intake;
	readonly task: TaskName;
	readonly jobs: number;
	/** Intended work of one job. `identity` has none. */
	readonly workMicros: number;
	/** Threads or processes that execute. */
	readonly workers: number;
	/** What else the trial varies: producers, processes, payload bytes, share of capacity. */
	readonly vary?: Readonly<Record<string, number>>;
	/** Short hash of the revision that is measured; missing where it is this code. */
	readonly revision?: string;
}

/** What a process is told besides its case. */
export interface Surroundings {
	/** Rounds of each task's kernel that take a microsecond here and now. */
	readonly roundsPerMicro: Readonly<Record<TaskName, number>>;
	/** Where databases go: a folder on the disk that is measured. */
	readonly folder: string;
	readonly seed: number;
	/** How long a subject has jobs before the clock starts. */
	readonly warmUpMs: number;
	/** A library that is preloaded and counts fsyncs, and the file in which it counts; without one they are not counted. */
	readonly counter?: {readonly library: string; readonly file: string};
	/** Servers that were started for the peers: their addresses, and their processes, whose CPU counts. */
	readonly servers?: Readonly<Record<string, {readonly url: string; readonly pid: number}>>;
}

/** CPU microseconds by who burnt them. */
export interface CpuSplit {
	readonly caller: number;
	readonly dispatcher: number;
	readonly workers: number;
	/** V8's helpers (garbage collection, compilation), and what could not be told apart. */
	readonly other: number;
	/** Servers beside the program: Redis, PostgreSQL. */
	readonly servers: number;
}

/** What one process measured. */
export interface Measurement {
	readonly wallMs: number;
	/** Jobs that went through in this time, where the case doesn't say so: a dequeue goes on for a while. */
	readonly jobs?: number;
	/** Of the whole process tree and its servers, between the first enqueue and the last durable result. */
	readonly cpu: CpuSplit;
	readonly fsyncs?: number;
	/** What they took together. */
	readonly fsyncMs?: number;
	/** Times that a thread slept for a while: as SQLite does when it finds that another writes. */
	readonly sleeps?: number;
	readonly transactions?: number;
	/** Jobs in a message to a worker, on average. */
	readonly meanChunk?: number;
	/** Jobs that may run again if the program is killed: those that were handed out at a time, at most. */
	readonly atRisk?: number;
	/** p50, p99 and largest delay of the caller's event loop, in milliseconds. */
	readonly loopMs?: Quantiles;
	/** What only this trial has. */
	readonly figures?: Readonly<Record<string, number>>;
	/** Distributions in milliseconds. */
	readonly latencyMs?: Readonly<Partial<Record<Span, Quantiles>>>;
	/** The same distributions in full, for charts. */
	readonly curvesMs?: Readonly<Partial<Record<Span, Curve>>>;
	/** What was looked at each time that another tenth of the jobs had completed. */
	readonly tenths?: Readonly<Record<string, readonly number[]>>;
}

/** From a job's enqueue, or from the time at which it was meant to come, to this; or one `claim` or `complete`, from its call to its answer. */
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
	/** Milliseconds of the calibration spin just before and after, and the share of time that other machines took. */
	readonly spinMs: readonly [before: number, after: number];
	readonly stolen: number;
	/** Why it doesn't count: by the rule of `protocol.ts`, or since the run was void. */
	readonly discarded?: string;
	/** Missing where the run was void: it failed, or its jobs were not each executed and recorded once. */
	readonly measurement?: Measurement;
}

export function totalCpu({caller, dispatcher, workers, other, servers}: CpuSplit): number {
	return caller + dispatcher + workers + other + servers;
}
