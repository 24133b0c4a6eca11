/** The package entry `faena`: `open()` and what a program needs. */

// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node.ts';

export {BatchHandle, type BatchInfo} from './api/batch-handle.ts';
export {Engine} from './api/engine.ts';
export {type EnqueueInArgs, enqueueIn} from './api/enqueue-in.ts';
export {CHANNELS, type EngineEvents} from './api/events.ts';
export type {HaltOption} from './api/map-options.ts';
export type {JobDetails} from './api/job-handle.ts';
export {JobHandle, type JobOutcome, type WaitOptions} from './api/job-handle.ts';
export type {Logger} from './api/events.ts';
export {JobMap, type MapProgress, type MapResult} from './api/map.ts';
export type {MapOptions} from './api/map-options.ts';
export {open} from './api/open.ts';
export type {OpenOptions, RecycleOptions} from './api/open-options.ts';
export {closeOnSignals} from './api/signals.ts';
export type {AnyTasks, EnqueueArgs, PayloadOf, ResultOf, TaskName} from './api/open-options.ts';
export type {CompletedBatch} from './job/batch.ts';
export type {Size} from './job/checks.ts';
export type {SlowStart, WorkerLoss} from './job/events.ts';
export type {FailureRecord, PostMortem} from './job/failure.ts';
export {
	type BackoffOption,
	type Counts,
	type Durability,
	type Duration,
	isTerminal,
	type Job,
	type JobFilter,
	type JobId,
	type JobStatus,
	type LogLevel,
	type LogLine,
	type Page,
	type Progress,
	STATUSES,
	type StopReason,
} from './job/job.ts';
export {DEFAULTS, type ResourceLimits} from './job/options.ts';
export type {EngineStats, Quantiles, TaskStats} from './job/events.ts';
export {statusSummary} from './job/job.ts';
export {
	type BatchResults,
	type BatchTaskOptions,
	type ExecutionOptions,
	type Isolation,
	type JobOptions,
	type TaskContext,
	type TaskFunction,
	type TaskLog,
	type TaskOptions,
	task,
} from './job/task.ts';
export type {OwnConnection} from './store/sqlite/one-library.ts';
export {type ErrorCode, FaenaError} from './support/errors.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
