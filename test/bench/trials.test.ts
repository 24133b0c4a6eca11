import {readdirSync} from 'node:fs';
import test, {type ExecutionContext} from 'ava';
import {compileSyncCounter} from '../../bench/measure/sync-counter.ts';
import type {Case, Intake, Measurement, Span} from '../../bench/plan/suite.ts';
import {INTAKES} from '../../bench/subjects/faena-intakes.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {measure} from './measure.ts';

// One by one: each is several threads or processes, and together they would only wait for each other.

/** Measures in a folder of its own, and looks at what every trial promises. */
async function taken(t: ExecutionContext, given: Partial<Case> & Pick<Case, 'trial' | 'jobs'>): Promise<Measurement> {
	const folder = makeFolder(t);
	const measurement = await measure(folder, given);
	t.true(measurement.wallMs > 0);
	t.true(Object.values(measurement.cpu).every(micros => micros >= 0));
	t.true(measurement.cpu.caller > 0);
	t.deepEqual(readdirSync(folder), [], 'it removes its files');
	return measurement;
}

function hasFigures(t: ExecutionContext, {figures = {}}: Measurement, ...names: readonly string[]): void {
	for (const name of names) t.true(Number.isFinite(figures[name]), `${name} is ${figures[name]}`);
}

function hasDistribution(t: ExecutionContext, {latencyMs, curvesMs}: Measurement, name: Span): void {
	const {p50 = 0, p99 = 0, max = 0} = latencyMs?.[name] ?? {};
	t.true(p50 > 0 && p50 <= p99 && p99 <= max, name);
	const curve = curvesMs?.[name] ?? [];
	t.true(curve.length >= 30);
	t.is(curve[0]?.[0], 0);
	t.deepEqual(curve.at(-1), [100, max]);
	for (const [index, [, ms]] of curve.entries()) t.true(ms >= (curve[index - 1]?.[1] ?? 0), `${name} rises`);
}

test.serial('drain: from the first enqueue to the last durable result', async t => {
	const {transactions, meanChunk} = await taken(t, {trial: 'drain', jobs: 500, intake: 'bulk'});
	t.true((transactions ?? 0) > 0);
	t.true((meanChunk ?? 0) >= 1);
});

for (const intake of Object.keys(INTAKES) as Intake[]) {
	test.serial(`drain: ${intake}`, async t => {
		const {transactions = 0} = await taken(t, {trial: 'drain', jobs: 300, intake});
		t.true(transactions > 0);
	});
}

for (const intake of ['strict', 'bulk', 'map'] as const) {
	test.serial(`drain: ${intake}, of statements in better-sqlite3 alone`, async t => {
		const {transactions = 0} = await taken(t, {trial: 'drain', jobs: 300, intake, subject: 'statements'});
		t.true(transactions > 0);
	});
}

test.serial('drain: in child processes', async t => {
	await taken(t, {trial: 'drain', jobs: 300, intake: 'bulk', vary: {isolated: 1}});
});

test.serial('mixed: one job in a hundred is longer', async t => {
	await taken(t, {trial: 'mixed', jobs: 200, intake: 'bulk', task: 'spin', workMicros: 10});
});

test.serial('call: from enqueue to durable result, beyond the fsyncs', async t => {
	const measurement = await taken(t, {trial: 'call', jobs: 20});
	hasFigures(t, measurement, 'fsyncBeforeMs', 'fsyncAfterMs', 'fsyncsPerCall', 'p50Ms', 'beyondFsyncsMs');
	hasDistribution(t, measurement, 'durableResult');
});

test.serial('call: fsyncs are counted, and timed, where a library can be preloaded', async t => {
	const compiled = compileSyncCounter();
	t.teardown(() => compiled[Symbol.dispose]());
	const {counter} = compiled;
	if (!counter || process.platform !== 'linux') return t.pass('not here');
	const {fsyncs = 0, fsyncMs = 0, figures, wallMs} = await measure(makeFolder(t), {trial: 'call', jobs: 20}, counter);
	t.true(fsyncs >= 20, 'a durable result needs one');
	t.is(figures?.['fsyncsPerCall'], fsyncs / 20);
	t.true(fsyncMs > 0 && fsyncMs < wallMs);
});

test.serial('latency: open loop, from the intended arrival', async t => {
	const measurement = await taken(t, {trial: 'latency', jobs: 200, vary: {share: 0.2}});
	hasFigures(t, measurement, 'capacityPerSecond', 'offeredPerSecond', 'achievedPerSecond', 'arrivalLateP50Ms', 'arrivalLateP99Ms');
	for (const name of ['durableEnqueue', 'start', 'durableResult'] as const) hasDistribution(t, measurement, name);
	const {capacityPerSecond = 0, offeredPerSecond = 0} = measurement.figures ?? {};
	t.true(Math.abs(offeredPerSecond / capacityPerSecond - 0.2) < 1e-9);
});

test.serial('latency: of a pool, which keeps nothing', async t => {
	const measurement = await taken(t, {trial: 'latency', jobs: 200, vary: {share: 0.2}, subject: 'piscina', durability: 'memory'});
	for (const name of ['start', 'durableResult'] as const) hasDistribution(t, measurement, name);
	t.deepEqual([measurement.latencyMs?.durableEnqueue, measurement.transactions], [undefined, undefined]);
});

test.serial('waiting: jobs that compute nothing', async t => {
	const {wallMs} = await taken(t, {trial: 'waiting', jobs: 40, intake: 'bulk', task: 'wait', workMicros: 5000, workers: 2});
	t.true(wallMs >= 100, 'twenty waits of 5 ms, one after the other');
});

