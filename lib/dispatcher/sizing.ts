/** A chunk's work should be so many times longer than a transaction takes, so that durability costs a worker 1 %. */
const WORK_PER_TURN = 100;
/** A chunk holds this much work, at least and at most, in milliseconds. */
const MIN_WORK_MS = 4;
const MAX_WORK_MS = 100;
/** A slow transaction takes so many times what one usually takes. */
const SLOW_TURNS = 4;
const LEAST_WORK_MS = 2;
/** A task that is longer than this gets no second chunk in a worker: the next turn is shorter than its run. */
const LONG_MS = 100;
/** Weight of the newest measurement. */
const NEWEST = 0.3;
/** A chunk is at most this many times larger than the one before: one surprise must not fill a worker. */
const GROWTH = 4;

/** How many jobs of a task make a chunk, from running estimates of how long one takes and what a transaction costs. */
export class ChunkSizer {
	readonly #tasks = new Map<string, {meanMs: number; size: number}>();
	readonly #maxJobs: (task: string) => number;
	#turnMs = MIN_WORK_MS / WORK_PER_TURN;

	/** @param maxJobs the most jobs of the task that the pool takes in a chunk */
	constructor(maxJobs: (task: string) => number) {
		this.#maxJobs = maxJobs;
	}

	/** How much work a chunk should hold, by what a transaction costs on this disk. */
	get workMs(): number {
		return Math.min(MAX_WORK_MS, Math.max(MIN_WORK_MS, this.#turnMs * WORK_PER_TURN));
	}

	/** How long a transaction may wait when a worker has so much to do: until a slow one would still be in time. */
	patienceMs(aheadMs: number): number {
		return Math.max(aheadMs / 2, aheadMs - SLOW_TURNS * this.#turnMs);
	}

	/** Takes the duration of a transaction in. */
	observeTurn(turnMs: number): void {
		this.#turnMs = this.#turnMs * (1 - NEWEST) + turnMs * NEWEST;
	}

	/** Takes the durations of a report's jobs in. */
	observe(task: string, jobs: number, totalMs: number): void {
		const mean = totalMs / jobs;
		const known = this.#tasks.get(task);
		const meanMs = known ? known.meanMs * (1 - NEWEST) + mean * NEWEST : mean;
		const fitting = Math.min(this.#maxJobs(task), Math.round(this.workMs / Math.max(meanMs, 0.001)));
		const size = Math.max(1, Math.min(fitting, (known?.size ?? 1) * GROWTH));
		this.#tasks.set(task, {meanMs, size});
	}

	size(task: string): number {
		return this.#tasks.get(task)?.size ?? 1;
	}

	/** Fewer jobs of the task aren't worth a message of their own. */
	leastSize(task: string): number {
		return Math.max(1, Math.floor(LEAST_WORK_MS / Math.max(this.#tasks.get(task)?.meanMs ?? LEAST_WORK_MS, 0.001)));
	}

	/** How long a worker will be busy with so many jobs of the task. */
	expectedMs(task: string, jobs: number): number {
		return jobs * (this.#tasks.get(task)?.meanMs ?? 0);
	}

	/** True while the task's jobs are so short that a worker should have the next chunk before it needs it. */
	isShort(task: string): boolean {
		return (this.#tasks.get(task)?.meanMs ?? 0) < LONG_MS;
	}
}
