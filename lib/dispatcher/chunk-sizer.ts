import {MAX_GROUP_JOBS} from '../job/groups/group.ts';
import type {Capacity} from '../pool/pool.ts';

/** A chunk should hold this many times the work of a transaction, so that durability costs a worker 1 %. */
const WORK_PER_COMMIT = 100;
/** The least and the most work that a chunk should hold. */
const MIN_WORK_MS = 4;
const MAX_WORK_MS = 100;
/** Less work is not worth a message of its own. */
const MIN_MESSAGE_WORK_MS = 2;
/** It takes about so long until a second worker has begun, and its outcomes have arrived. */
const TINY_MS = 0.2;
/** A slow transaction takes this many times as long as usual. */
const SLOW_COMMIT_FACTOR = 4;
/** Tasks with longer jobs get no second chunk in a worker: the next commit takes less time than the job. */
const MAX_SHORT_JOB_MS = 250;
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

	get workMs(): number {
		return Math.min(MAX_WORK_MS, Math.max(MIN_WORK_MS, this.#commitMs * WORK_PER_COMMIT));
	}

	/**
	 * How long after the last commit the next one should come: if a worker could take another chunk, shortly before the shortest one ends. Otherwise a
	 * commit would gain nothing and cost an fsync.
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

	/** True if so many jobs take less time than it takes to wake a second worker for half of them. */
	isTiny(task: string, jobs: number): boolean {
		return this.#tasks.has(task) && this.expectedMs(task, jobs) < TINY_MS;
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
