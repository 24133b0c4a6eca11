import type {TopLevelSpec} from 'vega-lite';
import {type Group, groupsOf, over} from '../analyse/group.ts';
import {show, showPercent} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Span} from '../plan/suite.ts';
import type {Axis, Panel} from './spec.ts';
import {FAENA, FAINT, machineOf, OTHERS, textAt} from './theme.ts';

const [WIDTH, HEIGHT] = [118, 230];

/** Position of the lines' names, in pixels: at the top of the first panel, where latencies are shortest. */
const KEY_Y = 12;

/** The lines: a latency, its name and its colour. */
const SPANS = [
	{name: 'durableEnqueue', label: 'on disk', colour: OTHERS[0]},
	{name: 'start', label: 'started', colour: OTHERS[1]},
	{name: 'durableResult', label: 'result on disk', colour: FAENA},
] as const satisfies readonly {readonly name: Span; readonly label: string; readonly colour: string}[];

/** Percentiles of latencies in an open loop, a panel for each share of the capacity. */
export function latencyChart(run: Run): TopLevelSpec | undefined {
	const groups = groupsOf(run).filter(({trial, subject, durability}) => trial === 'latency' && subject === 'faena' && durability === 'full');
	const panels = groups.map(group => ({group, points: pointsOf(group)})).filter(({points}) => points.length > 0);
	if (panels.length === 0) return undefined;
	const all = panels.flatMap(({points}) => points.flatMap(({low, high}) => [low, high]));
	const domain = [STEPS.findLast(step => step <= Math.min(...all)) ?? 0.001, STEPS.find(step => step >= Math.max(...all)) ?? 1e5];
	return {
		title: {
			text: ['Time from a job’s intended arrival until', 'it is on disk, has started, and its result is on disk'],
			subtitle: [
				'Jobs that do nothing arrive at random (Poisson), at a share of Faena’s',
				'capacity. They survive a loss of power. Both axes are logarithmic.',
				...machineOf(run, 'latency'),
			],
		},
		spacing: 16,
		hconcat: panels.map(({group, points}, index) => panel(group, points, domain, index === 0)),
	};
}

interface Point {
	readonly name: Span;
	readonly colour: string;
	/** Nines: 1 is 90 %, 2 is 99 %. */
	readonly nines: number;
	readonly median: number;
	readonly low: number;
	readonly high: number;
}

const PERCENTILES = {least: 50, most: 99.9};

function pointsOf(group: Group): Point[] {
	return SPANS.flatMap(({name, colour}) => {
		const percentiles = group.entries[0].measurement.curvesMs?.[name]?.map(([percentile]) => percentile) ?? [];
		return percentiles.filter(isShown).flatMap(percentile => {
			const interval = over(group, ({measurement}) => measurement.curvesMs?.[name]?.find(([at]) => at === percentile)?.[1]);
			return interval ? [{...interval, name, colour, nines: ninesOf(percentile)}] : [];
		});
	});
}

function isShown(percentile: number): boolean {
	return percentile >= PERCENTILES.least && percentile <= PERCENTILES.most;
}

function ninesOf(percentile: number): number {
	return -Math.log10(1 - percentile / 100);
}

function panel(group: Group, points: readonly Point[], domain: readonly number[], isFirst: boolean): Panel {
	const offered = over(group, ({measurement}) => measurement.figures?.['offeredPerSecond']);
	const x: Axis = {
		field: 'nines',
		type: 'quantitative',
		scale: {domain: [ninesOf(PERCENTILES.least), ninesOf(PERCENTILES.most)], nice: false},
		title: 'of 100 jobs',
		axis: {
			values: [50, 90, 99, 99.9].map(ninesOf),
			labelExpr: "format(100 - 100 * pow(10, -datum.value), '.4~r')",
			labelOverlap: false,
			labelFlush: false,
			labelFontSize: 10,
		},
	};
	const y: Axis = {
		type: 'quantitative',
		scale: {type: 'log', domain: [...domain], nice: false},
		title: isFirst ? 'milliseconds at most' : null,
		axis: {labels: isFirst, values: ticks(domain), format: '~g'},
	};
	const colour = {field: 'colour', type: 'nominal', scale: null} as const;
	return {
		width: WIDTH,
		height: HEIGHT,
		data: {values: points},
		layer: [
			{mark: {type: 'area', opacity: 0.18}, encoding: {x, y: {...y, field: 'low'}, y2: {field: 'high'}, color: colour}},
			{mark: {type: 'line', strokeWidth: 2.5}, encoding: {x, y: {...y, field: 'median'}, color: colour}},
			textAt(`${showPercent(group.vary?.['share'] ?? 0)} of capacity`, {x: 0, y: -26}, {bold: true}),
			textAt(offered ? `${show(offered.median)} jobs/s` : '', {x: 0, y: -11}, {color: FAINT}),
			...(isFirst ? SPANS.map(({label, colour}, index) => textAt(label, {x: 8, y: KEY_Y + index * 15}, {color: colour, bold: true})) : []),
		],
	};
}

/** 1, 2 and 5 of each decade within the axis. */
function ticks([least = 1, most = 1]: readonly number[]): number[] {
	return STEPS.filter(step => step >= least * 0.999 && step <= most * 1.001);
}

const STEPS = [-3, -2, -1, 0, 1, 2, 3, 4].flatMap(exponent => [1, 2, 5].map(factor => factor * 10 ** exponent));
