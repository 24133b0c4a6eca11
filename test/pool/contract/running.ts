import {join} from 'node:path';
import type {JobUpdate} from '../../../lib/job/claim.ts';
import {decode} from '../../../lib/job/encoding.ts';
import {MAX_GROUP_JOBS} from '../../../lib/job/groups/group.ts';
import type {JobId} from '../../../lib/job/job.ts';
import {makeFolder} from '../../fixtures/folder.ts';
import {DISASTERS} from '../../fixtures/tasks.ts';
import {LEASE, law, linesOf, touch} from './laws.ts';

const VALUES = [
	undefined,
	null,
	0,
	-0,
	Number.NaN,
	'ä😀',
	'',
	true,
	5n,
	new Date(7),
	new Map([['a', new Set([1])]]),
	[undefined, [{}]],
	JSON.parse('{"__proto__":{"x":1}}'),
];

law("a task's payload equals the enqueued one, and its result the returned one", async (t, crew) => {
	await crew.load({workers: 1});
	const bytes = [new Uint8Array([1, 2]), new Float64Array([0.1]), {deep: new Uint8Array(3)}];
	for (const task of ['echo', 'echoLater']) {
		const ids = await crew.give(task, [...VALUES, ...bytes]);
		t.deepEqual(await crew.values(ids), [...VALUES, ...bytes]);
	}
});

law('a pool takes a chunk of as many jobs as a group may have, and a second one behind it, whether its jobs are alike or not', async (t, crew) => {
	await crew.load({workers: 1});
	const payloads = Array.from({length: MAX_GROUP_JOBS}, (_, index) => index);
	// A job that was tried before is in no run.
	for (const attempts of [[], [1]]) {
		await crew.place();
		const [first, second] = [crew.giveNow('echo', payloads, {attempts}), crew.giveNow('echo', payloads, {attempts})];
		for (const ids of [first, second]) t.deepEqual(await crew.values(ids), payloads);
	}
	t.is(crew.pool.size, 0);
});

law('a pool takes payloads and gives results of the most bytes that are allowed', async (t, crew) => {
	const maxValueBytes = 1 << 24;
	await crew.load({workers: 1, maxValueBytes});
	const [bytes, text] = [new Uint8Array(maxValueBytes - 1).fill(7), 'x'.repeat(maxValueBytes - 2)];
	const [first, second] = (await crew.values(await crew.give('echo', [bytes, text]))) as [Uint8Array, string];
	t.true(Buffer.from(bytes).equals(first) && second === text);
});

law("a task's context names its job", async (t, crew) => {
	await crew.load({workers: 1});
	const [plain, retried] = await crew.give('job', [null, null], {policies: [{maxAttempts: 9}, {maxAttempts: 5}], attempts: [0, 4], keys: [undefined, 'a']});
	t.deepEqual(await crew.values([plain as JobId, retried as JobId]), [
		{id: plain, task: 'job', execution: 1, attempts: 0, maxAttempts: 9},
		{id: retried, task: 'job', execution: 1, attempts: 4, maxAttempts: 5, key: 'a'},
	]);
});

law('an unknown task fails its job and nothing else', async (t, crew) => {
	await crew.load({workers: 1});
	const [unknown, method] = [await crew.give('nosuch', [1]), await crew.give('toString', [1])];
	t.like(await crew.failure(unknown[0]), {reason: 'unknownTask', message: 'The tasks module has no task nosuch.'});
	t.regex((await crew.failure(method[0])).message, /no task toString/);
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
});

law('every job given gets exactly one settlement, which names its lease and execution', async (t, crew) => {
	await crew.load({workers: 2, graceMs: 20, resourceLimits: {maxOldGenerationSizeMb: 32}});
	const ids: JobId[] = [];
	for (const name of Object.keys(DISASTERS)) ids.push(...(await crew.give('disaster', ['none', name, 'none'])));
	ids.push(...(await crew.give('loop', [1, 2], {policy: {timeoutMs: 30}})));
	ids.push(...(await crew.give('echo', VALUES)));
	await crew.outcomes(ids);
	t.is(crew.pool.size, 0);
	const settlements = crew.reports.flat();
	t.deepEqual(
		settlements.map(({id}) => id).sort((a, b) => a - b),
		ids,
	);
	t.true(settlements.every(({lease, execution}) => lease === LEASE && execution === 1));
});

