import {setPriority} from 'node:os';
import {toEnvelope, toFailure} from '../job/failure.ts';
import {JobMaker} from '../job/new-job.ts';
import {OpenJobsCell} from '../job/open-jobs.ts';
import type {Isolation, TaskInfo} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {exit} from '../support/primordials.ts';
import {BROKEN, type Loaded, type LoadMessage, type WorkerRequest} from './messages.ts';
import {USAGE_OF} from './outcomes.ts';
import {Runner, type RunnerOptions} from './runner.ts';
import {infosOf, loadTasks, Tasks} from './tasks-module.ts';

export interface TaskWorkerOptions extends Pick<RunnerOptions, 'openChunkState' | 'post' | 'now' | 'leftovers'> {
	/** A thread or process belongs to the worker; an inline worker shares the caller's thread. */
	readonly kind: Isolation;
}

interface LoadedWorker {
	readonly runner: Runner;
	readonly tasks: Tasks;
	readonly infos: readonly TaskInfo[];
}

/** What every worker does: load the tasks module on the first request, run chunks on the others, and clean up on the last. */
export class TaskWorker {
	readonly #options: TaskWorkerOptions;
	#loading: Promise<LoadedWorker> | undefined;
	#openJobs: OpenJobsCell | undefined;

	constructor(options: TaskWorkerOptions) {
		this.#options = options;
	}

	async handle(request: WorkerRequest): Promise<Loaded | undefined> {
		if (request.type === 'load') return this.#answerLoad(request);
		const {runner, tasks} = await (this.#loading as Promise<LoadedWorker>);
		if (request.type === 'teardown') {
			await tasks.tearDown();
			return undefined;
		}
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
			return {tasks: (await this.#loading).infos};
		} catch (error) {
			return {error: toEnvelope(error)};
		}
	}

	async #load(request: LoadMessage): Promise<LoadedWorker> {
		const {kind, post, leftovers} = this.#options;
		const {worker, defaults, maxValueBytes, maxCheckpointBytes, isolation, openJobs} = request;
		if (kind !== 'inline') this.#prepare(request);
		const table = await loadTasks(request.tasks);
		const infos = infosOf(table);
		const tasks = new Tasks(table, task => post({type: 'setup', worker, ...(task !== undefined && {task})}));
		this.#openJobs = openJobs === undefined ? undefined : new OpenJobsCell(openJobs, worker);
		const maker = new JobMaker(infos, defaults, maxValueBytes);
		const runner = new Runner(tasks, {...this.#options, openJobs: this.#openJobs, maxValueBytes, maxCheckpointBytes, maker, usage: USAGE_OF[kind]});
		if (kind !== 'inline') for (const event of ['unhandledRejection', 'uncaughtException'] as const) process.on(event, (error: unknown) => runner.stray(error));
		try {
			for (const {name, options} of infos) if (kind === 'inline' || (options.isolation ?? isolation) === kind) await tasks.setUp(name);
		} catch (error) {
			// Other tasks may have been set up before.
			await tasks.tearDown();
			throw error;
		}
		await leftovers?.keep();
		return {runner, tasks, infos};
	}

	/** @throws FaenaError `BadOption` */
	#prepare({taskOutput, nice}: Pick<LoadMessage, 'taskOutput' | 'nice'>): void {
		if (taskOutput === 'stderr') process.stdout.write = process.stderr.write.bind(process.stderr);
		// Only on Linux does a thread have a priority of its own.
		if (nice === undefined || (this.#options.kind === 'thread' && process.platform !== 'linux')) return;
		try {
			setPriority(nice);
		} catch (error) {
			throw new FaenaError('BadOption', `open() can't give its workers the priority nice: ${nice}. ${(error as Error).message}`, {cause: error});
		}
	}
}
