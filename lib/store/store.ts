import type {Batch, BatchOptions, CompletedBatch, DeleteResult, Mark} from '../job/batch.ts';
import type {Claim, DequeuedJob, Lease, OwnerId} from '../job/claim.ts';
import type {Encoded} from '../job/encoding.ts';
import type {Health} from '../job/events.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import type {
	BatchId,
	CancelResult,
	CleanupOptions,
	CleanupResult,
	Counts,
	Job,
	JobEnd,
	JobFilter,
	JobId,
	JobStatus,
	JobValues,
	LogLine,
	Page,
	WithdrawOptions,
	WithdrawResult,
} from '../job/job.ts';
import type {ChildJob, NewJob} from '../job/new-job.ts';
import type {Note, Outcome, Settlement} from '../job/outcome.ts';
import {type DequeuedRun, expandDequeued, type NewRun, type Settling} from '../job/runs.ts';
import {FaenaError} from '../support/errors.ts';

/** At once where nothing has to be waited for. */
export type Awaitable<T> = T | Promise<T>;

/**
 * Where jobs live. Every implementation passes `test/store/contract.ts`.
 *
 * The heart is {@link turn}: one transaction that settles what ended, enqueues what waits and dequeues what fits. The
 * other verbs of the hot path are turns with one part. All verbs are batched and may be asynchronous.
 */
export abstract class JobQueue {
	readonly #listeners = new Set<() => void>();
	readonly #completionListeners = new Set<(batch: CompletedBatch) => void>();

	/** Where the jobs are, as given to `openQueue`; `:memory:` for the memory queue. */
	abstract readonly location: string;

	/**
	 * Notes, settles, enqueues and dequeues, in this order, in one durable transaction: all of it or nothing. If it fails, and took
	 * effect after all (`OutcomeUnknown`), what it dequeued is to be {@link giveBack given back}, and what it settled is lost to a second try.
	 */
	abstract turn(turn: Turn): Awaitable<TurnResult>;

	/**
	 * Moves jobs of the filter, one page of them in one transaction: those that match when their page is taken, in order of arrival. A page is
	 * bounded, so that whoever moves many jobs can do other things between two pages; it may be empty though there is more.
	 *
	 * `cancelled`: pending and failed jobs at once; the owners of running ones are asked, and find them in {@link stops}.
	 * `pending`: a new round, without attempts charged, for failed, dead and cancelled jobs; for completed ones if the filter names that status, or
	 * ids and no status.
	 * `discarded`: as if the jobs had never been enqueued. Pending and failed ones are deleted at once; a running one as soon as its execution ends
	 * without ending the job, and with `stop` its owner finds it in {@link stops}. A later cancel overrides. The input of the jobs' batches counts
	 * as not ended: it is needed again.
	 */
	abstract move(filter: JobFilter, to: MoveTarget, page?: MovePage): Awaitable<Moved>;
	/** Jobs of a paused task are enqueued but not dequeued. Durable. */
	abstract pause(tasks: readonly string[]): Awaitable<void>;
	abstract resume(tasks: readonly string[]): Awaitable<void>;
	/** Names of the paused tasks. */
	abstract paused(): Awaitable<readonly string[]>;

	/** Says that the owner lives; a dequeue makes an owner but does not renew it. Returns false if it had been given up: its leases are lost, it may go on with new ones. */
	abstract heartbeat(owner: OwnerId): Awaitable<boolean>;
	/** Says it for an owner that lives in another thread or connection. Returns false if it was given up, and changes nothing then. */
	abstract renew(owner: OwnerId): Awaitable<boolean>;
	/**
	 * Takes back, uncharged, the jobs of every dead owner: those whose process is gone; and those whose heartbeat was seen here to
	 * stand still for `leaseMs`, for which this must be called at least twice in that time. Those of them that a worker of the owner
	 * had open, as `lib/job/open-jobs.ts` tells, become suspects, or more suspect by a level.
	 */
	abstract recover(): Awaitable<number>;
	/**
	 * Gives back, uncharged, what the owner was given with leases after this one. For an owner one of whose dequeues failed and may have
	 * taken effect all the same: it was not told of those jobs, so nobody else would ever run them.
	 */
	abstract giveBack(owner: OwnerId, after: Lease): Awaitable<number>;
	/** Ends an owner in good order; jobs it still holds come back uncharged. */
	abstract leave(owner: OwnerId): Awaitable<void>;

