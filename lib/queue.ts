/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/** The package entry `faena/queue`: a queue without an engine, and `work()`. */

// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node.ts';

export {type JobHandler, work, type WorkOptions} from './api/work.ts';
export type {Batch} from './job/batch.ts';
export type {Claim, JobExecution} from './job/claim.ts';
export type {JobChanges} from './job/new-job.ts';
export type {BackedUp, MovedQueue, Vacuumed} from './job/events.ts';
export {statusSummary} from './job/job.ts';
export type {Cleanup} from './store/deletions.ts';
export type {JobQueue} from './store/job-queue.ts';
export {backup, openQueue, type QueueOptions, vacuum} from './store/open-store.ts';
export type {PostgresClient, PostgresConnection, PostgresPool, PostgresPoolOptions, PostgresQuery} from './store/postgres-client.ts';
export type {Dequeued, DequeuedJob, DequeueOptions, Enqueued, QueueEnd, QueueJob, QueueOutcome, QueueValues} from './store/queue-input.ts';
export {moveQueue, type MoveOptions, reopenQueue} from './store/queue-move.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
