import test from 'ava';
import {MemoryQueue} from '../../lib/store/memory.ts';
import {exerciseQueue} from './contract.ts';

exerciseQueue('memory', options => new MemoryQueue(options));

test('a memory queue needs no options and is at :memory:', async t => {
	const queue = new MemoryQueue();
	t.is(queue.location, ':memory:');
	await queue.enqueue([
		{
			task: 'hash',
			payload: null,
			priority: 0,
			runAt: null,
			policy: {maxAttempts: 1, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'},
		},
	]);
	t.is((await queue.dequeue({owner: 'owner', tasks: ['hash']})).lease, 1);
});
