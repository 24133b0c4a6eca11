import {pickClaimed} from '../job/groups/cut-and-join.ts';
import {type ClaimedGroup, policyAt} from '../job/groups/group.ts';
import {isTransferred, unpack} from '../job/groups/packed.ts';
import type {StopReason} from '../job/job.ts';
import type {Clock} from '../support/clock.ts';
import type {InFlightChunk} from './in-flight.ts';
import type {RunningJobs} from './running-updates.ts';
import type {Slot, Slots} from './slots.ts';
import type {WorkerLifecycle} from './worker-lifecycle.ts';
import {isExamination} from './worker-reports.ts';

/** How long until the next look, while jobs are to be stopped or given to an idle worker. A timeout may be late by this much. */
const URGENT_MS = 20;
/** And otherwise: each look wakes the dispatcher's thread. */
const USUAL_MS = 100;
/** A worker that has a chunk and does not go on with it for so long is blocked by what an earlier job left behind, and ended. */
const MAX_QUIET_MS = 5000;
/** The clocks of two threads differ by less than this: a start that lies further ahead is impossible. */
const MAX_AHEAD_MS = 1000;
/** How long a worker without shared memory may take to answer. To stop a job, it has this time besides the grace. */
export const MAX_SILENCE_MS = 2000;
/** The outcomes before a job that has run for this long are settled. */
const LONG_MS = 100;
/** Jobs that have waited in a worker for longer than this are moved to an idle one. */
const STUCK_MS = 20;
/** Jobs behind one that has run for longer than this, and jobs that have waited for a worker so long, are released for other processes. */
export const STRANDED_MS = 1000;

/**
 * Watches the workers that have chunks. It ends a worker that is blocked, and takes jobs back that wait behind a long one.
 *
 * For a timeout, a cancellation and an interruption it does the same in three steps: it asks the job to stop, waits for the grace, then
 * examines the worker and ends it.
 */
export class JobSupervisor {
	readonly #slots: Slots;
	readonly #graceMs: number;
	readonly #clock: Clock;
	readonly #lifecycle: Pick<WorkerLifecycle, 'end'>;
	readonly #run: (chunk: ClaimedGroup) => void;
	/** Their workers are being examined, to be ended then. */
	readonly #examined = new Set<Slot>();
	/** Chunks whose worker was asked to give jobs back; an idle worker waits for each. */
	readonly #asked = new Set<InFlightChunk>();
	/** By the pool's steady clock. */
	#lookedAt = -Infinity;
	#nextLookAt = Infinity;
	#cancel: (() => void) | undefined;

	/** @param run gives jobs that were taken back to another worker */
	constructor(slots: Slots, graceMs: number, clock: Clock, lifecycle: Pick<WorkerLifecycle, 'end'>, run: (chunk: ClaimedGroup) => void) {
		this.#slots = slots;
		this.#graceMs = graceMs;
		this.#clock = clock;
		this.#lifecycle = lifecycle;
		this.#run = run;
	}

