import {availableParallelism} from 'node:os';
import type {Case, Durability, Intake, TaskName} from './suite.ts';

/** Which measurements a run takes, and how often: every case once in each block, in random order. */
export interface Plan {
	readonly blocks: number;
	readonly cases: readonly Case[];
}

const WORKERS = availableParallelism();

/** A run is as long as this, roughly, whatever a job takes. */
const RUN_MS = 1500;

export interface Row {
	readonly trial: string;
	readonly task?: TaskName;
	readonly jobs?: number;
	readonly workMicros?: readonly number[];
	/** Subjects by the lanes in which they are measured. */
	readonly lanes: readonly (readonly [Durability, Intake, ...subjects: string[]])[];
	readonly vary?: readonly Readonly<Record<string, number>>[];
}

export function cases({trial, task = 'identity', jobs, workMicros = [0], lanes, vary}: Row): Case[] {
	return workMicros.flatMap(micros =>
		lanes.flatMap(([durability, intake, ...subjects]) =>
			subjects.flatMap(subject =>
				(vary ?? [undefined]).map(each => ({
					trial,
					subject,
					durability,
					intake,
					task,
					jobs: jobs ?? Math.ceil((RUN_MS * 1000 * WORKERS) / Math.max(micros, 15)),
					workMicros: micros,
					workers: WORKERS,
					...(each && {vary: each}),
				})),
			),
		),
	);
}

const POOLS = ['piscina', 'piscina-chunks', 'tinypool', 'workerpool'] as const;

const DRAIN: Row = {
	trial: 'drain',
	jobs: 200_000,
	lanes: [
		['full', 'bulk', 'faena', 'sqlite'],
		['memory', 'bulk', ...POOLS],
	],
};
const AWAITED: Row = {trial: 'drain', jobs: 60_000, lanes: [['full', 'default', 'faena']]};
const STRICT: Row = {trial: 'drain', jobs: 3000, lanes: [['full', 'strict', 'faena']]};
const GRANULARITY: Row = {
	trial: 'granularity',
	task: 'spin',
	lanes: [
		['full', 'bulk', 'faena'],
		['memory', 'bulk', 'ideal', 'piscina', 'piscina-chunks'],
	],
};

/** `npm run bench`: what says most, in about three minutes, without services. */
const QUICK: Plan = {blocks: 5, cases: [DRAIN, AWAITED, STRICT, {...GRANULARITY, workMicros: [10, 100, 1000]}].flatMap(cases)};

export const PLANS: Readonly<Record<string, Plan>> = {quick: QUICK};
