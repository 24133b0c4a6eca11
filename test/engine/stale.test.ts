import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {openEngine, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';

test('a part of a flow that is retried makes merge and publish stale: everything says so, and retry({stale}) brings both up to date', async t => {
	const faena = await openEngine(t, {defaults: {maxAttempts: 1}});
	const file = join(makeFolder(t), 'part');
	const build = () => {
		const flow = faena.newFlow('report');
		const part = flow.job('readText', file);
		const merge = flow.job('gather', null, {dependsOn: [part, flow.job('echo', 1)], onParentDead: 'run'});
		return {flow, part, merge, publish: flow.job('echo', merge)};
	};
	const {flow, part, merge, publish} = build();
	const run = await flow.enqueue();
	t.deepEqual(await run.result(publish), [undefined, 1]);
	writeFileSync(file, 'text');
	t.is(await faena.retry(run.job(part).id), 1);
	t.is(await run.result(part), 'text');
	t.like(await run.job(merge).outcome(), {status: 'completed', stale: 'direct'});
	t.like(await run.job(publish).info(), {status: 'completed', stale: 'through'});
	const stale = await faena.jobs({stale: true, batch: 'report'}).page();
	t.deepEqual(
		stale.map(({id}) => id),
		[run.job(merge).id, run.job(publish).id],
	);
	// The same flow again yields what there is, and says that it is old.
	const again = build();
	const same = await again.flow.enqueue();
	t.like(await same.job(again.publish).outcome(), {status: 'completed', stale: 'through'});
	t.is(await faena.retry({stale: true, task: 'echo'}), 2);
	t.deepEqual(await run.result(publish), ['text', 1]);
	t.deepEqual(await faena.jobs({stale: true}).page(), []);
});

test('a map that is resumed yields stale results, marked so', async t => {
	const faena = await openEngine(t);
	const file = join(makeFolder(t), 'part');
	writeFileSync(file, 'one');
	const part = await faena.enqueue('readText', file);
	const map = () => faena.map('gather', [1, 2], {batch: 'm', order: 'input', dependsOn: [part]}).toArray();
	t.deepEqual(
		(await map()).map(item => 'stale' in item),
		[false, false],
	);
	writeFileSync(file, 'two');
	await faena.retry(part.id);
	t.is(await part.result(), 'two');
	for (const item of await map()) t.like(item, {status: 'completed', result: ['one'], reused: true, stale: 'direct'});
	t.is(await faena.retry({stale: true}), 2);
	for (const item of await map()) t.like(item, {status: 'completed', result: ['two']});
});