test.serial('idle: what an engine without jobs costs', async t => {
	const measurement = await taken(t, {trial: 'idle', jobs: 0});
	hasFigures(t, measurement, 'cpuPercent');
	if (process.platform === 'linux') hasFigures(t, measurement, 'wakeUpsPerSecond');
});

test.serial('start: a process from its first line to its first result', async t => {
	const measurement = await taken(t, {trial: 'start', jobs: 1});
	hasFigures(t, measurement, 'importMs', 'openMs', 'callMs', 'firstResultMs', 'statusBeyondNodeMs');
});

test.serial('contention: producers on one file', async t => {
	const measurement = await taken(t, {trial: 'contention', jobs: 103, vary: {producers: 3, batch: 10}});
	hasFigures(t, measurement, 'enqueuesPerSecond', 'slowestPerSecond', 'fastestPerSecond');
	hasDistribution(t, measurement, 'durableEnqueue');
	t.is(measurement.transactions, 12, 'four each');
});

for (const [what, threads] of [
	['processes', 0],
	['threads', 1],
] as const) {
	test.serial(`dequeue: ${what} claim from one file, each job once, and complete their claims`, async t => {
		for (const completes of [0, 1]) {
			const vary = {batch: 10, backlog: 500, contenders: 2, completes, threads};
			const measurement = await measure(makeFolder(t), {trial: 'dequeue', subject: 'faena', jobs: 500, vary});
			hasFigures(t, measurement, 'claimsPerSecond', 'smallestShare', 'largestShare', 'fairness');
			hasDistribution(t, measurement, 'claim');
			t.is(measurement.latencyMs?.complete !== undefined, completes === 1);
			const {jobs = 0, figures: {fairness = 0, claimsPerSecond = 0} = {}, wallMs} = measurement;
			t.true(jobs > 0);
			t.true(fairness >= 0.5 && fairness <= 1);
			t.true(claimsPerSecond * wallMs >= jobs * 100 - 1, 'ten at a time, at most');
		}
	});
}

test.serial('dequeue: a bare statement, for comparison', async t => {
	const measurement = await measure(makeFolder(t), {
		...{trial: 'dequeue', subject: 'bare-sqlite', jobs: 500},
		vary: {batch: 10, backlog: 500, contenders: 2, completes: 1, threads: 0},
	});
	hasDistribution(t, measurement, 'claim');
});

test.serial('contention: processes that drain one file', async t => {
	const measurement = await taken(t, {trial: 'contention', jobs: 500, workers: 1, vary: {processes: 2}});
	hasFigures(t, measurement, 'smallestShare', 'largestShare');
	t.true((measurement.transactions ?? 0) > 0);
});

test.serial('contention: workers of one engine', async t => {
	await taken(t, {trial: 'contention', jobs: 100, intake: 'bulk', task: 'spin', workMicros: 10, workers: 1, vary: {workers: 1}});
});

test.serial('history: ten tenths', async t => {
	const measurement = await taken(t, {trial: 'history', jobs: 2000});
	hasFigures(t, measurement, 'firstTenthPerSecond', 'lastTenthPerSecond', 'lastAgainstFirst', 'databaseBytesPerJob', 'largestWalMib', 'largestRssMib');
	for (const name of ['perSecond', 'backlog', 'databaseMib', 'walMib', 'rssMib']) {
		const values = measurement.tenths?.[name] ?? [];
		t.is(values.length, 10, name);
		t.true(
			values.every(value => Number.isFinite(value) && value >= 0),
			name,
		);
	}
	t.is(measurement.tenths?.['backlog']?.[9], 0);
	if (process.platform === 'linux') hasFigures(t, measurement, 'writtenBytesPerJob', 'writtenPagesPerJob');
});

for (const subject of ['faena', 'piscina'])
	for (const [binary, form] of ['text', 'bytes'].entries())
		test.serial(`payloads: ${form} by ${subject}, there and back`, async t => {
			const measurement = await taken(t, {
				trial: 'payloads',
				subject,
				durability: subject === 'faena' ? 'full' : 'memory',
				jobs: 8,
				vary: {bytes: 100_000, binary},
			});
			hasFigures(t, measurement, 'megabytesPerSecondEachWay');
		});

test.serial('payloads: results in files of their own', async t => {
	await taken(t, {trial: 'payloads', jobs: 8, vary: {bytes: 100_000, binary: 1, blobs: 65_536}});
});

test.serial('recovery: the jobs of a killed process are finished, and the phases are timed', async t => {
	const measurement = await taken(t, {trial: 'recovery', jobs: 20_000});
	hasFigures(t, measurement, 'processStartMs', 'importMs', 'openMs', 'firstJobMs', 'firstResultMs', 'backlog', 'interrupted');
	const {interrupted = 0, backlog = 0, firstJobMs = 0, firstResultMs = 0} = measurement.figures ?? {};
	t.true(interrupted > 0 && interrupted <= backlog && backlog < 20_000);
	t.true(firstJobMs > 0 && firstJobMs < firstResultMs);
});

test.serial('backlog: one job, a page, and all jobs, by how many there are', async t => {
	const measurement = await taken(t, {trial: 'backlog', jobs: 4000, vary: {jobs: 4000}});
	hasFigures(t, measurement, 'cancelOneMs', 'pageMs', 'cancelAllMs', 'cleanupMs');
});

test.serial('a trial refuses a case without its parameters, in a sentence', async t => {
	await t.throwsAsync(measure(makeFolder(t), {trial: 'latency', jobs: 1}), {message: /expects vary\.share/});
	await t.throwsAsync(measure(makeFolder(t), {trial: 'contention', jobs: 1}), {message: /expects vary\.producers, vary\.processes, or vary\.workers/});
	await t.throwsAsync(measure(makeFolder(t), {trial: 'payloads', jobs: 1}), {message: /expects vary\.bytes/});
});
