/** Messages between a pool and its workers, across the boundary of a thread or process. */

import type {MessagePort} from 'node:worker_threads';
import type {JobUpdate} from '../job/claim.ts';
import type {ErrorEnvelope, FailureRecord} from '../job/failure.ts';
import type {SentGroup} from '../job/groups/group.ts';
import {buffersOf, type Values} from '../job/groups/packed.ts';
import type {StopReason} from '../job/job.ts';
import type {ChildJob} from '../job/new-job.ts';
import type {PoolOptions} from '../job/options.ts';
import type {TaskInfo} from '../job/task/task.ts';
import type {SpawnerAddress} from '../spawner/spawner.ts';

/** The first request to a worker; its answer is a {@link Loaded}. A chunk is answered with nothing, since its outcomes are posted. */
export interface LoadMessage extends PoolOptions {
	readonly type: 'load';
	/** The worker's number, for its own messages, and as its cell in the file of open jobs. */
	readonly worker: number;
	/** Only for a worker thread. */
	readonly identity?: ThreadIdentity;
}

/** Tells the processes that a thread starts from others of its program. */
export interface ThreadIdentity {
	/** In the environment of what it starts. */
	readonly mark: string;
	/** One word of shared memory, in which the thread writes its id in the operating system before it loads a task. */
	readonly thread: Int32Array;
}

/** The answer to a {@link SpawnerMessage}. It is answered with nothing. */
export interface SpawnerRequest {
	readonly type: 'spawner';
	readonly address: SpawnerAddress;
}

/** `teardown` is the last request, before the worker is ended in good order. */
export type WorkerRequest = LoadMessage | ChunkMessage | SpawnerRequest | {readonly type: 'teardown'};

/** To a worker thread, after its `load`: its chunks come through this port. It is never answered. */
export interface ServeMessage {
	readonly type: 'serve';
	readonly port: MessagePort;
}

/** `codes`: the code of each task by its name, as this worker has loaded it; not of an inline worker, whose thread may have loaded it before. */
export type Loaded = {readonly tasks: readonly TaskInfo[]; readonly codes?: ReadonlyMap<string, string> | undefined} | {readonly error: ErrorEnvelope};

export interface ChunkMessage {
	readonly type: 'chunk';
	readonly chunk: number;
	/** The memory of the chunk's state; for a worker that shares no memory with its pool, the chunk's generation. */
	readonly chunkState: SharedArrayBuffer | number;
	readonly group: SentGroup;
}

export type WorkerMessage = SetupMessage | SpawnerMessage | ChunkReport;

const WORKER_MESSAGES: ReadonlySet<unknown> = new Set<WorkerMessage['type']>(['setup', 'spawner', 'outcomes', 'final', 'update']);

/** False for anything else: a task may post its own messages to the parent of its thread. */
export function isWorkerMessage(message: unknown): message is WorkerMessage {
	return typeof message === 'object' && message !== null && WORKER_MESSAGES.has((message as WorkerMessage).type);
}

/** Exit code of a worker that can't go on, since one of its jobs broke what all share. */
export const BROKEN = 70;

/** The worker begins to set the task up, perhaps in a call that never yields. Without a task: it is done. */
export type SetupMessage = {readonly type: 'setup'; readonly worker: number; readonly task?: string};

/** A job of the worker wants to start a command, and there is no connection with the spawner. `lost`: the socket of the one whose connection has ended. */
export type SpawnerMessage = {readonly type: 'spawner'; readonly lost?: string | undefined};

export type ChunkReport = OutcomesMessage | FinalMessage | UpdateMessage;

/** The outcomes of consecutive jobs of a chunk. They may still change, until a {@link FinalMessage} follows. */
export interface OutcomesMessage {
	readonly type: 'outcomes';
	readonly chunk: number;
	readonly first: number;
	/** Encoded results; `null` also for jobs without one. */
	readonly values: Values;
	/** By `packTimes`. Processor time is measured once for all, and each has the mean; memory is that of a job that is reported alone. */
	readonly times: Uint8Array;
	/** By index in the chunk: failures of jobs that threw. */
	readonly failures?: ReadonlyMap<number, FailureRecord>;
	/** By index in the chunk: failures of earlier jobs, which are not final, that came to light after their outcomes were posted. */
	readonly late?: ReadonlyMap<number, FailureRecord>;
	/** By index in the chunk: why jobs were asked to stop before they ended. Each of those that timed out together will run alone. */
	readonly stops?: ReadonlyMap<number, StopReason | 'timedOutTogether'>;
	/** Indexes in the chunk: jobs that were taken back before they started. Their entries have no meaning. */
	readonly skipped?: ReadonlySet<number>;
	/** Indexes in the chunk: jobs that the worker did not start, since they had expired. Their entries have no meaning. */
	readonly expired?: ReadonlySet<number>;
	readonly enqueues?: ReadonlyMap<number, readonly ChildJob[]>;
}

/** The outcomes posted so far are final. */
export interface FinalMessage {
	readonly type: 'final';
	readonly chunk: number;
	/** By index in the chunk: unhandled rejections of jobs that had returned. */
	readonly failures?: ReadonlyMap<number, FailureRecord>;
	/** The end mark: no message about this chunk follows. */
	readonly isLast: boolean;
	/** With the last one: the worker's memory, of a thread its heap. */
	readonly memoryBytes?: number;
}

export interface UpdateMessage extends Pick<JobUpdate, 'progress' | 'logs' | 'checkpoint'> {
	readonly type: 'update';
	readonly chunk: number;
	readonly index: number;
	/** Which progress of the execution it is, from 1. The chunk's state may have shown a later one before. */
	readonly nth?: number;
}

/** The memory of large binary values in a message to another thread, to be transferred with it. */
export function transferListOf(message: WorkerMessage | WorkerRequest): ArrayBuffer[] {
	if (message.type === 'outcomes') return buffersOf(message.values);
	if (message.type === 'chunk') return buffersOf(message.group.values);
	return message.type === 'update' && message.checkpoint ? buffersOf([message.checkpoint.state]) : [];
}
