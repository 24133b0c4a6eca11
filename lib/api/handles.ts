import type {Batch, DeleteResult} from '../job/batch.ts';
import {abortSignal, checked, type Duration, duration} from '../job/checks.ts';
import type {ExecutionRecord} from '../job/claim.ts';
import {decode} from '../job/encoding.ts';
import {fromFailure} from '../job/failure.ts';
import {listRanges} from '../job/groups/group.ts';
import type {EditResult, Job, JobId, JobStatus, LogLine, Staleness} from '../job/job.ts';
import type {JobBuilder} from '../job/new-job.ts';
import {pages} from '../job/search.ts';
import type {StoredJob, Wanted} from '../store/found-jobs.ts';
import {startTimer} from '../support/clock.ts';
import {defined} from '../support/defined.ts';
import {FaenaError} from '../support/errors.ts';
import {atCaller} from '../support/stack.ts';
import type {DispatcherClient} from '../transport/client.ts';
import type {Notice} from '../transport/messages.ts';
import {editJob, type JobChanges} from './edit.ts';

/** How a job ended, as a value. */
export type JobOutcome<Result = unknown> =
	/** `stale`: made from results which are no longer the last ones, as {@link Job.stale} says. */
	| {readonly status: 'completed'; readonly result: Result; readonly stale?: Staleness}
	/** `error` is the task's own error, or tells that the job timed out or lost its worker. */
	| {readonly status: 'dead'; readonly error: Error}
	| {readonly status: 'cancelled'; readonly error: Error};

/** Options of a wait for a job's end. They end the wait, not the job. */
export interface WaitOptions {
	/** When it aborts, `result()` and `outcome()` reject with the signal's reason. */
	readonly signal?: AbortSignal;
	/** After this time, in milliseconds or as a text such as `'30s'`, they reject with `WaitTimeout`. Default: none. */
	readonly timeout?: Duration;
}

/** A job in the queue. Its end can be awaited any number of times, also in another program. */
export class JobHandle<Result = unknown, Payload = unknown> {
	/** The job's id. With it another program gets this handle: `handle(task, id)`. */
	readonly id: JobId;
	/** The name of its task. */
	readonly task: string;
	/** True if the job's key existed when it was enqueued: this is the existing job. */
	readonly reused: boolean;
	readonly #client: DispatcherClient;
	readonly #builder: JobBuilder;

	/** @internal Tells queues apart. */
	get queue(): JobBuilder['queue'] {
		return this.#builder.queue;
	}

	constructor(client: DispatcherClient, builder: JobBuilder, id: JobId, task: string, reused: boolean) {
		this.id = id;
		this.task = task;
		this.reused = reused;
		this.#client = client;
		this.#builder = builder;
	}

	/**
	 * Resolves with the task's result.
	 * @throws FaenaError `JobFailed` with the task's error as `cause`; `JobCancelled`; `WaitTimeout`; `NoSuchJob`
	 */
	async result(options?: WaitOptions): Promise<Result> {
		return toResult(this.id, this.task, await this.outcome(options));
	}

