import {type Progress, STOP_REASONS, type StopReason} from '../job/job.ts';
import {monotonicMs} from '../support/clock.ts';
import {add, compareExchange, load, notify, store, waitAsync} from '../support/primordials.ts';

/**
 * Memory that a pool shares with the worker that runs one of its chunks. Each job has a cell, which changes by
 * compare-and-exchange. So either the worker starts a job or the pool takes it back, and a job either finishes or is stopped.
 *
 *     free ──start──► started ──finish──► finished          (worker)
 *       └──take──► taken  └──stop──► stopping               (pool)
 *
 * A cell that is stopping holds the reason: `stopping` + its index in {@link STOP_REASONS}.
 */
const Cell = {free: 0, started: 1, finished: 2, taken: 3, stopping: 4} as const;

/** States per generation: a cell holds generation × STATES + state. */
const STATES = 8;

/**
 * Words before the cells. `last`: index + 1 of the last job that was started, negated once it has ended. `count`: how many run from there on.
 * `progress`: odd while progress is being written. `generation`: that in which the last job was started.
 */
const Word = {last: 0, count: 1, progress: 2, generation: 12} as const;
/** Doubles between these words: when the jobs started; and the last progress. `total` is NaN if it isn't known. */
const Double = {start: 2, done: 3, total: 4, at: 5} as const;
const HEAD = 14;

/** Bytes of a chunk's state before its cells, and of each cell. */
export const HEAD_BYTES = HEAD * 4;
export const CELL_BYTES = 4;

/** The jobs that a worker runs: one, or a micro-batch from an index on. Some between its first and last may have been taken back. */
export interface Running {
	readonly index: number;
	readonly count: number;
	/** On the clock of {@link monotonicMs}. */
	readonly since: number;
}

export class ChunkState {
	readonly buffer: SharedArrayBuffer | ArrayBuffer;
	readonly #words: Int32Array;
	readonly #doubles: Float64Array;
	readonly #base: number;
	readonly #jobs: number;

	/**
	 * @param generation differs between chunks that use the same memory one after the other: a late command about an earlier one misses its cells
	 * @param jobs jobs of the chunk, where the memory has room for more
	 */
	constructor(buffer: SharedArrayBuffer | ArrayBuffer, generation = 0, jobs = buffer.byteLength / CELL_BYTES - HEAD) {
		this.buffer = buffer;
		this.#words = new Int32Array(buffer);
		this.#doubles = new Float64Array(buffer, 0, HEAD / 2);
		this.#base = (generation * STATES) % 2 ** 31;
		this.#jobs = jobs;
	}

	clear(): void {
		this.#words.fill(this.#base + Cell.free, HEAD);
		store(this.#words, Word.progress, 0);
	}

	// ——— the worker's side ———

	/** Starts the job unless it was taken back. `at` is on the clock of {@link monotonicMs}. */
	start(index: number, at: number): boolean {
		if (!this.#move(index, Cell.free, Cell.started)) return false;
		this.#publishRunning(index, 1, at);
		return true;
	}

	/** Starts the jobs from `first` up to `end` that were not taken back. Returns their indexes. */
	startMany(first: number, end: number, at: number): number[] {
		const started: number[] = [];
		let count = 0;
		for (let index = first; index < end; index++) if (this.#move(index, Cell.free, Cell.started)) started[count++] = index;
		// A task may have replaced functions of arrays. A job that is started and does not run would count as completed.
		if (started.length !== count) throw new Error(`Of ${count} jobs that were started the worker knows ${started.length}.`);
		const [head, tail] = [started[0], started[count - 1]];
		if (head !== undefined && tail !== undefined) this.#publishRunning(head, tail - head + 1, at);
		return started;
	}

	/** Ends the job. Returns why it had been asked to stop, if it had. */
	finish(index: number): StopReason | undefined {
		const last = this.#words[Word.last] as number;
		if (last > 0) this.#words[Word.last] = -last;
		return this.#move(index, Cell.started, Cell.finished) ? undefined : this.stopReason(index);
	}

	stopReason(index: number): StopReason | undefined {
		return STOP_REASONS[this.#state(index) - Cell.stopping];
	}

	/** Resolves when the job is asked to stop, or {@link wake} is called after its end. */
	async stopped(index: number): Promise<void> {
		while (this.#state(index) === Cell.started) {
			const {async, value} = waitAsync(this.#words, HEAD + index, this.#base + Cell.started);
			if (async) await value;
		}
	}

	/** Ends the wait of {@link stopped} after the job's end. */
	wake(index: number): void {
		notify(this.#words, HEAD + index);
	}

	setProgress(done: number, total: number, at: number): void {
		add(this.#words, Word.progress, 1);
		this.#doubles[Double.done] = done;
		this.#doubles[Double.total] = total;
		this.#doubles[Double.at] = at;
		add(this.#words, Word.progress, 1);
		this.onHeadChange();
	}

	/** No job of the chunk will be started any more. */
	close(): void {}

	// ——— the pool's side ———

	take(index: number): boolean {
		return this.#move(index, Cell.free, Cell.taken);
	}

	/** Tells the running job to stop. False if it does not run, or was told before. */
	stop(index: number, reason: StopReason): boolean {
		if (!this.#move(index, Cell.started, Cell.stopping + STOP_REASONS.indexOf(reason))) return false;
		this.wake(index);
		return true;
	}

	running(): Running | undefined {
		return this.#shown(load(this.#words, Word.last));
	}

	/** The jobs that were started last, whether they run or have ended. */
	lastStarted(): Running | undefined {
		return this.#shown(Math.abs(load(this.#words, Word.last)));
	}

	/** Ignores what can't be true. A worker that writes such a thing shows no running job, and the pool ends it as blocked. */
	#shown(last: number): Running | undefined {
		if (last <= 0 || load(this.#words, Word.generation) !== this.#base) return undefined;
		const [index, count, since] = [last - 1, load(this.#words, Word.count), this.#doubles[Double.start] as number];
		return count > 0 && index + count <= this.#jobs && since >= 0 && since < Infinity ? {index, count, since} : undefined;
	}

	/** The last progress, and which one of its execution it is, from 1; `undefined` while the next is being written. */
	progress(): {readonly nth: number; readonly progress: Progress} | undefined {
		const version = load(this.#words, Word.progress);
		const [done, total, at] = [this.#doubles[Double.done] as number, this.#doubles[Double.total] as number, this.#doubles[Double.at] as number];
		if (version === 0 || version % 2 === 1 || load(this.#words, Word.progress) !== version) return undefined;
		return {nth: version / 2, progress: {done, at, ...(!Number.isNaN(total) && {total})}};
	}

	isFree(index: number): boolean {
		return this.#state(index) === Cell.free;
	}

	isTaken(index: number): boolean {
		return this.#state(index) === Cell.taken;
	}

	/** Only the last write is atomic, as is the one after a job's end: atomic stores are slow, and a reader that sees the last one sees those before. */
	#publishRunning(index: number, count: number, at: number): void {
		// The progress must be that of the job that is shown as running.
		this.#words[Word.progress] = 0;
		this.#doubles[Double.start] = at;
		this.#words[Word.count] = count;
		this.#words[Word.generation] = this.#base;
		store(this.#words, Word.last, index + 1);
		this.onHeadChange();
	}

	/** Which job runs, or its progress, has changed. */
	protected onHeadChange(): void {}

	#state(index: number): number {
		return load(this.#words, HEAD + index) - this.#base;
	}

	#move(index: number, from: number, to: number): boolean {
		return compareExchange(this.#words, HEAD + index, this.#base + from, this.#base + to) === this.#base + from;
	}
}
