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

interface Row {
	readonly trial: string;
	readonly task?: TaskName;
	readonly jobs?: number;
	readonly workMicros?: readonly number[];
	/** Subjects by the lanes in which they are measured. */
	readonly lanes: readonly (readonly [Durability, Intake, ...subjects: string[]])[];
	readonly vary?: readonly Readonly<Record<string, number>>[];
}

function cases({trial, task = 'identity', jobs, workMicros = [0], lanes, vary}: Row): Case[] {
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

const [NORMAL, FULL] = ['normal', 'full'] as const;

/**
 * Drains of no-ops beside the peers, each with as many jobs as it gets through in one to a few seconds, in the lanes that it offers. `bulk` is for
 * those that take many jobs in one call; what is in one lane is never compared with what is in another.
 */
const BESIDE_PEERS: readonly Row[] = [
	...drains([NORMAL, FULL], 'bulk', {faena: 200_000, bullmq: 25_000, 'graphile-worker': 50_000, 'pg-boss': 40_000}),
	...drains([NORMAL], 'bulk', {plainjob: 25_000}),
	...drains([FULL], 'bulk', {plainjob: 5000}),
	...drains([NORMAL], 'default', {faena: 60_000, plainjob: 20_000, bullmq: 15_000, 'graphile-worker': 4000, 'pg-boss': 4000, liteque: 2000, sidequest: 1500}),
	...drains([FULL], 'default', {faena: 60_000, plainjob: 3000, bullmq: 10_000, 'graphile-worker': 2000, 'pg-boss': 3000, liteque: 1000, sidequest: 1500}),
	// The same work for all, by the fastest way in that each has.
	...[100, 1000].map(workMicros => ({
		...GRANULARITY,
		workMicros: [workMicros],
		lanes: [
			...[NORMAL, FULL].map(durability => [durability, 'bulk', 'faena', 'plainjob', 'bullmq', 'bullmq-sandbox', 'graphile-worker', 'pg-boss'] as const),
			['memory', 'bulk', 'ideal', 'piscina-chunks'] as const,
		],
	})),
	...[100, 1000].map(workMicros => ({
		...GRANULARITY,
		workMicros: [workMicros],
		jobs: 600,
		lanes: [NORMAL, FULL].map(durability => [durability, 'default', 'faena', 'liteque', 'sidequest'] as const),
	})),
];

function drains(durabilities: readonly Durability[], intake: Intake, jobsOf: Readonly<Record<string, number>>): Row[] {
	return Object.entries(jobsOf).map(([subject, jobs]) => ({
		trial: 'drain',
		jobs,
		lanes: durabilities.map(durability => [durability, intake, subject] as const),
	}));
}

/** `npm run bench:peers`, which starts the servers that they need. */
const PEERS: Plan = {blocks: 5, cases: BESIDE_PEERS.flatMap(cases)};

export const PLANS: Readonly<Record<string, Plan>> = {quick: QUICK, peers: PEERS};
