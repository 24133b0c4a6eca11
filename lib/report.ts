import {setImmediate as nextTurn} from 'node:timers/promises';
import type {StopReason} from './board.ts';
import type {JobContext} from './context.ts';
import type {Encoded} from './encoding.ts';
import {type FailureRecord, toFailure} from './failure.ts';
import {pack} from './lines.ts';
import type {Meter} from './meter.ts';
import {setImmediate} from './originals.ts';
import {type ChunkMessage, idAt, type OutcomesMessage, type WorkerMessage} from './protocol.ts';
import type {MadeJob} from './queue.ts';

/** What runs: one job, or a micro-batch. */
export type Executions = readonly Execution[];

/** One job of the chunk on its way to an outcome. */
export class Execution {
	readonly id: number;
	readonly index: number;
	context: JobContext | undefined;
	value: Encoded = null;
	/** Jobs to be enqueued if it stays without failure. */
	made: readonly MadeJob[] | undefined;
	failure: FailureRecord | undefined;
	stop: StopReason | undefined;
	/** It ran with others, and they ran out of time. */
	isSuspect = false;
	isFinal = false;
	#wake: (() => void) | undefined;

	constructor(chunk: ChunkMessage, index: number) {
		this.id = idAt(chunk, index);
		this.index = index;
	}

	/** The first failure counts. */
	fail(error: unknown, reason: FailureRecord['reason'] = 'threw'): undefined {
		this.failure ??= toFailure(error, reason);
		this.value = null;
		this.#wake?.();
	}

	/** It ended only after it was told to stop: what it returned is of no interest. */
	ignore(stop: StopReason): void {
		this.stop = stop;
		this.value = null;
	}

	/** Resolves when a stray error failed the job, whose own promise may then never settle. */
	strayed(): Promise<void> {
		return new Promise(resolve => {
			this.#wake = resolve;
			if (this.failure) resolve();
		});
	}
}

/** Outcomes of the chunk that have not been posted. */
export class Report {
	readonly #chunk: number;
	readonly #post: (message: WorkerMessage) => void;
	readonly #epochMs: number;
	#first = 0;
	/** `undefined` for a job that was taken back. */
	#executions: (Execution | undefined)[] = [];
	/** Posted and not final. */
	#posted: Execution[] = [];
	#times: number[] = [];
	#since = 0;
	readonly #meter: Meter;
	#cpuMs: number | undefined;

	constructor(chunk: number, post: (message: WorkerMessage) => void, meter: Meter, epochMs: number) {
		this.#chunk = chunk;
		this.#post = post;
		this.#meter = meter;
		this.#cpuMs = meter.cpuMs();
		this.#epochMs = epochMs;
	}

	skip(): void {
		this.#executions.push(undefined);
		this.#times.push(0, 0);
	}

	add(execution: Execution, startedAt: number): void {
		if (this.#executions.length === 0) this.#since = startedAt;
		this.#executions.push(execution);
		this.#times.push(startedAt, -1);
	}

	end(at: number, stop: StopReason | undefined): void {
		const last = this.#times.length - 1;
		this.#times[last] = at - (this.#times[last - 1] as number);
		if (stop !== undefined) this.#executions.at(-1)?.ignore(stop);
	}

	/** Ends those of a micro-batch, which began together. */
	endBatch(at: number, batch: Executions, stopOf: (index: number) => StopReason | undefined): void {
		for (const execution of batch) {
			const stop = stopOf(execution.index);
			const start = 2 * (execution.index - this.#first);
			this.#times[start + 1] = at - (this.#times[start] as number);
			if (stop === 'timedOut' && batch.length > 1) execution.isSuspect = true;
			else if (stop !== undefined) execution.ignore(stop);
		}
	}

	ageMs(now: number): number {
		return this.#executions.length === 0 ? 0 : now - this.#since;
	}

	/** Posts all that has ended. */
	post(): void {
		this.#send(this.#executions.length);
	}

	/**
	 * Posts the rest of the chunk. It is final after one turn of the event loop, in which rejections that nobody handled come
	 * to light; but should something that a job left behind end the worker in this turn, what was posted counts.
	 */
	async conclude(): Promise<void> {
		if (this.#executions.length > 0) this.post();
		await nextTurn();
		this.#finish(true);
	}

	/** Posts what came before the job that runs, and makes it final a turn of the event loop later. */
	postEnded(): void {
		if (this.#executions.length > 1) this.#send(this.#executions.length - 1);
		// Not to be cleared, should the chunk be faster: where that meets an uncaught error, Node 24 loses all immediates.
		if (this.#posted.length > 0) setImmediate(() => this.#finish(false));
	}

	#finish(isLast: boolean): void {
		if (this.#posted.length === 0 && !isLast) return;
		for (const execution of this.#posted) execution.isFinal = true;
		const failures = byIndex(this.#posted, ({failure}) => failure);
		this.#posted = [];
		this.#post({type: 'final', chunk: this.#chunk, isLast, ...some('failures', failures), ...(isLast && {memoryBytes: this.#meter.usedBytes()})});
	}

	#send(count: number): void {
		const executions = this.#executions.splice(0, count);
		const times = new Float64Array(this.#times.splice(0, 2 * count));
		for (let index = 0; index < times.length; index += 2) (times[index] as number) += this.#epochMs;
		const first = this.#first;
		const present = executions.filter(execution => execution !== undefined);
		this.#posted.push(...present);
		const unusual = present.filter(({failure, stop, made, isSuspect}) => failure || stop || made?.length || isSuspect);
		const message: OutcomesMessage = {
			type: 'outcomes',
			chunk: this.#chunk,
			first,
			values: pack(executions.map(execution => execution?.value ?? null)),
			times,
			...this.#cost(count),
			...some(
				'failures',
				byIndex(unusual, ({failure}) => failure),
			),
			...some(
				'stops',
				byIndex(unusual, ({stop}) => stop),
			),
			...some(
				'enqueues',
				byIndex(unusual, ({made, failure, stop}) => (made?.length && !failure && !stop ? made : undefined)),
			),
			...some('suspects', new Set(unusual.filter(({isSuspect}) => isSuspect).map(({index}) => index))),
			...(present.length < executions.length && {skipped: executions.flatMap((execution, offset) => (execution ? [] : [first + offset]))}),
		};
		this.#first += count;
		this.#post(message);
	}

	#cost(jobs: number): Pick<OutcomesMessage, 'cpuMs' | 'memoryBytes'> {
		const [before, now] = [this.#cpuMs, this.#meter.cpuMs()];
		this.#cpuMs = now;
		return {...(before !== undefined && now !== undefined && {cpuMs: now - before}), ...(jobs === 1 && {memoryBytes: this.#meter.peakBytes()})};
	}
}

function byIndex<Value>(executions: Executions, pick: (execution: Execution) => Value | undefined): Map<number, Value> {
	const values = new Map<number, Value>();
	for (const execution of executions) {
		const value = pick(execution);
		if (value !== undefined) values.set(execution.index, value);
	}
	return values;
}

/** The field, unless it is empty. */
function some<Name extends string, Value extends {readonly size: number}>(name: Name, values: Value): {readonly [Key in Name]?: Value} {
	return values.size > 0 ? ({[name]: values} as {readonly [Key in Name]: Value}) : {};
}
