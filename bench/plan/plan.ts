import {availableParallelism} from 'node:os';
import type {NotRun} from '../analyse/run.ts';
import type {Case, Durability, Intake, TaskName} from './suite.ts';

/** Which measurements a run takes, and how often: every case once in each block, in random order. */
export interface Plan {
	readonly blocks: number;
	readonly cases: readonly PlannedCase[];
	/** What there is no measurement of, and why. */
	readonly notRun?: readonly NotRun[];
}

export interface PlannedCase extends Case {
	/** The most blocks that have it, where that is fewer than the plan's. */
	readonly blocks?: number;
}

const PROCESSORS = availableParallelism();

/** A run is as long as this, roughly, whatever a job takes. */
const RUN_MS = 1500;

export interface Row {
	readonly trial: string;
	readonly task?: TaskName;
	readonly jobs?: number;
	readonly runMs?: number;
	readonly workMicros?: readonly number[];
	/** Subjects by the lanes in which they are measured. */
	readonly lanes: readonly (readonly [Durability, Intake, ...subjects: string[]])[];
	readonly vary?: readonly Readonly<Record<string, number>>[];
	readonly workers?: number;
	readonly blocks?: number;
}

export function cases({trial, task = 'identity', jobs, runMs = RUN_MS, workMicros = [0], lanes, vary, workers = PROCESSORS, blocks}: Row): PlannedCase[] {
	return workMicros.flatMap(micros =>
		lanes.flatMap(([durability, intake, ...subjects]) =>
			subjects.flatMap(subject =>
				(vary ?? [undefined]).map(each => ({
					trial,
					subject,
					durability,
					intake,
					task,
					jobs: jobs ?? Math.ceil((runMs * 1000 * Math.min(workers, PROCESSORS)) / Math.max(micros, 15)),
					workMicros: micros,
					workers,
					...(each && {vary: each}),
					...(blocks !== undefined && {blocks}),
				})),
			),
		),
	);
}

const FASTEST_POOLS = ['piscina', 'piscina-chunks'] as const;
const OTHER_POOLS = ['tinypool', 'workerpool'] as const;

const DRAIN: Row = {
	trial: 'drain',
	jobs: 400_000,
	lanes: [
		['full', 'bulk', 'faena', 'sqlite'],
		['memory', 'bulk', ...FASTEST_POOLS],
	],
};
const OTHERS: Row = {trial: 'drain', jobs: 200_000, lanes: [['memory', 'bulk', ...OTHER_POOLS]]};
const AWAITED: Row = {trial: 'drain', jobs: 60_000, lanes: [['full', 'default', 'faena']]};
const STRICT: Row = {trial: 'drain', jobs: 3000, lanes: [['full', 'strict', 'faena']]};
const GRANULARITY: Row = {
	trial: 'granularity',
	task: 'spin',
	lanes: [
		['full', 'bulk', 'faena'],
		['memory', 'bulk', 'ideal', ...FASTEST_POOLS],
	],
};
const CALL: Row = {trial: 'call', jobs: 1000, lanes: [['full', 'default', 'faena']]};

/** What a usual machine does in the default lane: a guess, by which the arrivals take about as long as they should. */
const CAPACITY_PER_SECOND = 20_000;

function latency(share: number, seconds: number): Row {
	return {trial: 'latency', jobs: Math.ceil(share * CAPACITY_PER_SECOND * seconds), vary: [{share}], lanes: [['full', 'default', 'faena']]};
}

/**
 * Closest where METG(95 %) lies. Runs of 0.75, 1.5, 3 and 6 s lost the same share of their time, so their start and end are no part of it
 * to speak of; while one run differs from the next by some percent: rather more of them than longer ones.
 */
const QUICK_GRAIN: Row = {...GRANULARITY, runMs: 800, blocks: 3};
const GRAINS_QUICKLY: readonly Row[] = [
	{
		...QUICK_GRAIN,
		workMicros: [10, 100, 178, 316, 1000],
		lanes: [
			['full', 'bulk', 'faena'],
			['memory', 'bulk', 'ideal'],
		],
	},
	{...QUICK_GRAIN, workMicros: [10, 100], lanes: [['memory', 'bulk', 'piscina-chunks']]},
];

const DRAINS_QUICKLY: readonly Row[] = [
	{
		...DRAIN,
		jobs: 800_000,
		lanes: [
			['full', 'bulk', 'faena', 'sqlite'],
			['memory', 'bulk', 'piscina-chunks'],
		],
	},
	{...DRAIN, jobs: 100_000, lanes: [['memory', 'bulk', 'piscina']]},
	{...AWAITED, jobs: 30_000},
];

const CLAIMED: Row = {trial: 'dequeue', jobs: 0, blocks: 3, lanes: [['full', 'bulk', 'faena', 'bare-sqlite']]};

/** Contenders claim, and complete, until a second is over: `jobs` is only what they find at its start. */
export function claims(lanes: Row['lanes'], varied: readonly Readonly<Record<'batch' | 'backlog' | 'contenders' | 'completes' | 'threads', number>>[]): Row[] {
	return varied.map(vary => ({...CLAIMED, lanes, jobs: vary.backlog, vary: [vary]}));
}

