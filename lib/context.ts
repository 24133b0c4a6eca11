import {format} from 'node:util';
import type {StopReason} from './board.ts';
import {argument, finite} from './checks.ts';
import {decode, type Encoded, encode} from './encoding.ts';
import {FaenaError} from './errors.ts';
import type {LogLevel, LogLine} from './job.ts';
import type {JobMaker} from './job-maker.ts';
import {MadeJobs} from './made-jobs.ts';
import type {JobOptions} from './options.ts';
import {clearTimeout, setTimeout, steadyMs, wallMs} from './originals.ts';
import {MAX_LOG_LINES, type MadeJob} from './queue.ts';
import type {TaskContext, TaskLog} from './task.ts';

/** What a context needs of the place where its job runs. */
export interface Host {
	readonly job: TaskContext['job'];
	/** Of an earlier execution. */
	readonly checkpoint: Encoded | undefined;
	stopReason(): StopReason | undefined;
	/** Resolves when there may be a reason to stop. */
	stopped(): Promise<void>;
	/** How far the job is, now; `total` is NaN if it isn't known. Where that can't be seen at once, it is noted. */
	readonly progress: ((done: number, total: number, at: number) => void) | undefined;
	note(note: Noted): void;
}

/** What the contexts of a task share. */
export interface Given {
	readonly maxCheckpointBytes: number;
	/** What the task's setup returned. */
	readonly resource: unknown;
	readonly maker: JobMaker;
}

export interface Noted {
	progress?: {done: number; total?: number; at: number};
	logs?: Omit<LogLine, 'execution'>[];
	checkpoint?: {at: number; state: Encoded};
}

/**
 * What is said within this time of the last note travels with the next one. A checkpoint waits only for this time since the
 * last checkpoint, however many lines come between, so that less work than that is lost with it whatever follows, a loop or a crash;
 */
const NOTE_EVERY_MS = 50;
/** and the first lines don't wait at all. */
const LINES_AT_ONCE = 8;

const NO_JOBS: readonly MadeJob[] = [];

const MAX_LOG_TEXT = 4096;

const SENTENCES: Readonly<Record<StopReason, string>> = {
	cancelled: 'The job was cancelled.',
	timedOut: 'The job ran longer than its timeout.',
	interrupted: 'Faena is shutting down; the job will run again.',
};

/** The context of one execution. What it is not asked for it does not make: a small job may take less time than that. */
export class JobContext implements TaskContext {
	readonly #host: Host;
	#job: TaskContext['job'] | undefined;
	#controller: AbortController | undefined;
	readonly #given: Given;
	#log: TaskLog | undefined;
	#resumeFrom: {readonly state: unknown} | undefined;
	#pending: Noted | undefined;
	#notedAt = -Infinity;
	#lines = 0;
	#checkpointedAt = -Infinity;
	#made: MadeJobs | undefined;
	#isClosed = false;
	/** Ends the wait of what is pending, where the task lets it. */
	#timer: NodeJS.Timeout | undefined;
	// The methods that a task may take out of it.
	#progress: TaskContext['progress'] | undefined;
	#checkpoint: TaskContext['checkpoint'] | undefined;
	#enqueue: TaskContext['enqueue'] | undefined;

	constructor(host: Host, given: Given) {
		this.#host = host;
		this.#given = given;
	}

	get job(): TaskContext['job'] {
		this.#job ??= this.#host.job;
		return this.#job;
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
		this.#controller ??= this.#watch();
		return this.#controller.signal;
	}

	get progress(): TaskContext['progress'] {
		this.#progress ??= (done, total) => this.#sayProgress(done, total);
		return this.#progress;
	}

	#sayProgress(done: number, total?: number): void {
		if (this.#isClosed) return;
		argument('ctx.progress()', 'done', done, finite);
		if (total !== undefined) argument('ctx.progress()', 'total', total, finite);
		const at = wallMs();
		this.#pending ??= {};
		this.#pending.progress = {done, ...(total !== undefined && {total}), at};
		const {progress} = this.#host;
		if (progress) progress(done, total ?? Number.NaN, at);
		else this.#noteSometimes(false);
	}

	get log(): TaskLog {
		this.#log ??= makeLog((level, text) => this.#addLine(level, text));
		return this.#log;
	}

	#addLine(level: LogLevel, text: string): void {
		if (this.#isClosed) return;
		this.#pending ??= {};
		this.#pending.logs ??= [];
		this.#pending.logs.push({at: wallMs(), level, text: text.length > MAX_LOG_TEXT ? `${text.slice(0, MAX_LOG_TEXT)}…` : text});
		// The first ones of a flood are of no use to anybody: the queue keeps the last.
		if (this.#pending.logs.length > MAX_LOG_LINES) this.#pending.logs.shift();
		this.#noteSometimes(++this.#lines <= LINES_AT_ONCE);
	}

	get checkpoint(): TaskContext['checkpoint'] {
		this.#checkpoint ??= state => this.#keep(state);
		return this.#checkpoint;
	}

	#keep(state: unknown): void {
		if (this.#isClosed) return;
		// Encoded here and now: the task may go on changing what it gave.
		const encoded = encode(state, 'checkpoint', this.#given.maxCheckpointBytes, 'maxCheckpointBytes');
		this.#pending ??= {};
		this.#pending.checkpoint = {at: wallMs(), state: encoded};
		this.#noteSometimes(steadyMs() - this.#checkpointedAt >= NOTE_EVERY_MS);
	}

	get resumeFrom(): unknown {
		this.#resumeFrom ??= {state: decode(this.#host.checkpoint ?? null)};
		return this.#resumeFrom.state;
	}

	get enqueue(): TaskContext['enqueue'] {
		this.#enqueue ??= (task, payload, options = {}) => this.#make(task, payload, options);
		return this.#enqueue;
	}

	#make(task: string, payload: unknown, options: JobOptions): void {
		if (this.#isClosed) throw new FaenaError('Closed', `Job ${this.job.id} has ended; a task calls ctx.enqueue() before it does.`);
		this.#made ??= new MadeJobs(this.#given.maker);
		this.#made.add(task, payload, options);
	}

	/** For whoever runs the task, when it has ended: hands over what is still held back, and returns the jobs it made. */
	close(): readonly MadeJob[] {
		this.#isClosed = true;
		this.#flush();
		return this.#made?.all ?? NO_JOBS;
	}

	/** True if somebody may be waiting on the signal. */
	get isWatched(): boolean {
		return this.#controller !== undefined;
	}

	#noteSometimes(isUrgent: boolean): void {
		if (isUrgent || steadyMs() - this.#notedAt >= NOTE_EVERY_MS) this.#note();
		else this.#timer ??= setTimeout(() => this.#note(), NOTE_EVERY_MS);
	}

	#note(): void {
		this.#notedAt = steadyMs();
		this.#flush();
	}

	#flush(): void {
		if (this.#timer) clearTimeout(this.#timer);
		this.#timer = undefined;
		const pending = this.#pending;
		if (!pending) return;
		this.#pending = undefined;
		if (pending.checkpoint) this.#checkpointedAt = steadyMs();
		this.#host.note(pending);
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

/** Of the class and name that what takes a signal expects, with our word for it. */
function toError(reason: StopReason): Error {
	return Object.assign(new DOMException(SENTENCES[reason], reason === 'timedOut' ? 'TimeoutError' : 'AbortError'), {reason});
}
