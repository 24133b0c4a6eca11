import {chanceOf} from '../plan/chance.ts';
import type {Case} from '../plan/suite.ts';
import {type Lane, rankOf, rankOfLane} from './labels.ts';
import type {Measured, Run} from './run.ts';
import {type Interval, intervalOf} from './statistics.ts';

/** All measurements of one case that count: at most one a block. */
export interface Group extends Case {
	readonly seed: number;
	readonly entries: readonly [Measured, ...Measured[]];
}

/** Reads a figure of a measurement; `undefined` if the measurement lacks it. */
export type Figure = (entry: Measured) => number | undefined;

/** The groups of a run, in the order of the tables. */
export function groupsOf({measured, seed}: Run): Group[] {
	const byCase = Map.groupBy(measured, keyOf);
	return [...byCase.values()].map(entries => ({...(entries[0] as Measured), seed, entries: entries as [Measured, ...Measured[]]})).sort(inOrder);
}

/** The median of a figure over the blocks, with its interval; `undefined` if no measurement has the figure. */
export function over({entries, seed}: Group, figure: Figure): Interval | undefined {
	return interval(entries.map(figure), seed);
}

/** The median of a figure's ratio to the base's in the same block, with its interval. Blocks in which either was discarded are left out. */
export function ratio(own: Group, base: Group | undefined, figure: Figure): Interval | undefined {
	const ratios = own.entries.map(entry => {
		const other = base?.entries.find(({block}) => block === entry.block);
		const [value, baseValue] = [figure(entry), other && figure(other)];
		return value === undefined || baseValue === undefined ? undefined : value / baseValue;
	});
	return interval(ratios, own.seed);
}

/** The key of a case. Measurements with the same key repeat each other. */
export function keyOf({trial, subject, durability, intake, task, jobs, workMicros, workers, vary = {}, revision}: Case): string {
	const varied = Object.entries(vary).sort(([one], [other]) => (one < other ? -1 : 1));
	return JSON.stringify([trial, subject, durability, intake, task, jobs, workMicros, workers, varied, revision]);
}

/** The same for a case and for its counterpart of another revision. */
export function keyOfAllRevisions({revision: _, ...given}: Case): string {
	return keyOf(given);
}

/** Whether all varied parameters of two cases are the same. */
export function haveSameVaried(one: Case, other: Case): boolean {
	return compareVaried(one.vary, other.vary) === 0;
}

export function sameLane(one: Lane, other: Lane): boolean {
	return one.durability === other.durability && one.intake === other.intake;
}

function interval(values: readonly (number | undefined)[], seed: number): Interval | undefined {
	const known = values.filter(value => value !== undefined && Number.isFinite(value)) as number[];
	return known.length === 0 ? undefined : intervalOf(known, chanceOf(seed));
}

function inOrder(one: Group, other: Group): number {
	return (
		rankOfLane(one) - rankOfLane(other) ||
		compare(one.task, other.task) ||
		compare(rankOf(one.subject), rankOf(other.subject)) ||
		compare(one.subject, other.subject) ||
		one.workMicros - other.workMicros ||
		compareVaried(one.vary, other.vary) ||
		one.workers - other.workers
	);
}

/** Orders cases by the names of their varied parameters, then by the values. */
function compareVaried(one: Case['vary'] = {}, other: Case['vary'] = {}): number {
	const byName = compare(Object.keys(one).join(), Object.keys(other).join());
	return Object.keys(one).reduce((order, name) => order || (one[name] ?? 0) - (other[name] ?? 0), byName);
}

function compare(one: string | number, other: string | number): number {
	return one === other ? 0 : one < other ? -1 : 1;
}
