import {type ClaimedGroup, pickClaimed} from '../job/group.ts';
import {isTransferred, unpack} from '../job/packed.ts';
import type {InFlightChunk} from './in-flight.ts';
import type {Slot} from './slots.ts';

/** Jobs that have waited in a worker for longer than this are shared with an idle one; */
const STUCK_MS = 20;
/** without an idle worker, and behind a job that runs for longer than this, they are released, for other processes. */
const STRANDED_MS = 1000;

interface SharingPool {
	readonly idle: () => number;
	readonly run: (chunk: ClaimedGroup) => void;
}

/** Takes back jobs that wait in their worker behind a long one: for an idle worker, or for other processes. */
export class Sharing {
	readonly #pool: SharingPool;
	/** Chunks whose worker was asked to give jobs back; an idle worker waits for each. */
	readonly #asked = new Set<InFlightChunk>();

	constructor(pool: SharingPool) {
		this.#pool = pool;
	}

	/** @param runningMs for how long the worker's job has run */
	share({chunks}: Slot, now: number, runningMs: number): void {
		for (const chunk of [...chunks]) {
			const idle = this.#pool.idle() - this.#asked.size;
			if (idle <= 0 && runningMs > STRANDED_MS) chunk.takeBack(chunk.waiting(), {type: 'released'});
			if (idle <= 0 || now - chunk.givenAt < STUCK_MS) continue;
			// Behind a job that is itself long nothing may stay; otherwise half is as much as the idle worker can do meanwhile.
			const indexes = chunk.waiting(runningMs > STUCK_MS ? 1 : 0.5);
			if (indexes.length > 0) this.#ask(chunk, indexes);
		}
	}

	#ask(chunk: InFlightChunk, indexes: readonly number[]): void {
		this.#asked.add(chunk);
		chunk.onEnd.push(() => this.#asked.delete(chunk));
		chunk.chunkState.takeBack(indexes, taken => {
			this.#asked.delete(chunk);
			this.#move(chunk, taken);
		});
	}

	#move(chunk: InFlightChunk, indexes: readonly number[]): void {
		// A job may have been cancelled while its worker was asked for it. Another worker would not know that.
		const cancelled = indexes.filter(index => chunk.chunkState.stopReason(index) === 'cancelled');
		chunk.settleTakenBack(cancelled, {type: 'cancelled'});
		const moved = indexes.filter(index => !chunk.takenBack.has(index));
		const group = pickClaimed(chunk.group, moved);
		// A payload whose memory was handed to the other worker has to be read from the store again.
		const isGone = unpack(group.values).some(isTransferred);
		if (isGone || chunk.intent !== 'run' || this.#pool.idle() === 0) chunk.settleTakenBack(moved, {type: 'released'});
		else if (moved.length > 0) {
			chunk.remove(moved);
			this.#pool.run(group);
		}
	}
}
