import {FaenaError} from '../support/errors.ts';
import {wallMs} from '../support/primordials.ts';
import {argument, expected, nearest} from './checks.ts';
import {type Encoded, encode} from './encoding.ts';
import type {BatchId, Policy} from './job.ts';
import {checkJobOptions, checkTaskOptions, type ResolvedJobOptions, resolveJobOptions} from './options.ts';
import type {ExecutionOptions, JobOptions, TaskInfo, TaskOptions} from './task.ts';

/**
 * Checks what is to be enqueued and resolves its options: those of the call, the task's own, the engine's defaults. The same
 * in the caller's thread for `enqueue` and in a worker for `ctx.enqueue`.
 */
export class JobMaker {
	/** By task; a task's policy is the same object each time, so that it is sent and stored once. */
	readonly #tasks: ReadonlyMap<string, {readonly own: TaskOptions; readonly resolved: ResolvedJobOptions}>;
	readonly #defaults: ExecutionOptions;
	readonly #maxValueBytes: number;
	readonly #now: () => number;

	/** @throws FaenaError `BadOption` if a task's own options are wrong */
	constructor(tasks: readonly TaskInfo[], defaults: ExecutionOptions, maxValueBytes: number, now: () => number = wallMs) {
		this.#defaults = defaults;
		this.#maxValueBytes = maxValueBytes;
		this.#now = now;
		this.#tasks = new Map(
			tasks.map(({name, options}) => {
				const own = checkTaskOptions(`task ${name}`, options);
				return [name, {own, resolved: resolveJobOptions([own, defaults], 0)}];
			}),
		);
	}

	/** Names of the tasks; none if no module is known. */
	get names(): string[] {
		return [...this.#tasks.keys()];
	}

	/** @throws FaenaError `BadOption` for what is no name, `UnknownTask` if there are tasks and none has it */
	checkName(where: string, task: unknown): string {
		const name = argument(where, 'task', task, taskName);
		if (this.#tasks.has(name) || this.#tasks.size === 0) return name;
		throw new FaenaError('UnknownTask', `The tasks module has no task ${JSON.stringify(name)}${nearest(name, this.names)}`);
	}

	/** @throws FaenaError `UnknownTask`, `BadOption` */
	resolve(where: string, task: string, options: JobOptions): ResolvedJobOptions {
		this.checkName(where, task);
		const known = this.#tasks.get(task);
		const given = checkJobOptions(where, options);
		if (known && Object.keys(given).length === 0) return known.resolved;
		return resolveJobOptions([given, known?.own, this.#defaults], this.#now());
	}

	/** @throws FaenaError `NotEncodable`, `TooLarge` */
	encode(payload: unknown): Encoded {
		return encode(payload, 'payload', this.#maxValueBytes);
	}
}

function taskName(value: unknown): string {
	if (typeof value === 'string' && value !== '') return value;
	throw expected('the name of one, a text that is not empty', value);
}

export interface NewJob {
	readonly task: string;
	readonly payload: Encoded;
	readonly priority: number;
	/** Earliest start in milliseconds since 1970; `null` for at once. */
	readonly runAt: number | null;
	readonly policy: Policy;
	/** Unique per batch, or per task outside batches, until the job is cleaned up. */
	readonly key?: string;
	readonly batch?: BatchId;
	/** When a job that has the key already gets a new round; default: never. */
	readonly rerun?: Rerun;
}

/** A job that a job enqueues. */
export type ChildJob = Omit<NewJob, 'batch' | 'rerun'>;

export interface Rerun {
	/** If its payload is another: then with this payload, priority, policy and time. Not while it runs: that is a conflict. */
	readonly changed: boolean;
	/** If its payload is the same, and it is failed, dead or cancelled. */
	readonly failed: boolean;
}
