import {AsyncLocalStorage, AsyncResource} from 'node:async_hooks';
import {decode} from '../job/encoding.ts';
import {toFailure} from '../job/failure.ts';
import {sizeOf} from '../job/group.ts';
import type {OpenJobsCell} from '../job/open-jobs.ts';
import {unpack} from '../job/packed.ts';
import {optionsOf, type TaskFunction} from '../job/task.ts';
import {monotonicMs} from '../support/clock.ts';
import {wallMs, withResolvers} from '../support/primordials.ts';
import type {ChunkState} from './chunk-state.ts';
import {type ChunkOptions, Execution, type OpenChunk} from './context.ts';
import type {ChunkMessage} from './messages.ts';
import {OutcomeBuffer, type ResourceUsage} from './outcomes.ts';
import type {Tasks} from './tasks-module.ts';

/** Outcomes are posted after this much work, since what was not posted is repeated if the worker is lost. Each message costs the dispatcher 0.1 ms. */
const REPORT_EVERY_MS = 50;
/** A job that ran for this long is posted at once. */
const REPORT_ALONE_MS = 20;

/** The processes that jobs leave behind. */
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
	/** The worker's side of a chunk's state. */
	readonly openChunkState: (address: ChunkMessage['chunkState']) => ChunkState;
	readonly openJobs?: OpenJobsCell | undefined;
}

/** Taken now, since a task may replace them. */
const {enterWith, getStore} = AsyncLocalStorage.prototype;

/**
 * Runs chunks in a worker, one job at a time. Whatever a task returns, throws or leaves behind becomes an outcome.
 *
 * A job goes through: start in the chunk's state (unless it was taken back) → decode → call → encode → finish in the chunk's
 * state (unless it was told to stop) → its outcome waits → is posted → is final, a turn of the event loop later. An error that
 * surfaces before that, such as an unhandled rejection, still fails the job; later it only goes to stderr.
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
			if (execution.isFinal) continue;
			execution.fail(error);
			isOver = false;
		}
		if (!isOver) return;
		const whose = executions[0] ? `after its job ${executions[0].claimed.id} had ended` : 'outside any job';
		const {stack, message} = toFailure(error);
		process.stderr.write(`faena: an error surfaced ${whose}: ${stack ?? message}\n`);
	}

	async #runAfter(before: Promise<void>, message: ChunkMessage): Promise<void> {
		await before;
		const {openChunkState, now = wallMs, post, usage, openJobs} = this.#options;
		const {task, lease, ids, values} = message.group;
		const run = this.#tasks.get(task);
		// Tasks are set up before the first chunk, except those that run here only in quarantine.
		const unready = this.#tasks.needsSetUp(task) ? await this.#setUp(task) : undefined;
		const chunkState = openChunkState(message.chunkState);
		const epochMs = now() - monotonicMs();
		const open = {lease, ids, jobs: sizeOf(message.group)};
		// Not before: a chunk that only waited here has done no harm.
		openJobs?.write(open, 0);
		const outcomes = new OutcomeBuffer(message, post, usage, epochMs, final => openJobs?.write(open, final));
		const chunk = {message, payloads: unpack(values), chunkState, outcomes, resource: this.#tasks.resourceOf(task), options: this.#options};
		const batchSize = run && !unready ? optionsOf(run).batchSize : undefined;
		if (!run || batchSize === undefined) await this.#runOneByOne(run, unready?.error, chunk);
		else for (let first = 0; first < open.jobs; first += batchSize) await this.#runBatch(run, first, Math.min(first + batchSize, open.jobs), chunk);
		chunkState.close();
		await outcomes.conclude();
	}

	async #setUp(task: string): Promise<{readonly error: unknown} | undefined> {
		try {
			await this.#tasks.setUp(task);
			await this.#options.leftovers?.keep();
			return undefined;
		} catch (error) {
			return {error};
		}
	}

	async #runOneByOne(run: TaskFunction | undefined, obstacle: unknown, chunk: OpenChunk): Promise<void> {
		const {message, chunkState, outcomes} = chunk;
		const jobs = chunk.payloads.length;
		let now = monotonicMs();
		for (let index = 0; index < jobs; index++) {
			if (!chunkState.start(index, now)) {
				outcomes.skip(index);
				continue;
			}
			const execution = new Execution(chunk, index, 1);
			outcomes.begin(index, now);
			if (obstacle !== undefined) execution.fail(obstacle);
			else if (!run) execution.fail(new Error(`The tasks module has no task ${message.group.task}.`), 'unknownTask');
			else {
				const ended = this.#outside.runInAsyncScope(this.#execute, this, run, execution);
				if (ended) await ended;
			}
			execution.close();
			const begunAt = now;
			now = monotonicMs();
			const stop = chunkState.finish(index);
			if (stop) await this.#options.leftovers?.end(begunAt);
			outcomes.end(index, now - begunAt, stop, 1);
			if (execution.context.isWatched) chunkState.wake(index);
			if (now - begunAt >= REPORT_ALONE_MS || outcomes.ageMs(now) >= REPORT_EVERY_MS) outcomes.post();
		}
	}

	/** Calls the task. Returns a promise only if the task did, so that a chunk of synchronous tasks is one plain loop. */
	#execute(run: TaskFunction, execution: Execution): Promise<void> | undefined {
		this.#execution.enterWith(execution);
		try {
			const result = run(decode(execution.payload), execution.context);
			if (isThenable(result)) {
				// The outcomes before this job need not wait for it.
				execution.chunk.outcomes.postSoon();
				const {promise, resolve} = withResolvers<void>();
				execution.onFailure(resolve);
				void settle(result, execution, resolve);
				return promise;
			}
			execution.return(result);
		} catch (error) {
			execution.fail(error);
		}
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
		for (let offset = 0; offset < batch.length; offset++) batch[offset]?.close();
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
		const {promise, resolve} = withResolvers<void>();
		for (let offset = 0; offset < batch.length; offset++) batch[offset]?.onFailure(resolve);
		void settleBatch(run, batch, resolve);
		return promise;
	}
}

