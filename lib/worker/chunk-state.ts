import {STOP_REASONS, type StopReason} from '../job/job.ts';
import {monotonicMs} from '../support/clock.ts';
import {add, compareExchange, load, notify, store, waitAsync} from '../support/primordials.ts';

/**
 * Memory shared between a pool and the worker that runs one of its chunks: a cell per job, decided by compare-and-exchange,
 * so that a job is either started by the worker or taken back by the pool, and either finished or stopped, never both.
 *
 *     free ──start──► started ──finish──► finished          (worker)
 *       └──take──► taken  └──stop──► stopping               (pool)
 *
 * A cell that is stopping holds the reason: `stopping` + its index in {@link STOP_REASONS}.
 */
const Cell = {free: 0, started: 1, finished: 2, taken: 3, stopping: 4} as const;

/** Room for each state in a cell; what is above that is the generation. */
const STATES = 8;

/** Words before the cells: index + 1 of the job that was started last, negative once it has ended, and how many run from there on; a counter that is odd while progress is being written; */
const LAST = 0;
const COUNT = 1;
const PROGRESS = 2;
/** then doubles: when they started, and what the running job said of its progress: done, total (NaN for none), and when. */
const START = 2;
const DONE = 3;
const TOTAL = 4;
const AT = 5;
/** Then a word: in which generation that job was started. */
const GENERATION = 12;
const HEAD = 14;

/** Bytes of a chunk's state before its cells, and of each cell. */
export const HEAD_BYTES = HEAD * 4;
export const CELL_BYTES = 4;

/** What a worker runs: one job, or those of a micro-batch, from an index on; some between its first and last may have been taken back. */
export interface Running {
	readonly index: number;
	readonly count: number;
	/** On the clock of {@link monotonicMs}. */
	readonly since: number;
}

/** What a running job said of itself last. */
export interface BoardProgress {
	/** Rises with each that the job said. */
	readonly version: number;
	readonly done: number;
	readonly total?: number;
	/** Milliseconds since 1970. */
	readonly at: number;
}

export class ChunkState {
	readonly buffer: SharedArrayBuffer | ArrayBuffer;
	readonly #words: Int32Array;
	readonly #doubles: Float64Array;
	readonly #base: number;
	readonly #jobs: number;

	/**
	 * @param generation where chunks follow each other on the same memory: a late word about an earlier one misses its cells
	 * @param jobs of the chunk, where the memory has room for more
	 */
	constructor(buffer: SharedArrayBuffer | ArrayBuffer, generation = 0, jobs = buffer.byteLength / CELL_BYTES - HEAD) {
		this.buffer = buffer;
		this.#words = new Int32Array(buffer);
		this.#doubles = new Float64Array(buffer, 0, HEAD / 2);
		this.#base = (generation * STATES) % 2 ** 31;
		this.#jobs = jobs;
	}

	static create(jobs: number): ChunkState {
		return new ChunkState(new SharedArrayBuffer(HEAD_BYTES + CELL_BYTES * jobs));
	}

