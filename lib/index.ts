// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './node-version.ts';

export {CHANNELS, type EngineEvents} from './audience.ts';
export {BatchHandle, type BatchInfo} from './batch-handle.ts';
export type {StopReason} from './board.ts';
export {type Encoded, decode, encode} from './encoding.ts';
export {
	type AnyTasks,
	Engine,
	type EnqueueArgs,
	type JobDetails,
	open,
	type PayloadOf,
	type ResultOf,
	type TaskName,
} from './engine.ts';
export {type EnqueueInArgs, enqueueIn} from './enqueue-in.ts';
export {type ErrorCode, FaenaError} from './errors.ts';
export type {FailureRecord, PostMortem} from './failure.ts';
export {
	type Backoff,
	type BackoffOption,
	type Counts,
	type Duration,
	isTerminal,
	type Job,
	type JobFilter,
	type JobId,
	type JobStatus,
	type LogLevel,
	type LogLine,
	type Policy,
	type Progress,
	STATUSES,
	TRANSITIONS,
} from './job.ts';
export type {HaltOption} from './halt.ts';
export {JobHandle, type JobOutcome, type WaitOptions} from './job-handle.ts';
export type {Logger} from './logger.ts';
export {JobMap, type MapProgress, type MapResult} from './map.ts';
export type {MapOptions} from './map-options.ts';
export {openQueue, type QueueOptions} from './open-queue.ts';
export type {Size} from './checks.ts';
export {DEFAULTS, type JobOptions, type OpenOptions, type RecycleOptions} from './options.ts';
export type {Isolation, ResourceLimits, WorkerLoss} from './pool.ts';
export * from './queue.ts';
export type {OwnConnection} from './queues/sqlite/own-connection.ts';
export {closeOnSignals} from './signals.ts';
export type {EngineStats, Quantiles, TaskStats} from './statistics.ts';
export {statusSummary} from './status-summary.ts';
export {
	type BatchResults,
	type BatchTaskOptions,
	type ExecutionOptions,
	type TaskContext,
	type TaskFunction,
	type TaskLog,
	type TaskOptions,
	task,
} from './task.ts';
export {work, type WorkOptions} from './work.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
