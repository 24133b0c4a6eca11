import {cpuMicrosPerJob, rate} from '../analyse/figures.ts';
import {type Group, groupsOf, keyOf, over, ratio} from '../analyse/group.ts';
import type {Run} from '../analyse/run.ts';
import type {Interval} from '../analyse/statistics.ts';
import {cases, claims, ONE_CONTENDER} from '../plan/plan.ts';
import type {Case} from '../plan/suite.ts';

const LANE = [['full', 'bulk', 'faena']] as const;

/** The cases of `faena bench dequeue`: one process, by the number of jobs that it claims at a time. */
export const DEQUEUE_PLAN: readonly Case[] = claims(
	LANE,
	[1, 10, 100, 1000].flatMap(batch => [0, 1].map(completes => ({...ONE_CONTENDER, batch, completes}))),
).flatMap(cases);

/** The cases of `faena bench contention`, by the number of processes that claim from one file. */
export const CONTENTION_PLAN: readonly Case[] = claims(
	LANE,
	[1, 100].flatMap(batch => [1, 2, 4, 8].map(contenders => ({...ONE_CONTENDER, batch, contenders}))),
).flatMap(cases);

/** Figures of one case. A figure is missing if no measurement of it counts. */
export interface ClaimFigures {
	/** Jobs in a claim. */
	readonly batch: number;
	readonly processes: number;
	/** Whether each batch is completed before the next is claimed. */
	readonly completes: boolean;
	readonly jobsPerSecond?: Interval;
	/** Milliseconds of one claim. */
	readonly claimP50Ms?: Interval;
	readonly claimP99Ms?: Interval;
	/** CPU microseconds of all processes, for one job. */
	readonly cpuMicros?: Interval;
	/** Jain's index of what the processes got: 1 if all got the same, 1/n if one got everything. */
	readonly fairness?: Interval;
	/** The rate divided by that of one process in the same block. */
	readonly timesOne?: Interval;
}

export function claimFigures(run: Run): ClaimFigures[] {
	const groups = groupsOf(run);
	const rows = groups.map(group =>
		figuresOf(
			group,
			groups.find(other => isAlone(other) && other.vary?.['batch'] === group.vary?.['batch']),
		),
	);
	const known = new Set(groups.map(keyOf));
	const missing = new Map(run.discarded.filter(entry => !known.has(keyOf(entry))).map(entry => [keyOf(entry), placeOf(entry)]));
	return [...rows, ...missing.values()];
}

/** What identifies a row. */
function placeOf({vary}: Pick<Case, 'vary'>): Pick<ClaimFigures, 'batch' | 'processes' | 'completes'> {
	const {batch = 1, contenders = 1, completes = 0} = vary ?? {};
	return {batch, processes: contenders, completes: completes === 1};
}

function isAlone({vary}: Group): boolean {
	return vary?.['contenders'] === 1 && vary['completes'] === 1;
}

function figuresOf(group: Group, alone: Group | undefined): ClaimFigures {
	const place = placeOf(group);
	const figures = {
		jobsPerSecond: over(group, rate),
		claimP50Ms: over(group, ({measurement}) => measurement.latencyMs?.claim?.p50),
		claimP99Ms: over(group, ({measurement}) => measurement.latencyMs?.claim?.p99),
		cpuMicros: over(group, cpuMicrosPerJob),
		fairness: over(group, ({measurement}) => measurement.figures?.['fairness']),
		timesOne: place.processes > 1 ? ratio(group, alone, rate) : undefined,
	};
	const known = Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined));
	return {...place, ...known};
}
