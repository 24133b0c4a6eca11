import {optionsOf, type TaskFunction} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {get, has} from '../support/primordials.ts';
import type {TaskTable} from './tasks-module.ts';

/** What the setups of a worker's tasks returned. */
export class Resources {
	readonly #tasks: TaskTable;
	readonly #announce: (task?: string) => void;
	readonly #ready = new Map<string, unknown>();

	/** @param announce is told which task is set up from now on, and when that is done */
	constructor(tasks: TaskTable, announce: (task?: string) => void = () => undefined) {
		this.#tasks = tasks;
		this.#announce = announce;
	}

	/** True if the task has a setup that was not called here yet. */
	areMissing(task: string): boolean {
		const run = get(this.#tasks, task);
		return run !== undefined && optionsOf(run).setup !== undefined && !has(this.#ready, task);
	}

	/**
	 * Calls the task's setup, once.
	 * @throws FaenaError `SetupFailed`
	 */
	async setUp(task: string): Promise<void> {
		if (!this.areMissing(task)) return;
		this.#announce(task);
		try {
			this.#ready.set(task, await optionsOf(this.#tasks.get(task) as TaskFunction).setup?.());
		} catch (error) {
			const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
			throw new FaenaError('SetupFailed', `The setup of task ${task} failed. ${reason}`, {cause: error});
		} finally {
			this.#announce();
		}
	}

	of(task: string): unknown {
		return get(this.#ready, task);
	}

	/** Calls the teardowns of what was set up. One that fails does not keep the others from theirs. */
	async tearDown(): Promise<void> {
		await Promise.allSettled(
			[...this.#ready].map(async ([task, resource]) => {
				this.#ready.delete(task);
				const run = this.#tasks.get(task);
				await (run && optionsOf(run).teardown?.(resource));
			}),
		);
	}
}
