import test from 'ava';
import {MixedPool} from '../../lib/pool/mixed-pool.ts';
import {Crew, exercisePool, POOL_OPTIONS} from './contract.ts';

exercisePool('a workforce', (options, listener) => new MixedPool(options, listener));

test.serial('when memory gets short the youngest job is stopped and given back; the others go on', async t => {
	t.timeout(60_000);
	let free = 1000;
	const crew = new Crew(t, (options, listener) => new MixedPool({...options, minFreeMemoryBytes: 500}, listener, () => free));
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
