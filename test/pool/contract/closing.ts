import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {makeFolder} from '../../fixtures/folder.ts';
import {canConnect, law} from './laws.ts';

for (const task of ['listen', 'listenAndLoop']) {
	law(`close() leaves no worker behind${task === 'listen' ? '' : ', not even one in an endless loop, whose job is given back'}`, async (t, crew) => {
		await crew.load({workers: 2});
		const [id] = await crew.give(task, [null]);
		const port =
			task === 'listen' ? (await crew.values([id]))[0] : (await crew.update(({id: whose, logs}) => whose === id && logs !== undefined)).logs?.[0]?.text;
		t.true(await canConnect(Number(port)));
		await crew.pool.close();
		t.false(await canConnect(Number(port)));
		t.is(crew.pool.size, 0);
		if (task !== 'listen') t.is((await crew.outcomes([id]))[0]?.type, 'released');
	});
}

law('a pool may be closed at any moment while its workers load, which then ends too', async (t, crew) => {
	for (const turns of [0, 1, 10, 100, 1000, 10_000]) {
		const loaded = crew.load({workers: 2}).then(
			() => 'loaded',
			() => 'given up',
		);
		for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve));
		await crew.pool.close();
		t.regex(await loaded, /^(loaded|given up)$/);
	}
});

law('a pool may be closed twice, and before anything was loaded', async (t, crew) => {
	await crew.load({workers: 2});
	await Promise.all([crew.pool.close(), crew.pool.close()]);
	await crew.pool.close();
	t.deepEqual(crew.pool.capacity(), {idle: 0, prefetch: 0});
	await crew.make({workers: 1}).close();
});

law('a close lets the tasks of a worker that is being replaced clean up', async (t, crew) => {
	const file = join(makeFolder(t), 'torn');
	const tasks = new URL('../../fixtures/tears-down-slowly.ts', import.meta.url).href;
	await crew.load({workers: 1, tasks, recycle: {jobs: 1, ageMs: Infinity, memoryBytes: Infinity}, env: {TORN: file}});
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
	await crew.pool.close();
	t.true(existsSync(file));
});
