import {type ClaimedGroup, cutClaimed, type EndedGroup, joinClaimed, sizeOf} from '../job/group.ts';
import {mostTogether} from '../job/job.ts';
import {PackedTimes} from '../job/packed-times.ts';
import type {TaskInfo} from '../job/task.ts';
import type {Capacity, Lane, Pool} from '../pool/pool.ts';
import type {LaneRequest} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';

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

/** Decides how many jobs make a chunk, from running means of the time of a task's jobs and of a transaction. */
export class ChunkSizer {
	readonly #tasks = new Map<string, {meanMs: number; size: number}>();
	readonly #maxJobs: (task: string) => number;
	#commitMs = MIN_WORK_MS / WORK_PER_COMMIT;

	/** @param maxJobs the most jobs of the task that the pool takes in a chunk */
	constructor(maxJobs: (task: string) => number) {
		this.#maxJobs = maxJobs;
	}

	/** How much work a chunk should hold, by the time of a transaction on this disk. */
	get workMs(): number {
		return Math.min(MAX_WORK_MS, Math.max(MIN_WORK_MS, this.#commitMs * WORK_PER_COMMIT));
	}

	/** How long a commit can wait while a worker has `aheadMs` of work: even a slow commit then ends in time. */
	commitDeadlineMs(aheadMs: number): number {
		return Math.max(aheadMs / 2, aheadMs - SLOW_COMMIT_FACTOR * this.#commitMs);
	}

	observeCommit(commitMs: number): void {
		this.#commitMs = toMean(this.#commitMs, commitMs);
	}

	observeGroups(task: string, groups: readonly EndedGroup[]): void {
		const {jobs, totalMs} = workOf(groups);
		if (jobs > 0) this.observe(task, jobs, totalMs);
	}

	observe(task: string, jobs: number, totalMs: number): void {
		const mean = totalMs / jobs;
		const known = this.#tasks.get(task);
		const meanMs = known ? toMean(known.meanMs, mean) : mean;
		const fitting = Math.min(this.#maxJobs(task), Math.round(this.workMs / Math.max(meanMs, 0.001)));
		const size = Math.max(1, Math.min(fitting, (known?.size ?? 1) * MAX_GROWTH));
		this.#tasks.set(task, {meanMs, size});
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

/** How many of the jobs ran, and their run time in all. */
function workOf(groups: readonly EndedGroup[]): {jobs: number; totalMs: number} {
	let [jobs, totalMs] = [0, 0];
	for (const group of groups) {
		const durations = new PackedTimes(group.times).column('durationMs');
		const sum = durations.sum();
		if (Number.isNaN(sum)) {
			durations.forEach((ms, count) => {
				if (Number.isNaN(ms)) return;
				jobs += count;
				totalMs += ms * count;
			});
		} else {
			jobs += sizeOf(group);
			totalMs += sum;
		}
	}
	return {jobs, totalMs};
}

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
