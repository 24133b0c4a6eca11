import {type Clock, systemClock} from './clock.ts';

/**
 * An event that callbacks set and one loop waits for. A wait resets it. If it was set before the wait, the wait ends at once. To set it twice is
 * the same as once.
 */
export class WakeUp {
	readonly #clock: Pick<Clock, 'after'>;
	#isSet = false;
	#wake: (() => void) | undefined;

	constructor(clock: Pick<Clock, 'after'> = systemClock) {
		this.#clock = clock;
	}

	set(): void {
		this.#isSet = true;
		this.#wake?.();
	}

	/** Resolves with true once it is set, or with false after the timeout. Keeps no process alive. */
	async wait(timeoutMs: number): Promise<boolean> {
		if (!this.#isSet && timeoutMs > 0) {
			await new Promise<void>(resolve => {
				const cancelTimer = timeoutMs === Infinity ? undefined : this.#clock.after(Math.min(timeoutMs, MAX_WAIT_MS), resolve);
				this.#wake = () => {
					cancelTimer?.();
					resolve();
				};
			});
			this.#wake = undefined;
		}
		const isSet = this.#isSet;
		this.#isSet = false;
		return isSet;
	}
}

const MAX_WAIT_MS = 60_000;
