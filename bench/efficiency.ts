import {cpuMicrosPerJob, wallMicrosPerJob} from './figures.ts';
import {excess, type Group, groupsOf, ratio} from './group.ts';
import type {Lane} from './labels.ts';
import {type Metg, metg} from './metg.ts';
import type {Run} from './run.ts';
import type {Interval} from './statistics.ts';
import type {TaskName} from './suite.ts';

/** How well a subject uses the processors, over the size of its jobs. */
export interface Curve extends Lane {
	readonly subject: string;
	readonly task: TaskName;
	readonly points: readonly CurvePoint[];
}

export interface CurvePoint {
	readonly workMicros: number;
	/** The ideal's time for the same jobs, in the same block, divided by the subject's own. */
	readonly byTime: Interval;
	/** The same of the CPU that the whole process tree and its servers burnt. */
	readonly byCpu: Interval;
	/** CPU microseconds of a job beyond the ideal's. */
	readonly overheadMicros: Interval;
}

const BASE = 'ideal';

/** Those of all subjects but the ideal, which is what they are measured by. */
export function efficiencyCurves(run: Run): Curve[] {
	const groups = groupsOf(run).filter(({trial}) => trial === 'granularity');
	const others = groups.filter(({subject}) => subject !== BASE);
	const byCurve = Map.groupBy(others, ({task, subject, durability, intake}) => JSON.stringify([task, subject, durability, intake]));
	return [...byCurve.values()].map(own => {
		const {task, subject, durability, intake} = own[0] as Group;
		return {task, subject, durability, intake, points: own.flatMap(each => pointOf(each, groups))};
	});
}

function pointOf(own: Group, groups: readonly Group[]): CurvePoint[] {
	const base = groups.find(
		({subject, task, workMicros, workers}) => subject === BASE && task === own.task && workMicros === own.workMicros && workers === own.workers,
	);
	const byTime = base && ratio(base, own, wallMicrosPerJob);
	const byCpu = base && ratio(base, own, cpuMicrosPerJob);
	const overheadMicros = excess(own, base, cpuMicrosPerJob);
	return byTime && byCpu && overheadMicros ? [{workMicros: own.workMicros, byTime, byCpu, overheadMicros}] : [];
}

/** What is looked at of a {@link CurvePoint}'s intervals. */
type End = 'median' | 'low' | 'high';

export function metgOf({points}: Curve, share: number, by: 'byTime' | 'byCpu' = 'byTime', end: End = 'median'): Metg | undefined {
	return metg(
		points.map(point => ({workMicros: point.workMicros, efficiency: point[by][end], overheadMicros: point.overheadMicros.median})),
		share,
	);
}
