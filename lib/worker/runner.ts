import {AsyncLocalStorage, AsyncResource} from 'node:async_hooks';
import {toFailure} from '../job/failure.ts';
import {withListedKeys} from '../job/groups/cut-and-join.ts';
import {sizeOf} from '../job/groups/group.ts';
import {unpack} from '../job/groups/packed.ts';
import type {OpenJobsCell} from '../job/open-jobs.ts';
import {listParents} from '../job/parent-results.ts';
import {optionsOf} from '../job/task/make-task.ts';
import type {TaskFunction} from '../job/task/task.ts';
import type {TaskTable} from '../job/task/task-module.ts';
import {monotonicMs} from '../support/clock.ts';
import {FaenaError} from '../support/errors.ts';
import {get, has, wallMs, withResolvers} from '../support/primordials.ts';
import type {ChunkState} from './chunk-state.ts';
import {type ChunkOptions, Execution, type OpenChunk} from './context.ts';
import type {ChunkMessage} from './messages.ts';
import {OutcomeBuffer, type ResourceUsage} from './outcomes.ts';

/** Outcomes are posted after this much work, since what was not posted is repeated if the worker is lost. Each message costs the dispatcher 0.1 ms. */
const REPORT_EVERY_MS = 50;
/** A job that ran for this long is posted at once. */
const REPORT_ALONE_MS = 20;

export interface Leftovers {
	/** Spares the processes that exist now, which setups have started: they live as long as the worker. */
	keep(): Promise<void>;
	/** Ends the processes that were started since then, on the clock of {@link monotonicMs}. */
	end(since: number): Promise<void>;
}

export interface RunnerOptions extends ChunkOptions {
	/** The wall clock, if it is not the usual one. */
	readonly now?: () => number;
	readonly usage: ResourceUsage;
	/** Where it is missing, jobs that were stopped may leave processes behind. */
	readonly leftovers?: Leftovers | undefined;
	readonly openChunkState: (address: ChunkMessage['chunkState']) => ChunkState;
	readonly openJobs?: OpenJobsCell | undefined;
}

/** Taken now, since a task may replace them. */
const {enterWith, getStore} = AsyncLocalStorage.prototype;

/**
 * Runs chunks in a worker, one job at a time. Whatever a task returns, throws or leaves behind becomes an outcome.
 *
 * A job goes through: start in the chunk's state (unless it was taken back, or has expired) → decode → call → encode → finish in the chunk's
 * state (unless it was asked to stop) → its outcome waits → is posted → is final: a turn of the event loop after the last outcome of its chunk, or
 * some milliseconds later if a task awaits. An error that surfaces before that, such as an unhandled rejection, still fails the job; later it only goes to stderr.
 */
export class Runner {
	readonly #tasks: Tasks;
	readonly #options: RunnerOptions;
	/** Follows a job through everything it starts, so that a stray error can be attributed to it. */
	readonly #execution = Object.assign(new AsyncLocalStorage<Execution | readonly Execution[]>(), {enterWith, getStore});
	/** Entering the store from outside takes 0.04 µs; from within another job, whose frame Node copies, 0.1 µs. */
	readonly #outside = new AsyncResource('FaenaWorker');
	#last: Promise<void> = Promise.resolve();

	constructor(tasks: Tasks, options: RunnerOptions) {
		this.#tasks = tasks;
		this.#options = options;
	}

	/** Runs the chunk after those before it: two chunks would otherwise interleave at their first `await`. */
	run(message: ChunkMessage): Promise<void> {
		this.#last = this.#runAfter(this.#last, message);
		return this.#last;
	}

	/** Takes an error that no task caught. It fails the job that it came from, unless the outcome is final. */
	stray(error: unknown): void {
		const running = this.#execution.getStore();
		const executions = running instanceof Execution ? [running] : (running ?? []);
		let isOver = true;
		for (let index = 0; index < executions.length; index++) {
			const execution = executions[index] as Execution;
			if (execution.chunk.outcomes.isFinal(execution.index)) continue;
			execution.fail(error);
			isOver = false;
		}
		if (!isOver) return;
		const whose = executions[0] ? `after its job ${executions[0].claimed.id} had ended` : 'outside any job';
		const {stack, message} = toFailure(error);
		process.stderr.write(`faena: an error surfaced ${whose}: ${stack ?? message}\n`);
	}

