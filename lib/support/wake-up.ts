import {type Clock, systemClock} from './clock.ts';

/** Callbacks ring it; a loop waits for it. Rings before the wait are not lost, and many are one. */
export class Bell {
	readonly #clock: Pick<Clock, 'after'>;
	#isRung = false;
	#wake: (() => void) | undefined;

	constructor(clock: Pick<Clock, 'after'> = systemClock) {
		this.#clock = clock;
	}

	ring(): void {
		this.#isRung = true;
		this.#wake?.();
	}

	/** Resolves with true at the next ring, or with false after the time given; the wait keeps no process alive. */
	async rung(timeoutMs: number): Promise<boolean> {
		if (!this.#isRung && timeoutMs > 0) {
			await new Promise<void>(resolve => {
				const takeBack = timeoutMs === Infinity ? undefined : this.#clock.after(Math.min(timeoutMs, MAX_TIMER_MS), resolve);
				this.#wake = () => {
					takeBack?.();
					resolve();
				};
			});
			this.#wake = undefined;
		}
		const isRung = this.#isRung;
		this.#isRung = false;
		return isRung;
	}
}

const MAX_TIMER_MS = 60_000;
