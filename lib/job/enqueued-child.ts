/** A job that a task has enqueued, for the option `dependsOn` of another one that it enqueues.
 * @example const page: EnqueuedChild = ctx.enqueue('fetchPage', 1); */
export class EnqueuedChild {
	readonly #execution: object;
	readonly #index: number;

	/** @internal Use `ctx.enqueue`. */
	constructor(execution: object, index: number) {
		this.#execution = execution;
		this.#index = index;
	}

	/** @internal Its index among the jobs of this execution; `undefined` if another one has enqueued it. */
	indexIn(execution: object): number | undefined {
		return this.#execution === execution ? this.#index : undefined;
	}
}
