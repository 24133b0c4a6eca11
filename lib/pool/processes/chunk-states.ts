import {writeSync} from 'node:fs';
import type {StopReason} from '../../job/job.ts';
import {CELL_BYTES, ChunkState, HEAD_BYTES} from '../../worker/chunk-state.ts';
import {MAX_JOBS} from '../worker-source.ts';

/**
 * A child process shares no memory with its pool. The states of its chunks lie in memory that its main thread shares with its
 * watchdog thread. What the pool must see, the head with the running job and its progress, is mirrored in a small file
 * whenever it changes. The pool can still read it when the process has crashed. Nothing is synced: the file is read only as
 * long as the machine runs.
 *
 * A worker has at most two chunks, so two regions take turns; the next chunk but one has the same region, and the
 * generation in its cells lets a late command about the one before miss.
 */
export const MAX_CELLS = MAX_JOBS;
const REGION_BYTES = HEAD_BYTES + CELL_BYTES * MAX_CELLS;
export const FILE_BYTES = 2 * HEAD_BYTES;

/** Where the head of a generation's region begins in the file. */
export function headOffset(generation: number): number {
	return (generation % 2) * HEAD_BYTES;
}

export type Regions = readonly [SharedArrayBuffer, SharedArrayBuffer];

/** Memory for the first two generations, 1 and 2. */
export function createRegions(): Regions {
	const regions = [new SharedArrayBuffer(REGION_BYTES), new SharedArrayBuffer(REGION_BYTES)] as const;
	for (const generation of [1, 2]) new ChunkState(regionOf(regions, generation), generation).clear();
	return regions;
}

export function regionOf(regions: Regions, generation: number): SharedArrayBuffer {
	return regions[generation % 2] as SharedArrayBuffer;
}

/** The state of a chunk as the child's main thread sees it. */
export class ChildChunkState extends ChunkState {
	readonly #region: SharedArrayBuffer;
	readonly #generation: number;
	readonly #head: Uint8Array;
	readonly #file: number;

	constructor(regions: Regions, generation: number, file: number) {
		const region = regionOf(regions, generation);
		super(region, generation);
		this.#region = region;
		this.#generation = generation;
		this.#head = new Uint8Array(region, 0, HEAD_BYTES);
		this.#file = file;
	}

	/** The file names the job before it runs: if it crashes the process, no other job is blamed. */
	override start(index: number, at: number): boolean {
		const started = super.start(index, at);
		if (started) this.#mirror();
		return started;
	}

	override startMany(first: number, end: number, at: number): number[] {
		const started = super.startMany(first, end, at);
		this.#mirror();
		return started;
	}

	/** The pool sees at once that a job has heeded its stop: the worker has things to do before the next one starts. */
	override finish(index: number): StopReason | undefined {
		const stop = super.finish(index);
		if (stop) this.#mirror();
		return stop;
	}

	override setProgress(done: number, total: number, at: number): void {
		super.setProgress(done, total, at);
		this.#mirror();
	}

	/** Also makes the region ready for the next chunk but one, before the pool hears that this one is over. */
	override close(): void {
		new ChunkState(this.#region, this.#generation + 2).clear();
		this.#mirror();
	}

	#mirror(): void {
		writeSync(this.#file, this.#head, 0, HEAD_BYTES, headOffset(this.#generation));
	}
}
