import {setImmediate as nextTurn} from 'node:timers/promises';
import type {PoolOptions} from '../job/options.ts';
import {type Clock, systemClock} from '../support/clock.ts';
import {ChunkState} from '../worker/chunk-state.ts';
import type {WorkerRequest} from '../worker/messages.ts';
import {TaskWorker} from '../worker/worker.ts';
import type {PoolListener} from './pool.ts';
import {WorkerPool} from './worker-pool.ts';
import {PoolChunkState, type SourceListener, type WorkerSource} from './worker-source.ts';

/**
 * Runs tasks in the caller's own thread, for debugging and tests: breakpoints work and stack traces are whole. While a task
 * waits others run, up to the number of workers. Nothing can be stopped hard here: timeouts, cancellation and shutdown reach a
 * task through its context only, and a task that computes not before it lets the event loop turn.
 */
export function inlinePool(options: PoolOptions, listener: PoolListener, clock: Clock = systemClock): WorkerPool {
	const source: WorkerSource<ReturnType<typeof inlineWorker>> = {
		make: own => inlineWorker(own, clock.now),
		close: async workers => workers.forEach(({close}) => void close()),
	};
	// The caller can't be replaced.
	const recycle = {jobs: Infinity, ageMs: Infinity, memoryBytes: Infinity};
	return new WorkerPool(source, {...options, recycle}, listener, undefined, clock);
}

function inlineWorker(listener: SourceListener, now: () => number) {
	const worker = {
		kind: 'caller' as const,
		chunkState: PoolChunkState.create,
		async request(request: WorkerRequest): Promise<unknown> {
			// As with other workers, nothing happens before the pool's call has returned.
			await nextTurn();
			return tasks.handle(request);
		},
		examine: async () => ({}),
		end: () => undefined,
		close: () => tasks.close(),
	};
	const tasks = new TaskWorker({
		kind: 'inline',
		now,
		post: message => listener.message(worker, message),
		openChunkState: address => new ChunkState(address as SharedArrayBuffer),
	});
	return worker;
}
