import {existsSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {isClass} from './checks.ts';
import {FaenaError} from './errors.ts';
import {checkTaskOptions} from './options.ts';
import {type BatchTaskOptions, optionsOf, type TaskFunction, type TaskOptions} from './task.ts';

/** The tasks of a module: its exported functions by export name. */
export type TaskTable = ReadonlyMap<string, TaskFunction>;

/** What a dispatcher knows of a task without loading its module. */
export interface TaskInfo {
	readonly name: string;
	/** Without functions, which stay where the module is. */
	readonly options: Omit<TaskOptions & Partial<BatchTaskOptions>, 'setup' | 'teardown'>;
}

/** Objects of functions that stand for a module, by URL: for an inline engine in the thread that has them. */
const stands = new Map<string, object>();

/** Lets {@link loadTasks} find this object under the URL, until it is given `undefined`. */
export function standIn(url: string, tasks: object | undefined): void {
	if (tasks) stands.set(url, tasks);
	else stands.delete(url);
}

/**
 * Imports a tasks module. Names are looked up among its exports; nothing else is ever imported for a job.
 * @param url a `file:` URL
 * @throws FaenaError `BadTasksModule` if it is missing, throws while loading, or exports no function
 */
export async function loadTasks(url: string): Promise<TaskTable> {
	const path = url.startsWith('file:') ? fileURLToPath(url) : url;
	const stand = stands.get(url);
	if (!stand && url.startsWith('file:') && !existsSync(path)) throw new FaenaError('BadTasksModule', `The tasks module ${path} does not exist.`);
	const module = stand ?? (await importModule(url, path));
	const table = tableOf(module);
	if (table.size === 0)
		throw new FaenaError('BadTasksModule', `The tasks module ${path} exports no function. Export one for each task: export function hash(file) { … }`);
	return table;
}

export function tableOf(tasks: object): TaskTable {
	return new Map(Object.entries(tasks).filter((entry): entry is [string, TaskFunction] => typeof entry[1] === 'function' && !isClass(entry[1])));
}

/** @throws FaenaError `BadOption` */
export function infosOf(table: TaskTable): TaskInfo[] {
	return [...table].map(([name, run]) => {
		const {setup: _, teardown: __, ...options} = checkTaskOptions(`task ${name}`, optionsOf(run));
		return {name, options};
	});
}

async function importModule(url: string, path: string): Promise<object> {
	try {
		return (await import(url)) as object;
	} catch (error) {
		const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
		throw new FaenaError('BadTasksModule', `The tasks module ${path} can't be loaded. ${reason}`, {cause: error instanceof Error ? error : undefined});
	}
}
