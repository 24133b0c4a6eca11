import {argument, expected, nearest} from './checks.ts';
import {type Encoded, encode} from './encoding.ts';
import {FaenaError} from './errors.ts';
import {checkJobOptions, checkTaskOptions, type JobOptions, type ResolvedJobOptions, resolveJobOptions} from './options.ts';
import {wallMs} from './originals.ts';
import type {ExecutionOptions, TaskOptions} from './task.ts';
import type {TaskInfo} from './tasks-module.ts';

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
