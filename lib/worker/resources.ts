import {optionsOf, type TaskFunction} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {get, has} from '../support/primordials.ts';
import type {TaskTable} from './tasks-module.ts';

/** Sets up the tasks of a worker, and keeps what their setups returned. */
export class Resources {
	readonly #tasks: TaskTable;
	readonly #announce: (task?: string) => void;
	readonly #ready = new Map<string, unknown>();

	/** @param announce gets the task whose setup begins, and nothing when it is done */
	constructor(tasks: TaskTable, announce: (task?: string) => void = () => undefined) {
		this.#tasks = tasks;
		this.#announce = announce;
	}

	/** The task has a setup that was not called yet. */
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

	/** Calls the teardowns of all tasks that were set up, even if one of them fails. */
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
