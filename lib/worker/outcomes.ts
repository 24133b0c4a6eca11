import {setImmediate as nextTurn} from 'node:timers/promises';
import {getHeapStatistics} from 'node:v8';
import type {Encoded} from '../job/encoding.ts';
import type {FailureRecord} from '../job/failure.ts';
import {sizeOf} from '../job/groups/group.ts';
import {pack} from '../job/groups/packed.ts';
import {inUnits, packTimes} from '../job/groups/packed-times.ts';
import type {StopReason} from '../job/job.ts';
import type {ChildJob} from '../job/new-job.ts';
import type {Isolation} from '../job/task/task.ts';
import {include, makeMap, makeSet, round, set, setImmediate, setTimeout} from '../support/primordials.ts';
import type {ChunkMessage, OutcomesMessage, UpdateMessage, WorkerMessage} from './messages.ts';

/** How long outcomes wait for those of the next jobs while a job waits for something. Each message costs the dispatcher 0.1 ms. */
const SOON_MS = 10;

/**
 * The outcomes of a chunk's jobs, by index, until they are posted and final. Jobs begin and end in order, a micro-batch at once:
 *
 *     final ≤ posted ≤ ended ≤ begun
 *
 * A task may have replaced functions of JavaScript. So what decides about a job is written and read without them.
 */
export class OutcomeBuffer {
	readonly #chunk: number;
	readonly #post: (message: WorkerMessage) => void;
	readonly #epochMs: number;
	readonly #usage: ResourceUsage;
	#cpuMs: number;
	/** Jobs that are final, */
	#final = 0;
	/** that were posted, */
	#posted = 0;
	/** and that have ended, were taken back or have expired. */
	#ended = 0;
	/** When the first job began that is not posted. */
	#since: number | undefined;
	readonly #jobs: Jobs;
	readonly #failures: Record<number, FailureRecord> = {__proto__: null} as never;
	/** How jobs that are not posted yet ended, unless they simply returned; and failures that come late. */
	#notes: Notes = noNotes();
	#willPost = false;
	/** The last updates of jobs that are not posted. */
	#updates: UpdateMessage[] = [];
	readonly #onFinal: (jobs: number) => void;

