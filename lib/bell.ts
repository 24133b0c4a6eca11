/** Callbacks ring it; a loop waits for it. Rings before the wait are not lost, and many are one. */
export class Bell {
	#isRung = false;
	#wake: (() => void) | undefined;

	ring(): void {
		this.#isRung = true;
		this.#wake?.();
	}

	/** Resolves at the next ring, or after the time given; the wait keeps no process alive. */
	async rung(timeoutMs: number): Promise<void> {
		if (!this.#isRung && timeoutMs > 0) {
			await new Promise<void>(resolve => {
				const timer = timeoutMs === Infinity ? undefined : setTimeout(resolve, Math.min(timeoutMs, MAX_TIMER_MS)).unref();
				this.#wake = () => {
					clearTimeout(timer);
					resolve();
				};
			});
			this.#wake = undefined;
		}
		this.#isRung = false;
	}
}

const MAX_TIMER_MS = 60_000;
