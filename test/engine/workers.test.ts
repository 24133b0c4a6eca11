import {once} from 'node:events';
import {readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type Engine, type EngineEvents, FaenaError, type OpenOptions, open} from '../../lib/index.ts';
import {WORKER_ARGS} from '../../lib/support/node.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {Program} from '../fixtures/program.ts';

type Tasks = typeof import('../fixtures/resource-tasks.ts');

async function openWith(t: ExecutionContext, options: Partial<OpenOptions>): Promise<Engine<Tasks>> {
	t.timeout(60_000);
	const tasks = new URL('../fixtures/resource-tasks.ts', import.meta.url);
	const faena = await open<Tasks>({queue: join(makeFolder(t), 'jobs.db'), tasks, workers: 1, grace: 1000, ...options});
	t.teardown(() => faena.close({drain: 0}));
	return faena;
}

function linesOf(file: string): string[] {
	return readFileSync(file, 'utf8').split('\n').slice(0, -1);
}

for (const isolation of ['thread', 'process'] as const) {
	test(`the setup of a task runs once in each worker, before its first job; its teardown when the worker ends (${isolation})`, async t => {
		const journal = join(makeFolder(t), 'journal');
		const faena = await openWith(t, {isolation, workers: 2, env: {JOURNAL: journal}});
		const results = await Promise.all(Array.from({length: 20}, () => faena.call('predict')));
		t.true(results.every(({name, loadedIn, runsIn}) => name === 'model' && loadedIn === runsIn));
		await faena.close();
		const lines = linesOf(journal);
		for (const kind of ['up', 'down']) {
			const workers = lines.filter(line => line.startsWith(`${kind} `));
			t.is(new Set(workers).size, workers.length);
		}
		t.true(results.every(({runsIn}) => lines.includes(`up ${runsIn}`) && lines.includes(`down ${runsIn}`)));
	});

	test(`a setup that throws is an error of open(), which says whose and why (${isolation})`, async t => {
		const broken = join(makeFolder(t), 'broken');
		writeFileSync(broken, '');
		const error = await t.throwsAsync(openWith(t, {isolation, env: {BREAK_SETUP: broken}}), {instanceOf: FaenaError, code: 'SetupFailed'});
		t.is(error?.message, 'The setup of task predict failed. RangeError: no model here');
		t.true(error?.cause instanceof Error);
	});

	test(`workers get the environment and the options of Node that were asked for (${isolation})`, async t => {
		const faena = await openWith(t, {isolation, env: {FAENA_TEST: 'here'}, execArgv: ['--no-warnings']});
		const {variable, execArgv} = await faena.call('worker');
		t.is(variable, 'here');
		t.true(execArgv.includes('--no-warnings'));
	});

	test(`a worker is replaced after so many jobs, and all jobs are done (${isolation})`, async t => {
		const journal = join(makeFolder(t), 'journal');
		const faena = await openWith(t, {isolation, recycle: {jobs: 3}, env: {JOURNAL: journal}});
		const workers: string[] = [];
		for (let call = 0; call < 9; call++) workers.push((await faena.call('worker')).me);
		t.deepEqual(
			[...Map.groupBy(workers, me => me).values()].map(({length}) => length),
			[3, 3, 3],
		);
		t.true(linesOf(journal).filter(line => line.startsWith('down')).length >= 2);
	});

	test(`a worker is replaced when it uses too much memory (${isolation})`, async t => {
		// A process starts with more than a thread's heap, and neither with so much.
		const faena = await openWith(t, {isolation, recycle: {memory: isolation === 'thread' ? 40e6 : 180e6}});
		const first = await faena.call('leak');
		let calls = 1;
		while ((await faena.call('leak')) === first) calls++;
		t.true(calls > 5);
	});
}

