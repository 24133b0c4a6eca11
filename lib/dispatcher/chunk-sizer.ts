import {type EndedGroup, sizeOf} from '../job/group.ts';
import {PackedTimes} from '../job/packed.ts';
import type {Pool} from '../pool/pool.ts';
import type {Clock} from '../support/clock.ts';

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
