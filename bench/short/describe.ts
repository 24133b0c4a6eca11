import {keyOf} from '../analyse/group.ts';
import {labelOf} from '../analyse/labels.ts';
import type {Metg} from '../analyse/metg.ts';
import {show, showMicros, showPercent} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Interval} from '../analyse/statistics.ts';
import type {ShortFigures} from './figures.ts';

/** The figures as a table and in sentences, for a terminal. */
export function describe(run: Run, figures: ShortFigures): string {
	return `${[machineLine(run), '', ...inColumns(linesOf(figures)), '', ...sentences(figures), ...remarks(run)].join('\n')}\n`;
}

export function machineLine({machine: {processors, model, node, sqlite, fileSystem}}: Run): string {
	return `${processors} processors (${model}), Node.js ${node}, SQLite ${sqlite}, file system ${fileSystem}`;
}

export interface Line {
	readonly what: string;
	readonly value: string;
}

/** The main figures, each with its value and, from three blocks on, its interval. */
export function linesOf(figures: ShortFigures): Line[] {
	return [
		line('map() of items that need no work', figures.mapRate, perSecond, figures.mapTimesPiscina),
		line('results awaited, 64 call()s under way', figures.calledRate, perSecond, figures.calledTimesPiscina),
		line('enqueue() awaited, 64 under way', figures.awaitedRate, perSecond, figures.awaitedTimesPiscina),
		line('enqueue() awaited one by one', figures.strictRate, perSecond),
		line('all in one enqueueMany()', figures.bulkRate, perSecond, figures.timesPiscina),
		line('CPU time of one of them, all threads', figures.cpuMicros, value => `${show(value)} µs`),
		line('rate beside the same statements in SQLite alone', figures.shareOfSqlite, showPercent),
		line('a call on an idle engine, median', figures.callMs, value => `${show(value)} ms`),
		line('a call on an idle engine, 99 of 100 within', figures.callP99Ms, value => `${show(value)} ms`),
		...(figures.metg95 ? [{what: 'smallest job worth it, METG(95 %)', value: smallest(figures.metg95)}] : []),
		{what: 'a write of 4 KiB and its fsync on this disk', value: `${show(figures.fsyncMs)} ms`},
	].filter(line => line !== undefined);
}

function inColumns(lines: readonly Line[]): string[] {
	const width = Math.max(...lines.map(({what}) => what.length));
	return lines.map(({what, value}) => `  ${what.padEnd(width)}  ${value}`);
}

/** @param besidePiscina the same figure divided by that of Piscina, which keeps nothing */
function line(what: string, interval: Interval | undefined, showValue: (value: number) => string, besidePiscina?: Interval): Line | undefined {
	if (!interval) return undefined;
	const {median, low, high, count} = interval;
	const beside = besidePiscina ? `, ${show(besidePiscina.median)} × Piscina’s run()` : '';
	return {what, value: `${showValue(median)}${count < 3 ? '' : `  (${show95(low, high, showValue)})`}${beside}`};
}

function perSecond(rate: number): string {
	return `${show(rate)} jobs/s`;
}

function show95(low: number, high: number, showValue: (value: number) => string): string {
	return `95 % between ${showValue(low)} and ${showValue(high)}`;
}

export function smallest({kind, workMicros}: Metg): string {
	const work = showMicros(workMicros);
	return {measured: work, derived: `${work}, derived from CPU time`, below: `${work} or less`, above: `more than ${work}`}[kind];
}

/** Advice on the size of jobs. */
function adviceOn({kind, workMicros}: Metg): string {
	const work = showMicros(workMicros);
	if (kind === 'above')
		return `Even jobs of ${work} spend less than 95 % of the time on the work itself. The processors wait for the disk, or for other programs.`;
	return `Jobs that take ${work} or more spend at least 95 % of the time on the work itself; put several smaller pieces of work into one job.`;
}

function sentences(figures: ShortFigures): string[] {
	const {bulkRate, cpuMicros, callMs, metg95, fsyncMs, fsyncLooksReal} = figures;
	return [
		...(bulkRate && cpuMicros
			? [
					`Each job takes about ${show(cpuMicros.median)} µs of CPU time beside its work: to write it to disk, hand it to a thread, and write its result to disk.`,
				]
			: []),
		...(metg95 ? [adviceOn(metg95)] : []),
		...(callMs ? [`A call waits for two commits, and so for two fsyncs; one of them takes ${show(fsyncMs)} ms here.`] : []),
		fsyncLooksReal
			? 'The fsync takes as long as one that reaches a disk.'
			: `An fsync in ${showMicros(fsyncMs * 1000)} is faster than a disk can be: this system reports data as written before it is. No database here survives a loss of power, and these figures are better than those of a disk.`,
	];
}

/** Says which measurements don't count, and which figures are therefore missing. */
export function remarks(run: Run): string[] {
	const {discarded, measured} = run;
	const voided = discarded.filter(entry => entry.discarded?.startsWith('void'));
	const disturbed = discarded.length - voided.length;
	const known = new Set(measured.map(keyOf));
	const missing = new Set(discarded.filter(entry => !known.has(keyOf(entry))).map(({trial, subject}) => `${trial} of ${labelOf(subject)}`));
	return [
		...(disturbed > 0
			? [`Other programs disturbed ${disturbed} of ${discarded.length + measured.length} measurements. They don’t count, and were repeated.`]
			: []),
		...voided.map(({trial, subject, discarded}) => `${trial} of ${labelOf(subject)} is ${discarded}.`),
		...(missing.size > 0 ? [`So there is no figure for ${[...missing].join(', ')}.`] : []),
	];
}
