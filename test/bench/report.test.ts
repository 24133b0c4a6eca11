import {appendFileSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {readRun} from '../../bench/analyse/run.ts';
import {report} from '../../bench/report/markdown.ts';
import {writeTables} from '../../bench/report/write.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {cpuOf, entry, header, results, runOf} from './results.ts';

/** The row of a table that begins with this, as its cells. */
function rowOf(markdown: string, start: string): string[] {
	const row = markdown.split('\n').find(line => line.startsWith(`| ${start}`));
	return (row ?? '')
		.split('|')
		.slice(1, -1)
		.map(cell => cell.trim());
}

test('a rate is the median over the blocks, beside its CPU by who burnt it', t => {
	const walls = [900, 1000, 2000];
	const markdown = report(
		runOf(
			t,
			walls.map((wallMs, index) => entry({block: index + 1, measurement: {wallMs}})),
		),
	);
	t.deepEqual(rowOf(markdown, 'Faena').slice(0, 6), ['Faena', '1,000 (500–1,110)', '6 (6–6)', '1', '2', '3']);
});

test('ratios are of the same block, not of medians', t => {
	// The machine is four times slower in each further block; the ratio stays.
	const blocks = [1, 4, 16].flatMap((factor, index) => [
		entry({block: index + 1, measurement: {wallMs: 100 * factor}}),
		entry({block: index + 1, subject: 'plainjob', measurement: {wallMs: 800 * factor}}),
	]);
	// The base of this block is missing.
	const alone = entry({block: 4, subject: 'plainjob', measurement: {wallMs: 1}});
	t.true(rowOf(report(runOf(t, [...blocks, alone])), 'plainjob').includes('8 (8–8)'));
});

test('discarded measurements are in no median, and are listed with their reason', t => {
	const discarded = [
		entry({discarded: 'the spin drifted by 12 %', measurement: {wallMs: 1}}),
		{...entry({discarded: 'void: 7 jobs completed', block: 2}), measurement: undefined},
	];
	const markdown = report(runOf(t, [...discarded, entry()]));
	t.deepEqual(rowOf(markdown, 'Faena').slice(0, 2), ['Faena', '1,000']);
	t.regex(markdown, /2 of 3 measurements don’t count/);
	t.regex(markdown, /\| block 1: the spin drifted by 12 %; block 2: void: 7 jobs completed \| 1 \|/);
});

test('a run of nothing but void measurements has no tables of figures', t => {
	const markdown = report(runOf(t, [entry({discarded: 'void: 7 jobs completed'})]));
	t.notRegex(markdown, /### Drain/);
	t.regex(markdown, /1 of 1 measurements/);
});

test('lanes have tables of their own, and a comparison across them says so', t => {
	const markdown = report(
		runOf(t, [entry(), entry({intake: 'strict', measurement: {wallMs: 8000}}), entry({subject: 'piscina', durability: 'memory', measurement: {wallMs: 500}})]),
	);
	const tables = markdown.split('**').filter(part => part.includes('| Faena |') || part.includes('| Piscina'));
	t.is(tables.length, 3);
	t.false(tables.some(table => table.includes('| Faena |') && table.includes('| Piscina')));
	t.regex(markdown, /`memory, bulk`\)\*\*, compared with \*Faena\* in the lane `full, bulk`/);
	t.notRegex(markdown, /`full, strict`\)\*\*, compared/);
});