	abstract job(id: JobId): Awaitable<Job | undefined>;
	/** Jobs in order of arrival: all as they are at one moment. */
	abstract jobs(filter: JobFilter, page?: Page): Awaitable<readonly Job[]>;
	/** Payload, result and checkpoint of a job, encoded; `undefined` if there is no such job. */
	abstract values(id: JobId): Awaitable<JobValues | undefined>;
	/** How those of the jobs ended that have ended, or are not there (any more); the others are left out. */
	abstract ends(ids: readonly JobId[]): Awaitable<readonly JobEnd[]>;
	abstract logs(id: JobId): Awaitable<readonly LogLine[]>;
	/** Jobs by status, from a tally kept in every transaction. */
	abstract counts(filter?: {readonly task?: string}): Awaitable<Counts>;
	/** What could still run without anybody's help, of these tasks: not parked, not paused; without `waiting`, nothing that its time has not come for. */
	abstract outstanding(tasks: readonly string[], options?: OutstandingOptions): Awaitable<number>;

	/**
	 * Finds or creates the batch of that name, for more input, and gives it to the owner: a batch has one map at a time. The owner has it
	 * until {@link leaveBatch}, {@link closeBatch} or its own end. An open batch is spared by {@link cleanup}.
	 * @throws FaenaError `BatchInUse` if an owner has the batch, also if it is this one; `BatchConflict`
	 */
	abstract openBatch(name: string, task: string, owner: OwnerId, options?: BatchOptions): Awaitable<BatchId>;
	/**
	 * The batch's input has ended, with so many items. It completes in the transaction that leaves none of its jobs unended:
	 * this one, or whoever's comes to it. A job of it that is retried, or a new one, opens it again.
	 * An owner that had been given up gets the batch back, if no other has it.
	 * Returns false, and changes nothing, if another owner has the batch, or there is no such batch any more.
	 */
	abstract endInput(batch: BatchId, total: number, owner: OwnerId): Awaitable<boolean>;
	/** The owner has had all results of the batch, and leaves it: {@link cleanup} may take it. Changes nothing if the owner doesn't have it. */
	abstract closeBatch(batch: BatchId, owner: OwnerId): Awaitable<void>;
	/** The owner leaves the batch, which stays open: another map may go on with it. Changes nothing if the owner doesn't have it. */
	abstract leaveBatch(batch: BatchId, owner: OwnerId): Awaitable<void>;
	/** What is known of the batch of that name; its jobs are counted in every transaction, so that this is quick however many there are. */
	abstract batch(name: string): Awaitable<Batch | undefined>;
	/** All batches, in the order in which they were made. */
	abstract batches(): Awaitable<readonly Batch[]>;

	/**
	 * Deletes jobs of the batch, at most `limit` (default 1,000: what bounds the transaction), and with the last of them the batch.
	 * @throws FaenaError `BatchRunning` if one of its jobs is running; what was deleted before stays so
	 */
	abstract deleteBatch(name: string, limit?: number): Awaitable<DeleteResult>;

	/** Deletes completed, dead and cancelled jobs that ended before the time given, never others; in bounded steps. */
	abstract cleanup(options: CleanupOptions): Awaitable<CleanupResult>;

	/** True if another connection wrote since the last time this was asked. Cheap: made for polling. */
	abstract changes(): Awaitable<boolean>;
	/** Running jobs of this owner that somebody wants stopped. */
	abstract stops(owner: OwnerId): Awaitable<readonly Claim[]>;

	/**
	 * Looks whether what the jobs lie on is still what was opened, and in what state it is. Cheap: made for polling.
	 * @throws FaenaError `BadDatabase`
	 */
	abstract examine(): Awaitable<Health>;

