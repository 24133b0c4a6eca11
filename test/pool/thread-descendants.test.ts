import test from 'ava';
import type {JobId} from '../../lib/job/job.ts';
import {threadSource} from '../../lib/pool/threads/threads.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {areAlive, makeToken, zombiesOf} from '../fixtures/processes.ts';
import {WAYS} from '../fixtures/spawning-tasks.ts';
import {Crew} from './contract.ts';
import {exerciseDescendants, SPAWNING_TASKS} from './descendants-contract.ts';

if (process.platform === 'linux') {
	exerciseDescendants('threads', (options, listener) => new WorkerPool({thread: threadSource(options)}, options, listener));

	for (const way of ['execFile', 'execFileSync', "sh -c 'a & b'"]) {
		test.serial(`threads: no zombie is left of a process that a job has started by ${way} that was stopped`, async t => {
			t.timeout(60_000);
			const crew = new Crew(t, (options, listener) => new WorkerPool({thread: threadSource(options)}, options, listener));
			await crew.load({workers: 1, graceMs: 30, tasks: SPAWNING_TASKS});
			let [left, tries]: [string[], number] = [[], 0];
			do {
				const before = new Set(zombiesOf(process.pid));
				const token = makeToken();
				const [id] = await crew.give('wait', [{way, token}]);
				await areAlive(token, WAYS[way]?.processes as number);
				crew.pool.stop(id as JobId, 'interrupted');
				await crew.outcomes([id]);
				left = zombiesOf(process.pid).filter(row => !before.has(row));
				// The pool waits 100 ms for the thread to reap them. On a busy machine the thread may take longer.
			} while (left.length > 0 && ++tries < 5);
			t.deepEqual(left, []);
		});
	}
}
