import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {FRONT, type FrontChart, frontFile} from '../../bench/charts/front.ts';
import {CHARTS} from '../../bench/charts/index.ts';
import {render} from '../../bench/charts/render.ts';
import {frontCharts} from '../../bench/report/front-charts.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {cpuOf, entry, runOf} from './results.ts';

/** A job of Faena takes 10 µs besides its work. */
const GRANULARITY = [1, 10, 100, 1000].flatMap(workMicros =>
	(['ideal', 'faena'] as const).map(subject =>
		entry({
			trial: 'granularity',
			task: 'spin',
			subject,
			workMicros,
			measurement: {wallMs: workMicros + (subject === 'faena' ? 10 : 0), cpu: cpuOf(workMicros)},
		}),
	),
);
const DRAIN = [entry(), entry({subject: 'bullmq', measurement: {wallMs: 8000}}), entry({intake: 'strict'})];
const CURVE = [50, 90, 99, 99.9, 99.99].map(percentile => [percentile, percentile / 100] as const);
const LATENCY = [entry({trial: 'latency', vary: {share: 0.25}, measurement: {curvesMs: {durableEnqueue: CURVE, start: CURVE, durableResult: CURVE}}})];
const CONTENTION = [1, 2].map(producers => entry({trial: 'contention', vary: {producers, batch: 1}, measurement: {wallMs: 500 * producers}}));
const SPANS = {p50: 1, p90: 2, p99: 3, p999: 4, max: 5};
const DEQUEUE = [1, 4].flatMap(contenders =>
	['faena', 'bare-sqlite'].map(subject =>
		entry({
			...{trial: 'dequeue', subject, vary: {batch: 1, backlog: 10_000, contenders, completes: 1, threads: 0}},
			measurement: {latencyMs: {claim: SPANS}, ...(contenders > 1 && {figures: {fairness: 0.9}})},
		}),
	),
);
const HISTORY = [entry({trial: 'history', measurement: {tenths: {perSecond: [100, 100, 100, 100, 100, 100, 100, 100, 100, 50]}}})];

/** What each chart is drawn of, and words that must be in it. */
const EXPECTED: Readonly<Record<string, {readonly entries: readonly object[]; readonly words: readonly RegExp[]}>> = {
	granularity: {entries: GRANULARITY, words: [/>Faena</, />95 % from \d+ µs on</, />100 %</, />1 ms</]},
	drain: {entries: DRAIN, words: [/>BullMQ \(Redis\)</, />1,000</, />125</, /Jobs survive a loss of power; enqueued in one call/]},
	latency: {entries: LATENCY, words: [/>25 % of capacity</, />result on disk</, />99\.9</]},
	contention: {entries: CONTENTION, words: [/>1 job a commit</, />2,000\/s alone</, />Producers</]},
	dequeue: {entries: DEQUEUE, words: [/>One job at a time</, />bare statements in SQLite</, />processes</, /ms of a claim/]},
	history: {entries: HISTORY, words: [/at 50 % of the first tenth’s rate/]},
};

for (const [name, {entries, words}] of Object.entries(EXPECTED)) {
	test(`the chart of ${name} is drawn where there is something to draw, with its words`, async t => {
		const chart = CHARTS[name]?.(runOf(t, entries));
		if (!chart) return t.fail('nothing was drawn');
		const svg = await render(chart);
		for (const word of words) t.regex(svg, word);
		t.notRegex(svg, /NaN|undefined|Infinity/);
		const [, width] = /<svg[^>]* width="(\d+)"/.exec(svg) ?? [];
		// Half of a page: docs/speed.md shows two in a row.
		t.true(Number(width) <= 520, `${width} wide`);
	});
}

test('each chart has its test, and draws nothing of a run without its trial', t => {
	t.deepEqual(Object.keys(CHARTS), Object.keys(EXPECTED));
	const run = runOf(t, [entry({trial: 'call'})]);
	t.deepEqual(
		Object.values(CHARTS).map(chartOf => chartOf(run)),
		Object.keys(CHARTS).map(() => undefined),
	);
});

test('a lane with a single subject has no panel among the drains', async t => {
	const chart = CHARTS['drain']?.(runOf(t, DRAIN));
	t.notRegex(await render(chart as NonNullable<typeof chart>), /each enqueue awaited/);
});

test('docs/speed.md shows the charts that exist, two in a row', t => {
	t.deepEqual(
		FRONT.filter(({name}) => !(name in CHARTS)),
		[],
	);
	const folder = makeFolder(t);
	const [first, second, , last] = FRONT;
	for (const chart of [first, second, last]) writeFileSync(join(folder, frontFile(chart as FrontChart)), '<svg/>');
	t.deepEqual(frontCharts(folder, 'results').split('\n').slice(2), [
		`| ![${first?.alternative}](results/front-granularity.svg) | ![${second?.alternative}](results/front-drain.svg) |`,
		`| ![${last?.alternative}](results/front-contention.svg) |  |`,
	]);
});
