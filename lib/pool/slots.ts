import type {FailureRecord} from '../job/failure.ts';
import type {Clock} from '../support/clock.ts';
import type {Loaded} from '../worker/messages.ts';
import type {InFlightChunk} from './in-flight.ts';
import type {Capacity, PoolWorker, WorkerKind} from './pool.ts';

/** A worker whose job has run for this long gets no second chunk to wait behind it. */
const NO_PREFETCH_MS = 250;

/** Why the pool ended a worker; `retired` after enough work. */
export type EndReason = 'stopped' | 'blocked' | 'broken' | 'unready' | 'retired';

export interface Slot {
	readonly worker: PoolWorker;
	/** Also its cell in the file of open jobs. */
	readonly number: number;
	/**
	 * `loading` its tasks module: a chunk that it was started for stays with the pool until then; then `ready`. `retiring` when it gets
	 * nothing more; `ending` from the moment it is asked to end, or seen to fail, until it is gone.
	 */
	phase: 'loading' | 'ready' | 'retiring' | 'ending';
	/** The chunk that runs, and one that waits. */
	readonly chunks: InFlightChunk[];
	/** Given to it so far. */
	jobs: number;
	readonly startedAt: number;
	hasReported: boolean;
	/** For how long the watch has seen it with a chunk, running nothing and reporting nothing. */
	quietMs: number;
	loaded?: Promise<Loaded | undefined>;
	/** The code of each task that it has loaded, by name. */
	codes?: ReadonlyMap<string, string> | undefined;
	/** While it loads or sets up a task: cancels the report of a slow start. */
	endPreparing?: (() => void) | undefined;
	/** Resolves once its tasks have cleaned up, or their time is over. */
	tornDown?: Promise<unknown>;
	/** Why it was asked to end. */
	end?: {readonly reason: EndReason; readonly error?: FailureRecord};
}

/** The workers, the chunks of each, and the capacity that follows from these. */
export class Slots {
	readonly #most: number;
	readonly #clock: Clock;
	readonly all = new Set<Slot>();
	/** By kind: so many workers start by themselves, and none of these is added for a chunk. */
	readonly reserved = new Map<WorkerKind, number>();
	/** From then on no worker is added. */
	isClosed = false;

	/** @param most workers of each kind, and workers of all kinds that may have chunks at the same time */
	constructor(most: number, clock: Clock) {
		this.#most = most;
		this.#clock = clock;
	}

	count(is: (slot: Slot) => boolean): number {
		let count = 0;
		for (const slot of this.all) if (is(slot)) count++;
		return count;
	}

	/** How many workers have a chunk. */
	get busy(): number {
		return this.count(({chunks}) => chunks.length > 0);
	}

	get chunks(): InFlightChunk[] {
		return [...this.all].flatMap(({chunks}) => chunks);
	}

	add(worker: PoolWorker): Slot {
		const slot: Slot = {
			worker,
			number: this.#freeNumber(),
			phase: 'loading',
			chunks: [],
			jobs: 0,
			startedAt: this.#clock.steadyMs(),
			hasReported: false,
			quietMs: 0,
		};
		this.all.add(slot);
		return slot;
	}

	/** How many workers of this kind may be added. */
	addable(kind: WorkerKind): number {
		const count = this.count(({worker}) => worker.kind === kind);
		return this.isClosed ? 0 : this.#most - Math.max(count, this.reserved.get(kind) ?? 0);
	}

	capacity(kind: WorkerKind): Capacity {
		let idle = this.addable(kind);
		let prefetch = 0;
		const now = this.#clock.steadyMs();
		for (const slot of this.all) {
			if (slot.worker.kind !== kind || slot.phase !== 'ready') continue;
			if (slot.chunks.length === 0) idle++;
			else if (slot.chunks.length === 1 && !isLong(slot, now)) prefetch++;
		}
		return {idle: Math.min(idle, this.#most - this.busy), prefetch};
	}

	/** The worker that will be free first: an idle one, a new one, or one with room for a second chunk, if possible not behind a long job. */
	pick(kind: WorkerKind, add: () => Slot | undefined): Slot {
		const now = this.#clock.steadyMs();
		const ready = [...this.all].filter(({worker, phase, chunks}) => worker.kind === kind && phase === 'ready' && chunks.length < 2);
		const free = this.busy < this.#most ? (ready.find(({chunks}) => chunks.length === 0) ?? add()) : undefined;
		const busy = ready.filter(({chunks}) => chunks.length > 0);
		const slot = free ?? busy.find(each => !isLong(each, now)) ?? busy[0];
		if (!slot) throw new Error('The pool was given a chunk and has no place for it.');
		return slot;
	}

	assign(slot: Slot, chunk: InFlightChunk): void {
		slot.chunks.push(chunk);
		slot.jobs += chunk.size;
		chunk.onEnd.push(() => slot.chunks.splice(slot.chunks.indexOf(chunk), 1));
	}

	#freeNumber(): number {
		const used = new Set([...this.all].map(({number}) => number));
		let number = 0;
		while (used.has(number)) number++;
		return number;
	}
}

function isLong({chunks}: Slot, now: number): boolean {
	const running = chunks[0]?.chunkState.running();
	return running !== undefined && now - running.since > NO_PREFETCH_MS;
}
