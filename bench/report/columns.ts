import {cpuMicrosOf, cpuMicrosPerJob, fsyncRate, rate, transactionRate} from '../analyse/figures.ts';
import {type Figure, type Group, over, ratio} from '../analyse/group.ts';
import {labelOf} from '../analyse/labels.ts';
import {show, showMicros} from '../analyse/numbers.ts';
import type {Interval} from '../analyse/statistics.ts';
import type {Column} from './table.ts';

type Cell = Column<Group>;

export const SUBJECT: Cell = {title: '', isText: true, cell: ({subject}) => labelOf(subject)};
export const WORK: Cell = {title: 'a job’s work', cell: ({workMicros}) => (workMicros === 0 ? '' : showMicros(workMicros))};
export const JOBS: Cell = {title: 'jobs', cell: ({jobs}) => show(jobs)};
export const RATE: Cell = withInterval('jobs/s', rate);
export const CPU: Cell = withInterval('CPU µs per job', cpuMicrosPerJob);

/** CPU time by the threads and processes that used it. Only the trial `drain` has room for these columns. */
export const CPU_SPLIT: readonly Cell[] = (['caller', 'dispatcher', 'workers', 'other', 'servers'] as const).map(role =>
	plain(`of it ${role}`, cpuMicrosOf(role)),
);

/** The cost and the risk behind a rate, which belong beside it. */
export const BESIDE_RATES: readonly Cell[] = [
	plain('transactions/s', transactionRate),
	plain('fsyncs/s', fsyncRate),
	plain('mean chunk', ({measurement}) => measurement.meanChunk),
	plain('jobs at risk', ({measurement}) => measurement.atRisk),
];

export const LOOP_DELAY: Cell = plain('caller’s loop, p99 ms', ({measurement}) => measurement.loopMs?.p99);
export const COUNT: Cell = {title: 'blocks', cell: ({entries}) => show(entries.length)};

/** The median over the blocks, with its interval. */
function withInterval(title: string, figure: Figure): Cell {
	return {title, cell: group => showInterval(over(group, figure))};
}

/** The median alone. */
export function plain(title: string, figure: Figure): Cell {
	return {title, cell: group => showMedian(over(group, figure))};
}

/** The group to which another is compared. */
export type BaseOf = (own: Group) => Group | undefined;

/** The median of the ratios to another group, each within a block. */
export function toBase(title: string, baseOf: BaseOf, figure: Figure): Cell {
	return {title, cell: own => showRatio(own, baseOf(own), figure)};
}

/** The inverse: the other group's figure divided by this one's. */
export function ofBase(title: string, baseOf: BaseOf, figure: Figure): Cell {
	return {title, cell: own => showRatio(baseOf(own), own, figure)};
}

/** Empty for a group beside itself. */
function showRatio(above: Group | undefined, below: Group | undefined, figure: Figure): string {
	return above && below && above !== below ? showInterval(ratio(above, below, figure)) : '';
}

/** A column for each parameter that a trial varies. */
export function variedIn(groups: readonly Group[]): Cell[] {
	const names = new Set(groups.flatMap(({vary = {}}) => Object.keys(vary)));
	return [...names].map(name => ({title: VARIED[name]?.title ?? name, cell: ({vary}) => showVaried(name, vary?.[name])}));
}

/** A column for each figure that only this trial has. */
export function figuresIn(groups: readonly Group[]): Cell[] {
	const names = new Set(groups.flatMap(({entries}) => entries.flatMap(({measurement}) => Object.keys(measurement.figures ?? {}))));
	return [...names].map(name => plain(wordsOf(name), ({measurement}) => measurement.figures?.[name]));
}

/** The varied parameters in words for readers. */
const VARIED: Readonly<Record<string, {readonly title: string; readonly show?: (value: number) => string}>> = {
	share: {title: 'share of capacity', show: value => `${Math.round(value * 100)} %`},
	bytes: {title: 'bytes of a value', show: value => value.toLocaleString('en')},
	isolated: {title: 'jobs run in', show: value => (value === 1 ? 'child processes' : 'threads')},
	binary: {title: 'as', show: value => (value === 1 ? 'bytes' : 'text')},
	batch: {title: 'jobs per call'},
	backlog: {title: 'backlog', show: value => value.toLocaleString('en')},
	completes: {title: 'measured', show: value => (value === 1 ? 'claim and complete' : 'claim')},
	threads: {title: 'contenders are', show: value => (value === 1 ? 'threads' : 'processes')},
	blobs: {title: 'larger ones in files, from bytes', show: value => value.toLocaleString('en')},
};

function showVaried(name: string, value: number | undefined): string {
	return value === undefined ? '' : (VARIED[name]?.show ?? show)(value);
}

/** `firstJobMs` as words with their unit behind: `first job, ms`. */
export function wordsOf(name: string): string {
	const words = name.replace(/([a-z\d])([A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`);
	return words.replace(/ (ms|micros|bytes|mib)$/, (_, unit) => `, ${UNITS[unit] ?? unit}`).replace(' per second', '/s');
}

const UNITS: Readonly<Record<string, string>> = {micros: 'µs', mib: 'MiB'};

export function showMedian(interval: Interval | undefined): string {
	return interval ? show(interval.median) : '';
}

/** Without an interval if there are fewer than three values, of which a bootstrap says nothing. */
export function showInterval(interval: Interval | undefined, showValue: (value: number) => string = show): string {
	if (!interval) return '';
	const {median, low, high, count} = interval;
	return count < 3 ? showValue(median) : `${showValue(median)} (${showValue(low)}–${showValue(high)})`;
}
