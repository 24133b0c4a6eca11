import {FaenaError} from '../support/errors.ts';
import type {BatchId, CompletedBatch} from './batch.ts';
import {argument, bad, type Checks, checked, expected, kind, list, nearest} from './checks.ts';
import {type Encoded, encode, sameValue, sizeBytes} from './encoding.ts';
import {EnqueuedChild} from './enqueued-child.ts';
import type {JobEdit, JobId} from './job.ts';
import {
	type CheckedOptions,
	checkId,
	checkJobOptions,
	checkTaskOptions,
	checkTimes,
	JOB_CHECKS,
	type ResolvedJobOptions,
	resolveJobOptions,
	resolveUnknown,
} from './options.ts';
import type {OnParentDead, Parents} from './parents.ts';
import {optionsOf} from './task/make-task.ts';
import type {Fresh, JobOptions, TaskContext, TaskInfo} from './task/task.ts';
import type {TaskTable} from './task/task-module.ts';
import {checkInput} from './task/task-schemas.ts';

/** Checks jobs to be enqueued, resolves their options and encodes their payloads: in the caller's thread, and for `ctx.enqueue` in a worker. */
export class JobBuilder {
	/** By task. Each resolve without options returns the same policy object, so that jobs can share a group. */
	readonly #tasks: ReadonlyMap<string, {readonly own: CheckedOptions; readonly resolved: ResolvedJobOptions; readonly limits: PendingLimits | undefined}>;
	readonly #defaults: CheckedOptions;
	/** The limit of an encoded payload. */
	readonly maxValueBytes: number;
	/** Tells queues apart: handles of jobs of another one are refused as parents. */
	readonly queue: string | object | undefined;
	readonly #known: TaskTable | undefined;
	/** Of a task without a limit of its own. */
	readonly #limits: PendingLimits | undefined;

