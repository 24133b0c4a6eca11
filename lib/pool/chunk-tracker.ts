import type {Outcome} from '../job/claim.ts';
import {type ClaimedGroup, type EndedGroup, sizeOf, toEndedGroup} from '../job/group.ts';
import {countOf} from '../job/packed.ts';
import type {Clock} from '../support/clock.ts';
import type {FinalMessage, OutcomesMessage} from '../worker/messages.ts';
import {type Loss, lostJobs, reportedBy, withFailures} from './chunk-outcomes.ts';
import {InFlightChunk, toMessage} from './in-flight.ts';
import type {PoolListener} from './pool.ts';
import type {Slot, Slots} from './slots.ts';
import {UNSENT} from './worker-source.ts';

/**
 * Follows chunks from `run` to their end, and gives each job exactly one outcome: what its worker reports, that it was taken
 * back, or what follows from the loss of the worker.
 */
export class ChunkTracker {
	readonly #slots: Slots;
	readonly #listener: PoolListener;
	readonly #clock: Clock;
	/** Jobs without an outcome. */
	size = 0;
	#lastNumber = 0;

	constructor(slots: Slots, listener: PoolListener, clock: Clock) {
		this.#slots = slots;
		this.#listener = listener;
		this.#clock = clock;
	}

	/** Gives the chunk to the worker, which gets it once it has loaded its tasks. */
	add(slot: Slot, group: ClaimedGroup): void {
		const chunk = new InFlightChunk(++this.#lastNumber, slot.worker, group, this.#clock.steadyMs());
		this.#slots.assign(slot, chunk);
		this.size += chunk.size;
		if (slot.phase !== 'loading') this.send(chunk);
	}

	send(chunk: InFlightChunk): void {
		chunk.chunkState = chunk.worker.chunkState(chunk.size);
		// A request that fails is that of a worker that ended.
		void chunk.worker.request(toMessage(chunk)).catch(() => undefined);
	}

	/** Keeps reported outcomes until they are confirmed. */
	report(chunk: InFlightChunk, message: OutcomesMessage): void {
		const reported = reportedBy(chunk, message);
		if (reported) chunk.unconfirmed.push(reported);
		chunk.reported = message.first + countOf(message.values);
	}

	/** Passes on what was reported. */
	confirm(chunk: InFlightChunk, {failures, isLast}: Pick<FinalMessage, 'failures' | 'isLast'>): void {
		const ended = failures ? chunk.unconfirmed.map(group => withFailures(chunk, group, failures)) : chunk.unconfirmed;
		chunk.unconfirmed = [];
		chunk.confirmedUpTo = chunk.reported;
		if (isLast) this.#end(chunk);
		this.#settle(chunk, ended);
	}

	/** Takes back those of the jobs that have not started, and gives them this outcome. */
	takeBack(chunk: InFlightChunk, indexes: readonly number[], outcome: Outcome): void {
		chunk.chunkState.take(indexes, taken => this.settleTakenBack(chunk, taken, outcome));
	}

	/** Gives this outcome to jobs that were taken back. */
	settleTakenBack(chunk: InFlightChunk, indexes: readonly number[], outcome: Outcome): void {
		const settlements = chunk.markTakenBack(indexes).map(index => chunk.settlement(index, outcome));
		if (chunk.chunkState === UNSENT) this.#shorten(chunk);
		if (settlements.length > 0) this.#settle(chunk, [toEndedGroup(settlements)]);
	}

	/** Of jobs that were taken back, settles those that were cancelled meanwhile. */
	settleCancelled(chunk: InFlightChunk, indexes: readonly number[]): void {
		const cancelled = indexes.filter(index => chunk.chunkState.stopReason(index) === 'cancelled');
		this.settleTakenBack(chunk, cancelled, {type: 'cancelled'});
	}

	/** Takes jobs out of the chunk without an outcome, for another worker. */
	remove(chunk: InFlightChunk, indexes: readonly number[]): void {
		this.size -= chunk.markTakenBack(indexes).length;
	}

	/** Settles what its worker leaves behind. */
	lose(chunk: InFlightChunk, loss: Loss): void {
		chunk.chunkState.refresh();
		this.takeProgress(chunk);
		const lost = lostJobs(chunk, loss, this.#clock);
		this.#end(chunk);
		this.#settle(chunk, lost.length > 0 ? [...chunk.unconfirmed, toEndedGroup(lost)] : chunk.unconfirmed);
	}

	takeProgress(chunk: InFlightChunk): void {
		const update = chunk.newProgress();
		if (update) this.#listener.updated(update);
	}

	#shorten(chunk: InFlightChunk): void {
		chunk.shorten();
		if (chunk.size > 0) return;
		this.#end(chunk);
		this.#listener.freed();
	}

	#end(chunk: InFlightChunk): void {
		this.#slots.remove(chunk);
		chunk.end();
	}

	#settle({group: {task}}: InFlightChunk, ended: readonly EndedGroup[]): void {
		this.size -= ended.reduce((jobs, group) => jobs + sizeOf(group), 0);
		if (ended.length > 0) this.#listener.ended(task, ended);
	}
}
