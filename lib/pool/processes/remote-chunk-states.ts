import {closeSync, ftruncateSync, openSync, readSync} from 'node:fs';
import type {StopReason} from '../../job/job.ts';
import {type Clock, sleep, systemClock} from '../../support/clock.ts';
import {ChunkState, HEAD_BYTES, type PublishedProgress, type Running} from '../../worker/chunk-state.ts';
import {NO_ANSWER} from '../stack-snapshot.ts';
import type {Examination, PoolChunkState} from '../worker-source.ts';
import {FILE_BYTES, headOffset} from './chunk-states.ts';
import {chunkStateFileIn} from './control-socket.ts';
import type {WatchdogAnswer, WatchdogCommand} from './watchdog.ts';

const MAX_EXAMINATION_MS = 3000;

/** The chunk states of one child process, as its pool sees them: the heads by a file, the rest by asking its watchdog. */
export class RemoteChunkStates {
	readonly #file: number;
	readonly #send: (command: WatchdogCommand) => void;
	readonly #clock: Clock;
	/** What waits for answers, in the order of the commands. */
	readonly #pending: ((answer: WatchdogAnswer) => void)[] = [];
	#generation = 0;

	constructor(rendezvous: string, send: (command: WatchdogCommand) => void, clock: Clock = systemClock) {
		this.#send = send;
		this.#clock = clock;
		this.#file = openSync(chunkStateFileIn(rendezvous), 'wx+', 0o600);
		ftruncateSync(this.#file, FILE_BYTES);
	}

	/** The state of a chunk with so many jobs. */
	open(jobs: number): PoolChunkState {
		return new RemoteChunkState(this, ++this.#generation, jobs);
	}

	ask(command: WatchdogCommand, then: (answer: WatchdogAnswer) => void): void {
		this.#pending.push(then);
		this.#send(command);
	}

	/** Takes the watchdog's next answer. */
	receive(answer: WatchdogAnswer): void {
		this.#pending.shift()?.(answer);
	}

	/** What the watchdog finds of the process's main thread, unless it does not answer: its process was suspended, or has ended. */
	async examine(): Promise<Examination> {
		const found = new Promise<Examination | undefined>(resolve => this.ask({examine: true}, ({examination}) => resolve(examination)));
		return (await Promise.race([found, sleep(this.#clock, MAX_EXAMINATION_MS)])) ?? NO_ANSWER;
	}

	readHead(generation: number, into: Uint8Array): void {
		readSync(this.#file, into, 0, into.length, headOffset(generation));
	}

	/** The process has ended. */
	close(): void {
		closeSync(this.#file);
	}
}

class RemoteChunkState implements PoolChunkState {
	readonly address: number;
	readonly #chunkStates: RemoteChunkStates;
	/** As of the last `refresh`. */
	readonly #head = new Uint8Array(HEAD_BYTES);
	readonly #chunkState: ChunkState;
	/** Jobs that the watchdog was asked to take, */
	readonly #takes = new Set<number>();
	/** and jobs that it has stopped, or was asked to stop. */
	readonly #stops = new Map<number, StopReason>();

	constructor(chunkStates: RemoteChunkStates, generation: number, jobs: number) {
		this.#chunkStates = chunkStates;
		this.address = generation;
		this.#chunkState = new ChunkState(this.#head.buffer, generation, jobs);
	}

	take(indexes: readonly number[], then: (taken: readonly number[]) => void): void {
		const take = indexes.filter(index => !this.#takes.has(index));
		for (const index of take) this.#takes.add(index);
		this.#chunkStates.ask({generation: this.address, take}, ({taken = []}) => then(take.filter(index => taken.includes(index))));
	}

	stop(index: number, reason: StopReason, then: () => void): void {
		if (this.#stops.has(index)) return;
		this.#stops.set(index, reason);
		this.#chunkStates.ask({generation: this.address, stop: index, reason}, ({isStopping}) => {
			if (isStopping) then();
			// It had not started, or had ended: it may be asked again.
			else this.#stops.delete(index);
		});
	}

	refresh(): void {
		this.#chunkStates.readHead(this.address, this.#head);
	}

	running(): Running | undefined {
		return this.#chunkState.running();
	}

	lastStarted(): Running | undefined {
		return this.#chunkState.lastStarted();
	}

	progress(): PublishedProgress | undefined {
		return this.#chunkState.progress();
	}

	/** The worker goes through its jobs in order, and shows which one runs. */
	isFree(index: number): boolean {
		const running = this.running();
		return !this.#takes.has(index) && (running === undefined || index >= running.index + running.count);
	}

	stopReason(index: number): StopReason | undefined {
		return this.#stops.get(index);
	}
}
