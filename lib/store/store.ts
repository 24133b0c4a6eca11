/** The station `store/`: keeps jobs, and says which ones may run. It never runs one, and does nothing unasked but tell news to its listener. */

import type {Batch, BatchId, BatchOptions, CompletedBatch, FlowJobs} from '../job/batch.ts';
import type {Claim, JobUpdate, Lease, OwnerId} from '../job/claim.ts';
import type {Health} from '../job/events.ts';
import type {FailureRecord} from '../job/failure.ts';
import type {ClaimedGroup, EndedGroup, EnqueuedGroup, NewGroup} from '../job/groups/group.ts';
import type {EditResult, JobEdit, JobId, JobStatus, TaskCounts} from '../job/job.ts';
import type {PerSpawner} from '../job/options.ts';
import type {Schedule, ScheduleChange, ScheduleResult} from '../job/schedule.ts';
import type {JobFilter, JobSearch, MoveTarget, Page} from '../job/search.ts';
import type {Deleted, Deletion} from './deletions.ts';
import type {JobPage, KeyHolders, KeySpace, OutcomePage, SearchPage, Wanted} from './found-jobs.ts';

export {type TaskCounts, toCounts} from '../job/job.ts';

/**
 * A store keeps jobs. Every implementation passes `test/store/contract.ts`.
 *
 * The verbs are asynchronous. Those for many jobs do one page of their work, and return where the next page begins. {@link commit} is the
 * transaction of a dispatcher: it settles, enqueues and claims. A store opens with its first verb, and measures delays and times by its own clock.
 *
 * After each transaction these invariants hold. Comments and laws (`test/fault/laws.ts`, `postgres-laws.ts`) name them:
 *
 * - I1: a job is in exactly one state: a row of one of the tables of states, with its task, batch and priority.
 * - I2: the counts by task, batch and state are what a recount gives.
 * - I3: a blocked job waits for as many parents as have not ended as they must, and an edge leads to a job that exists.
 * - I4: a key names one job, which has it; a job with a key is named until it ends, or the key goes to another one.
 * - I5: a running job has a claim, whose owner exists. An outcome or update that names another lease or execution changes nothing.
 * - I6: an id or a lease is given once.
 * - I7: attempts are at most those allowed, and at most the executions.
 * - I8: a job that is dead says why; one that is completed has its result, and nothing that was kept for another execution.
 * - I9: a batch is completed exactly if its input has ended and all of its jobs have.
 * - I10: what only some jobs have, such as a log or a checkpoint, belongs to a job that exists.
 * - I11: a row for many jobs has all of them, and no other row has one of them.
 */
export interface Store {
	/** The location of the jobs, as given to `openStore`, without a password. */
	readonly location: string;
	/** Where another thread of this program opens the store. It may have a password. `undefined` if no other thread can. */
	readonly threadLocation: string | undefined;
	/** The time without a heartbeat after which the store takes an owner for dead. */
	readonly leaseMs: number;
	/** The version of its tables, which rises with each release that changes them; 0 before the first verb. */
	readonly schemaVersion: number;

	/**
	 * The time by the queue's clock, in milliseconds since 1970: times of jobs and schedules are by it. On a server it is the server's, as far as the
	 * store's verbs have told; before the first one, this machine's.
	 */
	now(): number;

	/**
	 * Updates, settles, edits, enqueues and claims jobs, in this order, in one durable transaction: all or nothing. If it fails with `OutcomeUnknown`,
	 * it may have taken effect. Then {@link release} its claims; a second try reports its settlements as lost.
	 * @throws FaenaError `KeyConflict` and `NoSuchBatch` under `rejectConflicts`; `BadRow`, `TooLarge` if a value or a row prevents the transaction
	 */
	commit(changes: Changes): Promise<Committed>;

	/**
	 * Moves a page of the filter's jobs, in order of arrival. A job moves if it matches when its page is taken.
	 * `cancelled`: cancels pending and failed jobs at once. {@link listen} tells the owners of running jobs to stop them.
	 * `pending`: begins a new round, with no attempts charged, of failed, dead and cancelled jobs. It takes completed jobs only if the filter names
	 * that status, or names ids and no status. It leaves out a job whose key another job has taken, unless that one was deleted.
	 * `discarded`: deletes jobs as if they had never been enqueued. Pending and failed jobs are deleted at once. A running job is deleted when its
	 * execution ends without ending the job; with `stop`, {@link listen} tells its owner to stop it. A later cancel overrides that. The input of
	 * the jobs' batches no longer counts as ended, since it is needed again.
	 * `held`: holds unended jobs of a batch, as when another run of it begins. A held job is pending, and is not claimed until it is enqueued again by its
	 * key, by the options that it gets then, or moved to `unheld`. It does not count for the completion of its batch. A running job is held when its
	 * execution ends without ending the job; it is in `asked`. Parked jobs wait for a person anyway, and stay as they are.
	 * `unheld`: ends that; the jobs keep their options.
	 */
	move(filter: JobFilter, to: MoveTarget, page?: MovePage): Promise<Moved>;