	/**
	 * @param maxPending the most pending jobs of all tasks
	 * @param queue the path of the file of the jobs; of a queue in memory, an object
	 * @param known the tasks, if this thread has their module
	 * @throws FaenaError `BadOption` if a task's own options are wrong
	 */
	constructor(tasks: readonly TaskInfo[], defaults: CheckedOptions, maxValueBytes: number, maxPending?: number, queue?: string | object, known?: TaskTable) {
		this.queue = queue;
		this.#known = known;
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

	/** @throws FaenaError `UnknownTask` if the defaults, or a task's own options, name in `onDead` a task that the module does not have */
	checkOnDead(): void {
		this.#checkOnDead('defaults', this.#defaults);
		for (const [name, {own}] of this.#tasks) this.#checkOnDead(`task ${name}`, own);
	}

	#checkOnDead(where: string, {onDead}: CheckedOptions): void {
		if (onDead !== undefined) this.checkName(`${where} in onDead`, onDead, `onDead of ${where}: the`);
	}

	/** Names of the tasks; empty if there is no tasks module. */
	get names(): string[] {
		return [...this.#tasks.keys()];
	}

	/** @throws FaenaError `BadOption` if it can't be a name; `UnknownTask` if there is a tasks module, and it has no such task */
	checkName(where: string, task: unknown, the = 'The'): string {
		const name = argument(where, 'task', task, taskName);
		if (this.#tasks.has(name) || this.#tasks.size === 0) return name;
		throw new FaenaError('UnknownTask', `${the} tasks module has no task ${JSON.stringify(name)}${nearest(name, this.names)}`);
	}

	/** @throws FaenaError `UnknownTask`, `BadOption` */
	resolve(where: string, task: string, options: JobOptions): ResolvedJobOptions {
		this.refuseForeign(`${where} in dependsOn`, options?.dependsOn);
		return this.resolveChecked(where, task, checkJobOptions(where, options));
	}

	/** @throws FaenaError `BadOption` if one of the parents is the handle of a job in another queue */
	refuseForeign(where: string, parents: unknown): void {
		for (const parent of Array.isArray(parents) ? (parents as readonly unknown[]) : []) {
			const {id, queue} = Object(parent) as {readonly id?: unknown; readonly queue?: unknown};
			if (queue === undefined || this.queue === undefined || queue === this.queue) continue;
			const [other, own] = [queue, this.queue].map(each => (typeof each === 'string' ? each : 'another one in memory'));
			throw bad(`${where} expects jobs of its own queue, ${own}; job ${id} is in ${other}`);
		}
	}

	/** @throws FaenaError `UnknownTask`, `BadOption` */
	resolveChecked(where: string, task: string, given: CheckedOptions): ResolvedJobOptions {
		this.#checkOnDead(where, given);
		const known = this.#tasks.get(this.checkName(where, task));
		if (known && Object.keys(given).length === 0) return known.resolved;
		return known ? resolveJobOptions(this.#defaults, known.own, given) : resolveUnknown(this.#defaults, given);
	}

	/** The limits of pending jobs for an enqueue of this task; `undefined` if there are none. */
	limitsOf(task: string): PendingLimits | undefined {
		const known = this.#tasks.get(task);
		return known ? known.limits : this.#limits;
	}

	/** What makes a map of the task run items again, by the task's own options. */
	freshOf(task: string): readonly Fresh[] | undefined {
		return this.#tasks.get(task)?.own.fresh;
	}

	/**
	 * @param task whose schema the payload must fit, if that is known here
	 * @param index of one of many payloads, for the error
	 * @throws FaenaError `InvalidPayload`, `NotEncodable`, `TooLarge`
	 */
	encode(payload: unknown, task?: string, index?: number): Encoded {
		if (task !== undefined) this.check(payload, task, index);
		return encode(payload, 'payload', this.maxValueBytes);
	}

	/** As {@link encode}, but only checks. */
	check(payload: unknown, task: string, index?: number): void {
		const run = this.#known?.get(task);
		const {input} = run ? optionsOf(run) : {};
		if (input) checkInput(task, input, payload, index);
	}
}

/** What `edit()` changes of a job, one option or more. What is left out stays as it is. @example const changes: JobChanges = {priority: 9, delay: 0}; */
export interface JobChanges<Payload = unknown> extends Pick<JobOptions, 'priority' | 'delay' | 'runAt'> {
	/** A new argument of the task. The job's checkpoint, which belongs to the old one, is deleted. */
	readonly payload?: Payload;
}

const {priority, delay, runAt} = JOB_CHECKS;
const CHANGES_CHECKS = {payload: value => value, priority, delay, runAt} as Checks;

/** @throws FaenaError `BadOption`, `NotEncodable`, `TooLarge` */
export function toEdit(builder: JobBuilder, changes: JobChanges): Omit<JobEdit, 'id'> {
	const given = checkTimes('edit()', checked('edit()', changes, CHANGES_CHECKS) as {payload?: unknown; priority?: number; delay?: number; runAt?: number});
	if (Object.keys(given).length === 0) throw bad('edit() expects what to change, such as payload, priority, delay or runAt; it got nothing');
	const {payload, delay: delayMs, ...rest} = given;
	return {...rest, ...(delayMs !== undefined && {delayMs}), ...(payload !== undefined && {payload: builder.encode(payload)})};
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
	/** True if an existing job with the key counts as changed, though its payload is the same. */
	readonly isOutdated?: boolean;
}

/** A job that a task enqueues. */
export interface ChildJob extends Omit<NewJob, 'batch' | 'rerun' | 'parents' | 'isOutdated'> {
	/** What it waits for, in order: the ids of jobs, and the indexes of jobs that the execution has enqueued before it. */
	readonly after?: readonly (JobId | {readonly index: number})[];
	/** What becomes of the job if one of them ends as dead or cancelled; default `cancel`. */
	readonly onParentDead?: OnParentDead;
}

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

/** What is known of the job to enqueue when a batch completes. */
export type CompletionJob = Pick<NewJob, 'task' | 'scope' | 'priority' | 'policy'>;

/** The job that the store enqueues when a batch completes. */
export function toCompletionJob({task, scope, priority, policy}: CompletionJob, completed: CompletedBatch): NewJob {
	return {task, scope, priority, policy, runAt: null, payload: JSON.stringify(completed)};
}

/** The most that one execution may enqueue. Its worker keeps it in memory until the task ends, and the store writes it in one transaction. */
export const MAX_CHILD_JOBS = 10_000;
/** The most jobs for which one of them may wait. */
export const MAX_CHILD_PARENTS = 100_000;
const MAX_CHILD_JOBS_BYTES = 64 * 1024 * 1024;

/** The jobs that a task enqueues with `ctx.enqueue`, for the transaction that completes its own. Only the store knows whether a key is another job's. */
export class ChildJobs {
	readonly all: ChildJob[] = [];
	readonly #builder: JobBuilder;
	readonly #scope: string | undefined;
	/** By task and key, the jobs that have one. */
	readonly #keyed = new Map<string, {readonly index: number; readonly payload: Encoded}>();
	#bytes = 0;

	/** @param scope that of the job itself, which its jobs share, whatever engine runs it */
	constructor(builder: JobBuilder, scope: string | undefined) {
		this.#builder = builder;
		this.#scope = scope;
	}

	/** @throws FaenaError `UnknownTask`, `BadOption`, `NotEncodable`, `TooLarge`, `KeyConflict` */
	add(task: string, payload: unknown, options: Parameters<TaskContext['enqueue']>[2] & object): EnqueuedChild {
		const after =
			Object(options).dependsOn === undefined ? undefined : argument('ctx.enqueue()', 'dependsOn', options.dependsOn, value => this.#toParents(value));
		const {key, parents: _, ...resolved} = this.#builder.resolve('ctx.enqueue()', task, after ? {...options, dependsOn: []} : (options as JobOptions));
		const encoded = this.#builder.encode(payload);
		const known = key === undefined ? undefined : this.#find(task, key, encoded);
		if (known !== undefined) return new EnqueuedChild(this, known);
		this.#bytes += sizeBytes(encoded);
		const count = this.all.length;
		if (count >= MAX_CHILD_JOBS) throw tooMany(`${MAX_CHILD_JOBS.toLocaleString('en')} jobs`);
		if (this.#bytes > MAX_CHILD_JOBS_BYTES) throw tooMany(`${MAX_CHILD_JOBS_BYTES / 1024 ** 2} MiB of payloads`);
		const waits = after && after.length > 0 ? {after, onParentDead: options.onParentDead ?? 'cancel'} : undefined;
		this.all[count] = {
			task,
			payload: encoded,
			...resolved,
			...(this.#scope !== undefined && options.scope === undefined && {scope: this.#scope}),
			...(key !== undefined && {key}),
			...waits,
		};
		// An earlier task may have replaced functions of arrays.
		if (this.all.length === count) throw new Error('A job could not be kept until this one completes.');
		if (key !== undefined) this.#keyed.set(JSON.stringify([task, key]), {index: count, payload: encoded});
		return new EnqueuedChild(this, count);
	}

	/** Jobs by id, by handle, or as this execution has enqueued them. */
	#toParents(value: unknown): NonNullable<ChildJob['after']> {
		const parents = list(value);
		if (parents.length > MAX_CHILD_PARENTS) throw expected(`at most ${MAX_CHILD_PARENTS.toLocaleString('en')} jobs`, parents.length);
		return parents.map(each => {
			if (!(each instanceof EnqueuedChild)) return checkId(typeof each === 'object' && each !== null && 'id' in each ? each.id : each);
			const index = each.indexIn(this);
			if (index === undefined) throw expected('jobs that this execution has enqueued', 'one of another execution');
			return {index};
		});
	}

	/** The index of the job with this key, if this execution has enqueued it already. */
	#find(task: string, key: string, payload: Encoded): number | undefined {
		const known = this.#keyed.get(JSON.stringify([task, key]));
		if (known !== undefined && !sameValue(known.payload, payload))
			throw new FaenaError(
				'KeyConflict',
				`This job has already enqueued one with the key ${JSON.stringify(key)} of task ${task}, and another payload. Give another payload another key.`,
			);
		return known?.index;
	}
}

function tooMany(what: string): FaenaError {
	return new FaenaError('TooLarge', `One job may enqueue at most ${what} with ctx.enqueue(). Let it enqueue several jobs that enqueue the rest.`);
}
