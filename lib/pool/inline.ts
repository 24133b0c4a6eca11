import {setImmediate as nextTurn} from 'node:timers/promises';
import type {PoolOptions} from '../job/options.ts';
import {type Clock, systemClock} from '../support/clock.ts';
import {nameOfProcess} from '../support/node.ts';
import {ChunkState} from '../worker/chunk-state.ts';
import {TaskWorker} from '../worker/worker.ts';
import type {PoolListener, PoolWorker, WorkerListener} from './pool.ts';
import {WorkerPool} from './worker-pool.ts';

/**
 * Runs tasks in the caller's own thread, for debugging and tests: breakpoints work and stack traces are whole. While a task
 * waits others run, up to the number of workers. Nothing can be stopped hard here: timeouts, cancellation and shutdown reach a
 * task through its context only, and a task that computes not before it lets the event loop turn.
 */
export function inlinePool(options: PoolOptions, listener: PoolListener, clock: Clock = systemClock): WorkerPool {
	// The caller can't be replaced, and has all memory.
	const recycle = {jobs: Infinity, ageMs: Infinity, memoryBytes: Infinity};
	return new WorkerPool({caller: own => inlineWorker(own, clock.now)}, {...options, recycle}, listener, clock, () => Infinity);
}

function inlineWorker({message: post}: WorkerListener, now: () => number): PoolWorker {
	const tasks = new TaskWorker({kind: 'inline', now, post, openChunkState: address => new ChunkState(address as SharedArrayBuffer)});
	return {
		kind: 'caller',
		name: nameOfProcess(),
		async request(request) {
			// As with other workers, nothing happens before the pool's call has returned.
			await nextTurn();
			return tasks.handle(request);
		},
		examine: async () => ({}),
		end: async () => tasks.close(),
	};
}
