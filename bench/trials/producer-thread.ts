/** One of several producers that add jobs to a store. */
import {createHistogram, type RecordableHistogram} from 'node:perf_hooks';
import {parentPort, workerData} from 'node:worker_threads';
import {recordMs} from '../measure/quantiles.ts';
import type {Case} from '../plan/suite.ts';
import {loadStore} from '../stores/index.ts';
import type {Contender} from '../stores/store.ts';

/** What a producer gets: a store to connect to, or the numbers to add to it. */
export type Request = {readonly address: string} | Range | 'disconnect';

export interface Range {
	readonly first: number;
	readonly end: number;
}

export interface Produced {
	/** Time of each call. */
	readonly callsNs: RecordableHistogram;
	readonly perSecond: number;
}

const given = workerData as Case;
const {batch = 1} = given.vary ?? {};
const store = await loadStore(given.subject);
let connected: Contender | undefined;

async function answerTo(request: Request): Promise<Produced | undefined> {
	if (request === 'disconnect') await connected?.close();
	else if ('address' in request) connected = await store.connect(request.address, given);
	else return produce(connected as Contender, request);
	return undefined;
}

async function produce({add}: Contender, {first, end}: Range): Promise<Produced> {
	const callsNs = createHistogram();
	const start = performance.now();
	for (let next = first; next < end; next += batch) {
		const before = performance.now();
		await add(next, Math.min(next + batch, end));
		recordMs(callsNs, performance.now() - before);
	}
	return {callsNs, perSecond: ((end - first) / (performance.now() - start)) * 1000};
}

parentPort?.on('message', async (request: Request) => parentPort?.postMessage(await answerTo(request)));
