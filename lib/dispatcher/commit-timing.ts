import type {Pool} from '../pool/pool.ts';
import type {Clock} from '../support/clock.ts';
import type {ChunkSizer} from './chunk-sizer.ts';

/**
 * Updates of running jobs wait at most this long, so that several share a commit. Their worker has held them for up to 50 ms already. With
 * the commit itself, this keeps the whole delay below 100 ms: no more work than that is lost with a checkpoint.
 */
const MAX_UPDATE_DELAY_MS = 20;

/** Decides how long the next commit can wait for more to write. */
export class CommitTiming {
	readonly #pool: Pool | undefined;
	readonly #sizer: ChunkSizer;
	readonly #clock: Clock;
	#committedAt = 0;
	/** When waiting updates must be written, by the steady clock. */
	#updatesDueAt = Infinity;
	/** Expected run time of the shortest chunk in the last dispatch. */
	#shortestChunkMs = 0;

	constructor(pool: Pool | undefined, sizer: ChunkSizer, clock: Clock) {
		this.#pool = pool;
		this.#sizer = sizer;
		this.#clock = clock;
	}

	/** To be called when a first update waits for the next commit. Calls `wake` when that commit is due. */
	updateWaits(wake: () => void): void {
		this.#updatesDueAt = this.#clock.steadyMs() + MAX_UPDATE_DELAY_MS;
		this.#clock.after(MAX_UPDATE_DELAY_MS, wake);
	}

	updatesTaken(): void {
		this.#updatesDueAt = Infinity;
	}

	committed(): void {
		this.#committedAt = this.#clock.steadyMs();
	}

	dispatched(shortestChunkMs: number): void {
		this.#shortestChunkMs = shortestChunkMs;
	}

	/**
	 * How long the next commit can wait. If every worker has its next chunk already, a commit would gain nothing and cost an fsync. If a worker
	 * could take another chunk, the commit waits until shortly before the worker ends the one it has. Updates make it wait less.
	 */
	lingerMs(): number {
		if (!this.#pool) return 0;
		const {idle, prefetch} = this.#pool.capacity();
		if (idle > 0) return 0;
		const {workMs} = this.#sizer;
		const commitAt = this.#committedAt + (prefetch > 0 ? Math.min(workMs, this.#sizer.commitDeadlineMs(this.#shortestChunkMs)) : workMs);
		return Math.min(commitAt, this.#updatesDueAt) - this.#clock.steadyMs();
	}
}
