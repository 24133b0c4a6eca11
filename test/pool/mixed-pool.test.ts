import test from 'ava';
import type {PoolOptions} from '../../lib/job/options.ts';
import type {PoolListener} from '../../lib/pool/pool.ts';
import {processSource} from '../../lib/pool/processes/processes.ts';
import {threadSource} from '../../lib/pool/threads/threads.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {systemClock} from '../../lib/support/clock.ts';
import {Crew, exercisePool, POOL_OPTIONS} from './contract.ts';

const mixedPool = (options: PoolOptions, listener: PoolListener, freeBytes?: () => number) =>
	new WorkerPool({thread: threadSource(options), process: processSource(options)}, options, listener, systemClock, freeBytes);

exercisePool('a workforce', mixedPool);

test.serial('when memory gets short the youngest job is stopped and given back; the others go on', async t => {
	t.timeout(60_000);
	let free = 1000;
	const crew = new Crew(t, (options, listener) => mixedPool({...options, minFreeMemoryBytes: 500}, listener, () => free));
	await crew.load({...POOL_OPTIONS, workers: 2, graceMs: 50});
	const [old] = await crew.give('loop', [null]);
	await crew.update(update => update.id === old);
	const [young] = await crew.give('loop', [null]);
	await crew.update(update => update.id === young);
	t.is(crew.outcome(young), undefined);
	free = 200;
	t.is((await crew.outcomes([young]))[0]?.type, 'released');
	t.is(crew.outcome(old), undefined);
	t.deepEqual(crew.sacrificed, [young]);
	t.deepEqual(crew.pool.capacity({task: 'loop', quarantined: false}), {idle: 0, prefetch: 0});
	free = 1000;
	await crew.place();
});
