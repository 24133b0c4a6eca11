/**
 * A pool's worker thread: Piscina calls the default export for each message, by way of `thread-entry.cts`. The tasks module
 * is loaded on the first one.
 */
import {parentPort, workerData} from 'node:worker_threads';
import {toEnvelope} from '../lib/errors.ts';
import type {Loaded, WorkerRequest, WorkerStart} from '../lib/protocol.ts';
import {Runner} from '../lib/runner.ts';
import {infosOf, loadTasks} from '../lib/tasks-module.ts';

const {tasks, maxValueBytes, taskOutput} = workerData as WorkerStart;

if (taskOutput === 'stderr') process.stdout.write = process.stderr.write.bind(process.stderr);

let loading: Promise<{readonly runner: Runner; readonly loaded: Loaded}> | undefined;

async function load(): Promise<{readonly runner: Runner; readonly loaded: Loaded}> {
	const table = await loadTasks(tasks);
	const runner = new Runner(table, maxValueBytes, message => parentPort?.postMessage(message));
	process.on('unhandledRejection', error => runner.stray(error));
	process.on('uncaughtException', error => runner.stray(error));
	return {runner, loaded: {tasks: infosOf(table)}};
}

export default async function handle(request: WorkerRequest): Promise<Loaded | undefined> {
	loading ??= load();
	if (request.type === 'load') {
		try {
			return (await loading).loaded;
		} catch (error) {
			return {error: toEnvelope(error)};
		}
	}
	await (await loading).runner.run(request);
	return undefined;
}
