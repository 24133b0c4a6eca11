/** A result, or a promise of one if the work must wait. */
type Awaitable<T> = T | Promise<T>;

/** Runs functions one at a time, in the order of the calls. A function that need not wait runs within the call, and its result is returned as it is. */
export class SerialExecutor {
	#last: Promise<void> | undefined;

	run<Result>(call: () => Awaitable<Result>): Awaitable<Result> {
		const result = this.#last ? this.#last.then(call) : call();
		if (result instanceof Promise) this.#remember(result);
		return result;
	}

	/** Resolves once all functions have ended. */
	async idle(): Promise<void> {
		while (this.#last) await this.#last;
	}

	#remember(result: Promise<unknown>): void {
		const forget = () => {
			if (this.#last === last) this.#last = undefined;
		};
		const last: Promise<void> = result.then(forget, forget);
		this.#last = last;
	}
}
