/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/** The package entry `faena/store`: the contract of stores, for those who write one, and the queue over any store. */

// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node.ts';

export type {BatchId, BatchOptions, DeleteResult, FlowJobs, Mark, StoredFlow} from './job/batch.ts';
export type {ClaimedJob, Ending, ExecutionRecord, JobUpdate, Lease, Outcome, OwnerId, Settlement, Timing} from './job/claim.ts';
export {decode, type Encoded, encode} from './job/encoding.ts';
export type {ErrorRecord} from './job/error-record.ts';
export type {Health} from './job/events.ts';
export type {FailureRecord} from './job/failure.ts';
export type {ClaimedGroup, Column, EndedGroup, EnqueuedGroup, FullQueue, Ids, Keys, NewGroup, ParentEnd, ParentResults} from './job/groups/group.ts';
export type {PackedStrings, Values} from './job/groups/packed.ts';
export {TRANSITIONS} from './job/job.ts';
export type {CancelResult, DiscardOptions, DiscardResult, EditResult, JobEdit, JobEnd, JobRecord} from './job/job.ts';
export type {ChildJob, NewJob, PendingLimits, Rerun} from './job/new-job.ts';
export type {CheckedOptions, PerSpawner} from './job/options.ts';
export type {KnownParents, ParentEdge, Parents, ParentsOfCall} from './job/parents.ts';
export type {Backoff, Policy, PolicyNumber, PolicyOption} from './job/policy.ts';
export type {Schedule, ScheduleChange, ScheduleResult, ScheduleSpec} from './job/schedule.ts';
export type {JobValues, MoveTarget, Page, Place} from './job/search.ts';
export type {BatchDeletion, Deleted, Deletion, EndedBefore, EndedDeletion, EndTimes} from './store/deletions.ts';
export type {ResultsOfParents} from './job/value-tree.ts';
export type {JobEdges, JobPage, JobRange, KeyHolders, KeySpace, OutcomePage, SearchPage, StoredJob, Wanted} from './store/found-jobs.ts';
export {JobQueue} from './store/job-queue.ts';
export type {BatchChange, BatchPage, Changes, Claimed, ClaimRequest, Committed, LaneRequest, Moved, MovePage} from './store/store.ts';
export type {News, OwnerFiles, Released, ReleaseOptions, Settled, SettledGroup, Store, TaskCounts} from './store/store.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
