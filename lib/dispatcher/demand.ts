import {type ClaimedGroup, cutClaimed, joinClaimed, MAX_GROUP_JOBS, sizeOf} from '../job/group.ts';
import {mostTogether} from '../job/job.ts';
import type {TaskInfo} from '../job/task.ts';
import type {Capacity, Pool} from '../pool/pool.ts';
import type {LaneRequest} from '../store/store.ts';

export const NO_CAPACITY: Capacity = {idle: 0, prefetch: 0};

/** Decides how many jobs of each task to claim, by the pool's capacity, and cuts claimed jobs into chunks. */
export class Demand {
	readonly sizer = new ChunkSizer();
	/** The options of the tasks that the pool runs, by name. */
	tasks: ReadonlyMap<string, TaskInfo['options']> = new Map();
	/** Tasks of which claimed chunks wait for room in the pool. No more of their jobs are claimed meanwhile. */
	held: ReadonlySet<string> = new Set();
	readonly #pool: Pool | undefined;

	constructor(pool: Pool | undefined) {
		this.#pool = pool;
	}

	get hasCapacity(): boolean {
		return this.tasks.keys().some(task => !this.held.has(task) && this.#chunksFor(task) > 0);
	}

	/** How many jobs of each lane to claim. */
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
		const most = Math.min(this.#chunkSize(task), Math.ceil(jobsIn(groups) / Math.max(1, this.#chunksFor(task))));
		const least = Math.min(most, Math.max(this.sizer.minSize(task), this.tasks.get(task)?.batchSize ?? 1));
		return cutIntoChunks(groups, left => Math.max(least, Math.min(most, Math.ceil((left + backlog) / (2 * (this.#pool?.slots ?? 1))))));
	}

	/** Jobs in a chunk. A claimed job counts as running, so jobs of a task with a limit of jobs or memory are claimed one by one. */
	#chunkSize(task: string): number {
		const {concurrency, memoryBytes, batchSize = 1} = this.tasks.get(task) ?? {};
		const most = this.#pool?.maxJobs ?? 1;
		const together = Math.min(batchSize, most);
		if (concurrency !== undefined || memoryBytes !== undefined) return together;
		return Math.min(Math.ceil(this.sizer.size(task) / together), Math.floor(most / together)) * together;
	}

	/** Chunks of the task that the pool can take now. A worker takes a second one only while the task's jobs are short. */
	#chunksFor(task: string): number {
		const {idle, prefetch} = this.#pool?.capacity({task, quarantined: false}) ?? NO_CAPACITY;
		return idle + (this.sizer.isShort(task) ? prefetch : 0);
	}
}

/** A group that fills this share of a chunk is a chunk by itself. */
const MIN_CHUNK_SHARE = 1 / 8;

/** Cuts groups of one task into chunks, in order. `mostOf` is the most jobs of the next chunk, if so many are left. */
export function cutIntoChunks(groups: readonly ClaimedGroup[], mostOf: (left: number) => number): ClaimedGroup[] {
	const chunks: ClaimedGroup[][] = [];
	let chunk: ClaimedGroup[] = [];
	let left = jobsIn(groups);
	let [most, room] = [0, 0];
	for (const group of groups) {
		for (let start = 0; start < sizeOf(group); ) {
			if (room === 0) {
				most = mostOf(left);
				room = most;
				chunk = [];
				chunks.push(chunk);
			}
			const count = Math.min(sizeOf(group) - start, room);
			chunk.push(cutClaimed(group, start, start + count));
			start += count;
			left -= count;
			room = chunk.length === 1 && count > 1 && count >= most * MIN_CHUNK_SHARE ? 0 : room - count;
		}
	}
	return chunks.map(joinClaimed);
}

function jobsIn(groups: readonly ClaimedGroup[]): number {
	return groups.reduce((sum, group) => sum + sizeOf(group), 0);
}

/** A chunk should hold this many times the work of a transaction, so that durability costs a worker 1 %. */
const WORK_PER_COMMIT = 100;
/** The least and the most work that a chunk should hold. */
const MIN_WORK_MS = 4;
const MAX_WORK_MS = 100;
/** Less work is not worth a message of its own. */
const MIN_MESSAGE_WORK_MS = 2;
/** A slow transaction takes this many times as long as usual. */
const SLOW_COMMIT_FACTOR = 4;
/** Tasks with longer jobs get no second chunk in a worker: the next commit takes less time than the job. */
const MAX_SHORT_JOB_MS = 100;
/** Weight of the newest measurement in running means. */
const NEWEST_WEIGHT = 0.3;
/** A chunk is at most this many times as large as the one before, so that one wrong estimate does not fill a worker. */
const MAX_GROWTH = 4;

/** Decides how much work a chunk holds and a commit waits for, from running means of the time of a task's jobs and of a transaction. */
export class ChunkSizer {
	readonly #tasks = new Map<string, {meanMs: number; size: number}>();
	#commitMs = MIN_WORK_MS / WORK_PER_COMMIT;

	observeCommit(commitMs: number): void {
		this.#commitMs = toMean(this.#commitMs, commitMs);
	}

	/** Learns from jobs of the task that ran for so long in all. */
	observe(task: string, jobs: number, totalMs: number): void {
		const mean = totalMs / jobs;
		const known = this.#tasks.get(task);
		const meanMs = known ? toMean(known.meanMs, mean) : mean;
		const fitting = Math.min(MAX_GROUP_JOBS, Math.round(this.workMs / Math.max(meanMs, 0.001)));
		const size = Math.max(1, Math.min(fitting, (known?.size ?? 1) * MAX_GROWTH));
		this.#tasks.set(task, {meanMs, size});
	}

	/** How much work a chunk should hold. */
	get workMs(): number {
		return Math.min(MAX_WORK_MS, Math.max(MIN_WORK_MS, this.#commitMs * WORK_PER_COMMIT));
	}

	/**
	 * How long after the last commit the next one should come. While each worker has its next chunk, a commit would gain nothing and cost an fsync.
	 * If a worker could take another chunk, the commit comes shortly before the shortest chunk ends: even a slow one is then in time.
	 */
	lingerMs({idle, prefetch}: Capacity, shortestChunkMs: number): number {
		if (idle > 0) return 0;
		const deadlineMs = Math.max(shortestChunkMs / 2, shortestChunkMs - SLOW_COMMIT_FACTOR * this.#commitMs);
		return prefetch > 0 ? Math.min(this.workMs, deadlineMs) : this.workMs;
	}

	size(task: string): number {
		return this.#tasks.get(task)?.size ?? 1;
	}

	/** Fewer jobs of the task are not worth a message of their own. */
	minSize(task: string): number {
		return Math.max(1, Math.floor(MIN_MESSAGE_WORK_MS / Math.max(this.#tasks.get(task)?.meanMs ?? MIN_MESSAGE_WORK_MS, 0.001)));
	}

	/** How long a worker will be busy with this many jobs of the task. */
	expectedMs(task: string, jobs: number): number {
		return jobs * (this.#tasks.get(task)?.meanMs ?? 0);
	}

	/** True while the task's jobs are so short that a worker should have the next chunk before it needs it. */
	isShort(task: string): boolean {
		return (this.#tasks.get(task)?.meanMs ?? 0) < MAX_SHORT_JOB_MS;
	}
}

function toMean(mean: number, newest: number): number {
	return mean * (1 - NEWEST_WEIGHT) + newest * NEWEST_WEIGHT;
}