test('efficiency is the ideal’s time by the subject’s own, and METG where it crosses', t => {
	const sizes = [10, 100, 1000].flatMap(workMicros => [
		// The work is a tenth more than was aimed at.
		entry({
			trial: 'granularity',
			task: 'spin',
			workMicros,
			subject: 'ideal',
			durability: 'memory',
			measurement: {wallMs: workMicros, cpu: cpuOf(1.1 * workMicros)},
		}),
		// 10 µs of each job besides its work.
		entry({trial: 'granularity', task: 'spin', workMicros, measurement: {wallMs: workMicros + 10}}),
	]);
	const markdown = report(runOf(t, sizes));
	t.deepEqual(rowOf(markdown, '10 µs').slice(0, 3), ['10 µs', '11 µs', '50 %']);
	t.deepEqual(rowOf(markdown, '1 ms').slice(0, 3), ['1 ms', '1.1 ms', '99 %']);
	t.is(rowOf(markdown, 'Faena (full, bulk)')[1], '≤ 11 µs');
});

test("a trial's own figures become columns, and its distributions a table", t => {
	const latencyMs = {durableEnqueue: {p50: 0.5, p90: 1, p99: 2, p999: 3, max: 4}};
	const markdown = report(runOf(t, [entry({trial: 'latency', vary: {share: 0.25}, measurement: {figures: {lateMs: 0.25}, latencyMs}})]));
	t.regex(markdown, /\| share of capacity \|.* late, ms \|/);
	t.deepEqual(rowOf(markdown, 'Faena | 25 % | durable'), ['Faena', '25 %', 'durable enqueue', '0.5', '1', '2', '3', '4']);
});

test('rows are ordered by the varied parameters, one parameter after the other', t => {
	const varied = [{processes: 2}, {producers: 8}, {processes: 1}, {producers: 16}, {producers: 1}].map(vary => entry({trial: 'contention', vary}));
	const markdown = report(runOf(t, varied));
	const numbers = markdown.split('\n').flatMap(line => /^\| Faena \| (\d+) \|/.exec(line)?.[1] ?? []);
	t.deepEqual(numbers, ['1', '2', '1', '8', '16']);
	t.regex(markdown, /\| processes \|.*\| producers \|/s);
});

test('subjects that were not run are listed with the reason', t => {
	const markdown = report(runOf(t, [entry(), {run: 'one', notRun: {subject: 'bullmq', reason: 'there is no redis-server'}}]));
	t.deepEqual(rowOf(markdown, 'BullMQ'), ['BullMQ (Redis)', 'there is no redis-server']);
});

test('the newest run of a file is read, or the one that is named; a line that was not finished is left out', t => {
	const file = results(t, [header('old'), entry({run: 'old'}), header('new'), entry({run: 'new'}), entry({run: 'new', block: 2})]);
	appendFileSync(file, '{"run": "new", "tri');
	t.is(readRun(file).measured.length, 2);
	t.is(readRun(file, 'old').measured.length, 1);
	t.throws(() => readRun(file, 'none'), {message: /There is no run none in /});
	t.throws(() => readRun(results(t, [entry()])), {message: /There is no run in /});
});

test('the same results give the same report', t => {
	const run = runOf(
		t,
		[5, 7, 11, 13].map((wallMs, index) => entry({block: index + 1, measurement: {wallMs}})),
	);
	t.is(report(run), report(run));
});

test('the tables in a document are replaced between their markers, again and again', t => {
	const folder = makeFolder(t);
	const [document, place] = [join(folder, 'README.md'), join(folder, 'results')];
	mkdirSync(place);
	writeFileSync(document, 'before\n<!-- quick -->\nold\n<!-- end of quick -->\nafter\n');
	t.throws(() => writeTables(document, place), {message: /There are no results/});
	writeFileSync(join(place, 'quick.jsonl'), readFileSync(results(t, [header(), entry()])));
	writeFileSync(join(place, 'quick-drain.svg'), '<svg/>');
	writeTables(document, place);
	const once = readFileSync(document, 'utf8');
	writeTables(document, place);
	t.is(readFileSync(document, 'utf8'), once);
	t.regex(once, /^before\n<!-- quick -->\n\n!\[drain\]\(results\/quick-drain\.svg\)\n\nPlan `quick`.*\n<!-- end of quick -->\nafter\n$/s);
	t.false(once.includes('old'));
});
