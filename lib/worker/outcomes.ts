import {setImmediate as nextTurn} from 'node:timers/promises';
import type {Encoded} from '../job/encoding.ts';
import type {FailureRecord} from '../job/failure.ts';
import type {StopReason} from '../job/job.ts';
import type {ChildJob} from '../job/new-job.ts';
import {pack} from '../job/packed-strings.ts';
import {inUnits, packTimes} from '../job/packed-times.ts';
import {include, makeMap, makeSet, round, set, setImmediate} from '../support/primordials.ts';
import type {ChunkMessage, OutcomesMessage, WorkerMessage} from './messages.ts';
import type {ResourceUsage} from './resource-usage.ts';

/**
 * How the jobs of a chunk ended, by index. They begin and end in order, a micro-batch at once:
 *
 *     final ≤ posted ≤ ended ≤ begun
 *
 * What decides about a job is written and read here without functions that a task could have replaced.
 */
export class OutcomeBuffer {
	readonly #chunk: number;
	readonly #post: (message: WorkerMessage) => void;
	readonly #epochMs: number;
	readonly #meter: ResourceUsage;
	#cpuMs: number | undefined;
	/** How many jobs are final, */
	#final = 0;
	/** were posted, */
	#posted = 0;
	/** have ended or were taken back. */
	#ended = 0;
	/** When the first began that is not posted. */
	#since: number | undefined;
	readonly #times: Float64Array;
	readonly #values: Encoded[];
	/** 1 for each job that has returned or failed. */
	readonly #hasResult: Uint8Array;
	/** Of jobs that are not final, */
	readonly #failures: Record<number, FailureRecord> = {__proto__: null} as never;
	/** and of those that are not posted. */
	#stops: Map<number, StopReason> | undefined;
	#enqueues: Map<number, readonly ChildJob[]> | undefined;
	#suspects: Set<number> | undefined;
	#skipped: Set<number> | undefined;
	#willPost = false;
	readonly #onFinal: (jobs: number) => void;

	/** @param onFinal is told how many of the jobs, from the first on, are final */
	constructor({chunk, jobs}: ChunkMessage, post: (message: WorkerMessage) => void, meter: ResourceUsage, epochMs: number, onFinal: (jobs: number) => void) {
		this.#chunk = chunk;
		this.#post = post;
		this.#onFinal = onFinal;
		this.#meter = meter;
		this.#cpuMs = meter.cpuMs();
		this.#epochMs = epochMs;
		this.#times = new Float64Array(2 * jobs);
		this.#values = new Array<Encoded>(jobs).fill(null);
		this.#hasResult = new Uint8Array(jobs);
	}

