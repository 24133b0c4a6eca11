/** Messages between callers and their dispatcher, across the boundary of a thread. */

import type {Batch, BatchId, BatchOptions, DeleteResult, FlowJobs} from '../job/batch.ts';
import type {ExecutionFacts, OwnerId} from '../job/claim.ts';
import type {EventName, JobEvent} from '../job/events.ts';
import type {ErrorEnvelope} from '../job/failure.ts';
import type {EndedGroup, EnqueuedGroup, FullQueue, NewGroup} from '../job/groups/group.ts';
import {buffersOf} from '../job/groups/packed.ts';
import type {CancelResult, DiscardOptions, DiscardResult, Durability, JobEdit, JobEnd, JobId, JobStatus, Retention, TaskCounts} from '../job/job.ts';
import type {JobSource} from '../job/job-list.ts';
import type {PoolOptions} from '../job/options.ts';
import type {Schedule, ScheduleChange, ScheduleResult} from '../job/schedule.ts';
import type {JobFilter, JobSearch, Place} from '../job/search.ts';
import type {TaskInfo} from '../job/task/task.ts';

/** Start data of a dispatcher's thread. */
export interface DispatcherStart {
	readonly queue: string;
	/** Its name as an owner; default: a new one. */
	readonly owner?: OwnerId | undefined;
	readonly durability: Durability;
	readonly leaseMs: number;
	/** Events that the caller subscribes to from the start. */
	readonly events?: readonly EventName[] | undefined;
	readonly blobThresholdBytes: number | undefined;
	/** Whether the caller closes the engine on signals. Then jobs that threw pass a `SignalGate`. */
	readonly closeOnSignals: boolean;
	/** Without one, nothing is deleted, unless a task says so. */
	readonly retention: Retention;
	/** Tasks whose jobs the dispatcher runs; `undefined`: all that the pool has. */
	readonly only: readonly string[] | undefined;
	/** The scopes whose jobs it runs, besides jobs without a scope. */
	readonly scopes: readonly string[];
	/** True for an engine that runs no job before its first batch is open: what earlier runs of the batch left is held then. */
	readonly waitsForBatch: boolean;
	/** Without a pool the dispatcher runs no jobs. */
	readonly pool: PoolOptions | undefined;
}

export type Started = {readonly type: 'started'; readonly tasks: readonly TaskInfo[]} | {readonly type: 'refused'; readonly error: ErrorEnvelope};

/** A call to the dispatcher. A {@link Reply} with its number answers it. */
export type Call = {readonly call: number} & CallBody;

export type CallBody =
	| EnqueueCall
	| {readonly type: 'verb'; readonly verb: keyof Verbs; readonly args: readonly unknown[]}
	/** Asks for news of each job's end. Answered at once, with the notices of jobs that have ended already. */
	| {readonly type: 'watch'; readonly ids: readonly JobId[]}
	| {readonly type: 'unwatch'; readonly ids?: readonly JobId[]; readonly ranges?: readonly IdRange[]}
	/** Refuses the enqueues with this number that wait for room. Answered once none of them waits. */
	| {readonly type: 'stopWaiting'; readonly waits: number}
	| {readonly type: 'subscribe'; readonly events: readonly EventName[]}
	/** Answered once no job of the dispatcher's tasks can run by itself any more; with `waiting: false`, once none is due. */
	| {readonly type: 'idle'; readonly waiting: boolean}
	/** Answered with {@link EngineStats}. */
	| {readonly type: 'stats'}
	/** `isSignalled`: a signal closes the engine. Jobs that throw from now on are not charged, since the signal may have ended their commands. */
	| {readonly type: 'close'; readonly drainMs: number; readonly isSignalled?: boolean}
	/** The answer to `signalQuery`. If a signal had come before the question, the `close` call for it comes before this answer. */
	| {readonly type: 'signalAnswered'};

/** Answered with an {@link EnqueueReply}. */
export interface EnqueueCall {
	readonly type: 'enqueue';
	readonly group: NewGroup;
	/** Whether to watch the jobs, from the moment they exist. */
	readonly watch: boolean;
	/** Set if the call waits for room while the queue is full: a number by which a call of the type `stopWaiting` ends that. */
	readonly waits?: number | undefined;
	/** True if the caller does not keep the payloads: the memory of large binary ones goes to the dispatcher. Default false: they are copied. */
	readonly givesPayloads?: boolean;
}

/** The group, and if it was refused for want of room, when there may be some. */
export interface EnqueueReply extends EnqueuedGroup {
	readonly full?: FullQueue & {readonly retryAfterMs: number};
}

/** What to read of each job, besides its fields. */
type Wanted = Readonly<Partial<Record<'count' | 'values' | 'logs' | 'history' | 'edges', true>>>;

