// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node-version.ts';

export {CHANNELS, type EngineEvents} from './api/events.ts';
export {BatchHandle, type BatchInfo} from './api/batch-handle.ts';
export type {StopReason} from './job/job.ts';
export {type Encoded, decode, encode} from './job/encoding.ts';
export {
	type AnyTasks,
	Engine,
	type EnqueueArgs,
	type JobDetails,
	open,
	type PayloadOf,
	type ResultOf,
	type TaskName,
} from './api/engine.ts';
export {type EnqueueInArgs, enqueueIn} from './api/enqueue-in.ts';
export {type ErrorCode, FaenaError} from './support/errors.ts';
export type {FailureRecord, PostMortem} from './job/failure.ts';
export {
	type Backoff,
	type BackoffOption,
	type Counts,
	type Durability,
	type Duration,
	type CancelResult,
	type CleanupOptions,
	type CleanupResult,
	isTerminal,
	type Job,
	type JobFilter,
	type JobEnd,
	type JobId,
	type JobStatus,
	type JobValues,
	type LogLevel,
	type LogLine,
	type Page,
	type Policy,
	type Progress,
	STATUSES,
	TRANSITIONS,
	type WithdrawOptions,
	type WithdrawResult,
} from './job/job.ts';
export type {HaltOption} from './api/halt.ts';
export {JobHandle, type JobOutcome, type WaitOptions} from './api/job-handle.ts';
export type {Logger} from './api/logger.ts';
export {JobMap, type MapProgress, type MapResult} from './api/map.ts';
export type {MapOptions} from './api/map-options.ts';
export {openQueue, type QueueOptions} from './store/open-store.ts';
export type {Size} from './job/checks.ts';
export {DEFAULTS} from './job/options.ts';
export type {JobOptions} from './job/task.ts';
export type {OpenOptions, RecycleOptions} from './api/open-options.ts';
export type {WorkerLoss} from './job/events.ts';
export type {ResourceLimits} from './job/worker-options.ts';
export type {Isolation} from './job/task.ts';
export type {Batch, BatchOptions, CompletedBatch, DeleteResult, Mark} from './job/batch.ts';
export type {BatchId} from './job/job.ts';
export type * from './job/claim.ts';
export * from './job/outcome.ts';
export type {ChildJob, NewJob, Rerun} from './job/new-job.ts';
export * from './store/store.ts';
export type {OwnConnection} from './store/sqlite/own-connection.ts';
export {closeOnSignals} from './api/signals.ts';
export type {EngineStats, Quantiles, TaskStats} from './job/stats.ts';
export {statusSummary} from './job/status-summary.ts';
export {
	type BatchResults,
	type BatchTaskOptions,
	type ExecutionOptions,
	type TaskContext,
	type TaskFunction,
	type TaskLog,
	type TaskOptions,
	task,
} from './job/task.ts';
export {work, type WorkOptions} from './api/work.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
