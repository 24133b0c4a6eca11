import type {ClaimedGroup} from '../job/groups/group.ts';
import {mostTogether} from '../job/job.ts';
import type {CheckedOptions} from '../job/options.ts';
import type {TaskInfo} from '../job/task/task.ts';
import type {Capacity, Pool} from '../pool/pool.ts';
import type {LaneRequest} from '../store/store.ts';
import {cutIntoChunks, jobsIn} from './chunk-cutter.ts';
import {ChunkSizer} from './chunk-sizer.ts';

export const NO_CAPACITY: Capacity = {idle: 0, prefetch: 0};

/** Decides how many jobs of each task to claim, by the pool's capacity, and cuts claimed jobs into chunks. */
export class Demand {
	readonly sizer = new ChunkSizer();
	/** The options of the tasks that the pool runs, by name: as they are written, and `own`, as they are checked. */
	tasks: ReadonlyMap<string, TaskInfo['options'] & {readonly own?: CheckedOptions}> = new Map();
	/** Tasks of which claimed chunks wait for room in the pool. No more of their jobs are claimed meanwhile. */
	held: ReadonlySet<string> = new Set();
	readonly #pool: Pool | undefined;

	constructor(pool: Pool | undefined) {
		this.#pool = pool;
	}

	get hasCapacity(): boolean {
		return this.tasks.keys().some(task => !this.held.has(task) && this.#chunksFor(task) > 0);
	}

	lanes(): LaneRequest[] {
		return [...this.tasks].flatMap(([task, {concurrency}]) => {
			if (this.held.has(task)) return [];
			const {idle} = this.#pool?.capacity({task, quarantined: true}) ?? NO_CAPACITY;
			// At most as many as of other jobs: suspects that have ended are reported only after a long one behind them.
			const suspects = idle > 0 ? Math.min(mostTogether(1), this.#chunkSize(task)) : 0;
			return [
				{task, limit: this.#chunkSize(task) * this.#chunksFor(task), concurrency},
				{task, limit: suspects, isQuarantined: true, concurrency},
			];
		});
	}

	/** Cuts claimed groups into chunks: at most an even share for each that the pool can take, and small at the end, so that all workers end together. */
	toChunks(groups: readonly ClaimedGroup[], backlog: number): ClaimedGroup[] {
		const suspects = groups.filter(({quarantine}) => quarantine);
		const others = groups.filter(({quarantine}) => !quarantine);
		return [...suspects, ...[...Map.groupBy(others, ({task}) => task)].flatMap(([task, own]) => this.#cut(task, own, backlog))];
	}

	#cut(task: string, groups: readonly ClaimedGroup[], backlog: number): ClaimedGroup[] {
		const jobs = jobsIn(groups);
		const isTiny = backlog === 0 && this.sizer.isTiny(task, jobs);
		const most = isTiny ? this.#chunkSize(task) : Math.min(this.#chunkSize(task), Math.ceil(jobs / Math.max(1, this.#chunksFor(task))));
		const least = Math.min(most, Math.max(this.sizer.minSize(task), this.tasks.get(task)?.batchSize ?? 1));
		return cutIntoChunks(groups, left => Math.max(least, Math.min(most, Math.ceil((left + backlog) / (2 * (this.#pool?.slots ?? 1))))));
	}

	/** Jobs in a chunk. A claimed job counts as running, so jobs of a task with a limit of jobs or memory are claimed one by one. */
	#chunkSize(task: string): number {
		const {concurrency, memory, batchSize = 1} = this.tasks.get(task) ?? {};
		const most = this.#pool?.maxJobs ?? 1;
		const together = Math.min(batchSize, most);
		if (concurrency !== undefined || memory !== undefined) return together;
		return Math.min(Math.ceil(this.sizer.size(task) / together), Math.floor(most / together)) * together;
	}

	/** Chunks of the task that the pool can take now. A worker takes a second one only while the task's jobs are short. */
	#chunksFor(task: string): number {
		const {idle, prefetch} = this.#pool?.capacity({task, quarantined: false}) ?? NO_CAPACITY;
		return idle + (this.sizer.isShort(task) ? prefetch : 0);
	}
}
