/** First file of the dispatcher's thread, which has the store's connection and the pool. It never runs a task. */
import {parentPort, workerData} from 'node:worker_threads';
import {nanoid} from 'nanoid';
import {Dispatcher} from '../lib/dispatcher/dispatcher.ts';
import {toEnvelope} from '../lib/job/failure.ts';
import type {PoolListener} from '../lib/pool/pool.ts';
import {processSource} from '../lib/pool/processes/processes.ts';
import {threadSource} from '../lib/pool/threads/threads.ts';
import {WorkerPool} from '../lib/pool/worker-pool.ts';
import {openStore} from '../lib/store/open-store.ts';
import {type Call, type DispatcherMessage, type DispatcherStart, resultBuffers, type Started} from '../lib/transport/messages.ts';

const {queue: location, owner = nanoid(), durability, leaseMs, blobThresholdBytes = Infinity, pool, ...others} = workerData as DispatcherStart;

async function start(): Promise<void> {
	const store = await openStore(location, {durability, leaseMs, blobThresholdBytes});
	const options = pool && {...pool, ...store.ownerFiles(owner)};
	const makePool = options && ((listener: PoolListener) => new WorkerPool({thread: threadSource(options), process: processSource(options)}, options, listener));
	const dispatcher = new Dispatcher(store, makePool, {...others, owner, leaseMs, output: post});
	const tasks = await dispatcher.start().catch(async error => {
		// Otherwise the owner's lock would stay.
		await store.close();
		throw error;
	});
	parentPort?.on('message', (calls: readonly Call[]) => dispatcher.receive(calls));
	post({type: 'started', tasks});
}

function post(message: Started | DispatcherMessage): void {
	parentPort?.postMessage(message, resultBuffers(message));
}

start().catch((error: unknown) => {
	post({type: 'refused', error: toEnvelope(error)});
	process.exit();
});