	/**
	 * Gives all jobs of a scope to another one, with its schedules and the `onComplete` of batches. A program that still has the scope enqueues jobs of its
	 * own afterwards.
	 * @returns false if no job ever had the scope `from`, and no schedule or batch has it
	 */
	adopt(from: string, to: string): Promise<boolean>;

	/** Pauses tasks, or ends their pause. Jobs of a paused task are enqueued but not claimed. Durable. */
	setPaused(tasks: readonly string[], isPaused: boolean): Promise<void>;

	/**
	 * Renews the heartbeat of an owner. {@link commit} with a claim, {@link openBatch} and {@link updateBatch} register it.
	 * @returns `fenced` if the owner is unknown or was taken for dead since its last heartbeat, also if it has been registered again: its earlier
	 * claims are lost
	 */
	heartbeat(owner: OwnerId): Promise<'alive' | 'fenced'>;

	/** Makes a page of the owner's running jobs ready again, uncharged. */
	release(owner: OwnerId, options?: ReleaseOptions): Promise<Released>;

	/**
	 * Makes a page of the running jobs of dead owners ready again, uncharged. An owner is dead if its process has ended, or if this store has seen
	 * the same heartbeat for the length of a lease. Call this at least twice per lease, so that it can see that. A job that a worker of a dead
	 * owner had open is suspected of having killed it: its suspicion rises by one level.
	 */
	reclaim(): Promise<Released>;

	/**
	 * A page of the jobs that the search selects, in its order. A page is a snapshot: it shows all jobs at one moment. It may be short, even empty,
	 * before the last one.
	 */
	jobs(search: JobSearch, page?: SearchPage, want?: Wanted): Promise<JobPage>;

	/** The ends of jobs. A job that does not exist is `missing`; a job that has not ended is left out. A page ends early if its values are large. */
	outcomes(ids: readonly JobId[], page?: {readonly after?: number}): Promise<OutcomePage>;

	/**
	 * The jobs that have these keys in the batch, or without one in the task, outside batches.
	 * @param keys at most as many as a group has jobs
	 */
	holders(of: KeySpace, keys: readonly string[]): Promise<KeyHolders>;

	/** The number of jobs by task, scope and state. Every transaction keeps these numbers, so reading them is quick with any number of jobs. */
	counts(): Promise<readonly TaskCounts[]>;

	/** All schedules, by name. {@link commit} changes them. */
	schedules(): Promise<readonly Schedule[]>;

	/**
	 * Opens the batch of this name for more input, or creates it. The owner has the batch until {@link updateBatch} closes or leaves it, or until
	 * the owner ends: a batch has one map at a time. While a batch is open, {@link delete} by `endedBefore` keeps its jobs.
	 * @param task the task of all its jobs; `undefined` for a flow or a pipe. A flow is opened again only while its input has not ended
	 * @throws FaenaError `BatchInUse` if an owner has the batch, even this owner; `BatchConflict` if the batch belongs to another task, to a pipe of
	 *   other stages, or is a flow whose input has ended and that still has jobs
	 */
	openBatch(name: string, task: string | undefined, owner: OwnerId, options?: BatchOptions): Promise<BatchId>;

	/**
	 * Changes a batch that the owner has. An owner may also end the input of a batch that has no owner.
	 * @returns false, with nothing changed, if another owner has the batch, or it does not exist
	 */
	updateBatch(batch: BatchId, owner: OwnerId, change: BatchChange): Promise<boolean>;

	/** A page of batches in the order of their creation. Every transaction keeps the counts of their jobs, so this is quick with any number of jobs. */
	batches(filter?: {readonly name?: string}, page?: Page): Promise<BatchPage>;

	/**
	 * Deletes a page of jobs. `batch`: jobs of the batch, and with the last page the batch itself. The others delete jobs that have ended, and keep
	 * those of open batches. `ids`: of these jobs. `endedBefore`: jobs that ended before this time, in order of arrival; the last page also deletes
	 * the closed batches without jobs. `ended`: jobs that ended before the time of their task and status, in the order of their ends.
	 * @throws FaenaError `BatchRunning` if a job of the batch is running; jobs that were deleted before stay deleted
	 */
	delete(what: Deletion, page?: SearchPage): Promise<Deleted>;

