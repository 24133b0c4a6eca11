import {type ClaimedGroup, cutClaimed, joinClaimed, sizeOf} from '../job/group.ts';
import {mostTogether} from '../job/job.ts';
import type {TaskInfo} from '../job/task.ts';
import type {Capacity, Lane, Pool} from '../pool/pool.ts';
import type {LaneRequest} from '../store/store.ts';
import {ChunkSizer} from './chunk-sizer.ts';

const NO_CAPACITY: Capacity = {idle: 0, prefetch: 0};

/** Decides how many jobs of each task to claim, by the pool's capacity, and cuts claimed jobs into chunks. */
export class Demand {
	readonly sizer: ChunkSizer;
	readonly #pool: Pool | undefined;
	/** Options of the tasks, by name. */
	#tasks: ReadonlyMap<string, TaskInfo['options']> = new Map();

	constructor(pool: Pool | undefined) {
		this.#pool = pool;
		this.sizer = new ChunkSizer(task => this.#maxJobs(task));
	}

	setTasks(tasks: readonly TaskInfo[]): void {
		this.#tasks = new Map(tasks.map(({name, options}) => [name, options]));
	}

	get tasks(): string[] {
		return [...this.#tasks.keys()];
	}

	/** True if the task's running jobs are limited: when one ends, there is room for the next. */
	isLimited(task: string): boolean {
		return this.#tasks.get(task)?.concurrency !== undefined;
	}

	/** True if the pool can take a chunk of some task. */
	get hasCapacity(): boolean {
		return this.tasks.some(task => this.#chunksFor({task, quarantined: false}) > 0);
	}

	/** How many lanes there are: each task has one of suspects and one of other jobs. */
	get laneCount(): number {
		return 2 * this.#tasks.size;
	}

	/** How many jobs of each lane to claim. Each task has a lane of suspects and a lane of other jobs. */
	lanes(): LaneRequest[] {
		return [...this.#tasks].flatMap(([task, {concurrency}]) => {
			const {idle} = this.#pool?.capacity({task, quarantined: true}) ?? NO_CAPACITY;
			// At most as many as of other jobs: suspects that have ended are reported only after a long one behind them.
			const suspects = idle > 0 ? Math.min(mostTogether(1), this.#chunkSize(task)) : 0;
			return [
				{task, limit: this.#chunkSize(task) * this.#chunksFor({task, quarantined: false}), concurrency},
				{task, limit: suspects, isQuarantined: true, concurrency},
			];
		});
	}

	/**
	 * Cuts claimed groups into chunks. A chunk has at most an even share of these jobs for each chunk that the pool can take, and at most
	 * 1 / (2 × slots) of all jobs that are left, claimed or not. So the last chunks are small, and all workers finish at about the same time.
	 */
	toChunks(groups: readonly ClaimedGroup[], backlog: number): ClaimedGroup[] {
		const suspects = groups.filter(({quarantine}) => quarantine);
		const others = groups.filter(({quarantine}) => !quarantine);
		return [...suspects, ...[...Map.groupBy(others, ({task}) => task)].flatMap(([task, own]) => this.#cut(task, own, backlog))];
	}

	#cut(task: string, groups: readonly ClaimedGroup[], backlog: number): ClaimedGroup[] {
		const chunks: ClaimedGroup[] = [];
		const cutter = new ChunkCutter(groups);
		const most = Math.min(this.#chunkSize(task), Math.ceil(cutter.length / Math.max(1, this.#chunksFor({task, quarantined: false}))));
		const least = Math.min(most, Math.max(this.sizer.minSize(task), this.#tasks.get(task)?.batchSize ?? 1));
		while (cutter.length > 0) {
			const share = Math.ceil((cutter.length + backlog) / (2 * (this.#pool?.slots ?? 1)));
			chunks.push(cutter.take(Math.max(least, Math.min(most, share))));
		}
		return chunks;
	}

	/** Jobs in a chunk. A claimed job counts as running, so jobs of a task with a limit of jobs or memory are claimed one by one. */
	#chunkSize(task: string): number {
		const {concurrency, memoryBytes, batchSize = 1} = this.#tasks.get(task) ?? {};
		const most = this.#maxJobs(task);
		const together = Math.min(batchSize, most);
		if (concurrency !== undefined || memoryBytes !== undefined) return together;
		return Math.min(Math.ceil(this.sizer.size(task) / together), Math.floor(most / together)) * together;
	}

	/** The most jobs that the pool takes in a chunk of the task. */
	#maxJobs(task: string): number {
		return this.#pool?.maxJobs({task, quarantined: false}) ?? 1;
	}

	/** Chunks of this lane that the pool can take now. A worker takes a second one only while the task's jobs are short. */
	#chunksFor(lane: Lane): number {
		const {idle, prefetch} = this.#pool?.capacity(lane) ?? NO_CAPACITY;
		return idle + (this.sizer.isShort(lane.task) ? prefetch : 0);
	}
}

/** A group that fills this share of a chunk is a chunk by itself. */
const MIN_CHUNK_SHARE = 1 / 8;

/** Cuts groups of one task into chunks, in order. */
export class ChunkCutter {
	readonly #groups: readonly ClaimedGroup[];
	/** The group that is cut next. */
	#index = 0;
	/** How many of its jobs were taken. */
	#offset = 0;

	constructor(groups: readonly ClaimedGroup[]) {
		this.#groups = groups;
	}

	/** How many jobs are left. */
	get length(): number {
		return this.#groups.slice(this.#index).reduce((sum, group) => sum + sizeOf(group), -this.#offset);
	}

	/** The next jobs, at most `most`. They are fewer if another group follows, and these jobs fill enough of a chunk. */
	take(most: number): ClaimedGroup {
		const taken: ClaimedGroup[] = [];
		let room = most;
		for (let group = this.#groups[this.#index]; group && room > 0; group = this.#groups[this.#index]) {
			if (taken[0] && !canJoin(taken[0], group)) break;
			const size = sizeOf(group);
			const end = Math.min(size, this.#offset + room);
			taken.push(cutClaimed(group, this.#offset, end));
			const count = end - this.#offset;
			room -= count;
			this.#offset = end < size ? end : 0;
			if (end === size) this.#index++;
			if (taken.length === 1 && count > 1 && count >= most * MIN_CHUNK_SHARE) break;
		}
		return joinClaimed(taken);
	}
}

function canJoin(a: ClaimedGroup, b: ClaimedGroup): boolean {
	return a.policy === b.policy && a.quarantine === b.quarantine;
}
