import type {Encoded} from '../job/encoding.ts';
import {type FailureRecord, toFailure} from '../job/failure.ts';
import {idAt, numberAt} from '../job/group.ts';
import type {StopReason} from '../job/job.ts';
import type {TaskContext} from '../job/task.ts';
import {get} from '../support/primordials.ts';
import type {ChunkState} from './chunk-state.ts';
import {type Given, type Host, JobContext} from './context.ts';
import type {ChunkMessage, UpdateMessage} from './messages.ts';
import type {OutcomeBuffer} from './outcomes.ts';
import type {JobUpdate} from './updates.ts';

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
