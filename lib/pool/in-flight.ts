import type {JobUpdate, Outcome, Settlement} from '../job/claim.ts';
import {type ClaimedGroup, claimAt, type EndedGroup, idAt, indexOf, pickClaimed, sizeOf} from '../job/group.ts';
import type {JobId, Progress} from '../job/job.ts';
import type {Clock} from '../support/clock.ts';
import type {ChunkMessage} from '../worker/messages.ts';
import {isProgress} from './shapes.ts';
import {type Examination, type PoolChunkState, type PoolWorker, UNSENT} from './worker-source.ts';

/** The jobs that run, one or those of a micro-batch, and since when on the pool's steady clock. */
export interface RunningJobs {
	readonly indexes: readonly number[];
	readonly since: number;
}

/**
 * A chunk that a worker has, until each of its jobs has an outcome. The worker reports its jobs in order; a later message
 * confirms what it reported:
 *
 *     confirmedUpTo ≤ reported ≤ size
 */
export class InFlightChunk {
	readonly number: number;
	readonly worker: PoolWorker;
	readonly givenAt: number;
	/** Jobs that are taken back before the chunk is sent leave it. */
	group: ClaimedGroup;
	/** {@link UNSENT} until the worker has loaded its tasks. */
	chunkState: PoolChunkState = UNSENT;
	/** `released`: jobs that come back go to no other worker. `interrupted`: running jobs are stopped as well. */
	intent: 'run' | 'released' | 'interrupted' = 'run';
	/** Jobs before this index were reported; */
	reported = 0;
	/** jobs before this one are confirmed, and their outcomes were passed on; */
	confirmedUpTo = 0;
	/** the outcomes of those between wait here. */
	unconfirmed: EndedGroup[] = [];
	/** Indexes of jobs that were taken back. */
	readonly takenBack = new Set<number>();
	/** By index, of jobs that were told to stop: when their grace ends. */
	readonly deadlines = new Map<number, number>();
	/** The last progress of each job, by index. */
	readonly progress = new Map<number, Progress>();
	/** What was found of the worker before it was ended for a stuck job. */
	examination: Examination | undefined;
	/** The impossible thing that the worker reported, for which it is ended. */
	nonsense: string | undefined;
	#startNoted = -1;
	#progressNoted = {index: -1, version: 0};
	readonly #onEnd: (() => void)[] = [];

	constructor(number: number, worker: PoolWorker, group: ClaimedGroup, givenAt: number) {
		this.number = number;
		this.worker = worker;
		this.group = group;
		this.givenAt = givenAt;
	}

	get size(): number {
		return sizeOf(this.group);
	}

	idAt(index: number): JobId {
		return idAt(this.group.ids, index);
	}

	/** A chunk's state may show a job as running for a while after that job was reported. */
	running(): RunningJobs | undefined {
		const running = this.chunkState.running();
		if (!running || running.index + running.count <= this.reported) return undefined;
		const {index: first, count, since} = running;
		return {indexes: Array.from({length: count}, (_, offset) => first + offset).filter(index => !this.takenBack.has(index)), since};
	}

	/** The index of a job without an outcome; -1 if the chunk does not have it. */
	openIndexOf(id: JobId): number {
		const index = indexOf(this.group, id);
		return index < this.confirmedUpTo || this.takenBack.has(index) ? -1 : index;
	}

	/** This share of the jobs that have not started, from the end: the worker comes from the beginning. */
	waiting(share = 1): number[] {
		const waiting = Array.from({length: this.size}, (_, index) => index).filter(index => !this.takenBack.has(index) && this.chunkState.isFree(index));
		return waiting.slice(Math.floor(waiting.length * (1 - share)));
	}

	/** Marks these jobs as taken back; returns those that were not before. */
	markTakenBack(indexes: readonly number[]): number[] {
		const fresh = indexes.filter(index => !this.takenBack.has(index));
		for (const index of fresh) this.takenBack.add(index);
		return fresh;
	}

	/** Before the chunk is sent: lets the jobs go that were taken back. */
	shorten(): void {
		const left = Array.from({length: this.size}, (_, index) => index).filter(index => !this.takenBack.has(index));
		this.group = pickClaimed(this.group, left);
		this.takenBack.clear();
	}

	settlement(index: number, outcome: Outcome): Settlement {
		return {...claimAt(this.group, index), outcome};
	}

	update(index: number, said: Omit<JobUpdate, 'id' | 'lease' | 'execution'>): JobUpdate {
		return {...claimAt(this.group, index), ...said};
	}

	/** Says once of jobs that have run for long that they run. */
	newStarts({indexes, since}: RunningJobs, clock: Clock): JobUpdate[] {
		const [first = -1] = indexes;
		if (this.#startNoted === first) return [];
		this.#startNoted = first;
		const startedAt = Math.round(clock.now() - (clock.steadyMs() - since));
		return indexes.map(index => this.update(index, {startedAt}));
	}

	/** The progress of the running job since the last call. */
	newProgress(): JobUpdate | undefined {
		const index = this.chunkState.running()?.index;
		const shown = this.chunkState.progress();
		if (!shown || index === undefined) return undefined;
		const {version, ...progress} = shown;
		if (!isProgress(progress)) return undefined;
		if (this.#progressNoted.index === index && this.#progressNoted.version === version) return undefined;
		this.#progressNoted = {index, version};
		this.progress.set(index, progress);
		return this.update(index, {progress});
	}

	/** Calls it once nothing more comes of this chunk. */
	onEnd(call: () => void): void {
		this.#onEnd.push(call);
	}

	end(): void {
		for (const call of this.#onEnd) call();
	}
}

export function toMessage({number, chunkState, group}: InFlightChunk): ChunkMessage {
	return {type: 'chunk', chunk: number, chunkState: chunkState.address, group};
}
