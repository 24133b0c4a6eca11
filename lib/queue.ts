/** The package entry `faena/queue`: a queue without an engine, `work()`, and the contract of stores. */

// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node.ts';

export {work, type WorkOptions} from './api/work.ts';
export type {Batch, BatchOptions, DeleteResult, Mark} from './job/batch.ts';
export type {Claim, ClaimedJob, Lease, OwnerId} from './job/claim.ts';
export {decode, type Encoded, encode} from './job/encoding.ts';
export {
	type Backoff,
	type BatchId,
	type CancelResult,
	type CleanupOptions,
	type CleanupResult,
	type DiscardOptions,
	type DiscardResult,
	type JobEnd,
	type JobValues,
	type Policy,
	TRANSITIONS,
} from './job/job.ts';
export type {ChildJob, NewJob, Rerun} from './job/new-job.ts';
export type {ClaimedGroup, Column, EndedGroup, EnqueuedGroup, Ids, NewGroup} from './job/group.ts';
export type {Ending, JobUpdate, Outcome, Settlement, Timing} from './job/claim.ts';
export type {PackedStrings, Values} from './job/packed.ts';
export {openQueue, type QueueOptions} from './store/open-store.ts';
export {type Dequeued, type DequeueOptions, type Enqueued, JobQueue} from './store/job-queue.ts';
export type {
	BatchChange,
	BatchPage,
	Changes,
	Claimed,
	ClaimRequest,
	Committed,
	Deleted,
	JobPage,
	LaneRequest,
	Moved,
	MovePage,
	MoveTarget,
	News,
	OutcomePage,
	Released,
	ReleaseOptions,
	Settled,
	SettledGroup,
	Store,
	StoredJob,
	TaskCounts,
	Wanted,
} from './store/store.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
