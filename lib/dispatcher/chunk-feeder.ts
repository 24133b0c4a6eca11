import {type ClaimedGroup, type EndedGroup, sizeOf} from '../job/groups/group.ts';
import {toReleased} from '../job/groups/single-jobs.ts';
import {STRANDED_MS} from '../pool/job-supervisor.ts';
import {laneOf, type Pool} from '../pool/pool.ts';
import type {Clock} from '../support/clock.ts';
import {failpoint} from '../support/failpoint.ts';
import {trace} from '../support/trace.ts';
import {type Demand, NO_CAPACITY} from './demand.ts';
import type {Statistics} from './statistics.ts';
import {withPolicies} from './timeouts.ts';
import {traceClaimed, traceTaken} from './trace.ts';

/** Cuts claimed jobs into chunks and gives them to the pool. A claim of several tasks may return more chunks than there are idle workers: those wait here for a while. */
export class ChunkFeeder {
	readonly #pool: Pool | undefined;
	readonly #demand: Demand;
	readonly #statistics: Statistics;
	readonly #clock: Pick<Clock, 'after'>;
	readonly #release: (jobs: readonly EndedGroup[]) => void;
	#chunks: ClaimedGroup[] = [];
	/** Expected run time of the shortest chunk in the last dispatch. */
	shortestChunkMs = 0;

	/** @param release gets jobs that have waited for too long */
	constructor(pool: Pool | undefined, demand: Demand, statistics: Statistics, clock: Pick<Clock, 'after'>, release: (jobs: readonly EndedGroup[]) => void) {
		this.#pool = pool;
		this.#demand = demand;
		this.#statistics = statistics;
		this.#clock = clock;
		this.#release = release;
	}

	/** @param backlog the number of jobs that are still ready in the store */
	start(groups: readonly ClaimedGroup[], backlog: number): void {
		const chunks = this.#demand.toChunks(groups, backlog);
		this.shortestChunkMs = Math.min(...chunks.map(chunk => this.#demand.sizer.expectedMs(chunk.task, sizeOf(chunk))));
		if (trace) for (const chunk of chunks) traceClaimed(chunk);
		this.#chunks.push(...chunks);
		this.feed();
		if (this.#chunks.length > 0) this.#clock.after(STRANDED_MS, () => this.#release(this.takeBack(chunk => chunks.includes(chunk))));
		failpoint('chunk:given');
	}

	feed(): void {
		this.#keep(
			this.#chunks.filter(chunk => {
				const {idle, prefetch} = this.#pool?.capacity(laneOf(chunk)) ?? NO_CAPACITY;
				if (idle + prefetch === 0) return true;
				this.#statistics.dispatched(sizeOf(chunk));
				this.#pool?.run(withPolicies(chunk, this.#demand.tasks.get(chunk.task)?.own, task => this.#statistics.medianMs(task)));
				if (trace) traceTaken(chunk);
				return false;
			}),
		);
	}

	/** Takes back chunks that the pool has not got, and returns their jobs as released. */
	takeBack(matches: (chunk: ClaimedGroup) => boolean): EndedGroup[] {
		const taken = this.#chunks.filter(matches);
		this.#keep(this.#chunks.filter(chunk => !matches(chunk)));
		return taken.map(toReleased);
	}

	#keep(chunks: ClaimedGroup[]): void {
		this.#chunks = chunks;
		this.#demand.held = new Set(chunks.map(({task}) => task));
	}
}
