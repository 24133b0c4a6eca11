import {AsyncLocalStorage, AsyncResource} from 'node:async_hooks';
import {type Board, monotonicMs} from './board.ts';
import {type Given, JobContext} from './context.ts';
import {decode, type Encoded, encode} from './encoding.ts';
import {toFailure} from './failure.ts';
import {JobHost} from './job-host.ts';
import type {JobMaker} from './job-maker.ts';
import {unpack} from './lines.ts';
import type {Meter} from './meter.ts';
import {wallMs} from './originals.ts';
import type {ChunkMessage, WorkerMessage} from './protocol.ts';
import {Execution, type Executions, Report} from './report.ts';
import type {Resources} from './resources.ts';
import {optionsOf, type TaskFunction} from './task.ts';
import type {TaskTable} from './tasks-module.ts';

/** Outcomes leave a chunk after this much work, so that little is repeated when the worker is lost. Each message wakes the dispatcher, for 50–100 µs. */
const REPORT_EVERY_MS = 20;

export interface RunnerOptions {
	readonly maxValueBytes: number;
	readonly maxCheckpointBytes: number;
	/** The wall clock, if it is not the usual one. */
	readonly now?: () => number;
	/** For `ctx.enqueue`. */
	readonly maker: JobMaker;
	/** For `ctx.resource`. */
	readonly resources: Resources;
	/** What this worker uses. */
	readonly meter: Meter;
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
	readonly #execution = new AsyncLocalStorage<Execution | Executions>();
	/** To enter the store from outside takes 0.04 µs; from within another job, whose store would be copied, 0.1. */
	readonly #outside = new AsyncResource('FaenaWorker');
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
		const executions = [this.#execution.getStore() ?? []].flat();
		const open = executions.filter(({isFinal}) => !isFinal);
		for (const execution of open) execution.fail(error);
		if (open.length > 0) return;
		const whose = executions[0] ? `after its job ${executions[0].id} had ended` : 'outside any job';
		const {stack, message} = toFailure(error);
		process.stderr.write(`faena: an error surfaced ${whose}: ${stack ?? message}\n`);
	}

	async #runChunk(message: ChunkMessage): Promise<void> {
		const run = this.#tasks.get(message.task);
		const {openBoard, post, meter, resources} = this.#options;
		// Usually it was ready before the first chunk came; not for a job that is in quarantine here.
		const unready = resources.areMissing(message.task) ? await resources.setUp(message.task).catch((error: unknown) => ({error})) : undefined;
		const board = openBoard(message.board);
		const epochMs = (this.#options.now ?? wallMs)() - monotonicMs();
		const report = new Report(message.chunk, post, meter, epochMs);
		const batchSize = run && !unready ? optionsOf(run).batchSize : undefined;
		const {maxCheckpointBytes, maker} = this.#options;
		const given = {maxCheckpointBytes, maker, resource: resources.of(message.task)};
		const chunk: OpenChunk = {...message, payloads: unpack(message.payloads), given};
		if (run && batchSize !== undefined) await this.#runBatches(run, batchSize, chunk, board, report);
		else await this.#runOneByOne(run, unready?.error, chunk, board, report);
		board.retire();
		await report.conclude();
	}