	abstract close(): Awaitable<void>;

	/** {@link move Cancels} all jobs of the filter, page by page. If a page fails, those before it stay cancelled. */
	async cancel(filter: JobFilter): Promise<CancelResult> {
		const {ids, asked} = await moveAll(this, filter, 'cancelled');
		return {cancelled: ids, asked};
	}

	/** Opens a new round for all jobs of the filter, as by {@link move}, page by page. Returns how many. If a page fails, those before it stay as they are. */
	async retry(filter: JobFilter): Promise<number> {
		return (await moveAll(this, filter, 'pending')).ids.length;
	}

	/** Takes jobs back as if they had never been enqueued, as by {@link move}, page by page. If a page fails, those before it stay discarded. */
	async withdraw(ids: readonly JobId[], options: WithdrawOptions): Promise<WithdrawResult> {
		const {ids: withdrawn, asked} = await moveAll(this, {ids}, 'discarded', options);
		return {withdrawn, asked};
	}

	/** Puts jobs in: all of them, or none and an error. Resolves once they are durable. */
	async enqueue(jobs: readonly NewJob[]): Promise<readonly Enqueued[]> {
		const {enqueued} = await this.turn({enqueue: jobs, rejectConflicts: true});
		this.announce();
		return enqueued;
	}

	/** Tells those who listen that a turn put jobs in. */
	announce(): void {
		for (const listener of this.#listeners) listener();
	}

	/** Calls the listener after each {@link enqueue} and {@link announce} on this object. Returns a function that ends that. */
	onEnqueue(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/** Calls the listener for each batch that completes in a transaction of this object, after its commit. Returns a function that ends that. */
	onBatchCompleted(listener: (batch: CompletedBatch) => void): () => void {
		this.#completionListeners.add(listener);
		return () => void this.#completionListeners.delete(listener);
	}

	/** For the implementations: call it after the commit. */
	protected tellCompleted(batches: readonly CompletedBatch[]): void {
		for (const batch of batches) for (const listener of this.#completionListeners) listener(batch);
	}

	/** Claims up to `limit` jobs of the given tasks: higher priority first, then in order of arrival. */
	async dequeue({owner, tasks, limit = 1, maxBytes = Infinity}: DequeueOptions): Promise<Dequeued> {
		const demand = {owner, tasks: demandOf(tasks, limit), limit, maxBytes};
		const {lease, jobs} = (await this.turn({dequeue: demand})).dequeued;
		return {lease, jobs: expandDequeued(jobs)};
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
	/** Those whose outcome enqueues jobs come after the others, which may free a key. */
	readonly settle?: readonly Settling[];
	readonly notes?: readonly Note[];
	readonly enqueue?: readonly (NewJob | NewRun)[];
	/** Fail the whole turn with `KeyConflict` if a job's key names another payload; otherwise it is told per job. */
	readonly rejectConflicts?: boolean;
	readonly dequeue?: Demand;
	/**
	 * The caller lets nothing else happen until this has been tried, as a task does that computes: a queue that can do it within the call
	 * does, waits for a lock no longer than {@link URGENT_WAIT_MS}, and throws then.
	 */
	readonly isUrgent?: boolean;
}

export const URGENT_WAIT_MS = 100;

export interface TurnResult {
	/** For each job that was to be settled, in order. */
	readonly settled: readonly Settled[];
	/** By index in `settled`: why those that returned failed after all, since what they enqueue is in conflict. */
	readonly refused?: ReadonlyMap<number, FailureRecord>;
	/** For each new job, in order; of a run for the first one, whose ids the others' follow. */
	readonly enqueued: readonly Enqueued[];
	readonly dequeued: {
		readonly lease: Lease;
		readonly jobs: readonly (DequeuedJob | DequeuedRun)[];
		/** Jobs, and runs by their first job, that are not given, because somebody has written that they are running already. */
		readonly passedOver?: readonly JobId[];
	};
	/** Jobs of the demanded tasks that could have been dequeued and were not. */
	readonly backlog: number;
	/** When the next waiting job becomes due, in milliseconds since 1970; `null` if none waits. */
	readonly nextRunAt: number | null;
}

/** The job's new status; `withdrawn` if it is gone with this execution; `lost` if the claim was. */
export type Settled = JobStatus | 'withdrawn' | 'lost';

export interface Enqueued {
	readonly id: JobId;
	/** The key was there already, with the same payload or one that {@link NewJob.rerun} let be replaced: this is that job. */
	readonly existing: boolean;
	/** The key was there already, with another payload: this is that job, and nothing was enqueued. */
	readonly conflict: boolean;
}

/** What a dispatcher can take. */
export interface Demand {
	readonly owner: OwnerId;
	readonly tasks: readonly TaskDemand[];
	/** The most jobs in all. */
	readonly limit: number;
	/** Stops after the job with which the payloads together reach this; always gives one. */
	readonly maxBytes: number;
}

/** The most jobs of a task that a dispatcher can take. */
export interface TaskDemand {
	readonly task: string;
	readonly limit: number;
	/** Jobs that are suspected of killing their process, no more than may run together; without it, only others. */
	readonly suspects?: boolean;
	/** The most jobs of the task that may be running at the same time, in all processes together. */
	readonly concurrency?: number;
}

/** What a dispatcher takes that makes no difference between suspects and others. */
export function demandOf(tasks: readonly string[], limit: number): TaskDemand[] {
	return tasks.flatMap(task => [
		{task, limit},
		{task, limit, suspects: true},
	]);
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

export interface OutstandingOptions {
	/** Count jobs that wait for their time; default true. */
	readonly waiting?: boolean;
}

/** Where {@link JobQueue.move} takes jobs; what is discarded is deleted. */
export type MoveTarget = 'cancelled' | 'pending' | 'discarded';

/** Which part of the filter's jobs {@link JobQueue.move} takes. */
export interface MovePage extends Page {
	/** The most jobs in it, default 1,000. */
	readonly limit?: number;
	/** Only jobs up to this id. Default: those that are there now, so that the pages come to an end though more jobs arrive. */
	readonly upTo?: JobId;
	/** When jobs are discarded: stop running executions, too. Default false. */
	readonly stop?: boolean;
}

/** What became of a page. */
export interface Moved {
	/** Jobs that were moved. */
	readonly ids: readonly JobId[];
	/** Running jobs: their owners were asked. */
	readonly asked: readonly JobId[];
	/** The next page; `null` if there is none. */
	readonly next: MovePage | null;
}

/** The statuses of the filter's jobs that `move` takes. */
export function movedTo(to: MoveTarget, {status, ids}: JobFilter): readonly JobStatus[] {
	const named = status === undefined ? undefined : [status].flat();
	const isCompletedMeant = named?.includes('completed') ?? ids !== undefined;
	const movable = to !== 'pending' ? UNENDED : isCompletedMeant ? [...RETRIED_BY_DEFAULT, 'completed' as const] : RETRIED_BY_DEFAULT;
	return named ? movable.filter(each => named.includes(each)) : movable;
}

const UNENDED: readonly JobStatus[] = ['pending', 'running', 'failed'];

/** Ids of a filter that one call of `move` is given: each page looks through all of them. */
const IDS_AT_ONCE = 1000;

/** One of the pages in which all jobs of a filter are moved. */
export interface MovedPage extends Omit<Moved, 'next'> {
	readonly isLast: boolean;
}

/** Moves all jobs of the filter, and gives each page when it is done: what is asked of the queue between two pages waits for one page at most. */
export async function* pagesOfMove(
	queue: Pick<JobQueue, 'move'>,
	filter: JobFilter,
	to: MoveTarget,
	options: Pick<MovePage, 'stop'> = {},
): AsyncGenerator<MovedPage, void, undefined> {
	const parts = partsOf(filter);
	for (const [index, part] of parts.entries()) {
		for (let page: MovePage | null = options; page; ) {
			const {next, ...moved}: Moved = await queue.move(part, to, page);
			yield {...moved, isLast: next === null && index === parts.length - 1};
			page = next;
		}
	}
}

/** A filter with many ids as several, the highest ids first: jobs run in order of arrival, and those that were about to run would be gone before their page. */
function partsOf(filter: JobFilter): JobFilter[] {
	const ids = filter.ids && Float64Array.from(new Set(filter.ids)).sort();
	if (!ids || ids.length <= IDS_AT_ONCE) return [filter];
	const parts = Math.ceil(ids.length / IDS_AT_ONCE);
	return Array.from({length: parts}, (_, part) => ({...filter, ids: [...ids.subarray(part * IDS_AT_ONCE, (part + 1) * IDS_AT_ONCE)]})).reverse();
}

async function moveAll(queue: JobQueue, filter: JobFilter, to: MoveTarget, options?: Pick<MovePage, 'stop'>): Promise<Omit<Moved, 'next'>> {
	const all: {readonly ids: JobId[]; readonly asked: JobId[]} = {ids: [], asked: []};
	for await (const {ids, asked} of pagesOfMove(queue, filter, to, options)) {
		all.ids.push(...ids);
		all.asked.push(...asked);
	}
	return all;
}

/** A new {@link Mark} is made when a job ends this long after the last one; with two kept, a rate is of the last 10 seconds at least. */
export const MARK_EVERY_MS = 10_000;

/** What `openBatch` throws. */
export function batchConflict(name: string, own: string, task: string): FaenaError {
	return new FaenaError('BatchConflict', `The batch ${JSON.stringify(name)} belongs to the task ${own}, not to ${task}. Give this batch another name.`);
}

/** What `openBatch` throws. */
export function batchInUse(name: string): FaenaError {
	return new FaenaError(
		'BatchInUse',
		`The batch ${JSON.stringify(name)} has a map under way already, in this program or another one, and a batch has one map at a time. Wait until that map's loop has ended, or give this map another batch name.`,
	);
}

/** What `deleteBatch` throws. */
export function batchRunning(name: string, running: number): FaenaError {
	const jobs = running === 1 ? 'One job' : `${running} jobs`;
	return new FaenaError(
		'BatchRunning',
		`${jobs} of the batch ${JSON.stringify(name)} can't be deleted while running; cancel the batch, or wait, and delete it then.`,
	);
}

/** The payload of a batch's `onComplete` job. */
export function toCompletionJob({task, priority, policy}: Pick<NewJob, 'task' | 'priority' | 'policy'>, completed: CompletedBatch): NewJob {
	return {task, priority, policy, runAt: null, payload: JSON.stringify(completed)};
}

/**
 * What `turn` throws under `rejectConflicts`.
 * @param advice what to do about another payload
 */
export function keyConflict(
	{task, key, rerun}: Pick<NewJob, 'task' | 'key' | 'rerun'>,
	id: JobId,
	advice = 'Give another payload another key; or delete that job first, once it has ended, with cleanup().',
): FaenaError {
	const what = `The key ${JSON.stringify(key)} of task ${task} belongs to job ${id}, which`;
	if (rerun?.changed) return new FaenaError('KeyConflict', `${what} is running with another payload. Wait for its end, or cancel it, before you change it.`);
	return new FaenaError('KeyConflict', `${what} has another payload. ${advice}`);
}

/** What a job fails with that enqueues one whose key names another payload: of this job, or of one it enqueues itself. */
export function enqueueFailure({task, key}: ChildJob, holder: JobId | undefined): FailureRecord {
	const who = holder === undefined ? 'another job that it enqueues' : `job ${holder}`;
	const message = `The key ${JSON.stringify(key)} of task ${task}, which this job enqueues, belongs to ${who}, which has another payload.`;
	return {reason: 'threw', name: 'FaenaError', message, code: 'KeyConflict'};
}

/** Statuses that a new round is opened for when the filter names none: everything that did not work out. */
export const RETRIED_BY_DEFAULT: readonly JobStatus[] = ['failed', 'dead', 'cancelled'];
