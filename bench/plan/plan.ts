import {availableParallelism} from 'node:os';
import type {NotRun} from '../analyse/run.ts';
import type {Case, Durability, Intake, TaskName} from './suite.ts';

/** The measurements of a run: each block takes every case once, in random order. */
export interface Plan {
	readonly blocks: number;
	readonly cases: readonly PlannedCase[];
	/** Subjects that the plan can't measure, and the reasons. */
	readonly notRun?: readonly NotRun[];
}

export interface PlannedCase extends Case {
	/** Number of blocks that measure the case, if it is smaller than the plan's. */
	readonly blocks?: number;
}

const PROCESSORS = availableParallelism();

/** Rough length of a measurement. The number of jobs follows from it and from the work of a job. */
const RUN_MS = 1500;

/** Cases of one trial: one for each subject and lane, size of work, and set of varied parameters. */
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
		['full', 'bulk', 'faena', 'statements'],
		['memory', 'bulk', ...FASTEST_POOLS],
	],
};
const OTHERS: Row = {trial: 'drain', jobs: 200_000, lanes: [['memory', 'bulk', ...OTHER_POOLS]]};

/** The lanes in which programs use one call for each job, or for all, beside the pool that most of them know. */
const MAP: Row = {trial: 'drain', jobs: 400_000, lanes: besidePiscina('map')};
const AWAITED: Row = {trial: 'drain', jobs: 60_000, lanes: besidePiscina('default')};
const CALLED: Row = {trial: 'drain', jobs: 60_000, lanes: besidePiscina('call')};
const STRICT: Row = {trial: 'drain', jobs: 3000, lanes: [['full', 'strict', 'faena']]};

export function besidePiscina(intake: Intake): Row['lanes'] {
	return [
		['full', intake, 'faena'],
		['memory', intake, 'piscina'],
	];
}
const GRANULARITY: Row = {
	trial: 'granularity',
	task: 'spin',
	lanes: [
		['full', 'bulk', 'faena'],
		['memory', 'bulk', 'ideal', ...FASTEST_POOLS],
	],
};
const CALL: Row = {trial: 'call', jobs: 1000, lanes: [['full', 'default', 'faena']]};

const WAKE: Row = {trial: 'wake', jobs: 200, lanes: [['full', 'default', 'faena']], blocks: 3};

/** A guess at the rate of a usual machine in the default lane. It makes the arrivals take about the intended time. */
export const CAPACITY_PER_SECOND = 20_000;

function latency(share: number, seconds: number): Row {
	return {trial: 'latency', jobs: Math.ceil(share * CAPACITY_PER_SECOND * seconds), vary: [{share}], lanes: besidePiscina('default')};
}

/**
 * Short runs. Runs of 0.75, 1.5, 3 and 6 s lost about the same share of their time, so start and end of a run hardly matter. But one
 * run differs from the next by some percent. So several short runs say more than a long one.
 */
const QUICK_GRANULARITY: Row = {...GRANULARITY, runMs: 800, blocks: 3};
/** The sizes are closest near METG(95 %). */
const QUICK_GRAINS: readonly Row[] = [
	{
		...QUICK_GRANULARITY,
		workMicros: [10, 100, 178, 316, 1000],
		lanes: [
			['full', 'bulk', 'faena'],
			['memory', 'bulk', 'ideal'],
		],
	},
	{...QUICK_GRANULARITY, workMicros: [10, 100], lanes: [['memory', 'bulk', 'piscina-chunks']]},
];

const QUICK_DRAINS: readonly Row[] = [
	{
		...DRAIN,
		jobs: 800_000,
		lanes: [
			['full', 'bulk', 'faena', 'statements'],
			['memory', 'bulk', 'piscina-chunks'],
		],
	},
	{...DRAIN, jobs: 100_000, lanes: [['memory', 'bulk', 'piscina']]},
	MAP,
	...[AWAITED, CALLED].map(row => ({...row, jobs: 30_000})),
	{...STRICT, jobs: 1500},
];

const CLAIMED: Row = {trial: 'dequeue', jobs: 0, blocks: 3, lanes: [['full', 'bulk', 'faena', 'bare-sqlite']]};

/** Rows in which contenders claim jobs, and complete them, for a second. `jobs` is only the backlog at its start. */
export function claims(lanes: Row['lanes'], varied: readonly Readonly<Record<'batch' | 'backlog' | 'contenders' | 'completes' | 'threads', number>>[]): Row[] {
	return varied.map(vary => ({...CLAIMED, lanes, jobs: vary.backlog, vary: [vary]}));
}

