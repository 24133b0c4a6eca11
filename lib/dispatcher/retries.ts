import type {JobEvent} from '../job/events.ts';
import {toFailure} from '../job/failure.ts';
import type {Clock} from '../support/clock.ts';
import {type ErrorCode, FaenaError} from '../support/errors.ts';

export type Retries = Readonly<ReturnType<typeof makeRetries>>;

export function makeRetries(...options: ConstructorParameters<typeof RetryState>) {
	const make = () => new RetryState(...options);
	return {commit: make(), maintenance: make(), lookUps: make(), batches: make(), idle: make(), retention: make(), schedules: make(), listening: make()};
}

/** After more failures in a row another try is hopeless. With waits that grow to a second, this takes about a minute. */
const MAX_FAILURES = 60;
const MAX_WAIT_MS = 1000;
/** How long after the deadline tries are still allowed. */
const MAX_OVERTIME_MS = 500;

/** Errors that no further try can mend. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['BadDatabase', 'NewerDatabase', 'QueueMoved', 'Closed']);

/** Counts consecutive failures of an activity, reports them, and decides when to try it again. */
export class RetryState {
	count = 0;
	readonly #clock: Pick<Clock, 'steadyMs'>;
	readonly #deadline: () => number;
	readonly #report: (event: JobEvent) => void;
	#retryAt = 0;
	#failingSince = 0;
	/** Those of the last tries in a row that a person may not be able to mend. */
	#hopeless = 0;

	/** @param deadline by the steady clock. Until then, a full disk or a server that is away is tried any number of times, since a person can fix it */
	constructor(clock: Pick<Clock, 'steadyMs'>, deadline: () => number = () => Infinity, report: (event: JobEvent) => void = () => undefined) {
		this.#clock = clock;
		this.#deadline = deadline;
		this.#report = report;
	}

	/** How long until the next try; 0 if it may come at once. */
	get waitMs(): number {
		return this.count === 0 ? 0 : Math.max(0, this.#retryAt - this.#clock.steadyMs());
	}

	/** How long the tries have failed; 0 if the last one succeeded. */
	get failingMs(): number {
		return this.count === 0 ? 0 : this.#clock.steadyMs() - this.#failingSince;
	}

	/** Adds a failure, and returns how long to wait. Throws the error itself if another try is hopeless. */
	add(error: unknown): number {
		const code = error instanceof FaenaError ? error.code : undefined;
		if (code !== undefined && FINAL.has(code)) throw error;
		if (this.count++ === 0) this.#failingSince = this.#clock.steadyMs();
		// A damaged row may stay for ever. So it is tried for ever, and reported once.
		const isRefused = isRefusal(error);
		const isLate = this.#clock.steadyMs() > this.#deadline() + MAX_OVERTIME_MS;
		const mayPass = code === 'StorageFull' || code === 'Unreachable';
		this.#hopeless = mayPass ? 0 : this.#hopeless + 1;
		if (!isRefused && (isLate || this.#hopeless > MAX_FAILURES)) throw error;
		const waitMs = Math.min(MAX_WAIT_MS, 10 * 2 ** this.count);
		this.#retryAt = this.#clock.steadyMs() + waitMs;
		if (!isRefused || this.count === 1) this.#report({type: 'setBack', setbacks: this.count, waitMs, error: toFailure(error)});
		return waitMs;
	}

	clear(): void {
		this.count = 0;
		this.#hopeless = 0;
	}

	/** Does the work. If it fails, the caller does it again once {@link waitMs} is 0. */
	async attempt(work: () => Promise<unknown>): Promise<void> {
		try {
			await work();
			this.clear();
		} catch (error) {
			this.add(error);
		}
	}
}

/** True if the store refused a value or a row: every retry would fail, too. After any other error, such as a lock, a retry may succeed. */
export function isRefusal(error: unknown): error is FaenaError {
	return error instanceof FaenaError && (error.code === 'BadRow' || error.code === 'TooLarge');
}
