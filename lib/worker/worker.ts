/** The station `worker/`: what runs in a worker. It never reaches the database, and never starts a job that its pool has taken back. */

import {AsyncResource} from 'node:async_hooks';
import {existsSync, realpathSync} from 'node:fs';
import {createRequire} from 'node:module';
import {setPriority} from 'node:os';
import {fileURLToPath} from 'node:url';
import {toEnvelope, toFailure} from '../job/failure.ts';
import {JobBuilder} from '../job/new-job.ts';
import {OpenJobsCell} from '../job/open-jobs.ts';
import {checkTaskOptions} from '../job/options.ts';
import {optionsOf} from '../job/task/make-task.ts';
import type {Isolation, TaskInfo} from '../job/task/task.ts';
import {codesOf, definedTasks, markWorker, standFor, type TaskTable, tableOf} from '../job/task/task-module.ts';
import type {CommandClient} from '../spawner/command-client.ts';
import {FaenaError} from '../support/errors.ts';
import {exit} from '../support/primordials.ts';
import {BROKEN, type Loaded, type LoadMessage, type WorkerRequest} from './messages.ts';
import {ModuleGraph} from './module-graph.ts';
import {USAGE_OF} from './outcomes.ts';
import {describe, Runner, type RunnerOptions, Tasks} from './runner.ts';

interface WorkerOptions extends Pick<RunnerOptions, 'openChunkState' | 'post' | 'now' | 'leftovers'> {
	/** A thread or process belongs to the worker; an inline worker shares the caller's thread. */
	readonly kind: Isolation;
}

interface LoadedWorker {
	readonly runner: Runner;
	readonly tasks: Tasks;
	readonly infos: readonly TaskInfo[];
	readonly codes?: ReadonlyMap<string, string>;
}

/** What every worker does: load the tasks module on the first request, run chunks on the others, and clean up on the last. */
export class TaskWorker {
	readonly #options: WorkerOptions;
	#loading: Promise<LoadedWorker> | undefined;
	#openJobs: OpenJobsCell | undefined;
	/** Its end of the connection with the spawner. Loaded for the first command, since it takes some milliseconds. */
	#commands: Promise<CommandClient> | undefined;
	readonly #outside = new AsyncResource('FaenaWorker');

	constructor(options: WorkerOptions) {
		this.#options = options;
	}