/** Varied parameters of a single process that claims and completes. Rows change some of them. */
export const ONE_CONTENDER = {batch: 100, backlog: 100_000, contenders: 1, completes: 1, threads: 0};

const QUICK_CLAIMS = claims(
	[['full', 'bulk', 'faena']],
	[1, 100].flatMap(batch => [1, 4].map(contenders => ({...ONE_CONTENDER, batch, contenders}))),
);

/** `npm run bench`: the most informative cases, in about six minutes, without services. */
const QUICK: Plan = {
	blocks: 5,
	cases: [...QUICK_DRAINS, {...CALL, jobs: 400}, {...latency(0.25, 2), blocks: 3}, ...QUICK_CLAIMS, ...QUICK_GRAINS].flatMap(cases),
};

const CLAIMS: readonly Row[] = [
	...claims(
		[...CLAIMED.lanes, ['normal', 'bulk', 'faena', 'bare-sqlite']],
		[1, 10, 100, 1000].flatMap(batch => [0, 1].map(completes => ({...ONE_CONTENDER, batch, completes}))),
	),
	...claims(
		CLAIMED.lanes,
		[1000, 10_000, 1_000_000].map(backlog => ({...ONE_CONTENDER, backlog})),
	),
	...claims(CLAIMED.lanes, [{...ONE_CONTENDER, backlog: 10_000_000}]).map(row => ({...row, blocks: 1})),
	...claims(
		CLAIMED.lanes,
		[1, 100].flatMap(batch => [2, 4, 8].flatMap(contenders => [0, 1].map(threads => ({...ONE_CONTENDER, batch, contenders, threads})))),
	),
];

/** From 1 µs to 100 ms, √10 apart. */
const GRID = [1, 3, 10, 32, 100, 316, 1000, 3162, 10_000, 31_623, 100_000] as const;

const GRAINS: readonly Row[] = [
	{...GRANULARITY, workMicros: GRID},
	{...GRANULARITY, task: 'sha256', workMicros: [10, 100, 1000, 10_000]},
	{...GRANULARITY, task: 'json', workMicros: [10, 100, 1000, 10_000]},
];

/** What else may be asked of jobs, and how many of them such a run has. */
const ASKED: Partial<Record<Intake, number>> = {
	...{'map-sorted-keys': 200_000, 'map-random-keys': 200_000, keys: 200_000},
	...{priorities: 400_000, delays: 100_000, failures: 200_000, 'two-tasks': 400_000, watched: 800_000},
};

/** Faena in all its lanes, beside the ceiling of each. */
const LANES: readonly Row[] = [
	DRAIN,
	OTHERS,
	...[MAP, AWAITED, CALLED, STRICT].flatMap(row => [row, ceilingOf(row)]),
	...[DRAIN, MAP, AWAITED, CALLED, STRICT].map(inNormal),
	...Object.entries(ASKED).map(([intake, jobs]): Row => ({trial: 'drain', jobs, lanes: [['full', intake as Intake, 'faena', 'statements']]})),
	{...DRAIN, jobs: 200_000, vary: [{isolated: 1}], lanes: [['full', 'bulk', 'faena']]},
];

function ceilingOf(row: Row): Row {
	return {...row, lanes: [['full', intakeOf(row), 'statements']]};
}

function inNormal(row: Row): Row {
	return {...row, lanes: [['normal', intakeOf(row), 'faena', 'statements']]};
}

function intakeOf({lanes: [lane]}: Row): Intake {
	return lane?.[1] as Intake;
}

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

/** Up to twice the processors: every number up to 8, then 12, 16, 24, 32 and so on. */
function numbersOfWorkers(): number[] {
	const dense = Array.from({length: 8}, (_, index) => index + 1);
	const sparse = [1, 2, 4, 8, 16, 32].flatMap(scale => [12 * scale, 16 * scale]);
	return [...dense, ...sparse].filter(workers => workers <= 2 * PROCESSORS);
}

const SIZES_BYTES = [100, 300, 4096, 65_536, 1_000_000, 16_000_000] as const;
/** Most bytes of the payloads of one run. A run has at least eight jobs all the same. */
const PAYLOAD_BYTES = 100e6;