	/** It was taken back. */
	skip(index: number): void {
		this.#skipped ??= makeSet();
		include(this.#skipped, index);
		this.#ended = index + 1;
	}

	begin(index: number, at: number): void {
		this.#since ??= at;
		this.#times[2 * index] = at;
	}

	return(index: number, value: Encoded): void {
		this.#hasResult[index] = 1;
		this.#values[index] = value;
	}

	/** Jobs that it made, to be enqueued if it stays without failure. */
	enqueue(index: number, made: readonly ChildJob[]): void {
		this.#enqueues ??= makeMap();
		set(this.#enqueues, index, made);
	}

	/** May come until it is final. */
	fail(index: number, failure: FailureRecord): void {
		this.#hasResult[index] = 1;
		this.#failures[index] = failure;
		this.#values[index] = null;
	}

	/**
	 * @param stop if it ended only after it was told to stop: what it returned is of no interest
	 * @param together jobs that ran at the same time, itself included: it is not known whose fault it is if they ran out of time
	 */
	end(index: number, at: number, stop: StopReason | undefined, together: number): void {
		this.#times[2 * index + 1] = at - (this.#times[2 * index] as number);
		this.#ended = index + 1;
		if (stop === undefined) {
			// A task may have changed what calls the others.
			if (this.#hasResult[index] !== 1) throw new Error('A job ended that has neither returned nor failed.');
			return;
		}
		this.#values[index] = null;
		if (stop === 'timedOut' && together > 1) {
			this.#suspects ??= makeSet();
			include(this.#suspects, index);
		} else {
			this.#stops ??= makeMap();
			set(this.#stops, index, stop);
		}
	}

	/** For how long what is not posted waits. */
	ageMs(now: number): number {
		return this.#since === undefined ? 0 : now - this.#since;
	}

	isFinal(index: number): boolean {
		return index < this.#final;
	}

	/** Posts all that has ended. */
	post(): void {
		if (this.#ended > this.#posted) this.#send(this.#posted, this.#ended);
	}

	/** Posts what ended before the job that runs, should that take longer than this turn of the event loop; a turn later it is final. */
	postSoon(): void {
		if (this.#willPost) return;
		this.#willPost = true;
		// Not to be cleared, should the chunk be faster: where that meets an uncaught error, Node 24 loses all immediates.
		setImmediate(() => {
			this.#willPost = false;
			this.post();
			if (this.#posted > this.#final) setImmediate(() => this.#finish(false));
		});
	}

	/**
	 * Posts the rest of the chunk. It is final after one turn of the event loop, in which rejections that nobody handled come
	 * to light; but should something that a job left behind end the worker in this turn, what was posted counts.
	 */
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
		this.#post({type: 'final', chunk: this.#chunk, isLast, ...(failures && {failures}), ...(isLast && {memoryBytes: this.#meter.usedBytes()})});
	}

	#send(first: number, end: number): void {
		const failures = this.#failuresOf(first, Infinity);
		const message: OutcomesMessage = {
			type: 'outcomes',
			chunk: this.#chunk,
			first,
			values: pack(this.#values.slice(first, end)),
			times: this.#timesOf(first, end),
			...(failures && {failures}),
			...(this.#stops && {stops: this.#stops}),
			...(this.#enqueues && {enqueues: this.#enqueues}),
			...(this.#suspects && {suspects: this.#suspects}),
			...(this.#skipped && {skipped: this.#skipped}),
		};
		this.#posted = end;
		this.#since = this.#times[2 * end] || undefined;
		this.#values.fill(null, first, end);
		this.#stops = undefined;
		this.#enqueues = undefined;
		this.#suspects = undefined;
		this.#skipped = undefined;
		this.#post(message);
	}

	/** Of the jobs from `first` up to `end`; nothing if none has failed. */
	#failuresOf(first: number, end: number): Map<number, FailureRecord> | undefined {
		let failures: Map<number, FailureRecord> | undefined;
		for (const index in this.#failures) {
			if (+index < first || +index >= end) continue;
			failures ??= makeMap();
			set(failures, +index, this.#failures[index] as FailureRecord);
		}
		return failures;
	}

	/** In the form of a run: what the worker can do, its dispatcher need not. */
	#timesOf(first: number, end: number): Uint8Array {
		const count = end - first;
		const [startedAt, durationMs, cpuMs] = [new Float64Array(count), new Float64Array(count), new Float64Array(count)];
		let totalMs = 0;
		for (let offset = 0; offset < count; offset++) {
			startedAt[offset] = round((this.#times[2 * (first + offset)] as number) + this.#epochMs);
			durationMs[offset] = inUnits(this.#times[2 * (first + offset) + 1] as number);
			totalMs += durationMs[offset] as number;
		}
		const cpuShare = this.#spentMs() / (totalMs || 1);
		for (let offset = 0; offset < count; offset++) cpuMs[offset] = inUnits(cpuShare * (durationMs[offset] as number));
		const memoryBytes = count === 1 ? Float64Array.of(this.#meter.peakBytes()) : undefined;
		return packTimes(count, {startedAt, durationMs, cpuMs, memoryBytes});
	}

	/** Processor time that the worker used since it began the chunk, or this was asked last; NaN if that isn't known. */
	#spentMs(): number {
		const [before = NaN, now = NaN] = [this.#cpuMs, this.#meter.cpuMs()];
		this.#cpuMs = now;
		return now - before;
	}
}
