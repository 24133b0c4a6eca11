import type {TopLevelSpec} from 'vega-lite';
import {rate} from '../analyse/figures.ts';
import {type Group, groupsOf, over} from '../analyse/group.ts';
import {labelOf, laneLabel} from '../analyse/labels.ts';
import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Axis, Panel} from './spec.ts';
import {BAR, FAENA, FAINT, INK, machineOf, SHORT} from './theme.ts';

const [WIDTH, ROW] = [230, 20];

/** Rates of no-op jobs, a panel for each lane. Each panel has its own scale, because lanes promise different things. */
export function drainChart(run: Run): TopLevelSpec | undefined {
	const groups = groupsOf(run).filter(({trial}) => trial === 'drain');
	// A single subject has nothing to be compared with.
	const lanes = [...Map.groupBy(groups, laneLabel)].filter(([, own]) => own.length > 1);
	if (lanes.length === 0) return undefined;
	return {
		title: {
			frame: 'bounds',
			text: ['How many jobs that do nothing', 'each queue or pool completes in a second'],
			subtitle: ['Each panel is a durability and a way to enqueue, with its own scale.', ...machineOf(run, 'drain')],
		},
		spacing: 14,
		vconcat: lanes.map(([lane, own], index) => panel(lane, own, index === lanes.length - 1)),
	};
}

function panel(lane: string, groups: readonly Group[], isLast: boolean): Panel {
	const values = groups.flatMap(group => {
		const interval = over(group, rate);
		if (!interval) return [];
		const isFaena = group.subject === 'faena';
		return [
			{
				...interval,
				label: labelOf(group.subject),
				shown: show(interval.median),
				colour: isFaena ? FAENA : ['statements', 'sqlite'].includes(group.subject) ? '#D5D5D5' : BAR,
			},
		];
	});
	const most = Math.max(...values.map(({high}) => high));
	const y: Axis = {
		field: 'label',
		type: 'nominal',
		sort: values.toSorted((one, other) => other.median - one.median).map(({label}) => label),
		title: null,
		axis: {
			labelLimit: 240,
			labelFontWeight: {condition: {test: `datum.label === '${labelOf('faena')}'`, value: 'bold'}, value: 'normal'},
			ticks: false,
			domain: false,
			labelPadding: 6,
		},
	};
	const x: Axis = {
		type: 'quantitative',
		scale: {domain: [0, most * 1.02], nice: false},
		title: isLast ? 'jobs per second' : null,
		axis: {labelExpr: SHORT, tickCount: 4},
	};
	return {
		title: {text: `${lane[0]?.toUpperCase()}${lane.slice(1)}`, fontSize: 11, offset: 4, frame: 'bounds'},
		width: WIDTH,
		height: values.length * ROW,
		data: {values},
		layer: [
			{mark: {type: 'bar', height: ROW - 6}, encoding: {x: {...x, field: 'median'}, y, color: {field: 'colour', type: 'nominal', scale: null}}},
			{mark: {type: 'rule', strokeWidth: 1.5, color: INK}, encoding: {x: {...x, field: 'low'}, x2: {field: 'high'}, y}},
			{mark: {type: 'text', align: 'left', dx: 6}, encoding: {x: {...x, field: 'high'}, y, text: {field: 'shown'}, color: {value: FAINT}}},
		],
	};
}
