import type {JobEvent} from '../job/events.ts';
import {toFailure} from '../job/failure.ts';
import type {Clock} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';

/** Activities of the loop that fail independently. */
const ACTIVITIES = ['commit', 'maintenance', 'idle', 'batches', 'listening'] as const;
export type Activity = (typeof ACTIVITIES)[number];

/** The retry state of each activity. It reports failures, and decides when to try again. */
export class Retries {
	readonly #states: Readonly<Record<Activity, RetryState>>;
	readonly #publish: (event: JobEvent) => void;
	/** When the time to drain is over, by the steady clock. */
	deadline = Infinity;

	constructor(clock: Pick<Clock, 'steadyMs'>, publish: (event: JobEvent) => void) {
		this.#states = Object.fromEntries(ACTIVITIES.map(activity => [activity, new RetryState(clock)])) as Record<Activity, RetryState>;
		this.#publish = publish;
	}

	/** Reports a failure, and begins the wait for the next try. Throws the error if another try is hopeless. */
	add(activity: Activity, error: unknown): void {
		const isRefused = isRefusal(error);
		const waitMs = this.#states[activity].add(error, isRefused ? Infinity : this.deadline);
		const {count} = this.#states[activity];
		// A damaged row may stay for ever, so it is reported once.
		if (!isRefused || count === 1) this.#publish({type: 'setBack', setbacks: count, waitMs, error: toFailure(error)});
	}

	clear(activity: Activity): void {
		this.#states[activity].clear();
	}

	/** True if the last try failed. */
	hasFailed(activity: Activity): boolean {
		return this.#states[activity].count > 0;
	}

	/** How long until the next try; 0 if it may come at once. */
	waitMs(activity: Activity): number {
		return this.#states[activity].waitMs;
	}

	/** Does work between commits. A failure is reported, and the caller tries again after a while. */
	async attempt(activity: Activity, work: () => Promise<unknown>): Promise<void> {
		try {
			await work();
			this.clear(activity);
		} catch (error) {
			this.add(activity, error);
		}
	}
}

/** After more failures in a row another try is hopeless. With waits that grow to a second, this takes about a minute. */
const MAX_FAILURES = 60;
const MAX_WAIT_MS = 1000;
/** How long after the deadline tries are still allowed. */
const MAX_OVERTIME_MS = 500;

/** Counts consecutive failures of an activity, and decides when to try it again. */
export class RetryState {
	readonly #clock: Pick<Clock, 'steadyMs'>;
	#count = 0;
	#retryAt = 0;

	constructor(clock: Pick<Clock, 'steadyMs'>) {
		this.#clock = clock;
	}

	get count(): number {
		return this.#count;
	}

	/** How long until the next try; 0 if it may come at once. */
	get waitMs(): number {
		return this.#count === 0 ? 0 : Math.max(0, this.#retryAt - this.#clock.steadyMs());
	}

	/**
	 * Adds a failure.
	 * @param deadline by the steady clock. Until then, a full disk or a damaged row is tried any number of times, since a person can fix it
	 * @returns how long to wait
	 * @throws the error itself, if another try is hopeless
	 */
	add(error: unknown, deadline: number): number {
		const code = error instanceof FaenaError ? error.code : undefined;
		if (code === 'BadDatabase' || code === 'NewerDatabase' || code === 'Closed') throw error;
		this.#count++;
		if (this.#count > MAX_FAILURES && code !== 'StorageFull' && !isRefusal(error)) throw error;
		if (this.#clock.steadyMs() > deadline + MAX_OVERTIME_MS) throw error;
		const waitMs = Math.min(MAX_WAIT_MS, 10 * 2 ** this.#count);
		this.#retryAt = this.#clock.steadyMs() + waitMs;
		return waitMs;
	}

	clear(): void {
		this.#count = 0;
	}
}

/**
 * True if the store refused a write because of a value or a row: it would refuse it again. After any other failure, such as a full
 * disk or a lock, the next try may succeed.
 */
export function isRefusal(error: unknown): error is FaenaError {
	return error instanceof FaenaError && (error.code === 'BadRow' || error.code === 'TooLarge');
}

/** How the parts of a transaction are written. */
interface PartWriter<Part, Result> {
	/** Writes the parts in one transaction, or writes none of them and throws. */
	commit(parts: readonly Part[]): Promise<Result>;
	/** Gets the result of each transaction. If it throws, nothing more is written. */
	committed(parts: readonly Part[], result: Result): Promise<void>;
	/** The parts to write in place of one that the store refuses by itself. An empty list leaves the part out. */
	replace(part: Part, refusal: FaenaError): readonly Part[];
}

/**
 * Writes the parts in order. It splits a group of parts that the store refuses into halves, until each refused part is alone. It writes
 * the replacements of refused parts last and together, so that thousands of them don't take a commit each.
 * @returns `undefined` if all is written. If an error that is not a refusal stopped it: the error, and the parts that are left
 */
export async function commitInParts<Part, Result>(
	parts: readonly Part[],
	{commit, committed, replace}: PartWriter<Part, Result>,
): Promise<{readonly left: readonly Part[]; readonly error: unknown} | undefined> {
	/** A stack: the next group is the last one. */
	const groups = [parts];
	const replacements: Part[] = [];
	for (;;) {
		const group = groups.pop() ?? replacements.splice(0);
		if (group.length === 0) return undefined;
		let result: Result;
		try {
			result = await commit(group);
		} catch (error) {
			if (!isRefusal(error)) return {left: [group, ...groups.toReversed(), replacements].flat(), error};
			const half = Math.ceil(group.length / 2);
			if (group.length === 1) replacements.push(...replace(group[0] as Part, error));
			else groups.push(group.slice(half), group.slice(0, half));
			continue;
		}
		await committed(group, result);
	}
}
