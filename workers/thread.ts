/** First file of a worker thread. Piscina calls its default export three times: to load the tasks module, to run all chunks, and to tear down. */
import {parentPort} from 'node:worker_threads';
import {WorkerLeftovers} from '../lib/pool/worker-leftovers.ts';
import {ownThread, WORKER_ENV} from '../lib/spawner/process-table.ts';
import {ChunkState} from '../lib/worker/chunk-state.ts';
import type {ServeMessage, ThreadIdentity, WorkerRequest} from '../lib/worker/messages.ts';
import {transferListOf} from '../lib/worker/messages.ts';
import {TaskWorker} from '../lib/worker/worker.ts';

// Kept from the start, since a task may replace it.
const post = parentPort?.postMessage.bind(parentPort);

let worker: TaskWorker;

export default function handle(request: WorkerRequest | ServeMessage): Promise<unknown> {
	if (request.type === 'serve') return serve(request);
	if (request.type === 'load') {
		worker = new TaskWorker({
			kind: 'thread',
			post: message => post?.(message, transferListOf(message)),
			openChunkState: address => new ChunkState(address as SharedArrayBuffer),
			leftovers: request.identity && introduce(request.identity),
		});
	}
	return worker.handle(request);
}

/** Piscina blocks the thread unless one of its tasks runs. This task never ends, so the thread receives chunks from the port. */
function serve({port}: ServeMessage): Promise<never> {
	port.on('message', (request: WorkerRequest) => void worker.handle(request));
	return new Promise(() => undefined);
}

/** Tells the pool this thread's id, and marks the processes that its tasks will start. A thread has an environment of its own. */
function introduce({mark, thread: told}: ThreadIdentity): WorkerLeftovers {
	const thread = ownThread();
	Atomics.store(told, 0, thread);
	process.env[WORKER_ENV] = mark;
	return new WorkerLeftovers({pid: process.pid, thread, mark});
}