	async #runAfter(before: Promise<void>, sent: ChunkMessage): Promise<void> {
		await before;
		const message = {...sent, group: withListedKeys(sent.group)};
		const {openChunkState, now = wallMs, post, usage, openJobs} = this.#options;
		const {task, lease, ids, values} = message.group;
		const run = this.#tasks.get(task);
		const obstacle = await this.#setUp(task);
		const chunkState = openChunkState(message.chunkState);
		const epochMs = now() - monotonicMs();
		const open = {lease, ids, jobs: sizeOf(message.group)};
		// Not before: a chunk that only waited here has done no harm.
		openJobs?.write(open, 0);
		const outcomes = new OutcomeBuffer(message, post, usage, epochMs, final => openJobs?.write(open, final));
		const {batchSize, retryIf} = run && obstacle === undefined ? optionsOf(run) : {};
		const resource = this.#tasks.resourceOf(task);
		const chunk = {
			message,
			payloads: unpack(values),
			parents: message.group.parents && listParents(message.group),
			chunkState,
			outcomes,
			run,
			resource,
			retryIf,
			options: this.#options,
		};
		if (!run || batchSize === undefined) await this.#runOneByOne(run, obstacle, chunk);
		else await this.#runInBatches(run, batchSize, chunk);
		chunkState.close();
		await outcomes.conclude();
	}

	/** Returns the error of a setup. Tasks are set up before the first chunk, except those that run here only in quarantine. */
	async #setUp(task: string): Promise<unknown> {
		try {
			if (await this.#tasks.setUp(task)) await this.#options.leftovers?.keep();
			return undefined;
		} catch (error) {
			return error;
		}
	}

	async #runOneByOne(run: TaskFunction | undefined, obstacle: unknown, chunk: OpenChunk): Promise<void> {
		const {chunkState, outcomes} = chunk;
		const jobs = chunk.payloads.length;
		let now = monotonicMs();
		for (let index = 0; index < jobs; index++) {
			if (!this.#start(index, now, chunk)) continue;
			const execution = new Execution(chunk, index, 1);
			outcomes.begin(index, now);
			const ended = this.#begin(run, obstacle, execution);
			if (ended) await ended;
			const {commands} = execution.context;
			if (commands) await commands.end();
			execution.close();
			const begunAt = now;
			now = monotonicMs();
			const stop = chunkState.finish(index);
			if (stop) await this.#options.leftovers?.end(begunAt);
			execution.reportChildJobs();
			outcomes.end(index, now - begunAt, stop, 1);
			if (execution.context.isWatched) chunkState.wake(index);
			if (now - begunAt >= REPORT_ALONE_MS || outcomes.ageMs(now) >= REPORT_EVERY_MS) outcomes.post();
		}
	}

	/** Calls the task. Returns a promise only if the task did, so that a chunk of synchronous tasks is one plain loop. */
	#execute(run: TaskFunction, execution: Execution): Promise<void> | undefined {
		this.#execution.enterWith(execution);
		try {
			const result = run(execution.payload, execution.context);
			if (isThenable(result)) {
				// The outcomes before this job need not wait for it.
				execution.chunk.outcomes.postSoon();
				const {promise, resolve} = withResolvers<void>();
				execution.onEnd(resolve);
				void settle(result, execution);
				return promise;
			}
			execution.return(result);
		} catch (error) {
			execution.fail(error);
		}
		return undefined;
	}

	/** Starts the job, or skips it if it has expired or was taken back. */
	#start(index: number, at: number, chunk: OpenChunk): boolean {
		if (this.#skipExpired(index, chunk)) return false;
		const isStarted = chunk.chunkState.start(index, at);
		if (!isStarted) chunk.outcomes.skip(index);
		return isStarted;
	}

	#skipExpired(index: number, chunk: OpenChunk): boolean {
		const isExpired = this.#hasExpired(index, chunk);
		// Its pool may have taken it back for that.
		if (isExpired) chunk.outcomes.skip(index, chunk.chunkState.take(index) ? 'expired' : 'skipped');
		return isExpired;
	}

	#hasExpired(index: number, {message: {group}}: OpenChunk): boolean {
		const at = group.expiries && get(group.expiries, index);
		return at !== undefined && at <= (this.#options.now ?? wallMs)();
	}

	/** A micro-batch ends before a job that has expired. */
	async #runInBatches(run: TaskFunction, batchSize: number, chunk: OpenChunk): Promise<void> {
		const jobs = chunk.payloads.length;
		for (let first = 0; first < jobs; ) {
			let end = first + 1;
			if (!this.#skipExpired(first, chunk)) {
				while (end < jobs && end < first + batchSize && !this.#hasExpired(end, chunk)) end++;
				await this.#runBatch(run, first, end, chunk);
			}
			first = end;
		}
	}

	/** Runs a job, or fails it. Returns a promise only if the task does. */
	#begin(run: TaskFunction | undefined, obstacle: unknown, execution: Execution): Promise<void> | undefined {
		if (obstacle !== undefined) execution.fail(obstacle);
		else if (run) return this.#outside.runInAsyncScope(this.#execute, this, run, execution);
		else execution.fail(new Error(`The tasks module has no task ${execution.chunk.message.group.task}.`), 'unknownTask');
		return undefined;
	}

	/** Runs the jobs from `first` up to `end` as a micro-batch. */
	async #runBatch(run: TaskFunction, first: number, end: number, chunk: OpenChunk): Promise<void> {
		const {chunkState, outcomes} = chunk;
		const startedAt = monotonicMs();
		const started = chunkState.startMany(first, end, startedAt);
		for (const index of started) outcomes.begin(index, startedAt);
		const batch = started.map(index => new Execution(chunk, index, started.length));
		if (batch.length > 0) await this.#outside.runInAsyncScope(this.#executeBatch, this, run, batch);
		for (let offset = 0; offset < batch.length; offset++) {
			const commands = batch[offset]?.context.commands;
			if (commands) await commands.end();
		}
		for (let offset = 0; offset < batch.length; offset++) {
			batch[offset]?.close();
			batch[offset]?.reportChildJobs();
		}
		const durationMs = monotonicMs() - startedAt;
		let isStopped = false;
		for (let index = first; index < end; index++) {
			if (chunkState.isTaken(index)) {
				outcomes.skip(index);
				continue;
			}
			const stop = chunkState.finish(index);
			isStopped ||= stop !== undefined;
			outcomes.end(index, durationMs, stop, batch.length);
		}
		// It is not known which of the jobs has started a process.
		if (isStopped) await this.#options.leftovers?.end(startedAt);
		for (const {index, context} of batch) if (context.isWatched) chunkState.wake(index);
		outcomes.post();
	}

	#executeBatch(run: TaskFunction, batch: readonly Execution[]): Promise<void> {
		this.#execution.enterWith(batch);
		// The outcomes before this batch need not wait for it.
		batch[0]?.chunk.outcomes.postSoon();
		const {promise, resolve} = withResolvers<void>();
		let open = batch.length;
		const end = () => {
			if (--open === 0) resolve();
		};
		for (let offset = 0; offset < batch.length; offset++) batch[offset]?.onEnd(end);
		void settleBatch(run, batch);
		return promise;
	}
}

