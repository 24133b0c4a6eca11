/** Every message that crosses a thread or process boundary. */

import type {StopReason} from './board.ts';
import type {Encoded} from './encoding.ts';
import type {ErrorEnvelope} from './errors.ts';
import type {FailureRecord} from './failure.ts';
import type {JobId, LogLevel, LogLine, Policy} from './job.ts';
import type {Values} from './lines.ts';
import type {Isolation, PoolOptions, SlowStart, WorkerLoss} from './pool.ts';
import type {BatchId, BatchOptions, CompletedBatch, Durability, Health, JobEnd, JobQueue, Lease, MadeJob, Rerun} from './queue.ts';
import type {ExecutionOptions} from './task.ts';
import type {TaskInfo} from './tasks-module.ts';

// ——— pool and worker ———

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
	/** The board's memory; or, where the worker's is its own, the generation of the chunk. */
	readonly board: SharedArrayBuffer | number;
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

const WORKER_MESSAGES: ReadonlySet<unknown> = new Set<WorkerMessage['type']>(['setup', 'outcomes', 'final', 'note']);

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
	readonly enqueues?: ReadonlyMap<number, readonly MadeJob[]>;
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

// ——— caller and dispatcher ———

/** What the dispatcher's thread is started with. */
export interface DispatcherStart {
	readonly queue: string;
	readonly durability: Durability;
	readonly leaseMs: number;
	/** What the caller wants to hear of from the start. */
	readonly events?: readonly EventName[] | undefined;
	readonly blobThresholdBytes: number | undefined;
	readonly closeOnSignals: boolean;
	/** Without it the dispatcher runs nothing. */
	readonly pool: PoolOptions | undefined;
}

/** First message of the dispatcher's thread. */
export type Started = {readonly type: 'started'; readonly tasks: readonly TaskInfo[]} | {readonly type: 'refused'; readonly error: ErrorEnvelope};

/** Calls that waited together travel together. */
export interface CallsMessage {
	readonly type: 'calls';
	readonly calls: readonly Call[];
}

/** Each is answered by a {@link Reply} with its number. */
export type Call = {readonly call: number} & CallBody;

export type CallBody =
	| EnqueueCall
	| {readonly type: 'verb'; readonly verb: keyof Verbs; readonly args: readonly unknown[]}
	/** Wants to hear of the jobs' ends; answered at once, with a notice for each that has ended already. */
	| {readonly type: 'watch'; readonly ids: readonly JobId[]}
	| {readonly type: 'unwatch'; readonly ids: readonly JobId[]}
	| {readonly type: 'subscribe'; readonly events: readonly EventName[]}
	/** Answered when no job of our tasks is left that could run by itself; with `waiting: false`, none whose time has come. */
	| {readonly type: 'idle'; readonly waiting: boolean}
	/** Answered with {@link EngineStats}. */
	| {readonly type: 'stats'}
	/** For a signal: then what throws from now on is not charged, since the signal may have ended the job's commands. */
	| {readonly type: 'close'; readonly drainMs: number; readonly isSignalled?: boolean}
	/** The answer to {@link SignalsMessage}: a signal that had come before it was told of before this. */
	| {readonly type: 'signalsTold'};

/** Jobs of one task with the same options. */
export interface EnqueueCall {
	readonly type: 'enqueue';
	readonly task: string;
	readonly payloads: Values;
	readonly keys: readonly string[] | undefined;
	readonly batch: number | undefined;
	readonly rerun?: Rerun | undefined;
	readonly priority: number;
	readonly runAt: number | null;
	readonly policy: Policy;
	/** Watch the jobs from the moment they exist. */
	readonly watch: boolean;
}

/** What an {@link EnqueueCall} is answered with: new jobs have consecutive ids, so a range usually says it all. */
export interface EnqueueReply {
	readonly first: JobId;
	/** All ids in order, where they aren't `first, first + 1, …`. */
	readonly ids?: readonly JobId[];
	/** Indexes of jobs that were there already. */
	readonly existing?: readonly number[];
	/** Index of the first job whose key names another payload. Nothing was enqueued for such a job. */
	readonly conflict?: number;
}

/** The ids of a call's jobs, in order. */
export function idsOf({first, ids}: EnqueueReply, jobs: number): readonly JobId[] {
	return ids ?? Array.from({length: jobs}, (_, index) => first + index);
}

/** The queue's verbs that a caller may use. Where one takes the owner, the dispatcher gives its own. */
export type Verbs = OwnersVerbs &
	Pick<
		JobQueue,
		| 'cancel'
		| 'withdraw'
		| 'retry'
		| 'pause'
		| 'resume'
		| 'paused'
		| 'job'
		| 'jobs'
		| 'values'
		| 'logs'
		| 'counts'
		| 'deleteBatch'
		| 'batch'
		| 'batches'
		| 'cleanup'
	>;

interface OwnersVerbs {
	openBatch(name: string, task: string, options?: BatchOptions): ReturnType<JobQueue['openBatch']>;
	endInput(batch: BatchId, total: number): ReturnType<JobQueue['endInput']>;
	closeBatch(batch: BatchId): ReturnType<JobQueue['closeBatch']>;
	leaveBatch(batch: BatchId): ReturnType<JobQueue['leaveBatch']>;
}

/** The names of {@link Verbs}: nothing else is looked up on the queue. */
export const VERBS: ReadonlySet<keyof Verbs> = new Set([
	'cancel',
	'withdraw',
	'retry',
	'pause',
	'resume',
	'paused',
	'job',
	'jobs',
	'values',
	'logs',
	'counts',
	'openBatch',
	'endInput',
	'closeBatch',
	'leaveBatch',
	'deleteBatch',
	'batch',
	'batches',
	'cleanup',
]);

export type Reply = {readonly call: number} & ({readonly value: unknown} | {readonly error: ErrorEnvelope});

/** All that the dispatcher has to say after a turn. */
export interface RepliesMessage {
	readonly type: 'replies';
	readonly replies: readonly Reply[];
	readonly notices: readonly Notice[];
	readonly events: readonly JobEvent[];
}

/** A watched job has ended; `earlier` if it had when the map or handle asked for it. */
export type Notice = JobEnd & {readonly earlier?: boolean};

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

/** The dispatcher gave up: everything that waits is rejected with this. */
export interface FailedMessage {
	readonly type: 'failed';
	readonly error: ErrorEnvelope;
}

/** Asks whether a signal has come. Answered by the call `signalsTold`. */
export interface SignalsMessage {
	readonly type: 'signals';
}

export type DispatcherMessage = RepliesMessage | FailedMessage | SignalsMessage;

/** What the heartbeat thread of `work()` is started with. */
export interface HeartbeatStart {
	readonly location: string;
	readonly owner: string;
}
