import {existsSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {connect} from 'node:net';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import test from 'ava';
import type {JobUpdate, Outcome, Settlement} from '../../lib/job/claim.ts';
import {decode, encode} from '../../lib/job/encoding.ts';
import type {SlowStart, WorkerLoss} from '../../lib/job/events.ts';
import type {FailureRecord} from '../../lib/job/failure.ts';
import {type EndedGroup, MAX_GROUP_JOBS, settlementsOf, toIds} from '../../lib/job/group.ts';
import {type JobId, MAX_SUSPICION, mostTogether, type Policy, suspicionAmong} from '../../lib/job/job.ts';
import {readOpenJobs} from '../../lib/job/open-jobs.ts';
import type {PoolOptions} from '../../lib/job/options.ts';
import {pack} from '../../lib/job/packed.ts';
import type {Lane, Pool, PoolListener} from '../../lib/pool/pool.ts';
import {WakeUp} from '../../lib/support/clock.ts';
import {FaenaError} from '../../lib/support/errors.ts';
import {appears} from '../fixtures/appears.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {SPOILERS} from '../fixtures/spoilers.ts';
import {DISASTERS, THROWABLE, UNENCODABLE} from '../fixtures/tasks.ts';

export type MakePool = (options: PoolOptions, listener: PoolListener) => Pool;

/** Registers a test for each law of {@link Pool}. */
export function exercisePool(name: string, make: MakePool): void {
	for (const {title, check} of LAWS) {
		test.serial(`${name}: ${title}`, async t => {
			t.timeout(60_000);
			await check(t, new Crew(t, make));
		});
	}
}

type Check = (t: ExecutionContext, crew: Crew) => Promise<void>;

const LAWS: {readonly title: string; readonly check: Check}[] = [];

function law(title: string, check: Check): void {
	LAWS.push({title, check});
}

const TASKS = new URL('../fixtures/tasks.ts', import.meta.url).href;
const LEASE = 5;
const POLICY: Policy = {maxAttempts: 3, timeoutMs: null, backoff: {baseMs: 0, factor: 1, maxMs: 0, jitter: 0}, retry: 'auto'};

// Loading

law('a pool that has loaded its tasks returns their names and options', async (t, crew) => {
	const infos = await crew.load({workers: 2});
	t.deepEqual(
		infos.filter(({name}) => name === 'echo' || name === 'hold'),
		[
			{name: 'echo', options: {priority: 3, timeout: '1h', maxAttempts: 7}},
			{name: 'hold', options: {}},
		],
	);
	t.false(infos.some(({name}) => name === 'DISASTERS'));
});

const BAD_MODULES: Readonly<Record<string, readonly [module: string, sentence: RegExp]>> = {
	'is missing': ['missing', /missing\.ts does not exist/],
	'throws while loading': ['throws', /throws\.ts can't be loaded.*RangeError: no model here/],
	'throws what can not be cloned': ['throws-uncloneable', /throws-uncloneable\.ts can't be loaded.*no clone of me/],
	'exports no function': ['exports-nothing', /exports-nothing\.ts exports no function.*export function/],
	'ends its worker while loading': ['exits', /exits\.ts .*exit code 3/],
};

for (const [problem, [module, sentence]] of Object.entries(BAD_MODULES)) {
	law(`a tasks module that ${problem} is refused in a sentence that says so`, async (t, crew) => {
		const tasks = new URL(`../fixtures/modules/${module}.ts`, import.meta.url).href;
		const error = await t.throwsAsync(crew.load({tasks, workers: 2}), {instanceOf: FaenaError, code: 'BadTasksModule'});
		t.regex(error?.message ?? '', sentence);
	});
}

law('a worker whose tasks module can not be loaded again is tried until it can', async (t, crew) => {
	const folder = makeFolder(t);
	process.env['MOODY_FOLDER'] = folder;
	await crew.load({workers: 1, tasks: new URL('../fixtures/modules/moody.ts', import.meta.url).href});
	touch(join(folder, 'broken'));
	const [id] = await crew.give('exit', [null]);
	t.is((await crew.outcomes([id]))[0]?.type, 'lostWorker');
	await appears(join(folder, 'tried'));
	rmSync(join(folder, 'broken'));
	t.deepEqual(await crew.values(await crew.give('fine', [null])), ['fine']);
});

law('a setup that takes long is reported with its task, also one that blocks its worker', async (t, crew) => {
	const file = join(makeFolder(t), 'go');
	// Where the pool is not of the engine's isolation, the setup comes with the first job.
	const loading = crew.load({workers: 1, tasks: new URL('../fixtures/modules/slow-setup.ts', import.meta.url).href, env: {SLOW_SETUP: file}});
	const given = loading.then(() => crew.give('load', [null]));
	const {kind, ...slow} = await crew.slowStart();
	t.deepEqual(slow, {task: 'load', durationMs: 10_000});
	t.regex(kind, /^(thread|process)$/);
	touch(file);
	t.deepEqual(await crew.values(await given), ['loaded']);
});

// Running

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
	const [plain, retried] = await crew.give('job', [null, null], {policy: {maxAttempts: 9}, attempts: [0, 4], keys: [undefined, 'a']});
	t.deepEqual(await crew.values([plain as JobId, retried as JobId]), [
		{id: plain, task: 'job', execution: 1, attempts: 0, maxAttempts: 9},
		{id: retried, task: 'job', execution: 1, attempts: 4, maxAttempts: 9, key: 'a'},
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

// Notes

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

// Stopping

const STOP_SENTENCES = {
	timedOut: 'TimeoutError: The job ran longer than its timeout.',
	cancelled: 'AbortError: The job was cancelled.',
	interrupted: 'AbortError: Faena is shutting down; the job will run again.',
};

for (const reason of ['timedOut', 'cancelled', 'interrupted'] as const) {
	const who = {timedOut: 'its timeout', cancelled: 'stop()', interrupted: 'interrupt()'}[reason];
	const ending = ({timedOut: 'timedOut', cancelled: 'cancelled', interrupted: 'released'} as const)[reason];

	law(
		`a job in an endless loop is stopped by ${who}; its outcome says so, when it started and how long it ran; its chunk-mates lose nothing`,
		async (t, crew) => {
			await crew.load({workers: 1, graceMs: 30});
			const before = Date.now();
			const mates = await crew.give('disaster', ['none', 'none']);
			const [first, loop, last] = await crew.give('maybeLoop', [false, true, false], {policy: {timeoutMs: reason === 'timedOut' ? 50 : null}});
			await crew.update(update => update.id === loop);
			if (reason === 'cancelled') t.true(crew.pool.stop(loop as JobId, reason));
			if (reason === 'interrupted') crew.pool.interrupt();
			const [outcome] = (await crew.outcomes([loop])) as [Outcome];
			t.is(outcome.type, ending);
			const {startedAt = 0, durationMs = 0} = outcome;
			t.true(startedAt >= before - 5 && startedAt <= Date.now() + 5);
			t.true(durationMs >= 30 && durationMs <= Date.now() - before + 5);
			if (reason !== 'interrupted') t.is(errorOf(outcome).reason, reason);
			if (reason === 'timedOut') t.regex(errorOf(outcome).message, /the timeout is 0\.05 s/);
			await crew.unharmed([...mates, first, last]);
			t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
		},
	);

	for (const way of ['heed', 'heedSignal']) {
		law(`a task that heeds ${way === 'heed' ? 'ctx.cancelled' : 'ctx.signal'} when ${who} stops it keeps its worker`, async (t, crew) => {
			await crew.load({workers: 1, graceMs: 60_000});
			const [port] = await crew.values(await crew.give('listen', [null]));
			const [id] = await crew.give(way, [null], {policy: {timeoutMs: reason === 'timedOut' ? 50 : null}});
			await crew.update(update => update.id === id);
			if (reason === 'cancelled') crew.pool.stop(id as JobId, reason);
			if (reason === 'interrupted') crew.pool.interrupt();
			t.is((await crew.outcomes([id]))[0]?.type, ending);
			t.true(await canConnect(port as number));
		});
	}

	law(
		`a task that is stopped by ${who} learns the reason from ctx.stopReason and from ctx.signal, whose reason is an error with a sentence`,
		async (t, crew) => {
			await crew.load({workers: 1, graceMs: 60_000});
			for (const by of ['loop', 'signal']) {
				const [id] = await crew.give('tellStop', [by], {policy: {timeoutMs: reason === 'timedOut' ? 50 : null}});
				const line = async (text: string) => crew.update(({id: own, logs}) => own === id && (logs?.some(each => each.text === text) ?? false));
				await line('before: undefined');
				if (reason === 'cancelled') crew.pool.stop(id as JobId, reason);
				if (reason === 'interrupted') crew.pool.interrupt();
				t.truthy(await line(`${reason}: ${reason} ${STOP_SENTENCES[reason]}`));
			}
		},
	);
}

law('a job that runs for long after a neighbour in its worker heeded its stop is not stopped for that', async (t, crew) => {
	const file = join(makeFolder(t), 'file');
	await crew.load({workers: 2, graceMs: 30});
	const [busy] = await crew.give('loop', [null]);
	await crew.update(update => update.id === busy);
	// While the second worker loads its tasks, the job would wait behind the busy one.
	await crew.idle();
	const [stopped] = await crew.give('heed', [null], {policy: {timeoutMs: 30}});
	const [mate] = await crew.give('heed', [file]);
	t.is((await crew.outcomes([stopped]))[0]?.type, 'timedOut');
	await crew.update(update => update.id === mate);
	// Stopped later, and hard: when it has ended, the first one's time of grace is over, too.
	crew.pool.stop(busy as JobId, 'cancelled');
	t.is((await crew.outcomes([busy]))[0]?.type, 'cancelled');
	touch(file);
	t.deepEqual(await crew.values([mate]), [file]);
});

law('jobs of a chunk that are stopped one after the other each learn it', async (t, crew) => {
	await crew.load({workers: 1, graceMs: 60_000});
	const ids = await crew.give('heed', Array(20).fill(null));
	for (const id of ids) {
		await crew.update(update => update.id === id);
		crew.pool.stop(id, 'cancelled');
	}
	const outcomes = await crew.outcomes(ids);
	t.true(outcomes.every(outcome => outcome?.type === 'cancelled' && (outcome.durationMs ?? 0) > 0));
});

law('a job that has not started is cancelled without running', async (t, crew) => {
	const folder = makeFolder(t);
	const [file, order] = [join(folder, 'file'), join(folder, 'order')];
	await crew.load({workers: 1});
	const [held] = crew.giveNow('hold', [file]);
	const waiting = crew.giveNow(
		'mark',
		['a', 'b', 'c'].map(line => ({file: order, line})),
	);
	t.true(crew.pool.stop(waiting[1] as JobId, 'cancelled'));
	t.deepEqual(await crew.outcomes([waiting[1]]), [{type: 'cancelled'}]);
	touch(file);
	await crew.values([held, waiting[0], waiting[2]]);
	t.deepEqual(linesOf(order), ['a', 'c']);
});

law('a job that the pool does not have, or has no more, is not stopped', async (t, crew) => {
	await crew.load({workers: 1});
	const [id] = await crew.give('echo', [1]);
	await crew.values([id]);
	t.false(crew.pool.stop(id as JobId, 'cancelled'));
	t.false(crew.pool.stop(4711, 'cancelled'));
});

law('release() gives back jobs that have not started, which then never run', async (t, crew) => {
	const folder = makeFolder(t);
	const [file, order] = [join(folder, 'file'), join(folder, 'order')];
	await crew.load({workers: 1});
	const [held, ...rest] = crew.giveNow('hold', [file, file]);
	const marks = crew.giveNow('mark', [{file: order, line: 'ran'}]);
	await crew.update(update => update.id === held);
	void crew.pool.release('mark');
	t.deepEqual(await crew.outcomes(marks), [{type: 'released'}]);
	t.is(crew.outcome(rest[0]), undefined);
	void crew.pool.release();
	t.deepEqual(await crew.outcomes(rest), [{type: 'released'}]);
	t.is(crew.outcome(held), undefined);
	touch(file);
	await crew.values([held]);
	await crew.values(await crew.give('echo', [1]));
	t.deepEqual(linesOf(order), []);
});

law('once release() has resolved, no released job starts, however short the jobs are', async (t, crew) => {
	const order = join(makeFolder(t), 'order');
	await crew.load({workers: 2});
	const lines = Array.from({length: 500}, (_, index) => ({file: order, line: String(index)}));
	const ids = [...(await crew.give('mark', lines)), ...(await crew.give('mark', lines))];
	while (linesOf(order).length === 0) await nextTurn();
	await crew.pool.release('mark');
	const ran = linesOf(order).length;
	const outcomes = await crew.outcomes(ids);
	// A job that had started may still write its line.
	t.true(linesOf(order).length <= ran + 2);
	t.true(outcomes.every(outcome => outcome?.type === 'returned' || outcome?.type === 'released'));
	t.is(outcomes.filter(outcome => outcome?.type === 'returned').length, linesOf(order).length);
});

law('once confirmStops() has resolved no job that was stopped before starts any more, however short it is', async (t, crew) => {
	const order = join(makeFolder(t), 'order');
	await crew.load({workers: 1});
	const lines = Array.from({length: 500}, (_, index) => ({file: order, line: String(index)}));
	const ids = await crew.give('mark', lines);
	while (linesOf(order).length === 0) await nextTurn();
	for (const id of ids) crew.pool.stop(id, 'cancelled');
	await crew.pool.confirmStops();
	const ran = linesOf(order).length;
	const outcomes = await crew.outcomes(ids);
	// A job that had started may still write its line.
	t.true(linesOf(order).length <= ran + 1);
	t.true(outcomes.every(outcome => outcome?.type === 'returned' || outcome?.type === 'cancelled'));
});

// Failing

for (const name of Object.keys(DISASTERS)) {
	for (const task of ['disaster', 'disasterLater']) {
		law(`${name} in ${task === 'disaster' ? 'a' : 'an async'} task is a failure of its job alone, and the pool goes on`, async (t, crew) => {
			await crew.load({workers: 1, resourceLimits: {maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 8}});
			const [first, guilty, last] = await crew.give(task, ['none', name, 'none']);
			const [outcome] = (await crew.outcomes([guilty])) as [Outcome];
			const isLost = ['exit', 'exitLater', 'outOfMemory'].includes(name);
			t.is(outcome.type, isLost ? 'lostWorker' : 'threw');
			const {reason, message, exitCode} = errorOf(outcome);
			t.is(reason, isLost ? 'lostWorker' : 'threw');
			t.regex(message, SAYS[name] ?? /./);
			if (name.startsWith('exit')) t.is(exitCode, 7);
			t.true((outcome.durationMs ?? -1) >= 0 && (outcome.startedAt ?? 0) > 0);
			await crew.unharmed([first, last]);
			t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
		});
	}
}

const SAYS: Readonly<Record<string, RegExp>> = {
	exit: /ended with exit code 7 while it ran this job/,
	exitLater: /ended with exit code 7 while it ran this job/,
	outOfMemory: /ran out of memory while it ran this job/,
	overflow: /Maximum call stack size exceeded/,
	rejection: /nobody handles this/,
	rejectionOfAsync: /nobody handles this/,
	timer: /thrown from a timer/,
	nextTick: /thrown from a tick/,
	microtask: /thrown from a microtask/,
};

for (const [task, what] of [
	['leaveBehind', 'exit'],
	['leaveBehindLater', 'exit'],
	['leaveBehind', 'loop'],
] as const) {
	const kind = task === 'leaveBehind' ? 'a' : 'an async';
	law(
		`an ${what === 'exit' ? 'exit' : 'endless loop'} that ${kind} task left behind when it returned takes nobody's result away, and the pool goes on`,
		async (t, crew) => {
			await crew.load({workers: 1});
			t.deepEqual(await crew.values(await crew.give(task, ['nothing', what])), ['done', 'done']);
			t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
		},
	);
}

law('a job that breaks its worker is charged where no other can have done it: alone in a worker of its own', async (t, crew) => {
	await crew.load({workers: 1});
	const [guilty] = await crew.give('fallSilent', ['silent'], {quarantined: true});
	const {reason, message} = await crew.failure(guilty);
	t.is(reason, 'lostWorker');
	t.regex(message, /before it could tell how this job ended\.$/);
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
});

for (const [which, chunk] of [
	['one job', ['silent']],
	['several jobs', ['good', 'silent', 'good']],
	['a job and the one during which it shows', ['silent', 'long']],
] as const) {
	law(`where a worker is broken after ${which}, none is charged, and each is to run alone`, async (t, crew) => {
		await crew.load({workers: 1});
		const ids = await crew.give('fallSilent', chunk);
		for (const outcome of await crew.outcomes(ids)) t.like(outcome, {type: 'released', suspicion: MAX_SUSPICION});
		t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
	});
}

law('a job that waits in a new worker behind one which breaks it is charged nothing, and not suspected', async (t, crew) => {
	await crew.load({workers: 1});
	await crew.place({task: 'exitAsBroken', quarantined: true});
	const [guilty] = crew.giveNow('exitAsBroken', [null], {quarantined: true});
	// At once where the worker has loaded; a workforce's process may still load, and has no second place before it has.
	const [good] = await crew.give('echo', [1], {quarantined: true});
	const outcomes = await crew.outcomes([guilty, good]);
	t.not(outcomes[0]?.type, 'released');
	t.true(outcomes[1]?.type === 'returned' || (outcomes[1]?.type === 'released' && outcomes[1].suspicion === undefined), JSON.stringify(outcomes[1]));
});

for (const name of Object.keys(SPOILERS)) {
	law(`a task after which ${name} harms no more than its worker: all jobs end, none that throws completes, and close() ends`, async (t, crew) => {
		await crew.load({workers: 1, graceMs: 50, tasks: new URL('../fixtures/spoilers.ts', import.meta.url).href});
		for (const task of ['spoil', 'spoilLater']) {
			const spoiled = await crew.give(task, ['none', name, 'none'], {policy: {timeoutMs: 2000}});
			const alone = await crew.give(task, [name], {quarantined: true, policy: {timeoutMs: 2000}});
			const failing = [...(await crew.give('fail', [1, 2])), ...(await crew.give('failLater', [1, 2]))];
			const others = await crew.give('echo', [1, 2, 3]);
			for (const outcome of await crew.outcomes(failing)) t.not(outcome?.type, 'returned');
			for (const outcome of await crew.outcomes([...spoiled, ...alone, ...others])) {
				for (const time of [outcome?.durationMs ?? 0, outcome?.startedAt ?? 0]) t.true(Number.isFinite(time) && time >= 0);
			}
		}
		t.is(crew.pool.size, 0);
		await crew.pool.close();
	});
}

law('the stack of an error ends where Faena called the task', async (t, crew) => {
	await crew.load({workers: 1, tasks: new URL('../fixtures/spoilers.ts', import.meta.url).href});
	for (const task of ['fail', 'failLater', 'failWithOptions', 'failTogether']) {
		const {stack} = await crew.failure((await crew.give(task, [1]))[0]);
		t.regex(stack ?? '', /^RangeError: failed( later)?(\n {4}at .*\/fixtures\/spoilers\.ts:\d+:\d+\)?)+$/, task);
	}
});

law('a worker reports which jobs it has open: those of the chunk that it runs, not of the one behind it, until their outcomes are final', async (t, crew) => {
	const folder = makeFolder(t);
	const [openJobs, first, second] = ['open', 'first', 'second'].map(name => join(folder, name)) as [string, string, string];
	writeFileSync(openJobs, '', {mode: 0o600});
	await crew.load({workers: 1, openJobs});
	const running = await crew.give('wait', [first, first]);
	const behind = await crew.give('wait', [second]);
	await crew.update(({id}) => id === running[0]);
	t.deepEqual(readOpenJobs(openJobs), [{lease: LEASE, first: running[0] as JobId, last: running[1] as JobId}]);
	for (const file of [second, first]) touch(file);
	await crew.unharmed([...running, ...behind]);
	t.deepEqual(readOpenJobs(openJobs), []);
});

law('where a worker is broken after many jobs, none is charged, and at most half of them are to run together', async (t, crew) => {
	await crew.load({workers: 1});
	const ids = await crew.give('fallSilent', ['good', 'good', 'good', 'silent', ...Array(12).fill('good')]);
	const outcomes = await crew.outcomes(ids);
	t.true(outcomes.every(outcome => outcome?.type === 'released' || outcome?.type === 'returned'));
	// On a slow machine it shows before all have run, and some are reported before.
	const suspicions = outcomes.flatMap(outcome => (outcome?.type === 'released' && outcome.suspicion) || []);
	const together = mostTogether(suspicionAmong(suspicions.length));
	t.true(suspicions.length > 0 && suspicions.every(suspicion => suspicion === suspicionAmong(suspicions.length)));
	t.true(together <= Math.max(1, suspicions.length / 2));
});

law('jobs that are reported together have the mean of their processor time', async (t, crew) => {
	await crew.load({workers: 1});
	await crew.values(await crew.give('echo', Array(100).fill(1)));
	t.true(crew.reports.some(report => report.length > 1));
	for (const report of crew.reports) {
		const [first, ...others] = report.map(({outcome}) => outcome.cpuMs);
		// Node tells it of a thread only from 23.9 on.
		if ('threadCpuUsage' in process) t.true(first !== undefined && first >= 0);
		t.true(others.every(each => each === first));
	}
});

law('messages that a task sends to its pool past its context are ignored', async (t, crew) => {
	await crew.load({workers: 1});
	t.deepEqual(await crew.values(await crew.give('postJunk', [null, null])), [9, 9]);
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
});

law('fake timers that a task leaves behind confuse nobody else', async (t, crew) => {
	await crew.load({workers: 1});
	const [faker] = await crew.give('fakeTimers', [null]);
	t.deepEqual(await crew.values([faker]), ['faked']);
	const ids = await crew.give('echoLater', [1, 2]);
	t.deepEqual(await crew.values(ids), [1, 2]);
	for (const id of [faker, ...ids]) {
		const {startedAt = 0, durationMs = -1} = crew.outcome(id) as Outcome;
		t.true(Math.abs(startedAt - Date.now()) < 60_000 && durationMs >= 0);
	}
	const texts = crew.updates.flatMap(({logs = []}) => logs.map(({text, at}) => (Math.abs(at - Date.now()) < 60_000 ? text : 'when?')));
	t.deepEqual(texts, ['first', 'second']);
});

law('a worker survives any number of errors that no task caught, in whatever order they come', async (t, crew) => {
	await crew.load({workers: 1});
	const names = ['none', 'nextTick', 'timer', 'microtask', 'rejectionOfAsync', 'overflow'];
	const given: {readonly id: JobId; readonly name: string}[] = [];
	for (let round = 0; round < 60; round++) {
		// Each round another order of neighbours.
		const chunk = Array.from({length: 7}, (_, index) => names[(index * (round + 1) + round) % names.length] as string);
		const ids = await crew.give(round % 2 === 0 ? 'disasterLater' : 'disaster', chunk);
		given.push(...ids.map((id, index) => ({id, name: chunk[index] as string})));
	}
	const outcomes = await crew.outcomes(given.map(({id}) => id));
	for (const [index, {name}] of given.entries()) t.is(outcomes[index]?.type, name === 'none' ? 'returned' : 'threw', name);
});

law('a rejection that surfaces after its job has ended fails nobody', async (t, crew) => {
	const file = join(makeFolder(t), 'surfaced');
	await crew.load({workers: 1});
	t.deepEqual(await crew.values([...(await crew.give('rejectAfterwards', [file])), ...(await crew.give('wait', [file, file]))]), ['done', file, file]);
});

law('whatever a task throws is recorded', async (t, crew) => {
	await crew.load({workers: 1});
	for (const task of ['throwIt', 'rejectWithIt']) {
		const names = Object.keys(THROWABLE);
		const outcomes = (await crew.outcomes(await crew.give(task, names))) as Outcome[];
		const failures = Object.fromEntries(outcomes.map((outcome, index) => [names[index], errorOf(outcome)]));
		t.true(outcomes.every(({type}) => type === 'threw'));
		t.true(Object.values<FailureRecord>(failures).every(({reason, message}) => reason === 'threw' && message.length > 0 && message.length < 20_000));
		t.like(failures, {
			null: {message: 'null'},
			undefined: {message: 'undefined'},
			string: {message: 'a string'},
			symbol: {message: 'Symbol(a symbol)'},
			bigint: {message: '5'},
			plain: {code: 'E_PLAIN', message: 'a plain object'},
			cyclic: {message: 'cyclic', causes: [{message: 'inner'}]},
			frozen: {name: 'TypeError', message: 'frozen'},
			uncloneable: {message: 'uncloneable'},
		});
	}
	t.deepEqual(await crew.values(await crew.give('echo', [1])), [1]);
});

law('a result that can not be encoded, or is too large, fails its job with the reason badResult', async (t, crew) => {
	await crew.load({workers: 1, maxValueBytes: 1000});
	for (const task of ['returnIt', 'resolveWithIt']) {
		const names = Object.keys(UNENCODABLE);
		const outcomes = (await crew.outcomes(await crew.give(task, names))) as Outcome[];
		for (const [index, outcome] of outcomes.entries()) {
			t.is(outcome.type, 'threw', names[index]);
			// What throws when it is looked at for `then` is, in JavaScript, a promise that rejects.
			t.is(errorOf(outcome).reason, names[index] === 'likePromise' || names[index] === 'proxy' ? 'threw' : 'badResult', names[index]);
		}
		t.regex(errorOf(outcomes[names.indexOf('symbol')] as Outcome).message, /result\.deep\[0\] is a symbol/);
	}
	const [fits, large] = await crew.give('large', [900, 1100]);
	t.like(await crew.failure(large), {reason: 'badResult', code: 'TooLarge'});
	t.is((await crew.values([fits]))[0], 'x'.repeat(900));
});

// Closing

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

law('closing twice, or before anything was loaded, is no error', async (t, crew) => {
	await crew.load({workers: 2});
	await Promise.all([crew.pool.close(), crew.pool.close()]);
	await crew.pool.close();
	t.deepEqual(crew.pool.capacity(), {idle: 0, prefetch: 0});
	await crew.make({workers: 1}).close();
});

// What the laws are written with

export const POOL_OPTIONS: PoolOptions = {
	tasks: TASKS,
	defaults: {},
	workers: 1,
	graceMs: 1000,
	maxValueBytes: 1 << 24,
	maxCheckpointBytes: 1 << 20,
	taskOutput: 'inherit',
	isolation: 'thread',
	resourceLimits: undefined,
	env: undefined,
	execArgv: [],
	nice: undefined,
	recycle: {jobs: Infinity, ageMs: Infinity, memoryBytes: Infinity},
	minFreeMemoryBytes: 0,
	postMortem: false,
};

/** A pool, who listens to it, and what was heard. */
export class Crew implements PoolListener {
	readonly #t: ExecutionContext;
	readonly #make: MakePool;
	readonly #wakeUps = new Set<WakeUp>();
	readonly #outcomes = new Map<JobId, Outcome>();
	readonly updates: JobUpdate[] = [];
	readonly losses: WorkerLoss[] = [];
	readonly slow: SlowStart[] = [];
	readonly sacrificed: JobId[] = [];
	readonly reports: (readonly Settlement[])[] = [];
	#pool: Pool | undefined;
	#lastId = 0;

	constructor(t: ExecutionContext, make: MakePool) {
		this.#t = t;
		this.#make = make;
	}

	get pool(): Pool {
		return this.#pool as Pool;
	}

	make(options: Partial<PoolOptions>): Pool {
		return this.#make({...POOL_OPTIONS, ...options}, this);
	}

	load(options: Partial<PoolOptions>): ReturnType<Pool['load']> {
		this.#pool = this.make(options);
		this.#t.teardown(() => this.pool.close());
		return this.pool.load();
	}

	/** Gives the jobs as one chunk, when there is a place. */
	async give(task: string, payloads: readonly unknown[], details?: Details): Promise<JobId[]> {
		await this.place({task, quarantined: details?.quarantined ?? false});
		return this.giveNow(task, payloads, details);
	}

	giveNow(task: string, payloads: readonly unknown[], {policy = {}, attempts = [], keys = [], checkpoints = [], quarantined = false}: Details = {}): JobId[] {
		const ids = payloads.map(() => ++this.#lastId);
		this.pool.run({
			task,
			lease: LEASE,
			policy: {...POLICY, ...policy},
			quarantine: quarantined ? 'together' : undefined,
			ids: toIds(ids),
			executions: 1,
			createdAt: 0,
			priorities: 0,
			values: pack(payloads.map(payload => encode(payload, 'payload'))),
			attempts: sparse(attempts, count => count || undefined),
			keys: sparse(keys, key => key),
			checkpoints: sparse(checkpoints, checkpoint => (checkpoint === undefined ? undefined : encode(checkpoint, 'checkpoint'))),
		});
		return ids;
	}

	/** Resolves when a worker is idle. */
	idle(): Promise<void> {
		return this.#until(() => this.pool.capacity().idle > 0);
	}

	/** Resolves once there is a place for a chunk of this kind, or of the most usual. */
	place(lane?: Lane): Promise<void> {
		return this.#until(() => {
			const {idle, prefetch} = this.pool.capacity(lane);
			return idle + prefetch > 0;
		});
	}

	outcome(id: JobId | undefined): Outcome | undefined {
		return this.#outcomes.get(id as JobId);
	}

	/** The outcomes, when all are there. */
	async outcomes(ids: readonly (JobId | undefined)[]): Promise<(Outcome | undefined)[]> {
		await this.#until(() => ids.every(id => this.outcome(id) !== undefined));
		return ids.map(id => this.outcome(id));
	}

	/** What the jobs returned; anything else is a failure of the test. */
	async values(ids: readonly (JobId | undefined)[]): Promise<unknown[]> {
		return (await this.outcomes(ids)).map(outcome => {
			if (outcome?.type === 'returned') return decode(outcome.value);
			throw new Error(`The job did not return: ${JSON.stringify(outcome)}`);
		});
	}

	async failure(id: JobId | undefined): Promise<FailureRecord> {
		return errorOf((await this.outcomes([id]))[0]);
	}

	/** Each was returned or given back: nothing was charged to it. */
	async unharmed(ids: readonly (JobId | undefined)[]): Promise<void> {
		for (const outcome of await this.outcomes(ids)) this.#t.regex(outcome?.type ?? '', /^(returned|released)$/);
	}

	/** The first update, past or to come, for which the condition is true. */
	async update(condition: (update: JobUpdate) => boolean): Promise<JobUpdate> {
		await this.#until(() => this.updates.some(condition));
		return this.updates.find(condition) as JobUpdate;
	}

	async slowStart(): Promise<SlowStart> {
		await this.#until(() => this.slow.length > 0);
		return this.slow[0] as SlowStart;
	}

	// ——— what the pool tells ———

	ended(_task: string, groups: readonly EndedGroup[]): void {
		const settlements = groups.flatMap(group => [...settlementsOf(group)]);
		this.reports.push(settlements);
		for (const {id, outcome} of settlements) {
			if (this.#outcomes.has(id)) this.#t.fail(`Job ${id} was settled twice.`);
			this.#outcomes.set(id, outcome);
		}
		this.#ring();
	}

	updated(update: JobUpdate): void {
		this.updates.push(update);
		this.#ring();
	}

	lost(loss: WorkerLoss): void {
		this.losses.push(loss);
	}

	startsSlowly(slow: SlowStart): void {
		this.slow.push(slow);
		this.#ring();
	}

	memoryShort(id: JobId): void {
		this.sacrificed.push(id);
	}

	freed(): void {
		this.#ring();
	}

	#ring(): void {
		for (const wakeUp of this.#wakeUps) wakeUp.set();
	}

	async #until(isTrue: () => boolean): Promise<void> {
		const wakeUp = new WakeUp();
		this.#wakeUps.add(wakeUp);
		while (!isTrue()) await wakeUp.wait(Infinity);
		this.#wakeUps.delete(wakeUp);
	}
}

interface Details {
	readonly quarantined?: boolean;
	/** Of all jobs of the chunk. */
	readonly policy?: Partial<Policy>;
	readonly attempts?: readonly number[];
	readonly keys?: readonly (string | undefined)[];
	readonly checkpoints?: readonly unknown[];
}

function errorOf(outcome: Outcome | undefined): FailureRecord {
	if (outcome && 'error' in outcome && outcome.error) return outcome.error;
	throw new Error(`There is no error in ${JSON.stringify(outcome)}.`);
}

function touch(file: string | undefined): void {
	writeFileSync(file as string, '');
}

function linesOf(file: string): string[] {
	return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

function canConnect(port: number): Promise<boolean> {
	return new Promise(resolve => {
		const socket = connect(port, '127.0.0.1');
		const settle = (isOpen: boolean) => {
			socket.destroy();
			resolve(isOpen);
		};
		socket.once('connect', () => settle(true));
		socket.once('error', () => settle(false));
	});
}

/** What there is of each job, by index. */
function sparse<From, To>(column: readonly From[], to: (value: From) => To | undefined): ReadonlyMap<number, To> | undefined {
	const entries = column.flatMap((value, index) => {
		const own = to(value);
		return own === undefined ? [] : [[index, own] as const];
	});
	return entries.length > 0 ? new Map(entries) : undefined;
}
