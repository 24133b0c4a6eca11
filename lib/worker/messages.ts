/** What a pool and its workers say to each other, across a thread's or process's boundary. */

import type {Lease} from '../job/claim.ts';
import type {Encoded} from '../job/encoding.ts';
import type {ErrorEnvelope} from '../job/error-envelope.ts';
import type {FailureRecord} from '../job/failure.ts';
import type {LogLine, StopReason} from '../job/job.ts';
import type {ChildJob} from '../job/new-job.ts';
import type {Values} from '../job/packed-strings.ts';
import type {ExecutionOptions, Isolation, TaskInfo} from '../job/task.ts';
import {listed, memoryOfValues} from '../job/transfer.ts';

/** The first thing a worker is asked to do; its answer is a {@link Loaded}. The answer to a chunk is nothing: its outcomes are posted. */
export interface LoadMessage {
	readonly type: 'load';
	/** The worker's number in its pool, by which it speaks of itself. */
	readonly worker: number;
	/** A `file:` URL. */
	readonly tasks: string;
	/** Of the jobs that tasks enqueue. */
	readonly defaults: ExecutionOptions;
	readonly maxValueBytes: number;
	readonly maxCheckpointBytes: number;
	readonly taskOutput: 'inherit' | 'stderr';
	/** The engine's isolation: whether a task's jobs are to be expected in this worker. */
	readonly isolation: Isolation;
	readonly nice: number | undefined;
	/** Only for a worker thread. */
	readonly identity?: ThreadIdentity;
	/** Where the worker tells which jobs it has open: the file, and its cell in it. */
	readonly openJobs?: {readonly path: string; readonly cell: number};
}

/** What tells a thread's processes from others of its program. */
export interface ThreadIdentity {
	/** For the environment of what it starts. */
	readonly mark: string;
	/** One word of shared memory, in which the thread writes its number in the operating system before it loads a task. */
	readonly thread: Int32Array;
}

/** The last thing a worker is asked to do before it is ended in good order. */
export interface TeardownMessage {
	readonly type: 'teardown';
}

export type WorkerRequest = LoadMessage | ChunkMessage | TeardownMessage;

export type Loaded = {readonly tasks: readonly TaskInfo[]} | {readonly error: ErrorEnvelope};

/** Jobs as columns: an array is cloned faster than as many objects, and one value faster than an array. */
export interface ChunkMessage {
	readonly type: 'chunk';
	readonly chunk: number;
	readonly lease: Lease;
	readonly task: string;
	/** The memory of the chunk's state; or, where the worker's is its own, the generation of the chunk. */
	readonly chunkState: SharedArrayBuffer | number;
	readonly jobs: number;
	/** The first of them, if they are consecutive. */
	readonly ids: number | readonly number[];
	/** One number if it is the same for all. */
	readonly executions: number | readonly number[];
	readonly payloads: Values;
	/** Only of jobs that have them, by index in the chunk. */
	readonly attempts: ReadonlyMap<number, number>;
	readonly keys: ReadonlyMap<number, string>;
	readonly checkpoints: ReadonlyMap<number, Encoded>;
	/** One number if it is the same for all. */
	readonly maxAttempts: number | readonly number[];
}

export function idAt({ids}: ChunkMessage, index: number): number {
	return typeof ids === 'number' ? ids + index : (ids[index] as number);
}

/** Of a column that is one number if it is the same for all. */
export function numberAt(column: number | readonly number[], index: number): number {
	return typeof column === 'number' ? column : (column[index] as number);
}

export type WorkerMessage = SetupMessage | ChunkReport;

export const WORKER_MESSAGES: ReadonlySet<unknown> = new Set<WorkerMessage['type']>(['setup', 'outcomes', 'final', 'note']);

/** A task may post whatever it likes to those who started its thread. */
export function isWorkerMessage(message: unknown): message is WorkerMessage {
	return typeof message === 'object' && message !== null && WORKER_MESSAGES.has((message as WorkerMessage).type);
}

/** Exit code of a worker in which Faena can't go on, since one of its jobs broke what all share. */
export const BROKEN = 70;

/** The worker sets the task up from now on, perhaps in a call that never yields; without one, it has done so. */
export interface SetupMessage {
	readonly type: 'setup';
	readonly worker: number;
	readonly task?: string;
}

/** What a worker says of a chunk. */
export type ChunkReport = OutcomesMessage | FinalMessage | NoteMessage;

/**
 * How consecutive jobs of a chunk ended, until something they left behind proves otherwise: a {@link FinalMessage} follows.
 */
export interface OutcomesMessage {
	readonly type: 'outcomes';
	readonly chunk: number;
	/** Index of the first job in the chunk. */
	readonly first: number;
	/** Encoded results; `null` also for jobs without one. */
	readonly values: Values;
	/** As those of a run, by `packTimes`. Processor time is a job's share of what the worker used for all that are reported, by their durations; memory is that of a job that is reported alone. */
	readonly times: Uint8Array;
	/** By index in the chunk: of jobs that threw. */
	readonly failures?: ReadonlyMap<number, FailureRecord>;
	/** By index in the chunk: why jobs were told to stop that ended only after that. */
	readonly stops?: ReadonlyMap<number, StopReason>;
	/** Indexes in the chunk: of jobs that ran together and out of time together, so that each is to run alone. */
	readonly suspects?: ReadonlySet<number>;
	/** Indexes in the chunk: of jobs that were taken back before they started, whose entries have no meaning. */
	readonly skipped?: ReadonlySet<number>;
	/** By index in the chunk: what jobs that returned enqueue. */
	readonly enqueues?: ReadonlyMap<number, readonly ChildJob[]>;
}

/** What was posted of the chunk stands. */
export interface FinalMessage {
	readonly type: 'final';
	readonly chunk: number;
	/** By index in the chunk: of jobs that had returned when a rejection came to light that nobody had handled. */
	readonly failures?: ReadonlyMap<number, FailureRecord>;
	/** The end mark: nothing more comes of this chunk. */
	readonly isLast: boolean;
	/** What the worker uses, with the last one: a thread's heap, a process's memory. */
	readonly memoryBytes?: number;
}

export interface NoteMessage {
	readonly type: 'note';
	readonly chunk: number;
	readonly index: number;
	readonly progress?: {readonly done: number; readonly total?: number; readonly at: number};
	readonly logs?: readonly Omit<LogLine, 'execution'>[];
	readonly checkpoint?: {readonly at: number; readonly state: Encoded};
}

/** The large binary values of a message that go to another thread, as memory to be handed over with it. */
export function memoryOf(message: WorkerMessage | WorkerRequest): ArrayBuffer[] {
	return memoryOfValues(valuesOf(message));
}

function valuesOf(message: WorkerMessage | WorkerRequest): readonly Encoded[] {
	switch (message.type) {
		case 'outcomes':
			return listed(message.values);
		case 'note':
			return message.checkpoint ? [message.checkpoint.state] : [];
		case 'chunk':
			return listed(message.payloads);
		default:
			return [];
	}
}
