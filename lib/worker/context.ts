import {format} from 'node:util';
import {argument, boolean, duration, finite} from '../job/checks.ts';
import type {ClaimedJob} from '../job/claim.ts';
import {decode, type Encoded, encode} from '../job/encoding.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import {numberAt} from '../job/groups/group.ts';
import {claimedJobAt} from '../job/groups/single-jobs.ts';
import type {LogLevel, StopReason} from '../job/job.ts';
import {type ChildJob, ChildJobs, type JobBuilder} from '../job/new-job.ts';
import {outcomesOf, type ParentsOfJob, readerOf} from '../job/parent-results.ts';
import type {ParentOutcome} from '../job/parents.ts';
import type {TaskContext, TaskFunction, TaskOptions} from '../job/task/task.ts';
import type {RetryDecision} from '../job/task/task-errors.ts';
import {reasonOf} from '../job/task/task-schemas.ts';
import {FaenaError} from '../support/errors.ts';
import {get, wallMs} from '../support/primordials.ts';
import type {ChunkState} from './chunk-state.ts';
import {type CommandOptions, JobCommands, type NewLine} from './job-commands.ts';
import {JobUpdates} from './job-updates.ts';
import type {ChunkMessage, WorkerMessage} from './messages.ts';
import type {OutcomeBuffer} from './outcomes.ts';

/** What the jobs of a chunk share while they run. */
export interface OpenChunk {
	readonly message: ChunkMessage;
	readonly payloads: readonly Encoded[];
	/** By index, of jobs that have waited for others. */
	readonly parents: ReadonlyMap<number, ParentsOfJob> | undefined;
	readonly chunkState: ChunkState;
	readonly outcomes: OutcomeBuffer;
	/** The task; `undefined` if the module has none of this name. */
	readonly run: TaskFunction | undefined;
	readonly resource: unknown;
	readonly retryIf: TaskOptions['retryIf'];
	readonly options: ChunkOptions;
}

export interface ChunkOptions {
	readonly maxValueBytes: number;
	readonly maxCheckpointBytes: number;
	/** For `ctx.enqueue`. */
	readonly builder: JobBuilder;
	readonly post: (message: WorkerMessage) => void;
	/** For `ctx.exec`. */
	readonly commands: CommandOptions;
	/** The worker's number, from 1. */
	readonly slot: number;
}

const NO_JOBS: readonly ChildJob[] = [];

/** One job of a chunk while it runs. It has few fields: a small job takes less time than filling many. */
export class Execution {
	readonly chunk: OpenChunk;
	readonly index: number;
	/** Jobs that run at the same time as this one, itself included. */
	readonly together: number;
	readonly context: JobContext;
	#hasFailed = false;
	#onEnd: (() => void) | undefined;
	#childJobs: readonly ChildJob[] = NO_JOBS;

	constructor(chunk: OpenChunk, index: number, together: number) {
		this.chunk = chunk;
		this.index = index;
		this.together = together;
		this.context = new JobContext(this);
	}

	get claimed(): Omit<ClaimedJob, 'payload' | 'policy'> {
		return claimedJobAt(this.chunk.message.group, this.index);
	}

	get scheduledAt(): number | undefined {
		const {scheduledAt} = this.chunk.message.group;
		return scheduledAt && get(scheduledAt, this.index);
	}

	get parents(): ParentsOfJob {
		return (this.chunk.parents && get(this.chunk.parents, this.index)) ?? [];
	}

	get payload(): unknown {
		const encoded = this.chunk.payloads[this.index] as Encoded;
		return this.chunk.parents ? decode(encoded, readerOf(this.parents)) : decode(encoded);
	}