	async #runOneByOne(run: TaskFunction | undefined, obstacle: unknown, message: OpenChunk, board: Board, report: Report): Promise<void> {
		let now = monotonicMs();
		for (let index = 0; index < message.jobs; index++) {
			if (!board.start(index, now)) {
				report.skip();
				continue;
			}
			const execution = new Execution(message, index);
			report.add(execution, now);
			if (obstacle !== undefined) execution.fail(obstacle);
			else if (!run) execution.fail(new Error(`The tasks module has no task ${message.task}.`), 'unknownTask');
			else {
				const ended = this.#outside.runInAsyncScope(this.#execute, this, run, message, execution, board, report);
				if (ended) await ended;
			}
			now = monotonicMs();
			report.end(now, board.finish(index) ? undefined : board.stopReason(index));
			if (execution.context?.isWatched) board.wake(index);
			if (report.ageMs(now) >= REPORT_EVERY_MS) report.post();
		}
	}

	async #runBatches(run: TaskFunction, batchSize: number, message: OpenChunk, board: Board, report: Report): Promise<void> {
		for (let first = 0; first < message.jobs; first += batchSize) {
			const end = Math.min(first + batchSize, message.jobs);
			const now = monotonicMs();
			const started = new Set(board.startMany(first, end, now));
			const batch: Execution[] = [];
			for (let index = first; index < end; index++) {
				if (!started.has(index)) report.skip();
				else report.add(batch[batch.push(new Execution(message, index)) - 1] as Execution, now);
			}
			if (batch.length > 0) await this.#outside.runInAsyncScope(this.#executeBatch, this, run, message, batch, board);
			report.endBatch(monotonicMs(), batch, index => (board.finish(index) ? undefined : board.stopReason(index)));
			for (const {index, context} of batch) if (context?.isWatched) board.wake(index);
			report.post();
		}
	}

	/** Calls the task with the payloads of all, and lets each end by its own result. */
	async #executeBatch(run: TaskFunction, message: OpenChunk, batch: readonly Execution[], board: Board): Promise<void> {
		this.#execution.enterWith(batch);
		try {
			for (const execution of batch) execution.context = this.#makeContext(message, execution.index, board, batch.length);
			const payloads = batch.map(({index}) => decode(message.payloads[index] as Encoded));
			const returned = Promise.resolve(run(payloads, batch.map(({context}) => context) as never));
			const settled = returned.then(results => Promise.allSettled(resultsFor(batch, results)));
			const results = await Promise.race([settled, Promise.race(batch.map(execution => execution.strayed()))]);
			// An error that nobody caught has failed them all.
			if (results && !batch.some(({failure}) => failure)) this.#returnEach(batch, results);
		} catch (error) {
			for (const execution of batch) execution.fail(error);
		}
		for (const execution of batch) execution.made = execution.context?.close();
	}

	#returnEach(batch: readonly Execution[], results: readonly PromiseSettledResult<unknown>[]): void {
		for (const [offset, execution] of batch.entries()) {
			const result = results[offset] as PromiseSettledResult<unknown>;
			if (result.status === 'rejected') execution.fail(result.reason);
			else if (result.value instanceof Error) execution.fail(result.value);
			else this.#return(execution, result.value);
		}
	}

	/** Calls the task. Returns a promise only if the task did, so that a chunk of synchronous tasks is one plain loop. */
	#execute(run: TaskFunction, message: OpenChunk, execution: Execution, board: Board, report: Report): Promise<void> | undefined {
		const {index} = execution;
		this.#execution.enterWith(execution);
		try {
			execution.context = this.#makeContext(message, index, board, 1);
			const result = run(decode(message.payloads[index] as Encoded), execution.context);
			if (isThenable(result)) return this.#settle(result, execution, report);
			this.#return(execution, result);
		} catch (error) {
			execution.fail(error);
		}
		execution.made = execution.context?.close();
		return undefined;
	}

	#makeContext(chunk: OpenChunk, index: number, board: Board, together: number): JobContext {
		return new JobContext(new JobHost(chunk, index, board, together, this.#options.post), chunk.given);
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

/** Its payloads unpacked, and what its contexts share. */
type OpenChunk = ChunkMessage & {readonly payloads: readonly Encoded[]; readonly given: Given};

function resultsFor(batch: Executions, results: unknown): readonly unknown[] {
	if (Array.isArray(results) && results.length === batch.length) return results;
	const got = Array.isArray(results) ? `one of ${results.length}` : `a value of type ${typeof results}`;
	throw new TypeError(`A task with a batchSize returns an array with a result for each of its ${batch.length} payloads; this one returned ${got}.`);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
	return typeof value === 'object' && value !== null && typeof (value as {then?: unknown}).then === 'function';
}