const PAYLOADS: readonly Row[] = SIZES_BYTES.flatMap(bytes => {
	const row = {trial: 'payloads', jobs: Math.min(20_000, Math.max(8, PAYLOAD_BYTES / bytes)), blocks: 3};
	const both = [
		{bytes, binary: 0},
		{bytes, binary: 1},
	];
	const pools: Row = {...row, vary: both, lanes: [['memory', 'bulk', 'piscina']]};
	const inDatabase: Row = {...row, vary: both, lanes: [['full', 'map', 'faena', 'statements']]};
	const inFiles: Row = {...row, vary: [{bytes, binary: 1, blobs: 65_536}], lanes: [['full', 'map', 'faena']]};
	return bytes > 65_536 ? [pools, inDatabase, inFiles] : [pools, inDatabase];
});

/** Jobs of 1 ms on average: one in a hundred takes 50 ms, the others 0.5 ms. */
const MIXED: Row = {
	trial: 'mixed',
	task: 'spin',
	jobs: RUN_MS * PROCESSORS,
	workMicros: [500],
	lanes: GRANULARITY.lanes,
};

/** Workers that stand for 64 processors. */
const WAITING: readonly Row[] = [1000, 20_000, 100_000].map(micros => ({
	trial: 'waiting',
	task: 'wait',
	workMicros: [micros],
	workers: 64,
	jobs: Math.ceil((2 * RUN_MS * 1000 * 64) / micros),
	lanes: [
		['full', 'bulk', 'faena'],
		['memory', 'bulk', 'ideal'],
	],
	blocks: 3,
}));

const IDLE: Row = {trial: 'idle', jobs: 0, lanes: [['full', 'bulk', 'faena']], blocks: 3};
/** So many processes. */
const START: Row = {trial: 'start', jobs: 5, lanes: [['full', 'bulk', 'faena']], blocks: 3};

const HISTORY: Row = {trial: 'history', jobs: 10_000_000, lanes: [['full', 'bulk', 'faena']], blocks: 1};
const RECOVERY: Row = {trial: 'recovery', jobs: 1_000_000, lanes: [['full', 'bulk', 'faena']], blocks: 3};

const BACKLOG: readonly Row[] = [1000, 10_000, 100_000, 1_000_000].map(jobs => ({
	trial: 'backlog',
	jobs,
	vary: [{jobs}],
	lanes: [['full', 'bulk', 'faena']],
	blocks: 3,
}));

const IN_MEMORY = "in the lane `memory`: open() takes files only. openQueue(':memory:') is SQLite in memory, but has no engine that runs jobs.";

/** `npm run bench:full`: everything that needs no services. */
const FULL: Plan = {
	blocks: 5,
	cases: [
		...[...GRAINS, ...LANES, ...CLAIMS, ...CONTENTION, ...PAYLOADS],
		...[CALLS, latency(0.1, 5), latency(0.25, 5), latency(0.5, 5), MIXED, ...WAITING, WAKE, IDLE, START, HISTORY, RECOVERY, ...BACKLOG],
	].flatMap(cases),
	notRun: [{subject: 'faena', reason: IN_MEMORY}],
};

const BOTH = ['normal', 'full'] as const;

/**
 * Drains of no-ops by Faena and the peers, in the lanes that each offers. Each gets as many jobs as it completes in one to a few
 * seconds. Only peers that take many jobs in one call are in `bulk`. Figures of different lanes are not compared.
 */