	/** Keeps the result, unless a stray error has failed the job before. */
	return(value: unknown): void {
		if (this.#hasFailed) return;
		try {
			this.chunk.outcomes.return(this.index, encode(value, 'result', this.chunk.options.maxValueBytes));
			this.#onEnd?.();
		} catch (error) {
			this.fail(error, 'badResult');
		}
	}

	/** Fails the job, which may have returned, unless it has failed before. */
	fail(error: unknown, reason: FailureRecord['reason'] = 'threw'): void {
		if (this.#hasFailed) return;
		this.#hasFailed = true;
		const why = reason === 'threw' ? reasonOf(error, this.chunk.run) : reason;
		const failure = toFailure(error, why);
		const retry = why === 'badPayload' ? 'never' : why === 'threw' ? (failure.retry ?? this.#decide(error)) : undefined;
		this.chunk.outcomes.fail(this.index, retry ? {...failure, retry} : failure);
		this.#onEnd?.();
	}

	#decide(error: unknown): RetryDecision | undefined {
		const {retryIf} = this.chunk;
		if (!retryIf) return this.context.retryDecision;
		const {id, task, attempts} = this.claimed;
		try {
			const answer: unknown = retryIf(error, attempts + 1);
			// It is refused below. Unhandled, its rejection would end the process.
			if (answer instanceof Promise) answer.catch(() => undefined);
			const mayRetry = argument(`retryIf of task ${task}`, 'its result', answer, boolean);
			return mayRetry ? this.context.retryDecision : 'never';
		} catch (problem) {
			process.stderr.write(`faena: retryIf of task ${task} failed, so it decides nothing about job ${id}: ${toFailure(problem).message}\n`);
			return this.context.retryDecision;
		}
	}

	/** Calls `call` when the job returns, and when it fails. A stray error fails all jobs that run together; their promises may never settle then. */
	onEnd(call: () => void): void {
		if (this.#hasFailed) call();
		else this.#onEnd = call;
	}

	close(): void {
		this.#childJobs = this.context.close();
	}

	/** Reports the jobs that it enqueued. Call it together with the end of the job, since earlier jobs may be reported before. */
	reportChildJobs(): void {
		if (this.#childJobs.length > 0) this.chunk.outcomes.enqueue(this.index, this.#childJobs);
	}
}

/** What the task has used of its context. */
interface Used {
	controller?: AbortController;
	resumeFrom?: {readonly state: unknown};
	log?: TaskContext['log'];
	retryInMs?: number;
	updates?: JobUpdates;
	childJobs?: ChildJobs;
	commands?: JobCommands;
	parents?: readonly ParentOutcome[];
}

/** The context of one execution. It creates its parts when they are used. Its methods are getters of functions, since a task may take them out of it. */
export class JobContext implements TaskContext {
	readonly #execution: Execution;
	#used: Used | undefined;
	#isClosed = false;

	constructor(execution: Execution) {
		this.#execution = execution;
	}

	get #own(): Used {
		this.#used ??= {};
		return this.#used;
	}

	get job(): TaskContext['job'] {
		const {chunk, index, claimed, scheduledAt} = this.#execution;
		const {id, task, execution, attempts, key} = claimed;
		const maxAttempts = numberAt(chunk.message.group.maxAttempts, index);
		return {
			id,
			task,
			execution,
			attempts,
			maxAttempts,
			...(key !== undefined && {key}),
			...(scheduledAt !== undefined && {scheduledAt}),
		};
	}

	get resource(): unknown {
		return this.#execution.chunk.resource;
	}

	get slot(): number {
		return this.#execution.chunk.options.slot;
	}

	get cancelled(): boolean {
		return this.stopReason !== undefined;
	}

	get stopReason(): StopReason | undefined {
		return this.#execution.chunk.chunkState.stopReason(this.#execution.index);
	}

	get signal(): AbortSignal {
		this.#own.controller ??= this.#watch();
		return this.#own.controller.signal;
	}

	#watch(): AbortController {
		const controller = new AbortController();
		const abort = () => {
			const reason = this.stopReason;
			if (reason) controller.abort(toError(reason));
		};
		abort();
		void this.#execution.chunk.chunkState.stopped(this.#execution.index).then(abort);
		return controller;
	}

	get progress(): TaskContext['progress'] {
		return (done, total) => {
			if (this.#isClosed) return;
			argument('ctx.progress()', 'done', done, finite);
			if (total !== undefined) argument('ctx.progress()', 'total', total, finite);
			const {chunk, together} = this.#execution;
			const at = wallMs();
			// The chunk's state has room for the progress of one running job.
			const isSeen = together === 1;
			this.#updates.addProgress({done, ...(total !== undefined && {total}), at}, isSeen);
			if (isSeen) chunk.chunkState.setProgress(done, total ?? Number.NaN, at);
		};
	}

	get log(): TaskContext['log'] {
		this.#own.log ??= makeLog((level, text) => {
			this.writeLines([{level, text}]);
		});
		return this.#own.log;
	}

	get checkpoint(): TaskContext['checkpoint'] {
		return state => {
			// Encoded at once: the task may go on changing the state.
			if (!this.#isClosed) this.#updates.addCheckpoint(encode(state, 'checkpoint', this.#execution.chunk.options.maxCheckpointBytes, 'maxCheckpoint'));
		};
	}

	get resumeFrom(): unknown {
		this.#own.resumeFrom ??= {state: decode(this.#execution.claimed.checkpoint ?? null)};
		return this.#own.resumeFrom.state;
	}

	get parents(): TaskContext['parents'] {
		this.#own.parents ??= outcomesOf(this.#execution.parents);
		return this.#own.parents;
	}

	get results(): TaskContext['results'] {
		return this.parents.map(parent => (parent.status === 'completed' ? parent.result : undefined));
	}

	get retryIn(): TaskContext['retryIn'] {
		return wait => {
			this.#own.retryInMs = argument('ctx.retryIn()', 'its argument', wait, duration);
		};
	}

	get retryDecision(): RetryDecision | undefined {
		const afterMs = this.#used?.retryInMs;
		return afterMs === undefined ? undefined : {afterMs};
	}

	get enqueue(): TaskContext['enqueue'] {
		return (task, payload, options = {}) => {
			if (this.#isClosed)
				throw new FaenaError('Closed', `Job ${this.job.id} has ended, so it can't enqueue jobs any more. Call ctx.enqueue() before the task returns.`);
			this.#own.childJobs ??= new ChildJobs(this.#execution.chunk.options.builder, this.#execution.claimed.scope);
			return this.#own.childJobs.add(task, payload, options);
		};
	}

	get exec(): TaskContext['exec'] {
		return (async (file: unknown, args: unknown, options: unknown) => {
			if (this.#isClosed) throw new FaenaError('Closed', `Job ${this.job.id} has ended, so it can't start commands any more. Await ctx.exec() in the task.`);
			this.#own.commands ??= new JobCommands(this, this.#execution.chunk.options.commands);
			return this.#own.commands.run(file, args, options);
		}) as TaskContext['exec'];
	}

	/** Its commands that have not ended are to end with the task; `undefined` if it has started none. */
	get commands(): JobCommands | undefined {
		return this.#used?.commands;
	}

	/** Adds lines to the log. With `mayWait` they may travel with the job's outcome. */
	writeLines(lines: readonly NewLine[], mayWait = false): void {
		if (!this.#isClosed) this.#updates.addLines(lines, mayWait);
	}

	get #updates(): JobUpdates {
		const {index, chunk} = this.#execution;
		this.#own.updates ??= new JobUpdates(said => {
			const update = {type: 'update', chunk: chunk.message.chunk, index, ...said} as const;
			if (this.#isClosed) chunk.outcomes.update(update);
			else chunk.options.post(update);
		});
		return this.#own.updates;
	}

	/** After the task's end: sends updates that still wait, and returns the jobs that the task enqueued. */
	close(): readonly ChildJob[] {
		this.#isClosed = true;
		this.#used?.updates?.flush();
		return this.#used?.childJobs?.all ?? NO_JOBS;
	}

	/** The task uses the signal, and may wait for it. */
	get isWatched(): boolean {
		return this.#used?.controller !== undefined;
	}
}

function makeLog(add: (level: LogLevel, text: string) => void): TaskContext['log'] {
	const writer =
		(level: LogLevel) =>
		(...values: readonly unknown[]) =>
			add(level, format(...values));
	return Object.assign(writer('info'), {debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error')});
}

const SENTENCES: Readonly<Record<StopReason, string>> = {
	cancelled: 'The job was cancelled.',
	timedOut: 'The job ran longer than its timeout.',
	interrupted: 'Faena is shutting down; the job will run again.',
};

/** An error of the class and name that takers of a signal expect, with the stop reason. */
function toError(reason: StopReason): Error {
	return Object.assign(new DOMException(SENTENCES[reason], reason === 'timedOut' ? 'TimeoutError' : 'AbortError'), {reason});
}