/** Verbs of the queue that a caller may use. The dispatcher adds its own owner where a verb needs one. */
export interface Verbs {
	cancel(filter: JobFilter): CancelResult;
	discard(jobs: readonly JobId[] | JobFilter, options: DiscardOptions): DiscardResult;
	/** Moves held jobs; none of a batch that another owner has by now. Returns their number. */
	endHold(filter: JobFilter, to: 'unheld' | 'cancelled' | 'discarded'): number;
	retry(filter: JobFilter): number;
	edit(id: JobId, changes: Omit<JobEdit, 'id'>): boolean;
	pause(tasks: readonly string[]): void;
	resume(tasks: readonly string[]): void;
	paused(): readonly string[];
	/** As the verb of a store. */
	jobs(search: JobSearch, page: {readonly after?: Place | undefined; readonly limit: number}, want?: Wanted): Awaited<ReturnType<JobSource['page']>>;
	/** As the verb of a store. */
	holders(of: {readonly task: string; readonly batch?: BatchId | undefined}, keys: readonly string[]): KeyHolders;
	/** As the verb of a store. */
	counts(): readonly TaskCounts[];
	/** Unless it is a flow, all that earlier runs left unfinished is held from then on. `running`: such jobs that run. `batch`: as it is then. */
	openBatch(
		name: string,
		task: string | undefined,
		options?: BatchOptions,
	): {readonly id: BatchId; readonly running: readonly JobId[]; readonly batch?: Batch | undefined};
	endInput(batch: BatchId, total: number): boolean;
	/** Enqueues jobs of a flow or a pipe in one transaction. Watches those of the groups from the index `watchFrom` on. */
	addToFlow(groups: readonly NewGroup[], watchFrom?: number): readonly EnqueuedGroup[];
	/** Ends the input of a flow: its jobs may run. */
	sealFlow(batch: BatchId, total: number, flowJobs: FlowJobs): boolean;
	closeBatch(batch: BatchId): void;
	schedules(): readonly Schedule[];
	schedule(change: ScheduleChange): ScheduleResult;
	/** `isDone`: all items were yielded. */
	leaveBatch(batch: BatchId, isDone?: boolean): void;
	deleteBatch(name: string, limit?: number): DeleteResult;
	batch(name: string): Batch | undefined;
	batches(): readonly Batch[];
	/** As the verb of a store. */
	delete(
		what: {readonly endedBefore: number} | {readonly ids: readonly JobId[]},
		page?: {readonly after?: Place | undefined},
	): {readonly deleted: number; readonly next: Place | null};
	/** As the verb of a store. */
	now(): number;
}

/** As that of a store. */
interface KeyHolders {
	readonly ids: readonly (JobId | null)[];
	readonly statuses: readonly (JobStatus | null)[];
	readonly fingerprints: readonly (string | null)[];
}

export type Reply = {readonly call: number} & ({readonly value: unknown} | {readonly error: ErrorEnvelope});

/** All replies, notices and events since the last message, after the commit that made them true. */
export interface RepliesMessage {
	readonly type: 'replies';
	readonly replies: readonly Reply[];
	readonly completed: readonly CompletedJobs[];
	readonly notices: readonly Notice[];
	readonly events: readonly JobEvent[];
}

/** Watched jobs that have completed, with their results, and the numbers and times of these executions. */
export type CompletedJobs = Pick<EndedGroup, 'ids' | 'values' | 'executions' | 'times'>;

export interface IdRange {
	readonly first: JobId;
	readonly last: JobId;
}

/** A watched job has ended; `earlier` if it had already ended when its caller began to watch it. */
export type Notice = JobEnd & {readonly earlier?: boolean; readonly execution?: ExecutionFacts};

export type DispatcherMessage =
	| RepliesMessage
	/** The dispatcher has failed. The error rejects all open calls. */
	| {readonly type: 'failed'; readonly error: ErrorEnvelope}
	/** Asks whether a signal has come. Answered by the call `signalAnswered`. */
	| {readonly type: 'signalQuery'};

/** Start data of the heartbeat thread of `work()`. */
export interface HeartbeatStart {
	readonly location: string;
	readonly owner: string;
}

/** The buffers of the large binary payloads that calls give to a dispatcher in another thread. */
export function payloadBuffers(calls: readonly Call[]): ArrayBuffer[] {
	return calls.flatMap(call => (call.type === 'enqueue' && call.givesPayloads ? buffersOf(call.group.values) : []));
}

/** The buffers of the large binary results in a message from a dispatcher's thread. */
export function resultBuffers(message: DispatcherMessage | Started): ArrayBuffer[] {
	if (message.type !== 'replies') return [];
	return [...buffersOf(message.notices.map(({result}) => result)), ...message.completed.flatMap(({values}) => buffersOf(values))];
}
