import {writeSync} from 'node:fs';
import type {StopReason} from '../../job/job.ts';
import {CELL_BYTES, ChunkState, HEAD_BYTES} from '../../worker/chunk-state.ts';
import {MAX_JOBS} from '../worker-source.ts';
import {examineMainThread} from './main-thread-stack.ts';

/**
 * A child process shares no memory with its pool. Its chunk states lie in memory that its main thread shares with its watchdog
 * thread, which takes the pool's commands also while a task computes; and what the pool must see is mirrored in a small
 * file, where it can still be read when the process has crashed: the head, whenever a job starts or says how far it is, and
 * the cells that the watchdog changed. Nothing is synced: the file is read only as long as the machine runs.
 *
 * A worker has at most two chunks, so two regions take turns; the next chunk but one has the same region, and the
 * generation in its cells lets a late command about the one before miss.
 */
export const MAX_CELLS = MAX_JOBS;
const REGION_BYTES = HEAD_BYTES + CELL_BYTES * MAX_CELLS;
/** Before the regions: how many commands the watchdog has obeyed. */
const COUNTER_BYTES = 8;
/** After the regions: what was found of the main thread, as JSON that zeros follow. */
export const EXAMINATION_BYTES = 32 * 1024;
export const EXAMINATION_OFFSET = COUNTER_BYTES + 2 * REGION_BYTES;
export const BOARD_FILE_BYTES = EXAMINATION_OFFSET + EXAMINATION_BYTES;

/** Where a generation's region begins in the file. */
export function regionOffset(generation: number): number {
	return COUNTER_BYTES + (generation % 2) * REGION_BYTES;
}

export const REGION_SIZE = REGION_BYTES;

/** What the pool asks of the watchdog. */
export type WatchdogCommand =
	| {readonly generation: number; readonly take: readonly number[]}
	| {readonly generation: number; readonly stop: number; readonly reason: StopReason}
	/** Write down where the main thread is and what its heap holds. */
	| {readonly examine: true};

/** What the watchdog thread is started with. */
export interface WatchdogStart extends WatchedState {
	/** Where the pool waits. */
	readonly place: string;
	/** In which to hold a share. */
	readonly ownerLock: string | undefined;
	/** How many messages of the main thread it has sent. */
	readonly sent: Int32Array;
}

interface WatchedState {
	readonly regions: Regions;
	/** Descriptor of the file. */
	readonly file: number;
	/** Of the main thread. */
	readonly heapLimitBytes: number;
}

export type Regions = readonly [SharedArrayBuffer, SharedArrayBuffer];

/** Memory for the first two generations, 1 and 2. */
export function createRegions(): Regions {
	const regions = [new SharedArrayBuffer(REGION_BYTES), new SharedArrayBuffer(REGION_BYTES)] as const;
	for (const generation of [1, 2]) new ChunkState(regionOf(regions, generation), generation).clear();
	return regions;
}

function regionOf(regions: Regions, generation: number): SharedArrayBuffer {
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

	/** The file tells which job runs before it runs: should it crash the process, nobody else is blamed. */
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
	override finish(index: number): boolean {
		const finished = super.finish(index);
		if (!finished) this.#mirror();
		return finished;
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
		writeSync(this.#file, this.#head, 0, HEAD_BYTES, regionOffset(this.#generation));
	}
}

/** The watchdog's part: does what the pool asks and shows that it did. */
export class Watchdog {
	readonly #regions: Regions;
	readonly #file: number;
	readonly #heapLimitBytes: number;
	readonly #examineThread: typeof examineMainThread;
	#obeyed = 0;

	constructor({regions, file, heapLimitBytes}: WatchedState, examine = examineMainThread) {
		this.#examineThread = examine;
		this.#regions = regions;
		this.#file = file;
		this.#heapLimitBytes = heapLimitBytes;
	}

	async obey(command: WatchdogCommand): Promise<void> {
		if ('examine' in command) await this.#examine();
		else this.#change(command);
		writeSync(this.#file, new Float64Array([++this.#obeyed]), 0, COUNTER_BYTES, 0);
	}

	async #examine(): Promise<void> {
		const examination = await this.#examineThread(this.#heapLimitBytes);
		const text = Buffer.from(`${JSON.stringify(examination)}\0`);
		// A stack of fifty frames with very long names is not worth more room. What was found before is gone either way.
		const fitting = text.length <= EXAMINATION_BYTES ? text : Buffer.alloc(1);
		writeSync(this.#file, fitting, 0, fitting.length, EXAMINATION_OFFSET);
	}

	#change(command: Exclude<WatchdogCommand, {readonly examine: true}>): void {
		const {generation} = command;
		const region = regionOf(this.#regions, generation);
		const chunkState = new ChunkState(region, generation);
		const indexes = 'take' in command ? command.take : [command.stop];
		for (const index of indexes) {
			const isChanged = 'take' in command ? chunkState.take(index) : chunkState.stop(index, command.reason);
			if (isChanged) this.#mirror(region, generation, index);
		}
	}

	#mirror(region: SharedArrayBuffer, generation: number, index: number): void {
		const start = HEAD_BYTES + CELL_BYTES * index;
		writeSync(this.#file, new Uint8Array(region, start, CELL_BYTES), 0, CELL_BYTES, regionOffset(generation) + start);
	}
}
