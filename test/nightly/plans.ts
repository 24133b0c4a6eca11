import {ALL_BUT_LONG, LONG} from '../selections.ts';

/** A long test of `npm run nightly`: a script of package.json, with what it gets, and the most minutes that it may take. */
export interface Plan {
	readonly script: string;
	readonly args: (seed: number) => readonly string[];
	readonly minutes: number;
}

/** The most minutes that all plans may take together. */
export const MAX_MINUTES = 109;

/**
 * The nights follow each other: a seed is the number of the day, with three digits that are drawn. In three nights each part of a plan has run; of
 * `faults` in 20. On other Nodes the suites have run in four, and the long tests in twelve.
 */
export const SEEDS_PER_NIGHT = 1000;
const nightOf = (seed: number): number => Math.floor(seed / SEEDS_PER_NIGHT);
const partOf = <Part>(parts: readonly Part[], seed: number): Part => parts[nightOf(seed) % parts.length] as Part;

const seeded =
	(...args: readonly string[]) =>
	(seed: number): readonly string[] => [...args, '--seed', String(seed)];

/** How many parts `npm run faults` is cut into, in the order of their calls; a night has one of them. */
const PARTS = 20;

/** The versions of Node that are supported, beside the one that all else runs on. */
export const NODES = ['22.18.0', '24.21.0'] as const;

/** What may depend on the version of Node: the tests without those of the benchmark, the examples, the model, the faults and the mutants. */
const LEFT_OUT = ['bench', 'examples', 'property', 'simulation', 'fault', 'mutants'].map(folder => `!test/${folder}/**`);
/** They are cut into four parts, which take about equally long; a night has one of them for each Node. */
const FOLDERS = [['cli', 'spawner'], ['engine'], ['pool', 'store', 'transport', 'worker']];
const filesOf = (folders: readonly string[]) => folders.map(folder => `test/${folder}/**/*.test.ts`);
const SHORT = ALL_BUT_LONG.filter(pattern => pattern.startsWith('!'));
const OTHERS = filesOf(FOLDERS.flat()).map(pattern => `!${pattern}`);
const SUITES: readonly (readonly string[])[] = [...FOLDERS.map(folders => [...filesOf(folders), ...SHORT]), [...ALL_BUT_LONG, ...LEFT_OUT, ...OTHERS]];

/** The long tests are cut into three parts: those of the command line, of engines and stores, and the others. A night has one of them. */
const subjectOf = (file: string) => (/^test\/(cli|spawner|pairs)\//.test(file) ? 0 : /^test\/(engine|store|pool)\//.test(file) ? 1 : 2);
const THIRDS = [0, 1, 2].map(subject => LONG.filter(file => subjectOf(file) === subject));
/** For other Nodes, which have less time: a plan for each of them would not fit into a night. */
const SIXTHS = THIRDS.flatMap(files => [0, 1].map(parity => files.filter((_, index) => index % 2 === parity)));

/** The surest to find something come first. */
export const PLANS: readonly Plan[] = [
	{script: 'torture', args: seeded('--kills', '150'), minutes: 5},
	{script: 'torture', args: seeded('--kills', '60', '--endings', 'SIGSTOP,SIGKILL'), minutes: 2},
	{script: 'torture', args: seeded('--kills', '60', '--endings', 'SIGTERM,SIGINT'), minutes: 2},
	{script: 'torture:postgres', args: seeded('--seconds', '45'), minutes: 2},
	{script: 'test:hosts', args: seeded('--jobs', '50000'), minutes: 1},
	{script: 'churn:postgres', args: () => ['--jobs', '10000000', '--held', '15'], minutes: 2},
	{script: 'rolling-deploy', args: () => ['--seconds', '30'], minutes: 1},
	{script: 'next-columns', args: () => [], minutes: 2},
	{script: 'check:plpgsql', args: () => [], minutes: 1},
	{script: 'test:postgres', args: () => [], minutes: 3},
	{script: 'simulate', args: seeded('--events', '1000000'), minutes: 3},
	{script: 'bad-jobs', args: seeded('--jobs', '400'), minutes: 2},
	{script: 'fuzz', args: seeded('--runs', '4000', '--what', 'values,decoder,cli'), minutes: 1},
	{script: 'fuzz', args: seeded('--runs', '80', '--what', 'rows,commands,engines'), minutes: 2},
	{script: 'power-loss', args: seeded('--states', '4000'), minutes: 4},
	{script: 'faults', args: seed => [`${nightOf(seed) % PARTS}/${PARTS}`], minutes: 5},
	{script: 'byte-flips', args: seeded('--runs', '220'), minutes: 1},
	{script: 'full-disk', args: () => [], minutes: 1},
	{script: 'cli-kills', args: () => [], minutes: 3},
	{script: 'all-cases', args: () => [], minutes: 11},
	{script: 'pairs:postgres', args: () => [], minutes: 4},
	{script: 'soak', args: () => ['--minutes', '2'], minutes: 3},
	{script: 'mutants', args: () => [], minutes: 14},
	{script: 'test', args: seed => partOf(THIRDS, seed), minutes: 9},
	{script: 'test:node', args: seed => [NODES[Math.floor(nightOf(seed) / SIXTHS.length) % NODES.length] as string, ...partOf(SIXTHS, seed)], minutes: 8},
	...NODES.map((node, index) => ({script: 'test:node', args: (seed: number) => [node, ...partOf(SUITES, seed + index * SEEDS_PER_NIGHT)], minutes: 8})),
];