	/**
	 * Calls the listener with news of the store. The store waits for the listener's promise before it polls again.
	 * @param owner the owner whose running jobs the listener can stop; `undefined` for none
	 * @returns a function that removes the listener
	 */
	listen(owner: OwnerId | undefined, listener: (news: News) => void | Promise<void>): () => void;

	/** The files by which a store learns what became of an owner's processes; none for a store without files. */
	ownerFiles(owner: OwnerId): OwnerFiles;

	/** Releases the jobs of this store's owners, removes the owners, and closes the store. */
	close(): Promise<void>;
}

/** The work of one transaction. */
export interface Changes {
	/** Progress, log lines and checkpoints of running jobs. */
	readonly update?: readonly JobUpdate[];
	/** Executions that enqueue jobs are settled last, because the others may free a key. */
	readonly settle?: readonly EndedGroup[];
	/** Changes of jobs that are pending or failed. */
	readonly edit?: readonly JobEdit[];
	/** New jobs. */
	readonly enqueue?: readonly NewGroup[];
	/** Changes of schedules, which may enqueue jobs, too. */
	readonly schedule?: readonly ScheduleChange[];
	/**
	 * If a key belongs to another payload: true fails the whole transaction with `KeyConflict`; by default the job is in `conflicts` of its group. Of a
	 * batch that does not exist: `NoSuchBatch`, or `missing`. Of a parent: `NoSuchJob`, or `missing`.
	 */
	readonly rejectConflicts?: boolean;
	/**
	 * Which jobs to claim; none by default. A transaction that claims first cancels jobs that have expired. If these are more than one transaction
	 * can cancel, it claims nothing, and `expiresInMs` is 0: a job that has expired is never claimed.
	 */
	readonly claim?: ClaimRequest;
	/**
	 * For a caller that blocks its thread until the transaction was tried, such as a task that computes. If the store can, it commits
	 * synchronously, waits for a lock for 100 ms at most, and calls this before `commit` returns; with the error if it failed.
	 */
	readonly urgent?: (error: unknown) => void;
}

/** The results of one transaction. */
export interface Committed {
	/** A result for each settled group, in order. */
	readonly settled: readonly SettledGroup[];
	/** A result for each edit, in order; absent if there were none. */
	readonly edited?: readonly (EditResult | 'missing')[];
	/** A result for each change of a schedule, in order; absent if there were none. */
	readonly scheduled?: readonly ScheduleResult[];
	/** A result for each enqueued group, in order. */
	readonly enqueued: readonly EnqueuedGroup[];
	/** The claimed jobs. */
	readonly claimed: Claimed;
	/** The number of jobs of the requested lanes that could have been claimed and were not. May be a lower bound. */
	readonly backlog: number;
	/** True if jobs that waited for others became ready, or may become ready in the next transaction. */
	readonly unblocked?: boolean;
	/** Milliseconds until the next waiting job becomes due; `null` if none waits. */
	readonly dueInMs: number | null;
	/** Jobs that this transaction cancelled, since they had not started in time; `undefined` if there were none. */
	readonly expired?: readonly JobId[] | undefined;
	/** No job expires for this many milliseconds; `undefined` if none may expire. */
	readonly expiresInMs?: number | undefined;
	/** Milliseconds until the next moment of a schedule; `undefined` if there is none. */
	readonly momentInMs?: number | undefined;
}

/** A job's new status. `discarded`: the job was deleted with the end of this execution. `lost`: the claim no longer matched. */
export type Settled = JobStatus | 'discarded' | 'lost';

/** The new statuses of a group's jobs. */
export interface SettledGroup {
	/** By index, the jobs that did not complete. */
	readonly others: ReadonlyMap<number, Settled>;
	/** By index, executions that returned but failed: they enqueue a job whose key belongs to another payload. */
	readonly refusals?: ReadonlyMap<number, FailureRecord>;
}

/** The jobs that one transaction claimed. */
export interface Claimed {
	/** 0 if no job was claimed. */
	readonly lease: Lease;
	/** In the order of their first jobs. */
	readonly groups: readonly ClaimedGroup[];
	/** Jobs that were ready and claimed at once, which only another program can write; of a run of such jobs, the first. Their old claims stay. */
	readonly passedOver?: readonly JobId[];
}

/** The jobs that a dispatcher can take. */
export interface ClaimRequest {
	/** The owner of the claims. */
	readonly owner: OwnerId;
	/** Which jobs it can take. The store takes the highest priority first, among all lanes. */
	readonly lanes: readonly LaneRequest[];
	/** The scopes of the jobs that it can take, besides jobs without a scope; default none. */
	readonly scopes?: readonly string[] | undefined;
	/** The most jobs in all. */
	readonly limit: number;
	/**
	 * The claim ends with the job that brings the total to this size: of the payloads, and of the parents' results of 1,024 bytes or
	 * more. It has at least one job. A result that several jobs get may count once.
	 */
	readonly maxBytes: number;
}