test("threads get what of the program's own options of Node they can have, beside those that were asked for; processes get all", async t => {
	t.timeout(60_000);
	const flags = ['--expose-gc', '--max-old-space-size=500', '--trace-warnings'];
	for (const isolation of ['thread', 'process']) {
		const program = new Program(t, {name: 'tells-exec-argv', flags}, join(makeFolder(t), 'jobs.db'), isolation);
		const own = isolation === 'thread' ? ['--trace-warnings'] : flags;
		t.deepEqual(JSON.parse(await program.line()), {execArgv: [...own, ...WORKER_ARGS, '--no-warnings'], gc: 'function'});
	}
});

test('a setup that throws is an error of open() also where only its task names that isolation; other setups are torn down', async t => {
	const folder = makeFolder(t);
	const [broken, journal] = [join(folder, 'broken'), join(folder, 'journal')];
	writeFileSync(broken, '');
	const error = await t.throwsAsync(openWith(t, {env: {BREAK_PROCESS_SETUP: broken, JOURNAL: journal}}), {instanceOf: FaenaError, code: 'SetupFailed'});
	t.is(error?.message, 'The setup of task predictInProcess failed. RangeError: no model in a process');
	t.deepEqual(
		linesOf(journal).map(line => line.split(' ')[0]),
		['up', 'down'],
	);
});

test('a setup that fails in a later worker is reported, and tried again until it works; its jobs wait', async t => {
	const broken = join(makeFolder(t), 'broken');
	const faena = await openWith(t, {env: {BREAK_PROCESS_SETUP: broken}});
	const unready = new Promise<EngineEvents['workerLost'][0]>(resolve => {
		faena.on('workerLost', loss => loss.reason === 'unready' && resolve(loss));
	});
	writeFileSync(broken, '');
	await (await faena.enqueue('endProcess')).outcome();
	const waiting = faena.call('predictInProcess');
	t.like(await unready, {kind: 'process', error: {message: 'The setup of task predictInProcess failed. RangeError: no model in a process'}});
	rmSync(broken);
	t.like(await waiting, {name: 'model'});
});

test('a program without listener and logger is warned of a setup that fails in a later worker', async t => {
	const broken = join(makeFolder(t), 'broken');
	const faena = await openWith(t, {env: {BREAK_PROCESS_SETUP: broken}});
	const warned = once(process, 'warning') as Promise<[Error]>;
	writeFileSync(broken, '');
	await (await faena.enqueue('endProcess')).outcome();
	const waiting = faena.call('predictInProcess');
	const [warning] = await warned;
	t.is(warning.name, 'FaenaWarning');
	t.is(
		warning.message,
		'A worker process could not be made ready. Faena tries again until it succeeds. The setup of task predictInProcess failed. RangeError: no model in a process',
	);
	rmSync(broken);
	t.like(await waiting, {name: 'model'});
});

test('where the working directory was removed, a worker process is replaced all the same', async t => {
	t.timeout(60_000);
	const program = new Program(t, 'removed-folder', join(makeFolder(t), 'jobs.db'), 'process');
	t.deepEqual(await program.lines(), ['completed', 'closed']);
});

