/**
 * A pool's worker thread: Piscina calls the default export for each message, by way of `thread-entry.cts`. The tasks module
 * is loaded on the first one.
 */
import {parentPort} from 'node:worker_threads';
import {Board} from '../lib/board.ts';
import type {WorkerRequest} from '../lib/protocol.ts';
import {memoryOf} from '../lib/transfer.ts';
import {WorkerLife} from '../lib/worker-life.ts';

// As it is now: a task may replace it.
const post = parentPort?.postMessage.bind(parentPort);

const life = new WorkerLife({
	kind: 'thread',
	post: message => post?.(message, memoryOf(message)),
	openBoard: address => new Board(address as SharedArrayBuffer),
});

export default function handle(request: WorkerRequest): Promise<unknown> {
	return life.handle(request);
}