	/** The worker was given this chunk: plans a look in time for its timeouts. */
	follow(slot: Slot, chunk: InFlightChunk): void {
		this.#lookWithin(this.#mayShare(slot) ? URGENT_MS : shortestTimeoutMs(chunk));
		chunk.onEnd.push(() => {
			// Jobs may wait behind a long one in another worker.
			if (slot.chunks.length === 0 && this.#slots.busy > 0) this.#lookWithin(URGENT_MS);
		});
	}

	/** Looks no more until the next chunk. */
	close(): void {
		this.#cancel?.();
		this.#cancel = undefined;
		this.#nextLookAt = Infinity;
	}

	#lookWithin(ms: number): void {
		const inMs = Math.max(URGENT_MS, Math.min(USUAL_MS, ms));
		const at = this.#clock.steadyMs() + inMs;
		if (at >= this.#nextLookAt) return;
		this.close();
		this.#nextLookAt = at;
		this.#cancel = this.#clock.after(inMs, () => this.look());
	}

	/** Looks at the workers, and again until none has a chunk. */
	look(): void {
		this.close();
		const now = this.#clock.steadyMs();
		// The machine may have been suspended meanwhile.
		const passedMs = Math.min(USUAL_MS, now - this.#lookedAt);
		this.#lookedAt = now;
		let dueInMs = Infinity;
		for (const slot of this.#slots.all) {
			if (slot.phase === 'ready' || slot.phase === 'retiring') dueInMs = Math.min(dueInMs, this.#lookAt(slot, now, passedMs));
		}
		if (this.#slots.busy > 0) this.#lookWithin(dueInMs);
	}

	/** Returns within which time the next look at the worker should come. */
	#lookAt(slot: Slot, now: number, passedMs: number): number {
		const [chunk] = slot.chunks;
		if (!chunk) return Infinity;
		for (const {chunkState} of slot.chunks) chunkState.refresh();
		const running = chunk.running();
		const leftMs = running && running.since <= now + MAX_AHEAD_MS ? this.#lookAtRunning(slot, chunk, running, now) : this.#lookAtQuiet(slot, passedMs);
		const isUrgent = chunk.intent === 'interrupted' || chunk.deadlines.size > 0 || this.#mayShare(slot);
		return isUrgent ? URGENT_MS : Math.min(leftMs, ...slot.chunks.map(shortestTimeoutMs));
	}

	#lookAtQuiet(slot: Slot, passedMs: number): number {
		if (!slot.endPreparing) slot.quietMs += passedMs;
		if (slot.quietMs > MAX_QUIET_MS) this.#lifecycle.end(slot, 'blocked');
		return Infinity;
	}

	/** Returns how long until the running jobs time out. */
	#lookAtRunning(slot: Slot, chunk: InFlightChunk, {indexes, since}: RunningJobs, now: number): number {
		slot.quietMs = 0;
		chunk.updates.tellProgress();
		const runningMs = now - since;
		if (indexes.some(index => now > (chunk.deadlines.get(index) ?? Infinity))) void this.#endHard(slot, chunk, indexes[0] as number);
		if (chunk.intent === 'interrupted') this.stop(chunk, indexes, 'interrupted');
		const shortestMs = Math.min(...indexes.map(index => policyAt(chunk.group.policies, index).timeoutMs ?? Infinity));
		if (runningMs > shortestMs) this.stop(chunk, indexes, 'timedOut');
		// Outcomes before a long job are confirmed now, not at its end.
		if (runningMs > LONG_MS) {
			chunk.updates.tellStarts({indexes, since});
			chunk.confirm({isLast: false});
		}
		for (const each of [...slot.chunks]) this.#share(each, now, runningMs);
		return shortestMs - runningMs;
	}

	/** True if an idle worker could take jobs that wait behind the one that runs. */
	#mayShare({chunks, worker: {kind}}: Slot): boolean {
		const hasWaiting = chunks.length > 1 || (chunks[0]?.open ?? 0) > 1;
		return hasWaiting && this.#slots.capacity(kind).idle > 0;
	}

	/** Tells running jobs to stop. */
	stop({chunkState, deadlines}: InFlightChunk, indexes: readonly number[], reason: StopReason): void {
		const graceEnd = () => this.#clock.steadyMs() + this.#graceMs;
		this.#lookWithin(URGENT_MS);
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
		this.#lifecycle.end(slot, 'stopped');
	}

	/** Takes jobs back that wait behind a long one, for an idle worker or for other processes, or since they have expired. */
	#share(chunk: InFlightChunk, now: number, runningMs: number): void {
		const expired = chunk.expired();
		if (expired.length > 0) chunk.takeBack(expired, {type: 'released'});
		const idle = this.#slots.capacity(chunk.worker.kind).idle - this.#asked.size;
		const waiting = idle <= 0 && runningMs > STRANDED_MS ? chunk.waiting() : [];
		if (waiting.length > 0) chunk.takeBack(waiting, {type: 'released'});
		if (idle <= 0 || now - chunk.givenAt < STUCK_MS) return;
		// If the running job is itself long, all waiting jobs are moved; otherwise half of them, which is as much as the idle worker can do meanwhile.
		const indexes = chunk.waiting(runningMs > STUCK_MS ? 1 : 0.5);
		if (indexes.length === 0) return;
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
		if (isGone || chunk.intent !== 'run' || this.#slots.capacity(chunk.worker.kind).idle === 0) chunk.settleTakenBack(moved, {type: 'released'});
		else if (moved.length > 0) {
			chunk.remove(moved);
			this.#run(group);
		}
	}
}

/** The shortest timeout of the chunk's jobs. */
function shortestTimeoutMs({group: {policies}}: InFlightChunk): number {
	const each = 'backoff' in policies ? [policies] : policies;
	return each.reduce((shortest, {timeoutMs}) => Math.min(shortest, timeoutMs ?? Infinity), Infinity);
}