	async handle(request: WorkerRequest): Promise<Loaded | undefined> {
		if (request.type === 'load') return this.#answerLoad(request);
		if (request.type === 'spawner') return void (await this.#commands)?.receive(request.address);
		const {runner, tasks} = await (this.#loading as Promise<LoadedWorker>);
		if (request.type === 'teardown') return void (await tasks.tearDown());
		try {
			await runner.run(request);
		} catch (error) {
			this.#break(error);
		}
		return undefined;
	}

	/** For an inline worker, whose thread lives on. */
	close(): void {
		this.#openJobs?.close();
	}

	/** A task has broken this thread, for instance by replacing a built-in function. Another worker must take its place. */
	#break(error: unknown): void {
		if (this.#options.kind === 'inline') throw error;
		try {
			const {stack, message} = toFailure(error);
			process.stderr.write(`faena: a task broke its worker, which is ended: ${stack ?? message}\n`);
		} finally {
			exit(BROKEN);
		}
	}

	async #answerLoad(request: LoadMessage): Promise<Loaded> {
		try {
			this.#loading = this.#load(request);
			const {infos, codes} = await this.#loading;
			return {tasks: infos, codes};
		} catch (error) {
			return {error: toEnvelope(error)};
		}
	}

	/** Not in the context of the job that comes first: the connection is that of all jobs. */
	#loadCommands(): Promise<CommandClient> {
		this.#commands ??= this.#outside.runInAsyncScope(async () => {
			const {CommandClient} = await import('../spawner/command-client.ts');
			return new CommandClient(lost => this.#options.post({type: 'spawner', lost}));
		});
		return this.#commands;
	}

	async #load(request: LoadMessage): Promise<LoadedWorker> {
		const {kind, post, leftovers} = this.#options;
		const {worker, defaults, maxValueBytes, maxCheckpointBytes, isolation, openJobs, graceMs} = request;
		if (kind !== 'inline') {
			this.#prepare(request);
			markWorker(request.tasks);
		}
		const {table, codes} = kind === 'inline' ? {table: await loadTasks(request.tasks)} : await loadWithCodes(request.tasks);
		const infos = infosOf(table);
		const tasks = new Tasks(table, task => post({type: 'setup', worker, ...(task !== undefined && {task})}));
		this.#openJobs = openJobs === undefined ? undefined : new OpenJobsCell(openJobs, worker);
		const builder = new JobBuilder(infos, defaults, maxValueBytes);
		const runner = new Runner(tasks, {
			...{...this.#options, openJobs: this.#openJobs, maxValueBytes, maxCheckpointBytes, builder, usage: USAGE_OF[kind]},
			commands: {connect: async () => (await this.#loadCommands()).connect(), graceMs},
			slot: worker + 1,
		});
		if (kind !== 'inline') for (const event of ['unhandledRejection', 'uncaughtException'] as const) process.on(event, (error: unknown) => runner.stray(error));
		try {
			for (const {name, options} of infos) if (kind === 'inline' || (options.isolation ?? isolation) === kind) await tasks.setUp(name);
		} catch (error) {
			// Other tasks may have been set up before.
			await tasks.tearDown();
			throw error;
		}
		await leftovers?.keep();
		return {runner, tasks, infos, ...(codes && {codes})};
	}

	/** @throws FaenaError `BadOption` */
	#prepare({taskOutput, nice}: Pick<LoadMessage, 'taskOutput' | 'nice'>): void {
		if (taskOutput === 'stderr') process.stdout.write = process.stderr.write.bind(process.stderr);
		// Only on Linux does a thread have a priority of its own.
		if (nice === undefined || (this.#options.kind === 'thread' && process.platform !== 'linux')) return;
		try {
			setPriority(nice);
		} catch (error) {
			const message = `open() can't give its workers the priority nice: ${nice}. ${(error as Error).message}. Only a privileged user may go below 0.`;
			throw new FaenaError('BadOption', message, {cause: error});
		}
	}
}

/** Imports a tasks module that this thread has not imported before, and names the code of its tasks. @throws as {@link loadTasks} */
export async function loadWithCodes(url: string): Promise<{readonly table: TaskTable; readonly codes: ReadonlyMap<string, string>}> {
	const graph = new ModuleGraph();
	const table = await loadTasks(url);
	return {table, codes: codesOf(table, graph.close())};
}

/**
 * Imports a tasks module. Names are looked up among its exports; nothing else is ever imported for a job.
 * @param url a `file:` URL. Where that file is missing, its compiled form or its source beside it is taken.
 * @throws FaenaError `BadTasksModule` if it is missing, throws while loading, or exports no function
 */
export async function loadTasks(url: string): Promise<TaskTable> {
	const stand = standFor(url);
	const found = stand ? url : findModule(url);
	const table = stand ? tableOf(stand) : await importTasks(found);
	if (table.size > 0) return table;
	throw new FaenaError(
		'BadTasksModule',
		`The tasks module ${stand ? url : pathOf(found)} exports no function. Export one for each task: export function hash(file) { … }, or in CommonJS: exports.hash = file => { … }`,
	);
}

/** The tasks that the module has defined, or else the functions that it exports. */
async function importTasks(url: string): Promise<TaskTable> {
	const {tasks} = await importModule(url);
	const exported = ownExports(tasks, url);
	return tableOf(definedTasks(url, exported) ?? exported);
}

/** The URL of the module, or of its counterpart: a program names `./tasks.ts`, and once it is compiled only `./tasks.js` lies beside it. */
function findModule(url: string): string {
	if (!url.startsWith('file:') || existsSync(pathOf(url))) return url;
	const counterpart = url.replace(/\.([cm]?)([jt])s(?=$|[?#])/, (_, kind: string, language: string) => `.${kind}${language === 't' ? 'j' : 't'}s`);
	if (counterpart !== url && existsSync(pathOf(counterpart))) return counterpart;
	const besides = counterpart === url ? '' : `, and neither does ${pathOf(counterpart)}`;
	const hint = "Name the module that exports the tasks, for instance tasks: new URL('./tasks.js', import.meta.url).";
	throw new FaenaError('BadTasksModule', `The tasks module ${pathOf(url)} does not exist${besides}. ${hint}`);
}

function pathOf(url: string): string {
	return url.startsWith('file:') ? fileURLToPath(url) : url;
}

/** The exports of a module. The namespace of a CommonJS module has only the names that Node finds in its text. */
function ownExports(namespace: Namespace, url: string): object {
	const {default: exported} = namespace;
	if (!isCommonJs(namespace, url)) return namespace;
	if (typeof exported === 'function') return {...exported, default: exported};
	return typeof exported === 'object' && exported !== null ? exported : {};
}

type Namespace = {readonly default?: unknown; readonly 'module.exports'?: unknown};

/** Node 24 marks the namespace of such a module; Node 22 keeps what it exports by its path. */
function isCommonJs(namespace: Namespace, url: string): boolean {
	if (!url.startsWith('file:') || !('default' in namespace)) return false;
	if ('module.exports' in namespace) return namespace['module.exports'] === namespace.default;
	return createRequire(url).cache[realpathSync(pathOf(url))]?.exports === namespace.default;
}

/** @throws FaenaError `BadOption` */
function infosOf(table: TaskTable): TaskInfo[] {
	return [...table].map(([name, run]) => {
		checkTaskOptions(`task ${name}`, optionsOf(run));
		const {setup: _, teardown: __, retryIf: ___, files: ____, outputs: _____, input: ______, output: _______, ...options} = optionsOf(run);
		return {name, options};
	});
}

/** Where the error is, for people. Node tells the place of a syntax error only to a program that does not catch it. */
function placeOf(error: unknown, url: string): string {
	if (error instanceof SyntaxError) return ` (node ${pathOf(url)} shows where)`;
	const stack = error instanceof Error ? (error.stack ?? '') : '';
	const [, place] = /(?:\(|at (?:async )?)((?:file:|\/).*:\d+:\d+)\)?$/m.exec(stack) ?? [];
	return place === undefined ? '' : ` (${place})`;
}

/** Imports it through a module that exports its namespace: `import()` would take a namespace with a task named `then` for a promise. */
async function importModule(url: string): Promise<{readonly tasks: Namespace}> {
	try {
		const text = `export * as tasks from ${JSON.stringify(url)};`;
		return (await import(`data:text/javascript,${encodeURIComponent(text)}`)) as {readonly tasks: Namespace};
	} catch (error) {
		const cause = error instanceof Error ? error : undefined;
		throw new FaenaError('BadTasksModule', `The tasks module ${pathOf(url)} can't be loaded. ${describe(error)}${placeOf(error, url)}`, {cause});
	}
}
