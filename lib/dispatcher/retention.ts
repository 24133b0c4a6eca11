import {checked} from '../job/checks.ts';
import type {BatchId, JobId, Retention} from '../job/job.ts';
import {RETENTION_CHECKS} from '../job/options.ts';
import type {TaskInfo} from '../job/task.ts';
import type {EndedBefore, EndTimes} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import type {Host} from './job-flow.ts';

/** The least and the most time between two searches for what is kept no longer. */
const MIN_EVERY_MS = 1000;
const MAX_EVERY_MS = 3_600_000;

/**
 * Deletes jobs and closed batches that are kept no longer: a page at a time, between the commits of the loop. Without a time nothing is deleted.
 * A search goes through all ended jobs, then through all batches, once at the start and then every hour, or more often for shorter times.
 */
export class Retentions {
	/** True while a search is under way. */
	isDue = false;
	readonly #host: Host;
	readonly #usual: Retention;
	#ofTasks: ReadonlyMap<string, Retention> = new Map();
	#position: {readonly jobsAfter: JobId} | {readonly batchesAfter: BatchId} = {jobsAfter: 0};
	#endTimer: (() => void) | undefined;

	constructor(host: Host, usual: Retention = {}) {
		this.#host = host;
		this.#usual = usual;
	}

	/** Begins the first search, if something is to be deleted at all. */
	start(tasks: readonly TaskInfo[]): void {
		const own = tasks.flatMap(({name, options: {retention}}) =>
			retention ? [[name, checked(`task ${name}`, retention, RETENTION_CHECKS) as Retention] as const] : [],
		);
		this.#ofTasks = new Map(own);
		const times = [this.#usual, ...this.#ofTasks.values()].flatMap(each => Object.values(each) as number[]);
		if (times.length === 0) return;
		this.isDue = true;
		this.#endTimer = this.#host.clock.every(Math.min(MAX_EVERY_MS, Math.max(MIN_EVERY_MS, Math.min(...times) / 4)), () => {
			this.isDue = true;
			this.#host.wake();
		});
	}

	stop(): void {
		this.#endTimer?.();
	}

	/** Deletes a page. */
	async work(): Promise<void> {
		if ('jobsAfter' in this.#position) await this.#deleteJobs(this.#position.jobsAfter);
		else await this.#deleteBatch(this.#position.batchesAfter);
		this.#host.wake();
	}

	async #deleteJobs(after: JobId): Promise<void> {
		const {store, clock} = this.#host;
		const {next} = await store.delete({endedBefore: this.#endedBefore(clock.now())}, {after});
		this.#position = next === null ? {batchesAfter: 0} : {jobsAfter: next};
	}

	#endedBefore(now: number): EndedBefore {
		return {...timesOf(this.#usual, now), tasks: new Map([...this.#ofTasks].map(([task, retention]) => [task, timesOf(retention, now)]))};
	}

	/** Deletes a page of the jobs of the next old batch, and with the last page the batch. */
	async #deleteBatch(after: BatchId): Promise<void> {
		const {store, clock} = this.#host;
		const {batches: keptMs} = this.#usual;
		const {batches, next} = keptMs === undefined ? {batches: [], next: null} : await store.batches({}, {after});
		const closedBefore = clock.now() - (keptMs ?? 0) + 1;
		const old = batches.find(({closedAt = Infinity}) => closedAt < closedBefore);
		if (old) {
			const page = await store.delete({batch: old.name, closedBefore}).catch(unlessRunning);
			if (page.next === null) this.#position = {batchesAfter: old.id};
		} else if (next !== null) this.#position = {batchesAfter: next};
		else {
			this.isDue = false;
			this.#position = {jobsAfter: 0};
		}
	}
}

/** Times are whole milliseconds: what is kept for 0 ms includes what ended in this one. */
function timesOf({completed, dead, cancelled}: Retention, now: number): EndTimes {
	const before = (keptMs: number | undefined) => (keptMs === undefined ? -Infinity : now - keptMs + 1);
	return {completed: before(completed), dead: before(dead), cancelled: before(cancelled)};
}

/** A job of the closed batch was retried, and runs. The batch is left until the next search. */
function unlessRunning(error: unknown): {readonly next: null} {
	if (error instanceof FaenaError && error.code === 'BatchRunning') return {next: null};
	throw error;
}
