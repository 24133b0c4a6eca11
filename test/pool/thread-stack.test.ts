import {once} from 'node:events';
import {Worker} from 'node:worker_threads';
import test from 'ava';

// Otherwise Node aborts the process, in one of some hundred times.
test('no thread ends while another is looked at, and none is looked at while another ends', async t => {
	t.timeout(30_000);
	const thread = new Worker(new URL('../fixtures/looks-at-threads.ts', import.meta.url));
	t.deepEqual((await once(thread, 'message'))[0], ['first was busy', 'first ends', 'first ended', 'second was busy', 'second ends', 'second ended']);
});
