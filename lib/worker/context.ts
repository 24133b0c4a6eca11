import {format} from 'node:util';
import {argument, finite} from '../job/checks.ts';
import {decode, type Encoded, encode} from '../job/encoding.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import {idAt, numberAt} from '../job/group.ts';
import type {LogLevel, StopReason} from '../job/job.ts';
import {type ChildJob, ChildJobs, type JobMaker} from '../job/new-job.ts';
import type {JobOptions, TaskContext, TaskLog} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {get, wallMs} from '../support/primordials.ts';
import type {ChunkState} from './chunk-state.ts';
import type {ChunkMessage, UpdateMessage} from './messages.ts';
import type {OutcomeBuffer} from './outcomes.ts';
import {type JobUpdate, JobUpdates} from './updates.ts';

/** What a context needs from the code that runs its job. */
export interface Host {
	readonly job: TaskContext['job'];
	/** The last checkpoint of an earlier execution. */
	readonly checkpoint: Encoded | undefined;
	stopReason(): StopReason | undefined;
	/** Resolves when the job is told to stop, or has ended. */
	stopped(): Promise<void>;
	/** Publishes how far the job is; `total` is NaN if it isn't known. Where it is missing, progress travels as an update. */
	readonly progress: ((done: number, total: number, at: number) => void) | undefined;
	update(update: JobUpdate): void;
}

/** What the contexts of a chunk share. */
export interface Given {
	readonly maxCheckpointBytes: number;
	/** What the task's setup returned. */
	readonly resource: unknown;
	readonly maker: JobMaker;
}

const NO_JOBS: readonly ChildJob[] = [];

const SENTENCES: Readonly<Record<StopReason, string>> = {
	cancelled: 'The job was cancelled.',
	timedOut: 'The job ran longer than its timeout.',
	interrupted: 'Faena is shutting down; the job will run again.',
};

/** What the task has used of its context. */
interface Used {
	job?: TaskContext['job'];
	controller?: AbortController;
	resumeFrom?: {readonly state: unknown};
	updates?: JobUpdates;
	childJobs?: ChildJobs;
	// Methods that a task may take out of its context.
	log?: TaskLog;
	progress?: TaskContext['progress'];
	checkpoint?: TaskContext['checkpoint'];
	enqueue?: TaskContext['enqueue'];
}

/** The context of one execution. It creates its parts when they are used: a small job may take less time than creating them. */
export class JobContext implements TaskContext {
	readonly #host: Host;
	readonly #given: Given;
	#used: Used | undefined;
	#isClosed = false;

	constructor(host: Host, given: Given) {
		this.#host = host;
		this.#given = given;
	}

	get #own(): Used {
		this.#used ??= {};
		return this.#used;
	}

	get job(): TaskContext['job'] {
		this.#own.job ??= this.#host.job;
		return this.#own.job;
	}

	get resource(): unknown {
		return this.#given.resource;
	}

	get cancelled(): boolean {
		return this.stopReason !== undefined;
	}

	get stopReason(): StopReason | undefined {
		return this.#host.stopReason();
	}

	get signal(): AbortSignal {
		this.#own.controller ??= this.#watch();
		return this.#own.controller.signal;
	}

	get progress(): TaskContext['progress'] {
		this.#own.progress ??= (done, total) => this.#setProgress(done, total);
		return this.#own.progress;
	}

	#setProgress(done: number, total?: number): void {
		if (this.#isClosed) return;
		argument('ctx.progress()', 'done', done, finite);
		if (total !== undefined) argument('ctx.progress()', 'total', total, finite);
		const at = wallMs();
		const {progress} = this.#host;
		this.#updates.addProgress({done, ...(total !== undefined && {total}), at}, progress !== undefined);
		progress?.(done, total ?? Number.NaN, at);
	}

	get log(): TaskLog {
		this.#own.log ??= makeLog((level, text) => {
			if (!this.#isClosed) this.#updates.addLine(level, text);
		});
		return this.#own.log;
	}

	get checkpoint(): TaskContext['checkpoint'] {
		this.#own.checkpoint ??= state => this.#keep(state);
		return this.#own.checkpoint;
	}

	#keep(state: unknown): void {
		if (this.#isClosed) return;
		// Encoded at once: the task may go on changing the state.
		this.#updates.addCheckpoint(encode(state, 'checkpoint', this.#given.maxCheckpointBytes, 'maxCheckpointBytes'));
	}

	get resumeFrom(): unknown {
		this.#own.resumeFrom ??= {state: decode(this.#host.checkpoint ?? null)};
		return this.#own.resumeFrom.state;
	}

	get enqueue(): TaskContext['enqueue'] {
		this.#own.enqueue ??= (task, payload, options = {}) => this.#make(task, payload, options);
		return this.#own.enqueue;
	}

	#make(task: string, payload: unknown, options: JobOptions): void {
		if (this.#isClosed) throw new FaenaError('Closed', `Job ${this.job.id} has ended; a task calls ctx.enqueue() before it does.`);
		this.#own.childJobs ??= new ChildJobs(this.#given.maker);
		this.#own.childJobs.add(task, payload, options);
	}

	get #updates(): JobUpdates {
		this.#own.updates ??= new JobUpdates(update => this.#host.update(update));
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

	#watch(): AbortController {
		const controller = new AbortController();
		const abort = () => {
			const reason = this.stopReason;
			if (reason) controller.abort(toError(reason));
		};
		abort();
		void this.#host.stopped().then(abort);
		return controller;
	}
}