const ONE = {batch: 100, backlog: 100_000, contenders: 1, completes: 1, threads: 0};

const CLAIMS_QUICKLY = claims(
	[['full', 'bulk', 'faena']],
	[1, 100].flatMap(batch => [1, 4].map(contenders => ({...ONE, batch, contenders}))),
);

/** `npm run bench`: what says most, in less than four minutes, without services. */
const QUICK: Plan = {
	blocks: 5,
	cases: [...DRAINS_QUICKLY, {...CALL, jobs: 400}, {...latency(0.25, 2), blocks: 3}, ...CLAIMS_QUICKLY, ...GRAINS_QUICKLY].flatMap(cases),
};

const CLAIMS: readonly Row[] = [
	...claims(
		[...CLAIMED.lanes, ['normal', 'bulk', 'faena', 'bare-sqlite']],
		[1, 10, 100, 1000].flatMap(batch => [0, 1].map(completes => ({...ONE, batch, completes}))),
	),
	...claims(
		CLAIMED.lanes,
		[1000, 10_000, 1_000_000].map(backlog => ({...ONE, backlog})),
	),
	...claims(CLAIMED.lanes, [{...ONE, backlog: 10_000_000}]).map(row => ({...row, blocks: 1})),
	...claims(
		CLAIMED.lanes,
		[1, 100].flatMap(batch => [2, 4, 8].flatMap(contenders => [0, 1].map(threads => ({...ONE, batch, contenders, threads})))),
	),
];

/** From 1 µs to 100 ms, √10 apart. */
const GRID = [1, 3, 10, 32, 100, 316, 1000, 3162, 10_000, 31_623, 100_000] as const;

const GRAINS: readonly Row[] = [
	{...GRANULARITY, workMicros: GRID},
	{...GRANULARITY, task: 'sha256', workMicros: [10, 100, 1000, 10_000]},
	{...GRANULARITY, task: 'json', workMicros: [10, 100, 1000, 10_000]},
];

/** Faena in all its lanes, beside the ceiling of each. */
const LANES: readonly Row[] = [
	{...DRAIN, lanes: [...DRAIN.lanes, ['full', 'map', 'faena'], ['normal', 'bulk', 'faena', 'sqlite'], ['normal', 'map', 'faena']]},
	OTHERS,
	{...AWAITED, lanes: [...AWAITED.lanes, ['normal', 'default', 'faena']]},
	{...STRICT, lanes: [...STRICT.lanes, ['normal', 'strict', 'faena']]},
];

const CALLS: Row = {...CALL, lanes: [...CALL.lanes, ['normal', 'default', 'faena']]};

const PRODUCERS = [1, 2, 4, 8, 16] as const;
const CONTENTION: readonly Row[] = [
	{trial: 'contention', jobs: 2000, vary: PRODUCERS.map(producers => ({producers, batch: 1})), lanes: [['full', 'strict', 'faena']]},
	{trial: 'contention', jobs: 100_000, vary: PRODUCERS.map(producers => ({producers, batch: 100})), lanes: [['full', 'bulk', 'faena']]},
	{trial: 'contention', jobs: 100_000, workers: 1, vary: [1, 2, 4, 8].map(processes => ({processes})), lanes: [['full', 'bulk', 'faena']]},
	...numbersOfWorkers().map(
		(workers): Row => ({
			...{trial: 'contention', task: 'spin', workMicros: [100, 1000], workers, vary: [{workers}]},
			lanes: [
				['full', 'bulk', 'faena'],
				['memory', 'bulk', 'ideal'],
			],
		}),
	),
];

/** Up to twice the processors; where they are many, not each number. */
function numbersOfWorkers(): number[] {
	const dense = Array.from({length: 8}, (_, index) => index + 1);
	const sparse = [1, 2, 4, 8, 16, 32].flatMap(scale => [12 * scale, 16 * scale]);
	return [...dense, ...sparse].filter(workers => workers <= 2 * PROCESSORS);
}

const SIZES_BYTES = [100, 1000, 10_000, 100_000, 1_000_000, 16_000_000] as const;
/** What goes through in one run, at most, but for the fewest jobs that say something. */
const PAYLOAD_BYTES = 100e6;

const PAYLOADS: readonly Row[] = SIZES_BYTES.flatMap(bytes => {
	const row = {trial: 'payloads', jobs: Math.min(20_000, Math.max(8, PAYLOAD_BYTES / bytes)), blocks: 3};
	const both = [
		{bytes, binary: 0},
		{bytes, binary: 1},
	];
	const pools: Row = {...row, vary: both, lanes: [['memory', 'bulk', 'piscina']]};
	const inDatabase: Row = {...row, vary: both, lanes: [['full', 'map', 'faena']]};
	const inFiles: Row = {...row, vary: [{bytes, binary: 1, blobs: 65_536}], lanes: [['full', 'map', 'faena']]};
	return bytes > 65_536 ? [pools, inDatabase, inFiles] : [pools, inDatabase];
});

