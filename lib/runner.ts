import {AsyncLocalStorage} from 'node:async_hooks';
import {setImmediate as nextTurn} from 'node:timers/promises';
import {type Board, monotonicMs, type StopReason} from './board.ts';
import {JobContext, type Noted} from './context.ts';
import {decode, type Encoded, encode} from './encoding.ts';
import {type FailureRecord, toFailure} from './failure.ts';
import type {JobMaker} from './job-maker.ts';
import type {ChunkMessage, OutcomesMessage, WorkerMessage} from './protocol.ts';
import type {MadeJob} from './queue.ts';
import type {Resources} from './resources.ts';
import type {TaskFunction} from './task.ts';
import type {TaskTable} from './tasks-module.ts';

/** Outcomes leave a chunk after this much work, so that little is repeated when the worker is lost. */
const REPORT_EVERY_MS = 5;

export interface RunnerOptions {
	readonly maxValueBytes: number;
	readonly maxCheckpointBytes: number;
	/** For `ctx.enqueue`. */
	readonly maker: JobMaker;
	/** For `ctx.resource`. */
	readonly resources: Resources;
	/** What this worker uses, if that is to be told. */
	readonly memoryBytes: (() => number) | undefined;
	/** The worker's side of a chunk's board. */
	readonly openBoard: (address: ChunkMessage['board']) => Board;
	readonly post: (message: WorkerMessage) => void;
}

/**
 * Runs chunks in a worker, one job at a time. Total: whatever a task returns, throws or leaves behind becomes an outcome.
 *
 * A job goes through: start on the board (unless it was taken back) → decode → call → encode → finish on the board (unless
 * it was told to stop) → its outcome waits in the report → posted → final, a turn of the event loop later. What surfaces
 * before that, such as a rejection nobody handles, still fails that job; later it only reaches stderr.
 */
export class Runner {
	readonly #tasks: TaskTable;
	readonly #options: RunnerOptions;
	/** Follows a job through everything it starts, so that a stray error finds its way back to it. */
	readonly #execution = new AsyncLocalStorage<Execution>();
	#last: Promise<void> = Promise.resolve();

	constructor(tasks: TaskTable, options: RunnerOptions) {
		this.#tasks = tasks;
		this.#options = options;
	}

	/** Runs the chunk when the ones before it are done: two would otherwise interleave at their first `await`. */
	run(message: ChunkMessage): Promise<void> {
		this.#last = this.#last.then(() => this.#runChunk(message));
		return this.#last;
	}

	/** Takes an error that no task caught: it fails the job it came from, if that has not been reported. */
	stray(error: unknown): void {
		const execution = this.#execution.getStore();
		if (execution && !execution.isFinal) execution.fail(error);
		else
			process.stderr.write(
				`faena: an error surfaced ${execution ? `after its job ${execution.id} had ended` : 'outside any job'}: ${toFailure(error).stack ?? String(error)}\n`,
			);
	}

	async #runChunk(message: ChunkMessage): Promise<void> {
		const run = this.#tasks.get(message.task);
		const {openBoard, post, memoryBytes, resources} = this.#options;
		// Usually it was ready before the first chunk came; not for a job that is in quarantine here.
		const unready = resources.areMissing(message.task) ? await resources.setUp(message.task).catch((error: unknown) => ({error})) : undefined;
		const board = openBoard(message.board);
		const epochMs = Date.now() - monotonicMs();
		const report = new Report(message.chunk, post, epochMs);
		let now = monotonicMs();
		for (let index = 0; index < message.ids.length; index++) {
			if (!board.start(index, now)) {
				report.skip();
				continue;
			}
			const execution = new Execution(message, index);
			report.add(execution, now);
			this.#execution.enterWith(execution);
			if (unready) execution.fail(unready.error);
			else if (!run) execution.fail(new Error(`The tasks module has no task ${message.task}.`));
			else {
				const ended = this.#execute(run, message, execution, board, report);
				if (ended) await ended;
			}
			now = monotonicMs();
			report.end(now, board.finish(index) ? undefined : board.stopReason(index));
			if (execution.context?.isWatched) board.wake(index);
			if (report.ageMs(now) >= REPORT_EVERY_MS) report.post();
		}
		board.retire();
		await report.conclude(memoryBytes);
	}

	/** Calls the task. Returns a promise only if the task did, so that a chunk of synchronous tasks is one plain loop. */
	#execute(run: TaskFunction, message: ChunkMessage, execution: Execution, board: Board, report: Report): Promise<void> | undefined {
		const {index} = execution;
		try {
			const host = {
				stopReason: () => board.stopReason(index),
				stopped: () => board.stopped(index),
				progress: (done: number, total: number, at: number) => board.setProgress(done, total, at),
				note: (note: Noted) => this.#options.post({type: 'note', chunk: message.chunk, index, ...note}),
			};
			const {maxCheckpointBytes, maker, resources} = this.#options;
			const given = {checkpoint: message.checkpoints.get(index), maxCheckpointBytes, maker, resource: resources.of(message.task)};
			execution.context = new JobContext(describe(message, index), host, given);
			const result = run(decode(message.payloads[index] as Encoded), execution.context);
			if (isThenable(result)) return this.#settle(result, execution, report);
			this.#return(execution, result);
		} catch (error) {
			execution.fail(error);
		}
		execution.made = execution.context?.close();
		return undefined;
	}

	async #settle(result: PromiseLike<unknown>, execution: Execution, report: Report): Promise<void> {
		// While this one waits, the ones before it need not.
		report.postEnded();
		try {
			const value = await Promise.race([result, execution.strayed()]);
			if (!execution.failure) this.#return(execution, value);
		} catch (error) {
			execution.fail(error);
		}
		execution.made = execution.context?.close();
	}

	#return(execution: Execution, value: unknown): void {
		try {
			execution.value = encode(value, 'result', this.#options.maxValueBytes);
		} catch (error) {
			execution.fail(error, 'badResult');
		}
	}
}

