import {readdirSync, readFileSync} from 'node:fs';
import {dirname, join, relative} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';

const root = fileURLToPath(new URL('../', import.meta.url));

/** From the bottom to the top; a file imports only from its own layer and those below. `*` stands for a folder's content. */
const LAYERS: readonly (readonly string[])[] = [
	[
		'lib/errors.ts',
		'lib/failpoint.ts',
		'lib/failure.ts',
		'lib/job.ts',
		'lib/backoff.ts',
		'lib/encoding.ts',
		'lib/lines.ts',
		'lib/status-summary.ts',
		'lib/bell.ts',
		'lib/id-set.ts',
		'lib/source.ts',
		'lib/unread-maps.ts',
		'lib/originals.ts',
		'lib/board.ts',
		'lib/clock.ts',
		'lib/bisection.ts',
		'lib/setbacks.ts',
		'lib/worker-url.ts',
		'lib/node-version.ts',
		'lib/node-args.ts',
	],
	[
		'lib/queue.ts',
		'lib/times.ts',
		'lib/runs.ts',
		'lib/job-list.ts',
		'lib/stored.ts',
		'lib/task.ts',
		'lib/tasks-module.ts',
		'lib/pool.ts',
		'lib/logger.ts',
		'lib/checks.ts',
		'lib/options.ts',
		'lib/halt.ts',
		'lib/map-options.ts',
		'lib/protocol.ts',
		'lib/open-jobs.ts',
		'lib/job-maker.ts',
		'lib/made-jobs.ts',
		'lib/transfer.ts',
		'lib/notes.ts',
		'lib/context.ts',
		'lib/execution.ts',
		'lib/sizing.ts',
		'lib/runner.ts',
		'lib/report.ts',
		'lib/meter.ts',
		'lib/worker-life.ts',
		'lib/resources.ts',
		'lib/refused-lanes.ts',
		'lib/warnings.ts',
	],
	['lib/queues/*', 'lib/pools/*'],
	[
		'lib/statistics.ts',
		'lib/steering.ts',
		'lib/desk.ts',
		'lib/caretaker.ts',
		'lib/held-batches.ts',
		'lib/turn-parts.ts',
		'lib/turns.ts',
		'lib/dispatcher.ts',
		'lib/open-queue.ts',
		'lib/notebook.ts',
		'lib/heartbeat-thread.ts',
		'lib/work.ts',
	],
	[
		'lib/audience.ts',
		'lib/line.ts',
		'lib/inline-line.ts',
		'lib/link.ts',
		'lib/job-handle.ts',
		'lib/batch-handle.ts',
		'lib/map-batch.ts',
		'lib/map.ts',
		'lib/signals.ts',
		'lib/engine.ts',
		'lib/enqueue-in.ts',
	],
	['lib/index.ts', 'lib/testing.ts', 'lib/test-clock.ts', 'lib/test-engine.ts'],
	['bench/*'],
	['lib/cli/*'],
];

/** Packages that these files alone may import, so that what is particular to each stays in one place. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
	'better-sqlite3': ['lib/queues/sqlite/database.ts', 'lib/queues/sqlite/one-library.ts', 'lib/queues/sqlite/owner-lock.ts'],
	piscina: ['lib/pools/threads.ts'],
	tinypool: ['lib/pools/processes.ts'],
};

const files = ['lib', 'workers'].flatMap(folder =>
	readdirSync(join(root, folder), {recursive: true, encoding: 'utf8'})
		.filter(name => name.endsWith('.ts'))
		.map(name => join(folder, name)),
);

/** What `faena bench` runs: the first files of its processes and threads, and the subjects that it measures. */
const SHORT_SUITE = [
	'lib/cli/bench.ts',
	'bench/one.ts',
	'bench/tasks.ts',
	'bench/trials/contender.ts',
	'bench/stores/faena.ts',
	...['ideal-worker', 'ideal', 'faena', 'sqlite', 'piscina'].map(name => `bench/subjects/${name}.ts`),
];

function importsOf(file: string): string[] {
	const source = readFileSync(join(root, file), 'utf8');
	return [...source.matchAll(/^(?:import|export)\b(?:[^'"`;]*\bfrom)? ?['"]([^'"]+)['"]/gm)].map(match => match[1] as string);
}

function targetOf(file: string, name: string): string {
	return relative(root, join(root, dirname(file), name));
}

function layerOf(file: string): number {
	return LAYERS.findIndex(layer => layer.some(entry => (entry.endsWith('*') ? file.startsWith(entry.slice(0, -1)) : file === entry)));
}

test('every file of lib has a layer', t => {
	t.deepEqual(
		files.filter(file => file.startsWith('lib/') && layerOf(file) < 0),
		[],
	);
});

test('imports go downwards only', t => {
	const upwards = files
		.filter(file => file.startsWith('lib/'))
		.flatMap(file =>
			importsOf(file)
				.filter(name => name.startsWith('.'))
				.map(name => targetOf(file, name))
				.filter(target => layerOf(target) > layerOf(file))
				.map(target => `${file} → ${target}`),
		);
	t.deepEqual(upwards, []);
});

test('the benchmark is imported by the command that runs it, and by nothing else of lib', t => {
	t.deepEqual(
		files.filter(file => importsOf(file).some(name => name.startsWith('.') && targetOf(file, name).startsWith('bench/'))),
		['lib/cli/bench.ts'],
	);
});

test('faena bench needs only packages on which the package depends', t => {
	const {dependencies} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {dependencies: Record<string, string>};
	const reached = new Set(SHORT_SUITE);
	for (const file of reached) for (const name of importsOf(file)) if (name.startsWith('.')) reached.add(targetOf(file, name));
	t.true(reached.size > SHORT_SUITE.length + 20);
	const packages = [...reached].flatMap(file =>
		importsOf(file)
			.filter(name => !/^(\.|node:)/.test(name))
			.map(name => `${file}: ${name}`),
	);
	t.deepEqual(
		packages.filter(each => !Object.keys(dependencies).some(name => new RegExp(`: ${name}(/|$)`).test(each))),
		[],
	);
});

test('files of workers are reached by URL, never imported', t => {
	t.deepEqual(
		files.filter(file => importsOf(file).some(name => /(^|\/)workers\//.test(name))),
		[],
	);
});

for (const [name, owners] of Object.entries(OWNERS)) {
	test(`${name} is imported by ${owners.join(' and ')} alone`, t => {
		t.deepEqual(
			files.filter(file => importsOf(file).includes(name)),
			owners,
		);
	});
}

test('the files this test reads have imports, so that it can fail', t => {
	t.true(files.reduce((sum, file) => sum + importsOf(file).length, 0) > 100);
});
