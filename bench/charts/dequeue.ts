import type {TopLevelSpec} from 'vega-lite';
import {rate} from '../analyse/figures.ts';
import {type Figure, type Group, groupsOf, over} from '../analyse/group.ts';
import {labelOf} from '../analyse/labels.ts';
import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Axis, Panel} from './spec.ts';
import {colourOf, INK, machineOf, SHORT, textAt} from './theme.ts';

const HEIGHT = 170;
/** Height of a line of text. */
const LINE = 14;

interface Measure {
	readonly title: string;
	readonly width: number;
	/** A line of each subject for each figure. A second figure is dashed. */
	readonly figures: readonly Figure[];
	readonly y: Pick<Axis, 'scale' | 'axis'>;
}

const MEASURES: readonly Measure[] = [
	{title: 'jobs per second', width: 165, figures: [rate], y: {scale: {type: 'log'}, axis: {labelExpr: SHORT, tickCount: 4}}},
	{
		title: 'ms of a claim',
		width: 84,
		figures: [({measurement}) => measurement.latencyMs?.claim?.p50, ({measurement}) => measurement.latencyMs?.claim?.p99],
		y: {scale: {type: 'log'}, axis: {format: '~g', tickCount: 4}},
	},
	{title: 'fairness', width: 84, figures: [({measurement}) => measurement.figures?.['fairness']], y: {scale: {domain: [0, 1]}, axis: {tickCount: 5}}},
];

/** Rate, latency and fairness by the number of processes that claim and complete: a row for each batch size, a line for each store. */
export function dequeueChart(run: Run): TopLevelSpec | undefined {
	const own = groupsOf(run).filter(isShown);
	const contended = new Set(own.filter(({vary}) => vary?.['contenders'] !== 1).map(({vary}) => vary?.['backlog']));
	const groups = own.filter(({vary}) => contended.has(vary?.['backlog']));
	const rows = [...Map.groupBy(groups, ({vary}) => vary?.['batch'] ?? 1)].filter(([, own]) => contendersOf(own).length > 1);
	if (rows.length === 0) return undefined;
	const others = [...new Set(groups.map(({subject}) => subject))].filter(subject => subject !== 'faena' && !(subject in BARE));
	return {
		title: {
			text: ['How fast processes claim and complete jobs', 'that lie in one store'],
			subtitle: [
				'Nothing is executed. Jobs survive a loss of power. Claims: p50; dashed,',
				'p99. Fairness is Jain’s index: 1 if all get the same, 1/n if one gets all.',
				...machineOf(run, 'dequeue'),
			],
		},
		spacing: 24,
		vconcat: rows.map(([batch, own]) => ({
			spacing: 16,
			hconcat: MEASURES.map((measure, index) => panel(measure, own, others, index === 0 ? batch : undefined)),
		})),
	};
}

/** Colours of the bare claims, with which the stores are compared. */
const BARE: Readonly<Record<string, string>> = {'bare-sqlite': INK, 'bare-postgres': '#B5B5B5'};

function lineColour(subject: string, others: readonly string[]): string {
	return BARE[subject] ?? colourOf(subject, others);
}

function isShown({trial, durability, vary}: Group): boolean {
	return trial === 'dequeue' && durability === 'full' && vary?.['completes'] === 1 && vary['threads'] === 0;
}

function contendersOf(groups: readonly Group[]): number[] {
	return [...new Set(groups.map(({vary}) => vary?.['contenders'] ?? 1))].sort((one, other) => one - other);
}

/** @param batch the row's, for the first panel of a row only: it shows the size and the names of the lines */
function panel({title, width, figures, y}: Measure, groups: readonly Group[], others: readonly string[], batch: number | undefined): Panel {
	const values = groups.flatMap(group => figures.flatMap((figure, index) => pointOf(group, figure, index, others)));
	const contenders = contendersOf(groups);
	const subjects = [...new Set(groups.map(({subject}) => subject))];
	const x: Axis = {
		field: 'n',
		type: 'quantitative',
		scale: {type: 'log', base: 2, domain: [contenders[0] ?? 1, contenders.at(-1) ?? 1], nice: false},
		title: 'processes',
		axis: {values: contenders, format: 'd', labelFlush: false, grid: false},
	};
	const axis: Axis = {type: 'quantitative', title: null, ...y};
	const series = {
		color: {field: 'colour', type: 'nominal', scale: null},
		detail: {field: 'line'},
		strokeDash: {field: 'dash', type: 'nominal', scale: null},
	} as const;
	return {
		width,
		height: HEIGHT,
		data: {values},
		layer: [
			{mark: {type: 'area', opacity: 0.15}, encoding: {x, y: {...axis, field: 'low'}, y2: {field: 'high'}, color: series.color, detail: series.detail}},
			{mark: {type: 'line', strokeWidth: 2}, encoding: {x, y: {...axis, field: 'median'}, ...series}},
			{mark: {type: 'point', filled: true, size: 30, opacity: 1}, encoding: {x, y: {...axis, field: 'median'}, color: series.color}},
			textAt(title, {x: 0, y: -12}, {bold: true}),
			...(batch === undefined ? [] : nameLines(batch, subjects, others)),
		],
	};
}

function nameLines(batch: number, subjects: readonly string[], others: readonly string[]) {
	const top = -16 - (subjects.length + 1) * LINE;
	return [
		textAt(batch === 1 ? 'One job at a time' : `Up to ${show(batch)} jobs at a time`, {x: 0, y: top}, {bold: true, fontSize: 12}),
		...subjects.map((subject, index) => textAt(labelOf(subject), {x: 0, y: top + (index + 1) * LINE}, {color: lineColour(subject, others), bold: true})),
	];
}

function pointOf(group: Group, figure: Figure, index: number, others: readonly string[]) {
	const interval = over(group, figure);
	if (!interval) return [];
	const colour = lineColour(group.subject, others);
	return [{...interval, n: group.vary?.['contenders'] ?? 1, colour, line: `${group.subject} ${index}`, dash: index === 0 ? [1, 0] : [4, 3]}];
}