/** One job of the chunk on its way to an outcome. */
class Execution {
	readonly id: number;
	readonly index: number;
	context: JobContext | undefined;
	value: Encoded = null;
	/** Jobs to be enqueued if it stays without failure. */
	made: readonly MadeJob[] | undefined;
	failure: FailureRecord | undefined;
	stop: StopReason | undefined;
	isFinal = false;
	#wake: (() => void) | undefined;

	constructor({ids}: ChunkMessage, index: number) {
		this.id = ids[index] as number;
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
class Report {
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

	constructor(chunk: number, post: (message: WorkerMessage) => void, epochMs: number) {
		this.#chunk = chunk;
		this.#post = post;
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
	async conclude(memoryBytes: (() => number) | undefined): Promise<void> {
		if (this.#executions.length > 0) this.post();
		await nextTurn();
		this.#finish(true, memoryBytes?.());
	}

	/** Posts what came before the job that runs, and makes it final a turn of the event loop later. */
	postEnded(): void {
		if (this.#executions.length > 1) this.#send(this.#executions.length - 1);
		// Not to be cleared, should the chunk be faster: where that meets an uncaught error, Node 24 loses all immediates.
		if (this.#posted.length > 0) setImmediate(() => this.#finish(false));
	}

	#finish(isLast: boolean, memoryBytes?: number): void {
		if (this.#posted.length === 0 && !isLast) return;
		const failures = new Map<number, FailureRecord>();
		for (const execution of this.#posted) {
			execution.isFinal = true;
			if (execution.failure) failures.set(execution.index, execution.failure);
		}
		this.#posted = [];
		this.#post({type: 'final', chunk: this.#chunk, isLast, ...(failures.size > 0 && {failures}), ...(memoryBytes !== undefined && {memoryBytes})});
	}

	#send(count: number): void {
		const executions = this.#executions.splice(0, count);
		const times = this.#times.splice(0, 2 * count);
		for (let index = 0; index < times.length; index += 2) (times[index] as number) += this.#epochMs;
		const failures = new Map<number, FailureRecord>();
		const enqueues = new Map<number, readonly MadeJob[]>();
		const stops = new Map<number, StopReason>();
		const skipped: number[] = [];
		for (const [offset, execution] of executions.entries()) {
			if (!execution) {
				skipped.push(this.#first + offset);
				continue;
			}
			this.#posted.push(execution);
			if (execution.failure) failures.set(execution.index, execution.failure);
			if (execution.stop) stops.set(execution.index, execution.stop);
			if (execution.made?.length && !execution.failure && !execution.stop) enqueues.set(execution.index, execution.made);
		}
		const message: OutcomesMessage = {
			type: 'outcomes',
			chunk: this.#chunk,
			first: this.#first,
			values: executions.map(execution => execution?.value ?? null),
			times,
			...(failures.size > 0 && {failures}),
			...(stops.size > 0 && {stops}),
			...(skipped.length > 0 && {skipped}),
			...(enqueues.size > 0 && {enqueues}),
		};
		this.#first += count;
		this.#post(message);
	}
}

function describe({task, ids, executions, attempts, maxAttempts, keys}: ChunkMessage, index: number): JobContext['job'] {
	const key = keys.get(index);
	return {
		id: ids[index] as number,
		task,
		execution: executions[index] as number,
		attempts: attempts.get(index) ?? 0,
		maxAttempts: typeof maxAttempts === 'number' ? maxAttempts : (maxAttempts[index] as number),
		...(key !== undefined && {key}),
	};
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
	return typeof value === 'object' && value !== null && typeof (value as {then?: unknown}).then === 'function';
}
