import test from 'ava';
import {describe} from '../../bench/short/describe.ts';
import {shortFigures} from '../../bench/short/figures.ts';
import {SHORT_PLAN} from '../../bench/short/plan.ts';
import {cpuOf, entry, runOf} from './results.ts';

/** What each of the plan's cases might measure: a second for whatever jobs, so that there are as many a second. */
const MEASURED = SHORT_PLAN.map(({jobs: _, ...given}) => {
	const durableResult = {p50: 0.5, p90: 0.6, p99: 0.7, p999: 0.8, max: 0.9};
	const wallMs = given.subject === 'statements' ? 500 : given.subject === 'piscina' ? 2000 : 1000;
	const measured = {...(given.trial === 'call' && {latencyMs: {durableResult}}), ...(given.workMicros > 0 && {cpu: cpuOf(given.workMicros)})};
	return entry({...given, measurement: {wallMs, ...measured}});
});

test('each case of the short plan says something', t => {
	const figures = shortFigures(runOf(t, MEASURED));
	t.is(figures.bulkRate?.median, 1000);
	for (const rate of [figures.mapRate, figures.calledRate, figures.awaitedRate, figures.strictRate]) t.is(rate?.median, 1000);
	for (const ratio of [figures.mapTimesPiscina, figures.calledTimesPiscina, figures.awaitedTimesPiscina]) t.is(ratio?.median, 2);
	t.is(figures.shareOfSqlite?.median, 0.5);
	t.is(figures.timesPiscina?.median, 2);
	t.is(figures.cpuMicros?.median, 6);
	t.is(figures.callMs?.median, 0.5);
	t.is(figures.callP99Ms?.median, 0.7);
	t.deepEqual(figures.metg95, {kind: 'below', workMicros: 100});
	t.true(figures.fsyncLooksReal);
});

test('results are printed as a table and as sentences', t => {
	const run = runOf(t, MEASURED);
	const text = describe(run, shortFigures(run));
	t.regex(text, /map\(\) of items that need no work +1,000 jobs\/s, 2 × Piscina’s run\(\)\n/);
	t.regex(text, /enqueue\(\) awaited one by one +1,000 jobs\/s\n/);
	t.regex(text, /smallest job worth it, METG\(95 %\) +100 µs or less\n/);
	t.regex(text, /two fsyncs; one of them takes 0\.2 ms here\./);
	t.regex(text, /The fsync takes as long as one that reaches a disk\./);
	t.notRegex(text, /undefined|NaN/);
});

test('an fsync that is faster than any disk is pointed out', t => {
	const run = runOf(t, MEASURED);
	const pretending = {...run, machine: {...run.machine, fsyncMs: 0.004}};
	const figures = shortFigures(pretending);
	t.false(figures.fsyncLooksReal);
	t.regex(describe(pretending, figures), /An fsync in 4 µs is faster than a disk can be/);
});

test('disturbed and void measurements have no figure, and are listed', t => {
	const run = runOf(
		t,
		MEASURED.map(each => ({
			...each,
			...(each.trial === 'call' && {discarded: 'the spin drifted by 50 %'}),
			...(each.subject === 'statements' && {discarded: 'void: 7 jobs completed'}),
		})),
	);
	const figures = shortFigures(run);
	t.false('callMs' in figures || 'shareOfSqlite' in figures);
	const text = describe(run, figures);
	t.regex(text, /Other programs disturbed 1 of \d+ measurements/);
	t.regex(text, /drain of the same statements in better-sqlite3 alone is void: 7 jobs completed\./);
	t.regex(text, /So there is no figure for .*call of Faena/);
});
