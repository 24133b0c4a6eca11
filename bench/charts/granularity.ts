import type {TopLevelSpec} from 'vega-lite';
import {type Curve, efficiencyAt, efficiencyCurves, metgOf, workAt} from '../analyse/efficiency.ts';
import {labelOf} from '../analyse/labels.ts';
import type {Metg} from '../analyse/metg.ts';
import {showMicros, showPercent} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Axis, Mark} from './spec.ts';
import {colourOf, FAINT, machineOf, textAt} from './theme.ts';

const [WIDTH, HEIGHT] = [410, 290];
/** Position of the lines' names, in pixels: the lower right corner is free of curves. */
const KEY = {x: 190, gap: 34};
/** A line with fewer sizes is not drawn. */
const MIN_SIZES = 3;
const SHARE = 0.95;

/** Efficiency over the size of jobs, a line for each subject, and where each reaches 95 %. */
export function granularityChart(run: Run): TopLevelSpec | undefined {
	const curves = efficiencyCurves(run).filter(({task, points}) => task === 'spin' && points.length >= MIN_SIZES);
	const others = [...new Set(curves.map(({subject}) => subject))].filter(subject => subject !== 'faena');
	const faena = curves.find(({subject}) => subject === 'faena');
	if (!faena) return undefined;
	const lines = curves.map(curve => lineOf(curve, colourOf(curve.subject, others)));
	const sizes = curves.flatMap(({points}) => points.flatMap(point => [point.workMicros, workAt(point)]));
	const domain = [Math.min(...sizes), Math.max(...sizes)];
	const x: Axis = {
		field: 'workMicros',
		type: 'quantitative',
		scale: {type: 'log', domain, nice: false},
		title: 'work of one job (logarithmic)',
		axis: {values: powersOfTen(domain), labelExpr: TIME, labelFlush: false, grid: false},
	};
	const y: Axis = {scale: {domain: [0, 1], clamp: true}, type: 'quantitative'};
	const colour = {field: 'colour', type: 'nominal', scale: null} as const;
	return {
		title: {
			text: ['How much of the processors’ time goes into the jobs,', 'by the work of one job'],
			subtitle: [
				'100 % is a bare loop in each thread. Faena’s jobs survive a loss of',
				'power; a Piscina pool keeps nothing.',
				...machineOf(run, 'granularity'),
			],
		},
		width: WIDTH,
		height: HEIGHT,
		layer: [
			{
				data: {values: lines.flatMap(({points}) => points)},
				mark: {type: 'area', opacity: 0.18},
				encoding: {
					x,
					y: {...y, field: 'low', title: 'share of the time that is work', axis: {labelExpr: "format(100 * datum.value, 'd') + ' %'", tickCount: 5}},
					y2: {field: 'high'},
					color: colour,
					detail: {field: 'label'},
				},
			},
			{data: {values: [{share: SHARE}]}, mark: {type: 'rule', strokeDash: [4, 4], color: FAINT}, encoding: {y: {...y, field: 'share'}}},
			{
				data: {values: lines.flatMap(({points}) => points)},
				mark: {type: 'line', strokeWidth: 2.5},
				encoding: {x, y: {...y, field: 'median'}, color: colour, detail: {field: 'label'}},
			},
			{
				data: {values: lines.filter(({metg}) => metg?.kind === 'measured').map(({metg, colour}) => ({workMicros: metg?.workMicros, colour, share: SHARE}))},
				mark: {type: 'point', filled: true, size: 70, opacity: 1, stroke: 'white', strokeWidth: 1.5},
				encoding: {x, y: {...y, field: 'share'}, color: colour},
			},
			textAt(showPercent(SHARE), {x: 4, y: (1 - SHARE) * HEIGHT + 9}, {color: FAINT, fontSize: 11}),
			...key(lines),
		],
	};
}

interface Line {
	readonly label: string;
	readonly colour: string;
	readonly metg: Metg | undefined;
	readonly points: readonly object[];
}

function lineOf(curve: Curve, colour: string): Line {
	const label = labelOf(curve.subject);
	const points = curve.points.map(point => {
		const {median, low, high} = efficiencyAt(point, 'byTime', curve.seed);
		// A value above 1 is noise of the two measurements.
		return {label, colour, workMicros: workAt(point), median: Math.min(1, median), low: Math.min(1, low), high: Math.min(1, high)};
	});
	return {label, colour, points, metg: metgOf(curve, SHARE, 'byTime')?.metg};
}

/** The names of the lines in the order of METG, apart from the lines because these meet at the top. */
function key(lines: readonly Line[]): Mark[] {
	const ordered = lines.toSorted((one, other) => (one.metg?.workMicros ?? 0) - (other.metg?.workMicros ?? 0));
	return ordered.flatMap(({label, colour, metg}, index): Mark[] => {
		const y = HEIGHT - 30 - (ordered.length - 1 - index) * KEY.gap;
		return [
			textAt(label, {x: KEY.x, y}, {color: colour, bold: true}),
			textAt(metg ? `${showPercent(SHARE)} ${PHRASES[metg.kind](showMicros(metg.workMicros))}` : '', {x: KEY.x, y: y + 14}),
		];
	});
}

const PHRASES: Readonly<Record<Metg['kind'], (work: string) => string>> = {
	measured: work => `from ${work} on`,
	derived: work => `from ${work} on, by its CPU time`,
	below: work => `at ${work} or less`,
	above: work => `beyond ${work}`,
};

/** Ticks as `10 µs`, `1 ms`. */
const TIME = "datum.value < 1000 ? datum.value + ' µs' : datum.value < 1e6 ? datum.value / 1000 + ' ms' : datum.value / 1e6 + ' s'";

function powersOfTen([least = 1, most = 1]: readonly number[]): number[] {
	const [first, last] = [Math.ceil(Math.log10(least) - 1e-9), Math.floor(Math.log10(most) + 1e-9)];
	return Array.from({length: last - first + 1}, (_, index) => 10 ** (first + index));
}
