import {closeSync, ftruncateSync, openSync, readSync} from 'node:fs';
import type {StopReason} from '../../job/job.ts';
import {type Clock, sleep, systemClock} from '../../support/clock.ts';
import {type BoardProgress, ChunkState, type Running} from '../../worker/chunk-state.ts';
import type {Examination, PoolChunkState} from '../worker-source.ts';
import {BOARD_FILE_BYTES, EXAMINATION_BYTES, EXAMINATION_OFFSET, REGION_SIZE, regionOffset, type WatchdogCommand} from './child-chunk-state.ts';
import {boardAt} from './rendezvous.ts';

const EXAMINATION_WAIT_MS = 10;
const MAX_EXAMINATION_WAITS = 300;

/** The chunk states of one child process, as its pool sees them: through a file, and by asking its watchdog. */
export class RemoteChunkStates {
	readonly #file: number;
	readonly #send: (command: WatchdogCommand) => void;
	readonly #clock: Clock;
	#generation = 0;
	#sent = 0;
	#isClosed = false;

	constructor(place: string, send: (command: WatchdogCommand) => void, clock: Clock = systemClock) {
		this.#send = send;
		this.#clock = clock;
		this.#file = openSync(boardAt(place), 'wx+', 0o600);
		ftruncateSync(this.#file, BOARD_FILE_BYTES);
	}

	/** The state of a chunk with so many jobs. */
	open(jobs: number): RemoteChunkState {
		return new RemoteChunkState(this, ++this.#generation, jobs);
	}

	/** Sends the command; returns its number. */
	ask(command: WatchdogCommand): number {
		this.#send(command);
		return ++this.#sent;
	}

	/** Commands the watchdog has obeyed. */
	obeyed(): number {
		const counter = new Float64Array(1);
		readSync(this.#file, counter, 0, counter.byteLength, 0);
		return counter[0] as number;
	}

	/** What the watchdog finds of the process's main thread; `undefined` if the watchdog doesn't answer. */
	async examine(): Promise<Examination | undefined> {
		const command = this.ask({examine: true});
		for (let waits = 0; this.obeyed() < command; waits++) {
			if (waits > MAX_EXAMINATION_WAITS) return undefined;
			await sleep(this.#clock, EXAMINATION_WAIT_MS);
			if (this.#isClosed) return undefined;
		}
		const bytes = Buffer.alloc(EXAMINATION_BYTES);
		readSync(this.#file, bytes, 0, EXAMINATION_BYTES, EXAMINATION_OFFSET);
		const end = bytes.indexOf(0);
		const text = bytes.toString('utf8', 0, end < 0 ? EXAMINATION_BYTES : end);
		return text === '' ? undefined : (JSON.parse(text) as Examination);
	}

	read(generation: number, into: Uint8Array): void {
		readSync(this.#file, into, 0, into.length, regionOffset(generation));
	}

	close(): void {
		this.#isClosed = true;
		closeSync(this.#file);
	}
}

/** As of the last `refresh`. Whatever is asked is answered by a later one. */
class RemoteChunkState implements PoolChunkState {
	readonly address: number;
	readonly #chunkStates: RemoteChunkStates;
	readonly #bytes = new Uint8Array(REGION_SIZE);
	readonly #chunkState: ChunkState;
	/** Jobs that the watchdog was asked to take, and to stop. */
	readonly #asked = {take: new Set<number>(), stop: new Map<number, StopReason>()};
	#open: {readonly command: number; readonly answered: () => void}[] = [];

	constructor(chunkStates: RemoteChunkStates, generation: number, jobs: number) {
		this.#chunkStates = chunkStates;
		this.address = generation;
		this.#chunkState = new ChunkState(this.#bytes.buffer, generation, jobs);
	}

	take(indexes: readonly number[], then: (taken: readonly number[]) => void): void {
		const take = indexes.filter(index => !this.#asked.take.has(index));
		for (const index of take) this.#asked.take.add(index);
		this.#ask({generation: this.address, take}, () => then(take.filter(index => this.#chunkState.isTaken(index))));
	}

	stop(index: number, reason: StopReason, then: () => void): void {
		if (this.#asked.stop.has(index)) return;
		this.#asked.stop.set(index, reason);
		this.#ask({generation: this.address, stop: index, reason}, () => {
			if (this.#chunkState.stopReason(index) !== undefined) then();
			// It had not started, or not as far as the watchdog could see: it may be asked again.
			else this.#asked.stop.delete(index);
		});
	}

	refresh(): void {
		// In this order: what was obeyed by now is to be seen in what is read next.
		const obeyed = this.#open.length > 0 ? this.#chunkStates.obeyed() : 0;
		this.#chunkStates.read(this.address, this.#bytes);
		const answered = this.#open.filter(({command}) => command <= obeyed);
		this.#open = this.#open.filter(({command}) => command > obeyed);
		for (const each of answered) each.answered();
	}

	running(): Running | undefined {
		return this.#chunkState.running();
	}

	lastStarted(): Running | undefined {
		return this.#chunkState.lastStarted();
	}

	progress(): BoardProgress | undefined {
		return this.#chunkState.progress();
	}

	isAskedFor(index: number): boolean {
		return this.#asked.take.has(index);
	}

	/** The worker goes through its jobs in order, and shows which one runs. */
	isFree(index: number): boolean {
		const running = this.running();
		return !this.#asked.take.has(index) && (running === undefined || index >= running.index + running.count);
	}

	/** A watchdog that doesn't answer, in a process that was stopped by a signal, will not be asked why that had to be ended. */
	stopReason(index: number): StopReason | undefined {
		return this.#chunkState.stopReason(index) ?? this.#asked.stop.get(index);
	}

	#ask(command: WatchdogCommand, answered: () => void): void {
		this.#open.push({command: this.#chunkStates.ask(command), answered});
	}
}
