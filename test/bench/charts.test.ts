import test from 'ava';
import {CHARTS} from '../../bench/charts/index.ts';
import {render} from '../../bench/charts/render.ts';
import {spread} from '../../bench/charts/theme.ts';
import {entry, runOf} from './results.ts';

/** A job of Faena takes 10 µs besides its work. */
const GRANULARITY = [1, 10, 100, 1000].flatMap(workMicros =>
	(['ideal', 'faena'] as const).map(subject =>
		entry({trial: 'granularity', task: 'spin', subject, workMicros, measurement: {wallMs: workMicros + (subject === 'faena' ? 10 : 0)}}),
	),
);
const DRAIN = [entry(), entry({subject: 'bullmq', measurement: {wallMs: 8000}}), entry({intake: 'strict'})];
const CURVE = [50, 90, 99, 99.9, 99.99].map(percentile => [percentile, percentile / 100] as const);
const LATENCY = [entry({trial: 'latency', vary: {share: 0.25}, measurement: {curvesMs: {durableEnqueue: CURVE, start: CURVE, durableResult: CURVE}}})];
const CONTENTION = [1, 2].map(producers => entry({trial: 'contention', vary: {producers, batch: 1}, measurement: {wallMs: 500 * producers}}));
const HISTORY = [entry({trial: 'history', measurement: {tenths: {perSecond: [100, 100, 100, 100, 100, 100, 100, 100, 100, 50]}}})];

/** What each chart is drawn of, and words that must be in it. */
const EXPECTED: Readonly<Record<string, {readonly entries: readonly object[]; readonly words: readonly RegExp[]}>> = {
	granularity: {entries: GRANULARITY, words: [/>Faena</, />95 % from \d+ µs on</, />100 %</, />1 ms</]},
	drain: {entries: DRAIN, words: [/>BullMQ \(Redis\)</, />1,000</, />125</, /Jobs survive a loss of power; enqueued in one call/]},
	latency: {entries: LATENCY, words: [/>25 % of capacity</, />result safe on disk</, />99\.99</]},
	contention: {entries: CONTENTION, words: [/>one job per commit: 2,000\/s alone</, />producers</]},
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
		t.true(Number(width) < 1000, `${width} wide`);
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

test('labels that would lie on each other are moved apart, in order, and stay in the chart', t => {
	const places = (at: readonly number[]) =>
		spread(
			at.map(each => ({at: each})),
			10,
			100,
		).map(({place}) => place);
	t.deepEqual(places([0, 0, 0]), [0, 10, 20]);
	t.deepEqual(places([5, 50, 90]), [5, 50, 90]);
	t.deepEqual(places([98, 99]), [90, 100]);
});
