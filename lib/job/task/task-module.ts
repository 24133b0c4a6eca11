import {fileURLToPath, pathToFileURL} from 'node:url';
import {FaenaError} from '../../support/errors.ts';
import {hashOf} from '../../support/hash.ts';
import {argument, bad, callable, expected, isClass, object, text, textOr, url} from '../checks.ts';
import {optionsOf} from './make-task.ts';
import type {AnyTasks, TaskFunction} from './task.ts';

/** Symbols of all programs: a bundle of the tasks may hold a copy of Faena. */
const MODULE = Symbol.for('faena.tasks');
const DEFINED = Symbol.for('faena.tasks.defined');
const WORKER = Symbol.for('faena.worker');

/** Tasks and the module that defines them: {@link defineTasks} makes it, and `open({tasks})` takes it.
 * @example const names = (module: TaskModule) => Object.keys(module.tasks); */
export interface TaskModule<Tasks = AnyTasks> {
	/** The `file:` URL of the module that workers import. */
	readonly url: string;
	/** The functions by task name. */
	readonly tasks: Tasks;
}

type Global = {[DEFINED]?: Map<string, object[]>; [WORKER]?: string};

/**
 * Names the tasks of a module together with the module itself, so that a program names neither its file nor its type. Each worker imports the
 * module again, so it should do nothing but define tasks: keep the program that calls `open()` in a file of its own, also in a bundle
 * (docs/building.md).
 * @param module the calling module's `import.meta.url`; in CommonJS its `__filename`
 * @param tasks functions by task name, plain ones or those of `task()`
 * @example export const tasks = defineTasks(import.meta.url, {sha256, thumbnail});
 * @throws FaenaError `BadOption`
 */
export function defineTasks<Tasks extends object>(module: string | URL, tasks: Tasks): TaskModule<Tasks> {
	const href = argument('defineTasks()', 'its first argument', module, value => textOr(toUrl, each => url(each).href)(ofModule(value))) as string;
	argument('defineTasks()', 'its second argument', tasks, object);
	for (const [name, run] of Object.entries(tasks)) argument('defineTasks()', name, run, callable);
	if (Object.keys(tasks).length === 0) throw bad('defineTasks() expects an object with a function for each task; it got an empty one');
	const all = globalThis as Global;
	all[DEFINED] ??= new Map();
	all[DEFINED].set(href, [...(all[DEFINED].get(href) ?? []), tasks]);
	return Object.defineProperty({url: href, tasks}, MODULE, {value: true});
}

/** Bundlers leave `import.meta.url` undefined where they make CommonJS. */
function ofModule(value: unknown): unknown {
	if (value !== undefined) return value;
	throw expected('import.meta.url, or in CommonJS __filename', value);
}

export function toUrl(value: unknown): string {
	const module = text(value);
	return module.startsWith('file:') ? module : pathToFileURL(module).href;
}

export function isTaskModule(value: unknown): value is TaskModule {
	return typeof value === 'object' && value !== null && MODULE in value;
}

/**
 * The tasks that a module has defined, after its import; `undefined` if it has defined none. Of those that it exports, its own count before those of
 * other modules, and before those that it has defined and does not export.
 * @throws FaenaError `BadTasksModule` if there are several
 */
export function definedTasks(href: string, namespace: object): object | undefined {
	const exported = Object.values(namespace).filter(isTaskModule);
	const own = exported.filter(({url}) => url === href);
	const defined = (own.length > 0 ? own : exported).map(({tasks}) => tasks);
	const all = new Set(defined.length > 0 ? defined : (globalThis as Global)[DEFINED]?.get(href));
	if (all.size <= 1) return [...all][0];
	const names = [...all].map(tasks => Object.keys(tasks).join(', ')).join('; ');
	throw new FaenaError(
		'BadTasksModule',
		`The tasks module ${href} has the results of several defineTasks() (${names}). List all tasks in one call, or keep them in a module each.`,
	);
}

/** Tells the code that a worker loads that it runs in a worker. */
export function markWorker(href: string): void {
	(globalThis as Global)[WORKER] = href;
}

/** @throws FaenaError `BadOption` in a worker: a module that opens an engine when it is imported would open one in each of its workers, and so on */
export function refuseInWorker(): void {
	const href = (globalThis as Global)[WORKER];
	if (href === undefined) return;
	const file = href.startsWith('file:') ? fileURLToPath(href) : href;
	throw bad(
		`open() was called in a worker, which imports ${file} for its tasks and so runs everything above open() in it. If that file is also the program, move the tasks to a module of their own that does not call open(). If a bundler has put the tasks into the program's file, name the bundled tasks module by tasks: new URL('./tasks.js', import.meta.url), or bundle with esbuild's --splitting: docs/building.md shows both. A task enqueues jobs by ctx.enqueue()`,
	);
}

/** Objects of functions that stand in for modules, by URL: for tasks that run in the thread that has the object. */
const stands = new Map<string, object>();

/** Makes this object's functions the tasks of the module with the URL, in this thread; `undefined` ends that. */
export function registerTasks(url: string, tasks: object | undefined): void {
	if (tasks) stands.set(url, tasks);
	else stands.delete(url);
}

/** The functions of an object that is to stand in for the module: its own, or those of `defineTasks()` that it has. @throws FaenaError `BadTasksModule` */
export function functionsOf(given: object, href: string): object {
	return isTaskModule(given) ? given.tasks : (definedTasks(href, given) ?? given);
}

/** The object that stands in for the module. */
export function standFor(url: string): object | undefined {
	return stands.get(url);
}

/** A module's tasks by name. */
export type TaskTable = ReadonlyMap<string, TaskFunction>;

/** @param given a module's namespace, an object of functions, or what `defineTasks()` made of one */
export function tableOf(given: object): TaskTable {
	const tasks = isTaskModule(given) ? given.tasks : given;
	return new Map(Object.entries(tasks).filter((entry): entry is [string, TaskFunction] => typeof entry[1] === 'function' && !isClass(entry[1])));
}

/** The tasks of the module with this URL, if this thread has imported it, and it has named them by `defineTasks()`; or those that stand in for it. */
export function tasksHere(url: string): TaskTable | undefined {
	const given = standFor(url) ?? (globalThis as Global)[DEFINED]?.get(url)?.[0];
	return given && tableOf(given);
}

/** Names the code of each task by a hash: of its `version`, or else of its module. @param module a text that differs if the module's code does */
export function codesOf(tasks: TaskTable, module: string): ReadonlyMap<string, string> {
	const codeOf = ({version}: {readonly version?: string}) => hashOf(version === undefined ? module : `version ${version}`);
	return new Map([...tasks].map(([name, run]) => [name, codeOf(optionsOf(run))]));
}