/** Awaits instead of calling `then`, which a task may have replaced. */
async function settle(result: PromiseLike<unknown>, execution: Execution): Promise<void> {
	try {
		execution.return(await result);
	} catch (error) {
		execution.fail(error);
	}
}

/** Each job ends by its own result. Promises are awaited at the same time, so that no rejection stays unhandled. */
async function settleBatch(run: TaskFunction, batch: readonly Execution[]): Promise<void> {
	try {
		const payloads = batch.map(({payload}) => payload);
		const results = resultsFor(batch, await run(payloads, batch.map(({context}) => context) as never));
		for (let offset = 0; offset < batch.length; offset++) {
			const [execution, result] = [batch[offset] as Execution, results[offset]];
			if (isThenable(result)) void settle(orThrow(result), execution);
			else if (result instanceof Error) execution.fail(result);
			else execution.return(result);
		}
	} catch (error) {
		for (let offset = 0; offset < batch.length; offset++) batch[offset]?.fail(error);
	}
}

/** An error in the place of a result fails the job. */
async function orThrow(result: PromiseLike<unknown>): Promise<unknown> {
	const value = await result;
	if (value instanceof Error) throw value;
	return value;
}

function resultsFor(batch: readonly Execution[], results: unknown): readonly unknown[] {
	if (Array.isArray(results) && results.length === batch.length) return results;
	const got = Array.isArray(results) ? `one of ${results.length}` : `a value of type ${typeof results}`;
	throw new TypeError(`A task with a batchSize returns an array with a result for each of its ${batch.length} payloads; this one returned ${got}.`);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
	return typeof value === 'object' && value !== null && typeof (value as {then?: unknown}).then === 'function';
}

/** The tasks of a worker, and what their setups returned. */
export class Tasks {
	readonly #table: TaskTable;
	readonly #announce: (task?: string) => void;
	readonly #resources = new Map<string, unknown>();

	/** @param announce gets the task whose setup begins, and nothing when it is done */
	constructor(table: TaskTable, announce: (task?: string) => void = () => undefined) {
		this.#table = table;
		this.#announce = announce;
	}

	get(task: string): TaskFunction | undefined {
		return get(this.#table, task);
	}

	resourceOf(task: string): unknown {
		return get(this.#resources, task);
	}

	/** Calls its setup, once. Returns true if it did so now. @throws FaenaError `SetupFailed` */
	async setUp(task: string): Promise<boolean> {
		const run = this.get(task);
		const setup = run && optionsOf(run).setup;
		if (!setup || has(this.#resources, task)) return false;
		this.#announce(task);
		try {
			this.#resources.set(task, await setup());
			return true;
		} catch (error) {
			throw new FaenaError('SetupFailed', `The setup of task ${task} failed. ${describe(error)}`, {cause: error});
		} finally {
			this.#announce();
		}
	}

	/** Calls the teardowns of all tasks that were set up, even if one of them fails. */
	async tearDown(): Promise<void> {
		const all = [...this.#resources];
		this.#resources.clear();
		await Promise.allSettled(all.map(async ([task, resource]) => optionsOf(this.get(task) as TaskFunction).teardown?.(resource)));
	}
}

export function describe(error: unknown): string {
	return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
