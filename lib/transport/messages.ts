/** What a caller and its dispatcher say to each other, across a thread's boundary. */

import type {Batch, BatchOptions, DeleteResult} from '../job/batch.ts';
import type {EventName, JobEvent} from '../job/events.ts';
import type {
	BatchId,
	CancelResult,
	CleanupOptions,
	CleanupResult,
	Counts,
	Job,
	JobEnd,
	JobFilter,
	JobValues,
	LogLine,
	Page,
	WithdrawOptions,
	WithdrawResult,
} from '../job/job.ts';

/** Every message that crosses a thread or process boundary. */

import type {Encoded} from '../job/encoding.ts';
import type {ErrorEnvelope} from '../job/error-envelope.ts';
import type {Durability, JobId, Policy} from '../job/job.ts';
import type {Rerun} from '../job/new-job.ts';
import type {Values} from '../job/packed-strings.ts';
import type {TaskInfo} from '../job/task.ts';
import {listed, memoryOfValues} from '../job/transfer.ts';
import type {PoolOptions} from '../job/worker-options.ts';

// ——— pool and worker ———

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

/** The queue's verbs that a caller may use. Where the queue wants an owner, the dispatcher names its own. */
export interface Verbs {
	cancel(filter: JobFilter): CancelResult;
	withdraw(ids: readonly JobId[], options: WithdrawOptions): WithdrawResult;
	retry(filter: JobFilter): number;
	pause(tasks: readonly string[]): void;
	resume(tasks: readonly string[]): void;
	paused(): readonly string[];
	job(id: JobId): Job | undefined;
	jobs(filter: JobFilter, page?: Page): readonly Job[];
	values(id: JobId): JobValues | undefined;
	logs(id: JobId): readonly LogLine[];
	counts(filter?: {readonly task?: string}): Counts;
	openBatch(name: string, task: string, options?: BatchOptions): BatchId;
	endInput(batch: BatchId, total: number): boolean;
	closeBatch(batch: BatchId): void;
	leaveBatch(batch: BatchId): void;
	deleteBatch(name: string, limit?: number): DeleteResult;
	batch(name: string): Batch | undefined;
	batches(): readonly Batch[];
	cleanup(options: CleanupOptions): CleanupResult;
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

/** The large binary values of a message that go to another thread, as memory to be handed over with it. */
export function memoryOf(message: CallsMessage | DispatcherMessage | Started): ArrayBuffer[] {
	return memoryOfValues(valuesOf(message));
}

function valuesOf(message: CallsMessage | DispatcherMessage | Started): readonly Encoded[] {
	switch (message.type) {
		case 'calls':
			return message.calls.flatMap(call => (call.type === 'enqueue' ? listed(call.payloads) : []));
		case 'replies':
			return message.notices.map(({value}) => value);
		default:
			return [];
	}
}
