import {existsSync, realpathSync} from 'node:fs';
import {createRequire} from 'node:module';
import {fileURLToPath} from 'node:url';
import {isClass} from '../job/checks.ts';
import {checkTaskOptions} from '../job/options.ts';
import {optionsOf, type TaskFunction, type TaskInfo} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {get, has} from '../support/primordials.ts';

/** The tasks of a module: its exported functions by export name. */
export type TaskTable = ReadonlyMap<string, TaskFunction>;

/** Objects of functions that stand in for modules, by URL: for tasks that run in the thread that has the object. */
const stands = new Map<string, object>();

/** Makes {@link loadTasks} return this object's functions for the URL; `undefined` ends that. */
export function standIn(url: string, tasks: object | undefined): void {
	if (tasks) stands.set(url, tasks);
	else stands.delete(url);
}

/**
 * Imports a tasks module. Names are looked up among its exports; nothing else is ever imported for a job.
 * @param url a `file:` URL. Where that file is missing, its compiled form or its source beside it is taken.
 * @throws FaenaError `BadTasksModule` if it is missing, throws while loading, or exports no function
 */
export async function loadTasks(url: string): Promise<TaskTable> {
	const stand = stands.get(url);
	const found = stand ? url : findModule(url);
	const table = tableOf(stand ?? ownExports((await importModule(found)).tasks, found));
	if (table.size > 0) return table;
	throw new FaenaError(
		'BadTasksModule',
		`The tasks module ${stand ? url : pathOf(found)} exports no function. Export one for each task: export function hash(file) { … }, or in CommonJS: exports.hash = file => { … }`,
	);
}

/**
 * The module's URL, or that of its counterpart. A program names `./tasks.ts`; once it is compiled, only `./tasks.js` lies beside it,
 * since `tsc` does not change strings in `new URL()`.
 */
function findModule(url: string): string {
	if (!url.startsWith('file:') || existsSync(pathOf(url))) return url;
	const counterpart = url.replace(/\.([cm]?)([jt])s(?=$|[?#])/, (_, kind: string, language: string) => `.${kind}${language === 't' ? 'j' : 't'}s`);
	if (counterpart !== url && existsSync(pathOf(counterpart))) return counterpart;
	const besides = counterpart === url ? '' : `, and neither does ${pathOf(counterpart)}`;
	throw new FaenaError('BadTasksModule', `The tasks module ${pathOf(url)} does not exist${besides}. ${HOW_TO_NAME}`);
}

const HOW_TO_NAME = "Name the module that exports the tasks, for instance tasks: new URL('./tasks.js', import.meta.url).";

function pathOf(url: string): string {
	return url.startsWith('file:') ? fileURLToPath(url) : url;
}

/**
 * The exports of a module. The namespace of a CommonJS module has only the names that Node finds in its text, which are few if the
 * module assigns `module.exports = {…}` or computes names.
 */
function ownExports(namespace: Namespace, url: string): object {
	const {default: exported} = namespace;
	if (!isCommonJs(namespace, url)) return namespace;
	if (typeof exported === 'function') return {...exported, default: exported};
	return typeof exported === 'object' && exported !== null ? exported : {};
}

interface Namespace {
	readonly default?: unknown;
	readonly 'module.exports'?: unknown;
}

/** Node 24 marks the namespace of such a module; Node 22 keeps what it exports by its path. */
function isCommonJs(namespace: Namespace, url: string): boolean {
	if (!url.startsWith('file:') || !('default' in namespace)) return false;
	if ('module.exports' in namespace) return namespace['module.exports'] === namespace.default;
	return createRequire(url).cache[realpathSync(pathOf(url))]?.exports === namespace.default;
}

export function tableOf(tasks: object): TaskTable {
	return new Map(Object.entries(tasks).filter((entry): entry is [string, TaskFunction] => typeof entry[1] === 'function' && !isClass(entry[1])));
}

/** @throws FaenaError `BadOption` */
export function infosOf(table: TaskTable): TaskInfo[] {
	return [...table].map(([name, run]) => {
		checkTaskOptions(`task ${name}`, optionsOf(run));
		const {setup: _, teardown: __, ...options} = optionsOf(run);
		return {name, options};
	});
}

/** Imports it through a module that exports its namespace: `import()` would take a namespace with a task named `then` for a promise. */
async function importModule(url: string): Promise<{readonly tasks: Namespace}> {
	try {
		const text = `export * as tasks from ${JSON.stringify(url)};`;
		return (await import(`data:text/javascript,${encodeURIComponent(text)}`)) as {readonly tasks: Namespace};
	} catch (error) {
		throw new FaenaError('BadTasksModule', `The tasks module ${pathOf(url)} can't be loaded. ${describe(error)}`, {
			cause: error instanceof Error ? error : undefined,
		});
	}
}

function describe(error: unknown): string {
	return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** The tasks of a worker, and what their setups returned. */
export class Tasks {
	readonly #table: TaskTable;
	readonly #announce: (task?: string) => void;
	readonly #resources = new Map<string, unknown>();

	/** @param announce gets the task whose setup begins, and nothing when it is done */
	constructor(table: TaskTable, announce: (task?: string) => void = () => undefined) {
		this.#table = table;
		this.#announce = announce;
	}

	get(task: string): TaskFunction | undefined {
		return get(this.#table, task);
	}

	/** What its setup returned. */
	resourceOf(task: string): unknown {
		return get(this.#resources, task);
	}

	/** It has a setup that was not called yet. */
	needsSetUp(task: string): boolean {
		const run = this.get(task);
		return run !== undefined && optionsOf(run).setup !== undefined && !has(this.#resources, task);
	}

	/**
	 * Calls its setup, once.
	 * @throws FaenaError `SetupFailed`
	 */
	async setUp(task: string): Promise<void> {
		if (!this.needsSetUp(task)) return;
		this.#announce(task);
		try {
			this.#resources.set(task, await optionsOf(this.get(task) as TaskFunction).setup?.());
		} catch (error) {
			throw new FaenaError('SetupFailed', `The setup of task ${task} failed. ${describe(error)}`, {cause: error});
		} finally {
			this.#announce();
		}
	}

	/** Calls the teardowns of all tasks that were set up, even if one of them fails. */
	async tearDown(): Promise<void> {
		const all = [...this.#resources];
		this.#resources.clear();
		await Promise.allSettled(all.map(async ([task, resource]) => optionsOf(this.get(task) as TaskFunction).teardown?.(resource)));
	}
}
