import {type Clock, systemClock} from './clock.ts';

/** Callbacks set it; a loop waits for it. One that is set before the wait is not lost, and setting it twice is the same as once. */
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

	/** Resolves with true once it is set, or with false after the time given. The wait keeps no process alive. */
	async wait(timeoutMs: number): Promise<boolean> {
		if (!this.#isSet && timeoutMs > 0) {
			await new Promise<void>(resolve => {
				const takeBack = timeoutMs === Infinity ? undefined : this.#clock.after(Math.min(timeoutMs, MAX_TIMER_MS), resolve);
				this.#wake = () => {
					takeBack?.();
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

const MAX_TIMER_MS = 60_000;
