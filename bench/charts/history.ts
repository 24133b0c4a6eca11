import type {TopLevelSpec} from 'vega-lite';
import {type Group, groupsOf, over} from '../analyse/group.ts';
import {show, showPercent} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Axis} from './spec.ts';
import {FAENA, machineOf, SHORT} from './theme.ts';

const TENTHS = 10;

/** Throughput while the file fills with jobs that have ended. */
export function historyChart(run: Run): TopLevelSpec | undefined {
	const group = groupsOf(run).find(({trial, subject, durability}) => trial === 'history' && subject === 'faena' && durability === 'full');
	const values = group ? pointsOf(group) : [];
	const [first, last] = [values[0], values.at(-1)];
	if (!group || !first || !last || values.length < TENTHS) return undefined;
	const most = Math.max(...values.map(({high}) => high));
	const x: Axis = {
		field: 'jobs',
		type: 'quantitative',
		title: 'jobs that have ended, all still in the file',
		scale: {domain: [0, group.jobs], nice: false},
		axis: {labelExpr: SHORT, labelFlush: false, tickCount: 5, grid: false},
	};
	const y: Axis = {type: 'quantitative', title: 'jobs per second', scale: {domain: [0, most], nice: true}, axis: {format: ',d', tickCount: 6}};
	return {
		title: {
			text: [`The last tenth of ${show(group.jobs)} jobs is done`, `at ${showPercent(last.median / first.median)} of the first tenth’s rate`],
			subtitle: ['The jobs do nothing, and survive a loss of power.', ...machineOf(run, 'history')],
		},
		width: 400,
		height: 260,
		data: {values},
		layer: [
			{mark: {type: 'area', opacity: 0.18, color: FAENA}, encoding: {x, y: {...y, field: 'low'}, y2: {field: 'high'}}},
			{mark: {type: 'line', strokeWidth: 2.5, color: FAENA, point: {size: 45, filled: true, color: FAENA}}, encoding: {x, y: {...y, field: 'median'}}},
		],
	};
}

function pointsOf(group: Group) {
	return Array.from({length: TENTHS}, (_, index) => over(group, ({measurement}) => measurement.tenths?.['perSecond']?.[index])).flatMap((interval, index) =>
		// A point is in the middle of its tenth.
		interval ? [{...interval, jobs: ((index + 0.5) * group.jobs) / TENTHS}] : [],
	);
}
