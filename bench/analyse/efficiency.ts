import {chanceOf} from '../plan/chance.ts';
import type {TaskName} from '../plan/suite.ts';
import {cpuMicrosPerJob, wallMicrosPerJob} from './figures.ts';
import {type Figure, type Group, groupsOf} from './group.ts';
import type {Lane} from './labels.ts';
import {type Metg, metg} from './metg.ts';
import type {Measured, Run} from './run.ts';
import {type Interval, intervalAround, intervalOf, median} from './statistics.ts';

/** A subject's efficiency over the size of its jobs. */
export interface Curve extends Lane {
	readonly subject: string;
	readonly task: TaskName;
	readonly seed: number;
	/** By size, ascending. */
	readonly points: readonly CurvePoint[];
}

export interface CurvePoint {
	/** Intended work of a job. */
	readonly workMicros: number;
	/** One for each block in which both the subject and the ideal have a measurement that counts. */
	readonly blocks: readonly BlockPoint[];
}

interface BlockPoint {
	readonly block: number;
	/** CPU microseconds that the ideal used for a job: the measured work of the job. */
	readonly workMicros: number;
	/** The ideal's time for the same jobs, divided by the subject's own. */
	readonly byTime: number;
	/** The same ratio of the CPU times, each of the whole process tree and its servers. */
	readonly byCpu: number;
	/** CPU microseconds of a job beyond the ideal's. */
	readonly overheadMicros: number;
}

const BASE = 'ideal';

/** The curves of all subjects except the ideal, with which the others are compared. */
export function efficiencyCurves(run: Run): Curve[] {
	const groups = groupsOf(run).filter(({trial}) => trial === 'granularity');
	const others = groups.filter(({subject}) => subject !== BASE);
	const byCurve = Map.groupBy(others, ({task, subject, durability, intake}) => JSON.stringify([task, subject, durability, intake]));
	return [...byCurve.values()].map(own => {
		const {task, subject, durability, intake, seed} = own[0] as Group;
		const points = own.map(each => ({workMicros: each.workMicros, blocks: blocksOf(each, groups)})).filter(({blocks}) => blocks.length > 0);
		return {task, subject, durability, intake, seed, points};
	});
}

function blocksOf(own: Group, groups: readonly Group[]): BlockPoint[] {
	const base = groups.find(
		({subject, task, workMicros, workers}) => subject === BASE && task === own.task && workMicros === own.workMicros && workers === own.workers,
	);
	return own.entries.flatMap(entry => {
		const ideal = base?.entries.find(({block}) => block === entry.block);
		return ideal ? [compare(entry, ideal)] : [];
	});
}

function compare(own: Measured, ideal: Measured): BlockPoint {
	const ratio = (figure: Figure) => (figure(ideal) as number) / (figure(own) as number);
	const workMicros = cpuMicrosPerJob(ideal) as number;
	const overheadMicros = (cpuMicrosPerJob(own) as number) - workMicros;
	return {block: own.block, workMicros, byTime: ratio(wallMicrosPerJob), byCpu: ratio(cpuMicrosPerJob), overheadMicros};
}

export type By = 'byTime' | 'byCpu';

/** The measured work of a job of this size. */
export function workAt({blocks}: CurvePoint): number {
	return median(blocks.map(({workMicros}) => workMicros));
}

export function efficiencyAt({blocks}: CurvePoint, by: By, seed: number): Interval {
	return intervalOf(
		blocks.map(each => each[by]),
		chanceOf(seed),
	);
}

const RESAMPLES = 500;

/**
 * METG with its interval in microseconds, by bootstrap over whole blocks, because a disturbance usually affects a whole block.
 * If a resample only bounds METG, the bound counts.
 */
export function metgOf({points, seed}: Curve, share: number, by: By): {readonly metg: Metg; readonly interval: Interval} | undefined {
	const numbers = [...new Set(points.flatMap(({blocks}) => blocks.map(({block}) => block)))];
	const estimate = metgOfBlocks(points, numbers, share, by);
	if (!estimate) return undefined;
	const {below} = chanceOf(seed);
	const draws = Array.from({length: RESAMPLES}, () => {
		const drawn = numbers.map(() => numbers[below(numbers.length)] as number);
		return metgOfBlocks(points, drawn, share, by)?.workMicros;
	});
	const known = draws.filter(draw => draw !== undefined);
	return {metg: estimate, interval: intervalAround(estimate.workMicros, known, numbers.length)};
}

function metgOfBlocks(points: readonly CurvePoint[], drawn: readonly number[], share: number, by: By): Metg | undefined {
	const curve = points.flatMap(({blocks}) => {
		const own = drawn.flatMap(block => blocks.find(each => each.block === block) ?? []);
		const middle = (figure: (point: BlockPoint) => number) => median(own.map(figure));
		if (own.length === 0) return [];
		return [{workMicros: middle(each => each.workMicros), efficiency: middle(each => each[by]), overheadMicros: middle(each => each.overheadMicros)}];
	});
	return metg(curve, share);
}
