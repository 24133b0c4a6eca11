import {rate} from './figures.ts';
import {type Group, groupsOf} from './group.ts';
import {type Lane, laneName} from './labels.ts';
import {showMicros} from './numbers.ts';
import type {Run} from './run.ts';
import type {UslPoint} from './usl.ts';

/** The number that grows along a series of the trial `contention`, while all else stays the same. */
export type Kind = 'producers' | 'processes' | 'workers';

export interface Series extends Lane {
	readonly subject: string;
	readonly kind: Kind;
	/** Tells apart the series of a kind: jobs per commit, or a job's work. */
	readonly label: string;
	/** In ascending order of `n`. */
	readonly points: readonly (readonly [n: number, group: Group])[];
}

export const KINDS: readonly Kind[] = ['producers', 'processes', 'workers'];

export function contentionSeries(run: Run): Series[] {
	const groups = groupsOf(run).filter(({trial}) => trial === 'contention');
	return KINDS.flatMap(kind => {
		const own = groups.filter(({vary}) => vary?.[kind] !== undefined);
		const bySeries = Map.groupBy(own, group => JSON.stringify([laneName(group), group.subject, workLabel(kind, group)]));
		return [...bySeries.values()].map(series => seriesOf(kind, series));
	});
}

function seriesOf(kind: Kind, groups: readonly Group[]): Series {
	const [first] = groups as readonly [Group, ...Group[]];
	const points = groups.map(group => [group.vary?.[kind] as number, group] as const).sort(([one], [other]) => one - other);
	return {subject: first.subject, kind, label: workLabel(kind, first), durability: first.durability, intake: first.intake, points};
}

function workLabel(kind: Kind, {workMicros, vary}: Group): string {
	if (kind === 'producers') return vary?.['batch'] === 1 ? '1 job a commit' : `${vary?.['batch']} jobs a commit`;
	return workMicros === 0 ? 'no-op jobs' : `jobs of ${showMicros(workMicros)}`;
}

export function uslPoints({points}: Series): UslPoint[] {
	return points.flatMap(([n, {entries}]) => entries.map(entry => ({n, perSecond: rate(entry) as number, block: entry.block})));
}
