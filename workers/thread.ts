/**
 * A pool's worker thread: Piscina calls the default export for each message, by way of `thread-entry.cts`. The tasks module
 * is loaded on the first one.
 */
import {parentPort} from 'node:worker_threads';
import {Board} from '../lib/board.ts';
import {WorkerLeftovers} from '../lib/pools/leftovers.ts';
import {MARK, ownThread} from '../lib/pools/process-table.ts';
import type {ThreadIdentity, WorkerRequest} from '../lib/protocol.ts';
import {memoryOf} from '../lib/transfer.ts';
import {WorkerLife} from '../lib/worker-life.ts';

// As it is now: a task may replace it.
const post = parentPort?.postMessage.bind(parentPort);

let life: WorkerLife;

export default function handle(request: WorkerRequest): Promise<unknown> {
	if (request.type === 'load') {
		life = new WorkerLife({
			kind: 'thread',
			post: message => post?.(message, memoryOf(message)),
			openBoard: address => new Board(address as SharedArrayBuffer),
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
