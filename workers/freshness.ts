/** First file of the thread that compares files and code with those of earlier runs. It loads the tasks module, and runs no task. */
import {parentPort, workerData} from 'node:worker_threads';
import {FreshnessChecker} from '../lib/freshness/checker.ts';
import type {FreshnessCall, FreshnessMessage} from '../lib/freshness/open-freshness.ts';
import {toEnvelope} from '../lib/job/failure.ts';
import {markWorker} from '../lib/job/task/task-module.ts';
import {loadWithCodes} from '../lib/worker/worker.ts';

const module: string = workerData;
// If it fails, each question is answered with the error.
const checker = load().catch(toEnvelope);

async function load(): Promise<FreshnessChecker> {
	markWorker(module);
	const {table, codes} = await loadWithCodes(module);
	return new FreshnessChecker(table, codes);
}

async function answer([call, about]: FreshnessCall): Promise<FreshnessMessage> {
	const loaded = await checker;
	if (!(loaded instanceof FreshnessChecker)) return {error: loaded};
	try {
		return {value: loaded[call](about as never)};
	} catch (error) {
		return {error: toEnvelope(error)};
	}
}

function post(message: FreshnessMessage): void {
	parentPort?.postMessage(message);
}

void checker.then(() => post('loaded'));
parentPort?.on('message', async (call: FreshnessCall) => post(await answer(call)));
