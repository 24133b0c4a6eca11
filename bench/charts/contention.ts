import type {TopLevelSpec} from 'vega-lite';
import {contentionSeries, KINDS, type Kind, type Series} from '../analyse/contention-series.ts';
import {rate} from '../analyse/figures.ts';
import {over, ratio} from '../analyse/group.ts';
import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Axis, Panel} from './spec.ts';
import {FAENA, FAINT, machineOf, OTHERS, textAt} from './theme.ts';

const [WIDTH, HEIGHT] = [104, 200];
/** Height of a line of text. */
const LINE = 14;

const TITLES: Readonly<Record<Kind, string>> = {
	producers: 'Producers',
	processes: 'Processes',
	workers: 'Workers',
};

/** The rate of several producers, processes or workers on one file, as a multiple of the rate of one. Each kind has a panel. */
export function contentionChart(run: Run): TopLevelSpec | undefined {
	const series = contentionSeries(run).filter(({subject, durability, points}) => subject === 'faena' && durability === 'full' && points.length > 1);
	const panels = KINDS.map(kind => series.filter(each => each.kind === kind)).filter(own => own.length > 0);
	if (panels.length === 0) return undefined;
	const mostLines = Math.max(...panels.map(own => own.length));
	return {
		title: {
			text: ['How the rate changes as more share one file,', 'as a multiple of the rate of one'],
			subtitle: [
				'Producers enqueue; processes are engines; workers, the threads of one.',
				'Below the dashed line: slower than one. Jobs survive a loss of power.',
				...machineOf(run, 'contention'),
			],
		},
		spacing: 14,
		hconcat: panels.map((own, index) => panel(own, mostLines, index === 0)),
	};
}

/** @param mostLines the most lines of a panel: the titles of all panels have the same height */
function panel(series: readonly Series[], mostLines: number, isFirst: boolean): Panel {
	const [{kind}] = series as readonly [Series, ...Series[]];
	const lines = series.map((each, index) => ({...each, colour: [FAENA, ...OTHERS][index % (OTHERS.length + 1)] as string}));
	const values = lines.flatMap(pointsOf);
	const most = Math.max(1.2, ...values.map(({high}) => high));
	const numbers = [...new Set(values.map(({n}) => n))].sort((one, other) => one - other);
	const x: Axis = {
		field: 'n',
		type: 'quantitative',
		scale: {type: 'log', base: 2, domain: [numbers[0] ?? 1, numbers.at(-1) ?? 1], nice: false},
		title: kind,
		axis: {values: numbers, format: 'd', labelFlush: false, grid: false},
	};
	const y: Axis = {
		type: 'quantitative',
		scale: {domain: [0, most], nice: true},
		title: isFirst ? '× the rate of one' : null,
		axis: {format: '~g', tickCount: 5},
	};
	const colour = {field: 'colour', type: 'nominal', scale: null} as const;
	return {
		width: WIDTH,
		height: HEIGHT,
		data: {values},
		layer: [
			{data: {values: [{one: 1}]}, mark: {type: 'rule', strokeDash: [4, 4], color: FAINT}, encoding: {y: {...y, field: 'one'}}},
			{mark: {type: 'area', opacity: 0.18}, encoding: {x, y: {...y, field: 'low'}, y2: {field: 'high'}, color: colour, detail: {field: 'label'}}},
			{
				mark: {type: 'line', strokeWidth: 2.5, point: {size: 40, filled: true}},
				encoding: {x, y: {...y, field: 'median'}, color: colour, detail: {field: 'label'}},
			},
			textAt(TITLES[kind], {x: 0, y: -16 - 2 * mostLines * LINE}, {bold: true, fontSize: 12}),
			...lines.flatMap(({label, colour, points}, index) => [
				textAt(label, {x: 0, y: 2 * (index - lines.length) * LINE}, {color: colour, bold: true}),
				textAt(aloneOf(points), {x: 0, y: (2 * (index - lines.length) + 1) * LINE - 1}, {color: FAINT}),
			]),
		],
	};
}

function aloneOf([first]: Series['points']): string {
	const alone = first && over(first[1], rate);
	return alone ? `${show(alone.median)}/s alone` : '';
}

function pointsOf({points, label, colour}: Series & {readonly colour: string}) {
	const [first] = points;
	return points.flatMap(([n, group]) => {
		const interval = first && ratio(group, first[1], rate);
		return interval ? [{...interval, n, label, colour}] : [];
	});
}
