/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/** The package entry `faena`: `open()` and what a program needs. */

// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node.ts';

export {open, type Engine} from './api/engine.ts';
export type {EnqueueManyOptions} from './api/enqueue-many.ts';
export {enqueueIn} from './api/enqueue-in.ts';
export {CHANNELS, type Logger} from './api/events.ts';
export type {BatchHandle, BatchInfo} from './api/batch-handle.ts';
export type {JobHandle, JobOutcome} from './api/job-handle.ts';
export type {JobInfo} from './api/job-info.ts';
export type {WaitOptions} from './api/wait.ts';
export type {JobMap, MapProgress} from './api/maps/map.ts';
export type {MapResult} from './api/maps/map-items.ts';
export type {MapOptions} from './api/maps/map-options.ts';
export type {OpenOptions} from './api/open-options.ts';
export type {AnyTasks, PayloadOf, ResultOf, TasksOf} from './job/task/task.ts';
export {showProgress} from './api/show-progress.ts';
export {closeOnSignals} from './api/signals.ts';
export type {CompletedBatch} from './job/batch.ts';
export type {Duration, Size} from './job/checks.ts';
export type {JobError} from './job/failure.ts';
export type {Counts, Job, JobId, JobRef, JobStatus, LogLine} from './job/job.ts';
export type {DeadJob} from './job/groups/dead-jobs.ts';
export type {JobFilter, JobSearch} from './job/search.ts';
export type {Flow, FlowJobOptions} from './api/flows/flow.ts';
export type {FlowJob, FlowMap, FlowNode} from './api/flows/flow-nodes.ts';
export type {FlowHandle} from './api/flows/flow-handle.ts';
export type {JobPipe, PipeProgress} from './api/maps/pipe.ts';
export type {PipeOptions, StageOptions} from './api/maps/pipe-plan.ts';
export type {ScheduleHandle, ScheduleInfo, ScheduleOptions} from './api/schedules.ts';
export type {JobList} from './job/job-list.ts';
export {isTerminal, STATUSES, statusSummary} from './job/job.ts';
export {DEFAULTS} from './job/options.ts';
export type {EngineEvents, EngineStats} from './job/events.ts';
export type {
	ExecutionOptions,
	JobOptions,
	Context,
	TaskContext,
	TaskOptions,
} from './job/task/task.ts';
export type {ExecOptions, ExecResult} from './job/task/exec-options.ts';
export type {ParentOutcome} from './job/parents.ts';
export type {EnqueuedChild} from './job/enqueued-child.ts';
export {task} from './job/task/make-task.ts';
export {defineTasks, type TaskModule} from './job/task/task-module.ts';
export {PermanentError, RetryAfter} from './job/task/task-errors.ts';
export type {PostgresTransaction} from './store/postgres-client.ts';
export type {OwnConnection} from './store/sqlite/caller-connection.ts';
export {type ErrorCode, FaenaError} from './support/errors.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
