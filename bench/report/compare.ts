import {cpuMicrosPerJob, rate} from '../analyse/figures.ts';
import {type Figure, type Group, groupsOf, keyOfAllRevisions, over, ratio} from '../analyse/group.ts';
import {laneName} from '../analyse/labels.ts';
import {show, showMicros, showPercent} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Interval} from '../analyse/statistics.ts';
import type {Quantiles, Span} from '../plan/suite.ts';
import {showInterval, showMedian, wordsOf} from './columns.ts';
import {discardedSections} from './discarded.ts';
import {machineOf} from './markdown.ts';
import {inLines, markdownTable} from './table.ts';

/** One figure of a case, in this code and in the other revision. */
interface Row {
	readonly group: Group;
	readonly measure: string;
	readonly own: Interval | undefined;
	readonly other: Interval | undefined;
	/** This code's figure divided by the other's in the same block. */
	readonly ratio: Interval | undefined;
	readonly isMoreBetter: boolean;
}

/** Trials whose rate says nothing: it is the rate of the arrivals, or has no meaning. */
const WITHOUT_RATE = new Set(['latency', 'recovery', 'backlog']);

/** All figures of Faena in this code and in another revision, each measured in pairs. */
export function compareRevisions(run: Run): string {
	const groups = groupsOf(run);
	const others = new Map(groups.filter(({revision}) => revision !== undefined).map(group => [keyOfAllRevisions(group), group]));
	const revision = [...others.values()][0]?.revision ?? 'the other revision';
	const rows = groups.filter(group => group.revision === undefined).flatMap(group => rowsOf(group, others.get(keyOfAllRevisions(group))));
	const parts = [
		`### ${run.machine.commit} beside ${revision}`,
		machineOf(run),
		'Each block measures both, one right after the other, in random order. A ratio is this code’s figure divided by the other’s in the same block: the median with its 95 % interval (bootstrap). The table says *better* or *worse* if the interval excludes 1.',
		markdownTable(
			[
				{title: 'trial', isText: true, cell: ({group}: Row) => group.trial},
				{title: 'lane', isText: true, cell: ({group}) => laneName(group)},
				{title: 'what', isText: true, cell: ({group}) => describe(group)},
				{title: 'measured', isText: true, cell: ({measure}) => measure},
				{title: revision, cell: ({other}) => showMedian(other)},
				{title: 'this code', cell: ({own}) => showMedian(own)},
				{title: 'ratio', cell: ({ratio}) => showInterval(ratio)},
				{title: '', isText: true, cell: verdict},
				{title: 'pairs', cell: ({ratio}) => (ratio ? show(ratio.count) : '')},
			],
			rows,
		),
		...discardedSections(run),
	];
	return `${parts.map(inLines).join('\n\n')}\n`;
}

function rowsOf(group: Group, other: Group | undefined): Row[] {
	const row = (measure: string, figure: Figure, isMoreBetter = false): Row[] => {
		const own = over(group, figure);
		return own ? [{group, measure, own, other: other && over(other, figure), ratio: ratio(group, other, figure), isMoreBetter}] : [];
	};
	const latency = (span: Span, quantile: keyof Quantiles) =>
		row(`${wordsOf(span)} ${quantile}, ms`, ({measurement}) => measurement.latencyMs?.[span]?.[quantile]);
	const spans = Object.keys(group.entries[0].measurement.latencyMs ?? {}) as Span[];
	const times = Object.keys(group.entries[0].measurement.figures ?? {}).filter(name => /(Ms|Micros)$/.test(name));
	return [
		...(WITHOUT_RATE.has(group.trial) ? [] : row('jobs/s', rate, true)),
		...row('CPU µs per job', cpuMicrosPerJob),
		...spans.flatMap(span => [...latency(span, 'p50'), ...latency(span, 'p99')]),
		...times.flatMap(name => row(wordsOf(name), ({measurement}) => measurement.figures?.[name])),
	];
}

function describe({workMicros, task, workers, vary = {}}: Group): string {
	const work = workMicros === 0 ? [] : [`${task} ${showMicros(workMicros)}`];
	return [...work, `${workers} workers`, ...Object.entries(vary).map(([name, value]) => `${name} ${show(value)}`)].join(', ');
}

function verdict({ratio, isMoreBetter}: Row): string {
	if (!ratio || ratio.count < 3 || (ratio.low <= 1 && ratio.high >= 1)) return '';
	const change = showPercent(Math.abs(ratio.median - 1));
	return ratio.median > 1 === isMoreBetter ? `${change} better` : `${change} worse`;
}
