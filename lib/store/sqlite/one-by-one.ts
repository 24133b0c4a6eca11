import type {Awaitable} from '../store.ts';

/** Runs work in the order of the calls, one piece at a time. Work that has nothing to wait for is done within the call, and its result returned as it is. */
export class OneByOne {
	#last: Promise<void> | undefined;

	run<Result>(work: () => Awaitable<Result>): Awaitable<Result> {
		const result = this.#last ? this.#last.then(work) : work();
		if (result instanceof Promise) this.#remember(result);
		return result;
	}

	/** Resolves once all work that was asked for has ended. */
	async idle(): Promise<void> {
		while (this.#last) await this.#last;
	}

	#remember(work: Promise<unknown>): void {
		const forget = () => {
			if (this.#last === last) this.#last = undefined;
		};
		const last: Promise<void> = work.then(forget, forget);
		this.#last = last;
	}
}
