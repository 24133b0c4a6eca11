import {decode} from '../job/encoding.ts';
import {fromFailure, type JobError} from '../job/failure.ts';
import type {Job, JobId} from '../job/job.ts';
import type {JobBuilder} from '../job/new-job.ts';
import {type JobChanges, toEdit} from '../job/new-job.ts';
import {noSuchJob} from '../store/conflict-errors.ts';
import {FaenaError} from '../support/errors.ts';
import {atCaller} from '../support/stack.ts';
import type {DispatcherClient} from '../transport/client.ts';
import type {Notice} from '../transport/messages.ts';
import {findJob, infoOf, type JobInfo} from './job-info.ts';
import {checkWait, type WaitOptions, waitForEnd} from './wait.ts';

/** How a job ended, as a value. @example const outcome: JobOutcome<number> = await faena.job<'size'>(17).outcome(); */
export type JobOutcome<Result = unknown> =
	| {
			/** How it ended. */
			readonly status: 'completed';
			/** What the task returned. */
			readonly result: Result;
			/** Made from results which are no longer the last ones, as {@link Job.stale} says. */
			readonly stale?: Job['stale'];
	  }
	| {
			readonly status: 'dead';
			/** The task's own error; or why the job timed out, lost its worker or was cancelled. */
			readonly error: JobError;
	  }
	| {readonly status: 'cancelled'; readonly error: JobError};

/** A job in the queue, of this program or another. Its end can be awaited any number of times.
 * @example const job: JobHandle<number> = await faena.enqueue('size', 'a.png'); */
export class JobHandle<Result = unknown, Payload = unknown> {
	/** The job's id. With it another program gets this handle: `faena.job(id)`. */
	readonly id: JobId;
	/** True if the job existed before: it was named by its id, or its key existed when it was enqueued. */
	readonly reused: boolean;
	readonly #client: DispatcherClient;
	readonly #builder: JobBuilder;
	readonly #task: string | undefined;

	/** @internal Use `engine.enqueue` or `engine.job`. */
	constructor(client: DispatcherClient, builder: JobBuilder, id: JobId, {reused, task}: {readonly reused: boolean; readonly task?: string}) {
		this.id = id;
		this.reused = reused;
		this.#client = client;
		this.#builder = builder;
		this.#task = task;
	}

	/** @internal Tells queues apart. */
	get queue(): JobBuilder['queue'] {
		return this.#builder.queue;
	}

	/**
	 * Resolves with the task's result.
	 * @throws FaenaError `JobFailed` with the task's error as `cause`; `JobCancelled`; `WaitTimeout`; `NoSuchJob`
	 * @example const pages = await faena.job<'countPages'>(17).result({timeout: '10s'});
	 */
	async result(options?: WaitOptions): Promise<Result> {
		return toResult(await this.#end('result()', options), this.#task) as Result;
	}

	/** Resolves with how the job ended. Rejects only if the wait itself ends, or no such job exists. */
	async outcome(options?: WaitOptions): Promise<JobOutcome<Result>> {
		return toOutcome(await this.#end('outcome()', options)) as JobOutcome<Result>;
	}

	#end(where: string, options: WaitOptions | undefined): Promise<Notice> {
		const wait = checkWait(where, options);
		return waitForEnd(this.#client, this.id, wait, this.#client.call({type: 'watch', ids: [this.id]}));
	}

	/** The job as it is now, with its payload, result, checkpoint, log and history; `undefined` if there is no such job any more. */
	async info(): Promise<JobInfo<Payload, Result> | undefined> {
		return (await infoOf(this.#client, this.id)) as JobInfo<Payload, Result> | undefined;
	}

	/**
	 * Cancels the job. If it runs, it is asked to stop, and is stopped if it does not.
	 * @returns false if it had ended
	 * @throws FaenaError `NoSuchJob`, `Closed`, `StorageFull`
	 */
	async cancel(): Promise<boolean> {
		const {cancelled, asked} = await this.#client.verb('cancel', {ids: [this.id]});
		return this.#isDone(cancelled.length + asked.length);
	}

	/**
	 * Opens a new round for the job, if it has failed or ended. A completed job loses its result.
	 * @returns false if it is blocked, pending or running; if another job has taken its key; or if a job for which it waited was deleted
	 * @throws FaenaError `NoSuchJob`, `Closed`, `StorageFull`
	 */
	async retry(): Promise<boolean> {
		return this.#isDone(await this.#client.verb('retry', {ids: [this.id]}));
	}

	/**
	 * Deletes the job, if it has ended.
	 * @returns false if it has not, or belongs to an open batch: it is kept
	 * @throws FaenaError `NoSuchJob`, `Closed`, `StorageFull`
	 */
	async delete(): Promise<boolean> {
		return this.#isDone((await this.#client.verb('delete', {ids: [this.id]}, {})).deleted);
	}

	/**
	 * Changes the job if it is pending, or has failed and waits for its next attempt: its payload, priority or time. What is left out stays as it is.
	 * With another payload its checkpoint is deleted.
	 * @returns false if it runs or has ended, and was left as it is
	 * @throws FaenaError `NoSuchJob`, `BadOption`, `NotEncodable`, `TooLarge`, `Closed`, `StorageFull`, `OutcomeUnknown`
	 * @example if (!(await job.edit({priority: 9, delay: 0}))) console.log('It has begun already.');
	 */
	async edit(changes: JobChanges<Payload>): Promise<boolean> {
		return this.#client.verb('edit', this.id, toEdit(this.#builder, changes));
	}

	/** What a verb returns that has changed so many jobs. */
	async #isDone(jobs: number): Promise<boolean> {
		if (jobs === 0 && (await findJob(this.#client, this.id)) === undefined) throw noSuchJob(this.id);
		return jobs > 0;
	}
}

export function toOutcome({id, status, result, error, stale}: Notice): JobOutcome {
	if (status === 'missing') throw noSuchJob(id);
	if (status === 'completed') return {status, result: decode(result), ...(stale && {stale})};
	return {status, error: fromFailure(error ?? {reason: 'cancelled', name: 'Cancelled', message: `Job ${id} was cancelled before it ran.`})};
}

/** @param task of the job, if it is known */
export function toResult(end: Notice, task?: string): unknown {
	const outcome = toOutcome(end);
	if (outcome.status === 'completed') return outcome.result;
	const {status, error} = outcome;
	const job = `Job ${end.id}${task === undefined ? '' : ` (${task})`}`;
	if (status === 'cancelled') throw atCaller(new FaenaError('JobCancelled', `${job} was cancelled.`, {cause: error}));
	throw atCaller(new FaenaError('JobFailed', `${job} failed: ${error.message}`, {cause: error}));
}