/** A lane: the quarantined jobs of a task, or its other jobs. */
export interface LaneRequest {
	/** The task of the lane. */
	readonly task: string;
	/** The most jobs of this lane. */
	readonly limit: number;
	/** True for jobs that are suspected of killing their process. The store returns no more of them than may run together. */
	readonly isQuarantined?: boolean;
	/** The most jobs of the task that may run at the same time, in all processes together. */
	readonly concurrency?: number | undefined;
}

/** The part of the filter's jobs that {@link Store.move} takes. */
export interface MovePage extends Page {
	/** The most jobs of the page; default 1,000. */
	readonly limit?: number;
	/** Only jobs up to this id. Default: the newest job, so that the pages come to an end while more jobs arrive. */
	readonly upTo?: JobId;
	/** For `discarded`: also stop running executions. Default false. */
	readonly stop?: boolean;
	/** Only jobs that are held, or will be when their execution ends. Default false. */
	readonly isHeld?: boolean;
	/** Of a filter with a batch: none of its jobs if another owner has the batch. */
	readonly owner?: OwnerId;
}

/** One page of moved jobs. */
export interface Moved {
	/** Jobs that were moved at once. */
	readonly ids: readonly JobId[];
	/** Running jobs, whose owners were asked to stop them. */
	readonly asked: readonly JobId[];
	/** The next page; `null` if there is none. */
	readonly next: MovePage | null;
}

/** Paths of an owner's files. */
export interface OwnerFiles {
	/** Child processes hold a share of this lock while they live (`shareLock`). Until all have ended, no other owner reclaims the jobs. */
	readonly ownerLock?: string;
	/** Workers write there which jobs they have open (`OpenJobsCell`). If the owner dies, {@link Store.reclaim} suspects these. */
	readonly openJobs?: string;
	/** The owner's spawners write there which commands of jobs live (`LivingCommands`). If the owner dies, {@link Store.reclaim} ends these first. */
	readonly commands?: PerSpawner<string>;
}

/** Which running jobs of an owner to release. */
export interface ReleaseOptions {
	/** Only jobs of later leases. For claims that may have committed although `commit` reported an error. */
	readonly after?: Lease;
	/** Remove the owner with the last page; it leaves its batches. */
	readonly leave?: boolean;
}

/** What one page released or reclaimed. */
export interface Released {
	/** The number of jobs. */
	readonly jobs: number;
	/** True if there is another page: call again. */
	readonly hasMore: boolean;
}

/** A change of a batch by its owner. */
export type BatchChange =
	/**
	 * Ends the input at this number of items; the owner has the batch from then on. The batch completes in the transaction in which its last job
	 * ends. If a job of it is retried or added, the batch is incomplete again.
	 */
	| {readonly total: number}
	/** Ends the input of a flow, with its jobs in order. They may run, and the owner leaves the batch, which is closed. */
	| {readonly total: number; readonly flowJobs: FlowJobs}
	/** The owner has read all results and leaves the batch. `delete` may delete it. Changes nothing if the owner does not have the batch. */
	| {readonly isClosed: true}
	/**
	 * The owner leaves the batch open. Another map may continue it. `isDone`: this one has yielded all its items, which ends the batch's `renewal`, as
	 * closing it does. Changes nothing if the owner does not have the batch.
	 */
	| {readonly isLeft: true; readonly isDone?: boolean | undefined};

/** A page of batches. */
export interface BatchPage {
	/** In the order of their creation. */
	readonly batches: readonly Batch[];
	/** Give it as `after` to go on; `null` at the end. */
	readonly next: BatchId | null;
}

/** What {@link Store.listen} reports. */
export type News =
	/** Another connection wrote, or {@link Store.move} asked an owner to stop jobs. `stop`: the jobs that the listener's owner must stop. */
	| {readonly type: 'changed'; readonly stop: readonly Claim[]}
	/** A batch completed in a transaction of this store, which is committed. */
	| ({readonly type: 'batchCompleted'} & CompletedBatch)
	/** A transaction of this store has cancelled these jobs, which waited for a job that will not complete. */
	| {readonly type: 'childrenCancelled'; readonly ids: readonly JobId[]}
	/** About every second, or less often: the condition of the database. */
	| ({readonly type: 'health'} & Health)
	/** The store could not read its news. It tries again. */
	| {readonly type: 'failed'; readonly error: unknown};

/** Smaller results of parents don't count for {@link ClaimRequest.maxBytes}. */
export const MIN_COUNTED_RESULT_BYTES = 1024;

/** The longest wait for a lock under {@link Changes.urgent}. */
export const URGENT_WAIT_MS = 100;
