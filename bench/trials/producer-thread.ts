/** One of several producers that enqueue jobs into one file. It first warms up with a file of its own. */
import {createHistogram, type RecordableHistogram} from 'node:perf_hooks';
import {parentPort, workerData} from 'node:worker_threads';
import type {Durability} from '../../lib/index.ts';
import {type JobQueue, openQueue} from '../../lib/queue.ts';
import {newJobs} from '../measure/new-jobs.ts';
import {recordMs} from '../measure/quantiles.ts';

export interface Production {
	readonly file: string;
	readonly durability: Durability;
	readonly batch: number;
	readonly first: number;
	readonly end: number;
}

export interface Produced {
	readonly transactionsNs: RecordableHistogram;
	readonly perSecond: number;
}

const WARM_UP_TRANSACTIONS = 100;

const {file, durability, batch, first, end} = workerData as Production;
await warmUp();
const queue = await openQueue(file, {durability});
parentPort?.once('message', async () => parentPort?.postMessage(await produce(queue, first, end)));
parentPort?.postMessage('ready');

async function produce(queue: JobQueue, first: number, end: number): Promise<Produced> {
	const transactionsNs = createHistogram();
	const start = performance.now();
	for (let next = first; next < end; next += batch) {
		const before = performance.now();
		await queue.enqueue(newJobs('identity', next, Math.min(next + batch, end)));
		recordMs(transactionsNs, performance.now() - before);
	}
	return {transactionsNs, perSecond: ((end - first) / (performance.now() - start)) * 1000};
}

/** Uses a file of its own, because the measured file may contain only jobs that count. */
async function warmUp(): Promise<void> {
	const own = await openQueue(`${file}-warm-up-${first}`, {durability});
	await produce(own, 0, WARM_UP_TRANSACTIONS * batch);
	await own.close();
}
