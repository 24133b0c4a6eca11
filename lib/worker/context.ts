import {format} from 'node:util';
import {argument, finite} from '../job/checks.ts';
import {ChildJobs} from '../job/child-jobs.ts';
import {decode, type Encoded, encode} from '../job/encoding.ts';
import type {LogLevel, StopReason} from '../job/job.ts';
import type {ChildJob, JobMaker} from '../job/new-job.ts';
import type {JobOptions, TaskContext, TaskLog} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {wallMs} from '../support/primordials.ts';
import type {Noted} from './updates.ts';
import {Notes} from './updates.ts';

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

const NO_JOBS: readonly ChildJob[] = [];

const SENTENCES: Readonly<Record<StopReason, string>> = {
	cancelled: 'The job was cancelled.',
	timedOut: 'The job ran longer than its timeout.',
	interrupted: 'Faena is shutting down; the job will run again.',
};

/** What a task has asked for. */
interface Asked {
	job?: TaskContext['job'];
	controller?: AbortController;
	resumeFrom?: {readonly state: unknown};
	notes?: Notes;
	made?: ChildJobs;
	// The methods that a task may take out of it.
	log?: TaskLog;
	progress?: TaskContext['progress'];
	checkpoint?: TaskContext['checkpoint'];
	enqueue?: TaskContext['enqueue'];
}

/** The context of one execution. What it is not asked for it has no room for: a small job may take less time than that. */
export class JobContext implements TaskContext {
	readonly #host: Host;
	readonly #given: Given;
	#asked: Asked | undefined;
	#isClosed = false;

	constructor(host: Host, given: Given) {
		this.#host = host;
		this.#given = given;
	}

	get #own(): Asked {
		this.#asked ??= {};
		return this.#asked;
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
		this.#own.progress ??= (done, total) => this.#sayProgress(done, total);
		return this.#own.progress;
	}

	#sayProgress(done: number, total?: number): void {
		if (this.#isClosed) return;
		argument('ctx.progress()', 'done', done, finite);
		if (total !== undefined) argument('ctx.progress()', 'total', total, finite);
		const at = wallMs();
		const {progress} = this.#host;
		this.#notes.addProgress({done, ...(total !== undefined && {total}), at}, progress !== undefined);
		progress?.(done, total ?? Number.NaN, at);
	}

	get log(): TaskLog {
		this.#own.log ??= makeLog((level, text) => {
			if (!this.#isClosed) this.#notes.addLine(level, text);
		});
		return this.#own.log;
	}

	get checkpoint(): TaskContext['checkpoint'] {
		this.#own.checkpoint ??= state => this.#keep(state);
		return this.#own.checkpoint;
	}

	#keep(state: unknown): void {
		if (this.#isClosed) return;
		// Encoded here and now: the task may go on changing what it gave.
		this.#notes.addCheckpoint(encode(state, 'checkpoint', this.#given.maxCheckpointBytes, 'maxCheckpointBytes'));
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
		this.#own.made ??= new ChildJobs(this.#given.maker);
		this.#own.made.add(task, payload, options);
	}

	get #notes(): Notes {
		this.#own.notes ??= new Notes(note => this.#host.note(note));
		return this.#own.notes;
	}

	/** For whoever runs the task, when it has ended: hands over what is still held back, and returns the jobs it made. */
	close(): readonly ChildJob[] {
		this.#isClosed = true;
		this.#asked?.notes?.flush();
		return this.#asked?.made?.all ?? NO_JOBS;
	}

	/** True if somebody may be waiting on the signal. */
	get isWatched(): boolean {
		return this.#asked?.controller !== undefined;
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
