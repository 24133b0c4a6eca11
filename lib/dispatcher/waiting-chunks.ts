import {type ClaimedGroup, type EndedGroup, sizeOf, toReleased} from '../job/group.ts';
import {laneOf, type Pool} from '../pool/pool.ts';
import type {Statistics} from './statistics.ts';

/** Claimed chunks for which the pool has no capacity yet. A claim of several tasks may return more chunks than there are idle workers. */
export class WaitingChunks {
	readonly #pool: Pool;
	readonly #statistics: Statistics;
	#chunks: ClaimedGroup[] = [];

	constructor(pool: Pool, statistics: Statistics) {
		this.#pool = pool;
		this.#statistics = statistics;
	}

	get isEmpty(): boolean {
		return this.#chunks.length === 0;
	}

	add(chunks: readonly ClaimedGroup[]): void {
		this.#chunks.push(...chunks);
	}

	/** Gives the pool the chunks that it can take. */
	feed(): void {
		this.#chunks = this.#chunks.filter(chunk => {
			const {idle, prefetch} = this.#pool.capacity(laneOf(chunk));
			if (idle + prefetch === 0) return true;
			this.#statistics.dispatched(sizeOf(chunk));
			this.#pool.run(this.#withTimeout(chunk));
			return false;
		});
	}

	/** When a job starts, a timeout in percent of the median becomes one in milliseconds. */
	#withTimeout(chunk: ClaimedGroup): ClaimedGroup {
		const {timeoutPercent} = chunk.policy;
		if (timeoutPercent === undefined) return chunk;
		return {...chunk, policy: {...chunk.policy, timeoutMs: this.#statistics.timeoutMs(chunk.task, timeoutPercent)}};
	}

	/** Removes matching chunks, and returns their jobs as released. */
	release(matches: (chunk: ClaimedGroup) => boolean): EndedGroup[] {
		const released = this.#chunks.filter(matches);
		this.#chunks = this.#chunks.filter(chunk => !matches(chunk));
		return released.map(toReleased);
	}
}