test('where the working directory was removed, a worker thread is started again until the program works elsewhere; meanwhile this is reported, and its job waits', async t => {
	t.timeout(60_000);
	const program = new Program(t, 'removed-folder', join(makeFolder(t), 'jobs.db'), 'thread');
	const [told, ...rest] = await program.lines();
	t.regex(told ?? '', /^unready: .* can't be loaded: its worker thread ended with exit code 1\. ENOENT: .*(working directory was likely removed|uv_cwd)/);
	t.deepEqual(rest, ['completed', 'closed']);
});

test('where the working directory was removed, an engine closes, and leaves its jobs', async t => {
	t.timeout(60_000);
	const queue = join(makeFolder(t), 'jobs.db');
	const lines = await new Program(t, 'removed-folder', queue, 'thread', 'close').lines();
	t.is(lines.at(-1), 'closed');
	const faena = await openWith(t, {queue});
	t.is((await faena.jobs().page()).at(1)?.attempts, 0);
});

test('where the working directory was removed, open() says so', async t => {
	t.timeout(60_000);
	for (const queue of [join(makeFolder(t), 'jobs.db'), 'relative.db']) {
		const {stderr} = await new Program(t, 'removed-folder', queue, 'open').ended();
		t.regex(stderr, /FaenaError: Faena's dispatcher thread can't be started\. ENOENT: .*(working directory was likely removed|uv_cwd)/);
	}
});

test('open() logs that a setup takes long, and of which task', async t => {
	const file = join(makeFolder(t), 'go');
	const told = Promise.withResolvers<object>();
	const logger = {debug() {}, info() {}, warn: (fields: object) => told.resolve(fields), error() {}};
	const tasks = new URL('../fixtures/modules/slow-setup.ts', import.meta.url);
	const opening = openWith(t, {tasks, logger, env: {SLOW_SETUP: file}});
	t.deepEqual(await told.promise, {kind: 'thread', task: 'load', durationMs: 10_000});
	writeFileSync(file, '');
	await opening;
});

test('a worker is replaced when it is old', async t => {
	const faena = await openWith(t, {recycle: {age: 1}});
	const first = await faena.call('worker');
	t.not((await faena.call('worker')).me, first.me);
});

test('a quarantined or isolated job finds its resource in its process, too', async t => {
	const faena = await openWith(t, {});
	const {loadedIn, runsIn} = await faena.call('predictInProcess');
	t.is(loadedIn, runsIn);
	t.false(runsIn.startsWith(`${process.pid}/`));
});

test('under isolation inline setup and teardown run in the caller', async t => {
	const faena = await openWith(t, {isolation: 'inline'});
	t.like(await faena.call('predict'), {name: 'model', calls: 1});
	t.like(await faena.call('predict'), {calls: 2});
});

test('under isolation inline nothing is recycled: the caller can not be replaced', async t => {
	const faena = await openWith(t, {isolation: 'inline', recycle: {jobs: 1}});
	for (let call = 1; call <= 3; call++) t.like(await faena.call('predict'), {calls: call});
});

test('workers can be nicer than their engine', async t => {
	const faena = await openWith(t, {isolation: 'process', nice: 7});
	t.is((await faena.call('worker')).priority, 7);
	if (process.platform !== 'linux') return;
	const threads = await openWith(t, {nice: 9});
	t.is((await threads.call('worker')).priority, 9);
});

const BAD: readonly (readonly [options: Partial<OpenOptions>, sentence: RegExp])[] = [
	[
		{execArgv: ['--no-warnings', '--expose-gc', '--no-such-flag']},
		/^open\(\) expects as execArgv options that Node allows in a worker thread; it got --expose-gc, --no-such-flag\. Give it to the program/,
	],
	[
		{isolation: 'process', execArgv: ['--no-such-flag']},
		/^open\(\) expects as execArgv options of Node's; a worker process said: .*bad option: --no-such-flag$/,
	],
	[{execArgv: '--no-warnings' as never}, /as execArgv an array; it got "--no-warnings"/],
	[{env: ['A=B'] as never}, /as env an object such as {NAME: 'value'}; it got an array/],
	[{env: 'A=B' as never}, /as env an object such as {NAME: 'value'}; it got "A=B"/],
	[{env: {'A=B': 'c'}}, /as env names without = and NUL; it got "A=B"/],
	[{resourceLimits: {maxOldGenerationSizeMb: 1}}, /\(\{resourceLimits\}\) expects as maxOldGenerationSizeMb a number from 16/],
	[{recycle: {jobs: 0}}, /open\(\{recycle\}\) expects as jobs a whole number from 1/],
	[{recycle: {after: 3} as never}, /open\(\{recycle\}\) has no option "after"/],
	[{nice: 20}, /nice a whole number from -20 to 19/],
	[{env: {A: 1 as never}}, /open\(\{env\}\) expects as A a text/],
	[{minFreeMemory: -1}, /minFreeMemory a size such as .* it got -1/],
];

for (const [options, sentence] of BAD) {
	test(`refused in a sentence: open(${JSON.stringify(options)})`, async t => {
		const error = await t.throwsAsync(openWith(t, options), {instanceOf: FaenaError});
		t.regex(error?.message ?? '', sentence);
	});
}
