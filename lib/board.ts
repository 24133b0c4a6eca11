/**
 * Shared memory between a pool and the worker that runs one of its chunks: a cell per job, decided by compare-and-exchange,
 * so that a job is either started by the worker or taken back by the pool, and either finished or stopped, never both.
 *
 *     free ──start──► started ──finish──► finished          (worker)
 *       └──take──► taken  └──stop──► stopping               (pool)
 */
const Cell = {free: 0, started: 1, finished: 2, taken: 3, stopping: 4} as const;

/** Words before the cells: the running job's index + 1, the reason of a stop, and the start time as a double. */
const RUNNING = 0;
const REASON = 1;
const START_BYTE = 8;
const HEAD = 4;

/** Why a running job is to stop; also what its outcome will say. */
export const STOP_REASONS = ['cancelled', 'timedOut', 'interrupted'] as const;
export type StopReason = (typeof STOP_REASONS)[number];

export class Board {
	readonly buffer: SharedArrayBuffer;
	readonly #words: Int32Array;
	readonly #start: Float64Array;

	constructor(buffer: SharedArrayBuffer) {
		this.buffer = buffer;
		this.#words = new Int32Array(buffer);
		this.#start = new Float64Array(buffer, START_BYTE, 1);
	}

	static create(jobs: number): Board {
		return new Board(new SharedArrayBuffer(4 * (HEAD + jobs)));
	}

	// ——— the worker's side ———

	/** Starts the job unless it was taken back. `at` is on the clock of {@link monotonicMs}. */
	start(index: number, at: number): boolean {
		if (Atomics.compareExchange(this.#words, HEAD + index, Cell.free, Cell.started) !== Cell.free) return false;
		this.#start[0] = at;
		Atomics.store(this.#words, RUNNING, index + 1);
		return true;
	}

	/** Ends the job unless it was told to stop first. */
	finish(index: number): boolean {
		Atomics.store(this.#words, RUNNING, 0);
		return Atomics.compareExchange(this.#words, HEAD + index, Cell.started, Cell.finished) === Cell.started;
	}

	/** Why the job is to stop, if it is. A plain read of shared memory: cheap enough for a tight loop. */
	stopReason(index: number): StopReason | undefined {
		return Atomics.load(this.#words, HEAD + index) === Cell.stopping ? STOP_REASONS[Atomics.load(this.#words, REASON)] : undefined;
	}

	/** Resolves when the job was told to stop, or has ended and {@link wake} was called. */
	async stopped(index: number): Promise<void> {
		while (Atomics.load(this.#words, HEAD + index) === Cell.started) {
			const {async, value} = Atomics.waitAsync(this.#words, HEAD + index, Cell.started);
			if (async) await value;
		}
	}

	/** Ends the wait of {@link stopped} for a job that has ended. */
	wake(index: number): void {
		Atomics.notify(this.#words, HEAD + index);
	}

	// ——— the pool's side ———

	/** Takes back a job that has not started. */
	take(index: number): boolean {
		return Atomics.compareExchange(this.#words, HEAD + index, Cell.free, Cell.taken) === Cell.free;
	}

	/** Tells the running job to stop. False if it is not running, or no longer. */
	stop(index: number, reason: StopReason): boolean {
		// A job that is stopping keeps its reason.
		if (Atomics.load(this.#words, HEAD + index) !== Cell.started) return false;
		Atomics.store(this.#words, REASON, STOP_REASONS.indexOf(reason));
		if (Atomics.compareExchange(this.#words, HEAD + index, Cell.started, Cell.stopping) !== Cell.started) return false;
		Atomics.notify(this.#words, HEAD + index);
		return true;
	}

	/** The job that runs and since when, on the clock of {@link monotonicMs}. */
	running(): {readonly index: number; readonly since: number} | undefined {
		const index = Atomics.load(this.#words, RUNNING) - 1;
		return index < 0 ? undefined : {index, since: this.#start[0] as number};
	}

	isFree(index: number): boolean {
		return Atomics.load(this.#words, HEAD + index) === Cell.free;
	}

	/** True once the job was begun, finished or not. */
	wasStarted(index: number): boolean {
		const cell = Atomics.load(this.#words, HEAD + index);
		return cell !== Cell.free && cell !== Cell.taken;
	}
}

const [seconds, nanoseconds] = process.hrtime();
const originMs = seconds * 1000 + nanoseconds / 1e6 - performance.now();

/** Milliseconds on a clock that never jumps and is the same in all threads of the process. */
export function monotonicMs(): number {
	return originMs + performance.now();
}
