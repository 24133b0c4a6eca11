import type {JobEvent} from '../job/events.ts';
import {toFailure} from '../job/failure.ts';
import type {Clock} from '../support/clock.ts';
import {isRefusal} from './bisection.ts';
import {RetryState} from './retry-state.ts';

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
