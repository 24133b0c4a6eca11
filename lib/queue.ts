import type {Encoded} from './encoding.ts';
import {FaenaError} from './errors.ts';
import {type FailureRecord, toFailure} from './failure.ts';
import type {Counts, Job, JobFilter, JobId, JobStatus, LogLine, Policy} from './job.ts';

type Awaitable<T> = T | Promise<T>;

/** What a commit survives: `full` a loss of power, `normal` a crash of the process. */
export type Durability = 'full' | 'normal';

/** One claim of jobs, made by one dequeue: a positive integer, never used twice. */
export type Lease = number;

/** A dispatcher's incarnation: a nanoid. Its jobs come back when it dies. */
export type OwnerId = string;

/**
 * Where jobs live. Every implementation passes `test/queues/contract.ts`.
 *
 * The heart is {@link turn}: one transaction that settles what ended, enqueues what waits and dequeues what fits. The
 * other verbs of the hot path are turns with one part. All verbs are batched and may be asynchronous.
 */
export abstract class JobQueue {
	readonly #listeners = new Set<() => void>();

	/** Where the jobs are, as given to `openQueue`; `:memory:` for the memory queue. */
	abstract readonly location: string;

	/** Notes, settles, enqueues and dequeues, in this order, in one durable transaction: all of it or nothing. */
	abstract turn(turn: Turn): Awaitable<TurnResult>;

	/** Cancels pending and failed jobs at once; asks the owners of running ones, who find them in {@link stops}. */
	abstract cancel(filter: JobFilter): Awaitable<CancelResult>;
	/** Opens a new round for failed and ended jobs: pending, no attempts charged. Returns how many. */
	abstract retry(filter: JobFilter): Awaitable<number>;
	/** Jobs of a paused task are enqueued but not dequeued. Durable. */
	abstract pause(tasks: readonly string[]): Awaitable<void>;
	abstract resume(tasks: readonly string[]): Awaitable<void>;
	/** Names of the paused tasks. */
	abstract paused(): Awaitable<readonly string[]>;

	/** Says that the owner lives; a dequeue makes an owner but does not renew it. Returns false if it had been given up: its leases are lost, it may go on with new ones. */
	abstract heartbeat(owner: OwnerId): Awaitable<boolean>;
	/** Says it for an owner that lives in another thread or connection. Returns false if it was given up, and changes nothing then. */
	abstract renew(owner: OwnerId): Awaitable<boolean>;
	/** Takes back, uncharged, the jobs of every dead owner: those whose process is gone, and those silent for `leaseMs`. */
	abstract recover(): Awaitable<number>;
	/** Ends an owner in good order; jobs it still holds come back uncharged. */
	abstract leave(owner: OwnerId): Awaitable<void>;

	abstract job(id: JobId): Awaitable<Job | undefined>;
	/** Jobs in order of arrival. */
	abstract jobs(filter: JobFilter, page?: Page): Awaitable<readonly Job[]>;
	/** Payload, result and checkpoint of a job, encoded; `undefined` if there is no such job. */
	abstract values(id: JobId): Awaitable<JobValues | undefined>;
	/** How those of the jobs ended that have ended, or are not there (any more); the others are left out. */
	abstract ends(ids: readonly JobId[]): Awaitable<readonly JobEnd[]>;
	abstract logs(id: JobId): Awaitable<readonly LogLine[]>;
	/** Jobs by status, from a tally kept in every transaction. */
	abstract counts(filter?: {readonly task?: string}): Awaitable<Counts>;
	/** What could still run without anybody's help, of these tasks: not parked, not paused. */
	abstract outstanding(tasks: readonly string[]): Awaitable<number>;

	/** Finds or creates the batch of that name. An open batch is spared by {@link cleanup}. */
	abstract openBatch(name: string, task: string): Awaitable<BatchId>;
	abstract closeBatch(batch: BatchId): Awaitable<void>;

	/** Deletes completed, dead and cancelled jobs that ended before the time given, never others; in bounded steps. */
	abstract cleanup(options: CleanupOptions): Awaitable<CleanupResult>;

