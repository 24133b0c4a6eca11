import {FaenaError} from '../support/errors.ts';
import {argument, kind, nearest} from './checks.ts';
import {type Encoded, encode, sameValue, sizeBytes} from './encoding.ts';
import type {BatchId, CompletedBatch} from './job.ts';
import {type CheckedOptions, checkJobOptions, checkTaskOptions, type ResolvedJobOptions, resolveJobOptions} from './options.ts';
import type {Parents} from './parents.ts';
import type {JobOptions, TaskInfo} from './task.ts';

/** Checks jobs to be enqueued, resolves their options and encodes their payloads: in the caller's thread, and for `ctx.enqueue` in a worker. */
export class JobMaker {
	/** By task. Each resolve without options returns the same policy object, so that jobs can share a group. */
	readonly #tasks: ReadonlyMap<string, {readonly own: CheckedOptions; readonly resolved: ResolvedJobOptions; readonly limits: PendingLimits | undefined}>;
	readonly #defaults: CheckedOptions;
	/** The limit of an encoded payload. */
	readonly maxValueBytes: number;
	/** Of a task without a limit of its own. */
	readonly #limits: PendingLimits | undefined;

	/**
	 * @param maxPending the most pending jobs of all tasks
	 * @throws FaenaError `BadOption` if a task's own options are wrong
	 */
	constructor(tasks: readonly TaskInfo[], defaults: CheckedOptions, maxValueBytes: number, maxPending?: number) {
		this.#defaults = defaults;
		this.#limits = maxPending === undefined ? undefined : {all: maxPending};
		this.maxValueBytes = maxValueBytes;
		this.#tasks = new Map(
			tasks.map(({name, options}) => {
				const own = checkTaskOptions(`task ${name}`, options);
				const limits = own.maxPending === undefined ? this.#limits : {task: own.maxPending, ...this.#limits};
				return [name, {own, resolved: resolveJobOptions(defaults, own), limits}];
			}),
		);
	}

	/** Names of the tasks; empty if there is no tasks module. */
	get names(): string[] {
		return [...this.#tasks.keys()];
	}

	/** @throws FaenaError `BadOption` if it can't be a name; `UnknownTask` if there is a tasks module, and it has no such task */
	checkName(where: string, task: unknown): string {
		const name = argument(where, 'task', task, taskName);
		if (this.#tasks.has(name) || this.#tasks.size === 0) return name;
		throw new FaenaError('UnknownTask', `The tasks module has no task ${JSON.stringify(name)}${nearest(name, this.names)}`);
	}

	/** @throws FaenaError `UnknownTask`, `BadOption` */
	resolve(where: string, task: string, options: JobOptions): ResolvedJobOptions {
		return this.resolveChecked(where, task, checkJobOptions(where, options));
	}

	/** @throws FaenaError `UnknownTask`, `BadOption` */
	resolveChecked(where: string, task: string, given: CheckedOptions): ResolvedJobOptions {
		const known = this.#tasks.get(this.checkName(where, task));
		if (known && Object.keys(given).length === 0) return known.resolved;
		return resolveJobOptions(this.#defaults, known?.own, given);
	}

	/** The limits of pending jobs for an enqueue of this task; `undefined` if there are none. */
	limitsOf(task: string): PendingLimits | undefined {
		const known = this.#tasks.get(task);
		return known ? known.limits : this.#limits;
	}

	/** @throws FaenaError `NotEncodable`, `TooLarge` */
	encode(payload: unknown): Encoded {
		return encode(payload, 'payload', this.maxValueBytes);
	}
}

const taskName = kind<string>("a task's name, which is a text and not empty", value => typeof value === 'string' && value !== '');

/** The most jobs that may be pending. */
export interface PendingLimits {
	/** Of the job's task. */
	readonly task?: number;
	/** Of all tasks together. */
	readonly all?: number;
}

/** The lowest of the limits; Infinity without one. */
export function lowestOf(limits: PendingLimits | undefined): number {
	return Math.min(limits?.task ?? Infinity, limits?.all ?? Infinity);
}

/** A job to be enqueued. */
export interface NewJob extends ResolvedJobOptions {
	/** The name of the function to run. */
	readonly task: string;
	/** Its argument, encoded. */
	readonly payload: Encoded;
	/** The batch that it belongs to. */
	readonly batch?: BatchId | undefined;
	/** The jobs that must end before. */
	readonly parents?: Parents | undefined;
	/** When an existing job with the key gets a new round; default: never. */
	readonly rerun?: Rerun | undefined;
}

/** A job that a task enqueues. */
export type ChildJob = Omit<NewJob, 'batch' | 'rerun'>;

/** When an enqueue begins a new round of the job that already has the key. */
export interface Rerun {
	/** If the existing job has another payload. It takes over payload, priority, policy and time of the new job. While it runs, this is a conflict. */
	readonly changed: boolean;
	/** If the existing job has the same payload, and is failed, dead or cancelled. */
	readonly failed: boolean;
}

/** When a job becomes due, in milliseconds since 1970; `null` for at once. */
export function dueAtOf({runAt, delayMs}: Pick<NewJob, 'runAt' | 'delayMs'>, now: number): number | null {
	const dueAt = delayMs === undefined ? runAt : now + delayMs;
	return dueAt !== null && dueAt > now ? dueAt : null;
}

/** The job that the store enqueues when a batch completes. */
export function toCompletionJob({task, priority, policy}: Pick<NewJob, 'task' | 'priority' | 'policy'>, completed: CompletedBatch): NewJob {
	return {task, priority, policy, runAt: null, payload: JSON.stringify(completed)};
}

/** The most that one execution may enqueue. Its worker keeps it in memory until the task ends, and the store writes it in one transaction. */
export const MAX_CHILD_JOBS = 10_000;
const MAX_CHILD_JOBS_BYTES = 64 * 1024 * 1024;

/** The jobs that a task enqueues with `ctx.enqueue`, for the transaction that completes its own. Only the store knows whether a key is another job's. */
export class ChildJobs {
	readonly all: ChildJob[] = [];
	readonly #maker: JobMaker;
	/** Payloads by task and key. */
	readonly #keyed = new Map<string, Encoded>();
	#bytes = 0;

	constructor(maker: JobMaker) {
		this.#maker = maker;
	}

	/** @throws FaenaError `UnknownTask`, `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict` */
	add(task: string, payload: unknown, options: JobOptions): void {
		const {key, ...resolved} = this.#maker.resolve('ctx.enqueue()', task, options);
		const encoded = this.#maker.encode(payload);
		if (key !== undefined && this.#isKnown(task, key, encoded)) return;
		this.#bytes += sizeBytes(encoded);
		const count = this.all.length;
		if (count >= MAX_CHILD_JOBS) throw tooMany(`${MAX_CHILD_JOBS.toLocaleString('en')} jobs`);
		if (this.#bytes > MAX_CHILD_JOBS_BYTES) throw tooMany(`${MAX_CHILD_JOBS_BYTES / 1024 ** 2} MiB of payloads`);
		this.all[count] = {task, payload: encoded, ...resolved, ...(key !== undefined && {key})};
		// An earlier task may have replaced functions of arrays.
		if (this.all.length === count) throw new Error('A job could not be kept until this one completes.');
	}

	/** True if this execution has enqueued that job already. */
	#isKnown(task: string, key: string, payload: Encoded): boolean {
		const name = JSON.stringify([task, key]);
		const known = this.#keyed.get(name);
		if (known !== undefined && !sameValue(known, payload))
			throw new FaenaError(
				'KeyConflict',
				`This job has already enqueued one with the key ${JSON.stringify(key)} of task ${task}, and another payload. Give another payload another key.`,
			);
		this.#keyed.set(name, payload);
		return known !== undefined;
	}
}

function tooMany(what: string): FaenaError {
	return new FaenaError('TooLarge', `One job may enqueue at most ${what} with ctx.enqueue(). Let it enqueue several jobs that enqueue the rest.`);
}
