/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/** The package entry `faena`: `open()` and what a program needs. */

// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node.ts';

export {open, type Engine} from './api/engine.ts';
export type {JobChanges} from './api/edit.ts';
export type {EnqueuedMany, EnqueueManyOptions} from './api/enqueue-many.ts';
export {type EnqueuedIn, enqueueIn} from './api/enqueue-in.ts';
export {CHANNELS, type EngineEvents, type Logger} from './api/events.ts';
export type {BatchHandle, BatchInfo, JobDetails, JobHandle, JobOutcome, PastExecution, WaitOptions} from './api/handles.ts';
export type {JobMap, MapProgress} from './api/maps/map.ts';
export type {MapItem, MapResult} from './api/maps/map-items.ts';
export type {HaltOption, MapOptions} from './api/maps/map-options.ts';
export type {OpenOptions, RecycleOptions} from './api/open-options.ts';
export type {AnyTasks, PayloadOf, ResultOf, TaskName, TasksOf} from './job/task.ts';
export {closeOnSignals} from './api/signals.ts';
export type {CompletedBatch} from './job/batch.ts';
export type {EditResult, Staleness} from './job/job.ts';
export type {Duration, Size} from './job/checks.ts';
export type {SlowStart, WorkerLoss} from './job/events.ts';
export type {ExecutionFacts} from './job/claim.ts';
export type {ErrorRecord} from './job/error-record.ts';
export type {FailureRecord, PostMortem} from './job/failure.ts';
export type {Counts, Durability, Job, JobId, JobStatus, LogLevel, LogLine, Progress, StopReason} from './job/job.ts';
export type {OnDead} from './job/parents.ts';
export type {BackoffOption} from './job/policy.ts';
export type {ScheduleTiming} from './job/schedule.ts';
export type {JobFilter, JobSearch, JobSort} from './job/search.ts';
export type {Flow, FlowInput, FlowJobOptions, FlowMapOptions} from './api/flows/flow.ts';
export type {FlowJob, FlowMap, FlowNode} from './api/flows/flow-nodes.ts';
export type {FlowRun} from './api/flows/flow-run.ts';
export type {JobPipe, PipeProgress} from './api/maps/pipe.ts';
export type {DeadItem, PipeOptions, StageOptions} from './api/maps/pipe-plan.ts';
export type {ScheduleHandle, ScheduleInfo, ScheduleOptions, ScheduleRuns, ScheduleTimes} from './api/schedules.ts';
export type {JobList, JobListOptions, JobListPage} from './job/job-list.ts';
export {isTerminal, STATUSES, statusSummary} from './job/job.ts';
export {DEFAULTS} from './job/options.ts';
export type {EngineStats, Quantiles, StorageSize, TaskStats} from './job/events.ts';
export type {
	BatchResults,
	BatchTaskOptions,
	ChildOptions,
	ExecOptions,
	ExecResult,
	ExecutionOptions,
	Fresh,
	Isolation,
	JobOptions,
	ParentOutcome,
	RetentionOption,
	TaskContext,
	TaskFunction,
	TaskLog,
	TaskOptions,
} from './job/task.ts';
export type {EnqueuedChild} from './job/enqueued-child.ts';
export {task} from './job/task.ts';
export {defineTasks, type TaskModule} from './job/task-module.ts';
export {PermanentError, RetryAfter, type RetryDecision} from './job/task-errors.ts';
export type {ResourceLimits} from './job/options.ts';
export type {PostgresTransaction} from './store/postgres-client.ts';
export type {OwnConnection} from './store/sqlite/caller-connection.ts';
export {type CommandFailedError, type ErrorCode, FaenaError, type QueueFullError} from './support/errors.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