	/** True if another connection wrote since the last time this was asked. Cheap: made for polling. */
	abstract changes(): Awaitable<boolean>;
	/** Running jobs of this owner that somebody wants stopped. */
	abstract stops(owner: OwnerId): Awaitable<readonly Claim[]>;

	abstract close(): Awaitable<void>;

	/** Puts jobs in: all of them, or none and an error. Resolves once they are durable. */
	async enqueue(jobs: readonly NewJob[]): Promise<readonly Enqueued[]> {
		const {enqueued} = await this.turn({enqueue: jobs, rejectConflicts: true});
		for (const listener of this.#listeners) listener();
		return enqueued;
	}

	/** Calls the listener after each {@link enqueue} on this object. Returns a function that ends that. */
	onEnqueue(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/** Claims up to `limit` jobs of the given tasks: higher priority first, then in order of arrival. */
	async dequeue({owner, tasks, limit = 1, maxBytes = Infinity}: DequeueOptions): Promise<Dequeued> {
		const demand = {owner, tasks: tasks.map(task => ({task, limit})), limit, maxBytes};
		return (await this.turn({dequeue: demand})).dequeued;
	}

	/** Writes down how executions ended. What no longer matches its lease and execution changes nothing and counts as lost. */
	async settle(lease: Lease, outcomes: readonly Omit<Settlement, 'lease'>[]): Promise<{accepted: number; lost: number}> {
		const {settled} = await this.turn({settle: outcomes.map(outcome => ({...outcome, lease}))});
		const lost = settled.filter(status => status === 'lost').length;
		return {accepted: settled.length - lost, lost};
	}

	/** Settles one job as completed. Returns false if the claim was lost. */
	async complete(claim: Claim, value: Encoded = null): Promise<boolean> {
		return this.#settleOne(claim, {type: 'returned', value});
	}

	/** Settles one job as failed: to be tried again after its backoff, or dead. Returns false if the claim was lost. */
	async fail(claim: Claim, error: unknown): Promise<boolean> {
		return this.#settleOne(claim, {type: 'threw', error: toFailure(error)});
	}

	async #settleOne({id, lease, execution}: Claim, outcome: Outcome): Promise<boolean> {
		const {settled} = await this.turn({settle: [{id, lease, execution, outcome}]});
		return settled[0] !== 'lost';
	}
}

/** One transaction's worth of work. */
export interface Turn {
	readonly settle?: readonly Settlement[];
	readonly notes?: readonly Note[];
	readonly enqueue?: readonly NewJob[];
	/** Fail the whole turn with `KeyConflict` if a job's key names another payload; otherwise it is told per job. */
	readonly rejectConflicts?: boolean;
	readonly dequeue?: Demand;
}

export interface TurnResult {
	/** For each settlement, in order, the job's new status, or `lost`. */
	readonly settled: readonly (JobStatus | 'lost')[];
	/** For each new job, in order. */
	readonly enqueued: readonly Enqueued[];
	readonly dequeued: Dequeued;
	/** Jobs of the demanded tasks that could have been dequeued and were not. */
	readonly backlog: number;
	/** When the next waiting job becomes due, in milliseconds since 1970; `null` if none waits. */
	readonly nextRunAt: number | null;
}

export interface NewJob {
	readonly task: string;
	readonly payload: Encoded;
	readonly priority: number;
	/** Earliest start in milliseconds since 1970; `null` for at once. */
	readonly runAt: number | null;
	readonly policy: Policy;
	/** Unique per batch, or per task outside batches, until the job is cleaned up. */
	readonly key?: string;
	readonly batch?: BatchId;
}

export interface Enqueued {
	readonly id: JobId;
	/** The key was there already, with the same payload: this is that job. */
	readonly existing: boolean;
	/** The key was there already, with another payload: this is that job, and nothing was enqueued. */
	readonly conflict: boolean;
}

/** What a dispatcher can take. */
export interface Demand {
	readonly owner: OwnerId;
	/** The tasks it has, each with the most jobs it can take of it. */
	readonly tasks: readonly {readonly task: string; readonly limit: number}[];
	/** The most jobs in all. */
	readonly limit: number;
	/** Stops after the job with which the payloads together reach this; always gives one. */
	readonly maxBytes: number;
}

export interface DequeueOptions {
	readonly owner: OwnerId;
	readonly tasks: readonly string[];
	/** Default 1. */
	readonly limit?: number;
	/** Default: no limit. */
	readonly maxBytes?: number;
}

export interface Dequeued {
	/** 0 if no job was dequeued. */
	readonly lease: Lease;
	readonly jobs: readonly DequeuedJob[];
}

export interface DequeuedJob {
	readonly id: JobId;
	readonly task: string;
	readonly payload: Encoded;
	/** The number of this execution: with the lease, the fence. */
	readonly execution: number;
	/** Attempts charged before this execution. */
	readonly attempts: number;
	readonly policy: Policy;
	readonly key?: string;
	/** What an earlier execution last kept with `ctx.checkpoint`, encoded. */
	readonly checkpoint?: Encoded;
}

/** Names one execution: whoever speaks for a job must. */
export interface Claim {
	readonly id: JobId;
	readonly lease: Lease;
	readonly execution: number;
}

export interface Settlement extends Claim {
	readonly outcome: Outcome;
}

/** How an execution ended. */
export type Outcome = Timing &
	(
		| {readonly type: 'returned'; readonly value: Encoded}
		/** Charged. */
		| {readonly type: 'threw' | 'timedOut' | 'lostWorker'; readonly error: FailureRecord}
		| {readonly type: 'cancelled'; readonly error?: FailureRecord}
		/** Not charged: it never started, or was interrupted through no fault of its own. */
		| {readonly type: 'released'}
	);

interface Timing {
	/** When the task started, in milliseconds since 1970. */
	readonly startedAt?: number;
	readonly durationMs?: number;
}

/** What a running task said of itself. */
export interface Note extends Claim {
	readonly progress?: {readonly done: number; readonly total?: number; readonly at: number};
	readonly logs?: readonly Omit<LogLine, 'execution'>[];
	/** Kept until another one comes, through whatever happens, or the job completes. */
	readonly checkpoint?: {readonly at: number; readonly state: Encoded};
}

/** Log lines kept per job: the latest. */
export const MAX_LOG_LINES = 200;

export interface CancelResult {
	/** Cancelled at once. */
	readonly cancelled: readonly JobId[];
	/** Running: their owners were asked. */
	readonly asked: readonly JobId[];
}

export interface Page {
	/** Only jobs with a higher id. */
	readonly after?: JobId;
	/** Default 100. */
	readonly limit?: number;
}

export interface JobValues {
	readonly payload: Encoded;
	/** The stored result of a completed job. */
	readonly result?: Encoded;
	/** Where its next execution goes on, and which one kept that when, in milliseconds since 1970. */
	readonly checkpoint?: {readonly execution: number; readonly at: number; readonly state: Encoded};
}

/** The end of a job's round. */
export interface JobEnd {
	readonly id: JobId;
	/** `missing`: there is no such job (any more). */
	readonly status: 'completed' | 'dead' | 'cancelled' | 'missing';
	/** The result of a completed job; otherwise `null`. */
	readonly value: Encoded;
	/** Why it is dead or cancelled, as far as is known. */
	readonly error?: FailureRecord;
}

/** A batch's row: a positive integer. */
export type BatchId = number;

export interface CleanupOptions {
	/** Jobs that ended before this, in milliseconds since 1970. */
	readonly endedBefore: number;
	/** The most rows looked at in one call, default 1,000: what bounds the transaction. */
	readonly limit?: number;
	/** Where the previous call stopped. */
	readonly after?: JobId;
}

export interface CleanupResult {
	readonly deleted: number;
	/** Give this as `after` to go on; `null` when all was looked at. */
	readonly next: JobId | null;
}

/** What `turn` throws under `rejectConflicts`. */
export function keyConflict(task: string, key: string, id: JobId): FaenaError {
	return new FaenaError(
		'KeyConflict',
		`The key ${JSON.stringify(key)} of task ${task} belongs to job ${id}, which has another payload. Use another key, or clean up that job first.`,
	);
}

/** Statuses that {@link JobQueue.retry} acts on when the filter names none: everything that did not work out. */
export const RETRIED_BY_DEFAULT: readonly JobStatus[] = ['failed', 'dead', 'cancelled'];
