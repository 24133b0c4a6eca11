import test from 'ava';
import {Dispatcher} from '../lib/dispatcher.ts';
import {FaenaError} from '../lib/errors.ts';
import type {Policy} from '../lib/job.ts';
import type {Chunk, Pool, PoolListener} from '../lib/pool.ts';
import type {FailedMessage, Notice} from '../lib/protocol.ts';
import type {Turn, TurnResult} from '../lib/queue.ts';
import {MemoryQueue} from '../lib/queues/memory.ts';

const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 1000, factor: 2, maxMs: 60_000, jitter: 0}, retry: 'auto'};

test('a dequeue that took effect though its commit seemed to fail leaves no job with nobody', async t => {
	// A dispatcher's own timers keep no process alive.
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	const queue = new (class extends MemoryQueue {
		#hasFailed = false;

		override turn(turn: Turn): TurnResult {
			const result = super.turn(turn);
			if (this.#hasFailed || result.dequeued.jobs.length === 0) return result;
			this.#hasFailed = true;
			throw new FaenaError('OutcomeUnknown', 'The disk did not say.');
		}
	})();
	await queue.enqueue([{task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY}]);
	const ended = Promise.withResolvers<Notice>();
	const dispatcher = new Dispatcher(queue, listener => promptPool(listener), {
		owner: 'owner',
		leaseMs: 30_000,
		output: message => message.type === 'replies' && message.notices[0] && ended.resolve(message.notices[0]),
	});
	await dispatcher.start();
	dispatcher.receive([{call: 1, type: 'watch', ids: [1]}]);
	t.like(await ended.promise, {id: 1, status: 'completed'});
	t.like(await queue.job(1), {executions: 2, attempts: 0});
	dispatcher.receive([{call: 2, type: 'close', drainMs: 0}]);
});

test('a close keeps its time though the disk is full: what ended could not be written, and is told', async t => {
	const alive = setInterval(() => undefined, 1000);
	t.teardown(() => clearInterval(alive));
	const queue = new (class extends MemoryQueue {
		override turn(turn: Turn): TurnResult {
			if (turn.settle?.length) throw new FaenaError('StorageFull', 'The disk is full.');
			return super.turn(turn);
		}
	})();
	await queue.enqueue([{task: 'count', payload: '1', priority: 0, runAt: null, policy: POLICY}]);
	const setBack = Promise.withResolvers<void>();
	const failed = Promise.withResolvers<FailedMessage>();
	const dispatcher = new Dispatcher(queue, listener => promptPool(listener), {
		owner: 'owner',
		leaseMs: 30_000,
		events: ['setBack'],
		output: message => {
			if (message.type === 'failed') failed.resolve(message);
			else if (message.events.some(({type}) => type === 'setBack')) setBack.resolve();
		},
	});
	await dispatcher.start();
	await setBack.promise;
	dispatcher.receive([{call: 1, type: 'close', drainMs: 100}]);
	t.like(await failed.promise, {error: {code: 'StorageFull'}});
	t.like(await queue.job(1), {status: 'running'});
});

/** Every job returns at once. */
function promptPool(listener: PoolListener): Pool {
	return {
		slots: 1,
		size: 0,
		load: async () => [{name: 'count', options: {}}],
		maxJobs: () => 1000,
		places: () => ({idle: 1, second: 0}),
		run: ({task, lease, jobs}: Chunk) =>
			listener.ended(
				task,
				jobs.all.map(({id, execution}) => ({id, lease, execution, outcome: {type: 'returned', value: null}})),
			),
		stop: () => false,
		recall: async () => undefined,
		interrupt: () => undefined,
		close: async () => undefined,
	};
}
