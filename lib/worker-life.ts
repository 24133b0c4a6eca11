import {toEnvelope} from './errors.ts';
import type {ChunkMessage, Loaded, LoadMessage} from './protocol.ts';
import {Runner, type RunnerOptions} from './runner.ts';
import {infosOf, loadTasks} from './tasks-module.ts';

/** What every worker thread and process does: load the tasks module on the first request, run chunks on the others. */
export class WorkerLife {
	readonly #options: Pick<RunnerOptions, 'openBoard' | 'post'>;
	#loading: Promise<{readonly runner: Runner; readonly loaded: Loaded}> | undefined;

	constructor(options: Pick<RunnerOptions, 'openBoard' | 'post'>) {
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

	async #load({type: _, tasks, taskOutput, ...limits}: LoadMessage): Promise<{readonly runner: Runner; readonly loaded: Loaded}> {
		if (taskOutput === 'stderr') process.stdout.write = process.stderr.write.bind(process.stderr);
		const table = await loadTasks(tasks);
		const runner = new Runner(table, {...this.#options, ...limits});
		process.on('unhandledRejection', error => runner.stray(error));
		process.on('uncaughtException', error => runner.stray(error));
		return {runner, loaded: {tasks: infosOf(table)}};
	}
}
