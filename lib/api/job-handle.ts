import {abortSignal, checked, duration} from '../job/checks.ts';
import {decode} from '../job/encoding.ts';
import {fromFailure} from '../job/failure.ts';
import type {Job, JobId} from '../job/job.ts';
import {startTimer} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import type {DispatcherClient} from '../transport/client.ts';
import type {Notice} from '../transport/messages.ts';

/** How a job ended, as a value. */
export type JobOutcome<Result = unknown> =
	| {readonly status: 'completed'; readonly value: Result}
	/** `error` is the task's own error, or says that it timed out or lost its worker. */
	| {readonly status: 'dead'; readonly error: Error}
	| {readonly status: 'cancelled'; readonly error: Error};

export interface WaitOptions {
	/** Ends the wait, not the job; `result()` and `outcome()` then reject with the signal's reason. */
	readonly signal?: AbortSignal;
	/** Ends the wait, not the job, after this time, with `WaitTimeout`. */
	readonly timeout?: number | string;
}

/** A job in the queue. Its end may be awaited any number of times, also by another program. */
export class JobHandle<Result = unknown> {
	readonly id: JobId;
	readonly task: string;
	/** The key was there already: this is that job. */
	readonly existing: boolean;
	readonly #client: DispatcherClient;

	constructor(client: DispatcherClient, id: JobId, task: string, existing: boolean) {
		this.id = id;
		this.task = task;
		this.existing = existing;
		this.#client = client;
	}

	/**
	 * Resolves with what the task returned.
	 * @throws FaenaError `JobFailed` with the task's error as `cause`; `JobCancelled`; `WaitTimeout`
	 */
	async result(options?: WaitOptions): Promise<Result> {
		return toResult(this.id, this.task, await this.outcome(options));
	}

	/** Resolves with how the job ended, whatever that is. Rejects only if the wait itself ends, or there is no such job. */
	async outcome(options?: WaitOptions): Promise<JobOutcome<Result>> {
		const waitOptions = checkWaitOptions(options);
		const watched = this.#client.call({type: 'watch', ids: [this.id]});
		return toOutcome(await waitForEnd(this.#client, this.id, waitOptions, watched)) as JobOutcome<Result>;
	}

	/** What is known of the job now; `undefined` once it was cleaned up. */
	async info(): Promise<Job | undefined> {
		return this.#client.verb('job', this.id);
	}
}

/**
 * Registers at once for the end of a job that the dispatcher watches, or is about to be told to.
 * @param watched the call that told it; should that fail, nobody would hear of a job that had ended before
 */
export function waitForEnd(
	client: DispatcherClient,
	id: JobId,
	{signal, timeout}: {signal?: AbortSignal; timeout?: number},
	watched?: Promise<unknown>,
): Promise<Notice> {
	return new Promise((resolve, reject) => {
		let stopTimer: (() => void) | undefined;
		const forget = () => {
			stopTimer?.();
			signal?.removeEventListener('abort', onAbort);
		};
		const watcher = (end: Notice | FaenaError) => {
			forget();
			if (end instanceof FaenaError) reject(end);
			else resolve(end);
		};
		const giveUp = (reason: unknown) => {
			forget();
			client.unwatch(id, watcher);
			reject(reason);
		};
		const onAbort = () => giveUp(signal?.reason);
		client.watch(id, watcher);
		watched?.catch(giveUp);
		if (signal?.aborted) return onAbort();
		signal?.addEventListener('abort', onAbort);
		if (timeout === undefined) return;
		const endWait = () => giveUp(new FaenaError('WaitTimeout', `Job ${id} had not ended after ${timeout / 1000} s. It goes on.`));
		stopTimer = startTimer(timeout, endWait, {keepsAlive: true});
	});
}

export function toOutcome({id, status, value, error}: Notice): JobOutcome {
	if (status === 'missing') throw new FaenaError('NoSuchJob', `There is no job ${id}; it may have been cleaned up.`);
	if (status === 'completed') return {status, value: decode(value)};
	return {status, error: error ? fromFailure(error) : new FaenaError('JobCancelled', `Job ${id} was cancelled before it ran.`)};
}

export function toResult<Result>(id: JobId, task: string, outcome: JobOutcome<Result>): Result {
	if (outcome.status === 'completed') return outcome.value;
	const {error} = outcome;
	if (outcome.status === 'cancelled') throw new FaenaError('JobCancelled', `Job ${id} (${task}) was cancelled.`, {cause: error});
	throw new FaenaError('JobFailed', `Job ${id} (${task}) failed: ${error.message}`, {cause: error});
}

function checkWaitOptions(options: WaitOptions | undefined): {signal?: AbortSignal; timeout?: number} {
	return checked('result()', options, {timeout: duration, signal: abortSignal});
}