/** Awaits instead of calling `then`, which a task may have replaced. After a stray error, which fails the job, the promise may never settle. */
async function settle(result: PromiseLike<unknown>, execution: Execution, done: () => void): Promise<void> {
	try {
		execution.return(await result);
	} catch (error) {
		execution.fail(error);
	} finally {
		done();
	}
}

/** Each job ends by its own result. */
async function settleBatch(run: TaskFunction, batch: readonly Execution[], done: () => void): Promise<void> {
	try {
		const payloads = batch.map(({payload}) => decode(payload));
		const results = resultsFor(batch, await run(payloads, batch.map(({context}) => context) as never));
		const ends = await allEnds(results);
		// A stray error has failed them all by now.
		for (let offset = 0; offset < batch.length; offset++) {
			const [execution, end] = [batch[offset] as Execution, ends[offset] as End];
			if ('error' in end) execution.fail(end.error);
			else if (end.value instanceof Error) execution.fail(end.value);
			else execution.return(end.value);
		}
	} catch (error) {
		for (let offset = 0; offset < batch.length; offset++) batch[offset]?.fail(error);
	} finally {
		done();
	}
}

/** How one of a micro-batch ends. */
type End = {readonly value: unknown} | {readonly error: unknown};

/** The ends by offset, once all have settled. They are awaited at the same time, so that no rejection stays unhandled. */
async function allEnds(results: readonly unknown[]): Promise<Readonly<Record<number, End>>> {
	// Without a prototype: writing and reading it calls no function that a task could have replaced.
	const ends: Record<number, End | Promise<End>> = {__proto__: null} as never;
	for (let offset = 0; offset < results.length; offset++) ends[offset] = isThenable(results[offset]) ? endOf(results[offset]) : {value: results[offset]};
	for (let offset = 0; offset < results.length; offset++) if (isThenable(ends[offset])) ends[offset] = (await ends[offset]) as End;
	return ends as Record<number, End>;
}

async function endOf(result: unknown): Promise<End> {
	try {
		return {value: await result};
	} catch (error) {
		return {error};
	}
}

function resultsFor(batch: readonly Execution[], results: unknown): readonly unknown[] {
	if (Array.isArray(results) && results.length === batch.length) return results;
	const got = Array.isArray(results) ? `one of ${results.length}` : `a value of type ${typeof results}`;
	throw new TypeError(`A task with a batchSize returns an array with a result for each of its ${batch.length} payloads; this one returned ${got}.`);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
	return typeof value === 'object' && value !== null && typeof (value as {then?: unknown}).then === 'function';
}
