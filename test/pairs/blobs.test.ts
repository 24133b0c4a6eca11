/** Pairs of large results, which are files. */
import {readdirSync} from 'node:fs';
import {type Case, pair} from './pair.ts';

const BLOBS = {blobs: {threshold: '1kib'}} as const;
const [A, B] = [
	{of: 'a', bytes: 5000},
	{of: 'b', bytes: 5000},
];

const files = (c: Case) => {
	try {
		return readdirSync(`${c.queue}-blobs`).length;
	} catch {
		return 0;
	}
};

pair.sqlite(
	'blobs × flow × pipe × group',
	'large results reach the parts of a flow and the groups of a pipe, also in an engine without the option',
	async c => {
		const faena = await c.test(BLOBS);
		const flow = faena.newFlow('f');
		const part = flow.job('big', A);
		const run = await flow.enqueue();
		c.t.is((await run.result(part)) as string, 'a'.repeat(5000));
		const without = await c.test();
		c.t.is(await without.call('got', null, {dependsOn: [run.job(part).id]}).then(results => (results as readonly string[])[0]?.length), 5000);
		const groups = await faena.pipe([A, B], 'big', {task: 'echo', group: 2}, {order: 'input'}).toArray();
		c.t.deepEqual(
			groups.map(group => (group as readonly string[]).map(text => text.length)),
			[[5000, 5000]],
		);
	},
);

pair.sqlite('blobs × cleanup', 'the file of a result goes with the last job that has it', async c => {
	const faena = await c.test(BLOBS);
	const [one, same, other] = [await faena.enqueue('big', A), await faena.enqueue('big', A), await faena.enqueue('big', B)];
	await faena.drain();
	c.t.is(files(c), 2);
	await faena.cleanup(one.id);
	c.t.is(files(c), 2);
	await faena.cleanup(same.id);
	c.t.is(files(c), 1);
	c.t.is(await other.result(), 'b'.repeat(5000));
});

pair.sqlite('blobs × cleanup × map × resume', 'a map whose large results were deleted makes them again, and shares a file that is kept', async c => {
	const faena = await c.test(BLOBS);
	const kept = await faena.enqueue('big', A);
	const map = () => faena.map('big', [A, B], {batch: 'b', order: 'input'}).toArray();
	await map();
	c.t.is(files(c), 2);
	await faena.cleanup({ids: (await faena.jobs({batch: 'b'}).page()).map(({id}) => id)});
	c.t.is(files(c), 1);
	c.t.deepEqual(
		(await map()).map(({status, reused}) => [status, reused]),
		Array(2).fill(['completed', false]),
	);
	c.t.is(await kept.result(), 'a'.repeat(5000));
});

pair.sqlite('blobs × engine without the option', 'an engine without blobs reads the files of another, and deletes them with their jobs', async c => {
	const faena = await c.test(BLOBS);
	const job = await faena.enqueue('big', A);
	await job.result();
	const without = await c.test();
	c.t.is((await without.job(job.id).info())?.result, 'a'.repeat(5000));
	c.t.is(await without.cleanup({olderThan: 0}), 1);
	c.t.is(files(c), 0);
});

pair.sqlite('blobs × retention', 'retention deletes the file with the job', async c => {
	const first = await c.test(BLOBS);
	await first.enqueue('big', A);
	await first.drain();
	await first.close();
	const second = await c.test({...BLOBS, retention: {completed: '1d'}, now: Date.now() + 2 * 86_400_000});
	await c.until(async () => (await second.counts()).completed === 0);
	await c.until(() => files(c) === 0);
	c.t.is(files(c), 0);
});

pair.failing('blobs × batch.delete', 'the files of a deleted batch go with it', 'Bounds', async c => {
	const faena = await c.test(BLOBS);
	await faena.map('big', [A, B], {batch: 'b'}).toArray();
	c.t.is(await faena.batch('b').delete(), 2);
	c.t.is(files(c), 0);
});

pair.failing('blobs × fresh × retry', 'the file of a former result goes when its job runs again', 'Bounds', async c => {
	const faena = await c.test(BLOBS);
	for (const letter of ['x', 'y', 'z']) await faena.map('big', [{of: letter, bytes: 5000}], {batch: 'b', fresh: 'payload'}).toArray();
	c.t.is(files(c), 1);
});

pair.sqlite('blobs × maxValue × process × dependsOn', 'results up to the limit reach a child, and a larger one fails its job', async c => {
	const faena = await c.open({...BLOBS, isolation: 'process', workers: 1, maxValue: 10_000});
	const parent = await faena.enqueue('big', A);
	const child = await faena.enqueue('got', null, {dependsOn: [parent]});
	c.t.deepEqual(await child.result(), ['a'.repeat(5000)]);
	await c.t.throwsAsync(faena.call('big', {of: 'c', bytes: 20_000}), {code: 'JobFailed'});
});
