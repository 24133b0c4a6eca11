import {argument, type Duration, duration, MAX_DURATION_MS} from '../checks.ts';

/** Whether and when a job is tried again after an execution that threw: `never`, which makes it dead; or after a time in milliseconds. */
export type RetryDecision = 'never' | {readonly afterMs: number};

/**
 * The property in which an error carries its decision. A symbol of all programs, instead of `instanceof`: a bundle of the tasks may hold a
 * copy of these classes.
 */
export const DECISION = Symbol.for('faena.retry');

/**
 * Thrown by a task whose job can't succeed, however often it is tried: the job is dead at once, whatever its `maxAttempts`. `retry()` still
 * opens a new round.
 * @example throw new PermanentError(`${file} is not a picture`, {cause: error});
 */
export class PermanentError extends Error {
	static {
		PermanentError.prototype.name = 'PermanentError';
	}

	/** @internal What the store does with the job. */
	get [DECISION](): RetryDecision {
		return 'never';
	}
}

/**
 * Thrown by a task that knows when its next attempt makes sense: the job is tried again after this time instead of its `backoff`. That costs
 * no attempt, `maxDelays` times in a round; then it is charged as any error. A job with `retry: 'manual'` waits for `retry()` as after any error.
 * @example throw new RetryAfter('10m', 'the service is down for maintenance');
 */
export class RetryAfter extends Error {
	/** The wait, in milliseconds. */
	readonly waitMs: number;

	static {
		RetryAfter.prototype.name = 'RetryAfter';
	}

	/** @throws FaenaError `BadOption` if `wait` is no duration */
	constructor(wait: Duration, message = `The task asked to be tried again in ${typeof wait === 'number' ? `${wait} ms` : wait}.`, options?: ErrorOptions) {
		super(message, options);
		this.waitMs = argument('RetryAfter', 'its wait', wait, duration);
	}

	/** @internal What the store does with the job. */
	get [DECISION](): RetryDecision {
		return {afterMs: this.waitMs};
	}
}

/** The decision, if it is a valid one. The value comes from a task or from a database, and may be anything. */
export function toDecision(value: unknown): RetryDecision | undefined {
	try {
		const {afterMs} = value as {readonly afterMs?: unknown};
		if (value === 'never') return value;
		return Number.isSafeInteger(afterMs) && (afterMs as number) >= 0 && (afterMs as number) <= MAX_DURATION_MS ? {afterMs: afterMs as number} : undefined;
	} catch {
		return undefined;
	}
}
