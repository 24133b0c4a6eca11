import {closeSync, ftruncateSync, openSync, readSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {MAX_GROUP_JOBS} from '../../job/groups/group.ts';
import type {StopReason} from '../../job/job.ts';
import {type Clock, sleep, systemClock} from '../../support/clock.ts';
import {CELL_BYTES, ChunkState, HEAD_BYTES} from '../../worker/chunk-state.ts';
import {type Examination, PoolChunkState} from '../pool.ts';
import {NO_ANSWER} from '../stack-snapshot.ts';

/**
 * A child process shares no memory with its pool. The states of its chunks lie in memory that its main thread shares with its
 * watchdog thread. What the pool must see, the head with the running job and its progress, is mirrored in a small file
 * whenever it changes. The pool can still read it when the process has crashed. Nothing is synced: the file is read only as
 * long as the machine runs.
 *
 * A worker has at most two chunks, so two regions take turns; the next chunk but one has the same region, and the
 * generation in its cells lets a late command about the one before miss.
 */
const REGION_BYTES = HEAD_BYTES + CELL_BYTES * MAX_GROUP_JOBS;

export function chunkStateFileIn(rendezvous: string): string {
	return join(rendezvous, 'chunk-state');
}

/** Where the head of a generation's region begins in the file. */
function headOffset(generation: number): number {
	return (generation % 2) * HEAD_BYTES;
}

export type Regions = readonly [SharedArrayBuffer, SharedArrayBuffer];

/** Memory for the first two generations, 1 and 2. */
export function createRegions(): Regions {
	const regions = [new SharedArrayBuffer(REGION_BYTES), new SharedArrayBuffer(REGION_BYTES)] as const;
	for (const generation of [1, 2]) openRegion(regions, generation).clear();
	return regions;
}

/** The state of a chunk as another thread of the child sees it. */
export function openRegion(regions: Regions, generation: number): ChunkState {
	return new ChunkState(regions[generation % 2] as SharedArrayBuffer, generation);
}

/** The state of a chunk as the child's main thread sees it. */
export class ChildChunkState extends ChunkState {
	readonly #generation: number;
	readonly #head: Uint8Array;
	readonly #file: number;

	constructor(regions: Regions, generation: number, file: number) {
		super(regions[generation % 2] as SharedArrayBuffer, generation);
		this.#generation = generation;
		this.#head = new Uint8Array(this.buffer, 0, HEAD_BYTES);
		this.#file = file;
	}

	/** The pool sees at once that a job has heeded its stop: the worker has things to do before the next one starts. */
	override finish(index: number): StopReason | undefined {
		const stop = super.finish(index);
		if (stop) this.onHeadChange();
		return stop;
	}

	/** Also makes the region ready for the next chunk but one, before the pool hears that this one is over. */
	override close(): void {
		new ChunkState(this.buffer, this.#generation + 2).clear();
		this.onHeadChange();
	}

	/** The file names a job before it runs: if it crashes the process, no other job is blamed. */
	protected override onHeadChange(): void {
		writeSync(this.#file, this.#head, 0, HEAD_BYTES, headOffset(this.#generation));
	}
}

/** The watchdog obeys commands one after the other, so answers come in the order of the commands. */
export type WatchdogCommand =
	| {readonly generation: number; readonly take: readonly number[]}
	| {readonly generation: number; readonly stop: number; readonly reason: StopReason}
	/** Find out where the main thread is and what its heap holds. */
	| {readonly examine: true};

export interface WatchdogAnswer {
	readonly type: 'answer';
	readonly taken?: readonly number[];
	/** The job was asked to stop. */
	readonly isStopping?: boolean;
	readonly examination?: Examination;
}

/** The watchdog's part. */
export async function obey(command: WatchdogCommand, regions: Regions, examine: () => Promise<Examination>): Promise<WatchdogAnswer> {
	const type = 'answer';
	if ('examine' in command) return {type, examination: await examine()};
	const chunkState = openRegion(regions, command.generation);
	if ('take' in command) return {type, taken: command.take.filter(index => chunkState.take(index))};
	return {type, isStopping: chunkState.stop(command.stop, command.reason)};
}

const MAX_EXAMINATION_MS = 3000;

/** The chunk states of one child process, as its pool sees them: the heads by the file, the rest by asking its watchdog. */
export class RemoteChunkStates {
	readonly file: number;
	readonly #send: (command: WatchdogCommand) => void;
	readonly #clock: Clock;
	/** Callbacks that wait for answers, in the order of the commands. */
	readonly #pending: ((answer: WatchdogAnswer) => void)[] = [];
	#generation = 0;

	constructor(rendezvous: string, send: (command: WatchdogCommand) => void, clock: Clock = systemClock) {
		this.#send = send;
		this.#clock = clock;
		this.file = openSync(chunkStateFileIn(rendezvous), 'wx+', 0o600);
		ftruncateSync(this.file, 2 * HEAD_BYTES);
	}

	open(jobs: number): PoolChunkState {
		return new RemoteChunkState(this, ++this.#generation, jobs);
	}

	ask(command: WatchdogCommand, then: (answer: WatchdogAnswer) => void): void {
		this.#pending.push(then);
		this.#send(command);
	}

	receive(answer: WatchdogAnswer): void {
		this.#pending.shift()?.(answer);
	}

	/** A process that was suspended, or has ended, does not answer. */
	async examine(): Promise<Examination> {
		const found = new Promise<Examination | undefined>(resolve => this.ask({examine: true}, ({examination}) => resolve(examination)));
		return (await Promise.race([found, sleep(this.#clock, MAX_EXAMINATION_MS)])) ?? NO_ANSWER;
	}

	close(): void {
		closeSync(this.file);
	}
}

/** It shows the head as of the last `refresh`, and has no cells. */
class RemoteChunkState extends PoolChunkState {
	readonly #chunkStates: RemoteChunkStates;
	readonly #generation: number;
	readonly #head: Uint8Array;
	/** Jobs that the watchdog was asked to take back. */
	readonly #takes = new Set<number>();
	/** Jobs that the watchdog has stopped, or was asked to stop. */
	readonly #stops = new Map<number, StopReason>();

	constructor(chunkStates: RemoteChunkStates, generation: number, jobs: number) {
		super(new ArrayBuffer(HEAD_BYTES), generation, jobs);
		this.#generation = generation;
		this.#chunkStates = chunkStates;
		this.#head = new Uint8Array(this.buffer);
	}

	override get address(): number {
		return this.#generation;
	}

	override takeBack(indexes: readonly number[], then: (taken: readonly number[]) => void): void {
		const take = indexes.filter(index => !this.#takes.has(index));
		for (const index of take) this.#takes.add(index);
		this.#chunkStates.ask({generation: this.#generation, take}, ({taken = []}) => then(take.filter(index => taken.includes(index))));
	}

	override tellToStop(index: number, reason: StopReason, then: () => void): void {
		if (this.#stops.has(index)) return;
		this.#stops.set(index, reason);
		this.#chunkStates.ask({generation: this.#generation, stop: index, reason}, ({isStopping}) => {
			if (isStopping) then();
			// It had not started, or had ended: it may be asked again.
			else this.#stops.delete(index);
		});
	}

	override refresh(): void {
		readSync(this.#chunkStates.file, this.#head, 0, HEAD_BYTES, headOffset(this.#generation));
	}

	/** The worker goes through its jobs in order, and shows which one runs. */
	override isFree(index: number): boolean {
		const running = this.running();
		return !this.#takes.has(index) && (running === undefined || index >= running.index + running.count);
	}

	override stopReason(index: number): StopReason | undefined {
		return this.#stops.get(index);
	}
}