	/** Resolves with how the job ended. Rejects only if the wait itself ends, or no such job exists. */
	async outcome(options?: WaitOptions): Promise<JobOutcome<Result>> {
		const wait = checked('result()', options, {timeout: duration, signal: abortSignal});
		const watched = this.#client.call({type: 'watch', ids: [this.id]});
		return toOutcome(await waitForEnd(this.#client, this.id, wait, watched)) as JobOutcome<Result>;
	}

	/**
	 * Changes the job if it is pending, or has failed and waits for its next attempt: its payload, priority or time.
	 * @returns `edited`; otherwise the job was left as it is, and this says why: its status, or `missing`
	 * @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge`, `Closed`, `StorageFull`, `OutcomeUnknown`
	 * @example if ((await job.edit({priority: 9, delay: 0})) === 'running') console.log('It has begun already.');
	 */
	async edit(changes: JobChanges<Payload>): Promise<EditResult> {
		return editJob(this.#client, this.#builder, this.id, changes);
	}

	/** The job as it is now; `undefined` once it was cleaned up. */
	async info(): Promise<Job | undefined> {
		return this.#client.verb('job', this.id);
	}
}

/**
 * Waits for the end of a job. It registers at once, since the notice may come next.
 * @param options {@link WaitOptions}, checked: the time in milliseconds
 * @param watched the call that tells the dispatcher to watch the job. If it fails, the wait ends with its error: no notice may come
 */
export function waitForEnd(
	client: DispatcherClient,
	id: JobId,
	{signal, timeout = Infinity}: {readonly signal?: AbortSignal; readonly timeout?: number},
	watched?: Promise<unknown>,
): Promise<Notice> {
	return new Promise((resolve, reject) => {
		const watcher = (end: Notice | FaenaError) => {
			stop();
			if ('status' in end) resolve(end);
			else reject(end);
		};
		const giveUp = (reason: unknown) => {
			stop();
			client.unwatch(id, watcher);
			reject(reason);
		};
		const onAbort = () => giveUp(signal?.reason);
		const onTimeout = () =>
			giveUp(new FaenaError('WaitTimeout', `Job ${id} had not ended after ${timeout / 1000} s. It goes on, and you can wait for it again.`));
		const stopTimer = timeout === Infinity ? undefined : startTimer(timeout, onTimeout, {keepsAlive: true});
		const stop = () => {
			stopTimer?.();
			signal?.removeEventListener('abort', onAbort);
		};
		signal?.addEventListener('abort', onAbort);
		client.watch(id, watcher);
		watched?.catch(giveUp);
		if (signal?.aborted) onAbort();
	});
}

export function toOutcome({id, status, result, error, stale}: Notice): JobOutcome {
	if (status === 'missing') throw new FaenaError('NoSuchJob', `There is no job ${id}; it may have been cleaned up.`);
	if (status === 'completed') return {status, result: decode(result), ...(stale && {stale})};
	return {status, error: error ? fromFailure(error) : new FaenaError('JobCancelled', `Job ${id} was cancelled before it ran.`)};
}

export function toResult<Result>(id: JobId, task: string, outcome: JobOutcome<Result>): Result {
	if (outcome.status === 'completed') return outcome.result;
	const {error} = outcome;
	if (outcome.status === 'cancelled') throw atCaller(new FaenaError('JobCancelled', `Job ${id} (${task}) was cancelled.`, {cause: error}));
	throw atCaller(new FaenaError('JobFailed', `Job ${id} (${task}) failed: ${error.message}`, {cause: error}));
}

/** A job with its values, which `engine.job()` returns. */
export interface JobDetails<Payload = unknown, Result = unknown> extends Omit<Job, 'error'> {
	/** The payload, decoded. */
	readonly payload: Payload;
	/** The result of a completed job. */
	readonly result?: Result;
	/** The state of `ctx.checkpoint(state)` from which its next execution goes on, which execution kept it, and when, in milliseconds since 1970. */
	readonly checkpoint?: {readonly execution: number; readonly at: number; readonly state: unknown};
	/** Why the last execution failed, or why the job ended as dead or cancelled. */
	readonly error?: Error;
	/** The jobs for which it has waited, in the order of `dependsOn`. */
	readonly parents: readonly JobId[];
	/** The jobs that have waited for it, or wait. */
	readonly children: readonly JobId[];
	/** The last log lines, at most 200. */
	readonly logs: readonly LogLine[];
	/** Its executions that have ended, in order, also those of earlier rounds: at most the first ten and the last ten. */
	readonly history: readonly PastExecution[];
}

/** One execution of a job that has ended. Times are milliseconds since 1970. A field is absent if it is not known. */
export interface PastExecution extends Omit<ExecutionRecord, 'error'> {
	/** Why it failed, or was cancelled. */
	readonly error?: Error;
}

export async function detailsOf(client: DispatcherClient, id: JobId): Promise<JobDetails | undefined> {
	const {jobs} = await client.verb('jobs', {ids: [id]}, {limit: 1}, {values: true, logs: true, history: true, edges: true});
	const [job] = jobs as readonly Required<StoredJob>[];
	if (!job) return undefined;
	const {error, values, logs, history, edges, ...rest} = job;
	const {result, checkpoint} = values;
	return {
		...rest,
		payload: await payloadOf(client, job),
		parents: listRanges(edges.parents),
		children: listRanges(edges.children),
		...(result !== undefined && {result: decode(result)}),
		...defined({checkpoint: checkpoint && {...checkpoint, state: decode(checkpoint.state)}, error: error && fromFailure(error)}),
		logs,
		history: history.map(({error, ...execution}) => ({...execution, ...(error && {error: fromFailure(error)})})),
	};
}

/**
 * The payload of a job, decoded. One that is made of results of other jobs is made of those that they have now.
 * @param job with its values and edges
 */
export async function payloadOf(client: DispatcherClient, {values, edges}: StoredJob): Promise<unknown> {
	const payload = values?.payload ?? null;
	let isMade = false;
	const plain = decode(payload, () => {
		isMade = true;
	});
	if (!isMade) return plain;
	const ids = listRanges(edges?.parents ?? []);
	const results = new Map<JobId, unknown>();
	for await (const parent of readJobs(client, {ids}, {values: true}))
		if (parent.status === 'completed') results.set(parent.id, decode(parent.values?.result ?? null));
	return decode(payload, (index, count, onlyCompleted) => {
		if (count === null) return results.get(ids[index] as JobId);
		const named = ids.slice(index, index + count);
		return (onlyCompleted ? named.filter(id => results.has(id)) : named).map(id => results.get(id));
	});
}

/** Jobs that are read together. */
const MAX_READ_JOBS = 1000;

/** Those of the jobs that there are, with what is wanted of them. */
export async function* readJobs(
	client: DispatcherClient,
	{ids, ...search}: {readonly ids: readonly JobId[]; readonly status?: readonly JobStatus[]},
	want: Partial<Record<keyof Wanted, true>>,
): AsyncGenerator<StoredJob, void, undefined> {
	for (let start = 0; start < ids.length; start += MAX_READ_JOBS) {
		const part = {...search, ids: ids.slice(start, start + MAX_READ_JOBS)};
		for await (const {jobs} of pages(after => client.verb('jobs', part, {after, limit: MAX_READ_JOBS}, want))) yield* jobs;
	}
}

/** The state of a batch. Times are milliseconds since 1970. A field is absent if its event has not happened, or it is not known. */
export interface BatchInfo extends Omit<Batch, 'id' | 'marks' | 'flow'> {
	/** What made its jobs: a named map, a flow, or a named pipe. */
	readonly kind: 'map' | 'flow' | 'pipe';
	/** Jobs that ended per second, over the last 10 seconds or more, or since its map last began. Known while jobs of it run. */
	readonly jobsPerSecond?: number;
	/** Milliseconds until it completes at this rate. Known once its input has ended. */
	readonly remainingMs?: number;
}

/** A batch of the queue: a named map or pipe, or a flow, of this program or another. */
export class BatchHandle {
	/** The name of the batch. */
	readonly name: string;
	readonly #client: DispatcherClient;

	/** @internal Use `engine.batch`. */
	constructor(client: DispatcherClient, name: string) {
		this.#client = client;
		this.name = name;
	}

	/** Its state now; `undefined` if no batch has this name. */
	async info(): Promise<BatchInfo | undefined> {
		const batch = await this.#client.verb('batch', this.name);
		return batch && toBatchInfo(batch, await this.#client.verb('now'));
	}

	/**
	 * Cancels its jobs that have not ended. A map of it that is under way, or a flow that is being enqueued, goes on enqueuing. Returns the number of
	 * jobs, running ones included.
	 */
	async cancel(): Promise<number> {
		const {cancelled, asked} = await this.#client.verb('cancel', {batch: this.name});
		return cancelled.length + asked.length;
	}

	/** Opens a new round for its failed, dead and cancelled jobs. Returns their number. */
	async retryFailed(): Promise<number> {
		return this.#client.verb('retry', {batch: this.name});
	}

	/**
	 * Deletes the batch with all its jobs, ended or not, in bounded steps. Returns the number of jobs. A map of it that is under
	 * way ends with `NoSuchJob` or `NoSuchBatch`; if it waits for its input, within about a second.
	 * @throws FaenaError `BatchRunning` if one of its jobs is running. Jobs that were deleted before stay deleted
	 */
	async delete(): Promise<number> {
		return deleteWholly(() => this.#client.verb('deleteBatch', this.name));
	}
}

/** Deletes a batch step by step. Returns the number of its jobs. */
export async function deleteWholly(deleteSome: () => Promise<DeleteResult>): Promise<number> {
	for (let jobs = 0; ; ) {
		const {deleted, isGone} = await deleteSome();
		jobs += deleted;
		if (isGone) return jobs;
	}
}

export function toBatchInfo({id: _, marks, flow, run: __, ...own}: Batch, now: number): BatchInfo {
	const batch: BatchInfo = {...own, kind: own.stages ? 'pipe' : flow ? 'flow' : 'map'};
	const {blocked, pending, running, failed, completed, dead, cancelled} = batch.counts;
	const [oldest] = marks;
	if (!oldest || batch.completedAt !== undefined || running === 0 || now <= oldest.at) return batch;
	// The number of ended jobs falls when jobs are retried or cleaned up.
	const jobsPerSecond = (1000 * Math.max(0, completed + dead + cancelled - oldest.ended)) / (now - oldest.at);
	const hasEstimate = batch.total !== undefined && jobsPerSecond > 0;
	return {...batch, jobsPerSecond, ...(hasEstimate && {remainingMs: (1000 * (blocked + pending + running + failed)) / jobsPerSecond})};
}
