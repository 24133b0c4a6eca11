import {toEnvelope} from './errors.ts';
import {JobMaker} from './job-maker.ts';
import type {ChunkMessage, Loaded, LoadMessage} from './protocol.ts';
import {Runner, type RunnerOptions} from './runner.ts';
import {infosOf, loadTasks} from './tasks-module.ts';

export interface LifeOptions extends Pick<RunnerOptions, 'openBoard' | 'post'> {
	/** The thread or process is there for the tasks alone: their output may be redirected, and errors that nobody caught are theirs. */
	readonly ownsProcess: boolean;
}

/** What every worker does: load the tasks module on the first request, run chunks on the others. */
export class WorkerLife {
	readonly #options: LifeOptions;
	#loading: Promise<{readonly runner: Runner; readonly loaded: Loaded}> | undefined;

	constructor(options: LifeOptions) {
		this.#options = options;
	}

	async handle(request: LoadMessage | ChunkMessage): Promise<Loaded | undefined> {
		if (request.type === 'chunk') {
			await (await this.#loading)?.runner.run(request);
			return undefined;
		}
		try {
			this.#loading = this.#load(request);
			return (await this.#loading).loaded;
		} catch (error) {
			return {error: toEnvelope(error)};
		}
	}

	async #load({tasks, defaults, maxValueBytes, maxCheckpointBytes, taskOutput}: LoadMessage): Promise<{readonly runner: Runner; readonly loaded: Loaded}> {
		const {ownsProcess} = this.#options;
		if (ownsProcess && taskOutput === 'stderr') process.stdout.write = process.stderr.write.bind(process.stderr);
		const table = await loadTasks(tasks);
		const infos = infosOf(table);
		const runner = new Runner(table, {...this.#options, maxValueBytes, maxCheckpointBytes, maker: new JobMaker(infos, defaults, maxValueBytes)});
		if (ownsProcess) for (const event of ['unhandledRejection', 'uncaughtException'] as const) process.on(event, (error: unknown) => runner.stray(error));
		return {runner, loaded: {tasks: infos}};
	}
}
