import type {StopReason} from '../job/job.ts';
import type {Clock} from '../support/clock.ts';
import type {InFlightChunk, RunningJobs} from './in-flight.ts';
import type {Slot} from './slots.ts';
import {isExamination} from './worker-reports.ts';

/** How long a worker that has to be asked may take to answer; it is given this besides the grace when it is to stop a job. */
export const MAX_SILENCE_MS = 2000;

/**
 * The ladder that a running job climbs for a timeout, a cancellation or an interruption: it is told to stop; it has the grace
 * to heed that; then its worker is examined and ended.
 */
export class Stopping {
	readonly #graceMs: number;
	readonly #clock: Clock;
	readonly #endWorker: (slot: Slot) => void;
	/** Their workers are being examined, to be ended then. */
	readonly #examined = new Set<Slot>();

	constructor(graceMs: number, clock: Clock, endWorker: (slot: Slot) => void) {
		this.#graceMs = graceMs;
		this.#clock = clock;
		this.#endWorker = endWorker;
	}

	/** Tells running jobs to stop. */
	stop({chunkState, deadlines}: InFlightChunk, indexes: readonly number[], reason: StopReason): void {
		const graceEnd = () => this.#clock.steadyMs() + this.#graceMs;
		for (const index of indexes) {
			chunkState.tellToStop(index, reason, () => deadlines.set(index, graceEnd()));
			// A process that was suspended by a signal does not answer.
			if (!deadlines.has(index)) deadlines.set(index, graceEnd() + MAX_SILENCE_MS);
		}
	}

	/** Stops every job that runs now, and those that the worker starts meanwhile. */
	interrupt(chunk: InFlightChunk): void {
		chunk.intent = 'interrupted';
		chunk.chunkState.refresh();
		this.stop(chunk, chunk.running()?.indexes ?? [], 'interrupted');
	}

	/** Takes the next step for running jobs whose time is over. */
	enforce(slot: Slot, chunk: InFlightChunk, {indexes, since}: RunningJobs): void {
		const now = this.#clock.steadyMs();
		if (indexes.some(index => now > (chunk.deadlines.get(index) ?? Infinity))) void this.#endHard(slot, chunk, indexes[0] as number);
		if (chunk.intent === 'interrupted') this.stop(chunk, indexes, 'interrupted');
		if (now - since > (chunk.group.policy.timeoutMs ?? Infinity)) this.stop(chunk, indexes, 'timedOut');
	}

	/** Ends the worker, unless the job ends while the worker is examined. An interrupted job has no post-mortem: its worker is ended at once. */
	async #endHard(slot: Slot, chunk: InFlightChunk, index: number): Promise<void> {
		if (this.#examined.has(slot)) return;
		this.#examined.add(slot);
		const isTold = chunk.chunkState.stopReason(index) !== 'interrupted';
		// The worker is ended even if the examination fails.
		const examination = isTold ? await slot.worker.examine().catch(() => undefined) : undefined;
		this.#examined.delete(slot);
		if (!slot.chunks.includes(chunk)) return;
		chunk.chunkState.refresh();
		if (chunk.chunkState.running()?.index !== index) return;
		chunk.examination = isExamination(examination) ? examination : undefined;
		this.#endWorker(slot);
	}
}