law('a pool that is given chunks as often as it has places always takes them', async (t, crew) => {
	await crew.load({workers: 2, graceMs: 20});
	const given: JobId[] = [];
	const chunks: readonly [task: string, payloads: readonly unknown[]][] = [
		['echo', [1, 2, 3]],
		['disaster', ['none', 'exit', 'none']],
		['echoLater', [1, 2, 3]],
		['throwIt', ['null', 'proxy']],
	];
	for (let round = 0; round < 40; round++) {
		await crew.place();
		let {idle, prefetch} = crew.pool.capacity();
		for (; idle + prefetch > 0; {idle, prefetch} = crew.pool.capacity()) {
			const [task, payloads] = chunks[given.length % chunks.length] as (typeof chunks)[number];
			given.push(...crew.giveNow(task, payloads));
		}
	}
	await crew.outcomes(given);
	t.is(crew.pool.size, 0);
});

law("a task's context has the last checkpoint", async (t, crew) => {
	await crew.load({workers: 1});
	const states = [undefined, {deep: new Map([[1n, new Uint8Array([1, 2])]])}, null];
	t.deepEqual(await crew.values(await crew.give('resumeFrom', [1, 2, 3], {checkpoints: states})), states);
});

law('a checkpoint arrives while the task runs, also from a loop that never yields, and the last one before the outcome', async (t, crew) => {
	const file = join(makeFolder(t), 'file');
	await crew.load({workers: 1});
	const [id] = await crew.give('countOn', [file]);
	const isOwn = (update: JobUpdate) => update.id === id && update.checkpoint !== undefined;
	const first = decode((await crew.update(isOwn)).checkpoint?.state ?? null) as number;
	await crew.update(update => isOwn(update) && (decode(update.checkpoint?.state ?? null) as number) > first);
	t.is(crew.outcome(id), undefined);
	touch(file);
	const [result] = (await crew.values([id])) as {to: number}[];
	t.is(decode(crew.updates.findLast(isOwn)?.checkpoint?.state ?? null), result?.to);
});

law('a checkpoint that was held back arrives while the task waits', async (t, crew) => {
	const file = join(makeFolder(t), 'file');
	await crew.load({workers: 1});
	await crew.give('checkpointTwiceAndWait', [file]);
	await crew.update(({checkpoint}) => checkpoint?.state === '"second"');
	touch(file);
	t.false(crew.updates.some(({checkpoint}) => checkpoint?.state === '"never"'));
});

law('async tasks of two chunks in one worker never interleave', async (t, crew) => {
	const file = join(makeFolder(t), 'order');
	await crew.load({workers: 1});
	const names = ['a', 'b', 'c', 'd'];
	const payloads = names.map(name => ({file, name}));
	t.true(crew.pool.capacity().idle === 1);
	const first = crew.giveNow('interleave', payloads.slice(0, 2));
	t.deepEqual(crew.pool.capacity(), {idle: 0, prefetch: 1});
	const second = crew.giveNow('interleave', payloads.slice(2));
	t.deepEqual(crew.pool.capacity(), {idle: 0, prefetch: 0});
	await crew.values([...first, ...second]);
	t.deepEqual(
		linesOf(file),
		names.flatMap(name => [name, name]),
	);
});

for (const task of ['workAndHold', 'workAndWait']) {
	law(
		`outcomes of a chunk of ${task === 'workAndHold' ? 'synchronous' : 'asynchronous'} tasks arrive before its end, after a few milliseconds of work`,
		async (t, crew) => {
			const folder = makeFolder(t);
			await crew.load({workers: 1});
			const files = ['first', 'second', 'third'].map(name => join(folder, name));
			const [first, second, third] = await crew.give(task, files);
			touch(files[0]);
			// Only when its outcome is here may the next job end: a chunk reported as a whole would never.
			t.is((await crew.outcomes([first]))[0]?.type, 'returned');
			touch(files[1]);
			t.is((await crew.outcomes([second]))[0]?.type, 'returned');
			touch(files[2]);
			t.is((await crew.outcomes([third]))[0]?.type, 'returned');
		},
	);
}

