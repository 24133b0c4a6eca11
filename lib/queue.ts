/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/** The package entry `faena/queue`: a queue without an engine, `work()`, and the contract of stores. */

// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node.ts';

export {type JobHandler, work, type WorkOptions} from './api/work.ts';
export type {Batch, BatchOptions, DeleteResult, Mark} from './job/batch.ts';
export type {JobEdit} from './job/job.ts';
export type {Claim, ClaimedJob, Ending, ExecutionRecord, JobUpdate, Lease, Outcome, OwnerId, Settlement, Timing} from './job/claim.ts';
export {decode, type Encoded, encode} from './job/encoding.ts';
export type {BackedUp, MovedQueue, Vacuumed} from './job/events.ts';
export type {BatchId} from './job/batch.ts';
export type {CancelResult, CleanupOptions, CleanupResult, DiscardOptions, DiscardResult, JobEnd} from './job/job.ts';
export type {Backoff, Policy} from './job/policy.ts';
export type {JobValues, Page, Place} from './job/search.ts';
export {TRANSITIONS} from './job/job.ts';
export type {ChildJob, NewJob, PendingLimits, Rerun} from './job/new-job.ts';
export type {ClaimedGroup, Column, EndedGroup, EnqueuedGroup, FullQueue, Ids, NewGroup} from './job/groups/group.ts';
export type {PackedStrings, Values} from './job/groups/packed.ts';
export {backup, openQueue, type QueueOptions, vacuum} from './store/open-store.ts';
export {moveQueue, type MoveOptions, reopenQueue} from './store/queue-move.ts';
export type {PostgresClient, PostgresPool, PostgresQuery} from './store/postgres-client.ts';
export {type Dequeued, type Enqueued, JobQueue} from './store/job-queue.ts';
export type {DequeueOptions, QueueJob} from './store/queue-input.ts';
export type {BatchDeletion, Deletion, EndedBefore, EndedDeletion, EndTimes} from './store/deletions.ts';
export type {SearchPage, Wanted} from './store/found-jobs.ts';
export type {BatchChange, Changes, ClaimRequest, LaneRequest, MovePage, MoveTarget, OwnerFiles, ReleaseOptions, Store} from './store/store.ts';
export type {Deleted} from './store/deletions.ts';
export type {JobEdges, JobPage, JobRange, OutcomePage} from './store/found-jobs.ts';
export type {BatchPage, Claimed, Committed, Moved, News, Released} from './store/store.ts';
export type {StoredJob} from './store/found-jobs.ts';
export type {Settled, SettledGroup, TaskCounts} from './store/store.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
