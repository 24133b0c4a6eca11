import type {Encoded} from '../job/encoding.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import type {StopReason} from '../job/job.ts';
import type {TaskContext} from '../job/task.ts';
import {get} from '../support/primordials.ts';
import type {ChunkState} from './chunk-state.ts';
import {type Given, type Host, JobContext} from './context.ts';
import {type ChunkMessage, idAt, type NoteMessage, numberAt} from './messages.ts';
import type {OutcomeBuffer} from './outcomes.ts';
import type {Noted} from './updates.ts';

/** What runs: one job, or a micro-batch. */
export type Executions = readonly Execution[];

/** What the jobs of a chunk share while they run. */
export interface OpenChunk {
	readonly message: ChunkMessage;
	readonly payloads: readonly Encoded[];
	/** What its contexts share. */
	readonly given: Given;
	readonly chunkState: ChunkState;
	readonly report: OutcomeBuffer;
	readonly post: (note: NoteMessage) => void;
}

/** One job of a chunk on its way to an outcome, and what its context asks. A small job takes less time than many fields would. */
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
		return idAt(this.#chunk.message, this.index);
	}

	get payload(): Encoded {
		return this.#chunk.payloads[this.index] as Encoded;
	}

	/** Nothing that comes to light now can change how it ended. */
	get isFinal(): boolean {
		return this.#chunk.report.isFinal(this.index);
	}

	/** The first failure counts. */
	fail(error: unknown, reason: FailureRecord['reason'] = 'threw'): undefined {
		if (this.failure) return;
		this.failure = toFailure(error, reason);
		this.#chunk.report.fail(this.index, this.failure);
		this.#wake?.();
	}

	/** Calls it once the job has failed. */
	onFailure(wake: () => void): void {
		if (this.failure) wake();
		else this.#wake = wake;
	}

	// ——— what the context asks ———

	get job(): TaskContext['job'] {
		const {index} = this;
		const {task, executions, attempts, maxAttempts, keys} = this.#chunk.message;
		const key = get(keys, index);
		return {
			id: this.id,
			task,
			execution: numberAt(executions, index),
			attempts: get(attempts, index) ?? 0,
			maxAttempts: numberAt(maxAttempts, index),
			...(key !== undefined && {key}),
		};
	}

	get checkpoint(): Encoded | undefined {
		return get(this.#chunk.message.checkpoints, this.index);
	}

	stopReason(): StopReason | undefined {
		return this.#chunk.chunkState.stopReason(this.index);
	}

	stopped(): Promise<void> {
		return this.#chunk.chunkState.stopped(this.index);
	}

	/** The chunk's state has room for what one running job says. */
	get progress(): Host['progress'] {
		return this.#together === 1 ? (done, total, at) => this.#chunk.chunkState.setProgress(done, total, at) : undefined;
	}

	note(note: Noted): void {
		this.#chunk.post({type: 'note', chunk: this.#chunk.message.chunk, index: this.index, ...note});
	}
}