const BESIDE_PEERS: readonly Row[] = [
	...drains(BOTH, 'bulk', {faena: 200_000, 'faena-postgres': 200_000, bullmq: 25_000, 'graphile-worker': 50_000, 'pg-boss': 40_000}),
	...drains(BOTH, 'map', {faena: 200_000, 'faena-postgres': 200_000}),
	...drains(['normal'], 'bulk', {plainjob: 25_000}),
	...drains(['full'], 'bulk', {plainjob: 5000}),
	...drains(['normal'], 'default', {
		faena: 60_000,
		'faena-postgres': 20_000,
		plainjob: 20_000,
		bullmq: 15_000,
		'graphile-worker': 4000,
		'pg-boss': 4000,
		liteque: 2000,
		sidequest: 1500,
	}),
	...drains(['full'], 'default', {
		faena: 60_000,
		'faena-postgres': 20_000,
		plainjob: 3000,
		bullmq: 10_000,
		'graphile-worker': 2000,
		'pg-boss': 3000,
		liteque: 1000,
		sidequest: 1500,
	}),
	...drains(BOTH, 'call', {faena: 60_000, 'faena-postgres': 20_000, bullmq: 10_000}),
	...drains(['normal'], 'strict', {
		faena: 3000,
		'faena-postgres': 2000,
		plainjob: 4000,
		bullmq: 3000,
		'graphile-worker': 1000,
		'pg-boss': 1000,
		liteque: 1000,
		sidequest: 500,
	}),
	...drains(['full'], 'strict', {
		faena: 3000,
		'faena-postgres': 2000,
		plainjob: 2000,
		bullmq: 2000,
		'graphile-worker': 1000,
		'pg-boss': 1000,
		liteque: 500,
		sidequest: 500,
	}),
	// Jobs with work, the same for all, enqueued in the fastest way that each offers.
	...[100, 1000].map(workMicros => ({
		...GRANULARITY,
		workMicros: [workMicros],
		lanes: [
			...BOTH.map(durability => [durability, 'bulk', 'faena', 'faena-postgres', 'plainjob', 'bullmq', 'bullmq-sandbox', 'graphile-worker', 'pg-boss'] as const),
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

/** The stores whose interface claims many jobs at a time, those that add many, and all stores. */
const CLAIMING_MANY = ['faena', 'bare-sqlite', 'graphile-worker', 'pg-boss', 'bare-postgres'] as const;
const ADDING_MANY = [...CLAIMING_MANY, 'plainjob', 'bullmq'] as const;
const CLAIMING = [...CLAIMING_MANY, 'plainjob', 'liteque', 'bullmq'] as const;

/** The backlog is short, because the peers take long to fill it. */
const CLAIMS_BESIDE_PEERS: readonly Row[] = [1, 4, 8].flatMap(contenders =>
	BOTH.flatMap(durability => [
		...claims([[durability, 'bulk', ...CLAIMING]], [{...ONE_CONTENDER, backlog: 10_000, contenders, batch: 1}]),
		...claims([[durability, 'bulk', ...CLAIMING_MANY]], [{...ONE_CONTENDER, backlog: 10_000, contenders, batch: 100}]),
	]),
);

/** BullMQ is the one peer whose callers can wait for a result. The rates are the same for all. */
const LATENCIES_BESIDE_PEERS: readonly Row[] = [
	{perSecond: 50, seconds: 8},
	{perSecond: 1000, seconds: 5},
].map(({perSecond, seconds}) => ({
	trial: 'latency',
	jobs: perSecond * seconds,
	vary: [{perSecond}],
	lanes: [...BOTH.map(durability => [durability, 'default', 'faena', 'bullmq'] as const), ['memory', 'default', 'piscina'] as const],
	blocks: 3,
}));

/** Producers, each with a connection of its own, of jobs that no one takes. */
const PRODUCERS_BESIDE_PEERS: readonly Row[] = [1, 8].flatMap(producers => [
	{
		...{trial: 'contention', jobs: 2000, vary: [{producers, batch: 1}], blocks: 3},
		lanes: BOTH.map(durability => [durability, 'strict', ...CLAIMING] as const),
	},
	{
		...{trial: 'contention', jobs: 20_000, vary: [{producers, batch: 100}], blocks: 3},
		lanes: BOTH.map(durability => [durability, 'bulk', ...ADDING_MANY] as const),
	},
]);

function drains(durabilities: readonly Durability[], intake: Intake, jobsOf: Readonly<Record<string, number>>): Row[] {
	return Object.entries(jobsOf).map(([subject, jobs]) => ({
		trial: 'drain',
		jobs,
		lanes: durabilities.map(durability => [durability, intake, subject] as const),
	}));
}

/** What is measured of SQLite without services is measured on PostgreSQL, too. */
const ON_POSTGRES: readonly Row[] = [
	...[{...CALL, jobs: 400}, WAKE, latency(0.25, 2), IDLE, HISTORY, ...BACKLOG],
	...[1, 2, 4, 8].map(processes => ({trial: 'contention', jobs: 400_000, workers: 1, vary: [{processes}], blocks: 3, lanes: []})),
	...[10_000, 100_000, 1_000_000, 10_000_000].map(backlog => ({trial: 'contention', jobs: backlog, vary: [{processes: 1, backlog}], blocks: 1, lanes: []})),
].map(row => ({...row, lanes: [['full', row.lanes[0]?.[1] ?? 'bulk', 'faena-postgres'] as const]}));

/** `npm run bench:peers`, which also starts the servers that the peers need. */
const PEERS: Plan = {
	blocks: 5,
	cases: [...BESIDE_PEERS, ...ON_POSTGRES, ...LATENCIES_BESIDE_PEERS, ...PRODUCERS_BESIDE_PEERS, ...CLAIMS_BESIDE_PEERS].flatMap(cases),
};

export const PLANS: Readonly<Record<string, Plan>> = {quick: QUICK, full: FULL, peers: PEERS};