/** Of 1 ms on average: one in a hundred takes 50 ms, the others half of one. */
const MIXED: Row = {
	trial: 'mixed',
	task: 'spin',
	jobs: RUN_MS * PROCESSORS,
	workMicros: [500],
	lanes: GRANULARITY.lanes,
};

const HISTORY: Row = {trial: 'history', jobs: 10_000_000, lanes: [['full', 'bulk', 'faena']], blocks: 1};
const RECOVERY: Row = {trial: 'recovery', jobs: 1_000_000, lanes: [['full', 'bulk', 'faena']], blocks: 3};

const BACKLOG: readonly Row[] = [1000, 10_000, 100_000, 1_000_000].map(jobs => ({
	trial: 'backlog',
	jobs,
	vary: [{jobs}],
	lanes: [['full', 'bulk', 'faena']],
	blocks: 3,
}));

const IN_MEMORY =
	"in the lane `memory`: open() takes files only. What openQueue(':memory:') gives is the model that the tests hold the queues against, which looks at all jobs in each turn.";

/** `npm run bench:full`: everything that needs no services. */
const FULL: Plan = {
	blocks: 5,
	cases: [
		...[...GRAINS, ...LANES, ...CLAIMS, ...CONTENTION, ...PAYLOADS],
		...[CALLS, latency(0.1, 5), latency(0.25, 5), latency(0.5, 5), MIXED, HISTORY, RECOVERY, ...BACKLOG],
	].flatMap(cases),
	notRun: [{subject: 'faena', reason: IN_MEMORY}],
};

const BOTH = ['normal', 'full'] as const;

/**
 * Drains of no-ops beside the peers, each with as many jobs as it gets through in one to a few seconds, in the lanes that it offers. `bulk` is for
 * those that take many jobs in one call; what is in one lane is never compared with what is in another.
 */
const BESIDE_PEERS: readonly Row[] = [
	...drains(BOTH, 'bulk', {faena: 200_000, bullmq: 25_000, 'graphile-worker': 50_000, 'pg-boss': 40_000}),
	...drains(['normal'], 'bulk', {plainjob: 25_000}),
	...drains(['full'], 'bulk', {plainjob: 5000}),
	...drains(['normal'], 'default', {faena: 60_000, plainjob: 20_000, bullmq: 15_000, 'graphile-worker': 4000, 'pg-boss': 4000, liteque: 2000, sidequest: 1500}),
	...drains(['full'], 'default', {faena: 60_000, plainjob: 3000, bullmq: 10_000, 'graphile-worker': 2000, 'pg-boss': 3000, liteque: 1000, sidequest: 1500}),
	...drains(['normal'], 'strict', {faena: 3000, plainjob: 4000, bullmq: 3000, 'graphile-worker': 1000, 'pg-boss': 1000, liteque: 1000, sidequest: 500}),
	...drains(['full'], 'strict', {faena: 3000, plainjob: 2000, bullmq: 2000, 'graphile-worker': 1000, 'pg-boss': 1000, liteque: 500, sidequest: 500}),
	// The same work for all, by the fastest way in that each has.
	...[100, 1000].map(workMicros => ({
		...GRANULARITY,
		workMicros: [workMicros],
		lanes: [
			...BOTH.map(durability => [durability, 'bulk', 'faena', 'plainjob', 'bullmq', 'bullmq-sandbox', 'graphile-worker', 'pg-boss'] as const),
			['memory', 'bulk', 'ideal', 'piscina-chunks'] as const,
		],
	})),
	...[100, 1000].map(workMicros => ({
		...GRANULARITY,
		workMicros: [workMicros],
		jobs: 600,
		lanes: BOTH.map(durability => [durability, 'default', 'faena', 'liteque', 'sidequest'] as const),
	})),
];

/** Those whose interface claims many jobs at a time, and all. */
const CLAIMING_MANY = ['faena', 'bare-sqlite', 'graphile-worker', 'pg-boss', 'bare-postgres'] as const;
const CLAIMING = [...CLAIMING_MANY, 'plainjob', 'liteque', 'bullmq'] as const;

/** Filling takes the peers long, so the backlog is short. */
const CLAIMS_BESIDE_PEERS: readonly Row[] = [1, 4, 8].flatMap(contenders =>
	BOTH.flatMap(durability => [
		...claims([[durability, 'bulk', ...CLAIMING]], [{...ONE, backlog: 10_000, contenders, batch: 1}]),
		...claims([[durability, 'bulk', ...CLAIMING_MANY]], [{...ONE, backlog: 10_000, contenders, batch: 100}]),
	]),
);

function drains(durabilities: readonly Durability[], intake: Intake, jobsOf: Readonly<Record<string, number>>): Row[] {
	return Object.entries(jobsOf).map(([subject, jobs]) => ({
		trial: 'drain',
		jobs,
		lanes: durabilities.map(durability => [durability, intake, subject] as const),
	}));
}

/** `npm run bench:peers`, which starts the servers that they need. */
const PEERS: Plan = {blocks: 5, cases: [...BESIDE_PEERS, ...CLAIMS_BESIDE_PEERS].flatMap(cases)};

export const PLANS: Readonly<Record<string, Plan>> = {quick: QUICK, full: FULL, peers: PEERS};