	/** Makes all cells free, in this generation. */
	clear(): void {
		this.#words.fill(this.#base + Cell.free, HEAD);
		store(this.#words, PROGRESS, 0);
	}

	// ——— the worker's side ———

	/** Starts the job unless it was taken back. `at` is on the clock of {@link monotonicMs}. */
	start(index: number, at: number): boolean {
		if (!this.#move(index, Cell.free, Cell.started)) return false;
		this.#publishRunning(index, 1, at);
		return true;
	}

	/** Starts those of the jobs from `first` up to `end` that were not taken back, and says which. */
	startMany(first: number, end: number, at: number): number[] {
		const started: number[] = [];
		let count = 0;
		for (let index = first; index < end; index++) if (this.#move(index, Cell.free, Cell.started)) started[count++] = index;
		// A task may have changed what arrays do. A job that has started and does not run would count as completed.
		if (started.length !== count) throw new Error(`Of ${count} jobs that were started the worker knows ${started.length}.`);
		const [head, tail] = [started[0], started[count - 1]];
		if (head !== undefined && tail !== undefined) this.#publishRunning(head, tail - head + 1, at);
		return started;
	}

	/** Ends the job unless it was told to stop first. */
	finish(index: number): boolean {
		const last = this.#words[LAST] as number;
		if (last > 0) this.#words[LAST] = -last;
		return this.#move(index, Cell.started, Cell.finished);
	}

	/** Why the job is to stop, if it is. A plain read of shared memory: cheap enough for a tight loop. */
	stopReason(index: number): StopReason | undefined {
		return STOP_REASONS[this.#state(index) - Cell.stopping];
	}

	/** Resolves when the job was told to stop, or has ended and {@link wake} was called. */
	async stopped(index: number): Promise<void> {
		while (this.#state(index) === Cell.started) {
			const {async, value} = waitAsync(this.#words, HEAD + index, this.#base + Cell.started);
			if (async) await value;
		}
	}

	/** Ends the wait of {@link stopped} for a job that has ended. */
	wake(index: number): void {
		notify(this.#words, HEAD + index);
	}

	/** Says how far the running job is. `total` is NaN if it isn't known. */
	setProgress(done: number, total: number, at: number): void {
		add(this.#words, PROGRESS, 1);
		this.#doubles[DONE] = done;
		this.#doubles[TOTAL] = total;
		this.#doubles[AT] = at;
		add(this.#words, PROGRESS, 1);
	}

	/** No job of the chunk will be started any more. */
	close(): void {}

	// ——— the pool's side ———

	/** Takes back a job that has not started. */
	take(index: number): boolean {
		return this.#move(index, Cell.free, Cell.taken);
	}

	/** Tells the running job to stop. False if it is not running, or no longer, or was told already. */
	stop(index: number, reason: StopReason): boolean {
		if (!this.#move(index, Cell.started, Cell.stopping + STOP_REASONS.indexOf(reason))) return false;
		notify(this.#words, HEAD + index);
		return true;
	}

	running(): Running | undefined {
		return this.#shown(load(this.#words, LAST));
	}

	/** What was started last, whether it runs or has ended. */
	lastStarted(): Running | undefined {
		return this.#shown(Math.abs(load(this.#words, LAST)));
	}

	/** Nothing that can't be true: a worker that writes so shows no job, and is ended since it does not go on. */
	#shown(last: number): Running | undefined {
		if (last <= 0 || load(this.#words, GENERATION) !== this.#base) return undefined;
		const [index, count, since] = [last - 1, load(this.#words, COUNT), this.#doubles[START] as number];
		return count > 0 && index + count <= this.#jobs && since >= 0 && since < Infinity ? {index, count, since} : undefined;
	}

	/** The progress that was said last, whole; none while the next is being written. */
	progress(): BoardProgress | undefined {
		const version = load(this.#words, PROGRESS);
		const [done, total, at] = [this.#doubles[DONE] as number, this.#doubles[TOTAL] as number, this.#doubles[AT] as number];
		if (version === 0 || version % 2 === 1 || load(this.#words, PROGRESS) !== version) return undefined;
		return {version, done, at, ...(!Number.isNaN(total) && {total})};
	}

	isFree(index: number): boolean {
		return this.#state(index) === Cell.free;
	}

	isTaken(index: number): boolean {
		return this.#state(index) === Cell.taken;
	}

	/** Only the last write is atomic, as is the one that follows a job's end: to store so is slow, and who sees it sees those before. */
	#publishRunning(index: number, count: number, at: number): void {
		// What is read with a job as running was said by that job.
		this.#words[PROGRESS] = 0;
		this.#doubles[START] = at;
		this.#words[COUNT] = count;
		this.#words[GENERATION] = this.#base;
		store(this.#words, LAST, index + 1);
	}

	#state(index: number): number {
		return load(this.#words, HEAD + index) - this.#base;
	}

	#move(index: number, from: number, to: number): boolean {
		return compareExchange(this.#words, HEAD + index, this.#base + from, this.#base + to) === this.#base + from;
	}
}
