import type {BatchId} from '../job/batch.ts';
import {checked} from '../job/checks.ts';
import type {Retention} from '../job/job.ts';
import {RETENTION_CHECKS} from '../job/options.ts';
import type {Place} from '../job/search.ts';
import type {TaskInfo} from '../job/task/task.ts';
import {type EndTimes, lastUsedAt} from '../store/deletions.ts';
import {FaenaError} from '../support/errors.ts';
import type {Context} from './context.ts';

/** The least and the most time between two searches for what is kept no longer. */
const MIN_EVERY_MS = 1000;
const MAX_EVERY_MS = 3_600_000;

/** Where a search is: among the jobs, after this place in the order of their ends; then among the batches. */
type Position = {readonly after?: Place} | OldBatches;

interface OldBatches {
	readonly old: readonly string[];
	/** The next page of batches begins after this one; `null` at the end. */
	readonly next: BatchId | null;
}

const START: Position = {};

/**
 * Deletes jobs and batches that are kept no longer: a page at a time, between the commits of the loop. Without a time nothing is deleted.
 * A search goes through the jobs that ended long enough ago, then through all batches, once at the start and then every hour, or more often for
 * shorter times.
 */
export class Retentions {
	readonly #context: Context;
	readonly #usual: Retention;
	#ofTasks: ReadonlyMap<string, Retention> = new Map();
	#position: Position = START;
	#isSearching = false;
	#everyMs = Infinity;
	/** When the next search is due at the latest, by the wall clock, which a test moves. */
	#dueAt = Infinity;
	#endTimer: (() => void) | undefined;

	constructor(context: Context, usual: Retention = {}) {
		this.#context = context;
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
		this.#isSearching = true;
		this.#everyMs = Math.min(MAX_EVERY_MS, Math.max(MIN_EVERY_MS, Math.min(...times) / 4));
		this.#endTimer = this.#context.clock.every(this.#everyMs, () => {
			this.#isSearching = true;
			this.#context.wake('retention');
		});
	}

	/** True while a search is under way, or is to begin. */
	get isDue(): boolean {
		return this.#isSearching || this.#context.clock.now() >= this.#dueAt;
	}

	stop(): void {
		this.#endTimer?.();
	}

	async work(): Promise<void> {
		this.#isSearching = true;
		this.#position = 'old' in this.#position ? await this.#deleteBatch(this.#position) : await this.#deleteJobs(this.#position.after);
		if ('old' in this.#position && this.#position.old.length === 0 && this.#position.next === null) {
			this.#isSearching = false;
			this.#dueAt = this.#context.clock.now() + this.#everyMs;
			this.#position = START;
		}
		this.#context.wake('retention');
	}

	async #deleteJobs(after: Place | undefined): Promise<Position> {
		const {store, clock, clients} = this.#context;
		const now = clock.now();
		const tasks = new Map([...this.#ofTasks].map(([task, retention]) => [task, timesOf(retention, now)]));
		const {deleted, next} = await store.delete({ended: {...timesOf(this.#usual, now), tasks}}, {after});
		// Callers may watch them.
		if (deleted > 0) clients.allMayHaveEnded();
		return next === null ? {old: [], next: this.#usual.batches === undefined ? null : 0} : {after: next};
	}

	/** Deletes a page of the jobs of the next old batch, and with the last page the batch; or looks for old batches. */
	async #deleteBatch({old: [batch, ...others], next: after}: OldBatches): Promise<OldBatches> {
		const {store, clock, clients} = this.#context;
		const unusedSince = clock.now() - (this.#usual.batches ?? Infinity) + 1;
		if (batch === undefined) {
			const {batches, next} = await store.batches({}, {after: after ?? 0});
			return {old: batches.flatMap(batch => (lastUsedAt(batch) < unusedSince ? batch.name : [])), next};
		}
		const {next} = await store.delete({batch, unusedSince}).catch(unlessRunning);
		clients.allMayHaveEnded();
		return {old: next === null ? others : [batch, ...others], next: after};
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
