/** A chunk should hold this much work: some hundred times what its message costs, and short enough to hurt nobody. */
const TARGET_MS = 4;
const MAX_JOBS = 512;
/** A task that is longer than this gets no second chunk in a worker: the next turn is shorter than its run. */
const LONG_MS = 100;
/** Weight of the newest measurement. */
const NEWEST = 0.3;
/** A chunk is at most this many times larger than the one before: one surprise must not fill a worker. */
const GROWTH = 4;

/** How many jobs of a task make a chunk, from a running estimate of how long one takes. */
export class ChunkSizer {
	readonly #tasks = new Map<string, {meanMs: number; size: number}>();

	/** Takes the durations of a report's jobs in. */
	observe(task: string, jobs: number, totalMs: number): void {
		const mean = totalMs / jobs;
		const known = this.#tasks.get(task);
		const meanMs = known ? known.meanMs * (1 - NEWEST) + mean * NEWEST : mean;
		const fitting = Math.floor(TARGET_MS / Math.max(meanMs, TARGET_MS / MAX_JOBS));
		const size = Math.max(1, Math.min(fitting, (known?.size ?? 1) * GROWTH));
		this.#tasks.set(task, {meanMs, size});
	}

	size(task: string): number {
		return this.#tasks.get(task)?.size ?? 1;
	}

	/** True while the task's jobs are so short that a worker should have the next chunk before it needs it. */
	isShort(task: string): boolean {
		return (this.#tasks.get(task)?.meanMs ?? 0) < LONG_MS;
	}
}