law('jobs stuck behind a long one are given to an idle worker', async (t, crew) => {
	const folder = makeFolder(t);
	const [closed, open] = [join(folder, 'closed'), join(folder, 'open')];
	touch(open);
	await crew.load({workers: 2});
	const [long, ...stuck] = await crew.give('hold', [closed, open, open]);
	const second = await crew.give('echo', [1]);
	t.deepEqual(await crew.values([...stuck, ...second]), [open, open, 1]);
	t.is(crew.outcome(long), undefined);
	touch(closed);
	t.deepEqual(await crew.values([long]), [closed]);
});

law('jobs stuck behind a long one are not harmed by how large their payloads are', async (t, crew) => {
	const folder = makeFolder(t);
	const closed = join(folder, 'closed');
	await crew.load({workers: 2});
	const [long] = await crew.give('hold', [closed]);
	await crew.update(({id}) => id === long);
	const [other] = crew.giveNow('hold', [closed]);
	await crew.update(({id}) => id === other);
	const large = new Uint8Array(100_000).fill(7);
	const stuck = crew.giveNow('echo', [large, large]);
	touch(closed);
	for (const outcome of await crew.outcomes([...stuck, long, other])) if (outcome?.type === 'returned') t.truthy(decode(outcome.value));
	await crew.unharmed(stuck);
	t.deepEqual(await crew.values(await crew.give('echo', [large])), [large]);
});

law('jobs stuck behind a long one while no worker is idle are given back, and never run', async (t, crew) => {
	const folder = makeFolder(t);
	const [file, order] = [join(folder, 'file'), join(folder, 'order')];
	await crew.load({workers: 1});
	const held = crew.giveNow('hold', [file, file]);
	const behind = crew.giveNow('mark', [{file: order, line: 'ran'}]);
	t.deepEqual(await crew.outcomes([held[1], ...behind]), [{type: 'released'}, {type: 'released'}]);
	touch(file);
	t.deepEqual(await crew.values([held[0]]), [file]);
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
	t.deepEqual(linesOf(order), []);
});

law('a worker starts no job that has expired, and gives it back; the others of its chunk run', async (t, crew) => {
	await crew.load({workers: 1});
	const past = Date.now() - 1;
	const ids = await crew.give('echo', [1, 2, 3, 4], {expiries: [undefined, past, Date.now() + 3_600_000, past]});
	t.deepEqual(await crew.values([ids[0], ids[2]]), [1, 3]);
	t.deepEqual(await crew.outcomes([ids[1], ids[3]]), [{type: 'released'}, {type: 'released'}]);
	t.deepEqual(await crew.values(await crew.give('echo', [5])), [5]);
	t.is(crew.pool.size, 0);
	t.deepEqual(crew.losses, []);
});

law('a micro-batch has no job that has expired', async (t, crew) => {
	await crew.load({workers: 1, tasks: new URL('../../fixtures/batch-tasks.ts', import.meta.url).href});
	const past = Date.now() - 1;
	const [expired, one, ...others] = await crew.give('double', [1, 2, 3, 4, 5, 6, 7, 8], {expiries: [past, undefined, past]});
	const [also, ...last] = others;
	t.deepEqual(await crew.outcomes([expired, also]), [{type: 'released'}, {type: 'released'}]);
	t.deepEqual(
		await crew.values([one, ...last]),
		[
			[2, 1],
			[4, 4],
			[5, 4],
			[6, 4],
			[7, 4],
			[8, 1],
		].map(([number = 0, together]) => ({double: 2 * number, together})),
	);
});

law('progress and log lines arrive while the task runs, also from a loop that never yields', async (t, crew) => {
	const file = join(makeFolder(t), 'enough');
	await crew.load({workers: 1});
	const [id] = await crew.give('chatter', [file]);
	const progress = await crew.update(update => (update.progress?.done ?? 0) > 1);
	const line = await crew.update(update => update.logs?.some(({text}) => text === 'line 2') ?? false);
	t.is(crew.outcome(id), undefined);
	t.like(progress, {id, lease: LEASE, execution: 1, progress: {total: 1_000_000_000}});
	t.like(line, {id, lease: LEASE, execution: 1});
	touch(file);
	await crew.values([id]);
});