	/** @param onFinal gets the number of jobs, from the first on, that are final */
	constructor({chunk, group}: ChunkMessage, post: (message: WorkerMessage) => void, usage: ResourceUsage, epochMs: number, onFinal: (jobs: number) => void) {
		const jobs = sizeOf(group);
		this.#chunk = chunk;
		this.#post = post;
		this.#onFinal = onFinal;
		this.#usage = usage;
		this.#cpuMs = usage.cpuMs();
		this.#epochMs = epochMs;
		this.#jobs = {
			startedAt: new Float64Array(jobs),
			durationMs: new Float64Array(jobs),
			values: new Array<Encoded>(jobs).fill(null),
			hasResult: new Uint8Array(jobs),
		};
	}

	skip(index: number, why: 'skipped' | 'expired' = 'skipped'): void {
		this.#notes[why] ??= makeSet();
		include(this.#notes[why], index);
		this.#ended = index + 1;
	}

	begin(index: number, at: number): void {
		// If the worker is lost with this job, the pool must not accuse those that never started.
		if (this.#notes.expired) this.post();
		this.#since ??= at;
		this.#jobs.startedAt[index] = round(at + this.#epochMs);
	}

	return(index: number, value: Encoded): void {
		this.#jobs.hasResult[index] = 1;
		this.#jobs.values[index] = value;
	}

	enqueue(index: number, made: readonly ChildJob[]): void {
		this.#notes.enqueues ??= makeMap();
		set(this.#notes.enqueues, index, made);
	}

	/** Fails the job, also if it has returned, unless its outcome is final. */
	fail(index: number, failure: FailureRecord): void {
		this.#jobs.hasResult[index] = 1;
		this.#failures[index] = failure;
		this.#jobs.values[index] = null;
		if (index >= this.#posted) return;
		this.#notes.late ??= makeMap();
		set(this.#notes.late, index, failure);
	}

	/** Ends the job. If it was asked to stop before, its result is discarded. So many jobs ran `together`, itself included. */
	end(index: number, durationMs: number, stop: StopReason | undefined, together: number): void {
		this.#jobs.durationMs[index] = inUnits(durationMs);
		this.#ended = index + 1;
		if (stop === undefined) {
			// A task may have replaced a function that leads to `return` or `fail`.
			if (this.#jobs.hasResult[index] !== 1) throw new Error('A job ended that has neither returned nor failed.');
			return;
		}
		this.#jobs.values[index] = null;
		this.#notes.stops ??= makeMap();
		set(this.#notes.stops, index, stop === 'timedOut' && together > 1 ? 'timedOutTogether' : stop);
	}

	/** The job has ended: its last update travels with its outcome. */
	update(update: UpdateMessage): void {
		this.#updates[this.#updates.length] = update;
	}

	ageMs(now: number): number {
		return this.#since === undefined ? 0 : now - this.#since;
	}

	isFinal(index: number): boolean {
		return index < this.#final;
	}

	post(): void {
		const first = this.#posted;
		const end = this.#ended;
		if (end === first) return;
		const updates = this.#updates;
		if (updates.length > 0) this.#updates = [];
		for (let index = 0; index < updates.length; index++) this.#post(updates[index] as UpdateMessage);
		const failures = this.#failuresOf(first, Infinity);
		const values = pack(this.#jobs.values.slice(first, end));
		const times = this.#timesOf(first, end);
		const message: OutcomesMessage = {type: 'outcomes', chunk: this.#chunk, first, values, times, ...(failures && {failures}), ...this.#notes};
		this.#posted = end;
		const next = this.#jobs.startedAt[end];
		this.#since = next ? next - this.#epochMs : undefined;
		this.#jobs.values.fill(null, first, end);
		this.#notes = noNotes();
		this.#post(message);
	}

	/** Posts the ended jobs soon, since the running job waits for something, perhaps for long. A turn of the event loop later they are final. */
	postSoon(): void {
		if (this.#willPost) return;
		this.#willPost = true;
		setTimeout(() => {
			this.#willPost = false;
			this.post();
			// It is never cleared: where clearImmediate() meets an uncaught error, Node 24 loses all immediates.
			if (this.#posted > this.#final) setImmediate(() => this.#finish(false));
		}, SOON_MS);
	}

	/** Posts the rest of the chunk. It is final a turn of the event loop later, in which unhandled rejections surface, or if the worker ends in this turn. */
	async conclude(): Promise<void> {
		this.post();
		await nextTurn();
		this.#finish(true);
	}

	#finish(isLast: boolean): void {
		if (this.#posted === this.#final && !isLast) return;
		const failures = this.#failuresOf(0, this.#posted);
		for (const index in this.#failures) if (+index < this.#posted) delete this.#failures[index];
		this.#final = this.#posted;
		this.#onFinal(this.#final);
		this.#post({type: 'final', chunk: this.#chunk, isLast, ...(failures && {failures}), ...(isLast && {memoryBytes: this.#usage.usedBytes()})});
	}

	/** `undefined` if none of the jobs from `first` up to `end` has failed. */
	#failuresOf(first: number, end: number): Map<number, FailureRecord> | undefined {
		let failures: Map<number, FailureRecord> | undefined;
		for (const index in this.#failures) {
			if (+index < first || +index >= end) continue;
			failures ??= makeMap();
			set(failures, +index, this.#failures[index] as FailureRecord);
		}
		return failures;
	}

	#timesOf(first: number, end: number): Uint8Array {
		const count = end - first;
		return packTimes(count, {
			startedAt: this.#jobs.startedAt.slice(first, end),
			durationMs: this.#jobs.durationMs.slice(first, end),
			cpuMs: new Float64Array(count).fill(inUnits(this.#spentMs() / count)),
			memoryBytes: count === 1 ? Float64Array.of(this.#usage.peakBytes()) : undefined,
		});
	}

	/** Processor time since the last call, or since the chunk began. */
	#spentMs(): number {
		const before = this.#cpuMs;
		this.#cpuMs = this.#usage.cpuMs();
		return this.#cpuMs - before;
	}
}

/** What is known of each job, by index. */
interface Jobs {
	/** Milliseconds since 1970. */
	readonly startedAt: Float64Array;
	readonly durationMs: Float64Array;
	readonly values: Encoded[];
	/** 1 for each job that has returned or failed. */
	readonly hasResult: Uint8Array;
}

interface Notes {
	stops?: Map<number, StopReason | 'timedOutTogether'>;
	skipped?: Set<number>;
	expired?: Set<number>;
	enqueues?: Map<number, readonly ChildJob[]>;
	late?: Map<number, FailureRecord>;
}

/** Without a prototype, to which a task could have added properties. */
function noNotes(): Notes {
	return {__proto__: null} as never;
}

/** What a worker uses of the machine, as far as Node tells. */
export interface ResourceUsage {
	/** Processor time so far; NaN for a thread before Node 23.9. */
	cpuMs(): number;
	/** A thread's heap, a process's memory. */
	usedBytes(): number;
	/** The highest memory that a process ever had. Of a thread the current heap, since its peak isn't known. */
	peakBytes(): number;
}

const toMs = (usage?: NodeJS.CpuUsage) => (usage ? (usage.user + usage.system) / 1000 : NaN);
const heapBytes = () => getHeapStatistics().used_heap_size;
const threadMs = () => toMs(process.threadCpuUsage?.());
const memory = {usedBytes: () => process.memoryUsage.rss(), peakBytes: () => process.resourceUsage().maxRSS * 1024};

export const USAGE_OF: Readonly<Record<Isolation, ResourceUsage>> = {
	thread: {cpuMs: threadMs, usedBytes: heapBytes, peakBytes: heapBytes},
	process: {cpuMs: () => toMs(process.cpuUsage()), ...memory},
	inline: {cpuMs: threadMs, ...memory},
};
