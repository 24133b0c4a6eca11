/**
 * A pool's worker thread: Piscina calls the default export for each message, by way of `thread-entry.cts`. The tasks module
 * is loaded on the first one.
 */
import {parentPort} from 'node:worker_threads';
import {WorkerLeftovers} from '../lib/pool/leftovers.ts';
import {MARK, ownThread} from '../lib/pool/process-table.ts';
import {ChunkState} from '../lib/worker/chunk-state.ts';
import type {ThreadIdentity, WorkerRequest} from '../lib/worker/messages.ts';
import {memoryOf} from '../lib/worker/messages.ts';
import {TaskWorker} from '../lib/worker/worker.ts';

// As it is now: a task may replace it.
const post = parentPort?.postMessage.bind(parentPort);

let life: TaskWorker;

export default function handle(request: WorkerRequest): Promise<unknown> {
	if (request.type === 'load') {
		life = new TaskWorker({
			kind: 'thread',
			post: message => post?.(message, memoryOf(message)),
			openChunkState: address => new ChunkState(address as SharedArrayBuffer),
			leftovers: request.identity && introduce(request.identity),
		});
	}
	return life.handle(request);
}

/** Tells the pool which thread this is, and marks what its tasks will start. A thread's environment is its own. */
function introduce({mark, thread: told}: ThreadIdentity): WorkerLeftovers {
	const thread = ownThread();
	Atomics.store(told, 0, thread);
	process.env[MARK] = mark;
	return new WorkerLeftovers({pid: process.pid, thread, mark});
}