function makeLog(add: (level: LogLevel, text: string) => void): TaskLog {
	const writer =
		(level: LogLevel) =>
		(...values: readonly unknown[]) =>
			add(level, format(...values));
	return Object.assign(writer('info'), {debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error')});
}

/** An error of the class and name that takers of a signal expect, with the stop reason. */
function toError(reason: StopReason): Error {
	return Object.assign(new DOMException(SENTENCES[reason], reason === 'timedOut' ? 'TimeoutError' : 'AbortError'), {reason});
}

/** What runs: one job, or a micro-batch. */
export type Executions = readonly Execution[];

/** What the jobs of a chunk share while they run. */
export interface OpenChunk {
	readonly message: ChunkMessage;
	readonly payloads: readonly Encoded[];
	/** What its contexts share. */
	readonly given: Given;
	readonly chunkState: ChunkState;
	readonly outcomes: OutcomeBuffer;
	readonly post: (update: UpdateMessage) => void;
}

/** One job of a chunk while it runs, and the host of its context. It has few fields: a small job takes less time than filling many. */
export class Execution implements Host {
	readonly index: number;
	readonly context: JobContext;
	failure: FailureRecord | undefined;
	readonly #chunk: OpenChunk;
	readonly #together: number;
	#wake: (() => void) | undefined;

	/** @param together jobs that run at the same time as this one, itself included */
	constructor(chunk: OpenChunk, index: number, together: number) {
		this.#chunk = chunk;
		this.index = index;
		this.#together = together;
		this.context = new JobContext(this, chunk.given);
	}

	get id(): number {
		return idAt(this.#chunk.message.group.ids, this.index);
	}

	get payload(): Encoded {
		return this.#chunk.payloads[this.index] as Encoded;
	}

	/** Its outcome is final: a late rejection can't change it. */
	get isFinal(): boolean {
		return this.#chunk.outcomes.isFinal(this.index);
	}

	/** Fails the job, unless it has failed before. */
	fail(error: unknown, reason: FailureRecord['reason'] = 'threw'): undefined {
		if (this.failure) return;
		this.failure = toFailure(error, reason);
		this.#chunk.outcomes.fail(this.index, this.failure);
		this.#wake?.();
	}

	/** Calls `wake` once the job has failed. */
	onFailure(wake: () => void): void {
		if (this.failure) wake();
		else this.#wake = wake;
	}

	// ——— for the context ———

	get job(): TaskContext['job'] {
		const {index} = this;
		const {task, executions, attempts, policy, keys} = this.#chunk.message.group;
		const key = keys && get(keys, index);
		return {
			id: this.id,
			task,
			execution: numberAt(executions, index),
			attempts: (attempts && get(attempts, index)) ?? 0,
			maxAttempts: policy.maxAttempts,
			...(key !== undefined && {key}),
		};
	}

	get checkpoint(): Encoded | undefined {
		const {checkpoints} = this.#chunk.message.group;
		return checkpoints && get(checkpoints, this.index);
	}

	stopReason(): StopReason | undefined {
		return this.#chunk.chunkState.stopReason(this.index);
	}

	stopped(): Promise<void> {
		return this.#chunk.chunkState.stopped(this.index);
	}

	/** The chunk's state has room for the progress of one running job. */
	get progress(): Host['progress'] {
		return this.#together === 1 ? (done, total, at) => this.#chunk.chunkState.setProgress(done, total, at) : undefined;
	}

	update(update: JobUpdate): void {
		this.#chunk.post({type: 'update', chunk: this.#chunk.message.chunk, index: this.index, ...update});
	}
}
